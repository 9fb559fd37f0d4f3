"""Diffusion of cell averages: exact cases, conditions at facets, order, balances, symmetry, gradients, refusals."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from graphpde.dynamics import evolve
from graphpde.dynamics.explicit import Euler, Rk4
from graphpde.dynamics.implicit import BackwardEuler, CrankNicolson
from graphpde.dynamics.steady import steady
from graphpde.dynamics.stepper import Stepper
from graphpde.errors import ConditionError, InputError
from graphpde.mesh import CellSpace, Mesh, box, interval, jittered, random_square, rectangle, refine, sphere
from graphpde.ops import Diffusion, Dirichlet, Neumann, Reaction, Source, System
from graphpde.ops.boundary import Robin
from tests.mesh.unit_meshes import KINDS, mapped, unit_mesh

F64 = torch.float64
T0 = torch.tensor(0.0, dtype=F64)


def slope(d: int) -> Tensor:
    return torch.arange(1.0, d + 1, dtype=F64)


def linear(x: Tensor, t: object = None) -> Tensor:
    return (x @ slope(x.shape[1]))[:, None] + 2


def tensor(d: int, seed: int = 1) -> Tensor:
    a = torch.randn(d, d, dtype=F64, generator=torch.Generator().manual_seed(seed))
    return a @ a.T + 0.3 * torch.eye(d, dtype=F64)


def zeros(space: CellSpace) -> Tensor:
    return torch.zeros(space.n, 1, dtype=F64)


def dense(operator: object) -> Tensor:
    return torch.from_numpy(operator.to_scipy().toarray())  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", KINDS)
class TestOnEveryCell:
    def test_linear_functions_are_exact(self, kind: str) -> None:
        """Patch test, isotropic and anisotropic, on cells of every type in general position."""
        space = CellSpace(mapped(unit_mesh(kind, 3), seed=1)[0])
        for kappa in (2.0, tensor(space.mesh.space_dim)[None]):
            found = steady(Diffusion(space, kappa) + Dirichlet("boundary", linear), zeros(space)).value
            assert float((found - linear(space.pos)).abs().max()) <= 1e-12

    def test_nothing_is_lost_and_constants_stay(self, kind: str) -> None:
        space = CellSpace(unit_mesh(kind, 2))
        for kappa in (1.0, tensor(space.mesh.space_dim)[None], torch.rand(space.n, dtype=F64) + 0.1):
            matrix = dense(Diffusion(space, kappa).operator)
            scale = float(matrix.abs().max())
            assert float(matrix.sum(0).abs().max()) <= 1e-13 * scale
            assert float(matrix.sum(1).abs().max()) <= 1e-13 * scale

    def test_every_mode_decays(self, kind: str) -> None:
        space = CellSpace(unit_mesh(kind, 3))
        matrix = dense(Diffusion(space).operator) / space.measure[:, None]
        rates = torch.linalg.eigvals(matrix).real.sort(descending=True).values
        assert abs(float(rates[0])) <= 1e-10 * float(rates[-1].abs()) and float(rates[1]) < -1


def test_boxes_give_the_symmetric_two_point_scheme() -> None:
    """On rectangles there is nothing to correct: the five-point star, symmetric, half cells at the boundary."""
    space = CellSpace(rectangle(3, 3, cells="quad"))
    operator = Diffusion(space).operator
    assert operator.symmetric and operator.relation is space.edges
    assert torch.equal(dense(operator), dense(operator).T)
    bound = System(Diffusion(space) + Dirichlet("boundary", 1.0), None, T0)
    assert bound.operator is not None
    middle, corner = 4, 0
    assert float(bound.operator.diagonal()[middle]) == pytest.approx(-4)
    assert float(bound.operator.diagonal()[corner]) == pytest.approx(-6)
    assert float(bound.load(T0, zeros(space))[corner]) == pytest.approx(4)
    assert not Diffusion(CellSpace(jittered(rectangle(3, 3, cells="quad"), 0.2)), 1.0).operator.symmetric


def two_halves(cells: str = "triangle") -> Mesh:
    """The unit square with an interface at x = 1/2, the points on either side moved at random."""
    mesh = rectangle(6, 5, cells=cells)
    x = mesh.points
    free = ((x - 0.5).abs() < 0.5 - 1e-9).all(1) & ((x[:, 0] - 0.5).abs() > 1e-9)
    move = 0.12 * (torch.rand(x.shape, dtype=F64, generator=torch.Generator().manual_seed(3)) - 0.5)
    mesh = mesh.with_points(torch.where(free[:, None], x + move, x))
    left = (CellSpace(mesh).pos[:, 0] < 0.5).nonzero()[:, 0]
    right = (CellSpace(mesh).pos[:, 0] > 0.5).nonzero()[:, 0]
    return mesh.with_tags(copper=mesh.make_tag(2, left), cork=mesh.make_tag(2, right))


@pytest.mark.parametrize("cells", ["triangle", "quad"])
def test_materials_are_exact_for_kinked_linear_functions(cells: str) -> None:
    """Conductivities 100 and 1 side by side, with a gradient along the interface as well."""
    space = CellSpace(two_halves(cells))

    def kinked(x: Tensor, t: object = None) -> Tensor:
        a = torch.where(x[:, 0] < 0.5, 0.01 * x[:, 0], 0.005 + (x[:, 0] - 0.5))
        return (a + 0.3 * x[:, 1])[:, None]

    heat = Diffusion(space, {"copper": 100.0, "cork": 1.0})
    found = steady(heat + Dirichlet("boundary", kinked), zeros(space)).value
    assert float((found - kinked(space.pos)).abs().max()) <= 1e-12


def test_anisotropic_materials_are_exact_for_kinked_linear_functions() -> None:
    """Two full tensors: continuous along the interface, with one normal flux K_1 g_1 . n = K_2 g_2 . n."""
    space = CellSpace(two_halves())
    one, two = tensor(2, seed=1), tensor(2, seed=2)
    g1 = torch.tensor([0.7, -0.4], dtype=F64)
    normal = (one @ g1)[0]
    g2 = torch.stack([(normal - two[0, 1] * g1[1]) / two[0, 0], g1[1]])

    def kinked(x: Tensor, t: object = None) -> Tensor:
        left = x @ g1
        right = 0.5 * g1[0] + (x[:, 0] - 0.5) * g2[0] + x[:, 1] * g2[1]
        return torch.where(x[:, 0] < 0.5, left, right)[:, None]

    kappa = torch.where((space.pos[:, 0] < 0.5)[:, None, None], one, two)
    found = steady(Diffusion(space, kappa) + Dirichlet("boundary", kinked), zeros(space)).value
    assert float((found - kinked(space.pos)).abs().max()) <= 1e-12


@pytest.mark.parametrize("kind", ["line", "triangle", "quad", "hexahedron"])
@pytest.mark.parametrize("factor", [1.0, 0.25])
def test_conditions_on_the_flux_are_exact_for_linear_functions(kind: str, factor: float) -> None:
    """kappa du/dn given at the right, exchange a u at the left; scaled terms mean the same flux."""
    space = CellSpace(unit_mesh(kind, 3))
    g, kappa, a = slope(space.mesh.space_dim), 3.0, 2.0
    terms = factor * Diffusion(space, kappa / factor) + Neumann("right", kappa * float(g[0]))
    terms = terms + Robin("left", a, lambda x, t: a * linear(x)[:, 0] - kappa * float(g[0]))
    for axis, sides in enumerate(
        [("bottom", "top")] if kind != "hexahedron" else [("front", "back"), ("bottom", "top")]
    ):
        for name, sign in zip(sides, (-1, 1), strict=True):
            if kind != "line":
                terms = terms + Neumann(name, sign * kappa * float(g[axis + 1]))
    found = steady(terms, zeros(space)).value
    assert float((found - linear(space.pos)).abs().max()) <= 1e-11


def test_exchange_tends_to_a_given_value() -> None:
    space = CellSpace(random_square(4, seed=1))
    held = steady(Diffusion(space) + Dirichlet("boundary", linear), zeros(space)).value
    stiff = steady(Diffusion(space) + Robin("boundary", 1e8, lambda x, t: 1e8 * linear(x)), zeros(space)).value
    assert torch.allclose(stiff, held, atol=1e-6)


def test_a_set_of_cells_is_held_itself() -> None:
    space = CellSpace(two_halves())
    found = steady(Diffusion(space) + Dirichlet("copper", 1.0) + Dirichlet("right", 0.0), zeros(space)).value
    assert bool((found[space.cells_of("copper")] == 1).all()) and float(found.min()) > 0


def test_values_win_over_inflows_and_overrides_over_values() -> None:
    space = CellSpace(rectangle(4, 1, cells="quad"))
    both = Diffusion(space) + Dirichlet("left", 1.0) + Dirichlet("right", 0.0)
    plain = steady(both, zeros(space)).value
    walls = both + Neumann("top", 7.0) + Neumann("bottom", 7.0)
    found = steady(both + Neumann("boundary", 7.0), zeros(space)).value
    assert torch.allclose(found, steady(walls, zeros(space)).value) and not torch.allclose(found, plain)
    again = both + Dirichlet("right", 3.0, override=True)
    assert torch.allclose(steady(again, zeros(space)).value, 1 + 2 * space.pos[:, :1])
    with pytest.raises(ConditionError, match="'right' and Dirichlet on 'right' clash on 1 shared facets"):
        steady(both + Dirichlet("right", 3.0), zeros(space))


def test_inflow_without_diffusion_is_a_load() -> None:
    """du/dt = g per area at the left, less the exchange at the right."""
    space = CellSpace(interval(2))
    f = System(Reaction(lambda u: 0 * u) + Neumann("left", 3.0) + Robin("right", 2.0, 1.0), space, T0)
    u = torch.ones(space.n, 1, dtype=F64)
    assert f(T0, u)[:, 0].tolist() == pytest.approx([3.0, 1.0 - 2.0])


@pytest.mark.parametrize("stepper", [Rk4(), BackwardEuler(), CrankNicolson()], ids=lambda s: s.name)
def test_mass_changes_by_what_comes_in(stepper: Stepper) -> None:
    space = CellSpace(jittered(rectangle(5, 4, width=2.0), 0.2, seed=1))
    terms = Diffusion(space, 0.1) + Neumann("left", 0.7) + Source(space, 0.25)
    u0 = torch.randn(space.n, 1, dtype=F64, generator=torch.Generator().manual_seed(0))
    run = evolve(terms, u0, [0.0, 0.5, 1.0], stepper=stepper, dt=0.004)
    expected = float(space.integral(u0)) + run.times * (0.7 + 0.25 * 2.0)
    assert torch.allclose(space.integral(run.states).flatten(), expected, rtol=1e-12)


def test_values_in_time_explicit_and_implicit_agree() -> None:
    space = CellSpace(jittered(rectangle(3, 3, cells="quad"), 0.15, seed=2))
    terms = Diffusion(space) + Dirichlet("left", lambda x, t: torch.sin(t) * x[:, 1])
    runs = [evolve(terms, zeros(space), [0.0, 0.5], stepper=s, dt=5e-4) for s in (Rk4(), CrankNicolson())]
    assert torch.allclose(runs[0].states[-1], runs[1].states[-1], atol=1e-7)
    assert float(runs[0].states[-1].max()) > 0.05


def test_batches_and_channels_are_columns() -> None:
    space = CellSpace(jittered(rectangle(3, 3), 0.15, seed=2))
    kappa = torch.rand(space.n, 2, dtype=F64) + 0.5
    both = Diffusion(space, kappa) + Dirichlet("left", torch.tensor([1.0, 2.0])) + Robin("right", 0.7, 0.2)
    u0 = torch.randn(4, space.n, 2, dtype=F64)
    run = evolve(both, u0, [0.0, 0.02], stepper=CrankNicolson(), dt=0.01).states[-1]
    for c in range(2):
        alone = Diffusion(space, kappa[:, c]) + Dirichlet("left", 1.0 + c) + Robin("right", 0.7, 0.2)
        for b in range(4):
            one = evolve(alone, u0[b, :, c : c + 1], [0.0, 0.02], stepper=CrankNicolson(), dt=0.01).states[-1]
            assert torch.allclose(run[b, :, c : c + 1], one, atol=1e-12)


def test_factors_per_channel_scale_the_conductivity() -> None:
    space = CellSpace(jittered(rectangle(3, 3), 0.15, seed=2))
    conditions = Robin("right", 0.7, 0.2) + (Diffusion(space, torch.tensor([[2.0, 0.5]], dtype=F64)))
    scaled = torch.tensor([2.0, 0.5], dtype=F64) * Diffusion(space) + Robin("right", 0.7, 0.2)
    u = torch.randn(space.n, 2, dtype=F64)
    one, two = System(conditions, None, T0), System(scaled, None, T0)
    assert torch.allclose(one(T0, u), two(T0, u), atol=1e-13)


def wave(x: Tensor, t: object = None) -> Tensor:
    w = 1.5 * torch.tensor([1.0, 0.7, 0.5], dtype=F64)[: x.shape[1]]
    return torch.cos(x @ w)[:, None]


def wave_source(x: Tensor, t: object = None) -> Tensor:
    w = 1.5 * torch.tensor([1.0, 0.7, 0.5], dtype=F64)[: x.shape[1]]
    return (w @ w) * wave(x)


@pytest.mark.orders
@pytest.mark.parametrize(
    ("make", "levels", "least"),
    [
        (lambda: random_square(4, seed=1), 4, 1.95),
        (lambda: unit_mesh("quad", 4), 4, 1.95),
        (lambda: unit_mesh("mixed plane", 4), 4, 1.95),
        (lambda: unit_mesh("hexahedron", 3), 3, 1.95),
        (lambda: unit_mesh("wedge", 3), 3, 1.8),  # still rising at so few cells
    ],
    ids=["triangles", "quads", "mixed", "hexahedra", "wedges"],
)
def test_order_two(make: Callable[[], Mesh], levels: int, least: float) -> None:
    """Poisson on a random mesh refined uniformly at the last halving."""
    mesh, errors = make(), []
    for level in range(levels):
        space = CellSpace(mesh)
        terms = Diffusion(space) + Source(space, wave_source) + Dirichlet("boundary", wave)
        errors.append(float(space.norm(steady(terms, zeros(space)).value - wave(space.pos))))
        mesh = refine(mesh) if level + 1 < levels else mesh
    assert math.log2(errors[-2] / errors[-1]) >= least
    assert errors[-1] < 1e-3


@pytest.mark.orders
def test_order_two_with_a_flux() -> None:
    """Held on the left and right, the exact flux below and above."""
    mesh, errors = random_square(4, seed=1), []
    w = 1.5 * torch.tensor([1.0, 0.7], dtype=F64)
    for _ in range(4):
        space = CellSpace(mesh)
        terms = Diffusion(space) + Source(space, wave_source) + Dirichlet("left", wave) + Dirichlet("right", wave)
        for side, sign in (("bottom", 1.0), ("top", -1.0)):
            terms = terms + Neumann(side, lambda x, t, sign=sign: sign * w[1] * torch.sin(x @ w))
        errors.append(float(space.norm(steady(terms, zeros(space)).value - wave(space.pos))))
        mesh = refine(mesh)
    assert math.log2(errors[-2] / errors[-1]) >= 1.95 and errors[-1] < 1e-3


def test_sphere_decays_like_the_second_harmonic() -> None:
    """z on the unit sphere is an eigenfunction with eigenvalue 2."""
    rates = []
    for level in (2, 3):
        space = CellSpace(sphere(level))
        z = space.pos[:, 2:] / torch.linalg.vector_norm(space.pos, dim=1, keepdim=True)
        weak = Diffusion(space).operator(z)
        rates.append(abs(-float((z * weak).sum() / space.inner(z, z)) - 2))
    assert rates[1] < 0.02 and rates[0] / rates[1] > 3.5


def test_explicit_bound_is_safe() -> None:
    space = CellSpace(random_square(5, seed=2))
    heat = Diffusion(space) + Dirichlet("boundary", 0.0)
    f = System(heat, None, T0)
    bound = f.spectral_bound()
    assert bound is not None and f.operator is not None
    largest = torch.linalg.eigvals(dense(f.operator) / space.measure[:, None]).abs().max()
    assert float(largest) <= bound <= 3 * float(largest)
    u0 = torch.randn(space.n, 1, dtype=F64)
    run = evolve(heat, u0, [0.0, 200 / bound], dt=1.9 / bound, stepper=Euler())
    assert float(space.norm(run.states[-1])) < float(space.norm(u0))


class TestGradients:
    """Central differences against reverse mode, through the assembly and the solve."""

    mesh = jittered(rectangle(2, 2), 0.2, seed=4)

    def test_conductivities(self) -> None:
        space = CellSpace(self.mesh)

        def f(kappa: Tensor) -> Tensor:
            return steady(
                Diffusion(space, kappa) + Dirichlet("left", 1.0) + Robin("right", 2.0, 0.3), zeros(space)
            ).value

        assert torch.autograd.gradcheck(f, (torch.rand(space.n, dtype=F64).add(0.5).requires_grad_(),))
        root = torch.randn(space.n, 2, 2, dtype=F64, requires_grad=True)
        assert torch.autograd.gradcheck(lambda r: f(r @ r.mT + torch.eye(2, dtype=F64)), (root,))

    def test_boundary_values(self) -> None:
        space = CellSpace(self.mesh)

        def f(value: Tensor, a: Tensor, g: Tensor) -> Tensor:
            terms = Diffusion(space) + Dirichlet("left", value) + Robin("right", a, g) + Neumann("top", g)
            return evolve(terms, zeros(space), [0.0, 0.1], dt=0.05, stepper=BackwardEuler()).states[-1]

        given = [torch.tensor([v], dtype=F64, requires_grad=True) for v in (0.7, 1.1, -0.4)]
        assert torch.autograd.gradcheck(f, given)

    def test_node_positions(self) -> None:
        def f(points: Tensor) -> Tensor:
            space = CellSpace(self.mesh.with_points(points))
            return steady(Diffusion(space) + Dirichlet("left", 1.0) + Robin("right", 2.0, 0.3), zeros(space)).value

        assert torch.autograd.gradcheck(f, (self.mesh.points.clone().requires_grad_(),))

    def test_factors(self) -> None:
        space = CellSpace(self.mesh)

        def f(factor: Tensor) -> Tensor:
            terms = factor * Diffusion(space) + Dirichlet("left", 1.0) + Robin("right", 2.0, 0.3)
            return evolve(terms, zeros(space), [0.0, 0.1], dt=0.05, stepper=CrankNicolson()).states[-1]

        assert torch.autograd.gradcheck(f, (torch.tensor(0.8, dtype=F64, requires_grad=True),))


def test_refusals() -> None:
    space = CellSpace(rectangle(2, 2, cells="quad"))
    heat = Diffusion(space)
    with pytest.raises(ConditionError, match="build one Diffusion with the sum"):
        System(heat + heat + Neumann("left", 1.0), None, T0)
    channels = torch.tensor([1.0, 2.0])
    with pytest.raises(ConditionError, match="build one Diffusion with the sum"):
        System(channels * heat + torch.tensor([0.0, 1.0]) * heat + Neumann("left", 1.0), None, T0)
    with pytest.raises(ConditionError, match="lie inside"):
        inner = torch.tensor([k for k in range(12) if k not in space.boundary_facets.tolist()])
        System(heat + Dirichlet(inner, 1.0), None, T0)
    with pytest.raises(ConditionError, match="names facet . twice"):
        System(heat + Dirichlet(space.boundary_facets[[0, 0]], 1.0), None, T0)
    with pytest.raises(ConditionError, match="is -1 somewhere"):
        System(heat + Robin("left", -1.0), None, T0)
    with pytest.raises(ConditionError, match="changes in time"):
        System(heat + Robin("left", lambda x, t: t + 0 * x[:, 0]), None, T0)
    with pytest.raises(ConditionError, match="not finite"):
        System(heat + Dirichlet("left", float("nan")), None, T0)
    with pytest.raises(ConditionError, match="no Dirichlet condition"):
        steady(heat + Source(space, 1.0), zeros(space))
    with pytest.raises(InputError, match="leave out conservative=True"):
        Diffusion(space, conservative=True)


def test_boxes_in_three_dimensions_and_one() -> None:
    """The heat of a wall held at 1 and 0 is a straight line, whatever the number of dimensions."""
    for mesh in (interval(5), box(5, 2, 2, cells="hexahedron")):
        space = CellSpace(mesh)
        wall = Diffusion(space, 0.3) + Dirichlet("left", 1.0) + Dirichlet("right", 0.0)
        assert torch.allclose(steady(wall, zeros(space)).value, 1 - space.pos[:, :1], atol=1e-13)
