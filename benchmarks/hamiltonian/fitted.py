"""Fits to one batch: Adam for the way, quasi-Newton steps for the last digits."""

from __future__ import annotations

from typing import Any

from torch import nn

from graphpde.train import LBFGS, Adam, Cosine, fit


def fitted(model: nn.Module, objective: Any, batch: Any, *, adam: int, lbfgs: int, rate: float = 1e-2) -> float:
    """Fit a smooth model to one batch by so many steps of each rule; the loss in the end."""
    if adam:
        fit(model, objective, [batch], update=Adam(rate, schedule=Cosine(adam)), steps=adam)
    return float(fit(model, objective, [batch], update=LBFGS(), steps=lbfgs).rows[-1]["loss"])
