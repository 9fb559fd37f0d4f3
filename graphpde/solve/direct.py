"""Sparse direct solution by scipy: one factorisation, any number of right-hand sides."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphpde.core.linear_operator import LinearOperator
from graphpde.errors import SolveError
from graphpde.solve.result import Result, Status

_GROWTH = (
    1e-6  # a relative residual above this after a direct solve means that the matrix is singular to working precision
)

_REFINE = 1e-13


class Factor:
    """LU factors of an operator, one for each of its channels.

    Raises:
        SolveError: the matrix is exactly singular.
    """

    def __init__(self, a: LinearOperator):
        from scipy.sparse.linalg import splu

        self.matrices = [a.to_scipy(k).tocsc().astype(np.float64) for k in range(a.channels)]
        # minimum degree on A^T + A with diagonal pivots suits the symmetric sparsity of every operator here
        options: dict[str, Any] = dict(
            permc_spec="MMD_AT_PLUS_A", options=dict(SymmetricMode=True), diag_pivot_thresh=0.001
        )
        try:
            self.factors = [splu(m, **options) for m in self.matrices]
        except RuntimeError as error:
            result = Result(torch.empty(0), Status.SINGULAR, str(error), 0)
            raise SolveError(
                "the matrix is singular; add a Dirichlet condition or a reaction term to every connected component",
                result,
            ) from None

    def solve(self, b: Tensor, *, transposed: bool = False) -> Result:
        """Solve for b [n, k]; with several channels column j belongs to channel j modulo their number."""
        rhs = b.detach().cpu().numpy().astype(np.float64)
        out = np.empty_like(rhs)
        size = len(self.factors)
        worst = 0.0
        for channel, (factor, matrix) in enumerate(zip(self.factors, self.matrices, strict=True)):
            mine = slice(channel, None, size)
            part = np.ascontiguousarray(rhs[:, mine])
            matrix = matrix.T if transposed else matrix
            side = "T" if transposed else "N"
            scale = float(np.abs(part).max(initial=0.0)) or 1.0
            x = factor.solve(part, trans=side)
            rest = part - matrix @ x
            if np.abs(rest).max(initial=0.0) > _REFINE * scale:  # relaxed pivoting lost digits: one step wins them back
                x += factor.solve(rest, trans=side)
                rest = part - matrix @ x
            worst = max(worst, float(np.abs(rest).max(initial=0.0) / scale))
            out[:, mine] = x
        value = torch.from_numpy(out).to(b)
        if not np.isfinite(worst) or worst > _GROWTH:
            return Result(value, Status.SINGULAR, f"direct solve left a relative residual of {worst:.1e}", 1, [worst])
        return Result(value, Status.CONVERGED, f"direct solve, relative residual {worst:.1e}", 1, [worst])
