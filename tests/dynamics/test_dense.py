"""Dense output and events: orders between steps, times of events and their gradients."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from graphpde.core import networks
from graphpde.dynamics import Adaptive, Brownian, Event, SaveDense, evolve
from graphpde.errors import InputError
from graphpde.ops import SDE, Diffusion

ZERO = torch.zeros(1, 2, dtype=torch.float64)


def swing(t: Tensor, u: Tensor) -> Tensor:
    """Turns with an angle of t + sin(t) / 2."""
    x, y = u.unbind(-1)
    speed = 1 + 0.5 * torch.cos(torch.as_tensor(t))
    return torch.stack([-speed * y, speed * x], -1)


def exact(t: float) -> Tensor:
    angle = t + 0.5 * math.sin(t)
    return torch.tensor([[math.cos(angle), math.sin(angle)]], dtype=torch.float64)


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
    assert float(slope) == pytest.approx(float(swing(t.detach(), exact(1.03))[0, 0]), abs=1e-5)


@pytest.mark.grad
@pytest.mark.parametrize("how", ({"dt": 0.3}, {"control": Adaptive(rtol=1e-6, atol=1e-8)}))
def test_gradients_in_times_between_the_steps(how: dict[str, Any]) -> None:
    """u' = 1 from u(t_0) = 0: u(0.5) = 0.5 - t_0, whenever the run ends; it passes 0.4 at t_0 + 0.4."""
    times = torch.tensor([0.0, 1.0], dtype=torch.float64, requires_grad=True)
    zero = torch.zeros(1, 1, dtype=torch.float64)
    how = {**how, "stepper": "dopri5", "save": SaveDense(), "events": Event(lambda t, u: u[0, 0] - 0.4)}
    run = evolve(lambda t, u: torch.ones_like(u), zero, times, **how)
    (g,) = torch.autograd.grad(run.dense(0.5).sum(), times, retain_graph=True)
    assert g.tolist() == pytest.approx([-1.0, 0.0], abs=1e-12)
    (g,) = torch.autograd.grad(run.events[0].t, times)
    assert g.tolist() == pytest.approx([1.0, 0.0], abs=1e-12)


def test_several_times_at_once() -> None:
    run = evolve(swing, exact(0), [0.0, 2.0], stepper="dopri5", dt=0.05, save=SaveDense())
    at = torch.linspace(0, 2, 7, dtype=torch.float64)
    assert torch.equal(run.dense(at), torch.stack([run.dense(float(t)) for t in at]))


def test_dense_output_ends_with_the_run() -> None:
    event = Event(lambda t, u: u[0, 0] - 0.5, terminal=True)
    zero = torch.zeros(1, 1, dtype=torch.float64)
    run = evolve(
        lambda t, u: torch.ones_like(u), zero, [0.0, 1.0], stepper="heun", dt=0.4, events=event, save=SaveDense()
    )
    assert float(run.dense(0.5)) == pytest.approx(0.5)
    with pytest.raises(InputError, match="t = 0.6 is outside of the run, expected a time from 0 to 0.5"):
        run.dense(0.6)


def test_between_the_steps_of_a_noisy_run_lies_a_line() -> None:
    sde = SDE(lambda t, u: -u, 0.5)
    one = torch.ones(3, 1, dtype=torch.float64)
    run = evolve(sde, one, [0.0, 0.5, 1.0], stepper="sra1", brownian=Brownian(0), save=SaveDense())
    for p in (0.2, 0.9):
        assert torch.allclose(run.dense(0.5 + 0.5 * p), torch.lerp(run.states[1], run.states[2], p), atol=1e-14)


@pytest.mark.parametrize("name", ("heun", "dopri5", "rk4"))
def test_every_evaluation_is_counted(name: str) -> None:
    calls = []

    def f(t: Tensor, u: Tensor) -> Tensor:
        calls.append(t)
        return swing(t, u)

    run = evolve(f, exact(0), [0.0, 1.0], stepper=name, dt=0.1, save=SaveDense())
    assert run.statistics["evaluations"] == len(calls)


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


@pytest.mark.grad
def test_an_event_at_the_end_of_a_step_has_its_gradient() -> None:
    """u = p t reaches 0.5 at 0.5 / p: dt*/dp = -0.5 / p^2, and u* stays where it is."""
    p = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    event = Event(lambda t, u: u[0, 0] - 0.5, terminal=True)
    zero = torch.zeros(1, 1, dtype=torch.float64)
    run = evolve(lambda t, u: p * torch.ones_like(u), zero, [0.0, 1.0], stepper="heun", dt=0.25, events=event)
    assert float(run.events[0].t.detach()) == 0.5
    assert float(torch.autograd.grad(run.events[0].t, p, retain_graph=True)[0]) == pytest.approx(-0.5)
    assert float(torch.autograd.grad(run.final.sum(), p)[0]) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize(("direction", "wanted"), [(0, 1), (1, 0), (-1, 1)])
def test_a_function_that_stays_at_zero_happens_once(direction: int, wanted: int) -> None:
    """max(0.47 - t, 0) falls to zero at 0.47 and stays there; (t - 0.5)^2 touches it, at the end of a step."""
    rise = lambda t, u: torch.ones_like(u)  # noqa: E731
    zero = torch.zeros(1, 1, dtype=torch.float64)
    how: dict[str, Any] = {"stepper": "heun", "dt": 0.125}
    events = [Event(lambda t, u: (0.47 - u[0, 0]).clamp(min=0), direction=direction)]
    events += [Event(lambda t, u: (u[0, 0] - 0.5) ** 2, direction=direction)]
    run = evolve(rise, zero, [0.0, 1.0], events=events, **how)
    assert [o.event for o in run.events] == [0, 1] * wanted
    assert [float(o.t) for o in run.events] == pytest.approx([0.47, 0.5] * wanted, abs=1e-12)


def test_zeros_in_pairs_are_found_by_looking_more_often() -> None:
    """(u - 0.3) (u - 0.6) has one sign at both ends of the step."""
    rise = lambda t, u: torch.ones_like(u)  # noqa: E731
    zero = torch.zeros(1, 1, dtype=torch.float64)
    for looks, wanted in ((0, []), (3, [0.3, 0.6]), (9, [0.3, 0.6])):
        event = Event(lambda t, u: (u[0, 0] - 0.3) * (u[0, 0] - 0.6), looks=looks)
        run = evolve(rise, zero, [0.0, 1.0], stepper="heun", events=event)
        assert [float(o.t) for o in run.events] == pytest.approx(wanted, abs=1e-12)


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
    with pytest.raises(InputError, match="the event is 3, expected a function"):
        Event(3)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="events is a function, expected Event"):
        evolve(swing, exact(0), [0.0, 1.0], stepper="rk4", events=lambda t, u: u.sum())  # type: ignore[arg-type]
    with pytest.raises(InputError, match="the event returned torch.bool, expected a number that changes sign"):
        evolve(swing, exact(0), [0.0, 1.0], stepper="rk4", events=Event(lambda t, u: u[0, 0] > 0))
    for bad, said in (("all", "save is 'all', expected a policy"), (SaveDense, "save is the class SaveDense")):
        with pytest.raises(InputError, match=said):
            evolve(swing, exact(0), [0.0, 1.0], stepper="rk4", save=bad)  # type: ignore[arg-type]
    save = SaveDense()
    evolve(swing, exact(0), [0.0, 1.0], stepper="rk4", save=save)
    with pytest.raises(InputError, match=r"this SaveDense\(\) holds the states of another run; make a new one"):
        evolve(swing, exact(0), [0.0, 1.0], stepper="rk4", save=save)
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
