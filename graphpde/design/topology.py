"""Where to put material: the stiffest body of a given volume."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from graphpde.checks import number, positive, whole
from graphpde.design.compliance import Compliance
from graphpde.design.material import Densities, Simp
from graphpde.errors import InputError, SolveError
from graphpde.typing import check_shape

_CLOSE = 1e-10  # of the volume asked for
_MOST = 1e300  # times a pull that is not 0: cells that nothing pulls at may underflow

Watch = Callable[[int, float, float, Tensor], bool | None]
"""Told of each step: its number from 1, the compliance after it, the largest change of a variable in it, and the
densities [m]; True ends the way there."""


@dataclass(frozen=True)
class Topology:
    """A design and the way to it.

    Attributes:
        densities: of the cells [m]. variables: the design variables [m] behind them.
        compliance: before each step, and at the end. volume: share that is filled, likewise.
        change: largest change of a variable in each step. converged: whether the last one was small enough.
    """

    densities: Tensor
    variables: Tensor
    compliance: tuple[float, ...]
    volume: tuple[float, ...]
    change: tuple[float, ...]
    converged: bool

    @property
    def steps(self) -> int:
        return len(self.change)

    @property
    def grey(self) -> float:
        """4 x (1 - x) in the mean over cells: 0 for black and white, 1 for all grey (Sigmund 2007, eq. (42))."""
        return float((4 * self.densities * (1 - self.densities)).mean())


def minimise_compliance(
    total: Any,
    volume: float,
    densities: Densities,
    *,
    material: Simp | None = None,
    start: Tensor | None = None,
    steps: int = 200,
    change: float = 0.01,
    move: float = 0.2,
    watch: Watch | None = None,
) -> Topology:
    """The densities of least compliance that fill a share of the volume, by optimality criteria.

    The gradient is that of filter, projection, material and solver together: one adjoint solve with the factors of the
    state. Twice the same call gives the same numbers.

    Args:
        total: the body of full material with loads and supports, see :class:`Compliance`; or one of those.
        volume: share in (0, 1) of the whole, solid and void cells included. densities: of which variables.
        material: modulus by density; default Simp(). start: variables [m]; default ``volume`` everywhere.
        steps: at most. change: of every variable at which it stops. move: longest change of one in a step.
        watch: sees each step, and may end the way with it; see :data:`Watch`.

    Raises:
        InputError: bad numbers. ShapeError: another number of variables. SolveError: a compliance that is no number.

    Reference: Bendsoe and Sigmund 2003, Topology Optimization, section 1.2; Andreassen et al. 2011, section 2.
    """
    densities.require(volume)
    whole("steps", steps)
    positive("change", change)
    positive("move", move)
    body, simp = total if isinstance(total, Compliance) else Compliance(total), material or Simp()
    m = densities.mesh.n_cells
    if body.space.mesh.n_cells != m:
        raise InputError(f"the densities are of {m} cells, the body has {body.space.mesh.n_cells}; give both one mesh")
    x = torch.full((m,), float(volume), dtype=torch.float64) if start is None else start.detach().clone()
    check_shape(x, "m", "start", m=m)
    if not bool(((x >= 0) & (x <= 1)).all()):
        raise InputError("start holds variables outside of [0, 1]; they are densities before the filter")
    compliances, volumes, changes = [], [], [float("inf")]
    while True:
        last = changes[-1] <= change or len(changes) > steps
        x.requires_grad_(not last)
        rho = densities(x)
        c, v = body(simp(rho)), densities.share(rho)
        compliances.append(_finite(float(c.detach()), len(changes) - 1))
        volumes.append(float(v.detach()))
        step = len(changes) - 1
        asked = watch is not None and step > 0 and watch(step, compliances[-1], changes[-1], rho.detach())
        if last or asked:
            break
        slope, weight = (torch.autograd.grad(y, x, retain_graph=y is c)[0] for y in (c, v))
        x = x.detach()
        new = optimality_criteria(x, slope, weight, _share(densities, x, weight, volumes[-1]), volume, move=move)
        changes.append(float((new - x).abs().max()))
        x = new
    done = changes[1:]
    return Topology(rho.detach(), x.detach(), tuple(compliances), tuple(volumes), tuple(done), changes[-1] <= change)


def _share(densities: Densities, x: Tensor, weight: Tensor, now: float) -> Callable[[Tensor], Tensor]:
    """The volume of variables; without projection it is linear and needs no filter."""
    if densities.projection is not None:
        return lambda y: densities.share(densities(y))
    return lambda y: weight @ (y - x) + now


def _finite(c: float, step: int) -> float:
    if not 0 < c < float("inf"):
        raise SolveError(
            f"the compliance is {c:g} after {step} steps, expected a number > 0; look at moduli and supports"
        )
    return c


def optimality_criteria(
    x: Tensor,
    slope: Tensor,
    weight: Tensor,
    share: Callable[[Tensor], Tensor],
    volume: float,
    *,
    move: float = 0.2,
) -> Tensor:
    r"""x_i sqrt(-slope_i / (lambda weight_i)) within [0, 1] and ``move`` of x, with lambda such that the volume is met.

    Args:
        x: variables [m] in [0, 1]. slope: of the compliance by them, taken as 0 where positive. weight: of the volume.
        share: the volume of variables, growing in each. volume: asked for, and met as nearly as ``move`` lets it be.

    Reference: Bendsoe and Sigmund 2003, eq. (1.12), with the damping 1/2.
    """
    number("move", move)
    low, high = (x - move).clamp_min(0), (x + move).clamp_max(1)
    towards = x * torch.where(weight > 0, (-slope).clamp_min(0) / weight.clamp_min(1e-300), 0.0).sqrt()

    def at(q: float) -> Tensor:
        return torch.minimum(torch.maximum(q * towards, low), high)

    if float(share(low)) >= volume:
        return low
    if float(share(high)) <= volume:
        return high
    pulled = towards > 0
    first = 0.0
    last = min(float((high[pulled] / towards[pulled]).max()), _MOST) if bool(pulled.any()) else 0.0
    if float(share(at(last))) <= volume:
        return at(last)
    q = float(x.sum() / towards.sum())  # what moves little
    while True:
        q = q if first < q < last else 0.5 * (first + last)
        found = at(q)
        over = float(share(found)) - volume
        if abs(over) <= _CLOSE * volume or last - first <= 1e-15 * last:
            return found
        first, last = (first, q) if over > 0 else (q, last)
        q = 0.5 * (first + last) if first > 0 and last < 4 * first else 2 * q if over < 0 else 0.5 * q
