"""What particles store by where they are, each on its own."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphpde.errors import InputError, ShapeError
from graphpde.hamiltonian.particles import NodeEnergy
from graphpde.ops.pair import require_numbers


class Weight(NodeEnergy):
    """U = -m g . q: a uniform pull.

    Args:
        mass: of the particles [n], > 0; inf = held. acceleration: g [d], such as (0, -9.81).

    Raises:
        InputError: masses that are not > 0, an acceleration that is not finite. ShapeError: no [n] and [d].
    """

    def __init__(self, mass: Any, acceleration: Any):
        super().__init__()
        self.mass, self.acceleration = torch.as_tensor(mass), torch.as_tensor(acceleration)
        if self.mass.dim() != 1 or self.acceleration.dim() != 1:
            raise ShapeError(
                f"mass has shape {list(self.mass.shape)} and acceleration {list(self.acceleration.shape)}, expected "
                "[n] and [d]"
            )
        if not bool((self.mass > 0).all()):
            raise InputError(f"mass reaches {float(self.mass.min()):g}, expected numbers > 0, or inf for a held one")
        require_numbers(acceleration=self.acceleration)
        held = torch.isinf(self.mass)[:, None]
        self._force = torch.where(held, 0.0, self.mass[:, None].to(self.acceleration) * self.acceleration)

    def energy(self, q: Tensor) -> Tensor:
        return -(self._force.to(q) * q).sum(-1, keepdim=True)

    def pull(self, q: Tensor) -> Tensor:
        return -self._force.to(q).expand(q.shape)


class Pendulum(NodeEnergy):
    """U = strength (1 - cos q), q an angle; every component on its own. Strength: m g l, in energy."""

    def __init__(self, strength: float = 1.0):
        super().__init__()
        require_numbers(strength=strength)
        self.strength = strength

    def energy(self, q: Tensor) -> Tensor:
        return (self.strength * (1 - torch.cos(q))).sum(-1, keepdim=True)

    def pull(self, q: Tensor) -> Tensor:
        return self.strength * torch.sin(q)


class Quartic(NodeEnergy):
    """U = square q^2 / 2 + quartic q^4 / 4: harmonic wells, double wells (square < 0), lattice phi^4."""

    def __init__(self, square: float = 1.0, quartic: float = 1.0):
        super().__init__()
        require_numbers(square=square, quartic=quartic)
        self.square, self.quartic = square, quartic

    def energy(self, q: Tensor) -> Tensor:
        s = q * q
        return (s * (self.square / 2 + s * (self.quartic / 4))).sum(-1, keepdim=True)

    def pull(self, q: Tensor) -> Tensor:
        return q * (self.square + self.quartic * q * q)


class HenonHeiles(NodeEnergy):
    """U = (x^2 + y^2) / 2 + x^2 y - y^3 / 3 in the plane. Reference: Henon and Heiles 1964, eq. (11)."""

    def energy(self, q: Tensor) -> Tensor:
        x, y = q[..., :1], q[..., 1:]
        return 0.5 * (x * x + y * y) + y * (x * x - y * y / 3)

    def pull(self, q: Tensor) -> Tensor:
        x, y = q[..., :1], q[..., 1:]
        return torch.cat([x + 2 * x * y, y + x * x - y * y], -1)
