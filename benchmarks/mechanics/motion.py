"""Bodies in motion: frequencies of beams, plates and bodies between walls, kept energy, damping, a struck bar."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.physics.rows import SOLVING, Found, Row, at_most, percent
from graphpde.dynamics import GeneralisedAlpha, Leapfrog, Newmark, evolve
from graphpde.mesh import Space, box, interval, jittered, rectangle, refine
from graphpde.ops import Diffusion, Dirichlet, Neumann, System
from graphpde.ops.elasticity import Elasticity, Elastodynamics, Symmetry, modes

SECTION = "Vibrations"
PERCENT = at_most(0.01)
SOURCES = (*SOLVING, "benchmarks/mechanics/motion.py")
F64 = torch.float64
E, NU, RHO = 210e9, 0.3, 7850.0  # steel
STEPS = 100_000


def rows() -> list[Row]:
    """The rows."""
    return [
        _row("cantilever, length 20 heights: three frequencies by Timoshenko's theory", "1 %", PERCENT, _cantilever),
        _row("square plate, simply supported: frequencies by Kirchhoff's theory", "1 %", PERCENT, _supported_plate),
        _row("square plate, clamped: lowest frequency by Kirchhoff's theory", "1 %", PERCENT, _clamped_plate),
        _order("p1", 2),
        _order("p2", 4),
        _row("newmark: energy of a beam over 100,000 steps", "1e-10 relative", at_most(1e-10), _newmark_energy),
        _row(
            "leapfrog: energy of a beam over 100,000 steps", "drift 1e-3, swings 0.1", at_most(1e-3), _leapfrog_energy
        ),
        _row("generalised alpha: what is left of high frequencies", "rho_inf (1e-3)", at_most(1e-3), _radius),
        _row("bar struck at one end: time of flight by sqrt(E / rho)", "1 %", PERCENT, _flight),
        _row("Rayleigh damping: ratio of a bending mode", "1 %", PERCENT, _rayleigh),
    ]


def _row(name: str, target: str, check: Callable[[float], bool], measure: Callable[[], Found]) -> Row:
    return Row(SECTION, name, target, check, measure, "", SOURCES)


# beams


def timoshenko(length: float, height: float, count: int, shear: float) -> list[float]:
    """Angular frequencies of a cantilever of unit width: where a motion fits both ends.

    (w, psi, M, Q)' = S (w, psi, M, Q) with w' = psi + Q / (k G A), M' = -Q - rho I omega^2 psi, Q' = -rho A omega^2 w;
    Timoshenko 1921; k is Cowper's 1966 factor.
    """
    from scipy.linalg import expm
    from scipy.optimize import brentq

    area, inertia, g = height, height**3 / 12, E / (2 * (1 + NU))

    def fits(omega: float) -> float:
        s = np.zeros((4, 4))
        s[0, 1], s[0, 3], s[1, 2] = 1.0, 1 / (shear * g * area), 1 / (E * inertia)
        s[2, 1], s[2, 3], s[3, 0] = -RHO * inertia * omega**2, -1.0, -RHO * area * omega**2
        scale = np.diag([1.0, 1 / length, E * inertia / length**2, E * inertia / length**3])
        end = expm(np.linalg.inv(scale) @ s @ scale * length)
        return float(np.linalg.det(end[2:, 2:]))

    found: list[float] = []
    omega = 0.1 * math.sqrt(E * inertia / (RHO * area)) / length**2
    while len(found) < count:
        if fits(omega) * fits(1.05 * omega) < 0:
            found.append(float(brentq(fits, omega, 1.05 * omega, xtol=1e-10, rtol=1e-13)))
        omega *= 1.05
    return found


def bernoulli(length: float, height: float) -> list[float]:
    """Of the same by Euler and Bernoulli, who leave shear and the turning of sections out."""
    return [
        (root / length) ** 2 * math.sqrt(E * height**2 / (12 * RHO)) for root in (1.87510407, 4.69409113, 7.85475744)
    ]


def _beam(cells: int, length: float, height: float, element: str) -> tuple[Space, Any]:
    space = Space(rectangle(cells, 2, width=length, height=height), element)
    return space, Elasticity(space, E, NU, kind="plane_stress") + Dirichlet("left", 0.0)


def _cantilever() -> Found:
    length, height = 1.0, 0.05
    space, held = _beam(60, length, height, "p2")
    found = modes(held, RHO, k=3).angular.tolist()
    shear = 10 * (1 + NU) / (12 + 11 * NU)
    exact, thin = timoshenko(length, height, 3, shear), bernoulli(length, height)
    worst, without = (max(abs(a / b - 1) for a, b in zip(found, theory, strict=True)) for theory in (exact, thin))
    hertz = ", ".join(f"{w / (2 * math.pi):.2f}" for w in found)
    note = f"{hertz} Hz; Euler and Bernoulli, without shear: {percent(without)} off"
    return Found(worst, percent(worst), f"P2, plane stress, {2 * space.n} unknowns", note)


# plates

PLATE, THIN, CELLS = 1.0, 0.02, 16


def _plate() -> tuple[Space, Elasticity]:
    mesh = box(CELLS, CELLS, 1, cells="hexahedron")
    mesh = mesh.with_points(mesh.points * torch.tensor([PLATE, PLATE, THIN], dtype=F64))
    space = Space(mesh, "q2")
    return space, Elasticity(space, E, NU)


def _stiff() -> float:
    """sqrt(D / (rho h)) with D = E h^3 / (12 (1 - nu^2))."""
    return math.sqrt(E * THIN**2 / (12 * (1 - NU**2) * RHO))


def _supported_plate() -> Found:
    """pi^2 (m^2 + n^2) / a^2 sqrt(D / (rho h)); the sides hold what runs along them, so that Navier's modes fit."""
    space, body = _plate()
    names = _sides()
    held: Any = body
    for side, along in ((names[0], [1, 2]), (names[1], [1, 2]), (names[2], [0, 2]), (names[3], [0, 2])):
        held = held + Dirichlet(side, 0.0, channels=along)
    found = modes(held, RHO, k=4).angular.tolist()
    exact = [math.pi**2 * k / PLATE**2 * _stiff() for k in (2, 5, 5, 8)]
    worst = max(abs(a / b - 1) for a, b in zip(found, exact, strict=True))
    return _of_plate(worst, space, f"modes 11, 12, 21, 22, lowest {found[0] / (2 * math.pi):.2f} Hz")


def _clamped_plate() -> Found:
    """35.985 / a^2 sqrt(D / (rho h)), Leissa 1973."""
    space, body = _plate()
    held: Any = body
    for side in _sides():
        held = held + Dirichlet(side, 0.0)
    found = float(modes(held, RHO, k=1).angular[0])
    error = abs(found / (35.985 / PLATE**2 * _stiff()) - 1)
    return _of_plate(error, space, f"{found / (2 * math.pi):.2f} Hz")


def _sides() -> tuple[Callable[..., Tensor], ...]:
    """The four sides of the plate: across x at both ends, then across y."""

    def at(axis: int, place: float) -> Callable[..., Tensor]:
        return lambda x: (x[:, axis] - place).abs() < 1e-9

    return at(0, 0.0), at(0, PLATE), at(1, 0.0), at(1, PLATE)


def _of_plate(error: float, space: Space, note: str) -> Found:
    left_out = "; the theory leaves out shear across the plate and the turning of sections, of the order (k h)^2 / 4"
    on = f"solid, {CELLS} x {CELLS} x 1 quadratic hexahedra, h / a = {THIN / PLATE:g}, {3 * space.n} unknowns"
    return Found(error, percent(error), on, note + left_out)


# orders


def _order(element: str, order: int) -> Row:
    name = f"square between smooth walls, eigenvalues of {element.upper()}: order"
    return _row(name, f"{order} (- 0.1)", lambda v: v >= order - 0.1, lambda: _walls(element))


def _walls(element: str) -> Found:
    """Shear and pressure waves with k = pi (m, n) fit exactly: omega^2 = c_s^2 k^2 and c_p^2 k^2."""
    shear, pressure = 1 / (2 * (1 + NU)), (1 - NU) / ((1 + NU) * (1 - 2 * NU))
    exact = math.pi**2 * torch.tensor([2 * shear, pressure, pressure, 5 * shear, 5 * shear], dtype=F64)
    mesh, errors, n = jittered(rectangle(6, 6), 0.15, seed=0), [], 0
    for _ in range(3):
        space = Space(mesh, element, lumped=False)
        body: Any = Elasticity(space, 1.0, NU)
        for side in ("left", "right", "bottom", "top"):
            body = body + Symmetry(side)
        values, n = modes(body, 1.0, k=5).values, 2 * space.n
        errors.append(float((values / exact - 1).abs().max()))
        mesh = refine(mesh, 1)
    found = math.log2(errors[1] / errors[2])
    note = "largest relative errors of five eigenvalues " + ", ".join(f"{e:.1e}" for e in errors)
    return Found(found, f"{found:.2f}", f"random triangles halved twice, to {n} unknowns, plane strain", note)


# energy


def _thrown() -> tuple[Space, Elastodynamics, Tensor]:
    """A short cantilever of steel, all points of it with a velocity."""
    space, held = _beam(6, 6.0, 1.0, "p1")
    u = torch.zeros(space.n, 4, dtype=F64)
    assert space.pos is not None
    u[:, 2], u[:, 3] = 0.1 * space.pos[:, 0], space.pos[:, 0] ** 2
    return space, Elastodynamics(held, RHO), u


def _energies(stepper: Any, dt: float) -> Tensor:
    _, motion, u = _thrown()
    times = torch.linspace(0, STEPS * dt, 501, dtype=F64)
    return motion.energy(evolve(motion, u, times, stepper=stepper, dt=dt).states)


def _newmark_energy() -> Found:
    energy = _energies(Newmark(), 2e-4)
    worst = float((energy / energy[0] - 1).abs().max())
    return Found(worst, f"{worst:.1e}", f"P1, {4 * _thrown()[0].n} numbers, dt = 2e-4 s")


def _leapfrog_energy() -> Found:
    _, motion, _ = _thrown()
    bound = motion.frequency_bound()
    energy = _energies(Leapfrog(), 1.0 / float(bound or 1.0))
    swings = float((energy / energy[0] - 1).abs().max())
    drift = abs(float(energy[-100:].mean() / energy[1:101].mean() - 1))
    value = drift if swings <= 0.1 else swings
    note = f"within {swings:.1e} of its start all the time"
    return Found(value, f"drift {drift:.1e}", "P1, lumped mass, half of the longest stable step", note)


def _radius() -> Found:
    """The largest eigenvalue of a step of length 1 of u'' = -omega^2 u as a matrix on (u, v, a)."""
    omega, worst, texts = 1e6, 0.0, []
    spring = Elastodynamics(Diffusion(Space(interval(1)), 0.5 * omega**2) + Dirichlet("left", 0.0), 1.0)
    start = torch.zeros((), dtype=F64)
    system, scale = System(spring, None, start), np.array([1.0, omega, omega**2])
    for rho in (0.0, 0.2, 0.5, 0.8, 1.0):
        stepper, columns = GeneralisedAlpha(rho), []
        carry = stepper.step(system, start, 1.0, torch.zeros(2, 2, dtype=F64), None).carry
        for k in range(3):
            unit = torch.zeros(2, 3, dtype=F64)
            unit[1, k] = scale[k]
            step = stepper.step(system, start, 1.0, unit[:, :2].clone(), carry._replace(a=unit[:, 2:].clone()))
            columns.append(np.array([*step.u[1].tolist(), float(step.carry.a[1, 0])]) / scale)
        left = float(np.abs(np.linalg.eigvals(np.stack(columns, 1))).max())
        worst = max(worst, abs(left - rho))
        texts.append(f"{left:.4f}")
    return Found(worst, f"{worst:.1e}", "an oscillator, omega dt = 1e6", "for 0, 0.2, 0.5, 0.8, 1: " + ", ".join(texts))


# waves and damping


def _flight() -> Found:
    """From the mean time of the pressure at one end to that of the velocity at the other one."""
    length, height, speed = 1.0, 0.02, math.sqrt(E / RHO)
    lasting = 0.3 * length / speed
    space = Space(rectangle(200, 4, width=length, height=height))

    def stroke(x: Tensor, t: Tensor) -> Tensor:
        push = 1e6 * torch.sin(math.pi * t / lasting) ** 2 * (t < lasting)
        return torch.stack([push + 0 * x[:, 0], 0 * x[:, 0]], 1)

    motion = Elastodynamics(Elasticity(space, E, NU, kind="plane_stress") + Neumann("left", stroke), RHO)
    bound = motion.frequency_bound()
    times = torch.linspace(0, 1.6 * length / speed, 401, dtype=F64)
    u0 = torch.zeros(space.n, 4, dtype=F64)
    run = evolve(motion, u0, times, stepper=Leapfrog(), dt=1.8 / float(bound or 1.0))
    v = run.states[:, space.tag("right").nodes, 2].mean(1)
    found = float((times * v).sum() / v.sum()) - lasting / 2
    error = abs(found * speed / length - 1)
    note = f"{1e6 * found:.2f} us for 1 m, {1e6 * length / speed:.2f} us; a pulse of 0.3 m in a bar 0.02 m high"
    return Found(error, percent(error), f"P1, plane stress, {2 * space.n} unknowns, leapfrog, {run.steps} steps", note)


def _rayleigh() -> Found:
    """alpha / (2 omega) + beta omega / 2 from the logarithmic decrement of the second mode over five periods."""
    space, held = _beam(20, 1.0, 0.05, "p2")
    mode = modes(held, RHO, k=2)
    omega, shape = float(mode.angular[1]), mode.shapes[..., 1]
    alpha, beta = 0.02 * omega, 0.03 / omega
    motion = Elastodynamics(held, RHO, (alpha, beta))
    period = 2 * math.pi / omega
    times = torch.linspace(0, 5 * period, 501, dtype=F64)
    run = evolve(motion, torch.cat([shape, 0 * shape], 1), times, stepper=Newmark(), dt=period / 200)
    swing = np.array([float((state[:, :2] * shape).sum()) for state in run.states])
    tops = [k for k in range(1, 500) if swing[k - 1] < swing[k] >= swing[k + 1]]
    peaks = [_top(swing[k - 1 : k + 2]) for k in tops]
    decrement = math.log(peaks[0] / peaks[-1]) / (len(peaks) - 1)
    found = decrement / math.sqrt(4 * math.pi**2 + decrement**2)
    exact = alpha / (2 * omega) + beta * omega / 2
    error = abs(found / exact - 1)
    note = f"ratio {found:.5f}, formula {exact:.5f}, mode at {omega / (2 * math.pi):.1f} Hz"
    return Found(error, percent(error), f"P2, {2 * space.n} unknowns, newmark, 200 steps a period", note)


def _top(y: np.ndarray) -> float:
    """The largest value of the parabola through three values."""
    slope, bend = (y[2] - y[0]) / 2, y[0] - 2 * y[1] + y[2]
    return float(y[1] - slope**2 / (2 * bend))
