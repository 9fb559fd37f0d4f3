r"""Flow matching: a velocity is trained towards the velocities of paths, E \|v(t, x_t) - dx_t/dt\|^2.

Its minimum is the velocity of a flow that carries the base law to that of the data: the mean of the velocities of all
paths that pass through a point.

Reference: Lipman et al. 2023, eq. (9); Liu, Gong and Liu 2023, eq. (1); Tong et al. 2024, eq. (10).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from graphpde.core.graph import Graph
from graphpde.dynamics.density import SAMPLES
from graphpde.errors import InputError
from graphpde.flow.coupling import Coupling, IndependentCoupling
from graphpde.flow.path import LinearPath, Path
from graphpde.ops.laws import Law, Normal


class FlowMatching:
    """The objective of flow matching.

    Args:
        path, coupling: see there. base: what x_0 is drawn from, unless batches are pairs (x_0, x_1).
        sample: "node": every node is a sample, with a time of its own; "state": each [n, c] is one.
        graph: where a model of graphs is evaluated: ``model.on(graph)``; None calls ``model(t, x)``.
        loss: of (found, wanted); default: the mean square.

    Raises:
        InputError: an unknown kind of sample.
    """

    def __init__(
        self,
        path: Path | None = None,
        coupling: Coupling | None = None,
        *,
        base: Law | None = None,
        sample: str = "node",
        graph: Graph | None = None,
        loss: Callable[[Tensor, Tensor], Tensor] | None = None,
    ):
        if sample not in SAMPLES:
            raise InputError(f"sample='{sample}', expected one of: {', '.join(SAMPLES)}")
        self.path, self.coupling = path or LinearPath(), coupling or IndependentCoupling()
        self.base, self.dims, self.graph = base or Normal(), SAMPLES[sample], graph
        self.loss = loss or nn.functional.mse_loss

    def __call__(self, model: Any, batch: Any, rng: torch.Generator | None = None) -> dict[str, Tensor]:
        """{"velocity": loss} of a batch x_1 [*, n, c], also [x_1] as data loaders give it, or of a pair (x_0, x_1).

        Raises:
            InputError: a batch of another form.
        """
        x0, x1 = self.coupling(*self._pair(batch, rng), rng)
        shape = (*x1.shape[: x1.dim() - self.dims], *[1] * self.dims)
        t = torch.rand(shape, generator=rng, dtype=x1.dtype, device=x1.device)
        on = self.path(x0, x1, t, rng)
        velocity = model if self.graph is None else model.on(self.graph)
        return {"velocity": self.loss(velocity(t, on.x), on.velocity)}

    def _pair(self, batch: Any, rng: torch.Generator | None) -> tuple[Tensor, Tensor]:
        parts = tuple(batch) if isinstance(batch, tuple | list) else (batch,)
        if len(parts) not in (1, 2) or not all(isinstance(part, Tensor) for part in parts):
            kinds = ", ".join(type(part).__name__ for part in parts)
            raise InputError(
                f"the batch is {len(parts)} parts ({kinds}), expected x_1, [x_1] or a pair (x_0, x_1) of tensors"
            )
        return parts if len(parts) == 2 else (self.base.draw(parts[0], rng), parts[0])
