"""Linear solves behind one door: the method is chosen by a stated rule and the gradient is one adjoint solve."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from graphpde.core.block_operator import BlockSparse, Interleaved, interleave, separate
from graphpde.core.linear_operator import LinearOperator, Sparse, as_matrix
from graphpde.errors import InputError, ShapeError
from graphpde.registry import unknown
from graphpde.solve import minres as _minres  # noqa: F401  (registers itself)
from graphpde.solve.automatic import Automatic
from graphpde.solve.direct import Factor
from graphpde.solve.krylov import KRYLOV, Preconditioner
from graphpde.solve.recent import Recent
from graphpde.solve.result import Result, Status

_DIRECT_WORK = 4e6  # n (entries per row)^2: about 80k unknowns in the plane and 18k in space factor in seconds
_FEW, _NARROW = 25_000, 150  # unknowns and entries per row up to which quadratic elements do, too


class LinearSolver:
    """Solves A x = b for one operator and many right-hand sides [*, n, c].

    Args:
        a: the operator.
        method: "direct", "cg", "minres", "gmres" or "auto": direct where the matrix is known and
            n (entries per row)^2 <= 4e6 (the fill of a direct factorisation grows with the dimension) or there are at
            most 25,000 unknowns with at most 150 entries per row, else cg if symmetric, minres from where cg finds the
            operator indefinite, else gmres.
        rtol: relative residual of the Krylov methods.
        precondition: for the Krylov methods; default Jacobi, and in "auto" multigrid where it is worth its hierarchy,
            see :class:`graphpde.solve.automatic.Automatic`.
        remember: solutions that the Krylov methods keep to start the next solve from, see
            :class:`graphpde.solve.recent.Recent`; 0 starts from x0 alone.

    The result is differentiable in b and in every tensor of ``a`` (first order, reverse mode): backward is one solve
    with the transposed operator.

    Attributes:
        method: the method in use. remembers: whether an answer depends, within rtol, on the solves before it.

    Raises:
        SolveError: no usable answer; UnknownName: unknown method.
    """

    def __init__(
        self,
        a: LinearOperator,
        *,
        method: str = "auto",
        rtol: float = 1e-10,
        precondition: Preconditioner | None = None,
        remember: int = 4,
    ):
        known = ("auto", "direct", *KRYLOV)
        if method not in known:
            raise unknown("solver", method, known)
        self.a = as_matrix(a)
        self._one = Interleaved(self.a, self.a.channels) if self.a.coupled else self.a  # what the methods work on
        self.rtol, self.precondition = rtol, precondition
        self.method = _choose(self.a) if method == "auto" else method
        free = method == "auto" and self.method == "cg" and precondition is None
        self._automatic = Automatic(self._one, rtol) if free else None
        self._factor = Factor(self._one) if self.method == "direct" else None
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
            if self._factor is not None:
                result = self._factor.solve(flat, transposed=transposed)
            else:
                a = self._one.transpose() if transposed else self._one
                start = None if transposed else self._recent.start(flat)
                if start is None and x0 is not None:
                    start = self._columns(x0)[0]
                if a.channels > 1 and flat.shape[1] != a.channels:
                    raise InputError(f"a batched solve with {a.channels} per-channel operators needs method='direct'")
                near = self._preconditioner(b)
                if self._automatic is None:
                    result = KRYLOV[self.method](a, flat, x0=start, rtol=self.rtol, precondition=near)
                else:
                    result = self._automatic.solve(flat, start)
                    self.method = self._automatic.method
                if result.status is Status.CONVERGED and not transposed:
                    self._recent.add(flat, result.value)
            return Result(back(result.value), result.status, result.reason, result.iterations, result.residuals)

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
        residual = b - self.a.matvec(value)  # asks the operator itself: a map known by its action lists no tensors
        if not residual.requires_grad:
            return value
        return attach(value, residual, lambda g: self.solve(g, transposed=True).checked().value)


def solve(a: LinearOperator, b: Tensor, *, method: str = "auto", rtol: float = 1e-10) -> Tensor:
    """Solution of A x = b, b [*, n, c]; see :class:`LinearSolver`."""
    return LinearSolver(a, method=method, rtol=rtol)(b)


def attach(value: Tensor, residual: Tensor, adjoint: Callable[[Tensor], Tensor]) -> Tensor:
    """``value`` with the gradient of the implicit function: d value = A^-1 d residual.

    ``residual`` is b - A(w) value (zero up to the solver's tolerance) with ``value`` held fixed, so its own gradient
    says how b and w enter; ``adjoint`` solves with the transposed Jacobian.
    """
    return _Implicit.apply(value, residual, adjoint)


class _Implicit(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, residual: Tensor, adjoint: Callable[[Tensor], Tensor]) -> Tensor:
        ctx.adjoint = adjoint
        ctx.save_for_backward(residual)
        return value.clone()

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        return None, _Adjoint.apply(g, ctx.saved_tensors[0], ctx.adjoint), None


class _Adjoint(torch.autograd.Function):
    """The adjoint solve, whose own derivative is refused.

    ``residual`` is not used: it ties the answer to everything the operator was made of. torch's ``once_differentiable``
    leaves that out, and ``torch.autograd.grad`` then walks past its refusal to a second derivative without this part.
    """

    @staticmethod
    def forward(ctx: Any, g: Tensor, residual: Tensor, adjoint: Callable[[Tensor], Tensor]) -> Tensor:
        return adjoint(g)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        raise InputError(
            "second derivatives through a solve are not available, only first ones; "
            "use an explicit stepper or differences of gradients"
        )


def is_small(a: LinearOperator) -> bool:
    """Whether the matrix is known and few enough to be factored, see :class:`LinearSolver`."""
    if isinstance(a, Sparse | BlockSparse):
        c = a.channels if isinstance(a, BlockSparse) else 1
        per_row = c * (a.relation.n_edges / max(a.n, 1) + 1)
        return c * a.n * per_row**2 <= _DIRECT_WORK or (c * a.n <= _FEW and per_row <= _NARROW)
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
