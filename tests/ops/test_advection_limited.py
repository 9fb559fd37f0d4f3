"""Limited advection: no new extrema, nothing lost, second order, a slotted cylinder."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from graphpde.dynamics import evolve
from graphpde.dynamics.explicit import Heun
from graphpde.dynamics.implicit import BackwardEuler
from graphpde.errors import InputError
from graphpde.mesh import CellSpace, Mesh, Space, interval, jittered, random_cube, random_square, rectangle, refine
from graphpde.ops import Advection, CentredAdvection, Dirichlet, LimitedAdvection, System

F64 = torch.float64
T0 = torch.tensor(0.0, dtype=F64)
WIND = torch.tensor([0.5, 0.3, -0.2], dtype=F64)
MESHES: dict[str, Callable[[], Mesh]] = {
    "lines": lambda: jittered(interval(12), 0.3, seed=1),
    "triangles": lambda: random_square(5, seed=1),
    "quads": lambda: jittered(rectangle(6, 5, cells="quad"), 0.2, seed=2),
    "tets": lambda: random_cube(3, seed=3),
}
RING: dict[str, Any] = {"periodic": [("left", "right"), ("bottom", "top")]}


def wind(space: Any) -> Tensor:
    return WIND[: space.mesh.space_dim]


def positive(term: Advection, share: float = 0.5) -> float:
    """A share of the longest Euler step that keeps the upwind scheme positive."""
    return share * float((term.domain.mass / term.operator.diagonal().abs()).min())


@pytest.mark.parametrize("make", [Space, CellSpace])
@pytest.mark.parametrize("name", MESHES)
class TestOnBoth:
    def test_no_new_extrema(self, name: str, make: Any) -> None:
        """Random zeros and ones through an open box, steps of the strong-stability-preserving Heun method."""
        space = make(MESHES[name]())
        v = wind(space)
        u0 = (torch.rand(space.n, 2, dtype=F64, generator=torch.Generator().manual_seed(0)) > 0.5).double()
        dt = positive(Advection(space, v))
        inlet = Dirichlet("boundary", lambda x, t: (x.sum(1) > 0.7).double()) if make is CellSpace else None
        if inlet is None:
            fixed = space.nodes_of("left")
            inlet = Dirichlet(fixed, u0[fixed])
        run = evolve(
            LimitedAdvection(space, v) + inlet, u0, torch.linspace(0, 60 * dt, 7, dtype=F64), dt=dt, stepper=Heun()
        )
        assert float(run.states.min()) >= -1e-13 and float(run.states.max()) <= 1 + 1e-13
        assert float((run.states[-1] - u0).abs().max()) > 0.2

    def test_what_is_added_sums_to_zero(self, name: str, make: Any) -> None:
        space = make(MESHES[name]())
        rest = LimitedAdvection(space, wind(space)).pieces()[1]
        u = torch.randn(3, space.n, 2, dtype=F64)
        if make is CellSpace:  # what is reconstructed at an outflow leaves: nothing, where u is constant there
            at_boundary = torch.zeros(space.n, 1, dtype=F64)
            at_boundary[space.nodes_of("boundary")] = 1
            u = u * (1 - torch.maximum(at_boundary, space.patch.propagate(at_boundary, reduce="max")))
        added = rest(T0, u)
        assert float(added.sum(-2).abs().max()) <= 1e-13 * max(float(added.abs().sum(-2).max()), 1e-3)

    def test_batches_are_columns(self, name: str, make: Any) -> None:
        space = make(MESHES[name]())
        term = LimitedAdvection(space, wind(space))
        u = torch.randn(2, space.n, 3, dtype=F64)
        found = term(T0, u)
        for b in range(2):
            for c in range(3):
                assert torch.allclose(found[b, :, c : c + 1], term(T0, u[b, :, c : c + 1]), atol=1e-14)

    def test_pieces_are_the_term(self, name: str, make: Any) -> None:
        space = make(MESHES[name]())
        term = LimitedAdvection(space, wind(space))
        u = torch.randn(space.n, 1, dtype=F64)
        linear, rest = term.pieces()
        assert torch.allclose(term(T0, u), linear(T0, u) + rest(T0, u), atol=1e-15)
        operator = System(term, None, T0).operator
        assert operator is not None and torch.equal(operator.weight, linear.operator.weight)


def test_linear_functions_are_left_alone() -> None:
    """On a space the limited scheme is then the Galerkin one, on cells the rate is -v . grad u."""
    for make in (Space, CellSpace):
        for mesh in (jittered(rectangle(8, 8), 0.2, seed=1), jittered(rectangle(8, 8, cells="quad"), 0.2, seed=1)):
            space = make(mesh)
            u = (space.pos @ torch.tensor([1.0, -2.0], dtype=F64))[:, None]
            rate = LimitedAdvection(space, wind(space)).rate(T0, u)[:, 0]
            inside = ((space.pos - 0.5).abs() < 0.2).all(1)
            assert int(inside.sum()) > 5
            assert torch.allclose(rate[inside], torch.full_like(rate[inside], 0.1), rtol=1e-10)


@pytest.mark.parametrize("bounds", [None, (0.0, 1.0)])
@pytest.mark.parametrize("make", [Space, CellSpace])
def test_half_the_positivity_bound_is_safe_on_distorted_cells(make: Any, bounds: tuple[float, float] | None) -> None:
    """A square pulse on strongly moved triangles and quadrilaterals; a rounding of its height is all it gains."""
    space = make(refine(jittered(rectangle(5, 5, cells="mixed"), 0.25, seed=4)), **RING)
    v = torch.tensor([1.0, 0.5], dtype=F64)
    u0 = ((space.pos - 0.4).abs() < 0.2).all(1).double()[:, None]
    dt = positive(Advection(space, v))
    run = evolve(LimitedAdvection(space, v, bounds), u0, torch.linspace(0, 1, 6), dt=dt, stepper=Heun())
    assert float(run.states.min()) >= -1e-14 and float(run.states.max()) <= 1 + 1e-14


@pytest.mark.parametrize("make", [Space, CellSpace])
def test_an_outflow_is_no_extremum(make: Any) -> None:
    """A linear function on an interval is carried out exactly: the last node has no neighbour ahead, and needs none."""
    space = make(jittered(interval(12), 0.2, seed=1))
    for slope in (1.0, -2.0):
        rate = LimitedAdvection(space, [1.0]).rate(T0, slope * space.pos)[:, 0]
        last = int(space.pos[:, 0].argmax())
        assert float(rate[last]) == pytest.approx(-slope, rel=1e-10)


@pytest.mark.parametrize("make", [Space, CellSpace])
def test_given_bounds_keep_smooth_extrema_and_only_those(make: Any) -> None:
    """A crest keeps more of its height; where all is flat beside a jump nothing changes; the bounds themselves hold."""
    space = make(jittered(interval(40), 0.1, seed=1), periodic=[("left", "right")])
    wave = torch.sin(2 * math.pi * space.pos)
    dt = positive(Advection(space, [1.0]))
    height = {}
    for bounds in (None, (-2.0, 2.0), (-1.0, 1.0)):
        term = LimitedAdvection(space, [1.0], bounds)
        end = evolve(term, wave, [0.0, 1.0], dt=dt, stepper=Heun()).final
        height[bounds] = float(end.max())
    assert height[None] < height[(-1.0, 1.0)] <= 1.0
    assert abs(height[(-2.0, 2.0)] - float(wave.max())) < 0.2 * (float(wave.max()) - height[None])
    jump = ((space.pos - 0.5).abs() < 0.2).double()
    plain, wide = (LimitedAdvection(space, [1.0], b)(T0, jump) for b in (None, (-9.0, 9.0)))
    assert torch.equal(plain, wide)


@pytest.mark.parametrize("bounds", [(1.0, 0.0), (0.0, 0.0), (float("nan"), 1.0), 3.0, (0.0, 1.0, 2.0)])
def test_bounds_are_checked(bounds: Any) -> None:
    with pytest.raises(InputError, match="expected \\(low, high\\) with low < high"):
        LimitedAdvection(Space(interval(4)), [1.0], bounds)


def blob(x: Tensor, t: float = 0.0) -> Tensor:
    y = x - t * WIND[: x.shape[1]]
    return (torch.sin(2 * math.pi * y[:, 0]) * torch.cos(2 * math.pi * y[:, 1]) + 2)[:, None]


@pytest.mark.orders
@pytest.mark.parametrize("make", [Space, CellSpace])
@pytest.mark.parametrize("cells", ["triangle", "quad"])
def test_order_on_a_torus(make: Any, cells: str) -> None:
    """Smooth data with extrema, a random mesh refined uniformly: second order less a tenth, in L1; mass is kept."""
    mesh, errors = jittered(rectangle(6, 6, cells=cells), 0.2, seed=1), []
    for level in range(4):
        space = make(mesh, **RING)
        u0 = blob(space.pos)
        dt = positive(Advection(space, wind(space)), 0.4)
        run = evolve(LimitedAdvection(space, wind(space)), u0, [0.0, 0.3], dt=dt, stepper=Heun(), allow_unstable=True)
        errors.append(float(space.integral((run.states[-1] - blob(space.pos, 0.3)).abs())))
        assert float(space.integral(run.states[-1] - u0)) == pytest.approx(0, abs=1e-12)
        assert float(run.states[-1].min()) >= 1 and float(run.states[-1].max()) <= 3
        mesh = refine(mesh) if level < 3 else mesh
    assert math.log2(errors[-2] / errors[-1]) >= 1.9


def cylinder(x: Tensor) -> Tensor:
    """Zalesak's slotted cylinder round (0.5, 0.75)."""
    inside = ((x - torch.tensor([0.5, 0.75], dtype=F64)) ** 2).sum(1) <= 0.15**2
    slot = ((x[:, 0] - 0.5).abs() < 0.025) & (x[:, 1] < 0.85)
    return (inside & ~slot).double()[:, None]


def turning(x: Tensor) -> Tensor:
    return torch.stack([0.5 - x[:, 1], x[:, 0] - 0.5], 1)


@pytest.mark.parametrize("make", [Space, CellSpace])
def test_slotted_cylinder(make: Any) -> None:
    """A quarter turn within bounds: 0.58 of the error of upwinding in L1, and the height of the cylinder kept."""
    space = make(rectangle(40, 40, cells="quad"))
    u0 = cylinder(space.pos)
    quarter = math.pi / 2
    x = space.pos - 0.5
    exact = cylinder(torch.stack([x[:, 1], -x[:, 0]], 1) + 0.5)
    dt = positive(Advection(space, turning))
    peak, errors = [], []
    for scheme in (Advection, LimitedAdvection):
        terms = scheme(space, turning) + Dirichlet("boundary", 0.0)
        u = evolve(terms, u0, [0.0, quarter], dt=dt, stepper=Heun(), allow_unstable=True).states[-1]
        assert float(u.min()) >= -1e-12 and float(u.max()) <= 1 + 1e-12
        peak.append(float(u.max()))
        errors.append(float(space.integral((u - exact).abs())))
    assert errors[1] < 0.6 * errors[0]
    assert peak[1] > 0.85 and peak[0] < 0.75


def test_implicit_steps() -> None:
    """Newton with the upwind matrix as preconditioner; bounds hold at any step."""
    for make in (Space, CellSpace):
        space = make(interval(10))
        u0 = ((space.pos - 0.3).abs() < 0.15).double()
        terms = LimitedAdvection(space, [1.0]) + Dirichlet("left", 0.0)
        u = evolve(terms, u0, [0.0, 0.02], dt=0.02, stepper=BackwardEuler()).states[-1]
        assert float(u.min()) >= -1e-6 and float(u.max()) <= 1 + 1e-6
        first = Advection(space, [1.0]) + Dirichlet("left", 0.0)
        first = evolve(first, u0, [0.0, 0.02], dt=0.02, stepper=BackwardEuler())
        assert float(u.max()) > float(first.states[-1].max())


class TestGradients:
    """Away from ties every piece is smooth; random data have none."""

    mesh = jittered(rectangle(2, 2), 0.2, seed=4)

    @pytest.mark.parametrize("make", [Space, CellSpace])
    def test_velocity_state_and_positions(self, make: Any) -> None:
        def f(velocity: Tensor, u: Tensor, points: Tensor) -> Tensor:
            return LimitedAdvection(make(self.mesh.with_points(points)), velocity)(T0, u)

        rng = torch.Generator().manual_seed(3)
        n = make(self.mesh).n
        v = torch.randn(8, 2, dtype=F64, generator=rng).requires_grad_()
        u = torch.randn(n, 1, dtype=F64, generator=rng).requires_grad_()
        if make is CellSpace:
            assert torch.autograd.gradcheck(f, (v, u, self.mesh.points.clone().requires_grad_()), fast_mode=True)
        else:  # gamma is a constant of the mesh
            assert torch.autograd.gradcheck(lambda a, b: f(a, b, self.mesh.points), (v, u), fast_mode=True)


def test_centred_overshoots_where_limited_does_not() -> None:
    space = Space(interval(60))
    u0 = ((space.pos - 0.3).abs() < 0.15).double()
    found = {}
    for scheme in (CentredAdvection, LimitedAdvection):
        run = evolve(scheme(space, [1.0]) + Dirichlet("left", 0.0), u0, [0.0, 0.2], dt=2e-3, stepper=Heun())
        found[scheme] = float(run.states[-1].max())
    assert found[CentredAdvection] > 1.05 and found[LimitedAdvection] <= 1 + 1e-12
