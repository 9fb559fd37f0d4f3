"""Arithmetic on columns [n, k] that are systems of their own."""

from __future__ import annotations

import torch
from torch import Tensor


def dots(a: Tensor, b: Tensor) -> Tensor:
    """<a, b> of each column [k] of a and b [n, k]."""
    if a.shape[1] == 1:  # one pass without a product in memory
        return torch.dot(a.reshape(-1), b.reshape(-1)).reshape(1)
    return (a * b).sum(0)


def lengths(x: Tensor) -> Tensor:
    """||x|| of each column [k]."""
    return dots(x, x).sqrt()


def begun(b: Tensor, x0: Tensor | None) -> tuple[Tensor, Tensor]:
    """Where an iteration starts [n, k], and ||b|| of each column [k] with 1 for 0: a zero column has the solution 0."""
    scale = lengths(b)
    x = torch.zeros_like(b) if x0 is None else torch.where(scale > 0, x0, 0.0)
    return x, torch.where(scale > 0, scale, 1.0)


def plus(x: Tensor, factor: Tensor, p: Tensor) -> Tensor:
    """x + factor p with one factor a column [k]."""
    if x.shape[1] == 1:
        return torch.add(x, p, alpha=float(factor))
    return x + factor * p


def add_to(x: Tensor, factor: Tensor, p: Tensor) -> None:
    """x += factor p in place, one factor a column [k]."""
    if x.shape[1] == 1:
        x.add_(p, alpha=float(factor))
    else:
        x.addcmul_(p, factor)


def scale_and_add(p: Tensor, factor: Tensor, x: Tensor) -> None:
    """p = x + factor p in place, one factor a column [k]."""
    if p.shape[1] == 1:
        torch.add(x, p, alpha=float(factor), out=p)
    else:
        torch.addcmul(x, p, factor, out=p)
