"""Shapes that move downhill: gradients by node positions, volume, quality of cells, a hole that evens stresses."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from graphpde.design import FreeBoundary, minimise_shape, worst_cell
from graphpde.dynamics import steady
from graphpde.errors import InputError
from graphpde.mesh import Mesh, Space, circle, polygon, rectangle
from graphpde.mesh.geometry import cell_measures
from graphpde.ops import Dirichlet, Neumann
from graphpde.ops.elasticity import Elasticity

F64 = torch.float64


def pierced(size: float = 0.12, half: float = 2.0) -> Mesh:
    """A square with a round hole of radius 1/2, finer there."""
    return polygon(
        [(-half, -half), (half, -half), (half, half), (-half, half)],
        lambda x: size + 0.3 * (x.norm(dim=1) - 0.5).clamp(min=0),
        [circle(0.0, 0.0, 0.5, size)],
        names=["bottom", "right", "top", "left"],
    )


def stretched(mesh: Mesh, along: float = 2.0, up: float = 1.0) -> Tensor:
    """The compliance of a sheet pulled at its four sides, held at one of its corners and kept from turning."""
    space = Space(mesh, "p1")
    pulls = {"right": (along, 0.0), "left": (-along, 0.0), "top": (0.0, up), "bottom": (0.0, -up)}
    body = Elasticity(space, 1.0, 0.3, kind="plane_stress")
    total = sum((Neumann(side, torch.tensor(pull, dtype=F64)) for side, pull in pulls.items()), body)
    low = space.pos[:, 1] < space.pos[:, 1].min() + 1e-9
    corners = [int(torch.where(low, sign * space.pos[:, 0], -9.0).argmax()) for sign in (-1, 1)]
    total = total + Dirichlet([corners[0]], 0.0) + Dirichlet([corners[1]], 0.0, channels=(1,))
    return 2 * body.energy(steady(total, torch.zeros(space.n, 2, dtype=F64)).value)


def area(mesh: Mesh) -> Tensor:
    return cell_measures(mesh).sum()


@pytest.mark.parametrize("objective", [stretched, area])
def test_the_gradient_by_node_positions_leaves_a_remainder_of_second_order(objective: object) -> None:
    boundary = FreeBoundary(pierced(0.2), "hole0")
    at = boundary.start().requires_grad_()
    value = objective(boundary(at))  # type: ignore[operator]
    (slope,) = torch.autograd.grad(value, at)
    way = 0.1 * torch.randn(at.shape, generator=torch.Generator().manual_seed(0), dtype=F64)
    sizes = [0.2 * 0.5**k for k in range(4)]
    with torch.no_grad():
        rest = [
            abs(float(objective(boundary(at + h * way)) - value - h * (slope * way).sum()))  # type: ignore[operator]
            for h in sizes
        ]
    assert math.log2(rest[-2] / rest[-1]) == pytest.approx(2.0, abs=0.1)


def test_a_hole_becomes_the_ellipse_that_evens_the_stress() -> None:
    mesh = pierced(0.1, 3.0)
    found = minimise_shape(mesh, "hole0", stretched, change=1e-5)
    assert all(b < a for a, b in zip(found.objective, found.objective[1:], strict=False)) and found.converged
    assert max(abs(v / found.volume[0] - 1) for v in found.volume) < 1e-12
    assert min(found.quality) >= 0.2 and worst_cell(found.mesh)[0] == found.quality[-1]
    wide, high = found.mesh.points[mesh.tag("hole0").nodes].abs().amax(0).tolist()
    # as long and as high as the pulls are strong (Cherepanov 1974), in a sheet without end
    assert wide / high == pytest.approx(2.0, abs=0.1)


@pytest.mark.parametrize("unit", [1e-16, 1e12])
def test_the_way_down_does_not_depend_on_units(unit: float) -> None:
    one, other = (minimise_shape(pierced(0.3), "hole0", lambda m, s=s: s * stretched(m), steps=3) for s in (1.0, unit))
    assert len(other.objective) == len(one.objective) == 4
    assert other.objective[-1] == pytest.approx(unit * one.objective[-1], rel=1e-6)


def test_a_hole_that_is_best_stays_as_it_is() -> None:
    mesh = pierced()
    found = minimise_shape(mesh, "hole0", lambda mesh: stretched(mesh, 1.0, 1.0), change=1e-5)
    radius = found.mesh.points[mesh.tag("hole0").nodes].norm(dim=1)
    assert float(radius.std() / radius.mean()) < 0.02
    assert found.objective[-1] > 0.999 * found.objective[0]


def test_steps_stop_before_cells_are_spoilt() -> None:
    mesh = pierced()
    least = worst_cell(mesh)[0] - 1e-4
    found = minimise_shape(mesh, "hole0", stretched, least=least)
    assert min(found.quality) >= least and not found.converged
    assert "step is left" in found.reason and "would have the quality" in found.reason


def test_ends_that_belong_to_other_sides_stay() -> None:
    mesh = rectangle(6, 4, width=3.0, cells="quad")
    boundary = FreeBoundary(mesh, "top")
    assert len(boundary.moved) == 5
    moved = boundary(boundary.start() + torch.tensor([0.0, 0.1], dtype=F64))
    corners = mesh.points[:, 1].eq(1) & (mesh.points[:, 0].eq(0) | mesh.points[:, 0].eq(3))
    assert torch.equal(moved.points[corners], mesh.points[corners])
    inside = moved.points - mesh.points
    assert float(inside[:, 1].max()) == pytest.approx(0.1) and float(inside[:, 0].abs().max()) == 0


def test_motion_along_the_boundary_is_no_way_up() -> None:
    boundary = FreeBoundary(pierced(), "hole0")
    at = boundary.start().requires_grad_()
    (across,) = torch.autograd.grad(area(boundary(at)), at)
    assert float(boundary.uphill(across.flip(1) * torch.tensor([1.0, -1.0]), across).abs().max()) < 1e-12
    x = boundary.mesh.points[boundary.moved]
    outwards = (boundary.uphill(-across, across) * x).sum(1) / x.norm(dim=1)
    assert float(outwards.min()) > 0.9 * float(outwards.max()) > 0  # a larger hole stays round


def test_a_turned_cell_is_worse_than_any_other() -> None:
    mesh = rectangle(3, 3, cells="quad")
    assert worst_cell(mesh) == (pytest.approx(1.0), 0)
    points = mesh.points.clone()
    points[5] += 0.6
    assert worst_cell(mesh.with_points(points))[0] < 0


def test_what_cannot_move_or_is_spoilt_already_is_refused() -> None:
    with pytest.raises(InputError, match="no point of 'left' can move"):
        FreeBoundary(rectangle(1, 1), "left")
    mesh = pierced(0.2)
    with pytest.raises(InputError, match="from the start"):
        minimise_shape(mesh, "hole0", area, least=0.99)
    with pytest.raises(InputError, match="does not depend on the points"):
        minimise_shape(mesh, "hole0", lambda mesh: torch.ones((), dtype=F64))
    with pytest.raises(InputError, match="steps is 0"):
        minimise_shape(mesh, "hole0", area, steps=0)
