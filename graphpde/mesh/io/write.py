"""``write_mesh``: to a file of any format that is written, checked by reading it back before it takes its place."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch

from graphpde.errors import OutputError
from graphpde.mesh.cells import CELLS
from graphpde.mesh.io import bridge, ply, stl, su2
from graphpde.mesh.io.aside import written_aside
from graphpde.mesh.io.formats import FORMATS, Format
from graphpde.mesh.io.gmsh import write_gmsh
from graphpde.mesh.io.raw import RawMesh, listed
from graphpde.mesh.io.vtu import Data, write_vtu
from graphpde.mesh.mesh import Mesh
from graphpde.registry import unknown

_FLAT_POINTS = ("medit", "netgen")  # formats with 2-D points of their own
_NEAR = 1e-5  # coordinates read back agree to this part of the extent (STL stores single precision)
_OWN = {"stl": stl.write, "su2": su2.write}
_INLINE = {"xdmf": {"data_format": "XML"}}  # one file, not two


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
    name = _format_of(target)
    points, cells = {**mesh.point_data, **(point_data or {})}, {**mesh.cell_data, **(cell_data or {})}
    if name == "vtu":
        write_vtu(target, mesh, points, cells, sets=True)
        return ()
    if name == "gmsh":
        write_gmsh(target, mesh)
    else:
        with written_aside(target) as aside:
            if name == "ply":
                ply.write(aside, mesh, points, cells)
            elif name in _OWN:
                _OWN[name](aside, mesh)
            else:
                _by_meshio(aside, mesh, name, points, cells, target)
            _check(aside, mesh, name, target)
    return _lost(FORMATS[name], mesh, [*points, *cells], target.suffix)


def _format_of(target: Path) -> str:
    extension = target.suffix.lower()
    names = [name for name, known in FORMATS.items() if extension in known.extensions and known.writer]
    if not names:
        known = {e for f in FORMATS.values() if f.writer for e in f.extensions}
        raise OutputError(f"cannot write '{target}': {unknown('extension', extension or '(none)', known)}")
    return names[0]


def _by_meshio(aside: Path, mesh: Mesh, name: str, points: dict[str, Any], cells: dict[str, Any], target: Path) -> None:
    import meshio

    known = FORMATS[name]
    x = mesh.points.detach().cpu().numpy()
    if not (name in _FLAT_POINTS and mesh.space_dim == 2):
        x = np.pad(x, ((0, 0), (0, 3 - mesh.space_dim)))
    blocks = [(kind, nodes.numpy()) for kind, nodes in mesh.cells.items()]
    ends = np.cumsum([len(nodes) for _, nodes in blocks])[:-1]
    try:
        content = meshio.Mesh(
            x,
            blocks,
            point_data={key: _numbers(v) for key, v in points.items()} if known.keeps_fields else {},
            cell_data={key: np.split(_numbers(v), ends) for key, v in cells.items()} if known.keeps_fields else {},
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            bridge.write(aside, content, known.writer or name, **_INLINE.get(name, {}))
    except OSError:
        raise
    except ModuleNotFoundError as error:
        raise OutputError(
            f"cannot write '{target}': {known.title} needs {error.name}; run: pip install \"graphpde[io]\""
        ) from None
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or "its writer does not take these cells"
        raise OutputError(f"cannot write '{target}' as {known.title}: {reason}; write a .vtu file instead") from error


def _numbers(values: Any) -> np.ndarray:
    array = torch.as_tensor(values).detach().cpu()
    return array.to(torch.int32 if array.dtype == torch.bool else array.dtype).numpy()


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


def _lost(known: Format, mesh: Mesh, fields: list[str], extension: str) -> tuple[str, ...]:
    out = []
    lost = [name for name, tag in mesh.tags.items() if tag.dim not in known.set_dims(mesh.dim)]
    if lost:
        out.append(f"{extension} files do not hold these named sets: {listed(lost)}")
    if fields and not known.keeps_fields:
        out.append(f"{extension} files do not hold fields: {listed(fields)} left out")
    return tuple(out)
