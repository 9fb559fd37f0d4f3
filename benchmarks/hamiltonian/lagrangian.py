"""A learned Lagrangian: the double pendulum by a positive definite matrix of masses and a potential."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from benchmarks.hamiltonian.trainings import trained
from benchmarks.physics.rows import SOLVING, Found, Row, at_most, percent
from graphpde.dynamics import evolve
from graphpde.hamiltonian import Lagrangian, MassMatrix, RateMatch
from graphpde.train import Adam, Cosine, fit

SECTION = "Learned Lagrangians"
SOURCES = (*SOLVING, "graphpde/hamiltonian", "graphpde/train", "graphpde/nets", "benchmarks/hamiltonian/lagrangian.py")
DTYPE = torch.float64
GRAVITY = 9.81
SETTINGS: dict[str, Any] = {"seed": 0, "hidden": 64, "batch": 256, "adam": 20_000}
PATHS, SEEN, JUDGED, AHEAD = 200, 20.0, 10, 100.0  # 200 of 5 s meet too few of the fastest states
DT = 0.0125  # with twice this, rk4 alone loses half of what is promised
LARGEST = 3 * GRAVITY
"""Potential energy of both masses straight up, from that at the pivot."""


def rows() -> list[Row]:
    """The promise."""
    return [
        Row(SECTION, "double pendulum: true energy along the learned motion over 100 s",
            "<= 1 % of the largest potential energy", at_most(1e-2), _kept, sources=SOURCES),
    ]  # fmt: skip


def double(q: Tensor, v: Tensor) -> Tensor:
    """L [*, n, 1] of two masses of 1 on links of 1, by the angles of the links from straight down."""
    (a, b), (x, y) = q.split(1, -1), v.split(1, -1)
    kinetic = x * x + 0.5 * y * y + x * y * torch.cos(a - b)
    return kinetic + GRAVITY * (2 * torch.cos(a) + torch.cos(b))


def energy(u: Tensor) -> Tensor:
    """Kinetic and potential energy [*] of states [*, 1, 4]."""
    q, v = u.split(2, -1)
    up = -GRAVITY * (2 * torch.cos(q[..., :1]) + torch.cos(q[..., 1:]))
    return (double(q, v) + 2 * up)[..., 0, 0]


def starts(count: int, seed: int) -> Tensor:
    """Angles of up to pi / 2 at rest [count, 1, 4]."""
    angles = math.pi * torch.rand(count, 1, 2, generator=torch.Generator().manual_seed(seed), dtype=DTYPE) - math.pi / 2
    return torch.cat([angles, torch.zeros_like(angles)], -1)


def doubled(seed: int, hidden: int, batch: int, adam: int) -> dict[str, float]:
    """Learned from accelerations along short motions; of long ones the true energy."""
    true, zero = Lagrangian(double), torch.zeros((), dtype=DTYPE)
    times = torch.linspace(0, SEEN, 201, dtype=DTYPE)
    u = evolve(true, starts(PATHS, seed), times, stepper="rk4", dt=DT).states.flatten(0, 1)
    u = u[torch.randperm(len(u), generator=torch.Generator().manual_seed(seed))]
    known = true(zero, u).detach()
    torch.manual_seed(seed)
    learned = Lagrangian(MassMatrix(2, hidden=hidden).double())

    class Batches:
        def drawn(self, rng: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
            for _ in range(adam):
                some = torch.randint(0, len(u) - 1000, (batch,), generator=rng)
                yield u[some], known[some]

    rng = torch.Generator().manual_seed(seed)
    update = Adam(1e-2, schedule=Cosine(adam), clip=30.0)
    fit(learned, RateMatch(), Batches(), update=update, steps=adam, rng=rng)
    far = torch.linspace(0, AHEAD, 501, dtype=DTYPE)
    with torch.no_grad():
        run = evolve(learned, starts(JUDGED, 1000 + seed), far, stepper="rk4", dt=DT).states
        other = float(RateMatch()(learned, (u[-1000:], known[-1000:]))["rate"])
    off = ((energy(run) - energy(run[0])).abs() / LARGEST).amax(0)
    return {
        "largest": float(off.max()), "mean": float(off.mean()), "middle": float(off.median()), "other": other,
        "rates": float(known.square().mean()),
    }  # fmt: skip


def _kept() -> Found:
    (found,) = trained("lagrangian.doubled", SETTINGS)
    on = (
        f"largest over {JUDGED} motions of {AHEAD:g} s from rest at angles of up to 90 degrees, rk4, dt = {DT:g}; "
        f"learned from accelerations along {PATHS} motions of {SEEN:g} s"
    )
    note = (
        f"mean of the motions {percent(found['mean'])}, median {percent(found['middle'])}; "
        f"accelerations of states left out off by {percent((found['other'] / found['rates']) ** 0.5)}, root mean square"
    )
    return Found(found["largest"], percent(found["largest"]), on, note)
