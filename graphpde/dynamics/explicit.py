"""Explicit Runge-Kutta methods: one class, one table."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import cache, partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from graphpde.core.blend import blend
from graphpde.core.linear_operator import LinearOperator
from graphpde.dynamics.state import combine, leaves, tree_map
from graphpde.dynamics.stepper import STEPPERS, Carry, Foresight, Step
from graphpde.ops.system import System
from graphpde.typing import Scalar, State


class Tableau(NamedTuple):
    """Butcher tableau: stages c | a, weights b, and the weights of the embedded error estimate."""

    order: int
    a: tuple[tuple[float, ...], ...]
    b: tuple[float, ...]
    error: tuple[float, ...] | None = None

    @property
    def c(self) -> tuple[float, ...]:
        return tuple(sum(row) for row in self.a)

    @property
    def first_same_as_last(self) -> bool:
        return len(self.a) > 1 and self.a[-1] == self.b[: len(self.a) - 1] and self.b[-1] == 0


def _q(text: str) -> tuple[float, ...]:
    return tuple(float(Fraction(x)) for x in text.split())


_DOPRI5 = _q("35/384 0 500/1113 125/192 -2187/6784 11/84")
# Tsitouras 2011, table 1: decimal coefficients as published
_TSIT5 = (0.09646076681806523, 0.01, 0.4798896504144996, 1.379008574103742, -3.290069515436081, 2.324710524099774)

TABLEAUS: dict[str, Tableau] = {
    "euler": Tableau(1, ((),), (1.0,)),
    "midpoint": Tableau(2, ((), (0.5,)), (0.0, 1.0)),
    "heun": Tableau(2, ((), (1.0,)), (0.5, 0.5), (0.5, -0.5)),
    # Ralston 1962, Math. Comp. 16: least bound on the truncation error of order 2
    "ralston": Tableau(2, ((), _q("2/3")), _q("1/4 3/4"), _q("3/4 -3/4")),
    # Bogacki and Shampine 1989, Appl. Math. Lett. 2, table 1
    "bosh3": Tableau(
        3, ((), _q("1/2"), _q("0 3/4"), _q("2/9 1/3 4/9")), (*_q("2/9 1/3 4/9"), 0.0), _q("-5/72 1/12 1/9 -1/8")
    ),
    "rk4": Tableau(4, ((), _q("1/2"), _q("0 1/2"), _q("0 0 1")), _q("1/6 1/3 1/3 1/6")),
    # Dormand and Prince 1980, J. Comput. Appl. Math. 6, table 2
    "dopri5": Tableau(
        5,
        (
            (),
            _q("1/5"),
            _q("3/40 9/40"),
            _q("44/45 -56/15 32/9"),
            _q("19372/6561 -25360/2187 64448/6561 -212/729"),
            _q("9017/3168 -355/33 46732/5247 49/176 -5103/18656"),
            _DOPRI5,
        ),
        (*_DOPRI5, 0.0),
        _q("71/57600 0 -71/16695 71/1920 -17253/339200 22/525 -1/40"),
    ),
    # Tsitouras 2011, Comput. Math. Appl. 62, table 1
    "tsit5": Tableau(
        5,
        (
            (),
            (0.161,),
            (-0.008480655492356989, 0.335480655492357),
            (2.8971530571054935, -6.359448489975075, 4.3622954328695815),
            (5.325864828439257, -11.748883564062828, 7.4955393428898365, -0.09249506636175525),
            (5.86145544294642, -12.92096931784711, 8.159367898576159, -0.071584973281401, -0.028269050394068383),
            _TSIT5,
        ),
        (*_TSIT5, 0.0),
        (
            -0.00178001105222577714,
            -0.0008164344596567469,
            0.007880878010261995,
            -0.1447110071732629,
            0.5823571654525552,
            -0.45808210592918697,
            0.015151515151515152,
        ),
    ),
}


class RungeKutta:
    """An explicit Runge-Kutta method.

    u_new = u + dt sum b_i k_i, k_i = f(t + c_i dt, u + dt sum a_ij k_j).

    The last stage is reused as the next first one where the tableau allows it and nothing is fixed by conditions. Of a
    linear system u' = A u + b with constant A and b the stages are polynomials of A applied to the first slope, and the
    step is worked out as such: as many products with A, and a third of the additions.
    """

    implicit, symplectic, stiff, accepts = False, "no", "none", "any"
    steps_each = True  # t and dt may be one for each sample
    name: str
    order: float
    tableau: Tableau

    error_power: float | None = None

    def init(self, f: System, t: Tensor, u: State) -> Carry:
        return None

    def step(self, f: System, t: Tensor, dt: Scalar, u: State, carry: Carry) -> Step:
        table = self.tableau
        matrix = f.autonomous_map
        if matrix is not None and isinstance(u, Tensor) and not isinstance(dt, Tensor):
            return self._linear_step(f, matrix, (t, dt), u, carry)
        slopes: list[State] = []
        for i, (row, c) in enumerate(zip(table.a, table.c, strict=True)):
            if i == 0:
                slopes.append(f.rate(t, u) if carry is None else carry)
            else:
                slopes.append(f.rate(t + c * dt, combine(u, [dt * a for a in row], slopes)))
        new = f.reset(t + dt, combine(u, [dt * b for b in table.b], slopes))
        weights = table.error

        error = partial(_summed, u, slopes, weights or (), dt)
        reused = slopes[-1] if table.first_same_as_last and f.fixed is None else None
        work = {"evaluations": len(slopes) - (carry is not None)}
        last = None if f.frozen else reused
        bend = partial(_summed, u, slopes, _bend(self.name), dt) if reused is not None and _bend(self.name) else None
        stiffness = partial(_steepness, f, u, dt, table, slopes) if min(table.c[-2:]) > 1 - 1e-9 else None
        return Step(new, error if weights else None, last, work, (slopes[0], reused), bend, stiffness)

    def _linear_step(
        self, f: System, matrix: LinearOperator, at: tuple[Tensor, float], u: Tensor, carry: Carry
    ) -> Step:
        (t, dt), table = at, self.tableau
        seen = carry if isinstance(carry, _Seen) else _Seen(f.rate(t, u) if carry is None else carry, carry is None)
        reuses = table.first_same_as_last
        factors = _of_powers(self.name, "b", dt)
        new, last, powers = matrix.polynomial(u, seen.slope, factors, slope=reuses, known=seen.powers)
        error = partial(_blended, _of_powers(self.name, "error", dt), powers) if table.error else None
        work = {"evaluations": len(table.a) - (not seen.fresh)}
        return Step(new, error, None if f.frozen else last, work, (seen.slope, last))

    def foresee(self, f: System, t: Tensor, u: State, carry: Carry) -> Foresight | None:
        """Of a linear system, what steps of every length from here would do: their products are the same."""
        matrix = f.autonomous_map
        if matrix is None or not isinstance(u, Tensor) or not self.tableau.error:
            return None
        seen = _Seen(f.rate(t, u) if carry is None else carry, carry is None)
        new, error = (len(_of_unit_step(self.name, weights)) for weights in ("b", "error"))
        with torch.no_grad():
            powers = matrix.powers(seen.slope.detach(), max(new + self.tableau.first_same_as_last, error))
        return Foresight(seen._replace(powers=powers), powers, partial(_both, self.name))

    def real_extent(self) -> float:
        return _real_extent(self.name)


class _Seen(NamedTuple):
    """The first slope of a step, whether it was worked out for this step, and the powers of a linear map on it."""

    slope: Tensor
    fresh: bool
    powers: Sequence[Tensor] = ()


@cache
def _polynomials(name: str) -> np.ndarray:
    """Row i: coefficients of the polynomial p_i of dt A with k_i = p_i k_0, [stages, degrees]."""
    rows = TABLEAUS[name].a
    p = np.zeros((len(rows), len(rows)))
    for i, row in enumerate(rows):
        p[i, 0] = 1.0
        for factor, before in zip(row, p):
            p[i, 1:] += factor * before[:-1]
    return p


@cache
def _of_unit_step(name: str, weights: str) -> tuple[float, ...]:
    """Coefficients of A^j k_0 in sum_i weights_i k_i for dt = 1, up to the last that is not zero."""
    total = np.asarray(getattr(TABLEAUS[name], weights)) @ _polynomials(name)
    return tuple(float(c) for c in total[: int(np.flatnonzero(total)[-1]) + 1])


def _of_powers(name: str, weights: str, dt: float) -> list[float]:
    """Coefficients of A^j k_0 in dt sum_i weights_i k_i, the weights "b" or "error" of the tableau."""
    return [c * dt ** (j + 1) for j, c in enumerate(_of_unit_step(name, weights))]


def _both(name: str, dt: float) -> tuple[Sequence[float], Sequence[float]]:
    return _of_powers(name, "b", dt), _of_powers(name, "error", dt)


def _blended(factors: Sequence[float], powers: Sequence[Tensor]) -> Tensor:
    with torch.no_grad():
        return blend(powers[0] * factors[0], factors[1:], powers[1 : len(factors)])


def _summed(u: State, slopes: Sequence[State], weights: Sequence[float], dt: Scalar) -> State:
    """dt sum of weight * slope, like u."""
    return combine(tree_map(lambda x: x * 0, u), [dt * w for w in weights], slopes)


def _steepness(f: System, u: State, dt: Scalar, table: Tableau, slopes: Sequence[State]) -> float:
    """\\|k_s - k_s-1\\| / \\|g_s - g_s-1\\| of the last two stages, both at the end of the step.

    Reference: Hairer and Wanner 1996, section IV.2 (stiffness detection).
    """
    with torch.no_grad():
        rows = [*table.a[-2:]]
        one, two = (combine(tree_map(lambda x: x * 0, u), [dt * a for a in row], slopes) for row in rows)
        apart = [a - b for a, b in zip(leaves(two), leaves(one), strict=True)]
        faster = [a - b for a, b in zip(leaves(slopes[-1]), leaves(slopes[-2]), strict=True)]
        near = sum(float(x.square().sum()) for x in apart)
        return (sum(float(x.square().sum()) for x in faster) / near) ** 0.5 if near else 0.0


@cache
def _bend(name: str) -> tuple[float, ...]:
    """Weights d of the stages for which h sum d_i k_i is h^4 / 24 times the fourth derivative; () = none.

    The conditions are those of order 4 on d: 0 for the trees of fewer nodes, 1/gamma for those of four.
    """
    table = TABLEAUS[name]
    s = len(table.b)
    a = np.zeros((s, s))
    for i, row in enumerate(table.a):
        a[i, : len(row)] = row
    c = a.sum(1)
    trees = [np.ones(s), c, c**2, a @ c, c**3, c * (a @ c), a @ c**2, a @ (a @ c)]
    wanted = np.array([0, 0, 0, 0, 1 / 4, 1 / 8, 1 / 12, 1 / 24])
    d, *_ = np.linalg.lstsq(np.array(trees), wanted, rcond=1e-12)
    off = np.abs(np.array(trees) @ d - wanted).max()
    return tuple(float(x) for x in d) if off < 1e-10 else ()


@cache
def _real_extent(name: str) -> float:
    """Largest x with |R(-y)| <= 1 for all 0 <= y <= x, R the stability polynomial of the tableau."""
    table = TABLEAUS[name]
    s = len(table.b)
    a = np.zeros((s, s))
    for i, row in enumerate(table.a):
        a[i, : len(row)] = row
    powers = [1.0]
    v = np.ones(s)
    for _ in range(s):
        powers.append(float(np.dot(table.b, v)))
        v = a @ v
    y = np.linspace(0, 40, 400_001)
    unstable = np.flatnonzero(np.abs(np.polyval(powers[::-1], -y)) > 1 + 1e-12)
    return float(y[unstable[0] - 1]) if len(unstable) else float("inf")


@STEPPERS.add("euler")
class Euler(RungeKutta):
    """Forward Euler. Order 1. Reference: Euler 1768."""

    name, order, tableau = "euler", 1.0, TABLEAUS["euler"]


@STEPPERS.add("midpoint")
class Midpoint(RungeKutta):
    """The explicit midpoint rule. Order 2. Reference: Runge 1895."""

    name, order, tableau = "midpoint", 2.0, TABLEAUS["midpoint"]


@STEPPERS.add("heun")
class Heun(RungeKutta):
    """Heun's method, the explicit trapezoidal rule. Order 2. Reference: Heun 1900."""

    name, order, tableau = "heun", 2.0, TABLEAUS["heun"]
    error_power = 2.0


@STEPPERS.add("ralston")
class Ralston(RungeKutta):
    """Ralston's method. Order 2. Reference: Ralston 1962."""

    name, order, tableau = "ralston", 2.0, TABLEAUS["ralston"]
    error_power = 2.0


@STEPPERS.add("bosh3")
class Bosh3(RungeKutta):
    """Bogacki-Shampine 3(2). Order 3. Reference: Bogacki and Shampine 1989."""

    name, order, tableau = "bosh3", 3.0, TABLEAUS["bosh3"]
    error_power = 3.0


@STEPPERS.add("rk4")
class Rk4(RungeKutta):
    """The classical Runge-Kutta method. Order 4. Reference: Kutta 1901."""

    name, order, tableau = "rk4", 4.0, TABLEAUS["rk4"]


@STEPPERS.add("dopri5")
class Dopri5(RungeKutta):
    """Dormand-Prince 5(4). Order 5. Reference: Dormand and Prince 1980."""

    name, order, tableau = "dopri5", 5.0, TABLEAUS["dopri5"]
    error_power = 5.0


@STEPPERS.add("tsit5")
class Tsit5(RungeKutta):
    """Tsitouras 5(4). Order 5. Reference: Tsitouras 2011."""

    name, order, tableau = "tsit5", 5.0, TABLEAUS["tsit5"]
    error_power = 5.0
