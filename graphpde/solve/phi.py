r"""Functions of operators on vectors: phi_0 = exp, phi_k(z) = (phi_{k-1}(z) - 1/(k-1)!) / z.

phi_k(A) v = \int_0^1 e^{(1 - s) A} s^{k-1} / (k-1)! ds v for k >= 1, and phi_k(0) = 1 / k!.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from graphpde.errors import InputError, SolveError

Map = Callable[[Tensor], Tensor]
_CHECK = 4  # directions between two looks at the error estimate


def phi_scalar(k: int, x: Tensor) -> Tensor:
    """phi_k of each entry, float64; by its series near 0, where the recurrence cancels."""
    small = x.abs() < 1.0
    y = torch.where(small, -torch.ones_like(x), x)
    value = torch.exp(y)
    for j in range(k):
        value = (value - 1 / math.factorial(j)) / y
    z = torch.where(small, x, torch.zeros_like(x))
    series = torch.zeros_like(x)
    for j in reversed(range(20)):
        series = series * z + 1 / math.factorial(j + k)
    return torch.where(small, series, value)


def phi_dense(k: int, a: Tensor) -> Tensor:
    """phi_k of a dense matrix [m, m] by one exponential of a larger one.

    Reference: Sidje 1998, ACM Trans. Math. Softw. 24, theorem 1.
    """
    m = a.shape[0]
    if k == 0:
        return torch.linalg.matrix_exp(a)
    large = a.new_zeros((k + 1) * m, (k + 1) * m)
    large[:m, :m] = a
    for j in range(k):
        large[j * m : (j + 1) * m, (j + 1) * m : (j + 2) * m] += torch.eye(m, dtype=a.dtype, device=a.device)
    return torch.linalg.matrix_exp(large)[:m, k * m :]


class Krylov:
    """phi_k(s A) v from one Krylov space of A and v, grown as far as the error estimate asks.

    Args:
        apply: x -> A x on tensors shaped like v. symmetric: A equals its transpose (Lanczos instead of Arnoldi).
        rtol: error allowed, in units of |v|. most: largest dimension.

    The estimate is the next term of the expansion (Saad 1992, SIAM J. Numer. Anal. 29, theorem 5.1).
    """

    def __init__(self, apply: Map, v: Tensor, *, symmetric: bool, rtol: float, most: int):
        self.apply, self.shape, self.symmetric = apply, v.shape, symmetric
        self.size = float(v.norm())
        self.tolerance, self.most = max(rtol, 50 * torch.finfo(v.dtype).eps), most
        self.basis = v.new_empty(most + 1, v.numel())
        self.basis[0] = v.flatten() / (self.size or 1.0)
        self.upper = torch.zeros(most + 1, most, dtype=torch.float64)
        self.m, self.closed = 0, self.size == 0.0

    def phi(self, k: int, s: float) -> Tensor | None:
        """phi_k(s A) v, or None where the largest dimension does not reach the tolerance."""
        if not math.isfinite(self.size):
            raise SolveError("the vector of a matrix function is not finite; check the state and the coefficients")
        if self.size == 0.0:
            return self.basis.new_zeros(self.shape)
        while True:
            if self.closed or (self.m and (self.m % _CHECK == 0 or self.m == self.most)):
                now, ahead = self._small(k, s)
                missed = 0.0 if self.closed else abs(s * float(self.upper[self.m, self.m - 1] * ahead[-1]))
                if missed <= self.tolerance:
                    return (self.size * now.to(self.basis) @ self.basis[: self.m]).reshape(self.shape)
                if self.m == self.most:
                    return None
            self._extend()

    def _small(self, k: int, s: float) -> tuple[Tensor, Tensor]:
        """The first columns of phi_k(s H) and phi_(k+1)(s H)."""
        h, m = s * self.square, self.m
        if self.symmetric:
            values, vectors = torch.linalg.eigh(h)
            now, ahead = phi_scalar(k, values), phi_scalar(k + 1, values)
            return vectors @ (now * vectors[0]), vectors @ (ahead * vectors[0])
        large = h.new_zeros(m + k + 1, m + k + 1)
        large[:m, :m] = h
        large[0, m] = 1.0
        for j in range(k):
            large[m + j, m + j + 1] = 1.0
        columns = torch.linalg.matrix_exp(large)[:m]
        return columns[:, m + k - 1 if k else 0], columns[:, m + k]

    @property
    def square(self) -> Tensor:
        """H [m, m], the operator in the basis."""
        h = self.upper[: self.m, : self.m]
        return (h + h.T) / 2 if self.symmetric else h

    def _extend(self) -> None:
        """One more direction, orthogonal to all before: twice, but once suffices where rounding grows slowly."""
        m = self.m
        w = self.apply(self.basis[m].reshape(self.shape)).flatten()
        before = float(w.norm())
        for _ in range(1 if self.symmetric else 2):
            overlap = self.basis[: m + 1] @ w
            self.upper[: m + 1, m] += overlap.double().cpu()
            w = w - overlap @ self.basis[: m + 1]
        below = float(w.norm())
        if not math.isfinite(below):
            raise SolveError("an operator gave non-finite numbers within a matrix function; check the coefficients")
        self.m = m + 1
        self.closed = below <= 10 * torch.finfo(w.dtype).eps * before
        if not self.closed:
            self.upper[m + 1, m] = below
            self.basis[m + 1] = w / below


def phi(
    k: int,
    apply: Map,
    back: Map,
    v: Tensor,
    *,
    symmetric: bool = False,
    rtol: float = 1e-10,
    most: int = 100,
) -> Tensor:
    """phi_k(A) v by Krylov spaces of at most ``most`` directions, in sub-steps where one space is too small.

    Differentiable in v and in every tensor ``apply`` reads, once: backward is one function of the transposed operator
    and one of both small matrices (Kandolf et al. 2021, SIAM J. Matrix Anal. Appl. 42).

    Args:
        apply, back: x -> A x and x -> A^T x for tensors shaped like v. symmetric: both are the same.
        v: any shape. rtol: error allowed, in units of |v|.

    Raises:
        SolveError: not even 1024 sub-steps suffice, or numbers that are not finite.
    """
    pieces = 1
    while pieces <= 1024:
        found = _in_steps(k, pieces, _Spaces(apply, back, symmetric, rtol, most), v)
        if found is not None:
            return found
        pieces *= 2
    raise SolveError("a matrix function did not converge in 1024 sub-steps; take a shorter time step")


def _in_steps(k: int, pieces: int, spaces: _Spaces, v: Tensor) -> Tensor | None:
    """phi_k(A) v = w(1), w' = A w + s^(k-1) / (k-1)! v, in equal steps; all share the space of v."""
    if pieces == 1:
        return spaces.phi(k, 1.0, v)
    tau = 1 / pieces
    parts = [spaces.phi(j, tau, v) for j in range(1, k + 1)]
    w: Tensor | None = v if k == 0 else torch.zeros_like(v)
    for i in range(pieces):
        w = spaces.phi(0, tau, w) if w is not None else None
        if w is None:
            return None
        for j, part in enumerate(parts, start=1):
            if part is None:
                return None
            w = w + tau**j * (i * tau) ** (k - j) / math.factorial(k - j) * part
    return w


class _Spaces:
    """Krylov spaces of one operator, each with its own gradient."""

    def __init__(self, apply: Map, back: Map, symmetric: bool, rtol: float, most: int):
        self.apply, self.back, self.symmetric, self.rtol, self.most = apply, back, symmetric, rtol, most

    def phi(self, k: int, s: float, v: Tensor) -> Tensor | None:
        with torch.no_grad():
            space = self._space(self.apply, v.detach())
            value = space.phi(k, s)
        if value is None or not torch.is_grad_enabled():
            return value
        basis = space.basis[: space.m].reshape(space.m, *v.shape)
        images = torch.stack([self.apply(w) for w in basis]) if space.m else v.new_zeros(0, *v.shape)
        if not (v.requires_grad or images.requires_grad):
            return value

        def adjoint(g: Tensor) -> tuple[Tensor, Tensor]:
            other = self._space(self.back, g)
            moved = other.phi(k, s)
            if moved is None:
                raise SolveError("the gradient of a matrix function needs a larger Krylov space; take a shorter step")
            return moved, _sensitivity(k, s, space, other).reshape(images.shape)

        return _Adjoint.apply(value, v, images, adjoint)

    def _space(self, apply: Map, v: Tensor) -> Krylov:
        most = min(self.most, v.numel())
        return Krylov(apply, v, symmetric=self.symmetric, rtol=self.rtol, most=most)


def _sensitivity(k: int, s: float, right: Krylov, left: Krylov) -> Tensor:
    """Derivative of <g, phi_k(s A) v> by the images A W of the right basis, [m, numel]."""
    m, p = right.m, left.m
    both = torch.zeros(p + m, p + m, dtype=torch.float64)
    if m and p:
        both[:p, :p], both[p:, p:] = s * left.square, s * right.square.T
        both[0, p] = left.size * right.size
    cross = phi_dense(k, both)[:p, p:]
    return s * (cross.T.to(left.basis) @ left.basis[:p])


class _Adjoint(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, v: Tensor, images: Tensor, adjoint: Callable[..., Any]) -> Tensor:
        ctx.adjoint = adjoint
        return value.clone()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, g: Tensor) -> Any:
        return None, *ctx.adjoint(g), None


def chebyshev(k: int, apply: Map, v: Tensor, bound: float, *, rtol: float = 1e-10, most: int = 4000) -> Tensor:
    """phi_k(A) v for a symmetric A (in any inner product) with eigenvalues in [-bound, 0], by a Chebyshev expansion.

    No inner products and three vectors of memory; the degree grows with the root of the bound. Differentiable.

    Raises:
        InputError: the bound asks for more than ``most`` terms.

    Reference: Tal-Ezer and Kosloff 1984; Trefethen 2019, chapter 3.
    """
    if bound == 0.0:
        return v / math.factorial(k)
    terms = int(8 * math.sqrt(bound)) + 40
    if terms > most:
        raise InputError(f"a spectrum of length {bound:.3g} needs {terms} Chebyshev terms, at most {most}; shorten dt")
    angles = (torch.arange(terms, dtype=torch.float64) + 0.5) * math.pi / terms
    values = phi_scalar(k, (torch.cos(angles) - 1) * (bound / 2))
    c = (torch.cos(torch.arange(terms, dtype=torch.float64)[:, None] * angles) @ values) * (2 / terms)
    c[0] /= 2
    tail = c.abs().flip(0).cumsum(0).flip(0)
    kept = max(int((tail > max(rtol, torch.finfo(v.dtype).eps)).sum()), 2)
    weights = c[:kept].tolist()

    def centred(x: Tensor) -> Tensor:
        return x + (2 / bound) * apply(x)

    before, now = v, centred(v)
    total = weights[0] * before + weights[1] * now
    for weight in weights[2:]:
        before, now = now, 2 * centred(now) - before
        total = total + weight * now
    return total
