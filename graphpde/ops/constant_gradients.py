"""Integrals over cells whose shape functions have constant gradients: linear simplices, the most frequent cells.

Every array has the cells in its last dimension in memory, so that sums over the two to four corners, directions or
points are sums of long rows. The same sums over small matrices, one a cell, take several times as long.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from graphpde.mesh.blocks import Block
from graphpde.ops.point_derivatives import Slopes


class ConstantGradients(NamedTuple):
    """Cells of one type, as long rows.

    Attributes:
        values: shape functions [q, k]. gradients: physical gradients [k, d, m]. volume: quadrature weights [q, m].
    """

    values: Tensor
    gradients: Tensor
    volume: Tensor

    @classmethod
    def of(cls, block: Block) -> ConstantGradients | None:
        """The cells of a block as long rows, or None where gradients differ from point to point."""
        if block.gradients.shape[1] > 1 and block.gradients.stride(1) != 0:
            return None
        return cls(block.values, _last(block.gradients[:, 0]).contiguous(), _last(block.volume).contiguous())

    def fields(self, corners: Tensor) -> tuple[Tensor, Tensor]:
        """Values [*, m, q, c] and gradients [*, m, q, c, d] of corner values [*, k, m, c]."""
        x = corners.mT.contiguous()  # [*, k, c, m]
        values = _through(self.values.to(x.dtype), x, 2)
        g = self.gradients.to(x.dtype)
        grad = _dot([(x[..., k, :, None, :], g[k]) for k in range(len(g))])  # [*, c, d, m]
        each = grad.movedim(-1, -3)[..., None, :, :]
        return values.movedim(-1, -3), each.expand(*each.shape[:-3], len(self.values), *each.shape[-2:])

    def integrate(self, source: Tensor | None, flux: Tensor | None) -> Tensor:
        r"""\int s N_i + F . grad N_i of each cell, [*, k, m, c]; s [*, m, q, c] and F [*, m, q, c, d]."""
        parts = []
        if source is not None:
            weighted = source.movedim(-3, -1) * self.volume.to(source.dtype)[:, None]
            parts.append(_through(self.values.mT.to(source.dtype), weighted, 2))
        if flux is not None:
            total = (flux.movedim(-4, -1) * self.volume.to(flux.dtype)[:, None, None]).sum(-4)  # [*, c, d, m]
            g = self.gradients.to(flux.dtype)
            parts.append(_dot([(total[..., None, :, d, :], g[:, None, d]) for d in range(g.shape[1])]))
        return sum(parts[1:], parts[0]).mT

    def matrices(self, slopes: Slopes) -> Tensor:
        """Local matrices [m, k, k, a, b]: rows i of the test function, columns j of the state."""
        n, g, volume = self.values, self.gradients, self.volume
        of, parts = g.unbind(1), []  # [k, m] along each direction
        if slopes.source_u is not None:
            weighted = _last(slopes.source_u) * volume[:, None, None]
            both = (n[:, :, None] * n[:, None]).flatten(1).mT  # [k k, q]
            parts.append(_through(both, weighted, 3).unflatten(0, (n.shape[1], n.shape[1])))
        if slopes.source_grad is not None:
            tested = _through(n.mT, _last(slopes.source_grad) * volume[:, None, None, None], 4)  # [i, a, b, e, m]
            each = zip(tested.unbind(3), of, strict=True)
            parts.append(_dot([(x[:, None], y[None, :, None, None]) for x, y in each]))
        if slopes.flux_u is not None:
            tried = _through(n.mT, _last(slopes.flux_u) * volume[:, None, None, None], 4)  # [j, a, d, b, m]
            each = zip(tried.unbind(2), of, strict=True)
            parts.append(_dot([(x[None], y[:, None, None, None]) for x, y in each]))
        if slopes.flux_grad is not None and len(slopes.flux_grad) == slopes.flux_grad.shape[1] == 1:
            parts.append(self._of_one(slopes.flux_grad[0, 0]))
        elif slopes.flux_grad is not None:
            flux = _last(slopes.flux_grad)
            share = volume if len(flux) > 1 else volume.sum(0, keepdim=True)
            total = (flux * share[:, None, None, None, None]).sum(0)  # [a, d, b, e, m]
            each = zip(total.unbind(3), of, strict=True)
            tried = _dot([(x, y[:, None, None, None]) for x, y in each])  # [j, a, d, b, m]
            each = zip(tried.unbind(2), of, strict=True)
            parts.append(_dot([(x[None], y[:, None, None, None]) for x, y in each]))
        return sum(parts[1:], parts[0]).movedim(-1, 0)

    def _of_one(self, slope: Tensor) -> Tensor:
        """[k, k, a, b, m] of the derivative [a, d, b, e] of fluxes by gradients that all cells and points share."""
        g, (a, d, b, e) = self.gradients, slope.shape
        pairs = (g * self.volume.sum(0))[:, None, :, None] * g[None, :, None]  # [i, j, d, e, m]
        table = slope.permute(0, 2, 1, 3).reshape(a * b, d * e)
        return (table @ pairs.flatten(2, 3)).unflatten(2, (a, b))


def over_directions(x: Tensor) -> Tensor:
    """The sum [*, m, q, c] of x [*, m, q, c, d] over the directions; cells that are last in memory stay so."""
    if x.stride(-4) != 1:
        first, *others = x.unbind(-1)
        return sum(others, first)
    return x.movedim(-4, -1).sum(-2).movedim(-1, -3)


def squared(grad: Tensor) -> Tensor:
    """|grad u|^2 [*, m, q, c] of gradients [*, m, q, c, d]."""
    return over_directions(grad.square())


def over_channels(x: Tensor) -> Tensor:
    """The sum [*, m, q] of x [*, m, q, c] over the channels; of one, without a pass over the numbers."""
    return x.squeeze(-1) if x.shape[-1] == 1 else x.sum(-1)


def _last(x: Tensor) -> Tensor:
    """[m, ...] with the cells in the last dimension."""
    return x.movedim(0, -1)


def _through(table: Tensor, x: Tensor, own: int) -> Tensor:
    """table [i, j] applied to x [*, j, (own dimensions)] -> [*, i, (own dimensions)], as one product of matrices."""
    return (table @ x.flatten(-own)).unflatten(-1, x.shape[-own:])


def _dot(pairs: list[tuple[Tensor, Tensor]]) -> Tensor:
    """The sum of the products."""
    total = pairs[0][0] * pairs[0][1]
    for x, y in pairs[1:]:
        total = torch.addcmul(total, x, y)
    return total
