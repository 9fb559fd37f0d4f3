"""The rows of docs/hamiltonian.md: named once, and what they are judged by is right."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from benchmarks.hamiltonian import __main__ as hamiltonian
from benchmarks.hamiltonian import bodies, conservation, lagrangian, liquids, maps, pendulums, speed, steppers
from graphpde.dynamics import evolve
from graphpde.hamiltonian import Lagrangian, lennard_jones, pendulum

START = torch.tensor(0.0, dtype=torch.float64)


def test_every_row_is_there_once_and_the_page_keeps_its_text(tmp_path: Path) -> None:
    rows = hamiltonian.hamiltonian_rows()
    assert len({row.name for row in rows}) == len(rows) > 40
    page = tmp_path / "hamiltonian.md"
    page.write_text("# Hamiltonian systems\n\nby hand\n")
    known = {rows[0].name: {"value": 0.0, "text": "1.00", "on": "x", "note": "", "commit": "abc", "seconds": 1.0}}
    hamiltonian.put_tables(known, page)
    text = page.read_text()
    hamiltonian.put_tables(known, page)
    assert page.read_text() == text
    assert "by hand" in text and rows[0].name in text and rows[-1].name not in text


def test_the_exact_pendulum() -> None:
    system, u0 = pendulum(2.0)
    assert torch.allclose(steppers.swung(2.0, 0.0), u0, atol=1e-12)
    final = evolve(system, u0, [0.0, 3.0], stepper="yoshida8", dt=0.02).final
    assert torch.allclose(steppers.swung(2.0, 3.0), final, atol=1e-11)


def test_a_drift_is_that_of_the_mean() -> None:
    """A swing of any phase is left out; a slope counts by nine tenths of its length."""
    t = torch.linspace(0, 1000, 20_001, dtype=torch.float64)
    assert conservation.risen(torch.sin(t + 0.3)) < 1e-4  # 2 / 100 by means without weights
    assert conservation.risen(1e-3 * t / 1000 + torch.sin(t)) == pytest.approx(0.9e-3, abs=1e-4)


def test_peers_give_the_same_forces() -> None:
    system, u = lennard_jones(5)
    u = evolve(system, u, [0.0, 0.2], stepper="leapfrog", dt=0.005).final
    assert system.box is not None
    q, length = u[:, :3].contiguous(), float(system.box.lengths[0])
    wanted = system.kick(START, q)
    cells = liquids.Cells(length, 0.3)
    for found in (liquids.AllPairs(length, rows=60)(q), torch.from_numpy(cells(q.numpy()))):
        assert torch.allclose(found, wanted, rtol=1e-11, atol=1e-11)
    moved, p = liquids.verlet(cells, q.numpy(), u[:, 3:].numpy(), 0.005, 40)
    ours = evolve(system, u, [0.0, 0.2], stepper="leapfrog", dt=0.005).final
    assert torch.allclose(torch.from_numpy(moved), ours[:, :3], atol=1e-10)
    assert torch.allclose(torch.from_numpy(p), ours[:, 3:], atol=1e-10)
    assert cells.made > 2


def test_a_liquid_is_advanced() -> None:
    liquid = speed.Liquid(4)
    assert liquid.n == 256
    assert liquid.neighbours.made >= 2


@pytest.mark.parametrize("count", (2, 3))
def test_orbits_are_nearly_circles(count: int) -> None:
    u = bodies.orbits(count, 50, 1)
    assert float(u.sum(1).abs().max()) < (1e-14 if count == 2 else 1.5)
    q, p = u.split(2, -1)
    across = (q * p).sum(-1) / (q.norm(dim=-1) * p.norm(dim=-1))
    pull = (bodies.gravity(count).kick(START, q) * q).sum(-1)  # of a circle: minus the square of the speed
    ratio = (-pull / p.square().sum(-1)).mean()
    assert float(across.abs().max()) < (1e-12 if count == 2 else 0.25)
    assert float(ratio) == pytest.approx(1.0, abs=0.1)


def test_the_double_pendulum_by_its_angles() -> None:
    """Small swings have the frequencies g (2 +- sqrt 2), and the energy is that of the Lagrangian."""
    u = torch.tensor([[1e-4, math.sqrt(2) * 1e-4, 0.0, 0.0]], dtype=torch.float64)
    rate = Lagrangian(lagrangian.double)(START, u)
    assert torch.allclose(rate[:, 2:] / u[:, :2], torch.tensor(-9.81 * (2 - math.sqrt(2))).double(), rtol=1e-5)
    some = lagrangian.starts(1, 3)[0] + 0.3
    assert float(lagrangian.energy(some)) == pytest.approx(float(Lagrangian(lagrangian.double).energy(some)), rel=1e-12)


def test_windows_start_with_what_was_seen() -> None:
    states = torch.arange(40, dtype=torch.float64).reshape(20, 1, 2).clone()
    states[[3, 10]] = torch.nan
    times, cut, seen = pendulums.windows(states, ~states.isnan().any(-1)[:, 0], 7, 3)
    assert times.tolist() == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert cut[0, :, 0, 0].tolist() == [0, 12, 18, 24]  # frame 3 was not seen
    assert cut[:, 0, 0, 0].tolist() == [0, 4, 8, 12]
    assert int((~seen[..., 0, 0]).sum()) == 1  # frame 10, from 6 on


def test_chains_start_with_their_centre_at_rest() -> None:
    u = maps.starts("chain", 10, 0)
    assert u.shape == (10, 5, 2)
    assert float(u.mean(1).abs().max()) < 1e-15
    end = maps.motions("chain", u, 20)[-1]
    assert float(end.mean(1).abs().max()) < 1e-14
