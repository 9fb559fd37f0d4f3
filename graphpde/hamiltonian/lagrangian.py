r"""Lagrangian systems: accelerations from one function of positions and velocities, known or learned.

    L_vv a = L_q - L_vq v,      a = q''

with derivatives by autograd. L_vv is the matrix of masses: small ones are solved with densely, large ones by conjugate
gradients, whose products with L_vv are passes over the graph, so that no [n d, n d] matrix is built.

Reference: Cranmer et al. 2020 (Lagrangian neural networks), eq. (6); Lutter, Ritter and Peters 2019 (DeLaN).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from graphpde.checks import positive, whole
from graphpde.core.jacobian import Action, by_reverse_mode
from graphpde.core.linear_operator import LinearOperator
from graphpde.core.tracing import followed, following, learned_by
from graphpde.errors import InputError, ShapeError, SolveError
from graphpde.nets.mlp import Mlp
from graphpde.ops.separable import halves
from graphpde.ops.term import Term
from graphpde.solve.implicit_gradient import implicit
from graphpde.solve.krylov import cg

Lagrange = Callable[[Tensor, Tensor], Tensor]
METHODS = ("auto", "dense", "cg")
_DENSE = 64  # unknowns up to which "auto" solves densely


class Lagrangian(Term):
    """q' = v, v' = L_vv^-1 (L_q - L_vq v) for a state [*, n, 2 d]: positions, then velocities.

    Args:
        lagrangian: (q, v) [*, n, d] -> values of any shape, whose sum counts; states of a batch are independent.
        method: how L_vv is solved with: "dense", "cg" (one state, L_vv positive definite), "auto" by size.
        rtol: of conjugate gradients.

    Raises:
        InputError: no function, an unknown method.
    """

    def __init__(self, lagrangian: Lagrange, *, method: str = "auto", rtol: float = 1e-10):
        super().__init__()
        if not callable(lagrangian):
            raise InputError(f"lagrangian is a {type(lagrangian).__name__}, expected a function of q and v")
        if method not in METHODS:
            raise InputError(f"method='{method}', expected one of: {', '.join(METHODS)}")
        positive("rtol", rtol)
        self.lagrangian, self.method, self.rtol = lagrangian, method, rtol

    def forward(self, t: Tensor, u: Tensor) -> Tensor:
        """(v, a) [*, n, 2 d].

        Raises:
            SolveError: masses that cannot be divided by.
        """
        wanted = torch.is_grad_enabled()
        with following():
            free = followed(u)
            x, y = halves(free)
            total = self.lagrangian(x, y).sum()
            by_q, by_v = self._first(total, x, y)
            learned = (w for w in learned_by([total]) if w is not free)
            keep = wanted and (u.requires_grad or next(learned, None) is not None)
            along = self._along(by_v, x, y)
            a = self._solved(by_v, y, by_q - along)
        return torch.cat([halves(u)[1], a if keep else a.detach()], -1)

    def linearise(self, t: Tensor, u: Tensor) -> LinearOperator:
        """The Jacobian by reverse mode alone."""
        return by_reverse_mode(lambda w: self(t, w), u)

    def energy(self, u: Tensor) -> Tensor:
        """v . L_v - L [*] of states [*, n, 2 d], which stays where L does not depend on time.

        Raises:
            ShapeError: a Lagrangian that sums over a batch of states.
        """
        with following():
            x, y = halves(followed(u))
            values = self.lagrangian(x, y)
            _, by_v = self._first(values.sum(), x, y)
            batch = u.dim() - 2
            if values.shape[:batch] != u.shape[:batch]:
                raise ShapeError(
                    f"the Lagrangian has shape {list(values.shape)} for states {list(u.shape)}, expected "
                    f"{[*u.shape[:batch], '...']}: values of each state of the batch"
                )
            each = values.reshape(*u.shape[:batch], -1).sum(-1)
            return ((y * by_v).sum((-2, -1)) - each).detach()

    @staticmethod
    def _first(total: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        if not total.requires_grad:
            raise InputError("the Lagrangian depends neither on positions nor on velocities")
        by_q, by_v = torch.autograd.grad(total, (x, y), create_graph=True, allow_unused=True)
        if by_v is None or not by_v.requires_grad:
            raise SolveError("the Lagrangian has no second derivative by the velocities, so there are no masses")
        return torch.zeros_like(x) if by_q is None else by_q, by_v

    @staticmethod
    def _along(by_v: Tensor, x: Tensor, v: Tensor) -> Tensor:
        """L_vq v: how the momenta change along the motion, by a pass back through a pass back."""
        w = torch.zeros_like(by_v).requires_grad_()
        (pulled,) = torch.autograd.grad(by_v, x, w, create_graph=True, allow_unused=True)
        if pulled is None or not pulled.requires_grad:
            return torch.zeros_like(by_v)
        (found,) = torch.autograd.grad(pulled, w, v, create_graph=True, allow_unused=True)
        return torch.zeros_like(by_v) if found is None else found

    def _solved(self, by_v: Tensor, y: Tensor, b: Tensor) -> Tensor:
        count = b.shape[-1] * b.shape[-2]
        dense = self.method == "dense" or (self.method == "auto" and (count <= _DENSE or b.dim() > 2))
        if dense:
            return _densely(by_v, y, b)
        if b.dim() > 2:
            raise InputError("method='cg' solves for one state [n, 2 d]; take method='dense' for a batch")
        return _by_products(by_v, y, b, self.rtol)


def _densely(by_v: Tensor, y: Tensor, b: Tensor) -> Tensor:
    """L_vv^-1 b with the matrix of all second derivatives of a state, [*, n d, n d]."""
    flat, rows = by_v.flatten(-2), []
    for k in range(flat.shape[-1]):
        (row,) = torch.autograd.grad(flat[..., k].sum(), y, create_graph=True, allow_unused=True)
        rows.append(torch.zeros_like(flat) if row is None else row.flatten(-2))
    found, info = torch.linalg.solve_ex(torch.stack(rows, -2), b.flatten(-2)[..., None])
    if bool((info > 0).any()):
        raise SolveError("the masses L_vv are singular; the velocities have to enter the Lagrangian squared")
    return found[..., 0].unflatten(-1, b.shape[-2:])


def _by_products(by_v: Tensor, y: Tensor, b: Tensor, rtol: float) -> Tensor:
    """The same by conjugate gradients; one product is one pass back through the momenta."""

    def product(a: Tensor) -> Tensor:
        keep = torch.is_grad_enabled()
        (found,) = torch.autograd.grad(by_v, y, a, retain_graph=True, create_graph=keep, allow_unused=True)
        return torch.zeros_like(y) if found is None else found

    def column(x: Tensor) -> Tensor:
        return product(x.reshape(b.shape)).reshape(-1, 1)

    masses = Action(b.numel(), column, column, symmetric=True)

    def solve(b: Tensor, *, transposed: bool) -> Tensor:
        return cg(masses, b.reshape(-1, 1), rtol=rtol).checked().value.reshape(b.shape)

    value = solve(b.detach(), transposed=False)
    return implicit(value, lambda a: b - product(a), solve)


class MassMatrix(nn.Module):
    """A learned Lagrangian v . M(q) v / 2 - V(q) of one node with d angles, M positive definite (Lutter et al. 2019).

    M = C C^T + floor, C a lower triangle from a network of (sin q, cos q), of which V is another output.

    Args:
        d: number of angles. hidden, layers: of the networks. floor: > 0, of M in units of mass length^2.
    """

    def __init__(self, d: int, *, hidden: int = 64, layers: int = 2, floor: float = 1e-2):
        super().__init__()
        positive("floor", floor)
        self.d, self.floor = whole("d", d), floor
        sizes = [whole("hidden", hidden)] * whole("layers", layers)
        self.triangle = Mlp(2 * d, *sizes, d * (d + 1) // 2, activation=nn.functional.softplus)
        self.potential = Mlp(2 * d, *sizes, 1, activation=nn.functional.softplus)

    def forward(self, q: Tensor, v: Tensor) -> Tensor:
        """L [*, n, 1]."""
        seen = torch.cat([q.sin(), q.cos()], -1)
        turned = (_lower(self.triangle(seen), self.d).mT @ v[..., None])[..., 0]
        kinetic = 0.5 * (turned.square().sum(-1, keepdim=True) + self.floor * v.square().sum(-1, keepdim=True))
        return kinetic - self.potential(seen)


def _lower(entries: Tensor, d: int) -> Tensor:
    """Lower triangles [*, d, d] from their entries, row by row."""
    rows = [nn.functional.pad(part, (0, d - k - 1)) for k, part in enumerate(entries.split([*range(1, d + 1)], -1))]
    return torch.stack(rows, -2)
