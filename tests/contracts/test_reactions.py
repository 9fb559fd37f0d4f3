"""Every registered reaction: equilibria, pointwise action, derivatives, channels and types."""

from __future__ import annotations

import inspect
import math

import pytest
import torch
from torch import Tensor, nn

from graphpde.dynamics import BackwardEuler, Rk4, evolve
from graphpde.errors import InputError, ShapeError
from graphpde.ops import REACTIONS, Reaction

START = torch.tensor(0.0, dtype=torch.float64)


def made(name: str) -> tuple[nn.Module, int]:
    """The reaction with its defaults, and its number of channels."""
    reaction = REACTIONS[name]()
    return reaction, len(reaction.channels)


def state(channels: int, *lead: int) -> Tensor:
    return torch.rand(*lead, channels, dtype=torch.float64) + 0.1


@pytest.mark.parametrize("name", REACTIONS)
class TestEveryReaction:
    def test_declares_channels_and_equilibria(self, name: str) -> None:
        reaction, c = made(name)
        assert c >= 1 and len(set(reaction.channels)) == c
        assert all(isinstance(channel, str) for channel in reaction.channels)
        assert reaction.equilibria() and all(len(point) == c for point in reaction.equilibria())
        assert "Reference:" in (type(reaction).__doc__ or "") or name == "decay"

    def test_declares_its_constants(self, name: str) -> None:
        """What the constructor takes is what the table says, in that order, and the defaults lie in their ranges."""
        reaction, _ = made(name)
        known = inspect.signature(type(reaction)).parameters
        assert list(known) == list(reaction.constants) and len(reaction.numbers()) == len(known)
        for key, constant in reaction.constants.items():
            assert constant.meaning and constant.unit and known[key].default == getattr(reaction, key)
            if constant.low > -math.inf:
                with pytest.raises(InputError, match=f"{key} = .* {'>' if constant.above else '>='} {constant.low:g}"):
                    type(reaction)(**{key: constant.low - 1.0})

    def test_equilibria_have_no_rate_and_stay(self, name: str) -> None:
        reaction, _ = made(name)
        for point in reaction.equilibria():
            u = torch.tensor([point], dtype=torch.float64)
            assert float(reaction(u).abs().max()) <= 1e-15 * (1 + float(u.abs().max())) ** 2  # rounding of products
            for stepper in (Rk4(), BackwardEuler()):
                assert torch.allclose(evolve(Reaction(reaction), u, [0.0, 0.1], stepper=stepper).final, u, atol=1e-14)

    def test_something_happens_elsewhere(self, name: str) -> None:
        reaction, c = made(name)
        assert float(reaction(state(c, 8)).abs().min()) > 1e-6

    def test_permutation_of_nodes(self, name: str) -> None:
        reaction, c = made(name)
        u, order = state(c, 20), torch.randperm(20)
        assert torch.equal(reaction(u[order]), reaction(u)[order])

    def test_a_node_sees_only_itself(self, name: str) -> None:
        reaction, c = made(name)
        u = state(c, 5)
        other = u.clone()
        other[3] += 1.0
        changed = (reaction(u) != reaction(other)).any(1)
        assert changed.tolist() == [False, False, False, True, False]

    def test_a_batch_is_its_parts(self, name: str) -> None:
        reaction, c = made(name)
        u = state(c, 2, 3, 7)
        together = reaction(u)
        assert together.shape == u.shape
        assert torch.equal(together[1, 2], reaction(u[1, 2]))

    @pytest.mark.grad
    def test_derivatives(self, name: str) -> None:
        reaction, c = made(name)
        u = state(c, 4).requires_grad_()
        assert torch.autograd.gradcheck(reaction, (u,))
        assert torch.autograd.gradgradcheck(reaction, (u,))

    @pytest.mark.parametrize("lead", [(), (3,)])
    def test_the_jacobian_is_one_block_a_node(self, name: str, lead: tuple[int, ...]) -> None:
        reaction, c = made(name)
        u, v = state(c, *lead, 4), state(c, *lead, 4)
        jacobian = Reaction(reaction).linearise(START, u)
        full = torch.func.jvp(reaction, (u,), (v,))[1]
        assert torch.allclose(jacobian.matvec(v), full, rtol=1e-13)
        w = state(c, *lead, 4)
        assert torch.allclose((jacobian.transpose().matvec(w) * v).sum(), (w * full).sum(), rtol=1e-13)

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_types_are_kept(self, name: str, dtype: torch.dtype) -> None:
        reaction, c = made(name)
        assert reaction(state(c, 4).to(dtype)).dtype == dtype

    def test_no_nodes(self, name: str) -> None:
        reaction, c = made(name)
        assert reaction(torch.zeros(0, c)).shape == (0, c)

    def test_other_channels(self, name: str) -> None:
        """A reaction of several species refuses other counts; one of a single species acts on each channel."""
        reaction, c = made(name)
        if c > 1:
            with pytest.raises(ShapeError, match=f"needs {c} channels .*, the state has {c + 1}"):
                reaction(state(c + 1, 4))
            return
        u = state(3, 4)
        assert torch.equal(reaction(u), torch.cat([reaction(u[:, k : k + 1]) for k in range(3)], 1))

    def test_messages_name_it(self, name: str) -> None:
        reaction, _ = made(name)
        assert Reaction(reaction).label == f"Reaction({type(reaction).__name__})"


def test_gray_scott_has_three_equilibria_only_where_the_discriminant_allows() -> None:
    assert len(REACTIONS["gray-scott"](feed=0.06, kill=0.06).equilibria()) == 3
    few = REACTIONS["gray-scott"](feed=0.037, kill=0.06)
    assert len(few.equilibria()) == (3 if 0.037 > 4 * 0.097**2 else 1)
    for point in REACTIONS["gray-scott"](feed=0.06, kill=0.06).equilibria():
        u = torch.tensor([point], dtype=torch.float64)
        assert float(REACTIONS["gray-scott"](feed=0.06, kill=0.06)(u).abs().max()) <= 1e-15


def test_gray_scott_against_its_equations() -> None:
    u, v, feed, kill = 0.6, 0.25, 0.03, 0.055
    found = REACTIONS["gray-scott"](feed=feed, kill=kill)(torch.tensor([[u, v]], dtype=torch.float64))
    expected = [-u * v**2 + feed * (1 - u), u * v**2 - (feed + kill) * v]
    assert found[0].tolist() == pytest.approx(expected, rel=1e-14)


def test_decay_and_logistic_against_their_solutions() -> None:
    u0 = torch.tensor([[0.2]], dtype=torch.float64)
    for name, exact in (
        ("decay", lambda t: 0.2 * torch.exp(-1.5 * t)),
        ("logistic", lambda t: 0.2 / (0.2 + 0.8 * torch.exp(-1.5 * t))),
    ):
        run = evolve(Reaction(REACTIONS[name](rate=1.5)), u0, [0.0, 1.0, 2.0], stepper=Rk4(), dt=0.01)
        assert torch.allclose(run.states[:, 0, 0], exact(run.times), rtol=1e-8)
