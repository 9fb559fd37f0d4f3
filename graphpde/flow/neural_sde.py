r"""Neural SDEs: drift and diffusion learned from steps that were observed.

Over a short time h the law of u_{k+1} is close to the normal one of an Euler-Maruyama step,

    u_{k+1} ~ N(u_k + f(t_k, u_k) h, g(t_k, u_k)^2 h)

and its likelihood needs no path to be drawn. What is found belongs to steps of this length: drift and diffusion are off
by terms of the first order in h.

Reference: Florens-Zmirou 1989, Statistics 20 (the Euler contrast); Li et al. 2020 (neural SDEs by gradients of paths).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from graphpde.checks import positive
from graphpde.errors import InputError, ShapeError
from graphpde.ops.noise import SDE, Additive, Diagonal
from graphpde.ops.system import System


class PositiveFactor(nn.Module):
    """softplus of a network: a factor g(t, u) > 0 for :class:`~graphpde.ops.Diagonal`.

    Args:
        network: (t, u [*, n, c]) -> [*, n, c], such as ``PointVelocity(c)``; entries that see only their own entry of
            the state are up to it.
        least: added, so that a likelihood stays finite.
    """

    def __init__(self, network: nn.Module, least: float = 1e-4):
        super().__init__()
        positive("least", least)
        self.network, self.least = network, least

    def forward(self, t: Tensor, u: Tensor) -> Tensor:
        return nn.functional.softplus(self.network(t, u)) + self.least


class Transitions:
    """The objective of neural SDEs: the mean negative log-likelihood of observed steps, in nats for each entry.

    Batches are pairs (u_k, u_{k+1}), [*, n, c] both, or triples with the times t_k, 0-d or [*, n, 1].

    Args:
        dt: the time between them.

    Raises:
        InputError: dt not above 0.
    """

    def __init__(self, dt: float):
        positive("dt", dt)
        self.dt = dt

    def __call__(self, model: SDE, batch: Sequence[Tensor], rng: torch.Generator | None = None) -> dict[str, Tensor]:
        """{"nll": loss}; ``model`` is an SDE in the calculus of Ito with additive or diagonal noise.

        Raises:
            InputError: another model. ShapeError: states that do not fit each other.
        """
        if not isinstance(model, SDE) or not isinstance(model.noise, Additive | Diagonal) or model.calculus != "ito":
            raise InputError(
                f"the model is a {type(model).__name__}, expected an SDE in the calculus 'ito' with additive or "
                f"diagonal noise, such as SDE(drift, Diagonal(PositiveFactor(network)))"
            )
        u, after = batch[0], batch[1]
        if u.shape != after.shape:
            raise ShapeError(f"a step leads from {list(u.shape)} to {list(after.shape)}, expected equal shapes")
        t = batch[2] if len(batch) > 2 else u.new_zeros(())
        drift = System(model, None, t).rate(t, u)
        g = torch.as_tensor(model.noise.at(t, u), dtype=u.dtype, device=u.device)
        off = (after - u - self.dt * drift) / (g * math.sqrt(self.dt))
        each = 0.5 * off.square() + g.abs().log() + 0.5 * math.log(2 * math.pi * self.dt)
        return {"nll": each.mean()}
