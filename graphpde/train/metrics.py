"""How good a prediction is: accuracy, F1, area under the ROC curve, confusion, calibration, and spread over runs.

All of them take logits or probabilities as they are and an optional mask; nodes of unknown label (-1) never count.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from graphpde.errors import InputError
from graphpde.registry import Registry
from graphpde.train.split import class_numbers
from graphpde.typing import check_shape

METRICS: Registry[Callable[..., float]] = Registry("metric")
"""Metrics ``(logits, y, mask=None) -> float`` in [0, 1], larger is better, by the name that data sets carry."""


@METRICS.add("accuracy")
def accuracy(logits: Tensor, y: Tensor, mask: Tensor | None = None) -> float:
    """Share of nodes whose largest logit [n, k] is that of their label; the first of equal ones counts.

    Raises:
        InputError: no node to judge, labels that are no whole numbers or of no column, logits that are NaN. ShapeError:
            sizes that do not fit.
    """
    logits, y = _judged(logits, y, mask)
    return float((logits.argmax(-1) == y).to(torch.float64).mean())


@METRICS.add("macro_f1")
def macro_f1(logits: Tensor, y: Tensor, mask: Tensor | None = None) -> float:
    """Mean over classes of F1 = 2 tp / (2 tp + fp + fn); classes that neither occur nor are predicted do not count."""
    table = confusion(logits, y, mask).to(torch.float64)
    right, given, predicted = table.diagonal(), table.sum(1), table.sum(0)
    seen = given + predicted > 0
    return float((2 * right[seen] / (given + predicted)[seen]).mean())


@METRICS.add("roc_auc")
def roc_auc(logits: Tensor, y: Tensor, mask: Tensor | None = None) -> float:
    """Area under the ROC curve of two classes: P(score of a 1 > score of a 0) + P(equal) / 2, exactly.

    By ranks (Mann-Whitney), ties at their mean rank, in O(n log n).

    Args:
        logits: [n, 2], whose difference is the score, or scores [n] or [n, 1] of class 1.
        y: labels [n], 0 or 1, -1 = unknown. mask: nodes that count [n].

    Raises:
        InputError: not two classes, one of them absent, scores that are not numbers.
    """
    if logits.dim() == 1:
        logits = logits[:, None]
    if logits.dim() == 2 and logits.shape[1] == 1:
        logits = torch.cat([torch.zeros_like(logits), logits], 1)
    logits, y = _judged(logits, y, mask)
    if logits.shape[1] > 2:
        raise InputError(f"ROC-AUC is for two classes and the logits have {logits.shape[1]} columns; take macro_f1")
    score = logits[:, 1].double() - logits[:, 0].double()
    if bool(score.isnan().any()):
        raise InputError("a score is not a number, so the nodes cannot be ranked")
    positive = int(y.sum())
    negative = len(y) - positive
    if not positive or not negative:
        raise InputError(
            f"ROC-AUC needs both classes among the nodes that count, got {negative} of 0 and {positive} of 1"
        )
    _, level, count = torch.unique(score, return_inverse=True, return_counts=True)
    last = count.cumsum(0)
    # the mean rank of a level is half a whole number, so twice the sum is one: nothing is rounded
    doubled = int((2 * last - count + 1)[level][y == 1].sum())
    return (doubled - positive * (positive + 1)) / (2 * positive * negative)


def confusion(logits: Tensor, y: Tensor, mask: Tensor | None = None) -> Tensor:
    """Counts [k, k], int64: row = label, column = predicted class."""
    logits, y = _judged(logits, y, mask)
    k = logits.shape[1]
    return torch.bincount(y * k + logits.argmax(-1), minlength=k * k).reshape(k, k)


def calibration_error(probabilities: Tensor, y: Tensor, mask: Tensor | None = None, *, bins: int = 15) -> float:
    """Expected calibration error: mean over nodes of |accuracy - confidence| of the bin that a node is in.

    Bins ((b - 1)/B, b/B] of equal width in the largest probability (Guo et al. 2017, eq. (3)).

    Args:
        probabilities: [n, k], rows that sum to 1: the softmax of the logits.
        y: labels [n]. mask: nodes that count [n]. bins: B.

    Raises:
        InputError: rows that do not sum to 1, no bins.
    """
    if bins < 1:
        raise InputError(f"bins = {bins}, expected at least 1")
    p, y = _judged(probabilities, y, mask)
    p = p.to(torch.float64)
    if bool((p < 0).any()) or not bool(((p.sum(1) - 1).abs() < 1e-3).all()):
        raise InputError("the rows are not probabilities that sum to 1; take the softmax of the logits first")
    confidence, predicted = p.max(1)
    of_bin = (confidence * bins).ceil().long().clamp(1, bins) - 1
    gap = confidence - (predicted == y).to(torch.float64)
    return float(torch.bincount(of_bin, weights=gap, minlength=bins).abs().sum() / len(y))


class Spread(NamedTuple):
    """Mean and sample standard deviation of some runs; the deviation of a single run is 0."""

    mean: float
    std: float
    runs: int

    def __str__(self) -> str:
        return f"{self.mean:.4g} +- {self.std:.2g} ({self.runs})"


def mean_std(values: Iterable[float]) -> Spread:
    """Mean and sample standard deviation (divisor count - 1) over splits and seeds.

    Raises:
        InputError: no values, or one that is not finite.
    """
    listed = [float(v) for v in values]
    if not listed:
        raise InputError("a mean needs at least one value, got none")
    if not all(map(math.isfinite, listed)):
        raise InputError(f"a value is not finite: {listed}")
    mean = math.fsum(listed) / len(listed)
    squares = math.fsum((v - mean) ** 2 for v in listed)
    return Spread(mean, math.sqrt(squares / (len(listed) - 1)) if len(listed) > 1 else 0.0, len(listed))


def standard_error(values: Iterable[float]) -> float:
    """Standard deviation of the mean of independent runs, std / sqrt(count)."""
    spread = mean_std(values)
    return spread.std / math.sqrt(spread.runs)


def _judged(logits: Tensor, y: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """Rows, all numbers, and labels, int64 and each of a column, of the nodes that count."""
    logits = check_shape(logits, "n k", "logits").detach()
    y = class_numbers(check_shape(y, "n", "y", n=len(logits)))
    counts = y >= 0
    if mask is not None:
        mask = check_shape(mask, "n", "mask", n=len(logits))
        if mask.dtype != torch.bool:
            raise InputError(f"mask has type {mask.dtype}, expected truth values")
        counts = counts & mask
    if not bool(counts.any()):
        raise InputError("no node with a known label counts; check the mask")
    logits, y = logits[counts], y[counts]
    if int(y.max()) >= logits.shape[1]:
        raise InputError(f"a label is {int(y.max())} and there are logits of {logits.shape[1]} classes")
    bad = int(logits.isnan().any(1).sum())
    if bad:
        raise InputError(f"the logits of {bad} of {len(y)} nodes that count are NaN, so they name no class")
    return logits, y
