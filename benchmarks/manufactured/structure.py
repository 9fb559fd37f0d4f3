"""Figures that no order shows: mass over very many steps, bounds, independence of numbering, a reference solution."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from benchmarks.manufactured import meshes
from graphpde.dynamics import BackwardEuler, Euler, SaveTo, Stepper, evolve, steady
from graphpde.dynamics.evolve import longest_stable_step
from graphpde.mesh import Mesh, Space, cell_centroids, plate_with_holes, rectangle
from graphpde.ops import Advection, Diffusion, Dirichlet, Neumann, Reaction, Source, Sum, System

_START = torch.zeros((), dtype=torch.float64)


class Conservation(NamedTuple):
    """What a long explicit run did to mass and energy.

    Attributes:
        unknowns, steps: of the run. drift: largest relative change of mass. rise: largest increase of the energy
            between two looks, relative to the first energy (0 = it never rose).
    """

    unknowns: int
    steps: int
    drift: float
    rise: float


def closed_surface() -> Mesh:
    """The random sphere: 642 points."""
    return meshes.globe(2)


def insulated_plate() -> Mesh:
    """A plate with two holes: about 1000 points."""
    return plate_with_holes(0.047)


def conservation(mesh: Mesh, steps: int, *, conservative: bool = True, looks: int = 200) -> Conservation:
    """Forward Euler for the heat equation without sources or sinks, at 90 percent of the stability bound."""
    space = Space(mesh)
    heat = Diffusion(space, conservative=conservative)
    dt = 0.9 * (longest_stable_step(System(heat, None, _START), Euler()) or 1.0)
    u0 = torch.from_numpy(np.random.default_rng(0).uniform(0.5, 1.5, (space.n, 1)))
    mass, energy = [], []

    def look(t: float, u: Tensor) -> None:
        mass.append(float(space.integral(u)))
        energy.append(-float((u * heat.operator(u)).sum()))

    times = dt * steps * torch.linspace(0, 1, looks + 1, dtype=torch.float64)
    run = evolve(heat, u0, times, stepper=Euler(), dt=dt, save=SaveTo(look))
    drift = max(abs(m - mass[0]) for m in mass) / abs(mass[0])
    rise = max(b - a for a, b in pairwise(energy)) / energy[0]
    return Conservation(space.n, run.steps, drift, max(rise, 0.0))


def bounds_violation(mesh: Mesh, dt: float, steps: int = 200) -> float:
    """How far backward Euler leaves [0, 1] from random values in it, one side held at 0 and one at 1."""
    space = Space(mesh)
    heat = Diffusion(space) + Dirichlet("left", 0.0) + Dirichlet("right", 1.0)
    u0 = torch.from_numpy(np.random.default_rng(0).integers(0, 2, (space.n, 1)).astype(np.float64))
    worst = 0.0

    def look(t: float, u: Tensor) -> None:
        nonlocal worst
        worst = max(worst, float((-u).max()), float((u - 1).max()))

    times = dt * torch.arange(steps + 1, dtype=torch.float64)
    evolve(heat, u0, times, stepper=BackwardEuler(), save=SaveTo(look))
    return worst


def flat_triangles() -> Mesh:
    """A square whose triangles were pressed flat: obtuse angles everywhere, so no maximum principle."""
    mesh = rectangle(12, 12)
    skew = torch.tensor([[1.0, 0.0], [2.5, 1.0]], dtype=torch.float64)
    return mesh.with_points(mesh.points @ skew)


def renumbered(mesh: Mesh, seed: int = 0) -> tuple[Mesh, Tensor]:
    """The same mesh with points and cells in random order, and the new number of each point."""
    rng = np.random.default_rng(seed)
    new = torch.from_numpy(rng.permutation(mesh.n))
    points = torch.empty_like(mesh.points)
    points[new] = mesh.points
    cells = {kind: new[nodes][torch.from_numpy(rng.permutation(len(nodes)))] for kind, nodes in mesh.cells.items()}
    return Mesh(points, cells), new


def numbering_difference(mesh: Mesh, stepper: Stepper) -> float:
    """Largest relative change of a whole simulation (diffusion, transport, reaction, all conditions) by renumbering."""
    other, new = renumbered(mesh)
    one, two = _everything(Space(mesh), stepper), _everything(Space(other), stepper)
    return float((two[new] - one).abs().max() / one.abs().max())


def _everything(space: Space, stepper: Stepper) -> Tensor:
    """Final state [mesh.n, 1] on the points of the mesh."""
    assert space.pos is not None
    x = cell_centroids(space.mesh)
    kappa = 0.05 * (1 + x[:, 0] ** 2)
    terms = Sum.of(
        Diffusion(space, kappa),
        Advection(space, lambda y: torch.stack([1 + 0 * y[:, 0], 0.3 * y[:, 0]], 1)),
        Reaction(lambda u: u - u**3),
        Source(space, lambda y, t: torch.sin(3 * y[:, 0] + t)),
        Dirichlet(lambda y: y[:, 0] < 1e-9, lambda y, t: torch.cos(y[:, 1] + t)),
        Neumann(lambda y: y[:, 1] < 1e-9, lambda y, t: y[:, 0] * torch.exp(-t)),
    )
    u0 = torch.sin(4 * space.pos[:, :1]) * torch.cos(3 * space.pos[:, 1:])
    dt = 0.02 if stepper.implicit else 0.9 * (longest_stable_step(System(terms, None, _START), stepper) or 1.0)
    return space.at_points(evolve(terms, u0, [0.0, 0.5], stepper=stepper, dt=dt).final)


def classic_poisson(table: Path, size: float = 0.012) -> tuple[int, float]:
    """(unknowns, relative L2 error at the points of ``table``) of Laplace's equation on a square with four holes.

    u = 1 on the boundary of [-1/2, 1/2]^2 and 0 on circles of radius 1/10 round (+-0.3, +-0.3).
    """
    x, y, reference = np.loadtxt(table, comments="%").T[:3]
    holes = [(a, b, 0.1) for a in (-0.3, 0.3) for b in (-0.3, 0.3)]
    space = Space(plate_with_holes(size, 1.0, 1.0, holes, origin=(-0.5, -0.5)))
    outer = [Dirichlet(side, 1.0) for side in ("left", "right", "bottom", "top")]
    terms = Sum.of(Diffusion(space), *outer, *(Dirichlet(f"hole{k}", 0.0) for k in range(4)))
    u = steady(terms, torch.zeros(space.n, 1, dtype=torch.float64)).value
    found = _sampled(space, u[:, 0].numpy(), np.stack([x, y], 1))
    return space.n, float(np.linalg.norm(found - reference) / np.linalg.norm(reference))


def _sampled(space: Space, u: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Values of a P1 function at points [k, 2]; points a little outside are extrapolated from the nearest triangle."""
    from scipy.spatial import cKDTree

    ((_, nodes, _),) = space.mesh.corners()
    corners = space.mesh.points[nodes].numpy()
    _, near = cKDTree(corners.mean(1)).query(at, k=16)
    edges = np.stack([corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]], -1)
    local = np.linalg.solve(edges[near], (at[:, None] - corners[near, 0])[..., None])[..., 0]
    weights = np.concatenate([1 - local.sum(-1, keepdims=True), local], -1)
    best = weights.min(-1).argmax(1)
    rows = np.arange(len(at))
    values = u[space.dof_of_point[nodes].numpy()][near[rows, best]]
    return (weights[rows, best] * values).sum(-1)
