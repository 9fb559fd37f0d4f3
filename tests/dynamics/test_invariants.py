"""What whole simulations keep: mass, energy, bounds, and their answer under renumbering, rotation and translation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import networkx
import numpy as np
import pytest
import torch
from torch import Tensor

from graphpde.core.bridges import to_networkx, to_pyg
from graphpde.core.graph import Graph
from graphpde.core.relation import Relation
from graphpde.dynamics import BackwardEuler, CrankNicolson, Euler, Rk4, Stepper, evolve, steady
from graphpde.dynamics.evolve import longest_stable_step
from graphpde.mesh import Mesh, Space, jittered, plate_with_holes, random_cube, random_square, rectangle, sphere
from graphpde.ops import Diffusion, Dirichlet, Neumann, Reaction, Source, System

START = torch.tensor(0.0, dtype=torch.float64)


def random_field(n: int, c: int = 1, seed: int = 0) -> Tensor:
    return torch.rand(n, c, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def stable_step(term: Any, stepper: Stepper) -> float:
    bound = longest_stable_step(System(term, None, START), stepper)
    assert bound is not None
    return bound


# mass


@pytest.mark.long
@pytest.mark.parametrize("steps", [2_000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_mass_does_not_drift(steps: int) -> None:
    """On a closed surface nothing is lost: one flux an edge leaves one node and enters the other.

    By t = 1 the slowest mode of the unit sphere has fallen to exp(-2): there are fluxes to the last step. Seen: 6e-16.
    """
    space = Space(sphere(level=3))
    assert space.n == 642
    heat = Diffusion(space, conservative=True)
    u0 = random_field(space.n)
    before = float(space.integral(u0))
    drift = 0.0

    def watch(step: int, of: int, t: float, u: Tensor) -> None:
        nonlocal drift
        if step % 1000 == 0:
            drift = max(drift, abs(float(space.integral(u)) - before) / before)

    with torch.no_grad():
        run = evolve(heat, u0, [0.0, 1.0], stepper=Euler(), dt=1 / steps, watch=watch)
    assert run.steps == steps
    assert drift <= 1e-12, f"the mass drifted by {drift:.1e} of itself in {steps} steps"


@pytest.mark.parametrize("stepper", [Rk4(), BackwardEuler(), CrankNicolson()], ids=lambda s: s.name)
def test_mass_changes_by_what_comes_in(stepper: Stepper) -> None:
    """Inflow per length times length, plus source per area times area, whatever the mesh."""
    space = Space(jittered(rectangle(5, 4, width=2.0), 0.2, seed=1))
    terms = Diffusion(space, 0.1) + Neumann("left", 0.7) + Source(space, 0.25)
    u0 = random_field(space.n)
    run = evolve(terms, u0, [0.0, 0.5, 1.0], stepper=stepper, dt=0.01)
    expected = float(space.integral(u0)) + run.times * (0.7 * 1.0 + 0.25 * 2.0)
    assert torch.allclose(space.integral(run.states).flatten(), expected, rtol=1e-12)


# energy


@pytest.mark.parametrize("stepper", [Euler(), Rk4(), BackwardEuler(), CrankNicolson()], ids=lambda s: s.name)
@pytest.mark.parametrize("lumped", [True, False], ids=["lumped", "consistent"])
def test_energy_and_norm_decrease(stepper: Stepper, lumped: bool) -> None:
    """Both the Dirichlet energy and the norm of the mass fall at every step, explicit up to the bound."""
    space = Space(random_square(6, seed=1), lumped=lumped)
    heat = Diffusion(space)
    assert heat.operator is not None
    mass = torch.diag(space.measure) if lumped else torch.from_numpy(space.consistent_mass.to_scipy().toarray())
    energies: list[tuple[float, float]] = []

    def watch(step: int, of: int, t: float, u: Tensor) -> None:
        energies.append((-float((u * heat.operator(u)).sum()), float((u * (mass @ u)).sum())))

    dt = 0.05 if stepper.implicit else 0.99 * stable_step(heat, stepper)
    evolve(heat, random_field(space.n) - 0.5, [0.0, 60 * dt], stepper=stepper, dt=dt, watch=watch)
    change = np.diff(np.array(energies), axis=0)
    # the norm ends at that of the mean, from where only rounding moves it
    assert float(change.max()) <= 1e-14
    assert energies[-1][0] < 0.1 * energies[0][0]


# bounds


@pytest.fixture(scope="module")
def plate() -> Space:
    space = Space(plate_with_holes(0.08))
    assert float(space.weight.min()) >= -1e-12  # no obtuse angle faces the boundary, so the matrix is monotone
    return space


@pytest.mark.parametrize("dt", [1e-8, 1e-5, 1e-3, 1e-1, 1e2, 1e6])
def test_no_value_leaves_the_bounds_of_the_data(plate: Space, dt: float) -> None:
    """Lumped mass, backward Euler: every step is an average of the state before and the boundary data."""
    terms = Diffusion(plate) + Dirichlet("left", 0.0) + Dirichlet("hole0", 1.0)
    rng = torch.Generator().manual_seed(3)
    u0 = torch.stack(
        [
            torch.rand(plate.n, 1, dtype=torch.float64, generator=rng),
            (torch.rand(plate.n, 1, dtype=torch.float64, generator=rng) > 0.5).double(),
            (torch.rand(plate.n, 1, dtype=torch.float64, generator=rng) > 0.98).double(),
        ]
    )
    seen: list[Tensor] = []
    evolve(
        terms, u0, [0.0, 20 * dt], stepper=BackwardEuler(), dt=dt, watch=lambda k, n, t, u: seen.append(u), save=None
    )
    assert len(seen) == 20
    every = torch.stack(seen)
    assert float(every.min()) >= -1e-12
    assert float(every.max()) <= 1 + 1e-12


def test_explicit_steps_keep_the_bounds_up_to_half_the_stable_step(plate: Space) -> None:
    """1 - dt d_i / m_i >= 0: each Euler step is an average, too."""
    heat = Diffusion(plate)
    assert heat.operator is not None
    dt = float((plate.measure / heat.operator.diagonal().abs()).min())
    u0 = (random_field(plate.n) > 0.5).double()
    low, high = [], []

    def watch(step: int, of: int, t: float, u: Tensor) -> None:
        low.append(float(u.min()))
        high.append(float(u.max()))

    terms = heat + Dirichlet("left", 0.0) + Dirichlet("hole0", 1.0)
    evolve(terms, u0, [0.0, 200 * dt], stepper=Euler(), dt=dt, watch=watch)
    assert min(low) >= -1e-12
    assert max(high) <= 1 + 1e-12


# symmetries


def simulate(space: Space, at: Tensor, stepper: Stepper) -> Tensor:
    """Diffusion, a source, a reaction and both kinds of conditions; ``at`` [n, d] are the positions they read."""
    n = space.n
    u0 = torch.stack([torch.sin(3 * at[:, 0]) + at[:, 1] ** 2, at[:, 0] * at[:, 1]], 1)
    terms = Diffusion(space, 0.05) + Source(space, torch.cos(2 * at[:, 1])) + Reaction(lambda u: u - u**3)
    # by nodes: which ones, their values, and what flows into them move with the numbering
    boundary = torch.zeros(n, dtype=torch.bool)
    boundary[space.nodes_of("boundary")] = True
    held = (boundary & (at[:, 0] < 0.3)).nonzero()[:, 0]
    terms = terms + Dirichlet(held, torch.stack([at[held, 1], at[held, 0]], 1)) + Neumann("inlet", 0.3)
    return evolve(terms, u0, [0.0, 0.3], stepper=stepper, dt=0.01).final


def with_inlet(mesh: Mesh, at: Tensor) -> Mesh:
    """The boundary facets whose corners all lie at x > 0.7, as "inlet"."""
    ids = mesh.boundary_facets
    inside = (at[mesh.facets.nodes[ids], 0] > 0.7).all(1)
    assert bool(inside.any())
    return mesh.with_tags(inlet=mesh.make_tag(mesh.dim - 1, ids[inside]))


MESHES = {
    "triangles": lambda: random_square(5, seed=1),
    "quads": lambda: jittered(rectangle(4, 4, cells="quad"), 0.2, seed=1),
    "tets": lambda: random_cube(2, seed=1),
}
STEPPERS = pytest.mark.parametrize("stepper", [Rk4(), CrankNicolson()], ids=lambda s: s.name)


@STEPPERS
@pytest.mark.parametrize("name", MESHES)
def test_numbering_does_not_matter(name: str, stepper: Stepper) -> None:
    mesh = MESHES[name]()
    rng = np.random.default_rng(0)
    to_new = torch.from_numpy(rng.permutation(mesh.n))
    points = torch.empty_like(mesh.points)
    points[to_new] = mesh.points
    cells = {k: to_new[v][torch.from_numpy(rng.permutation(len(v)))] for k, v in mesh.cells.items()}
    finals = []
    for m in (mesh, Mesh(points, cells)):
        space = Space(with_inlet(m, m.points))
        finals.append(space.at_points(simulate(space, space.pos, stepper)))
    # Newton's method stops at the same residual, and everything else differs by the order of its sums
    assert float((finals[1][to_new] - finals[0]).abs().max()) <= 1e-12


@STEPPERS
@pytest.mark.parametrize("name", MESHES)
@pytest.mark.parametrize("shift", [0.0, 1e6])
def test_place_does_not_matter(name: str, stepper: Stepper, shift: float) -> None:
    """A rotation, and a translation by 1e6, of meshes with edges of about 0.2."""
    mesh = MESHES[name]()
    d = mesh.space_dim
    turn = np.linalg.qr(np.random.default_rng(1).standard_normal((d, d)))[0]
    turn[:, 0] *= np.linalg.det(turn)
    moved = mesh.with_points(mesh.points @ torch.from_numpy(turn) + shift)
    finals = []
    for m in (mesh, moved):
        space = Space(with_inlet(m, mesh.points))
        finals.append(simulate(space, mesh.points[space.point_of_dof], stepper))
    # positions near 1e6 are stored to 1.2e-10 / 2, 3e-10 of an edge of 0.2, and weights inherit that; in place they
    # are stored to rounding
    error = float((finals[1] - finals[0]).norm() / finals[0].norm())
    assert error <= (1e-9 if shift else 1e-12)


def weighted_graph() -> Graph:
    nx = networkx.connected_watts_strogatz_graph(30, 4, 0.3, seed=1)
    pairs = torch.tensor(list(nx.edges)).T
    weight = 0.1 + random_field(pairs.shape[1])[:, 0]
    edges = Relation.from_edges(torch.cat([pairs[0], pairs[1]]), torch.cat([pairs[1], pairs[0]]), 30, 30)
    return Graph(edges, weight=edges.own(torch.cat([weight, weight])))


@STEPPERS
def test_copies_in_other_libraries_run_alike(stepper: Stepper) -> None:
    graph = weighted_graph()
    u0 = random_field(30, 2)

    def final(domain: Any) -> Tensor:
        terms = Diffusion(domain) + Reaction(lambda u: u - u**3) + Dirichlet([3], 1.0)
        return evolve(terms, u0, [0.0, 1.0], stepper=stepper, dt=0.02).final

    ours = final(graph)
    for copy in (to_pyg(graph), to_networkx(graph)):
        assert not isinstance(copy, Graph)
        assert torch.allclose(final(copy), ours, rtol=0, atol=1e-13)
    other = to_pyg(graph)
    other.edge_weight = 2 * other.edge_weight
    assert float((final(other) - ours).abs().max()) > 1e-2


# against a reference solution


def test_poisson_round_four_holes(shared_data: Path) -> None:
    """-laplace u = 0 with u = 1 on the square and u = 0 on four circles, against the reference of Hao et al. 2023."""
    from matplotlib.tri import LinearTriInterpolator, Triangulation
    from scipy.spatial import cKDTree

    path = shared_data / "pde" / "pinnacle" / "poisson_classic.dat"
    if not path.is_file():
        pytest.skip("the reference solution poisson_classic.dat is absent")
    x, y, reference = np.loadtxt(path, comments="%").T
    holes = [(a, b, 0.1) for a in (-0.3, 0.3) for b in (-0.3, 0.3)]
    space = Space(plate_with_holes(0.02, 1.0, 1.0, holes, origin=(-0.5, -0.5)))
    terms: Any = Diffusion(space) + Dirichlet("outer", 1.0)
    for k in range(4):
        terms = terms + Dirichlet(f"hole{k}", 0.0)
    u = steady(terms, torch.zeros(space.n, 1, dtype=torch.float64)).value[:, 0].numpy()
    pos = space.pos.numpy()
    triangles = Triangulation(pos[:, 0], pos[:, 1], space.mesh.cells["triangle"].numpy())
    inside = np.ma.filled(LinearTriInterpolator(triangles, u)(x, y), np.nan)
    # points between a circle and its polygon lie outside the mesh
    found = np.where(np.isnan(inside), u[cKDTree(pos).query(np.stack([x, y], 1))[1]], inside)
    assert np.isnan(inside).mean() <= 0.02
    error = np.linalg.norm(found - reference) / np.linalg.norm(reference)
    assert error <= 0.01, f"relative L2 error {error:.2%} on {space.n} unknowns, expected at most 1 %"
