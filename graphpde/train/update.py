"""How parameters move: rules that take one step with a closure that evaluates the objective and its gradient."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from graphpde.train.history import Evaluation
from graphpde.train.lbfgs import Lbfgs, Point


class Closure(Protocol):
    """Evaluates the objective where the parameters are, and leaves its gradient in their ``grad``.

    Attributes:
        repeats: whether it is the same function as in the step before: no other batch, nothing drawn.
    """

    repeats: bool

    def __call__(self) -> Evaluation: ...


class Taken(NamedTuple):
    """One step.

    Attributes:
        at: the objective, see :class:`~graphpde.train.history.History`. stop: why no further one makes sense, or "".
        converged: whether that is good news.
    """

    at: Evaluation
    stop: str = ""
    converged: bool = False


Step = Callable[[Closure], Taken]


class Update(Protocol):
    """A rule; bound to parameters it takes steps."""

    def bind(self, parameters: Sequence[Tensor]) -> Step: ...


@dataclass(frozen=True)
class Adam:
    """Adam with its usual moments; ``decay`` is decoupled weight decay (AdamW).

    Reference: Kingma and Ba 2015; Loshchilov and Hutter 2019.
    """

    rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    decay: float = 0.0

    def bind(self, parameters: Sequence[Tensor]) -> Step:
        return _by(torch.optim.AdamW(parameters, lr=self.rate, betas=self.betas, weight_decay=self.decay), parameters)


@dataclass(frozen=True)
class Sgd:
    """Gradient descent with momentum."""

    rate: float
    momentum: float = 0.0

    def bind(self, parameters: Sequence[Tensor]) -> Step:
        return _by(torch.optim.SGD(parameters, lr=self.rate, momentum=self.momentum), parameters)


def _by(optimizer: torch.optim.Optimizer, parameters: Sequence[Tensor]) -> Step:
    good: list[Tensor] = []

    def step(closure: Closure) -> Taken:
        found = closure()
        if not (math.isfinite(found.loss) and math.isfinite(found.gradient)):
            said = f"the objective is not finite ({described(found)})"
            if not good:
                return Taken(found, f"{said}; no step was taken")
            _put(parameters, good[0])
            return Taken(found, f"{said}; the parameters are those of the step before")
        good[:] = [_values(parameters)]
        optimizer.step()
        return Taken(found)

    return step


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

    def bind(self, parameters: Sequence[Tensor]) -> Step:
        rule = Lbfgs(self.memory, self.first, self.trials)
        now: list[Point] = []

        def step(closure: Closure) -> Taken:
            def evaluate(x: Tensor) -> Point:
                _put(parameters, x)
                found = closure()
                return Point(x, found.loss, _gradients(parameters), found)

            if not now or not closure.repeats:
                now[:] = [evaluate(_values(parameters))]
                if not now[0].finite:
                    return Taken(now[0].note, f"the objective is not finite at the start ({described(now[0].note)})")
                rule.reset()
            here = now[0]
            if not bool(here.gradient.any()):
                return Taken(here.note, "the gradient is zero", True)
            arrived = rule.step(evaluate, here)
            _put(parameters, (arrived or here).x)
            if arrived is None:
                said = "no step along the direction lowers the objective"
                if rule.not_finite:
                    said += ": it is not finite at any of them; the parameters are those of before"
                return Taken(here.note, said, not rule.not_finite)
            now[:] = [arrived]
            if here.loss - arrived.loss <= self.change * max(abs(here.loss), abs(arrived.loss)):
                return Taken(arrived.note, f"the objective changed by less than {self.change:g} of itself", True)
            return Taken(arrived.note)

        return step


def described(found: Evaluation) -> str:
    """The terms, or why there are none, for messages."""
    return found.failure or ", ".join(f"{name} = {value:.4g}" for name, value in found.terms.items())


def _values(parameters: Sequence[Tensor]) -> Tensor:
    return torch.cat([p.detach().reshape(-1) for p in parameters])


def _gradients(parameters: Sequence[Tensor]) -> Tensor:
    return torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).reshape(-1) for p in parameters])


def _put(parameters: Sequence[Tensor], x: Tensor) -> None:
    start = 0
    with torch.no_grad():
        for p in parameters:
            p.copy_(x[start : start + p.numel()].view_as(p))
            start += p.numel()
