"""A row of the verification table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

SOLVING = (
    *(f"graphpde/{part}" for part in ("core", "solve", "ops", "dynamics", "errors.py", "registry.py", "typing.py")),
    "graphpde/mesh/*.py",
)
"""Everything between a mesh and its solution."""


NO_TARGET = "none"
"""The target of a figure that stands beside others for comparison."""


class Found(NamedTuple):
    """One measurement.

    Attributes:
        value: what the target is compared with. text: the same for a reader. on: mesh, element, stepper, counts.
        note: what else the reader should know.
    """

    value: float
    text: str
    on: str
    note: str = ""


class Absent(NamedTuple):
    """No measurement, with the reason."""

    reason: str


@dataclass(frozen=True)
class Row:
    """One promise.

    Attributes:
        section: heading. name: unique. target: in words. check: value -> whether it is met.
        measure: makes the figure. because: why it is missed, if it is.
        sources: files, folders and patterns below the checkout that the figure depends on.
    """

    section: str
    name: str
    target: str
    check: Callable[[float], bool]
    measure: Callable[[], Found | Absent]
    because: str = ""
    sources: tuple[str, ...] = SOLVING


def at_most(bound: float) -> Callable[[float], bool]:
    """The check of a value that must not be larger (and not be undefined)."""
    return lambda value: value <= bound


def percent(value: float) -> str:
    """0.0123 -> "1.2 %"."""
    return f"{100 * value:.2g} %"
