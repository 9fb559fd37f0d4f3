"""Solids drawn out of plane meshes: wedges over triangles, hexahedra over quadrilaterals, or tetrahedra."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from graphpde.errors import MeshError
from graphpde.mesh.bends import Bend, upright
from graphpde.mesh.mesh import Mesh

_MOST_CELLS = 50_000_000


def extrude(
    mesh: Mesh,
    levels: Sequence[float] | Tensor,
    *,
    cells: str | None = None,
    ends: tuple[str, str] = ("bottom", "top"),
) -> Mesh:
    """A plane mesh drawn out along z; sets "bottom", "top" and, named as in the plane, its sides and parts.

    Points are numbered level by level, as in the plane; its named points are left out.

    Args:
        mesh: linear triangles and quadrilaterals in the plane. levels: increasing z of each level, two or more.
        cells: "tetra" to cut the wedges over triangles into three tetrahedra each; None: wedges and hexahedra.
        ends: names of the first and the last level.

    Raises:
        MeshError: a mesh that does not lie in the plane, levels that do not increase, quadrilaterals to be cut, a set
            of the plane named as one of the ends.
    """
    z = torch.as_tensor(levels, dtype=torch.float64)
    if mesh.dim != 2 or mesh.space_dim != 2 or not set(mesh.cells) <= {"triangle", "quad"}:
        kinds = ", ".join(mesh.cells)
        raise MeshError(f"'{mesh.name}' has {kinds} cells in {mesh.space_dim}-D; expected triangles or quads in 2-D")
    if z.dim() != 1 or len(z) < 2 or not bool(torch.isfinite(z).all()) or not bool((z[1:] > z[:-1]).all()):
        raise MeshError(f"levels of '{mesh.name}' are {z.tolist()}, expected two or more increasing numbers")
    if cells not in (None, "tetra") or (cells and "quad" in mesh.cells):
        raise MeshError(
            f"cannot draw {', '.join(mesh.cells)} out to '{cells}'; expected None, or 'tetra' over triangles"
        )
    taken = [name for name in ends if name in mesh.tags]
    if taken:
        raise MeshError(f"'{mesh.name}' has a set '{taken[0]}' already; give ends= two other names")
    layers = len(z) - 1
    if layers * mesh.n_cells > _MOST_CELLS:
        raise MeshError(f"the solid would have {layers * mesh.n_cells:.1e} cells, expected at most {_MOST_CELLS:.0e}")
    points = torch.cat([mesh.points.repeat(len(z), 1), z.repeat_interleave(mesh.n)[:, None]], 1)
    drawn, pieces = {}, 3 if cells else 1
    for kind, nodes in mesh.cells.items():
        low = (torch.arange(layers) * mesh.n)[:, None, None] + nodes
        made = torch.cat([low, low + mesh.n], -1).flatten(0, 1)
        drawn[{"triangle": cells or "wedge", "quad": "hexahedron"}[kind]] = _three(made) if cells else made
    solid = Mesh(points, drawn, name=mesh.name)
    return _with_sets(mesh, solid, pieces, ends)


def _three(wedges: Tensor) -> Tensor:
    """Three tetrahedra per wedge; the diagonals of its sides start at the lower number, so neighbours agree."""
    base, order = wedges[:, :3].sort(1)
    top = wedges[:, 3:].gather(1, order)
    a, b, c = base.unbind(1)
    d, e, f = top.unbind(1)
    tetra = torch.stack([torch.stack(t, 1) for t in ((a, b, c, f), (a, b, f, e), (a, e, f, d))], 1)
    odd = ((order[:, 0] + 1) % 3 != order[:, 1])[:, None, None]  # sorting turned the triangle over
    return torch.where(odd, tetra[..., [0, 2, 1, 3]], tetra).flatten(0, 1)


def _with_sets(mesh: Mesh, solid: Mesh, pieces: int, ends: tuple[str, str]) -> Mesh:
    """The solid with the sets of the plane drawn out: edges become faces, cells columns of cells."""
    layers = solid.n // mesh.n - 1
    nodes = solid.facets.nodes
    padding = nodes < 0
    over, level = nodes % mesh.n, nodes // mesh.n
    flat = [((level == k) | padding).all(1) for k in (0, layers)]
    tags = {name: solid.make_tag(2, chosen.nonzero()[:, 0]) for name, chosen in zip(ends, flat)}
    low, high = (
        over.masked_fill(padding, mesh.n).amin(1, keepdim=True),
        over.masked_fill(padding, -1).amax(1, keepdim=True),
    )
    upright = ((over == low) | (over == high) | padding).all(1)  # over two points of the plane, an edge
    edge = torch.full((len(nodes),), -1)
    edge[upright] = mesh.find(1, torch.cat([low, high], 1)[upright])
    for name, tag in mesh.tags.items():
        if tag.dim == 1:
            tags[name] = solid.make_tag(2, torch.isin(edge, tag.ids).nonzero()[:, 0])
        elif tag.dim == 2:
            chosen = torch.zeros(mesh.n_cells, dtype=torch.bool)
            chosen[tag.ids] = True
            parts = chosen.split([len(one) for one in mesh.cells.values()])
            columns = torch.cat([part.repeat(layers).repeat_interleave(pieces) for part in parts])
            tags[name] = solid.make_tag(3, columns.nonzero()[:, 0])
    return solid.with_tags(**tags).with_bends(*_drawn(mesh, solid))


def _drawn(mesh: Mesh, solid: Mesh) -> list[Bend]:
    """What is bent in the plane bends the edges over it; upright ones count as well, for the faces between."""
    if not mesh.bends:
        return []
    edges = solid.entities(1).nodes[:, :2]
    over = edges % mesh.n
    vertical = over[:, 0] == over[:, 1]
    out = []
    for bend in mesh.bends:
        mine = torch.from_numpy(bend.holds(over.numpy()))
        if bend.edges is not None:
            mine = torch.where(vertical, torch.isin(over[:, 0], bend.edges), mine)
        out.append(Bend(edges[mine], partial(upright, bend.onto)))
    return out


def even_levels(height: float, size: float) -> Tensor:
    """Levels from 0 to ``height``, at most ``size`` apart.

    Raises:
        MeshError: lengths that are not positive numbers.
    """
    if not (math.isfinite(height) and height > 0 and math.isfinite(size) and size > 0):
        raise MeshError(f"height {height} in steps of {size}: both must be positive numbers")
    count = max(1, math.ceil(height / size * (1 - 1e-9)))
    return height * torch.arange(count + 1, dtype=torch.float64) / count
