"""The smallest eigenvalues of a symmetric operator, with vectors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphpde.core.linear_operator import Diagonal, LinearOperator, as_matrix
from graphpde.errors import InputError, ShapeError, SolveError
from graphpde.registry import unknown
from graphpde.solve.direct import Factor
from graphpde.solve.krylov import Preconditioner, jacobi
from graphpde.solve.linear import is_small
from graphpde.solve.result import Status

_DENSE = 400  # unknowns up to which LAPACK finds all of them
_SHIFT = 1e-3  # of the mean of diag(A) / diag(M): what is factored is definite


@dataclass(frozen=True)
class EigenResult:
    """The k smallest eigenvalues.

    Attributes:
        values: in rising order [k]. vectors: [n, k], V^T M V = 1.
        status: how it ended. reason: one sentence. method: "dense", "factored" or "lobpcg".
        residuals: ||A v - lambda M v|| / ((||A|| + |lambda| ||M||) ||v||) of each pair, norms by the largest row sum.
    """

    values: Tensor
    vectors: Tensor
    status: Status
    reason: str
    method: str
    residuals: list[float] = field(default_factory=list)

    def checked(self) -> EigenResult:
        """Self if converged.

        Raises:
            SolveError: otherwise.
        """
        if self.status is not Status.CONVERGED:
            raise SolveError(f"{self.reason} ({self.status.value})", self)
        return self


def eigenpairs(
    a: LinearOperator,
    mass: Tensor | LinearOperator | None = None,
    *,
    k: int = 6,
    rtol: float = 1e-8,
    method: str = "auto",
    precondition: Preconditioner | None = None,
    max_iterations: int = 500,
) -> EigenResult:
    """The k smallest eigenvalues of A v = lambda M v for a symmetric positive semidefinite A.

    Args:
        a: the operator, the same on every channel; -Delta is ``-Diffusion(space).operator``.
        mass: lumped [n], an operator, or None for the identity; symmetric positive definite.
        k: how many. rtol: relative residual, see :class:`EigenResult`.
        method: "dense" (LAPACK), "factored" (LOBPCG preconditioned by a factorisation of A + s M), "lobpcg" (products
            and the preconditioner only) or "auto": dense up to 400 unknowns, then factored where A is factored by
            :class:`LinearSolver`'s rule, else lobpcg.
        precondition: for lobpcg, approximately A^-1, [n, k] -> [n, k]; default Jacobi.

    The values are differentiable in the tensors of A and M (d lambda = v^T (dA - lambda dM) v, valid for simple
    eigenvalues and for sums over clusters); the vectors are not.

    Raises:
        InputError: A is not declared symmetric, or acts on several channels; k is out of range. UnknownName: no such
            method. ShapeError: the mass does not fit.

    Reference: Knyazev 2001, SIAM J. Sci. Comput. 23 (LOBPCG, here scipy's).
    """
    a = as_matrix(a)
    _check(a, k, method)
    m = _mass(mass, a)
    with torch.no_grad():
        if method == "auto":
            method = "dense" if a.n <= _DENSE else "factored" if is_small(a) else "lobpcg"
        vectors = _METHODS[method](a, m, k, rtol, precondition, max_iterations)
        v = torch.from_numpy(np.ascontiguousarray(vectors)).to(a.tensors()[0] if a.tensors() else torch.empty(0))
        v = v / (v * m.matvec(v)).sum(0).sqrt()
    image, weighed = a.matvec(v), m.matvec(v)
    found = (v * image).sum(0) / (v * weighed).sum(0)  # Rayleigh quotients: to second order in the vectors' errors
    rest = (image - found * weighed).detach().norm(dim=0)
    size = _norm(a) + found.detach().abs() * _norm(m)
    residuals = (rest / (size * v.norm(dim=0))).tolist()
    worst = max(residuals)
    if worst <= rtol:
        return EigenResult(found, v, Status.CONVERGED, f"residuals at most {worst:.1e}", method, residuals)
    reason = f"residuals up to {worst:.1e} > {rtol:.1e}; precondition, allow more iterations or ask for fewer pairs"
    return EigenResult(found, v, Status.MAX_ITERATIONS, reason, method, residuals)


def _check(a: LinearOperator, k: int, method: str) -> None:
    if not a.symmetric:
        raise InputError(f"eigenpairs needs a symmetric operator, got {type(a).__name__} that is not declared so")
    if a.channels > 1 or a.coupled:
        raise InputError("eigenpairs needs one operator for all channels; take them one by one")
    if not isinstance(k, int) or not 1 <= k <= a.n:
        raise InputError(f"k = {k}, expected a whole number between 1 and the {a.n} unknowns")
    if method not in ("auto", *_METHODS):
        raise unknown("eigenvalue method", method, ("auto", *_METHODS))


def _mass(mass: Tensor | LinearOperator | None, a: LinearOperator) -> LinearOperator:
    if mass is None:
        return Diagonal(torch.ones(a.n, dtype=torch.float64))
    operator = Diagonal(mass) if isinstance(mass, Tensor) else mass
    if operator.n != a.n or (isinstance(mass, Tensor) and mass.dim() != 1):
        raise ShapeError(f"the mass is {list(getattr(mass, 'shape', [operator.n]))}, expected [{a.n}]")
    return operator


def _dense(a: LinearOperator, m: LinearOperator, k: int, *_: Any) -> np.ndarray:
    from scipy.linalg import eigh

    vectors: np.ndarray = eigh(a.to_scipy().toarray(), m.to_scipy().toarray(), subset_by_index=(0, k - 1))[1]
    return vectors


def _factored(a: LinearOperator, m: LinearOperator, k: int, rtol: float, precondition: Any, limit: int) -> np.ndarray:
    """Lanczos with the same factorisation would be faster, and may miss copies of a multiple eigenvalue."""
    shift = _SHIFT * float(np.mean(np.abs(a.to_scipy().diagonal()) / m.to_scipy().diagonal()))
    factor = Factor(a + m * shift)
    return _by_products(a, m, k, rtol, lambda r: factor.solve(r).value, limit)


def _by_products(
    a: LinearOperator, m: LinearOperator, k: int, rtol: float, precondition: Preconditioner | None, limit: int
) -> np.ndarray:
    import warnings

    from scipy.sparse.linalg import lobpcg

    if 5 * (k + 2) >= a.n:
        return _dense(a, m, k)
    spare = min(k + max(2, k // 5), a.n // 5)  # a few more converge faster: the gap to the next counts
    x = np.random.default_rng(0).standard_normal((a.n, spare))
    x[:, 0] = 1.0
    near = precondition or jacobi(a)
    maps = [_scipy_map(a.n, _on_arrays(f)) for f in (a.matvec, m.matvec, near)]
    with warnings.catch_warnings():  # what did not converge is said by the residuals
        warnings.simplefilter("ignore")
        tol = 0.1 * rtol * _norm(a) / _norm(m) ** 0.5  # of ||A v - lambda M v|| with v^T M v = 1
        values, vectors = lobpcg(maps[0], x, maps[1], maps[2], tol=tol, maxiter=limit, largest=False)
    chosen: np.ndarray = vectors[:, np.argsort(values)[:k]]
    return chosen


_METHODS: dict[str, Callable[..., np.ndarray]] = {  # eigenvectors in rising order
    "dense": _dense,
    "factored": _factored,
    "lobpcg": _by_products,
}


def _scipy_map(n: int, f: Callable[[np.ndarray], np.ndarray]) -> Any:
    from scipy.sparse.linalg import LinearOperator as Map

    return Map((n, n), matvec=f, matmat=f, dtype=np.float64)


def _on_arrays(f: Callable[[Tensor], Tensor]) -> Callable[[np.ndarray], np.ndarray]:
    def apply(x: np.ndarray) -> np.ndarray:
        columns = torch.from_numpy(np.ascontiguousarray(x.reshape(len(x), -1), dtype=np.float64))
        out: np.ndarray = f(columns).numpy().reshape(x.shape)
        return out

    return apply


def _norm(a: LinearOperator) -> float:
    """The largest sum of moduli in a row, or twice the largest diagonal entry where the matrix is not known."""
    try:
        return float(abs(a.to_scipy()).sum(1).max())
    except InputError:
        d = a.diagonal()
        return 1.0 if d is None else 2 * float(d.detach().abs().max())
