"""Smoothing kernels: their integrals, slopes and ends."""

from __future__ import annotations

import pytest
import torch

from graphpde.core.close_pairs import close_pairs
from graphpde.core.incidence import Incidence
from graphpde.errors import InputError
from graphpde.ops.ends import at_ends, ends
from graphpde.ops.smoothing import SMOOTHINGS, SPHERE, Overlap, Smoothing

DOUBLE = {"dtype": torch.float64}
KERNELS = [(kind, d) for kind in SMOOTHINGS for d in (1, 2, 3)]


@pytest.mark.parametrize(("kind", "d"), KERNELS)
def test_kernels_integrate_to_one_and_end_smoothly(kind: str, d: int) -> None:
    """By Gauss points between the knots, on which polynomials are integrated exactly."""
    w = Smoothing(0.7, d, kind)
    knots = torch.arange(7, dtype=torch.float64) * 0.7 / 6
    at = torch.tensor([-0.9602898564975363, -0.7966664774136267, -0.525532409916329, -0.1834346424956498], **DOUBLE)
    by = torch.tensor([0.1012285362903763, 0.2223810344533745, 0.3137066458778873, 0.362683783378362], **DOUBLE)
    at, by = torch.cat([at, -at]), torch.cat([by, by])
    r = ((knots[:-1] + knots[1:])[:, None] + 0.7 / 6 * at) / 2
    total = SPHERE[d - 1] * float((w.value(r * r) * r ** (d - 1) * by).sum()) * 0.7 / 12
    assert total == pytest.approx(1, abs=1e-13)
    assert float(w.value(torch.zeros(1, dtype=torch.float64))) == pytest.approx(w.peak, rel=1e-14)
    end = torch.tensor([0.7 - 1e-9, 0.7, 0.9], dtype=torch.float64).square()
    assert float(w.value(end).abs().max()) + float(w.slope(end).abs().max()) < 1e-9
    assert float(w.value(end)[1:].abs().max()) == 0


@pytest.mark.parametrize(("kind", "d"), KERNELS)
def test_slopes_are_derivatives(kind: str, d: int) -> None:
    w = Overlap(Smoothing(1.3, d, kind), 0.7)
    apart = torch.randn(50, d, generator=torch.Generator().manual_seed(d), dtype=torch.float64).requires_grad_()
    (slope,) = torch.autograd.grad(w.energy(apart).sum(), apart)
    assert torch.allclose(slope, w.pull(apart), rtol=1e-12, atol=1e-12)


def test_what_edges_bring_to_their_ends_is_added_there() -> None:
    q = torch.rand(30, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    tail, head = close_pairs(q, 0.3)
    values = torch.randn(2, 2, len(tail), 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    wanted = torch.zeros(2, 30, 3, dtype=torch.float64)
    for b in range(2):
        wanted[b].index_put_((tail,), values[0, b], accumulate=True)
        wanted[b].index_put_((head,), values[1, b], accumulate=True)
    edges = Incidence.of_pairs(tail, head, 30)
    found = at_ends(edges, *values)
    assert torch.allclose(found, wanted, rtol=1e-13, atol=1e-13)
    assert torch.allclose(at_ends(edges, *values[:, 0]), wanted[0], rtol=1e-13, atol=1e-13)
    for found, end in zip(ends(edges, q), (tail, head), strict=True):
        assert torch.equal(found, q[end])


def test_bad_input() -> None:
    for given, says in (
        ((0.0, 2), "reach is 0"),
        ((1.0, 4), "d is 4, expected 1, 2 or 3"),
        ((1.0, 2, "gauss"), "kind='gauss', expected one of: cubic_spline"),
    ):
        with pytest.raises(InputError, match=says):
            Smoothing(*given)
