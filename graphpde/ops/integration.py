"""Fields at quadrature points, and integrals over cells or facets back at the unknowns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from graphpde.core.block_operator import BlockSparse
from graphpde.core.graph import Where
from graphpde.core.linear_operator import LinearOperator, Sparse
from graphpde.core.relation import Relation
from graphpde.mesh.blocks import Block
from graphpde.mesh.numbering import off_diagonal, pairs_of
from graphpde.mesh.space import Space


class Slopes(NamedTuple):
    """Derivatives of a source [.., a] and a flux [.., a, d] by a state [.., b] and its gradient [.., b, e], in a block.

    None where there is no source, or no flux.

    Attributes:
        source_u: [m, q, a, b]. source_grad: [m, q, a, b, e]. flux_u: [m, q, a, d, b]. flux_grad: [m, q, a, d, b, e].
    """

    source_u: Tensor | None
    source_grad: Tensor | None
    flux_u: Tensor | None
    flux_grad: Tensor | None


class Integration:
    r"""The quadrature of a space on its cells, or on the facets of ``where``: values there, integrals back.

    Gradients on facets are tangential.

    Args:
        space: whose shape functions. degree: of the polynomials that are integrated exactly. where: facets, or None.

    Attributes:
        blocks: cells (facets) by type, on the device of the space.

    Raises:
        ConditionError, UnknownName: ``where`` names no facets. InputError: no quadrature of that degree.
    """

    def __init__(self, space: Space, degree: int, where: Where | None = None):
        self.space, self.on_cells = space, where is None
        found = space.blocks(degree) if where is None else space.facets(space.facet_ids(where), degree)
        self._dofs = [block.dofs for block in found]
        nodes = torch.cat([dofs.reshape(-1) for dofs in self._dofs])
        self._corners = Relation.from_edges(nodes, torch.arange(len(nodes)), space.n, len(nodes)).to(space.device)
        self.blocks = [_moved(block, space.device, space.dtype) for block in found]

    def fields(self, u: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Values [*, m, q, c] and gradients [*, m, q, c, d] of u [*, n, c] at the points of every block."""
        out, start = [], 0
        corners = self._corners.gather(u)
        for block in self.blocks:
            m, k = block.dofs.shape
            mine = corners[..., start : start + m * k, :].unflatten(-2, (m, k))
            start += m * k
            out.append((_values(block.values.to(u.dtype), mine), _gradients(block.gradients, mine)))
        return out

    def integrate(self, parts: Sequence[tuple[Tensor | None, Tensor | None]]) -> Tensor:
        r"""\int s N_i + F . grad N_i [*, n, c]; sources s [*, m, q, c] and fluxes F [*, m, q, c, d], a pair a block."""
        corners = []
        for block, (source, flux) in zip(self.blocks, parts, strict=True):
            total: list[Tensor] = []
            if source is not None:
                total.append(
                    _values(block.values.mT.to(source.dtype), source * block.volume[..., None].to(source.dtype))
                )
            if flux is not None:
                weighted = flux * block.volume[..., None, None].to(flux.dtype)
                total.append(_against_gradients(block.gradients, weighted))
            corners.append(sum(total[1:], total[0]).flatten(-3, -2))
        return self._corners.transpose().propagate(torch.cat(corners, -2))

    def total(self, densities: Sequence[Tensor]) -> Tensor:
        r"""\int e [*] of densities e [*, m, q]."""
        parts = [(e * block.volume.to(e.dtype)).sum((-2, -1)) for block, e in zip(self.blocks, densities, strict=True)]
        return torch.stack(parts).sum(0)

    def matrix(self, parts: Sequence[Slopes], *, symmetric: bool = False) -> LinearOperator:
        """The assembled derivative of :meth:`integrate` by u: sparse for one channel, of blocks for more."""
        local = [_local_matrices(block, slopes) for block, slopes in zip(self.blocks, parts, strict=True)]
        if local[0].shape[-1] == 1:
            return self.assembled([a[..., 0, 0] for a in local], symmetric=symmetric)
        weight, diag = self._weights(local), self._diagonal(local)
        return BlockSparse(self.space.edges, weight, diag, symmetric=symmetric)

    def assembled(self, local: list[Tensor], *, symmetric: bool = False) -> Sparse:
        """The sum of local matrices [m, k, k] (or [m, k, k, c], one for each channel), a tensor a block."""
        return Sparse(self.space.edges, self._weights(local), self._diagonal(local), symmetric=symmetric)

    def _diagonal(self, local: list[Tensor]) -> Tensor:
        """Diagonals of local matrices [m, k, k, ...] summed at the unknowns [n, ...]."""
        values = torch.cat([torch.diagonal(a, dim1=1, dim2=2).movedim(-1, 1).flatten(0, 1) for a in local])
        flat = self._corners.transpose().propagate(values.reshape(len(values), math.prod(values.shape[1:])))
        return flat.reshape(self.space.n, *values.shape[1:])

    def _weights(self, local: list[Tensor]) -> Tensor:
        """Off-diagonal local entries summed on the edges of the space [e, ...]."""
        if self.on_cells:
            return self.space.assemble_weight(local)
        off = torch.cat([a[:, off_diagonal(a.shape[1])].flatten(0, 1) for a in local])
        flat = self._facet_pairs.propagate(off.reshape(len(off), math.prod(off.shape[1:])))
        return flat.reshape(self.space.edges.n_edges, *off.shape[1:])

    @property
    def _facet_pairs(self) -> Relation:
        """Off-diagonal entries of the facets' local matrices -> edges of the space."""
        edges = self.space.edges
        src, dst = edges.pairs()
        given_src, given_dst = zip(*(pairs_of(dofs) for dofs in self._dofs), strict=True)
        n = self.space.n
        known, place = torch.sort(dst * n + src)
        asked = torch.cat(given_dst).to(src.device) * n + torch.cat(given_src).to(src.device)
        return Relation.from_edges(
            torch.arange(len(asked)), place[torch.searchsorted(known, asked)].cpu(), len(asked), edges.n_edges
        ).to(self.space.device)


def _moved(block: Block, device: torch.device, dtype: torch.dtype) -> Block:
    fields = {}
    for name, value in block._asdict().items():
        if isinstance(value, Tensor):
            one = (
                name == "gradients" and value.dim() == 4 and value.stride(1) == 0
            )  # kept so: it saves most of the work
            part = value[:, :1] if one else value
            part = part.to(device=device, dtype=dtype if value.is_floating_point() else None)
            value = part.expand(value.shape) if one else part
        fields[name] = value
    return Block(**fields)


def _values(table: Tensor, x: Tensor) -> Tensor:
    """table [q, k] applied to x [*, m, k, c]."""
    return torch.einsum("qk,...mkc->...mqc", table, x)


def _gradients(gradients: Tensor, x: Tensor) -> Tensor:
    """Gradients [*, m, q, c, d] of corner values x [*, m, k, c]."""
    if gradients.stride(1) == 0:  # the same at all points of a cell
        one = torch.einsum("mkd,...mkc->...mcd", gradients[:, 0].to(x.dtype), x)
        return one[..., None, :, :].expand(*one.shape[:-2], gradients.shape[1], *one.shape[-2:])
    return torch.einsum("mqkd,...mkc->...mqcd", gradients.to(x.dtype), x)


def _against_gradients(gradients: Tensor, flux: Tensor) -> Tensor:
    """Sums [*, m, k, c] over the points of flux [*, m, q, c, d] against the gradients of the shape functions."""
    if gradients.stride(1) == 0:
        return torch.einsum("mkd,...mcd->...mkc", gradients[:, 0].to(flux.dtype), flux.sum(-3))
    return torch.einsum("mqkd,...mqcd->...mkc", gradients.to(flux.dtype), flux)


def _local_matrices(block: Block, slopes: Slopes) -> Tensor:
    """Local matrices [m, k, k, a, b]: rows i of the test function, columns j of the state."""
    n, grad, volume = block.values, block.gradients, block.volume
    parts = []
    if slopes.source_u is not None and slopes.source_grad is not None:
        weighted = torch.einsum("mq,mqab->mqab", volume, slopes.source_u)
        parts.append(torch.einsum("mqab,qij->mijab", weighted, torch.einsum("qi,qj->qij", n, n)))
        tested = torch.einsum("mq,mqabe->mqabe", volume, slopes.source_grad)
        parts.append(_at_points(torch.einsum("mqabe,qi->mqiabe", tested, n), grad, "mqiabe,mqje->mijab"))
    if slopes.flux_u is not None and slopes.flux_grad is not None:
        weighted = torch.einsum("mq,mqadb->mqadb", volume, slopes.flux_u)
        parts.append(_at_points(torch.einsum("mqadb,qj->mqadbj", weighted, n), grad, "mqadbj,mqid->mijab"))
        weighted = torch.einsum("mq,mqadbe->mqadbe", volume, slopes.flux_grad)
        if grad.stride(1) == 0:
            right = torch.einsum("madbe,mje->madbj", weighted.sum(1), grad[:, 0])
            parts.append(torch.einsum("madbj,mid->mijab", right, grad[:, 0]))
        else:
            right = torch.einsum("mqadbe,mqje->mqadbj", weighted, grad)
            parts.append(torch.einsum("mqadbj,mqid->mijab", right, grad))
    return sum(parts[1:], parts[0])


def _at_points(x: Tensor, grad: Tensor, sums: str) -> Tensor:
    """The einsum of both; gradients that are the same at all points of a cell (stride 0) meet the sum over them."""
    if grad.stride(1) == 0:
        return torch.einsum(sums.replace("q", ""), x.sum(1), grad[:, 0])
    return torch.einsum(sums, x, grad)
