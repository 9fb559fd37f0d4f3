"""Points on surfaces: over edges and back, straight ways, laws."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from graphpde.errors import MeshError, ShapeError
from graphpde.mesh import Faces, Mesh, OnSurface, interval, rectangle, sphere

BALL = Faces(sphere(2))


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def ahead(faces: Faces, at: OnSurface, length: float, seed: int = 0) -> Tensor:
    """Vectors of one length in the planes of the faces."""
    d = torch.randn(len(at.face), 3, dtype=torch.float64, generator=rng(seed))
    e = faces.along[at.face]
    n = torch.linalg.cross(e[:, 0], e[:, 1])
    n = n / n.norm(dim=1, keepdim=True)
    d = d - (d * n).sum(1, keepdim=True) * n
    return d / d.norm(dim=1, keepdim=True) * length


def test_geometry() -> None:
    assert torch.allclose(BALL.gradient.sum(1), torch.zeros(BALL.m, 3, dtype=torch.float64), atol=1e-12)
    x = BALL.place
    for i in range(3):
        for j in range(3):
            change = (BALL.gradient[:, i] * (x[:, j] - x[:, (j + 1) % 3])).sum(1)  # of weight i along an edge
            assert torch.allclose(change, torch.full_like(change, float(i == j) - float(i == (j + 1) % 3)), atol=1e-12)
    assert float(BALL.area.sum()) == pytest.approx(4 * math.pi, rel=0.04)


def test_over_an_edge_and_back() -> None:
    """Points on edges have one position whichever face they are seen from."""
    at = BALL.draw(300, rng())
    edge = torch.randint(0, 3, (300,), generator=rng(1))
    weights = at.weights.clone()
    weights[torch.arange(300), edge] = 0
    at = OnSurface(at.face, weights / weights.sum(1, keepdim=True))
    over = BALL.cross(at, edge, torch.ones(300, dtype=torch.bool))
    assert torch.allclose(BALL.position(over), BALL.position(at), atol=1e-14)
    assert bool((over.face != at.face).all())
    assert torch.equal(BALL.across[over.face, BALL.seat[at.face, edge, edge]], at.face)


def test_straight_ways_in_the_plane() -> None:
    """On a flat mesh a way is a vector; one that leaves ends on the rim."""
    faces = Faces(rectangle(8, 6))
    at = faces.draw(200, rng())
    x = faces.position(at)
    aim = torch.rand(200, 2, dtype=torch.float64, generator=rng(1))
    size = faces.mesh.points.max(0).values
    end = faces.walk(at, aim * size - x)
    assert torch.allclose(faces.position(end), aim * size, atol=1e-12)
    out = faces.position(faces.walk(at, torch.tensor([[9.0, 0.0]], dtype=torch.float64).expand(200, 2)))
    assert torch.allclose(out, torch.stack([size[0].expand(200), x[:, 1]], 1), atol=1e-12)


def test_straight_ways_are_undone_by_going_back() -> None:
    """There, and back in the direction of arrival turned round, which the last bit of the way tells."""
    at = BALL.draw(100, rng())
    way, share = ahead(BALL, at, 2.5), 1e-6
    nearly, end = BALL.walk(at, (1 - share) * way), BALL.walk(at, way)
    assert float(end.weights.min()) >= 0
    assert torch.allclose(end.weights.sum(1), torch.ones(100, dtype=torch.float64), atol=1e-14)
    same = nearly.face == end.face  # the last bit lies in one face
    assert int(same.sum()) > 95
    arrival = torch.nn.functional.normalize(BALL.position(end) - BALL.position(nearly), dim=1)
    back = BALL.position(BALL.walk(end, -2.5 * arrival))
    assert float((back - BALL.position(at))[same].norm(dim=1).max()) < 1e-6


def test_straight_ways_on_a_fine_sphere_are_great_circles() -> None:
    faces = Faces(sphere(4))
    at = faces.draw(200, rng())
    end = faces.walk(at, ahead(faces, at, 1.5))
    x, y = (torch.nn.functional.normalize(faces.position(p), dim=1) for p in (at, end))
    assert float((torch.arccos((x * y).sum(1)) - 1.5).abs().max()) < 0.01


def test_ways_round_a_cube_corner() -> None:
    """Unfolded by hand: from the top of a cube over an edge down its side."""
    points = torch.tensor([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [1, 0, -1], [1, 1, -1]], dtype=torch.float64)
    faces = Faces(Mesh(points, {"triangle": [[0, 1, 2], [0, 2, 3], [1, 4, 5], [1, 5, 2]]}))
    start = OnSurface(torch.tensor([0]), torch.tensor([[0.5, 0.25, 0.25]], dtype=torch.float64))
    x = faces.position(start)[0]
    end = faces.walk(start, torch.tensor([[1.0 - float(x[0]) + 0.4, 0.1, 0.0]], dtype=torch.float64))
    assert torch.allclose(faces.position(end)[0], torch.tensor([1.0, float(x[1]) + 0.1, -0.4], dtype=torch.float64))


@pytest.mark.parametrize("uneven", (False, True))
def test_laws(uneven: bool) -> None:
    """Means of coordinates under the drawn law against sums over the faces, in standard errors."""
    faces = Faces(rectangle(3, 2))
    density = faces.mesh.points[:, 0] ** 2 if uneven else None
    at = faces.draw(40_000, rng(), density)
    x = faces.position(at)
    p = torch.ones(faces.mesh.n, dtype=torch.float64) if density is None else density
    corner, place = p[faces.corners], faces.place
    total = (faces.area * corner.mean(1)).sum()
    # the integral of a product of linear functions: area / 12 (sum of both sums, and of the products)
    product = (corner.sum(1)[:, None] * place.sum(1) + (corner[..., None] * place).sum(1)) / 12
    mean = (faces.area[:, None] * product).sum(0) / total
    assert float(((x.mean(0) - mean) / (x.std(0) / 200)).abs().max()) < 4.5


def test_interpolation() -> None:
    at = BALL.draw(50, rng())
    assert torch.allclose(BALL.interpolate(BALL.mesh.points, at), BALL.position(at), atol=1e-14)
    with pytest.raises(ShapeError, match=r"the values have shape \[3, 1\]"):
        BALL.interpolate(torch.zeros(3, 1), at)


def test_refused() -> None:
    with pytest.raises(MeshError, match="has line cells, expected triangles alone"):
        Faces(interval(3))
    flat = Mesh(torch.tensor([[0.0, 0], [1, 0], [2, 0], [0, 1]]), {"triangle": [[0, 1, 2], [0, 1, 3]]})
    with pytest.raises(MeshError, match="has 1 triangles without area"):
        Faces(flat)
    fan = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1]])
    with pytest.raises(MeshError, match="has 1 edges in three or more triangles"):
        Faces(Mesh(fan, {"triangle": [[0, 1, 2], [0, 1, 3], [0, 1, 4]]}))
    with pytest.raises(MeshError, match="the density has the integral 0"):
        BALL.draw(3, rng(), torch.zeros(BALL.mesh.n))


def test_a_surface_with_one_side_is_refused() -> None:
    """A Moebius strip of ten triangles."""
    k = torch.arange(5)
    turn, side = 2 * math.pi * k / 5, torch.tensor([-0.3, 0.3])
    half = (turn / 2)[:, None]
    r = 1 + side * half.cos()
    points = torch.stack([r * turn.cos()[:, None], r * turn.sin()[:, None], side * half.sin()], -1).reshape(-1, 3)
    cells = []
    for i in range(5):
        a, b = 2 * i, 2 * i + 1
        c, d = (2 * i + 2, 2 * i + 3) if i < 4 else (1, 0)
        cells += [[a, c, b], [b, c, d]]
    with pytest.raises(MeshError, match="has one side only: 10 triangles cannot be turned"):
        Faces(Mesh(points.double(), {"triangle": cells}))


def test_turned_triangles_on_the_plane() -> None:
    """Points and ways on a mesh with triangles both ways round are those on the sound one."""
    mesh = rectangle(4, 3)
    corners = mesh.cells["triangle"].clone()
    corners[::2] = corners[::2][:, [1, 0, 2]]
    faces = Faces(mesh.with_cells({"triangle": corners}))
    at = faces.draw(100, rng())
    way = 0.2 * torch.randn(100, 2, dtype=torch.float64, generator=rng(1))
    x, end = faces.position(at), faces.position(faces.walk(at, way))
    inside = ((x + way > 0) & (x + way < faces.mesh.points.max(0).values)).all(1)
    assert torch.allclose(end[inside], (x + way)[inside], atol=1e-12)
    e = faces.along
    assert bool((e[:, 0, 0] * e[:, 1, 1] > e[:, 0, 1] * e[:, 1, 0]).all())
