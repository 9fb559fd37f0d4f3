"""Elastodynamics and modes: every stepper on it, invariants, damping of modes, beams, rods, free bodies, refusals."""

from __future__ import annotations

import math
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor

from graphpde.dynamics import Leapfrog, Newmark, evolve, steady
from graphpde.dynamics.evolve import longest_stable_step
from graphpde.errors import InputError, RoundingCaveat, StepTooLong
from graphpde.mesh import CellSpace, Space, box, interval, jittered, rectangle
from graphpde.ops import Diffusion, Dirichlet, Energy, Neumann, Reaction, Robin, Source, System
from graphpde.ops.elasticity import Elasticity, ElasticSupport, Elastodynamics, effective_masses, modes

F64 = torch.float64
START = torch.tensor(0.0, dtype=F64)


def body(space: Space) -> Any:
    return Elasticity(space, 5.0, 0.3) + Dirichlet("left", 0.0) + ElasticSupport("bottom", 2.0)


def swinging(space: Space) -> Tensor:
    u0 = torch.cat([0.01 * space.pos, 0.1 * torch.sin(space.pos)], 1)
    u0[space.tag("left").nodes] = 0.0
    return u0


@pytest.mark.parametrize("lumped", [True, False], ids=["lumped", "consistent"])
def test_every_stepper_finds_the_same_motion(lumped: bool) -> None:
    space = Space(jittered(rectangle(3, 2), 0.1, seed=0), lumped=lumped)
    motion = Elastodynamics(body(space) + Neumann("right", lambda x, t: torch.stack([t + x[:, 0], x[:, 1]], 1)), 2.0)
    u0 = swinging(space)
    goal = evolve(motion, u0, [0.0, 0.5], stepper="esdirk4", dt=1 / 800).final
    for name in ("crank_nicolson", "bdf2", "tr_bdf2", "rk4", "newmark", "generalised_alpha", "leapfrog", "yoshida4"):
        error = float((evolve(motion, u0, [0.0, 0.5], stepper=name, dt=1 / 400).final - goal).abs().max())
        assert error < 2e-3 * float(goal.abs().max()), name


def test_what_is_added_is_added_to_the_body() -> None:
    space = Space(rectangle(2, 2))
    stiff, pull, push = Elasticity(space, 1.0, 0.3), Neumann("right", torch.ones(2, dtype=F64)), Source(space, 0.5)
    whole = Elastodynamics(stiff + pull + push + Dirichlet("left", 0.0), 3.0)
    for other in (
        Elastodynamics(stiff, 3.0) + pull + push + Dirichlet("left", 0.0),
        push + (pull + (Dirichlet("left", 0.0) + Elastodynamics(stiff, 3.0))),
        sum([pull, push, Dirichlet("left", 0.0)], Elastodynamics(stiff, 3.0)),
    ):
        one, two = (System(term, None, START) for term in (whole, other))
        u = torch.cos(torch.arange(4.0 * space.n, dtype=F64)).reshape(-1, 4)
        assert torch.allclose(one.rate(START, u), two.rate(START, u), atol=1e-12)
    assert whole.channels == ("displacement_x", "displacement_y", "velocity_x", "velocity_y")


def test_the_rate_is_that_of_statics_over_the_mass() -> None:
    space = Space(rectangle(3, 2, width=2.0))
    two = {"*": 5.0}
    statics = Elasticity(space, 10.0, 0.2) + Source(space, lambda x, t: x * t) + Neumann("top", 0.3)
    motion, t = Elastodynamics(statics, two), torch.tensor(0.7, dtype=F64)
    u = torch.sin(torch.arange(4.0 * space.n, dtype=F64)).reshape(-1, 4)
    force = System(statics, None, t)(t, u[:, :2])
    rate = System(motion, None, t).rate(t, u)
    assert torch.allclose(rate[:, :2], u[:, 2:]) and torch.allclose(rate[:, 2:], force / (5 * space.measure)[:, None])


def test_a_body_comes_to_its_state_of_rest() -> None:
    space = Space(rectangle(4, 2, width=2.0), "p2")
    statics = (
        Elasticity(space, 50.0, 0.3) + Dirichlet("left", 0.0) + Neumann("right", torch.tensor([0.0, -0.1], dtype=F64))
    )
    rest = steady(statics, torch.zeros(space.n, 2, dtype=F64)).value
    motion = Elastodynamics(statics, 1.0, rayleigh=(3.0, 0.01))
    final = evolve(motion, torch.zeros(space.n, 4, dtype=F64), [0.0, 20.0], stepper=Newmark(), dt=0.1).final
    assert torch.allclose(final[:, :2], rest, atol=1e-6) and float(final[:, 2:].abs().max()) < 1e-5


def test_what_holds_a_body_moves_it() -> None:
    """A body whose ends all move as one is carried along without strain; its velocity at the ends is exact."""
    space = Space(rectangle(3, 3), "p2")

    def carried(x: Tensor, t: Tensor) -> Tensor:
        return torch.stack([t**2 + 0 * x[:, 0], torch.sin(t) + 0 * x[:, 0]], 1)

    motion = Elastodynamics(Elasticity(space, 1.0, 0.3) + Dirichlet("boundary", carried), 1.0)
    u0 = torch.zeros(space.n, 4, dtype=F64)
    u0[:, 3] = 1.0
    final = evolve(motion, u0, [0.0, 0.8], stepper="newmark", dt=0.1).final
    edge = space.tag("boundary").nodes
    exact = torch.tensor([0.64, math.sin(0.8), 1.6, math.cos(0.8)], dtype=F64)
    assert torch.allclose(final[edge], exact.expand(len(edge), 4), atol=1e-12)


@pytest.mark.parametrize("element", ["p1", "p2"])
def test_leapfrog_knows_its_step_and_keeps_the_energy_in_bounds(element: str) -> None:
    space = Space(rectangle(3, 2), element)
    motion = Elastodynamics(body(space), 2.0)
    limit = longest_stable_step(System(motion, None, START), Leapfrog())
    assert limit is not None
    free = 2 * (space.n - len(space.tag("left").nodes))
    true = 2 / float(modes(motion, k=free).angular.max())
    assert 0.3 * true < limit <= true * (1 + 1e-12)
    with pytest.raises(StepTooLong, match="leapfrog"):
        evolve(motion, swinging(space), [0.0, 1.0], stepper="leapfrog", dt=1.1 * limit)
    run = evolve(motion, swinging(space), torch.arange(0, 2000, dtype=F64) * limit / 2, stepper="leapfrog")
    energy = motion.energy(run.states)
    assert float((energy / energy[0] - 1).abs().max()) < 0.1
    assert float((energy[-500:].mean() / energy[:500].mean() - 1).abs()) < 2e-3


@pytest.mark.parametrize(("alpha", "beta"), [(0.8, 0.0), (0.0, 0.01), (0.5, 0.005)])
def test_rayleigh_damping_of_a_mode(alpha: float, beta: float) -> None:
    space = Space(rectangle(6, 2, width=3.0), "p2")
    held = Elasticity(space, 100.0, 0.3) + Dirichlet("left", 0.0)
    found = modes(held, 1.0, k=2)
    omega, shape = float(found.angular[1]), found.shapes[..., 1]
    u0 = torch.cat([shape, 0 * shape], 1)
    period = 2 * math.pi / omega
    run = evolve(Elastodynamics(held, 1.0, (alpha, beta)), u0, [0.0, 3 * period], stepper="newmark", dt=period / 400)
    ratio = alpha / (2 * omega) + beta * omega / 2
    slow = omega * math.sqrt(1 - ratio**2)
    phase = slow * 3 * period
    swing = math.exp(-ratio * omega * 3 * period) * (math.cos(phase) + ratio * omega / slow * math.sin(phase))
    assert torch.allclose(run.final[:, :2], swing * shape, atol=2e-3 * float(shape.abs().max()))


class Soft(Energy):
    """|grad u|^2 / 2 + |grad u|^4 / 4 for displacements in the plane."""

    channels = ("displacement_x", "displacement_y")

    def density(self, t: Tensor, x: Tensor, u: Tensor, grad: Tensor, p: Any) -> Tensor:
        size = grad.square().sum((-2, -1))
        return size / 2 + size**2 / 4


@pytest.mark.parametrize("name", ["newmark", "crank_nicolson", "leapfrog"])
def test_large_deformations_move_too(name: str) -> None:
    space = Space(rectangle(2, 2))
    motion = Elastodynamics(Soft(space) + Dirichlet("left", 0.0), 1.5)
    u0 = torch.cat([0 * space.pos, 0.5 * space.pos], 1)
    u0[space.tag("left").nodes] = 0.0
    errors = []
    for dt in (0.02, 0.01):
        energy = motion.energy(evolve(motion, u0, [0.0, 1.0], stepper=name, dt=dt).states)
        errors.append(abs(float(energy[-1] / energy[0] - 1)))
    assert errors[1] < 1e-3 and errors[0] / errors[1] > 3  # second order
    lin = modes(Soft(space) + Dirichlet("left", 0.0), 1.5, k=3)
    both = modes(Diffusion(space) + Dirichlet("left", 0.0), 1.5, k=2)
    assert torch.allclose(lin.values[:2], both.values[:1].expand(2), rtol=1e-9)  # about rest both components alike


# modes


@pytest.mark.parametrize(("element", "order"), [("p1", 2), ("p2", 4)])
def test_a_rod_sounds_its_harmonics(element: str, order: int) -> None:
    """omega = (j - 1/2) pi c / L with one end held; eigenvalues converge with twice the order of the gradient."""
    errors = []
    for n in (10, 20):
        space = Space(interval(n, 2.0), element, lumped=False)
        found = modes(Diffusion(space, 8.0) + Dirichlet("left", 0.0), 2.0, k=3)
        exact = torch.tensor([(j + 0.5) * math.pi * 2 / 2 for j in range(3)], dtype=F64)
        errors.append((found.angular - exact).abs())
        assert found.rigid == 0 and found.shapes.shape == (space.n, 1, 3)
    assert float((errors[0] / errors[1]).log2().min()) == pytest.approx(order, abs=0.15)


@pytest.mark.parametrize(("mesh", "count"), [(rectangle(6, 3, width=2.0), 3), (box(2, 2, 2), 6)])
def test_a_free_body_has_its_rigid_motions(mesh: Any, count: int) -> None:
    space = Space(jittered(mesh, 0.1, seed=0), "p2")
    found = modes(Elasticity(space, 210e9, 0.3), 7800.0, k=count + 2)
    assert found.rigid == count and found.frequencies[:count].tolist() == [0.0] * count
    assert float(found.frequencies[count]) > 100.0
    flat = found.shapes.movedim(-1, 0)
    gram = torch.einsum("knd,lnd->kl", flat, 7800.0 * space.consistent_mass(flat))
    assert torch.allclose(gram, torch.eye(count + 2, dtype=F64), atol=1e-7)
    carried = effective_masses(found)
    total = 7800.0 * float(space.measure.sum())
    assert torch.allclose(carried.sum(0), torch.full((mesh.space_dim,), total, dtype=F64), rtol=1e-6)
    assert float(carried[count:].abs().max()) < 1e-8 * total


def test_a_slender_beam_bends_as_euler_and_bernoulli_say() -> None:
    space = Space(rectangle(60, 2, width=1.0, height=0.02), "p2")
    held = Elasticity(space, 210e9, 0.3, kind="plane_stress") + Dirichlet("left", 0.0)
    found = modes(held, 7800.0, k=3)
    for root, omega in zip((1.8751040687, 4.6940911330, 7.8547574382), found.angular.tolist(), strict=True):
        assert omega == pytest.approx(root**2 * math.sqrt(210e9 * 0.02**2 / 12 / 7800), rel=5e-3)


@pytest.mark.parametrize(("height", "warned"), [(1e-2, False), (1e-3, False), (5e-4, True)])
def test_a_blade_that_is_held_has_no_rigid_motion(height: float, warned: bool) -> None:
    """Its slowest value is (height / length)^4 of the largest; where rounding shows, that is said."""
    space = Space(rectangle(100, 1, width=1.0, height=height, cells="quad"), "q2")
    blade = Elasticity(space, 2e11, 0.3, kind="plane_stress") + Dirichlet("left", 0.0)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        found = modes(blade, 8000.0, k=3)
    theory = 1.875104**2 / (2 * math.pi) * height * (2e11 / 12 / 8000.0) ** 0.5
    assert found.rigid == 0
    assert float(found.frequencies[0]) == pytest.approx(theory, rel=0.1 if warned else 0.002)
    assert [w.category for w in seen] == [RoundingCaveat] * warned


def test_rigid_motions_of_a_periodic_body() -> None:
    for sides, count in ([("left", "right")], 2), ([("left", "right"), ("bottom", "top")], 2):
        body = Elasticity(Space(rectangle(6, 4), periodic=sides), 1.0, 0.3)
        found = modes(body, 1.0, k=4)
        assert found.rigid == count and bool((found.values[count:] > 1e-3).all())
        assert body.rigid_modes().shape[-1] == count


def test_frequencies_in_single_precision() -> None:
    space = Space(rectangle(6, 2, width=3.0), "p2")
    exact = modes(Elasticity(space, 100.0, 0.3) + Dirichlet("left", 0.0), 1.0, k=3).frequencies
    small = space.to(dtype=torch.float32)
    found = modes(Elasticity(small, 100.0, 0.3) + Dirichlet("left", 0.0), 1.0, k=3).frequencies
    assert found.dtype == torch.float32 and torch.allclose(found.double(), exact, rtol=1e-3)


def test_all_modes_carry_all_of_the_mass() -> None:
    """What holds the body carries the mass of its own nodes."""
    space = Space(rectangle(3, 2))
    found = modes(Elasticity(space, 1.0, 0.3) + Dirichlet("left", 0.0), 2.0, k=2 * 9)
    rest = 2.0 * float(space.measure.sum() - space.measure[space.tag("left").nodes].sum())
    assert torch.allclose(effective_masses(found).sum(0), torch.full((2,), rest, dtype=F64), rtol=1e-10)


def test_components_held_alone_and_springs() -> None:
    """A rod between smooth walls: axial modes of the plane strip without Poisson's effect, softened by its bed."""
    space = Space(rectangle(20, 1, width=1.0, height=0.05), "p2")
    smooth = Elasticity(space, 4.0, 0.0, kind="plane_stress")
    for side in ("top", "bottom"):
        smooth = smooth + Dirichlet(side, 0.0, channels=[1])
    found = modes(smooth + Robin("left", 6.0), 1.0, k=1)
    omega = float(found.angular[0])  # E u' = k u at one end: omega tan(omega / 2) = 3 for c = 2
    assert omega * math.tan(omega / 2) == pytest.approx(3.0, rel=1e-5)


def test_an_axisymmetric_disc_breathes_per_radian() -> None:
    """A thin ring of square section: omega^2 = E / (rho r^2) of its breathing, half of it where the section turns."""
    mesh = rectangle(2, 2)
    mesh = mesh.with_points(0.02 * mesh.points + torch.tensor([1.0, 0.0]))
    ring = Elasticity(Space(mesh, "p2"), 3.0, 0.0, kind="axisymmetric")
    found = modes(ring, 2.0, k=3)
    exact = 1.5 / 1.01**2
    assert found.rigid == 1 and found.values[1:].tolist() == pytest.approx([exact / 2, exact], rel=1e-3)


def test_frequencies_have_their_derivatives() -> None:
    space = Space(rectangle(4, 2, width=3.0), "p2")
    young = torch.linspace(1, 2, space.mesh.n_cells, dtype=F64).requires_grad_()
    rho = torch.tensor(1.5, dtype=F64, requires_grad=True)

    def sounds(e: Tensor, density: Tensor) -> Tensor:
        return modes(Elasticity(space, e, 0.3) + Dirichlet("left", 0.0), density, k=2).frequencies

    assert torch.autograd.gradcheck(sounds, (young, rho), atol=1e-6, fast_mode=True)
    free = modes(Elasticity(space, young, 0.3), rho, k=4)
    (grad,) = torch.autograd.grad(free.frequencies.sum(), young)
    assert bool(torch.isfinite(grad).all())  # the root of a rigid motion has no derivative, and none is asked for


def test_a_motion_has_its_own_density() -> None:
    space = Space(rectangle(3, 2), density=4.0)
    held = Elasticity(space, 1.0, 0.3) + Dirichlet("left", 0.0)
    one, two = modes(held, k=3), modes(Elastodynamics(held, 4.0), k=3)
    assert torch.allclose(one.values, two.values, rtol=1e-10)
    half = modes(held, lambda x, t: 4.0 + 0 * x[:, 0], k=3)
    assert torch.allclose(one.values, half.values, rtol=1e-10)


def test_refusals() -> None:
    space = Space(rectangle(2, 2))
    stiff = Elasticity(space, 1.0, 0.3)
    with pytest.raises(InputError, match="the density is not positive in 8 cells"):
        Elastodynamics(stiff, -1.0)
    with pytest.raises(InputError, match="the density is not positive somewhere"):
        modes(stiff, lambda x, t: -1.0 + 0 * x[:, 0])
    with pytest.raises(InputError, match=r"alpha of rayleigh is -1\.0, expected a finite number >= 0"):
        Elastodynamics(stiff, 1.0, (-1.0, 0.0))
    for wrong in ((1.0,), 3.0):
        with pytest.raises(InputError, match="expected two numbers"):
            Elastodynamics(stiff, 1.0, wrong)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"unknowns in cells, .* build a Space"):
        Elastodynamics(Diffusion(CellSpace(rectangle(2, 2))), 1.0)
    with pytest.raises(InputError, match="take alpha alone"):
        Elastodynamics(Soft(space), 1.0, (0.0, 1.0))
    with pytest.raises(InputError, match=r"has no domain, .* give forces per volume as Source"):
        Elastodynamics(stiff, 1.0) + Reaction(lambda u: -u)
    with pytest.raises(InputError, match="pulls a body back"):
        Elastodynamics(Source(space, 1.0), 1.0)
    with pytest.raises(InputError, match="moves already"):
        Elastodynamics(Elastodynamics(stiff, 1.0), 1.0)
    with pytest.raises(InputError, match="k = 13, expected a whole number between 1 and the 12 unknowns that are free"):
        modes(stiff + Dirichlet("left", 0.0), 1.0, k=13)
    with pytest.raises(InputError, match="leave density out"):
        modes(Elastodynamics(stiff, 1.0), 2.0)
    with pytest.raises(InputError, match="velocities act on themselves"):
        damped = Elastodynamics(stiff, 1.0, (1.0, 0.0))
        evolve(damped, torch.zeros(space.n, 4, dtype=F64), [0.0, 0.1], stepper="leapfrog", dt=0.01)
