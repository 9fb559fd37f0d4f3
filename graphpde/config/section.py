"""Strict reading of one table: every key is asked for by name, every value checked, what is left over an error."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from graphpde.errors import ConfigError, FormulaError
from graphpde.formula import Formula
from graphpde.registry import unknown

T = TypeVar("T")
D = TypeVar("D")
Read = Callable[[Any, str], T]


class Section:
    """One table of a problem file.

    Args:
        values: the table. path: its name, "" at the top.

    Raises:
        ConfigError: it is not a table.
    """

    def __init__(self, values: Any, path: str = ""):
        if not isinstance(values, Mapping):
            raise ConfigError(f"{path} is {_shown(values)}, expected a table: [{path}] with one key a line")
        self.values, self.path = dict(values), path
        self._known: list[str] = []

    def take(self, key: str, read: Read[T], default: D) -> T | D:
        """The checked value of a key, or the default where it is missing."""
        self._known.append(key)
        return read(self.values[key], self.place(key)) if key in self.values else default

    def place(self, key: str) -> str:
        """How messages name a key."""
        return f"{self.path}.{key}" if self.path else key

    def close(self) -> None:
        """Refuse what nobody asked for.

        Raises:
            UnknownName: a key that is not known; the message lists the known ones and the nearest.
        """
        for key in self.values:
            if key not in self._known:
                raise unknown(f"key in [{self.path}]" if self.path else "key", str(key), self._known)


def number(low: float = -math.inf, *, above: bool = False) -> Read[float]:
    """A finite number >= low, or > low if ``above``."""

    def read(value: Any, where: str) -> float:
        expected = "" if low == -math.inf else f" {'>' if above else '>='} {low:g}"
        fits = isinstance(value, int | float) and not isinstance(value, bool) and _finite(value)
        if not fits or value < low or (above and value == low):
            raise ConfigError(f"{where} is {_shown(value)}, expected a finite number{expected}")
        return float(value)

    return read


def numbers(low: float = -math.inf, *, above: bool = False) -> Read[tuple[float, ...]]:
    """A finite number or a list of some, each as :func:`number` reads it."""
    one = number(low, above=above)

    def read(value: Any, where: str) -> tuple[float, ...]:
        parts = value if isinstance(value, list | tuple) else [value]
        if not parts:
            raise ConfigError(f"{where} is an empty list, expected one number or more")
        return tuple(one(part, where) for part in parts)

    return read


def integer(low: int, high: int) -> Read[int]:
    """A whole number from low to high."""

    def read(value: Any, where: str) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise ConfigError(f"{where} is {_shown(value)}, expected a whole number from {low} to {high}")
        return value

    return read


def truth(value: Any, where: str) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise ConfigError(f"{where} is {_shown(value)}, expected true or false")
    return value


def text(value: Any, where: str) -> str:
    """Text that is not empty."""
    if not isinstance(value, str) or not value.strip():
        raise ConfigError(f"{where} is {_shown(value)}, expected text in quotes")
    return value


def choice(what: str, names: Iterable[str]) -> Read[str]:
    """One of a few names."""
    known = list(names)

    def read(value: Any, where: str) -> str:
        if text(value, where) not in known:
            raise unknown(what, value, known)
        return value

    return read


def quantity(names: Sequence[str]) -> Read[float | Formula]:
    """A finite number or a formula in these names."""

    def read(value: Any, where: str) -> float | Formula:
        if isinstance(value, str):
            try:
                return Formula(value, names)
            except FormulaError as error:
                raise FormulaError(f"{where}: {error}") from None
        if not isinstance(value, int | float) or isinstance(value, bool) or not _finite(value):
            listed = f"in {', '.join(names)}" if names else "of constants"
            raise ConfigError(f"{where} is {_shown(value)}, expected a finite number or a formula {listed} in quotes")
        return float(value)

    return read


def table_of(kind: type[T], rules: Mapping[str, Read[Any]]) -> Read[T]:
    """One table as an object whose class has a usual value for everything; ``rules`` say how each key is read."""

    def read(values: Any, where: str) -> T:
        section, usual = Section(values, where), kind()
        found = {name: section.take(name, rule, getattr(usual, name)) for name, rule in rules.items()}
        section.close()
        return kind(**found)

    return read


def _finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # whole numbers beyond any float
        return False


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "a table"
    shown = f"'{value}'" if isinstance(value, str) else str(value)
    return shown if len(shown) <= 60 else shown[:57] + "..."
