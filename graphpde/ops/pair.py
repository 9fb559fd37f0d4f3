"""Energies of edges: what two particles, or two neighbours in a chain, store by where they stand to each other.

Each is a function of the difference d = q_head - q_tail [*, e, k] of an undirected edge, with its derivative by hand.
"""

from __future__ import annotations

import math
from functools import reduce
from operator import add
from typing import Any

import torch
from torch import Tensor, nn

from graphpde.checks import number, positive
from graphpde.core.calculus import slopes
from graphpde.errors import InputError
from graphpde.registry import Registry

_TINY = 1e-300
_AT_ONCE = 2**16  # edges whose intermediates stay in the cache


class EdgeEnergy(nn.Module):
    """What an edge stores.

    Attributes:
        cutoff: distance from which on it is 0, or None: it reaches everywhere.
    """

    cutoff: float | None = None

    def energy(self, d: Tensor, weight: Any = None) -> Tensor:
        """V [*, e, 1] for differences [*, e, k]; ``weight`` [e, 1]: of the edges, None = 1."""
        raise NotImplementedError(f"{type(self).__name__} does not define energy(d)")

    def pull(self, d: Tensor, weight: Any = None) -> Tensor:
        """dV/dd [*, e, k]: the force on the tail, and minus that on the head; default: by autograd."""
        return slopes(lambda x: self.energy(x, weight), d)[0]


def pull_in_place(energy: EdgeEnergy, d: Tensor, weight: Tensor | None = None) -> Tensor:
    """``energy.pull(d, weight)`` of an energy whose parameters are those of all edges; d may be overwritten.

    Without gradients many edges are taken block by block: what is made on the way then stays in the cache, where whole
    arrays would be asked of the system anew at every step.
    """
    e = d.shape[-2]
    if d.requires_grad or e <= _AT_ONCE or not d.is_cpu:
        return energy.pull(d, weight)
    for start in range(0, e, _AT_ONCE):
        size = min(_AT_ONCE, e - start)
        block = d.narrow(-2, start, size)
        found = energy.pull(block, None if weight is None else weight.narrow(0, start, size))
        if found.requires_grad:
            return energy.pull(d, weight)
        block.copy_(found)
    return d


class Central(EdgeEnergy):
    """An energy of the distance alone, so that angular momentum stays; as functions of its square s = |d|^2."""

    def value(self, s: Tensor) -> Tensor:
        """V for squared distances s."""
        raise NotImplementedError(f"{type(self).__name__} does not define value(s)")

    def slope(self, s: Tensor) -> Tensor:
        """2 dV/ds = V'(r) / r."""
        raise NotImplementedError(f"{type(self).__name__} does not define slope(s)")

    def energy(self, d: Tensor, weight: Any = None) -> Tensor:
        v = self.value(squared(d))
        return v if weight is None else weight * v

    def pull(self, d: Tensor, weight: Any = None) -> Tensor:
        slope = self.slope(squared(d))
        return (slope if weight is None else weight * slope) * d


PAIRS: Registry[type[EdgeEnergy]] = Registry("pair energy")


@PAIRS.add("spring")
class Spring(Central):
    """V = k (r - rest)^2 / 2.

    Args:
        stiffness: k in energy/length^2. rest: length without force, >= 0; numbers or one for each edge [e, 1].
    """

    def __init__(self, stiffness: float | Tensor = 1.0, rest: float | Tensor = 0.0):
        super().__init__()
        require_numbers(stiffness=stiffness)
        require_numbers(rest=rest, least=0.0)
        self.stiffness, self.rest = stiffness, rest

    def value(self, s: Tensor) -> Tensor:
        return 0.5 * self.stiffness * (root(s) - self.rest) ** 2

    def slope(self, s: Tensor) -> Tensor:
        if isinstance(self.rest, float | int) and self.rest == 0:
            return self.stiffness * torch.ones_like(s)
        return self.stiffness * (1 - self.rest / root(s))


@PAIRS.add("gravity")
class Gravity(Central):
    """V = -strength / sqrt(r^2 + softening^2), times the weight of the edge: the product of two masses.

    Args:
        strength: G in energy length / mass^2. softening: >= 0 in length (Plummer 1911); 0 = point masses.
    """

    def __init__(self, strength: float = 1.0, softening: float = 0.0):
        super().__init__()
        number("softening", softening)
        require_numbers(strength=strength)
        self.strength, self.softening = strength, softening

    def value(self, s: Tensor) -> Tensor:
        return -self.strength * (s + self.softening**2).rsqrt()

    def slope(self, s: Tensor) -> Tensor:
        inverse = (s + self.softening**2).rsqrt()
        return self.strength * inverse * inverse * inverse


@PAIRS.add("lennard_jones")
class LennardJones(Central):
    """V = 4 epsilon ((sigma/r)^12 - (sigma/r)^6) up to the cutoff, and 0 beyond.

    Args:
        epsilon: depth of the well. sigma: where V crosses 0, > 0 in length. cutoff: > 0 in length, None = none.
        ending: "force": shifted so that value and force go to 0 at the cutoff, which conserves energy at order 2 of the
            step; "value": the value alone is shifted, the force jumps.

    Reference: Allen and Tildesley 2017, eqs. (1.6), (5.11) and (5.12).
    """

    def __init__(self, epsilon: float = 1.0, sigma: float = 1.0, cutoff: float | None = 2.5, ending: str = "force"):
        super().__init__()
        positive("sigma", sigma)
        require_numbers(epsilon=epsilon)
        if cutoff is not None:
            positive("cutoff", cutoff, finite=True)
        if ending not in ("force", "value"):
            raise InputError(f"ending='{ending}', expected 'force' or 'value'")
        self.epsilon, self.sigma, self.cutoff = epsilon, sigma, cutoff
        self._lift = self._tilt = 0.0
        if cutoff is not None:
            x = (sigma / cutoff) ** 6
            self._lift = -4 * epsilon * (x * x - x)
            if ending == "force":
                self._tilt = 24 * epsilon * (2 * x * x - x) / cutoff  # minus the slope V' at the cutoff

    def value(self, s: Tensor) -> Tensor:
        x = (self.sigma**2 / s) ** 3
        v = 4 * self.epsilon * (x * x - x) + self._lift
        if self._tilt:
            assert self.cutoff is not None
            v = v + self._tilt * (root(s) - self.cutoff)
        return self._within(s, v)

    def slope(self, s: Tensor) -> Tensor:
        inverse = 1 / s
        x = (self.sigma**2 * inverse) ** 3
        f = -24 * self.epsilon * (2 * x * x - x) * inverse
        if self._tilt:
            f = f + self._tilt * inverse.sqrt()
        return self._within(s, f)

    def _within(self, s: Tensor, v: Tensor) -> Tensor:
        return v if self.cutoff is None else torch.where(s < self.cutoff**2, v, 0.0)


class Difference(EdgeEnergy):
    """An energy of each component of the difference on its own: chains and lattices, where d is signed."""

    def value(self, d: Tensor) -> Tensor:
        """V for each component [*, e, k]."""
        raise NotImplementedError(f"{type(self).__name__} does not define value(d)")

    def slope(self, d: Tensor) -> Tensor:
        """V' for each component [*, e, k]."""
        raise NotImplementedError(f"{type(self).__name__} does not define slope(d)")

    def energy(self, d: Tensor, weight: Any = None) -> Tensor:
        v = self.value(d).sum(-1, keepdim=True)
        return v if weight is None else weight * v

    def pull(self, d: Tensor, weight: Any = None) -> Tensor:
        return self.slope(d) if weight is None else weight * self.slope(d)


@PAIRS.add("fput")
class Fput(Difference):
    """V = d^2 / 2 + alpha d^3 / 3 + beta d^4 / 4. Reference: Fermi, Pasta, Ulam and Tsingou 1955."""

    def __init__(self, alpha: float = 0.25, beta: float = 0.0):
        super().__init__()
        require_numbers(alpha=alpha, beta=beta)
        self.alpha, self.beta = alpha, beta

    def value(self, d: Tensor) -> Tensor:
        return d * d * (0.5 + d * (self.alpha / 3 + d * (self.beta / 4)))

    def slope(self, d: Tensor) -> Tensor:
        return d * (1 + d * (self.alpha + d * self.beta))


@PAIRS.add("toda")
class Toda(Difference):
    """V = exp(-d) + d - 1: an integrable chain. Reference: Toda 1967, J. Phys. Soc. Japan 22, eq. (2.1)."""

    def value(self, d: Tensor) -> Tensor:
        return torch.expm1(-d) + d

    def slope(self, d: Tensor) -> Tensor:
        return -torch.expm1(-d)


def require_numbers(*, least: float = -math.inf, **named: float | Tensor) -> None:
    """Refuse parameters of energies, numbers or tensors, that are not finite or less than ``least``.

    Raises:
        InputError: names it.
    """
    for name, value in named.items():
        ends = value.detach().aminmax() if isinstance(value, Tensor) and value.numel() else (value,)
        for x in ends:
            number(name, float(x) if isinstance(x, Tensor) else x, least=least)


def squared(d: Tensor) -> Tensor:
    """|d|^2 [*, e, 1], component by component: torch takes three times as long for sums over so short a dimension."""
    return reduce(add, (x * x for x in d.split(1, -1)))


def root(s: Tensor) -> Tensor:
    """The distance; two particles in one place have a slope of 0 of it, not of NaN."""
    return s.clamp_min(_TINY if s.dtype == torch.float64 else 1e-30).sqrt()
