"""The saved fields for other programs: VTU with a PVD, XDMF with HDF5, or both."""

from __future__ import annotations

import json

import torch
from torch import Tensor

from graphpde.run.frames import METRICS, STEM, Frames
from graphpde.viz import SeriesWriter, XdmfSeriesWriter


class FieldSeries:
    """The fields at the points of the mesh.

    Args:
        frames: whose moments they are.
    """

    def __init__(self, frames: Frames):
        self._frames = frames
        setup = frames.setup
        where, kind = frames.folder.path / "fields", setup.config.output.series
        self._vtu, self._xdmf = None, None
        names = self._names()
        if kind != "xdmf":
            self._vtu = SeriesWriter(where, STEM, setup.space.mesh, names)
        if kind != "vtu":
            self._xdmf = XdmfSeriesWriter(where, STEM, setup.space.mesh, names, expected=len(setup.times))

    def _names(self) -> tuple[str, ...]:
        """Of :meth:`_arrays`."""
        pde = self._frames.setup.pde
        return (*pde.fields, *pde.vectors)

    def _arrays(self, t: float, u: Tensor) -> dict[str, Tensor]:
        """Fields at the points of the mesh, then vectors with three components, as ParaView wants them."""
        pde, at_points = self._frames.setup.pde, self._frames.setup.space.at_points(u).cpu()
        out = {name: at_points[:, k] for k, name in enumerate(pde.fields)}
        for name, parts in pde.vectors.items():
            each = [out[part] for part in parts]
            out[name] = torch.stack([*each, *[torch.zeros_like(each[0])] * (3 - len(each))], 1)
        return out

    def add(self, t: float, u: Tensor) -> None:
        """Write the state u [n, c]."""
        fields = self._arrays(t, u)
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
                t = json.loads(row)["t"]
                self._xdmf.add(t, self._arrays(t, self._frames.saved(k)))
