"""Derivatives of what an equation defines: backward is one adjoint solve, which can be differentiated itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from graphpde.core.block_operator import BlockSparse
from graphpde.core.jacobian import BlockDiagonal
from graphpde.core.linear_operator import Diagonal, LinearOperator, Sparse
from graphpde.errors import InputError

Residual = Callable[[Tensor], Tensor]


class Solves(Protocol):
    """A u = b, or A^T u = b, without gradient."""

    def __call__(self, b: Tensor, *, transposed: bool) -> Tensor: ...


# linear equations whose matrix lists every tensor it reads


def lists_all(a: LinearOperator) -> bool:
    """Whether :func:`solved` takes the operator: one that is nothing but its tensors, and a product with them."""
    return isinstance(a, Sparse | BlockSparse | Diagonal | BlockDiagonal)


def solved(value: Tensor, a: LinearOperator, b: Tensor, solve: Solves) -> Tensor:
    """``value`` = A^-1 b with all its derivatives by b and the tensors of A.

    Nothing but ``value`` is kept for the backward pass, which is one solve with A^T (and the product of both solutions
    on every edge). That solve is differentiable in the same way, so a Hessian times a vector costs one solve with A and
    one with A^T more.
    """
    return _Solved.apply(_Held(value), a, solve, False, b, *a.tensors())


class _Held:
    """A tensor that autograd does not look into."""

    def __init__(self, value: Tensor):
        self.value = value


class _Solved(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, held: _Held, a: LinearOperator, solve: Solves, transposed: bool, b: Tensor, *tensors: Tensor
    ) -> Tensor:
        ctx.a, ctx.solve, ctx.transposed = a, solve, transposed
        ctx.save_for_backward(held.value, *tensors)
        return held.value

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        a, transposed, again = ctx.a, ctx.transposed, torch.is_grad_enabled()
        u, *tensors = ctx.saved_tensors
        with torch.no_grad():
            adjoint = ctx.solve(g, transposed=not transposed)
        if again:
            adjoint = _Solved.apply(_Held(adjoint), a, ctx.solve, not transposed, g, *tensors)
        wanted = [k for k, needed in enumerate(ctx.needs_input_grad[5:]) if needed]
        found: list[Tensor | None] = [None] * len(tensors)
        if wanted:
            # of one another the tensors may be functions: each stands for itself here
            with torch.enable_grad():
                own = [t.view_as(t) if again else t.detach() for t in tensors]
                for k in wanted:
                    own[k] = own[k] if again else own[k].requires_grad_()
                image = _product(a, own, u if again else u.detach(), transposed, exact=again)
                grads = torch.autograd.grad(image, [own[k] for k in wanted], -adjoint, create_graph=again)
            for k, grad in zip(wanted, grads, strict=True):
                found[k] = grad
        return None, None, None, None, adjoint if ctx.needs_input_grad[4] else None, *found


def _product(a: LinearOperator, tensors: list[Tensor], u: Tensor, transposed: bool, *, exact: bool) -> Tensor:
    """A u or A^T u of the operator made of other tensors.

    A symmetric matrix is its own transpose as long as its entries move in pairs; ``exact`` keeps A and A^T apart, so
    that derivatives by single entries are right as well.
    """
    if isinstance(a, Sparse | BlockSparse):
        weight, diag = tensors
        one: LinearOperator = type(a)(a.relation, weight, diag, symmetric=a.symmetric and not exact)
    else:
        one = BlockDiagonal(tensors[0]) if isinstance(a, BlockDiagonal) else Diagonal(tensors[0])
    return (one.transpose() if transposed else one).matvec(u)


# equations known by their residual


def implicit(value: Tensor, residual: Residual, solve: Solves) -> Tensor:
    """The root ``value`` of residual(u) = 0 with first and second derivatives by everything that ``residual`` reads.

    The residual is a differentiable function that may close over any tensors; ``solve`` solves with A = -d residual/du
    at the root. With u(p) the root, a first step of Newton's method from the constant value has the right first
    derivative, and one more from there has the right second one: the first is taken when only first derivatives are
    asked for (one adjoint solve), the second where a graph of them is wanted. A Hessian times a vector then costs one
    solve with A and one with A^T more.

    Raises:
        InputError: on the way to a third derivative.
    """
    r = residual(value)
    if not r.requires_grad:
        return value
    link = _Link(residual, solve)
    first = _First.apply(_Held(value), link, r)
    return _Second.apply(first, _Held(value), link, _repeated(residual, first))


def _repeated(residual: Residual, u: Tensor) -> Tensor:
    """The residual for second derivatives: nothing of it is kept, and it is evaluated again when they are asked for."""
    try:
        return checkpoint(residual, u, use_reentrant=False, preserve_rng_state=False)
    except RuntimeError:  # transforms of torch.func, in the residual or around, forbid the hooks that this takes
        return residual(u)


class _Link:
    """What the two steps share: the problem, and how large the gradient was that the second one has answered."""

    def __init__(self, residual: Residual, solve: Solves):
        self.residual, self.solve, self.answered = residual, solve, 0.0

    def nothing_left(self, h: Tensor) -> bool:
        """Whether what remains of an answered gradient is what the adjoint solve left of it."""
        return float(h.detach().abs().max()) <= torch.finfo(h.dtype).eps ** 0.4 * self.answered if h.numel() else True


class _First(torch.autograd.Function):
    """u = value + A^-1 residual(value), A fixed."""

    @staticmethod
    def forward(ctx: Any, held: _Held, link: _Link, r: Tensor) -> Tensor:
        ctx.link = link
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(r)
        return held.value.detach()

    @staticmethod
    def backward(ctx: Any, h: Tensor | None) -> Any:
        if h is None or (torch.is_grad_enabled() and ctx.link.nothing_left(h)):
            return None, None, None
        return None, None, _Adjoint.apply(h, ctx.saved_tensors[0], lambda g: ctx.link.solve(g, transposed=True))


class _Second(torch.autograd.Function):
    """u = first + A(first)^-1 residual(first)."""

    @staticmethod
    def forward(ctx: Any, first: Tensor, held: _Held, link: _Link, r: Tensor) -> Tensor:
        ctx.link = link
        ctx.save_for_backward(first)
        return held.value.detach()

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        if not torch.is_grad_enabled():
            return g, None, None, None
        link = ctx.link
        (u,) = ctx.saved_tensors
        link.answered = float(g.detach().abs().max()) if g.numel() else 0.0
        with torch.no_grad():
            adjoint = link.solve(g, transposed=True)
        (pulled,) = torch.autograd.grad(link.residual(u), u, adjoint, create_graph=True)  # -A^T adjoint
        return g, None, None, _Correction.apply(adjoint, g + pulled, link)


class _Correction(torch.autograd.Function):
    """The solution of A^T x = g where g - A^T x is known as a differentiable tensor: dx = A^-T d(g - A^T x)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, rest: Tensor, link: _Link) -> Tensor:
        ctx.link = link
        ctx.save_for_backward(rest)
        return x.clone()

    @staticmethod
    def backward(ctx: Any, q: Tensor) -> Any:
        return None, _Adjoint.apply(q, ctx.saved_tensors[0], lambda g: ctx.link.solve(g, transposed=False)), None


class _Adjoint(torch.autograd.Function):
    """A solve whose own derivative is refused.

    ``residual`` is not used: it ties the answer to everything the operator was made of. torch's ``once_differentiable``
    leaves that out, and ``torch.autograd.grad`` then walks past its refusal to a derivative without this part.
    """

    @staticmethod
    def forward(ctx: Any, g: Tensor, residual: Tensor, adjoint: Callable[[Tensor], Tensor]) -> Tensor:
        return adjoint(g)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        raise InputError(
            "no further derivative of this solve is available: linear solves with known matrices have all of them, "
            "other equations the first two; take differences of gradients"
        )
