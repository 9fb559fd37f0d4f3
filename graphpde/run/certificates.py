"""What a run promises by the mathematics of its problem and stepper, checked on what was computed."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch

from graphpde.config import Setup
from graphpde.run.extremes import loads_constant, overshoot
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
        return [residual, *overshoot(setup, meter, moments[-1:])]
    out += _mass_balance(setup, meter, moments)
    out += _energy_decay(setup, meter, moments)
    out += _wave_energy(setup, meter, moments)
    out += _mixture(setup, meter, moments)
    return out + overshoot(setup, meter, moments)


def _mass_balance(setup: Setup, meter: Meter, moments: Sequence[Moment]) -> list[Certificate]:
    """Nothing leaves a closed domain; constant sources and inflows add what they say."""
    system = setup.system
    if not meter.gradient_flow or system.fixed is not None or not loads_constant(setup) or _leaks(setup, meter):
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


def _mixture(setup: Setup, meter: Meter, moments: Sequence[Moment]) -> list[Certificate]:
    """What separates in a closed vessel keeps its mean, and loses energy in every step that splits it."""
    zero = torch.zeros((), dtype=torch.float64, device=setup.u0.device)
    if meter.mixture is None or setup.system.fixed is not None or setup.system.load(zero, setup.u0) is not None:
        return []
    size, rounding = float(setup.space.measure.sum()), _ROUNDING[setup.u0.dtype]
    drift = max(abs(m.mass[0] - moments[0].mass[0]) for m in moments) / size
    out = [Certificate("mass drift", drift, 1e-3 * rounding)]
    energies = [moment.energy for moment in moments]
    rise = max(0.0, *(b - a for a, b in pairwise(energies))) / max(map(abs, energies))
    split = meter.mixture.split and setup.stepper is not None and setup.stepper.name == "backward_euler"
    return [*out, Certificate("energy increase", rise, rounding if split else None)]


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
    steady_data = loads_constant(setup) and (fixed is None or fixed.constant)
    descends = meter.gradient_flow or bool(meter.forms or meter.wells)
    if not descends or not steady_data or len(moments) < 2:
        return []
    energies = [moment.energy for moment in moments]
    scale = max(max(abs(e) for e in energies), 1e-6 * meter.energy_scale(setup.u0))
    rise = max(0.0, *(b - a for a, b in pairwise(energies)))
    promised = _goes_downhill(setup, meter) and not setup.config.solver.allow_unstable
    target = _ROUNDING[setup.u0.dtype] if promised else None
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
