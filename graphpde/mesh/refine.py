"""Uniform refinement: every edge is halved, so every cell becomes 2, 4 or 8 cells (pyramids 10) of half the size."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache

import torch
from torch import Tensor

from graphpde.core.graph import TagSet
from graphpde.errors import MeshError
from graphpde.mesh.cells import CELLS, KIND_OF_WIDTH
from graphpde.mesh.mesh import Mesh

# Children beside those that are half-size copies at the corners, in the local numbers of _middle.
# The octahedron inside a tetrahedron is cut along the diagonal between the middles of edges 02 and 13; the order of the
# nodes hands that choice down, so that repeated refinement knows at most three shapes per tetrahedron (Bey 1995,
# Computing 55, 355-378). Where his order turns a child over, its first and third node are exchanged: this keeps all
# later diagonals and the orientation.
_INNER: dict[str, tuple[tuple[int, ...], ...]] = {
    "triangle": ((3, 4, 5),),
    "tetra": ((4, 6, 7, 8), (5, 6, 4, 8), (6, 7, 8, 9), (8, 5, 6, 9)),
    "wedge": ((6, 7, 8, 15, 16, 17), (15, 16, 17, 9, 10, 11)),
    "pyramid": ((9, 12, 11, 10, 13),),  # upside down under the topmost, its tip in the middle of the base
}
# Children of another type: between the pyramids at the corners, one tetrahedron behind each triangle.
_OTHER: dict[str, tuple[str, tuple[tuple[int, ...], ...]]] = {
    "pyramid": ("tetra", ((5, 9, 10, 13), (6, 10, 11, 13), (7, 11, 12, 13), (8, 12, 9, 13))),
}


def refine(mesh: Mesh, times: int = 1, *, project: Callable[[Tensor], Tensor] | None = None) -> Mesh:
    """The mesh with every edge halved, ``times`` times over; conforming, with the orientation of the cells.

    Lines, triangles (4 similar ones), quadrilaterals, tetrahedra (8, Bey's division), hexahedra, wedges and pyramids
    (6 pyramids and 4 tetrahedra), mixed or not. Named sets of every dimension go over to the children, point data is
    interpolated linearly (integers: the value of the first parent), cell data is repeated. The old points keep their
    numbers; point n + e is the middle of edge e of ``mesh.entities(1)``.

    Args:
        mesh: linear cells.
        times: number of rounds, >= 0; the number of cells grows by 2 ** dim a round, that of pyramids by 10.
        project: moves the new points of each round [k, d] -> [k, d], for instance onto the sphere they belong to.

    Raises:
        MeshError: quadratic cells; a negative number of rounds; ``project`` changes the shape.
    """
    if times < 0:
        raise MeshError(f"times is {times}, expected 0 or more rounds of refinement")
    for kind, nodes in mesh.cells.items():
        if CELLS[kind].corners != kind or kind == "vertex":
            raise MeshError(
                f"'{mesh.name}' has {len(nodes)} {kind} cells, which have no uniform refinement here; expected line, "
                f"triangle, quad, tetra, hexahedron, wedge or pyramid cells; keep the vertices of quadratic cells"
            )
    for _ in range(times):
        mesh = _refined_once(mesh, project)
    return mesh


def _refined_once(mesh: Mesh, project: Callable[[Tensor], Tensor] | None) -> Mesh:
    middles = _Middles(mesh)
    cells, owner = _families(mesh, middles)
    points = middles.interpolate(mesh.points)
    if project is not None:
        new = project(points[mesh.n :])
        if tuple(new.shape) != (len(points) - mesh.n, mesh.space_dim):
            raise MeshError(
                f"project returned shape {list(new.shape)}, expected [{len(points) - mesh.n}, {mesh.space_dim}]"
            )
        points = torch.cat([mesh.points, new.to(mesh.points.dtype)])
    fine = Mesh(
        points,
        cells,
        point_data={k: middles.interpolate(v) for k, v in mesh.point_data.items()},
        cell_data={k: v[owner] for k, v in mesh.cell_data.items()},
        warnings=mesh.warnings,
        name=mesh.name,
    )
    return fine.with_tags(**_inherited(mesh, fine, middles, owner))


def _families(mesh: Mesh, middles: _Middles) -> tuple[dict[str, Tensor], Tensor]:
    """Cells of the fine mesh by type, and the coarse cell that each comes from [m]."""
    made: dict[str, list[tuple[Tensor, Tensor]]] = {kind: [] for kind, _, _ in mesh.corners()}
    for kind, nodes, start in mesh.corners():
        local = middles.local(kind, nodes, start)
        parts = [(kind, _children(kind, local))]
        if kind in _OTHER:
            other, table = _OTHER[kind]
            parts.append((other, local[:, torch.tensor(table)]))
        parent = torch.arange(start, start + len(nodes))
        for type_, children in parts:
            families = parent.repeat_interleave(children.shape[1])
            made.setdefault(type_, []).append((children.flatten(0, 1), families))
    cells = {kind: torch.cat([children for children, _ in parts]) for kind, parts in made.items()}
    return cells, torch.cat([parents for parts in made.values() for _, parents in parts])


def _inherited(mesh: Mesh, fine: Mesh, middles: _Middles, owner: Tensor) -> Mapping[str, TagSet]:
    """The named sets of the coarse mesh on the fine one."""
    out = {name: tag for name, tag in mesh.tags.items() if tag.dim == 0}
    for name, tag in mesh.tags.items():
        if tag.dim == mesh.dim and tag.dim > 0:
            chosen = torch.zeros(mesh.n_cells, dtype=torch.bool)
            chosen[tag.ids] = True
            out[name] = fine.make_tag(tag.dim, chosen[owner].nonzero()[:, 0])
    for dim in range(1, mesh.dim):
        names = [name for name, tag in mesh.tags.items() if tag.dim == dim]
        if not names:
            continue
        parts = [_entity_children(mesh, dim, mesh.tags[name].ids, middles) for name in names]
        found = fine.find(dim, torch.cat(parts))
        for name, ids in zip(names, found.split([len(p) for p in parts])):
            out[name] = fine.make_tag(dim, ids)
    return {name: out[name] for name in mesh.tags}


def _entity_children(mesh: Mesh, dim: int, ids: Tensor, middles: _Middles) -> Tensor:
    """Corner points of the children of these entities [k, w], padded with -1."""
    nodes = mesh.entities(dim).nodes[ids]
    corners = (nodes >= 0).sum(1)
    parts = []
    for count in torch.unique(corners).tolist():
        kind, rows = KIND_OF_WIDTH[count], (corners == count).nonzero()[:, 0]
        new = _children(kind, middles.local(kind, nodes[rows, :count])).flatten(0, 1)
        parts.append(torch.nn.functional.pad(new, (0, nodes.shape[1] - count), value=-1))
    return torch.cat(parts) if parts else nodes


def _children(kind: str, local: Tensor) -> Tensor:
    """Children of cells with local points [m, l] -> [m, children, corners]."""
    return local[:, torch.tensor(_child_table(kind))]


@cache
def _child_table(kind: str) -> tuple[tuple[int, ...], ...]:
    corners = range(CELLS[kind].nodes)
    # the child at corner c is the cell shrunk by half towards c: its node d is the middle of c and d
    return (*(tuple(_middle(kind, c, d) for d in corners) for c in corners), *_INNER.get(kind, ()))


def _middle(kind: str, c: int, d: int) -> int:
    """Local number of the middle of two corners: corners first, then edges, quadrilateral faces of solids, centre."""
    cell = CELLS[kind]
    if c == d:
        return c
    for number, edge in enumerate(cell.edges):
        if {c, d} == set(edge):
            return cell.nodes + number
    faces = _quad_faces(kind)
    for number, face in enumerate(faces):
        if {c, d} <= set(face):
            return cell.nodes + len(cell.edges) + number
    return cell.nodes + len(cell.edges) + len(faces)


def _quad_faces(kind: str) -> list[tuple[int, ...]]:
    return [f for f in CELLS[kind].facets if len(f) == 4] if CELLS[kind].dim == 3 else []


class _Middles:
    """The new points of one round: middles of edges, of quadrilateral faces, of quadrilaterals and hexahedra."""

    def __init__(self, mesh: Mesh):
        self.mesh = mesh
        edges = mesh.entities(1).nodes[:, :2]
        self.parents: list[Tensor] = [edges]
        low, high = edges.amin(1), edges.amax(1)
        self.key, self.order = torch.sort(low * mesh.n + high)
        self.count = mesh.n + len(edges)
        self.quads = torch.zeros(0, dtype=torch.int64)  # number among the new points of each facet
        if mesh.dim == 3 and mesh.facets.nodes.shape[1] == 4:
            four = mesh.facets.nodes[:, 3] >= 0
            self.quads = self._add(mesh.facets.nodes[four], four)
        self.centres = torch.zeros(0, dtype=torch.int64)  # the same of each cell
        for kind, nodes, start in mesh.corners():
            if kind in ("quad", "hexahedron"):
                mine = torch.zeros(mesh.n_cells, dtype=torch.bool)
                mine[start : start + len(nodes)] = True
                new = self._add(nodes, mine)
                self.centres = new if not len(self.centres) else torch.where(mine, new, self.centres)

    def _add(self, nodes: Tensor, where: Tensor) -> Tensor:
        self.parents.append(nodes)
        numbers = torch.full((len(where),), -1)
        numbers[where] = torch.arange(self.count, self.count + len(nodes))
        self.count += len(nodes)
        return numbers

    def interpolate(self, values: Tensor) -> Tensor:
        """Values [n, ...] on the old and the new points."""
        if values.is_floating_point() or values.is_complex():
            return torch.cat([values, *(values[nodes].mean(1) for nodes in self.parents)])
        return torch.cat([values, *(values[nodes[:, 0]] for nodes in self.parents)])

    def local(self, kind: str, nodes: Tensor, first_cell: int | None = None) -> Tensor:
        """Corners and middles of cells (of faces and edges when no first cell is given) [m, l], in _middle's order."""
        cell = CELLS[kind]
        own = torch.arange(len(nodes))
        if self.mesh.dim == 1 and first_cell is not None:  # two lines may join the same points: number by cell
            return torch.cat([nodes, (self.mesh.n + first_cell + own)[:, None]], 1)
        pairs = nodes[:, torch.tensor(cell.edges)]
        place = torch.searchsorted(self.key, pairs.amin(-1) * self.mesh.n + pairs.amax(-1))
        parts = [nodes, self.mesh.n + self.order[place]]
        parts += [self.quads[self.mesh.find(2, nodes[:, list(f)])][:, None] for f in _quad_faces(kind)]
        if kind == "hexahedron" or (kind == "quad" and first_cell is not None):
            parts.append(self.centres[(first_cell or 0) + own][:, None])
        elif kind == "quad":
            parts.append(self.quads[self.mesh.find(2, nodes)][:, None])
        return torch.cat(parts, 1)
