"""Which iteration suits a symmetric operator: conjugate gradients with Jacobi, with multigrid, or MINRES."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from graphpde.core.linear_operator import LinearOperator
from graphpde.errors import InputError
from graphpde.solve.krylov import KRYLOV, Preconditioner
from graphpde.solve.result import Result, Status

_PATIENCE = 60  # iterations of conjugate gradients in one solve after which a hierarchy is cheaper
_HOPELESS = 200  # iterations that are expected at most: beyond, the hierarchy is made at once


class Automatic:
    """Conjugate gradients that take up what they turn out to need; it stays for the solves that follow.

    Multigrid, where pyamg is installed: of smoothed aggregation and from the beginning where the operator names what it
    takes to almost nothing (``near_null``, such as rigid motions); else classical, once a solve has taken 60 iterations
    with Jacobi, or from the beginning where the rows promise no better than 200: A 1 / diag(A) bounds the smallest
    eigenvalue of D^-1 A from below where the off-diagonal entries are negative. MINRES where the operator turns out
    not to be positive definite.

    Attributes:
        method: "cg" or "minres". hierarchy: the multigrid preconditioner, or None.
    """

    def __init__(self, a: LinearOperator, rtol: float):
        self.a, self.rtol = a, rtol
        self.method = "cg"
        self.hierarchy: Preconditioner | None = None
        self._undecided, self._begun = True, False

    def solve(self, b: Tensor, start: Tensor | None) -> Result:
        """The solution for b [n, k] from ``start``."""
        if self.method == "minres":
            return self._tried(b, start)
        if not self._begun and (self.a.near_null is not None or _expected(self.a, self.rtol) > _HOPELESS):
            self._decide()
        self._begun = True
        result = self._tried(b, start, **({"max_iterations": _PATIENCE} if self._undecided else {}))
        if result.status is Status.MAX_ITERATIONS and self._undecided:
            self._decide()
            result = _joined(result, self._tried(b, result.value))
        if result.status is Status.BREAKDOWN and self.a.near_null is None:
            self.method, self.hierarchy = "minres", None
            result = self._tried(b, start)
        return result

    def _tried(self, b: Tensor, start: Tensor | None, **more: Any) -> Result:
        return KRYLOV[self.method](self.a, b, x0=start, rtol=self.rtol, precondition=self.hierarchy, **more)

    def _decide(self) -> None:
        """Make the hierarchy, or do without where pyamg is missing or the operator is none for it."""
        from graphpde.solve.multigrid import Multigrid

        self._undecided = False
        try:
            method = "classical" if self.a.near_null is None else "smoothed_aggregation"
            self.hierarchy = Multigrid(self.a, method=method)
        except InputError:
            return


def _expected(a: LinearOperator, rtol: float) -> float:
    """Iterations of Jacobi-preconditioned conjugate gradients that the row sums promise at most."""
    d = a.diagonal()
    if d is None:
        return 0.0
    d = d.detach()
    d = d[:, None] if d.dim() == 1 else d
    least = float((a.matvec(torch.ones_like(d)) / d).min()) if d.numel() else 1.0
    return math.inf if not least > 0 else 0.5 * math.sqrt(2 / least) * math.log(2 / rtol)


def _joined(first: Result, then: Result) -> Result:
    """``then``, which went on from ``first``, with the whole history."""
    history = [*first.residuals, *then.residuals[1:]]
    return Result(then.value, then.status, then.reason, first.iterations + then.iterations, history)
