"""What a stepper is: one step, its order, and how far along the axes it is stable."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from torch import Tensor

from graphpde.dynamics.state import leaves
from graphpde.errors import InputError
from graphpde.ops.system import System
from graphpde.registry import Registry
from graphpde.typing import Scalar, State

Carry = Any
"""What a stepper hands to its next step: a value, never mutated; None at the start."""
Estimate = Callable[[], State]
"""Computes an error estimate when asked: only step control pays for it."""
NOTHING: Mapping[str, int] = MappingProxyType({})


class Step(NamedTuple):
    """One step.

    Attributes:
        u: the new state. error: computes its error estimate, or None where the method has none. carry: for the next
            step. work: what it cost, by name ("evaluations", "solves", "factorisations").
        slopes: u' at both ends, None where the step does not know it. bend: computes what the solution between the ends
            has beyond a cubic, see :mod:`~graphpde.dynamics.dense`; None = unknown.
        stiffness: computes an estimate of the largest rate, \\|df/du\\| in 1/time, None = the method has none.
    """

    u: State
    error: Estimate | None
    carry: Carry
    work: Mapping[str, int] = NOTHING
    slopes: tuple[State | None, State | None] = (None, None)
    bend: Estimate | None = None
    stiffness: Callable[[], float] | None = None


class Foresight(NamedTuple):
    """What is known of all steps from one state, of methods that can tell (an optional method ``foresee``).

    Attributes:
        carry: with which a step of any length costs no further evaluation. powers: what the new state and the error
            estimate are sums of, without gradients. factors: those of both, by the length of the step.
    """

    carry: Carry
    powers: Sequence[Tensor]
    factors: Callable[[float], tuple[Sequence[float], Sequence[float]]]


class Stepper(Protocol):
    """One way to advance M u' = F(t, u).

    Attributes:
        name: in the registry. order: of the global error in dt. implicit: whether it solves systems.
        symplectic: "no", "yes", "extended" or "constrained".
        error_power: the power of dt in its error estimate, None where it has none.
        stiff: the part of F that does not limit the step: "none", "linear" or "all".
        algebraic: whether new states solve the equations without time derivative, those of a pressure; default no.
        accepts: "any" system, or only "separable" ones: positions and velocities q' = v, v' = a(q); or "undamped" ones;
            or those of "second order", with a term that says how: :mod:`~graphpde.ops.second_order`.
    """

    name: str
    order: float
    implicit: bool
    symplectic: str
    stiff: str
    accepts: str

    @property
    def error_power(self) -> float | None: ...

    def init(self, f: System, t: Tensor, u: State) -> Carry:
        """The carry of the first step."""
        ...

    def step(self, f: System, t: Tensor, dt: Scalar, u: State, carry: Carry) -> Step:
        """From t to t + dt."""
        ...

    def real_extent(self) -> float:
        """Length of the stability interval on the negative real axis; inf for A-stable ones."""
        ...


def require_tensor(name: str, u: State) -> None:
    """Refuse tuples of tensors.

    Raises:
        InputError: the state is not one tensor.
    """
    if not isinstance(u, Tensor):
        raise InputError(
            f"{name} advances one tensor [*, n, c], got a tuple of {len(leaves(u))}; use an explicit stepper"
        )


STEPPERS: Registry[type[Stepper]] = Registry("stepper")


def stepper_named(stepper: Stepper | str) -> Stepper:
    """The stepper itself, or the registered one of that name with its defaults.

    Raises:
        UnknownName: no stepper of that name. InputError: neither a stepper nor a name, such as a class.
    """
    if isinstance(stepper, str):
        return STEPPERS[stepper]()
    if isinstance(stepper, type) or not callable(getattr(stepper, "step", None)):
        got = f"the class {stepper.__name__}" if isinstance(stepper, type) else repr(stepper)
        raise InputError(f"stepper is {got}, expected an object such as CrankNicolson() or a name: 'crank_nicolson'")
    return stepper
