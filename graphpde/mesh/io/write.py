"""``write_mesh``: to a file of any format that is written, checked by reading it back before it takes its place."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from pathlib import Path

import numpy as np

from graphpde.errors import OutputError
from graphpde.mesh.cells import CELLS
from graphpde.mesh.io.aside import written_aside
from graphpde.mesh.io.formats import FORMATS, Format
from graphpde.mesh.io.raw import RawMesh, listed
from graphpde.mesh.io.tag_arrays import NUMBERS
from graphpde.mesh.io.vtk.vtu_write import Data
from graphpde.mesh.mesh import Mesh
from graphpde.registry import unknown

_NEAR = 1e-5  # coordinates read back agree to this part of the extent (STL stores single precision)
_EXACT = ("vtu", "gmsh")  # hold all that a mesh can have: nothing to be compared


def write_mesh(
    path: str | os.PathLike[str], mesh: Mesh, *, point_data: Data = None, cell_data: Data = None
) -> tuple[str, ...]:
    """Write a mesh; the format follows from the extension.

    ``.vtu`` keeps everything: named sets, fields, dimension. ``.msh`` keeps the sets, ``.su2`` those of facets; what a
    format cannot hold is said. The target is replaced only by a complete file that reads back to the same cells.

    Args:
        point_data, cell_data: fields beside those of the mesh, name -> [n], [n, c] or [m], [m, c].

    Returns:
        What the format could not hold, one sentence each.

    Raises:
        OutputError: an extension that is not written, cells that the format lacks, a folder that cannot be written.
    """
    target = Path(path)
    name = format_to_write(target)
    points, cells = {**mesh.point_data, **(point_data or {})}, {**mesh.cell_data, **(cell_data or {})}
    known = FORMATS[name]
    with written_aside(target) as aside:
        told = known.write(aside, mesh, points, cells) if known.write else []
        if name not in _EXACT:
            _check(aside, mesh, name, target)
    return (*_lost(known, mesh, [*points, *cells]), *told)


def format_to_write(path: str | os.PathLike[str]) -> str:
    """The name of the format that a file of this name is written in.

    Raises:
        OutputError: an extension that is not written.
    """
    target = Path(path)
    extension = target.suffix.lower()
    names = [name for name, known in FORMATS.items() if extension in known.extensions and known.write]
    if not names:
        known = {e for f in FORMATS.values() if f.write for e in f.extensions}
        raise OutputError(f"cannot write '{target}': {unknown('extension', extension or '(none)', known)}")
    return names[0]


def _check(aside: Path, mesh: Mesh, name: str, target: Path) -> None:
    """Read the file back: the same number of cells of each type, in the same place."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            raw = FORMATS[name].read(aside)
    except (Exception, SystemExit) as error:
        reason = " ".join(str(error).split())[:200]
        raise OutputError(f"cannot write '{target}': what was written does not read back ({reason})") from error
    wanted = Counter({kind: len(nodes) for kind, nodes in mesh.cells.items()})
    found: Counter[str] = Counter()
    for block in raw.blocks:
        if block.kind in CELLS and CELLS[block.kind].dim == mesh.dim:
            found[block.kind] += len(block.nodes)
    if found != wanted:
        lost = listed(f"{count} of {wanted[kind]} {kind}" for kind, count in (wanted - found).items())
        raise OutputError(
            f"cannot write '{target}': {FORMATS[name].title} files cannot hold all its cells (lost: {lost or 'none'}); "
            f"write a .vtu file instead"
        )
    if not _same_place(raw, mesh):
        raise OutputError(
            f"cannot write '{target}': its coordinates do not survive in {FORMATS[name].title}; write .vtu"
        )


def _same_place(raw: RawMesh, mesh: Mesh) -> bool:
    """Whether the boxes around all cells agree."""
    used = np.unique(np.concatenate([block.nodes.reshape(-1) for block in raw.blocks]))
    x = np.asarray(raw.points, dtype=np.float64)[used]
    x = np.pad(x, ((0, 0), (0, 3 - x.shape[1])))
    own = mesh.points.detach().cpu().numpy()[np.unique(np.concatenate([v.reshape(-1) for v in mesh.cells.values()]))]
    own = np.pad(own, ((0, 0), (0, 3 - own.shape[1])))
    box, other = np.stack([own.min(0), own.max(0)]), np.stack([x.min(0), x.max(0)])
    scale = np.abs(box).max() + np.ptp(box, axis=0).max()
    return bool(np.isfinite(x).all() and np.abs(box - other).max() <= _NEAR * scale)


_HELD = {"cells": "of cells only", "facets": "of facets only", "entities": "of cells, facets and points only"}


def _lost(known: Format, mesh: Mesh, fields: list[str]) -> tuple[str, ...]:
    out = []
    sets = [name for name, tag in mesh.tags.items() if tag.dim not in known.set_dims(mesh.dim)]
    if sets:
        held = f"named sets {_HELD[known.sets]}" if known.sets in _HELD else "no named sets"
        count = str(len(sets)) if len(sets) == len(mesh.tags) else f"{len(sets)} of {len(mesh.tags)}"
        out.append(f"{known.title} keeps {held}: {count} name{'s' * (len(sets) > 1)} dropped ({listed(sets)})")
    fields = [name for name in fields if not (mesh.tags and name in NUMBERS)]  # the named sets say the same
    if fields and not known.keeps_fields:
        out.append(f"{known.title} keeps no fields: {len(fields)} dropped ({listed(fields)})")
    return tuple(out)
