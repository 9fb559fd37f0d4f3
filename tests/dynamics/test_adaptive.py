"""Step control: tolerances are met, saved times are hit, bad steps are taken back, and hopeless ones are named."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from graphpde.core.networks import watts_strogatz
from graphpde.dynamics import STEPPERS, Adaptive, CrankNicolson, Dopri5, Esdirk4, Heun, Tsit5, evolve
from graphpde.errors import InputError, StepUnderflow
from graphpde.mesh import Space, interval
from graphpde.ops import Diffusion, Dirichlet, Reaction
from graphpde.ops.weighted_diffusion import WeightedDiffusion

ABLE = [name for name, kind in STEPPERS.items() if kind().error_power is not None]


def one(value: float = 1.0) -> Tensor:
    return torch.full((1, 1), value, dtype=torch.float64)


@pytest.mark.parametrize("name", ABLE)
def test_the_error_follows_the_tolerance(name: str) -> None:
    """u' = -2 t u: a hundredth of the tolerance gives well under a tenth of the error, which stays near it."""
    term = Reaction(lambda t, u: -2 * t * u, timed=True)
    errors = []
    for tol in (1e-3, 1e-5):
        control = Adaptive(rtol=tol, atol=tol)
        run = evolve(term, one(), [0.0, 1.5], stepper=STEPPERS[name](), control=control)
        errors.append(abs(float(run.final) - math.exp(-2.25)))
        assert run.statistics["accepted"] == run.steps
    assert errors[1] < 0.25 * errors[0]
    assert errors[1] < (100 if name == "backward_euler" else 20) * 1e-5


def test_saved_times_are_hit_and_cost_little() -> None:
    """Seventy dense saves, then a long gap: the controller's step comes back at once."""
    times = [*(k / 100 for k in range(70)), 4.0]
    seen: list[float] = []
    run = evolve(
        lambda t, u: -u,
        one(),
        times,
        stepper=Dopri5(),
        control=Adaptive(1e-6, 1e-9),
        watch=lambda k, n, t, u: seen.append(t),
    )
    assert set(times[1:]) <= set(seen)
    assert torch.allclose(run.states[:, 0, 0], torch.exp(-run.times), atol=1e-6)
    free = evolve(lambda t, u: -u, one(), [0.0, 4.0], stepper=Dopri5(), control=Adaptive(1e-6, 1e-9))
    assert run.steps <= 69 + free.steps + 2


def test_progress_ends_at_the_number_of_steps() -> None:
    told: list[tuple[int, int]] = []
    run = evolve(
        lambda t, u: -u,
        one(),
        [0.0, 3.0],
        stepper=Tsit5(),
        control=Adaptive(),
        watch=lambda k, n, t, u: told.append((k, n)),
    )
    assert told[-1] == (run.steps, run.steps)
    assert all(k <= n for k, n in told)


def test_steps_that_blow_up_are_taken_back() -> None:
    """A first step ten times too long overflows or errs, and is repeated."""
    run = evolve(lambda t, u: -50 * u**3, one(3.0), [0.0, 1.0], stepper=Heun(), control=Adaptive(1e-5, 1e-8, dt0=1.0))
    assert run.statistics["rejected"] >= 1
    assert float(run.final) == pytest.approx((1 / 9 + 100) ** -0.5, rel=1e-3)


@pytest.mark.parametrize("stepper", [Dopri5(), Esdirk4()], ids=lambda s: s.name)
def test_a_finite_time_blow_up_is_named(stepper: Any) -> None:
    """u' = u^2, u(0) = 1 explodes at t = 1."""

    def square(u: Tensor) -> Tensor:
        return u * u

    with pytest.raises(StepUnderflow, match=r"the step fell to dt=.* at t=1\.?\d* .*Reaction\(square\).*blow up") as e:
        evolve(Reaction(square), one(), [0.0, 2.0], stepper=stepper, control=Adaptive(1e-4, 1e-4))
    assert e.value.t == pytest.approx(1.0, abs=1e-3)
    assert float(e.value.last) > 1e3


def test_a_stiff_part_is_suspected_and_an_implicit_stepper_named() -> None:
    space = Space(interval(100))
    control = Adaptive(1e-6, 1e-9, dt_min=1e-2)
    u0 = torch.cos(30 * space.pos)
    with pytest.raises(StepUnderflow, match=r"in|from Diffusion.*the linear part is stiff: take an implicit stepper"):
        evolve(Diffusion(space), u0, [0.0, 1.0], stepper=Dopri5(), control=control)


@pytest.mark.parametrize("name", ["dopri5", "esdirk4", "tr_bdf2", "ark4", "bdf2", "etd2rk", "rkc2"])
def test_moving_ends_are_exact_and_do_not_count_as_error(name: str) -> None:
    space = Space(interval(10))
    term = Diffusion(space, 0.1) + Dirichlet("left", lambda x, t: torch.sin(40 * t) + 0 * x[:, 0])
    term = term + Dirichlet("right", 1e6)
    u0 = 1e6 * space.pos
    run = evolve(term, u0, [0.0, 0.05, 0.1], stepper=STEPPERS[name](), control=Adaptive(1e-4, 1e-4))
    left = space.nodes_of("left")
    assert torch.allclose(run.states[1:, left, 0].flatten(), torch.sin(40 * run.times[1:]), atol=1e-13)
    assert torch.isfinite(run.final).all()


@pytest.mark.grad
@pytest.mark.parametrize("name", ["dopri5", "esdirk4", "ark3"])
def test_gradients_go_through_the_steps_taken(name: str) -> None:
    """Against the exact derivative of u0 / sqrt(1 + 2 u0^2 t), to the tolerance of the run."""
    u0 = one(0.8).requires_grad_()
    run = evolve(Reaction(lambda u: -(u**3)), u0, [0.0, 1.0], stepper=STEPPERS[name](), control=Adaptive(1e-7, 1e-10))
    (g,) = torch.autograd.grad(run.final.sum(), u0)
    assert float(g) == pytest.approx((1 + 2 * 0.64) ** -1.5, rel=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rtol": -1.0}, r"rtol is -1\.0, expected a finite number >= 0"),
        ({"rtol": 0.0, "atol": 0.0}, r"rtol and atol are both 0"),
        ({"dt0": 0.0}, r"dt0 is 0\.0, expected a finite number > 0"),
        ({"dt_min": 1.0, "dt_max": 0.5}, r"dt_min = 1 exceeds dt_max = 0\.5"),
        ({"safety": 1.5}, r"safety = 1\.5, expected a factor between 0 and 1"),
        ({"limits": (1.5, 2.0)}, r"limits = .*, expected a ratio below 1 and one above 1"),
    ],
)
def test_bad_controls_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Adaptive(**options)


def test_a_stepper_without_an_estimate_is_refused() -> None:
    with pytest.raises(InputError, match=r"crank_nicolson estimates no error.*esdirk4"):
        evolve(lambda t, u: -u, one(), [0.0, 1.0], stepper=CrankNicolson(), control=Adaptive())
    with pytest.raises(InputError, match=r"got dt = 0\.1 and a control, expected one of them"):
        evolve(lambda t, u: -u, one(), [0.0, 1.0], stepper=Dopri5(), dt=0.1, control=Adaptive())


@pytest.mark.parametrize("stepper", ["heun", "bosh3", "dopri5", "tsit5"])
@pytest.mark.parametrize("speed", [1.0, 300.0])
def test_a_linear_system_takes_the_longest_steps_and_refuses_none(stepper: str, speed: float) -> None:
    """The products of a step are known before its length: none is lost, whether accuracy or stability limits it."""
    graph = watts_strogatz(60, 4, 0.2, seed=1)
    f = WeightedDiffusion(graph, speed=speed)
    u = torch.rand(graph.n, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    control = Adaptive(rtol=1e-5, atol=1e-7)
    foreseen = evolve(f, u, [0.0, 1.0], stepper=stepper, control=control)
    tried = evolve(lambda t, x: f(t, x), u, [0.0, 1.0], stepper=stepper, control=control)
    exact = evolve(f, u, [0.0, 1.0], stepper="etd1")
    assert foreseen.statistics["rejected"] == 0
    assert foreseen.statistics["evaluations"] <= 1.02 * tried.statistics["evaluations"]
    error = [float((path.final - exact.final).abs().max()) for path in (foreseen, tried)]
    assert error[0] <= max(4 * error[1], 2e-5)


def test_a_linear_system_at_rest_is_stepped_over_at_once() -> None:
    graph = watts_strogatz(20, 4, 0.2, seed=1)
    path = evolve(
        WeightedDiffusion(graph), torch.zeros(20, 1).double(), [0.0, 50.0], stepper="dopri5", control=Adaptive()
    )
    assert path.statistics["accepted"] <= 10
    assert not path.final.any()


@pytest.mark.parametrize(("dtype", "rtol"), [(torch.float32, 1e-8), (torch.float64, 1e-17)])
def test_tolerances_below_rounding_are_refused(dtype: torch.dtype, rtol: float) -> None:
    f = WeightedDiffusion(watts_strogatz(20, 4, 0.2, seed=1))
    u = torch.ones(20, 1, dtype=dtype)
    with pytest.raises(InputError, match="cannot be reached in torch.float.., whose .* take rtol >="):
        evolve(f, u, [0.0, 1.0], stepper="dopri5", control=Adaptive(rtol=rtol, atol=0.0))
    evolve(f, u, [0.0, 1.0], stepper="dopri5", control=Adaptive(rtol=rtol, atol=1e-3))
