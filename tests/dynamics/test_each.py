"""Steps for every sample of a batch: the same as alone, whoever else is there."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from graphpde.core import Graph, networks
from graphpde.dynamics import Adaptive, SaveDense, WithLogDensity, evolve
from graphpde.errors import InputError
from graphpde.ops import Diffusion, Reaction

SPEEDS = torch.tensor([0.3, 1.0, 4.0, 15.0], dtype=torch.float64)
U0 = torch.tensor([[1.0, 0.0], [0.5, 0.2], [1.0, 0.1], [0.2, 0.3]], dtype=torch.float64)


def turning(speeds: Tensor) -> Any:
    """u' = speed (1 + t / 2) |u|^2 J u: every row alone, some faster than others."""

    def f(t: Tensor, u: Tensor) -> Tensor:
        x, y = u.unbind(-1)
        time = torch.as_tensor(t).to(u).expand(*u.shape[:-1], 1)[..., 0]
        w = speeds * (1 + 0.5 * time) * (x * x + y * y)
        return torch.stack([-w * y, w * x], -1)

    return f


@pytest.mark.parametrize("name", ("dopri5", "tsit5", "bosh3", "heun"))
def test_every_node_steps_as_if_it_were_alone(name: str) -> None:
    how: dict[str, Any] = {"stepper": name, "control": Adaptive(rtol=1e-5, atol=1e-7, each="node")}
    times = [0.0, 0.4, 1.0]
    run = evolve(turning(SPEEDS), U0, times, **how)
    steps = []
    for k in range(4):
        alone = evolve(turning(SPEEDS[k : k + 1]), U0[k : k + 1], times, **how)
        assert torch.allclose(run.states[:, k : k + 1], alone.states, rtol=0, atol=1e-13)
        steps.append(int(alone.statistics["steps_each"]))
    assert run.statistics["steps_each"].tolist() == steps
    assert steps[0] < steps[3]


def test_the_error_is_that_of_one_controller_for_all() -> None:
    """As accurate as asked for, everywhere; and not a step more than the hardest sample alone needs."""
    tight = evolve(turning(SPEEDS), U0, [0.0, 1.0], stepper="tsit5", control=Adaptive(rtol=1e-12, atol=1e-13)).final
    errors = []
    for rtol in (1e-4, 1e-6, 1e-8):
        control = Adaptive(rtol=rtol, atol=rtol * 1e-2, each="node")
        errors.append(
            float((evolve(turning(SPEEDS), U0, [0.0, 1.0], stepper="tsit5", control=control).final - tight).abs().max())
        )
    assert errors[0] < 1e-2
    assert errors[2] < errors[1] < errors[0]
    assert errors[2] < 1e-6


def test_states_of_a_batch() -> None:
    """[b, n, c]: the nodes of one state keep together."""
    u0 = U0.reshape(2, 2, 2)
    how: dict[str, Any] = {"stepper": "dopri5", "control": Adaptive(rtol=1e-6, atol=1e-8, each="state")}
    f = turning(SPEEDS.reshape(2, 2))
    run = evolve(f, u0, [0.0, 1.0], **how)
    assert run.statistics["steps_each"].shape == (2,)
    for k in range(2):
        alone = evolve(turning(SPEEDS.reshape(2, 2)[k]), u0[k], [0.0, 1.0], **how)
        assert torch.allclose(run.final[k], alone.final, atol=1e-13)


def test_graphs_of_a_union() -> None:
    """Every graph of a union sees the steps that it sees alone."""
    parts = [networks.watts_strogatz(n, 4, 0.2, seed=n) for n in (6, 9, 12)]
    whole = Graph.union(parts)
    rng = torch.Generator().manual_seed(0)
    starts = [torch.randn(g.n, 1, dtype=torch.float64, generator=rng) * s for g, s in zip(parts, (0.1, 1, 6))]

    def reacting(graph: Graph) -> Any:
        return Reaction(lambda u: 3 * (graph.edges.propagate(u) / 10 - u**3))

    how: dict[str, Any] = {"stepper": "bosh3", "control": Adaptive(rtol=1e-5, atol=1e-7, each="graph")}
    run = evolve(reacting(whole), torch.cat(starts), [0.0, 0.5, 1.0], domain=whole, **how)
    for k, (graph, u0) in enumerate(zip(parts, starts, strict=True)):
        alone = evolve(reacting(graph), u0, [0.0, 0.5, 1.0], domain=Graph.union([graph]), **how)
        assert torch.allclose(run.states[:, whole.batch == k], alone.states, atol=1e-12)
        assert int(run.statistics["steps_each"][k]) == int(alone.statistics["steps_each"])


def test_densities_have_steps_of_their_own() -> None:
    flow = WithLogDensity(lambda t, x: torch.sin(3 * x) * torch.as_tensor(t))
    x = torch.linspace(-2, 2, 7, dtype=torch.float64)[:, None]
    runs = [
        evolve(flow, flow.start(x), [0.0, 1.0], stepper="dopri5", control=Adaptive(1e-8, 1e-10, each=each)).final
        for each in ("node", None)
    ]
    assert torch.allclose(runs[0].x, runs[1].x, atol=1e-7)
    assert torch.allclose(runs[0].log_density, runs[1].log_density, atol=1e-7)


def test_gradients_of_steps_of_their_own() -> None:
    def loss(speeds: Tensor) -> Tensor:
        control = Adaptive(rtol=1e-9, atol=1e-11, each="node")
        return evolve(turning(speeds), U0, [0.0, 1.0], stepper="tsit5", control=control).final[:, 0].sum()

    speeds = SPEEDS.clone().requires_grad_()
    (g,) = torch.autograd.grad(loss(speeds), speeds)
    for k in range(4):
        step = torch.zeros(4, dtype=torch.float64).index_fill(0, torch.tensor(k), 1e-5)
        with torch.no_grad():
            slope = float(loss(SPEEDS + step) - loss(SPEEDS - step)) / 2e-5
        assert float(g[k]) == pytest.approx(slope, rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("times", ([0.0, 1.0], [0.0, 0.3, 0.3 + 1e-6, 0.7, 1.0]))
@pytest.mark.parametrize("name", ("dopri5", "bosh3"))
def test_steps_are_those_of_a_controller_for_one(name: str, times: list[float]) -> None:
    """Refused steps, steps that a saved time cuts short and the arrival included."""

    def f(t: Tensor, u: Tensor) -> Tensor:
        x, y = u.unbind(-1)
        w = 1 + 60 * torch.exp(-200 * (torch.as_tensor(t).expand(*u.shape[:-1], 1)[..., 0] - 0.5) ** 2)
        return torch.stack([-w * y, w * x], -1)

    runs = [
        evolve(f, U0[:1], times, stepper=name, control=Adaptive(rtol=1e-5, atol=1e-7, dt0=0.05, each=each))
        for each in ("node", None)
    ]
    assert runs[1].statistics["rejected"] > 1
    assert int(runs[0].statistics["steps_each"]) == runs[1].statistics["accepted"]
    assert int(runs[0].statistics["rejected_each"]) == runs[1].statistics["rejected"]
    assert torch.allclose(runs[0].states, runs[1].states, rtol=0, atol=1e-13)


def test_the_last_step_arrives() -> None:
    """-0.3 + (0.4 + 0.3) is less than 0.4: what is missing would be a step of its own."""
    assert -0.3 + (0.4 + 0.3) < 0.4
    control = Adaptive(rtol=1e-3, atol=1e-3, dt0=1.0, each="node")
    run = evolve(lambda t, u: 0 * u, U0, [-0.3, 0.4], stepper="heun", control=control)
    assert run.statistics["steps_each"].tolist() == [1] * 4


@pytest.mark.grad
@pytest.mark.parametrize("grad", ("direct", "checkpoint"))
def test_gradients_beside_refused_steps_that_were_not_finite(grad: str) -> None:
    """Torricelli's law: a root below 0 in a step that was too long for one of the samples."""
    rates = torch.tensor([[0.01], [40.0]], dtype=torch.float64)
    found = []
    for each in ("node", None):
        k = torch.ones(2, dtype=torch.float64, requires_grad=True)
        run = evolve(
            lambda t, u: -k[:, None] * torch.sqrt(u) * rates,  # noqa: B023
            torch.tensor([[1.0], [1000.0]], dtype=torch.float64), [0.0, 1.0], stepper="dopri5",
            control=Adaptive(rtol=1e-6, atol=1e-6, dt0=1.0 if each else None, each=each), grad=grad,
        )  # fmt: skip
        if each:
            assert int(run.statistics["rejected_each"][1]) > 0
        found.append(torch.autograd.grad(run.final.sum(), k)[0])
    assert torch.allclose(found[0], found[1], rtol=1e-4)


def test_times_come_in_the_type_of_the_state() -> None:
    seen = set()

    def f(t: Tensor, u: Tensor) -> Tensor:
        seen.add((t.dtype, t.shape))
        return -torch.cat([u[:, :1], t], 1)

    run = evolve(f, U0.float(), [0.0, 1.0], stepper="tsit5", control=Adaptive(each="node"))
    assert seen == {(torch.float32, (4, 1))} and run.states.dtype == torch.float32
    wanted = torch.cat([U0[:, :1] * torch.exp(torch.tensor(-1.0)), U0[:, 1:] - 0.5], 1)
    assert torch.allclose(run.final.double(), wanted, atol=1e-3)


def test_evaluations_are_counted() -> None:
    for each in ("node", None):
        calls = []

        def f(t: Tensor, u: Tensor) -> Tensor:
            calls.append(t)  # noqa: B023
            return turning(SPEEDS)(t, u)

        run = evolve(f, U0, [0.0, 1.0], stepper="dopri5", control=Adaptive(1e-4, 1e-6, each=each))
        assert run.statistics["evaluations"] == len(calls)


def test_refused() -> None:
    how: dict[str, Any] = {"stepper": "dopri5"}
    graph = networks.watts_strogatz(6, 2, 0.1, seed=0)
    flow = WithLogDensity(lambda t, x: x, sample="state")
    x = torch.ones(6, 1, dtype=torch.float64)
    for f, u0, each, said in (
        (Diffusion(graph), x, "node", "every node step alone, and Diffusion ties them together; use 'state'"),
        (lambda t, u: -u, x[:0], "node", r"the state has shape \[0, 1\]: no samples"),
        (lambda t, u: -u, x[:, 0], "state", r"the state has shape \[6\], expected \[\*, n, c\]"),
        (flow, flow.start(x), "graph", r"a part of the state has shape \[1, 1\], expected samples as \[6, 1\]"),
    ):
        with pytest.raises(InputError, match=said):
            domain = Graph.union([graph]) if each == "graph" else None
            evolve(f, u0, [0.0, 1.0], control=Adaptive(each=each), domain=domain, **how)
    with pytest.raises(InputError, match="steps for each sample give no gradient in times"):
        times = torch.tensor([0.0, 1.0], requires_grad=True)
        evolve(turning(SPEEDS), U0, times, control=Adaptive(each="node"), **how)
    with pytest.raises(InputError, match="the adjoint takes one step for all; use a control without each="):
        evolve(Reaction(lambda u: -u), U0, [0.0, 1.0], control=Adaptive(each="node"), grad="adjoint", **how)
    with pytest.raises(InputError, match="rtol is 'a', expected a finite number >= 0"):
        Adaptive(rtol="a")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="control is 0.0001, expected None or Adaptive"):
        evolve(turning(SPEEDS), U0, [0.0, 1.0], control=1e-4, **how)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="each='edge', expected None or one of: node, state, graph"):
        Adaptive(each="edge")
    with pytest.raises(InputError, match="each='graph' needs the graphs of a union"):
        evolve(turning(SPEEDS), U0, [0.0, 1.0], stepper="dopri5", control=Adaptive(each="graph"))
    with pytest.raises(InputError, match="explicit Runge-Kutta methods, not by tr_bdf2"):
        evolve(turning(SPEEDS), U0, [0.0, 1.0], stepper="tr_bdf2", control=Adaptive(each="node"))
    with pytest.raises(InputError, match="events and dense output need one time for all"):
        control = Adaptive(each="node")
        evolve(turning(SPEEDS), U0, [0.0, 1.0], stepper="dopri5", control=control, save=SaveDense())
