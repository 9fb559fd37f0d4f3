"""Forms: assembled = looped, Jacobian = derivative = differences, and derivatives by all that goes in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from graphpde.core.block_operator import BlockSparse
from graphpde.core.linear_operator import LinearOperator, Sparse
from graphpde.errors import ConditionError, InputError, ShapeError, UnknownName
from graphpde.mesh import CELLS, Mesh, Space, box, interval, jittered, random_cube, random_square, rectangle, sphere
from graphpde.mesh.elements import P2, Q2, Element
from graphpde.ops.diffusion import Diffusion
from graphpde.ops.form import FORMS, Energy, Form, Local, Values
from graphpde.ops.forms import (
    AllenCahn,
    Burgers,
    Helmholtz,
    MinimalSurface,
    NonlinearDiffusion,
    PLaplacian,
    ReactionForm,
)

F64 = torch.float64
NOW = torch.tensor(0.0, dtype=F64)

SPACES: dict[str, tuple[Callable[[], Mesh], type[Element] | None]] = {
    "lines": (lambda: jittered(interval(5), 0.2, seed=1), None),
    "triangles": (lambda: random_square(3, seed=1), None),
    "triangles, P2": (lambda: random_square(2, seed=1), P2),
    "quadrilaterals": (lambda: jittered(rectangle(3, 2, cells="quad"), 0.2, seed=1), None),
    "quadrilaterals, Q2": (lambda: jittered(rectangle(2, 2, cells="quad"), 0.2, seed=1), Q2),
    "tetrahedra": (lambda: random_cube(2, seed=1), None),
    "hexahedra": (lambda: jittered(box(2, 2, 1, cells="hexahedron"), 0.1, seed=1), None),
    "sphere": (lambda: sphere(1), None),
}


MORE: dict[str, Callable[[], Space]] = {
    "mixed solids": lambda: Space(box(3, 1, 1, cells="mixed")),
    "periodic": lambda: Space(rectangle(4, 3), periodic=[("left", "right"), ("bottom", "top")]),
    "periodic lines": lambda: Space(interval(5), periodic=[("left", "right")]),
}


def space_of(name: str) -> Space:
    if name in MORE:
        return MORE[name]()
    mesh, element = SPACES[name]
    return Space(mesh(), None if element is None else element())


def state(space: Space, form: Form, seed: int = 0) -> Tensor:
    """Positive numbers, away from kinks of |u|."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(space.n, max(len(form.channels), 1), dtype=F64, generator=generator) + 0.1


def dense(operator: LinearOperator, like: Tensor) -> Tensor:
    """The matrix on all channels [n c, n c], column by column."""
    unit = torch.eye(like.numel(), dtype=F64).reshape(-1, *like.shape)
    return torch.stack([operator(e).reshape(-1) for e in unit], 1)


class Everything(Form):
    """Source and flux that read all they can, two channels that mix."""

    channels = ("a", "b")

    def local(self, t: Tensor, x: Tensor, u: Tensor, grad: Tensor, p: Values) -> Local:
        a, b = u.unbind(-1)
        slope = grad[..., 1, :].square().sum(-1)
        source = torch.stack([p["k"][..., 0] * a * b + t, slope * a + x.sum(-1) * b**2], -1)
        flux = torch.stack([(1 + b * b)[..., None] * grad[..., 1, :], a[..., None] * x + grad[..., 0, :] ** 3], -2)
        return source, flux


FORM_BUILDERS: Mapping[str, Callable[[Space], Form]] = {
    **FORMS,
    "everything": lambda space: Everything(space, k=lambda x, t: 1 + x[:, 0] ** 2),
}


FLOWS = ("stokes", "convection")
FLOW_SPACES = ("triangles", "triangles, P2", "quadrilaterals, Q2", "tetrahedra", "periodic")


def skip_without_flow(name: str, where: str) -> None:
    """Flows say themselves which spaces they live on, and tests of their own that they refuse others."""
    if name in FLOWS and where not in FLOW_SPACES:
        pytest.skip("no space of a flow")


@pytest.mark.parametrize("where", [*SPACES, *MORE])
@pytest.mark.parametrize("name", FORM_BUILDERS)
def test_the_assembled_jacobian_is_the_derivative(name: str, where: str) -> None:
    skip_without_flow(name, where)
    space = space_of(where)
    form = FORM_BUILDERS[name](space)
    u = state(space, form)
    jacobian = form.linearise(NOW, u)
    assert isinstance(jacobian, Sparse if u.shape[1] == 1 else BlockSparse)
    v = torch.randn(u.shape, dtype=F64, generator=torch.Generator().manual_seed(1))
    exact = torch.func.jvp(lambda w: form(NOW, w), (u,), (v,))[1]
    size = float(exact.abs().max())
    assert torch.allclose(jacobian(v), exact, atol=1e-12 * size)
    back = torch.func.vjp(lambda w: form(NOW, w), u)[1](v)[0]
    assert torch.allclose(jacobian.transpose()(v), back, atol=1e-12 * float(back.abs().max()))
    h = 1e-5  # central differences: h^2 against rounding / h
    slope = (form(NOW, u + h * v) - form(NOW, u - h * v)) / (2 * h)
    assert torch.allclose(exact, slope, atol=1e-6 * size)
    assert form.symmetric == jacobian.symmetric
    if form.symmetric:
        matrix = dense(type(jacobian)(jacobian.relation, jacobian.weight, jacobian.diag), u)
        assert torch.allclose(matrix, matrix.T, atol=1e-13 * float(matrix.abs().max()))


@pytest.mark.parametrize("name", FORMS)
class TestEveryForm:
    def test_says_what_it_is(self, name: str) -> None:
        form = FORMS[name](space_of("triangles"))
        assert (type(form).__doc__ or "").strip() and form.reference
        assert all(isinstance(unit, str) and unit for unit in form.units.values())
        assert set(form._given) <= set(form.units)

    def test_a_batch_is_its_members(self, name: str) -> None:
        space = space_of("triangles")
        form = FORMS[name](space)
        batch = torch.stack([state(space, form, seed) for seed in range(3)])
        together = form(NOW, batch)
        for u, f in zip(batch, together, strict=True):
            assert torch.allclose(form(NOW, u), f, atol=1e-14)
        v = torch.randn(batch.shape, dtype=F64)
        jacobian = form.linearise(NOW, batch)
        for k in range(3):
            assert torch.allclose(jacobian(v)[k], form.linearise(NOW, batch[k])(v[k]), atol=1e-11)

    def test_derivatives_by_the_state_of_both_orders(self, name: str) -> None:
        space = Space(random_square(1, seed=1))
        form = FORMS[name](space)
        u = state(space, form).requires_grad_()
        assert torch.autograd.gradcheck(lambda w: form(NOW, w), (u,))
        assert torch.autograd.gradgradcheck(lambda w: form(NOW, w), (u,))

    def test_single_precision(self, name: str) -> None:
        space = space_of("triangles")
        form = FORMS[name](space)
        u = state(space, form)
        exact = form(NOW, u)
        f = FORMS[name](space.to(dtype=torch.float32))(NOW.float(), u.float())
        assert f.dtype == torch.float32
        assert torch.allclose(f.double(), exact, atol=1e-4 * float(exact.abs().max()))

    def test_moves_with_its_space(self, name: str) -> None:
        form = FORMS[name](space_of("triangles"))
        u = state(form.domain, form)
        exact = form(NOW, u)
        f = form.to(torch.float32)(NOW.float(), u.float())
        assert torch.allclose(f.double(), exact, atol=1e-4 * float(exact.abs().max()))


# one representation against another


def test_a_form_is_the_sum_over_cells_and_points() -> None:
    space = space_of("quadrilaterals")
    form = Everything(space, k=torch.linspace(1, 2, space.mesh.n_cells, dtype=F64))
    u = state(space, form)
    expected = torch.zeros_like(u)
    k = torch.linspace(1, 2, space.mesh.n_cells, dtype=F64)
    for block in space.blocks(form.degree):
        for cell, dofs in enumerate(block.dofs.tolist()):
            for q in range(block.values.shape[0]):
                v = sum(u[i] * block.values[q, j] for j, i in enumerate(dofs))
                g = sum(u[i][:, None] * block.gradients[cell, q, j] for j, i in enumerate(dofs))
                at = {"k": k[block.ids[cell]].reshape(1, 1, 1)}
                x = block.points[cell, q].reshape(1, 1, -1)
                source, flux = form.local(NOW, x, v.reshape(1, 1, 2), g.reshape(1, 1, 2, 2), at)
                for j, i in enumerate(dofs):
                    part = source[0, 0] * block.values[q, j] + flux[0, 0] @ block.gradients[cell, q, j]
                    expected[i] += part * block.volume[cell, q]
    assert torch.allclose(form(NOW, u), expected, atol=1e-13)


@pytest.mark.parametrize("where", SPACES)
def test_linear_forms_are_the_assembled_operators(where: str) -> None:
    space = space_of(where)
    u = torch.rand(space.n, 1, dtype=F64)
    # the rules are the space's own: on affine cells any is exact, on the others they must be the same ones
    shape = space.element.rule_degree(CELLS[space.blocks()[0].kind].corners)
    plain = NonlinearDiffusion(space, lambda u: torch.ones_like(u), degree=shape)(NOW, u)
    assert torch.allclose(plain, Diffusion(space)(NOW, u), atol=1e-12)
    assert torch.allclose(ReactionForm(space)(NOW, u), -space.consistent_mass(u), atol=1e-13)


def test_coefficients_per_cell_by_set_and_by_function() -> None:
    mesh = random_square(4, seed=1)
    middle = mesh.points[mesh.entities(2).nodes].mean(1)
    left = (middle[:, 0] < 0.5).nonzero()[:, 0]
    mesh = mesh.with_tags(left=mesh.make_tag(2, left))
    space = Space(mesh)
    per_cell = torch.full((mesh.n_cells,), 3.0, dtype=F64)
    per_cell[left] = 2.0
    u = torch.rand(space.n, 2, dtype=F64)
    expected = Diffusion(space, per_cell)(NOW, u)

    class Heat(Form):
        def local(self, t: Tensor, x: Tensor, u: Tensor, grad: Tensor, p: Values) -> Local:
            return None, -p["kappa"][..., None] * grad

    for kappa in (per_cell, {"left": 2.0, "*": 3.0}, per_cell[:, None], per_cell[:, None].expand(-1, 2)):
        assert torch.allclose(Heat(space, kappa=kappa)(NOW, u), expected, atol=1e-13)
    smooth = Heat(space, kappa=lambda x, t: 1 + t + x[:, 0])
    linear = Heat(space, kappa=(2.0 + middle[:, 0]))  # a linear conductivity acts through its mean in each cell
    assert torch.allclose(smooth(torch.tensor(1.0, dtype=F64), u), linear(NOW, u), atol=1e-13)


def test_anisotropic_conductivity() -> None:
    space = space_of("triangles")
    tensor = torch.tensor([[2.0, 0.5], [0.5, 1.0]], dtype=F64)
    form = NonlinearDiffusion(space, lambda x, u, grad: tensor.expand(*u.shape[:-1], 2, 2), everywhere=True)
    u = torch.rand(space.n, 2, dtype=F64)
    assert torch.allclose(form(NOW, u), Diffusion(space, tensor[None])(NOW, u), atol=1e-13)


@pytest.mark.parametrize("where", [*SPACES, *MORE])
def test_what_flows_out_of_one_node_flows_into_others(where: str) -> None:
    """A form without source conserves: its sum over the nodes is zero whatever the state."""
    space = space_of(where)
    u = torch.rand(space.n, 1, dtype=F64)
    for form in (Burgers(space, 0.1), NonlinearDiffusion(space), PLaplacian(space)):
        f = form(NOW, u)
        assert float(f.sum().abs()) <= 1e-13 * float(f.abs().sum())


# on facets


class Radiation(Form):
    """-s (u^4 - 1) through a part of the boundary."""

    def local(self, t: Tensor, x: Tensor, u: Tensor, grad: Tensor, p: Values) -> Local:
        return -p["s"] * (u**4 - 1), None


class Film(Form):
    """A film that flows along the boundary: nothing in it is symmetric."""

    def local(self, t: Tensor, x: Tensor, u: Tensor, grad: Tensor, p: Values) -> Local:
        return u * grad[..., 0] * 0.5, x[..., None, :] * u[..., None] - grad


@pytest.mark.parametrize("where", [name for name in SPACES if name != "sphere"])
def test_forms_on_facets(where: str) -> None:
    space = space_of(where)
    u = state(space, Radiation(space, s=2.0))
    form = Radiation(space, where="boundary", s=lambda x, t: 1 + x[:, 0])
    constant = torch.full_like(u, 0.5)
    expected = Radiation(space, where="boundary", s=1.0)(NOW, constant)
    assert torch.allclose(expected, (1 - 0.5**4) * space.load(lambda x: torch.ones(len(x), dtype=F64), "boundary"))
    v = torch.randn(u.shape, dtype=F64)
    for each in (form, Film(space, where="boundary")):
        exact = torch.func.jvp(lambda w, each=each: each(NOW, w), (u,), (v,))[1]
        jacobian = each.linearise(NOW, u)
        assert isinstance(jacobian, Sparse) and jacobian.relation is space.edges
        assert torch.allclose(jacobian(v), exact, atol=1e-13)


def test_a_film_on_a_side_is_a_mesh_of_its_own() -> None:
    """Tangential diffusion along one side of the square is diffusion on the interval."""
    space = Space(rectangle(6, 4))
    bottom = space.nodes_of("bottom")
    x = space.pos[bottom, 0]
    f = NonlinearDiffusion(space, lambda u: torch.ones_like(u), where="bottom")(NOW, (space.pos[:, :1]) ** 2)
    line = Space(interval(6))
    order = torch.argsort(x)
    assert torch.allclose(f[bottom[order]], Diffusion(line)(NOW, line.pos**2), atol=1e-13)
    assert float(f.abs().sum()) == pytest.approx(float(f[bottom].abs().sum()))


# energies


ENERGIES: dict[str, Callable[[Space], Energy]] = {
    "allen-cahn": lambda space: AllenCahn(space, 0.01, 2.0),
    "p-laplacian": lambda space: PLaplacian(space, 3.0),
    "minimal-surface": MinimalSurface,
}


@pytest.mark.parametrize("name", ENERGIES)
def test_an_energy_and_its_descent(name: str) -> None:
    space = space_of("triangles")
    form = ENERGIES[name](space)
    batch = torch.rand(2, space.n, 1, dtype=F64, requires_grad=True)
    energy = form.energy(batch)
    assert energy.shape == (2,)
    (slope,) = torch.autograd.grad(energy.sum(), batch)
    assert torch.allclose(form(NOW, batch), -slope, atol=1e-13)


def test_energies_of_known_fields() -> None:
    space = Space(random_square(4, seed=1))
    plane = (space.pos @ torch.tensor([[3.0], [4.0]], dtype=F64)).to(F64)
    assert float(MinimalSurface(space).energy(plane)) == pytest.approx(26**0.5)
    assert float(PLaplacian(space, 4.0, 2.0, slope=0.0).energy(plane)) == pytest.approx(2 * 5**4 / 4)
    assert float(AllenCahn(space, 0.5, 4.0).energy(torch.zeros_like(plane))) == pytest.approx(1.0)
    assert float(AllenCahn(space, 2.0, 0.0).energy(plane)) == pytest.approx(25.0)


# derivatives by what goes in


def remainder_order(f: Callable[[Tensor], Tensor], at: Tensor, seed: int = 0) -> float:
    """Observed order of |f(z + h d) - f(z) - h f'(z) d| in h: 2 where the gradient is right."""
    d = torch.randn(at.shape, dtype=F64, generator=torch.Generator().manual_seed(seed))
    z = at.clone().requires_grad_()
    value = f(z)
    (slope,) = torch.autograd.grad(value, z)
    value = value.detach()
    # steps small beside the cells; the remainder stays well above the rounding of the values
    left = [float((f(at + h * d).detach() - value - h * (slope * d).sum()).abs()) for h in (4e-5, 2e-5)]
    return float(torch.log2(torch.tensor(left[0] / left[1])))


@pytest.mark.parametrize("where", ["triangles", "triangles, P2", "quadrilaterals", "tetrahedra"])
@pytest.mark.parametrize("name", FORM_BUILDERS)
def test_taylor_in_the_node_positions(name: str, where: str) -> None:
    skip_without_flow(name, where)
    if name == "convection" and where.startswith("triangles"):
        pytest.skip("an area times a gradient is linear in the positions: there is no remainder")
    mesh, element = SPACES[where][0](), SPACES[where][1]

    def functional(points: Tensor) -> Tensor:
        space = Space(mesh.with_points(points), None if element is None else element())
        form = FORM_BUILDERS[name](space)
        return (form(NOW, state(space, form)) * state(space, form, 5)).sum()

    assert remainder_order(functional, mesh.points) == pytest.approx(2, abs=0.1)


@pytest.mark.parametrize("name", ["allen-cahn", "p-laplacian", "burgers", "vector-burgers", "helmholtz"])
def test_taylor_in_the_coefficients(name: str) -> None:
    space = space_of("triangles")
    key = {"allen-cahn": "rate", "p-laplacian": "kappa", "helmholtz": "k"}.get(name, "nu")
    for shape in ((), (space.mesh.n_cells,)):

        def functional(z: Tensor) -> Tensor:
            form: Any = FORMS[name](space, **{key: 1 + z * z})  # squared: the forms are linear in most of them
            return (form(NOW, state(space, form)) * state(space, form, 5)).sum()

        assert remainder_order(functional, torch.full(shape, 0.7, dtype=F64)) == pytest.approx(2, abs=0.1)


def test_a_learned_coefficient_is_listed_and_differentiated() -> None:
    space = space_of("triangles")
    kappa = torch.nn.Parameter(torch.ones(space.mesh.n_cells, dtype=F64))
    form = PLaplacian(space, 3.0, kappa)
    assert any(w is kappa for w in form.tensors())
    assert dict(form.named_parameters())["kappa"] is kappa
    form(NOW, torch.rand(space.n, 1, dtype=F64)).square().sum().backward()
    assert kappa.grad is not None and bool((kappa.grad != 0).all())
    network = torch.nn.Sequential(torch.nn.Linear(1, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1)).double()
    learned = NonlinearDiffusion(space, network)
    assert len(learned.tensors()) == 4


def test_a_linear_form_keeps_its_operator_unless_it_is_learned() -> None:
    space = space_of("triangles")
    fixed = Helmholtz(space, 2.0)
    assert fixed.operator is fixed.operator
    k = torch.full((space.mesh.n_cells,), 2.0, dtype=F64, requires_grad=True)
    form, u = Helmholtz(space, k), torch.rand(space.n, 1, dtype=F64)
    slopes = [torch.autograd.grad(form(NOW, u).square().sum(), k)[0] for _ in range(2)]
    assert torch.equal(*slopes) and bool((slopes[0] != 0).all())
    with torch.no_grad():
        k += 1
    assert torch.allclose(form(NOW, u), Helmholtz(space, 3.0)(NOW, u), atol=1e-13)


def test_a_material_can_be_learned_more_than_once() -> None:
    mesh = random_square(3, seed=1)
    mesh = mesh.with_tags(core=mesh.make_tag(2, torch.arange(5)))
    space, inside = Space(mesh), torch.ones((), dtype=F64, requires_grad=True)
    form = PLaplacian(space, 3.0, {"core": inside, "*": 2.0})
    assert any(w is inside for w in form.tensors())
    u = torch.rand(space.n, 1, dtype=F64)
    slopes = [torch.autograd.grad(form(NOW, u).square().sum(), inside)[0] for _ in range(2)]
    assert torch.equal(*slopes) and float(slopes[0]) != 0


# refusals


class Wrong(Form):
    def local(self, t: Tensor, x: Tensor, u: Tensor, grad: Tensor, p: Values) -> Local:
        return u[..., 0], grad


class WrongFlux(Form):
    def local(self, t: Tensor, x: Tensor, u: Tensor, grad: Tensor, p: Values) -> Local:
        return u, u


class WrongEnergy(Energy):
    def density(self, t: Tensor, x: Tensor, u: Tensor, grad: Tensor, p: Values) -> Tensor:
        return u


def test_refusals() -> None:
    space = space_of("triangles")
    u = torch.rand(space.n, 1, dtype=F64)
    with pytest.raises(InputError, match="integrated over cells, got .*; build a Space"):
        Burgers(space.mesh)
    with pytest.raises(ShapeError, match="the source of Wrong has shape"):
        Wrong(space)(NOW, u)
    with pytest.raises(ShapeError, match="the flux of WrongFlux has shape"):
        WrongFlux(space)(NOW, u)
    with pytest.raises(ShapeError, match="the density of WrongEnergy has shape"):
        WrongEnergy(space).energy(u)
    with pytest.raises(NotImplementedError, match=r"Form does not define local\(t, x, u, grad, p\)"):
        Form(space)(NOW, u)
    with pytest.raises(NotImplementedError, match="Energy does not define density"):
        Energy(space)(NOW, u)
    with pytest.raises(ShapeError, match="nu has shape .*, expected one entry or one per cell: 18"):
        Burgers(space, torch.ones(5))
    with pytest.raises(InputError, match="nu is inf, expected a finite number"):
        Burgers(space, float("inf"))
    with pytest.raises(UnknownName, match="unknown set of cells .* 'iron'"):
        Burgers(space, {"iron": 1.0})
    with pytest.raises(InputError, match="s is given by sets of cells, a form on facets takes a number"):
        Radiation(space, where="boundary", s={"*": 1.0})
    with pytest.raises(UnknownName, match="has no named set 'lid'"):
        Radiation(space, where="lid", s=1.0)
    with pytest.raises(ConditionError, match="holds no facets"):
        Radiation(space, where=lambda x: x[:, 0] > 9, s=1.0)
    with pytest.raises(ShapeError, match="state has shape"):
        Burgers(space)(NOW, u[1:])
    with pytest.raises(ShapeError, match=r"VectorBurgers needs 2 channels \(u, v\), the state has 1"):
        FORMS["vector-burgers"](space)(NOW, u)
    with pytest.raises(InputError, match="direction has shape"):
        Burgers(space, direction=[1.0])
    with pytest.raises(InputError, match="expected an exponent > 1"):
        PLaplacian(space, 1.0)
    with pytest.raises(InputError, match="expected an exponent >= 1"):
        FORMS["porous-medium"](space, 0.5)
    with pytest.raises(UnknownName, match="unknown form 'p-laplace'; .*did you mean 'p-laplacian'"):
        FORMS["p-laplace"]


def test_a_form_that_is_assembled_once_refuses_time() -> None:
    space = Space(random_square(2, seed=1))
    with pytest.raises(ConditionError, match="k of Helmholtz changes in time, which a form that is assembled once"):
        _ = Helmholtz(space, lambda x, t: 1.0 + t + 0 * x[..., 0]).operator
