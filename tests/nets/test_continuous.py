"""Convolutions on points: symmetries, sums that vanish, permutations, batches, derivatives."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from graphpde.core.close_pairs import Box, close_pairs
from graphpde.core.incidence import Incidence
from graphpde.errors import InputError, ShapeError
from graphpde.nets import ContinuousConv
from graphpde.nets.continuous import BASES
from graphpde.ops.smoothing import Smoothing

WAYS = [(basis, symmetry) for basis in BASES for symmetry in (None, "even", "odd")]
DOUBLE = {"dtype": torch.float64}


def cloud(n: int = 40, d: int = 2, seed: int = 0) -> Tensor:
    return torch.rand(n, d, generator=torch.Generator().manual_seed(seed), **DOUBLE)


def neighbours(q: Tensor, reach: float = 0.3) -> tuple[Incidence, Tensor]:
    """In a periodic box of side 1."""
    box = Box([1.0] * q.shape[1])
    edges = Incidence.of_pairs(*close_pairs(q, reach, box=box), len(q))
    return edges, box.nearest(edges.difference(q))


def layer(basis: str = "fourier", symmetry: str | None = None, d: int = 2, window: Smoothing | None = None):
    torch.manual_seed(1)
    return ContinuousConv(3, 2, d, 0.3, size=5, basis=basis, symmetry=symmetry, window=window).double()


@pytest.mark.parametrize(("basis", "symmetry"), WAYS)
@pytest.mark.parametrize("d", [1, 2, 3])
def test_layers_are_sums_over_neighbours(basis: str, symmetry: str | None, d: int) -> None:
    net, q, x = layer(basis, symmetry, d), cloud(15, d), torch.randn(15, 3, **DOUBLE)
    edges, apart = neighbours(q)
    offset = q[None] - q[:, None]
    offset = offset - torch.round(offset)
    near = offset.norm(dim=-1) <= 0.3
    weights = net.functions(offset)[..., None] * x[None, :, None]
    if symmetry == "odd":
        weights = net.functions(offset)[..., None] * 0.5 * (x[None] + x[:, None])[:, :, None]
    wanted = torch.where(near[..., None], weights.flatten(-2) @ net.weight.t(), 0.0).sum(1)
    assert torch.allclose(net(edges, apart, x), wanted, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("basis", BASES)
def test_functions_have_their_symmetry(basis: str) -> None:
    y = 0.6 * cloud() - 0.3
    for symmetry, sign in (("even", 1), ("odd", -1)):
        net = layer(basis, symmetry)
        assert torch.allclose(net.functions(-y), sign * net.functions(y), rtol=1e-13, atol=1e-14)
        assert float(net.functions(y).abs().max()) > 0.1


@pytest.mark.parametrize("basis", BASES)
def test_odd_layers_give_and_take(basis: str) -> None:
    net, x = layer(basis, "odd"), torch.randn(40, 3, **DOUBLE)
    y = net(*neighbours(cloud()), x).detach()
    assert float(y.sum(0).abs().max()) < 1e-13 * float(y.abs().sum())
    other = layer(basis)(*neighbours(cloud()), x).detach()
    assert float(other.sum(0).abs().max()) > 1e-3


def test_nodes_may_be_renumbered() -> None:
    q, x, order = cloud(), torch.randn(40, 3, **DOUBLE), torch.randperm(40)
    for symmetry in (None, "even", "odd"):
        net = layer(symmetry=symmetry)
        assert torch.allclose(net(*neighbours(q[order]), x[order]), net(*neighbours(q), x)[order], atol=1e-12)


@pytest.mark.parametrize("symmetry", [None, "even", "odd"])
def test_a_batch_is_its_members(symmetry: str | None) -> None:
    net, (edges, apart) = layer(symmetry=symmetry), neighbours(cloud())
    x, aside = torch.randn(2, 40, 3, **DOUBLE), torch.stack([apart, 0.9 * apart])
    for given in (apart, aside):
        each = [net(edges, given if given is apart else given[k], x[k]) for k in range(2)]
        assert torch.allclose(net(edges, given, x), torch.stack(each), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(("basis", "symmetry"), [("fourier", "odd"), ("fourier", None), ("rbf", "even")])
def test_derivatives_by_differences(basis: str, symmetry: str | None) -> None:
    net, q = layer(basis, symmetry, 2, Smoothing(0.3, 2)), cloud(8)
    edges, apart = neighbours(q)
    x = torch.randn(8, 3, **DOUBLE, requires_grad=True)

    def found(apart: Tensor, x: Tensor, weight: Tensor) -> Tensor:
        return torch.func.functional_call(net, {"weight": weight}, (edges, apart, x))

    assert torch.autograd.gradcheck(found, (apart.requires_grad_(), x, net.weight))


@pytest.mark.parametrize(("basis", "symmetry"), WAYS)
def test_pairs_beyond_the_reach_change_nothing(basis: str, symmetry: str | None) -> None:
    net, q, x = layer(basis, symmetry), cloud(), torch.randn(40, 3, **DOUBLE)
    assert torch.allclose(net(*neighbours(q), x), net(*neighbours(q, 0.45), x), rtol=1e-12, atol=1e-13)


def test_windows_end_smoothly() -> None:
    net = layer(window=Smoothing(0.3, 2))
    ends = torch.tensor([[0.3, 0.0], [0.0, -0.299999]], **DOUBLE)
    assert float(net.functions(ends).abs().max()) < 1e-9


def test_bad_input() -> None:
    for options, says in (
        ({"basis": "haar"}, "basis='haar', expected one of: linear, rbf, fourier"),
        ({"symmetry": "both"}, "symmetry='both', expected None, 'even' or 'odd'"),
        ({"size": 1}, "size is 1, expected a whole number >= 2"),
    ):
        with pytest.raises(InputError, match=says):
            ContinuousConv(1, 1, 2, 0.3, **options)
    with pytest.raises(InputError, match="reach is -1"):
        ContinuousConv(1, 1, 2, -1.0)
    net, (edges, apart) = layer(), neighbours(cloud())
    with pytest.raises(ShapeError, match=r"x has shape \[40, 2\], expected \[\*, 40, 3\]"):
        net(edges, apart, torch.ones(40, 2, **DOUBLE))
    with pytest.raises(ShapeError, match="apart has shape"):
        net(edges, apart[:-1], torch.ones(40, 3, **DOUBLE))
