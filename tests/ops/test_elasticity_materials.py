"""Materials: orthotropic moduli against exact compliances, and what is refused."""

from __future__ import annotations

import math
import warnings
from typing import Any

import pytest
import torch

from graphpde.dynamics import steady
from graphpde.errors import InputError, LockingCaveat
from graphpde.mesh import Mesh, Space, box, rectangle
from graphpde.ops import Dirichlet, Neumann
from graphpde.ops.elasticity import Elasticity, Orthotropic, Symmetry

F64 = torch.float64
WOOD = Orthotropic((12.0, 0.9, 0.5), (0.4, 0.35, 0.6), (0.8, 0.7, 0.1))


@pytest.mark.parametrize(
    ("kind", "mesh"),
    [("plane_stress", rectangle(3, 3)), ("plane_strain", rectangle(3, 3)), ("axisymmetric", rectangle(3, 3)),
     ("solid", box(2, 2, 2))],
)  # fmt: skip
def test_equal_moduli_are_those_of_an_isotropic_body(kind: str, mesh: Mesh) -> None:
    space = Space(mesh, "p2")
    u = torch.sin(7 * space.pos) + space.pos.flip(1) ** 2
    angle = 0.0 if kind == "axisymmetric" else 27.0
    same = Elasticity(space, Orthotropic((200.0,) * 3, (0.3,) * 3, (200 / 2.6,) * 3, angle=angle), kind=kind)
    body = Elasticity(space, 200.0, 0.3, kind=kind)
    assert float((same.operator(u) - body.operator(u)).abs().max()) <= 1e-11
    assert float(same.energy(u)) == pytest.approx(float(body.energy(u)), rel=1e-13)


@pytest.mark.parametrize("angle", [0.0, 30.0, 90.0])
def test_a_sheet_pulled_at_an_angle_to_its_fibres(angle: float) -> None:
    """Jones 1999, equation (2.97): the moduli of a sheet whose axes are turned."""
    e1, e2, nu, g = 12.0, 0.9, 0.4, 0.8
    space = Space(rectangle(4, 3), "p1")
    body = Elasticity(space, Orthotropic((e1, e2), nu, g, angle=angle), kind="plane_stress")
    pull = torch.tensor([2.0, 0.0], dtype=F64)
    origin = Dirichlet(torch.tensor([int(space.pos.norm(dim=1).argmin())]), 0.0)
    level = space.pos[:, 1] == 0
    c, s = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    along = c**4 / e1 + (1 / g - 2 * nu / e1) * s**2 * c**2 + s**4 / e2
    across = (1 / e1 + 1 / e2 - 1 / g) * s**2 * c**2 - nu / e1 * (s**4 + c**4)
    shear = (2 / e1 + 2 * nu / e1 - 1 / g) * s * c**3 - (2 / e2 + 2 * nu / e1 - 1 / g) * s**3 * c
    # u_y = 0 on y = 0: the shear strain is then all in u_x
    total = (
        body
        + Neumann("right", pull)
        + Neumann("left", -pull)
        + origin
        + Dirichlet(level.nonzero()[:, 0], 0.0, channels=[1])
    )
    u = steady(total, torch.zeros(space.n, 2, dtype=F64)).value
    x, y = space.pos.unbind(1)
    exact = 2 * torch.stack([along * x + shear * y, across * y], 1)
    assert float((u - exact).abs().max()) <= 1e-12
    for stress in body.stress(u):
        assert float((stress[..., 0, 0] - 2).abs().max()) <= 1e-11
        assert float(stress[..., 1:, :].abs().max()) <= 1e-11


def test_a_solid_pulled_along_each_axis() -> None:
    space = Space(box(2, 2, 2), "p1")
    body = Elasticity(space, WOOD)
    for axis, (side, modulus) in enumerate(zip(("right", "back", "top"), (12.0, 0.9, 0.5), strict=True)):
        pull = Neumann(side, torch.eye(3, dtype=F64)[axis])
        total = body + pull + Symmetry("left") + Symmetry("front") + Symmetry("bottom")
        u = steady(total, torch.zeros(space.n, 3, dtype=F64)).value
        assert float((u[:, axis] - space.pos[:, axis] / modulus).abs().max()) <= 1e-13
        if axis == 0:  # nu13
            assert float((u[:, 2] + 0.35 / 12 * space.pos[:, 2]).abs().max()) <= 1e-13


def test_axes_given_as_vectors_and_as_an_angle_agree() -> None:
    space = Space(box(2, 2, 2), "p2")
    c, s = math.cos(math.radians(40)), math.sin(math.radians(40))
    axes = torch.tensor([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]], dtype=F64)
    given = ((12.0, 0.9, 0.5), (0.4, 0.35, 0.6), (0.8, 0.7, 0.1))
    u = torch.sin(5 * space.pos.flip(1))
    wanted = Elasticity(space, Orthotropic(*given, angle=40.0)).operator(u)
    per_cell = torch.full((space.mesh.n_cells,), 40.0, dtype=F64)
    for turned in (
        Orthotropic(*given, axes=axes),
        Orthotropic(*given, axes=axes.expand(space.mesh.n_cells, 3, 3)),
        Orthotropic(*given, angle=per_cell),
        Orthotropic(*given, angle=lambda x, t: 40 + 0 * x[:, 0]),
    ):
        assert float((Elasticity(space, turned).operator(u) - wanted).abs().max()) <= 1e-12


def test_gradients_reach_the_angle_of_the_fibres() -> None:
    space = Space(rectangle(2, 2))

    def stretch(angle: torch.Tensor) -> torch.Tensor:
        body = Elasticity(space, Orthotropic((12.0, 0.9), 0.4, 0.8, angle=angle), kind="plane_stress")
        pull = Neumann("right", torch.tensor([0.1, 0.0], dtype=F64))
        return (steady(body + pull + Dirichlet("left", 0.0), torch.zeros(space.n, 2, dtype=F64)).value ** 2).sum()

    assert torch.autograd.gradcheck(stretch, (torch.linspace(0, 70, 8, dtype=F64).requires_grad_(),), atol=1e-7)


PLANE, SOLID = Space(rectangle(2, 2)), Space(box(1, 1, 1))


@pytest.mark.parametrize(
    ("space", "given", "kind", "told"),
    [
        (PLANE, (-1.0, 0.3), None, "young is -1, expected finite numbers > 0"),
        (PLANE, (torch.tensor([1.0] * 7 + [0.0]), 0.3), None, "young is 0 in cell 7, expected finite numbers > 0"),
        (PLANE, (lambda x, t: x[:, 0] - 2, 0.3), None, "young is -[0-9.]+ in cell 0, expected"),
        (PLANE, (1.0, 0.5), None, "poisson is 0.5, expected numbers between -1 and 1/2"),
        (PLANE, (1.0, -1.0), None, "poisson is -1, expected numbers between -1 and 1/2"),
        (PLANE, (Orthotropic((1.0, 1.0), 0.3, 1.0),), None, "kind='plane_strain' needs"),
        (PLANE, (Orthotropic((1.0, 1.0), 1.1, 1.0),), "plane_stress", r"expected a positive definite one: nu12\^2"),
        (SOLID, (Orthotropic((1.0,) * 3, (0.9,) * 3, (1.0,) * 3),), None, "eigenvalue of the compliance is -0.8"),
        (SOLID, (Orthotropic((1.0,) * 3, (0.3,) * 3, 1.0),), None, "a solid needs three shear moduli"),
        (SOLID, (Orthotropic((1.0,) * 3, (0.3,) * 3, (1.0, -1.0, 1.0)),), None, "shear_13 is -1, expected"),
        (PLANE, (Orthotropic((1.0,) * 3, (0.3,) * 3, 1.0, axes=torch.eye(3)),), None, "axes are for solids"),
    ],
)
def test_what_is_no_material_is_refused(space: Space, given: tuple[Any, ...], kind: str | None, told: str) -> None:
    with pytest.raises(InputError, match=told):
        Elasticity(space, *given, kind=kind)


def test_numbers_and_axes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InputError, match="poisson of the orthotropic material has 1 values, expected 3"):
        Orthotropic((1.0, 1.0, 1.0), 0.3, 1.0)
    with pytest.raises(InputError, match="axes of the material are off right angles and length 1 by 3"):
        Orthotropic((1.0,) * 3, (0.3,) * 3, (1.0,) * 3, axes=2 * torch.eye(3))
    with pytest.raises(InputError, match="got an angle and axes"):
        Orthotropic((1.0,) * 3, (0.3,) * 3, (1.0,) * 3, axes=torch.eye(3), angle=3.0)
    with pytest.raises(InputError, match=r"axes have shape \[2, 2\]"):
        Orthotropic((1.0,) * 3, (0.3,) * 3, (1.0,) * 3, axes=torch.eye(2))
    mesh = rectangle(2, 2)
    named = Space(mesh.with_tags(steel=mesh.make_tag(2, torch.arange(3))))
    with pytest.raises(InputError, match="5 of 8 cells of 'rectangle' have no young"):
        Elasticity(named, {"steel": 1.0})


@pytest.mark.parametrize(
    ("element", "kind", "warned"), [("p1", None, True), ("p2", None, False), ("p1", "plane_stress", False)]
)
def test_locking_is_announced(element: str, kind: str | None, warned: bool) -> None:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        Elasticity(Space(rectangle(2, 2), element), 1.0, 0.495, kind=kind)
    assert [w.category for w in seen] == [LockingCaveat] * warned
