"""Large loads little by little."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import torch
from torch import Tensor

from graphpde.core.linear_operator import LinearOperator
from graphpde.errors import SolveError
from graphpde.ops.system import System
from graphpde.solve.continuation import Branch, continuation
from graphpde.solve.linear import LinearSolver
from graphpde.solve.newton import rounding
from graphpde.solve.result import Status


@torch.no_grad()
def load_steps(terms: Any, u0: Tensor, *, stop: float = 1.0, step: float | None = None, rtol: float = 1e-9) -> Branch:
    r"""States of rest on the way from t = 0 to ``stop``, t as the clock of the loads and held values.

    ``load_steps(NeoHookean(space, E, nu) + Dirichlet("left", 0.0) + Neumann("right", lambda x, t: t * pull(x)), u0)``
    ends in ``.values[-1]``. Steps that Newton's method cannot take are halved, easy ones are followed by longer ones,
    see :func:`~graphpde.solve.continuation.continuation`. Held values are carried into the body by its stiffness at
    ``u0``: a side that moves by more than a cell would crush the cells at it.

    Args:
        terms: a sum of terms and conditions, nonlinear or not. u0: the state at t = 0 [n, d], or a guess of it.
        step: the first one; default a tenth of the way. rtol: of Newton's method, by its first residual.

    Returns:
        The branch: t and u of every state found.

    Raises:
        SolveError: the way does not lead to ``stop``; holds the branch up to there.
        ConditionError: nothing holds the body.
    """
    start = torch.zeros((), dtype=torch.float64, device=u0.device)
    f = System(terms, None, start)
    f.check_state(u0)
    f.refuse_free()
    fixed = f.fixed
    a = -1.0 * f.linearise(start, u0)
    solver = None if fixed is None else LinearSolver(f.pin(a), rtol=1e-10)

    @cache
    def carried(t: float) -> Tensor:
        """u0 with the values held at t, and what they move inside."""
        if fixed is None or solver is None:
            return u0
        values = fixed.value(torch.tensor(t, dtype=torch.float64, device=u0.device), u0)
        inside = solver.solve(fixed.lift(a.matvec, torch.zeros_like(u0), values - fixed.take(u0))).checked().value
        return fixed.put(u0 + inside, values)

    def force(u: Tensor, t: Tensor) -> Tensor:
        r = -f(t, u)
        return r if fixed is None else fixed.clear(r)

    def residual(w: Tensor, t: Tensor) -> Tensor:
        return force(carried(float(t)) + w, t)

    def jacobian(w: Tensor, t: Tensor) -> LinearOperator:
        return f.pin(-1.0 * f.linearise(t, carried(float(t)) + w))

    def noise(w: Tensor, t: Tensor) -> float:
        return rounding(lambda u: force(u, t), carried(float(t)) + w)

    zero = torch.zeros_like(u0)
    found = continuation(residual, zero, 0.0, stop, jacobian=jacobian, step=step, rtol=rtol, noise=noise)
    if not found.values:
        told = f"no state of rest at t = 0: {found.reason.partition(': ')[2]}; let the loads grow with t from zero"
        raise SolveError(told, found)
    if found.status is not Status.CONVERGED:
        why = found.reason.partition(": ")[2].partition("; arclength")[0]
        found = replace(found, reason=f"no state of rest was found beyond t = {found.parameters[-1]:.6g}: {why}")
    states = [carried(t) + w for t, w in zip(found.parameters, found.values, strict=True)]
    return replace(found, values=states).checked()
