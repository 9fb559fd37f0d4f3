"""How parameters move: rules that take one step with a closure that evaluates the objective and its gradient."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from graphpde.checks import number, positive, whole
from graphpde.errors import CheckpointError
from graphpde.train.history import Evaluation
from graphpde.train.lbfgs import Lbfgs, Point


class Closure(Protocol):
    """Evaluates the objective where the parameters are, and leaves its gradient in their ``grad``.

    Attributes:
        repeats: whether it is the same function as in the step before: no other batch, nothing drawn.
        overflowed: whether the gradient does not fit its type and a step should be left out.
    """

    repeats: bool
    overflowed: bool

    def __call__(self) -> Evaluation: ...


class Taken(NamedTuple):
    """One step.

    Attributes:
        at: the objective, see :class:`~graphpde.train.history.History`. stop: why no further one makes sense, or "".
        converged: whether that is good news. place: the parameters by name that ``at`` belongs to; empty where those of
            now do.
    """

    at: Evaluation
    stop: str = ""
    converged: bool = False
    place: Mapping[str, Tensor] = {}


class Step(Protocol):
    """Takes a step; what it remembers of earlier ones can be kept and put back."""

    def __call__(self, closure: Closure) -> Taken: ...

    def state(self) -> dict[str, Any]: ...

    def load_state(self, state: Mapping[str, Any]) -> None: ...


class Update(Protocol):
    """A rule; bound to parameters by name it takes steps."""

    def bind(self, parameters: Mapping[str, Tensor]) -> Step: ...


@dataclass(frozen=True)
class LBFGS:
    """Limited-memory BFGS with a line search for the strong Wolfe conditions: for objectives without noise.

    Where the objective is not finite at a trial (or cannot be evaluated: a solver fails, a cell of the mesh turns over)
    the step is shortened. Parameters end at the best place seen.

    Args:
        memory: pairs of steps and changes of the gradient that are kept. first: length of the first step; the later
            ones have the right length by themselves. change: relative decrease of the objective in a step below which
            it has converged. trials: evaluations in one line search.

    Reference: Nocedal and Wright 2006, Numerical Optimization, algorithms 7.4, 3.5 and 3.6.
    """

    memory: int = 20
    first: float = 0.1
    change: float = 1e-10
    trials: int = 25

    def __post_init__(self) -> None:
        whole("memory", self.memory)
        positive("first", self.first)
        number("change", self.change)
        whole("trials", self.trials)

    def bind(self, parameters: Mapping[str, Tensor]) -> Step:
        return _QuasiNewton(self, list(parameters.values()))


class _QuasiNewton:
    def __init__(self, rule: LBFGS, parameters: Sequence[Tensor]):
        self.change, self.parameters = rule.change, parameters
        self.rule = Lbfgs(rule.memory, rule.first, rule.trials)
        self.now: Point | None = None

    def __call__(self, closure: Closure) -> Taken:
        def evaluate(x: Tensor) -> Point:
            _put(self.parameters, x)
            found = closure()
            while closure.overflowed:  # each time the loss is scaled by half of before
                found = closure()
            return Point(x, found.loss, _gradients(self.parameters), found)

        here, rule = self.now, self.rule
        if here is None or not closure.repeats:
            self.now = here = evaluate(_values(self.parameters))
            if not here.finite:
                return Taken(here.note, f"the objective is not finite at the start ({described(here.note)})")
            rule.reset()
        if not bool(here.gradient.any()):
            return Taken(here.note, "the gradient is zero", True)
        arrived = rule.step(evaluate, here)
        _put(self.parameters, (arrived or here).x)
        if arrived is None:
            said = "no step along the direction lowers the objective"
            if rule.not_finite:
                said += ": it is not finite at any of them; the parameters are those of before"
            return Taken(here.note, said, not rule.not_finite)
        self.now = arrived
        if here.loss - arrived.loss <= self.change * max(abs(here.loss), abs(arrived.loss)):
            return Taken(arrived.note, f"the objective changed by less than {self.change:g} of itself", True)
        return Taken(arrived.note)

    def state(self) -> dict[str, Any]:
        if self.now is None:
            return {"rule": "LBFGS", "now": None, "pairs": []}
        note = {**self.now.note._asdict(), "terms": dict(self.now.note.terms)}
        return {"rule": "LBFGS", "now": {**self.now._asdict(), "note": note}, "pairs": list(self.rule.pairs)}

    def load_state(self, state: Mapping[str, Any]) -> None:
        same_rule(state, "LBFGS")
        device = self.parameters[0].device
        if state["now"] is not None:
            x, gradient = (state["now"][name].to(device) for name in ("x", "gradient"))
            self.now = Point(x, state["now"]["loss"], gradient, Evaluation(**state["now"]["note"]))
        self.rule.pairs = [(s.to(device), y.to(device), rho) for s, y, rho in state["pairs"]]


def same_rule(state: Mapping[str, Any], rule: str, moments: Collection[str] = ()) -> None:
    """Check that the state of a step was kept by this rule.

    Raises:
        CheckpointError: it was kept by another one, or by this one with other options.
    """
    kept = str(state.get("rule", "another rule")), set(state.get("moments", ()))
    if kept != (rule, set(moments)):
        there, here = (
            f"{name} ({', '.join(sorted(parts))})" if parts else name for name, parts in (kept, (rule, set(moments)))
        )
        raise CheckpointError(f"the checkpoint is of a fit by {there}, this one is by {here}; take the same rule")


def real(t: Tensor) -> Tensor:
    """Complex numbers as pairs, so that a rule moves them like any others."""
    return torch.view_as_real(t) if t.is_complex() else t


def described(found: Evaluation) -> str:
    """The terms, or why there are none, for messages."""
    return found.failure or ", ".join(f"{name} = {value:.4g}" for name, value in found.terms.items())


def _values(parameters: Sequence[Tensor]) -> Tensor:
    return torch.cat([real(p.detach()).reshape(-1) for p in parameters])


def _gradients(parameters: Sequence[Tensor]) -> Tensor:
    return torch.cat([real(torch.zeros_like(p) if p.grad is None else p.grad).reshape(-1) for p in parameters])


def _put(parameters: Sequence[Tensor], x: Tensor) -> None:
    start = 0
    for own in (real(p.detach()) for p in parameters):
        own.copy_(x[start : start + own.numel()].view_as(own))
        start += own.numel()
