"""Particles: masses at nodes, energies on edges and nodes, forces as messages that cancel in pairs."""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import Tensor, nn

from graphpde.core.calculus import slopes
from graphpde.core.close_pairs import Box
from graphpde.core.incidence import Incidence
from graphpde.errors import InputError, ShapeError
from graphpde.ops.moving import Listed, NeighbourList
from graphpde.ops.pair import EdgeEnergy, pull_in_place
from graphpde.ops.separable import Separable, halves
from graphpde.ops.term import Term
from graphpde.typing import check_shape

MOST_PAIRS = 30_000_000
"""Pairs that are listed where all act on all: some 8 GB."""


class NodeEnergy(nn.Module):
    """What a node stores by its own position."""

    def energy(self, q: Tensor) -> Tensor:
        """V [*, n, 1] for positions [*, n, d]."""
        raise NotImplementedError(f"{type(self).__name__} does not define energy(q)")

    def pull(self, q: Tensor) -> Tensor:
        """dV/dq [*, n, d]; default: by autograd."""
        return slopes(self.energy, q)[0]


class Particles(Separable):
    """H(q, p) = sum_i |p_i|^2 / 2 m_i + sum_edges w_ij V(q_j - q_i) + sum_i U(q_i), a separable system.

    The state is [n, 2 d]: positions, then momenta; [*, n, 2 d] where the edges are given. A pair's force is worked out
    once and added at one end as it is taken at the other, so that the total momentum stays to rounding.

    Args:
        mass: of the particles [n], > 0; inf = held where it is.
        pairs: what an edge stores, or None.
        edges: who acts on whom; None = all pairs, or those within the cutoff of ``pairs``, by a list with a skin.
        charge: of the particles [n]; an edge weighs the product of its ends, such as masses in gravity.
        field: what a node stores. box: periodic, for the differences of positions.
        skin: of the list of neighbours, in length; default a seventh of the cutoff.

    Attributes:
        neighbours: the list, or None where the edges stay.

    Raises:
        InputError: masses that are not > 0, a box with less room than the pairs need. ShapeError: sizes do not fit.
    """

    def __init__(
        self,
        mass: Any,
        pairs: EdgeEnergy | None = None,
        *,
        edges: Incidence | None = None,
        charge: Any = None,
        field: NodeEnergy | None = None,
        box: Box | None = None,
        skin: float | None = None,
    ):
        Term.__init__(self)  # its halves are methods here
        self.masses = check_shape(torch.as_tensor(mass), "n", "mass")
        if not bool((self.masses > 0).all()):
            raise InputError(f"mass reaches {float(self.masses.min()):g}, expected numbers > 0, or inf for a held one")
        self.charge = None if charge is None else check_shape(torch.as_tensor(charge), "n", "charge", n=self.n)
        self.pairs, self.field, self.box, self.edges = pairs, field, box, edges
        self.neighbours: NeighbourList | None = None
        if edges is not None and edges.n != self.n:
            raise ShapeError(f"the edges join {edges.n} nodes and there are {self.n} masses, expected as many")
        if skin is not None and (pairs is None or pairs.cutoff is None or edges is not None):
            raise InputError("skin has no effect: there is no cutoff, or the edges are given; leave it out")
        if pairs is not None and edges is None:
            if pairs.cutoff is not None:
                self.neighbours = NeighbourList(pairs.cutoff, pairs.cutoff / 7 if skin is None else skin, box)
            else:
                if self.n * (self.n - 1) // 2 > MOST_PAIRS:
                    raise InputError(
                        f"{self.n} particles that all act on each other have {self.n * (self.n - 1) // 2:,} pairs, "
                        f"expected at most {MOST_PAIRS:,}; take fewer, an energy with a cutoff, or give the edges"
                    )
                tail, head = torch.triu_indices(self.n, self.n, 1).unbind()
                self.edges = Incidence.of_pairs(tail, head, self.n, self.masses.dtype)
        self._listed: Listed | None = None

    @property
    def n(self) -> int:
        """Number of particles."""
        return len(self.masses)

    # motion

    def at(self, t: Tensor, u: Tensor) -> Particles:
        """The same with the neighbours of the coming step, which it refuses to leave."""
        if self.neighbours is None:
            return self
        frozen = copy.copy(self)
        frozen._listed = self.neighbours.at(halves(u)[0])
        return frozen

    def drift(self, t: Tensor, p: Tensor) -> Tensor:
        """p / m [*, n, d]."""
        return p / self.masses.to(p)[:, None]

    def fast(self, t: Tensor, q: Tensor) -> Tensor:
        """The forces [*, n, d]."""
        found = None
        if self.pairs is not None:
            edges, apart = self.close(q)
            weight = self._weight(edges, q)
            listed = self.neighbours is not None  # parameters of single edges need edges that stay
            pull = pull_in_place(self.pairs, apart, weight) if listed else self.pairs.pull(apart, weight)
            found = -edges.divergence(pull)
        if self.field is not None:
            own = self.field.pull(q)
            found = -own if found is None else found - own
        return torch.zeros_like(q) if found is None else found

    def close(self, q: Tensor) -> tuple[Incidence, Tensor]:
        """The edges over which particles at q [*, n, d] act on each other, and the differences over them [*, e, d].

        Differences are those to the nearest images in the box. For systems with ``pairs``.

        Raises:
            ShapeError: another number of particles, or of coordinates than the box has lengths.
        """
        if q.shape[-2] != self.n:
            raise ShapeError(f"there are {q.shape[-2]} particles and {self.n} masses, expected as many")
        if self.box is not None:
            self.box.require(q.shape[-1])
        if self.neighbours is not None:
            listed = self.neighbours.now(q) if self._listed is None else self._listed.require(q)
            return listed.edges, listed.apart(q)
        assert self.edges is not None
        apart = self.edges.difference(q)
        return self.edges, apart if self.box is None else self.box.nearest(apart)

    def _weight(self, edges: Incidence, q: Tensor) -> Tensor | None:
        """Products of the charges [e, 1]."""
        if self.charge is None:
            return None
        each = edges.relation.gather(self.charge.to(q)[:, None])
        return each[0::2] * each[1::2]

    # what stays

    def phase(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """Positions and momenta [*, n, d]."""
        return halves(u)

    def kinetic(self, u: Tensor) -> Tensor:
        """Energy of the motion [*]."""
        p = halves(u)[1]
        return (p.square() / (2 * self.masses.to(p)[:, None])).sum((-2, -1))

    def potential(self, q: Tensor) -> Tensor:
        """Energy of the positions [*]."""
        total = q.new_zeros(q.shape[:-2])
        if self.pairs is not None:
            edges, apart = self.close(q)
            total = total + self.pairs.energy(apart, self._weight(edges, q)).sum((-2, -1))
        return total if self.field is None else total + self.field.energy(q).sum((-2, -1))

    def energy(self, u: Tensor) -> Tensor:
        """H [*], which stays as long as nothing depends on time."""
        return self.kinetic(u) + self.potential(halves(u)[0])

    def momentum(self, u: Tensor) -> Tensor:
        """The sum of all momenta [*, d], which stays without a field."""
        return halves(u)[1].sum(-2)

    def angular_momentum(self, u: Tensor) -> Tensor:
        """sum_i q_i x p_i [*, 1] in the plane, [*, 3] in space; stays for central forces without box and field.

        Raises:
            ShapeError: neither plane nor space.
        """
        q, p = halves(u)
        if q.shape[-1] == 2:
            return (q[..., :1] * p[..., 1:] - q[..., 1:] * p[..., :1]).sum(-2)
        if q.shape[-1] == 3:
            return torch.linalg.cross(q, p).sum(-2)
        raise ShapeError(f"particles have {q.shape[-1]} coordinates, and angular momentum needs 2 or 3")

    def temperature(self, u: Tensor) -> Tensor:
        """kT [*] = 2 kinetic energy by d for each particle that is not held, whether or not their sum is kept."""
        free = int(torch.isfinite(self.masses).sum()) * (u.shape[-1] // 2)
        return 2 * self.kinetic(u) / max(free, 1)

    def thermal(self, q: Tensor, temperature: float, rng: torch.Generator | None = None) -> Tensor:
        """A state with momenta drawn at this temperature (Maxwell): [n, 2 d].

        Where no particle is held their sum is taken out, and the rest scaled so that the mean of :meth:`temperature` is
        as asked.
        """
        if not 0 <= temperature < math.inf:
            raise InputError(f"temperature = {temperature:g}, expected a finite number >= 0")
        free = torch.isfinite(self.masses)[:, None]
        mass = torch.where(free, self.masses.to(q)[:, None], 0.0)
        p = (mass * temperature).sqrt() * torch.randn(q.shape, generator=rng, dtype=q.dtype).to(q)
        if bool(free.all()):
            p = p - mass * (p.sum(-2, keepdim=True) / mass.sum())
            p = p * math.sqrt(self.n / max(self.n - 1, 1))
        return torch.cat([q, p], -1)
