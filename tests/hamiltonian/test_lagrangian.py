"""Lagrangian systems: known motions, products instead of matrices, derivatives, and friction on edges."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from graphpde.core.incidence import Incidence
from graphpde.dynamics import evolve
from graphpde.errors import InputError, ShapeError, SolveError
from graphpde.hamiltonian import EdgeFriction, Lagrangian, MassMatrix, Particles, double_pendulum, pendulum, springs

START = torch.tensor(0.0, dtype=torch.float64)
G = 9.81


def state(n: int, c: int, seed: int = 0) -> Tensor:
    return torch.randn(n, c, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def chain(n: int) -> Incidence:
    return Incidence.of_pairs(torch.arange(n - 1), torch.arange(1, n), n)


def two_links(q: Tensor, v: Tensor) -> Tensor:
    """A double pendulum in its angles, masses and lengths 1: one node with two channels."""
    (a, b), (va, vb) = q.unbind(-1), v.unbind(-1)
    kinetic = va.square() + 0.5 * vb.square() + va * vb * torch.cos(a - b)
    return kinetic + G * (2 * torch.cos(a) + torch.cos(b))


def test_a_double_pendulum_in_its_angles_is_that_of_rigid_links() -> None:
    term, u = double_pendulum((1.0, 1.6))
    angles = torch.tensor([[1.0, 1.6, 0.0, 0.0]], dtype=torch.float64)
    final = evolve(Lagrangian(two_links), angles, [0.0, 1.0], stepper="rk4", dt=0.002).final
    q = evolve(term, u, [0.0, 1.0], stepper="rattle", dt=0.0005).final[:, :2]
    links = q.diff(dim=0)
    found = torch.atan2(links[:, 0], -links[:, 1])
    assert torch.allclose(found, final[0, :2], atol=2e-5)


def test_accelerations_with_a_matrix_of_masses_and_gyroscopic_terms() -> None:
    """L = v.M(q)v/2 + A(q).v - V(q) against its equations written out, d = 2."""

    def lagrangian(q: Tensor, v: Tensor) -> Tensor:
        m = 1 + q[..., :1].square()
        return (0.5 * m * v.square()).sum(-1) + q[..., 0] * v[..., 1] - q[..., 1].pow(4) / 4

    u = state(3, 4)
    q, v = u[:, :2], u[:, 2:]
    m, slope = 1 + q[:, 0] ** 2, 2 * q[:, 0]
    x = (0.5 * slope * v.square().sum(1) + v[:, 1] - slope * v[:, 0] ** 2) / m
    y = (-(q[:, 1] ** 3) - v[:, 0] - slope * v[:, 0] * v[:, 1]) / m
    for method in ("dense", "cg"):
        found = Lagrangian(lagrangian, method=method)(START, u)
        assert torch.allclose(found, torch.cat([v, torch.stack([x, y], 1)], 1), atol=1e-9)


def coupled(n: int, k: Tensor):
    """A chain whose mass matrix couples neighbours: masses that slide on one another."""
    edges = chain(n)

    def lagrangian(q: Tensor, v: Tensor) -> Tensor:
        inertia = 0.5 * v.square().sum() + 0.3 * ((1 + q.square().mean()) * edges.difference(v).square()).sum()
        return inertia - 0.5 * k * edges.difference(q).square().sum() - torch.cos(q).sum()

    return lagrangian


def test_products_solve_as_a_matrix_does() -> None:
    k = torch.tensor(1.5, dtype=torch.float64)
    u = state(40, 4)
    one, two = (Lagrangian(coupled(40, k), method=method)(START, u) for method in ("dense", "cg"))
    assert torch.allclose(one, two, atol=1e-9)
    run = evolve(Lagrangian(coupled(40, k), method="cg"), u, [0.0, 0.5], stepper="rk4", dt=0.01)
    energy = Lagrangian(coupled(40, k)).energy
    assert float((energy(run.final) - energy(u)).abs()) < 1e-7 * float(energy(u).abs())


@pytest.mark.parametrize("method", ("dense", "cg"))
def test_gradients_of_accelerations(method: str) -> None:
    k = torch.tensor(1.5, dtype=torch.float64, requires_grad=True)
    u = state(4, 2).requires_grad_()
    assert torch.autograd.gradcheck(lambda u, k: Lagrangian(coupled(4, k), method=method, rtol=1e-13)(START, u), (u, k))
    term = Lagrangian(coupled(4, k), method=method)
    wanted = term(START, u).detach()
    for quiet in (torch.no_grad(), torch.inference_mode()):
        with quiet:
            found = term(START, u)
            assert not found.requires_grad
            assert torch.allclose(found, wanted, atol=1e-12)


def test_a_learned_mass_matrix_keeps_its_own_energy() -> None:
    """Untrained, periodic in the angles, for a batch of states as for each."""
    torch.manual_seed(0)
    net = MassMatrix(2, hidden=16).double()
    term = Lagrangian(net)
    u = torch.tensor([[[0.3, -0.2, 0.5, 0.1]], [[1.0, 0.4, -0.3, 0.2]]], dtype=torch.float64)
    with torch.no_grad():
        run = evolve(term, u, [0.0, 1.0], stepper="rk4", dt=0.02).final
        alone = [evolve(term, one, [0.0, 1.0], stepper="rk4", dt=0.02).final for one in u]
    assert torch.allclose(term.energy(run), term.energy(u), atol=1e-7)
    for before, each, after, one in zip(u, term.energy(u), run, alone, strict=True):
        assert float(term.energy(before)) == pytest.approx(float(each), abs=1e-14)
        assert torch.allclose(one, after, atol=1e-10)
    away = u + torch.tensor([6 * torch.pi, -2 * torch.pi, 0, 0])
    assert torch.allclose(term(START, away)[..., 2:], term(START, u)[..., 2:], atol=1e-5)
    assert all(
        g is not None for g in torch.autograd.grad(term(START, u).sum(), list(net.parameters()), allow_unused=True)[:6]
    )


def test_what_has_no_masses_is_refused() -> None:
    u = state(2, 2)
    with pytest.raises(SolveError, match="no second derivative by the velocities"):
        Lagrangian(lambda q, v: v.sum() + q.square().sum())(START, u)
    for method in ("dense", "cg"):
        with pytest.raises(SolveError):
            Lagrangian(lambda q, v: (q**2 * v).sum() - q.square().sum(), method=method)(START, u)
    with pytest.raises(InputError, match="depends neither on"):
        Lagrangian(lambda q, v: torch.ones(()))(START, u)
    with pytest.raises(InputError, match="method='lu', expected one of: auto, dense, cg"):
        Lagrangian(two_links, method="lu")
    with pytest.raises(ShapeError, match=r"expected \[2, '\.\.\.'\]: values of each state of the batch"):
        Lagrangian(lambda q, v: v.square().sum()).energy(torch.zeros(2, 1, 4, dtype=torch.float64))
    with pytest.raises(InputError, match="take method='dense' for a batch"):
        Lagrangian(two_links, method="cg")(START, torch.zeros(2, 1, 4, dtype=torch.float64))


# friction on edges


def test_friction_on_edges_takes_energy_and_leaves_momentum() -> None:
    system, u = springs(6)
    assert system.edges is not None
    rub = torch.linspace(0.1, 0.5, 6, dtype=torch.float64)
    f = system + EdgeFriction(system.edges, rub, system.masses)
    run = evolve(f, u, torch.linspace(0, 3, 301), stepper="rk4", dt=0.01)
    energy = system.energy(run.states)
    assert bool((energy.diff() < 0).all())
    rates = (rub[:, None] * system.edges.difference(run.states[..., 2:]).square()).sum((1, 2))
    assert float(energy[0] - energy[-1]) == pytest.approx(float(torch.trapezoid(rates, run.times)), rel=1e-4)
    assert torch.allclose(system.momentum(run.final), system.momentum(u), atol=1e-14)


def test_friction_refuses_what_makes_no_sense() -> None:
    edges, mass = chain(3), torch.ones(3)
    with pytest.raises(InputError, match="strength reaches -1"):
        EdgeFriction(edges, -1.0, mass)
    with pytest.raises(ShapeError, match=r"strength has shape \[3\], expected a number or \[2\]"):
        EdgeFriction(edges, torch.ones(3), mass)
    with pytest.raises(ShapeError, match="mass has shape"):
        EdgeFriction(edges, 1.0, torch.ones(2))
    assert isinstance(pendulum().system, Particles)
