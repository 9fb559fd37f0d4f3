"""Parts of a mesh as meshes of their own: named sets of cells, of faces or of edges, and the whole boundary."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from graphpde.core.graph import TagSet, numbers
from graphpde.errors import MeshError
from graphpde.mesh.cells import CELLS, CellType
from graphpde.mesh.geometry import signed_measures
from graphpde.mesh.mesh import Mesh
from graphpde.mesh.node_supports import columns, supports

# the types of an edge or facet by its corners, the richest first, and its corners counted the other way round
_TYPES = {2: ("line3", "line"), 3: ("triangle7", "triangle6", "triangle"), 4: ("quad9", "quad8", "quad")}
_BACK = {2: (1, 0), 3: (0, 2, 1), 4: (0, 3, 2, 1)}


class Part(NamedTuple):
    """A part of a mesh and where it came from.

    Attributes:
        mesh: the part. points: number in the whole of each of its points [n].
        cells: number in the whole of each of its cells [m], as ``whole.entities(part.mesh.dim)`` counts: cells, or the
            facets or edges that have become cells.
    """

    mesh: Mesh
    points: Tensor
    cells: Tensor


def submesh(mesh: Mesh, where: str | int | Sequence[str] | Tensor) -> Mesh:
    """The cells of a named set as a mesh of their own; :func:`extract` tells their old numbers as well."""
    return extract(mesh, where).mesh


def boundary_mesh(mesh: Mesh) -> Mesh:
    """The whole boundary as a mesh of one dimension less: the skin of a solid, the outline of a surface.

    On a mesh that fills its space every facet winds so that its normal points out of the mesh, whatever the orientation
    of the cells: in the plane the mesh lies on the left of its boundary lines, in space the right-hand rule points
    outward. The sets of facets become sets of cells, those of edges sets of facets; see :func:`extract`.

    Raises:
        MeshError: a closed surface or loop has no boundary; the ends of a curve are points, which make no mesh.
    """
    if not len(mesh.boundary_facets):
        raise MeshError(f"'{mesh.name}' is closed: it has no boundary to extract")
    return _part(mesh, mesh.dim - 1, mesh.boundary_facets, "boundary").mesh


def extract(mesh: Mesh, where: str | int | Sequence[str] | Tensor) -> Part:
    """A part of a mesh: the cells of a set or, where it holds facets or edges, those as cells of lower dimension.

    Only points of the part remain, in their old order. Named sets follow as far as their members belong to the part:
    cells, facets and edges by their corners, points by themselves; sets of a higher dimension than the part and sets of
    which nothing is left do not. Point data follows the points, cell data the cells; a facet or edge takes the data of
    the first cell that owns it. Facets wind outward of that cell where the mesh fills its space. Mid-side nodes stay;
    facets and edges of cells of third order are taken at their corners, and ``warnings`` say so.

    Args:
        where: name of a set, several names of sets of one dimension (their union), or cell numbers or a mask [m].

    Raises:
        UnknownName: no such set. ConditionError: a cell number out of range.
        MeshError: nothing is selected, sets of different dimension, or a set of points.
    """
    if isinstance(where, str | int):
        where = [str(where)]
    if not isinstance(where, Tensor) and len(where) and all(isinstance(name, str) for name in where):
        tags = [mesh.tag(name) for name in where]
        dims = sorted({tag.dim for tag in tags})
        if len(dims) > 1:
            raise MeshError(f"sets {_listed(where)} hold entities of dimensions {dims}, expected one; take them apart")
        return _part(mesh, dims[0], torch.unique(torch.cat([tag.ids for tag in tags])), _listed(where))
    return _part(mesh, mesh.dim, torch.unique(numbers(where, mesh.n_cells, "cell")), "")


def _part(mesh: Mesh, dim: int, ids: Tensor, label: str) -> Part:
    if not len(ids):
        raise MeshError(f"{label or 'the list of cells'} of '{mesh.name}' is empty: there is nothing to extract")
    if dim == 0:
        raise MeshError(f"{label} of '{mesh.name}' holds points, which make no mesh; expected cells, facets or edges")
    cells, old = _cells(mesh, ids) if dim == mesh.dim else sides(mesh, dim, ids)
    points = torch.unique(torch.cat([nodes.reshape(-1) for nodes in cells.values()]))
    place = torch.full((mesh.n,), -1)
    place[points] = torch.arange(len(points))
    owner = old if dim == mesh.dim else mesh.entities(dim).cells[old, 0]
    part = Mesh(
        mesh.points[points],
        {kind: place[nodes] for kind, nodes in cells.items()},
        point_data={name: values[points] for name, values in mesh.point_data.items()},
        cell_data={name: values[owner] for name, values in mesh.cell_data.items()},
        warnings=[
            f"the sides of {kind} cells are taken at their corners"
            for kind in mesh.cells
            if dim < mesh.dim and supports(kind) is None
        ],
        name=f"{mesh.name}:{label}" if label else mesh.name,
    )
    return Part(part.with_tags(**_tags(mesh, part, place, old)), points, old)


def _cells(mesh: Mesh, ids: Tensor) -> tuple[dict[str, Tensor], Tensor]:
    """The chosen cells by type; ascending numbers are already in the order of the types."""
    out, start = {}, 0
    for kind, nodes in mesh.cells.items():
        out[kind] = nodes[ids[(ids >= start) & (ids < start + len(nodes))] - start]
        start += len(nodes)
    return {kind: nodes for kind, nodes in out.items() if len(nodes)}, ids


def sides(mesh: Mesh, dim: int, ids: Tensor) -> tuple[dict[str, Tensor], Tensor]:
    """Facets or edges as cells by type, each as its first owner has it, and their numbers in that order."""
    table = mesh.entities(dim)
    owner, local = table.cells[ids, 0], table.local[ids]
    turned = _mirrored(mesh, owner) if dim == mesh.dim - 1 else torch.zeros(len(ids), dtype=torch.bool)
    nodes: dict[str, list[Tensor]] = {}
    old: dict[str, list[Tensor]] = {}
    start = 0
    for kind, connectivity in mesh.cells.items():
        mine = (owner >= start) & (owner < start + len(connectivity))
        for number, corners in enumerate(_corners(CELLS[kind], dim)):
            for back in (False, True):
                rows = (mine & (local == number) & (turned == back)).nonzero()[:, 0]
                if len(rows):
                    own, order = _side(kind, tuple(corners[k] for k in _BACK[len(corners)]) if back else corners)
                    nodes.setdefault(own, []).append(connectivity[owner[rows] - start][:, order])
                    old.setdefault(own, []).append(ids[rows])
        start += len(connectivity)
    cells, given = {}, []
    for kind in nodes:
        joined, by_number = torch.cat(old[kind]).sort()
        cells[kind] = torch.cat(nodes[kind])[by_number]
        given.append(joined)
    return cells, torch.cat(given)


def _corners(cell: CellType, dim: int) -> tuple[tuple[int, ...], ...]:
    return cell.facets if dim == cell.dim - 1 else cell.edges


@cache
def _side(kind: str, corners: tuple[int, ...]) -> tuple[str, list[int]]:
    """The type of an edge or facet of a cell type, and the local numbers of its nodes, wound as its corners are."""
    for own in _TYPES[len(corners)]:
        found = columns(kind, corners, range(CELLS[CELLS[kind].corners].nodes), own)
        if found is not None:
            return own, found
    return CELLS[own].corners, list(corners)


def _mirrored(mesh: Mesh, cells: Tensor) -> Tensor:
    """Which of these cells are negatively oriented; none where orientation means nothing."""
    if mesh.dim != mesh.space_dim:
        return torch.zeros(len(cells), dtype=torch.bool)
    some, inverse = torch.unique(cells, return_inverse=True)
    chosen, _ = _cells(mesh, some)
    return (signed_measures(Mesh(mesh.points.detach(), chosen)) < 0)[inverse]


def _tags(mesh: Mesh, part: Mesh, place: Tensor, old: Tensor) -> dict[str, TagSet]:
    """The named sets of the whole on the part; ``place`` and ``old`` number its points and cells."""
    out = {}
    count = len(mesh.entities(part.dim).nodes) if mesh.tags else 0
    position = torch.full((count,), -1)
    if count:
        position[old] = torch.arange(len(old))
    for name, tag in mesh.tags.items():
        if tag.dim > part.dim:
            continue
        if tag.dim == part.dim:
            ids = position[tag.ids]
        elif tag.dim == 0:
            ids = place[tag.ids]
        else:
            ids = _found(mesh, part, place, tag)
        if bool((ids >= 0).any()):
            out[name] = part.make_tag(tag.dim, ids[ids >= 0])
    return out


def _found(mesh: Mesh, part: Mesh, place: Tensor, tag: TagSet) -> Tensor:
    """Facets or edges of a set in the part's numbering, -1 where it has none with these corners."""
    nodes = mesh.entities(tag.dim).nodes[tag.ids]
    moved = torch.where(nodes >= 0, place[nodes.clamp(min=0)], -1)
    whole = ((moved >= 0) == (nodes >= 0)).all(1)
    ids = torch.full((len(nodes),), -1)
    if bool(whole.any()):
        ids[whole] = part.find(tag.dim, moved[whole])
    return ids


def _listed(names: Any) -> str:
    return ", ".join(f"'{name}'" for name in names)
