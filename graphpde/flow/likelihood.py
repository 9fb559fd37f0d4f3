"""Maximum likelihood of a continuous flow, with the costs that keep its paths simple.

Reference: Grathwohl et al. 2019, eq. (8); Finlay et al. 2020 (how to train your neural ODE), eq. (13).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from graphpde.checks import number, whole
from graphpde.dynamics.density import Hutchinson
from graphpde.flow.flow import Flow


class Likelihood:
    """The objective -E log p(x) + kinetic E int |v|^2 + jacobian E int |dv/dx|^2, per sample.

    Args:
        flow: model -> :class:`Flow`, for example ``lambda model: Flow(model, dt=0.1, stepper="rk4")``.
        probes: of Hutchinson's estimate, drawn anew for each batch; 0 = the exact divergence, one reverse pass for each
            coordinate. kinetic, jacobian: weights of the costs.

    Raises:
        InputError: weights or probes out of range.
    """

    def __init__(
        self, flow: Callable[[Any], Flow] = Flow, *, probes: int = 0, kinetic: float = 0.0, jacobian: float = 0.0
    ):
        self.flow, self.probes = flow, whole("probes", probes, 0)
        number("kinetic", kinetic)
        number("jacobian", jacobian)
        self.kinetic, self.jacobian = kinetic, jacobian

    def __call__(self, model: Any, batch: Tensor, rng: torch.Generator | None = None) -> Mapping[str, Tensor]:
        """{"nll": ..., "kinetic": ..., "jacobian": ...}, the last two where they weigh something."""
        divergence = None
        if self.probes:
            rng = rng or torch.default_generator
            divergence = Hutchinson.draw(batch, self.probes, rng=rng)
        costs = bool(self.kinetic or self.jacobian)
        start, logp = self.flow(model).traced(batch, divergence, costs=costs)
        terms = {"nll": -logp.mean()}
        if costs:
            terms |= {"kinetic": self.kinetic * start.kinetic.mean(), "jacobian": self.jacobian * start.jacobian.mean()}
        return terms
