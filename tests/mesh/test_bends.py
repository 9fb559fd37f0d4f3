"""Second-order elements on round shapes follow the circle, the sphere or the aerofoil."""

from __future__ import annotations

import math
import pickle
from typing import Any

import pytest
import torch

from graphpde.dynamics import steady
from graphpde.mesh import P2, Q2, SHAPES, Space, disk, extrude, plate_with_holes, refine, sphere
from graphpde.mesh.second_order import completed
from graphpde.ops import Diffusion, Dirichlet

SIMPLICES = {"line", "triangle", "tetra"}


def content(shape: str, order: int, **options: Any) -> float:
    """Length, area or volume as the sum of the quadrature weights."""
    mesh = SHAPES[shape](**options)
    element = None if order == 1 else P2() if set(mesh.cells) <= SIMPLICES else Q2()
    return float(Space(mesh, element).measure.sum()) if order == 1 else _integral(Space(mesh, element))


def _integral(space: Space) -> float:
    return float(space.integral(torch.ones(space.n, 1, dtype=torch.float64)).sum())


# shape, options for a coarse mesh, exact content
ROUND = [
    ("annulus", {"size": 0.2}, 0.75 * math.pi),
    ("annulus_quads", {"size": 0.2}, 0.75 * math.pi),
    ("annulus_sector", {"size": 0.2}, 0.1875 * math.pi),
    ("annulus_sector_quads", {"size": 0.2}, 0.1875 * math.pi),
    ("disk", {"size": 0.2}, math.pi),
    ("disk_quads", {"size": 0.2}, math.pi),
    ("plate_with_holes", {"size": 0.1}, 2 - math.pi * (0.2**2 + 0.15**2)),
    ("channel_with_cylinder", {"size": 0.1}, 2.2 * 0.41 - math.pi * 0.05**2),
    ("sphere", {"size": 0.4}, 4 * math.pi),
    ("torus", {"size": 0.3}, 4 * math.pi**2 * 0.4),
    ("cylinder", {"size": 0.3}, 2 * math.pi),
    ("ball", {"size": 0.5}, 4 / 3 * math.pi),
    ("ball_hexahedra", {"size": 0.5}, 4 / 3 * math.pi),
    ("solid_cylinder", {"size": 0.4}, 0.5 * math.pi),
    ("solid_cylinder_wedges", {"size": 0.4}, 0.5 * math.pi),
    ("solid_cylinder_hexahedra", {"size": 0.3}, 0.5 * math.pi),
]


@pytest.mark.parametrize(("shape", "options", "exact"), ROUND, ids=[row[0] for row in ROUND])
def test_the_content_is_that_of_the_round_shape(shape: str, options: dict[str, Any], exact: float) -> None:
    """A parabola through three points of an arc of angle s misses its area by s^4 / 480, a chord by s^2 / 6."""
    assert content(shape, 2, **options) == pytest.approx(exact, rel=8e-4)


@pytest.mark.parametrize(
    ("shape", "size"), [("disk", 0.2), ("disk_quads", 0.2), ("ball_hexahedra", 0.4), ("sphere", 0.5)]
)
def test_it_converges_with_order_four(shape: str, size: float) -> None:
    exact = {row[0]: row[2] for row in ROUND}[shape]
    coarse, fine = (abs(content(shape, 2, size=h) - exact) for h in (size, size / 2))
    assert 3.7 < math.log2(coarse / fine) < 4.3


def test_the_flux_through_a_ring() -> None:
    """u = log(2 r) / log 2 lets 2 pi / log 2 through; with straight sides P2 misses that by 3e-3."""
    space = Space(SHAPES["annulus"](size=0.1), P2())
    flow = Diffusion(space)
    u0 = torch.zeros(space.n, 1, dtype=torch.float64)
    u = steady(flow + Dirichlet("inner", 1.0) + Dirichlet("outer", 0.0), u0).value
    energy = -float((u * flow.operator(u)).sum())
    assert energy == pytest.approx(2 * math.pi / math.log(2), rel=1e-5)


@pytest.mark.parametrize("shape", ["aerofoil", "aerofoil_in_tunnel"])
def test_an_aerofoil_keeps_its_sharp_tail(shape: str) -> None:
    """The cells are sound, and the middles lie on the profile: half its thickness is known."""
    mesh = completed(SHAPES[shape]())
    assert Space(mesh, P2()).n == mesh.n
    on = Space(mesh, P2()).tag("aerofoil").nodes
    x, y = Space(mesh, P2()).pos[on].unbind(1)
    x = x.clamp(0, 1)
    half = 0.6 * (0.2969 * x.sqrt() - 0.1260 * x - 0.3516 * x**2 + 0.2843 * x**3 - 0.1036 * x**4)
    assert float((y.abs() - half).abs().max()) < 1e-7
    assert float(x.max()) == pytest.approx(1.0, abs=1e-12)


def test_corners_and_straight_sides_stay() -> None:
    mesh = plate_with_holes(size=0.1)
    full = completed(mesh)
    assert torch.equal(full.points[: mesh.n], mesh.points)
    space = Space(mesh, P2())
    assert float(space.pos[space.tag("left").nodes][:, 0].abs().max()) == 0.0
    hole = space.pos[space.tag("hole0").nodes] - torch.tensor([0.5, 0.5], dtype=torch.float64)
    assert torch.allclose(torch.linalg.vector_norm(hole, dim=1), torch.full((len(hole),), 0.2).double(), atol=1e-14)


def test_other_points_or_cells_lose_the_curves() -> None:
    mesh = disk(size=0.5)
    assert mesh.bends and mesh.with_tags(all=mesh.tag("outer")).bends
    assert not mesh.with_points(2 * mesh.points).bends and not mesh.with_cells(mesh.cells).bends
    assert not refine(mesh).bends
    moved = completed(mesh.with_points(2 * mesh.points))
    assert float(torch.linalg.vector_norm(moved.points, dim=1).max()) <= 2 + 1e-14


def test_what_is_drawn_out_is_round_as_well() -> None:
    solid = extrude(plate_with_holes(size=0.2), [0.0, 0.1, 0.3], ends=("low", "high"))
    space = Space(solid, Q2())
    assert _integral(space) == pytest.approx(0.3 * (2 - math.pi * (0.2**2 + 0.15**2)), rel=1e-4)
    hole = space.pos[space.tag("hole1").nodes][:, :2] - torch.tensor([1.4, 0.5], dtype=torch.float64)
    assert torch.allclose(torch.linalg.vector_norm(hole, dim=1), torch.full((len(hole),), 0.15).double(), atol=1e-14)


@pytest.mark.parametrize("mesh", [disk(size=0.5), sphere(1), SHAPES["annulus_sector"](size=0.5), SHAPES["aerofoil"]()])
def test_round_meshes_can_be_sent_to_other_processes(mesh: Any) -> None:
    again = pickle.loads(pickle.dumps(mesh))
    assert torch.equal(completed(again).points, completed(mesh).points)
