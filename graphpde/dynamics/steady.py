"""Steady states: F(u) = 0, one solve when it is linear."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from graphpde.core.graph import Graph
from graphpde.core.linear_operator import Diagonal, LinearOperator, Sparse, as_matrix
from graphpde.dynamics.blame import blamed
from graphpde.errors import ConditionError, InputError, SolveError
from graphpde.mesh.space import Space
from graphpde.ops.elasticity.linear import Elasticity
from graphpde.ops.system import System
from graphpde.solve.implicit_gradient import implicit
from graphpde.solve.krylov import Preconditioner
from graphpde.solve.linear import LinearSolver
from graphpde.solve.newton import Corrector, newton
from graphpde.solve.result import Result


def steady(
    term: Any,
    u0: Tensor,
    *,
    domain: Graph | None = None,
    t: float = 0.0,
    method: str = "auto",
    rtol: float = 1e-12,
    null_space: Tensor | str | None = None,
) -> Result:
    """Solve F(t, u) = 0 with the term's Dirichlet conditions.

    Args:
        term: a term or sum. u0: shape and initial guess [n, c].
        domain: when no term has one. t: the time loads and values are taken at.
        method: linear solver. rtol: of iterative solves.
        null_space: "constants" where a linear problem may leave the level of a component open, "rigid" where a body
            may move without strain, or null vectors [n, q] or [n, c, q], see
            :class:`graphpde.solve.linear.LinearSolver`; the level is then that of u0, in the mean by measure.

    Returns:
        The result with status, residuals and reason; ``value`` [n, c] is differentiable by one adjoint
        solve, and once more by two more.

    Raises:
        ConditionError: a connected component has neither a Dirichlet node nor anything else that fixes its level, or a
            body can move without strain, and no null space is given. InputError: a null space for a nonlinear problem.
        SolveError: no convergence, or no solution: loads on a component that is open do not balance.
    """
    now = torch.tensor(t, dtype=torch.float64, device=u0.device)
    f = System(term, domain, now)
    f.check_state(u0)
    try:
        return _found(f, now, u0, method, rtol, null_space)
    except SolveError as error:
        named = blamed(f, (now,), u0, error)
        if named is error:
            raise
        raise named from error


def _found(f: System, now: Tensor, u0: Tensor, method: str, rtol: float, null_space: Tensor | str | None) -> Result:
    guess, u0 = u0, f.reset(now, u0)
    if f.nonlinear:
        if null_space is not None:
            raise InputError("null_space is for linear problems; fix the level of a nonlinear one by a condition")
        f.refuse_free()
        return _newton(f, now, (u0, *_smooth(f, guess, u0)), method, rtol)
    if f.operator is None:
        raise ConditionError("a steady state needs an operator such as Diffusion; got only loads")
    matrix = as_matrix(f.operator)
    if null_space is None:
        _refuse_floating(f, matrix)
        f.refuse_free()
    if isinstance(null_space, str) and null_space == "rigid":
        null_space = _rigid(f)
    load = f.load(now, u0)
    b = torch.zeros_like(u0) if load is None else load.expand_as(u0)
    if f.fixed is not None:
        values = f.fixed.take(u0)
        b, u0 = f.fixed.lift((-matrix).matvec, b, values), f.fixed.clear(u0)
    solver = LinearSolver(f.pin(-matrix), method=method, rtol=rtol, null_space=null_space)
    result = solver.solve(b, x0=u0).checked()
    value = solver(b, x0=result.value)
    if solver.null_space is not None:
        value = _at_level(value, u0, solver.null_space.vectors.to(value), f)
    return replace(result, value=value if f.fixed is None else f.fixed.put(value, values))


def _at_level(value: Tensor, u0: Tensor, free: Tensor, f: System) -> Tensor:
    """``value`` moved along the null vectors ``free`` [n, q], or [n c, q], to the mean of u0 by measure."""
    measure = getattr(f.domain, "measure", None)
    coupled = len(free) // value.shape[-2]  # channels that a vector spans
    weight = None if measure is None else measure.to(free).repeat_interleave(coupled)[:, None]
    weighted = free if weight is None else free * weight
    shape = (*value.shape[:-2], len(free), -1)
    apart = weighted.mT @ (u0 - value).reshape(shape)
    return value + (free @ torch.linalg.solve(weighted.mT @ free, apart)).reshape(value.shape)


def _rigid(f: System) -> Tensor:
    found = [term.rigid_modes().detach() for _, term in f.linear if isinstance(term, Elasticity)]
    if len(found) != 1 or f.fixed is not None:
        raise InputError(f"null_space='rigid' is for one Elasticity that nothing holds, got {f.label}")
    return found[0]


def _newton(f: System, t: Tensor, starts: tuple[Tensor, ...], method: str, rtol: float) -> Result:
    """Newton's method from the start with the least residual, and should it fail from the next one."""
    fixed, u0 = f.fixed, starts[0]

    def residual(u: Tensor) -> Tensor:
        r = -f(t, u)
        return r if fixed is None else fixed.clear(r)

    def jacobian(u: Tensor) -> LinearOperator:
        return f.pin(-f.linearise(t, u))

    solver = None
    if f.operator is not None and fixed is not None:
        try:
            solver = LinearSolver(f.pin(-as_matrix(f.operator)), method=method, rtol=1e-8)
        except SolveError:  # the linear part alone may be singular (an exchange at the boundary): then it is no help
            solver = None

    def by(transposed: bool) -> Preconditioner | None:
        return None if solver is None else lambda r: solver.approximately(r, transposed=transposed)

    with torch.no_grad():
        found = None
        for start in sorted((s.detach() for s in starts), key=lambda s: float(residual(s).norm())):
            if found is None or not found.converged:
                found = newton(residual, jacobian, start, rtol=rtol, precondition=by(False))
        assert found is not None
    value = found.checked().value
    if not torch.is_grad_enabled():
        return found

    def equation(u: Tensor) -> Tensor:
        if fixed is None:
            return -residual(u)
        # fixed values enter directly, and their neighbours through the residual
        return fixed.put(-residual(fixed.put(u, fixed.take(u0))), fixed.take(u0) - fixed.take(u))

    def solve(b: Tensor, *, transposed: bool) -> Tensor:
        a = jacobian(value).transpose() if transposed else jacobian(value)
        return Corrector(by(transposed)).solve(a, b, rtol=1e-12).checked().value

    return replace(found, value=implicit(value, equation, solve))


def _smooth(f: System, guess: Tensor, u0: Tensor) -> tuple[Tensor, ...]:
    """Another start beside ``u0``: what the Dirichlet values change in the guess is carried inside harmonically.

    A jump along the boundary cells is where forms that are nonlinear in the gradient are furthest from linear, and
    Newton's method would have to unwind it cell by cell.
    """
    if f.fixed is None or not f.weak or not isinstance(f.domain, Space):
        return ()
    with torch.no_grad():
        values = f.fixed.take(u0)
        change = values - f.fixed.take(guess)
        if not bool(change.any()):
            return ()
        laplacian = Sparse.laplacian(f.domain.edges, f.domain.weight.detach(), symmetric=True)
        # parts without Dirichlet nodes: a little of the diagonal keeps their level
        held = laplacian * -1.0 + Diagonal(1e-8 * laplacian.diag.abs())
        right = f.fixed.lift(held.matvec, torch.zeros_like(u0), change)
        inside = LinearSolver(f.pin(held), rtol=1e-6).solve(right).value
    return (f.fixed.put(guess + inside, values),) if bool(torch.isfinite(inside).all()) else ()


def _refuse_floating(f: System, matrix: LinearOperator) -> None:
    """Refuse components whose level nothing fixes: no Dirichlet node and the constant in the kernel."""
    if not isinstance(matrix, Sparse):
        return
    from scipy.sparse.csgraph import connected_components

    count, labels = connected_components(matrix.to_scipy(), directed=False)
    labels = torch.from_numpy(labels).to(torch.int64)
    held = torch.zeros(count, dtype=torch.bool)
    if f.fixed is not None:
        held[labels[f.fixed.nodes.cpu()]] = True
    ones = torch.ones(matrix.n, 1, dtype=matrix.diag.dtype, device=matrix.diag.device)
    with torch.no_grad():
        moved = matrix.matvec(ones.expand(-1, matrix.channels)).abs().amax(1).cpu()
    scale = float(matrix.diag.detach().abs().max()) if matrix.n else 0.0
    for k in (~held).nonzero()[:, 0].tolist():
        mine = labels == k
        if float(moved[mine].max()) <= 1e-9 * scale:
            node = int(mine.nonzero()[0, 0])
            where = (
                ""
                if f.domain is None or f.domain.pos is None
                else f" at {[round(v, 6) for v in f.domain.pos[node].tolist()]}"
            )
            raise ConditionError(
                f"component {k} of {count} ({int(mine.sum())} unknowns, for example node {node}{where}) has no "
                f"Dirichlet condition, "
                f"so its solution is only known up to a constant; give one there (--bc NAME=VALUE), or "
                "null_space='constants'"
            )
