"""Diagonally implicit Runge-Kutta methods: one class, one table."""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

from torch import Tensor

from graphpde.dynamics.stage import Factored, factored, smoothed, solve_stage
from graphpde.dynamics.state import combine
from graphpde.dynamics.stepper import STEPPERS, Carry, Step, require_tensor
from graphpde.ops.system import System
from graphpde.ops.term import times_mass
from graphpde.typing import Scalar, State


class Diagonally(NamedTuple):
    """Butcher tableau with one diagonal entry gamma for all implicit stages, the last of which is the new state.

    Attributes:
        a: rows with their diagonal; a first row of zeros is an explicit stage. c: stage times.
        error: weights of the embedded error estimate.
    """

    a: tuple[tuple[float, ...], ...]
    c: tuple[float, ...]
    error: tuple[float, ...] | None = None

    @property
    def gamma(self) -> float:
        return self.a[-1][-1]

    @property
    def b(self) -> tuple[float, ...]:
        return self.a[-1]


def rows(text: str) -> tuple[tuple[float, ...], ...]:
    """A tableau from its fractions, one row a line."""
    return tuple(tuple(float(Fraction(x)) for x in line.split()) for line in text.strip().splitlines())


def table(a: tuple[tuple[float, ...], ...], embedded: tuple[float, ...] | None = None) -> Diagonally:
    """The tableau with its stage times; the last stage ends the step exactly."""
    c = (*(sum(row) for row in a[:-1]), 1.0)
    return Diagonally(a, c, None if embedded is None else tuple(x - y for x, y in zip(a[-1], embedded, strict=True)))


_ALEXANDER = 1 - 0.5**0.5
_D, _W = 1 - 0.5**0.5, 2**0.5 / 4

DIAGONALLY: dict[str, Diagonally] = {
    "backward_euler": table(((1.0,),)),
    "crank_nicolson": table(((0.0,), (0.5, 0.5))),
    # Alexander 1977, SIAM J. Numer. Anal. 14, theorem 5; beside it the rule of the first stage alone, of order 1
    "sdirk2": table(((_ALEXANDER,), (1 - _ALEXANDER, _ALEXANDER)), (1.0, 0.0)),
    # Hosea and Shampine 1996, Appl. Numer. Math. 20, table 1: the companion is of order 3
    "tr_bdf2": table(((0.0,), (_D, _D), (_W, _W, _D)), ((1 - _W) / 3, (3 * _W + 1) / 3, _D / 3)),
    # Kennedy and Carpenter 2003, Appl. Numer. Math. 44, ARK4(3)6L[2]SA-ESDIRK
    "esdirk4": table(
        rows(
            """0
            1/4 1/4
            8611/62500 -1743/31250 1/4
            5012029/34652500 -654441/2922500 174375/388108 1/4
            15267082809/155376265600 -71443401/120774400 730878875/902184768 2285395/8070912 1/4
            82889/524892 0 15625/83664 69875/102672 -2260/8211 1/4"""
        ),
        rows("4586570599/29645900160 0 178811875/945068544 814220225/1159782912 -3700637/11593932 61727/225920")[0],
    ),
}


class Dirk:
    """M (v_i - u) = dt sum_j a_ij F(t + c_j dt, v_j), j <= i, and the last v_i is the new state.

    Systems M - gamma dt L are factored once for each dt; Dirichlet nodes take their values at every stage by
    symmetric elimination. Nonlinear terms are solved by Newton's method, preconditioned by the factored linear part.
    Backward is one adjoint solve a stage.

    Args:
        method: linear solver, see :class:`graphpde.solve.linear.LinearSolver`. rtol: of iterative solves.
    """

    implicit, symplectic, stiff, accepts = True, "no", "all", "any"
    name: str
    order: float
    error_power: float | None = None

    def __init__(self, *, method: str = "auto", rtol: float = 1e-10):
        self.method, self.rtol = method, rtol

    @property
    def tableau(self) -> Diagonally:
        return DIAGONALLY[self.name]

    def init(self, f: System, t: Tensor, u: State) -> Carry:
        require_tensor(self.name, u)
        return None

    def step(self, f: System, t: Tensor, dt: Scalar, u: State, carry: Carry) -> Step:
        table = self.tableau
        h = table.gamma * dt
        fresh = not (isinstance(carry, Factored) and carry.fits(f, h))
        kept: Factored = factored(f, h, u, self.method, self.rtol) if fresh else carry
        moved = times_mass(f.mass, u)
        slopes: list[Tensor] = []  # weak ones, F at the stages
        value, solves, known = u, 0, moved
        for row, c in zip(table.a, table.c, strict=True):
            if row[-1] == 0:
                slopes.append(f(t, u))
                continue
            if len(slopes) < len(row) - 1:  # from the equation of the stage: evaluating F anew would amplify its error
                slopes.append((kept.mass.matvec(value) - known) / h)
            known = combine(moved, [dt * a for a in row], slopes)
            value, taken = solve_stage(f, t + c * dt, known, value, kept)
            solves += taken

        def error() -> Tensor:
            return self._estimate(f, t, dt, u, [*slopes, (kept.mass.matvec(value) - known) / h], kept)

        work = {"solves": solves, "factorisations": int(fresh), "evaluations": int(table.a[0][-1] == 0)}
        return Step(value, None if self.error_power is None else error, kept, work)

    def _estimate(self, f: System, t: Tensor, dt: Scalar, u: Tensor, slopes: list[Tensor], kept: Factored) -> Tensor:
        weights = [dt * e for e in self.tableau.error or ()]
        return smoothed(f, combine(u * 0, weights, slopes), kept)

    def real_extent(self) -> float:
        return float("inf")


class Theta(Dirk):
    """M (v - u) = dt ((1 - theta) F(t, u) + theta F(t + dt, v))."""


@STEPPERS.add("backward_euler")
class BackwardEuler(Theta):
    """Backward Euler: order 1, damps every stiff component, keeps the maximum principle on monotone operators."""

    name, order, error_power, algebraic = "backward_euler", 1.0, 2.0, True

    def _estimate(self, f: System, t: Tensor, dt: Scalar, u: Tensor, slopes: list[Tensor], kept: Factored) -> Tensor:
        """Its difference to the trapezoidal rule."""
        return smoothed(f, 0.5 * dt * (slopes[0] - f(t, u)), kept)


@STEPPERS.add("crank_nicolson")
class CrankNicolson(Theta):
    """The trapezoidal rule: order 2, A-stable but not damping; rough initial data ring at large steps.

    Reference: Crank and Nicolson 1947.
    """

    name, order = "crank_nicolson", 2.0


@STEPPERS.add("sdirk2")
class Sdirk2(Dirk):
    """Two equal implicit stages: order 2, L-stable. Reference: Alexander 1977."""

    name, order, error_power, algebraic = "sdirk2", 2.0, 2.0, True


@STEPPERS.add("tr_bdf2")
class TrBdf2(Dirk):
    """A trapezoidal step, then BDF2 over both parts: order 2, L-stable, with a companion of order 3.

    Reference: Bank et al. 1985; Hosea and Shampine 1996.
    """

    name, order, error_power, algebraic = "tr_bdf2", 2.0, 3.0, True


@STEPPERS.add("esdirk4")
class Esdirk4(Dirk):
    """Five implicit stages: order 4, L-stable, stage order 2, with a companion of order 3.

    Stiff data that move fast in time show order 2 to 3 of it. Reference: Kennedy and Carpenter 2003.
    """

    name, order, error_power, algebraic = "esdirk4", 4.0, 4.0, True
