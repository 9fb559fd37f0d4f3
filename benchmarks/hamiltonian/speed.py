"""Speed of a Lennard-Jones liquid beside all pairs and cells in numpy, its cost by its size, gradients through it.

python -m benchmarks.hamiltonian.speed [--cells 14] [--rounds 3]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from benchmarks.hamiltonian.liquids import AllPairs, Cells, verlet
from benchmarks.physics.rows import NO_TARGET, SOLVING, Found, Row, at_most
from graphpde.dynamics import evolve
from graphpde.hamiltonian import Particles, lennard_jones
from graphpde.ops.pair import LennardJones

SECTION = "Speed of particles"
SOURCES = (*SOLVING, "graphpde/hamiltonian", "benchmarks/hamiltonian/speed.py", "benchmarks/hamiltonian/liquids.py")
CELLS, MANY_CELLS = 14, 29
DT, STEPS, ROUNDS = 0.005, 40, 3
DTYPE = torch.float64


def rows() -> list[Row]:
    """The promises."""
    return [
        _row("Lennard-Jones, 10,976 particles: all pairs in torch by ours, CPU time of a step", ">= 20",
             lambda v: v >= 20, lambda: _by("all pairs")),
        _row("Lennard-Jones, 10,976 particles: cells in numpy by ours, CPU time of a step", NO_TARGET,
             lambda v: True, lambda: _by("cells")),
        _row("Lennard-Jones: time per particle of 97,556 by that of 10,976", "<= 1.3", at_most(1.3), _linear),
        _row("Lennard-Jones: gradient through 200 steps and new lists against differences", "<= 1e-5 relative",
             at_most(1e-5), _gradient),
    ]  # fmt: skip


def _row(name: str, target: str, check: Callable[[float], bool], measure: Callable[[], Found]) -> Row:
    return Row(SECTION, name, target, check, measure, sources=SOURCES)


class Liquid:
    """A liquid that is advanced by our steps; lists of neighbours are made anew on the way."""

    def __init__(self, cells: int):
        self.system, self.state = lennard_jones(cells)
        assert self.system.box is not None and self.system.neighbours is not None
        self.length, self.neighbours = float(self.system.box.lengths[0]), self.system.neighbours
        self.advance(STEPS // 2)

    @property
    def n(self) -> int:
        """Number of particles."""
        return self.system.n

    def advance(self, steps: int) -> None:
        """So many steps of leapfrog."""
        self.state = evolve(self.system, self.state, [0.0, steps * DT], stepper="leapfrog", dt=DT).final

    def halves(self) -> tuple[Tensor, Tensor]:
        """Positions and momenta [n, 3] now."""
        q, p = self.state.chunk(2, 1)
        return q.contiguous(), p.contiguous()


def _seconds(run: Callable[..., object], *given: object) -> float:
    start = time.process_time()
    run(*given)
    return time.process_time() - start


@cache
def beside_others(cells: int = CELLS, rounds: int = ROUNDS) -> dict[str, float]:
    """CPU seconds of a step of each, medians of rounds in turn; how often lists were made; how forces differ."""
    liquid = Liquid(cells)
    every, cell = AllPairs(liquid.length), Cells(liquid.length, liquid.neighbours.skin)
    q, p = liquid.halves()
    force = liquid.system.kick(torch.zeros((), dtype=DTYPE), q)
    others = every(q), torch.from_numpy(cell(q.numpy()))
    off = max(float((other - force).abs().max() / force.abs().max()) for other in others)
    times: dict[str, list[float]] = {"ours": [], "all pairs": [], "cells": []}
    made = liquid.neighbours.made, cell.made
    for _ in range(rounds):
        q, p = liquid.halves()
        times["ours"].append(_seconds(liquid.advance, STEPS) / STEPS)
        times["cells"].append(_seconds(verlet, cell, q.numpy(), p.numpy(), DT, STEPS) / (STEPS + 1))
        times["all pairs"].append(_seconds(every, q))
    lists = {"lists": liquid.neighbours.made - made[0], "lists of cells": cell.made - made[1]}
    return {**{name: statistics.median(x) for name, x in times.items()}, **lists, "off": off, "n": liquid.n}


def _by(other: str) -> Found:
    found = beside_others()
    ratio = found[other] / found["ours"]
    text = f"{ratio:.3g}x ({1e3 * found[other]:.0f} against {1e3 * found['ours']:.0f} ms)"
    on = (
        f"leapfrog, dt = {DT:g}, cutoff 2.5, double precision, one thread, {ROUNDS} rounds of {STEPS} steps in turn; "
        "all pairs: one force each"
    )
    note = (
        f"lists made anew {found['lists']:.0f} times in {ROUNDS * STEPS} steps (cells: {found['lists of cells']:.0f}); "
        f"forces agree to {found['off']:.0e}"
    )
    return Found(ratio, text, on, note)


def _linear() -> Found:
    few, many = Liquid(CELLS), Liquid(MANY_CELLS)
    made = few.neighbours.made, many.neighbours.made
    times: dict[int, list[float]] = {few.n: [], many.n: []}
    for _ in range(2):
        for liquid in (few, many):
            times[liquid.n].append(_seconds(liquid.advance, STEPS) / STEPS / liquid.n)
    a, b = statistics.median(times[few.n]), statistics.median(times[many.n])
    lists = few.neighbours.made - made[0], many.neighbours.made - made[1]
    on = f"2 rounds of {STEPS} steps in turn, lists made anew {lists[0]} and {lists[1]} times"
    return Found(b / a, f"{b / a:.2f} ({1e6 * b:.2f} against {1e6 * a:.2f} us)", on)


def _gradient() -> Found:
    """Of the sum of squares of the last state by the depth of the potential."""
    base, u = lennard_jones(3, cutoff=1.8)
    made = []

    def final(depth: Tensor) -> Tensor:
        charge = depth.sqrt() * torch.ones_like(base.masses)
        system = Particles(base.masses, LennardJones(cutoff=1.8), box=base.box, skin=0.15, charge=charge)
        run = evolve(system, u, [0.0, 0.4], stepper="leapfrog", dt=0.002)
        assert system.neighbours is not None
        made.append(system.neighbours.made)
        return run.final.square().sum()

    depth, h = torch.tensor(1.0, dtype=DTYPE, requires_grad=True), 1e-5
    (found,) = torch.autograd.grad(final(depth), depth)
    with torch.no_grad():
        wanted = (final(depth + h) - final(depth - h)) / (2 * h)
    off = abs(float(found / wanted) - 1)
    return Found(off, f"{off:.1e}", f"{base.n} particles, dt = 0.002, {made[0]} lists on the way, differences of {h:g}")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cells", type=int, default=CELLS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    args = parser.parse_args()
    torch.set_num_threads(1)
    for name, value in beside_others(args.cells, args.rounds).items():
        print(f"{name:14} {value:g}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
