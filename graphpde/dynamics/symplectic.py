"""Steppers that keep the geometry of positions and velocities."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphpde.dynamics.state import leaves
from graphpde.dynamics.stepper import STEPPERS, Carry, Step
from graphpde.errors import InputError
from graphpde.ops.system import System
from graphpde.typing import Scalar, State


@STEPPERS.add("leapfrog")
class Leapfrog:
    """Stormer-Verlet, half a kick, a drift, half a kick: order 2, symplectic, stable to dt = 2 / largest frequency.

    For q' = v, v' = a(t, q), the state [*, n, 2 c] with the c positions first, or a pair (q, v). The energy
    oscillates and does not drift. A damped wave is no such system and is refused.

    Reference: Verlet 1967; Hairer, Lubich and Wanner 2003, Acta Numerica 12, eq. (1.5).
    """

    name, order, implicit, symplectic, stiff, accepts = "leapfrog", 2.0, False, "yes", "none", "separable"
    error_power: float | None = None

    def init(self, f: System, t: Tensor, u: State) -> Carry:
        if isinstance(u, Tensor) and u.shape[-1] % 2:
            raise InputError(f"leapfrog splits positions and velocities, got {u.shape[-1]} channels: an odd number")
        if not isinstance(u, Tensor) and len(leaves(u)) != 2:
            raise InputError(f"leapfrog splits a pair (q, v), got {len(leaves(u))} tensors")
        self._refuse_coupled(f, t, u)
        return None

    def step(self, f: System, t: Tensor, dt: Scalar, u: State, carry: Carry) -> Step:
        q, v = _halves(u)
        rate = f.rate(t, u) if carry is None else carry
        half = v + 0.5 * dt * _halves(rate)[1]
        moved = q + dt * half
        new = f.reset(t + dt, _joined(u, moved, half))
        moved = _halves(new)[0]
        ahead = f.rate(t + dt, new)
        new = f.reset(t + dt, _joined(u, moved, half + 0.5 * dt * _halves(ahead)[1]))
        return Step(new, None, ahead, {"evaluations": 1 + (carry is None)})

    def _refuse_coupled(self, f: System, t: Tensor, u: State) -> None:
        """Refuse forces that depend on velocities, and positions that move by anything else."""
        q, v = _halves(u)
        with torch.no_grad():
            probe = torch.cos(1.0 + torch.arange(v.numel(), device=v.device)).reshape(v.shape).to(v)
            one, two = (_halves(f.rate(t, f.reset(t, _joined(u, q, w)))) for w in (probe, 2 * probe))
            free = slice(None) if f.fixed is None else ~f.fixed.whole
            velocity = probe[..., free, :]
            force = (one[1] - two[1])[..., free, :].abs().max() if velocity.numel() else torch.zeros(())
            drift = (one[0][..., free, :] - velocity).abs().max() if velocity.numel() else torch.zeros(())
            scale = torch.finfo(v.dtype).eps ** 0.5
            wrong = float(force) > scale * float(one[1].abs().max() + 1) or float(drift) > scale
        if wrong:
            raise InputError(
                f"leapfrog needs q' = v, v' = a(q), but in {f.label} the velocities act on themselves (damping?) or "
                f"positions move otherwise; use crank_nicolson"
            )

    def real_extent(self) -> float:
        """Of M^-1 K, which leapfrog sees as squared frequencies times dt: no bound by itself."""
        return float("inf")

    def longest_step(self, f: System) -> float | None:
        """2 / largest frequency of the terms that know theirs, such as ``Wave``."""
        bounds = []
        for factor, term in f.linear:
            own: Any = getattr(term, "frequency_bound", None)
            bound = None if own is None else own()
            if bound is not None:
                bounds.append(abs(float(factor)) * bound)
        return 2 / sum(bounds) if bounds else None


def _halves(u: Any) -> tuple[Tensor, Tensor]:
    if isinstance(u, Tensor):
        c = u.shape[-1] // 2
        return u[..., :c], u[..., c:]
    q, v = leaves(u)
    return q, v


def _joined(like: Any, q: Tensor, v: Tensor) -> Any:
    if isinstance(like, Tensor):
        return torch.cat([q, v], -1)
    return type(like)(q, v) if hasattr(like, "_fields") else (q, v)
