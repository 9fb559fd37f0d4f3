"""Implicit-explicit Runge-Kutta pairs: L u + b(t) implicit, the nonlinear part N(t, u) explicit."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from torch import Tensor

from graphpde.dynamics.implicit import DIAGONALLY, rows
from graphpde.dynamics.stage import Factored, factored, smoothed, solve_stage
from graphpde.dynamics.state import combine
from graphpde.dynamics.stepper import STEPPERS, Carry, Step, require_tensor
from graphpde.ops.system import System
from graphpde.ops.term import divide_by_mass, times_mass
from graphpde.solve.linear import LinearSolver
from graphpde.typing import Scalar, State


class Pair(NamedTuple):
    """Two tableaus with common stage times; the first stage is the state itself.

    Attributes:
        implicit: rows with their diagonal, the last of which holds the weights. explicit: rows without.
        b: weights of the explicit part. error: weights of the embedded error estimate, the same for both parts.
    """

    implicit: tuple[tuple[float, ...], ...]
    explicit: tuple[tuple[float, ...], ...]
    b: tuple[float, ...]
    error: tuple[float, ...] | None = None

    @property
    def c(self) -> tuple[float, ...]:
        return (*(sum(row) for row in self.explicit[:-1]), 1.0)

    @property
    def beyond(self) -> tuple[float, ...]:
        """What the new state takes of the explicit slopes beyond the last stage."""
        last = (*self.explicit[-1], 0.0)
        return tuple(x - y for x, y in zip(self.b, last, strict=True))


def _pair(implicit: tuple[tuple[float, ...], ...], explicit: str, embedded: tuple[float, ...] | None = None) -> Pair:
    """A pair with equal weights."""
    b = implicit[-1]
    error = None if embedded is None else tuple(x - y for x, y in zip(b, embedded, strict=True))
    return Pair(implicit, ((), *rows(explicit)), b, error)


_G = 1 - 0.5**0.5
_DELTA = 1 - 1 / (2 * _G)

PAIRS: dict[str, Pair] = {
    # Ascher, Ruuth and Spiteri 1997, Appl. Numer. Math. 25, section 2.6
    "ars222": Pair(
        ((0.0,), (0.0, _G), (0.0, 1 - _G, _G)), ((), (_G,), (_DELTA, 1 - _DELTA)), (_DELTA, 1 - _DELTA, 0.0)
    ),
    # the same, section 2.8
    "ars443": Pair(
        rows("0\n 0 1/2\n 0 1/6 1/2\n 0 -1/2 1/2 1/2\n 0 3/2 -3/2 1/2 1/2"),
        ((), *rows("1/2\n 11/18 1/18\n 5/6 -5/6 1/2\n 1/4 7/4 3/4 -7/4")),
        rows("1/4 7/4 3/4 -7/4 0")[0],
    ),
    # Kennedy and Carpenter 2003, Appl. Numer. Math. 44, ARK3(2)4L[2]SA
    "ark3": _pair(
        rows(
            """0
            1767732205903/4055673282236 1767732205903/4055673282236
            2746238789719/10658868560708 -640167445237/6845629431997 1767732205903/4055673282236
            1471266399579/7840856788654 -4482444167858/7529755066697 11266239266428/11593286722821 \
            1767732205903/4055673282236"""
        ),
        """1767732205903/2027836641118
        5535828885825/10492691773637 788022342437/10882634858940
        6485989280629/16251701735622 -4246266847089/9704473918619 10755448449292/10357097424841""",
        rows(
            "2756255671327/12835298489170 -10771552573575/22201958757719 9247589265047/10645013368117 "
            "2193209047091/5459859503100"
        )[0],
    ),
    # the same, ARK4(3)6L[2]SA; its implicit half is ``esdirk4``
    "ark4": _pair(
        DIAGONALLY["esdirk4"].a,
        """1/2
        13861/62500 6889/62500
        -116923316275/2393684061468 -2731218467317/15368042101831 9408046702089/11113171139209
        -451086348788/2902428689909 -2682348792572/7519795681897 12662868775082/11960479115383 \
        3355817975965/11060851509271
        647845179188/3216320057751 73281519250/8382639484533 552539513391/3454668386233 \
        3354512671639/8306763924573 4040/17871""",
        tuple(b - e for b, e in zip(DIAGONALLY["esdirk4"].b, DIAGONALLY["esdirk4"].error or (), strict=True)),
    ),
}


class _Kept(NamedTuple):
    stage: Factored
    mass: LinearSolver | None


class Imex:
    """M (v_i - u) = dt sum_j [a_ij (L v_j + b(t_j)) + e_ij N(t_j, v_j)]: one linear solve a stage, no Newton.

    The step is limited by the nonlinear part alone. Dirichlet nodes take their values at every stage.

    Args:
        method: linear solver, "auto", "direct", "cg" or "gmres". rtol: relative tolerance of iterative solves.
    """

    implicit, symplectic, stiff, accepts = True, "no", "linear", "any"
    name: str
    order: float
    error_power: float | None = None

    def __init__(self, *, method: str = "auto", rtol: float = 1e-10):
        self.method, self.rtol = method, rtol

    def init(self, f: System, t: Tensor, u: State) -> Carry:
        require_tensor(self.name, u)
        return None

    def step(self, f: System, t: Tensor, dt: Scalar, u: State, carry: Carry) -> Step:
        pair = PAIRS[self.name]
        h = pair.implicit[-1][-1] * dt
        fresh = not (isinstance(carry, _Kept) and carry.stage.fits(f, h))
        kept = self._factored(f, h, u) if fresh else carry
        stage = kept.stage
        linear, rest = [_linear(f, t, u) if _reads_first(self.name) else u * 0], [f.rest(t, u)]
        moved, value = times_mass(f.mass, u), u
        for k in range(1, len(pair.implicit)):
            known = _added(combine(moved, [dt * a for a in pair.implicit[k]], linear), dt, pair.explicit[k], rest)
            after = t + pair.c[k] * dt
            value = solve_stage(f, after, known, value, stage, nonlinear=False).value
            linear.append((stage.mass.matvec(value) - known) / h)
            if f.nonlinear and (pair.b[k] or any(row[k] for row in pair.explicit[k + 1 :])):
                rest.append(f.rest(after, value))
        solves = len(linear) - 1
        if f.nonlinear and any(pair.beyond):
            extra = _added(u * 0, dt, pair.beyond, rest)
            if f.fixed is not None:
                extra = f.fixed.clear(extra)
            value = value + (divide_by_mass(f.mass, extra) if kept.mass is None else kept.mass(extra))
            solves += kept.mass is not None

        def error() -> Tensor:
            weights = pair.error or ()
            parts = combine(u * 0, [dt * e for e in weights], linear)
            return smoothed(f, _added(parts, dt, weights, rest), stage)

        evaluations = len(rest) if f.nonlinear else 0
        work = {"solves": solves, "factorisations": int(fresh), "evaluations": evaluations}
        return Step(value, error if pair.error else None, kept, work)

    def _factored(self, f: System, h: Scalar, u: Tensor) -> _Kept:
        stage = factored(f, h, u, self.method, self.rtol)
        needs = f.nonlinear and any(PAIRS[self.name].beyond) and not (f.mass is None or isinstance(f.mass, Tensor))
        return _Kept(stage, LinearSolver(f.pin(stage.mass), rtol=1e-12) if needs else None)

    def real_extent(self) -> float:
        return float("inf")


@cache
def _reads_first(name: str) -> bool:
    """Whether the implicit tableau uses the slope at the start."""
    return any(row[0] != 0 for row in PAIRS[name].implicit)


def _linear(f: System, t: Tensor, u: Tensor) -> Tensor:
    """L u + b(t), weak."""
    load = f.load(t, u)
    total = u * 0 if f.operator is None else f.operator(u)
    return total if load is None else total + load


def _added(known: Tensor, dt: Scalar, weights: tuple[float, ...], rest: list[Tensor | None]) -> Tensor:
    """known + dt sum of weight * N; nothing where there is no N."""
    if rest[0] is None:
        return known
    return combine(known, [dt * w for w in weights], rest)


@STEPPERS.add("ars222")
class Ars222(Imex):
    """ARS(2,2,2): two implicit stages, order 2, L-stable in the linear part. Reference: Ascher et al. 1997."""

    name, order, algebraic = "ars222", 2.0, True


@STEPPERS.add("ars443")
class Ars443(Imex):
    """ARS(4,4,3): four implicit stages, order 3, L-stable in the linear part. Reference: Ascher et al. 1997."""

    name, order, algebraic = "ars443", 3.0, True


@STEPPERS.add("ark3")
class Ark3(Imex):
    """ARK3(2)4L[2]SA: order 3 with a companion of order 2, L-stable in the linear part.

    Reference: Kennedy and Carpenter 2003.
    """

    name, order = "ark3", 3.0
    error_power: float | None = 3.0


@STEPPERS.add("ark4")
class Ark4(Imex):
    """ARK4(3)6L[2]SA: order 4 with a companion of order 3, L-stable in the linear part.

    Reference: Kennedy and Carpenter 2003.
    """

    name, order = "ark4", 4.0
    error_power: float | None = 4.0
