"""Orders and symplecticity of the steppers, lengths of rigid bonds, the temperature of a thermostat."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from itertools import pairwise

import numpy as np
import torch
from scipy.special import ellipj, ellipk
from torch import Tensor

from benchmarks.physics.rows import SOLVING, Found, Row, at_most
from graphpde.dynamics import STEPPERS, Brownian, evolve
from graphpde.hamiltonian import Particles, double_pendulum, pendulum, springs
from graphpde.ops import Separable, System, langevin

SECTION = "Symplectic steppers"
SOURCES = (*SOLVING, "graphpde/hamiltonian", "benchmarks/hamiltonian/steppers.py")
SYMPLECTIC = [name for name, kind in STEPPERS.items() if kind.symplectic == "yes"]
ANGLE = 2.0
HALVINGS = {1: (1.0, 64), 2: (1.0, 16), 4: (4.0, 8), 6: (8.0, 6), 8: (16.0, 5)}
"""Order -> time, and the steps in a unit of time from which two halvings start: above rounding, below which h^8 lies
within a factor of eight of h."""
DTYPE = torch.float64


def rows() -> list[Row]:
    """The promises."""
    return [
        *(_row(f"order of {name}", f"within {_slack(name)}", _slack(name), partial(_order, name))
          for name in SYMPLECTIC),
        *(_row(f"{name}: |M^T J M - J| of a step of five bodies", "<= 1e-12", 1e-12, partial(_defect, name))
          for name in SYMPLECTIC),
        _row("rattle: lengths of a double pendulum over 50,000 steps", "<= 1e-10", 1e-10, _lengths),
        _row("baoab: temperature of anharmonic wells, |z|", "<= 3", 3.0, _temperature),
    ]  # fmt: skip


def _row(name: str, target: str, bound: float, measure: Callable[[], Found]) -> Row:
    return Row(SECTION, name, target, at_most(bound), measure, sources=SOURCES)


def _slack(name: str) -> float:
    return 0.2 if STEPPERS[name]().order == 8 else 0.05


def swung(angle: float, t: float) -> Tensor:
    """Angle and momentum [1, 2] of a pendulum of strength 1 that started at rest, by elliptic functions."""
    k = math.sin(angle / 2)
    sn, cn, _, _ = ellipj(t + ellipk(k * k), k * k)
    return torch.tensor([[2 * math.asin(k * sn), 2 * k * cn]], dtype=DTYPE)


def _order(name: str) -> Found:
    system, u0 = pendulum(ANGLE)
    declared = STEPPERS[name]().order
    end, coarse = HALVINGS[int(declared)]
    exact, errors = swung(ANGLE, end), []
    for k in range(3):
        final = evolve(system, u0, [0.0, end], stepper=name, dt=1 / (coarse * 2**k)).final
        errors.append(float((final - exact).norm()))
    order = [math.log2(a / b) for a, b in pairwise(errors)][-1]
    note = f"errors {', '.join(f'{e:.1e}' for e in errors)}, steps from 1/{coarse} on"
    on = f"pendulum from {ANGLE:g} rad to t = {end:g}, exact by elliptic functions"
    return Found(abs(order - declared), f"{order:.3f}, declared {declared:g}", on, note)


def symplectic_form(d: int, n: int) -> Tensor:
    """J of the flattened state [n, 2 d]: positions before momenta in every node."""
    block = torch.zeros(2 * d, 2 * d, dtype=DTYPE)
    block[:d, d:], block[d:, :d] = torch.eye(d), -torch.eye(d)
    return torch.block_diag(*[block] * n)


def symplectic_defect(m: Tensor, d: int) -> float:
    """max |M^T J M - J| of a Jacobian [2 d n, 2 d n]."""
    j = symplectic_form(d, len(m) // (2 * d)).to(m)
    return float((m.T @ j @ m - j).abs().max())


def _defect(name: str) -> Found:
    system, u = springs(5)
    t, dt = torch.tensor(0.0, dtype=DTYPE), 0.2

    def step(x: Tensor) -> Tensor:
        f, state = System(system, None, t), x.reshape(u.shape)
        stepper = STEPPERS[name]()
        return stepper.step(f, t, dt, state, stepper.init(f, t, state)).u.flatten()  # type: ignore[union-attr]

    m = torch.autograd.functional.jacobian(step, u.flatten(), vectorize=False)
    off = symplectic_defect(m, 2)
    return Found(off, f"{off:.1e}", f"ring of springs with a rest length, dt = {dt:g}, the whole Jacobian")


def _lengths() -> Found:
    term, u = double_pendulum()
    motion, steps, dt = term.motion, 50_000, 0.004
    assert isinstance(motion, Particles)
    times = torch.linspace(0, steps * dt, 1001, dtype=DTYPE)
    run = evolve(term, u, times, stepper="rattle", dt=dt)
    off = float(term.stretch(run.states[..., :2]).abs().max())
    energy, reach = motion.energy(run.states), 3 * 9.81
    tenth = len(energy) // 10
    drift = float((energy[-tenth:].mean() - energy[:tenth].mean()).abs()) / reach
    note = f"mean energy of the last tenth against the first: {drift:.1e} of the largest potential energy"
    return Found(off, f"{off:.1e}", f"links of 1, dt = {dt:g}, T = {steps * dt:g}, largest (|d|^2 - 1) / 2", note)


def _temperature() -> Found:
    """Of a well q^2 / 2 + q^4 / 4 the law of positions is known by quadrature: the mean of its virial q U' is kT."""
    warm, h, copies, looks = 0.7, 0.1, 4000, 10
    wells = Separable(lambda t, q: -q - q**3)
    u0 = torch.zeros(copies, 1, 2, dtype=DTYPE)
    times = torch.cat([torch.zeros(1), 10 + 8 * torch.arange(looks)])
    term = langevin(wells, friction=1.0, temperature=warm)
    run = evolve(term, u0, times, stepper="baoab", dt=h, brownian=Brownian(5))
    q = run.states[1:, :, 0, 0].T  # [copies, looks]
    each = (q.square() + q**4).mean(1)  # copies are independent, looks of one copy need not be
    found, error = float(each.mean()), float(each.std()) / math.sqrt(copies)
    x = np.linspace(-8, 8, 200_001)
    law = np.exp(-(x**2 / 2 + x**4 / 4) / warm)
    wanted = float(((x**2 + x**4) * law).sum() / law.sum())
    z = (found - wanted) / error
    on = f"{copies} copies, {looks} looks each, dt = {h:g}, the mean of q U'(q) against its exact value {wanted:.4f}"
    return Found(abs(z), f"{z:+.2f}", on, f"kT = {warm:g}, found {found:.4f} ± {error:.4f}")
