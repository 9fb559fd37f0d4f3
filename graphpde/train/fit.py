"""The one training loop."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from graphpde.errors import GraphpdeError, InputError
from graphpde.train.history import Evaluation, History
from graphpde.train.update import Taken, Update

Objective = Callable[[nn.Module, Any, torch.Generator | None], Mapping[str, Tensor]]
"""objective(model, batch, rng) -> its terms by name, 0-d, without weights."""


class Progress(NamedTuple):
    """What a hook is told after each step.

    Attributes:
        step: counted from 1. at: the objective. model: as it is now. history: every step so far.
    """

    step: int
    at: Evaluation
    model: nn.Module
    history: History


Hook = Callable[[Progress], str | None]
"""Called after each step; a sentence ends the fit and becomes its reason."""


def fit(
    model: nn.Module,
    objective: Objective,
    batches: Sequence[Any] = (None,),
    *,
    update: Update,
    steps: int,
    rng: torch.Generator | None = None,
    weights: Mapping[str, float] | None = None,
    hooks: Sequence[Hook] = (),
    tolerance: float = 0.0,
) -> History:
    """Minimise sum_k weight_k objective_k over the parameters of a model.

    Args:
        model: its parameters that require gradients are changed in place.
        objective: see :data:`Objective`. batches: one a step, in turn.
        update: the rule, such as ``Adam(1e-3)`` or ``LBFGS()``. steps: at most.
        rng: what the objective draws from. Evaluations within one step see the same numbers, and the same seed gives
            the same fit.
        weights: of the terms by name; 1 where nothing is said.
        hooks: see :data:`Hook`. tolerance: ends at a gradient of this size relative to the first one.

    Returns:
        The history. A fit that cannot go on ends with a reason in it, the parameters at the last good place.

    Raises:
        InputError: nothing to learn, no batches, weights of terms that there are not.
        GraphpdeError: the objective cannot be evaluated at the start.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    if not parameters:
        raise InputError("the model has no parameters that require gradients; there is nothing to fit")
    if not len(batches) or steps < 1:
        raise InputError(f"got {len(batches)} batches and {steps} steps, expected at least one of each")
    closure = _Closure(model, objective, parameters, rng, dict(weights or {}))
    history, step, clock = History(), update.bind(parameters), time.perf_counter()
    first = 0.0
    for k in range(steps):
        closure.begin(batches[k % len(batches)], repeats=k > 0 and len(batches) == 1)
        taken = step(closure)
        history.add(k + 1, taken.at, closure.count, time.perf_counter() - clock)
        first = first or taken.at.gradient
        _judge(history, taken, tolerance * first)
        for hook in hooks:
            said = hook(Progress(k + 1, taken.at, model, history))
            if said and not history.reason:
                history.reason = said
        if history.reason:
            return history
    history.reason = f"all {steps} steps were taken"
    return history


def _judge(history: History, taken: Taken, least: float) -> None:
    if taken.stop:
        history.reason, history.converged = taken.stop, taken.converged
    elif 0 < taken.at.gradient <= least:
        history.reason, history.converged = f"the gradient fell to {taken.at.gradient:.2g}", True


class _Closure:
    """The objective of one step with its gradient; draws the same numbers whenever it is called within the step."""

    def __init__(
        self,
        model: nn.Module,
        objective: Objective,
        parameters: Sequence[Tensor],
        rng: torch.Generator | None,
        weights: dict[str, float],
    ):
        self.model, self.objective, self.parameters, self.rng, self.weights = model, objective, parameters, rng, weights
        self.batch: Any = None
        self.count, self.repeats = 0, False
        self._state = self._after = torch.empty(0) if rng is None else rng.get_state()

    def begin(self, batch: Any, *, repeats: bool) -> None:
        """The next step: another batch, other numbers."""
        drew = not torch.equal(self._state, self._after)
        self.batch, self.repeats, self._state = batch, repeats and not drew, self._after

    def __call__(self) -> Evaluation:
        if self.rng is not None:
            self.rng.set_state(self._state)
        for p in self.parameters:
            p.grad = None
        self.count += 1
        try:
            with torch.enable_grad():
                terms = self.objective(self.model, self.batch, self.rng)
                loss = self._weighted(terms)
                loss.backward()
        except GraphpdeError as error:  # at the start a mistake, later a trial that went too far
            if self.count == 1:
                raise
            return Evaluation(math.inf, {}, math.inf, str(error))
        if self.rng is not None:
            self._after = self.rng.get_state()
        grads = [p.grad for p in self.parameters if p.grad is not None]
        size = math.sqrt(sum(float(g.square().sum()) for g in grads))
        return Evaluation(float(loss.detach()), {name: float(v.detach()) for name, v in terms.items()}, size)

    def _weighted(self, terms: Mapping[str, Tensor]) -> Tensor:
        stray = [name for name in self.weights if name not in terms]
        if stray or not terms:
            known = ", ".join(terms) or "none"
            raise InputError(f"weights name {', '.join(stray) or 'nothing'}, the terms of the objective are: {known}")
        for name, value in terms.items():
            if value.numel() != 1:
                raise InputError(f"the term '{name}' of the objective has shape {list(value.shape)}, expected a scalar")
        loss = sum(self.weights.get(name, 1.0) * value.reshape(()) for name, value in terms.items())
        if not isinstance(loss, Tensor) or not loss.requires_grad:
            raise InputError("the objective does not depend on the parameters of the model in a differentiable way")
        return loss
