"""Time series for ParaView (a VTU per moment, a PVD with the times) and numpy (NPZ), usable after any interruption."""

from __future__ import annotations

import math
import os
import xml.etree.ElementTree as xml
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np
import torch

from graphpde.core.graph import Graph
from graphpde.errors import InputError, ShapeError
from graphpde.mesh.mesh import Mesh
from graphpde.viz.arrays import numbers
from graphpde.viz.files import make_folder, written


class SeriesWriter:
    """Writes frames as they come: ``folder/stem_00000.vtu``, ... and ``folder/stem.pvd`` with their times.

    Each VTU is complete before the PVD names it, and the PVD is replaced as a whole: whoever stops the program keeps a
    series that opens.

    Args:
        folder: where the files go; made if missing.
        stem: how their names start.
        mesh: the mesh of all frames.
        names: the fields that every frame carries.

    Raises:
        InputError: no field names, or a stem that is not a plain file name.
    """

    def __init__(self, folder: str | os.PathLike[str], stem: str, mesh: Mesh, names: Sequence[str] = ("u",)):
        if not names or len(set(names)) < len(names):
            raise InputError(f"field names are {list(names)}, expected at least one and no name twice")
        if not stem or Path(stem).name != stem:
            raise InputError(f"'{stem}' cannot start file names; expected a name without folders")
        self.folder, self.stem, self.mesh, self.names = Path(folder), stem, mesh, tuple(names)
        self.frames: list[tuple[float, Path]] = []

    @property
    def path(self) -> Path:
        """The PVD file."""
        return self.folder / f"{self.stem}.pvd"

    def add(self, t: float, fields: Mapping[str, Any]) -> Path:
        """Write the frame at time ``t`` and name it in the PVD.

        Args:
            t: time, later than the last frame's.
            fields: name -> values at points [mesh.n] or [mesh.n, c] for exactly the names of this series; NaN = none.

        Raises:
            InputError: time not finite or not later, a field missing or unknown. ShapeError: wrong number of values.
            OutputError: a file cannot be written.
        """
        from graphpde.mesh.io.vtk.vtu_write import write_vtu

        t, arrays = self._checked(t, fields)
        frame = self.folder / f"{self.stem}_{len(self.frames):05d}.vtu"
        make_folder(self.folder)
        write_vtu(frame, self.mesh, arrays)
        self.frames.append((t, frame))
        _write_pvd(self.path, self.frames)
        return frame

    def go_on(self, count: int) -> None:
        """Take up a series that lies in the folder after its first ``count`` frames; later ones are removed.

        Raises:
            InputError: it has fewer frames, or cannot be read. OutputError: it cannot be written.
        """
        there = read_pvd(self.path)
        if len(there) < count:
            raise InputError(f"'{self.path}' has {len(there)} frames, expected at least {count} to go on from")
        self.frames = there[:count]
        _write_pvd(self.path, self.frames)
        kept = {frame for _, frame in self.frames}
        for frame in self.folder.glob(f"{self.stem}_[0-9]*.vtu"):
            if frame not in kept:
                frame.unlink(missing_ok=True)

    def _checked(self, t: float, fields: Mapping[str, Any]) -> tuple[float, dict[str, np.ndarray]]:
        """Time and values of a frame that continues the series."""
        t = float(t)
        if not math.isfinite(t) or (self.frames and t <= self.frames[-1][0]):
            last = f", expected a time later than {self.frames[-1][0]:g}" if self.frames else ""
            raise InputError(f"frame {len(self.frames)} of '{self.path.name}' has time {t:g}{last}")
        if set(fields) != set(self.names):
            raise InputError(
                f"frame at t={t:g} carries {sorted(fields)}, expected {sorted(self.names)}; "
                f"a series has the same fields in all frames"
            )
        return t, {name: self._at_points(name, fields[name]) for name in self.names}

    def _at_points(self, name: str, values: Any) -> np.ndarray:
        array = numbers(values, f"field '{name}'")
        if array.ndim not in (1, 2) or len(array) != self.mesh.n:
            raise ShapeError(
                f"field '{name}' has shape {list(array.shape)}, expected [{self.mesh.n}] or [{self.mesh.n}, c]"
            )
        return array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array


def _write_pvd(path: Path, frames: Sequence[tuple[float, Path]]) -> None:
    rows = "".join(
        f'    <DataSet timestep="{t!r}" group="" part="0" file={quoteattr(frame.name)}/>\n' for t, frame in frames
    )
    text = (
        '<?xml version="1.0" encoding="utf-8"?>\n<VTKFile type="Collection" version="0.1" byte_order="LittleEndian">\n'
        f"  <Collection>\n{rows}  </Collection>\n</VTKFile>\n"
    )
    with written(path) as aside:
        aside.write_text(text, encoding="utf-8")


def read_pvd(path: str | os.PathLike[str]) -> list[tuple[float, Path]]:
    """Times and frame files of a PVD, in its order; relative names are looked up beside it.

    Raises:
        InputError: missing or unreadable file, not a PVD, a frame without finite time or without its file.
    """
    path = Path(path)
    try:
        root = xml.fromstring(path.read_bytes())
    except OSError as error:
        raise InputError(f"cannot read '{path}': {error.strerror or error}") from error
    except xml.ParseError as error:
        raise InputError(f"'{path}' is not a PVD file: {error}") from error
    if root.tag != "VTKFile" or root.get("type") != "Collection":
        raise InputError(
            f"'{path}' is not a PVD file: its root is <{root.tag} type={root.get('type')!r}>, expected a Collection"
        )
    frames = []
    for k, entry in enumerate(root.iterfind("Collection/DataSet")):
        try:
            t = float(entry.get("timestep", "nan"))
        except ValueError:
            t = math.nan
        if not math.isfinite(t):
            raise InputError(f"frame {k} of '{path}' has time {entry.get('timestep')!r}, expected a finite number")
        frame = path.parent / entry.get("file", "")
        if not frame.is_file():
            raise InputError(
                f"frame {k} of '{path}' names '{entry.get('file')}', which does not exist; write the series again"
            )
        frames.append((t, frame))
    return frames


def write_series(
    path: str | os.PathLike[str], frames: Any, *, names: Sequence[str] = ("u",), mesh: Mesh | None = None
) -> Path:
    """Write a trajectory, the first saved time included: as PVD and one VTU per time, or as XDMF and one HDF5 file.

    Args:
        path: a file ``.pvd``, ``.xdmf`` or ``.xmf``; what it names stands beside it under the same stem.
        frames: a trajectory (``times`` [s], ``states`` [s, n, c], ``domain``), or pairs (t, {name: values at points}).
        names: one name for the field as it is, or one name per channel. Pairs bring these names themselves.
        mesh: needed with pairs; a trajectory brings its own. A graph with positions becomes points and lines.

    Returns:
        That path.

    Raises:
        InputError: no frames, no mesh or positions, names that do not fit. OutputError: a file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() not in (".pvd", ".xdmf", ".xmf"):
        raise InputError(f"a time series is written as '.pvd' or '.xdmf', got '{path.name}'")
    if hasattr(frames, "states"):
        mesh = mesh or mesh_of(frames.domain)
        pairs: Iterable[tuple[float, Mapping[str, Any]]] = _frames_of(frames, names)
    elif mesh is None:
        raise InputError("frames without a domain need mesh=, the mesh that their values stand on")
    else:
        pairs = frames
    writer = _writer(path, mesh, names, frames)
    for t, fields in pairs:
        writer.add(t, fields)
    if not writer.frames:
        raise InputError(f"there are no frames to write to '{path.name}', expected at least one")
    return path


def _writer(path: Path, mesh: Mesh, names: Sequence[str], frames: Any) -> SeriesWriter:
    """The writer for that extension, told how many frames will come where that is known."""
    from graphpde.viz.xdmf_series import XdmfSeriesWriter

    if path.suffix.lower() == ".pvd":
        return SeriesWriter(path.parent, path.stem, mesh, names)
    listed = getattr(frames, "times", frames)
    expected = len(listed) if hasattr(listed, "__len__") else 0
    return XdmfSeriesWriter(path.parent, path.stem, mesh, names, suffix=path.suffix, expected=expected)


def mesh_of(domain: Any) -> Mesh:
    """The mesh of a space, or points and line cells for a graph with positions (each pair of neighbours once).

    Raises:
        InputError: no domain, or a graph without positions in one to three dimensions.
    """
    if isinstance(getattr(domain, "mesh", None), Mesh):
        return domain.mesh
    if not isinstance(domain, Graph) or domain.pos is None or domain.pos.shape[1] > 3:
        raise InputError(
            "the states stand on nothing that can be drawn; expected a space, or a graph with positions [n, 1..3]"
        )
    src, dst = domain.edges.pairs()
    once = torch.unique(torch.stack([torch.minimum(src, dst), torch.maximum(src, dst)], 1)[src != dst], dim=0)
    alone = torch.arange(domain.n)[:, None]
    cells = {"line": once.cpu()} if len(once) else {"vertex": alone}
    return Mesh(domain.pos.detach().cpu(), cells, name="graph")


def _frames_of(trajectory: Any, names: Sequence[str]) -> Iterable[tuple[float, dict[str, Any]]]:
    domain, states = trajectory.domain, trajectory.states
    if not isinstance(states, torch.Tensor) or states.dim() != 3:
        raise ShapeError(
            "states are not one tensor [s, n, c]; give the frames as pairs (t, {name: values}) and the mesh"
        )
    channels = states.shape[-1]
    if len(names) not in (1, channels):
        raise InputError(f"got {len(names)} names for {channels} channels, expected one for all or one each")
    for t, u in zip(trajectory.times, states):
        values = numbers(domain.at_points(u) if hasattr(domain, "at_points") else u, "state")
        yield float(t), {names[0]: values} if len(names) == 1 else {k: values[:, c] for c, k in enumerate(names)}


def write_npz(path: str | os.PathLike[str], times: Any, states: Any, points: Any) -> Path:
    """Write ``times`` [s], ``states`` [s, n, c] and ``points`` [n, d] for ``numpy.load``; complete or not at all.

    Raises:
        ShapeError: as many states as times, and values for each point, are needed. OutputError: it cannot be written.
    """
    path = Path(path)
    times, states, points = numbers(times, "times"), numbers(states, "states"), numbers(points, "points")
    if states.shape[:2] != (times.size, len(points)):
        raise ShapeError(f"states have shape {list(states.shape)}, expected [{times.size}, {len(points)}, c]")
    with written(path) as aside, aside.open("wb") as stream:
        np.savez(stream, times=times, states=states, points=points)
    return path
