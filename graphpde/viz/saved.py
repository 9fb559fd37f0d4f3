"""Saved fields, read back: a run folder, a PVD series, or any mesh file that carries fields."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import NamedTuple

from graphpde.errors import InputError
from graphpde.mesh.mesh import Mesh
from graphpde.viz.series import read_pvd

_SERIES = ("fields/run.pvd", "fields/run.xdmf", "run.pvd", "run.xdmf")
"""Where a folder keeps its series."""


class Saved(NamedTuple):
    """Moments of fields on meshes.

    Attributes:
        path: the file that lists them. times: of the moments; NaN where the file does not say. files: one for each.
    """

    path: Path
    times: tuple[float, ...]
    files: tuple[Path, ...]

    def mesh(self, k: int = -1) -> Mesh:
        """The mesh of moment number k with its fields.

        Raises:
            MeshError: it cannot be read.
        """
        from graphpde.mesh.io import read_mesh

        return read_mesh(self.files[k])

    def number(self, t: float | None) -> int:
        """The number of the moment at time t, of the last one for None.

        Raises:
            InputError: there is none within a millionth of the whole span.
        """
        if t is None:
            return len(self.times) - 1
        if len(self.times) == 1 and math.isnan(self.times[0]):
            raise InputError(f"'{self.path}' gives one moment without its time; leave @{t:g} out, or name a .pvd")
        near = min(range(len(self.times)), key=lambda k: abs(self.times[k] - t))
        if abs(self.times[near] - t) > 1e-6 * max(abs(self.times[-1] - self.times[0]), 1e-300):
            shown = ", ".join(f"{time:.6g}" for time in self.times[:8]) + (", ..." if len(self.times) > 8 else "")
            raise InputError(f"'{self.path}' has no moment at t={t:g}; it has {len(self.times)}: {shown}")
        return near


def open_saved(path: str | os.PathLike[str]) -> Saved:
    """What lies at ``path``: a run folder (its series), a ``.pvd``, or a mesh file as one moment without time.

    An ``.npz`` of a run stands for the series beside it, since it holds no cells.

    Raises:
        InputError: nothing is there, a folder without a series, a series without moments.
    """
    path = Path(path)
    if path.is_dir():
        found = [path / name for name in _SERIES if (path / name).is_file()]
        if not found:
            raise InputError(f"'{path}' holds no saved fields; expected a run folder with {_SERIES[0]} in it")
        path = found[0]
    elif path.suffix.lower() == ".npz":
        beside = [path.with_suffix(end) for end in (".pvd", ".xdmf") if path.with_suffix(end).is_file()]
        if not beside:
            raise InputError(f"'{path}' holds values without cells; name a .pvd, .vtu or run folder instead")
        path = beside[0]
    if not path.is_file():
        raise InputError(f"there is no file or folder '{path}' to read fields from")
    if path.suffix.lower() != ".pvd":
        return Saved(path, (math.nan,), (path,))
    frames = read_pvd(path)
    if not frames:
        raise InputError(f"'{path}' lists no moments; its run was stopped before the first one")
    return Saved(path, tuple(t for t, _ in frames), tuple(file for _, file in frames))
