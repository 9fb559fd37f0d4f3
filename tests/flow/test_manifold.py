"""Flows on spheres and tori: geodesics, tangent velocities, densities by area."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from graphpde.dynamics import Adaptive
from graphpde.flow import (
    Flow,
    FlowMatching,
    GeodesicPath,
    OptimalCoupling,
    PointVelocity,
    SinkhornCoupling,
    Sphere,
    Tangent,
    Torus,
)
from graphpde.train import Adam, Cosine, fit

RNG = torch.Generator().manual_seed(0)
MANIFOLDS = (Sphere(3), Sphere(2), Torus(2))


def pairs(manifold, n: int = 50) -> tuple[Tensor, Tensor]:
    like = torch.zeros(n, manifold.channels, dtype=torch.float64)
    return manifold.uniform.draw(like, RNG), manifold.uniform.draw(like, RNG)


def apart(manifold, x: Tensor, y: Tensor) -> float:
    """In coordinates that are the same for all names of a point."""
    return float((manifold.features(x) - manifold.features(y)).abs().max())


@pytest.mark.parametrize("manifold", MANIFOLDS, ids=lambda m: f"{type(m).__name__}{m.channels}")
def test_geodesics(manifold) -> None:
    """Ends, velocity by autograd, along the manifold, constant speed."""
    x0, x1 = pairs(manifold)
    path = GeodesicPath(manifold)
    zero = torch.zeros((), dtype=torch.float64)
    assert apart(manifold, path(x0, x1, zero).x, x0) < 1e-12
    assert apart(manifold, path(x0, x1, zero + 1).x, x1) < 1e-11
    for t in (0.2, 0.7):
        on = path(x0, x1, zero + t)
        slope = torch.autograd.functional.jacobian(lambda s: manifold.geodesic(x0, x1, s).x, zero + t)
        assert torch.allclose(on.velocity, slope, atol=1e-10)
        assert torch.allclose(manifold.project(on.x, on.velocity), on.velocity, atol=1e-12)
        assert torch.allclose(on.velocity.norm(dim=-1), path(x0, x1, zero).velocity.norm(dim=-1), atol=1e-10)
        assert apart(manifold, manifold.nearest(on.x), on.x) < 1e-12


def test_the_way_on_a_sphere_is_the_shortest() -> None:
    x0, x1 = pairs(Sphere(3))
    length = Sphere(3).geodesic(x0, x1, torch.tensor(0.5, dtype=torch.float64)).velocity.norm(dim=-1)
    assert torch.allclose(length, torch.arccos((x0 * x1).sum(-1)), atol=1e-10)
    same = Sphere(3).geodesic(x0, x0, torch.tensor(0.5, dtype=torch.float64))
    assert torch.allclose(same.x, x0, atol=1e-12)
    assert float(same.velocity.abs().max()) < 1e-7


def test_areas() -> None:
    for channels, area in ((2, 2 * math.pi), (3, 4 * math.pi), (4, 2 * math.pi**2)):
        x = torch.zeros(1, channels)
        assert float(Sphere(channels).uniform.log_density(x)) == pytest.approx(-math.log(area), rel=1e-6)


def net(manifold) -> Tangent:
    torch.manual_seed(0)
    width = manifold.features(torch.zeros(1, manifold.channels)).shape[-1]
    return Tangent(PointVelocity(width, hidden=16, layers=2, activation=torch.tanh).double(), manifold)


def test_the_density_on_a_sphere_integrates_to_one() -> None:
    """A grid in height and longitude, whose cells have one area; points stay on the sphere."""
    h, a = 200, 400
    z = (torch.arange(h, dtype=torch.float64) + 0.5) / h * 2 - 1
    phi = (torch.arange(a, dtype=torch.float64) + 0.5) / a * 2 * math.pi
    z, phi = torch.cartesian_prod(z, phi).unbind(1)
    r = (1 - z * z).sqrt()
    x = torch.stack([r * phi.cos(), r * phi.sin(), z], 1)
    flow = Flow(net(Sphere(3)), Sphere(3).uniform, stepper="rk4", dt=0.1)
    with torch.no_grad():
        p = flow.log_density(x).exp()
        assert float(p.std()) > 0.005
        assert float(p.mean()) * 4 * math.pi == pytest.approx(1, abs=1e-5)
        y = Flow(net(Sphere(3)), Sphere(3).uniform, control=Adaptive(1e-8, 1e-9)).push(x[:50]).final
        assert float((y.norm(dim=1) - 1).abs().max()) < 1e-6


def test_the_density_on_a_torus_integrates_to_one() -> None:
    n = 60
    axis = torch.arange(n, dtype=torch.float64) / n * 2 * math.pi
    flow = Flow(net(Torus(2)), Torus(2).uniform, stepper="rk4", dt=0.05)
    with torch.no_grad():
        p = flow.log_density(torch.cartesian_prod(axis, axis)).exp()
    assert float(p.mean()) * (2 * math.pi) ** 2 == pytest.approx(1, abs=1e-6)


def test_matching_on_a_sphere() -> None:
    """Two caps: the likelihood comes close to that of the law, von Mises and Fisher's with kappa = 5."""
    torch.manual_seed(0)
    rng, kappa = torch.Generator().manual_seed(0), 5.0

    def caps(n: int) -> Tensor:
        u = torch.rand(n, generator=rng)
        z = 1 + torch.log(u + (1 - u) * math.exp(-2 * kappa)) / kappa
        angle = torch.rand(n, generator=rng) * 2 * math.pi
        r = (1 - z * z).clamp_min(0).sqrt()
        side = torch.randint(0, 2, (n,), generator=rng) * 2 - 1
        return torch.stack([r * angle.cos(), r * angle.sin(), z * side], 1)

    class Batches:
        def drawn(self, rng: torch.Generator):
            return (caps(512) for _ in range(100))

    model = Tangent(PointVelocity(3, hidden=64, layers=2, frequencies=1), Sphere(3))
    objective = FlowMatching(GeodesicPath(Sphere(3)), base=Sphere(3).uniform)
    fit(model, objective, Batches(), update=Adam(5e-3, schedule=Cosine(800)), steps=800, rng=rng)
    x = caps(1000)
    true = (torch.cosh(kappa * x[:, 2]).log() + math.log(kappa / (4 * math.pi * math.sinh(kappa)))).mean()
    with torch.no_grad():
        nll = -Flow(model, Sphere(3).uniform).log_density(x).mean()
    assert abs(float(nll + true)) < 0.08
    assert float(nll) < math.log(4 * math.pi) - 0.5


@pytest.mark.parametrize("dtype", (torch.float32, torch.float64))
def test_opposite_points_are_joined_round_the_sphere(dtype: torch.dtype) -> None:
    x0 = Sphere(3).uniform.draw(torch.zeros(2000, 3, dtype=dtype), RNG)
    for turn in (1.0, 1 + 1e-7):  # exactly, and up to rounding
        x1 = Sphere(3).nearest(-x0 * torch.tensor([1.0, 1.0, turn]))
        on = Sphere(3).geodesic(x0, x1, torch.tensor(0.5, dtype=dtype))
        assert float((on.x.norm(dim=-1) - 1).abs().max()) < 1e-6
        assert float((on.velocity.norm(dim=-1) - math.pi).abs().max()) < 1e-5
        assert float((on.x * on.velocity).sum(-1).abs().max()) < 1e-5


@pytest.mark.parametrize("manifold", MANIFOLDS, ids=lambda m: f"{type(m).__name__}{m.channels}")
def test_distances_are_the_lengths_of_shortest_ways(manifold) -> None:
    x0, x1 = pairs(manifold, 20)
    half = torch.tensor(0.5, dtype=torch.float64)
    length = manifold.geodesic(x0[:, None].expand(20, 20, -1), x1.expand(20, 20, -1), half).velocity.norm(dim=-1)
    assert torch.allclose(manifold.squared_distances(x0, x1), length.square(), atol=1e-9)


def test_pairs_on_a_torus_go_over_the_seam() -> None:
    """Angles beside 0 and 2 pi: each point belongs to its neighbour over the seam."""
    x0 = torch.tensor([[0.1], [3.0]])
    x1 = torch.tensor([[3.2], [6.2]])
    for coupling in (OptimalCoupling(Torus(1).squared_distances), SinkhornCoupling(0.01, Torus(1).squared_distances)):
        assert coupling(x0, x1, RNG)[1].tolist() == x1.flip(0).tolist()
    assert OptimalCoupling()(x0, x1)[1].tolist() == x1.tolist()
