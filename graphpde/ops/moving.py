"""Neighbours that move: lists of close pairs with a skin, made anew only when particles have moved through it.

A list holds all pairs within cutoff + skin, so that it serves until two particles can have come closer by the skin,
each by half of it. What lies beyond the cutoff adds exact zeros, so that forces are the same but for the rounding of
their sums from whatever list they were taken: when it was made is a matter of speed alone.

Reference: Verlet 1967; Allen and Tildesley 2017, section 5.3.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from torch import Tensor

from graphpde.checks import positive
from graphpde.core.close_pairs import Box, close_pairs
from graphpde.core.incidence import Incidence
from graphpde.errors import InputError, ShapeError, SolveError
from graphpde.ops.pair import squared


class Listed(NamedTuple):
    """Pairs that were within cutoff + skin.

    Attributes:
        pos: where the particles were [n, d]. edges: the pairs. shift: what is added to a difference to have that to the
            nearest image [e, d], or None: as long as the list holds, it is the same one. room: how far each may have
            moved since, in length.
    """

    pos: Tensor
    edges: Incidence
    shift: Tensor | None
    room: float

    def moved(self, q: Tensor) -> Tensor:
        """How far each particle is from where it was [n], at least."""
        return distances(q, self.pos)

    def apart(self, q: Tensor) -> Tensor:
        """Differences over all pairs, of the nearest images [e, d]."""
        d = self.edges.difference(q)
        if self.shift is None:
            return d
        return d + self.shift if d.requires_grad else d.add_(self.shift)

    def require(self, q: Tensor) -> Listed:
        """The same, if it still holds all neighbours of positions q.

        Raises:
            SolveError: a particle has moved too far within one step.
        """
        moved = self.moved(q)
        far = float(moved.max()) if len(moved) else 0.0
        if far > self.room:  # of what is not finite the loop tells
            worst = int(moved.argmax())
            raise SolveError(
                f"particle {worst} moved {far:.3g} since its neighbours were listed, more than half the skin "
                f"({self.room:.3g}); take a shorter step or a larger skin"
            )
        return self


def distances(q: Tensor, other: Tensor) -> Tensor:
    """|q_i - other_i| [n], without gradient."""
    return squared(q.detach() - other.to(q))[:, 0].sqrt()


class NeighbourList:
    """Pairs within a cutoff of particles that move.

    Args:
        cutoff: > 0 in length. skin: > 0 in length; large ones are made anew less often and hold more pairs.
        box: periodic, at least 2 (cutoff + skin) wide.

    Attributes:
        made: how many lists have been made.

    Raises:
        InputError: numbers that are not > 0, a box without room.
    """

    def __init__(self, cutoff: float, skin: float, box: Box | None = None):
        positive("cutoff", cutoff, finite=True)
        positive("skin", skin, finite=True)
        self.cutoff, self.skin, self.box = float(cutoff), float(skin), box
        if box is not None and bool((box.lengths < 2 * self.reach).any()):
            raise InputError(
                f"the box has an edge of {float(box.lengths.min()):g}, expected at least twice cutoff + skin = "
                f"{self.reach:g}; take a larger box or a shorter cutoff"
            )
        self.made = 0
        self._kept: Listed | None = None
        self._before: Tensor | None = None  # positions at the step before

    @property
    def reach(self) -> float:
        """cutoff + skin."""
        return self.cutoff + self.skin

    def at(self, q: Tensor) -> Listed:
        """A list for positions q [n, d] that will still serve if the next step goes about as far as the last.

        Raises:
            InputError: particles in one place. SolveError: they have met on the way. ShapeError: a batch of states,
                whose neighbours differ.
        """
        far, before = self._far(q), self._before
        known = before is not None and before.shape == q.shape and len(q)
        step = float(distances(q, before).max()) if known and before is not None else 0.0
        if self._kept is None or far + 1.5 * step > self._kept.room:
            self._make(q)
        if far < math.inf:  # of what is not finite the loop tells
            self._before = q.detach()
        assert self._kept is not None
        return self._kept

    def now(self, q: Tensor) -> Listed:
        """A list for positions q [n, d], whenever they are asked for."""
        far = self._far(q)
        if self._kept is None or not far <= self._kept.room:
            self._make(q)
        assert self._kept is not None
        return self._kept

    def _far(self, q: Tensor) -> float:
        if q.dim() != 2:
            raise ShapeError(
                f"the particles have shape {list(q.shape)}, expected one state [n, d]: neighbours differ from state to "
                f"state; evolve them one by one, or give all pairs as edges"
            )
        kept = self._kept
        if kept is None or kept.pos.shape != q.shape or kept.pos.device != q.device or kept.pos.dtype != q.dtype:
            self._kept = None
            return 0.0
        return float(kept.moved(q).max()) if len(q) else 0.0

    def _make(self, q: Tensor) -> None:
        q = q.detach()
        tail, head = close_pairs(q, self.reach, box=self.box)
        edges = Incidence.of_pairs(tail, head, len(q), dtype=q.dtype)
        apart = edges.difference(q)
        shift = None if self.box is None else self.box.shift(apart)
        listed = Listed(q.clone(), edges, shift, 0.5 * self.skin)
        same = (squared(listed.apart(q))[:, 0] == 0).nonzero()
        if len(same):
            k = int(same[0, 0])
            what = f"particles {int(tail[k])} and {int(head[k])} lie in one place, where no force is defined"
            if self.made:
                raise SolveError(f"{what}; take a shorter step (dt), or move one if they start so")
            raise InputError(f"{what}; move one")
        self.made += 1
        self._kept = listed
