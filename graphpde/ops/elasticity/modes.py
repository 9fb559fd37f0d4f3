"""Vibrations of a body: eigenfrequencies and the shapes in which it swings."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from graphpde.core.block_operator import BlockSparse, Interleaved
from graphpde.core.combined import pin
from graphpde.core.linear_operator import Diagonal, LinearOperator, Sparse
from graphpde.errors import InputError, RoundingCaveat
from graphpde.ops.elasticity.motion import START, Elastodynamics, Swing
from graphpde.ops.system import System
from graphpde.solve.eigen import eigenpairs
from graphpde.solve.krylov import Preconditioner

_REST = 1e-13  # of the stiffness over the mass of single nodes: values below it are rounding where nobody knows
_GROWN = 2.0  # times the rounding of ``_scale``: what is left in values
_FACTORED = 40_000  # unknowns from which multigrid takes the place of a factorisation


@dataclass(frozen=True)
class Modes:
    """The slowest vibrations of a body, u(t) = shape cos(angular t).

    Attributes:
        values: squared angular frequencies in rising order [k], in 1/time^2; differentiable.
        shapes: [n, d, k], phi^T M phi = 1, the largest entry of each positive. mass: lumped [n] or an operator.
        rigid: how many of these leave the body as it is: their values are 0.
    """

    values: Tensor
    shapes: Tensor
    mass: Tensor | LinearOperator
    rigid: int

    @property
    def angular(self) -> Tensor:
        """omega [k] in 1/time; NaN where the body would leave the state it is in (values < 0)."""
        moves = self.values != 0  # the root has no derivative at 0
        return torch.where(moves, torch.where(moves, self.values, 1.0).sqrt(), self.values)

    @property
    def frequencies(self) -> Tensor:
        """omega / (2 pi) [k], in Hz where times are in seconds."""
        return self.angular / (2 * math.pi)


def modes(
    body: Any,
    density: Any = None,
    *,
    k: int = 6,
    around: Tensor | None = None,
    rtol: float | None = None,
    method: str = "auto",
) -> Modes:
    """The k slowest vibrations K phi = omega^2 M phi of a body; what conditions hold stays at rest, loads do nothing.

    Args:
        body: as for :class:`~graphpde.ops.elasticity.motion.Elastodynamics`, or such a motion, which has its density.
        density: as there; the mass is lumped or consistent as chosen for the space.
        k: how many, motions without strain of a free body included. around: displacements [n, d] about which a body
            that is not linear swings; default none. rtol, method: as for :func:`graphpde.solve.eigen.eigenpairs`;
            default 1e-11, in single precision 6e-5.

    Raises:
        InputError: as there; a density beside a motion; k that is no number of free unknowns; an operator that is not
            symmetric. SolveError: no convergence.
        RoundingCaveat: as a warning, where rounding may change values by a percent or more.

    Reference: Hughes 2000, The Finite Element Method, chapter 10.
    """
    if isinstance(body, Elastodynamics):
        if density is not None:
            raise InputError("the motion has a density of its own; leave density out")
        motion = body
    else:
        motion = Elastodynamics(body, density)
    pull, mass, held = _parts(motion, around)
    stiff = pull * -1.0
    heavy = mass if isinstance(mass, LinearOperator) else Diagonal(mass)
    scale, eps = _scale(stiff, heavy)
    near = _multigrid(motion, stiff, heavy, held, scale)
    how = "lobpcg" if near is not None and method == "auto" else method
    rtol = max(1e-11, 500 * eps) if rtol is None else rtol
    found = eigenpairs(stiff, mass, k=k, rtol=rtol, method=how, precondition=near, held=held).checked()
    shapes = found.vectors if found.vectors.dim() == 3 else found.vectors[:, None]
    flat = shapes.flatten(0, 1)
    shapes = shapes * flat.gather(0, flat.abs().argmax(0, keepdim=True)).sign()
    known = System(motion.body, None, START).free() if around is None else None
    rigid = min(known.motions, k) if known is not None else int((found.values.detach().abs() <= _REST * scale).sum())
    still = torch.arange(k, device=found.values.device) < rigid
    still |= (found.values.detach() < 0) & (found.values.detach() >= -_REST * scale)
    least = found.values.detach()[~still]
    if len(least) and float(least.abs().min()) < 100 * _GROWN * eps * scale:
        warnings.warn(
            f"the body is so slender or so softly held that rounding may change its slowest vibration "
            f"({float(least.abs().min()) ** 0.5 / (2 * math.pi):.3g} Hz) by a percent or more",
            RoundingCaveat,
            stacklevel=2,
        )
    return Modes(torch.where(still, 0.0, found.values), shapes, mass, rigid)


def effective_masses(found: Modes) -> Tensor:
    """What each mode carries of a body that is shaken along each axis [k, d]: (phi^T M e)^2; all modes carry all of it.

    The square roots are the participation factors. Reference: Chopra 2012, Dynamics of Structures, section 13.2.
    """
    mass, shapes = found.mass, found.shapes
    weighed = mass[:, None, None] * shapes if isinstance(mass, Tensor) else mass(shapes.movedim(-1, 0)).movedim(0, -1)
    return weighed.sum(0).mT.square()


def _parts(motion: Elastodynamics, around: Tensor | None) -> tuple[LinearOperator, Any, Tensor | None]:
    """A, M and what is held: bool [n], or [n, d] where components are held alone."""
    term, system = motion.motion, System(motion, None, START)
    linear, *rest = term.pieces()
    assert isinstance(linear, Swing)
    pull = linear.second_order.pull
    if rest:
        assert term.domain is not None
        state = torch.zeros(term.domain.n, term.dim, dtype=torch.float64) if around is None else around
        pull = System(term.forces, None, START).linearise(START, state)
    held = None if system.fixed is None else system.fixed.mask
    if held is not None and held.dim() == 2:
        held = held[:, : term.dim] if term.dim > 1 else held[:, 0]
    return pull, linear.mass, held


def _scale(stiff: LinearOperator, heavy: LinearOperator) -> tuple[float, float]:
    """The largest stiffness over mass of a single node, in 1/time^2, and the rounding of its numbers."""
    k, m = stiff.diagonal(), heavy.diagonal()
    if k is None or m is None:
        raise InputError("the stiffness is known only by its action; build the body from forms on a space")
    k, m = (x.detach()[:, None] if x.dim() == 1 else x.detach() for x in (k, m))
    return float((k / m).max()), torch.finfo(k.dtype).eps


def _multigrid(
    motion: Elastodynamics, stiff: LinearOperator, heavy: LinearOperator, held: Tensor | None, scale: float
) -> Preconditioner | None:
    """Smoothed aggregation that knows the motions without strain, for what is too large to be factored."""
    dim, domain = motion.motion.dim, motion.motion.domain
    assert domain is not None
    if not isinstance(stiff, BlockSparse) or stiff.near_null is None or domain.n * dim <= _FACTORED:
        return None
    from graphpde.solve.multigrid import Multigrid

    assert isinstance(heavy, Sparse | Diagonal)
    whole = pin(stiff + heavy * (1e-9 * scale), held)
    return Multigrid(Interleaved(whole, dim), method="smoothed_aggregation")
