"""Units in which a motion is of size one, so that networks and steps see numbers they are made for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from graphpde.errors import DatasetError
from graphpde.ops.separable import halves


@dataclass(frozen=True)
class Units:
    """q = centre + place Q, p = momentum P, t = time T, energy = momentum place / time: a Hamiltonian system stays one.

    Attributes:
        centre: of positions [d]. place, momentum, time: > 0, in the units of the data.
    """

    centre: tuple[float, ...]
    place: float
    momentum: float
    time: float

    @classmethod
    def of(cls, runs: Sequence[Tensor], h: float, *, angles: bool = False) -> Units:
        """From states [s, n, 2 d] every ``h`` of time, NaN where nothing was seen; ``angles`` are left as they are.

        Raises:
            DatasetError: nothing moves.
        """
        q, p = halves(torch.cat([run.flatten(0, 1) for run in runs])[None])
        rates = torch.cat([halves(run.diff(dim=0) / h)[0].flatten(0, 1) for run in runs])
        place, momentum, rate = (_deviation(x) for x in (q[0], p[0], rates))
        if not (place > 0 and momentum > 0 and rate > 0):
            what = "positions" if not place > 0 or not rate > 0 else "momenta"
            raise DatasetError(f"the {what} of the data are the same at all times; there is no motion to learn from")
        if angles:  # velocities are rates of angles in the same unit
            return cls((0.0,) * q.shape[-1], 1.0, rate, 1 / rate)
        return cls(tuple(q[0].nanmean(0).tolist()), place, momentum, place / rate)

    @property
    def energy(self) -> float:
        """One unit of energy, in those of the data: momentum by place by time."""
        return self.momentum * self.place / self.time

    @property
    def mass(self) -> float:
        """One unit of mass."""
        return self.momentum * self.time / self.place

    def encode(self, u: Tensor) -> Tensor:
        """States [*, n, 2 d] of the data in these units."""
        q, p = halves(u)
        return torch.cat([(q - q.new_tensor(self.centre)) / self.place, p / self.momentum], -1)

    def decode(self, u: Tensor) -> Tensor:
        """And back."""
        q, p = halves(u)
        return torch.cat([q * self.place + q.new_tensor(self.centre), p * self.momentum], -1)

    def as_dict(self) -> dict[str, Any]:
        """Plain values that :meth:`from_dict` reads."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Units:
        """From plain values."""
        return cls(tuple(values["centre"]), *(float(values[name]) for name in ("place", "momentum", "time")))


def _deviation(x: Tensor) -> float:
    """Root mean square distance from the mean [k, d], without what was not seen; 0 of nothing."""
    seen = x[~x.isnan().any(-1)]
    return float((seen - seen.mean(0)).square().mean().sqrt()) if len(seen) else 0.0
