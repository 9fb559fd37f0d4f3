"""What stays over long runs: momenta, energies, recurrences; and where a method that keeps nothing is better."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from benchmarks.hamiltonian.steppers import swung
from benchmarks.physics.rows import NO_TARGET, SOLVING, Found, Row, at_most, percent
from graphpde.dynamics import Adaptive, evolve
from graphpde.hamiltonian import Start, fput, kepler, mode_energies, nbody, pendulum, springs
from graphpde.mesh import Space, rectangle
from graphpde.ops.wave import Wave

SECTION = "What stays"
SOURCES = (*SOLVING, "graphpde/hamiltonian", "graphpde/ops/wave.py", "benchmarks/hamiltonian/conservation.py")
STEPS = 100_000
LONG, STRIDE = 8000.0, 0.25
ORBITS, PER_ORBIT = 10_000, 64
WAVES = 50_000
SHORT, ASKED = 10.0, 1000
HANN = "means with Hann's weights, so that the part of a swing at either end does not count"
DTYPE = torch.float64
BODIES: dict[str, tuple[Callable[[], Start], float]] = {
    "5 springs": (lambda: _centred(springs(5)), 0.05),
    "20 bodies under gravity": (lambda: _centred(nbody(20, softening=0.1)), 0.01),
}
"""Name -> start and step."""


def _centred(start: Start) -> Start:
    """The same with its centre at rest in the origin, for equal masses: far from it q x p would round coarsely."""
    return Start(start.system, start.state - start.state.mean(0))


def rows() -> list[Row]:
    """The promises."""
    return [
        *(_row(f"{name}: total momentum over {STEPS:,} steps", "<= 1e-12 of sum |p|", at_most(1e-12),
               partial(_momentum, name)) for name in BODIES),
        *(_row(f"{name}: angular momentum over {STEPS:,} steps", "<= 1e-11 of sum |q x p|", at_most(1e-11),
               partial(_angular, name)) for name in BODIES),
        _row("pendulum, dt = 0.25 to t = 8000: leapfrog's largest error of energy", "<= 2 %", at_most(2e-2), _largest),
        _row("pendulum, dt = 0.25 to t = 8000: leapfrog's drift of energy", "<= 1e-5", at_most(1e-5),
             partial(_drift, "leapfrog")),
        _row("pendulum, dt = 0.25 to t = 8000: rk4's drift of energy", ">= 3 %", lambda v: v >= 3e-2,
             partial(_drift, "rk4")),
        _row("pendulum to t = 10 with 1,000 forces: rk4's error by leapfrog's", "<= 0.1", at_most(0.1), _short),
        _row("pendulum to t = 10 with 1,000 forces: pefrl's error by rk4's", NO_TARGET, at_most(math.inf), _short_four),
        _row("Kepler, e = 0.9, one orbit: error of tsit5 with adaptive steps by that of pefrl's equal ones", "<= 0.1",
             at_most(0.1), _eccentric),
        _row("Kepler, e = 0.6, 10,000 orbits: angular momentum", "<= 1e-10 relative", at_most(1e-10), _kepler),
        _row("FPUT recurrence: energy back in mode 1", ">= 97 %", lambda v: v >= 0.97, _recurrence),
        _row(f"wave on a mesh: drift of energy over {WAVES:,} steps", "<= 1e-4", at_most(1e-4), _wave),
    ]  # fmt: skip


def _row(name: str, target: str, check: Callable[[float], bool], measure: Callable[[], Found]) -> Row:
    return Row(SECTION, name, target, check, measure, sources=SOURCES)


def _far(name: str) -> tuple[Start, Tensor, str]:
    """A system, 101 states of its long run [s, n, 2 d], and how it was made."""
    make, dt = BODIES[name]
    start = make()
    times = torch.linspace(0, STEPS * dt, 101, dtype=DTYPE)
    return start, evolve(start.system, start.state, times, stepper="leapfrog", dt=dt).states, f"leapfrog, dt = {dt:g}"


def _momentum(name: str) -> Found:
    start, states, on = _far(name)
    p = start.system.momentum(states)
    off = float((p - p[0]).abs().max() / states[0, :, states.shape[-1] // 2 :].norm(dim=1).sum())
    return Found(off, f"{off:.1e}", on)


def _angular(name: str) -> Found:
    start, states, on = _far(name)
    q, p = states[0].chunk(2, -1)
    pad = (0, 3 - q.shape[1])
    turning = torch.linalg.cross(torch.nn.functional.pad(q, pad), torch.nn.functional.pad(p, pad)).norm(dim=1).sum()
    found = start.system.angular_momentum(states)
    off = float((found - found[0]).abs().max() / turning)
    return Found(off, f"{off:.1e}", on)


def _energies(stepper: str) -> Tensor:
    """Relative errors of the energy at every step of the pendulum."""
    system, u0 = pendulum(1.0)
    times = torch.linspace(0, LONG, round(LONG / STRIDE) + 1, dtype=DTYPE)
    energy = system.energy(evolve(system, u0, times, stepper=stepper, dt=STRIDE).states)
    return energy / energy[0] - 1


def _largest() -> Found:
    off = float(_energies("leapfrog").abs().max())
    return Found(off, f"{off:.2e}", "from 1 rad at rest, 32,000 steps")


def _drift(stepper: str) -> Found:
    off = risen(_energies(stepper))
    return Found(off, f"{off:.2e}", "from 1 rad at rest; drift: mean of the last tenth less that of the first", HANN)


def risen(x: Tensor) -> float:
    """How much the last tenth of a record [s] lies above the first on average: its drift, swings left out."""
    tenth = len(x) // 10
    weight = torch.hann_window(tenth, dtype=x.dtype)
    return abs(float(((x[-tenth:] - x[:tenth]) * weight).sum() / weight.sum()))


def _error(stepper: str, forces: int) -> float:
    """Of the state at the end of a short run with so many forces a step and ``ASKED`` in all."""
    system, u0 = pendulum(2.0)
    final = evolve(system, u0, [0.0, SHORT], stepper=stepper, dt=SHORT * forces / ASKED).final
    return float((final - swung(2.0, SHORT)).norm())


def _short() -> Found:
    one, four = _error("leapfrog", 1), _error("rk4", 4)
    text = f"{four / one:.1e} ({four:.1e} against {one:.1e})"
    return Found(four / one, text, "from 2 rad, error of the state at the end, steps of 0.04 and 0.01")


def _short_four() -> Found:
    ours, four = _error("pefrl", 4), _error("rk4", 4)
    text = f"{ours / four:.2g} ({ours:.1e} against {four:.1e})"
    return Found(ours / four, text, "from 2 rad, error of the state at the end, steps of 0.04, both of order 4")


def _eccentric() -> Found:
    system, u0 = kepler(0.9)
    period = 2 * math.pi

    def error(final: Tensor) -> float:
        return float((final - u0)[1, :2].norm())

    control = Adaptive(rtol=1e-7, atol=1e-9)
    adapted = evolve(system, u0, [0.0, period], stepper="tsit5", control=control)
    forces = int(adapted.statistics["evaluations"])
    equal = evolve(system, u0, [0.0, period], stepper="pefrl", dt=4 * period / forces)
    a, b = error(adapted.final), error(equal.final)
    return Found(a / b, f"{a / b:.1e} ({a:.1e} against {b:.1e})", f"{forces} forces each, place of the light body")


def _kepler() -> Found:
    system, u0 = kepler(0.6)
    times = torch.linspace(0, 2 * math.pi * ORBITS, ORBITS // 5 + 1, dtype=DTYPE)
    states = evolve(system, u0, times, stepper="leapfrog", dt=2 * math.pi / PER_ORBIT).states
    turning, energy = system.angular_momentum(states), system.energy(states)
    off = float((turning / turning[0] - 1).abs().max())
    note = f"the energy drifts by {risen(energy / energy[0]):.1e} relative"
    return Found(off, f"{off:.1e}", f"leapfrog, {PER_ORBIT} steps an orbit", note)


def _recurrence() -> Found:
    system, u0 = fput(32, alpha=0.25, amplitude=1.0)
    times = torch.linspace(0, 12_000, 1201, dtype=DTYPE)
    states = evolve(system, u0, times, stepper="leapfrog", dt=0.1).states
    share = mode_energies(states)[:, 0] / system.energy(u0)
    late = times > 8000
    at = int(torch.where(late, share, 0.0).argmax())
    energy = system.energy(states)
    off = float((energy / energy[0] - 1).abs().max())
    on = "32 masses, alpha = 0.25, amplitude 1 of mode 1, leapfrog, dt = 0.1, largest after t = 8000"
    note = f"at t = {float(times[at]):g}; least before {percent(float(share.min()))}; energy kept to {off:.1e}"
    return Found(float(share[at]), percent(float(share[at])), on, note)


def _wave() -> Found:
    space = Space(rectangle(20, 20))
    wave = Wave(space)
    assert space.pos is not None
    hill = torch.exp(-40 * (space.pos - 0.4).square().sum(1))
    u0, bound = torch.stack([hill, torch.zeros_like(hill)], 1), wave.frequency_bound()
    assert bound is not None
    times = torch.linspace(0, WAVES / bound, 1001, dtype=DTYPE)
    energy = wave.energy(evolve(wave, u0, times, stepper="leapfrog", dt=1 / bound).states)
    energy = energy / energy[0] - 1
    off, note = risen(energy), f"largest error {percent(float(energy.abs().max()))}; {HANN}"
    return Found(off, f"{off:.1e}", f"{space.n} nodes of a square, leapfrog, half of the largest stable step", note)
