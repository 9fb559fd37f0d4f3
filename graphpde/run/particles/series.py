"""Saved particles for other programs: a VTU of points for each moment, with a PVD."""

from __future__ import annotations

import torch
from torch import Tensor

from graphpde.hamiltonian.balance import particles_of
from graphpde.mesh.mesh import Mesh
from graphpde.run.frames import STEM, Frames
from graphpde.run.particles.config import ParticleSetup
from graphpde.viz import SeriesWriter


class PointSeries:
    """Points where the particles are, with their velocities [n, 3].

    Args:
        frames: whose moments they are.
    """

    def __init__(self, frames: Frames):
        self._setup: ParticleSetup = frames.setup
        n = len(self._setup.u0)
        self._cloud = Mesh(placed(self._setup, self._setup.q), {"vertex": torch.arange(n)[:, None]})
        self._writer = SeriesWriter(frames.folder.path / "fields", STEM, self._cloud, ("velocity",))

    def add(self, t: float, u: Tensor) -> None:
        """Write the state u [n, c]."""
        q, speed = u[:, : self._setup.d], velocities(self._setup, u)
        self._writer.mesh = self._cloud.with_points(placed(self._setup, q))
        self._writer.add(t, {"velocity": _three(speed)})

    def go_on(self, count: int) -> None:
        """Take up the series after its first ``count`` frames."""
        self._writer.go_on(count)


@torch.no_grad()
def velocities(setup: ParticleSetup, u: Tensor) -> Tensor:
    """Of the particles [n, d]."""
    body = particles_of(setup.term)
    return (body.phase(u)[1] / body.masses.to(u)[:, None]).cpu()


def placed(setup: ParticleSetup, q: Tensor) -> Tensor:
    """Points in space [n, 3] of positions [n, d]: chains stand in a row, their displacements across it."""
    q = q.detach().cpu().double()
    if setup.known.where == "chain":
        q = torch.stack([torch.arange(len(q), dtype=q.dtype), q[:, 0]], 1)
    elif setup.known.where == "angle":
        q = torch.cat([q.sin(), -q.cos()], 1)
    box = getattr(particles_of(setup.term), "box", None)
    return _three(q if box is None else box.inside(q))


def _three(x: Tensor) -> Tensor:
    x = x.double()
    return torch.cat([x, x.new_zeros(len(x), 3 - x.shape[1])], 1) if x.shape[1] < 3 else x
