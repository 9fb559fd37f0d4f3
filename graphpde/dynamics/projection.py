"""Pressure correction: velocity and pressure of a flow one after the other, each by a definite system."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from graphpde.core.block_operator import BlockSparse
from graphpde.core.combined import pin
from graphpde.core.linear_operator import LinearOperator, Sparse, as_matrix
from graphpde.dynamics.multistep import TwoStepWeights
from graphpde.dynamics.stage import within
from graphpde.dynamics.stepper import STEPPERS, Carry, Step, require_tensor
from graphpde.errors import InputError
from graphpde.ops.boundary import Exchange
from graphpde.ops.incompressible import Stokes, corner_means, corner_nodes, corner_stiffness
from graphpde.ops.system import System
from graphpde.solve.linear import LinearSolver
from graphpde.typing import Scalar, State


class _Solvers(NamedTuple):
    """What a step solves with, kept while the step and the operator stay the same.

    Attributes:
        h, operator: what they were made for. stokes: the term that says so.
        velocity: M - h L on the velocity. mass: M there. pressure: the Laplacian of the corrections at corners.
        free: entries of the velocity that no condition holds, 0 or 1 [n, c]. level: corners with a given pressure [n].
        opened: those where the fluid leaves freely, with the pressure 0 [n].
        means: minus the mean of the corners beside a node between them. lumped: mass of the pressure at corners [n].
    """

    h: float
    operator: LinearOperator
    velocity: LinearSolver
    mass: LinearSolver
    pressure: LinearSolver
    free: Tensor
    level: Tensor
    opened: Tensor
    means: Sparse
    lumped: Tensor
    stokes: Stokes


class _Behind(NamedTuple):
    """What the next step remembers of this one."""

    u: Tensor
    dt: Scalar
    rest: Tensor | None
    solvers: _Solvers


@STEPPERS.add("projection")
class Projection:
    """Incremental pressure correction in rotational form: BDF2 in time, what is nonlinear extrapolated.

    With h = gamma dt, a tentative velocity w under the last pressure, its correction phi and the new state

        M (w - now u - before u_old) = h (A w - G p + f + N),    laplace phi = (rho / h) div w,
        M (u_new - w) = -h G phi,    p_new = p + phi - mu div w.

    Three definite systems a step instead of a saddle point: for flows of many unknowns in time. Of order 2 in the
    velocity (3/2 where something flows out freely); the divergence that is left falls with the mesh and the step.

    Args:
        method, rtol: of the velocity's and the masses' solves; the pressure takes multigrid where it is large.

    Raises:
        InputError: a system that is no flow, a viscosity that varies, or a traction on the boundary (the pressure at
            open ends is 0).

    Reference: Guermond, Minev and Shen 2006, Comput. Methods Appl. Mech. Engrg. 195.
    """

    implicit, symplectic, accepts, stiff = True, "no", "flow", "linear"
    name, order, algebraic = "projection", 2.0, True
    error_power: float | None = None

    def __init__(self, *, method: str = "auto", rtol: float = 1e-10):
        self.method, self.rtol = method, rtol

    def init(self, f: System, t: Tensor, u: State) -> Carry:
        require_tensor(self.name, u)
        self._stokes(f)
        return None

    def _stokes(self, f: System) -> Stokes:
        found = next((term for _, term in f.linear if isinstance(term, Stokes)), None)
        if found is None:
            raise InputError(f"projection advances flows, and {f.label} is none; take another stepper such as bdf2")
        if found.constant_viscosity is None:
            raise InputError("projection takes a viscosity that is the same everywhere; take bdf2 or sbdf2")
        if any(isinstance(term, Exchange) or getattr(term, "where", None) is not None for _, term in f.linear):
            raise InputError("projection takes open ends without traction or exchange; take bdf2 or sbdf2")
        return found

    def step(self, f: System, t: Tensor, dt: Scalar, u: State, carry: Carry) -> Step:
        rest = f.rest(t, u)
        ratio: Any = 0.0 if carry is None else dt / carry.dt
        weights = TwoStepWeights.of(ratio)  # ratio 0: a step of backward Euler
        h = weights.gamma * dt
        fresh = carry is None or not _fits(carry.solvers, f, h)
        solvers = self._solvers(f, float(h), u) if fresh else carry.solvers
        d = u.shape[-1] - 1
        u = torch.cat([u[..., :d], torch.where(solvers.opened[:, None], 0.0, u[..., d:])], -1)
        now = t + dt
        before = u if carry is None else weights.now * u + weights.before * carry.u
        assert f.operator is not None and isinstance(f.mass, LinearOperator)
        gradient = _only(f.operator(_pressure_alone(u)), d)
        known = f.mass(before) + h * gradient
        load = f.load(now, u)
        if load is not None:
            known = known + h * _only(load.expand_as(u), d)
        if rest is not None:
            known = known + h * _only(rest if carry is None else (1 + ratio) * rest - ratio * carry.rest, d)
        tentative = self._velocity(f, now, known, u, h, solvers)
        value = self._corrected(f, tentative, u, h, solvers)
        work = {"solves": 3, "factorisations": int(fresh), "evaluations": int(f.nonlinear)}
        return Step(f.reset(now, value), None, _Behind(u, dt, rest, solvers), work)

    def _velocity(self, f: System, now: Tensor, known: Tensor, u: Tensor, h: Scalar, kept: _Solvers) -> Tensor:
        """The tentative velocity with its boundary values, the pressure 0."""
        assert f.operator is not None and isinstance(f.mass, LinearOperator)
        start = f.reset(now, u)
        held = _only(start * (1 - kept.free), u.shape[-1] - 1)
        known = known - (f.mass(held) - h * f.operator(held))
        return kept.velocity(known * kept.free, x0=u * kept.free) * kept.free + held

    def _corrected(self, f: System, w: Tensor, u: Tensor, h: Scalar, kept: _Solvers) -> Tensor:
        assert f.operator is not None
        d, rho, mu = u.shape[-1] - 1, kept.stokes.density, kept.stokes.constant_viscosity
        assert mu is not None
        divergence = f.operator(w)[..., d:]  # tested with the linear functions of the corners
        corner = (kept.lumped > 0)[:, None]
        divergence = torch.where(corner, divergence, 0.0)
        phi = kept.pressure(torch.where(kept.level[:, None], 0.0, -(rho / h) * divergence))
        push = f.operator(_at_pressure(phi, d))
        moved = kept.mass(push * kept.free) * kept.free
        local = torch.where(corner, divergence / kept.lumped.clamp(min=1e-300)[:, None], 0.0)
        p = u[..., d:] + phi - mu * torch.where(kept.level[:, None], 0.0, local)
        p = torch.where(corner, p, 0.0)
        p = p - kept.means(p)  # between corners their mean: minus (0 - mean), the matrix scaled to ones there
        return torch.cat([(w + h * moved)[..., :d], p], -1)

    def _solvers(self, f: System, h: float, u: Tensor) -> _Solvers:
        stokes, d = self._stokes(f), u.shape[-1] - 1
        space = stokes.domain
        assert isinstance(f.mass, LinearOperator) and f.operator is not None
        held = torch.zeros(space.n, d + 1, dtype=torch.bool, device=u.device)
        if f.fixed is not None:
            held = f.fixed.mask if f.fixed.mask.dim() == 2 else f.fixed.mask[:, None].expand(-1, d + 1)
        still = held.clone()
        still[:, d] = True
        a = pin(f.mass - _velocity_part(as_matrix(f.operator), d) * h, still)
        corner = corner_nodes(space)
        push = f.operator(_at_pressure(u.new_ones(space.n, 1), d))[:, :d]  # normals
        opened = corner & (push.abs() * ~held[:, :d] > 1e-6 * push.abs().max()).any(1)
        level = opened | (corner & held[:, d])
        rtol = max(self.rtol, within(u.dtype))
        stiffness, lumped = corner_stiffness(space)
        if not bool(level.any()):
            raise InputError("nothing fixes the pressure; give Pressure([node], value) at a corner")
        means = corner_means(space)
        scale = torch.where(means.diag > 0, 1 / means.diag.clamp(min=1e-300), 0.0)
        _, dst = means.relation.pairs()
        return _Solvers(
            h,
            f.operator,
            LinearSolver(a, method=self.method, rtol=rtol),
            LinearSolver(pin(f.mass, still), method=self.method, rtol=rtol),
            LinearSolver(pin(stiffness, level | ~corner), rtol=rtol),
            (~still).to(u.dtype),
            level,
            opened & ~held[:, d],
            Sparse(means.relation, means.weight * scale[dst], means.diag * 0),
            lumped.to(u.dtype),
            stokes,
        )

    def real_extent(self) -> float:
        return math.inf


def _fits(kept: _Solvers, f: System, h: Scalar) -> bool:
    return kept.operator is f.operator and abs(kept.h - float(h)) <= 1e-12 * abs(kept.h)


def _only(x: Tensor, d: int) -> Tensor:
    """x with the pressure's channel 0."""
    return torch.cat([x[..., :d], torch.zeros_like(x[..., d:])], -1)


def _pressure_alone(u: Tensor) -> Tensor:
    return torch.cat([torch.zeros_like(u[..., :-1]), u[..., -1:]], -1)


def _at_pressure(p: Tensor, d: int) -> Tensor:
    return torch.cat([p.new_zeros(*p.shape[:-1], d), p], -1)


def _velocity_part(a: LinearOperator, d: int) -> LinearOperator:
    """An operator that is a on the velocity: one number for each edge and channel where components are not coupled."""
    if not isinstance(a, BlockSparse):
        return a
    across = ~torch.eye(d, dtype=torch.bool, device=a.diag.device)
    if any(bool(x[:, :d, :d][:, across].any()) for x in (a.weight.detach(), a.diag.detach())):
        return a
    weight, diag = (x.diagonal(dim1=-2, dim2=-1).contiguous() for x in (a.weight, a.diag))
    return Sparse(a.relation, weight, diag, symmetric=True)
