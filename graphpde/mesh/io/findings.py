"""What looks odd about a mesh that was read, one counted sentence each; refusing is left to where it matters."""

from __future__ import annotations

import numpy as np
import torch

from graphpde.mesh.geometry import cell_measures, signed_measures
from graphpde.mesh.mesh import Mesh

_FLAT = 1e-14  # measure of a cell relative to its diameter to the power of its dimension that counts as zero


def findings(mesh: Mesh) -> list[str]:
    """Sentences about unused and coinciding points, repeated, flat and mirrored cells, non-manifold facets."""
    out = [*_points(mesh), *_repeated(mesh), *_sizes(mesh)]
    if mesh.dim == 2 and len(mesh.nonmanifold_facets):
        out.append(f"{len(mesh.nonmanifold_facets)} edges belong to more than two cells")
    if mesh.dim == 3 and len(mesh.nonmanifold_facets):
        out.append(f"{len(mesh.nonmanifold_facets)} faces belong to more than two cells")
    return out


def _points(mesh: Mesh) -> list[str]:
    used = torch.zeros(mesh.n, dtype=torch.bool)
    for nodes in mesh.cells.values():
        used[nodes.reshape(-1)] = True
    out = []
    unused = mesh.n - int(used.sum())
    if unused:
        out.append(f"{unused} of {mesh.n} points belong to no cell and carry no unknowns")
    x = mesh.points[used].numpy()
    order = np.lexsort(x.T)
    same = int((x[order][1:] == x[order][:-1]).all(1).sum())
    if same:
        out.append(
            f"{same} of {mesh.n} points coincide with another; cells that do not share a point are not joined there"
        )
    return out


def _repeated(mesh: Mesh) -> list[str]:
    """Cells that name a point twice, and cells on the same points as another."""
    collapsed, twice = 0, 0
    for _, nodes, _ in mesh.corners():
        rows = np.sort(nodes.numpy(), axis=1)
        collapsed += int((rows[:, 1:] == rows[:, :-1]).any(1).sum())
        order = np.lexsort(rows.T)
        twice += int((rows[order][1:] == rows[order][:-1]).all(1).sum())
    out = [f"{collapsed} of {mesh.n_cells} cells name a point twice"] if collapsed else []
    return [*out, f"{twice} of {mesh.n_cells} cells stand on the same points as another"] if twice else out


def _sizes(mesh: Mesh) -> list[str]:
    out = []
    diameter = torch.cat([_diameters(mesh.points[nodes]) for _, nodes, _ in mesh.corners()])
    flat = cell_measures(mesh) <= _FLAT * diameter**mesh.dim
    if bool(flat.any()):
        first = ", ".join(map(str, flat.nonzero()[:3, 0].tolist()))
        out.append(f"{int(flat.sum())} of {mesh.n_cells} cells have zero size, first {first}")
    if mesh.dim == mesh.space_dim:
        negative = int(((signed_measures(mesh) < 0) & ~flat).sum())
        if negative:
            out.append(f"{negative} of {mesh.n_cells} cells have negative orientation")
    return out


def _diameters(x: torch.Tensor) -> torch.Tensor:
    """Largest extent of the box around each cell [k]."""
    return (x.amax(1) - x.amin(1)).amax(1)
