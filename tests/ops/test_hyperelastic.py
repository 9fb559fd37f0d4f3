"""Large deformations: exact stretches and shears, turns that cost nothing, small strains, and what is refused."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.optimize import brentq
from torch import Tensor

from graphpde.dynamics import BackwardEuler, evolve, steady
from graphpde.errors import ConditionError, InputError, SolveError
from graphpde.mesh import Mesh, Space, box, interval, jittered, random_cube, random_square, rectangle
from graphpde.ops import Dirichlet, Neumann, Source
from graphpde.ops.elasticity import Elasticity, NeoHookean, load_steps, von_mises

F64 = torch.float64
NOW = torch.zeros((), dtype=F64)
YOUNG, NU = 7.0, 0.3
MU, LAMBDA = YOUNG / (2 * (1 + NU)), YOUNG * NU / ((1 + NU) * (1 - 2 * NU))


def meshes() -> list[Mesh]:
    return [random_square(3, seed=1), jittered(rectangle(2, 2, cells="quad"), 0.1, seed=1), random_cube(2, seed=1)]


def at_rest(term, space: Space, **options) -> Tensor:
    return steady(term, torch.zeros(space.n, space.mesh.space_dim, dtype=F64), **options).value


def wavy(space: Space, size: float = 0.05) -> Tensor:
    x = space.pos
    return size * torch.stack([torch.sin(3 * x.sum(1) + k) * (1 + x[:, 0]) for k in range(x.shape[1])], 1)


@pytest.mark.parametrize("mesh", meshes(), ids=lambda m: m.name)
def test_forces_and_stresses_are_derivatives_of_the_energy(mesh: Mesh) -> None:
    space = Space(mesh)
    body, u = NeoHookean(space, YOUNG, NU), wavy(space)
    d = u.shape[1]
    at = u.clone().requires_grad_()
    (slope,) = torch.autograd.grad(body.energy(at), at)
    assert torch.allclose(body(NOW, u), -slope, atol=1e-13)
    fields = body.points.fields(u)
    for p, cauchy, (_, grad) in zip(body.piola(u), body.stress(u), fields, strict=True):
        f = torch.eye(d, dtype=F64) + grad
        j = torch.linalg.det(f)[..., None, None]
        exact = MU * (f - torch.linalg.inv(f).mT) + LAMBDA * j.log() * torch.linalg.inv(f).mT  # eq. (6.28), by F
        assert torch.allclose(p, exact, atol=1e-13)
        assert torch.allclose(cauchy[..., :d, :d], p @ f.mT / j, atol=1e-13)
        if d == 2:  # nothing stretches across the plane: (lambda ln J) / J
            assert torch.allclose(cauchy[..., 2, 2], (LAMBDA * j.log() / j)[..., 0, 0], atol=1e-13)
    jacobian, v = body.linearise(NOW, u), wavy(space, 1.0).flip(0)
    assert torch.allclose(jacobian(v), torch.func.jvp(lambda w: body(NOW, w), (u,), (v,))[1], atol=1e-12)
    assert jacobian.symmetric
    assert torch.allclose(jacobian(v), jacobian.assembled().transpose()(v), atol=1e-12)


@pytest.mark.parametrize("mesh", meshes(), ids=lambda m: m.name)
def test_turns_cost_nothing(mesh: Mesh) -> None:
    space = Space(mesh)
    d, body = mesh.space_dim, NeoHookean(space, YOUNG, NU)
    turn = torch.matrix_exp(2.0 * torch.tensor([[0, 1, 0.3], [-1, 0, 0.5], [-0.3, -0.5, 0]], dtype=F64)[:d, :d])
    u = space.pos @ (turn - torch.eye(d, dtype=F64)).T + 0.7
    assert abs(float(body.energy(u))) <= 1e-13 and float(body(NOW, u).abs().max()) <= 1e-13
    bent = wavy(space)
    after = (space.pos + bent) @ turn.T - space.pos
    assert float(body.energy(after)) == pytest.approx(float(body.energy(bent)), rel=1e-12)
    for here, there in zip(body.stress(bent), body.stress(after), strict=True):
        assert torch.allclose(von_mises(here), von_mises(there), atol=1e-12)


@pytest.mark.parametrize("dim", (2, 3))
@pytest.mark.parametrize("stretch", (0.5, 3.0))
def test_a_bar_is_stretched_as_one_equation_says(dim: int, stretch: float) -> None:
    """The sides are free: mu (b^2 - 1) + lambda ln J = 0 with J = a b in plane strain and a b^2 in space."""
    space = Space(rectangle(4, 2) if dim == 2 else box(2, 1, 1))
    b = brentq(lambda b: MU * (b * b - 1) + LAMBDA * math.log(stretch * b ** (dim - 1)), 1e-2, 5, xtol=1e-15)
    body = NeoHookean(space, YOUNG, NU)
    sides = [Dirichlet(lambda x, k=k: x[:, k] < 1e-9, 0.0, channels=[k]) for k in range(dim)]
    terms = sum([Dirichlet("right", stretch - 1, channels=[0]), *sides], body)
    u = load_steps(terms, torch.zeros(space.n, dim, dtype=F64)).values[-1]
    exact = space.pos * (torch.tensor([stretch, b, b], dtype=F64)[:dim] - 1)
    assert float((u - exact).abs().max()) <= 1e-8
    j = stretch * b ** (dim - 1)
    pull = (MU * (stretch**2 - 1) + LAMBDA * math.log(j)) / j
    for stress in body.stress(u):
        assert torch.allclose(stress[..., 0, 0], torch.tensor(pull, dtype=F64), rtol=1e-6)
        assert float(stress[..., 1, 1].abs().max()) <= 1e-7 * abs(pull)


@pytest.mark.parametrize("mesh", meshes(), ids=lambda m: m.name)
def test_simple_shear_is_exact(mesh: Mesh) -> None:
    """F = I + g e_x e_y keeps the volume: sigma_xy = mu g and sigma_xx = mu g^2 (Poynting's effect), others zero."""
    space, g = Space(mesh), 1.5
    body, exact = NeoHookean(space, YOUNG, NU), torch.zeros_like(space.pos)
    exact[:, 0] = g * space.pos[:, 1]

    def held(x: Tensor, t: Tensor) -> Tensor:
        return torch.nn.functional.pad(t * g * x[:, 1:2], (0, x.shape[1] - 1))

    u = load_steps(body + Dirichlet("boundary", held), torch.zeros_like(exact)).values[-1]
    assert float((u - exact).abs().max()) <= 1e-9
    expected = torch.zeros(3, 3, dtype=F64)
    expected[0, 1] = expected[1, 0] = MU * g
    expected[0, 0] = MU * g * g
    for stress in body.stress(exact):
        assert torch.allclose(stress, expected.expand_as(stress), atol=1e-12)


@pytest.mark.parametrize("mesh", meshes(), ids=lambda m: m.name)
def test_small_strains_are_linear_elasticity_to_second_order(mesh: Mesh) -> None:
    space = Space(mesh)
    body, small, u = NeoHookean(space, YOUNG, NU), Elasticity(space, YOUNG, NU), wavy(space, 1.0)
    zero, v = torch.zeros_like(u), wavy(space, 1.0).flip(0)
    assert torch.allclose(body.linearise(NOW, zero)(v), small.operator(v), atol=1e-12)
    off = [float((body(NOW, h * u) - small(NOW, h * u)).norm()) for h in (2e-3, 1e-3)]
    assert math.log2(off[0] / off[1]) == pytest.approx(2, abs=0.05)


def test_a_body_let_go_loses_energy_in_every_step() -> None:
    space = Space(random_square(4, seed=1))
    body = NeoHookean(space, YOUNG, NU)
    path = evolve(body + Dirichlet("left", 0.0), wavy(space, 0.1), [0.0, 0.01, 0.1, 1.0], stepper=BackwardEuler())
    energies = [float(body.energy(u)) for u in path.states[1:]]
    assert float(body.energy(path.states[0])) > energies[0] > energies[1] > energies[2] > 0


def test_loads_in_steps_end_where_one_step_does() -> None:
    space = Space(rectangle(6, 2, width=3.0), "p2")
    zero = torch.zeros(space.n, 2, dtype=F64)

    def pull(x: Tensor, t: Tensor) -> Tensor:
        return t * torch.tensor([0.1, -0.05], dtype=F64).expand_as(x)

    terms = NeoHookean(space, YOUNG, NU) + Dirichlet("left", 0.0) + Neumann("right", pull) + Source(space, 0.01)
    branch = load_steps(terms, zero)
    assert branch.parameters[0] == 0 and branch.parameters[-1] == 1 and len(branch.values) > 2
    assert torch.allclose(branch.values[-1], steady(terms, zero, t=1.0).value, atol=1e-8)
    at_once = NeoHookean(space, YOUNG, NU) + Dirichlet("left", 0.0) + Source(space, -2 * YOUNG)
    with pytest.raises(SolveError, match="no state of rest at t = 0: .*; let the loads grow with t from zero"):
        load_steps(at_once, zero)
    linear = Elasticity(space, YOUNG, NU) + Dirichlet("left", 0.0) + Neumann("right", pull)
    assert torch.allclose(load_steps(linear, zero).values[-1], steady(linear, zero, t=1.0).value, atol=1e-10)


@pytest.mark.parametrize(("length", "young"), [(1.0, 1.0), (1e-6, 10.0), (1e-9, 1e3), (1e3, 2e11)])
def test_a_gel_bends_the_same_in_all_units(length: float, young: float) -> None:
    def bent(size: float, stiff: float, small: bool = False) -> Tensor:
        space = Space(box(2, 2, 2, lengths=(size, size, size), cells="hexahedron"), "q1")
        body = NeoHookean(space, stiff, 0.3) + Dirichlet("left", 0.0)
        pull = torch.tensor([0.0, 0.0, 0.05 * stiff], dtype=F64)
        loaded = body + Neumann("right", lambda x, t: t * pull.expand_as(x))
        zero = torch.zeros(space.n, 3, dtype=F64)
        return (load_steps(loaded, zero).values[-1] if small else steady(loaded, zero, t=1.0).value) / size

    for small in (False, True):
        assert torch.allclose(bent(length, young, small), bent(1.0, 1.0), atol=1e-8)


def test_single_precision_ends_at_its_own_rounding() -> None:
    space = Space(rectangle(8, 4))
    pull = torch.tensor([0.01, 0.01])

    def bent(at: Space) -> Tensor:
        total = NeoHookean(at, 1.0, 0.3) + Dirichlet("left", 0.0) + Neumann("right", pull)
        return steady(total, torch.zeros(at.n, 2, dtype=at.dtype)).value

    assert torch.allclose(bent(space.to(dtype=torch.float32)).double(), bent(space), atol=1e-5)


def test_materials_may_differ_from_cell_to_cell_and_be_learned() -> None:
    mesh = random_square(3, seed=1)
    space, u = Space(mesh), wavy(Space(mesh))
    each = torch.linspace(1, 2, mesh.n_cells, dtype=F64).requires_grad_()
    body = NeoHookean(space, each, NU)
    energy = body.energy(u)
    (slope,) = torch.autograd.grad(energy, each)  # the energy is linear in the modulus
    assert float((slope * each).sum()) == pytest.approx(float(energy.detach()), rel=1e-12)
    terms = body + Dirichlet("left", 0.0) + Neumann("right", torch.tensor([1.0, 0.3], dtype=F64))
    zero = torch.zeros_like(u)
    tip = steady(terms, zero).value.square().sum()
    (slope,) = torch.autograd.grad(tip, each)
    with torch.no_grad():  # the modulus stretched along itself: loads shrink likewise
        h = 1e-4
        ahead, behind = (
            steady(body + Dirichlet("left", 0.0) + Neumann("right", torch.tensor([1.0, 0.3], dtype=F64) / f), zero)
            for f in (1 + h, 1 - h)
        )
    change = (ahead.value.square().sum() - behind.value.square().sum()) / (2 * h)
    assert float((slope * each).sum()) == pytest.approx(float(change), rel=1e-5)


def test_what_is_turned_inside_out_is_refused() -> None:
    space = Space(rectangle(4, 4))
    body, zero = NeoHookean(space, YOUNG, NU), torch.zeros(space.n, 2, dtype=F64)
    flip = torch.tensor([-1.5, 0.0], dtype=F64)
    mirrored = space.pos * flip
    assert float(body.energy(mirrored)) == math.inf
    assert not bool(torch.isfinite(body(NOW, mirrored)).any())
    sentence = r"cell 0 is turned inside out \(det F = -0.5\); take more load steps"
    with pytest.raises(InputError, match=sentence):
        body.stress(mirrored)
    with pytest.raises(InputError, match=sentence):
        body.piola(mirrored)
    with pytest.raises(SolveError, match="cell [0-9]+ is turned inside out .*; take more load steps"):
        at_rest(body + Dirichlet("boundary", lambda x, t: x * flip), space)
    with pytest.raises(SolveError, match="no state of rest was found beyond t = 0.66"):
        load_steps(body + Dirichlet("boundary", lambda x, t: t * x * flip), zero)


def test_refusals() -> None:
    space = Space(rectangle(2, 2))
    with pytest.raises(InputError, match="kind='plane_stress' in 2 dimensions, expected 'plane_strain'"):
        NeoHookean(space, kind="plane_stress")
    with pytest.raises(InputError, match="young is -1, expected finite numbers > 0"):
        NeoHookean(space, -1.0)
    with pytest.raises(InputError, match="poisson is 0.5, expected numbers between -1 and 1/2"):
        NeoHookean(space, 1.0, 0.5)
    with pytest.raises(InputError, match="cells that fill the plane or space"):
        NeoHookean(Space(interval(3)))
    for solve in (steady, load_steps):
        with pytest.raises(ConditionError, match="the body can still .*turn about z; hold that by a value"):
            solve(NeoHookean(space) + Dirichlet(torch.tensor([0]), 0.0), torch.zeros(space.n, 2, dtype=F64))
