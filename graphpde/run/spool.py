"""What a stopped run saved, brought back: its moments read again, and whatever lies after the checkpoint removed."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from graphpde.errors import InputError, OutputError
from graphpde.run.checkpoint import Checkpoint, Origin
from graphpde.run.frames import STEM, Frames
from graphpde.viz.files import written

METRICS = "metrics.jsonl"
_NPZ = f"fields/{STEM}.npz"


def reopen(frames: Frames, count: int) -> None:
    """Make ``frames`` go on after the first ``count`` saved moments.

    Raises:
        InputError: fewer moments are there, or their states are gone.
    """
    rows = read_rows(frames.folder.path / METRICS)
    if len(rows) < count:
        raise InputError(
            f"'{frames.folder.path}' holds {len(rows)} saved moments where its checkpoint says {count}; run again"
        )
    bring_back_states(frames, count)
    frames.series.go_on(count)
    _cut_lines(frames.folder.path / METRICS, count)
    frames.moments[:] = [
        frames.meter.at(int(row["step"]), float(row["t"]), _state(frames, k))._replace(
            dt=row.get("dt"), rejected=int(row.get("rejected", 0))
        )
        for k, row in enumerate(rows[:count])
    ]


def _dtype(frames: Frames) -> np.dtype:
    return np.dtype(np.float32 if frames.setup.u0.dtype == torch.float32 else np.float64)


def _state(frames: Frames, k: int) -> torch.Tensor:
    n, c = frames.setup.u0.shape
    dtype = _dtype(frames)
    raw = np.fromfile(frames.spool, dtype=dtype, count=n * c, offset=k * n * c * dtype.itemsize)
    return torch.from_numpy(raw.reshape(n, c)).to(frames.setup.u0)


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The whole lines of metrics.jsonl; one that was cut short by a crash and all after it do not count."""
    rows: list[dict[str, Any]] = []
    try:
        lines = path.read_text(encoding="utf-8").split("\n")[:-1]
    except OSError:
        return rows
    for line in lines:
        try:
            rows.append(json.loads(line))
        except ValueError:
            break
    return rows


def moment_of(path: Path, checkpoint: Checkpoint, t: float) -> Checkpoint:
    """The checkpoint that the saved moment at time t would have left.

    Raises:
        InputError: no moment was saved then, or its state is gone.
    """
    rows = read_rows(path / METRICS)
    span = abs(rows[-1]["t"] - rows[0]["t"]) if rows else 0.0
    near = [k for k, row in enumerate(rows) if abs(row["t"] - t) <= 1e-6 * span]
    if not near:
        saved = ", ".join(f"{row['t']:.6g}" for row in rows[:6]) + (", ..." if len(rows) > 6 else "")
        raise InputError(f"'{path}' saved nothing at t={t:g}; it has {len(rows)} moments: {saved}")
    k = near[0]
    shape, dtype = tuple(checkpoint.state.shape), checkpoint.state.numpy().dtype
    state = _saved_state(path, k, shape, dtype)
    at, step = float(rows[k]["t"]), int(rows[k]["step"])
    origin = checkpoint.origin
    planned = k < checkpoint.frames and (origin.frames == 0 or k + 1 > origin.frames)
    if not planned:  # the moment at which a run was stopped, or one of an older schedule
        origin = Origin(at, step, k + 1)
    kind = "history" if checkpoint.kind != "cache" else "cache"
    rhythm = checkpoint.rhythm if checkpoint.rhythm is None else checkpoint.rhythm.at_moment(rows[k].get("dt"), step)
    there = checkpoint._replace(t=at, step=step, frames=k + 1, state=state, origin=origin)
    return there._replace(carry=None, kind=kind, rhythm=rhythm)


def _saved_state(path: Path, k: int, shape: tuple[int, ...], dtype: np.dtype) -> torch.Tensor:
    size = int(np.prod(shape))
    spool = path / "fields" / "states.part"
    if spool.is_file() and spool.stat().st_size >= (k + 1) * size * dtype.itemsize:
        raw = np.fromfile(spool, dtype=dtype, count=size, offset=k * size * dtype.itemsize)
        return torch.from_numpy(raw.reshape(shape))
    try:
        with np.load(path / _NPZ, allow_pickle=False) as file:
            return torch.from_numpy(file["states"][k].astype(dtype))
    except (OSError, ValueError, KeyError, IndexError, zipfile.BadZipFile) as error:
        raise InputError(f"the saved states of '{path}' cannot be read ({error}); run again") from error


def bring_back_states(frames: Frames, count: int) -> None:
    """The file of raw states with exactly ``count`` of them, from itself or from the packed ones."""
    n, c = frames.setup.u0.shape
    size = n * c * _dtype(frames).itemsize * count
    spool = frames.spool
    try:
        if not spool.is_file() or spool.stat().st_size < size:
            _unpack(frames.folder.path / _NPZ, spool, size, _dtype(frames))
        with open(spool, "r+b") as file:
            file.truncate(size)
    except OSError as error:
        raise OutputError(f"cannot write '{spool}': {error.strerror or error}; free some space") from error


def _unpack(npz: Path, spool: Path, size: int, dtype: np.dtype) -> None:
    """The first ``size`` bytes of the packed states, without holding them."""
    try:
        with zipfile.ZipFile(npz) as archive, archive.open("states.npy") as stream:
            np.lib.format.read_magic(stream)
            shape, fortran, stored = np.lib.format.read_array_header_1_0(stream)
            if fortran or stored != dtype or int(np.prod(shape)) * dtype.itemsize < size:
                raise InputError(f"'{npz}' does not hold the saved states of this run; run again")
            with written(spool) as aside, aside.open("wb") as out:
                shutil.copyfileobj(stream, out, 1 << 22)
    except (FileNotFoundError, KeyError, ValueError, zipfile.BadZipFile) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"the saved states are gone: neither '{spool.name}' nor '{npz}' can be read; run again"
        ) from error


def _cut_lines(path: Path, count: int) -> None:
    """Keep the first ``count`` lines of a text file."""
    lines = path.read_text(encoding="utf-8").split("\n")[:count]
    with written(path) as aside:
        aside.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
