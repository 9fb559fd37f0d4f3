"""Fields at quadrature points, and integrals over cells or facets back at the unknowns."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from graphpde.core.block_operator import BlockSparse
from graphpde.core.graph import Where
from graphpde.core.linear_operator import LinearOperator, Sparse
from graphpde.core.relation import Relation
from graphpde.mesh.blocks import Block
from graphpde.mesh.numbering import pairs_of
from graphpde.mesh.space import Space
from graphpde.ops.constant_gradients import ConstantGradients
from graphpde.ops.point_derivatives import Slopes


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
        nodes = torch.cat([dofs.mT.reshape(-1) for dofs in self._dofs])  # corner by corner: cells lie side by side
        self._corners = Relation.from_edges(nodes, torch.arange(len(nodes)), space.n, len(nodes)).to(space.device)
        self.blocks = [_moved(block, space.device, space.dtype) for block in found]
        self._constant = [ConstantGradients.of(block) for block in self.blocks]

    def shares(self, k: int) -> Tensor | None:
        """Of each point in the volume of its cell [q] where gradients are the same at all of them, else None."""
        if self._constant[k] is None:
            return None
        volume = self.blocks[k].volume.detach().sum(0)
        return volume / volume.sum()

    def fields(self, u: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Values [*, m, q, c] and gradients [*, m, q, c, d] of u [*, n, c] at the points of every block."""
        out, start = [], 0
        corners = self._corners.gather(u)
        for block, constant in zip(self.blocks, self._constant, strict=True):
            m, k = block.dofs.shape
            mine = corners[..., start : start + m * k, :].unflatten(-2, (k, m))
            start += m * k
            if constant is not None:
                out.append(constant.fields(mine))
                continue
            mine = mine.movedim(-3, -2)
            grad = torch.einsum("mqkd,...mkc->...mqcd", block.gradients.to(u.dtype), mine)
            out.append((_values(block.values.to(u.dtype), mine), grad))
        return out

    def integrate(self, parts: Sequence[tuple[Tensor | None, Tensor | None]]) -> Tensor:
        r"""\int s N_i + F . grad N_i [*, n, c]; sources s [*, m, q, c] and fluxes F [*, m, q, c, d], a pair a block."""
        corners = []
        for block, constant, (source, flux) in zip(self.blocks, self._constant, parts, strict=True):
            if constant is not None:
                corners.append(constant.integrate(source, flux).flatten(-3, -2))
                continue
            total: list[Tensor] = []
            if source is not None:
                total.append(
                    _values(block.values.mT.to(source.dtype), source * block.volume[..., None].to(source.dtype))
                )
            if flux is not None:
                weighted = flux * block.volume[..., None, None].to(flux.dtype)
                total.append(torch.einsum("mqkd,...mqcd->...mkc", block.gradients.to(flux.dtype), weighted))
            corners.append(sum(total[1:], total[0]).movedim(-3, -2).flatten(-3, -2))
        return self._corners.transpose().propagate(torch.cat(corners, -2))

    def total(self, densities: Sequence[Tensor]) -> Tensor:
        r"""\int e [*] of densities e [*, m, q]."""
        parts = [(e * block.volume.to(e.dtype)).sum((-2, -1)) for block, e in zip(self.blocks, densities, strict=True)]
        return torch.stack(parts).sum(0)

    def matrix(
        self, parts: Sequence[Slopes], *, symmetric: bool = False, near_null: Tensor | None = None
    ) -> LinearOperator:
        """The assembled derivative of :meth:`integrate` by u: sparse for one channel, of blocks for more."""
        local = self.local_matrices(parts)
        if local[0].shape[-1] == 1:
            return self.assembled([a[..., 0, 0] for a in local], symmetric=symmetric)
        return self.in_blocks(local, symmetric=symmetric, near_null=near_null)

    def local_matrices(self, parts: Sequence[Slopes]) -> list[Tensor]:
        """The matrix of every cell or facet [m, k, k, a, b], a tensor a block: test functions i, then nodes j."""
        return [
            _local_matrices(block, slopes) if constant is None else constant.matrices(slopes)
            for block, constant, slopes in zip(self.blocks, self._constant, parts, strict=True)
        ]

    def in_blocks(
        self, local: list[Tensor], *, symmetric: bool = False, near_null: Tensor | None = None
    ) -> BlockSparse:
        """The sum of local matrices [m, k, k, a, b], a tensor a block."""
        weight, diag = self._weights(local), self._diagonal(local)
        return BlockSparse(self.space.edges, weight, diag, symmetric=symmetric, near_null=near_null)

    def assembled(self, local: list[Tensor], *, symmetric: bool = False) -> Sparse:
        """The sum of local matrices [m, k, k] (or [m, k, k, c], one for each channel), a tensor a block."""
        return Sparse(self.space.edges, self._weights(local), self._diagonal(local), symmetric=symmetric)

    def _diagonal(self, local: list[Tensor]) -> Tensor:
        """Diagonals of local matrices [m, k, k, ...] summed at the unknowns [n, ...]."""
        values = torch.cat([torch.diagonal(a, dim1=1, dim2=2).movedim(-1, 0).flatten(0, 1) for a in local])
        flat = self._corners.transpose().propagate(values.reshape(len(values), math.prod(values.shape[1:])))
        return flat.reshape(self.space.n, *values.shape[1:])

    def _weights(self, local: list[Tensor]) -> Tensor:
        """Off-diagonal local entries summed on the edges of the space [e, ...]."""
        off = torch.cat([_off_diagonal(a).flatten(0, 1) for a in local])
        if self.on_cells:
            return self.space.edges.own(off)
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


def _off_diagonal(a: Tensor) -> Tensor:
    """Entries [m, k (k - 1), ...] beside the diagonals of local matrices [m, k, k, ...], row by row."""
    m, k = a.shape[:2]
    if k == 1:
        return a.new_empty(m, 0, *a.shape[3:])
    entries = a.flatten(1, 2).unbind(1)
    return torch.stack([entries[i * k + j] for i in range(k) for j in range(k) if i != j], 1)


def _local_matrices(block: Block, slopes: Slopes) -> Tensor:
    """Local matrices [m, k, k, a, b]: rows i of the test function, columns j of the state."""
    n, grad, volume = block.values, block.gradients, block.volume
    parts = []
    if slopes.source_u is not None:
        weighted = volume[..., None, None] * slopes.source_u
        parts.append(torch.einsum("mqab,qij->mijab", weighted, torch.einsum("qi,qj->qij", n, n)))
    if slopes.source_grad is not None:
        tested = torch.einsum("mq,mqabe,qi->mqiabe", volume, slopes.source_grad, n)
        parts.append(torch.einsum("mqiabe,mqje->mijab", tested, grad))
    if slopes.flux_u is not None:
        tried = torch.einsum("mq,mqadb,qj->mqadbj", volume, slopes.flux_u, n)
        parts.append(torch.einsum("mqadbj,mqid->mijab", tried, grad))
    if slopes.flux_grad is not None and slopes.flux_grad.shape[1] == 1 < volume.shape[1]:
        pairs = torch.einsum("mqid,mqje->mijde", volume[..., None, None] * grad, grad)
        parts.append(torch.einsum("madbe,mijde->mijab", slopes.flux_grad[:, 0], pairs))
    elif slopes.flux_grad is not None:
        weighted = volume[..., None, None, None, None] * slopes.flux_grad
        tried = torch.einsum("mqadbe,mqje->mqadbj", weighted, grad)
        parts.append(torch.einsum("mqadbj,mqid->mijab", tried, grad))
    return sum(parts[1:], parts[0])
