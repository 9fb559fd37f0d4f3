"""Learned Hamiltonian systems: an energy from a network, motion from its derivatives.

Reference: Greydanus, Dzamba and Yosinski 2019 (HNN); Sanchez-Gonzalez et al. 2019 (on graphs, through the integrator);
Zhong, Dey and Chakraborty 2020 (dissipation).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from graphpde.checks import positive, whole
from graphpde.core.calculus import slopes
from graphpde.core.jacobian import by_reverse_mode
from graphpde.core.linear_operator import LinearOperator
from graphpde.dynamics.evolve import evolve
from graphpde.dynamics.stepper import Stepper, stepper_named
from graphpde.errors import InputError, ShapeError
from graphpde.hamiltonian.particles import NodeEnergy
from graphpde.hamiltonian.start import LearnedStart
from graphpde.nets.mlp import Mlp
from graphpde.ops.pair import EdgeEnergy, squared
from graphpde.ops.separable import halves
from graphpde.ops.term import Term

Energy = Callable[[Tensor], Tensor]


class Hamiltonian(Term):
    """q' = dH/dp, p' = -dH/dq - friction dH/dp for an energy H(u) of states [*, n, 2 d], separable or not.

    Args:
        energy: u [*, n, 2 d] -> energies of any shape, whose sum counts; states of a batch have to be independent.
        friction: (q [*, n, d]) -> rates [*, n, d] or [*, n, 1], >= 0, or None: energy stays.

    To be evolved by ``implicit_midpoint``, which is symplectic for any energy, or by explicit steppers.
    """

    def __init__(self, energy: Energy, friction: Energy | None = None):
        super().__init__()
        for name, given in (("energy", energy), ("friction", friction)):
            if not callable(given) and (name == "energy" or given is not None):
                raise InputError(f"{name} is a {type(given).__name__}, expected a function of states")
        self.energy, self.friction = energy, friction

    def forward(self, t: Tensor, u: Tensor) -> Tensor:
        by_q, by_p = halves(slopes(self.energy, u)[0])
        if self.friction is None:
            return torch.cat([by_p, -by_q], -1)
        return torch.cat([by_p, -by_q - self.friction(halves(u)[0]) * by_p], -1)

    def linearise(self, t: Tensor, u: Tensor) -> LinearOperator:
        """The Jacobian by reverse mode alone: energies may be differentiated by autograd themselves."""
        return by_reverse_mode(lambda v: self(t, v), u)


class NodeNetwork(nn.Module):
    """An energy of each node by itself: (q, p) or q alone [*, n, k] -> [*, n, 1], with the smooth activation tanh.

    Args:
        channels: k. hidden, layers: of the network.
    """

    def __init__(self, channels: int, *, hidden: int = 128, layers: int = 2):
        super().__init__()
        width, depth = whole("hidden", hidden), whole("layers", layers)
        self.net = Mlp(whole("channels", channels), *[width] * depth, 1, activation=torch.tanh)

    def forward(self, x: Tensor) -> Tensor:
        """Energies [*, n, 1]."""
        return self.net(x)


class LearnedField(NodeEnergy):
    """What a node stores by its position, learned: the same for all nodes."""

    def __init__(self, d: int, *, hidden: int = 128, layers: int = 2):
        super().__init__()
        self.net = NodeNetwork(d, hidden=hidden, layers=layers)

    def energy(self, q: Tensor) -> Tensor:
        return self.net(q)


class LearnedPair(EdgeEnergy):
    """What an edge stores by its length, learned: the same for all edges, so that it serves on any number of bodies.

    A function of the distance alone: momentum and angular momentum stay to rounding, trained or not. The network sees
    the distance, its square, and bumps of it up to ``reach``.

    Args:
        reach: the largest distance that is resolved. bumps: how many Gaussians. hidden, layers: of the network.
    """

    centres: Tensor

    def __init__(self, reach: float, *, bumps: int = 16, hidden: int = 64, layers: int = 2):
        super().__init__()
        positive("reach", reach, finite=True)
        count = whole("bumps", bumps, 2)
        self.register_buffer("centres", torch.linspace(0, reach, count))
        self.width = reach / (count - 1)
        self.net = Mlp(count + 2, *[whole("hidden", hidden)] * whole("layers", layers), 1, activation=torch.tanh)

    def energy(self, d: Tensor, weight: Any = None) -> Tensor:
        r = (squared(d) + 1e-12).sqrt()
        scaled = r / float(self.centres[-1])
        bumps = torch.exp(-0.5 * ((r - self.centres.to(r)) / self.width) ** 2)
        v = self.net(torch.cat([scaled, scaled.square(), bumps], -1))
        return v if weight is None else weight * v


class RateMatch:
    """The objective of learning from rates: the mean square of model(t, u) - u' (Greydanus et al. 2019, eq. 3).

    Batches are pairs (u, u') or triples (u, u', t), u [*, n, c].
    """

    def __call__(self, model: Any, batch: Sequence[Tensor], rng: torch.Generator | None = None) -> dict[str, Tensor]:
        """{"rate": loss}."""
        u, rate = batch[0], batch[1]
        if u.shape != rate.shape:
            raise ShapeError(f"states have shape {list(u.shape)} and rates {list(rate.shape)}, expected equal shapes")
        t = batch[2] if len(batch) > 2 else u.new_zeros(())
        return {"rate": (model(t, u) - rate).square().mean()}


class PathMatch:
    """The objective of learning through the integrator: the mean square distance from observed states.

    Batches are pairs (times [s], states [s, *, n, c]), the first of which starts the run, with a third entry of bool
    [s, *, n, c] where not all was observed. What starts the run has to be known, or the model a
    :class:`~graphpde.hamiltonian.start.LearnedStart`.

    Args:
        stepper: of the run, or its name. dt: its step, None = one from each time to the next.

    Reference: Chen, Zhang, Arjovsky and Bottou 2020 (symplectic recurrent networks).
    """

    def __init__(self, stepper: Stepper | str = "leapfrog", dt: float | None = None):
        self.stepper, self.dt = stepper_named(stepper), dt

    def __call__(self, model: Any, batch: Sequence[Tensor], rng: torch.Generator | None = None) -> dict[str, Tensor]:
        """{"path": loss}."""
        times, states = batch[0], batch[1]
        begins = isinstance(model, LearnedStart)
        start, law = (model.start, model.law) if begins else (states[0], model)
        found = evolve(law, start, times, stepper=self.stepper, dt=self.dt).states
        if len(batch) < 3:
            return {"path": (found[1:] - states[1:]).square().mean()}
        first = 0 if begins else 1
        found, seen = found[first:], batch[2][first:]  # what was not observed may be anything, NaN too
        if not bool(seen.any()):
            raise InputError("nothing of the states was seen after the start; there is nothing to learn from")
        gap = found - torch.where(seen, states[first:], found.detach())
        return {"path": gap.square().sum() / seen.sum()}
