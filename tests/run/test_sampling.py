"""Probes, lines and integrals are exact where the element is, and say clearly what lies outside."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from graphpde.errors import ConditionError, InputError, MeshError, UnknownName
from graphpde.mesh import Mesh, Space, box, disk, interval, rectangle, sphere
from graphpde.mesh.cell_space import CellSpace
from graphpde.mesh.elements import P2
from graphpde.mesh.generate import SHAPES
from graphpde.run.integrals import Integrals
from graphpde.run.lines import Line
from graphpde.run.probes import Probes

D = torch.float64


def inside(d: int) -> Tensor:
    return torch.rand(30, d, generator=torch.Generator().manual_seed(1), dtype=D)


def linear(x: Tensor) -> Tensor:
    return 1 + x @ torch.arange(1, x.shape[1] + 1, dtype=D)[:, None]


def quadratic(x: Tensor) -> Tensor:
    return x[:, :1] ** 2 - 0.5 * x[:, :1] * x[:, -1:] + 0.3 * x[:, -1:]


MESHES: dict[str, Callable[[], Mesh]] = {
    "interval": lambda: interval(5),
    "triangles": lambda: rectangle(4, 3),
    "quads": lambda: SHAPES["rectangle_quads"](),
    "tets": lambda: box(2, 3, 2),
}


@pytest.mark.parametrize("name", MESHES)
def test_linear_fields_are_interpolated_exactly(name: str) -> None:
    space = Space(MESHES[name](), reorder=True)
    points = inside(space.mesh.space_dim)
    assert torch.allclose(Probes(space, points)(linear(space.pos)), linear(points), rtol=1e-13)


@pytest.mark.parametrize("name", ["interval", "triangles", "tets"])
def test_quadratic_elements_are_read_with_all_their_nodes(name: str) -> None:
    space = Space(MESHES[name](), P2())
    points = inside(space.mesh.space_dim)
    assert torch.allclose(Probes(space, points)(quadratic(space.pos)), quadratic(points), rtol=1e-12, atol=1e-13)


def test_curved_sides_are_followed() -> None:
    """A quadratic triangle whose long side bulges: x is one of its shape functions' combinations everywhere in it."""
    half = 0.5**0.5
    points = [[0, 0], [1, 0], [0, 1], [0.5, 0], [half, half], [0, 0.5]]
    space = Space(Mesh(points, {"triangle6": [[0, 1, 2, 3, 4, 5]]}))
    where = torch.tensor([[0.3, 0.3], [0.52, 0.51], [0.6, 0.55]], dtype=D)  # two of them beyond the straight side
    assert torch.allclose(Probes(space, where)(space.pos), where, atol=1e-12)
    with pytest.raises(InputError, match="lies outside"):
        Probes(space, [[0.75, 0.7]])


def test_cell_averages_are_those_of_the_cell() -> None:
    space = CellSpace(interval(4))
    u = torch.arange(4, dtype=D)[:, None]
    assert Probes(space, [[0.1], [0.6]])(u)[:, 0].tolist() == [0.0, 2.0]
    assert Integrals(space)(u).integral.item() == pytest.approx(1.5)


def test_batches_gradients_and_names() -> None:
    space = Space(rectangle(3, 3))
    probes = Probes(space, {"tip": (0.5, 0.2), "root": [0.0, 1.0]})
    u = torch.rand(2, space.n, 2, generator=torch.Generator().manual_seed(0), dtype=D, requires_grad=True)
    assert probes(u).shape == (2, 2, 2) and probes.columns(["u", "v"]) == ["tip.u", "tip.v", "root.u", "root.v"]
    assert torch.equal(probes(u)[1], probes(u[1]))
    (gradient,) = torch.autograd.grad(probes(u).sum(), u)
    assert gradient.sum().item() == pytest.approx(8)  # the weights of each point add up to 1
    assert Probes(space, [[0.1, 0.1]]).names == ("p0",)


def test_what_probes_refuse() -> None:
    space = Space(rectangle(3, 3))
    with pytest.raises(InputError, match=r"probe 'far' lies outside of 'rectangle', 1 away from its nearest cell"):
        Probes(space, {"in": (0.5, 0.5), "far": (2.0, 0.5)})
    with pytest.raises(InputError, match=r"probe 'tip' has 3 coordinates, expected 2"):
        Probes(space, {"tip": (0.5, 0.5, 0.0)})
    with pytest.raises(InputError, match=r"expected finite coordinates"):
        Probes(space, {"tip": (math.nan, 0.5)})
    with pytest.raises(InputError, match=r"there is no probe"):
        Probes(space, {})


def test_a_line_is_sampled_evenly_and_holes_stay_empty() -> None:
    space = Space(rectangle(4, 4))
    line = Line(space, (0.0, 0.5), (1.0, 0.5), 11)
    assert torch.allclose(line.arc, torch.linspace(0, 1, 11, dtype=D))
    assert torch.allclose(line(linear(space.pos)), linear(line.points))
    beyond = Line(space, (-0.5, 0.5), (0.5, 0.5), 5)(linear(space.pos))[:, 0]
    assert beyond.isnan().tolist() == [True, True, False, False, False]


def test_what_lines_refuse() -> None:
    space = Space(rectangle(4, 4))
    with pytest.raises(InputError, match=r"line 'mid' starts and ends at \[0.5, 0.5\]"):
        Line(space, (0.5, 0.5), (0.5, 0.5), name="mid")
    with pytest.raises(InputError, match=r"line 'mid' from .* misses 'rectangle'"):
        Line(space, (2, 2), (3, 3), name="mid")
    with pytest.raises(InputError, match=r"has 1 points, expected at least 2"):
        Line(space, (0, 0), (1, 1), 1)


def test_integrals_of_the_parts_add_up() -> None:
    mesh = rectangle(4, 4)
    x = mesh.points[mesh.cells["triangle"]][:, :, 0].mean(1)
    west, east = ((x < 0.5).nonzero()[:, 0], (x > 0.5).nonzero()[:, 0])
    space = Space(mesh.with_tags(west=mesh.make_tag(2, west), east=mesh.make_tag(2, east)))
    integrals = Integrals(space)
    assert integrals.names == ("domain", "west", "east")
    found = integrals(space.pos[:, :1])
    assert found.integral[:, 0].tolist() == pytest.approx([0.5, 0.125, 0.375], rel=1e-13)
    assert found.mean[:, 0].tolist() == pytest.approx([0.5, 0.25, 0.75], rel=1e-13)
    assert found.low[:, 0].tolist() == [0, 0, 0.5] and found.high[:, 0].tolist() == [1, 0.5, 1]
    assert Integrals(space, ["east"]).columns(["u"])[4:6] == ["east.u.integral", "east.u.mean"]
    assert Integrals(space).row(space.pos[:, :1])[:2] == pytest.approx([0.5, 0.5])
    with pytest.raises(UnknownName, match="copper"):
        Integrals(space, ["copper"])
    with pytest.raises((MeshError, ConditionError), match="left"):
        Integrals(space, ["left"])


def test_integrals_of_quadratic_fields_and_of_surfaces() -> None:
    space = Space(rectangle(3, 3), P2())
    assert Integrals(space)(space.pos[:, :1] ** 2).integral.item() == pytest.approx(1 / 3, rel=1e-13)
    ball = Space(sphere(3))
    assert Integrals(ball)(torch.ones(ball.n, 1, dtype=D)).integral.item() == pytest.approx(4 * math.pi, rel=0.01)
    assert Probes(ball, [[0.0, 0.0, 1.0]])(ball.pos)[0].tolist() == pytest.approx([0, 0, 1], abs=0.02)
    assert Probes(Space(disk(0.3)), [[0.1, 0.1]]).points.shape == (1, 2)
