"""Metrics against counting by hand and scikit-learn."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from graphpde.errors import InputError, ShapeError
from graphpde.train.metrics import (
    METRICS,
    accuracy,
    calibration_error,
    confusion,
    macro_f1,
    mean_std,
    roc_auc,
    standard_error,
)  # fmt: skip


def drawn(seed: int, n: int = 60, classes: int = 4, levels: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    logits = torch.randn(n, classes, generator=rng, dtype=torch.float64)
    if levels:
        logits = (logits * levels).round()  # so that scores tie
    y = torch.randint(-1, classes, (n,), generator=rng)
    return logits, y, torch.rand(n, generator=rng) < 0.7


def test_accuracy_confusion_and_f1_by_counting() -> None:
    for seed in range(20):
        logits, y, mask = drawn(seed)
        rows = [(int(a), int(b.argmax())) for a, b, m in zip(y, logits, mask) if m and a >= 0]
        assert accuracy(logits, y, mask) == sum(a == b for a, b in rows) / len(rows)
        table = confusion(logits, y, mask)
        assert all(int(table[a, b]) == rows.count((a, b)) for a in range(4) for b in range(4))
        scores = []
        for c in range(4):
            right = rows.count((c, c))
            given, told = sum(a == c for a, _ in rows), sum(b == c for _, b in rows)
            if given + told:
                scores.append(2 * right / (given + told))
        assert macro_f1(logits, y, mask) == pytest.approx(sum(scores) / len(scores), abs=1e-15)


def by_pairs(score: list[float], y: list[int]) -> float:
    ones = [s for s, label in zip(score, y) if label == 1]
    zeros = [s for s, label in zip(score, y) if label == 0]
    return sum((a > b) + (a == b) / 2 for a in ones for b in zeros) / (len(ones) * len(zeros))


@pytest.mark.parametrize("levels", [0, 1, 3])
def test_roc_auc_is_the_share_of_ordered_pairs(levels: int) -> None:
    for seed in range(20):
        logits, y, mask = drawn(seed, classes=2, levels=levels)
        counts = mask & (y >= 0)
        score = (logits[:, 1] - logits[:, 0])[counts].tolist()
        expected = by_pairs(score, y[counts].tolist())
        assert roc_auc(logits, y, mask) == expected  # exactly: half-integers are summed as integers
        assert roc_auc(logits[:, 1] - logits[:, 0], y, mask) == expected
        assert roc_auc(-logits, y, mask) == pytest.approx(1 - expected, abs=1e-15)


def test_roc_auc_of_the_best_the_worst_and_none() -> None:
    y = torch.tensor([0, 0, 1, 1])
    assert roc_auc(torch.tensor([1.0, 2, 3, 4]), y) == 1.0
    assert roc_auc(torch.tensor([4.0, 3, 2, 1]), y) == 0.0
    assert roc_auc(torch.zeros(4), y) == 0.5
    assert roc_auc(torch.tensor([-math.inf, 0.0, 0.0, math.inf]), y) == 0.875
    large = torch.arange(400001.0)  # the sum of ranks would lose digits in float32
    assert roc_auc(large, (large > 200000).long()) == 1.0


def test_against_scikit_learn() -> None:
    sk: Any = pytest.importorskip("sklearn.metrics")
    for seed in range(20):
        logits, y, mask = drawn(seed, 200, 2, levels=2)
        counts = mask & (y >= 0)
        score, label = (logits[:, 1] - logits[:, 0])[counts].numpy(), y[counts].numpy()
        assert roc_auc(logits, y, mask) == pytest.approx(sk.roc_auc_score(label, score), abs=1e-12)
        logits, y, mask = drawn(seed, 200, 4)
        counts = mask & (y >= 0)
        told, label = logits[counts].argmax(1).numpy(), y[counts].numpy()
        assert macro_f1(logits, y, mask) == pytest.approx(sk.f1_score(label, told, average="macro"), abs=1e-12)
        assert np.array_equal(confusion(logits, y, mask).numpy(), sk.confusion_matrix(label, told, labels=range(4)))
        assert accuracy(logits, y, mask) == pytest.approx(sk.accuracy_score(label, told), abs=1e-12)


def test_calibration() -> None:
    """Two bins by hand, and a forecaster whose confidence is its chance has an error that falls like 1/sqrt(n)."""
    p = torch.tensor([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.4, 0.6]], dtype=torch.float64)
    y = torch.tensor([0, 1, 0, 1])
    expected = (2 * abs(0.9 - 0.5) + 2 * abs(0.6 - 1)) / 4  # too sure in one bin, not sure enough in the other
    assert calibration_error(p, y, bins=10) == pytest.approx(expected, abs=1e-12)
    edge = torch.tensor([[0.6, 0.4], [0.65, 0.35]], dtype=torch.float64)  # 0.6 belongs to the bin below
    assert calibration_error(edge, torch.tensor([1, 0]), bins=10) == pytest.approx((0.6 + 0.35) / 2, abs=1e-12)
    sure = torch.eye(3)[torch.tensor([0, 1, 2, 0])]
    assert calibration_error(sure, torch.tensor([0, 1, 2, 0])) == 0.0
    assert calibration_error(sure, torch.tensor([1, 1, 2, 0])) == pytest.approx(0.25)
    rng = torch.Generator().manual_seed(0)
    chance = torch.rand(40000, generator=rng, dtype=torch.float64)
    y = (torch.rand(40000, generator=rng) < chance).long()
    honest = torch.stack([1 - chance, chance], 1)
    assert calibration_error(honest, y) < 4 * 15 * 0.5 / math.sqrt(40000 * 15)
    with pytest.raises(InputError, match="take the softmax of the logits first"):
        calibration_error(torch.ones(2, 3), torch.tensor([0, 1]))
    with pytest.raises(InputError, match="bins = 0"):
        calibration_error(p, y[:4], bins=0)


def test_spread() -> None:
    spread = mean_std([1.0, 2.0, 4.0])
    assert spread.mean == pytest.approx(7 / 3) and spread.std == pytest.approx(np.std([1, 2, 4], ddof=1))
    assert standard_error([1.0, 2.0, 4.0]) == pytest.approx(spread.std / math.sqrt(3))
    assert mean_std([0.8]) == (0.8, 0.0, 1) and str(spread) == "2.333 +- 1.5 (3)"
    assert mean_std([1e9 + 1, 1e9 + 3]).std == pytest.approx(math.sqrt(2), abs=1e-12)
    with pytest.raises(InputError, match="at least one value"):
        mean_std([])
    with pytest.raises(InputError, match="not finite"):
        mean_std([1.0, math.nan])


@pytest.mark.parametrize("name", METRICS)
def test_what_cannot_be_judged(name: str) -> None:
    metric = METRICS[name]
    logits, y = torch.zeros(3, 2), torch.tensor([0, 1, 1])
    with pytest.raises(InputError, match="no node with a known label counts"):
        metric(logits, y, torch.zeros(3, dtype=torch.bool))
    with pytest.raises(InputError, match="no node with a known label counts"):
        metric(logits, y * 0 - 1)
    with pytest.raises(ShapeError, match=r"y has shape \[2\], expected \[3\]"):
        metric(logits, y[:2])
    with pytest.raises(InputError, match="expected truth values"):
        metric(logits, y, torch.tensor([0, 1, 1]))
    with pytest.raises(InputError, match="a label is 5 and there are logits of 2 classes"):
        metric(logits, torch.tensor([0, 1, 5]))
    with pytest.raises(InputError, match="y has type torch.float32 with values that are no classes"):
        metric(logits, torch.tensor([0, 0.5, 1]))
    with pytest.raises(InputError, match="the logits of 2 of 3 nodes that count are NaN"):
        metric(torch.tensor([[math.nan, 0], [0, 1], [0, math.nan]]), y)


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("kind", [torch.bool, torch.int8, torch.uint8, torch.int32, torch.float32])
def test_labels_of_any_type_of_whole_numbers(name: str, kind: torch.dtype) -> None:
    logits, y, _ = drawn(3, classes=2)
    y = y.clamp(min=0)
    assert METRICS[name](logits, y.to(kind)) == METRICS[name](logits, y)
    twenty = torch.eye(20)
    assert torch.equal(confusion(twenty, torch.arange(20, dtype=torch.int8)), torch.eye(20, dtype=torch.int64))


@pytest.mark.parametrize("metric", [accuracy, macro_f1, confusion, calibration_error])
def test_one_column_names_one_class(metric: Any) -> None:
    """Scores [n, 1] are for the ROC curve alone; with one class there is nothing to get wrong."""
    with pytest.raises(InputError, match="a label is 1 and there are logits of 1 classes"):
        metric(torch.ones(3, 1), torch.tensor([0, 1, 1]))
    assert float(metric(torch.ones(3, 1), torch.tensor([0, 0, -1]))) in (0.0, 1.0, 2.0)
    assert roc_auc(torch.tensor([[-3.0], [3.0]]), torch.tensor([0, 1])) == 1.0


def test_roc_auc_is_for_two_classes() -> None:
    y = torch.tensor([0, 1, 1])
    with pytest.raises(InputError, match="the logits have 3 columns"):
        roc_auc(torch.zeros(3, 3), y)
    with pytest.raises(InputError, match="got 0 of 0 and 2 of 1"):
        roc_auc(torch.zeros(3, 2), y, torch.tensor([False, True, True]))
    with pytest.raises(InputError, match="a label is 2 and there are logits of 2 classes"):
        roc_auc(torch.zeros(3), torch.tensor([0, 1, 2]))
    with pytest.raises(InputError, match="the logits of 1 of 3 nodes that count are NaN"):
        roc_auc(torch.tensor([0.0, math.nan, 1.0]), y)
    with pytest.raises(InputError, match="a score is not a number"):
        roc_auc(torch.full((3, 2), math.inf), y)
