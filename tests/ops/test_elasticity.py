"""Linear elasticity: patch tests, motions without strain, exact bars and cylinders, a membrane."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from graphpde.dynamics import steady
from graphpde.errors import InputError
from graphpde.mesh import Space, box, interval, jittered, rectangle
from graphpde.ops import Dirichlet, Neumann
from graphpde.ops.elasticity import Elasticity, rigid_modes, von_mises

F64 = torch.float64
SHEAR = torch.tensor([[0.01, 0.02, -0.01], [-0.005, 0.03, 0.004], [0.02, 0.01, -0.02]], dtype=F64)


def at_rest(term, space: Space) -> Tensor:
    return steady(term, torch.zeros(space.n, space.mesh.space_dim, dtype=F64)).value


def linear(x: Tensor, t: Tensor | None = None) -> Tensor:
    d = x.shape[1]
    return x @ SHEAR[:d, :d].T + 0.1


@pytest.mark.parametrize("element", ("p1", "p2"))
@pytest.mark.parametrize("kind", ("plane_strain", "plane_stress", "solid"))
def test_linear_displacements_are_exact_on_distorted_meshes(kind: str, element: str) -> None:
    mesh = jittered(box(3, 3, 3) if kind == "solid" else rectangle(5, 5), 0.15, seed=0)
    space = Space(mesh, element)
    body = Elasticity(space, 200.0, 0.3, kind=kind)
    u = at_rest(body + Dirichlet("boundary", linear), space)
    assert float((u - linear(space.pos)).abs().max()) <= 1e-12
    d = mesh.space_dim
    e = torch.zeros(3, 3, dtype=F64)
    e[:d, :d] = 0.5 * (SHEAR[:d, :d] + SHEAR[:d, :d].T)
    if kind == "plane_stress":  # nothing pulls across the plane
        e[2, 2] = -0.3 / 0.7 * (e[0, 0] + e[1, 1])
    exact = 200 / 1.3 * (e + 0.3 / 0.4 * e.trace() * torch.eye(3, dtype=F64))
    for stress in body.stress(u):
        assert float((stress - exact).abs().max()) <= 1e-10
    if kind == "plane_stress":
        assert abs(float(exact[2, 2])) <= 1e-12


@pytest.mark.parametrize(("kind", "count"), [("plane_stress", 3), ("axisymmetric", 1), ("solid", 6)])
def test_motions_without_strain_need_no_force(kind: str, count: int) -> None:
    mesh = jittered(box(2, 2, 2) if kind == "solid" else rectangle(4, 4), 0.15, seed=1)
    space = Space(mesh, "p2")
    body = Elasticity(space, 70.0, 0.25, kind=kind)
    modes = body.rigid_modes()
    assert modes.shape == (space.n, mesh.space_dim, count)
    assert torch.linalg.matrix_rank(modes.flatten(0, 1)) == count
    for k in range(count):
        assert float(body.operator(modes[..., k]).abs().max()) <= 1e-11


def test_the_stiffness_is_symmetric_and_definite() -> None:
    space = Space(jittered(rectangle(3, 3), 0.1, seed=0))
    matrix = torch.from_numpy((-Elasticity(space, 3.0, 0.3).operator).to_matrix(2).toarray())
    assert float((matrix - matrix.T).abs().max()) <= 1e-14
    values = torch.linalg.eigvalsh(matrix)
    assert float(values[:3].abs().max()) <= 1e-12 and float(values[3]) > 1e-2


def test_a_bar_grows_with_its_temperature_and_pushes_where_it_cannot() -> None:
    space = Space(rectangle(6, 2), "p2")
    hot = Elasticity(space, 210e9, 0.3, kind="plane_stress", expansion=12e-6, temperature=50.0)
    corner = torch.tensor([int(space.pos.abs().sum(1).argmin())])
    free = at_rest(hot + Dirichlet("left", 0.0, channels=[0]) + Dirichlet(corner, 0.0, channels=[1]), space)
    assert float((free - 12e-6 * 50 * space.pos).abs().max()) <= 1e-12
    assert max(float(s.abs().max()) for s in hot.stress(free)) <= 1e-3  # of 126 MPa where it is held
    between = hot + Dirichlet("left", 0.0, channels=[0]) + Dirichlet("right", 0.0, channels=[0])
    held = at_rest(between + Dirichlet("bottom", 0.0, channels=[1]), space)
    for stress in hot.stress(held):
        assert torch.allclose(stress[..., 0, 0], torch.tensor(-210e9 * 12e-6 * 50, dtype=F64))
    warm = Elasticity(space, 210e9, 0.3, kind="plane_stress", expansion=12e-6, temperature=lambda x, t: 100 * x[:, 0])
    same = Elasticity(space, 210e9, 0.3, kind="plane_stress", expansion=12e-6, temperature=100 * space.pos[:, :1])
    zero = torch.zeros((), dtype=F64)
    assert torch.allclose(warm.load(zero, free), same.load(zero, free), rtol=1e-12, atol=1e-6)


def test_a_thick_cylinder_under_pressure() -> None:
    """Lame 1852: u = (1 + nu) p a^2 ((1 - 2 nu) r + b^2 / r) / (E (b^2 - a^2))."""
    mesh = rectangle(8, 3)
    mesh = mesh.with_points(mesh.points * torch.tensor([1.0, 0.3]) + torch.tensor([1.0, 0.0]))
    space = Space(mesh, "p2")
    body = Elasticity(space, 1000.0, 0.3, kind="axisymmetric")
    inside = Neumann("left", torch.tensor([10.0, 0.0], dtype=F64))
    u = at_rest(body + inside + Dirichlet("bottom", 0.0, channels=[1]) + Dirichlet("top", 0.0, channels=[1]), space)
    r = space.pos[:, 0]
    exact = 1.3 / 1000 * 10 / 3 * (0.4 * r + 4 / r)
    assert float((u[:, 0] / exact - 1).abs().max()) <= 2e-4
    assert float(u[:, 1].abs().max()) <= 1e-5


def test_cooks_membrane() -> None:
    """Cook 1974; the tip rises by 23.96 in the limit."""
    mesh = rectangle(16, 16)
    s, t = mesh.points.unbind(1)
    space = Space(mesh.with_points(torch.stack([48 * s, 44 * s + (44 - 28 * s) * t], 1)), "p2")
    body = Elasticity(space, 1.0, 1 / 3, kind="plane_stress")
    u = at_rest(body + Neumann("right", torch.tensor([0.0, 1 / 16], dtype=F64)) + Dirichlet("left", 0.0), space)
    tip = (space.pos - torch.tensor([48.0, 52.0], dtype=F64)).norm(dim=1).argmin()
    assert float(u[tip, 1]) == pytest.approx(23.96, rel=5e-3)


def test_gradients_reach_the_modulus_of_each_cell() -> None:
    space = Space(rectangle(3, 3))
    young = torch.linspace(1, 2, space.mesh.n_cells, dtype=F64).requires_grad_()

    def energy(e: Tensor) -> Tensor:
        body = Elasticity(space, e, 0.3)
        u = at_rest(body + Neumann("right", torch.tensor([0.0, 0.1], dtype=F64)) + Dirichlet("left", 0.0), space)
        return (u[:, 1] ** 2).sum()

    assert torch.autograd.gradcheck(energy, (young,), atol=1e-7)


def test_numbers_of_stresses() -> None:
    pull = torch.zeros(3, 3, dtype=F64)
    pull[0, 0] = -5.0
    assert float(von_mises(pull)) == pytest.approx(5.0)
    assert float(von_mises(7.0 * torch.eye(3, dtype=F64))) == pytest.approx(0.0, abs=1e-12)


def test_what_is_refused() -> None:
    with pytest.raises(InputError, match="kind='solid' in 2 dimensions, expected one of: plane_strain, plane_stress"):
        Elasticity(Space(rectangle(2, 2)), kind="solid")
    with pytest.raises(InputError, match="elasticity needs cells that fill the plane or space"):
        Elasticity(Space(interval(3)))
    with pytest.raises(InputError, match="build a Space from a mesh"):
        Elasticity(None)
    assert rigid_modes(Space(rectangle(2, 2))).shape[-1] == 3
