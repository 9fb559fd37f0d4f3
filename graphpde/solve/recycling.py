"""Sequences of similar systems: what one solve learnt of the spectrum speeds up the next."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from graphpde.core.linear_operator import LinearOperator
from graphpde.errors import InputError, ShapeError
from graphpde.solve.columns import add_to, begun, dots, lengths, plus
from graphpde.solve.krylov import Preconditioner, ended, jacobi, largest
from graphpde.solve.result import Result, Status

_DEPENDENT = 1e-8  # share of the largest part of a basis below which a direction is rounding of the others
_REFRESH = 4  # iterations
_INDEFINITE = (
    "recycled conjugate gradients met a direction of non-positive curvature: the operator is not positive definite; "
    "use gmres"
)


class Recycling:
    """Solves A_1 x = b_1, A_2 x = b_2, ... by conjugate gradients that keep a space between the systems.

    The space W holds approximate eigenvectors of the smallest eigenvalues of M^-1 A, which are what conjugate gradients
    wait for, and the last solutions. A new system takes one product for each of its vectors; it then starts from the
    best point of W in the norm of A, which is never worse than zero, whatever the right-hand side, and keeps its
    directions A-orthogonal to W, so that those eigenvalues are gone. The directions of the solve, with the products
    that it had to make anyway, give W anew: harmonic Ritz vectors y of the largest 1 / theta,

        (A Z)^T M^-1 (A Z) y = theta Z^T A Z y,    Z = [W, directions].

    It pays where many iterations are needed and the operators resemble each other: order them by
    :func:`sorted_sequence`. Under a preconditioner that leaves few iterations, such as multigrid, nothing is left to
    gain. Each iteration costs 2 size more products of vectors.

    Args:
        size: vectors of approximate eigenvectors kept. window: directions gathered before the space is made anew.
        solutions: last solutions kept beside them.
        rtol: relative residual. max_iterations: in one solve; default as of :func:`graphpde.solve.krylov.cg`.

    Attributes:
        products: products with the operators so far, those that carry the space over to a new one counted.
        iterations: iterations so far.

    Raises:
        InputError: sizes that are no whole numbers >= 0, or a window of none.

    Reference: Saad, Yeung, Erhel and Guyomarc'h 2000, SIAM J. Sci. Comput. 21; Wang, de Sturler and Paulino 2007,
    Int. J. Numer. Meth. Engng 69; the last solutions: Fischer 1998.
    """

    def __init__(
        self,
        size: int = 20,
        *,
        window: int = 60,
        solutions: int = 1,
        rtol: float = 1e-10,
        max_iterations: int | None = None,
    ):
        for name, value, least in (("size", size, 0), ("window", window, 1), ("solutions", solutions, 0)):
            if not isinstance(value, int) or value < least:
                raise InputError(f"{name} = {value}, expected a whole number >= {least}")
        self.size, self.window, self.solutions = size, window, solutions
        self.rtol, self.max_iterations = rtol, max_iterations
        self.products = self.iterations = 0
        self._kept: Tensor | None = None  # [n, <= size]
        self._last: list[Tensor] = []

    @torch.no_grad()
    def solve(
        self, a: LinearOperator, b: Tensor, *, x0: Tensor | None = None, precondition: Preconditioner | None = None
    ) -> Result:
        """The solution for b [n, k], the columns of which share the space; ``precondition`` defaults to Jacobi.

        Raises:
            InputError: an operator that is not symmetric or differs from channel to channel.
            ShapeError: b does not fit the operator, or the operator not the ones before.
        """
        self._check(a, b)
        try:
            result = self._deflated(a, b, x0, precondition or jacobi(a))
        except _Indefinite as met:
            result = Result(met.x, Status.BREAKDOWN, _INDEFINITE, met.iterations, met.residuals)
        if result.converged and self.solutions:
            new = [c[:, None].clone() for c in result.value.unbind(1) if bool(c.any())]
            self._last = [*self._last, *new][-self.solutions :]
        self.iterations += result.iterations
        return result

    def _deflated(self, a: LinearOperator, b: Tensor, x0: Tensor | None, precondition: Preconditioner) -> Result:
        """Directions A-orthogonal to the space: Saad et al. 2000, algorithm 3.6, with a preconditioner."""
        limit = max(1000, 10 * b.shape[0]) if self.max_iterations is None else self.max_iterations
        rtol, (x, scale) = self.rtol, begun(b, x0)
        r = b if x0 is None else b - self._product(a, x)
        residuals = [largest(r, scale)]
        if not rtol < residuals[-1] < float("inf"):
            return ended(a, b, x, residuals, 0, rtol)
        basis = self._basis(a, x, residuals)
        gathered = _Gathered(basis, self.size, self.window, precondition)
        checked, k = float("inf"), 0
        while True:  # a sweep ends where the recurrence says so; the true residual decides
            x, r = x + basis.best(r), r - basis.image @ (basis.w.T @ r)
            k = self._sweep(a, precondition, basis, gathered, _State(x, r, scale, residuals), k, limit)
            r = b - self._product(a, x)
            residuals[-1] = largest(r, scale)
            if not rtol < residuals[-1] < 0.5 * checked or k == limit:
                self._kept = gathered.vectors() if residuals[-1] < float("inf") else self._kept
                return ended(a, b, x, residuals, k, rtol, limit)
            checked = residuals[-1]

    def _sweep(
        self,
        a: LinearOperator,
        precondition: Preconditioner,
        basis: _Basis,
        gathered: _Gathered,
        state: _State,
        k: int,
        limit: int,
    ) -> int:
        """Iterations from ``k`` on until the recurrence has converged, x changed in place; their number."""
        x, r, scale, residuals = state
        left = lengths(r) / scale
        residuals.append(float(left.max()))
        z = precondition(r)
        p, rz = basis.cleared(z), dots(r, z)
        while residuals[-1] > self.rtol and k < limit:
            q = self._product(a, p)
            curvature = dots(p, q)
            active = left > self.rtol
            if bool((curvature[active] <= 0).any()):
                raise _Indefinite(x, k, residuals)
            alpha = torch.where(active, rz / torch.where(active, curvature, 1.0), 0.0)
            add_to(x, alpha, p)
            r = plus(r, -alpha, q)  # a new one: the preconditioner may have handed out the old
            if (k + 1) % _REFRESH == 0 and basis.w.shape[1]:  # rounding brings the space back into r, where p cannot go
                share = basis.w.T @ r
                x.addmm_(basis.w, share)
                r = r - basis.image @ share
            left = lengths(r) / scale
            before, z = z, precondition(r)
            going = alpha != 0
            if gathered.room > 0 and bool(going.any()):
                gathered.add(p[:, going], q[:, going], (before - z)[:, going] / alpha[going])
            new = dots(r, z)
            beta = torch.where(rz != 0, new / torch.where(rz != 0, rz, 1.0), 0.0)
            p, rz, k = plus(basis.cleared(z), beta, p), new, k + 1
            residuals.append(float(left.max()))
        return k

    def _product(self, a: LinearOperator, x: Tensor) -> Tensor:
        self.products += x.shape[1]
        return a.matvec(x)

    def _basis(self, a: LinearOperator, x: Tensor, residuals: list[float]) -> _Basis:
        """The space with respect to a new operator."""
        parts = [*([] if self._kept is None else [self._kept]), *self._last]
        w = torch.cat(parts, 1).to(x) if parts else x.new_zeros(a.n, 0)
        w = w / w.norm(dim=0)
        image = self._product(a, w)
        for _ in range(2):  # of nearly dependent vectors, one pass leaves rounding that a solve would blow up
            if not parts or not bool(torch.isfinite(image).all()):  # the sweep will name what is not finite
                return _Basis(w[:, :0], image[:, :0])
            change = _root_inverse(w.T @ image)
            if change is None:
                raise _Indefinite(x, 0, residuals)
            w, image = w @ change, image @ change
        return _Basis(w, image)

    def _check(self, a: LinearOperator, b: Tensor) -> None:
        if not a.symmetric or a.coupled or a.channels > 1:
            what = "is not declared symmetric; use gmres" if not a.symmetric else "has channels; solve them one by one"
            raise InputError(f"recycling needs one symmetric operator for all columns, {type(a).__name__} {what}")
        if b.dim() != 2 or b.shape[0] != a.n:
            raise ShapeError(f"b has shape {list(b.shape)}, expected [{a.n}, k]")
        before = self._kept if self._kept is not None else self._last[0] if self._last else None
        if before is not None and len(before) != a.n:
            raise ShapeError(
                f"the operator has {a.n} unknowns, those before it {len(before)}; make a new Recycling for another mesh"
            )


def sorted_sequence(coefficients: Tensor) -> Tensor:
    """An order of the systems with these ``coefficients`` [s, *] in which neighbours are near: indices [s].

    Greedy: from the one nearest to the mean go to the nearest that is left, in the Euclidean norm. That takes s^2
    distances.

    Raises:
        ShapeError: there is no dimension of systems.

    Reference: Wang, Hao, Wang et al. 2024, Krylov subspace recycling for the data of neural operators.
    """
    if coefficients.dim() < 1:
        raise ShapeError("coefficients has no dimensions, expected one row a system [s, *]")
    if not len(coefficients):
        return torch.zeros(0, dtype=torch.int64)
    rows = coefficients.detach().reshape(len(coefficients), -1).to(torch.float64)
    here = int((rows - rows.mean(0)).norm(dim=1).argmin())
    left = torch.ones(len(rows), dtype=torch.bool, device=rows.device)
    order = [here]
    left[here] = False
    for _ in range(len(rows) - 1):
        distance = torch.where(left, (rows - rows[here]).norm(dim=1), float("inf"))
        here = int(distance.argmin())
        left[here] = False
        order.append(here)
    return torch.tensor(order)


class _Basis(NamedTuple):
    """Vectors w [n, k] with W^T A W = 1 and their images A W."""

    w: Tensor
    image: Tensor

    def best(self, r: Tensor) -> Tensor:
        """What to add to x for the least error in the norm of A, r = b - A x."""
        return self.w @ (self.w.T @ r)

    def cleared(self, z: Tensor) -> Tensor:
        """z without its part along the space, A-orthogonally."""
        return z - self.w @ (self.image.T @ z) if self.w.shape[1] else z


class _State(NamedTuple):
    x: Tensor
    r: Tensor
    scale: Tensor
    residuals: list[float]


class _Indefinite(Exception):
    """<p, A p> <= 0."""

    def __init__(self, x: Tensor, iterations: int, residuals: list[float]):
        self.x, self.iterations, self.residuals = x, iterations, residuals


class _Gathered:
    """The first directions of a solve with A p and M^-1 A p, made into approximate eigenvectors at its end."""

    def __init__(self, basis: _Basis, size: int, window: int, precondition: Preconditioner):
        self.size, self.room = size, window if size else 0
        self.parts: list[tuple[Tensor, Tensor, Tensor]] = []
        if size and basis.w.shape[1]:
            self.parts.append((basis.w, basis.image, precondition(basis.image)))

    def add(self, p: Tensor, q: Tensor, near: Tensor) -> None:
        """A direction p [n, k] with q = A p and ``near`` = M^-1 q; p will be overwritten."""
        length = p.norm(dim=0)
        self.parts.append((p / length, q / length, near / length))
        self.room -= p.shape[1]

    def vectors(self) -> Tensor | None:
        """The harmonic Ritz vectors [n, <= size] of what was gathered."""
        if not self.parts:
            return None
        z, image, near = (torch.cat(part, 1) for part in zip(*self.parts, strict=True))
        change = _root_inverse(z.T @ image)
        if change is None:
            return None
        square = change.T @ (image.T @ near) @ change
        _, y = torch.linalg.eigh((square + square.T) / 2)  # rising theta
        return z @ (change @ y[:, : self.size])


def _root_inverse(gram: Tensor) -> Tensor | None:
    """C with C^T gram C = 1 for gram [k, k] without what is dependent; None where gram is not positive."""
    d = gram.diagonal()
    if not bool(torch.isfinite(gram).all()) or not bool((d > 0).all()):
        return None
    scale = d.rsqrt()
    values, vectors = torch.linalg.eigh((gram + gram.T) / 2 * scale[:, None] * scale)
    kept = values > _DEPENDENT * values[-1]
    return scale[:, None] * vectors[:, kept] / values[kept].sqrt()
