"""The smallest eigenvalues of a symmetric operator, with vectors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphpde.core.block_operator import Interleaved
from graphpde.core.combined import pin
from graphpde.core.linear_operator import Diagonal, LinearOperator, as_matrix
from graphpde.errors import InputError, ShapeError, SolveError
from graphpde.registry import unknown
from graphpde.solve.direct import Factor
from graphpde.solve.krylov import Preconditioner, jacobi
from graphpde.solve.linear import is_small
from graphpde.solve.result import Status

_DENSE = 400  # unknowns up to which LAPACK finds all of them
_COUPLED = 40_000  # unknowns of several channels up to which a factorisation is worth its time
_SHIFT = 1e-9  # of the mean of diag(A) / diag(M): what is factored is definite, and slow modes stay apart
_NEW = 1e-24  # of a vector, squared: below that nothing in it is new
_BLOCKS = 3  # that are added to the one that an iteration of Lanczos starts from


@dataclass(frozen=True)
class EigenResult:
    """The k smallest eigenvalues.

    Attributes:
        values: in rising order [k]. vectors: [n, k], or of an operator that couples c channels [n, c, k]; V^T M V = 1.
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
    held: Tensor | None = None,
) -> EigenResult:
    """The k smallest eigenvalues of A v = lambda M v for a symmetric positive semidefinite A.

    Args:
        a: the operator, the same on every channel, or one that couples them; -Delta is ``-Diffusion(space).operator``.
        mass: lumped [n], an operator, or None for the identity; symmetric positive definite, one for all channels.
        k: how many. rtol: relative residual, see :class:`EigenResult`.
        method: "dense" (LAPACK), "factored" (block Lanczos on (A + s M)^-1 M), "lobpcg" (products and a preconditioner)
            or "auto": dense up to 400 unknowns, then factored where A is factored by
            :class:`LinearSolver`'s rule, or couples at most 40,000 unknowns, else lobpcg.
        precondition: for lobpcg, approximately A^-1 on all unknowns, the channels of a node side by side, [n c, k] ->
            [n c, k]; default Jacobi.
        held: nodes (bool [n]) or entries (bool [n, c]) at which vectors vanish.

    The values are differentiable in the tensors of A and M (d lambda = v^T (dA - lambda dM) v, valid for simple
    eigenvalues and for sums over clusters); the vectors are not.

    Raises:
        InputError: A is not declared symmetric, or is one operator for each channel; k is out of range. UnknownName: no
            such method. ShapeError: the mass or ``held`` does not fit.

    Reference: Knyazev 2001, SIAM J. Sci. Comput. 23 (LOBPCG, here scipy's); Grimes, Lewis and Simon 1994, SIAM J.
    Matrix Anal. Appl. 15 (block Lanczos).
    """
    problem = _Problem(as_matrix(a), mass, held)
    _check(problem, k, method)
    a, m = problem.a, problem.m
    with torch.no_grad():
        if method == "auto":
            method = "dense" if problem.count <= _DENSE else "factored" if problem.factors else "lobpcg"
        vectors = _METHODS[method](problem, k, rtol, precondition, max_iterations)
        v = torch.from_numpy(np.ascontiguousarray(vectors)).to(a.tensors()[0] if a.tensors() else torch.empty(0))
        v = v / (v * m.matvec(v)).sum(0).sqrt()
    image, weighed = a.matvec(v), m.matvec(v)
    found = (v * image).sum(0) / (v * weighed).sum(0)  # Rayleigh quotients: to second order in the vectors' errors
    rest = problem.cleared((image - found * weighed).detach()).norm(dim=0)
    size = _norm(a) + found.detach().abs() * _norm(m)
    residuals = (rest / (size * v.norm(dim=0))).tolist()
    worst = max(residuals)
    shapes = v if problem.channels == 1 else v.unflatten(0, (-1, problem.channels))
    if worst <= rtol:
        return EigenResult(found, shapes, Status.CONVERGED, f"residuals at most {worst:.1e}", method, residuals)
    reason = f"residuals up to {worst:.1e} > {rtol:.1e}; precondition, allow more iterations or ask for fewer pairs"
    return EigenResult(found, shapes, Status.MAX_ITERATIONS, reason, method, residuals)


class _Problem:
    """A v = lambda M v on the unknowns that are free.

    Attributes:
        a, m: on all unknowns, coupled channels side by side. count: of free ones. held: bool [unknowns] or None.
    """

    def __init__(self, a: LinearOperator, mass: Tensor | LinearOperator | None, held: Tensor | None):
        self.channels = a.channels if a.coupled else 1
        self._a, self._m, self._held = a, _mass(mass, a), held
        self.a, self.m = self._flat(a), self._flat(self._m)
        self.held = None
        if held is not None:
            if held.dtype != torch.bool or held.shape not in ((a.n,), (a.n, self.channels)):
                raise ShapeError(
                    f"held is {held.dtype} {list(held.shape)}, expected one truth value a node, [{a.n}], or one for "
                    f"each of its {self.channels} channels"
                )
            self.held = (held if held.dim() == 2 else held[:, None].expand(-1, self.channels)).reshape(-1)
        self.count = self.a.n if self.held is None else int((~self.held).sum())

    @property
    def factors(self) -> bool:
        """Whether it is small enough to be factored."""
        return is_small(self._a) or (self._a.coupled and self.a.n <= _COUPLED)

    def _flat(self, operator: LinearOperator) -> LinearOperator:
        return operator if self.channels == 1 else Interleaved(operator, self.channels)

    def cleared(self, x: Tensor) -> Tensor:
        """x [unknowns, k] with zeros at what is held."""
        return x if self.held is None else x.masked_fill(self.held[:, None], 0.0)

    def shifted(self, shift: float) -> LinearOperator:
        """A + shift M with what is held eliminated."""
        whole = self._a + self._m * shift
        return self._flat(pin(whole, self._held if self._held is None or self.channels > 1 else self.held))


def _check(problem: _Problem, k: int, method: str) -> None:
    a = problem.a
    if not a.symmetric:
        raise InputError(f"eigenpairs needs a symmetric operator, got {type(a).__name__} that is not declared so")
    if a.channels > 1 or a.coupled:
        raise InputError("eigenpairs needs one operator for all channels; take them one by one")
    if not isinstance(k, int) or not 1 <= k <= problem.count:
        free = "" if problem.held is None else " that are free"
        raise InputError(f"k = {k}, expected a whole number between 1 and the {problem.count} unknowns{free}")
    if method not in ("auto", *_METHODS):
        raise unknown("eigenvalue method", method, ("auto", *_METHODS))


def _mass(mass: Tensor | LinearOperator | None, a: LinearOperator) -> LinearOperator:
    if mass is None:
        return Diagonal(torch.ones(a.n, dtype=torch.float64))
    operator = Diagonal(mass) if isinstance(mass, Tensor) else mass
    if operator.n != a.n or (isinstance(mass, Tensor) and mass.dim() != 1):
        raise ShapeError(f"the mass is {list(getattr(mass, 'shape', [operator.n]))}, expected [{a.n}]")
    return operator


def _dense(problem: _Problem, k: int, *_: Any) -> np.ndarray:
    from scipy.linalg import eigh

    a, m = problem.a.to_scipy(), problem.m.to_scipy()
    if problem.held is None:
        vectors: np.ndarray = eigh(a.toarray(), m.toarray(), subset_by_index=(0, k - 1))[1]
        return vectors
    free = (~problem.held).nonzero()[:, 0].cpu().numpy()
    whole = np.zeros((problem.a.n, k))
    parts = (x[free][:, free].toarray() for x in (a, m))
    whole[free] = eigh(*parts, subset_by_index=(0, k - 1))[1]
    return whole


def _factored(problem: _Problem, k: int, rtol: float, precondition: Any, limit: int) -> np.ndarray:
    """Block Lanczos on (A + s M)^-1 M: a block finds all copies of a multiple eigenvalue, which one vector may miss."""
    shift = _SHIFT * float(np.mean(np.abs(problem.a.to_scipy().diagonal()) / problem.m.to_scipy().diagonal()))
    factor = Factor(problem.shifted(shift))

    def inverted(x: Tensor) -> Tensor:
        return problem.cleared(factor.solve(problem.cleared(problem.m.matvec(x))).value)

    x = torch.from_numpy(_start(problem, min(k + max(2, k // 2), problem.count)))
    size = 0.1 * rtol * _norm(problem.a)
    for _ in range(limit):
        x, rest = _ritz(problem, _orthonormal(problem, inverted(x), []), k)  # clears fast modes that rounding left
        if bool((rest <= size * x[:, :k].norm(dim=0)).all()):
            break
        basis = [x]
        for _ in range(_BLOCKS):
            added = _orthonormal(problem, inverted(basis[-1]), basis)
            if not added:  # the vectors span all that the operator makes of them
                break
            basis += added
        x = _ritz(problem, basis, k)[0][:, : x.shape[1]]
    found: np.ndarray = x[:, :k].numpy()
    return found


def _ritz(problem: _Problem, basis: list[Tensor], k: int) -> tuple[Tensor, Tensor]:
    """Vectors in the span of an orthonormal basis by rising values, and residuals of the first k."""
    q = torch.cat(basis, 1)
    image = problem.a.matvec(q)
    values, turn = torch.linalg.eigh(q.mT @ image)
    x = q @ turn
    rest = image @ turn[:, :k] - values[:k] * problem.m.matvec(x[:, :k])
    return x, problem.cleared(rest).norm(dim=0)


def _orthonormal(problem: _Problem, x: Tensor, before: list[Tensor]) -> list[Tensor]:
    """What x adds to the vectors before, orthonormal in M: one block, or none."""
    x = x / (x * problem.m.matvec(x)).sum(0).clamp(min=torch.finfo(x.dtype).tiny).sqrt()
    for least in (_NEW, 0.1):  # once more for what rounding left in the short ones
        for q in before:
            x = x - q @ (q.mT @ problem.m.matvec(x))
        sizes, turn = torch.linalg.eigh(x.mT @ problem.m.matvec(x))
        new = sizes > least
        x = x @ (turn[:, new] / sizes[new].sqrt())
    return [x] if x.shape[1] else []


def _start(problem: _Problem, count: int) -> np.ndarray:
    """Random vectors, but for constants on each channel."""
    x = np.random.default_rng(0).standard_normal((problem.a.n, count))
    for each in range(min(problem.channels, count)):
        x[:, each] = np.arange(problem.a.n) % problem.channels == each
    return problem.cleared(torch.from_numpy(x)).numpy()


def _by_products(problem: _Problem, k: int, rtol: float, precondition: Preconditioner | None, limit: int) -> np.ndarray:
    import warnings

    from scipy.sparse.linalg import lobpcg

    if 5 * (k + 2) >= problem.count:
        return _dense(problem, k)
    a, m = problem.a, problem.m
    spare = min(k + max(2, k // 5), problem.count // 5)  # a few more converge faster: the gap to the next counts
    maps = (_on_arrays(_then(f, problem.cleared)) for f in (a.matvec, m.matvec, precondition or jacobi(a)))
    with warnings.catch_warnings():  # what did not converge is said by the residuals
        warnings.simplefilter("ignore")
        tol = 0.1 * rtol * _norm(a) / _norm(m) ** 0.5  # of ||A v - lambda M v|| with v^T M v = 1
        on = [_scipy_map(a.n, f) for f in maps]
        start = _start(problem, spare)
        try:
            values, vectors = lobpcg(on[0], start, on[1], on[2], tol=tol, maxiter=limit, largest=False)
        except (ValueError, np.linalg.LinAlgError):
            reason = "LOBPCG broke down: its vectors became dependent; use method='factored' or another preconditioner"
            empty = torch.empty(0)
            raise SolveError(reason, EigenResult(empty, empty, Status.BREAKDOWN, reason, "lobpcg")) from None
    chosen: np.ndarray = vectors[:, np.argsort(values)[:k]]
    return chosen


def _then(f: Callable[[Tensor], Tensor], after: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    return lambda x: after(f(x))


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
