"""Topology optimisation: filters, moduli, gradients through the solver, optimality criteria, named sets of cells."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

import graphpde.solve.linear
from graphpde.core.graph import TagSet
from graphpde.design import (
    Compliance,
    Densities,
    DensityFilter,
    Heaviside,
    Simp,
    minimise_compliance,
    optimality_criteria,
)
from graphpde.dynamics import steady
from graphpde.errors import ConditionError, InputError, ShapeError
from graphpde.mesh import Mesh, Space, box, jittered, rectangle
from graphpde.mesh.geometry import cell_centroids, cell_measures
from graphpde.ops import Dirichlet, Neumann, Source, Sum
from graphpde.ops.elasticity import Elasticity, ElasticSupport

F64 = torch.float64
UP = torch.tensor([0.0, 1.0], dtype=F64)


def cantilever(mesh: Mesh, young: Any = 1.0, **options: Any) -> Any:
    """Held on the left, pulled up on the right."""
    space = Space(mesh)
    return Elasticity(space, young, 0.3, **options) + Dirichlet("left", 0.0) + Neumann("right", UP)


def small(cells: str = "quad") -> Mesh:
    return rectangle(8, 4, width=2.0, cells=cells)


def cell_set(mesh: Mesh, cells: list[int]) -> TagSet:
    return mesh.make_tag(mesh.dim, cells)


def random(m: int, low: float = 0.2, high: float = 0.8) -> Tensor:
    return low + (high - low) * torch.rand(m, generator=torch.Generator().manual_seed(0), dtype=F64)


# filter and material


@pytest.mark.parametrize("cells", ["quad", "triangle", "mixed"])
def test_a_filter_is_a_mean_over_a_hat(cells: str) -> None:
    mesh = jittered(rectangle(9, 7, cells=cells), 0.2, seed=1)
    mean, x = DensityFilter(mesh, 0.3), random(mesh.n_cells)
    assert float((mean(torch.ones_like(x)) - 1).abs().max()) < 1e-14
    assert float(mean(x).min()) >= float(x.min()) and float(mean(x).max()) <= float(x.max())
    centre, size = cell_centroids(mesh), cell_measures(mesh)
    hat = (0.3 - torch.cdist(centre, centre)).clamp(min=0) * size
    assert torch.allclose(mean(x), hat @ x / hat.sum(1), rtol=1e-13)
    both = mean(torch.stack([x, 1 - x]))
    assert torch.allclose(both[0], mean(x)) and torch.allclose(both.sum(0), torch.ones_like(x))


def test_a_filter_has_the_published_weights() -> None:
    mesh = rectangle(7, 7, width=7.0, height=7.0, cells="quad")
    spot = torch.zeros(49, dtype=F64)
    spot[24] = 1.0
    found = DensityFilter(mesh, 1.5)(spot)
    hat = {0: 1.5, 1: 0.5, 2: 1.5 - math.sqrt(2)}  # by the square of the distance
    total = hat[0] + 4 * hat[1] + 4 * hat[2]
    assert float(found[24]) == pytest.approx(hat[0] / total, rel=1e-14)
    assert float(found[25]) == pytest.approx(hat[1] / total) and float(found[32]) == pytest.approx(hat[2] / total)
    assert float(found.sum()) == pytest.approx(1.0, rel=1e-14)  # away from the boundary


def test_a_filter_that_reaches_nobody_says_so() -> None:
    mesh = rectangle(4, 4, cells="quad")
    with pytest.warns(UserWarning, match="reaches no other cell"):
        alone = DensityFilter(mesh, 0.2)
    x = random(16)
    assert torch.equal(alone(x), x)


def test_moduli_and_steps_keep_their_ends() -> None:
    ends = torch.tensor([0.0, 1.0], dtype=F64)
    assert torch.allclose(Simp(3.0, 1e-3)(ends), torch.tensor([1e-3, 1.0], dtype=F64))
    for sharpness in (0.1, 1.0, 32.0):
        step = Heaviside(sharpness, 0.4)
        assert torch.allclose(step(ends), ends)
        assert float(step(torch.tensor(0.5, dtype=F64))) > 0.5
    assert float(Heaviside(1e-4)(torch.tensor(0.3, dtype=F64))) == pytest.approx(0.3, abs=1e-8)  # no step at all
    assert float(Heaviside(200.0, 0.4)(torch.tensor(0.35, dtype=F64))) < 1e-6


# compliance and its gradient


@pytest.mark.parametrize("mesh", [small(), small("mixed"), box(3, 2, 2)], ids=["quads", "mixed", "tetrahedra"])
def test_compliance_is_the_work_of_the_loads_of_a_steady_state(mesh: Mesh) -> None:
    pull = torch.zeros(mesh.space_dim, dtype=F64)
    pull[1] = 1.0
    factors, space = random(mesh.n_cells), Space(mesh)
    held = Sum.of(Dirichlet("left", 0.0), Neumann("top", pull), ElasticSupport("right", 0.1))  # the load meets the wall
    body = Compliance(Elasticity(space, 2.0, 0.3) + held)
    u = steady(Elasticity(space, 2.0 * factors, 0.3) + held, torch.zeros(space.n, mesh.space_dim, dtype=F64)).value
    assert torch.allclose(body.displacement(factors), u, rtol=1e-9, atol=1e-9 * float(u.abs().max()))
    assert float(body(factors)) == pytest.approx(float((body.load * u).sum()), rel=1e-10)


@pytest.mark.parametrize("method", ["direct", "cg"])
def test_the_gradient_leaves_a_remainder_of_second_order(method: str) -> None:
    mesh = small()
    body = Compliance(cantilever(mesh, kind="plane_stress"), method=method, rtol=1e-13)
    densities, simp = Densities(mesh, 0.6, projection=Heaviside(4.0)), Simp()

    def objective(x: Tensor) -> Tensor:
        return body(simp(densities(x)))

    x = random(mesh.n_cells).requires_grad_()
    value = objective(x)
    (slope,) = torch.autograd.grad(value, x)
    way = torch.randn(mesh.n_cells, generator=torch.Generator().manual_seed(1), dtype=F64)
    sizes = [0.04 * 0.5**k for k in range(4)]
    with torch.no_grad():
        rest = [abs(float(objective(x + h * way) - value - h * (slope @ way))) for h in sizes]
    assert math.log2(rest[-2] / rest[-1]) == pytest.approx(2.0, abs=0.1)
    # twice the energy of a cell, by hand: the compliance is its own adjoint
    u = body.displacement(simp(densities(x))).detach()[mesh.cells["quad"]]
    energy = torch.einsum("mia,mijab,mjb->m", u, body.stiffest[0], u)
    rho = densities(x.detach()).requires_grad_()
    (expected,) = torch.autograd.grad(body(simp(rho)), rho)
    assert torch.allclose(expected, -3 * rho.detach() ** 2 * energy, rtol=1e-6)


def test_a_gradient_costs_no_further_factorisation(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = {"factored": 0, "solved": 0}

    class Counted(graphpde.solve.linear.Factor):
        def __init__(self, a: Any):
            counts["factored"] += 1
            super().__init__(a)

        def solve(self, b: Tensor, *, transposed: bool = False) -> Any:
            counts["solved"] += 1
            return super().solve(b, transposed=transposed)

    monkeypatch.setattr(graphpde.solve.linear, "Factor", Counted)
    body = Compliance(cantilever(small()))
    s = random(32).requires_grad_()
    body(s).backward()
    assert counts == {"factored": 1, "solved": 2} and bool((s.grad < 0).all())  # type: ignore[operator]


# the optimum


def test_criteria_meet_the_volume_and_favour_what_pulls() -> None:
    x, share = torch.full((5,), 0.5, dtype=F64), lambda y: y.mean()
    slope, weight = -torch.tensor([4.0, 2.0, 1.0, 0.5, 0.0], dtype=F64), torch.full((5,), 0.2, dtype=F64)
    new = optimality_criteria(x, slope, weight, share, 0.5)
    assert float(new.mean()) == pytest.approx(0.5, rel=1e-9)
    assert float((new - x).abs().max()) <= 0.2 + 1e-15 and bool((new.diff() <= 0).all())
    free = (new > 0.3) & (new < 0.7)
    ratio = (new / (x * (-slope / weight).sqrt()))[free]
    assert float(ratio.max()) == pytest.approx(float(ratio.min()), rel=1e-12)  # one multiplier for all
    for volume, end in ((0.9, 0.7), (0.1, 0.3)):  # further than a step leads
        moved = optimality_criteria(x, slope - 1, weight, share, volume)
        assert torch.allclose(moved, torch.full_like(x, end))


def test_cells_that_nothing_pulls_at_do_not_spoil_the_multiplier() -> None:
    x, share = torch.full((4,), 0.5, dtype=F64), lambda y: y.mean()
    slope = -torch.tensor([1.0, 0.5, 1e-300, 0.0], dtype=F64)
    x = x * torch.tensor([1, 1, 1e-160, 0], dtype=F64)
    new = optimality_criteria(x, slope, torch.full_like(x, 0.25), share, 0.3)
    assert float(new.mean()) == pytest.approx(0.3, rel=1e-9)


@pytest.mark.parametrize("projection", [None, Heaviside(2.0)], ids=["filtered", "projected"])
def test_an_optimum_is_stiffer_and_holds_the_volume(projection: Heaviside | None) -> None:
    mesh = rectangle(16, 8, width=2.0, cells="quad")
    total, densities = cantilever(mesh, kind="plane_stress"), Densities(mesh, 0.2, projection=projection)
    found = minimise_compliance(total, 0.4, densities, steps=60)
    again = minimise_compliance(total, 0.4, densities, steps=60)
    assert torch.equal(found.densities, again.densities) and found.compliance == again.compliance
    assert found.compliance[-1] < 0.5 * found.compliance[0] and found.volume[-1] == pytest.approx(0.4, rel=1e-8)
    assert max(abs(v - 0.4) for v in found.volume[1:]) < 1e-8
    assert len(found.compliance) == found.steps + 1 and found.converged == (found.change[-1] <= 0.01)
    mirrored = found.densities.reshape(8, 16).flip(0).reshape(-1)  # the load is odd, the best body is even
    assert torch.allclose(found.densities, mirrored, atol=1e-5)


@pytest.mark.parametrize("projection", [None, Heaviside(2.0)], ids=["filtered", "projected"])
def test_a_start_of_another_volume_is_led_to_the_one_asked_for(projection: Heaviside | None) -> None:
    mesh = small()
    densities, start = Densities(mesh, 0.6, projection=projection), torch.full((32,), 0.5, dtype=F64)
    found = minimise_compliance(cantilever(mesh), 0.4, densities, start=start, steps=1)
    assert found.volume[0] == pytest.approx(0.5) and found.volume[1] == pytest.approx(0.4, rel=1e-8)
    assert torch.equal(start, torch.full_like(start, 0.5))


def test_at_the_optimum_volume_is_worth_the_same_everywhere() -> None:
    mesh = rectangle(16, 8, width=2.0, cells="quad")
    body, densities = Compliance(cantilever(mesh)), Densities(mesh, 0.2)
    found = minimise_compliance(body, 0.4, densities, steps=60)
    x = found.variables.requires_grad_()
    rho = densities(x)
    gains = [torch.autograd.grad(y, x, retain_graph=True)[0] for y in (body(Simp()(rho)), densities.share(rho))]
    worth = (gains[0] / gains[1])[(x > 0.05) & (x < 0.95)]  # where no bound is active
    assert len(worth) > 10 and float(worth.std() / worth.mean().abs()) < 0.1


def test_sharper_steps_turn_grey_into_black_and_white() -> None:
    mesh = rectangle(16, 8, width=2.0, cells="quad")
    body, greys, start = Compliance(cantilever(mesh)), [], None
    for sharpness in (1.0, 4.0, 16.0):
        densities = Densities(mesh, 0.2, projection=Heaviside(sharpness))
        found = minimise_compliance(body, 0.4, densities, start=start, steps=30)
        start = found.variables
        greys.append(found.grey)
    assert greys[0] > greys[1] > greys[2] and greys[2] < 0.4 * greys[0]


def test_named_cells_are_solid_or_void_whatever_the_design() -> None:
    mesh = small()
    mesh = mesh.with_tags(rim=cell_set(mesh, list(range(8))), hole=cell_set(mesh, [18, 19, 20]))
    densities = Densities(mesh, 0.4, solid="rim", void=("hole",))
    found = minimise_compliance(cantilever(mesh), 0.5, densities, steps=10)
    assert bool((found.densities[:8] == 1).all()) and bool((found.densities[18:21] == 0).all())
    assert found.volume[-1] == pytest.approx(0.5, rel=1e-8)
    for volume in (0.2, 0.95):
        with pytest.raises(InputError, match="solid and void leaves 0.25 to 0.9062"):
            densities.require(volume)
    with pytest.raises(InputError, match="solid and void, first 0"):
        Densities(mesh, 0.4, solid="rim", void="rim")


def test_the_way_is_watched_and_ends_where_asked() -> None:
    total, densities, seen = cantilever(small()), Densities(small(), 0.5), []

    def watch(step: int, compliance: float, change: float, now: Tensor) -> bool:
        seen.append((step, compliance, change, now))
        return step == 3

    found = minimise_compliance(total, 0.4, densities, steps=20, watch=watch)
    whole = minimise_compliance(total, 0.4, densities, steps=20)
    assert found.steps == 3 and not found.converged and not found.densities.requires_grad
    assert found.compliance == whole.compliance[:4] and found.change == whole.change[:3]
    assert [row[:3] for row in seen] == list(zip((1, 2, 3), found.compliance[1:], found.change, strict=True))
    assert torch.equal(seen[-1][3], found.densities) and torch.equal(densities(found.variables), found.densities)


# refusals


@pytest.mark.parametrize("volume", [0.0, 1.0, -0.1, float("nan")])
def test_a_volume_outside_of_0_and_1_is_refused(volume: float) -> None:
    with pytest.raises(InputError, match="volume is"):
        minimise_compliance(cantilever(small()), volume, Densities(small(), 0.5))


def test_what_has_no_compliance_is_refused() -> None:
    mesh = small()
    space = Space(mesh)
    body, held = Elasticity(space, 1.0, 0.3), Dirichlet("left", 0.0)
    with pytest.raises(InputError, match="no load acts on the body"):
        Compliance(body + held)
    with pytest.raises(InputError, match="no load acts on the body"):
        Compliance(body + held + Source(space, 0.0))
    with pytest.raises(ConditionError, match="a support moves"):
        Compliance(body + Dirichlet("left", 0.1) + Neumann("right", UP))
    with pytest.raises(ConditionError, match="free|held|Dirichlet|move"):
        Compliance(body + Neumann("right", UP))
    with pytest.raises(InputError, match="one linear Elasticity"):
        Compliance(body + body + held + Neumann("right", UP))
    hot = Elasticity(space, 1.0, 0.3, expansion=1.0, temperature=1.0)
    with pytest.raises(InputError, match="temperature loads the body"):
        Compliance(hot + held + Neumann("right", UP))


def test_designs_that_do_not_fit_are_refused() -> None:
    mesh = small()
    total, densities = cantilever(mesh), Densities(mesh, 0.5)
    with pytest.raises(ShapeError, match="start"):
        minimise_compliance(total, 0.5, densities, start=torch.ones(3, dtype=F64))
    with pytest.raises(InputError, match=r"outside of \[0, 1\]"):
        minimise_compliance(total, 0.5, densities, start=torch.full((32,), 2.0, dtype=F64))
    with pytest.raises(InputError, match="give both one mesh"):
        minimise_compliance(total, 0.5, Densities(rectangle(2, 2), 0.7))
    with pytest.raises(InputError, match="radius is"):
        DensityFilter(mesh, -1.0)
    with pytest.raises(InputError, match="penalty is 0.5"):
        Simp(0.5)
    with pytest.raises(InputError, match="threshold is 0"):
        Heaviside(1.0, 0.0)
