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
from graphpde.viz import SeriesWriter, write_npz

STEM = "run"
_SPOOL = "states.part"  # raw states one after the other, packed into the NPZ at the end


class Frames:
    """Writes one VTU, one line of metrics and one raw state for each saved moment.

    Args:
        folder: where. setup: what runs. meter: measures each state. begin: called before the first frame is written.
    """

    def __init__(self, folder: RunFolder, setup: Setup, meter: Meter, begin: Callable[[], None]):
        self.folder, self.setup, self.meter, self._begin = folder, setup, meter, begin
        self.series = SeriesWriter(folder.path / "fields", STEM, setup.space.mesh, setup.pde.fields)
        self.moments: list[Moment] = []
        self._dtype = np.dtype(np.float32 if setup.u0.dtype == torch.float32 else np.float64)

    @property
    def spool(self) -> Path:
        """The file of raw states."""
        return self.folder.path / "fields" / _SPOOL

    def add(self, step: int, t: float, u: Tensor) -> None:
        """Save the state u [n, c] at time t.

        Raises:
            OutputError: the disk is full or the folder is gone.
        """
        if not self.moments:
            self._begin()
        at_points = self.setup.space.at_points(u).cpu()
        self.series.add(t, {name: at_points[:, k] for k, name in enumerate(self.setup.pde.fields)})
        try:
            with open(self.spool, "ab") as file:
                file.write(np.ascontiguousarray(u.cpu().numpy(), dtype=self._dtype).tobytes())
        except OSError as error:
            raise OutputError(f"cannot write '{self.spool}': {error.strerror or error}; free some space") from error
        moment = self.meter.at(step, t, u)
        self.folder.append("metrics.jsonl", json.dumps(moment.row(self.setup.pde.fields)))
        self.moments.append(moment)

    def state(self, k: int) -> Tensor:
        """The saved state [n, c] number k, read back."""
        n, c = self.setup.u0.shape
        frame = n * c * self._dtype.itemsize
        number = range(len(self.moments))[k]
        raw = np.fromfile(self.spool, dtype=self._dtype, count=n * c, offset=number * frame)
        return torch.from_numpy(raw.reshape(n, c))

    def pack(self) -> None:
        """Turn the raw states into ``run.npz`` if it is wanted, without holding them all.

        Raises:
            OutputError: it cannot be written.
        """
        if not self.moments or not self.setup.config.output.npz:
            return
        n, c = self.setup.u0.shape
        states = np.memmap(self.spool, dtype=self._dtype, mode="r", shape=(len(self.moments), n, c))
        pos = self.setup.space.pos
        assert pos is not None
        write_npz(self.series.path.with_suffix(".npz"), [m.t for m in self.moments], states, pos)

    def close(self) -> None:
        """Remove the raw states."""
        self.spool.unlink(missing_ok=True)
