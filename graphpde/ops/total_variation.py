"""Discrete total variation of finite-element functions and of functions on graphs, with its dual fluxes."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from graphpde.core.bridges import as_graph
from graphpde.core.graph import Graph
from graphpde.core.incidence import Incidence
from graphpde.core.lattice import Lattice
from graphpde.core.relation import Relation
from graphpde.errors import InputError
from graphpde.mesh.cell_space import CellSpace
from graphpde.mesh.corner_space import CornerSpace
from graphpde.mesh.dual import DualGraph
from graphpde.mesh.elements import P1
from graphpde.mesh.geometry import cell_measures, facet_measures, facet_normals
from graphpde.mesh.space import Space
from graphpde.typing import check_shape


class Fluxes(NamedTuple):
    """What is dual to a function: degrees of freedom of Raviart and Thomas.

    Attributes:
        across: through each interior facet, one for each quadrature node on it [*, E, c]; on a graph one per undirected
            edge. inside: a vector in each cell where functions slope [*, m, d, c].
    """

    across: Tensor
    inside: Tensor


class DiscreteTotalVariation:
    r"""Total variation with nodal quadrature on the facets: \sum_F |F| |jump| |n_F| + \sum_T |T| |grad u|.

    Which terms there are follows from the domain: of cell averages (DG0) the jumps; of continuous linear functions
    (CG1) the gradients; of discontinuous linear ones (DG1) both, the jump at each vertex of a facet counted with its
    share of the facet. That is the exact total variation for DG0 and CG1 and an upper bound for DG1, where the jump may
    change its sign along a facet. On a graph without a mesh it is \sum w_ij |u_i - u_j| over undirected edges; on a
    :class:`~graphpde.core.lattice.Lattice` with spacing h, whose weights are h^(d-2), it is \sum h^(d-1) |u_i - u_j|,
    the length (area) of jumps along the axes. Each channel counts on its own. Not differentiable where a jump is zero:
    for gradients take :class:`graphpde.train.regularise.TotalVariation`, which smooths it.

    Args:
        domain: CellSpace, DualGraph, Lattice (DG0); Space with P1 on simplices (CG1); CornerSpace (DG1); or a symmetric
            Graph, torch-geometric Data or networkx graph.
        isotropic: Euclidean lengths of gradients and normals; otherwise sums of absolute components, for which the
            total variation depends on the axes.

    Attributes:
        jumps: signed differences across the places where the function may jump. size: of each, with its normal [E].
        slopes: nodes -> components of the gradients [m d]; entry: one for each of its edges. volume: of the cells [m].

    Raises:
        InputError: a Space of other elements, the anisotropic one of a graph that has no normals. GraphError: a
            directed graph.

    Reference: Herrmann, Herzog, Schmidt, Vidal-Nunez and Wachsmuth 2019, J. Math. Imaging Vis. 61.
    """

    def __init__(self, domain: Any, *, isotropic: bool = True):
        self.domain: Graph = as_graph(domain)
        self.isotropic = isotropic
        self.jumps, self.size = self._facets()
        self.slopes, self.entry, self.volume = self._cells()
        back = self.slopes.transpose()
        self._back = back, back.own(self.entry)

    def __call__(self, u: Tensor) -> Tensor:
        """The total variation [*, c] of each channel of u [*, n, c]."""
        found = self.difference(u)
        return (self.size.to(u)[:, None] * found.across.abs()).sum(-2) + (
            self.volume.to(u)[:, None] * self.length(found.inside)
        ).sum(-2)

    def difference(self, u: Tensor) -> Fluxes:
        """Jumps from the one side to the other and gradients of u [*, n, c]."""
        check_shape(u, "* n c", "the function", n=self.domain.n)
        slopes = self.slopes.propagate(u, weight=self.entry.to(u.dtype))
        return Fluxes(self.jumps.difference(u), slopes.unflatten(-2, (-1, self.dim)))

    def divergence(self, flux: Fluxes) -> Tensor:
        """The adjoint of :meth:`difference`: sum over facets and cells -> [*, n, c], not divided by the measure."""
        back, entry = self._back
        inward = self.jumps.divergence(flux.across)
        return inward + back.propagate(flux.inside.flatten(-3, -2), weight=entry.to(inward.dtype))

    def project(self, flux: Fluxes, radius: float = 1.0) -> Fluxes:
        """The nearest fluxes allowed at a weight: at most radius |F| |n_F| across a facet, radius |T| inside a cell."""
        most = radius * self.size.to(flux.across)[:, None]
        across = torch.minimum(torch.maximum(flux.across, -most), most)
        room = radius * self.volume.to(flux.inside)[:, None]
        if not self.isotropic:
            wall = room[..., None, :]
            return Fluxes(across, torch.minimum(torch.maximum(flux.inside, -wall), wall))
        shrunk = flux.inside * (room / torch.maximum(self.length(flux.inside), room))[..., None, :]
        return Fluxes(across, shrunk)

    def length(self, inside: Tensor) -> Tensor:
        """Lengths [*, m, c] of vectors [*, m, d, c]."""
        return torch.linalg.vector_norm(inside, ord=2 if self.isotropic else 1, dim=-2)

    @property
    def dim(self) -> int:
        """Components d of a gradient."""
        return 1 if self.domain.pos is None else max(self.domain.pos.shape[1], 1)

    def _facets(self) -> tuple[Incidence, Tensor]:
        """Where the function may jump, and the size of each place [E]."""
        domain = self.domain
        if isinstance(domain, Space):
            none = torch.zeros(0, dtype=torch.int64, device=domain.device)
            empty = Incidence.of(Relation.from_edges(none, none, domain.n, domain.n), domain.dtype)
            return empty, torch.zeros(0, dtype=domain.dtype, device=domain.device)
        edge = domain.incidence.edge
        if isinstance(domain, CellSpace | CornerSpace):
            ids = domain.facets if isinstance(domain, CornerSpace) else domain.sides.facet[domain.ends[1]]
            size = domain.weight if isinstance(domain, CornerSpace) else facet_measures(domain.mesh, ids)
            if not self.isotropic:
                size = size * facet_normals(domain.mesh, ids).abs().sum(1)
            return domain.incidence, size.to(domain.device, domain.dtype)[edge]
        if not self.isotropic:
            raise InputError("a graph has no normals; the anisotropic total variation needs a CellSpace or CornerSpace")
        if isinstance(domain, Lattice):
            return domain.incidence, domain.weight[edge] * domain.spacing
        return domain.incidence, (domain.area if isinstance(domain, DualGraph) else domain.weight)[edge]

    def _cells(self) -> tuple[Relation, Tensor, Tensor]:
        """Nodes -> components of the gradients [m d] with an entry each, and the size of each cell [m]."""
        domain = self.domain
        if isinstance(domain, Space):
            corners, gradients, volume = _linear(domain)
        elif isinstance(domain, CornerSpace):
            nodes = torch.arange(domain.n, device=domain.device).reshape(domain.corners.shape)
            corners, gradients, volume = nodes, _gradients(domain), cell_measures(domain.mesh)
        else:
            corners = torch.zeros(0, 1, dtype=torch.int64, device=domain.device)
            gradients, volume = domain.measure.new_zeros(0, 1, self.dim), domain.measure.new_zeros(0)
        m, k, d = gradients.shape
        row = torch.arange(m * d, device=domain.device).reshape(m, 1, d).expand(m, k, d)
        relation = Relation.from_edges(
            corners.to(domain.device)[..., None].expand(m, k, d).reshape(-1), row.reshape(-1), domain.n, m * d
        )
        entry = relation.own(gradients.reshape(-1).to(domain.device, domain.dtype))
        return relation, entry, volume.to(domain.device, domain.dtype)


def _linear(space: Space) -> tuple[Tensor, Tensor, Tensor]:
    """Unknowns [m, k], gradients [m, k, d] and sizes [m] of the cells of a space of linear simplices."""
    blocks = space.blocks()
    if not isinstance(space.element, P1) or len(blocks) != 1:
        raise InputError(f"{space!r} is not one of P1 on simplices; take a CellSpace or a CornerSpace")
    block = blocks[0]
    return block.dofs, block.gradients[:, 0], block.volume.sum(1)


def _gradients(space: CornerSpace) -> Tensor:
    """Gradients of the barycentric coordinates [m, k, d]."""
    x = space.mesh.points[space.corners]
    others = torch.linalg.pinv(x[:, 1:] - x[:, :1]).mT
    return torch.cat([-others.sum(1, keepdim=True), others], 1)
