"""Particles: forces by hand against autograd, lists of neighbours against all pairs, what stays and what is refused."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from graphpde.core.close_pairs import Box
from graphpde.core.incidence import Incidence
from graphpde.dynamics import Respa, evolve
from graphpde.errors import Diverged, InputError, ShapeError, SolveError
from graphpde.hamiltonian import (
    HenonHeiles,
    Particles,
    Pendulum,
    Quartic,
    Start,
    Weight,
    chain,
    double_pendulum,
    fput,
    henon_heiles,
    kepler,
    lennard_jones,
    mode_energies,
    nbody,
    pendulum,
    phi4,
    springs,
    toda,
)  # fmt: skip
from graphpde.ops import Force
from graphpde.ops.moving import NeighbourList
from graphpde.ops.pair import PAIRS, EdgeEnergy, Fput, Gravity, LennardJones, Spring, Toda, pull_in_place

START = torch.tensor(0.0, dtype=torch.float64)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def cloud(n: int, d: int, seed: int = 0) -> Tensor:
    return torch.randn(n, d, generator=rng(seed), dtype=torch.float64)


# energies and forces

ENERGIES = [
    Spring(2.0, 0.7), Spring(1.5), Gravity(0.8), Gravity(1.0, 0.3), LennardJones(), LennardJones(0.7, 1.1, 1.5),
    LennardJones(cutoff=None), LennardJones(cutoff=1.8, ending="value"), Fput(0.25, 0.1), Toda(),
]  # fmt: skip


@pytest.mark.parametrize("pair", ENERGIES, ids=lambda p: f"{type(p).__name__}{p.cutoff or ''}")
def test_pulls_are_slopes_of_energies(pair) -> None:
    d = cloud(60, 3).requires_grad_()
    weight = torch.rand(60, 1, generator=rng(1), dtype=torch.float64) + 0.5
    for w in (None, weight):
        (slope,) = torch.autograd.grad(pair.energy(d, w).sum(), d)
        assert torch.allclose(slope, pair.pull(d, w), rtol=1e-12, atol=1e-12)


def test_all_named_energies_are_tested() -> None:
    assert set(PAIRS.values()) == {type(pair) for pair in ENERGIES}


def test_lennard_jones_ends_at_its_cutoff() -> None:
    near = torch.tensor([[2.5 - 1e-9, 0, 0], [2.5, 0, 0], [3.0, 0, 0]], dtype=torch.float64)
    shifted, cut = LennardJones(), LennardJones(ending="value")
    assert float(shifted.energy(near).abs().max()) < 1e-15
    assert float(shifted.pull(near).abs().max()) < 1e-8
    assert float(cut.energy(near).abs().max()) < 1e-9
    assert float(cut.pull(near)[0].norm()) > 0.03
    assert float(cut.pull(near)[1:].norm()) == 0
    least = torch.tensor([[2 ** (1 / 6), 0, 0]], dtype=torch.float64)
    assert float(LennardJones(cutoff=None).energy(least)) == pytest.approx(-1, abs=1e-15)
    assert float(LennardJones(cutoff=None).pull(least).norm()) < 1e-13


@pytest.mark.parametrize("field", [Pendulum(1.3), Quartic(-1.0, 0.7), HenonHeiles(), Weight([1.0] * 7, (0.3, -2.0))])
def test_fields_pull_by_their_slopes(field) -> None:
    q = cloud(7, 2).requires_grad_()
    (slope,) = torch.autograd.grad(field.energy(q).sum(), q)
    assert torch.allclose(slope, field.pull(q), rtol=1e-13, atol=1e-13)
    assert torch.allclose(slope, super(type(field), field).pull(q), rtol=1e-13, atol=1e-13)


SYSTEMS = {
    "pendulum": pendulum, "henon_heiles": henon_heiles, "fput": lambda: fput(8), "toda": lambda: toda(8),
    "phi4": lambda: phi4((5, 4)), "springs": springs, "kepler": kepler, "nbody": lambda: nbody(20),
    "lennard_jones": lambda: lennard_jones(4),
}  # fmt: skip


@pytest.mark.parametrize("name", SYSTEMS)
def test_forces_are_slopes_of_the_energy(name: str) -> None:
    """Also of the kinetic energy: velocities."""
    system, u = SYSTEMS[name]()
    u = (u + 0.01 * cloud(*u.shape, seed=5)).requires_grad_()
    (slope,) = torch.autograd.grad(system.energy(u), u)
    d = u.shape[1] // 2
    rate = system.forward(START, u)
    scale = float(rate.abs().max()) + 1
    assert float((rate[:, :d] - slope[:, d:]).abs().max()) < 1e-12 * scale
    assert float((rate[:, d:] + slope[:, :d]).abs().max()) < 1e-12 * scale


def test_forces_cancel_in_pairs() -> None:
    for start in (springs(7), nbody(50), lennard_jones(4)):
        d = start.state.shape[1] // 2
        force = start.system.kick(START, start.state[:, :d] + 0.02 * cloud(start.system.n, d))
        assert float(force.sum(0).abs().max()) < 1e-12 * float(force.abs().sum())


def test_a_batch_is_its_states() -> None:
    system, u = springs(6)
    both = torch.stack([u, u.flip(0)])
    run = evolve(system, both, [0.0, 1.0], stepper="leapfrog", dt=0.05).final
    for alone, beside in zip(both, run, strict=True):
        assert torch.allclose(evolve(system, alone, [0.0, 1.0], stepper="leapfrog", dt=0.05).final, beside, atol=1e-14)
    assert system.energy(both).shape == (2,)


@pytest.mark.parametrize("stepper", ("leapfrog", "rk4"))
def test_forces_are_added_to_particles(stepper: str) -> None:
    """A Force leaves the drift alone: with all steppers the run is that of the sum of the energies."""
    system, u = springs(5)
    field = Quartic(0.3, 0.2)
    whole = Particles(system.masses, system.pairs, edges=system.edges, field=field)
    one = evolve(system + Force(lambda t, q: -field.pull(q)), u, [0.0, 1.0], stepper=stepper, dt=0.05).final
    assert torch.allclose(one, evolve(whole, u, [0.0, 1.0], stepper=stepper, dt=0.05).final, atol=1e-13)
    with pytest.raises(InputError, match="Particles and Particles both move the positions by their momenta"):
        evolve(system + whole, u, [0.0, 1.0], stepper=stepper, dt=0.05)


def test_a_slow_force_beside_particles() -> None:
    """Of order 2; and, of stiff springs, ever nearer to the run whose fast part is exact."""
    system, u = springs(5, stiffness=50.0)
    f = system + Force(slow=lambda t, q: -0.5 * q)
    exact = evolve(f, u, [0.0, 2.0], stepper="yoshida8", dt=0.005).final

    def error(inner: int, dt: float) -> float:
        return float((evolve(f, u, [0.0, 2.0], stepper=Respa(inner), dt=dt).final - exact).norm())

    assert math.log2(error(8, 0.05) / error(8, 0.025)) == pytest.approx(2, abs=0.1)
    plain = float((evolve(f, u, [0.0, 2.0], stepper="leapfrog", dt=0.05).final - exact).norm())
    assert error(1, 0.05) == pytest.approx(plain, rel=1e-6)
    assert error(16, 0.05) < 0.1 * plain


# lists of neighbours


def test_forces_of_a_list_are_those_of_all_pairs() -> None:
    """In a periodic box, with images, by the sum over all pairs; the same from every list that holds."""
    system, u = lennard_jones(4)
    assert system.box is not None
    length = float(system.box.lengths[0])
    u = evolve(system, u, [0.0, 0.3], stepper="leapfrog", dt=0.004).final
    q = u[:, :3]
    n = len(q)
    tail, head = torch.triu_indices(n, n, 1).unbind()
    apart = q[head] - q[tail]
    pull = LennardJones().pull(apart - length * torch.round(apart / length))
    wanted = torch.zeros_like(q).index_put((tail,), pull, accumulate=True)
    wanted = wanted.index_put((head,), -pull, accumulate=True)
    assert torch.allclose(system.kick(START, q), wanted, rtol=1e-11, atol=1e-11)
    edges, near = system.close(q)
    assert torch.allclose(near, system.box.nearest(edges.difference(q)), atol=1e-12)
    assert int((near.norm(dim=1) < 2.5).sum()) == int((system.box.nearest(apart).norm(dim=1) < 2.5).sum())
    fresh = Particles(system.masses, LennardJones(), box=system.box, skin=0.2)
    assert torch.allclose(fresh.kick(START, q), system.kick(START, q), rtol=0, atol=1e-13)
    away = q + length * torch.randint(-2, 3, q.shape, generator=rng()).double()
    assert torch.allclose(fresh.kick(START, away), wanted, rtol=1e-9, atol=1e-9)


def test_lists_are_made_when_needed_and_change_nothing() -> None:
    system, u = lennard_jones(4)
    one = evolve(system, u, [0.0, 1.0], stepper="leapfrog", dt=0.005).final
    assert system.neighbours is not None
    assert 5 < system.neighbours.made < 60
    every = Particles(system.masses, LennardJones(), box=system.box, skin=0.07)
    two = evolve(every, u, [0.0, 1.0], stepper="leapfrog", dt=0.005)
    assert every.neighbours is not None
    assert every.neighbours.made > 60
    assert torch.allclose(one, two.final, rtol=0, atol=1e-11)


def test_energy_and_momentum_of_a_liquid() -> None:
    system, u = lennard_jones(4, temperature=1.0)
    run = evolve(system, u, torch.linspace(0, 2, 21), stepper="leapfrog", dt=0.002)
    energy = torch.stack([system.energy(x) for x in run.states])
    assert float((energy - energy[0]).abs().max()) < 2e-4 * float(energy[0].abs())
    assert float(system.momentum(run.final).abs().max()) < 1e-12 * float(run.final[:, 3:].abs().sum())
    error = [
        float((system.energy(evolve(system, u, [0.0, 0.2], stepper="leapfrog", dt=dt).final) - energy[0]).abs())
        for dt in (0.008, 0.004)
    ]
    assert error[0] / error[1] > 3


def test_a_particle_that_outruns_its_list_is_named() -> None:
    system, u = lennard_jones(4)
    u[17, 3:] = torch.tensor([200.0, 0, 0])
    with pytest.raises(SolveError, match=r"step 1 of .*: particle 17 moved .* more than half the skin .*shorter step"):
        evolve(system, u, [0.0, 1.0], stepper="leapfrog", dt=0.01)


def test_particles_that_run_into_each_other_are_named() -> None:
    q = torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 0.0]], dtype=torch.float64)
    system = Particles(torch.ones(3), LennardJones())
    with pytest.raises(InputError, match="particles 0 and 2 lie in one place"):
        system.kick(START, q)
    near = torch.cat([q + torch.tensor([[0.0, 0.0], [0.0, 0.0], [1e-30, 0.0]]), torch.zeros(3, 2)], 1).double()
    with pytest.raises(Diverged, match=r"non-finite at step 1 .*first at node 0, in Particles"):
        evolve(system, near, [0.0, 0.1], stepper="leapfrog", dt=0.01)


@pytest.mark.parametrize(
    ("stepper", "error", "says"),
    [
        ("leapfrog", SolveError, r"step 9 of 16 \(t=1, leapfrog\): particles 0 and 1 lie in one place.*a shorter step"),
        ("rk4", Diverged, r"non-finite at step 8 \(t=1\)"),
    ],
)
def test_particles_that_meet_on_the_way_are_named_with_their_step(stepper: str, error, says: str) -> None:
    """Two that feel nothing until they meet at t = 1, at the end of a step or, of an infinite force, within one."""
    system = Particles(torch.ones(2), LennardJones(1e-300, 1e-9, 1.0), skin=0.5)
    u = torch.tensor([[0.0, 0.0, 1.0, 0.0], [2.0, 0.0, -1.0, 0.0]], dtype=torch.float64)
    with pytest.raises(error, match=says):
        evolve(system, u, [0.0, 2.0], stepper=stepper, dt=0.125)


def test_gradients_through_steps_and_lists() -> None:
    """Through 60 steps in which lists are made anew: autograd against differences, in a force constant."""
    base, u = lennard_jones(4)

    def final(depth: Tensor) -> Tensor:
        charge = depth.sqrt() * torch.ones_like(base.masses)
        system = Particles(base.masses, LennardJones(), box=base.box, skin=0.1, charge=charge)
        run = evolve(system, u, [0.0, 0.3], stepper="leapfrog", dt=0.005)
        assert system.neighbours is not None
        assert system.neighbours.made > 3
        return run.final.square().sum()

    depth = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    (found,) = torch.autograd.grad(final(depth), depth)
    with torch.no_grad():
        wanted = (final(depth + 1e-5) - final(depth - 1e-5)) / 2e-5
    assert float(found) == pytest.approx(float(wanted), rel=1e-5)


# systems


def test_kepler_keeps_its_ellipse() -> None:
    system, u = kepler(0.6)
    run = evolve(system, u, torch.linspace(0, 8 * math.pi, 41), stepper="yoshida6", dt=2 * math.pi / 400)
    momentum = system.angular_momentum(run.states)
    assert float((momentum / momentum[0] - 1).abs().max()) < 1e-12
    assert float((system.energy(run.states) / system.energy(u) - 1).abs().max()) < 1e-6
    apart = (run.states[:, 1, :2] - run.states[:, 0, :2]).norm(dim=1)
    assert float(apart.min()) == pytest.approx(0.4, abs=1e-3)
    assert float(apart.max()) == pytest.approx(1.6, abs=1e-3)


def test_a_plummer_sphere_is_in_virial_equilibrium() -> None:
    system, u = nbody(3000, softening=0.0)
    assert float(2 * system.kinetic(u) / -system.potential(u[:, :3])) == pytest.approx(1.0, abs=0.06)
    assert float(-system.energy(u)) == pytest.approx(3 * math.pi / 64, rel=0.06)
    assert float(system.momentum(u).abs().max()) < 1e-14


def test_modes_of_a_chain_carry_its_energy() -> None:
    system, u = fput(16, alpha=0.0)
    assert torch.allclose(mode_energies(u).sum(), system.energy(u))
    run = evolve(system, u, torch.linspace(0, 50, 6), stepper="yoshida4", dt=0.05)
    shares = mode_energies(run.states) / system.energy(u)
    assert float((shares[:, 0] - 1).abs().max()) < 1e-6
    mixed = evolve(fput(16, alpha=1.0).system, u, [0.0, 50.0], stepper="yoshida4", dt=0.05).final
    assert float(mode_energies(mixed)[0]) < 0.9 * float(mode_energies(u)[0])


def test_a_toda_chain_is_integrable() -> None:
    """Eigenvalues of Flaschka's matrix stay, on a periodic ring."""
    n = 6
    ring = Incidence.of_pairs(torch.arange(n), (torch.arange(n) + 1) % n, n)
    system = Particles(torch.ones(n, dtype=torch.float64), Toda(), edges=ring)
    u = 0.5 * cloud(n, 2)

    def spectrum(u: Tensor) -> Tensor:
        a = 0.5 * torch.exp(-0.5 * (u[:, 0].roll(-1) - u[:, 0]))
        lax = torch.diag(-0.5 * u[:, 1])
        for k in range(n):
            lax[k, (k + 1) % n] += a[k]
            lax[(k + 1) % n, k] += a[k]
        return torch.linalg.eigvalsh(lax)

    final = evolve(system, u, [0.0, 20.0], stepper="yoshida6", dt=0.02).final
    assert torch.allclose(spectrum(final), spectrum(u), atol=1e-8)
    assert not torch.allclose(final, u, atol=0.1)


def test_a_double_pendulum_keeps_lengths_and_energy() -> None:
    term, u = double_pendulum()
    system = term.motion
    assert isinstance(system, Particles)
    run = evolve(term, u, torch.linspace(0, 2, 21), stepper="rattle", dt=0.002)
    energy = system.energy(run.states)
    assert float(term.stretch(run.states[..., :2]).abs().max()) < 1e-12
    assert float((energy - energy[0]).abs().max()) < 4e-3 * 2 * 9.81


def test_a_henon_heiles_start_has_its_energy() -> None:
    for y in (0.0, 0.2):
        system, u = henon_heiles(1 / 8, y)
        assert float(system.energy(u)) == pytest.approx(1 / 8, abs=1e-14)
    with pytest.raises(InputError, match="is less than that of y"):
        henon_heiles(0.01, 0.5)


def test_thermal_momenta() -> None:
    system, u = lennard_jones(8, temperature=0.5)
    assert float(system.temperature(u)) == pytest.approx(0.5, abs=4 * 0.5 * math.sqrt(2 / (3 * system.n)))
    assert float(system.momentum(u).abs().max()) < 1e-12
    few = Particles(torch.linspace(1, 9, 4, dtype=torch.float64))
    many = few.thermal(torch.zeros(4000, 4, 3, dtype=torch.float64), 1.0, rng())
    spread = math.sqrt(2 / 9 / 4000)  # of the mean: 3 (4 - 1) degrees of freedom in each state
    assert float(few.temperature(many).mean()) == pytest.approx(1.0, abs=4 * 4 / 3 * spread)
    assert float(few.momentum(many).abs().max()) < 1e-12
    held = Particles([math.inf, 1.0], Spring(), edges=Incidence.of_pairs(torch.tensor([0]), torch.tensor([1]), 2))
    state = held.thermal(torch.zeros(2, 2, dtype=torch.float64), 1.0, rng())
    assert float(state[0].abs().max()) == 0


# bad input

NAN, ROW = math.nan, torch.ones(3, dtype=torch.float64)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Spring(NAN), "stiffness is nan, expected a finite number"),
        (lambda: Spring(1.0, -1.0), "rest is -1.0, expected a finite number >= 0"),
        (lambda: Spring(ROW[:, None], torch.tensor([[1.0], [NAN]])), "rest is nan, expected a finite number >= 0"),
        (lambda: Gravity(NAN), "strength is nan"),
        (lambda: LennardJones(math.inf), "epsilon is inf"),
        (lambda: Fput(NAN), "alpha is nan"),
        (lambda: Fput(0.0, NAN), "beta is nan"),
        (lambda: Quartic(1.0, NAN), "quartic is nan"),
        (lambda: Pendulum(NAN), "strength is nan"),
        (lambda: Weight([1.0, NAN], (0.0, -1.0)), "mass reaches nan, expected numbers > 0"),
        (lambda: Weight([1.0], (0.0, NAN)), "acceleration is nan"),
        (lambda: henon_heiles(y=NAN), "y is nan"),
        (lambda: henon_heiles(NAN), "energy is nan"),
        (lambda: double_pendulum((1.0, NAN)), "angles is nan"),
    ],
)
def test_parameters_that_are_no_numbers(make, says: str) -> None:
    with pytest.raises(InputError, match=says):
        make()


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: chain(4, Fput(), ROW), r"displacement has shape \[3\], expected \[4\]"),
        (lambda: double_pendulum((1.0, 2.0, 3.0)), r"angles has shape \[3\], expected \[2\]"),
        (
            lambda: Particles(ROW, Spring(), box=Box([1.0])).kick(START, cloud(3, 2)),
            "box has 1 lengths and positions have 2 coordinates, expected as many",
        ),
        (
            lambda: Particles(ROW, Spring(), box=Box([9.0] * 3)).energy(cloud(3, 4)),
            "box has 3 lengths and positions have 2 coordinates, expected as many",
        ),
    ],
)
def test_sizes_that_do_not_fit(make, says: str) -> None:
    with pytest.raises(ShapeError, match=says):
        make()


def test_bad_input() -> None:
    one = torch.ones(4, dtype=torch.float64)
    with pytest.raises(InputError, match="mass reaches 0, expected numbers > 0"):
        Particles([1.0, 0.0])
    with pytest.raises(InputError, match=r"box has an edge of 5, expected at least twice cutoff \+ skin = 2.8"):
        Particles(one, LennardJones(), box=Box([5.0] * 3), skin=0.3)
    with pytest.raises(InputError, match="skin has no effect"):
        Particles(one, Gravity(), skin=0.3)
    with pytest.raises(InputError, match="skin is 0"):
        Particles(one, LennardJones(), skin=0.0)
    with pytest.raises(ShapeError, match="edges join 3 nodes and there are 4 masses"):
        Particles(one, Spring(), edges=Incidence.of_pairs(torch.tensor([0]), torch.tensor([1]), 3))
    with pytest.raises(ShapeError, match="charge has shape"):
        Particles(one, Gravity(), charge=[1.0])
    with pytest.raises(ShapeError, match="5 particles and 4 masses"):
        Particles(one, Gravity()).kick(START, cloud(5, 2))
    with pytest.raises(ShapeError, match=r"expected one state \[n, d\]"):
        Particles(one, LennardJones()).kick(START, torch.stack([cloud(4, 2)] * 2))
    with pytest.raises(ShapeError, match="needs 2 or 3"):
        pendulum().system.angular_momentum(pendulum().state)
    with pytest.raises(InputError, match="ending='soft', expected"):
        LennardJones(ending="soft")
    with pytest.raises(InputError, match="eccentricity is 1.2"):
        kepler(1.2)
    with pytest.raises(InputError, match="cutoff is -1"):
        NeighbourList(-1.0, 0.1)
    assert isinstance(pendulum(), Start)


class Learned(EdgeEnergy):
    """With a parameter of its own."""

    cutoff = 2.0

    def __init__(self) -> None:
        super().__init__()
        self.depth = torch.nn.Parameter(torch.tensor(1.5, dtype=torch.float64))

    def energy(self, d: Tensor, weight: Any = None) -> Tensor:
        v = self.depth * d.square().sum(-1, keepdim=True)
        return v if weight is None else weight * v


@pytest.mark.parametrize("kind", [LennardJones(cutoff=2.5), Learned()])
@pytest.mark.parametrize("shape", [(23, 3), (2, 23, 2)])
def test_pulls_block_by_block_are_those_at_once(kind: EdgeEnergy, shape: Any, monkeypatch: Any) -> None:
    d, weight = torch.randn(shape, dtype=torch.float64), torch.rand(23, 1, dtype=torch.float64)
    whole = kind.pull(d.clone(), weight)
    monkeypatch.setattr("graphpde.ops.pair._AT_ONCE", 5)
    found = pull_in_place(kind, d.clone(), weight)
    assert torch.allclose(found, whole, rtol=1e-15) and found.requires_grad == whole.requires_grad
    assert torch.allclose(pull_in_place(kind, d.clone(), None), kind.pull(d.clone()), rtol=1e-15)
