"""Starts that were seen in part."""

from __future__ import annotations

import math

import pytest
import torch

from graphpde.dynamics import evolve
from graphpde.errors import ShapeError
from graphpde.hamiltonian import LearnedField, LearnedStart, Particles, PathMatch, Pendulum
from graphpde.train import LBFGS, fit

F64 = torch.float64


def swinging() -> tuple[Particles, torch.Tensor, torch.Tensor]:
    """A pendulum, times, and states [s, 6, 1, 2] along motions of it."""
    true = Particles(torch.ones(1, dtype=F64), field=Pendulum(1.0))
    u0 = torch.randn(6, 1, 2, dtype=F64, generator=torch.Generator().manual_seed(0))
    times = torch.linspace(0, 3, 31, dtype=F64)
    return true, times, evolve(true, u0, times, stepper="yoshida4", dt=0.05).states


def test_momenta_that_nobody_saw_are_found_beside_the_potential() -> None:
    true, times, states = swinging()
    seen = torch.tensor([True, False]).expand(states.shape)
    partly = states.masked_fill(~seen, math.nan)
    torch.manual_seed(0)
    law = Particles(true.masses, field=LearnedField(1, hidden=16).double())
    learned = LearnedStart(law, partly[0], seen[0])
    assert bool((learned.start[..., 0] == states[0, ..., 0]).all()) and not bool(learned.start[..., 1].any())
    history = fit(learned, PathMatch("leapfrog", 0.05), [(times, partly, seen)], update=LBFGS(), steps=80)
    assert history.rows[-1]["loss"] < 1e-6
    assert float((learned.start - states[0]).abs().max()) < 1e-2
    q = torch.linspace(-1, 1, 21, dtype=F64)[:, None]
    with torch.no_grad():
        assert float((law.field.pull(q) - torch.sin(q)).abs().max()) < 5e-2


def test_the_first_moment_counts_where_it_is_learned() -> None:
    """A start that is free as a whole is drawn to what was seen there."""
    true, times, states = swinging()
    everything = torch.ones_like(states, dtype=torch.bool)
    off = states[0] + 0.1
    model = LearnedStart(true, off, ~everything[0], guess=off)
    found = PathMatch("yoshida4", 0.05)(model, (times[:2], states[:2], everything[:2]))["path"]
    alone = evolve(true, off, times[:2], stepper="yoshida4", dt=0.05).states
    assert float(found) == pytest.approx(float((alone - states[:2]).square().mean()))


def test_sizes_that_do_not_fit_are_refused() -> None:
    true, _, states = swinging()
    with pytest.raises(ShapeError, match=r"seen has shape \[3\], expected one that fits"):
        LearnedStart(true, states[0], torch.ones(3, dtype=torch.bool))
    with pytest.raises(ShapeError, match=r"guess has shape \[7, 6, 1, 2\], expected one"):
        LearnedStart(true, states[0], torch.ones(2, dtype=torch.bool), torch.zeros(7, 6, 1, 2))
