"""The stiffness of bodies: assembled from unit strains = the derivative of the form, and what it takes to nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from graphpde.core.block_operator import BlockSparse, Interleaved
from graphpde.core.combined import Pinned, Scaled, Summed
from graphpde.core.linear_operator import Diagonal
from graphpde.dynamics import steady
from graphpde.errors import ConditionError, ShapeError
from graphpde.mesh import Mesh, Space, box, jittered, rectangle
from graphpde.ops import Dirichlet, Neumann, Sum, System
from graphpde.ops.elasticity import Elasticity, NeoHookean, Orthotropic
from graphpde.ops.form import Form, LinearForm, Local, Values
from graphpde.ops.point_derivatives import slopes
from graphpde.solve.automatic import Automatic
from graphpde.solve.direct import Factor
from graphpde.solve.krylov import cg
from graphpde.solve.linear import LinearSolver
from graphpde.solve.multigrid import Multigrid

F64 = torch.float64
NOW = torch.tensor(0.0, dtype=F64)
FIBRES = Orthotropic((12.0, 1.0, 2.0), (0.3, 0.2, 0.25), (0.7, 0.5, 0.4), angle=30.0)

SPACES: dict[str, Callable[[], Space]] = {
    "P1 triangles": lambda: Space(plane(), "p1"),
    "P2 triangles": lambda: Space(plane(), "p2"),
    "quadrilaterals": lambda: Space(jittered(rectangle(3, 2, cells="quad"), 0.15, seed=0), "q1"),
    "P1 tetrahedra": lambda: Space(jittered(box(2, 2, 2), 0.15, seed=0), "p1"),
    "P2 tetrahedra": lambda: Space(jittered(box(1, 1, 2), 0.1, seed=0), "p2"),
    "hexahedra": lambda: Space(jittered(box(2, 1, 1, cells="hexahedron"), 0.1, seed=0), "q1"),
    "mixed solids": lambda: Space(box(3, 1, 1, cells="mixed")),
}


def plane() -> Mesh:
    return jittered(rectangle(3, 3), 0.15, seed=0)


def by_cell(space: Space, seed: int = 0) -> Tensor:
    return 1 + torch.rand(space.mesh.n_cells, dtype=F64, generator=torch.Generator().manual_seed(seed))


MODULI: dict[str, Callable[[Space], Any]] = {
    "a number": lambda s: 3.0,
    "a tensor": lambda s: torch.tensor(3.0, dtype=F64),
    "cells": by_cell,
    "places": lambda s: lambda x, t: 1 + x[:, :1] ** 2,
    "fibres": lambda s: FIBRES,
}


def derived(body: Form) -> BlockSparse:
    """The Jacobian by automatic differentiation at every point."""
    points, d = body.points, len(body.channels)
    parts = [
        slopes(lambda v, g, k=k: body._local(NOW, k, points, v, g), *fields)
        for k, fields in enumerate(points.fields(torch.zeros(body.domain.n, d, dtype=F64)))
    ]
    found = points.matrix(parts)
    assert isinstance(found, BlockSparse)
    return found


def close(a: BlockSparse, b: BlockSparse) -> bool:
    scale = float(b.diag.abs().max())
    return all(float((x - y).abs().max()) <= 1e-13 * scale for x, y in ((a.weight, b.weight), (a.diag, b.diag)))


@pytest.mark.parametrize("moduli", MODULI)
@pytest.mark.parametrize("where", SPACES)
def test_unit_strains_give_the_derivative(where: str, moduli: str) -> None:
    space = SPACES[where]()
    body = Elasticity(space, MODULI[moduli](space), 0.3)
    assert body.homogeneous
    assert close(body.operator, derived(body))


@pytest.mark.parametrize("moduli", MODULI)
@pytest.mark.parametrize("kind", ("plane_stress", "axisymmetric"))
def test_kinds_of_the_plane(kind: str, moduli: str) -> None:
    mesh = plane()
    space = Space(mesh.with_points(mesh.points + torch.tensor([0.5, 0.0])), "p2")
    body = Elasticity(space, MODULI[moduli](space), 0.3, kind=kind)
    assert body.homogeneous is (kind == "plane_stress")
    assert close(body.operator, derived(body))


class Coupling(LinearForm):
    """Source and flux read values and gradients, and the place."""

    channels = ("a", "b")

    def local(self, t: Tensor, x: Tensor, u: Tensor, grad: Tensor, p: Values) -> Local:
        source = p["k"] * u.flip(-1) + (x[..., :1] * grad[..., 1, :]).sum(-1, keepdim=True)
        return source, u[..., None] * x[..., None, :] - p["k"][..., None] * grad


class Skew(LinearForm):
    """All that two channels can do to one another, without any symmetry."""

    channels, homogeneous = ("a", "b"), True

    def local(self, t: Tensor, x: Tensor, u: Tensor, grad: Tensor, p: Values) -> Local:
        d = grad.shape[-1]
        generator = torch.Generator().manual_seed(5)
        one, two, three, four = (
            torch.rand(*shape, dtype=F64, generator=generator) for shape in ((2, 2), (2, 2, d), (2, d, 2), (2, d, 2, d))
        )
        source = torch.einsum("ab,...b->...a", one, u) + torch.einsum("abe,...be->...a", two, grad)
        flux = torch.einsum("adb,...b->...ad", three, u) + torch.einsum("adbe,...be->...ad", four, grad)
        return source, p["k"] * flux if not isinstance(p["k"], Tensor) else p["k"][..., None] * flux


@pytest.mark.parametrize("where", SPACES)
def test_any_homogeneous_law(where: str) -> None:
    space = SPACES[where]()
    for k in (2.0, by_cell(space), lambda x, t: 1 + x[:, :1] ** 2):
        form = Skew(space, k=k)
        assert close(form.operator, derived(form))


@pytest.mark.parametrize("where", ("P1 triangles", "P2 triangles", "P1 tetrahedra", "mixed solids"))
def test_any_linear_law(where: str) -> None:
    space = SPACES[where]()
    for k in (by_cell(space), lambda x, t: 1 + x[:, :1] ** 2):
        form = Coupling(space, k=k)
        assert close(form.operator, derived(form))


@pytest.mark.parametrize("where", ("P1 triangles", "P1 tetrahedra", "P2 triangles"))
def test_derivatives_by_moduli_and_places(where: str) -> None:
    """Of u . K u, by both ways; about gradients through a derivative see test_point_derivatives."""
    mesh, element = SPACES[where]().mesh, SPACES[where]().element
    u = torch.rand(Space(mesh, element).n, mesh.space_dim, dtype=F64, generator=torch.Generator().manual_seed(1))
    found = []
    for way in (lambda body: body.operator, derived):
        young, points = by_cell(Space(mesh, element)).requires_grad_(), mesh.points.clone().requires_grad_()
        nu = torch.tensor(0.3, dtype=F64, requires_grad=True)
        body = Elasticity(Space(mesh.with_points(points), element), young, nu)
        total = (u * way(body).matvec(u)).sum()
        found.append(torch.autograd.grad(total, (young, nu, points)))
    for one, other in zip(*found, strict=True):
        assert float((one - other).abs().max()) <= 1e-12 * float(other.abs().max())


@pytest.mark.parametrize("shape", ((), (1,), "cells"))
def test_derivatives_by_moduli_twice(shape: Any) -> None:
    space = SPACES["P1 triangles"]()
    u = torch.rand(space.n, 2, dtype=F64, generator=torch.Generator().manual_seed(1))
    nu = 0.3 * torch.ones(space.mesh.n_cells if shape == "cells" else shape, dtype=F64)

    def energy(nu: Tensor) -> Tensor:
        return (u * Elasticity(space, 2.0, nu).operator.matvec(u)).sum()

    nu.requires_grad_()
    assert torch.autograd.gradcheck(energy, nu)
    assert torch.autograd.gradgradcheck(energy, nu)


def test_inside_transforms_and_in_inference_mode() -> None:
    space = SPACES["P1 tetrahedra"]()
    k, change = by_cell(space), by_cell(space, 1)
    form = Coupling(space, k=k)
    plain = form.operator.weight

    def weight(k: Tensor) -> Tensor:
        form.k, form._cached = k, None
        return form.operator.weight

    apart = weight(k + change) - plain
    assert torch.allclose(torch.func.jvp(weight, (k,), (change,))[1], apart, atol=1e-14)
    assert torch.allclose(torch.func.vmap(weight)(torch.stack([k, k + change]))[1], plain + apart, atol=1e-14)
    with torch.inference_mode():
        assert torch.allclose(weight(k), plain, atol=1e-15)


def test_moduli_that_change_in_time_are_named() -> None:
    space = SPACES["P1 triangles"]()
    with pytest.raises(ConditionError, match=r"^young of Elasticity changes in time"):
        _ = Elasticity(space, lambda x, t: 1 + t + x[:, :1], lambda x, t: 0.3 + 0 * x[:, :1]).operator


# what is taken to almost nothing


def near(operator: Any) -> Tensor:
    assert operator.near_null is not None
    return operator.near_null


@pytest.mark.parametrize("where", ("P1 triangles", "P2 tetrahedra"))
def test_rigid_motions_stay_with_the_stiffness(where: str) -> None:
    space = SPACES[where]()
    d = space.mesh.space_dim
    k = -Elasticity(space, 2.0, 0.3).operator
    modes = near(k)
    assert modes.shape == (space.n, d, 3 if d == 2 else 6)
    for mode in modes.unbind(-1):
        assert float(k(mode).abs().max()) <= 1e-12
    springs = Diagonal(torch.ones(space.n, dtype=F64))
    assert near(k * 2.0 + springs) is modes
    assert near(springs + k) is modes
    assert near(Scaled(k, torch.tensor(2.0))) is modes
    assert near(Summed(springs, k)) is modes
    assert (k * torch.ones(d, dtype=F64)).near_null is None
    assert near(k.to(dtype=torch.float32)).dtype is torch.float32
    held = torch.zeros(space.n, d, dtype=torch.bool)
    held[0], held[3, 1] = True, True
    for pinned in (k.pinned(held), Pinned(k, held)):
        assert torch.equal(near(pinned), modes * ~held[..., None])
        one = Interleaved(pinned, d)
        assert torch.equal(near(one)[:, 0], near(pinned).flatten(0, 1))
    with pytest.raises(ShapeError, match=r"near_null has shape \[3, 2, 1\], expected"):
        BlockSparse(k.relation, k.weight, k.diag, near_null=torch.zeros(3, 2, 1))


def test_systems_keep_them() -> None:
    space = SPACES["P1 tetrahedra"]()
    held = Dirichlet("left", 0.0, channels=(0,))
    system = System(Sum.of(Elasticity(space, 2.0, 0.3), held), None, NOW)
    modes = near(system.pin(-system.operator))
    assert system.fixed is not None
    assert not bool(modes[system.fixed.mask].any())
    bent = NeoHookean(space, 2.0, 0.3).linearise(NOW, torch.zeros(space.n, 3, dtype=F64))
    assert torch.equal(near(bent), near(Elasticity(space, 2.0, 0.3).operator))


def test_about_an_axis_the_motions_of_the_plane_serve() -> None:
    mesh = plane()
    space = Space(mesh.with_points(mesh.points + torch.tensor([50.0, 0.0])), "p1")
    k = Elasticity(space, 2.0, 0.3, kind="axisymmetric").operator
    modes = near(k)
    energies = torch.stack([-(mode * k(mode)).sum() / mode.square().sum() for mode in modes.unbind(-1)])
    assert float(energies.max()) <= 1e-2 * float(k.diag.abs().max())


def test_large_bodies_are_solved_in_few_iterations() -> None:
    """And derivatives by all moduli at once: K has degree 1 in them, so that E . dc/dE = -c for c = f . u."""
    pytest.importorskip("pyamg")
    space = Space(box(20, 20, 20), "p1")
    young = by_cell(space).requires_grad_()
    body = Elasticity(space, young, 0.3)
    parts = (body, Neumann("right", torch.tensor([0.0, 0.0, -0.01], dtype=F64)), Dirichlet("left", 0.0))
    u0 = torch.zeros(space.n, 3, dtype=F64)
    result = steady(Sum.of(*parts), u0, rtol=1e-10)
    assert result.iterations <= 40
    system = System(Sum.of(*parts), None, NOW)
    load = system.load(NOW, u0)
    assert load is not None and system.fixed is not None
    rest = system.fixed.clear(body.operator(result.value) + load).detach()
    assert float(rest.norm()) <= 1e-9 * float(load.norm())
    c = (load * result.value).sum()
    (slope,) = torch.autograd.grad(c, young)
    assert float(((young * slope).sum() / c).detach()) == pytest.approx(-1.0, abs=1e-8)


def problem(cells: int) -> tuple[Interleaved, Tensor]:
    """A cube on rollers, so that components are held alone: matrix and load [n d, 1]."""
    space = Space(box(cells, cells, cells), "p1")
    rollers = [Dirichlet(side, 0.0, channels=(k,)) for k, side in enumerate(("left", "front", "bottom"))]
    system = System(Sum.of(Elasticity(space, by_cell(space), 0.3), *rollers), None, NOW)
    a = Interleaved(system.pin(-system.operator), 3)
    b = torch.rand(space.n, 3, dtype=F64, generator=torch.Generator().manual_seed(2))
    assert system.fixed is not None
    return a, system.fixed.clear(b).reshape(-1, 1)


def test_multigrid_from_the_beginning_where_motions_are_known() -> None:
    pytest.importorskip("pyamg")
    a, b = problem(8)
    chosen = Automatic(a, 1e-10)
    result = chosen.solve(b, None)
    assert result.converged and result.iterations <= 25
    assert isinstance(chosen.hierarchy, Multigrid)
    assert chosen.hierarchy.method == "smoothed_aggregation"
    exact = Factor(a).solve(b).value
    assert float((result.value - exact).norm()) <= 1e-8 * float(exact.norm())
    heavy = Automatic(Interleaved(a.base + Diagonal(torch.full((a.base.n,), 10.0, dtype=F64)), 3), 1e-10)
    assert heavy.solve(b, None).converged
    assert isinstance(heavy.hierarchy, Multigrid)


def test_components_of_a_node_stay_together_without_motions() -> None:
    """Each is constant by itself on an aggregate: a single constant for all of them would take twice as long."""
    pytest.importorskip("pyamg")
    a, b = problem(8)
    a.near_null = None
    by = Multigrid(a, method="smoothed_aggregation")
    assert by.levels[1] % 3 == 0
    assert cg(a, b, rtol=1e-10, precondition=by).iterations <= 35


def test_without_pyamg_conjugate_gradients_go_on_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyamg", None)
    a, b = problem(4)
    chosen = Automatic(a, 1e-10)
    assert chosen.solve(b, None).converged
    assert chosen.hierarchy is None


def test_bodies_that_nothing_holds() -> None:
    """Balanced loads on a free body: the answer is orthogonal to its rigid motions."""
    pytest.importorskip("pyamg")
    space = Space(box(6, 6, 6), "p1")
    k = -Elasticity(space, 2.0, 0.3).operator
    free = near(k).flatten(0, 1)
    u = torch.rand(space.n, 3, dtype=F64, generator=torch.Generator().manual_seed(3))
    solver = LinearSolver(k, rtol=1e-10, null_space=free)
    result = solver.solve(k(u)).checked()
    assert result.iterations <= 30
    basis = torch.linalg.qr(free).Q
    apart = (result.value - u).reshape(-1)
    assert float((apart - basis @ (basis.mT @ apart)).norm()) <= 1e-8 * float(u.norm())
    assert float((basis.mT @ result.value.reshape(-1)).norm()) <= 1e-9 * float(u.norm())
