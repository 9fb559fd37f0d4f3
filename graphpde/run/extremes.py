"""Values beyond those of the data where the equation makes none: how far a run overshoots, and what helps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from graphpde.config import Setup
from graphpde.core.linear_operator import Sparse, columns
from graphpde.ops.boundary import Exchange
from graphpde.ops.reaction import Reaction
from graphpde.ops.reactions.kinetics import Kinetics
from graphpde.ops.source import Load
from graphpde.ops.values import is_constant
from graphpde.run.measure import Meter, Moment
from graphpde.viz import Certificate

_ROUNDING = {torch.float64: 1e-9, torch.float32: 1e-4}
_WORTH_SAYING = 0.01  # of the range of the data


class _Range(NamedTuple):
    """The interval that values should keep to.

    Attributes:
        low, high: its ends. promised: whether this space and stepper never leave it. grows: whether the operator makes
            something of a constant, so that values may leave it.
    """

    low: float
    high: float
    promised: bool
    grows: bool = False

    def beyond(self, moment: Moment) -> float:
        """How far a moment lies outside, relative to the length of the interval where it has one."""
        out = max(0.0, moment.high[0] - self.high, self.low - moment.low[0])
        return out / (self.high - self.low) if self.high > self.low else out


def loads(setup: Setup) -> list[Load]:
    """What sources, inflows and exchanges bring in."""
    terms = [term.inflow if isinstance(term, Exchange) else term for _, term in setup.system.linear]
    return [term for term in terms if isinstance(term, Load)]


def loads_constant(setup: Setup) -> bool:
    """Whether none of them changes in time."""
    return all(is_constant(load.f) for load in loads(setup))


def overshoot(setup: Setup, meter: Meter, moments: Sequence[Moment]) -> list[Certificate]:
    """No value beyond those of the start and the boundary: how far the run overshoots, relative to their range."""
    kept = _range(setup, meter)
    if kept is None:
        return []
    target = _ROUNDING[setup.u0.dtype] if kept.promised else None
    return [Certificate("overshoot", max(kept.beyond(moment) for moment in moments), target)]


def overshoot_warning(setup: Setup, meter: Meter, moments: Sequence[Moment]) -> list[str]:
    """A sentence where values leave the range of their data by more than a hundredth of it though the equation forbids.

    It names what helps.
    """
    kept = _range(setup, meter)
    if kept is None or kept.grows or setup.pde.range_kept(kept.low, kept.high, setup.config.coefficients) is None:
        return []
    worst = max(moments, key=kept.beyond)
    far = kept.beyond(worst)
    size = kept.high - kept.low or max(abs(kept.low), abs(kept.high))
    limit = _WORTH_SAYING if kept.high > kept.low else _WORTH_SAYING * size
    if not far > limit:
        return []
    when = "" if setup.stepper is None else f" at t={worst.t:.4g}"
    share = f", by {f'{far:.3g} times' if far > 10 else f'{100 * far:.3g} % of'} that range" * (kept.high > kept.low)
    remedy = setup.pde.range_remedy(setup.space, setup.config.coefficients)
    if setup.config.solver.allow_unstable and setup.stepper is not None and not setup.stepper.implicit:
        remedy = "the steps may be beyond the stability bound; leave allow_unstable out or take a smaller dt"
    return [
        f"{setup.pde.fields[0]} lies in [{worst.low[0]:.4g}, {worst.high[0]:.4g}]{when}, outside of the range "
        f"[{kept.low:.4g}, {kept.high:.4g}] of its data that the equation does not leave{share}; {remedy}"
    ]


def _range(setup: Setup, meter: Meter) -> _Range | None:
    """The interval of the data; None where the equation may leave it, or where it has no one matrix or law for it."""
    if setup.u0.shape[-1] != 1 or _driven(setup):
        return None
    if setup.system.nonlinear:
        return _nonlinear_range(setup, meter)
    matrix = meter.operator
    if not isinstance(matrix, Sparse):
        return None
    rows, size = _row_sums(matrix, setup), float(matrix.diag.abs().max())
    low, high = meter.data
    if float(rows.min()) < -1e-9 * size:  # what leaves without anything coming in lets values fall towards zero
        low, high = min(low, 0.0), max(high, 0.0)
    promised = _monotone(matrix, rows) and _keeps_order(setup, matrix)
    return _Range(low, high, promised, grows=float(rows.max()) > 1e-9 * size)


def _driven(setup: Setup) -> bool:
    """Whether something other than values at the start and on the boundary moves the solution."""
    start = torch.tensor(setup.config.time.start, dtype=torch.float64, device=setup.u0.device)
    with torch.no_grad():
        load = setup.system.load(start, setup.u0)
    if load is None:
        return False
    timed = any(not is_constant(value) for value in setup.config.source.values())
    return timed or not loads_constant(setup) or bool((load != 0).any())


def _nonlinear_range(setup: Setup, meter: Meter) -> _Range | None:
    """What the equation keeps, widened to where its reactions come to rest, if those point inwards at both ends."""
    low, high = meter.data
    if any(rule.robin is not None for rule in setup.config.boundary.values()):
        low, high = min(low, 0.0), max(high, 0.0)
    kept = setup.pde.range_kept(low, high, setup.config.coefficients)
    if kept is None:
        return None
    low, high = kept
    reactions = [(float(factor), term) for factor, term in setup.system.rates if isinstance(term, Reaction)]
    if not reactions:
        return _Range(low, high, False)
    chosen = setup.config.reaction
    if chosen is None or not all(isinstance(value, float | int) for value in chosen.parameters.values()):
        return None
    for _, term in reactions:
        if term.timed or not isinstance(term.f, Kinetics):
            return None
        rest = [state[0] for state in term.f.equilibria()]
        low, high = min([low, *rest]), max([high, *rest])
    with torch.no_grad():
        ends = torch.tensor([[low], [high]], dtype=torch.float64)
        rate = torch.stack([factor * term.f(ends) for factor, term in reactions]).sum(0)
    slack = 1e-9 * float(rate.abs().max().clamp(min=1.0))
    inwards = float(rate[0]) >= -slack and float(rate[1]) <= slack
    return _Range(low, high, False) if inwards else None


def _row_sums(matrix: Sparse, setup: Setup) -> Tensor:
    """L 1 at the free nodes [k]; 0 where there is none."""
    with torch.no_grad():
        rows = matrix.matvec(torch.ones_like(setup.u0))[:, 0]
    if setup.system.fixed is not None:
        rows = rows[~setup.system.fixed.whole]
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


def energy_warning(setup: Setup, certificates: Sequence[Certificate]) -> list[str]:
    """A sentence where steps beyond the stability bound added energy that only falls."""
    found = [c for c in certificates if c.name.endswith("energy increase")]
    if not setup.config.solver.allow_unstable or not found or found[0].value <= _ROUNDING[setup.u0.dtype]:
        return []
    rise = found[0].value
    shown = f"{rise:.3g} of its largest value" if math.isfinite(rise) else "beyond any number"
    return [
        f"the energy, which can only fall, rose by {shown} between two saved moments: these steps are not stable; "
        "leave allow_unstable out, take a smaller dt or an implicit stepper"
    ]
