"""What a run promises by the mathematics of its problem and stepper, checked on what was computed."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from graphpde.config import Setup
from graphpde.core.linear_operator import Sparse, columns
from graphpde.ops.boundary import Exchange
from graphpde.ops.source import Load
from graphpde.ops.values import is_constant
from graphpde.run.measure import Meter, Moment
from graphpde.solve.result import Result
from graphpde.viz import Certificate

_ROUNDING = {torch.float64: 1e-9, torch.float32: 1e-4}
_RESIDUAL = {torch.float64: 1e-8, torch.float32: 1e-4}


def certify(setup: Setup, meter: Meter, moments: Sequence[Moment], result: Result | None = None) -> list[Certificate]:
    """The certificates of a run from its saved moments; for a steady state also the result of the solve.

    A property that this problem and stepper do not promise is left out, or measured without a target.
    """
    out = []
    if result is not None:
        residual = Certificate("residual", result.residual, _RESIDUAL[setup.u0.dtype])
        return [residual, *_maximum_principle(setup, meter, moments[-1:])]
    out += _mass_balance(setup, meter, moments)
    out += _energy_decay(setup, meter, moments)
    out += _wave_energy(setup, meter, moments)
    return out + _maximum_principle(setup, meter, moments)


def _loads(setup: Setup) -> list[Load]:
    terms = [term.inflow if isinstance(term, Exchange) else term for _, term in setup.system.linear]
    return [term for term in terms if isinstance(term, Load)]


def _loads_constant(setup: Setup) -> bool:
    return all(is_constant(load.f) for load in _loads(setup))


def _mass_balance(setup: Setup, meter: Meter, moments: Sequence[Moment]) -> list[Certificate]:
    """Nothing leaves a closed domain; constant sources and inflows add what they say."""
    system = setup.system
    if not meter.gradient_flow or system.fixed is not None or not _loads_constant(setup) or _leaks(setup, meter):
        return []
    with torch.no_grad():
        load = system.load(torch.zeros((), dtype=torch.float64, device=setup.u0.device), setup.u0)
        gain = [0.0] * setup.u0.shape[-1] if load is None else load.double().sum(0).tolist()
        size = meter.content(setup.u0.abs())
    first, worst = moments[0], 0.0
    for moment in moments:
        for start, now, rate, scale in zip(first.content, moment.content, gain, size, strict=True):
            expected = rate * (moment.t - first.t)
            unit = max(scale, abs(rate) * (moments[-1].t - first.t))
            worst = max(worst, abs(now - start - expected) / unit if unit else abs(now - start))
    # an iterative solve may lose its tolerance in every step
    lost = 0.0
    if setup.stepper is not None and setup.stepper.implicit:
        lost = moments[-1].step * setup.config.solver.rtol
    target = max(lost, 0.1 * _ROUNDING[setup.u0.dtype])
    return [Certificate("mass balance" if load is not None else "mass drift", worst, target)]


def _wave_energy(setup: Setup, meter: Meter, moments: Sequence[Moment]) -> list[Certificate]:
    """A wave that nothing damps or drives keeps its energy under the implicit trapezoidal rule, to its tolerance."""
    wave, fixed, stepper = meter.wave, setup.system.fixed, setup.stepper
    alone = len(setup.system.linear) == 1 and not setup.system.nonlinear
    if wave is None or wave.damping or not alone or stepper is None or not (fixed is None or fixed.constant):
        return []
    energies = [moment.energy for moment in moments]
    scale = max(energies)
    drift = (scale - min(energies)) / scale if scale else 0.0
    kept = stepper.name == "crank_nicolson"
    target = max(10 * moments[-1].step * setup.config.solver.rtol, _ROUNDING[setup.u0.dtype]) if kept else None
    return [Certificate("energy drift", drift, target)]


def _leaks(setup: Setup, meter: Meter) -> bool:
    """Whether the operator makes or loses something of a constant, as an exchange with the surroundings does."""
    assert meter.operator is not None
    one, diagonal = torch.ones_like(setup.u0), meter.operator.diagonal()
    size = 1.0 if diagonal is None else float(diagonal.abs().max())
    return float(meter.operator.matvec(one).abs().max()) > _ROUNDING[setup.u0.dtype] * size


def _energy_decay(setup: Setup, meter: Meter, moments: Sequence[Moment]) -> list[Certificate]:
    """A gradient flow with data that are constant in time goes downhill.

    A linear one does so under every one-step method within its bound, and one of convex energies under backward Euler:
    E(u) >= E(v) + E'(v) (u - v) = E(v) + |v - u|^2 / dt. Energies that a convex r/2 |u|^2 would mend, such as that of
    Ginzburg and Landau, lose r/2 |v - u|^2 of it, and fall for dt <= 2 / r. Elsewhere the rise is measured.
    """
    fixed = setup.system.fixed
    steady_data = _loads_constant(setup) and (fixed is None or fixed.constant)
    descends = meter.gradient_flow or bool(meter.forms or meter.wells)
    if not descends or not steady_data or setup.config.solver.allow_unstable or len(moments) < 2:
        return []
    energies = [moment.energy for moment in moments]
    scale = max(max(abs(e) for e in energies), 1e-6 * meter.energy_scale(setup.u0))
    rise = max(0.0, *(b - a for a, b in pairwise(energies)))
    target = _ROUNDING[setup.u0.dtype] if _goes_downhill(setup, meter) else None
    name = f"{meter.energy_name} energy increase".lstrip()
    return [Certificate(name, rise / scale if scale else rise, target)]


def _goes_downhill(setup: Setup, meter: Meter) -> bool:
    """Whether the stepper promises that no step adds energy."""
    assert setup.stepper is not None
    if meter.forms or meter.wells:
        parts = [*meter.forms, *meter.wells]
        convex = all(form.convex for _, form in meter.forms) and (meter.operator is None or not meter.forms)
        rate = sum(factor * reaction.concavity for factor, reaction in meter.wells)
        slow = not meter.wells or (setup.control is None and _longest_step(setup) * rate <= 2)
        return all(c >= 0 for c, _ in parts) and convex and slow and setup.stepper.name == "backward_euler"
    if setup.stepper.name in ("bdf2", "sbdf2"):  # only a norm of two states together falls
        return False
    return setup.control is None or setup.stepper.stiff != "none"  # a tolerance is no bound on explicit steps


def _longest_step(setup: Setup) -> float:
    """Of equal steps: the given one, or that from one saved moment to the next."""
    return float(setup.times.diff().max()) if setup.dt is None else float(setup.dt)


def _maximum_principle(setup: Setup, meter: Meter, moments: Sequence[Moment]) -> list[Certificate]:
    """No value beyond those of the start and the boundary: how far the run overshoots, relative to their range."""
    system, matrix = setup.system, meter.operator
    start = torch.tensor(setup.config.time.start, dtype=torch.float64, device=setup.u0.device)
    driven = system.load(start, setup.u0) is not None
    if system.nonlinear or driven or not isinstance(matrix, Sparse) or setup.u0.shape[-1] != 1:
        return []
    rows = _row_sums(matrix, setup)
    low, high = meter.data
    leaky = float(rows.min()) < -1e-9 * float(matrix.diag.abs().max())
    if leaky:  # what leaves without anything coming in lets values fall towards zero
        low, high = min(low, 0.0), max(high, 0.0)
    beyond = max(0.0, *(max(m.high[0] - high, low - m.low[0]) for m in moments))
    promised = _monotone(matrix, rows) and _keeps_order(setup, matrix)
    target = _ROUNDING[setup.u0.dtype] if promised else None
    return [Certificate("overshoot", beyond / (high - low) if high > low else beyond, target)]


def _row_sums(matrix: Sparse, setup: Setup) -> Tensor:
    """L 1 at the free nodes [k]; 0 where there is none."""
    with torch.no_grad():
        rows = matrix.matvec(torch.ones_like(setup.u0))[:, 0]
    if setup.system.fixed is not None:
        rows = rows[~setup.system.fixed.mask]
    return rows if len(rows) else rows.new_zeros(1)


def _monotone(matrix: Sparse, rows: Tensor) -> bool:
    """No negative weight and no row that makes something of nothing."""
    size = float(matrix.diag.abs().max())
    return bool((matrix.weight >= -1e-12 * size).all()) and bool((rows <= 1e-9 * size).all())


def _keeps_order(setup: Setup, matrix: Sparse) -> bool:
    """Whether the stepper carries the order of a monotone operator over to its step.

    Backward Euler always does, forward Euler and Heun while dt |L_ii| <= m_i (Gottlieb, Shu and Tadmor 2001).
    """
    if setup.stepper is None:
        return True
    if not setup.space.lumped:
        return False
    if setup.stepper.name == "backward_euler":
        return True
    if setup.stepper.name not in ("euler", "heun") or setup.dt is None:
        return False
    mass = setup.space.mass
    assert isinstance(mass, Tensor)
    fastest = (columns(matrix.diag).abs() / mass[:, None]).max()
    return setup.dt * float(fastest) <= 1 + 1e-9
