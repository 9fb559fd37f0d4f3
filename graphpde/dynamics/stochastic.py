r"""Steppers for du = f dt + g dW, and what they do without noise.

Their orders are those of the error at the end of a run: "strong" that of the path, E|u - u_h|, "weak" that of
expectations, |E p(u) - E p(u_h)|. All draw from the Brownian path that ``evolve`` was given.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from torch import Tensor

from graphpde.dynamics.state import combine
from graphpde.dynamics.stepper import STEPPERS, Carry, Step, require_tensor
from graphpde.errors import InputError
from graphpde.ops.system import System
from graphpde.typing import Scalar, State


class Orders(NamedTuple):
    """Orders by the kind of noise, None = refused."""

    additive: float | None = None
    diagonal: float | None = None
    general: float | None = None

    @property
    def kinds(self) -> list[str]:
        """What is not refused."""
        return [kind for kind, order in self._asdict().items() if order is not None]


class Stochastic:
    """What all have in common.

    Attributes:
        calculus: in which the method is written. strong, weak: orders by the kind of noise.
    """

    implicit, symplectic, stiff, accepts, stochastic = False, "no", "none", "any", True
    error_power: float | None = None
    name: str
    order: float
    calculus: str
    strong: Orders
    weak: Orders

    def init(self, f: System, t: Tensor, u: State) -> Carry:
        require_tensor(self.name, u)
        if f.noise is None:
            return None
        motion = f.noise.motion(u)
        if not isinstance(motion, Tensor):
            raise InputError(f"the motion of the noise is a {type(motion).__name__}, expected a tensor")
        if f.noise.kind not in self.strong.kinds:
            able = [n for n, s in STEPPERS.items() if f.noise.kind in getattr(s, "strong", Orders()).kinds]
            raise InputError(
                f"{self.name} takes {' or '.join(self.strong.kinds)} noise, got {f.noise.kind}; use {', '.join(able)}"
            )
        if f.calculus != self.calculus:
            f.noise.drift(t, u)  # refuses where it cannot be taken over
        return None

    def rate(self, f: System, t: Tensor, u: Tensor) -> Tensor:
        """The drift in the calculus of the method."""
        r = f.rate(t, u)
        if f.noise is None or f.calculus == self.calculus:
            return r
        more = f.noise.drift(t, u)
        if more is None:
            return r
        r = r + 0.5 * more if self.calculus == "ito" else r - 0.5 * more
        return r if f.fixed is None else f.fixed.put(r, f.fixed.rate(t, u))

    def kick(self, f: System, t: Tensor, u: Tensor, dw: Tensor | None) -> Tensor | float:
        """g(t, u) dw, nothing at fixed nodes; 0 without noise."""
        if f.noise is None or dw is None:
            return 0.0
        g = f.noise(t, u, dw)
        return g if f.fixed is None else f.fixed.clear(g)

    def real_extent(self) -> float:
        """On the negative real axis, without noise."""
        return 2.0


class Moved(NamedTuple):
    """w and area of the path in one step; None without noise."""

    w: Tensor | None
    area: Tensor | None


def moved(f: System, t: Tensor, dt: Scalar, u: Tensor) -> Moved:
    """How the path moves from t to t + dt."""
    if f.noise is None:
        return Moved(None, None)
    start = float(t.detach())
    return Moved(*f.brownian(start, start + float(dt), f.noise.motion(u.detach())))


@STEPPERS.add("euler_maruyama")
class EulerMaruyama(Stochastic):
    """u + f dt + g dW, Ito. Strong order 1/2, and 1 if the noise is additive; weak order 1.

    Reference: Maruyama 1955; Kloeden and Platen 1992, section 10.2.
    """

    name, order, calculus = "euler_maruyama", 1.0, "ito"
    strong = Orders(1.0, 0.5, 0.5)
    weak = Orders(1.0, 1.0, 1.0)

    def step(self, f: System, t: Tensor, dt: Scalar, u: Tensor, carry: Carry) -> Step:
        path = moved(f, t, dt, u)
        new = combine(u, [dt], [self.rate(f, t, u)]) + self.kick(f, t, u, path.w)
        return Step(f.reset(t + dt, new), None, None, {"evaluations": 1})


@STEPPERS.add("milstein")
class Milstein(Stochastic):
    """u + f dt + g dW + g g' (dW^2 - dt) / 2, Ito. Strong and weak order 1.

    Reference: Milstein 1974; Kloeden and Platen 1992, section 10.3.
    """

    name, order, calculus = "milstein", 1.0, "ito"
    strong = Orders(1.0, 1.0)
    weak = Orders(1.0, 1.0)

    def step(self, f: System, t: Tensor, dt: Scalar, u: Tensor, carry: Carry) -> Step:
        path = moved(f, t, dt, u)
        new = combine(u, [dt], [self.rate(f, t, u)]) + self.kick(f, t, u, path.w)
        bent = None if f.noise is None else f.noise.drift(t, u)
        if bent is not None and path.w is not None:
            more = 0.5 * bent * (path.w**2 - dt)
            new = new + (more if f.fixed is None else f.fixed.clear(more))
        return Step(f.reset(t + dt, new), None, None, {"evaluations": 1})


@STEPPERS.add("stochastic_heun")
class StochasticHeun(Stochastic):
    """The trapezoidal rule for drift and noise, Stratonovich. Strong order 1, 1/2 for general noise; weak order 1.

    Weak order 2 for additive noise, order 2 without any. General noise has strong order 1 where it commutes.

    Reference: Ruemelin 1982, SIAM J. Numer. Anal. 19; Kloeden and Platen 1992, sections 12.3 and 15.1.
    """

    name, order, calculus = "stochastic_heun", 2.0, "stratonovich"
    strong = Orders(1.0, 1.0, 0.5)
    weak = Orders(2.0, 1.0, 1.0)

    def step(self, f: System, t: Tensor, dt: Scalar, u: Tensor, carry: Carry) -> Step:
        path = moved(f, t, dt, u)
        r0, g0 = self.rate(f, t, u), self.kick(f, t, u, path.w)
        ahead = f.reset(t + dt, combine(u, [dt], [r0]) + g0)
        r1, g1 = self.rate(f, t + dt, ahead), self.kick(f, t + dt, ahead, path.w)
        new = combine(u, [dt * 0.5, dt * 0.5], [r0, r1]) + 0.5 * (g0 + g1)
        return Step(f.reset(t + dt, new), None, None, {"evaluations": 2})


@STEPPERS.add("sra1")
class Sra1(Stochastic):
    """Roessler's method for additive noise: strong order 3/2, weak order 2, and 2 without noise.

    Reference: Roessler 2010, SIAM J. Numer. Anal. 48, section 6 (SRA1).
    """

    name, order, calculus = "sra1", 2.0, "ito"
    strong = Orders(1.5)
    weak = Orders(2.0)

    def step(self, f: System, t: Tensor, dt: Scalar, u: Tensor, carry: Carry) -> Step:
        path = moved(f, t, dt, u)
        mean = None if path.area is None else path.area / dt  # of the path over the step
        r0, late = self.rate(f, t, u), self.kick(f, t + dt, u, mean)
        middle = combine(u, [dt * 0.75], [r0]) + 1.5 * late
        r1 = self.rate(f, t + 0.75 * dt, f.reset(t + 0.75 * dt, middle))
        new = combine(u, [dt / 3, dt * (2 / 3)], [r0, r1])
        new = new + self.kick(f, t + dt, u, path.w) - late + self.kick(f, t, u, mean)
        return Step(f.reset(t + dt, new), None, None, {"evaluations": 2})


class _Table(NamedTuple):
    """Coefficients of a method for diagonal noise, in the letters of its paper; drifts that weigh nothing left out."""

    a0: tuple[tuple[float, ...], ...]
    a1: tuple[tuple[float, ...], ...]
    b0: tuple[tuple[float, ...], ...]
    b1: tuple[tuple[float, ...], ...]
    c0: tuple[float, ...]
    c1: tuple[float, ...]
    alpha: tuple[float, ...]
    beta: tuple[tuple[float, ...], ...]


_SRIW1 = _Table(
    a0=((), (0.75,)),
    a1=((), (0.25,), (1.0,), (0.25,)),  # the third drift of the paper is the first one again
    b0=((), (1.5,)),
    b1=((), (0.5,), (-1.0,), (-5.0, 3.0, 0.5)),
    c0=(0.0, 0.75),
    c1=(0.0, 0.25, 1.0, 0.25),
    alpha=(1 / 3, 2 / 3),
    beta=(
        (-1.0, 4 / 3, 2 / 3, 0.0),
        (-1.0, 4 / 3, -1 / 3, 0.0),
        (2.0, -4 / 3, -2 / 3, 0.0),
        (-2.0, 5 / 3, -2 / 3, 1.0),
    ),
)


@STEPPERS.add("sriw1")
class Sriw1(Stochastic):
    """Roessler's method for diagonal noise: strong order 3/2, weak order 2, and 2 without noise.

    Reference: Roessler 2010, SIAM J. Numer. Anal. 48, table 6.1 (SRI1W1).
    """

    name, order, calculus = "sriw1", 2.0, "ito"
    strong = Orders(None, 1.5)
    weak = Orders(None, 2.0)

    def step(self, f: System, t: Tensor, dt: Scalar, u: Tensor, carry: Carry) -> Step:
        table, (w, area) = _SRIW1, moved(f, t, dt, u)
        root = dt.sqrt() if isinstance(dt, Tensor) else math.sqrt(dt)
        rates: list[Tensor] = []
        factors: list[Tensor] = []
        for i, (a1, b1, c1) in enumerate(zip(table.a1, table.b1, table.c1, strict=True)):
            if i < len(table.alpha):
                x = combine(u, [dt * a for a in table.a0[i]], rates)
                x = x if area is None else combine(x, table.b0[i], [area / dt * g for g in factors])
                then = t + table.c0[i] * dt
                rates.append(self.rate(f, then, f.reset(then, x) if i else u))
            if f.noise is not None:
                y = combine(u, [*(dt * a for a in a1), *(root * b for b in b1)], [*rates[: len(a1)], *factors])
                factors.append(f.noise.at(t + c1 * dt, y))
        new = combine(u, [dt * a for a in table.alpha], rates)
        if w is not None and area is not None:
            integrals = (w, (w * w - dt) / (2 * root), area / dt, (w**3 - 3 * dt * w) / (6 * dt))
            for weights, integral in zip(table.beta, integrals, strict=True):
                new = combine(new, weights, [integral * g for g in factors])
        return Step(f.reset(t + dt, new), None, None, {"evaluations": 2})
