"""Explicit methods whose stages buy stability: Chebyshev recurrences along the negative real axis."""

from __future__ import annotations

import math
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from graphpde.dynamics.stepper import STEPPERS, Carry, Step, require_tensor
from graphpde.errors import SolveError
from graphpde.ops.system import System
from graphpde.typing import Scalar, State

_DAMPING = 2 / 13


class _Coefficients(NamedTuple):
    """Of s stages; entry j belongs to stage j, entries 0 and 1 of the recurrence are unused.

    Attributes:
        mu, nu, slope, start: Y_j = (1 - mu - nu) Y_0 + mu Y_(j-1) + nu Y_(j-2) + dt (slope F_(j-1) + start F_0).
        first: Y_1 = Y_0 + first dt F_0. c: stage times. extent: length of the stability interval.
    """

    mu: list[float]
    nu: list[float]
    slope: list[float]
    start: list[float]
    first: float
    c: list[float]
    extent: float


@cache
def _coefficients(s: int) -> _Coefficients:
    w0 = 1 + _DAMPING / s**2
    value, first, second = [1.0, w0], [0.0, 1.0], [0.0, 0.0]  # Chebyshev polynomials at w0 and their derivatives
    for j in range(2, s + 1):
        value.append(2 * w0 * value[j - 1] - value[j - 2])
        first.append(2 * value[j - 1] + 2 * w0 * first[j - 1] - first[j - 2])
        second.append(4 * first[j - 1] + 2 * w0 * second[j - 1] - second[j - 2])
    w1 = first[s] / second[s]
    b = [0.0, 0.0, *(second[j] / first[j] ** 2 for j in range(2, s + 1))]
    b[0] = b[1] = b[2]
    mu, nu, slope, start = ([0.0, 0.0] for _ in range(4))
    for j in range(2, s + 1):
        mu.append(2 * b[j] * w0 / b[j - 1])
        nu.append(-b[j] / b[j - 2])
        slope.append(2 * b[j] * w1 / b[j - 1])
        start.append(-(1 - b[j - 1] * value[j - 1]) * slope[j])
    c = [0.0, 0.0, *(w1 * second[j] / first[j] for j in range(2, s)), 1.0]
    c[1] = (c[2] if s > 2 else w1 * second[2] / first[2]) / first[2]
    return _Coefficients(mu, nu, slope, start, b[1] * w1, c, (w0 + 1) / w1)


class _Radius(NamedTuple):
    """The spectral radius in use, its eigenvector and the steps since it was estimated."""

    value: float
    vector: Tensor | None = None
    age: int = 0


@STEPPERS.add("rkc2")
class Rkc2:
    """Runge-Kutta-Chebyshev: as many stages as stability asks for, s of them reach 0.65 s^2. Order 2.

    For diffusion and other parts with eigenvalues near the negative real axis, without solving systems. The linear
    part gives its bound; what a nonlinear part adds is estimated by the power method every 25 steps.

    Args:
        most: largest number of stages.

    Raises:
        SolveError: a step needs more stages than that.

    Reference: Sommeijer, Shampine and Verwer 1998, J. Comput. Appl. Math. 88.
    """

    name, order, implicit, symplectic, stiff, accepts = "rkc2", 2.0, False, "no", "none", "any"
    error_power: float | None = 3.0

    def __init__(self, most: int = 200):
        self.most = most

    def init(self, f: System, t: Tensor, u: State) -> Carry:
        require_tensor(self.name, u)
        return None

    def step(self, f: System, t: Tensor, dt: Scalar, u: State, carry: Carry) -> Step:
        slope = f.rate(t, u)
        with torch.no_grad():
            radius, looks = _radius(f, t, u.detach(), slope.detach(), carry)
        length = float(dt.detach()) if isinstance(dt, Tensor) else dt
        stages = max(1 + math.ceil(math.sqrt(1 + 1.54 * length * radius.value)), 2)
        # a linear part has been asked before the run; the estimate for a nonlinear one holds a fifth in reserve
        if f.nonlinear and length * radius.value > 1.25 * self.real_extent():
            raise SolveError(
                f"a step dt={length:.3g} of {self.name} needs {stages} stages, at most {self.most} are allowed; take a "
                f"smaller dt or an implicit stepper"
            )
        stages = min(stages, self.most)
        k = _coefficients(stages)
        before, now = u, f.reset(t + k.c[1] * dt, u + (k.first * dt) * slope)
        for j in range(2, stages + 1):
            ahead = f.rate(t + k.c[j - 1] * dt, now)
            new = (1 - k.mu[j] - k.nu[j]) * u + k.mu[j] * now + k.nu[j] * before
            new = new + dt * (k.slope[j] * ahead + k.start[j] * slope)
            before, now = now, f.reset(t + k.c[j] * dt, new)
        value = now

        def error() -> Tensor:
            return 0.8 * (u - value) + 0.4 * dt * (slope + f.rate(t + dt, value))

        return Step(value, error, radius._replace(age=radius.age + 1), {"evaluations": stages + looks})

    def real_extent(self) -> float:
        return _coefficients(self.most).extent


def _radius(f: System, t: Tensor, u: Tensor, slope: Tensor, carry: Carry) -> tuple[_Radius, int]:
    """The spectral radius, and the evaluations it took."""
    if isinstance(carry, _Radius) and (not f.nonlinear or carry.age < 25):
        return carry, 0
    bound = 0.0 if f.operator is None else f.spectral_bound()
    if bound is not None and not f.nonlinear:
        return _Radius(bound), 0

    def free(x: Tensor) -> Tensor:
        return x if f.fixed is None else f.fixed.clear(x)

    v = free(slope) if carry is None or carry.vector is None else carry.vector
    if float(v.norm()) == 0.0:
        v = free(torch.cos(torch.arange(u.numel(), device=u.device)).reshape(u.shape).to(u))
    size = torch.finfo(u.dtype).eps ** 0.5 * max(float(u.norm()), 1.0)
    found, looks = 0.0, 0
    for looks in range(1, 51):
        v = v * (size / float(v.norm()))
        change = free(f.rate(t, u + v) - slope)
        last, found = found, float(change.norm()) / size
        if not math.isfinite(found) or found == 0.0:
            break
        v = change
        if abs(found - last) <= 0.01 * found and looks > 2:
            break
    estimate = 1.2 * found if math.isfinite(found) else 0.0
    return _Radius(max(estimate, bound or 0.0), v, 0), looks
