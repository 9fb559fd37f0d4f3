"""Named sets: from what a file lists to entities in the mesh's own numbering, names made unique by dimension."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from graphpde.core.graph import TagSet
from graphpde.mesh.cells import CELLS
from graphpde.mesh.io.raw import Block, RawMesh, listed
from graphpde.mesh.mesh import Mesh


class Numbering:
    """Where each listed cell of the file went: a cell of the mesh, an entity of lower dimension, or nowhere (-1).

    Args:
        mesh: the mesh without sets. blocks: the usable blocks. kept: their numbers among all blocks of the file.
    """

    def __init__(self, mesh: Mesh, blocks: list[Block], kept: list[int]):
        self.mesh, self.blocks, self.kept = mesh, blocks, kept
        start = dict(zip(mesh.cells, np.cumsum([0, *(len(v) for v in mesh.cells.values())]).tolist()))
        self.ids: list[np.ndarray] = []
        for block in blocks:
            if CELLS[block.kind].dim == mesh.dim:
                self.ids.append(np.arange(start[block.kind], start[block.kind] + len(block.nodes)))
                start[block.kind] += len(block.nodes)
            else:
                self.ids.append(self.find(CELLS[block.kind].dim, self._corners(block)))
        self.top = [old for old, block in zip(kept, blocks) if CELLS[block.kind].dim == mesh.dim]

    @staticmethod
    def _corners(block: Block) -> np.ndarray:
        return block.nodes[:, : CELLS[CELLS[block.kind].corners].nodes]

    def find(self, dim: int, corners: np.ndarray) -> np.ndarray:
        """Numbers of entities with these corners [k], -1 for none."""
        if dim == 0:
            return corners[:, 0]
        return self.mesh.find(dim, torch.from_numpy(np.ascontiguousarray(corners))).numpy()

    def lost(self) -> list[str]:
        """A sentence for each type of lower cells that are no entities of the mesh."""
        out: dict[str, list[int]] = {}
        for block, ids in zip(self.blocks, self.ids):
            count = out.setdefault(block.kind, [0, 0])
            count[0] += int((ids < 0).sum())
            count[1] += len(ids)
        return [
            f"{bad} of {total} {kind} cells are no part of a {self.mesh.dim}-D cell and were dropped"
            for kind, (bad, total) in out.items()
            if bad
        ]

    def join(self, parts: list[np.ndarray | None]) -> np.ndarray | None:
        """Per-block values as one array over the cells, NaN where a block has none; None where they do not fit."""
        out: np.ndarray | None = None
        gaps = np.zeros(self.mesh.n_cells, dtype=bool)
        for old, block, ids in zip(self.kept, self.blocks, self.ids):
            if CELLS[block.kind].dim != self.mesh.dim:
                continue
            part = parts[old] if old < len(parts) else None
            if part is None:
                gaps[ids] = True
                continue
            if part.dtype.kind not in "iufb" or len(part) != len(ids):
                return None
            if out is None:
                out = np.zeros((self.mesh.n_cells, *part.shape[1:]), dtype=part.dtype)
            if part.shape[1:] != out.shape[1:]:
                return None
            out = out.astype(np.result_type(out, part), copy=False)
            out[ids] = part
        if out is not None and gaps.any():
            out = out.astype(np.result_type(out, np.float32), copy=False)
            out[gaps] = np.nan
        return out


def named_sets(raw: RawMesh, numbering: Numbering) -> tuple[dict[str, TagSet], list[str]]:
    """All sets of a raw mesh, and sentences about what could not be kept.

    Lower cells that are in no set form one named after their type, so that nothing of the boundary is lost. A name used
    in several dimensions becomes ``name:1d``, ``name:2d``, ...; a point set that merely repeats the vertices of a facet
    set of the same name is not told apart from it.
    """
    mesh = numbering.mesh
    found: dict[tuple[str, int], list[np.ndarray]] = {}
    grouped = [np.zeros(len(block.nodes), dtype=bool) for block in numbering.blocks]
    for cells in raw.cell_sets:
        for new, old in enumerate(numbering.kept):
            rows = cells.members[old] if old < len(cells.members) else None
            if rows is None or not len(rows):
                continue
            rows = np.asarray(rows, dtype=np.int64)
            grouped[new][rows] = True
            key = (cells.name, CELLS[numbering.blocks[new].kind].dim)
            found.setdefault(key, []).append(numbering.ids[new][rows])
    for block, ids, done in zip(numbering.blocks, numbering.ids, grouped):
        done |= ids < 0
        if CELLS[block.kind].dim < mesh.dim and not done.all():
            found.setdefault((CELLS[block.kind].corners, CELLS[block.kind].dim), []).append(ids[~done])
    notes = numbering.lost()
    strangers = 0
    for (name, dim), corners in _joined(raw).items():
        ids = numbering.find(dim, corners)
        strangers += int((ids < 0).sum())
        found.setdefault((name, dim), []).append(ids)
    if strangers:
        notes.append(f"{strangers} facets of named sets are no facets of the mesh and were dropped")
    for name, ids in raw.point_sets:
        found.setdefault((name, 0), []).append(np.asarray(ids, dtype=np.int64))
    return _unique_names(mesh, found, notes)


def _joined(raw: RawMesh) -> dict[tuple[str, int], np.ndarray]:
    """The facet sets by name and dimension, each one array padded to one width."""
    parts: dict[tuple[str, int], list[np.ndarray]] = {}
    for facets in raw.facet_sets:
        parts.setdefault((facets.name, facets.dim), []).append(np.asarray(facets.corners, dtype=np.int64))
    out = {}
    for key, arrays in parts.items():
        width = max(rows.shape[1] for rows in arrays)
        padded = [np.pad(rows, ((0, 0), (0, width - rows.shape[1])), constant_values=-1) for rows in arrays]
        out[key] = np.concatenate(padded)
    return out


def _unique_names(
    mesh: Mesh, found: dict[tuple[str, int], list[np.ndarray]], notes: list[str]
) -> tuple[dict[str, TagSet], list[str]]:
    sets: dict[str, dict[int, TagSet]] = {}
    empty = []
    for (name, dim), parts in found.items():
        ids = _ascending(np.concatenate(parts))
        if dim == 0 and len(ids) and ids[-1] >= mesh.n:
            notes.append(f"{int((ids >= mesh.n).sum())} numbers of point set '{name}' are no points and were dropped")
            ids = ids[ids < mesh.n]
        if len(ids):
            sets.setdefault(name, {})[dim] = _tag(mesh, dim, torch.from_numpy(ids))
        else:
            empty.append(name)
    if empty:
        notes.append(f"{len(empty)} named sets are empty and were left out: {listed(empty)}")
    tags: dict[str, TagSet] = {}
    for name, by_dim in sets.items():
        if 0 in by_dim and len(by_dim) > 1 and _repeats(mesh, by_dim):
            del by_dim[0]
        for dim in sorted(by_dim):
            tags[name if len(by_dim) == 1 else f"{name}:{dim}d"] = by_dim[dim]
    return tags, notes


def _ascending(ids: np.ndarray) -> np.ndarray:
    """The distinct numbers of at least 0 in ascending order."""
    if not (np.diff(ids) > 0).all():  # most sets stand in order
        ids = np.unique(ids)
    return ids[np.searchsorted(ids, 0) :]


def _tag(mesh: Mesh, dim: int, ids: Tensor) -> TagSet:
    return TagSet(0, ids, ids) if dim == 0 else mesh.make_tag(dim, ids)


def _repeats(mesh: Mesh, by_dim: dict[int, TagSet]) -> bool:
    """Whether the point set has exactly the vertices of the highest set; mid-side nodes do not count."""
    vertices = by_dim[0].nodes[torch.isin(by_dim[0].nodes, mesh.used_points)]
    return torch.equal(vertices, by_dim[max(by_dim)].nodes)
