"""Sparse direct solution by scipy: one factorisation, any number of right-hand sides."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphpde.core.linear_operator import LinearOperator
from graphpde.errors import SolveError
from graphpde.solve.result import Result, Status

_REFINE = 1e-13  # residual above which one step of refinement pays
_RESIDUAL = 1e-6  # residual above which the matrix must be singular,
_HOPELESS = 1e-3  # or above which it is in any case: between the two the rounding of A x may explain it
_GROWTH = 1e14  # so must it be when a right-hand side of the size of its rows gives a solution of this size


class Factor:
    """LU factors of an operator, one for each of its channels.

    Raises:
        SolveError: the matrix is singular to working precision, or not finite.
    """

    def __init__(self, a: LinearOperator):
        from scipy.sparse.linalg import splu

        self.matrices = [a.to_scipy(k).tocsc().astype(np.float64) for k in range(a.channels)]
        if not all(np.isfinite(m.data).all() for m in self.matrices):
            raise _refused(Status.NON_FINITE, "the matrix holds numbers that are not finite; check the coefficients")
        if a.n == 0:
            self.factors: list[Any] = []
            return
        # minimum degree on A^T + A with diagonal pivots suits the symmetric sparsity of every operator here
        options: dict[str, Any] = {"permc_spec": "MMD_AT_PLUS_A", "diag_pivot_thresh": 0.001}
        try:
            self.factors = [splu(m, options={"SymmetricMode": True}, **options) for m in self.matrices]
        except RuntimeError:
            self.factors = []
        if not self.factors or not all(map(_regular, self.factors, self.matrices)):
            raise _refused(
                Status.SINGULAR,
                "the matrix is singular; add a Dirichlet condition or a reaction term to every connected component",
            )

    def solve(self, b: Tensor, *, transposed: bool = False) -> Result:
        """Solve for b [n, k]; with several channels column j belongs to channel j modulo their number."""
        rhs = b.detach().to("cpu", torch.float64).numpy()
        if not np.isfinite(rhs).all():
            value = torch.full_like(b, float("nan"))
            return Result(value, Status.NON_FINITE, "the right-hand side is not finite", 0, [float("nan")])
        out = np.zeros_like(rhs)
        size = len(self.factors)
        worst, singular = 0.0, False
        for channel, factor in enumerate(self.factors):
            mine = slice(channel, None, size)
            part = np.ascontiguousarray(rhs[:, mine])
            matrix = self.matrices[channel].T if transposed else self.matrices[channel]
            side = "T" if transposed else "N"
            scale = np.abs(part).max(0, initial=0.0)
            scale[scale == 0] = 1.0
            x = factor.solve(part, trans=side)
            rest = part - matrix @ x
            if (np.abs(rest) > _REFINE * scale).any():  # relaxed pivoting lost digits: one step wins them back
                x += factor.solve(rest, trans=side)
                rest = part - matrix @ x
            left = np.abs(rest).max(0, initial=0.0) / scale
            if not (left <= _RESIDUAL).all():
                rounding = 1e3 * np.finfo(np.float64).eps * (abs(matrix) @ np.abs(x)).max(0) / scale
                singular = singular or not (left <= np.minimum(rounding, _HOPELESS)).all()
            worst = max(worst, float(left.max(initial=0.0)))
            out[:, mine] = x
        value = torch.from_numpy(out).to(b)
        if singular:
            return Result(value, Status.SINGULAR, f"direct solve left a relative residual of {worst:.1e}", 1, [worst])
        return Result(value, Status.CONVERGED, f"direct solve, relative residual {worst:.1e}", 1, [worst])


def _regular(factor: Any, matrix: Any) -> bool:
    """Whether no kernel hides behind rounding: a pivot that should be 0 comes out tiny, and then solutions explode.

    The probe has the size of the rows, so that units and pinned rows do not matter.
    """
    rows = np.asarray(abs(matrix).sum(axis=1)).ravel()
    answer = factor.solve(rows * (1 + 0.5 * np.cos(np.arange(len(rows)))))
    return bool(np.abs(answer).max() < _GROWTH)


def _refused(status: Status, reason: str) -> SolveError:
    return SolveError(reason, Result(torch.empty(0), status, reason, 0))
