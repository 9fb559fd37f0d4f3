"""Derivatives of derivatives through solves: Hessians against differences, and Taylor's theorem to the third order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from graphpde.core import Relation
from graphpde.core.block_operator import BlockSparse
from graphpde.core.jacobian import Action, BlockDiagonal
from graphpde.core.linear_operator import Diagonal, Sparse
from graphpde.dynamics import BackwardEuler, CrankNicolson, evolve, steady
from graphpde.dynamics.stepper import Stepper
from graphpde.errors import InputError
from graphpde.mesh import Mesh, Space, rectangle
from graphpde.ops import Diffusion, Dirichlet, Reaction, Source
from graphpde.ops.forms import PLaplacian
from graphpde.solve.implicit_gradient import implicit
from graphpde.solve.linear import LinearSolver

F64 = torch.float64
N = 5


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=F64, generator=torch.Generator().manual_seed(seed))


def ring() -> Relation:
    k = torch.arange(N)
    return Relation.from_edges(torch.cat([k, (k + 1) % N]), torch.cat([(k + 1) % N, k]), N, N)


def given(*shape: int, seed: int = 0, shift: float = 0.0) -> Tensor:
    return (draw(*shape, seed=seed) * 0.3 + shift).requires_grad_()


@pytest.mark.grad
@pytest.mark.parametrize("method", ["direct", "gmres"])
def test_hessians_by_every_entry_of_a_matrix_and_the_load(method: str) -> None:
    relation = ring()

    def f(w: Tensor, d: Tensor, b: Tensor) -> Tensor:
        return LinearSolver(Sparse(relation, w, d), method=method, rtol=1e-14)(b)

    inputs = given(2 * N), given(N, shift=3.0), given(N, 2)
    # a Krylov method starts from its last answers, which shows in the last digits
    assert torch.autograd.gradgradcheck(f, inputs, nondet_tol=1e-11)
    assert torch.autograd.gradcheck(lambda *x: _third(f, *x), inputs, nondet_tol=1e-10)


def _third(f: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
    slopes = torch.autograd.grad(f(*inputs).pow(3).sum(), inputs, create_graph=True)
    again = torch.autograd.grad(sum(s.square().sum() for s in slopes), inputs, create_graph=True)
    return torch.cat([s.reshape(-1) for s in again])


@pytest.mark.grad
def test_hessians_where_the_diagonal_is_made_of_the_weights() -> None:
    """Rows that sum to zero: the diagonal is a function of the weights, which must not count twice."""
    k = torch.arange(N)
    relation, half = ring(), torch.stack([k, (k + 1) % N])

    def f(w: Tensor, b: Tensor) -> Tensor:
        src, dst = relation.pairs()
        ends = [{a, z} for a, z in half.T.tolist()]
        pair = [ends.index({a, z}) for a, z in zip(src.tolist(), dst.tolist(), strict=True)]
        a = Sparse.laplacian(relation, w.exp()[pair], symmetric=True) * -1.0 + Diagonal(torch.ones(N, dtype=F64))
        return LinearSolver(a)(b)

    inputs = given(N), given(N, 1)
    assert torch.autograd.gradcheck(f, inputs) and torch.autograd.gradgradcheck(f, inputs)


@pytest.mark.grad
def test_hessians_of_blocks_batches_and_maps_known_by_their_action() -> None:
    relation = ring()

    def blocks(w: Tensor, d: Tensor, b: Tensor) -> Tensor:
        return LinearSolver(BlockSparse(relation, w, d), method="direct")(b)

    eye = torch.eye(2, dtype=F64)
    inputs = given(2 * N, 2, 2), (3 * eye + 0.3 * draw(N, 2, 2)).requires_grad_(), given(3, N, 2)
    assert torch.autograd.gradgradcheck(blocks, inputs)
    at_nodes = lambda d, b: LinearSolver(BlockDiagonal(d), rtol=1e-14)(b)  # noqa: E731
    assert torch.autograd.gradgradcheck(at_nodes, inputs[1:])

    base = 4 * torch.eye(N, dtype=F64)

    def action(m: Tensor, b: Tensor) -> Tensor:
        return LinearSolver(Action(N, lambda x: (base + m) @ x, lambda x: (base + m).T @ x), rtol=1e-14)(b)

    assert torch.autograd.gradcheck(action, (given(N, N), given(N, 1)))
    assert torch.autograd.gradgradcheck(action, (given(N, N), given(N, 1)))


@pytest.mark.grad
def test_the_root_of_a_cubic() -> None:
    """u^3 = p: du/dp = 1 / (3 u^2) and d^2u/dp^2 = -2 / (9 u^5); the third derivative is refused."""
    p = torch.tensor([[8.0], [27.0]], dtype=F64, requires_grad=True)
    root = torch.tensor([[2.0], [3.0]], dtype=F64)
    u = implicit(root, lambda u: p - u**3, lambda b, transposed: b / (3 * root**2))
    (slope,) = torch.autograd.grad(u.sum(), p, create_graph=True)
    torch.testing.assert_close(slope, 1 / (3 * root**2))
    (bend,) = torch.autograd.grad(slope.sum(), p, create_graph=True)
    torch.testing.assert_close(bend, -2 / (9 * root**5))
    with pytest.raises(InputError, match="other equations the first two"):
        torch.autograd.grad(bend.sum(), p)


def solves_of(monkeypatch: pytest.MonkeyPatch, loss: Callable[[Tensor], Tensor], kappa: Tensor) -> list[str]:
    """Which solves a gradient and then a Hessian-vector product take."""
    seen: list[str] = []
    plain = LinearSolver.solve

    def counted(self: Any, b: Tensor, *, transposed: bool = False, **more: Any) -> Any:
        seen.append("A^T" if transposed else "A")
        return plain(self, b, transposed=transposed, **more)

    value = loss(kappa)
    monkeypatch.setattr(LinearSolver, "solve", counted)
    (slope,) = torch.autograd.grad(value, kappa, create_graph=True)
    seen.append("|")
    torch.autograd.grad(slope, kappa, draw(*kappa.shape))
    return seen


def test_a_hessian_times_a_vector_takes_one_solve_and_one_adjoint_solve(monkeypatch: pytest.MonkeyPatch) -> None:
    space = Space(rectangle(4, 4))

    def loss(kappa: Tensor) -> Tensor:
        heat = Diffusion(space, kappa) + Source(space, 1.0) + Dirichlet("left", 0.0)
        return steady(heat, torch.zeros(space.n, 1, dtype=F64)).value.square().sum()

    kappa = torch.ones(space.mesh.n_cells, dtype=F64, requires_grad=True)
    assert solves_of(monkeypatch, loss, kappa) == ["A^T", "|", "A", "A^T"]


# whole problems: the remainder of Taylor's series in a random direction


def remainders(loss: Callable[[Tensor], Tensor], x: Tensor, *, size: float = 1.0, seed: int = 3) -> Tensor:
    """Observed orders [2] of the remainder after the gradient, and after the Hessian."""
    x = x.detach().requires_grad_()
    direction = size * draw(*x.shape, seed=seed)
    value = loss(x)
    (slope,) = torch.autograd.grad(value, x, create_graph=True)
    first = (slope * direction).sum()
    (bend,) = torch.autograd.grad(first, x)
    second = 0.5 * (bend * direction).sum()
    rest = []
    for h in (1e-2, 5e-3):
        with torch.no_grad():
            change = loss(x + h * direction) - value
        rest.append(torch.stack([change - h * first, change - h * first - h**2 * second]).detach().abs())
    return torch.log2(rest[0] / rest[1])


def plate(points: Tensor | None = None) -> Space:
    mesh = rectangle(5, 4)
    return Space(mesh if points is None else Mesh(points, mesh.cells, tags=mesh.tags))


CUBIC = Reaction(lambda u: u - u**3)


def problem(learn: str, kind: str) -> tuple[Callable[[Tensor], Tensor], Tensor]:
    """A misfit as a function of something learned, and a point."""
    space = plate()
    goal = draw(space.n, 1, seed=7)
    start = {
        "coefficient": 1 + 0.3 * draw(space.mesh.n_cells).tanh(),
        "source": draw(space.n, 1),
        "boundary value": torch.tensor([0.7], dtype=F64),
        "initial state": draw(space.n, 1),
        "node positions": space.mesh.points + 0.01 * draw(space.n, 2),
        "reaction": torch.tensor([0.8], dtype=F64),
    }[learn]

    def loss(x: Tensor) -> Tensor:
        on = plate(x) if learn == "node positions" else space
        total = Diffusion(on, x if learn == "coefficient" else 0.5) + Source(on, x if learn == "source" else 1.0)
        total = total + Dirichlet("left", x if learn == "boundary value" else 0.5)
        if learn == "reaction":
            total = total + Reaction(lambda u: x * u * (1 - u))
        elif kind.startswith("nonlinear"):
            total = total + CUBIC
        u0 = x if learn == "initial state" else torch.zeros(on.n, 1, dtype=F64)
        if kind.endswith("steady"):
            u = steady(total, u0, rtol=1e-14).value
        else:
            stepper: Stepper = CrankNicolson() if kind.endswith("trapezoidal") else BackwardEuler()
            u = evolve(total, u0, [0.0, 0.1], stepper=stepper, dt=0.05).final
        return (u - goal).square().sum()

    return loss, start


@pytest.mark.grad
@pytest.mark.parametrize("kind", ["steady", "nonlinear steady", "euler", "trapezoidal", "nonlinear trapezoidal"])
@pytest.mark.parametrize(
    "learn", ["coefficient", "source", "boundary value", "initial state", "node positions", "reaction"]
)
def test_taylor_remainders_are_of_order_two_and_three(learn: str, kind: str) -> None:
    if learn == "initial state" and kind.endswith("steady"):
        pytest.skip("a steady state forgets where it came from")
    loss, x = problem(learn, kind)
    size = {"node positions": 0.1, "coefficient": 0.5, "initial state": 3.0, "reaction": 5.0}.get(learn, 1.0)
    if learn in ("source", "boundary value", "initial state") and not kind.startswith("nonlinear"):
        # a quadratic function: nothing is left after its Hessian
        x = x.requires_grad_()
        v = draw(*x.shape)
        (slope,) = torch.autograd.grad(loss(x), x, create_graph=True)
        (bend,) = torch.autograd.grad((slope * v).sum(), x)
        with torch.no_grad():
            left = loss(x + v) - loss(x) - (slope * v).sum() - 0.5 * (bend * v).sum()
        assert abs(float(left)) <= 1e-9 * float(loss(x).detach())
        return
    first, second = remainders(loss, x, size=size).tolist()
    assert first == pytest.approx(2, abs=0.15) and second == pytest.approx(3, abs=0.15)


@pytest.mark.grad
@pytest.mark.parametrize("settled", [True, False], ids=["steady", "in time"])
def test_forms_that_differentiate_their_energy_have_second_derivatives(settled: bool) -> None:
    """Their residual is made of transforms of torch.func, which do not go together with forgetting and repeating it."""
    space = plate()
    goal = draw(space.n, 1, seed=7)

    def loss(x: Tensor) -> Tensor:
        total = PLaplacian(space, 3.0) + Source(space, x) + Dirichlet("left", 0.5)
        u0 = torch.zeros(space.n, 1, dtype=F64)
        if settled:
            return (steady(total, u0, rtol=1e-13).value - goal).square().sum()
        return (evolve(total, u0, [0.0, 0.1], stepper=BackwardEuler(), dt=0.05).final - goal).square().sum()

    found = remainders(loss, 1 + 0.2 * draw(space.n, 1), size=1.0 if settled else 2.0)
    assert found.tolist() == pytest.approx([2, 3], abs=0.15)
    assert torch._C._autograd._saved_tensors_hooks_is_enabled()
