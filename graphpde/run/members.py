"""The members of a sweep: which values each takes, and the problem that it stands for."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any, NamedTuple

from graphpde.config import assign, merge
from graphpde.errors import ConfigError
from graphpde.run.axis_names import key_of, short_name

MOST = 10_000  # members of one sweep; more is a slip of the pen


class Axis(NamedTuple):
    """One quantity that a sweep varies.

    Attributes:
        name: the shortest that means it. key: of the problem file. values: as text, in the order given.
    """

    name: str
    key: str
    values: tuple[str, ...]

    @property
    def numbers(self) -> list[float] | None:
        """The values as numbers, None where one is none."""
        try:
            return [float(value) for value in self.values]
        except ValueError:
            return None


class Member(NamedTuple):
    """One run of a sweep: its folder below that of the sweep, and the value of each axis."""

    name: str
    values: dict[str, str]


def read_axis(text: str, problem: Mapping[str, Any]) -> Axis:
    """``kappa=0.1,1,10``, ``dt=log:1e-3:1e-1:5`` or ``boundary.left.value=lin:0:1:3`` as an axis.

    A name without dots is a coefficient, a constant of the reaction, or one of dt, end, start, stepper, frames, rtol,
    atol, seed, dtype, element and size (of the mesh), or kappa, density, heat_capacity and material of the one material
    there is; a name with dots is any key of a problem file.

    Raises:
        ConfigError: another form, a value twice, a name that the problem does not know.
    """
    name, equals, given = text.partition("=")
    name = name.strip()
    if not equals or not name or not given.strip():
        raise ConfigError(f"--sweep takes NAME=VALUE,VALUE,... or NAME=log:LOW:HIGH:COUNT, got '{text}'")
    values = tuple(_values(name, given.strip()))
    twice = [value for k, value in enumerate(values) if value in values[:k]]
    if twice:
        raise ConfigError(f"--sweep {name} names the value {twice[0]} twice; say it once")
    return Axis(short_name(name, problem), key_of(name, problem), values)


def _values(name: str, given: str) -> list[str]:
    spread = re.fullmatch(r"(log|lin):([^:]+):([^:]+):([^:]+)", given)
    if spread is None:
        return [part for part in _split(given) if part]
    kind, *ends = spread.groups()
    try:
        low, high, count = float(ends[0]), float(ends[1]), int(ends[2])
    except ValueError:
        raise ConfigError(f"--sweep {name}={given} takes two numbers and a count, such as {kind}:0.1:10:5") from None
    if not (2 <= count <= MOST) or not (math.isfinite(low) and math.isfinite(high)) or low == high:
        raise ConfigError(f"--sweep {name}={given} needs two different finite ends and 2 to {MOST} values")
    if kind == "log" and (low <= 0 or high <= 0):
        raise ConfigError(f"--sweep {name}={given} needs ends above zero; take lin:{ends[0]}:{ends[1]}:{ends[2]}")
    shares = [k / (count - 1) for k in range(count)]
    between = [low * (high / low) ** s if kind == "log" else low + (high - low) * s for s in shares]
    return [ends[0], *(f"{value:.6g}" for value in between[1:-1]), ends[1]]


def _split(text: str) -> list[str]:
    """Parts between commas outside of parentheses, brackets and quotes."""
    parts, depth, quote = [""], 0, ""
    for letter in text:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'":
            quote = letter
        depth += (letter in "([{") - (letter in ")]}")
        if letter == "," and depth == 0 and not quote:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]


def members_of(axes: Sequence[Axis]) -> list[Member]:
    """Every combination of the values, the last axis running fastest.

    Raises:
        ConfigError: two axes for one key, or more than anybody would want.
    """
    keys = [axis.key for axis in axes]
    for k, key in enumerate(keys):
        if key in keys[:k]:
            raise ConfigError(f"--sweep varies {key} twice; put all its values into one list")
    count = math.prod(len(axis.values) for axis in axes)
    if count > MOST:
        raise ConfigError(f"the sweep has {count} members, expected at most {MOST}; take fewer values")
    width = len(str(count))
    out = []
    for k, values in enumerate(product(*(axis.values for axis in axes)), 1):
        said = "_".join(f"{axis.name}={value}" for axis, value in zip(axes, values, strict=True))
        name = re.sub(r"[^\w.+=-]+", "-", f"{k:0{width}d}_{said}")[:80]
        out.append(Member(name, {axis.name: value for axis, value in zip(axes, values, strict=True)}))
    return out


def problem_of(problem: Mapping[str, Any], axes: Sequence[Axis], member: Member) -> dict[str, Any]:
    """The tables of a member: those of the sweep with its values on top."""
    tables = dict(problem)
    for axis in axes:
        tables = merge(tables, assign(f"{axis.key}={member.values[axis.name]}"))
    return tables
