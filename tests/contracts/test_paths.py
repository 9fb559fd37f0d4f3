"""Every registered path and coupling: ends, derivatives, laws that stay."""

from __future__ import annotations

import math

import pytest
import torch

from graphpde.errors import InputError, ShapeError
from graphpde.flow import COUPLINGS, PATHS, OptimalCoupling, SinkhornCoupling
from graphpde.solve import wasserstein


def ends() -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(0)
    return tuple(torch.randn(6, 3, dtype=torch.float64, generator=rng) for _ in range(2))  # type: ignore[return-value]


@pytest.mark.parametrize("name", PATHS)
def test_a_path_begins_in_the_base_and_ends_in_the_data(name: str) -> None:
    x0, x1 = ends()
    path = PATHS[name]()
    assert torch.allclose(path(x0, x1, torch.zeros(6, 1, dtype=torch.float64)).x, x0, atol=1e-15)
    assert torch.allclose(path(x0, x1, torch.ones(6, 1, dtype=torch.float64)).x, x1, atol=1e-15)


@pytest.mark.parametrize("name", PATHS)
def test_the_velocity_of_a_path_is_its_derivative(name: str) -> None:
    x0, x1 = ends()
    path = PATHS[name]()
    for t in (0.0, 0.3, 0.95):
        at = torch.full((), t, dtype=torch.float64)
        slope = torch.autograd.functional.jacobian(lambda s: path(x0, x1, s).x, at)
        assert torch.allclose(path(x0, x1, at).velocity, slope, atol=1e-14)


@pytest.mark.parametrize("name", PATHS)
def test_noise_beside_a_path(name: str) -> None:
    """Variance sigma^2 about the mean path, by a z-test; the velocity is that of the mean."""
    rng = torch.Generator().manual_seed(1)
    x0 = torch.zeros(20_000, 1, dtype=torch.float64)
    found = PATHS[name](sigma=0.3)(x0, x0 + 1, torch.full((20_000, 1), 0.4, dtype=torch.float64), rng)
    mean = PATHS[name]()(x0, x0 + 1, torch.tensor(0.4, dtype=torch.float64))
    assert float((found.x - mean.x).square().mean()) == pytest.approx(0.09, abs=4 * 0.09 * math.sqrt(2 / 20_000))
    assert torch.allclose(found.velocity, mean.velocity.expand_as(x0))


def test_variance_is_preserved() -> None:
    a, b = PATHS["variance_preserving"]().factors(torch.linspace(0, 1, 11, dtype=torch.float64))
    assert torch.allclose(a * a + b * b, torch.ones_like(a))


@pytest.mark.parametrize("name", COUPLINGS)
def test_couplings_keep_both_laws(name: str) -> None:
    """Base samples stay; of the data each is as likely as before: counts of 60 draws against their law."""
    rng = torch.Generator().manual_seed(2)
    coupling, counts = COUPLINGS[name](), torch.zeros(32)
    for _ in range(60):
        x0 = torch.randn(32, 2, dtype=torch.float64, generator=rng)
        x1 = torch.randn(32, 2, dtype=torch.float64, generator=rng) + 1
        y0, y1 = coupling(x0, x1, rng)
        assert torch.equal(x0, y0)
        counts += (y1[:, None] == x1[None]).all(-1).sum(0)
        if not isinstance(coupling, SinkhornCoupling):
            assert torch.equal(y1.sort(0).values, x1.sort(0).values)
    assert float(counts.sum()) == 60 * 32
    assert float((counts - 60).abs().max()) < 4.5 * math.sqrt(60)


def test_the_optimal_coupling_is_as_long_as_the_distance() -> None:
    x0, x1 = ends()
    y0, y1 = OptimalCoupling()(x0, x1)
    assert float((y0 - y1).square().sum(-1).mean()) == pytest.approx(wasserstein(x0, x1) ** 2, rel=1e-12)
    fields = x0.reshape(2, 3, 3), x1.reshape(2, 3, 3)  # states [b, n, c] are paired as wholes
    assert OptimalCoupling()(*fields)[1].shape == (2, 3, 3)


def test_little_blur_pairs_like_the_optimal_plan() -> None:
    rng = torch.Generator().manual_seed(3)
    x0, noise = ends()
    x1 = x0.flip(0) + 0.1 * noise
    sharp = SinkhornCoupling(0.01)(x0, x1, rng)[1]
    assert torch.equal(sharp, OptimalCoupling()(x0, x1)[1])


def test_blur_is_relative_to_the_costs() -> None:
    """The same draws whatever the units of the samples."""
    x0, x1 = ends()
    one, two = (SinkhornCoupling(0.3)(k * x0, k * x1, torch.Generator().manual_seed(3))[1] / k for k in (1, 1000))
    assert torch.allclose(one, two, rtol=1e-12)
    plan = torch.stack([(SinkhornCoupling(0.3)(x0, x1, torch.Generator().manual_seed(k))[1] - x1) for k in range(20)])
    assert bool((plan != 0).any())  # not the pairs that came


def test_refused() -> None:
    for name, kind in COUPLINGS.items():
        with pytest.raises(ShapeError, match=r"base and data have shapes \[3, 2\] and \[4, 2\]"):
            kind()(torch.zeros(3, 2), torch.zeros(4, 2))
        assert name
    with pytest.raises(InputError, match="blur is -1, expected a number > 0"):
        SinkhornCoupling(-1)
    with pytest.raises(InputError, match="sigma is -1"):
        PATHS["linear"](sigma=-1)
