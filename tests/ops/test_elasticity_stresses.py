"""What is read off stresses, and stresses at nodes."""

from __future__ import annotations

import pytest
import torch

from graphpde.dynamics import steady
from graphpde.errors import ShapeError
from graphpde.mesh import Mesh, Space, annulus_sector, box, jittered, rectangle
from graphpde.ops import Dirichlet, Neumann
from graphpde.ops.elasticity import (
    Elasticity,
    PressureLoad,
    Symmetry,
    at_nodes,
    hydrostatic_pressure,
    max_shear,
    principal,
    von_mises,
)

F64 = torch.float64


def test_invariants_of_a_turned_stress() -> None:
    rng = torch.Generator().manual_seed(0)
    turn = torch.linalg.qr(torch.randn(3, 3, dtype=F64, generator=rng)).Q
    stress = turn @ torch.diag(torch.tensor([5.0, -1.0, 2.0], dtype=F64)) @ turn.T
    values, directions = principal(stress)
    assert torch.allclose(values, torch.tensor([-1.0, 2.0, 5.0], dtype=F64))
    assert torch.allclose(directions @ torch.diag(values) @ directions.T, stress)
    assert float(max_shear(stress)) == pytest.approx(3.0)
    assert float(hydrostatic_pressure(stress)) == pytest.approx(-2.0)
    assert float(von_mises(stress)) == pytest.approx((0.5 * (3**2 + 3**2 + 6**2)) ** 0.5)


@pytest.mark.parametrize(
    ("mesh", "element"),
    [(rectangle(4, 4), "p1"), (rectangle(4, 4), "p2"), (rectangle(3, 3, cells="mixed"), "q2"), (box(2, 2, 2), "p2"),
     (box(3, 2, 2, cells="mixed"), "q1")],
)  # fmt: skip
def test_fields_of_the_degree_of_the_stresses_come_out_exactly(mesh: Mesh, element: str) -> None:
    space = Space(jittered(mesh, 0.1, seed=0), element)
    body = Elasticity(space)

    def field(x: torch.Tensor) -> torch.Tensor:
        slope = torch.arange(1.0, 4.0, dtype=F64)[: x.shape[-1]] * (space.element.degree > 1)
        return 3.0 + torch.stack([(slope * x).sum(-1), 2 * (slope * x).sum(-1)], -1)

    found = at_nodes(body, [field(b.points) for b in body.points.blocks])
    assert float((found - field(space.pos[:, None])[:, 0]).abs().max()) <= 1e-12
    with pytest.raises(ShapeError, match="expected one tensor for each block"):
        at_nodes(body, [])


def test_nodal_stresses_of_a_thick_cylinder() -> None:
    """Lame 1852: s_r = A - B / r^2, s_t = A + B / r^2."""
    space = Space(annulus_sector(0.07, 1.0, 2.0), "p2")
    body = Elasticity(space, 1000.0, 0.3)
    total = body + PressureLoad("inner", 10.0) + Symmetry("start") + Symmetry("end")
    u = steady(total, torch.zeros(space.n, 2, dtype=F64)).value
    r = space.pos.norm(dim=1)
    values = principal(at_nodes(body, body.stress(u))).values
    assert float((values[:, 0] - 10 / 3 * (1 - 4 / r**2)).abs().max()) <= 0.1
    assert float((values[:, 2] - 10 / 3 * (1 + 4 / r**2)).abs().max()) <= 0.1
    inside = int((r - 1).abs().argmin())
    assert float(values[inside, 2]) == pytest.approx(50 / 3, rel=0.005)


@pytest.mark.parametrize("kind", ["plane_stress", "plane_strain", "axisymmetric"])
def test_the_energy_is_half_the_work_of_the_loads(kind: str) -> None:
    space = Space(rectangle(4, 4), "p2")
    body = Elasticity(space, 50.0, 0.3, kind=kind)
    total = body + Neumann("top", torch.tensor([0.3, 0.7], dtype=F64)) + Dirichlet("bottom", 0.0)
    u = steady(total, torch.zeros(space.n, 2, dtype=F64)).value
    assert float(body.energy(u)) == pytest.approx(float(-0.5 * (u * body.operator(u)).sum()), rel=1e-12)
    by_hand = body.points.total(
        [
            0.5 * (s * e).sum((-2, -1)) * (b.points[..., 0] if kind == "axisymmetric" else 1)
            for s, e, b in zip(body.stress(u), body.strains(u), body.points.blocks, strict=True)
        ]
    )
    assert float(by_hand) == pytest.approx(float(body.energy(u)), rel=1e-12)


def test_a_body_that_grows_freely_stores_nothing() -> None:
    space = Space(rectangle(3, 3), "p1")
    hot = Elasticity(space, 1e3, 0.3, kind="plane_stress", expansion=1e-2, temperature=10.0)
    assert float(hot.energy(0.1 * space.pos)) <= 1e-25
    assert float(hot.energy(0 * space.pos)) == pytest.approx(1e3 / 0.7 * 0.1**2)


@pytest.mark.parametrize("read", [principal, von_mises, max_shear, hydrostatic_pressure])
def test_stresses_have_three_axes(read) -> None:
    with pytest.raises(ShapeError, match=r"stress has shape \[4, 2, 2\], expected \[\*, 3, 3\]"):
        read(torch.zeros(4, 2, 2))


@pytest.mark.parametrize("cells", ["quad", "hexahedron"])
def test_linear_stresses_come_out_of_bilinear_cells(cells: str) -> None:
    """Bending: u = (x y, -x^2 / 2) has the stress E y along x, exactly, at every node."""
    space = Space(rectangle(3, 2, cells="quad") if cells == "quad" else box(3, 2, 2, cells="hexahedron"), "q1")
    body = Elasticity(space, 5.0, 0.0)
    x, y = space.pos[:, 0], space.pos[:, 1]
    u = torch.zeros_like(space.pos)
    u[:, 0] = x * y
    found = at_nodes(body, body.stress(u))
    assert torch.allclose(found[:, 0, 0], 5.0 * y, atol=1e-12)
