"""Systems: what steppers are given: merged operators, loads, rates with every mass, fixed nodes, blame."""

from __future__ import annotations

from typing import Any

import networkx as nx
import numpy as np
import pytest
import torch
from torch import Tensor

from graphpde.core.jacobian import BlockDiagonal
from graphpde.core.linear_operator import LinearOperator, Sparse
from graphpde.errors import InputError, ShapeError
from graphpde.mesh import Space, random_square
from graphpde.ops import Advection, Diffusion, Dirichlet, Neumann, Reaction, Source, System, Term
from graphpde.ops.system import mass_operator

T0 = torch.tensor(0.0, dtype=torch.float64)
SPACES = {
    "lumped": Space(random_square(4, seed=1)),
    "consistent": Space(random_square(4, seed=1), lumped=False),
}
LUMPED = SPACES["lumped"]
WIND = torch.tensor([1.0, 0.4], dtype=torch.float64)


def state(channels: int = 1) -> Tensor:
    return torch.randn(LUMPED.n, channels, dtype=torch.float64)


def cubic(u: Tensor) -> Tensor:
    return u - u**3


class Drag(Term):
    """A nonlinear weak form of its own: -m |u| u."""

    def __init__(self, space: Space):
        super().__init__()
        self.domain = space

    def forward(self, t: Tensor, u: Tensor) -> Tensor:
        return -self.domain.measure[:, None] * u.abs() * u


def everything(space: Space) -> Any:
    return (
        2.0 * Diffusion(space, 0.3)
        + Advection(space, WIND)
        + 3.0 * Source(space, lambda x, t: x[:, 0] * torch.cos(t))
        + 0.5 * Reaction(cubic)
        + Drag(space)
        + Neumann("right", lambda x, t: 1 + t)
    )


def dense_mass(space: Space) -> Tensor:
    if space.lumped:
        return torch.diag(space.measure)
    return torch.from_numpy(space.consistent_mass.to_scipy().toarray())


@pytest.mark.parametrize("mass", SPACES)
class TestParts:
    def test_one_operator(self, mass: str) -> None:
        space = SPACES[mass]
        operator = System(everything(space), None, T0).operator
        expected = 2 * Diffusion(space, 0.3).operator.to_scipy() + Advection(space, WIND).operator.to_scipy()
        assert isinstance(operator, Sparse)  # one product a step, however many terms
        assert abs(operator.to_scipy() - expected).max() <= 1e-15

    def test_load(self, mass: str) -> None:
        space = SPACES[mass]
        t = T0 + 0.7
        found = System(everything(space), None, T0).load(t, state())
        source = space.load(lambda x: x[:, :1])
        inflow = space.load(lambda x: torch.ones(len(x), 1, dtype=x.dtype), "right")
        assert torch.allclose(found, 3 * np.cos(0.7) * source + 1.7 * inflow, rtol=1e-13, atol=1e-16)

    def test_rest(self, mass: str) -> None:
        space, u = SPACES[mass], state()
        found = System(everything(space), None, T0).rest(T0, u)
        expected = 0.5 * dense_mass(space) @ cubic(u) - space.measure[:, None] * u.abs() * u
        assert torch.allclose(found, expected, rtol=1e-13, atol=1e-16)

    def test_weak_form_is_the_sum(self, mass: str) -> None:
        space, u = SPACES[mass], state(2)
        system = System(everything(space), None, T0)
        parts = system.operator(u) + system.load(T0, u) + system.rest(T0, u)
        assert torch.allclose(system(T0, u), parts, rtol=1e-14, atol=1e-16)

    def test_rate_solves_with_the_mass(self, mass: str) -> None:
        space, u = SPACES[mass], state(2)
        system = System(everything(space), None, T0)
        assert torch.allclose(dense_mass(space) @ system.rate(T0, u), system(T0, u), rtol=0, atol=1e-12)

    def test_fixed_nodes_move_as_told_and_drag_the_others(self, mass: str) -> None:
        space, u = SPACES[mass], state()
        total = everything(space) + Dirichlet("left", lambda x, t: torch.sin(2 * t) * (1 + x[:, 1]))
        system = System(total, None, T0)
        rate = system.rate(T0, u)
        left = space.tag("left").nodes
        free = torch.from_numpy(np.setdiff1d(np.arange(space.n), left.numpy()))
        assert torch.allclose(rate[left, 0], 2 * (1 + space.pos[left, 1]), rtol=1e-12)
        # the free rows hold as they stand, with the true rate of every node
        assert torch.allclose((dense_mass(space) @ rate)[free], system(T0, u)[free], rtol=0, atol=1e-12)

    def test_reset_puts_the_values(self, mass: str) -> None:
        space, u = SPACES[mass], state(2)
        system = System(Diffusion(space) + Dirichlet("left", lambda x, t: t), None, T0)
        found = system.reset(T0 + 3, u)
        left = space.tag("left").nodes
        assert bool((found[left] == 3).all())
        found[left] = u[left]
        assert torch.equal(found, u)

    @pytest.mark.grad
    def test_linearised_by_finite_differences(self, mass: str) -> None:
        space, u, v = SPACES[mass], state(2), state(2)
        system = System(everything(space), None, T0)
        jacobian = system.linearise(T0, u)
        slope = (system(T0, u + 1e-6 * v) - system(T0, u - 1e-6 * v)) / 2e-6
        assert torch.allclose(jacobian(v), slope, rtol=0, atol=1e-8)
        w = state(2)
        assert (jacobian(v) * w).sum().item() == pytest.approx((v * jacobian.transpose()(w)).sum().item(), rel=1e-10)

    def test_pinned_operator_eliminates_rows_and_columns(self, mass: str) -> None:
        space = SPACES[mass]
        system = System(Diffusion(space) + Dirichlet("left", 1.0), None, T0)
        pinned = system.pin(system.operator).to_scipy().toarray()
        full = system.operator.to_scipy().toarray()
        left = space.tag("left").nodes.numpy()
        free = np.setdiff1d(np.arange(space.n), left)
        assert np.array_equal(pinned[np.ix_(left, left)], np.eye(len(left)))
        assert np.array_equal(pinned[np.ix_(free, free)], full[np.ix_(free, free)])
        assert not pinned[np.ix_(left, free)].any() and not pinned[np.ix_(free, left)].any()

    def test_mass_as_an_operator(self, mass: str) -> None:
        u = state()
        found = mass_operator(System(Diffusion(SPACES[mass]), None, T0).mass, u)
        assert isinstance(found, LinearOperator)
        assert torch.allclose(found(u), dense_mass(SPACES[mass]) @ u, rtol=1e-13, atol=1e-16)


def test_mass_of_a_rate_is_the_identity() -> None:
    u = state()
    system = System(Reaction(cubic), None, T0)
    assert system.mass is None
    assert torch.equal(mass_operator(system.mass, u)(u), u)
    assert isinstance(system.linearise(T0, u), BlockDiagonal)


def test_rates_alone_spare_the_mass() -> None:
    u = state()
    for domain in SPACES.values():
        system = System(2.0 * Reaction(cubic) + Reaction(lambda u: u), domain, T0)
        assert torch.allclose(system.rate(T0, u), 2 * cubic(u) + u, rtol=1e-15, atol=1e-15)


def test_factors_by_channel() -> None:
    u = state(2)
    factor = torch.tensor([2.0, -1.0], dtype=torch.float64)
    assert torch.equal(System(factor * Reaction(cubic), None, T0).rate(T0, u), cubic(u) * factor)
    spread = System(factor * Diffusion(LUMPED), None, T0)
    assert torch.allclose(spread(T0, u), Diffusion(LUMPED)(T0, u) * factor, rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("name", SPACES)
def test_what_is_kept_from_inference_serves_gradients(name: str) -> None:
    space, u = SPACES[name], state(2)
    factor = torch.tensor([2.0, 3.0], dtype=torch.float64)
    for term in (factor * Diffusion(space), Diffusion(space) + Dirichlet("left", 1.0)):
        system = System(term, None, T0)
        with torch.inference_mode():
            inferred = system.rate(T0, u)
        v = u.clone().requires_grad_()
        rate = system.rate(T0, v)
        assert torch.equal(rate.detach(), inferred)
        fresh = System(term, None, T0)
        gradients = [torch.autograd.grad(r.square().sum(), v)[0] for r in (rate, fresh.rate(T0, v))]
        assert torch.equal(*gradients) and float(gradients[0].abs().max()) > 0


def test_jacobians_and_moving_values_in_inference_mode() -> None:
    """Derivatives that a step needs do not vanish where autograd is off altogether."""
    terms = Diffusion(LUMPED) + Reaction(cubic) + Dirichlet("left", lambda x, t: torch.sin(3 * t))
    u, when = state(), torch.tensor(0.3, dtype=torch.float64)
    system = System(terms, None, T0)
    with torch.no_grad():
        wanted = system.rate(when, u), system.linearise(when, u)(u)
    with torch.inference_mode():
        found = system.rate(when.clone(), u.clone()), system.linearise(when.clone(), u.clone())(u)
    assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))


def test_nothing_stands_still() -> None:
    u = state()
    system = System(0, LUMPED, T0)
    assert system.operator is None and system.load(T0, u) is None and system.rest(T0, u) is None
    assert torch.equal(system(T0, u), torch.zeros_like(u)) and torch.equal(system.rate(T0, u), torch.zeros_like(u))
    assert system.label == "nothing" and system.blame((T0,), u, 0) == "nothing"
    assert torch.equal(system.linearise(T0, u)(u), torch.zeros_like(u))


def test_nonlinear() -> None:
    assert not System(Diffusion(LUMPED) + Source(LUMPED, 1.0), None, T0).nonlinear
    assert System(Diffusion(LUMPED) + Reaction(cubic), None, T0).nonlinear
    assert System(Drag(LUMPED), None, T0).nonlinear


def test_a_callable_is_a_system() -> None:
    def spiral(t: Tensor, u: Tensor) -> Tensor:
        return t * u

    u = state()
    system = System(spiral, None, T0)
    assert system.label == "spiral" and torch.equal(system.rate(T0 + 2, u), 2 * u)


def test_own_domain_wins() -> None:
    assert System(Diffusion(LUMPED), SPACES["consistent"], T0).domain is LUMPED
    assert System(Reaction(cubic), LUMPED, T0).domain is LUMPED


# freezing for a step


class Lagged(Reaction):
    """Multiplies with the state at the start of the step."""

    def __init__(self, frozen: Tensor | None = None):
        super().__init__(lambda u: u * (u if frozen is None else frozen))

    def at(self, t: Tensor, u: Tensor) -> Lagged:
        return Lagged(u)


def test_terms_are_frozen_for_the_step() -> None:
    u, later = state(), state()
    fixed = Dirichlet("left", 1.0)
    system = System(Diffusion(LUMPED) + 2.0 * Lagged() + fixed, None, T0)
    frozen = system.at(T0, u)
    expected = System(Diffusion(LUMPED) + 2.0 * Reaction(lambda v: v * u) + fixed, None, T0)
    assert torch.allclose(frozen.rate(T0, later), expected.rate(T0, later), rtol=1e-14)
    assert frozen.fixed is system.fixed
    plain = System(Diffusion(LUMPED) + Reaction(cubic), None, T0)
    assert plain.at(T0, u) is plain


# messages


def test_blame_names_the_largest_rate_at_the_node() -> None:
    u = state()
    u[3] = 50.0
    system = System(Diffusion(LUMPED, 1e-6) + Reaction(cubic) + Source(LUMPED, 1.0), None, T0)
    assert system.blame((T0,), u, 3) == "Reaction(cubic)"
    u[3], u[:3], u[4:] = 0.0, 0.0, 0.0
    assert system.blame((T0,), u, 3) == "source"
    assert System(1e9 * Diffusion(LUMPED) + Reaction(cubic), None, T0).blame((T0,), state(), 3) == "Diffusion"


def test_blame_finds_what_is_not_finite() -> None:
    def root(u: Tensor) -> Tensor:
        return u.sqrt()

    u = torch.full((LUMPED.n, 1), 1e6, dtype=torch.float64)
    u[5] = -1.0
    system = System(1e9 * Reaction(cubic) + Reaction(root), None, T0)
    assert system.blame((T0,), u, 5) == "Reaction(root)"
    assert system.blame((T0,), u, 4) == "Reaction(cubic)"


def test_blame_looks_at_both_ends_of_the_step() -> None:
    late = Source(LUMPED, lambda x, t: torch.where(t < 1, 0 * t, 1e9 * t))
    system = System(Reaction(cubic) + late, None, T0)
    u = torch.full((LUMPED.n, 1), 2.0, dtype=torch.float64)
    assert system.blame((T0, T0 + 0.5), u, 0) == "Reaction(cubic)"
    assert system.blame((T0, T0 + 1.5), u, 0) == "source"


def test_blame_names_a_condition_that_is_not_finite() -> None:
    system = System(Diffusion(LUMPED) + Dirichlet("left", lambda x, t: torch.sqrt(1 - t)), None, T0)
    assert system.blame((T0, T0 + 0.5), state(), 0) == "Diffusion"
    assert system.blame((T0, T0 + 1.5), state(), 0) == "Dirichlet on 'left'"


def test_label_lists_the_terms() -> None:
    label = System(everything(LUMPED), None, T0).label
    assert label == "Diffusion + Advection + source + inflow on 'right' + Reaction(cubic) + Drag"


# refusals


@pytest.mark.parametrize("shape", [(24, 1), (25,), (1, 25), (25, 25, 1, 3)])
def test_state_of_the_wrong_shape(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match=r"the state has shape .*, expected \[\*, \d+, c\]: one row per node of Space"):
        System(Diffusion(LUMPED), None, T0).check_state(torch.zeros(shape))


def test_channels_of_the_coefficients() -> None:
    system = System(Diffusion(LUMPED, torch.tensor([[1.0, 2.0]])), None, T0)
    system.check_state(state(2))
    with pytest.raises(ShapeError, match="the coefficients have 2 channels, the state has 3"):
        system.check_state(state(3))


def test_state_on_another_device() -> None:
    with pytest.raises(InputError, match="the state is on meta and .* on cpu; move one of them"):
        System(Diffusion(LUMPED), None, T0).check_state(torch.zeros(LUMPED.n, 1, device="meta"))


def test_conditions_on_graphs() -> None:
    path = nx.path_graph(4)
    system = System(Diffusion(path) + Dirichlet([0], 1.0) + Dirichlet([3], lambda x, t: 2 * t), None, T0)
    u = torch.zeros(4, 1, dtype=torch.float64)
    assert system.reset(T0 + 1, u)[:, 0].tolist() == [1.0, 0.0, 0.0, 2.0]
    assert system.rate(T0, system.reset(T0, u))[:, 0].tolist() == [0.0, 1.0, 0.0, 2.0]
