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
            Where k2 is infinite no mode is the fastest: rates rise towards this one as waves become shorter.
    """

    k2: float
    rate: float

    @property
    def wavelength(self) -> float:
        """2 pi / k; infinite for the homogeneous mode, 0 in the limit of short waves."""
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
    return leading(jacobian(f, state), kappa, k2).real


def leading(j: Tensor, kappa: Sequence[float], k2: Tensor | float) -> Tensor:
    """The eigenvalue of j - k^2 diag(kappa) with the largest real part, complex [*]; of a pair the one with Im >= 0.

    At k2 = infinity only the species that do not diffuse are left: it is an eigenvalue of their block of j.
    """
    waves, spread = torch.as_tensor(k2, dtype=torch.float64), torch.tensor(list(kappa), dtype=torch.float64)
    if waves.dim() == 0 and math.isinf(waves):
        still = spread == 0
        each = torch.linalg.eigvals(j[still][:, still])
    else:
        each = torch.linalg.eigvals(j - waves[..., None, None] * torch.diag(spread))
    chosen = each.gather(-1, each.real.argmax(-1, keepdim=True))[..., 0]
    return torch.complex(chosen.real, chosen.imag.abs())


def fastest_mode(f: Callable[[Tensor], Tensor], state: Sequence[float], kappa: Sequence[float]) -> Mode:
    """The mode that grows fastest out of a homogeneous state; k2 = 0 where the homogeneous one does.

    Found on a fine grid of wave numbers, then between its neighbours, to about 1e-6 of k2. Where a species does not
    diffuse the rates of short waves have a limit; if no mode exceeds it, k2 is infinite and the rate is that limit.
    """
    j = jacobian(f, state)
    speed = float(j.abs().sum(1).max())
    moving = [k for k in kappa if k > 0] or [1.0]
    low, top = 1e-6 * speed / max(moving), speed / min(moving)  # beyond that diffusion beats every reaction,
    if not all(kappa):
        top *= 1e3  # or the rate is its limit but for a thousandth
    span = torch.logspace(0, math.log10(top / low), 2001, dtype=torch.float64) if speed > 0 else torch.ones(1)
    grid = torch.cat([torch.zeros(1, dtype=torch.float64), low * span])
    for _ in range(4):
        rates = leading(j, kappa, grid).real
        best = int(rates.argmax())
        found = Mode(float(grid[best]), float(rates[best]))
        ends = float(grid[max(best - 1, 0)]), float(grid[min(best + 1, len(grid) - 1)])
        grid = torch.linspace(*ends, 201, dtype=torch.float64)
    if not all(kappa):
        limit, rounding = float(leading(j, kappa, math.inf).real), 1e-15 * top * max(moving)
        if limit > float(leading(j, kappa, 0.0).real) + rounding and limit > found.rate - rounding:
            return Mode(math.inf, limit)
    return found
