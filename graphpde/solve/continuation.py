"""Branches of solutions of F(u, p) = 0: along the parameter p, or along the branch itself and round its folds."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor
from torch.func import jvp

from graphpde.core.linear_operator import LinearOperator
from graphpde.errors import InputError, SolveError
from graphpde.solve.derivative import derivative
from graphpde.solve.newton import Corrector, newton
from graphpde.solve.result import Result, Status

Residual = Callable[[Tensor, Tensor], Tensor]
Jacobian = Callable[[Tensor, Tensor], LinearOperator]

_EASY, _HARD = 3, 6  # Newton iterations up to which the next step is longer, and from which it is shorter
_LONGER, _SHORTER = 1.5, 0.5
_DRAWN = 3  # steps that close in on a fold
_LIMIT = 10  # Newton iterations of a step along the branch


@dataclass(frozen=True)
class Branch:
    """Solutions found one after another.

    Attributes:
        parameters: p of each. values: u of each [n, c]. folds: p where the branch turns back, between two of them.
        status: how it ended. reason: one sentence. refused: steps that were tried again shorter.
    """

    parameters: list[float]
    values: list[Tensor]
    status: Status
    reason: str
    folds: list[float] = field(default_factory=list)
    refused: int = 0

    def checked(self) -> Branch:
        """Self if it came to its end.

        Raises:
            SolveError: otherwise, holding this branch.
        """
        if self.status is not Status.CONVERGED:
            raise SolveError(f"{self.reason} ({self.status.value} after {len(self.values)} solutions)", self)
        return self


@torch.no_grad()
def continuation(
    residual: Residual,
    u0: Tensor,
    start: float,
    stop: float,
    *,
    jacobian: Jacobian | None = None,
    step: float | None = None,
    smallest: float = 1e-6,
    rtol: float = 1e-9,
    noise: Callable[[Tensor, Tensor], float] | None = None,
) -> Branch:
    """Solutions of F(u, p) = 0 for p from ``start`` to ``stop``, each found by Newton's method from the last two.

    Steps that fail are halved, easy ones followed by longer ones. Past a fold there is no solution nearby: the steps
    become shorter than ``smallest`` (of the whole way), which ends with ``STAGNATION``; :func:`arclength` goes round.

    Args:
        residual: F(u, p), u [n, c], p a tensor []. u0: guess at ``start``.
        jacobian: dF/du at (u, p); by automatic differentiation where none is given. step: the first, default a tenth.
        noise: what rounding leaves in F(u, p), see :func:`graphpde.solve.newton.newton`.

    Raises:
        InputError: start equals stop, or a step that does not lead from one to the other.
    """
    way = stop - start
    step = 0.1 * way if step is None else step
    if way == 0 or not step * way > 0:
        raise InputError(f"step = {step:g} does not lead from {start:g} to {stop:g}")
    found = _solved(residual, jacobian, u0, start, rtol, noise)
    if not found.converged:
        return Branch([], [], found.status, f"no solution at p = {start:g}: {found.reason}")
    parameters, values, refused = [start], [found.value], 0
    while parameters[-1] != stop:
        p, u = parameters[-1], values[-1]
        ahead = stop if abs(stop - p) <= abs(step) * (1 + 1e-12) else p + step
        guess = u
        if len(values) > 1:  # along the secant
            guess = u + (ahead - p) / (p - parameters[-2]) * (u - values[-2])
        found = _solved(residual, jacobian, guess, ahead, rtol, noise)
        if not found.converged:
            refused += 1
            step *= _SHORTER
            if abs(step) < smallest * abs(way):
                reason = f"no solution was found beyond p = {p:.6g}: {found.reason}; arclength goes round a fold"
                return Branch(parameters, values, Status.STAGNATION, reason, [], refused)
            continue
        parameters.append(ahead)
        values.append(found.value)
        step *= _LONGER if found.iterations <= _EASY else _SHORTER if found.iterations > _HARD else 1.0
    return Branch(parameters, values, Status.CONVERGED, f"reached p = {stop:g}", [], refused)


def _solved(
    residual: Residual,
    jacobian: Jacobian | None,
    guess: Tensor,
    p: float,
    rtol: float,
    noise: Callable[[Tensor, Tensor], float] | None = None,
) -> Result:
    at = guess.new_tensor(p)
    slope = None if jacobian is None else lambda u: jacobian(u, at)
    left = None if noise is None else lambda u: noise(u, at)
    return newton(lambda u: residual(u, at), slope, guess, rtol=rtol, max_iterations=12, noise=left)


class _Point(NamedTuple):
    """A solution (u, p) and the unit tangent (du, dp) to the branch there."""

    u: Tensor
    p: float
    du: Tensor
    dp: float


@torch.no_grad()
def arclength(
    residual: Residual,
    u0: Tensor,
    start: float,
    *,
    jacobian: Jacobian | None = None,
    step: float = 0.1,
    most: int = 100,
    until: Callable[[Tensor, float], bool] | None = None,
    rtol: float = 1e-9,
) -> Branch:
    """Solutions of F(u, p) = 0 along the branch through the solution at ``start``, round its folds.

    The length s along the branch, ds^2 = mean(du^2) + dp^2, takes the place of the parameter: a step solves

        F(u, p) = 0,    mean(du (u - u_k)) + dp (p - p_k) = step

    with the unit tangent (du, dp) at the last point, by two solves with dF/du an iteration (bordering). Where dp
    changes its sign the branch turns, and a few steps between close in on the fold.

    Args:
        residual: F(u, p), u [n, c], p a tensor [], differentiable in p by torch. u0: guess at ``start``.
        jacobian: dF/du at (u, p); by automatic differentiation where none is given.
        step: the first, with the sign of p's first change; it adapts. most: solutions at most.
        until: (u, p) -> whether to end there; ``MAX_ITERATIONS`` where it never says so.

    Raises:
        InputError: a step of zero or that is not finite.

    Reference: Keller 1977, in Applications of Bifurcation Theory (Rabinowitz ed.).
    """
    if not math.isfinite(step) or step == 0:
        raise InputError(f"step = {step:g}, expected a finite number other than 0")
    found = _solved(residual, jacobian, u0, start, rtol)
    if not found.converged:
        return Branch([], [], found.status, f"no solution at p = {start:g}: {found.reason}")
    slope = jacobian or (lambda u, p: derivative(lambda v: residual(v, p), u))
    path = _Path(residual, slope, rtol)
    try:
        here = path.tangent(found.value, start, None, math.copysign(1.0, step))
    except SolveError as error:
        return Branch([start], [found.value], error.result.status, f"no tangent at p = {start:g}: {error}")
    length, points, folds, refused = abs(step), [here], list[float](), 0
    while len(points) < most and (until is None or not until(points[-1].u, points[-1].p)):
        moved, taken = path.step(points[-1], length)
        if moved is None:
            refused, length = refused + 1, length * _SHORTER
            if length < 1e-8 * abs(step):
                reason = f"the branch was lost at p = {points[-1].p:.6g}: no step along it converges"
                return _branch(points, Status.STAGNATION, reason, folds, refused)
            continue
        if moved.dp * points[-1].dp < 0:
            folds.append(path.fold(points[-1], moved, length))
        points.append(moved)
        length *= _LONGER if taken <= _EASY else _SHORTER if taken > _HARD else 1.0
    if until is None or until(points[-1].u, points[-1].p):
        return _branch(points, Status.CONVERGED, f"{len(points)} solutions", folds, refused)
    reason = f"{most} solutions without meeting the condition to end; allow more"
    return _branch(points, Status.MAX_ITERATIONS, reason, folds, refused)


class _Path:
    """Steps along one branch."""

    def __init__(self, residual: Residual, jacobian: Jacobian, rtol: float):
        self.residual, self.jacobian, self.rtol = residual, jacobian, rtol
        self.corrector = Corrector()

    def tangent(self, u: Tensor, p: float, last: _Point | None, sign: float) -> _Point:
        """The point with its tangent: dF/du w = -dF/dp, scaled; on in the direction of the last one."""
        w = self._solve(u, p, -self._by_parameter(u, p))
        dp = 1 / math.sqrt(_mean(w, w) + 1)
        forward = sign if last is None else _mean(last.du, w) * dp + last.dp * dp
        dp = math.copysign(dp, forward)
        return _Point(u, p, dp * w, dp)

    def step(self, last: _Point, length: float) -> tuple[_Point | None, int]:
        """The point ``length`` further, or None, and the Newton iterations it took."""
        u, p = last.u + length * last.du, last.p + length * last.dp
        first = None
        for k in range(_LIMIT):
            r = self.residual(u, u.new_tensor(p))
            off = _mean(last.du, u - last.u) + last.dp * (p - last.p) - length
            size = math.hypot(float(r.norm()), abs(off) * math.sqrt(r.numel()))
            first = size if first is None else first
            if not size < 1e3 * max(first, self.rtol):
                return None, k
            try:
                w, z = self._solve(u, p, -r), self._solve(u, p, -self._by_parameter(u, p))
            except SolveError:
                return None, k
            change = -(off + _mean(last.du, w)) / (last.dp + _mean(last.du, z))
            du = w + change * z
            u, p = u + du, p + change
            moved = math.sqrt(_mean(du, du) + change**2)
            if moved <= self.rtol**0.5 * length and moved**2 <= self.rtol * length:  # the error left is its square
                try:
                    return self.tangent(u, p, last, 1.0), k + 1
                except SolveError:
                    return None, k + 1
        return None, _LIMIT

    def fold(self, a: _Point, b: _Point, length: float) -> float:
        """p where dp vanishes between two points ``length`` apart: the secant rule draws them together."""
        ends = [(0.0, a), (length, b)]
        for _ in range(_DRAWN):
            (s, left), (e, right) = ends
            middle = s + (e - s) * left.dp / (left.dp - right.dp)
            found, _ = self.step(a, middle)
            if found is None:
                break
            ends[int(found.dp * a.dp <= 0)] = (middle, found)
        return _extremum(ends[0][1], ends[1][1])

    def _solve(self, u: Tensor, p: float, b: Tensor) -> Tensor:
        return self.corrector.solve(self.jacobian(u, u.new_tensor(p)), b, rtol=1e-10).checked().value

    def _by_parameter(self, u: Tensor, p: float) -> Tensor:
        one = u.new_tensor(1.0)
        out: Tensor = jvp(lambda q: self.residual(u, q), (u.new_tensor(p),), (one,))[1]
        return out.detach()


def _branch(points: list[_Point], status: Status, reason: str, folds: list[float], refused: int) -> Branch:
    return Branch([q.p for q in points], [q.u for q in points], status, reason, folds, refused)


def _mean(a: Tensor, b: Tensor) -> float:
    return float((a * b).mean())


def _extremum(a: _Point, b: _Point) -> float:
    """p where the cubic in s through both points with their slopes has slope 0."""
    chord = math.sqrt(_mean(b.u - a.u, b.u - a.u) + (b.p - a.p) ** 2)
    # slope at x in [0, 1] of the Hermite cubic, times the length: c0 + c1 x + c2 x^2
    c0, rise, end = a.dp * chord, b.p - a.p, b.dp * chord
    c1, c2 = 6 * rise - 4 * c0 - 2 * end, 3 * (c0 + end - 2 * rise)
    root = math.sqrt(max(c1**2 - 4 * c0 * c2, 0.0))
    both = [(-c1 + s * root) / (2 * c2) for s in (1, -1)] if c2 else [-c0 / c1]
    x = min(both, key=lambda v: abs(v - 0.5))
    return a.p + c0 * x + c1 * x**2 / 2 + c2 * x**3 / 3
