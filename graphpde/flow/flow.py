r"""A continuous flow: samples of a base law are carried from t = 0 to t = 1 by x' = v(t, x), and so is their density.

Reference: Chen et al. 2018 (Neural ODEs), section 4; Grathwohl et al. 2019 (FFJORD).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from graphpde.checks import whole
from graphpde.dynamics.checkpointed import Checkpoints
from graphpde.dynamics.control import Adaptive
from graphpde.dynamics.density import SAMPLES, Divergence, KnowsDivergence, Velocity, WithLogDensity
from graphpde.dynamics.evolve import evolve
from graphpde.dynamics.stepper import Stepper
from graphpde.dynamics.trajectory import Trajectory
from graphpde.errors import InputError
from graphpde.ops.laws import Law, Normal


class Carried(nn.Module):
    """v(t, x) with times in the type of x, as networks that join both expect."""

    def __init__(self, velocity: Velocity):
        super().__init__()
        self.velocity = velocity

    def forward(self, t: Tensor, x: Tensor) -> Tensor:
        return self.velocity(_time(t, x), x)

    def tensors(self) -> tuple[Tensor, ...]:
        """What the velocity says that it reads, or its parameters."""
        own = getattr(self.velocity, "tensors", self.parameters)
        return tuple(own())


class Backward(Carried):
    """-v(1 - t, x): from the data to the base."""

    def forward(self, t: Tensor, x: Tensor) -> Tensor:
        return -self.velocity(_time(1 - t, x), x)


class _BackwardKnown(Backward):
    """The same with its divergence."""

    def with_divergence(self, t: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        v, divergence = self.velocity.with_divergence(_time(1 - t, x), x)  # type: ignore[attr-defined]
        return -v, -divergence


def _time(t: Tensor, x: Tensor) -> Tensor:
    return torch.as_tensor(t).to(x)


def backward(velocity: Velocity) -> Backward:
    """The flow the other way, with a formula for its divergence where there is one."""
    return _BackwardKnown(velocity) if isinstance(velocity, KnowsDivergence) else Backward(velocity)


class Flow:
    """A velocity with the base law it starts from and the way it is integrated.

    Args:
        velocity: (t, x) -> v [*, n, c], t in the type of x, 0-d or one for each sample. base: law at t = 0.
        sample: "node": every node is a sample; "state": each [n, c] is one.
        stepper: explicit; with ``dt`` equal steps, else with ``control``. control: default: tolerances of 1e-5.
        grad: how gradients go through the steps, as in :func:`~graphpde.dynamics.evolve`.

    Attributes:
        kind: what was given as ``sample``, which is here the name of a method.

    Raises:
        InputError: an unknown kind of sample, dt and control.
    """

    def __init__(
        self,
        velocity: Velocity,
        base: Law | None = None,
        *,
        sample: str = "node",
        stepper: Stepper | str = "dopri5",
        dt: float | None = None,
        control: Adaptive | None = None,
        grad: str | Checkpoints = "auto",
    ):
        if sample not in SAMPLES:
            raise InputError(f"sample='{sample}', expected one of: {', '.join(SAMPLES)}")
        if dt is not None and control is not None:
            raise InputError("got dt and control, expected one of them")
        self.velocity, self.base, self.kind = velocity, base or Normal(), sample
        control = control or (Adaptive(rtol=1e-5, atol=1e-5) if dt is None else None)
        self.how: dict[str, Any] = {"stepper": stepper, "dt": dt, "control": control, "grad": grad}

    def push(self, x0: Tensor, times: Any = (0.0, 1.0)) -> Trajectory:
        """The way of samples of the base, from t = 0."""
        return evolve(Carried(self.velocity), x0, times, **self.how)

    def pull(self, x1: Tensor) -> Tensor:
        """Where samples of the data come from."""
        return evolve(backward(self.velocity), x1, (0.0, 1.0), **self.how).final

    def sample(self, like: Tensor | Sequence[int], rng: torch.Generator | None = None) -> Tensor:
        """New samples, in the shape and type of ``like`` [*, n, c], or of a shape such as (7, 2).

        Raises:
            InputError: neither a tensor nor a shape.
        """
        if not isinstance(like, Tensor):
            if isinstance(like, str) or not isinstance(like, Sequence):
                raise InputError(f"got {like!r} to sample like, expected a tensor [n, c] or a shape such as (1000, 2)")
            like = torch.zeros([whole("shape", k) for k in like])
        with torch.no_grad():
            return self.push(self.base.draw(like, rng)).final

    def log_density(self, x: Tensor, divergence: Divergence | None = None) -> Tensor:
        """log p(x) of each sample in nats, [*, n, 1] or [*, 1, 1], gradients included.

        Args:
            divergence: how it is found; None = exactly, or by the velocity's own formula.
        """
        return self.traced(x, divergence)[1]

    def traced(self, x: Tensor, divergence: Divergence | None = None, *, costs: bool = False) -> tuple[Any, Tensor]:
        """The state at t = 0 with all that was integrated on the way back, and log p(x)."""
        term = WithLogDensity(backward(self.velocity), divergence, sample=self.kind, costs=costs)
        start = evolve(term, term.start(x), (0.0, 1.0), **self.how).final
        # along the way back the log-density changes by -div(-v) = div v; what is asked for is the change forwards
        return start, self.base.log_density(start.x, SAMPLES[self.kind]) - start.log_density
