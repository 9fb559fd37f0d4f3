"""One unknown a cell: the cell averages of finite volumes, on any cell."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from graphpde.core.cached import cached
from graphpde.core.graph import Graph, TagSet, Where
from graphpde.core.linear_operator import Diagonal, LinearOperator
from graphpde.core.relation import Relation
from graphpde.errors import MeshError
from graphpde.mesh.cell_geometry import Sides, centroids, pairs_within, sides_of, tangents_of, vertex_shares
from graphpde.mesh.cell_stencil import Stencil, least_squares, stencil_of
from graphpde.mesh.elements import Element
from graphpde.mesh.geometry import cell_measures
from graphpde.mesh.mesh import Mesh
from graphpde.mesh.orientation import oriented
from graphpde.mesh.per_cell import PerCell, cells_of, density_of, per_cell
from graphpde.mesh.periodic import joined
from graphpde.mesh.selection import facets_where
from graphpde.typing import check_shape


class DG0(Element):
    """Functions constant on each cell, of any type; the values are cell averages."""

    order, degree, lumped = 2.0, 0, True
    cells: ClassVar = {
        kind: lambda xi: (xi.new_ones(len(xi), 1), xi.new_zeros(len(xi), 1, xi.shape[1]))
        for kind in ("vertex", "line", "triangle", "quad", "tetra", "hexahedron", "wedge", "pyramid")
    }


class CellSpace(Graph):
    """Cell averages as a graph: nodes are the cells, edges the facets that two cells share, one each way.

    Args:
        mesh: cells of any type and mixture, in one to three dimensions, flat or curved; quadratic cells are used at
            their vertices.
        channels: number of fields carried, for messages and writers.
        periodic: pairs of named sets of facets that are one: the second is the first, shifted.
        density: what multiplies u': a number, {set of cells: number} ("*" is the rest) or one per cell [m]. Only
            ``mass`` is weighted; ``measure``, ``integral`` and ``inner`` are not.

    ``pos`` are the centroids, ``measure`` the volumes. ``weight`` holds the two-point transmissibilities A / d for unit
    conductivity, d the distance of the two centroids across the facet: with a_i = A / d_i on either side it is
    a_i a_j / sum a, which is also right where three and more cells meet in one facet (junctions of networks).
    Conditions act through boundary facets: give them the name of a set of facets, facet numbers or a predicate. The
    nodes of a set of facets are the cells at it, those of a set of cells the cells themselves.

    Raises:
        MeshError: cells without size, folded ones, a centroid that lies beyond a facet of its cell, periodic sets that
            do not match. InputError: a density that is not positive.

    Attributes:
        sides: the facets as each cell sees them; of two periodic ones both sides have the number of the first.
        ends: the sides (of the source, of the destination) of each edge in own order.
        boundary_facets: facets with one side [b].
        home: the edges where assembly happens, in main memory.

    Reference: Eymard, Gallouet and Herbin 2000, Finite volume methods, Handbook of Numerical Analysis 7, chapter 3.
    """

    mesh: Mesh
    element: DG0
    channels: int
    lumped: bool
    warnings: tuple[str, ...]
    sides: Sides
    ends: tuple[Tensor, Tensor]
    home: Relation
    boundary_facets: Tensor
    periodic: tuple[tuple[str | int, str | int], ...]
    density: Tensor | None
    _partner: Tensor

    def __init__(
        self,
        mesh: Mesh,
        channels: int = 1,
        *,
        periodic: Sequence[tuple[str | int, str | int]] = (),
        density: PerCell | None = None,
    ):
        found = mesh.warnings
        mesh, notes = oriented(mesh)
        if any("were turned" in note for note in notes):
            found = tuple(w for w in found if "negative orientation" not in w)
        mesh, partner = joined(mesh, periodic, lambda tag: tag.nodes)
        pos = centroids(mesh)
        sides = sides_of(mesh, pos)
        for one, other in periodic:
            sides = sides._replace(facet=_as_one(mesh, sides, partner, mesh.tag(one).ids, mesh.tag(other).ids))
        lonely = torch.bincount(sides.facet, minlength=len(mesh.facets.nodes)) == 1
        here, there = pairs_within(sides.facet, len(mesh.facets.nodes))
        apart = sides.cell[here] != sides.cell[there]  # a collapsed cell may have one facet twice
        here, there = here[apart], there[apart]
        edges = Relation.from_edges(sides.cell[there], sides.cell[here], mesh.n_cells, mesh.n_cells)
        order = torch.argsort(edges.edge_map)
        tags = {name: TagSet(t.dim, t.ids, _cells_at(mesh, sides, t)) for name, t in mesh.tags.items()}
        super().__init__(edges, pos=pos, tags=tags)
        self.__dict__.update(
            mesh=mesh, element=DG0(), channels=channels, lumped=True, warnings=(*found, *notes), sides=sides,
            ends=(there[order], here[order]), home=edges, boundary_facets=lonely.nonzero()[:, 0],
            periodic=tuple(periodic), _partner=partner,
        )  # fmt: skip
        self.__dict__["density"] = None if density is None else density_of(mesh, density)

    def __repr__(self) -> str:
        return f"CellSpace('{self.mesh.name}', {self.n} cells, {self.edges.n_edges} edges)"

    def _moved_to(self, device: torch.device, dtype: torch.dtype) -> CellSpace:
        """The same space with its tensors elsewhere; what assembly starts from stays float64 on the CPU."""
        moved = copy.copy(self)
        for key in ("incidence", "_elsewhere"):
            moved.__dict__.pop(key, None)
        moved.__dict__["edges"] = self.edges.to(device)
        for key in ("pos", "weight", "measure", "mass", "density"):
            if self.__dict__.get(key) is not None:
                moved.__dict__[key] = self.__dict__[key].to(device=device, dtype=dtype)
        moved.__dict__["tags"] = {k: TagSet(t.dim, t.ids.to(device), t.nodes.to(device)) for k, t in self.tags.items()}
        return moved

    @property
    def dtype(self) -> torch.dtype:
        assert self.pos is not None
        return self.pos.dtype

    # geometry

    @cached
    def measure(self) -> Tensor:
        """Volume (area, length) of each cell [n]."""
        return cell_measures(self.mesh).to(self.device, self.dtype)

    @cached
    def weight(self) -> Tensor:
        """Two-point transmissibilities A / d for unit conductivity [e]."""
        return self.transmissibility(self.sides.area / self.sides.distance).to(self.device, self.dtype)

    def transmissibility(self, half: Tensor) -> Tensor:
        r"""Edge weights a_i a_j / \sum a over the facet from the ones of the sides a, [s] -> [e]: resistances add."""
        total = self.to_facets.propagate(half[:, None])[:, 0][self.sides.facet]
        total = torch.where(total > 0, total, 1.0)
        there, here = self.ends
        return half[there] * (half / total)[here]

    @cached
    def mass(self) -> Tensor:
        """What multiplies u' [n]: the volumes, times the density."""
        return self.measure if self.density is None else self.measure * self.density.to(self.measure)

    @property
    def mass_operator(self) -> LinearOperator:
        """The mass as an operator."""
        return Diagonal(self.mass)

    @cached
    def to_facets(self) -> Relation:
        """Sides -> facets of the mesh."""
        facet = self.sides.facet
        return Relation.from_edges(torch.arange(len(facet)), facet, len(facet), len(self.mesh.facets.nodes))

    @cached
    def to_cells(self) -> Relation:
        """Sides -> cells."""
        cell = self.sides.cell
        return Relation.from_edges(torch.arange(len(cell)), cell, len(cell), self.n)

    @cached
    def inner_side(self) -> Tensor:
        """Whether a side has another one across its facet, bool [s]."""
        return self.to_facets.degree[self.sides.facet] > 1

    @cached
    def boundary_sides(self) -> Tensor:
        """The side of each facet in ``boundary_facets`` [b]."""
        side = torch.full((len(self.mesh.facets.nodes),), -1)
        side[self.sides.facet] = torch.arange(len(self.sides.facet))
        return side[self.boundary_facets]

    @cached
    def tangents(self) -> Tensor | None:
        """Projections onto the tangent spaces of the cells [n, d, d]; None where the cells fill the space."""
        return tangents_of(self.mesh)

    @cached
    def patch(self) -> Relation:
        """Cells -> cells that share a point with them, without the cell itself; coalesced."""
        cell, _, one, two = self._meetings
        return Relation.from_edges(cell[two], cell[one], self.n, self.n, coalesce=True)

    @cached
    def patch_slopes(self) -> Tensor:
        r"""Least-squares gradients over the patch, grad u_i = \sum_j s_ij (u_j - u_i): s in own order of ``patch``
        [e, d]."""
        cell, point, one, two = self._meetings
        assert self.pos is not None
        to_point = self.mesh.points[point] - self.pos.to("cpu", torch.float64)[cell]
        # by way of the shared point, which two periodic cells see in two places
        often = self.patch.own(torch.ones(len(one), 1, dtype=to_point.dtype))
        arm = self.patch.own(to_point[one] - to_point[two]) / often
        if self.tangents is not None:
            arm = (self.tangents[self.patch.pairs()[1]] @ arm[..., None])[..., 0]
        return least_squares(self.patch, arm)

    @cached
    def _meetings(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(cell, point) of each corner, and the pairs of corners where two cells meet in one point."""
        point = torch.cat([nodes.reshape(-1) for _, nodes, _ in self.mesh.corners()])
        cell = torch.cat(
            [torch.arange(start, start + len(v)).repeat_interleave(v.shape[1]) for _, v, start in self.mesh.corners()]
        )
        one, two = pairs_within(self._partner[point], self.mesh.n)
        apart = cell[one] != cell[two]
        return cell, point, one[apart], two[apart]

    @cached
    def from_boundary(self) -> Relation:
        """Boundary facets -> the cells that own them."""
        side = self.boundary_sides
        return Relation.from_edges(torch.arange(len(side)), self.sides.cell[side], len(side), self.n)

    @cached
    def stencil(self) -> Stencil:
        """Which cells the gradients of consistent fluxes read."""
        return stencil_of(self.sides, self.home, self.inner_side, self.boundary_sides)

    # selection

    def facet_ids(self, where: Where) -> Tensor:
        """Facets of a named set, of numbers (or a mask), or boundary facets whose nodes all satisfy a predicate.

        Raises:
            ConditionError: the set has another dimension, a number is out of range, or nothing is selected.
        """
        return facets_where(self.mesh, where, self.boundary_facets, "a condition on cell averages acts through")

    def tag(self, name: str | int) -> TagSet:
        """The named set with its cells as nodes; ``"boundary"`` is always there."""
        if str(name) in self.tags:
            return self.tags[str(name)]
        found = self.mesh.tag(name)
        nodes = _cells_at(self.mesh, self.sides, found)
        return TagSet(found.dim, found.ids.to(self.device), nodes.to(self.device))

    def cells_of(self, name: str | int) -> Tensor:
        """Cell numbers of a named set of cells (a material).

        Raises:
            MeshError: the set does not hold cells.
        """
        return cells_of(self.mesh, name)

    def cell_values(self, given: PerCell, what: str = "value") -> Tensor:
        """One value per cell [m] from a number, {set of cells: number} or a tensor."""
        return per_cell(self.mesh, given, what)

    # points of the mesh

    def at_points(self, u: Tensor) -> Tensor:
        """Means of the cells round each point by volume, [*, n, c] -> [*, mesh.n, c]; NaN where there are none."""
        check_shape(u, "* n c", "field", n=self.n)
        down = self._of_points.transpose().to(u.device)
        volume = self.measure.to(u.dtype)[:, None]
        total = down.propagate(volume)
        return down.propagate(volume * u) / torch.where(total > 0, total, float("nan"))

    def from_points(self, values: Tensor) -> Tensor:
        """Cell averages of the (multi)linear function with these point values, [*, mesh.n, c] -> [*, n, c]."""
        check_shape(values, "* n c", "field", n=self.mesh.n)
        return self._of_points.to(values.device).propagate(values, weight=self._shares.to(values))

    @cached
    def _of_points(self) -> Relation:
        """Points of the mesh -> cells."""
        nodes = [v.reshape(-1) for _, v, _ in self.mesh.corners()]
        cells = [torch.arange(s, s + len(v)).repeat_interleave(v.shape[1]) for _, v, s in self.mesh.corners()]
        return Relation.from_edges(torch.cat(nodes), torch.cat(cells), self.mesh.n, self.n)

    @cached
    def _shares(self) -> Tensor:
        shares = [vertex_shares(kind, self.mesh.points[v]).reshape(-1) for kind, v, _ in self.mesh.corners()]
        return self._of_points.own(torch.cat(shares))


def _as_one(mesh: Mesh, sides: Sides, partner: Tensor, one: Tensor, other: Tensor) -> Tensor:
    """Facet numbers of sides where those of the facets ``other`` are replaced by their partners among ``one``.

    Partners are the facets whose centres lie one shift apart: their points alone do not tell them from the inner facet
    between two cells that make up a whole period.
    """
    centre = torch.zeros(len(mesh.facets.nodes), mesh.space_dim, dtype=torch.float64)
    centre[sides.facet] = sides.centre.detach()
    a, b = centre[one].numpy(), centre[other].numpy()
    from scipy.spatial import cKDTree

    shift = (b.min(0) + b.max(0) - a.min(0) - a.max(0)) / 2
    found = torch.from_numpy(cKDTree(b).query(a + shift)[1])
    nodes = mesh.facets.nodes
    rows = torch.where(nodes >= 0, partner[nodes.clamp(min=0)], -1).sort(1).values
    alike = (rows[one] == rows[other[found]]).all(1)
    if len(one) != len(other) or len(torch.unique(found)) != len(other) or not bool(alike.all()):
        raise MeshError(f"periodic sets of '{mesh.name}' have facets without a partner; mesh both sides alike")
    number = torch.arange(len(nodes))
    number[other[found]] = one
    return number[sides.facet]


def _cells_at(mesh: Mesh, sides: Sides, tag: TagSet) -> Tensor:
    """The cells of a set, those that own its facets, or those that touch its points."""
    if tag.dim == mesh.dim:
        return torch.unique(tag.ids)
    if tag.dim == mesh.dim - 1:
        mine = torch.zeros(len(mesh.facets.nodes), dtype=torch.bool)
        mine[tag.ids] = True
        return torch.unique(sides.cell[mine[sides.facet]])
    touched = torch.zeros(mesh.n, dtype=torch.bool)
    touched[tag.nodes] = True
    at = [start + touched[nodes].any(1).nonzero()[:, 0] for _, nodes, start in mesh.corners()]
    return torch.cat(at)
