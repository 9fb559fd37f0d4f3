"""Reactions balance the loads, and a body that something leaves free is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from graphpde.dynamics import steady
from graphpde.errors import ConditionError
from graphpde.mesh import Mesh, Space, box, jittered, rectangle
from graphpde.ops import Dirichlet, Form, Neumann, Source, Sum, System
from graphpde.ops.elasticity import Elasticity, ElasticSupport, PressureLoad, Symmetry, reactions, resultant

F64 = torch.float64


@pytest.mark.parametrize(
    ("mesh", "element"),
    [(rectangle(5, 4), "p1"), (rectangle(4, 3, cells="quad"), "q2"), (box(3, 3, 3), "p2"), (box(3, 3, 3), "p1")],
)
@pytest.mark.parametrize("sprung", [False, True])
def test_reactions_balance_the_loads(mesh: Mesh, element: str, sprung: bool) -> None:
    space = Space(jittered(mesh, 0.15, seed=0), element)
    d = mesh.space_dim
    pull, weight = torch.tensor([1e5, -3e5, 2e5], dtype=F64)[:d], torch.tensor([0.0, -2e4, 1e4], dtype=F64)[:d]
    loaded = Elasticity(space, 1e9, 0.3) + Neumann("right", pull) + Source(space, weight) + PressureLoad("top", 4e4)
    total = loaded + Dirichlet("left", lambda x, t: 1e-3 * x)
    total = total + ElasticSupport("bottom", 1e8) if sprung else total
    u = steady(total, torch.zeros(space.n, d, dtype=F64)).value
    forces = reactions(total, u)
    loads = System(loaded, None, torch.zeros((), dtype=F64)).load(torch.zeros((), dtype=F64), u)
    held, given = resultant(space, forces), resultant(space, loads)
    assert float((held.force + given.force).norm() / given.force.norm()) <= 1e-10
    assert float((held.moment + given.moment).norm() / given.moment.norm()) <= 1e-10
    free = torch.ones(space.n, dtype=torch.bool)
    free[space.tag("left").nodes] = False
    if sprung:
        free[space.tag("bottom").nodes] = False
    assert not bool(forces[free].any())
    if not sprung:
        assert torch.allclose(resultant(space, forces, "left").force, held.force)


def test_moments_are_about_the_point_asked_for() -> None:
    space = Space(rectangle(2, 2))
    forces = torch.zeros(space.n, 2, dtype=F64)
    forces[int((space.pos - 1).norm(dim=1).argmin())] = torch.tensor([0.0, 3.0], dtype=F64)
    assert float(resultant(space, forces).moment) == pytest.approx(3.0)
    assert float(resultant(space, forces, about=(2.0, 5.0)).moment) == pytest.approx(-3.0)
    assert float(resultant(space, forces, "left").force.norm()) == 0


def corner(space: Space, *place: float) -> torch.Tensor:
    assert space.pos is not None
    return (space.pos - torch.tensor(place, dtype=F64)).norm(dim=1).argmin()[None]


PLANE, SOLID = Space(rectangle(4, 4), "p2"), Space(box(3, 3, 3))
ROUND = Space(rectangle(3, 3))
PERIODIC = Space(rectangle(4, 4, width=1e-3, height=1e-3), "p2", periodic=[("left", "right")])
CHANNEL = Space(box(3, 3, 3), periodic=[("left", "right")])


@pytest.mark.parametrize(
    ("space", "conditions", "told"),
    [
        (PLANE, [], "the body can still move along x and y and turn about z; hold that by a value, a"),
        (PLANE, [Symmetry("left")], "can still move along y;"),
        (PLANE, [Dirichlet(corner(PLANE, 1, 1), 0.0)], "can still turn about z;"),
        (PLANE, [ElasticSupport("left", torch.tensor([1.0, 0.0]))], "can still move along y;"),
        (PERIODIC, [], "can still move along x and y;"),
        (PERIODIC, [Symmetry("bottom")], "can still move along x;"),
        (CHANNEL, [], "can still move along x, y and z and turn about x;"),
        (SOLID, [], "can still move along x, y and z and turn about x, y and z;"),
        (SOLID, [Symmetry("left")], "can still move along y and z and turn about x;"),
        (SOLID, [Symmetry("left"), Symmetry("front")], "can still move along z;"),
        (SOLID, [Dirichlet(corner(SOLID, *p), 0.0) for p in ((0, 0, 0), (1, 0, 0))], "can still turn about x;"),
        (
            SOLID,
            [Dirichlet(corner(SOLID, *p), 0.0) for p in ((0, 0, 0), (1, 1, 1))],
            r"can still turn about \(0.58, 0.58, 0.58\);",
        ),
    ],
)
def test_what_is_free_is_named(space: Space, conditions: list[Any], told: str) -> None:
    pull = Neumann("top", torch.eye(space.mesh.space_dim, dtype=F64)[0])
    total = Sum.of(Elasticity(space, 1e9, 0.3), pull, *conditions)
    with pytest.raises(ConditionError, match=told):
        steady(total, torch.zeros(space.n, space.mesh.space_dim, dtype=F64))


@pytest.mark.parametrize(
    "conditions",
    [
        [Symmetry("left"), Symmetry("bottom")],
        [Dirichlet(corner(PLANE, 0, 0), 0.0), Dirichlet(corner(PLANE, 0, 1), 0.0, channels=[0])],
        [ElasticSupport("left", 1e3)],
        [Symmetry("left"), ElasticSupport("bottom", torch.tensor([0.0, 1e3]))],
        [ElasticSupport("left", torch.tensor([1e9, 1.0]))],
    ],
)
def test_just_enough_is_enough(conditions: list[Any]) -> None:
    total = Sum.of(Elasticity(PLANE, 1e6, 0.3), Neumann("top", torch.tensor([0.0, 1.0], dtype=F64)), *conditions)
    u = steady(total, torch.zeros(PLANE.n, 2, dtype=F64)).value
    forces = reactions(total, u)
    assert torch.allclose(resultant(PLANE, forces).force, torch.tensor([0.0, -1.0], dtype=F64), atol=1e-8)


class Rubber(Form):
    """Springs that harden."""

    def local(self, t, x, u, grad, p):
        return -(u + u**3), None


def test_what_a_nonlinear_support_holds_is_left_to_it() -> None:
    pull = Neumann("right", torch.tensor([1.0, 0.0], dtype=F64))
    total = Elasticity(ROUND, 1e3, 0.3) + pull + Rubber(ROUND, where="left")
    u = steady(total, torch.zeros(ROUND.n, 2, dtype=F64)).value
    bed = -Rubber(ROUND, where="left")(torch.zeros((), dtype=F64), u)
    assert torch.allclose(bed.sum(0), torch.tensor([1.0, 0.0], dtype=F64), atol=1e-9)


def test_along_an_axis_and_in_parts() -> None:
    about = Elasticity(ROUND, 1.0, 0.3, kind="axisymmetric") + Neumann("right", torch.tensor([1.0, 0.0], dtype=F64))
    with pytest.raises(ConditionError, match="the body can still move along y;"):
        steady(about, torch.zeros(ROUND.n, 2, dtype=F64))
    assert steady(about + Symmetry("bottom"), torch.zeros(ROUND.n, 2, dtype=F64)).converged
    one = rectangle(2, 2)
    points = torch.cat([one.points, one.points + torch.tensor([2.0, 0.0])])
    two = Space(Mesh(points, {"triangle": torch.cat([one.cells["triangle"], one.cells["triangle"] + one.n])}))
    total = Elasticity(two) + Dirichlet(torch.arange(3), 0.0)
    with pytest.raises(ConditionError, match=r"part 2 of 2 of the body, with node 9, can still move along x and y and"):
        steady(total, torch.zeros(two.n, 2, dtype=F64))
