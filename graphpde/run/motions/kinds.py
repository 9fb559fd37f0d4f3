"""What a motion can be learned as: energies, Lagrangians, and a plain network of rates to compare with.

All see states in the units of :class:`~graphpde.run.motions.units.Units`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from graphpde.core.calculus import slopes
from graphpde.core.incidence import Incidence
from graphpde.errors import InputError
from graphpde.hamiltonian.lagrangian import Lagrangian, MassMatrix
from graphpde.hamiltonian.learned import Hamiltonian, LearnedField, LearnedPair, NodeNetwork
from graphpde.hamiltonian.particles import Particles
from graphpde.nets.mlp import Mlp
from graphpde.ops.separable import halves
from graphpde.ops.term import Term

if TYPE_CHECKING:
    from graphpde.run.motions.config import ModelChoice
    from graphpde.run.motions.units import Units

_DTYPE = torch.float64


class Body(NamedTuple):
    """What a model is built for, in the units of the data.

    Attributes:
        n, d: number of nodes and of coordinates. units: in which the model sees them. mass: of the nodes [n], None = 1.
        edges: pairs of nodes [2, e], None = all. reach: the largest distance of a pair that occurs, or None.
    """

    n: int
    d: int
    units: Units
    mass: Tensor | None = None
    edges: Tensor | None = None
    reach: float | None = None


class Law(nn.Module):
    """A learned law of motion.

    Attributes:
        term: what is evolved, states [*, n, 2 d]. keeps: whether it has an energy that stays.
    """

    term: Term
    keeps = True

    def forward(self, t: Tensor, u: Tensor) -> Tensor:
        """u' [*, n, 2 d]."""
        return self.term(t, u)

    def energy(self, u: Tensor) -> Tensor:
        """Of states [*, n, 2 d]: [*], up to a constant.

        Raises:
            InputError: there is none.
        """
        raise InputError(f"a {type(self).__name__} law has no energy")

    def kinetic(self, u: Tensor) -> Tensor:
        """p . dH/dp / 2 of states [*, n, 2 d]: [*], the measure that changes of energy are told by."""
        slope = slopes(self.energy, u)[0]
        return 0.5 * (halves(u)[1] * halves(slope)[1]).sum((-2, -1))

    def facts(self, units: Units) -> dict[str, str]:
        """Numbers that were learned, in the units of the data."""
        return {}


class Whole(Law):
    """q' = dH/dp, p' = -dH/dq, H(q, p) one network (Greydanus et al. 2019)."""

    def __init__(self, model: ModelChoice, body: Body):
        super().__init__()
        self.net = NodeNetwork(2 * body.d, hidden=model.hidden, layers=model.layers)
        self.term = Hamiltonian(self.net)

    def energy(self, u: Tensor) -> Tensor:
        return self.net(u).sum((-2, -1))


class Separate(Law):
    """H = p^2 / 2 m + V(q), V a network, m learned; with friction beside it (Zhong, Dey and Chakraborty 2020)."""

    def __init__(self, model: ModelChoice, body: Body, *, friction: bool = False):
        super().__init__()
        self.field = LearnedField(body.d, hidden=model.hidden, layers=model.layers)
        self.log_mass = nn.Parameter(torch.zeros(body.d))
        self.log_friction = nn.Parameter(torch.full((body.d,), -3.0)) if friction else None
        self.term = Hamiltonian(self._energies, self._friction if friction else None)
        self.keeps = not friction

    def _energies(self, u: Tensor) -> Tensor:
        q, p = halves(u)
        return (0.5 * p.square() / self.log_mass.exp()).sum(-1, keepdim=True) + self.field.energy(q)

    def _friction(self, q: Tensor) -> Tensor:
        assert self.log_friction is not None
        return self.log_friction.exp().expand(q.shape)

    def energy(self, u: Tensor) -> Tensor:
        return self._energies(u).sum((-2, -1))

    def facts(self, units: Units) -> dict[str, str]:
        mass = self.log_mass.detach().exp() * units.mass
        found = {"mass": _text(mass)}
        if self.log_friction is not None:
            rate = (self.log_friction - self.log_mass).detach().exp() / units.time
            found["friction"] = f"momenta fall by {_text(rate)} of themselves in a unit of time"
        return found


class Pairs(Law):
    """Particles with one learned energy for all pairs, a function of the distance (Sanchez-Gonzalez et al. 2019)."""

    def __init__(self, model: ModelChoice, body: Body):
        super().__init__()
        units = body.units
        reach = (model.reach or body.reach or 1.0) / units.place
        self.pair = LearnedPair(reach, bumps=model.bumps, hidden=model.hidden, layers=model.layers)
        self.own = LearnedField(body.d, hidden=model.hidden, layers=model.layers) if model.field else None
        mass = (torch.ones(body.n, dtype=_DTYPE) if body.mass is None else body.mass) / units.mass
        edges = None if body.edges is None else Incidence.of_pairs(body.edges[0], body.edges[1], body.n, _DTYPE)
        self.bodies = self.term = Particles(mass, self.pair, edges=edges, field=self.own)

    def energy(self, u: Tensor) -> Tensor:
        return self.bodies.energy(u)

    def curve(self, r: Tensor) -> Tensor:
        """The energy of a pair [k] at distances [k]."""
        return self.pair.energy(r[:, None])[:, 0]


class ByLagrange(Law):
    """L = v . M(q) v / 2 - V(q) of angles q, M positive definite (Lutter, Ritter and Peters 2019)."""

    def __init__(self, model: ModelChoice, body: Body):
        super().__init__()
        self.lagrangian = MassMatrix(body.d, hidden=model.hidden, layers=model.layers)
        self.term = Lagrangian(self.lagrangian)

    def energy(self, u: Tensor) -> Tensor:
        q, v = halves(u)
        low = self.lagrangian(q, torch.zeros_like(v))  # - V
        return (self.lagrangian(q, v) - 2 * low).sum((-2, -1))


class Plain(Law):
    """u' = a network of u, of which nothing is known to stay."""

    keeps = False

    def __init__(self, model: ModelChoice, body: Body):
        super().__init__()
        self.term = _Rates(body, model)


class _Rates(Term):
    def __init__(self, body: Body, model: ModelChoice):
        super().__init__()
        width = 2 * body.n * body.d
        self.net = Mlp(width, *[model.hidden] * model.layers, width, activation=torch.tanh)

    def forward(self, t: Tensor, u: Tensor) -> Tensor:
        return self.net(u.flatten(-2)).unflatten(-1, u.shape[-2:])


class Kind(NamedTuple):
    """A kind of law.

    Attributes:
        title, equation: for reports. make: (settings, body) -> the law. settings: of the model that only some kinds
            have. single: only of data of one node. angles: positions are angles, and what moves are their velocities.
    """

    title: str
    equation: str
    make: Callable[[ModelChoice, Body], Law]
    settings: tuple[str, ...] = ()
    single: bool = True
    angles: bool = False


KINDS: dict[str, Kind] = {
    "hamiltonian": Kind("A learned Hamiltonian", "q' = dH/dp, p' = -dH/dq, H(q, p) a network", Whole),
    "separable": Kind("A learned potential", "H = p^2 / 2 m + V(q), V a network", Separate),
    "dissipative": Kind(
        "A learned potential and friction", "q' = dH/dp, p' = -dH/dq - friction q', H = p^2 / 2 m + V(q)",
        lambda model, body: Separate(model, body, friction=True),
    ),
    "pairs": Kind(
        "A learned energy of pairs", "H = sum of p^2 / 2 m + sum over pairs of V(distance)", Pairs,
        ("reach", "bumps", "field"), single=False,
    ),
    "lagrangian": Kind("A learned Lagrangian", "L = v . M(q) v / 2 - V(q), q angles", ByLagrange, angles=True),
    "plain": Kind("A network of rates", "u' = a network of u", Plain, single=False),
}  # fmt: skip


def _text(values: Tensor) -> str:
    return ", ".join(f"{float(v):.4g}" for v in values.flatten())
