"""Modes as a basis, and Gaussian fields on them: laws, densities, independence of the mesh."""

from __future__ import annotations

import math

import pytest
import torch

from graphpde.core import networks
from graphpde.errors import InputError, ShapeError
from graphpde.mesh import Space, interval, sphere
from graphpde.ops import Diffusion, GaussianField, eigenbasis
from graphpde.ops.laws import CentredNormal

LINE = Space(interval(40))
BALL = Space(sphere(2))


@pytest.mark.parametrize(
    "domain", [LINE, BALL, networks.watts_strogatz(30, 4, 0.2, seed=0)], ids=("line", "sphere", "net")
)
def test_all_modes_are_a_basis(domain) -> None:
    basis = eigenbasis(domain, domain.n)
    u = torch.randn(3, domain.n, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(basis.synthesise(basis.analyse(u)), u, atol=1e-9)
    assert basis is eigenbasis(domain, domain.n + 5)
    smoothed = basis.filtered(u, basis.values[:, None])
    rate = torch.stack([Diffusion(domain).rate(torch.tensor(0.0), x) for x in u])
    assert torch.allclose(smoothed, -rate, atol=1e-6 * float(rate.abs().max()))


def test_heat_of_modes_is_the_exponential() -> None:
    basis = eigenbasis(LINE, 20)
    times = torch.tensor([0.0, 0.01], dtype=torch.float64)
    u = basis.synthesise(torch.ones(20, 2, dtype=torch.float64))
    a = basis.analyse(basis.heat(u, times))
    assert torch.allclose(a, torch.exp(-basis.values[:, None] * times), atol=1e-12)


def test_the_law_of_a_field() -> None:
    """Every entry of the empirical covariance within 5 of its standard errors."""
    field = GaussianField(LINE, kappa=4.0, s=1.5, scale=2.0, modes=41)
    count = 20_000
    u = field.draw(torch.zeros(count, LINE.n, 1, dtype=torch.float64), torch.Generator().manual_seed(0))[..., 0]
    c, found = field.covariance(), u.T @ u / count
    error = ((c * c + c.diagonal()[:, None] * c.diagonal()) / count).sqrt()
    assert float(((found - c) / error).abs().max()) < 5


def test_the_covariance_is_a_power_of_the_operator() -> None:
    """s = 1: (kappa^2 M + K)^-1, the finite element inverse, s = 0: M^-1."""
    stiffness = torch.from_numpy((-Diffusion(LINE).operator).to_scipy().toarray())
    mass = torch.diag(LINE.mass)
    c = GaussianField(LINE, kappa=3.0, s=1.0, modes=LINE.n).covariance()
    assert torch.allclose(c, torch.linalg.inv(9 * mass + stiffness), atol=1e-9)
    assert torch.allclose(
        GaussianField(LINE, kappa=3.0, s=0.0, modes=LINE.n).covariance(), torch.linalg.inv(mass), atol=1e-8
    )


@pytest.mark.parametrize("channels", (1, 3))
def test_the_density_is_that_of_the_covariance(channels: int) -> None:
    """Channels are independent: their log-densities add up."""
    field = GaussianField(LINE, kappa=3.0, s=1.0, modes=LINE.n)
    law = torch.distributions.MultivariateNormal(torch.zeros(LINE.n, dtype=torch.float64), field.covariance())
    x = field.draw(torch.zeros(4, LINE.n, channels, dtype=torch.float64), torch.Generator().manual_seed(1))
    assert torch.allclose(field.log_density(x)[:, 0, 0], law.log_prob(x.mT).sum(-1), rtol=1e-9)


def variance(level: int, s: float, modes: int) -> float:
    """Mean over the nodes of a triangulated sphere."""
    return float(GaussianField(Space(sphere(level)), kappa=1.0, s=s, modes=modes).covariance().diagonal().mean())


def test_the_law_does_not_depend_on_the_mesh() -> None:
    """Ever more triangles: the variance tends to that of spherical harmonics at order 2; that of white noise grows."""
    wanted = sum((2 * k + 1) / (1 + k * (k + 1)) ** 2 for k in range(9)) / (4 * math.pi)
    errors = [abs(variance(level, 2.0, 81) - wanted) for level in (2, 3)]
    assert errors[1] < 0.012 * wanted
    assert math.log2(errors[0] / errors[1]) == pytest.approx(2, abs=0.2)
    assert variance(2, 0.0, 10**4) > 3 * variance(1, 0.0, 10**4)


def test_refused() -> None:
    with pytest.raises(InputError, match="kappa is 0, expected a finite number > 0"):
        GaussianField(LINE, kappa=0)
    with pytest.raises(InputError, match="a law on 5 modes of 41 nodes has no density; take modes=41"):
        GaussianField(LINE, kappa=1.0, modes=5).log_density(torch.zeros(41, 1))
    with pytest.raises(ShapeError, match=r"the field has shape \[3, 1\], expected \[\*, 41, c\]"):
        eigenbasis(LINE, 5).analyse(torch.zeros(3, 1))
    with pytest.raises(InputError, match="kappa is inf, expected a finite number"):
        GaussianField(LINE, kappa=math.inf)
    with pytest.raises(ShapeError, match=r"the field has shape \[2, 7, 1\], expected \[\*, 41, c\]"):
        GaussianField(LINE, kappa=1.0, modes=5).draw(torch.zeros(2, 7, 1))
    with pytest.raises(ShapeError, match=r"the coefficients .* shape \[6, 1\]"):
        eigenbasis(LINE, 5).synthesise(torch.zeros(6, 1))
    with pytest.raises(InputError, match="the times go down to -1, expected finite numbers >= 0"):
        eigenbasis(LINE, 5).heat(torch.zeros(41, 1), -1.0)
    for law in (CentredNormal(), GaussianField(LINE, kappa=1.0, modes=41)):
        with pytest.raises(InputError, match="dims is 1, expected 2: the nodes of one state are one sample"):
            law.log_density(torch.zeros(41, 1, dtype=torch.float64), 1)
