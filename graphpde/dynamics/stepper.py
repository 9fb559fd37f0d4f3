"""What a stepper is: one step, its order, and how far along the axes it is stable."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from torch import Tensor

from graphpde.ops.system import System
from graphpde.registry import Registry
from graphpde.typing import Scalar, State

Carry = Any
"""What a stepper hands to its next step: a value, never mutated; None at the start."""


class Step(NamedTuple):
    """One step.

    Attributes:
        u: the new state. error: its error estimate, or None. carry: for the next step.
    """

    u: State
    error: State | None
    carry: Carry


class Stepper(Protocol):
    """One way to advance M u' = F(t, u).

    Attributes:
        name: in the registry. order: of the global error in dt. implicit: whether it solves systems.
        symplectic: "no", "yes", "extended" or "constrained".
    """

    name: str
    order: float
    implicit: bool
    symplectic: str

    def init(self, f: System, t: Tensor, u: State) -> Carry:
        """The carry of the first step."""
        ...

    def step(self, f: System, t: Tensor, dt: Scalar, u: State, carry: Carry) -> Step:
        """From t to t + dt."""
        ...

    def real_extent(self) -> float:
        """Length of the stability interval on the negative real axis; inf for A-stable ones."""
        ...


STEPPERS: Registry[type[Stepper]] = Registry("stepper")
