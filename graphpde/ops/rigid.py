"""Rigid bonds: edges whose length does not change."""

from __future__ import annotations

import torch
from torch import Tensor

from graphpde.core.incidence import Incidence
from graphpde.errors import InputError, ShapeError, SolveError
from graphpde.ops.separable import Separable, halves
from graphpde.typing import check_shape

_MOST = 4096  # bonds: their tensions are found by a dense solve
_ROUNDS = 50


class Rigid(Separable):
    """A separable system whose bonds keep their lengths: g_e(q) = (|q_j - q_i|^2 - l_e^2) / 2 = 0 for every edge.

    To be evolved by ``rattle``, which finds the tensions of the bonds; other steppers are refused.

    Args:
        motion: the system without bonds, whose drift is p / mass.
        bonds: pairs of nodes [m, 2]. lengths: > 0 [m].
        mass: of the nodes [n], > 0; inf = a node that is held where it is.

    Raises:
        InputError: lengths or masses out of range, a bond of a node with itself or between two held ones, more than
            4096 bonds. GraphError: bonds of no nodes. ShapeError: sizes that do not fit.
    """

    constrained = True

    def __init__(self, motion: Separable, bonds: Tensor, lengths: Tensor, mass: Tensor):
        super().__init__(motion.fast, motion.drift, motion.slow if motion.splits else None)
        self.motion = motion
        self.masses = check_shape(mass, "n", "mass")
        pairs = check_shape(bonds, "m 2", "bonds")
        if pairs.shape[1] != 2:
            raise ShapeError(f"bonds has shape {list(pairs.shape)}, expected pairs of nodes [m, 2]")
        self.lengths = check_shape(lengths, "m", "lengths", m=len(pairs))
        if len(pairs) > _MOST:
            raise InputError(f"there are {len(pairs)} rigid bonds, expected at most {_MOST}; make them stiff springs")
        if not bool(((self.lengths > 0) & torch.isfinite(self.lengths)).all()):
            raise InputError(f"lengths reach {float(self.lengths.min()):g}, expected finite numbers > 0")
        if not bool((self.masses > 0).all()):
            raise InputError(f"mass reaches {float(self.masses.min()):g}, expected numbers > 0, or inf for a held node")
        self.bonds = Incidence.of_pairs(pairs[:, 0], pairs[:, 1], len(self.masses), dtype=self.masses.dtype)
        each = torch.eye(len(pairs), dtype=self.masses.dtype, device=self.masses.device)
        # D M^-1 D^T [m, m]: how much bond e closes bond f in one direction
        self._strength = self.bonds.difference(self.bonds.divergence(each) / self.masses[:, None])
        if bool((self._strength.diagonal() == 0).any()):
            lost = int((self._strength.diagonal() == 0).nonzero()[0, 0])
            raise InputError(f"bond {lost} joins two held nodes, so nothing can keep its length; leave it out")

    def stretch(self, q: Tensor) -> Tensor:
        """g(q) [*, m, 1] in length^2."""
        return 0.5 * (self.bonds.difference(q).square().sum(-1, keepdim=True) - self.lengths.to(q)[:, None] ** 2)

    def pulled(self, q: Tensor, tension: Tensor) -> Tensor:
        """G(q)^T tension [*, n, d]: what tensions [*, m, 1] do to the momenta."""
        return self.bonds.divergence(self.bonds.difference(q) * tension)

    def tangent(self, q: Tensor, p: Tensor) -> Tensor:
        """The momenta nearest to p (in kinetic energy) that change no length: G(q) M^-1 p = 0."""
        d = self.bonds.difference(q)
        closing = (d * self.bonds.difference(p / self.masses.to(p)[:, None])).sum(-1, keepdim=True)
        return p - self.pulled(q, self._solved(d, d, closing))

    def placed(self, q: Tensor, p: Tensor, dt: float | Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """Positions after a drift with momenta p - G(q)^T tension that meet all lengths, and these momenta.

        Newton's method. The time is the one at which the drift is asked.

        Raises:
            SolveError: no tensions found; the step is too long, or the bonds cannot keep their lengths.
        """
        before = self.bonds.difference(q)
        floor = 64 * torch.finfo(q.dtype).eps * float(self.lengths.max()) ** 2
        last = float("inf")
        for _ in range(_ROUNDS):
            ahead = q + dt * self.drift(t, p)
            wrong = self.stretch(ahead)
            size = float(wrong.detach().abs().max()) if wrong.numel() else 0.0
            if size <= floor or (last < 1e3 * floor and size >= last):
                return ahead, p
            if not size < float("inf"):
                break
            p = p - self.pulled(q, self._solved(self.bonds.difference(ahead), before, wrong / dt))
            last = size
        worst = int(wrong.detach().abs().reshape(-1, len(self.lengths)).amax(0).argmax())
        raise SolveError(f"no tension of the rigid bonds was found, bond {worst} is off most; take a shorter step")

    def _solved(self, here: Tensor, there: Tensor, b: Tensor) -> Tensor:
        """x of G(here) M^-1 G(there)^T x = b, for differences [*, m, d] and b [*, m, 1]."""
        a = (here @ there.mT) * self._strength.to(b)
        x, info = torch.linalg.solve_ex(a, b)
        if bool((info > 0).any()):
            raise SolveError("the rigid bonds depend on each other and leave their tensions open; leave one out")
        return x

    def forward(self, t: Tensor, u: Tensor) -> Tensor:
        raise InputError("rigid bonds have no rate that keeps them; use the stepper 'rattle'")


def checked(term: Rigid, u: Tensor) -> None:
    """Refuse a state that is not on its bonds.

    Raises:
        InputError: a length or its rate is off by more than a millionth.
    """
    q, p = halves(u.detach())
    scale = float(term.lengths.max())
    off = term.stretch(q).abs().amax()
    if float(off) > 1e-6 * scale**2:
        raise InputError(
            f"a rigid bond is off its length by {float(off) / scale:.3g} at the start, expected none; move the nodes"
        )
    turned = term.tangent(q, p)
    if float((turned - p).abs().max()) > 1e-6 * float(p.abs().max() + torch.finfo(p.dtype).tiny):
        raise InputError("momenta pull a rigid bond apart at the start; project them with term.tangent(q, p)")
