"""Shallow water by particles that carry columns: depth from overlaps, an energy on pairs, and jumps by friction."""

from __future__ import annotations

import copy
import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from graphpde.checks import number, positive, whole
from graphpde.core.close_pairs import Box
from graphpde.errors import InputError
from graphpde.hamiltonian.particles import Particles
from graphpde.hamiltonian.systems import Start
from graphpde.ops.ends import at_ends, ends
from graphpde.ops.pair import squared
from graphpde.ops.separable import halves
from graphpde.ops.smoothing import Overlap, Smoothing
from graphpde.ops.term import Term
from graphpde.typing import check_shape

_DTYPE = torch.float64


class ShallowWater(Particles):
    """Columns of water of given volumes; the depth is h_i = sum_j volume_j W_ij, the energy sum_i g volume_i h_i / 2.

    A Hamiltonian system of pairs, in units of the density of water. With the one smoothing length, so that depths are
    resolved as long as neighbours stay within its reach: down to volume / reach^d. ``JumpViscosity`` is for jumps.

    Args:
        volume: of the columns [n], > 0. smoothing: W, of the dimension of the bed.
        gravity: > 0 in length/time^2. held: columns that stay where they are [n] bool, such as banks. box: periodic.
        skin: of the list of neighbours, in length; default half the reach.

    Raises:
        InputError: volumes or gravity that are not > 0, a box without room. ShapeError: ``held`` of another size.

    Reference: Ata and Soulaimani 2005; the energy is that of Salmon 1988 with a smoothed depth.
    """

    def __init__(
        self, volume: Any, smoothing: Smoothing, *, gravity: float = 9.81, held: Any = None, box: Box | None = None,
        skin: float | None = None,
    ):  # fmt: skip
        positive("gravity", gravity, finite=True)
        columns = check_shape(torch.as_tensor(volume), "n", "volume")
        if not bool(((columns > 0) & torch.isfinite(columns)).all()):
            raise InputError(f"volume reaches {float(columns.min()):g}, expected finite numbers > 0")
        mass = columns
        if held is not None:
            stays = check_shape(torch.as_tensor(held), "n", "held", n=len(mass))
            mass = torch.where(stays.bool(), math.inf, columns)
        skin = smoothing.reach / 2 if skin is None else skin
        super().__init__(mass, Overlap(smoothing, gravity), charge=columns, box=box, skin=skin)
        self.volume, self.smoothing, self.gravity = columns, smoothing, float(gravity)

    def depth(self, q: Tensor) -> Tensor:
        """h [n, 1] at the columns q [n, d]."""
        edges, apart = self.close(q)
        w = self.smoothing.value(squared(apart))
        volume = self.volume.to(q)[:, None]
        tail, head = ends(edges, volume)
        return at_ends(edges, head * w, tail * w) + self.smoothing.peak * volume

    def velocity(self, u: Tensor) -> Tensor:
        """p / volume [n, d], 0 of held columns."""
        return halves(u)[1] / self.masses.to(u)[:, None]

    def step_limit(self, u: Tensor) -> float:
        """A step in time that leapfrog and Heun's method take without trouble: a tenth of the reach by the
        fastest wave and column."""
        q = halves(u)[0]
        fastest = (self.gravity * self.depth(q)).sqrt() + self.velocity(u).norm(dim=-1, keepdim=True)
        return 0.1 * self.smoothing.reach / float(fastest.max())


class JumpViscosity(Term):
    """Friction between columns that come together, along their line: what makes hydraulic jumps lose energy.

    Momentum stays to rounding. To be added to ``ShallowWater`` and evolved by steppers of any system, such as ``heun``.

    Args:
        water: the columns. linear, square: strengths alpha and beta.

    Raises:
        InputError: strengths that are negative or not finite, other particles than columns.

    Reference: Monaghan 1992, Annu. Rev. Astron. Astrophys. 30, eq. (4.2).
    """

    def __init__(self, water: ShallowWater, linear: float = 1.0, square: float = 2.0):
        super().__init__()
        if not isinstance(water, ShallowWater):
            raise InputError(f"water is a {type(water).__name__}, expected a ShallowWater, whose columns have depths")
        number("linear", linear)
        number("square", square)
        self.water, self.linear, self.square = water, linear, square

    def at(self, t: Tensor, u: Tensor) -> JumpViscosity:
        frozen = copy.copy(self)
        frozen.water = self.water.at(t, u)  # type: ignore[assignment]
        return frozen

    def forward(self, t: Tensor, u: Tensor) -> Tensor:
        water, q = self.water, halves(u)[0]
        edges, apart = water.close(q)
        s, depth = squared(apart), water.depth(q)
        relative = edges.difference(water.velocity(u))
        tail, head = ends(edges, torch.cat([depth, water.volume.to(q)[:, None]], -1))
        mean = 0.5 * (tail[..., :1] + head[..., :1])
        h = 0.5 * water.smoothing.reach
        approach = (relative * apart).sum(-1, keepdim=True).clamp_max(0) * h / (s + 0.01 * h * h)
        wave = (water.gravity * mean).sqrt()
        push = approach * (self.square * approach - self.linear * wave) / mean
        along = tail[..., 1:] * head[..., 1:] * push * water.smoothing.slope(s)
        return torch.cat([torch.zeros_like(q), edges.divergence(-along * apart)], -1)


class Profile(NamedTuple):
    """Depth and velocity at given places."""

    depth: Tensor
    velocity: Tensor


def dam_break_profile(x: Tensor, t: float, left: float = 1.0, right: float = 0.0, gravity: float = 9.81) -> Profile:
    """The exact depth and velocity at x, any shape, at t > 0 after a dam at x = 0 vanished, left deep water at rest.

    On a dry bed (right = 0) a parabola whose tip runs with 2 sqrt(g left); on a wet one a fan, water of a constant
    depth, and a jump. Reference: Ritter 1892; Stoker 1957, Water Waves, section 10.8.

    Raises:
        InputError: t or left that is not > 0, right that is not in [0, left).
    """
    positive("t", t, finite=True)
    positive("left", left, finite=True)
    positive("gravity", gravity, finite=True)
    number("right", right, below=left)
    c, xi = math.sqrt(gravity * left), x / t
    fan = ((2 * c - xi) / 3).clamp(0, c)
    depth, velocity = fan.square() / gravity, 2 * (c - fan)
    if right == 0:
        return Profile(depth, torch.where(fan > 0, velocity, 0.0))
    middle, behind, speed = jump(left, right, gravity)
    after = xi > behind - math.sqrt(gravity * middle)
    depth, velocity = torch.where(after, middle, depth), torch.where(after, behind, velocity)
    beyond = xi > speed
    return Profile(torch.where(beyond, right, depth), torch.where(beyond, 0.0, velocity))


def jump(left: float, right: float, gravity: float = 9.81) -> tuple[float, float, float]:
    """(depth, velocity) behind the jump into still water of depth ``right``, and the speed of the jump.

    The depth at which the fan from ``left`` and the jump give one velocity, by bisection to rounding.
    """

    def across(h: float) -> float:
        return (h - right) * math.sqrt(gravity * (h + right) / (2 * h * right))

    low, high = right, left
    while low < (middle := 0.5 * (low + high)) < high:
        if across(middle) < 2 * (math.sqrt(gravity * left) - math.sqrt(gravity * middle)):
            low = middle
        else:
            high = middle
    velocity = across(low)
    return low, velocity, low * velocity / (low - right)


def shallow_dam_break(
    n: int = 1000, left: float = 1.0, right: float = 0.0, *, gravity: float = 9.81, reach: float = 16.0,
) -> Start:  # fmt: skip
    """A dam at x = 0 that vanishes at t = 0: columns on -1 < x < 1, those at the banks held.

    Args:
        n: columns left of the dam. left, right: depths, left > right >= 0; columns of the right carry less and stand as
            dense. reach: of the smoothing, in distances between columns.

    Reference for what happens: :func:`dam_break_profile`.
    """
    whole("n", n, 16)
    positive("left", left, finite=True)
    number("right", right, below=left)
    spacing = 1.0 / n
    x = (torch.arange(2 * n if right else n, dtype=_DTYPE) + 0.5) * spacing - 1
    volume = torch.where(x < 0, torch.full_like(x, left), right) * spacing
    smoothing = Smoothing(reach * spacing, 1)
    held = x.abs() > 1 - 1.2 * smoothing.reach if right else x < -1 + 1.2 * smoothing.reach
    water = ShallowWater(volume, smoothing, gravity=gravity, held=held)
    return Start(water, torch.stack([x, torch.zeros_like(x)], 1))
