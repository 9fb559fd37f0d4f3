"""The objective of one step with its gradient."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from graphpde.checks import number
from graphpde.errors import GraphpdeError, InputError
from graphpde.train.history import ALWAYS, Evaluation
from graphpde.train.numerics import LossScale, Numerics
from graphpde.train.randomness import Replay

Objective = Callable[[nn.Module, Any, torch.Generator | None], Mapping[str, Tensor] | Tensor]
"""objective(model, batch, rng) -> its terms by name, 0-d, without weights; a tensor alone is the term "loss"."""


class Evaluate:
    """Evaluates the objective and leaves its gradient in ``grad``; draws the same numbers whenever called in one step.

    Args:
        model, objective, rng, weights: as for :func:`~graphpde.train.fit`. parameters: those that learn.
        numerics: precision, and how the loss is scaled.

    Attributes:
        count: evaluations so far. repeats: see :class:`~graphpde.train.update.Closure`. overflowed: the gradient does
            not fit float16, and the next one may.
    """

    def __init__(
        self,
        model: nn.Module,
        objective: Objective,
        parameters: Sequence[Tensor],
        rng: torch.Generator | None,
        weights: Mapping[str, float],
        numerics: Numerics,
    ):
        self.model, self.objective, self.parameters, self.rng = model, objective, parameters, rng
        for name, weight in weights.items():
            number(f"the weight of '{name}'", weight, least=-math.inf)
        self.weights, self.numerics = weights, numerics
        self.device = parameters[0].device
        self.count, self.repeats, self.overflowed = 0, False, False
        self.scale = LossScale(2.0**16 if numerics.precision == torch.float16 else 1.0)
        self._replay = Replay(self.device, rng)
        self._batches: Sequence[Any] = ()
        self._same = self._drew = self._called = False

    def begin(self, batches: Sequence[Any], *, same: bool) -> None:
        """The next step: other batches (unless they are the ``same`` throughout) and other numbers."""
        self.repeats = same and self.count > 0 and not self._drew
        self._batches, self._same, self._called = batches, same, False
        self._replay.keep()

    def __call__(self) -> Evaluation:
        first, self._called, self.overflowed = not self._called, True, False
        if not first:
            self._replay.rewind()
        for p in self.parameters:
            p.grad = None
        self.count += 1
        try:
            found = [self._backward(batch) for batch in self._batches]
        except GraphpdeError as error:  # at the start, or of another batch, a mistake; else a trial that went too far
            mistake = first and not self._same and not isinstance(error, RuntimeError)
            if self.count == 1 or mistake:
                raise
            return Evaluation(math.inf, {}, math.inf, str(error))
        if self._same:
            self._drew = self._replay.drew()
        size = self._measured()
        loss, terms = found[0] if len(found) == 1 else _mean(found)
        self.overflowed = self.scale.overflowed(loss, size)
        return Evaluation(loss, terms, size)

    def _backward(self, batch: Any) -> tuple[float, dict[str, float]]:
        """Add the gradient of one batch; its loss and terms."""
        with torch.enable_grad():
            with self.numerics.autocast(self.device):
                terms = _terms(self.objective(self.model, batch, self.rng))
                loss = self._weighted(terms)
            factor = self.scale.factor / len(self._batches)
            (loss if factor == 1 else factor * loss).backward()
        return float(loss.detach()), {name: float(value.detach()) for name, value in terms.items()}

    def _measured(self) -> float:
        """Norm of the gradient, which is given its own size again where the loss was scaled, and made dense."""
        for p in self.parameters:
            if p.grad is not None and p.grad.layout != torch.strided:
                p.grad = p.grad.to_dense()
        grads = [p.grad for p in self.parameters if p.grad is not None]
        if not grads:
            return 0.0
        if self.scale.factor != 1:
            torch._foreach_mul_(grads, 1 / self.scale.factor)
        norms = torch._foreach_norm(grads)
        return float(torch.linalg.vector_norm(torch.stack([norm.to(norms[0].device) for norm in norms])))

    def _weighted(self, terms: Mapping[str, Tensor]) -> Tensor:
        stray = [name for name in self.weights if name not in terms]
        if stray:
            raise InputError(f"weights name {', '.join(stray)}, the terms of the objective are: {', '.join(terms)}")
        loss = sum(self.weights.get(name, 1.0) * value.reshape(()) for name, value in terms.items())
        if not isinstance(loss, Tensor) or not loss.requires_grad:
            raise InputError("the objective does not depend on the parameters of the model in a differentiable way")
        return loss

    def state(self) -> dict[str, Any]:
        """For checkpoints."""
        return {"count": self.count, "drew": self._drew, "scale": self.scale.state()}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        self.count, self._drew = state["count"], state["drew"]
        self.scale.load_state(state["scale"])


def _terms(found: Any) -> Mapping[str, Tensor]:
    """What an objective gave, by name.

    Raises:
        InputError: it is neither a tensor nor terms by name, or one of them is no real scalar.
    """
    terms = {"loss": found} if isinstance(found, Tensor) else found
    if not isinstance(terms, Mapping) or not terms:
        given = "no terms" if isinstance(terms, Mapping) else f"a {type(terms).__name__}"
        raise InputError(f"the objective returned {given}, expected a scalar tensor, or such tensors by name")
    for name, value in terms.items():
        if not isinstance(value, Tensor):
            raise InputError(f"the term '{name}' of the objective is a {type(value).__name__}, expected a tensor")
        if value.numel() != 1:
            raise InputError(f"the term '{name}' of the objective has shape {list(value.shape)}, expected a scalar")
        if value.is_complex():
            raise InputError(f"the term '{name}' of the objective is complex, expected a real number")
        if name in ALWAYS and name != "loss":
            raise InputError(f"the history has its own column '{name}'; give the term of the objective another name")
    return terms


def _mean(found: Sequence[tuple[float, dict[str, float]]]) -> tuple[float, dict[str, float]]:
    names = dict.fromkeys(name for _, terms in found for name in terms)
    parts = {name: [terms[name] for _, terms in found if name in terms] for name in names}
    loss = sum(loss for loss, _ in found) / len(found)
    return loss, {name: sum(values) / len(values) for name, values in parts.items()}
