"""Saved particles for other programs: a VTU of points for each moment, with a PVD."""

from __future__ import annotations

import torch
from torch import Tensor

from graphpde.hamiltonian.balance import particles_of
from graphpde.hamiltonian.sph import Fluid
from graphpde.mesh.mesh import Mesh
from graphpde.run.frames import STEM, Frames
from graphpde.run.particles.config import ParticleSetup
from graphpde.viz import SeriesWriter


class PointSeries:
    """Points where the particles are, with what they carry: see :func:`carried`.

    Args:
        frames: whose moments they are.
    """

    def __init__(self, frames: Frames):
        self._setup: ParticleSetup = frames.setup
        n = len(self._setup.u0)
        self._cloud = Mesh(placed(self._setup, self._setup.q), {"vertex": torch.arange(n)[:, None]})
        names = tuple(carried(self._setup, self._setup.u0))
        self._writer = SeriesWriter(frames.folder.path / "fields", STEM, self._cloud, names)

    def add(self, t: float, u: Tensor) -> None:
        """Write the state u [n, c]."""
        self._writer.mesh = self._cloud.with_points(placed(self._setup, u[:, : self._setup.d]))
        self._writer.add(t, carried(self._setup, u))

    def go_on(self, count: int) -> None:
        """Take up the series after its first ``count`` frames."""
        self._writer.go_on(count)


@torch.no_grad()
def carried(setup: ParticleSetup, u: Tensor) -> dict[str, Tensor]:
    """What the particles of a state u [n, c] carry: the velocity [n, 3] of the points, the mass [n], NaN of walls.

    Of liquids the density and pressure [n], NaN of walls, too; where there are walls, what is ``held`` [n].
    """
    body = particles_of(setup.term)
    q, v = u[:, : setup.d].cpu().double(), velocities(setup, u).double()
    if setup.known.where == "chain":
        v = torch.cat([torch.zeros_like(_sites(setup)), v], 1)
    elif setup.known.where == "angle":
        v = v * torch.cat([q.cos(), q.sin()], 1)
    values = {"velocity": _three(v), "mass": body.masses.double().cpu()}
    held = torch.isinf(values["mass"])
    if isinstance(body, Fluid):
        rho = body.parts(u)[2][:, 0]
        values |= {"density": rho.double().cpu(), "pressure": body.law.pressure(rho).double().cpu()}
        held = held if body.held is None else body.held.cpu()
    if not bool(held.any()):
        return values
    return {k: x if k == "velocity" else torch.where(held, torch.nan, x) for k, x in values.items()} | {
        "held": held.double()
    }


@torch.no_grad()
def velocities(setup: ParticleSetup, u: Tensor) -> Tensor:
    """Of the particles [n, d]."""
    body = particles_of(setup.term)
    return (body.phase(u)[1] / body.masses.to(u)[:, None]).cpu()


def placed(setup: ParticleSetup, q: Tensor) -> Tensor:
    """Points in space [n, 3] of positions [n, d]: chains stand in a row and lattices in a plane, displaced across."""
    q = q.detach().cpu().double()
    if setup.known.where == "chain":
        q = torch.cat([_sites(setup), q], 1)
    elif setup.known.where == "angle":
        q = torch.cat([q.sin(), -q.cos()], 1)
    box = getattr(particles_of(setup.term), "box", None)
    return _three(q if box is None else box.inside(q))


def _sites(setup: ParticleSetup) -> Tensor:
    """Numbers along a row [n, 1], or along both sides of a lattice in the plane [n, 2]."""
    n, shape = len(setup.u0), setup.config.system.get("shape", ())
    sides = [torch.arange(k, dtype=torch.float64) for k in (shape if len(shape) == 2 else (n,))]
    return torch.cartesian_prod(*sides).reshape(n, -1)


def _three(x: Tensor) -> Tensor:
    x = x.double()
    return torch.cat([x, x.new_zeros(len(x), 3 - x.shape[1])], 1) if x.shape[1] < 3 else x
