"""How far a model is from what was measured, in units of the noise."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from graphpde.errors import InputError, ShapeError, SolveError


class Misfit:
    r"""Mean of :math:`((B u - d) / \sigma)^2` over all measurements: 1 is what the noise alone makes of the truth.

    Args:
        observe: what is measured of u [*, n, c]: numbers of unknowns [q] (int64), or a linear map such as
            ``Samples(space, points)``, -> [*, q, c].
        data: d, in the shape of what is observed.
        sigma: standard deviation of the noise, a number or a tensor that broadcasts with ``data``.

    Raises:
        InputError: data or deviations that are not finite, or deviations that are not positive.
    """

    def __init__(self, observe: Tensor | Callable[[Tensor], Tensor], data: Tensor, sigma: Tensor | float = 1.0):
        self.observe = observe
        self.data = data.detach()
        self.sigma = torch.as_tensor(sigma, dtype=data.dtype).detach()
        if not data.numel() or not bool(torch.isfinite(data).all()):
            bad = int((~torch.isfinite(data)).sum())
            raise InputError(f"{bad} of {data.numel()} measurements are not finite, expected at least one, all numbers")
        if not bool((torch.isfinite(self.sigma) & (self.sigma > 0)).all()):
            raise InputError(f"a standard deviation is {float(self.sigma.min()):g}, expected finite numbers > 0")

    def residual(self, u: Tensor) -> Tensor:
        """(B u - d) / sigma."""
        seen = u.index_select(-2, self.observe) if isinstance(self.observe, Tensor) else self.observe(u)
        if seen.shape != self.data.shape:
            raise ShapeError(f"the model gives {list(seen.shape)}, the data are {list(self.data.shape)}")
        return (seen - self.data) / self.sigma

    def __call__(self, u: Tensor) -> Tensor:
        return self.residual(u).square().mean()


@dataclass(frozen=True)
class Inverse:
    """The objective of an inverse problem: ``misfit(model())`` and penalties of the model.

    Args:
        misfit: of what the model returns. penalties: name -> model -> scalar; their weights go to ``fit``.
    """

    misfit: Callable[[Any], Tensor]
    penalties: Mapping[str, Callable[[Any], Tensor]] = field(default_factory=dict)

    def __call__(self, model: nn.Module, batch: Any, rng: torch.Generator | None) -> dict[str, Tensor]:
        return {"misfit": self.misfit(model()), **{name: f(model) for name, f in self.penalties.items()}}


@dataclass(frozen=True)
class Discrepancy:
    """The weight of a penalty that the noise asks for.

    Attributes:
        weight, misfit: the one chosen, and the misfit with it. trials: every (weight, misfit), in order.
    """

    weight: float
    misfit: float
    trials: tuple[tuple[float, float], ...]


def discrepancy(
    misfit_at: Callable[[float], float],
    *,
    target: float = 1.0,
    start: float = 1.0,
    within: float = 0.05,
    most: int = 20,
    enough: Callable[[], bool] | None = None,
) -> Discrepancy:
    """The largest weight of a penalty whose fit still explains the data: misfit(weight) = target.

    Morozov's discrepancy principle: fitting better than the noise fits the noise. The misfit grows with the weight; the
    weight is bracketed by factors of ten and then halved in its logarithm. The last trial is the one chosen, so a
    model that each trial goes on from (the cheap way) holds the result.

    Args:
        misfit_at: weight -> mean squared residual in units of the noise, after a fit. target: 1 where the deviations
            are known. start: first weight. within: relative tolerance of the target. most: trials.
        enough: asked after each trial; True makes it the last one, because somebody asked to stop, or because no
            larger weight would change a model whose penalty is nothing already.

    Raises:
        SolveError: no weight explains the data. InputError: a misfit that is not finite, no positive start, no trials.

    Reference: Morozov 1966, Soviet Math. Dokl. 7.
    """
    if not 0 < start < math.inf or most < 1:
        raise InputError(f"the search starts at weight {start:g} with {most} trials, expected > 0 and at least 1")
    trials: list[tuple[float, float]] = []

    def at(weight: float) -> float:
        value = float(misfit_at(weight))
        if not 0 <= value < float("inf"):
            raise InputError(f"the misfit at weight {weight:g} is {value:g}, expected a finite number >= 0")
        trials.append((weight, value))
        return value

    weight, low, high = start, None, None
    while len(trials) < most:
        value = at(weight)
        if enough is not None and enough():
            return Discrepancy(weight, value, tuple(trials))
        if abs(value - target) <= within * target:
            break
        if value > target:
            high = weight
        else:
            low = weight
        if (low is None or high is None) and not 1e-12 * start < weight < 1e12 * start:
            break
        weight = _next(weight, low, high)
    weight, value = trials[-1]
    if low is None and value > (1 + within) * target:
        raise SolveError(
            f"no weight of the penalty explains the data: the misfit is {value:.4g} at weight {weight:.2g}, expected "
            f"{target:g}; the noise may be larger than said, or the model cannot make such data"
        )
    if value > (1 + within) * target and low is not None:
        value, weight = at(low), low
    return Discrepancy(weight, value, tuple(trials))


def _next(weight: float, low: float | None, high: float | None) -> float:
    """Between both ends in the logarithm; tenfold towards the one that is not known."""
    if low is None:
        return 0.1 * weight
    return 10 * weight if high is None else (low * high) ** 0.5
