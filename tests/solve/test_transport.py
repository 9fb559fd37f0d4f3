"""Optimal transport: exact plans against all permutations, entropic ones against their conditions."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from graphpde.errors import InputError, ShapeError, SolveError
from graphpde.solve import assignment, sinkhorn, sinkhorn_divergence, squared_distances, wasserstein

RNG = torch.Generator().manual_seed(0)


def points(n: int, d: int = 2) -> torch.Tensor:
    return torch.randn(n, d, dtype=torch.float64, generator=RNG)


def test_the_assignment_is_the_best_of_all() -> None:
    for _ in range(5):
        cost = squared_distances(points(6), points(6))
        best = min(sum(float(cost[i, p[i]]) for i in range(6)) for p in itertools.permutations(range(6)))
        chosen = assignment(cost)
        assert float(cost.gather(1, chosen[:, None]).sum()) == pytest.approx(best, rel=1e-12)
        assert sorted(chosen.tolist()) == list(range(6))


def test_distances_in_one_dimension_are_those_of_sorted_points() -> None:
    x, y = points(40, 1), points(40, 1) + 0.3
    gap = (x.sort(0).values - y.sort(0).values).abs()
    assert wasserstein(x, y) == pytest.approx(float(gap.square().mean().sqrt()), rel=1e-12)
    assert wasserstein(x, y, order=1) == pytest.approx(float(gap.mean()), rel=1e-12)


def test_a_shift_is_as_far_as_it_is_long() -> None:
    x = points(30)
    assert wasserstein(x, x + torch.tensor([3.0, 4.0])) == pytest.approx(5.0, rel=1e-12)
    assert wasserstein(x, x[torch.randperm(30, generator=RNG)]) < 1e-12


def test_an_entropic_plan_has_its_sums_and_its_form() -> None:
    """P_ij = exp((f_i + g_j - C_ij) / blur): cross ratios of P are those of exp(-C / blur)."""
    cost = squared_distances(points(5), points(7))
    a, b = (torch.rand(n, dtype=torch.float64, generator=RNG) + 0.1 for n in (5, 7))
    a, b = a / a.sum(), b / b.sum()
    found = sinkhorn(cost, a, b, blur=0.3, tolerance=1e-12)
    assert torch.allclose(found.plan.sum(1), a, atol=1e-12)
    assert torch.allclose(found.plan.sum(0), b, atol=1e-14)
    log = found.plan.log() + cost / 0.3
    assert float((log - log[:1] - log[:, :1] + log[0, 0]).abs().max()) < 1e-9
    assert float(found.cost) == pytest.approx(float((found.plan * cost).sum()))


def test_little_blur_comes_close_to_the_exact_plan() -> None:
    x, y = points(12), points(12)
    cost = squared_distances(x, y)
    exact = wasserstein(x, y) ** 2
    costs = [float(sinkhorn(cost, blur=blur, tolerance=1e-3).cost) for blur in (0.1, 0.03, 0.01)]
    assert exact - 1e-3 * float(cost.max()) <= costs[2] < costs[1] < costs[0]  # rows are off by a thousandth
    assert costs[2] - exact < 0.01 * math.log(12)  # blur times the entropy of a plan


def test_divergence_of_equal_sets_is_zero_and_its_gradient_is_right() -> None:
    x, y = points(8), points(9) + 0.5
    assert abs(float(sinkhorn_divergence(x, x.clone(), blur=0.5))) < 1e-9
    moved = x.clone().requires_grad_()
    (g,) = torch.autograd.grad(sinkhorn_divergence(moved, y, blur=0.5), moved)
    for place in ((0, 0), (7, 1)):
        values = []
        for step in (1e-4, -1e-4):
            other = x.clone()
            other[place] += step
            values.append(float(sinkhorn_divergence(other, y, blur=0.5)))
        assert float(g[place]) == pytest.approx((values[0] - values[1]) / 2e-4, rel=1e-4, abs=1e-6)


def test_single_precision_meets_its_tolerance() -> None:
    """Costs of 78 in blurs of 0.1 have exponents of 780, which float32 rounds to 5e-5; and plans have zeros there."""
    x, y = (points(n).float() * 2.5 for n in (30, 40))
    cost = squared_distances(x, y)
    plan = sinkhorn(cost, blur=0.1 * float(cost.max()) / 78, tolerance=1e-6, most=100_000).plan
    assert plan.dtype == torch.float32
    assert torch.allclose(plan.sum(0), torch.full((40,), 1 / 40), rtol=1e-5)
    x, y = (torch.cat([part, part + 20]) for part in (x[:9] / 2, y[:9] / 2))  # plans are 0 between the two heaps
    found, wanted = (float(sinkhorn_divergence(a, b, blur=1.0)) for a, b in ((x, y), (x.double(), y.double())))
    assert found == pytest.approx(wanted, rel=1e-3)


def test_refused() -> None:
    for bad in (math.nan, math.inf):
        with pytest.raises(InputError, match="1 costs are not finite"):
            sinkhorn(torch.tensor([[0.0, bad], [1.0, 2.0]]), blur=1.0)
    for empty in (wasserstein, squared_distances):
        nothing = torch.zeros(0, 2)
        with pytest.raises(ShapeError, match="at least one point on either side"):
            empty(nothing, nothing) if empty is wasserstein else sinkhorn(empty(nothing, nothing), blur=1.0)
    with pytest.raises(ShapeError, match=r"the costs have shape \[2, 3\], expected \[n, n\]"):
        assignment(torch.zeros(2, 3))
    with pytest.raises(InputError, match="1 costs are not finite"):
        assignment(torch.tensor([[0.0, math.nan], [1.0, 2.0]]))
    with pytest.raises(ShapeError, match=r"the points have shapes \[3, 2\] and \[3, 1\]"):
        wasserstein(torch.zeros(3, 2), torch.zeros(3, 1))
    with pytest.raises(InputError, match="order is 3, expected 1 or 2"):
        wasserstein(torch.zeros(3, 2), torch.zeros(3, 2), order=3)
    with pytest.raises(InputError, match="blur is 0, expected a number > 0"):
        sinkhorn(torch.zeros(2, 2), blur=0)
    with pytest.raises(ShapeError, match=r"the weights have shape \[3\], expected \[2\]"):
        sinkhorn(torch.zeros(2, 2), torch.ones(3) / 3, blur=1.0)
    with pytest.raises(InputError, match="the weights sum up to 2"):
        sinkhorn(torch.zeros(2, 2), torch.ones(2), blur=1.0)
    with pytest.raises(SolveError, match="after 3 sweeps"):
        sinkhorn(squared_distances(points(20), points(20)), blur=1e-3, most=3)


def test_rough_potentials_change_no_optimum() -> None:
    from scipy.optimize import linear_sum_assignment

    rng = torch.Generator().manual_seed(3)
    n, x = 150, torch.randn(150, 2, generator=rng)
    costs = {
        "points": squared_distances(x, 2 * torch.randn(n, 2, generator=rng) + 1),
        "points of which many are one": squared_distances(x[:1].expand(n, 2), x),
        "all equal": torch.ones(n, n),
        "an outlier": torch.rand(n, n, generator=rng).index_put((torch.tensor(3), torch.tensor(4)), torch.tensor(1e9)),
        "no distances": torch.randn(n, n, generator=rng) - 5,
        "whole numbers": torch.randint(0, 4, (n, n), generator=rng).float(),
        "tiny": 1e-20 * torch.rand(n, n, generator=rng),
    }
    for name, cost in costs.items():
        found, exact = assignment(cost), cost.double().numpy()
        assert found.sort().values.equal(torch.arange(n)), name
        least = exact[linear_sum_assignment(exact)].sum()
        assert exact[range(n), found].sum() == pytest.approx(least, rel=1e-12, abs=1e-30), name


def test_rough_potentials_are_nearly_optimal() -> None:
    """What they leave is near 0 along the optimal pairs and hardly below 0 elsewhere: complementary slackness."""
    from graphpde.solve.transport import _reduced

    rng = torch.Generator().manual_seed(5)
    cost = squared_distances(torch.randn(200, 2, generator=rng), 2 * torch.randn(200, 2, generator=rng) + 1).double()
    left, chosen = _reduced(cost), assignment(cost)
    along = left[torch.arange(200), chosen]
    assert float(along.abs().mean()) < 0.02 * float(left.mean())
    assert float(left.min()) > -0.05 * float(left.mean())
    shift = left - cost  # a number for each row and one for each column, which favour no assignment
    assert float((shift - shift[:1] - shift[:, :1] + shift[0, 0]).abs().max()) < 1e-12
