"""Names for objects, used only where names come from outside: the command line, TOML files and contract tests."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Generic, TypeVar

from graphpde.errors import UnknownName

T = TypeVar("T")


def unknown(kind: str, name: str, known: Iterable[str], error: type[UnknownName] = UnknownName) -> UnknownName:
    """The error for an unknown name: lists the known ones and the nearest."""
    names = sorted(str(k) for k in known)
    near = _nearest(name, names)
    hint = f"; did you mean '{near}'?" if near is not None else ""
    listed = ", ".join(names) if names else "(none)"
    return error(f"unknown {kind} '{name}'; known: {listed}{hint}")


def missing(owner: str, kind: str, name: str, known: Iterable[str]) -> UnknownName:
    """The error for a name that something with a name of its own does not have: the nearest one, and all there are."""
    names = sorted(str(k) for k in known)
    near = _nearest(name, names)
    hint = f"; did you mean '{near}'?" if near is not None else ";"
    return UnknownName(f"{owner} has no {kind} '{name}'{hint} it has: {', '.join(names) or 'none'}")


def _nearest(name: str, names: Iterable[str]) -> str | None:
    lowered = {n.lower(): n for n in names}
    near = difflib.get_close_matches(str(name).lower(), list(lowered), n=1, cutoff=0.5)
    return lowered[near[0]] if near else None


class Registry(Mapping[str, T], Generic[T]):
    """A read-only mapping name -> object with a decorator to add and an error that helps.

    ``STEPPERS["rk4"]()`` looks up; ``@STEPPERS.add("rk4")`` registers at definition.
    """

    def __init__(self, kind: str):
        self.kind = kind
        self._items: dict[str, T] = {}

    def add(self, name: str) -> Callable[[T], T]:
        def register(item: T) -> T:
            if name in self._items:
                raise ValueError(f"{self.kind} '{name}' is registered twice")
            self._items[name] = item
            return item

        return register

    def __getitem__(self, name: str) -> T:
        try:
            return self._items[name]
        except (KeyError, TypeError):
            raise unknown(self.kind, name, self._items) from None

    def __contains__(self, name: object) -> bool:
        return name in self._items

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)
