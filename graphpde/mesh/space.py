"""Unknowns on a mesh: a graph whose nodes are the degrees of freedom of a finite element."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from graphpde.core.cached import cached
from graphpde.core.graph import Graph, TagSet, Where
from graphpde.core.linear_operator import Diagonal, LinearOperator, Sparse
from graphpde.core.relation import Relation
from graphpde.errors import InputError, MeshError, ShapeError
from graphpde.mesh.affine import AFFINE, couplings, masses
from graphpde.mesh.blocks import Block, Piece, Quadrature, block, quadrature
from graphpde.mesh.elements import ELEMENTS, Element
from graphpde.mesh.mesh import Mesh
from graphpde.mesh.numbering import numbered, off_diagonal, pairs_of
from graphpde.mesh.orientation import oriented
from graphpde.mesh.per_cell import PerCell, cells_of, density_of, per_cell
from graphpde.mesh.periodic import joined
from graphpde.mesh.pieces import facet_pieces, natural_element, pieces
from graphpde.mesh.second_order import completed, nodes_of
from graphpde.mesh.selection import facets_where
from graphpde.typing import check_shape


class Space(Graph):
    """A finite-element space as a graph: nodes are unknowns, edges are the sparsity, ``measure`` is the lumped mass.

    Args:
        mesh: cells of one dimension.
        element: for example ``P1()`` or "p1"; default: first order on linear cells, second order where all cells have
            the nodes for it; cells between (a mixture, or third order) are used at their vertices (said in
            ``warnings``).
        channels: number of fields carried, for messages and writers.
        lumped: row-sum lumping of the mass; None = the element's own choice (True for P1 and Q1).
        periodic: pairs of named sets of facets that are one: the second is the first, shifted.
        density: what multiplies u' (in heat, capacity per volume): a number, {set of cells: number} ("*" is the rest)
            or one per cell [m]. Only ``mass`` is weighted; ``measure``, ``integral`` and ``inner`` are not.
        reorder: number the unknowns so that neighbours lie close in memory, instead of in the mesh's own order; None =
            where the mesh's own order is scattered. A large mesh in random order is several times faster so;
            ``at_points`` brings fields back to the mesh's order.

    A second-order element works on ``mesh`` with all its mid-side points; where the mesh given had none they lie on the
    circle, sphere, ... that a generator meant its side for, and in the middle of a straight side elsewhere. Only points
    of its nodes get unknowns; ``dof_of_point`` [mesh.n] maps, -1 = none, and periodic partners share one.
    Cells with negative orientation are turned (counted in ``warnings``). ``weight`` holds minus the off-diagonal
    stiffness, so the space is a weighted graph whose Laplacian is the discrete one; on triangles these are the
    cotangent weights.

    Raises:
        MeshError: cells of zero size or folded ones (count and first ids), cells the element does not know, periodic
            sets that do not match, or lumping that leaves an unknown without mass. InputError: a density that is not
            positive.
    """

    def __init__(
        self,
        mesh: Mesh,
        element: Element | str | None = None,
        channels: int = 1,
        *,
        lumped: bool | None = None,
        periodic: Sequence[tuple[str | int, str | int]] = (),
        density: PerCell | None = None,
        reorder: bool | None = False,
    ):
        found = mesh.warnings
        element = natural_element(mesh) if element is None else element
        if isinstance(element, str):
            element = ELEMENTS[element.lower()]()
        if not isinstance(element, Element):
            raise InputError(f"element is {element!r}, expected an element such as P1(), or a name: 'p1'")
        if element.degree == 0:
            name = type(element).__name__
            raise MeshError(f"{name} has its unknowns in the cells, not at nodes; use CellSpace(mesh)")
        for kind, _, _ in mesh.corners():
            element.kind_on(kind)  # refuses unknown cells before anything is built
        mesh, notes = oriented(completed(mesh) if element.degree > 1 else mesh, element)
        if any("were turned" in note for note in notes):  # the reader's count of the same cells is history now
            found = tuple(w for w in found if "negative orientation" not in w)
        every = (lambda tag: nodes_of(mesh, tag)) if element.degree > 1 else (lambda tag: tag.nodes)
        mesh, partner = joined(mesh, periodic, every)
        cells = pieces(mesh, element)
        used = numbered([partner[piece.nodes] for piece in cells], mesh.n, reorder)
        dof_of_point = torch.full((mesh.n,), -1, dtype=torch.int64)
        dof_of_point[used] = torch.arange(len(used))
        dof_of_point = dof_of_point[partner]
        cells = [piece._replace(dofs=dof_of_point[piece.nodes]) for piece in cells]
        present = torch.zeros(mesh.n, dtype=torch.bool)
        for piece in cells:
            present[piece.nodes.reshape(-1)] = True
        dof_of_point[~present] = -1
        pairs = [pairs_of(piece.dofs) for piece in cells]
        src, dst = (torch.cat([pair[k] for pair in pairs]) for k in range(2))
        edges = Relation.from_edges(src, dst, len(used), len(used), coalesce=True)
        tags = {k: TagSet(t.dim, t.ids, _present(dof_of_point[every(t)])) for k, t in mesh.tags.items()}
        with torch.enable_grad():  # whether positions are being learned must not depend on where the space is built
            pos = mesh.points[used]
        super().__init__(edges, pos=pos, tags=tags)
        self.__dict__.update(
            mesh=mesh, element=element, channels=channels, dof_of_point=dof_of_point, point_of_dof=used, _cells=cells,
            lumped=element.lumped if lumped is None else lumped, warnings=(*found, *notes), periodic=tuple(periodic),
        )  # fmt: skip
        self.__dict__["density"] = None if density is None else self._checked_density(density)
        if self.lumped and not element.lumped and float(self.measure.min()) <= 1e-12 * float(self.measure.max()):
            raise MeshError(
                f"the lumped mass of {type(element).__name__} leaves unknowns of '{mesh.name}' without mass; "
                f"take lumped=False"
            )

    mesh: Mesh
    element: Element
    channels: int
    lumped: bool
    dof_of_point: Tensor
    point_of_dof: Tensor
    warnings: tuple[str, ...]
    periodic: tuple[tuple[str | int, str | int], ...]
    density: Tensor | None
    _cells: list[Piece]

    def __repr__(self) -> str:
        return (
            f"Space({type(self.element).__name__} on '{self.mesh.name}', {self.n} unknowns, {self.edges.n_edges} edges)"
        )

    def _moved_to(self, device: torch.device, dtype: torch.dtype) -> Space:
        """The same space with its tensors elsewhere; what assembly starts from stays float64 on the CPU."""
        moved = copy.copy(self)
        for key in ("incidence", "_elsewhere"):
            moved.__dict__.pop(key, None)
        for key, value in self.__dict__.items():
            if key == "_cell_to_node":
                continue
            if isinstance(value, Tensor):
                moved.__dict__[key] = value.to(device=device, dtype=dtype if value.is_floating_point() else None)
            elif isinstance(value, Relation):
                moved.__dict__[key] = value.to(device)
            elif isinstance(value, LinearOperator):
                moved.__dict__[key] = value.to(device, dtype)
        moved.__dict__["tags"] = {k: TagSet(t.dim, t.ids.to(device), t.nodes.to(device)) for k, t in self.tags.items()}
        return moved

    @property
    def dtype(self) -> torch.dtype:
        assert self.pos is not None
        return self.pos.dtype

    # quadrature

    def blocks(self, degree: int | None = None) -> list[Block]:
        """Cells by type with a rule exact for polynomials of ``degree`` (None: what the stiffness needs)."""
        return [block(self.element, piece, self.mesh.points, degree) for piece in self._cells]

    def facets(self, ids: Tensor, degree: int | None = None) -> list[Block]:
        """Facets of the mesh by type, as boundary quadrature; degree None: what a mass needs."""
        degree = 2 * self.element.degree if degree is None else degree
        return [
            block(self.element, piece._replace(dofs=self.dof_of_point.cpu()[piece.nodes]), self.mesh.points, degree)
            for piece in facet_pieces(self.mesh, self.element, ids)
        ]

    # assembly: a scatter from cells into the edges of the relation

    @cached
    def _cell_to_node(self) -> Relation:
        """Cell corners -> unknowns."""
        corners = torch.cat([piece.dofs.reshape(-1) for piece in self._cells])
        return Relation.from_edges(torch.arange(len(corners)), corners, len(corners), self.n)

    def assemble(self, local: list[Tensor], *, symmetric: bool = False) -> Sparse:
        """The operator whose matrix is the sum of the local ones: local [m, k, k, ...] a block, in the order of
        ``blocks``."""
        return Sparse(self.edges, self.assemble_weight(local), self.assemble_diagonal(local), symmetric=symmetric)

    def assemble_diagonal(self, local: list[Tensor]) -> Tensor:
        """Diagonal [n, ...] of the assembled local matrices [m, k, k, ...]."""
        parts = [torch.diagonal(a, dim1=1, dim2=2).movedim(-1, 1).flatten(0, 1) for a in local]
        return self.assemble_vector(parts)

    def assemble_weight(self, local: list[Tensor]) -> Tensor:
        """Off-diagonal entries [e, ...] alone, for operators whose rows sum to zero."""
        off = torch.cat([a[:, off_diagonal(a.shape[1])].flatten(0, 1) for a in local])
        return self.edges.own(off.to(self.device))

    def assemble_vector(self, corners: list[Tensor]) -> Tensor:
        """Sum of corner values [m k, ...] a block at the unknowns [n, ...]."""
        values = torch.cat(corners)
        flat = self._cell_to_node.collect(self._cell_to_node.own(values.reshape(len(values), -1)))
        return flat.reshape(self.n, *values.shape[1:]).to(self.device)

    def stiffness(self, kappa: Tensor | None = None) -> Tensor:
        """Minus the off-diagonal stiffness [e] or [e, c] for conductivities per cell, [m|1], [m|1, c] or tensors
        [m|1, d, d]."""
        off = []
        for piece in self._cells:
            k = kappa if kappa is None or kappa.shape[0] == 1 else kappa[piece.ids]
            if piece.kind in AFFINE and (k is None or k.dim() < 3):
                off.append(couplings(self.mesh.points[piece.nodes], k).flatten(0, 1))
                continue
            b = block(self.element, piece, self.mesh.points, None)
            grad = b.gradients
            weighted = grad * b.volume[..., None, None]
            if k is not None and k.dim() == 3:
                local = torch.einsum("mqid,mde,mqje->mij", weighted, k.expand(len(grad), -1, -1), grad)
            else:
                local = torch.einsum("mqid,mqjd->mij", weighted, grad)
                if k is not None:
                    local = local.reshape(*local.shape, *[1] * (k.dim() - 1)) * k[:, None, None]
            off.append(local[:, off_diagonal(local.shape[1])].flatten(0, 1))
        return -self.edges.own(torch.cat(off).to(self.device))

    @cached
    def weight(self) -> Tensor:
        """Minus the off-diagonal stiffness for unit conductivity [e]."""
        return self.stiffness().to(self.device, self.dtype)

    @cached
    def measure(self) -> Tensor:
        """Lumped mass [n]: row sums of the mass matrix, the integral of each shape function."""
        return self._lumped_mass(None)

    def _lumped_mass(self, density: Tensor | None) -> Tensor:
        parts = []
        for piece in self._cells:
            rho = None if density is None else density[piece.ids]
            if piece.kind in AFFINE:
                k = piece.nodes.shape[1]
                each = (k + 1) * masses(self.mesh.points[piece.nodes], rho)
                parts.append(each[:, None].expand(-1, k).flatten())
                continue
            b = block(self.element, piece, self.mesh.points, 2 * self.element.degree)
            volume = b.volume if rho is None else b.volume * rho[:, None]
            parts.append(torch.einsum("qk,mq->mk", b.values, volume).flatten())
        return self.assemble_vector(parts).to(self.device, self.dtype)

    @cached
    def consistent_mass(self) -> Sparse:
        """The mass matrix integral N_i N_j, without density."""
        return self._consistent_mass(None)

    def _consistent_mass(self, density: Tensor | None) -> Sparse:
        off, diag = [], []
        for piece in self._cells:
            rho = None if density is None else density[piece.ids]
            if piece.kind in AFFINE:
                k = piece.nodes.shape[1]
                each = masses(self.mesh.points[piece.nodes], rho)[:, None]
                off.append(each.expand(-1, k * (k - 1)).flatten())
                diag.append((2 * each).expand(-1, k).flatten())
                continue
            b = block(self.element, piece, self.mesh.points, 2 * self.element.degree)
            volume = b.volume if rho is None else b.volume * rho[:, None]
            local = torch.einsum("qi,qj,mq->mij", b.values, b.values, volume)
            off.append(local[:, off_diagonal(local.shape[1])].flatten())
            diag.append(local.diagonal(dim1=1, dim2=2).flatten())
        weight = self.edges.own(torch.cat(off).to(self.device))
        return Sparse(self.edges, weight, self.assemble_vector(diag), symmetric=True).to(self.device, self.dtype)

    @cached
    def mass(self) -> Tensor | Sparse:
        """The mass that multiplies u': lumped [n] or consistent, as chosen at construction, weighted by the density."""
        if self.density is None:
            return self.measure if self.lumped else self.consistent_mass
        density = self.density.to("cpu", torch.float64)
        return self._lumped_mass(density) if self.lumped else self._consistent_mass(density)

    @cached
    def least_mass(self) -> float:
        """The share of its diagonal that the consistent mass is never below, by its worst cell.

        That bounds eigenvalues of M^-1 L because M is symmetric. The mass of streamline upwinding is not: its smallest
        singular value can be 0.3 of the diagonal where this says 0.5. Taken for it, the share gives an estimate: above
        the spectral radius wherever the two were compared, far above where the diagonal nearly vanishes (corners that
        the flow leaves by), but no proven bound.

        Reference: Wathen 1987, IMA J. Numer. Anal. 7, 449-457 (element by element bounds).
        """
        worst = 1.0
        with torch.no_grad():
            for b in self.blocks(2 * self.element.degree):
                local = torch.einsum("qi,qj,mq->mij", b.values, b.values, b.volume)
                root = local.diagonal(dim1=1, dim2=2).rsqrt()
                worst = min(worst, float(torch.linalg.eigvalsh(root[:, :, None] * local * root[:, None])[:, 0].min()))
        return worst

    def load(self, f: Callable[[Tensor], Tensor], where: Where | None = None) -> Tensor:
        """Integral of f N_i over the cells, or over the facets of ``where``: f(x [k, d]) -> [k, c] gives [n, c]."""
        rule = self.quadrature(where)
        values = f(rule.points)
        return rule.integrate(values.reshape(len(rule.points), -1))

    def quadrature(self, where: Where | None = None, degree: int | None = None) -> Quadrature:
        """Points and weights for loads on the cells, or on the facets of ``where``, exact for f N_i of ``degree``.

        Raises:
            ConditionError, UnknownName: as :meth:`facet_ids`.
        """
        degree = 2 * self.element.degree if degree is None else degree
        blocks = self.blocks(degree) if where is None else self.facets(self.facet_ids(where), degree)
        return quadrature(blocks, self.n).to(self.device, self.dtype)

    def assemble_facets(self, blocks: list[Block], corners: list[Tensor]) -> Tensor:
        """Sum of facet corner values [m, k, c] a block at the unknowns [n, c]."""
        nodes = torch.cat([b.dofs.reshape(-1) for b in blocks])
        down = Relation.from_edges(torch.arange(len(nodes)), nodes, len(nodes), self.n)
        return down.collect(down.own(torch.cat([c.flatten(0, 1) for c in corners])))

    # reductions by quadrature

    def inner(self, u: Tensor, v: Tensor) -> Tensor:
        """L2 inner product of the finite-element functions, [*, n, c] -> [*]."""
        check_shape(u, "* n c", "field", n=self.n)
        return (self.consistent_mass(u) * v).sum((-2, -1))

    # selection

    def facet_ids(self, where: Where) -> Tensor:
        """Facets of a named set, of numbers (or a mask), or boundary facets whose nodes all satisfy a predicate.

        Raises:
            ConditionError: the set has another dimension, a number is out of range, or nothing is selected.
        """
        return facets_where(self.mesh, where, self.mesh.tag("boundary").ids, "a flux through it needs")

    def tag(self, name: str | int) -> TagSet:
        """The named set with its nodes as unknowns; ``"boundary"`` is always there."""
        found = self.mesh.tag(name)
        nodes = nodes_of(self.mesh, found) if self.element.degree > 1 else found.nodes
        return TagSet(found.dim, found.ids, _present(self.dof_of_point[nodes]))

    def cells_of(self, name: str | int) -> Tensor:
        """Cell numbers of a named set of cells: see :func:`graphpde.mesh.per_cell.cells_of`."""
        return cells_of(self.mesh, name)

    def at_points(self, u: Tensor) -> Tensor:
        """Values at the points of the mesh, [*, n, c] -> [*, mesh.n, c]; NaN where a point carries no unknown."""
        check_shape(u, "* n c", "field", n=self.n)
        carried = (self.dof_of_point >= 0).to(u.device)
        out = u.new_full((*u.shape[:-2], self.mesh.n, u.shape[-1]), float("nan"))
        out[..., carried, :] = u[..., self.dof_of_point.to(u.device)[carried], :]
        return out

    def from_points(self, values: Tensor) -> Tensor:
        """Values at the unknowns, [*, mesh.n, c] -> [*, n, c]."""
        if values.dim() < 2 or values.shape[-2] != self.mesh.n:
            raise ShapeError(
                f"point values have shape {list(values.shape)}, expected [*, {self.mesh.n}, c]: one for each point of "
                f"space.mesh, which has the nodes in the middle where the element has"
            )
        return values[..., self.point_of_dof.to(values.device), :]

    @cached
    def mass_operator(self) -> LinearOperator:
        """The mass as an operator."""
        mass = self.mass
        return Diagonal(mass) if isinstance(mass, Tensor) else mass

    def cell_values(self, given: PerCell, what: str = "value") -> Tensor:
        """One value per cell [m]: see :func:`graphpde.mesh.per_cell.per_cell`."""
        return per_cell(self.mesh, given, what)

    def _checked_density(self, given: PerCell) -> Tensor:
        values = density_of(self.mesh, given)
        if values.requires_grad:
            raise InputError("the density asks for gradients; it belongs to the space, which is built once: detach it")
        return values


def _present(dofs: Tensor) -> Tensor:
    return torch.unique(dofs[dofs >= 0])
