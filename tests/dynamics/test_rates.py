"""What rates are given and may return: states of several tensors, whole numbers that are carried, shapes that fit."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from graphpde.dynamics import STEPPERS, Adaptive, Brownian, WithLogDensity, evolve
from graphpde.errors import InputError, ShapeError
from graphpde.ops import SDE, Diagonal

ONES = torch.ones(5, 1, dtype=torch.float64)


class OnFaces(NamedTuple):
    """Points with the face that each is on."""

    x: Tensor
    face: Tensor


@pytest.mark.parametrize("how", ({"dt": 0.1}, {"control": Adaptive(1e-6, 1e-8)}))
@pytest.mark.parametrize("name", ("rk4", "dopri5", "bosh3", "heun"))
def test_whole_numbers_are_carried(name: str, how: dict[str, Any]) -> None:
    if name == "rk4" and "control" in how:
        pytest.skip("estimates no error")
    start = OnFaces(ONES, torch.arange(5)[:, None])

    def f(t: Tensor, u: OnFaces) -> OnFaces:
        return OnFaces(-u.x * u.face, torch.zeros_like(u.face))

    end = evolve(f, start, [0.0, 1.0], stepper=name, **how).final
    assert torch.equal(end.face, start.face)
    alone = evolve(lambda t, x: -x * start.face, ONES, [0.0, 1.0], stepper=name, **how).final
    assert torch.allclose(end.x, alone, rtol=1e-13)


@pytest.mark.parametrize(
    ("f", "u0", "said"),
    [
        (lambda t, u: -u[:, 0], ONES, r"the rate of <lambda> has shape \[5\], expected one that fits \[5, 1\]"),
        (lambda t, u: torch.cat([u, u], 1), ONES, r"the rate of <lambda> has shape \[5, 2\]"),
        (lambda t, u: (u,), ONES, r"the rate of <lambda> is a tuple, expected a tensor that fits \[5, 1\]"),
        (lambda t, u: None, ONES, "the rate of <lambda> is a NoneType"),
        (lambda t, u: u[0], (ONES, ONES), "the rate of <lambda> is a Tensor, expected a tuple of 2, as the state"),
        (lambda t, u: (u[0],), (ONES, ONES), "the rate of <lambda> is a tuple, expected a tuple of 2"),
    ],
)
def test_rates_that_do_not_fit_are_refused(f: Any, u0: Any, said: str) -> None:
    with pytest.raises((InputError, ShapeError), match=said):
        evolve(f, u0, [0.0, 1.0], stepper="rk4", dt=0.1)


def test_times_that_do_not_increase_say_how_to_go_back() -> None:
    with pytest.raises(InputError, match=r"times must increase, got 1 followed by 0; to go back .* -f\(t - s, u\)"):
        evolve(lambda t, u: -u, ONES, [1.0, 0.0], stepper="rk4")


@pytest.mark.parametrize("name", [n for n, kind in STEPPERS.items() if getattr(kind, "strong", None)])
def test_noise_is_asked_as_often_with_gradients_as_without(name: str) -> None:
    """Its derivative comes with it, whether or not anything is learned; what is not learned keeps no graph."""
    if not STEPPERS[name].strong.diagonal:
        pytest.skip("additive noise alone")
    calls = []

    def g(t: Tensor, u: Tensor) -> Tensor:
        calls.append(t)
        return 0.1 * torch.sin(u)

    counts = []
    for calculus in ("ito", "stratonovich"):
        for on in (True, False):
            calls.clear()
            with torch.set_grad_enabled(on):
                sde = SDE(lambda t, u: -u, Diagonal(g), calculus=calculus)
                end = evolve(sde, ONES, [0.0, 1.0], stepper=name, dt=0.25, brownian=Brownian(0)).final
            assert not end.requires_grad
            counts.append(len(calls))
    assert counts[0] == counts[1] and counts[2] == counts[3]


def test_costs_have_no_say_in_the_steps() -> None:
    """v = t^3 is integrated exactly, the integral of its square is not."""
    accepted = []
    for costs in (False, True):
        flow = WithLogDensity(lambda t, x: t**3 + 0 * x, costs=costs)
        run = evolve(flow, flow.start(ONES), [0.0, 3.0], stepper="dopri5", control=Adaptive(1e-9, 1e-9, dt0=0.5))
        accepted.append(run.statistics["accepted"] + run.statistics["rejected"])
    assert accepted[0] == accepted[1]
