"""What is read off the displacements of a body: stresses at the nodes, forces of its supports, what must balance."""

from __future__ import annotations

import math
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from graphpde.config import Setup
from graphpde.ops.boundary import Exchange
from graphpde.ops.elasticity import Elasticity, at_nodes, principal, reactions, von_mises

_AXES = "xyz"


class Peak(NamedTuple):
    """The largest of some values at nodes: how large, and where [d]."""

    value: float
    place: list[float]


class StressReading:
    """A state of a body at rest, read.

    Args:
        setup: of an elasticity problem. u: displacements [n, d].
    """

    def __init__(self, setup: Setup, u: Tensor):
        self.setup, self.u = setup, u
        self.body = next(term for _, term in setup.system.linear if isinstance(term, Elasticity))

    @cached_property
    def stress(self) -> Tensor:
        """At the nodes [n, 3, 3]."""
        with torch.no_grad():
            return at_nodes(self.body, self.body.stress(self.u))

    @cached_property
    def von_mises(self) -> Tensor:
        """At the nodes [n]."""
        return von_mises(self.stress)

    @cached_property
    def supports(self) -> Tensor:
        """Forces of the supports at the nodes [n, d]; about an axis those of whole rings."""
        with torch.no_grad():
            return self._turned * reactions(self.setup.term, self.u)

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
            kept[list(range(len(kept)) if held.channels is None else held.channels)] = True
            out[_place(held.label)] = torch.where(kept.to(forces.device), forces, 0.0).sum(0).tolist()
        for factor, term in system.linear:
            if isinstance(term, Exchange):
                out[_place(term.what)] = (self._turned * factor * term.operator(self.u)).sum(0).tolist()
        return out

    def imbalance(self) -> float:
        """Of loads and supports, as work on the motions without strain, by the sum of the moduli of the parts."""
        zero = torch.zeros((), dtype=torch.float64, device=self.u.device)
        with torch.no_grad():
            load = self.setup.system.load(zero, self.u)
        forces = self.supports / self._turned
        parts = [forces] if load is None else [forces, load]
        modes = self.body.rigid_modes().to(forces)
        work = sum(torch.einsum("nd,ndq->q", f, modes) for f in parts)
        size = sum(torch.einsum("nd,ndq->q", f.abs(), modes.abs()) for f in parts)
        assert isinstance(work, Tensor) and isinstance(size, Tensor)
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
