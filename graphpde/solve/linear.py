"""Linear solves behind one door: the method is chosen by a stated rule and the gradient is one adjoint solve."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from graphpde.core.block_operator import BlockSparse, Interleaved, interleave, separate
from graphpde.core.linear_operator import LinearOperator, Sparse, as_matrix
from graphpde.errors import InputError, ShapeError
from graphpde.registry import unknown
from graphpde.solve import bicgstab as _bicgstab  # noqa: F401  (registers itself)
from graphpde.solve import chebyshev as _chebyshev  # noqa: F401  (registers itself)
from graphpde.solve import minres as _minres  # noqa: F401  (registers itself)
from graphpde.solve.automatic import Automatic
from graphpde.solve.direct import Factor
from graphpde.solve.implicit_gradient import implicit, lists_all, solved
from graphpde.solve.krylov import KRYLOV, Preconditioner
from graphpde.solve.null_space import NullSpace
from graphpde.solve.one_way import OneWay, is_one_way
from graphpde.solve.recent import Recent
from graphpde.solve.result import Result, Status
from graphpde.solve.saddle import Saddle, is_saddle
from graphpde.typing import check_shape

_DIRECT_WORK = 4e6  # n (entries per row)^2: about 80k unknowns in the plane and 18k in space factor in seconds
_LAST_WORK = 2e8  # the same where nothing else has converged
_SADDLE_WORK = 1e8  # the same where the alternative needs hundreds of iterations: about 80k unknowns in the plane
_FEW, _NARROW = 25_000, 150  # unknowns and entries per row up to which quadratic elements do, too


class LinearSolver:
    """Solves A x = b for one operator and many right-hand sides [*, n, c].

    Args:
        a: the operator.
        method: "direct", "cg", "minres", "gmres", "bicgstab", "chebyshev" or "auto": direct where the matrix is known
            and n (entries per row)^2 <= 4e6 (the fill of a direct factorisation grows with the dimension) or there are
            at most 25,000 unknowns with at most 150 entries per row, else cg if symmetric, minres from where cg finds
            the operator indefinite, else gmres; saddle points (flows) directly up to n (entries per row)^2 = 1e8.
        rtol: relative residual of the Krylov methods.
        precondition: for the Krylov methods; default Jacobi, for saddle points blocks
            (:class:`graphpde.solve.saddle.Saddle`), for heated bodies too
            (:class:`graphpde.solve.one_way.OneWay`), and in "auto" multigrid where it is worth its hierarchy,
            see :class:`graphpde.solve.automatic.Automatic`.
        remember: solutions that the Krylov methods keep to start the next solve from, see
            :class:`graphpde.solve.recent.Recent`; 0 starts from x0 alone.
        null_space: of a singular symmetric operator, null vectors [n, q] or "constants" for one on each connected
            component that nothing holds, see :class:`graphpde.solve.null_space.NullSpace`; of coupled channels
            vectors [n, c, q], or [n c, q] with the channels of a node side by side. The solution is orthogonal to them,
            and a right-hand side that is not ends with ``INCONSISTENT``.

    The result is differentiable in b and in every tensor of ``a`` (reverse mode, again and again; twice where ``a`` is
    known by its action): backward is one solve with the transposed operator, see
    :mod:`graphpde.solve.implicit_gradient`.

    Attributes:
        method: the method in use. null_space: what a singular operator leaves open, or None. remembers: whether an
            answer depends, within rtol, on the solves before it.

    Raises:
        SolveError: no usable answer; UnknownName: unknown method. InputError: a null space that is none, or with
            method="direct".
    """

    def __init__(
        self,
        a: LinearOperator,
        *,
        method: str = "auto",
        rtol: float = 1e-10,
        precondition: Preconditioner | None = None,
        remember: int = 4,
        null_space: Tensor | str | None = None,
    ):
        known = ("auto", "direct", *KRYLOV)
        if method not in known:
            raise unknown("solver", method, known)
        self.a = as_matrix(a)
        self._one = Interleaved(self.a, self.a.channels) if self.a.coupled else self.a  # what the methods work on
        self.rtol, self.precondition = rtol, precondition
        if method == "auto":  # a singular operator cannot be factored
            self.method = _choose(self.a) if null_space is None else "cg"
        else:
            self.method = method
        free = method == "auto" and self.method == "cg" and precondition is None
        self._automatic = Automatic(self._one, rtol) if free else None
        self.null_space = None if null_space is None else self._open(null_space)
        self._factor = Factor(self._one) if self.method == "direct" else None
        self._triangular: dict[bool, Preconditioner] = {}
        blocks = self.method != "direct" and precondition is None and null_space is None
        self._block_triangular = blocks and (is_saddle(self.a) or is_one_way(self.a))
        self._recent = Recent(remember)
        self.remembers = self._factor is None and remember > 0

    def solve(self, b: Tensor, *, x0: Tensor | None = None, transposed: bool = False) -> Result:
        """The result with its history, without gradient.

        Raises:
            ShapeError: b does not fit the operator.
        """
        if b.dim() < 2 or b.shape[-2] != self.a.n or (self.a.channels > 1 and b.shape[-1] != self.a.channels):
            channels = self.a.channels if self.a.channels > 1 else "c"
            raise ShapeError(f"b has shape {list(b.shape)}, expected [*, {self.a.n}, {channels}]")
        with torch.no_grad():
            flat, back = self._columns(b)
            if not flat.numel():
                return Result(torch.zeros_like(b), Status.CONVERGED, "nothing to solve for", 0, [0.0])
            if self.null_space is not None:
                none = self.null_space.inconsistent(flat)
                if none is not None:
                    return replace(none, value=back(none.value))
                flat = self.null_space.removed(flat)
            if self._factor is not None:
                result = self._factor.solve(flat, transposed=transposed)
            else:
                a = self._one.transpose() if transposed else self._one
                start = None if transposed else self._recent.start(flat)
                if start is None and x0 is not None:
                    start = self._columns(x0)[0]
                if a.channels > 1 and flat.shape[1] != a.channels:
                    raise InputError(f"a batched solve with {a.channels} per-channel operators needs method='direct'")
                near = self._blocks(transposed) if self._block_triangular else self._preconditioner(b)
                if self.null_space is not None:
                    start = None if start is None else self.null_space.removed(start)
                    near = self.null_space.around(near)
                if self._automatic is None:
                    result = KRYLOV[self.method](a, flat, x0=start, rtol=self.rtol, precondition=near)
                else:
                    result = self._automatic.solve(flat, start)
                    self.method = self._automatic.method
                    if not result.converged and is_small(self.a, _LAST_WORK):
                        self._factor, self.method = Factor(self._one), "direct"
                        result = self._factor.solve(flat, transposed=transposed)
                if result.status is Status.CONVERGED and not transposed:
                    self._recent.add(flat, result.value)
            value = result.value if self.null_space is None else self.null_space.removed(result.value)
            return replace(result, value=back(value))

    def approximately(self, r: Tensor, *, transposed: bool = False) -> Tensor:
        """About A^-1 r, to precondition operators near A: by its factors, the blocks of a saddle, or a solve."""
        if not self._block_triangular:
            return self.solve(r, transposed=transposed).value
        with torch.no_grad():
            flat, back = self._columns(r)
            return back(self._blocks(transposed)(flat))

    def _blocks(self, transposed: bool) -> Preconditioner:
        if transposed not in self._triangular:
            self._triangular[transposed] = self._saddle(transposed) if is_saddle(self.a) else self._one_way(transposed)
        return self._triangular[transposed]

    def _saddle(self, transposed: bool) -> Saddle:
        matrix, like = self._one.to_scipy(0), self._one.diagonal()
        assert like is not None
        return Saddle(matrix.T if transposed else matrix, self.a.channels, like.detach())

    def _one_way(self, transposed: bool) -> OneWay:
        assert isinstance(self.a, BlockSparse)
        return OneWay(self.a, self.rtol, transposed=transposed)

    def _open(self, null_space: Tensor | str) -> NullSpace:
        if self.method == "direct":
            raise InputError("a singular operator cannot be factored; leave method out, or use cg or minres")
        if isinstance(null_space, str) and self.a.coupled:
            raise InputError(
                f"null_space = '{null_space}' of an operator that couples channels is not known; give the null vectors "
                f"[{self._one.n}, q] themselves"
            )
        if isinstance(null_space, Tensor) and null_space.dim() == 3:
            null_space = check_shape(null_space, "n c q", "the null space", n=self.a.n, c=self.a.channels).flatten(0, 1)
        return NullSpace(self._one, null_space)

    def _columns(self, b: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """The right-hand sides as columns, and the way back; coupled channels become unknowns of one system."""
        if not self.a.coupled:
            return _columns(b)
        c = b.shape[-1]
        return interleave(b.reshape(-1, *b.shape[-2:])), lambda y: separate(y, c).reshape(b.shape)

    def _preconditioner(self, b: Tensor) -> Preconditioner | None:
        precondition, c = self.precondition, b.shape[-1]
        if precondition is None or not self.a.coupled:
            return precondition
        return lambda r: interleave(precondition(separate(r, c)))

    def __call__(self, b: Tensor, *, x0: Tensor | None = None) -> Tensor:
        """The solution [*, n, c], differentiable; raises unless converged."""
        value = self.solve(b.detach(), x0=None if x0 is None else x0.detach()).checked().value
        if not torch.is_grad_enabled():
            return value
        if not lists_all(self.a):  # a map known by its action lists no tensors: ask the equation itself
            return implicit(value, lambda u: b - self.a.matvec(u), self._plain)
        if not any(w.requires_grad for w in (b, *self.a.tensors())):
            return value
        return solved(value, self.a, b, self._plain)

    def _plain(self, b: Tensor, *, transposed: bool) -> Tensor:
        if self.null_space is not None:  # of a sensitivity, the pseudo-inverse takes what it can reach
            flat, back = self._columns(b)
            b = back(self.null_space.removed(flat))
        return self.solve(b, transposed=transposed).checked().value


def solve(a: LinearOperator, b: Tensor, *, method: str = "auto", rtol: float = 1e-10) -> Tensor:
    """Solution of A x = b, b [*, n, c]; see :class:`LinearSolver`."""
    return LinearSolver(a, method=method, rtol=rtol)(b)


def is_small(a: LinearOperator, most: float = _DIRECT_WORK) -> bool:
    """Whether the matrix is known and has few enough entries to be factored, see :class:`LinearSolver`."""
    if isinstance(a, Sparse | BlockSparse):
        c = a.channels if isinstance(a, BlockSparse) else 1
        per_row = c * (a.relation.n_edges / max(a.n, 1) + 1)
        work = c * a.n * per_row**2
        if work <= most or is_saddle(a):
            return work <= max(most, _SADDLE_WORK)
        return c * a.n <= _FEW and per_row <= (_NARROW if not is_one_way(a) else _NARROW / 3)
    if a.n > 20_000:
        return False
    try:
        _ = a.to_matrix(a.channels) if a.coupled else a.to_scipy(0)
    except InputError:
        return False
    return True


def _choose(a: LinearOperator) -> str:
    return "direct" if is_small(a) else "cg" if a.symmetric else "gmres"


def _columns(b: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """[*, n, c] as [n, * c] and the way back."""
    if b.dim() == 2:
        return b, lambda y: y
    lead, c = b.shape[:-2], b.shape[-1]
    return b.movedim(-2, 0).flatten(1), lambda y: y.reshape(y.shape[0], *lead, c).movedim(0, -2)
