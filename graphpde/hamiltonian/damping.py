"""Friction between the ends of edges: what one loses of its momentum the other gains."""

from __future__ import annotations

import torch
from torch import Tensor

from graphpde.core.incidence import Incidence
from graphpde.errors import InputError, ShapeError
from graphpde.ops.separable import halves
from graphpde.ops.term import Term


class EdgeFriction(Term):
    """p' = -L_c v with v = p / m and the graph Laplacian L_c of the strengths: the dissipation of a port-Hamiltonian.

    The total momentum stays; the energy falls by sum_e c_e |v_j - v_i|^2 a unit of time. To be added to ``Particles``
    and evolved by steppers of any system.

    Args:
        edges: who rubs on whom. strength: c >= 0 in mass/time, a number or one for each edge [e]. mass: of the nodes
            [n], as of the particles.

    Raises:
        InputError: a strength that is negative or not finite. ShapeError: sizes that do not fit.
    """

    def __init__(self, edges: Incidence, strength: float | Tensor, mass: Tensor):
        super().__init__()
        given = torch.as_tensor(strength)
        if given.dim() > 1 or (given.dim() == 1 and len(given) != edges.n_edges):
            raise ShapeError(f"strength has shape {list(given.shape)}, expected a number or [{edges.n_edges}]")
        if not bool((given.detach() >= 0).all()) or not bool(torch.isfinite(given.detach()).all()):
            raise InputError(f"strength reaches {float(given.detach().min()):g}, expected finite numbers >= 0")
        if mass.shape != (edges.n,):
            raise ShapeError(f"mass has shape {list(mass.shape)}, expected [{edges.n}]")
        self.edges, self.strength, self.masses = edges, strength, mass

    def forward(self, t: Tensor, u: Tensor) -> Tensor:
        p = halves(u)[1]
        relative = self.edges.difference(p / self.masses.to(p)[:, None])
        strength = self.strength
        if isinstance(strength, Tensor) and strength.dim():
            strength = strength.to(p)[:, None]
        return torch.cat([torch.zeros_like(p), self.edges.divergence(-strength * relative)], -1)

    def tensors(self) -> tuple[Tensor, ...]:
        return tuple(x for x in (self.strength,) if isinstance(x, Tensor))
