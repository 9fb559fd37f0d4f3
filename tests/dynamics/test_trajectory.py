"""What a run leaves behind: saved times, policies, progress."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from graphpde.dynamics import (
    BackwardEuler,
    CrankNicolson,
    Euler,
    Rk4,
    SaveAll,
    SaveLast,
    SaveTo,
    Stepper,
    Trajectory,
    evolve,
)
from graphpde.mesh import Space, interval, random_square
from graphpde.ops import Diffusion, Dirichlet, Reaction

BOTH = pytest.mark.parametrize("stepper", [Rk4(), BackwardEuler()], ids=["rk4", "backward_euler"])


def held_rod() -> tuple[object, Space, Tensor]:
    """A rod whose initial state contradicts its conditions, one of which moves."""
    space = Space(interval(5))
    terms = Diffusion(space, 0.05) + Reaction(lambda u: u - u**3)
    terms = terms + Dirichlet("left", 2.0) + Dirichlet("right", lambda x, t: torch.cos(t))
    return terms, space, 0.5 + space.pos


@BOTH
def test_the_first_state_is_the_initial_one_as_given(stepper: Stepper) -> None:
    terms, space, u0 = held_rod()
    kept = u0.clone()
    run = evolve(terms, u0, [0.0, 0.1, 0.2], stepper=stepper, dt=0.02)
    assert torch.equal(run.states[0], kept)
    assert torch.equal(u0, kept)  # never written to
    assert run.states[0, space.nodes_of("left")].item() == 0.5
    assert run.states[1:, space.nodes_of("left")].flatten().tolist() == [2.0, 2.0]
    ends = run.states[1:, space.nodes_of("right")].flatten()
    assert torch.allclose(ends, torch.cos(run.times[1:]), rtol=1e-14)


@BOTH
def test_the_first_step_starts_from_the_conditions(stepper: Stepper) -> None:
    """Whether the initial state agrees with its Dirichlet values or is put right does not matter."""
    terms, space, u0 = held_rod()
    right = u0.clone()
    right[space.nodes_of("left")], right[space.nodes_of("right")] = 2.0, 1.0
    runs = [evolve(terms, u, [0.0, 0.1], stepper=stepper, dt=0.02).final for u in (u0, right)]
    assert torch.equal(*runs)


@BOTH
def test_frames_are_single_runs(stepper: Stepper) -> None:
    terms, _, u0 = held_rod()
    times = [0.0, 0.1, 0.25, 0.3]
    run = evolve(terms, u0, times, stepper=stepper, dt=0.02)
    assert run.states.shape == (4, 6, 1)
    assert len(run) == 4
    assert run.steps == 5 + 8 + 3
    for k in range(2, 5):
        one = evolve(terms, u0, times[:k], stepper=stepper, dt=0.02)
        assert torch.equal(one.final, run.states[k - 1])
    u = u0
    for a, b, state in zip(times, times[1:], run.states[1:], strict=False):  # each interval restarted on its own
        u = evolve(terms, u, [a, b], stepper=stepper, dt=0.02).final
        assert torch.allclose(u, state, rtol=1e-9)


def test_final_is_the_last_state() -> None:
    run = evolve(lambda t, u: -u, torch.ones(2, 1), [0.0, 1.0, 2.0], stepper=Rk4(), dt=0.1)
    assert torch.equal(run.final, run.states[-1])
    assert isinstance(run, Trajectory)
    with pytest.raises(AttributeError, match=r"cannot assign to field 'steps'"):
        run.steps = 3  # type: ignore[misc]


def test_save_all_is_the_default() -> None:
    terms, _, u0 = held_rod()
    runs = [evolve(terms, u0, [0.0, 0.1, 0.2], stepper=Rk4(), dt=0.02, save=s) for s in (None, SaveAll())]
    assert torch.equal(runs[0].states, runs[1].states)
    assert torch.equal(runs[0].times, runs[1].times)


@BOTH
def test_save_last_keeps_one(stepper: Stepper) -> None:
    terms, _, u0 = held_rod()
    times = [0.0, 0.1, 0.2]
    every = evolve(terms, u0, times, stepper=stepper, dt=0.02)
    last = evolve(terms, u0, times, stepper=stepper, dt=0.02, save=SaveLast())
    assert last.states.shape == (1, 6, 1)
    assert last.times.tolist() == [0.2]
    assert torch.equal(last.final, every.final)
    assert last.steps == every.steps


def test_save_to_hands_every_state_over() -> None:
    terms, _, u0 = held_rod()
    times, seen = [0.0, 0.1, 0.2], []
    every = evolve(terms, u0, times, stepper=Rk4(), dt=0.02)
    sink = SaveTo(lambda t, u: seen.append((t, u)))
    last = evolve(terms, u0.clone().requires_grad_(), times, stepper=Rk4(), dt=0.02, save=sink)
    assert [t for t, _ in seen] == times
    assert all(isinstance(t, float) and not u.requires_grad for t, u in seen)
    assert torch.equal(torch.stack([u for _, u in seen]), every.states)
    assert last.states.shape == (1, 6, 1)
    assert last.final.requires_grad  # the sink gets a detached state, the caller does not


def test_a_policy_of_ones_own() -> None:
    class EverySecond(SaveAll):
        count = 0

        def add(self, t: Tensor, u: Tensor) -> None:
            if self.count % 2 == 0:
                super().add(t, u)
            self.count += 1

    run = evolve(lambda t, u: -u, torch.ones(1, 1), [0.0, 1.0, 2.0, 3.0, 4.0], stepper=Rk4(), save=EverySecond())
    assert run.times.tolist() == [0.0, 2.0, 4.0]


def test_a_run_without_steps() -> None:
    u0 = torch.ones(2, 1)
    for stepper in (Rk4(), CrankNicolson()):
        run = evolve(lambda t, u: -u, u0, [3.0], stepper=stepper)
        assert run.steps == 0
        assert torch.equal(run.states, u0[None])


class Pair(NamedTuple):
    q: Tensor
    p: Tensor


def test_tuples_keep_their_names() -> None:
    state = Pair(torch.ones(3, 1, dtype=torch.float64), torch.zeros(3, 1, dtype=torch.float64))
    told: list[Pair] = []
    run = evolve(
        lambda t, s: Pair(s.p, -s.q),
        state,
        [0.0, 0.5, 1.0],
        stepper=Rk4(),
        dt=0.01,
        watch=lambda k, n, t, s: told.append(s),
    )
    assert isinstance(run.states, Pair)
    assert isinstance(run.final, Pair)
    assert isinstance(told[0], Pair)
    assert run.states.q.shape == (3, 3, 1)
    assert torch.allclose(run.states.q[:, 0, 0], torch.cos(run.times), atol=1e-9)
    assert torch.allclose(run.final.p, -torch.sin(run.times[-1]).expand(3, 1), atol=1e-9)


# progress


@BOTH
def test_watch_is_told_every_step(stepper: Stepper) -> None:
    terms, _, u0 = held_rod()
    told: list[tuple[int, int, float, Tensor]] = []
    run = evolve(terms, u0, [1.0, 1.1, 1.25], stepper=stepper, dt=0.05, watch=lambda *x: told.append(x))
    assert [k for k, *_ in told] == [1, 2, 3, 4, 5]
    assert {n for _, n, *_ in told} == {5} == {run.steps}
    assert [t for *_, t, _ in told] == pytest.approx([1.05, 1.1, 1.15, 1.2, 1.25], rel=1e-14)
    assert all(isinstance(t, float) for *_, t, _ in told)
    assert torch.equal(told[1][3], run.states[1])
    assert torch.equal(told[4][3], run.states[2])


def test_watch_sees_conditions_kept_at_every_step() -> None:
    terms, space, u0 = held_rod()
    right = space.nodes_of("right")
    wrong: list[float] = []

    def watch(step: int, steps: int, t: float, u: Tensor) -> None:
        wrong.append(abs(float(u[right]) - float(torch.cos(torch.tensor(t, dtype=torch.float64)))))

    for stepper in (Euler(), Rk4(), BackwardEuler(), CrankNicolson()):
        evolve(terms, u0, [0.0, 0.3], stepper=stepper, dt=0.02, watch=watch)
    assert len(wrong) == 60
    assert max(wrong) <= 1e-15


def test_an_error_in_watch_stops_the_run() -> None:
    def watch(step: int, steps: int, t: float, u: Tensor) -> None:
        if step == 3:
            raise KeyboardInterrupt

    count = 0

    def f(t: Tensor, u: Tensor) -> Tensor:
        nonlocal count
        count += 1
        return -u

    with pytest.raises(KeyboardInterrupt):
        evolve(f, torch.ones(1, 1), [0.0, 1.0], stepper=Euler(), dt=0.1, watch=watch)
    assert count == 3


def test_channels_and_batches_are_kept() -> None:
    space = Space(random_square(3, seed=1))
    u0 = torch.rand(4, 2, space.n, 3, dtype=torch.float64)
    run = evolve(Diffusion(space, 0.01), u0, [0.0, 0.5, 1.0], stepper=CrankNicolson(), dt=0.1)
    assert run.states.shape == (3, 4, 2, space.n, 3)
    alone = evolve(Diffusion(space, 0.01), u0[2, 1, :, :1], [0.0, 0.5, 1.0], stepper=CrankNicolson(), dt=0.1)
    assert torch.allclose(run.states[:, 2, 1, :, :1], alone.states, rtol=1e-12)
