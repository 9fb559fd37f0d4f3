"""Which patterns grow out of a homogeneous state: the linear analysis of Turing."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class Mode(NamedTuple):
    """A mode exp(rate t) cos(k x).

    Attributes:
        k2: wave number squared, in 1/length^2 (an eigenvalue of minus the Laplacian). rate: its growth rate, in 1/time.
    """

    k2: float
    rate: float

    @property
    def wavelength(self) -> float:
        """2 pi / k; infinite for the homogeneous mode."""
        return 2 * math.pi / math.sqrt(self.k2) if self.k2 > 0 else math.inf


def jacobian(f: Callable[[Tensor], Tensor], state: Sequence[float]) -> Tensor:
    """df/du [c, c] at a homogeneous state (c numbers)."""
    u = torch.tensor([list(state)], dtype=torch.float64, requires_grad=True)
    with torch.enable_grad():
        rows = [torch.autograd.grad(s, u, retain_graph=True)[0][0] for s in f(u).sum(0)]
    return torch.stack(rows)


def growth_rate(
    f: Callable[[Tensor], Tensor], state: Sequence[float], kappa: Sequence[float], k2: Tensor | float
) -> Tensor:
    """Largest real part of the eigenvalues of df/du - k^2 diag(kappa), for wave numbers squared k2 [*] -> [*].

    Args:
        f: reaction [n, c] -> [n, c]. state: c numbers with zero rate. kappa: c diffusivities, in length^2/time.

    Reference: Turing 1952, Phil. Trans. R. Soc. B 237.
    """
    waves = torch.as_tensor(k2, dtype=torch.float64)
    spread = torch.diag(torch.tensor(list(kappa), dtype=torch.float64))
    return torch.linalg.eigvals(jacobian(f, state) - waves[..., None, None] * spread).real.amax(-1)


def fastest_mode(f: Callable[[Tensor], Tensor], state: Sequence[float], kappa: Sequence[float]) -> Mode:
    """The mode that grows fastest out of a homogeneous state; k2 = 0 where the homogeneous one does.

    Found on a fine grid of wave numbers, then between its neighbours, to about 1e-6 of k2.
    """
    speed = float(jacobian(f, state).abs().sum(1).max())
    top = speed / min((k for k in kappa if k > 0), default=1.0)  # beyond that diffusion beats every reaction
    low, high = 0.0, top
    grid = torch.cat([torch.zeros(1, dtype=torch.float64), top * torch.logspace(-6, 0, 2001, dtype=torch.float64)])
    for _ in range(4):
        rates = growth_rate(f, state, kappa, grid)
        best = int(rates.argmax())
        low, high = float(grid[max(best - 1, 0)]), float(grid[min(best + 1, len(grid) - 1)])
        found = Mode(float(grid[best]), float(rates[best]))
        grid = torch.linspace(low, high, 201, dtype=torch.float64)
    return found
