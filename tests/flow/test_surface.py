"""Flows of points on surfaces: exact tracing, exact densities, ways that shorten a spectral distance."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.optimize import linear_sum_assignment

from graphpde.errors import InputError, MeshError
from graphpde.flow import (
    OptimalCoupling,
    PointVelocity,
    SpectralPremetric,
    SurfaceFlow,
    SurfaceMatching,
    SurfaceVelocity,
    Traced,
)
from graphpde.flow.surface import traced
from graphpde.mesh import Faces, Locator, Mesh, OnSurface, Space, rectangle, sphere
from graphpde.ops import eigenbasis
from graphpde.ops.eigenbasis import EigenBasis
from graphpde.train import Adam, fit

MESH = sphere(3)
BALL = Faces(MESH)
BASIS = eigenbasis(Space(MESH), 40)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def velocity(strength: float = 1.0) -> SurfaceVelocity:
    torch.manual_seed(0)
    net = PointVelocity(8, hidden=16, layers=2, activation=torch.tanh, out=8).double()
    with torch.no_grad():
        net.net.maps[-1].weight.mul_(strength)
    return SurfaceVelocity(BALL, BASIS, net, fields=4, features=8)


def test_the_fields_have_the_divergence_of_their_modes() -> None:
    """Gradients: -lambda v on every face; those turned by a right angle: none; mean square speed 1 radius."""
    v = velocity()
    for j in range(8):
        out = v.out_of(v.fields[:, j], torch.arange(BALL.m))
        divergence = out.sum(1) / BALL.area
        if j >= 4:
            assert float(divergence.abs().max()) < 1e-10
            continue
        mode = BASIS.vectors[:, j + 1][BALL.corners].mean(1)
        scale = float((divergence * mode).sum() / (mode * mode).sum())
        assert torch.allclose(divergence, scale * mode, atol=0.02 * float(divergence.abs().max()))
        assert scale < 0
    at = BALL.draw(4000, rng())
    for j in (0, 5):
        net = lambda t, z, j=j: torch.eye(8, dtype=torch.float64)[j].expand(len(z), 8)  # noqa: E731
        one = SurfaceVelocity(BALL, BASIS, net, fields=4, features=8)
        speed = one.at(torch.tensor(0.0), at).square().sum(1).mean()
        assert float(speed) == pytest.approx(one.radius**2, rel=0.1)


def test_points_are_traced_exactly() -> None:
    """Two halves of a step are one; points in one face against a fine explicit integration of their weights."""
    v = velocity()
    flows, at = v.through(0.3).detach(), BALL.draw(300, rng())
    start = Traced(at.weights, at.face, torch.zeros(300, 1, dtype=torch.float64))
    whole = traced(v, flows, start, 0.4)
    halves = traced(v, flows, traced(v, flows, start, 0.15), 0.25)
    assert torch.equal(whole.face, halves.face)
    assert torch.allclose(whole.weights, halves.weights, atol=1e-9)
    assert torch.allclose(whole.log_density, halves.log_density, atol=1e-11)
    short, w = 1e-3, at.weights.clone()
    f = v.out_of(flows, at.face)
    for _ in range(1000):
        w = w + short / 1000 * (f.sum(1, keepdim=True) * w - f) / (2 * BALL.area[at.face][:, None])
    inside = (w > 0).all(1)
    assert int(inside.sum()) > 250
    assert torch.allclose(traced(v, flows, start, short).weights[inside], w[inside], atol=1e-6)


def test_the_velocity_is_that_of_the_weights() -> None:
    v, at = velocity(), BALL.draw(50, rng())
    flows = v.through(0.3).detach()
    f = v.out_of(flows, at.face)
    rate = (f.sum(1, keepdim=True) * at.weights - f) / (2 * BALL.area[at.face][:, None])
    moved = (rate[..., None] * BALL.place[at.face]).sum(1)
    assert torch.allclose(v.at(torch.tensor(0.3), at), moved, atol=1e-12)
    assert torch.allclose(v.at(torch.full((50, 1), 0.3), at), moved, atol=1e-12)


def test_densities_are_exact_whatever_the_steps() -> None:
    """What a sample is told on its way there is what is found on the way back; the density integrates to one."""
    for steps in (3, 20):
        flow = SurfaceFlow(velocity(3.0), steps=steps)
        with torch.no_grad():
            x = flow.sample(500, rng())
            assert torch.allclose(flow.log_density(x.at), x.log_density, atol=1e-9)
            p = flow.log_density(BALL.draw(20_000, rng(1))).exp() * float(BALL.area.sum())
        assert float(x.log_density.std()) > 0.1
        assert abs(float(p.mean()) - 1) < 4 * float(p.std()) / math.sqrt(20_000)
        assert float(x.weights.min()) >= 0


def test_samples_have_the_density_that_they_are_told() -> None:
    """Shares of 80 parts of the sphere: drawn, and the mean density there."""
    flow = SurfaceFlow(velocity(3.0), steps=10)
    with torch.no_grad():
        x = flow.sample(20_000, rng())
        even = BALL.draw(20_000, rng(1))
        p = flow.log_density(even).exp()[:, 0] * float(BALL.area.sum())
    part = BALL.place.mean(1)[:, :2].sign().int() @ torch.tensor([2, 1], dtype=torch.int32) + 3
    drawn = torch.bincount(part[x.face], minlength=7) / 20_000
    wanted = torch.bincount(part[even.face], weights=p, minlength=7) / 20_000
    assert float((drawn - wanted).abs().max()) < 4.5 * 2 * math.sqrt(0.25 / 20_000)


def premetric(spread: float | None = None) -> SpectralPremetric:
    return SpectralPremetric(BALL, BASIS, spread=spread)


@pytest.mark.parametrize("spread", (None, 0.1))
def test_the_distance_falls_in_time(spread: float | None) -> None:
    """D = (1 - t)^2 D_0 along ways, and its gradient is that of finite differences."""
    p = premetric(spread)
    x, y = BALL.draw(40, rng()), BALL.draw(40, rng(1))
    end, start, steps = p.coordinates(y), p.squared(x, y), 400
    squared, down = p.descent(x, end)
    assert torch.allclose(squared, start)
    moved = BALL.walk(x, -1e-7 * down)
    assert torch.allclose((p.squared(moved, y) - squared) / 1e-7, -2 * squared, rtol=1e-3, atol=1e-9)
    at = x
    for k in range(steps // 2):
        at = BALL.walk(at, -p.descent(at, end)[1] / (1 - k / steps) / steps)
    ratio = p.squared(at, y) / start
    assert float((ratio.median() - 0.25).abs()) < 0.01


def test_points_on_ways() -> None:
    objective = SurfaceMatching(premetric(), steps=20, seen=3)
    ways = objective.ways(BALL.draw(30, rng()), BALL.draw(30, rng(1)), rng(2))
    assert ways.t.shape == (90, 1)
    assert float(ways.t.max()) < 0.95
    normal = torch.linalg.cross(BALL.along[ways.at.face, 0], BALL.along[ways.at.face, 1])
    assert float((normal * ways.velocity).sum(1).abs().max()) < 1e-12
    assert float(ways.velocity.norm(dim=1).max()) <= 0.1 * 20 * (1 + 1e-9)


def test_pairs_are_chosen_by_the_distance() -> None:
    """The optimal coupling has the least sum of D, of the same points; rows are the points."""
    p, x, y = premetric(), BALL.draw(40, rng()), BALL.draw(40, rng(1))
    costs = p.squared_distances(x.rows, y.rows)
    assert torch.allclose(costs.diagonal()[:, None], p.squared(x, y)[:, None])
    pairs = OptimalCoupling(p.squared_distances)(x.rows, y.rows)
    one, two = (OnSurface.of_rows(rows) for rows in pairs)
    assert torch.equal(one.face, x.face)
    assert torch.equal(one.weights, x.weights)
    assert torch.equal(two.rows.sort(0).values, y.rows.sort(0).values)
    assert float(p.squared(one, two).sum()) == pytest.approx(float(costs[linear_sum_assignment(costs)].sum()))
    assert float(p.squared(one, two).sum()) < 0.5 * float(p.squared(x, y).sum())
    seen = []

    def watched(x0: torch.Tensor, x1: torch.Tensor, rng: torch.Generator | None = None):
        seen.append((x0, x1))
        return x0, x1.flip(0)

    class Watching(SurfaceMatching):
        def ways(self, x0: OnSurface, x1: OnSurface, rng: torch.Generator | None = None):
            seen.append((x0.rows, x1.rows))
            return super().ways(x0, x1, rng)

    Watching(p, steps=8, seen=7, coupling=watched)(velocity(1.0), y, rng(2))
    (drawn, given), (starts, ends) = seen
    assert torch.equal(given, y.rows)
    assert torch.equal(starts, drawn)
    assert torch.equal(ends, y.rows.flip(0))


def test_matching_finds_one_side_of_a_sphere() -> None:
    """A law on the upper half: the likelihood comes near its entropy, and samples lie there."""
    torch.manual_seed(0)
    density = BASIS.vectors[:, 2].clamp_min(0)
    model = SurfaceVelocity(BALL, BASIS, PointVelocity(8, hidden=32, layers=2, out=8), fields=4, features=8)

    class Data:
        def drawn(self, rng: torch.Generator):
            return (BALL.draw(128, rng, density) for _ in range(50))

    fit(model, SurfaceMatching(premetric(), steps=16), Data(), update=Adam(5e-3), steps=150, rng=rng())
    x = BALL.draw(2000, rng(1), density)
    z = float((BALL.area[:, None] * density[BALL.corners] / 3).sum())
    entropy = -(BALL.interpolate(density[:, None], x) / z).log().mean()
    with torch.no_grad():
        flow = SurfaceFlow(model, steps=20)
        nll = -flow.log_density(x).mean()
        y = flow.sample(1000, rng(2)).at
    assert float(nll - entropy) < 0.25
    assert flow.log_area - float(entropy) > 0.7  # what the uniform law is off by
    assert float((BALL.interpolate(density[:, None], y) > 0).double().mean()) > 0.93


def test_refused() -> None:
    with pytest.raises(MeshError, match="edges on its rim, expected none"):
        SurfaceVelocity(Faces(rectangle(2, 2)), BASIS, PointVelocity(3))
    with pytest.raises(InputError, match="expected at least 41 at"):
        SurfaceVelocity(BALL, BASIS, PointVelocity(3), features=40)
    with pytest.raises(InputError, match="steps is 0, expected a whole number >= 1"):
        SurfaceFlow(velocity(), steps=0)
    with pytest.raises(InputError, match="steps is 2.5, expected a whole number >= 1"):
        SurfaceFlow(velocity(), steps=2.5)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="expected at least 2 at the 642 points"):
        SpectralPremetric(BALL, eigenbasis(Space(sphere(1)), 10))
    assert OnSurface._fields == ("face", "weights")


def test_loaded_modes_are_those_that_count() -> None:
    """Another sign of every mode and other vectors of its eigenspaces: the state of the model holds what it was."""
    one = velocity(3.0)
    turn = torch.eye(40, dtype=torch.float64)
    turn[1:4, 1:4] = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64, generator=rng()))[0]
    basis = EigenBasis(BASIS.values, -BASIS.vectors @ turn, -BASIS.weighted @ turn)
    net = PointVelocity(8, hidden=16, layers=2, activation=torch.tanh, out=8).double()
    other, at = SurfaceVelocity(BALL, basis, net, fields=4, features=8), BALL.draw(200, rng())
    wanted = SurfaceFlow(one, steps=5).log_density(at)
    assert not torch.equal(other.seen, one.seen)
    other.load_state_dict(one.state_dict())
    assert torch.equal(SurfaceFlow(other, steps=5).log_density(at), wanted)


@pytest.mark.parametrize("column", range(8))
def test_flows_that_start_at_points_of_the_mesh(column: int) -> None:
    """Where flows circle round a corner there are no first edges: such points stay near, in flows that stand still."""
    net = lambda t, z: 3 * torch.eye(8, dtype=torch.float64)[column].expand(len(z), 8)  # noqa: E731
    flow = SurfaceFlow(SurfaceVelocity(BALL, BASIS, net, fields=4, features=8), steps=7)
    found = Locator(MESH).locate(MESH.points, reach=math.inf)
    at = OnSurface(found.cells, found.weights[:, :3])
    logp = flow.log_density(at)
    there = flow.push(at)
    assert bool(torch.isfinite(logp).all())
    assert bool(torch.isfinite(there.weights).all())
    near = 0.999 * at.weights + 0.001 / 3  # beside the corner, still on a round of many crossings
    beside = flow.log_density(OnSurface(at.face, near))
    assert float((beside - logp).abs().median()) < 0.02
    if column >= 4:
        assert float(logp.std()) < 1e-9  # no divergence: the uniform law stays


def test_rounds_are_those_that_are_walked_one_by_one() -> None:
    """Near a corner in a vortex with sources: against the same steps with every crossing taken for itself."""
    net = lambda t, z: torch.tensor([0.4, 0, 0, 0, 1.0, 0, 0, 0], dtype=torch.float64).expand(len(z), 8)  # noqa: E731
    v = SurfaceVelocity(BALL, BASIS, net, fields=4, features=8)
    flows = v.through(0.0)
    corner = torch.eye(3, dtype=torch.float64)[0].expand(BALL.m, 3)
    at = OnSurface(torch.arange(BALL.m), (1 - 6e-6) * corner + 2e-6)
    dt = 2e-3  # up to 40 rounds where flows circle
    start = Traced(at.weights, at.face, torch.zeros(BALL.m, 1, dtype=torch.float64))
    fast = traced(v, flows, start, dt)
    slow = start
    for _ in range(400):  # each too short for a round to be told from a way through
        slow = traced(v, flows, slow, dt / 400)
    gap = (BALL.position(fast.at) - BALL.position(slow.at)).norm(dim=1)
    assert float(gap.max()) < 2e-5
    assert torch.allclose(fast.log_density, slow.log_density, atol=1e-7)


def flipped(which: slice) -> Mesh:
    corners = MESH.cells["triangle"].clone()
    corners[which] = corners[which][:, [0, 2, 1]]
    return MESH.with_cells({"triangle": corners})


def test_triangles_that_disagree_are_turned() -> None:
    """Every third triangle the wrong way round: turned fields still have no divergence, and the flow is the same."""
    faces = Faces(flipped(slice(None, None, 3)))
    assert torch.equal(faces.corners, BALL.corners)
    v = SurfaceVelocity(faces, BASIS, velocity().network, fields=4, features=8)
    for j in range(4, 8):
        assert float(v.out_of(v.fields[:, j], torch.arange(faces.m)).sum(1).abs().max()) < 1e-10
    assert torch.equal(v.fields, velocity().fields)


def test_surfaces_in_several_parts_or_with_idle_points_are_refused() -> None:
    two = Mesh(
        torch.cat([MESH.points, MESH.points + 5]), {"triangle": torch.cat([BALL.corners, BALL.corners + MESH.n])}
    )
    for kind in (lambda f, b: SurfaceVelocity(f, b, PointVelocity(3)), SpectralPremetric):
        with pytest.raises(MeshError, match="has 2 components, expected one"):
            kind(Faces(two), BASIS)
        more = Mesh(torch.cat([MESH.points, torch.zeros(1, 3)]), {"triangle": BALL.corners})
        with pytest.raises(MeshError, match="has 1 points that belong to no triangle, expected none"):
            kind(Faces(more), BASIS)
