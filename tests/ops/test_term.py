"""The algebra of terms: sums, multiples, conditions, domains, moves."""

from __future__ import annotations

from typing import Any

import networkx as nx
import pytest
import torch
from torch import Tensor

from graphpde.core.jacobian import Action
from graphpde.errors import InputError
from graphpde.mesh import Space, random_square
from graphpde.ops import Advection, Diffusion, Dirichlet, LinearTerm, Neumann, Reaction, Source, Sum, System, Term
from graphpde.ops.boundary import Condition

T0 = torch.tensor(0.0, dtype=torch.float64)
SPACE = Space(random_square(3, seed=1))
CONSISTENT = Space(random_square(3, seed=1), lumped=False)


def cubic(u: Tensor) -> Tensor:
    return u - u**3


def two(space: Space = SPACE) -> tuple[Term, Term]:
    return Diffusion(space, 0.3), Reaction(cubic)


def state(channels: int = 1) -> Tensor:
    return torch.randn(SPACE.n, channels, dtype=torch.float64)


class TestAlgebra:
    @pytest.mark.parametrize("space", [SPACE, CONSISTENT], ids=["lumped", "consistent"])
    def test_multiples_distribute(self, space: Space) -> None:
        a, b = two(space)
        u = state(2)
        for left in ((a + b) * 2, 2 * (a + b), 2 * a + 2 * b, a * 2 + b * 2, a + b + a + b, b + a + (b + a)):
            assert torch.allclose(left(T0, u), 2 * (a + b)(T0, u), rtol=1e-14, atol=1e-15)
            assert torch.allclose(left.rate(T0, u), 2 * (a.rate(T0, u) + b.rate(T0, u)), rtol=1e-8, atol=1e-8)

    def test_differences(self) -> None:
        a, b = two()
        u = state()
        assert torch.allclose((a - b)(T0, u), (a + (-1.0) * b)(T0, u))
        assert float((a - a)(T0, u).abs().max()) == 0
        assert torch.equal((-a)(T0, u), -a(T0, u))

    def test_rates_meet_the_common_mass(self) -> None:
        a, b = two()
        u = state()
        assert torch.allclose((a + b)(T0, u), a(T0, u) + SPACE.measure[:, None] * cubic(u), rtol=1e-14, atol=1e-16)
        assert torch.equal((b * 1.0)(T0, u), cubic(u))  # without a domain it stays a rate

    def test_built_in_sum(self) -> None:
        a, b = two()
        u = state()
        total = sum([a, b, Dirichlet("left", 1.0)])
        assert isinstance(total, Sum) and len(total.parts) == 2 and len(total.conditions) == 1
        assert torch.equal(total(T0, u), (a + b)(T0, u))

    def test_callables_are_rates(self) -> None:
        u = state()
        total = Diffusion(SPACE) + (lambda t, u: 3 * u)
        expected = Diffusion(SPACE)(T0, u) + SPACE.measure[:, None] * 3 * u
        assert torch.allclose(total(T0, u), expected, rtol=1e-14, atol=1e-16)

    def test_scaling_leaves_conditions_alone(self) -> None:
        condition, inflow = Dirichlet("left", 4.0), Neumann("right", 5.0)
        total = 0.1 * (Diffusion(SPACE) + condition + inflow)
        assert total.conditions == (condition, inflow)
        system = System(total, None, T0)
        assert system.fixed is not None
        assert float(system.fixed.value(T0, state()).max()) == 4.0
        assert float(system.load(T0, state()).sum()) == pytest.approx(5.0)
        assert abs(system.operator.to_scipy() - 0.1 * Diffusion(SPACE).operator.to_scipy()).max() <= 1e-15

    def test_conditions_add_from_the_left(self) -> None:
        assert System(Dirichlet("left", 1.0) + Diffusion(SPACE), None, T0).fixed is not None

    def test_sums_do_not_change_their_summands(self) -> None:
        a, b = two()
        first = a + b
        _ = first + b, first * 3
        assert [factor for factor, _ in first.parts] == [1.0, 1.0]
        assert [factor for factor, _ in (first * 3 + b).parts] == [3.0, 3.0, 1.0]

    def test_factors_that_are_learned(self) -> None:
        factor = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
        a, b = two()
        u = state()
        total = 2.0 * (factor * a + b)
        assert [w is factor for w in total.tensors()] == [True]
        for _ in range(2):  # the second time with another factor
            factor.grad = None
            value = total(T0, u)
            assert torch.allclose(value, 2 * (factor.item() * a + b)(T0, u), rtol=1e-14, atol=1e-15)
            (value**2).sum().backward()
            assert float(factor.grad) == pytest.approx(4 * float((value * a(T0, u)).sum().detach()), rel=1e-12)
            with torch.no_grad():
                factor += 1.0

    def test_labels(self) -> None:
        a, b = two()
        assert (a + b).label == "Diffusion + Reaction(cubic)"
        assert Sum([]).label == "nothing"

    def test_linearised_by_finite_differences(self) -> None:
        a, b = two()
        u, v = state(2), state(2)
        total = 0.5 * a + b
        jacobian = total.linearise(T0, u)
        slope = (total(T0, u + 1e-6 * v) - total(T0, u - 1e-6 * v)) / 2e-6
        assert isinstance(jacobian, Action)
        assert torch.allclose(jacobian(v), slope, rtol=0, atol=1e-8)
        w = state(2)
        assert (jacobian(v) * w).sum().item() == pytest.approx((v * jacobian.transpose()(w)).sum().item(), rel=1e-11)


class TestRefusals:
    def test_two_domains(self) -> None:
        other = Space(random_square(4, seed=1))
        with pytest.raises(InputError, match="terms live on two domains, .*25|terms live on two domains, Space"):
            Diffusion(SPACE) + Source(other, 1.0)
        with pytest.raises(InputError, match="terms live on two domains, .*; build them on one"):
            Diffusion(SPACE) + Reaction(cubic) + Diffusion(nx.path_graph(3))

    @pytest.mark.parametrize("thing", [3, 0.0, "heat", None, [1]])
    def test_wrong_summand(self, thing: Any) -> None:
        with pytest.raises(InputError, match=f"got {type(thing).__name__}, expected a Term, a condition or a callable"):
            Diffusion(SPACE) + thing

    def test_abstract_parts(self) -> None:
        with pytest.raises(NotImplementedError, match=r"Term does not define forward\(t, u\)"):
            Term()(T0, state())
        with pytest.raises(NotImplementedError, match=r"Condition does not define bind\(domain\)"):
            Condition().bind(SPACE)


class TestLinearTerms:
    def test_nothing_is_zero(self) -> None:
        u = state()
        assert torch.equal(LinearTerm()(T0, u), torch.zeros_like(u))
        assert torch.equal(Sum([])(T0, u), torch.zeros_like(u))

    def test_jacobian_is_the_operator(self) -> None:
        term = Diffusion(SPACE)
        assert term.linearise(T0, state()) is term.operator

    def test_jacobian_of_a_load_is_zero(self) -> None:
        u = state()
        assert torch.equal(Source(SPACE, 2.0).linearise(T0, u)(u), torch.zeros_like(u))

    def test_rate_divides_by_the_mass(self) -> None:
        u = state()
        lumped, consistent = Diffusion(SPACE), Diffusion(CONSISTENT)
        assert torch.equal(lumped.rate(T0, u), lumped(T0, u) / SPACE.measure[:, None])
        assert torch.allclose(CONSISTENT.consistent_mass(consistent.rate(T0, u)), consistent(T0, u), atol=1e-8)


class TestMoves:
    @pytest.mark.parametrize(
        "make",
        [
            lambda s: Diffusion(s, 0.3),
            lambda s: Diffusion(s, torch.rand(s.mesh.n_cells, dtype=torch.float64), conservative=True),
            lambda s: Advection(s, torch.tensor([1.0, 0.5], dtype=torch.float64)),
            lambda s: Advection(s, lambda x: x),
            lambda s: Source(s, 2.0),
            lambda s: Source(s, lambda x, t: x[:, 0] + t),
            lambda s: Source(s, torch.rand(s.n, 1, dtype=torch.float64)),
        ],
    )
    def test_structures_move_along(self, make: Any) -> None:
        space = Space(random_square(3, seed=1))
        u = torch.rand(space.n, 1, dtype=torch.float64)
        term = make(space)
        expected = term(T0, u)
        single = term.to(torch.float32)
        found = single(T0.float(), u.float())
        assert single is term and term.domain.dtype == torch.float32
        assert found.dtype == torch.float32
        assert torch.allclose(found.double(), expected, rtol=0, atol=1e-5 * float(expected.abs().max()))

    def test_sums_move_and_still_share_one_domain(self) -> None:
        space = Space(random_square(3, seed=1))
        factor = torch.tensor(0.5, dtype=torch.float64)
        total = factor * Diffusion(space) + Source(space, 1.0) + Reaction(cubic) + Dirichlet("left", 1.0)
        total = total.to(torch.float32)
        assert total.domain.dtype == torch.float32
        assert {id(term.domain) for _, term in total.parts if term.domain is not None} == {id(total.domain)}
        assert [f.dtype for f, _ in total.parts if isinstance(f, Tensor)] == [torch.float32]
        system = System(total, None, T0)
        assert system.rate(T0, torch.rand(space.n, 1)).dtype == torch.float32


def test_tensors_lists_what_is_learned() -> None:
    kappa = torch.rand(SPACE.mesh.n_cells, dtype=torch.float64, requires_grad=True)
    f = torch.rand(SPACE.n, 1, dtype=torch.float64, requires_grad=True)
    network = torch.nn.Linear(1, 1, dtype=torch.float64)
    total = Diffusion(SPACE, kappa) + 2.0 * Source(SPACE, f) + Reaction(network)
    assert {id(w) for w in total.tensors()} == {id(w) for w in (kappa, f, *network.parameters())}
    assert (Diffusion(SPACE) + Source(SPACE, 1.0)).tensors() == ()
