"""Every registered reaction, and what users give: equilibria, pointwise, derivatives, refusals."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from graphpde.core.jacobian import BlockDiagonal
from graphpde.errors import ShapeError, UnknownName
from graphpde.ops import REACTIONS, Reaction, System
from graphpde.ops.reaction import GrayScott

T0 = torch.tensor(0.0, dtype=torch.float64)
NAMES = list(REACTIONS)


def states(name: str, *shape: int) -> Tensor:
    return torch.rand(*shape, len(REACTIONS[name].channels), dtype=torch.float64)


@pytest.mark.parametrize("name", NAMES)
class TestContract:
    def test_equilibria_stand_still(self, name: str) -> None:
        reaction = REACTIONS[name]()
        equilibria = torch.tensor(reaction.equilibria(), dtype=torch.float64)
        assert len(equilibria) >= 1
        assert float(Reaction(reaction)(T0, equilibria).abs().max()) <= 1e-16

    def test_nodes_do_not_see_each_other(self, name: str) -> None:
        term = Reaction(REACTIONS[name]())
        u = states(name, 7)
        order = torch.randperm(7)
        assert torch.equal(term(T0, u[order]), term(T0, u)[order])
        assert torch.equal(torch.cat([term(T0, u[k : k + 1]) for k in range(7)]), term(T0, u))

    def test_batches(self, name: str) -> None:
        term = Reaction(REACTIONS[name]())
        u = states(name, 2, 3, 5)
        assert term(T0, u).shape == u.shape
        assert torch.equal(term(T0, u)[1, 2], term(T0, u[1, 2]))

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_type_of_the_state(self, name: str, dtype: torch.dtype) -> None:
        assert Reaction(REACTIONS[name]())(T0, states(name, 4).to(dtype)).dtype == dtype

    @pytest.mark.grad
    def test_derivatives(self, name: str) -> None:
        reaction = REACTIONS[name]()
        u = states(name, 3).requires_grad_()
        assert torch.autograd.gradcheck(reaction, u)
        assert torch.autograd.gradgradcheck(reaction, u)

    @pytest.mark.grad
    def test_linearised_by_finite_differences(self, name: str) -> None:
        term = Reaction(REACTIONS[name]())
        u = states(name, 2, 5)
        v = torch.randn_like(u)
        jacobian = term.linearise(T0, u)
        h = 1e-6
        slope = (term(T0, u + h * v) - term(T0, u - h * v)) / (2 * h)
        assert isinstance(jacobian, BlockDiagonal)
        assert torch.allclose(jacobian(v), slope, rtol=0, atol=1e-8)
        w = torch.randn_like(u)
        assert (jacobian(v) * w).sum().item() == pytest.approx((v * jacobian.transpose()(w)).sum().item(), rel=1e-12)

    def test_wrong_number_of_channels(self, name: str) -> None:
        """A reaction of several species refuses others; one of a single species acts on every channel alike."""
        reaction, count = REACTIONS[name](), len(REACTIONS[name].channels)
        for wrong in (1, count + 1):
            u = torch.rand(4, wrong, dtype=torch.float64)
            if count == 1:
                alone = torch.cat([reaction(u[:, k : k + 1]) for k in range(wrong)], 1)
                assert torch.equal(reaction(u), alone)
            else:
                with pytest.raises(ShapeError, match=f"{name} needs {count} channels, the state has {wrong}"):
                    Reaction(reaction)(T0, u)

    def test_label_names_it(self, name: str) -> None:
        assert Reaction(REACTIONS[name]()).label == f"Reaction({REACTIONS[name].__name__})"

    def test_a_rate_without_domain(self, name: str) -> None:
        term = Reaction(REACTIONS[name]())
        u = states(name, 3)
        assert term.domain is None and term.mass is None
        assert torch.equal(term.rate(T0, u), term(T0, u))


def test_unknown_reaction() -> None:
    with pytest.raises(UnknownName, match="unknown reaction 'gray scott'; known: .*; did you mean 'gray-scott'"):
        REACTIONS["gray scott"]


@pytest.mark.parametrize(("feed", "kill", "count"), [(0.037, 0.06, 1), (0.04, 0.05, 3), (0.06, 0.0625, 1)])
def test_gray_scott_equilibria(feed: float, kill: float, count: int) -> None:
    reaction = GrayScott(feed, kill)
    equilibria = torch.tensor(reaction.equilibria(), dtype=torch.float64)
    assert len(equilibria) == count
    assert float(reaction(equilibria).abs().max()) <= 1e-16


def test_gray_scott_at_a_point() -> None:
    rate = GrayScott(0.5, 0.25)(torch.tensor([[0.5, 2.0]], dtype=torch.float64))
    assert rate.tolist() == [[0.25 - 2.0, 2.0 - 1.5]]


def test_decay_and_logistic_at_a_point() -> None:
    u = torch.tensor([[0.5, 2.0]], dtype=torch.float64)
    assert REACTIONS["decay"](3.0)(u).tolist() == [[-1.5, -6.0]]
    assert REACTIONS["logistic"](2.0)(u).tolist() == [[0.5, -4.0]]


def test_given_function_and_time() -> None:
    u = torch.rand(3, 2, dtype=torch.float64)
    assert torch.equal(Reaction(lambda u: u**2)(T0, u), u**2)
    assert torch.equal(Reaction(lambda t, u: t * u, timed=True)(T0 + 2, u), 2 * u)


def test_function_that_ignores_the_state_has_a_zero_jacobian() -> None:
    u = torch.rand(3, 2, dtype=torch.float64)
    assert torch.equal(Reaction(torch.ones_like).linearise(T0, u)(u), torch.zeros_like(u))


def test_coupled_channels_keep_their_order() -> None:
    """u' = (u2^2, u1): the Jacobian is [[0, 2 u2], [1, 0]]."""
    u = torch.tensor([[3.0, 5.0]], dtype=torch.float64)
    jacobian = Reaction(lambda u: torch.stack([u[..., 1] ** 2, u[..., 0]], -1)).linearise(T0, u)
    assert isinstance(jacobian, BlockDiagonal)
    assert jacobian.blocks.tolist() == [[[0.0, 10.0], [1.0, 0.0]]]


@pytest.mark.parametrize("f", [lambda u: u[..., :1], lambda u: u.sum(), lambda u: u[:2]])
def test_wrong_shape(f: object) -> None:
    with pytest.raises(ShapeError, match=r"the reaction returned shape .*, expected that of the state: \[3, 2\]"):
        Reaction(f)(T0, torch.rand(3, 2))


def test_learned_reaction() -> None:
    network = torch.nn.Linear(2, 2, dtype=torch.float64)
    term = Reaction(network)
    assert list(term.tensors()) == list(network.parameters())
    System(term, None, T0).rate(T0, torch.rand(3, 2, dtype=torch.float64)).sum().backward()
    assert network.weight.grad is not None
