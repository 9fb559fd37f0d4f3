"""Algebraic multigrid: the hierarchy comes from pyamg, the V-cycle is made of this library's sparse products.

Every level is scaled to unit diagonal, A = D^-1/2 K D^-1/2, which makes Jacobi's method a step with the identity, lets
one smoother serve nodes of any size and leaves eliminated nodes (rows of the identity) alone. With the smoothing
polynomial q, prolongation P and the level below (c),

    x = q(A) r,    x <- x + P M_c P^T (r - A x),    x <- x + q(A) (r - A x),

a symmetric positive definite map of r. It costs a fixed number of products with the matrices of all levels together,
``operator_complexity`` times those with K.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from graphpde.core.block_operator import Interleaved
from graphpde.core.kernels import Plan
from graphpde.core.linear_operator import LinearOperator
from graphpde.core.message import Sides, apply, operate, spmm
from graphpde.core.ordering import rows_of
from graphpde.errors import InputError, ShapeError
from graphpde.registry import unknown
from graphpde.solve.smoothers import chebyshev, largest_eigenvalue

METHODS = ("classical", "smoothed_aggregation")

_COARSEST = 200  # unknowns that a dense matrix takes care of
_DENSE = 2000  # unknowns up to which it may have to, where pyamg stops sooner
_BEYOND = 1.1  # a Lanczos estimate lies up to six percent below the largest eigenvalue
_NOTHING = 4 * np.finfo(np.float64).eps  # entries of a matrix of unit diagonal that are rounding


class Multigrid:
    """Preconditioner z = M r for a symmetric positive (semi-)definite operator: one V-cycle, [n, k] -> [n, k].

    Several columns go through together; of an operator of c channels with a map each, column j belongs to channel j
    modulo c, and each channel has a hierarchy of its own. Of an operator that couples c channels the unknowns are
    those of :class:`graphpde.core.block_operator.Interleaved`: give that one. Singular operators (pure Neumann
    conditions) are taken as well: the coarsest level uses the pseudo-inverse. Eliminated nodes cost nothing.

    M is a constant symmetric map: differentiable in r, to every order, but not in the entries of the operator, which a
    gradient through a *solution* does not need (see :class:`graphpde.solve.linear.LinearSolver`).

    Args:
        a: the operator, whose matrix must be known.
        method: "classical" (Ruge-Stueben; scalar equations) or "smoothed_aggregation" (systems, with ``candidates``).
        candidates: near-null space [n, q] of smoothed aggregation, such as rigid motions; default ``a.near_null``, and
            where that is None constants, of interleaved unknowns one for each channel.
        degree: products per smoothing step; 1 is damped Jacobi.
        lowest: smooth eigenvalues from this fraction of the largest on.
        strength: couplings count from this fraction of a row's largest on (classical), or of the geometric mean of the
            diagonal (aggregation); default 0.25 and 0.
        dtype: numbers in the cycle; default those of the operator. float32 inside a float64 iteration saves memory.

    Attributes:
        levels: the number of unknowns on each level, finest first, of the first channel.
        operator_complexity: entries of the matrices of all levels over those of the finest.

    Raises:
        InputError: pyamg is missing; an operator that is not symmetric, has no matrix, numbers that are not finite, or
            a diagonal that is not positive. UnknownName: unknown method. ShapeError: candidates do not fit.

    Reference: Ruge and Stueben 1987; Vanek, Mandel and Brezina 1996; Bell, Olson, Schroder and Southworth 2023 (pyamg).
    """

    def __init__(
        self,
        a: LinearOperator,
        *,
        method: str = "classical",
        candidates: Tensor | None = None,
        degree: int = 2,
        lowest: float = 0.2,
        strength: float | None = None,
        dtype: torch.dtype | None = None,
    ):
        if method not in METHODS:
            raise unknown("multigrid method", method, METHODS)
        if not a.symmetric or a.coupled:
            what = "couples channels; give Interleaved(a, channels)" if a.coupled else "is not symmetric; use gmres"
            raise InputError(f"multigrid works on a symmetric operator of one unknown a node, this one {what}")
        if candidates is not None and (method == "classical" or candidates.dim() != 2 or len(candidates) != a.n):
            raise ShapeError(
                f"candidates have shape {list(candidates.shape)} with method '{method}', "
                f"expected [{a.n}, q] with method 'smoothed_aggregation'"
            )
        self.n, self.method, self.degree = a.n, method, degree
        like = a.diagonal()
        like = torch.zeros(0, dtype=torch.float64) if like is None else like.detach()
        like = like.new_empty(0, dtype=dtype or like.dtype)
        if candidates is None and a.near_null is not None:
            candidates = a.near_null.flatten(1)
        each = a.each if isinstance(a, Interleaved) else 1
        options = _Options(method, None if candidates is None else _array(candidates), strength, each)
        self._cycles = [
            _Cycle(_hierarchy(_matrix(a, k), options), like, degree, lowest) for k in range(max(a.channels, 1))
        ]
        self.levels = self._cycles[0].sizes
        self.operator_complexity = self._cycles[0].complexity

    def __call__(self, r: Tensor) -> Tensor:
        """z = M r, r [n, k]."""
        each = len(self._cycles)
        if r.dim() != 2 or r.shape[0] != self.n or r.shape[1] % each:
            raise ShapeError(f"r has shape {list(r.shape)}, expected [{self.n}, {'k' if each == 1 else f'{each} k'}]")
        if each == 1:
            return apply(_Apply, r, self._cycles[0])
        parts = [apply(_Apply, r[:, k::each], cycle) for k, cycle in enumerate(self._cycles)]
        return torch.stack(parts, -1).flatten(1)

    def describe(self) -> str:
        """The hierarchy in one sentence."""
        return (
            f"{self.method.replace('_', ' ')} multigrid, {len(self.levels)} levels "
            f"({', '.join(map(str, self.levels))} unknowns), operator complexity {self.operator_complexity:.2f}, "
            f"Chebyshev smoothing of degree {self.degree}"
        )


class _Apply(torch.autograd.Function):
    """The cycle, which is its own transpose: no step of it is recorded."""

    @staticmethod
    def forward(ctx: Any, r: Tensor, cycle: _Cycle) -> Tensor:
        ctx.cycle = cycle
        return cycle(r)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        return apply(_Apply, g, ctx.cycle), None


class _Rows:
    """Product with a compressed sparse matrix, [n_in, k] -> [n_out, k].

    It keeps the rows only, as a third of the memory of a Relation: nothing here asks for the transpose.
    """

    def __init__(self, matrix: Any, like: Tensor):
        ptr, idx = (torch.from_numpy(x).to(like.device) for x in (matrix.indptr, matrix.indices))
        plan = Plan(ptr, idx, rows_of(ptr), None, matrix.shape[1], matrix.shape[0])
        self.sides = Sides(plan, plan)
        self.weight = torch.from_numpy(matrix.data).to(like)

    def __call__(self, x: Tensor) -> Tensor:
        return spmm(self.sides, self.weight, x)

    def shifted(self, x: Tensor, shift: Tensor) -> Tensor:
        """Product plus shift [n] times x."""
        return operate(self.sides, self.weight, shift, x)


class _Level:
    """A matrix of unit diagonal with its smoother and the ways to the level below."""

    def __init__(self, matrix: Any, prolongation: Any, like: Tensor, degree: int, lowest: float):
        self.product = _Rows(matrix, like)
        self.up, self.down = _Rows(prolongation, like), _Rows(prolongation.T.tocsr(), like)
        n = matrix.shape[0]
        largest = _BEYOND * largest_eigenvalue(self.product, like.new_empty(n, 1))
        *rest, self.factor = chebyshev(degree, lowest * largest / _BEYOND, largest)
        self.rest = [c / self.factor for c in reversed(rest)]
        self.shift = like.new_full((n,), self.rest[0]) if rest else None

    def smoothed(self, r: Tensor) -> Tensor:
        """q(A) r over the leading coefficient of q, by Horner's rule."""
        if self.shift is None:
            return r
        y = self.product.shifted(r, self.shift)
        for c in self.rest[1:]:
            y = self.product(y).add_(r, alpha=c)
        return y


class _Cycle:
    """One V-cycle over the levels of one matrix."""

    def __init__(self, hierarchy: _Hierarchy, like: Tensor, degree: int, lowest: float):
        self.sizes = [m.shape[0] for m in hierarchy.matrices]
        self.complexity = sum(m.nnz for m in hierarchy.matrices) / max(hierarchy.matrices[0].nnz, 1)
        pairs = zip(hierarchy.matrices, hierarchy.prolongations, strict=False)
        self.levels = [_Level(m, p, like, degree, lowest) for m, p in pairs]
        self.scale = torch.from_numpy(hierarchy.scale).to(like)[:, None]
        self.inverse = torch.from_numpy(_pseudo_inverse(hierarchy.matrices[-1])).to(like)

    @torch.no_grad()
    def __call__(self, r: Tensor) -> Tensor:
        scaled = self.scale * r.to(self.scale.dtype)
        return (self._down(scaled, 0).mul_(self.scale)).to(r.dtype)

    def _down(self, r: Tensor, k: int) -> Tensor:
        if k == len(self.levels):
            return self.inverse @ r if self.inverse.dim() == 2 else self.inverse[:, None] * r
        level = self.levels[k]
        y, c = level.smoothed(r), level.factor
        x = level.up(self._down(level.down(torch.add(r, level.product(y), alpha=-c)), k + 1)).add_(y, alpha=c)
        rest = level.product(x)
        return x.add_(level.smoothed(torch.sub(r, rest, out=rest)), alpha=c)


class _Options(NamedTuple):
    method: str
    candidates: Any
    strength: float | None
    each: int  # unknowns of a node, which aggregate together


class _Hierarchy(NamedTuple):
    """Matrices of unit diagonal, prolongations between them, and D^-1/2 of the finest [n]."""

    matrices: list[Any]
    prolongations: list[Any]
    scale: Any


def _matrix(a: LinearOperator, channel: int) -> Any:
    """The matrix of one channel without what is only rounding."""
    matrix = a.to_scipy(channel).tocsr().astype(np.float64)  # a copy: it is changed here and scaled later
    d = matrix.diagonal()
    if not np.isfinite(matrix.data).all():
        raise InputError("the matrix holds numbers that are not finite; check the coefficients")
    if not (d > 0).all():
        worst = int(d.argmin())
        raise InputError(
            f"the diagonal is {d[worst]:.3g} at unknown {worst}, expected positive numbers; "
            "multigrid needs a positive definite operator: -a where a is negative definite"
        )
    root = np.sqrt(d)
    size = np.repeat(root, np.diff(matrix.indptr))
    size *= _at(root, matrix.indices)
    small = np.abs(matrix.data) <= _NOTHING * size
    if small.any():
        matrix.data[small] = 0.0
        matrix.eliminate_zeros()
    return matrix


def _hierarchy(matrix: Any, options: _Options) -> _Hierarchy:
    """Levels of pyamg, scaled."""
    matrices, prolongations = [matrix], []
    if matrix.shape[0] > _COARSEST:
        with _fixed_random_numbers():
            levels = _solver(matrix, options).levels
        matrices = [level.A.tocsr() for level in levels]
        prolongations = [level.P.tocsr() for level in levels[:-1]]
    roots = []
    for m in matrices:
        d = m.diagonal()
        roots.append(np.sqrt(np.where(d > np.finfo(d.dtype).eps * d.max(initial=0.0), d, 0.0)))
    inverses = [np.divide(1.0, root, out=np.zeros_like(root), where=root > 0) for root in roots]
    scaled = [_scaled(m, s, s) for m, s in zip(matrices, inverses, strict=True)]
    ways = [_scaled(p, roots[k], inverses[k + 1]) for k, p in enumerate(prolongations)]
    return _Hierarchy(scaled, ways, inverses[0])


def _solver(matrix: Any, options: _Options) -> Any:
    try:
        import pyamg
    except ImportError:
        raise InputError('algebraic multigrid needs pyamg; run: pip install "graphpde[solvers]"') from None
    if options.method == "classical":
        theta = 0.25 if options.strength is None else options.strength
        return pyamg.ruge_stuben_solver(matrix, strength=("classical", {"theta": theta}), max_coarse=_COARSEST)
    strength = ("symmetric", {"theta": options.strength or 0.0})
    more: dict[str, Any] = {} if options.candidates is None else {"improve_candidates": None}  # they are good already
    if options.each > 1:
        matrix = matrix.tobsr((options.each, options.each))
    return pyamg.smoothed_aggregation_solver(
        matrix, B=options.candidates, strength=strength, max_coarse=_COARSEST, max_levels=30, **more
    )


def _scaled(matrix: Any, rows: Any, columns: Any) -> Any:
    """diag(rows) matrix diag(columns) in the memory of the matrix, which is nobody else's."""
    matrix.data *= _at(columns, matrix.indices)
    matrix.data *= np.repeat(rows, np.diff(matrix.indptr))
    return matrix


def _at(values: Any, places: Any) -> Any:
    """values[places]; numpy would first turn int32 places into int64."""
    return torch.from_numpy(values).index_select(0, torch.from_numpy(places)).numpy()


def _pseudo_inverse(matrix: Any) -> Any:
    """Of the coarsest matrix, null space and all: [m, m], or [m] ones for a large one, whose rows hardly couple."""
    m = matrix.shape[0]
    if m > _DENSE:
        return np.ones(m)
    values, vectors = np.linalg.eigh(matrix.toarray())
    kept = values > 16 * m * np.finfo(np.float64).eps * values.max(initial=0.0)
    vectors = vectors[:, kept]
    return (vectors / values[kept]) @ vectors.T


def _array(x: Tensor) -> Any:
    return x.detach().to("cpu", torch.float64).numpy()


@contextmanager
def _fixed_random_numbers() -> Iterator[None]:
    """pyamg starts its estimates of eigenvalues from numpy's global generator: the same numbers every time."""
    before = np.random.get_state()
    np.random.seed(0)
    try:
        yield
    finally:
        np.random.set_state(before)
