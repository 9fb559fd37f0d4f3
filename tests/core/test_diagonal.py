"""An operator's diagonal added in the same pass as its sum over edges."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from graphpde.core import kernels
from graphpde.core.linear_operator import Sparse
from graphpde.core.relation import Relation
from graphpde.errors import ShapeError

pytestmark = pytest.mark.grad
SQUARE = Relation.from_edges([0, 1, 2, 2, 1], [1, 0, 1, 2, 1], 3, 3)
SHAPES = [  # of the weights, the diagonal and the values
    ((5,), (3,), (3, 2)),
    ((5, 2), (3, 2), (3, 2)),
    ((5,), (3, 2), (4, 3, 2)),
    ((5, 2), (3,), (2, 3, 2)),
    ((5,), (3,), (2, 2, 3, 1)),
    ((5,), (3, 1), (3, 17)),
]


@pytest.fixture(params=kernels.available())
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    with kernels.use(request.param):
        yield request.param


def apart(w: Tensor, d: Tensor, x: Tensor) -> Tensor:
    return SQUARE.propagate(x, weight=w) + (d[:, None] if d.dim() == 1 else d) * x


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("shapes", SHAPES)
def test_one_pass_equals_two_with_and_without_gradients(shapes: tuple[tuple[int, ...], ...]) -> None:
    w, d, x = (torch.randn(*s, dtype=torch.float64) for s in shapes)
    torch.testing.assert_close(Sparse(SQUARE, w, d).matvec(x), apart(w, d, x))
    learned = [t.clone().requires_grad_() for t in (w, d, x)]
    found = Sparse(SQUARE, *learned[:2]).matvec(learned[2])
    assert torch.equal(found, Sparse(SQUARE, w, d).matvec(x))  # asking for gradients changes no bit
    mine = torch.autograd.grad(found.square().sum(), learned)
    theirs = torch.autograd.grad(apart(*learned).square().sum(), learned)
    torch.testing.assert_close(mine, theirs)


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("shapes", SHAPES[:4])
def test_derivatives(shapes: tuple[tuple[int, ...], ...]) -> None:
    inputs = tuple(torch.randn(*s, dtype=torch.float64, requires_grad=True) for s in shapes)

    def product(w: Tensor, d: Tensor, x: Tensor) -> Tensor:
        return Sparse(SQUARE, w, d).matvec(x)

    assert torch.autograd.gradcheck(product, inputs, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(product, inputs)
    many = torch.stack([inputs[2], 2 * inputs[2]])
    torch.testing.assert_close(torch.vmap(lambda x: product(*inputs[:2], x))(many)[1], 2 * product(*inputs))


def test_values_that_do_not_fit_are_refused() -> None:
    matrix = Sparse(SQUARE, torch.ones(5), torch.ones(3, 2))
    with pytest.raises(ShapeError, match=r"x has shape \[4, 2\], expected \[\*, 3, c\]"):
        matrix.matvec(torch.ones(4, 2))
    with pytest.raises(ShapeError, match="x has 3 channels, the operator is made for 2"):
        matrix.matvec(torch.ones(3, 3))
