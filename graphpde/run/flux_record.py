"""Flows through the boundary over a run: their values after every step, and what has crossed since the start."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from graphpde.run.fluxes import Balance, BoundaryFluxes, Forces

AMOUNT = "amount"
_THETA = {"backward_euler": 1.0, "crank_nicolson": 0.5}  # steppers whose step is a mean of F at its two ends


class FluxRecord:
    """One row of numbers a step, and the certificates of the balance.

    Flows are those of the moment. Amounts are their integrals over time: exactly what the method let through for
    backward Euler and Crank-Nicolson, by the trapezoidal rule for other steppers.

    Args:
        fluxes: what is measured. fields: names of the channels. stepper: of the run; None for a steady state.
        content: of a state [n, c] -> [c], where the mass of the problem does not say it: a steady state solves without
            the capacity that its content counts.

    Attributes:
        worst: largest defect of the balance so far, relative to the size of its terms.
        exact: whether the amounts are those of the method.
    """

    def __init__(
        self,
        fluxes: BoundaryFluxes,
        fields: Sequence[str],
        stepper: object | None,
        content: Callable[[Tensor], Tensor] | None = None,
    ):
        self.fluxes, self.fields = fluxes, tuple(fields)
        self.steady = stepper is None
        self._measure = content or fluxes.content
        self.theta = _THETA.get(getattr(stepper, "name", ""))
        self.exact = self.theta is not None
        self.worst = 0.0
        self._amounts = torch.zeros(len(fluxes.names) + 3, len(self.fields), dtype=torch.float64)
        self._start: Tensor | None = None
        self._last: tuple[float, Tensor, Forces, Balance] | None = None
        self._content = torch.zeros(len(self.fields), dtype=torch.float64)
        self._largest = torch.zeros(len(self.fields), dtype=torch.float64)  # of the contents with all signs positive

    @property
    def columns(self) -> list[str]:
        """Names of the numbers of a row, the time first."""
        flows = [*self.fluxes.names, "elsewhere", "total", "sources"]
        out = [f"{name}.{field}" for name in [*flows, "storage", "content"] for field in self.fields]
        if not self.steady:
            out += [f"{name}.{field}.{AMOUNT}" for name in flows for field in self.fields]
        return ["t", *out]

    def row(self, t: float, u: Tensor, dt: float | None = None) -> list[float]:
        """The numbers of the state u [n, c] at time t, a step dt after the last; None = the difference of the times."""
        self._take(t, u, dt)
        assert self._last is not None
        balance = self._last[3]
        flows = _flows(balance)
        parts = [flows, balance.storage.double()[None], self._content[None].to(flows.device)]
        if not self.steady:
            parts.append(self._amounts.to(flows.device))
        return [t, *torch.cat([part.cpu() for part in parts]).reshape(-1).tolist()]

    def _take(self, t: float, u: Tensor, dt: float | None = None) -> None:
        """Measure a state and add what has crossed since the last one."""
        fluxes = self.fluxes
        forces = fluxes.forces(t, u)
        balance = fluxes.balance(t, u, forces, torch.zeros_like(u) if self.steady else None)
        self._content = self._measure(u).double().cpu()
        self._largest = torch.maximum(self._largest, self._measure(u.abs()).double().cpu())
        if self._last is not None:
            before = self._last
            dt = t - before[0] if dt is None else dt
            if self.theta is not None:
                mean = fluxes.step_balance(dt, (before[1], u), (before[2], forces), self.theta)
                self._judge(mean)
                flows = _flows(mean)
            else:
                flows = (_flows(before[3]) + _flows(balance)) / 2
            self._amounts = self._amounts + dt * flows.cpu()
        if self._start is None:
            self._start = self._content
        self._judge(balance)
        self._last = (t, u, forces, balance)

    def go_on(self, columns: Sequence[str], rows: np.ndarray, t: float, u: Tensor) -> None:
        """Take up amounts and content from the rows [k, columns] of a run that was stopped in the state u at time t."""
        self._take(t, u)
        if list(columns) != self.columns or not len(rows):
            return
        c = len(self.fields)
        first = self.columns.index(f"content.{self.fields[0]}")
        self._start = torch.from_numpy(rows[0, first : first + c].copy())
        self._amounts = torch.from_numpy(rows[-1, first + c :].copy()).reshape(-1, c)

    def drift(self) -> float:
        """How far the change of the content is from the amounts that came in, relative to the largest of them."""
        assert self._start is not None
        came = self._amounts[-2] + self._amounts[-1]
        size = torch.maximum(self._amounts.abs().amax(0), self._largest)
        gap = (self._content - self._start - came).abs()
        return float(torch.where(gap > 0, gap / size, gap).max())

    def _judge(self, balance: Balance) -> None:
        self.worst = max(self.worst, float(balance.error.max()))


def _flows(balance: Balance) -> Tensor:
    """Flows through the sets, elsewhere, in total, and sources [r + 3, c]."""
    rest = torch.stack([balance.elsewhere, balance.total, balance.sources])
    return torch.cat([balance.through, rest]).double()
