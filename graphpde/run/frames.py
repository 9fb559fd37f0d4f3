"""Saved moments go straight to disk: memory holds one state, and whoever stops the program keeps all of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphpde.errors import OutputError
from graphpde.run.folder import RunFolder
from graphpde.run.kit import Kit
from graphpde.run.rhythm import Rhythm
from graphpde.viz import write_npz

STEM = "run"
METRICS = "metrics.jsonl"
_SPOOL = "states.part"  # raw states one after the other, packed into the NPZ at the end


class Frames:
    """Writes one VTU, one line of metrics and one raw state for each saved moment.

    Args:
        folder: where. kit: of what runs. begin: called before the first frame is written.
    """

    def __init__(self, folder: RunFolder, kit: Kit, begin: Callable[[], None]):
        self.folder, self.kit, self.setup, self._begin = folder, kit, kit.setup, begin
        self.records, self.meter = kit.records, kit.meter
        self.series = kit.series(self)
        self.moments: list[Any] = []
        self._dtype = np.dtype(np.float32 if self.setup.u0.dtype == torch.float32 else np.float64)

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
        self.folder.append(METRICS, json.dumps(moment.row(self.setup.fields)))
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
        pos = self.kit.positions
        write_npz(self.folder.path / "fields" / f"{STEM}.npz", [m.t for m in self.moments], states, pos)

    def close(self) -> None:
        """Remove the raw states."""
        self.spool.unlink(missing_ok=True)
