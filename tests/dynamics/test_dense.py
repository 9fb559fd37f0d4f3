"""Dense output and events: orders between steps, times of events and their gradients."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from graphpde.core import networks
from graphpde.dynamics import STEPPERS, Adaptive, Event, SaveDense, evolve
from graphpde.errors import InputError
from graphpde.ops import Diffusion

ZERO = torch.zeros(1, 2, dtype=torch.float64)


def swing(t: Tensor, u: Tensor) -> Tensor:
    """Turns with an angle of t + sin(t) / 2."""
    x, y = u.unbind(-1)
    speed = 1 + 0.5 * torch.cos(torch.as_tensor(t))
    return torch.stack([-speed * y, speed * x], -1)


def exact(t: float) -> Tensor:
    angle = t + 0.5 * math.sin(t)
    return torch.tensor([[math.cos(angle), math.sin(angle)]], dtype=torch.float64)


SEEN = ("dopri5", "tsit5", "bosh3", "rk4", "heun", "euler", "crank_nicolson", "bdf2", "leapfrog")


@pytest.mark.orders
@pytest.mark.parametrize("name", [n for n in SEEN if n != "leapfrog"])
def test_order_between_the_steps(name: str) -> None:
    errors = []
    for steps in (32, 64):
        run = evolve(swing, exact(0), [0.0, 4.0], stepper=name, dt=4 / steps, save=SaveDense())
        at = [4 * (k + 0.37) / steps for k in range(steps)]
        errors.append(max(float((run.dense(t) - exact(t)).abs().max()) for t in at))
    stepper = STEPPERS[name]()
    wanted = min(stepper.order, 4.0 if name in ("dopri5", "tsit5") else 3.0)  # of the error over a step: one more
    assert math.log2(errors[0] / errors[1]) > wanted - 0.15


def test_dense_output_of_linear_systems_and_under_control() -> None:
    """Diffusion on a graph against its exact solution, by steps of a controller, at random times."""
    graph = networks.watts_strogatz(20, 4, 0.2, seed=0)
    u0 = torch.randn(20, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    term = Diffusion(graph)
    run = evolve(term, u0, [0.0, 0.5, 2.0], stepper="tsit5", control=Adaptive(rtol=1e-8, atol=1e-10), save=SaveDense())
    matrix = torch.from_numpy(term.operator.to_scipy().toarray())
    for t in (0.0, 0.1, 0.5, 1.234, 2.0):
        assert torch.allclose(run.dense(t), torch.linalg.matrix_exp(matrix * t) @ u0, atol=1e-6)
    assert torch.equal(run.dense(0.0), u0)
    assert torch.equal(run.dense(2.0), run.final)


def test_dense_output_is_differentiable_in_time() -> None:
    run = evolve(swing, exact(0), [0.0, 2.0], stepper="dopri5", dt=0.05, save=SaveDense())
    t = torch.tensor(1.03, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(run.dense(t)[0, 0], t)
    assert float(slope) == pytest.approx(float(swing(t, exact(1.03))[0, 0]), abs=1e-5)


def falling(g: Any) -> Any:
    """A ball: height, speed."""
    return lambda t, u: torch.stack([u[..., 1], -g * torch.ones_like(u[..., 1])], -1)


def test_a_ball_reaches_the_floor() -> None:
    """h = 1 - g t^2 / 2: t* = sqrt(2 / g), dt*/dg = -t* / (2 g); the run ends there."""
    g = torch.tensor(9.81, dtype=torch.float64, requires_grad=True)
    u0 = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    event = Event(lambda t, u: u[0, 0], terminal=True)
    run = evolve(falling(g), u0, [0.0, 0.2, 0.4, 2.0], stepper="rk4", dt=0.07, events=event)
    (hit,) = run.events
    when = math.sqrt(2 / 9.81)
    assert float(hit.t) == pytest.approx(when, abs=1e-12)
    assert run.times.tolist() == pytest.approx([0.0, 0.2, 0.4, when])
    assert float(run.final[0, 0].detach()) == pytest.approx(0, abs=1e-12)
    (slope,) = torch.autograd.grad(hit.t, g, retain_graph=True)
    assert float(slope) == pytest.approx(-when / (2 * 9.81), rel=1e-9)
    (speed,) = torch.autograd.grad(hit.u[0, 1], g)  # v* = -sqrt(2 g): dv*/dg = -1 / sqrt(2 g)
    assert float(speed) == pytest.approx(-1 / math.sqrt(2 * 9.81), rel=1e-9)


@pytest.mark.parametrize(("direction", "wanted"), [(0, (0.5, 1.5, 2.5, 3.5)), (1, (1.5, 3.5)), (-1, (0.5, 2.5))])
def test_directions(direction: int, wanted: tuple[float, ...]) -> None:
    """x = cos(t) passes through zero at odd multiples of pi / 2."""
    turn = lambda t, u: torch.stack([-u[..., 1], u[..., 0]], -1)  # noqa: E731
    run = evolve(
        turn, exact(0), [0.0, 12.0], stepper="dopri5", control=Adaptive(rtol=1e-9, atol=1e-11),
        events=Event(lambda t, u: u[0, 0], direction=direction),
    )  # fmt: skip
    assert [float(o.t) / math.pi for o in run.events] == pytest.approx(wanted, abs=1e-7)
    assert float(run.times[-1]) == 12.0


def test_several_events_in_one_step() -> None:
    """They come in order of time; the first terminal one ends the run, later ones did not happen."""
    rise = lambda t, u: torch.ones_like(u)  # noqa: E731
    events = [Event(lambda t, u, at=at: u[0, 0] - at, terminal=at == 0.6) for at in (0.8, 0.6, 0.3)]
    run = evolve(rise, torch.zeros(1, 1, dtype=torch.float64), [0.0, 1.0], stepper="heun", events=events)
    assert [o.event for o in run.events] == [2, 1]
    assert [float(o.t) for o in run.events] == pytest.approx([0.3, 0.6])
    assert float(run.final) == pytest.approx(0.6)


def test_an_event_on_a_saved_time_and_one_at_the_start() -> None:
    rise = lambda t, u: torch.ones_like(u)  # noqa: E731
    zero = torch.zeros(1, 1, dtype=torch.float64)
    run = evolve(rise, zero, [0.0, 0.5, 1.0], stepper="heun", events=Event(lambda t, u: u[0, 0] - 0.5))
    assert [float(o.t) for o in run.events] == [0.5]
    run = evolve(rise, zero, [0.0, 1.0], stepper="heun", dt=0.25, events=Event(lambda t, u: u[0, 0]))
    assert run.events == ()  # it left zero, it did not pass


def test_what_a_controller_saw() -> None:
    """The largest rate of u' = -50 u + 50 cos t and a slow part is 50; errors are shares of what is allowed."""
    rates = torch.tensor([50.0, 1.0], dtype=torch.float64)
    run = evolve(
        lambda t, u: -rates * (u - torch.cos(t)), ZERO, [0.0, 3.0], stepper="dopri5", control=Adaptive(rtol=1e-5)
    )
    assert run.statistics["stiffness"] == pytest.approx(50, rel=0.1)
    assert 0 < run.statistics["error_mean"] <= 1


def test_refused() -> None:
    with pytest.raises(InputError, match="direction is 2, expected -1"):
        Event(lambda t, u: u.sum(), direction=2)
    with pytest.raises(InputError, match="events holds a int"):
        evolve(swing, exact(0), [0.0, 1.0], stepper="rk4", events=[3])  # type: ignore[list-item]
    with pytest.raises(InputError, match=r"the event returned shape \[1, 2\], expected one number"):
        evolve(swing, exact(0), [0.0, 1.0], stepper="rk4", events=Event(lambda t, u: u))
    with pytest.raises(InputError, match="grad='checkpoint' does not keep the steps"):
        evolve(swing, exact(0), [0.0, 1.0], stepper="rk4", grad="checkpoint", save=SaveDense())
    with pytest.raises(InputError, match="t = 3 is outside of the run, expected a time from 0 to 1"):
        evolve(swing, exact(0), [0.0, 1.0], stepper="rk4", save=SaveDense()).dense(3.0)
    with pytest.raises(InputError, match="the run has no steps"):
        evolve(swing, exact(0), [0.0], stepper="rk4", save=SaveDense()).dense(0.0)
