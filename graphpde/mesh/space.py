"""Unknowns on a mesh: a graph whose nodes are the degrees of freedom of a finite element."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from graphpde.core.cached import cached
from graphpde.core.graph import Graph, TagSet, Where, numbers, selected
from graphpde.core.linear_operator import Diagonal, LinearOperator, Sparse
from graphpde.core.relation import Relation
from graphpde.errors import ConditionError, MeshError
from graphpde.mesh.cells import CELLS
from graphpde.mesh.elements import P1, Q1, Element
from graphpde.mesh.mesh import Mesh
from graphpde.mesh.numbering import numbered, off_diagonal, pairs_of
from graphpde.mesh.orientation import oriented
from graphpde.typing import check_shape


class Block(NamedTuple):
    """Cells (or facets) of one type with their geometry at quadrature points.

    Attributes:
        kind: cell type. ids: cell numbers [m]. dofs: unknowns [m, k].
        values: shape functions [q, k]. gradients: physical gradients [m, q, k, d]. volume: quadrature weights [m, q].
        points: quadrature points [m, q, d].
    """

    kind: str
    ids: Tensor
    dofs: Tensor
    values: Tensor
    gradients: Tensor
    volume: Tensor
    points: Tensor


class Quadrature(NamedTuple):
    """Integrals against the shape functions as one sparse product.

    Attributes:
        points: quadrature points [q, d]. to_nodes: points -> unknowns. weight: N_i(x_q) times the volume of x_q, in own
            order [e].
    """

    points: Tensor
    to_nodes: Relation
    weight: Tensor

    def integrate(self, values: Tensor) -> Tensor:
        r"""\int f N_i [n, c] from the values f(x_q) [q, c]."""
        return self.to_nodes.propagate(values, weight=self.weight)

    def to(self, device: Any = None, dtype: torch.dtype | None = None) -> Quadrature:
        return Quadrature(
            self.points.to(device=device, dtype=dtype),
            self.to_nodes.to(device),
            self.weight.to(device=device, dtype=dtype),
        )


class Space(Graph):
    """A finite-element space as a graph: nodes are unknowns, edges are the sparsity, ``measure`` is the lumped mass.

    Args:
        mesh: cells of one dimension; quadratic cells are used at their vertices (said in ``warnings``).
        element: :class:`P1` or :class:`Q1`; default: P1 on simplices, Q1 as soon as there are quadrilaterals.
        channels: number of fields carried, for messages and writers.
        lumped: row-sum lumping of the mass; None = the element's own choice (True for P1 and Q1).
        reorder: number the unknowns so that neighbours lie close in memory, instead of in the mesh's own order; None =
            where the mesh's own order is scattered. A large mesh in random order is several times faster so;
            ``at_points`` brings fields back to the mesh's order.

    Only vertices of cells get unknowns; ``dof_of_point`` [mesh.n] maps, -1 = none. Simplices with negative
    orientation are turned (counted in ``warnings``). ``weight`` holds minus the off-diagonal stiffness, so the space is
    a weighted graph whose Laplacian is the discrete one; on triangles these are the cotangent weights.

    Raises:
        MeshError: cells of zero size or folded quadrilaterals (count and first ids), or cells the element does not
            know.
    """

    def __init__(
        self,
        mesh: Mesh,
        element: Element | None = None,
        channels: int = 1,
        *,
        lumped: bool | None = None,
        reorder: bool | None = False,
    ):
        found = mesh.warnings
        mesh, notes = oriented(mesh)
        if any("were turned" in note for note in notes):  # the reader's count of the same cells is history now
            found = tuple(w for w in found if "negative orientation" not in w)
        used = numbered(mesh, reorder)
        dof_of_point = torch.full((mesh.n,), -1, dtype=torch.int64)
        dof_of_point[used] = torch.arange(len(used))
        element = element or _natural_element(mesh)
        blocks = [(linear, dof_of_point[nodes], start) for linear, nodes, start in mesh.corners()]
        for kind, _, _ in blocks:
            element.shape(kind, 1)  # refuses unknown cells before anything is built
        pairs = [pairs_of(dofs) for _, dofs, _ in blocks]
        edges = Relation.from_edges(
            torch.cat([src for src, _ in pairs]),
            torch.cat([dst for _, dst in pairs]),
            len(used),
            len(used),
            coalesce=True,
        )
        tags = {k: TagSet(t.dim, t.ids, _present(dof_of_point[t.nodes])) for k, t in mesh.tags.items()}
        super().__init__(edges, pos=mesh.points[used], tags=tags)
        self.__dict__.update(
            mesh=mesh, element=element, channels=channels, dof_of_point=dof_of_point, point_of_dof=used, _cells=blocks,
            lumped=element.lumped if lumped is None else lumped, warnings=(*found, *notes),
        )  # fmt: skip

    mesh: Mesh
    element: Element
    channels: int
    lumped: bool
    dof_of_point: Tensor
    point_of_dof: Tensor
    warnings: tuple[str, ...]
    _cells: list[tuple[str, Tensor, int]]

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
            if key in ("_positions", "_cell_to_node"):
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
        return [
            _block(self.element, kind, torch.arange(start, start + len(dofs)), dofs, self._positions, degree)
            for kind, dofs, start in self._cells
        ]

    @cached
    def _positions(self) -> Tensor:
        return self.mesh.points[self.point_of_dof.cpu()]

    def facets(self, ids: Tensor, degree: int = 2) -> list[Block]:
        """Facets of the mesh by type, as boundary quadrature."""
        nodes = self.mesh.facets.nodes[ids]
        width = (nodes >= 0).sum(1)
        kinds = {1: "vertex", 2: "line", 3: "triangle", 4: "quad"}
        out = []
        for k in torch.unique(width).tolist():
            mine = width == k
            dofs = self.dof_of_point.cpu()[nodes[mine][:, :k]]
            out.append(_block(self.element, kinds[k], ids[mine], dofs, self._positions, degree))
        return out

    # assembly: a scatter from cells into the edges of the relation

    @cached
    def _cell_to_node(self) -> Relation:
        """Cell corners -> unknowns."""
        corners = torch.cat([dofs.reshape(-1) for _, dofs, _ in self._cells])
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
        local = []
        for block in self.blocks():
            grad = block.gradients
            weighted = grad * block.volume[..., None, None]
            if kappa is None:
                local.append(torch.einsum("mqid,mqjd->mij", weighted, grad))
                continue
            k = kappa if kappa.shape[0] == 1 else kappa[block.ids]
            if kappa.dim() == 3:
                local.append(torch.einsum("mqid,mde,mqje->mij", weighted, k.expand(len(grad), -1, -1), grad))
            else:
                plain = torch.einsum("mqid,mqjd->mij", weighted, grad)
                local.append(plain.reshape(*plain.shape, *[1] * (k.dim() - 1)) * k[:, None, None])
        return -self.assemble_weight(local)

    @cached
    def weight(self) -> Tensor:
        """Minus the off-diagonal stiffness for unit conductivity [e]."""
        return self.stiffness().to(self.device, self.dtype)

    @cached
    def measure(self) -> Tensor:
        """Lumped mass [n]: row sums of the mass matrix, the integral of each shape function."""
        parts = [torch.einsum("qk,mq->mk", b.values, b.volume).flatten() for b in self.blocks(2)]
        return self.assemble_vector(parts).to(self.device, self.dtype)

    @cached
    def consistent_mass(self) -> Sparse:
        """The mass matrix integral N_i N_j."""
        local = [torch.einsum("qi,qj,mq->mij", b.values, b.values, b.volume) for b in self.blocks(2)]
        return self.assemble(local, symmetric=True).to(self.device, self.dtype)

    @property
    def mass(self) -> Tensor | Sparse:
        """The mass that multiplies u': lumped [n] or consistent, as chosen at construction."""
        return self.measure if self.lumped else self.consistent_mass

    def load(self, f: Callable[[Tensor], Tensor], where: Where | None = None) -> Tensor:
        """Integral of f N_i over the cells, or over the facets of ``where``: f(x [k, d]) -> [k, c] gives [n, c]."""
        rule = self.quadrature(where)
        values = f(rule.points)
        return rule.integrate(values.reshape(len(rule.points), -1))

    def quadrature(self, where: Where | None = None, degree: int = 2) -> Quadrature:
        """Points and weights for loads on the cells, or on the facets of ``where``, exact for f N_i of ``degree``.

        Raises:
            ConditionError, UnknownName: as :meth:`facet_ids`.
        """
        blocks = self.blocks(degree) if where is None else self.facets(self.facet_ids(where), degree)
        source, target, weight, start = [], [], [], 0
        for block in blocks:
            m, q = block.volume.shape
            shape = (m, q, block.dofs.shape[1])
            point = torch.arange(start, start + m * q).reshape(m, q, 1)
            source.append(point.expand(shape).reshape(-1))
            target.append(block.dofs[:, None].expand(shape).reshape(-1))
            weight.append((block.volume[..., None] * block.values).reshape(-1))
            start += m * q
        to_nodes = Relation.from_edges(torch.cat(source), torch.cat(target), start, self.n)
        points = torch.cat([block.points.flatten(0, 1) for block in blocks])
        return Quadrature(points, to_nodes, to_nodes.own(torch.cat(weight))).to(self.device, self.dtype)

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
        mesh = self.mesh
        if isinstance(where, str | int):
            tag = mesh.tag(where)
            if tag.dim != mesh.dim - 1:
                raise ConditionError(
                    f"set '{where}' has dimension {tag.dim}, a flux through it needs facets of dimension {mesh.dim - 1}"
                )
            ids, what = tag.ids, f"named set '{where}'"
        elif callable(where):
            nodes = mesh.facets.nodes[mesh.boundary_facets]
            inside = selected(where, mesh.points)
            ids, what = mesh.boundary_facets[(inside[nodes.clamp(min=0)] | (nodes < 0)).all(1)], "the predicate"
        else:
            ids, what = numbers(where, len(mesh.facets.nodes), "facet"), "the facet list"
        if ids.numel() == 0:
            raise ConditionError(f"{what} holds no facets of '{mesh.name}'; check the set or the predicate")
        return ids

    def tag(self, name: str | int) -> TagSet:
        """The named set with its nodes as unknowns; ``"boundary"`` is always there."""
        found = self.mesh.tag(name)
        return TagSet(found.dim, found.ids, _present(self.dof_of_point[found.nodes]))

    def cells_of(self, name: str | int) -> Tensor:
        """Cell numbers of a named set of cells (a material).

        Raises:
            MeshError: the set does not hold cells.
        """
        tag = self.mesh.tag(name)
        if tag.dim != self.mesh.dim:
            raise MeshError(
                f"set '{name}' of '{self.mesh.name}' has dimension {tag.dim}, "
                f"a material needs cells of dimension {self.mesh.dim}"
            )
        return tag.ids

    def at_points(self, u: Tensor) -> Tensor:
        """Values at the points of the mesh, [*, n, c] -> [*, mesh.n, c]; NaN where a point carries no unknown."""
        out = u.new_full((*u.shape[:-2], self.mesh.n, u.shape[-1]), float("nan"))
        out[..., self.point_of_dof.to(u.device), :] = u
        return out

    def from_points(self, values: Tensor) -> Tensor:
        """Values at the unknowns, [*, mesh.n, c] -> [*, n, c]."""
        return values[..., self.point_of_dof.to(values.device), :]

    @cached
    def mass_operator(self) -> LinearOperator:
        """The mass as an operator."""
        return Diagonal(self.measure) if self.lumped else self.consistent_mass


def _natural_element(mesh: Mesh) -> Element:
    return Q1() if any(CELLS[k].corners == "quad" for k in mesh.cells) else P1()


def _present(dofs: Tensor) -> Tensor:
    return torch.unique(dofs[dofs >= 0])


def _block(element: Element, kind: str, ids: Tensor, dofs: Tensor, pos: Tensor, degree: int | None) -> Block:
    if degree is None:  # gradients of simplices are constant, those of tensor-product cells are not
        degree = 2 * element.degree if kind == "quad" else 2 * element.degree - 2
    shape = element.shape(kind, degree)
    corners = pos[dofs]
    points = torch.einsum("qk,mkd->mqd", shape.values, corners)
    jacobian = torch.einsum("qkr,mkd->mqdr", shape.gradients, corners - corners[:, :1])
    if jacobian.shape[-1] == 0:
        return Block(
            kind,
            ids,
            dofs,
            shape.values,
            jacobian.new_zeros(len(ids), 1, 1, pos.shape[1]),
            points.new_ones(len(ids), 1),
            points,
        )
    if jacobian.shape[-1] == jacobian.shape[-2]:
        size, pseudo = torch.linalg.det(jacobian).abs(), torch.linalg.inv(jacobian).mT
    else:  # surfaces: grad N = J (J^T J)^-1 dN, the tangential gradient
        metric = jacobian.mT @ jacobian
        size, pseudo = torch.linalg.det(metric).clamp(min=0).sqrt(), jacobian @ torch.linalg.inv(metric)
    volume = size * shape.weights
    gradients = torch.einsum("mqdr,qkr->mqkd", pseudo, shape.gradients)
    return Block(kind, ids, dofs, shape.values, gradients, volume, points)
