"""What is read off the displacements of a body: stresses at the nodes, forces of its supports, what must balance."""

from __future__ import annotations

import math
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from graphpde.config import Setup
from graphpde.errors import SolveError
from graphpde.ops.boundary import Exchange
from graphpde.ops.elasticity import Elasticity, at_nodes, principal, reactions, von_mises
from graphpde.ops.elasticity.swelling import Swelling
from graphpde.problems.materials import Material

_AXES = "xyz"
_ROUNDING = 1e-9


class Peak(NamedTuple):
    """The largest of some values at nodes: how large, and where [d]."""

    value: float
    place: list[float]


class Strained(NamedTuple):
    """Where a material comes nearest to its yield strength: share of it, von Mises stress there, and the material."""

    share: float
    stress: float
    material: Material


class StressReading:
    """A state of a body at rest, read.

    Args:
        setup: of an elasticity problem. state: displacements, and what swells the body where it has that, [n, c].
        t: the time of the loads.

    Attributes:
        u: the displacements [n, d]. body: what resists them.
    """

    def __init__(self, setup: Setup, state: Tensor, t: float = 0.0):
        self.setup, self.state, self.t = setup, state, t
        self._form = next(term for _, term in setup.system.linear if isinstance(term, Elasticity | Swelling))
        self.body: Elasticity = self._form.body if isinstance(self._form, Swelling) else self._form
        self.u = state[:, : self.body.dim]

    @cached_property
    def stress(self) -> Tensor:
        """At the nodes [n, 3, 3]."""
        with torch.no_grad():
            return at_nodes(self._form, self._form.stress(self.state, self.t))

    @cached_property
    def von_mises(self) -> Tensor:
        """At the nodes [n].

        Raises:
            SolveError: they are beyond the numbers.
        """
        found = von_mises(self.stress)
        if not bool(torch.isfinite(found).all()):
            raise SolveError(
                f"the von Mises stress is not finite at {int((~torch.isfinite(found)).sum())} of {len(found)} nodes: "
                f"forces or moduli are beyond all numbers; check their units"
            )
        return found

    @cached_property
    def strained(self) -> Strained | None:
        """Where stresses at nodes come nearest to the yield strength; None where no material's is known.

        Between two materials it is that of the stronger one: the mean of both sides says little of either.
        """
        known = [(m.yield_strength, name) for name, m in self.setup.config.materials.items() if m.yield_strength]
        if not known:
            return None
        space, number = self.body.domain, len(known)
        parts = {name: k for k, (_, name) in enumerate(sorted(known))}
        given = {name: float(parts.get(name, number)) for name in self.setup.config.materials}
        of_cells = space.cell_values(given, "yield_strength")
        of_nodes = torch.zeros(space.n, dtype=torch.int64)
        for k in range(number + 1):
            for block in space.blocks(0):
                of_nodes[block.dofs[of_cells[block.ids] == k].cpu().unique()] = k
        limits = torch.tensor([limit for limit, _ in sorted(known)] + [math.inf], dtype=torch.float64)
        share = self.von_mises.cpu() / limits[of_nodes]
        worst = int(share.argmax())
        name = sorted(known)[int(of_nodes[worst])][1] if float(share[worst]) > 0 else known[0][1]
        return Strained(float(share[worst]), float(self.von_mises[worst]), self.setup.config.materials[name])

    @cached_property
    def supports(self) -> Tensor:
        """Forces of the supports at the nodes [n, d]; about an axis those of whole rings."""
        with torch.no_grad():
            return self._turned * reactions(self.setup.term, self.state, t=self.t)[:, : self.body.dim]

    @cached_property
    def _size(self) -> Tensor:
        """Of the forces at the nodes [n], beside which others are rounding: supports, loads, and what holds a swollen
        body at its size."""
        parts = [self.supports / self._turned, self._loads]
        if isinstance(self._form, Swelling):
            swollen = self.state.clone()
            swollen[:, : self.body.dim] = 0.0
            with torch.no_grad():
                parts.append(self._form.operator(swollen)[:, : self.body.dim])
        return torch.stack([f.norm(dim=1) for f in parts]).sum(0)

    @cached_property
    def _loads(self) -> Tensor:
        now = torch.tensor(self.t, dtype=torch.float64, device=self.u.device)
        with torch.no_grad():
            load = self.setup.system.load(now, self.state)
        return torch.zeros_like(self.u) if load is None else load[:, : self.body.dim]

    @property
    def _turned(self) -> float:
        """Radians of the body that a force of the terms is for, by those of the whole."""
        return 2 * math.pi if self.body.axisymmetric else 1.0

    def by_support(self) -> dict[str, list[float]]:
        """Set -> force of its support, by what it holds; corners of two that hold the same count for both."""
        out, system = {}, self.setup.system
        for held in () if system.fixed is None else system.fixed.constraints:
            forces = self.supports[held.nodes]
            kept = torch.zeros(forces.shape[1], dtype=torch.bool)
            every = range(len(kept))
            kept[[k for k in (every if held.channels is None else held.channels) if k in every]] = True
            if bool(kept.any()):
                out[_place(held.label)] = self._sum(torch.where(kept.to(forces.device), forces, 0.0))
        for factor, term in system.linear:
            if isinstance(term, Exchange) and _holds(term, self.body.dim):
                force = self._turned * factor * term.operator(self.state)[:, : self.body.dim]
                out[_place(term.what)] = self._sum(force)
        return out

    def _sum(self, forces: Tensor) -> list[float]:
        """Of forces [k, d], without what is rounding."""
        total = forces.sum(0)
        return torch.where(total.abs() > _ROUNDING * self._turned * self._size.sum(), total, 0.0).tolist()

    def imbalance(self) -> float:
        """Of loads and supports, as work on the motions without strain, by the size of the forces."""
        modes = self.body.rigid_modes().to(self.u)
        work = torch.einsum("nd,ndq->q", self.supports / self._turned + self._loads, modes)
        size = self._size @ modes.norm(dim=1)
        return float((work.abs() / size.clamp_min(1e-300)).max())

    def largest(self, values: Tensor) -> Peak:
        """Of values at the nodes [n]."""
        k = int(values.argmax())
        assert self.setup.space.pos is not None
        return Peak(float(values[k]), self.setup.space.pos[k].tolist())

    @property
    def names(self) -> tuple[str, ...]:
        """Of :meth:`arrays`."""
        return ("von_mises", *(f"stress_{a}{b}" for a, b in self._pairs()), "principal_stress", "reaction")

    def arrays(self) -> dict[str, Tensor]:
        """What other programs get beside the displacements, at the nodes: [n] and vectors [n, d]; the three principal
        stresses, rising, as one."""
        parts = {f"stress_{a}{b}": self.stress[:, _AXES.index(a), _AXES.index(b)] for a, b in self._pairs()}
        rising = principal(self.stress).values
        return {"von_mises": self.von_mises, **parts, "principal_stress": rising, "reaction": self.supports}

    @staticmethod
    def _pairs() -> list[tuple[str, str]]:
        return [(a, b) for i, a in enumerate(_AXES) for b in _AXES[i:]]


def _holds(exchange: Exchange, d: int) -> bool:
    """Whether it pulls at the displacements, and does not only take heat."""
    diagonal = exchange.operator.diagonal()
    return diagonal is None or diagonal.dim() == 1 or bool(diagonal[:, :d].any())


def _place(label: str) -> str:
    """The set in "Dirichlet on 'left'"."""
    return label.partition("'")[2].rpartition("'")[0]


def readable(size: float, unit: str) -> tuple[float, str]:
    """The factor and the unit in which a number of about this size is read best: 2.1e8 Pa are 210 MPa."""
    if unit not in ("Pa", "N", "m", "N/m"):
        return 1.0, unit
    steps = (1e-9, "G"), (1e-6, "M"), (1e-3, "k"), (1.0, ""), (1e3, "m"), (1e6, "µ"), (1e9, "n")
    for factor, prefix in steps:
        if size * factor >= 1.0 and not (unit == "m" and factor < 1):
            return factor, prefix + unit
    return 1.0, unit
