"""Liquids by particles: weakly compressible smoothed particle hydrodynamics, with forces that cancel in pairs.

Every pair is worked out once; what one particle gains in momentum the other loses.
Reference: Monaghan 2005, Rep. Prog. Phys. 68; Violeau and Rogers 2016, J. Hydraul. Res. 54.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from graphpde.checks import number, positive
from graphpde.core.close_pairs import Box
from graphpde.core.incidence import Incidence
from graphpde.errors import InputError, ShapeError, SolveError
from graphpde.ops.ends import at_ends, ends
from graphpde.ops.moving import Listed, NeighbourList
from graphpde.ops.pair import squared
from graphpde.ops.smoothing import Smoothing
from graphpde.ops.term import Term
from graphpde.typing import check_shape


@dataclass(frozen=True)
class Liquid:
    """p = density sound^2 / exponent ((rho / density)^exponent - 1).

    Args:
        density: at rest, > 0. sound: its speed, > 0; ten times the fastest flow keeps changes of density near 1 %.
        exponent: 7 of water (Tait); 1 = linear.
    """

    density: float
    sound: float
    exponent: float = 7.0

    def __post_init__(self) -> None:
        for name in ("density", "sound", "exponent"):
            positive(name, getattr(self, name), finite=True)

    @property
    def stiffness(self) -> float:
        """density sound^2 / exponent."""
        return self.density * self.sound**2 / self.exponent

    def pressure(self, rho: Tensor) -> Tensor:
        """p of densities, any shape."""
        return self.stiffness * ((rho / self.density) ** self.exponent - 1)

    def energy(self, rho: Tensor) -> Tensor:
        """Of compression by mass, the integral of p / rho^2 from the density at rest on."""
        x, k = rho / self.density, self.exponent - 1
        stored = torch.log(x) if k == 0 else (x**k - 1) / k
        return self.stiffness / self.density * (stored + 1 / x - 1)

    def density_at(self, pressure: Tensor) -> Tensor:
        """The density that has a pressure.

        Raises:
            InputError: a pressure that no density has.
        """
        if bool((pressure <= -self.stiffness).any()):
            raise InputError(
                f"the pressure reaches {float(pressure.min()):g}, expected > {-self.stiffness:g}, that of density 0"
            )
        return self.density * (pressure / self.stiffness + 1) ** (1 / self.exponent)


@dataclass(frozen=True)
class Smearing:
    """What is spent on the order of particles and on jumps; 0 = nothing.

    Args:
        viscosity: artificial, on particles that come together (Monaghan 1992): alpha, about 0.02 to 0.1.
        density: diffusion of the density against that at rest under gravity (Molteni and Colagrossi 2009; Fourtakas et
            al. 2019): delta, about 0.1.
        shifting: of positions to where neighbours are fewer (Lind et al. 2012; Sun et al. 2017), about 0.5 to 1; for
            liquids without a free surface.

    Raises:
        InputError: numbers that are negative or not finite.
    """

    viscosity: float = 0.0
    density: float = 0.1
    shifting: float = 0.0

    def __post_init__(self) -> None:
        for name in ("viscosity", "density", "shifting"):
            number(name, getattr(self, name))


class Fluid(Term):
    """A weakly compressible liquid of particles with positions, velocities and densities: states [n, 2 d + 1].

    q' = v; rho' = rho sum_j V_j (v_i - v_j) . grad W_ij; m v' = -sum_j V_i V_j (p_i + p_j) grad W_ij + viscosity + m g,
    V = m / rho. Without gravity and held particles the total momentum stays to rounding. For explicit steppers, such as
    ``heun``, with steps below :meth:`step_limit`.

    Held particles are walls on which the liquid slips; their pressure is that of the liquid near them, with its weight.

    Args:
        mass: of the particles [n], > 0. smoothing: W. law: pressure from density.
        viscosity: of the liquid, kinematic, >= 0 in length^2/time. smearing: against disorder; default density 0.1.
        gravity: [d] in length/time^2. held: the particles of walls [n] bool. box: periodic.

    Attributes:
        neighbours: the list, with a skin of a seventh of the reach.

    Raises:
        InputError: masses that are not > 0, a viscosity that is negative, a box without room. ShapeError: sizes that do
            not fit.

    Reference: Colagrossi and Landrini 2003 (pressure), Morris et al. 1997 (viscosity), Adami et al. 2012 (walls).
    """

    dissipates = True

    def __init__(
        self, mass: Any, smoothing: Smoothing, law: Liquid, *, viscosity: float = 0.0,
        smearing: Smearing | None = None, gravity: Any = None, held: Any = None, box: Box | None = None,
    ):  # fmt: skip
        super().__init__()
        number("viscosity", viscosity)
        self.masses = check_shape(torch.as_tensor(mass), "n", "mass")
        if not bool(((self.masses > 0) & torch.isfinite(self.masses)).all()):
            raise InputError(f"mass reaches {float(self.masses.min()):g}, expected finite numbers > 0")
        self.smoothing, self.law, self.viscosity = smoothing, law, float(viscosity)
        self.smearing, self.box = smearing or Smearing(), box
        self.gravity = self.held = None
        if gravity is not None:
            self.gravity = check_shape(torch.as_tensor(gravity, dtype=torch.float64), "d", "gravity", d=smoothing.d)
        if held is not None:
            self.held = check_shape(torch.as_tensor(held), "n", "held", n=self.n).bool()
        self.neighbours = NeighbourList(smoothing.reach, smoothing.reach / 7, box)
        self._listed: Listed | None = None

    @property
    def n(self) -> int:
        """Number of particles."""
        return len(self.masses)

    def at(self, t: Tensor, u: Tensor) -> Fluid:
        """The same with the neighbours of the coming step, which it refuses to leave.

        Raises:
            SolveError: a density that is not > 0.
        """
        q, _, rho = self.parts(u)
        if bool((rho <= 0).any()):
            worst = int(rho.argmin())
            raise SolveError(
                f"particle {worst} has a density of {float(rho[worst, 0]):.3g}, expected > 0; take a shorter step, at "
                f"most step_limit(u) at the fastest flow"
            )
        frozen = copy.copy(self)
        frozen._listed = self.neighbours.at(q)
        return frozen

    def forward(self, t: Tensor, u: Tensor) -> Tensor:
        q, v, rho = self.parts(u)
        edges, apart = self._apart(q)
        s, mass = squared(apart), self.masses.to(q)[:, None]
        pressure = self.law.pressure(rho)
        if self.held is not None:
            pressure = self._at_walls(edges, apart, s, rho, pressure)
            rho = torch.where(self.held[:, None], self.law.density_at(pressure.clamp_min(0)), rho)
        pairs = _Pairs.of(edges, apart, s, self.smoothing.slope(s), [rho, pressure, mass / rho, self._free(q), v])
        rate = edges.divergence(self._push(pairs)) / mass
        if self.gravity is not None:
            rate = rate + self.gravity.to(q)
        spread = at_ends(edges, *self._spread(pairs))
        rate = torch.cat([v + spread[:, 1:] if self.smearing.shifting else v, rate, rho * spread[:, :1]], -1)
        return rate if self.held is None else torch.where(self.held[:, None], 0.0, rate)

    def _push(self, pairs: _Pairs) -> Tensor:
        """What the tails do to the heads [E, d]."""
        one, two = pairs.tail, pairs.head
        along = -one.volume * two.volume * (one.pressure + two.pressure)
        if self.smearing.viscosity:
            h, mean = 0.5 * self.smoothing.reach, 0.5 * (one.rho + two.rho)
            coming = (-pairs.closing).clamp_min(0) / (pairs.s + 0.01 * h * h)
            strength = self.smearing.viscosity * self.law.sound * h * one.free * two.free
            along = along - one.volume * two.volume * strength * mean * coming
        push = along * pairs.slope * pairs.apart
        if self.viscosity:
            mean = 0.5 * (one.rho + two.rho)
            rub = 2 * self.viscosity * mean * one.volume * two.volume * one.free * two.free
            push = push + rub * pairs.slope * pairs.relative
        return push

    def _spread(self, pairs: _Pairs) -> tuple[Tensor, Tensor]:
        """Rates of log(rho) and, with shifting, additions to q' that tails and heads get [E, 1] or [E, 1 + d]."""
        one, two = pairs.tail, pairs.head
        squeeze = pairs.slope * pairs.closing
        flow = torch.zeros_like(squeeze)
        if self.smearing.density:
            gap = two.rho - one.rho
            if self.gravity is not None:  # less that of the liquid at rest
                weight = (pairs.apart * self.gravity.to(gap)).sum(-1, keepdim=True)
                gap = gap - self.law.density / self.law.sound**2 * weight
            flow = -self.smearing.density * self.smoothing.reach * self.law.sound * gap * pairs.slope
        at_tail, at_head = squeeze + flow / one.rho, squeeze - flow / two.rho
        if self.smearing.shifting:
            aside = self.smearing.shifting * self.law.sound * self.smoothing.reach * pairs.slope * pairs.apart
            at_tail, at_head = torch.cat([at_tail, aside], -1), torch.cat([at_head, -aside], -1)
        return two.volume * at_tail, one.volume * at_head

    def _at_walls(self, edges: Incidence, apart: Tensor, s: Tensor, rho: Tensor, pressure: Tensor) -> Tensor:
        """Pressures [n, 1]; those of held particles from the liquid near them, >= 0 so that walls do not hold it."""
        assert self.held is not None
        w = self.smoothing.value(s)
        weight = torch.zeros_like(w) if self.gravity is None else (apart * self.gravity.to(w)).sum(-1, keepdim=True)
        free = self._free(rho)
        one, two = ends(edges, torch.cat([free, free * rho, free * pressure], -1))
        tail = w * torch.cat([two[:, :1], two[:, 2:] - two[:, 1:2] * weight], -1)
        head = w * torch.cat([one[:, :1], one[:, 2:] + one[:, 1:2] * weight], -1)
        near = at_ends(edges, tail, head)
        found = near[:, 1:] / near[:, :1].clamp_min(1e-9 * self.smoothing.peak)
        return torch.where(self.held[:, None], found.clamp_min(0), pressure)

    def _free(self, like: Tensor) -> Tensor:
        """1 of the liquid, 0 of walls [n, 1]."""
        return like.new_ones(self.n, 1) if self.held is None else (~self.held).to(like)[:, None]

    def _apart(self, q: Tensor) -> tuple[Incidence, Tensor]:
        """The pairs, and the differences of positions over them [E, d]."""
        listed = self.neighbours.now(q) if self._listed is None else self._listed.require(q)
        return listed.edges, listed.apart(q)

    def parts(self, u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Positions [*, n, d], velocities [*, n, d] and densities [*, n, 1].

        Raises:
            ShapeError: no such state.
        """
        d = self.smoothing.d
        if u.shape[-2:] != (self.n, 2 * d + 1):
            raise ShapeError(
                f"the state has shape {list(u.shape)}, expected [{self.n}, {2 * d + 1}]: {d} coordinates, {d} of the "
                "velocity and the density of every particle"
            )
        return u[..., :d], u[..., d : 2 * d], u[..., 2 * d :]

    def at_rest(self, q: Tensor, velocity: Tensor | None = None, pressure: Tensor | None = None) -> Tensor:
        """The state [n, 2 d + 1] of positions [n, d] with these velocities [n, d] and pressures [n], default 0."""
        zero = torch.zeros_like(q)
        rho = self.law.density_at(zero[:, :1] if pressure is None else pressure.to(q)[:, None])
        return torch.cat([q, zero if velocity is None else velocity.to(q), rho], -1)

    def step_limit(self, u: Tensor) -> float:
        """A step in time that Heun's method takes without trouble, by sound, flow, viscosity and gravity.

        Reference: Monaghan 1989; Morris et al. 1997, eqs. (32) to (34).
        """
        h, v = 0.5 * self.smoothing.reach, self.parts(u)[1]
        limits = [0.25 * h / (self.law.sound + float(v.norm(dim=-1).max()))]
        if self.viscosity:
            limits.append(0.125 * h * h / self.viscosity)
        if self.gravity is not None and bool(self.gravity.any()):
            limits.append(0.25 * math.sqrt(h / float(self.gravity.norm())))
        return min(limits)

    # what stays

    def momentum(self, u: Tensor) -> Tensor:
        """sum_i m_i v_i [*, d], which stays without gravity and walls."""
        return (self.masses.to(u)[:, None] * self.parts(u)[1]).sum(-2)

    def kinetic(self, u: Tensor) -> Tensor:
        """sum_i m_i |v_i|^2 / 2 [*]."""
        return 0.5 * (self.masses.to(u)[:, None] * self.parts(u)[1].square()).sum((-2, -1))

    def energy(self, u: Tensor) -> Tensor:
        """That of the motion, of compression and of height [*], without walls; viscosity and smearing take from it."""
        q, _, rho = self.parts(u)
        each = self.law.energy(rho)
        if self.gravity is not None:
            each = each - (q * self.gravity.to(q)).sum(-1, keepdim=True)
        mass = self.masses.to(u)[:, None] * self._free(q)
        return self.kinetic(u) + (mass * each).sum((-2, -1))

    def phase(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """Positions and momenta [*, n, d]."""
        q, v, _ = self.parts(u)
        return q, self.masses.to(u)[:, None] * v


class _End(NamedTuple):
    """What stands at one end of every pair [E, 1], velocities [E, d]."""

    rho: Tensor
    pressure: Tensor
    volume: Tensor
    free: Tensor
    v: Tensor


class _Pairs(NamedTuple):
    """Differences, their squares, W' / r, both ends, differences of velocities and their products with the former."""

    apart: Tensor
    s: Tensor
    slope: Tensor
    tail: _End
    head: _End
    relative: Tensor
    closing: Tensor

    @classmethod
    def of(cls, edges: Incidence, apart: Tensor, s: Tensor, slope: Tensor, nodes: list[Tensor]) -> _Pairs:
        d = apart.shape[-1]
        tail, head = (_End(*x.split([1, 1, 1, 1, d], -1)) for x in ends(edges, torch.cat(nodes, -1)))
        relative = head.v - tail.v
        return cls(apart, s, slope, tail, head, relative, (relative * apart).sum(-1, keepdim=True))
