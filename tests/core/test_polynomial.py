"""u + sum_j c_j A^j v as one node of autograd: its value, every derivative, and the steps that are made of it."""

import pytest
import torch

from graphpde import Graph, Relation, evolve
from graphpde.core.linear_operator import LinearOperator, Sparse
from graphpde.core.polynomial import polynomial
from graphpde.ops.weighted_diffusion import HeldRate, WeightedDiffusion

N, E = 7, 20
C = (0.5, -0.3, 0.2, 0.1)


def given(*shape, channels=None):
    rng = torch.Generator().manual_seed(3)
    src, dst = torch.randint(N, (2, E), generator=rng)
    relation = Relation.from_edges(src, dst, N, N)
    extra = () if channels is None else (channels,)
    w, d = (torch.randn(k, *extra, generator=rng, dtype=torch.float64).requires_grad_() for k in (E, N))
    u, v = (torch.randn(*shape, generator=rng, dtype=torch.float64).requires_grad_() for _ in range(2))
    return relation, w, d, u, v


@pytest.mark.parametrize("shape", [(N, 3), (2, N, 3)])
@pytest.mark.parametrize("channels", [None, 3])
def test_the_value_is_that_of_the_powers(shape, channels):
    relation, w, d, u, v = given(*shape, channels=channels)
    y, _, powers = polynomial(relation.sides, (w, d), u, v, C)
    matrix, power, want = Sparse(relation, w, d), v, u
    for c, kept in zip(C, powers, strict=True):
        torch.testing.assert_close(kept, power.detach())
        want = want + c * power
        power = matrix(power)
    torch.testing.assert_close(y, want)
    plain, *_ = LinearOperator.polynomial(matrix, u, v, C)
    torch.testing.assert_close(y, plain)


@pytest.mark.grad
@pytest.mark.parametrize("shape", [(N, 2), (2, N, 2)])
@pytest.mark.parametrize("channels", [None, 2])
def test_first_and_second_derivatives(shape, channels):
    relation, *tensors = given(*shape, channels=channels)
    for slope in (False, True):
        f = lambda w, d, *x, slope=slope: polynomial(relation.sides, (w, d), *x, C, slope=slope)[: 1 + slope]  # noqa: E731
        assert torch.autograd.gradcheck(f, tensors)
        assert torch.autograd.gradgradcheck(f, tensors)


@pytest.mark.grad
@pytest.mark.parametrize("count", [1, 4])
def test_the_slope_at_the_new_state(count):
    relation, w, d, u, v = given(N, 2)
    matrix = Sparse(relation, w, d)
    for known in ((), matrix.powers(v.detach(), count + 1)):
        y, slope, _ = matrix.polynomial(u, v, C[:count], slope=True, known=[p.detach() for p in known])
        want = v + matrix(y - u)
        torch.testing.assert_close(slope, want)
        plain = LinearOperator.polynomial(matrix, u, v, C[:count], slope=True, known=known)
        torch.testing.assert_close(plain.slope, want)
        ours, theirs, alone = (
            torch.autograd.grad((z**2).sum(), (w, d, u, v), retain_graph=True, materialize_grads=True)
            for z in (slope, want, plain.slope)
        )
        for a, b, c in zip(ours, theirs, alone, strict=True):
            torch.testing.assert_close(a, b)
            torch.testing.assert_close(c, b)


@pytest.mark.grad
def test_forward_mode_agrees_with_reverse_mode():
    relation, w, d, u, v = given(N, 2)
    f = lambda v: polynomial(relation.sides, (w, d), u, v, C)[0]  # noqa: E731
    direction = torch.randn_like(v)
    _, along = torch.func.jvp(f, (v,), (direction,))
    back = torch.autograd.grad(f(v), v, along)[0]
    torch.testing.assert_close((along * along).sum(), (back * direction).sum())


@pytest.mark.parametrize("stepper", ["euler", "midpoint", "heun", "ralston", "bosh3", "rk4", "dopri5", "tsit5"])
def test_a_step_of_a_linear_system_is_the_step_stage_by_stage(stepper):
    relation, w, _, u, v = given(N, 2)
    f = WeightedDiffusion(Graph(relation), w, decay=0.3) + HeldRate(v)
    one = evolve(f, u, [0.0, 0.4], stepper=stepper, dt=0.1)
    stages = evolve(lambda t, x: f(t, x), u, [0.0, 0.4], stepper=stepper, dt=0.1)
    torch.testing.assert_close(one.final, stages.final, rtol=1e-13, atol=1e-13)
    assert one.statistics == stages.statistics
    gradients = (torch.autograd.grad((path.final**2).sum(), (w, u, v), retain_graph=True) for path in (one, stages))
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-12)


def test_the_error_estimate_is_the_same():
    from graphpde.dynamics import STEPPERS
    from graphpde.ops import System

    relation, w, _, u, v = given(N, 2)
    f = WeightedDiffusion(Graph(relation), w) + HeldRate(v)
    t = torch.zeros((), dtype=torch.float64)
    for name in ("heun", "ralston", "bosh3", "dopri5", "tsit5"):
        steps = [STEPPERS[name]().step(System(g, None, t), t, 0.3, u, None) for g in (f, lambda t, x: f(t, x))]
        a, b = (step.error().detach() for step in steps)
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-13)
