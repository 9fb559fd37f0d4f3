"""Saved moments go straight to disk: memory holds one state, and whoever stops the program keeps all of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from graphpde.config import Setup
from graphpde.errors import OutputError
from graphpde.run.folder import RunFolder
from graphpde.run.measure import Meter, Moment
from graphpde.run.records import Records
from graphpde.run.rhythm import Rhythm
from graphpde.viz import SeriesWriter, XdmfSeriesWriter, write_npz

STEM = "run"
METRICS = "metrics.jsonl"
_SPOOL = "states.part"  # raw states one after the other, packed into the NPZ at the end


class FieldSeries:
    """The saved fields for other programs: VTU with a PVD, XDMF with HDF5, or both.

    Args:
        frames: whose moments they are.
    """

    def __init__(self, frames: Frames):
        self._frames = frames
        setup = frames.setup
        where, kind = frames.folder.path / "fields", setup.config.output.series
        self._vtu, self._xdmf = None, None
        names = (*setup.pde.fields, *setup.pde.vectors)
        if kind != "xdmf":
            self._vtu = SeriesWriter(where, STEM, setup.space.mesh, names)
        if kind != "vtu":
            self._xdmf = XdmfSeriesWriter(where, STEM, setup.space.mesh, names, expected=len(setup.times))

    def _arrays(self, u: Tensor) -> dict[str, Tensor]:
        """Fields at the points of the mesh, then vectors with three components, as ParaView wants them."""
        pde, at_points = self._frames.setup.pde, self._frames.setup.space.at_points(u).cpu()
        out = {name: at_points[:, k] for k, name in enumerate(pde.fields)}
        for name, parts in pde.vectors.items():
            each = [out[part] for part in parts]
            out[name] = torch.stack([*each, *[torch.zeros_like(each[0])] * (3 - len(each))], 1)
        return out

    def add(self, t: float, u: Tensor) -> None:
        """Write the state u [n, c]."""
        fields = self._arrays(u)
        for writer in (self._vtu, self._xdmf):
            if writer is not None:
                writer.add(t, fields)

    def go_on(self, count: int) -> None:
        """Take up the series after its first ``count`` frames, those in XDMF written anew from the raw states."""
        if self._vtu is not None:
            self._vtu.go_on(count)
        if self._xdmf is not None:
            rows = (self._frames.folder.path / METRICS).read_text(encoding="utf-8").splitlines()[:count]
            for k, row in enumerate(rows):
                self._xdmf.add(json.loads(row)["t"], self._arrays(self._frames.saved(k)))


class Frames:
    """Writes one VTU, one line of metrics and one raw state for each saved moment.

    Args:
        folder: where. setup: what runs. meter: measures each state. begin: called before the first frame is written.
        records: the tables beside the fields; made here where nobody gives them.
    """

    def __init__(
        self,
        folder: RunFolder,
        setup: Setup,
        meter: Meter,
        begin: Callable[[], None],
        records: Records | None = None,
    ):
        self.folder, self.setup, self.meter, self._begin = folder, setup, meter, begin
        self.records = Records(setup) if records is None else records
        self.series = FieldSeries(self)
        self.moments: list[Moment] = []
        self._dtype = np.dtype(np.float32 if setup.u0.dtype == torch.float32 else np.float64)

    @property
    def spool(self) -> Path:
        """The file of raw states."""
        return self.folder.path / "fields" / _SPOOL

    def add(self, step: int, t: float, u: Tensor, rhythm: Rhythm | None = None) -> None:
        """Save the state u [n, c] at time t; ``rhythm`` of adaptive steps tells the step that led there.

        Raises:
            OutputError: the disk is full or the folder is gone.
        """
        if not self.moments:
            self._begin()
            self.records.open(self.folder.path)
        self.series.add(t, u)
        try:
            with open(self.spool, "ab") as file:
                file.write(np.ascontiguousarray(u.cpu().numpy(), dtype=self._dtype).tobytes())
        except OSError as error:
            raise OutputError(f"cannot write '{self.spool}': {error.strerror or error}; free some space") from error
        self.records.frame(t, u)
        moment = self.meter.at(step, t, u)
        if rhythm is not None and rhythm.last:
            moment = moment._replace(dt=rhythm.last, rejected=rhythm.rejected)
        self.folder.append(METRICS, json.dumps(moment.row(self.setup.pde.fields)))
        self.moments.append(moment)

    def state(self, k: int) -> Tensor:
        """The saved state [n, c] number k, read back."""
        return self.saved(range(len(self.moments))[k])

    def saved(self, number: int) -> Tensor:
        """The raw state [n, c] in that place of the file."""
        n, c = self.setup.u0.shape
        frame = n * c * self._dtype.itemsize
        raw = np.fromfile(self.spool, dtype=self._dtype, count=n * c, offset=number * frame)
        return torch.from_numpy(raw.reshape(n, c))

    def pack(self) -> None:
        """Turn the raw states into ``run.npz`` if it is wanted, without holding them all.

        Raises:
            OutputError: it cannot be written.
        """
        self.records.flush()
        if not self.moments or not self.setup.config.output.npz:
            return
        n, c = self.setup.u0.shape
        states = np.memmap(self.spool, dtype=self._dtype, mode="r", shape=(len(self.moments), n, c))
        pos = self.setup.space.pos
        assert pos is not None
        write_npz(self.folder.path / "fields" / f"{STEM}.npz", [m.t for m in self.moments], states, pos)

    def close(self) -> None:
        """Remove the raw states."""
        self.spool.unlink(missing_ok=True)
