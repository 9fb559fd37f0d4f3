"""Neural ODEs as layers, plain and augmented.

Reference: Chen et al. 2018 (Neural ODEs); Dupont, Doucet and Teh 2019 (augmented neural ODEs), eq. (2).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from graphpde.checks import positive, whole
from graphpde.dynamics.checkpointed import Checkpoints
from graphpde.dynamics.control import Adaptive
from graphpde.dynamics.density import Velocity
from graphpde.dynamics.evolve import evolve
from graphpde.dynamics.stepper import Stepper
from graphpde.errors import InputError
from graphpde.flow.flow import Carried


class NeuralOde(nn.Module):
    """x -> x(T) where x' = v(t, x): one layer, as deep as its stepper finds it has to be.

    The way of a sample cannot cross that of another, so that a plain layer in one dimension keeps their order and no
    plain layer unties rings. With ``extra`` channels that begin at 0 ways pass beside each other.

    Args:
        velocity: a module (t, x [*, n, c + extra]) -> [*, n, c + extra]; t is 0-d, in the type of x.
        extra: channels of 0 that are appended; they are part of the result. time: T.
        stepper: with ``dt`` equal steps, else with ``control``. control: default: tolerances of 1e-4.
        grad: how gradients go through the steps, as in :func:`~graphpde.dynamics.evolve`.

    Attributes:
        statistics: of the last evaluation: accepted and rejected steps, evaluations of v.

    Raises:
        InputError: numbers out of range, dt and control.
    """

    def __init__(
        self,
        velocity: Velocity,
        *,
        extra: int = 0,
        time: float = 1.0,
        stepper: Stepper | str = "dopri5",
        dt: float | None = None,
        control: Adaptive | None = None,
        grad: str | Checkpoints = "auto",
    ):
        super().__init__()
        positive("time", time)
        if dt is not None and control is not None:
            raise InputError("got dt and control, expected one of them")
        control = control or (Adaptive(rtol=1e-4, atol=1e-4) if dt is None else None)
        self.velocity, self.extra, self.time = velocity, whole("extra", extra, 0), time
        self.how: dict[str, Any] = {"stepper": stepper, "dt": dt, "control": control, "grad": grad}
        self.statistics: Mapping[str, float] = {}

    def forward(self, x: Tensor) -> Tensor:
        """x(T) [*, n, c + extra] of x [*, n, c], gradients included."""
        if self.extra:
            x = torch.cat([x, x.new_zeros(*x.shape[:-1], self.extra)], -1)
        run = evolve(Carried(self.velocity), x, (0.0, self.time), **self.how)
        self.statistics = run.statistics
        return run.final
