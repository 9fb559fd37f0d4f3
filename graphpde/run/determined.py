"""What measurements say of the numbers that were fitted to them: how well each is known, and which are not."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from graphpde.run.fittable import Fittable, Way
from graphpde.run.measurements import Measurements
from graphpde.train import Misfit

BLIND = 1e-6
"""Singular value of the weighted residuals, relative to the largest, from which a direction counts as not measured."""

FAINT = 1e-3
"""The same in units of the noise: a change a thousand times as large as the number itself would not stand out of it."""


class Determined(NamedTuple):
    """What the derivative of the residuals says.

    Attributes:
        deviations: standard deviation by number, None for those that are not determined; of the noise as it was said,
            to first order. undetermined: numbers, and sizes of fields, that can change (together) without a trace in
            the measurements.
    """

    deviations: dict[str, float | None]
    undetermined: list[str]


def determined(model: Fittable, seen: Measurements) -> Determined:
    r"""Judge the numbers of a fitted model by the Jacobian J of its weighted residuals (B u - d) / sigma.

    The covariance of the numbers is :math:`(J^T J)^{-1}`; columns are taken in units of the numbers, so that the
    singular values compare relative changes. A number that is zero within its noise is measured in units of that.
    """
    ways = model.ways()
    jacobian = _jacobian(model, seen, ways)
    norms = torch.linalg.vector_norm(jacobian, dim=0)
    for k, way in enumerate(ways):
        if way.signed and norms[k] > 0:
            size = max(float(way.free.detach().abs().max()), 1 / float(norms[k]))
            jacobian[:, k] *= size
            ways[k] = way._replace(scale=way.scale * size)
    _, values, turned = torch.linalg.svd(jacobian, full_matrices=False)
    blind = values <= max(BLIND * float(values[0]), FAINT)
    if len(values) < len(ways):  # fewer rows than columns: the rest of the space is not seen at all
        turned = torch.linalg.svd(jacobian).Vh
        more = torch.ones(len(ways) - len(values), dtype=torch.bool)
        blind, values = torch.cat([blind, more]), torch.cat([values, torch.zeros(len(more), dtype=values.dtype)])
    shares = turned[blind].abs().amax(0) if bool(blind.any()) else torch.zeros(len(ways), dtype=values.dtype)
    lost = [way.name for way, share in zip(ways, shares.tolist(), strict=True) if share > 1e-3]
    spread = (turned[~blind] / values[~blind, None]).square().sum(0).sqrt().tolist()
    known = {way.name: None if way.name in lost else way.scale * s for way, s in zip(ways, spread, strict=True)}
    # beside a field, whose roughness is weighed, the numbers alone have no covariance
    return Determined({} if any(model.wanted.values()) else known, lost)


def _jacobian(model: Fittable, seen: Measurements, ways: list[Way]) -> Tensor:
    """The derivative of the weighted residuals by each way [q, k].

    The gradient J^T v is linear in v, and its derivative by v is J: a few columns cost as many backward passes,
    however many measurements there are.
    """
    misfit = Misfit(seen.of, seen.values, seen.sigma)
    with torch.enable_grad():
        residual = misfit.residual(model())
        v = torch.zeros_like(residual, requires_grad=True)
        parameters = list(dict.fromkeys(way.free for way in ways))
        pulled = torch.autograd.grad(residual, parameters, v, create_graph=True, allow_unused=True)
        gradients = dict(zip(parameters, pulled, strict=True))
        columns = []
        for way in ways:
            gradient = gradients[way.free]
            along = None if gradient is None else (gradient * way.direction).sum()
            column = None
            if along is not None and along.requires_grad:
                (column,) = torch.autograd.grad(along, v, retain_graph=True, allow_unused=True)
            columns.append(torch.zeros_like(residual) if column is None else column)
    return torch.cat([column.detach().reshape(-1, 1) for column in columns], 1)
