"""Displacements and the field that swells them: solved one after the other, as by one factorisation."""

from __future__ import annotations

import pytest
import torch

from graphpde.core.linear_operator import as_matrix
from graphpde.mesh import Space, box, rectangle
from graphpde.ops import Dirichlet, System
from graphpde.ops.elasticity import Elasticity, ThermoElasticity
from graphpde.solve import LinearSolver
from graphpde.solve.one_way import OneWay, is_one_way

F64 = torch.float64


def operator(dim: int, absolute: float):
    """M + L of a body of steel in SI units, one side held and of given temperature."""
    space = Space(rectangle(6, 6) if dim == 2 else box(3, 3, 3), "p2")
    body = Elasticity(space, 2e11, 0.3, expansion=1e-5)
    f = System(ThermoElasticity(body, 60.0, 3.4e6, absolute) + Dirichlet("left", 0.0), None, torch.zeros((), dtype=F64))
    return f.pin(as_matrix(f.mass) - as_matrix(f.operator) * 100.0), space


@pytest.mark.parametrize("dim", [2, 3])
@pytest.mark.parametrize("absolute", [0.0, 300.0])
@pytest.mark.parametrize("transposed", [False, True])
def test_it_is_what_a_factorisation_gives(dim: int, absolute: float, transposed: bool) -> None:
    a, space = operator(dim, absolute)
    assert is_one_way(a)
    warm = 100 * torch.rand(space.n, 1, generator=torch.Generator().manual_seed(1), dtype=F64)
    x = torch.cat([1e-4 * space.pos, warm], 1)
    x[space.tag("left").nodes] = 0.0
    b = (a.transpose() if transposed else a).matvec(x)
    found = LinearSolver(a, method="gmres").solve(b, transposed=transposed)
    assert found.iterations <= (2 if absolute == 0 else 12)
    for k in range(dim + 1):
        assert float((found.value - x)[:, k].norm() / x[:, k].norm()) <= 1e-6
    if absolute == 0:
        z = OneWay(a, 1e-10, transposed=transposed)(b.reshape(-1, 1)).reshape(x.shape)
        assert torch.allclose(z, x, rtol=1e-7, atol=1e-9)


def test_others_are_left_alone() -> None:
    space = Space(rectangle(2, 2), "p2")
    assert not is_one_way(as_matrix(Elasticity(space, 1.0, 0.3).operator))
