"""Splits: sizes, disjoint parts, the same for the same seed, unknown labels in no part."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from graphpde.errors import InputError
from graphpde.registry import unknown
from graphpde.train.split import SPLITS, Split, fractions, grand, per_class, random, shchur


def labels(n: int = 3000, classes: int = 5, unknown: int = 200) -> torch.Tensor:
    rng = torch.Generator().manual_seed(1)
    y = torch.randint(0, classes, (n,), generator=rng)
    y[torch.randperm(n, generator=rng)[:unknown]] = -1
    return y


def counts(y: torch.Tensor, mask: torch.Tensor) -> list[int]:
    return torch.bincount(y[mask], minlength=int(y.max()) + 1).tolist()


MAKERS = {
    "random": random,
    "shchur": shchur,
    "grand": grand,
    "fractions": fractions,
    "one label a class": lambda y, seed=0: per_class(y, 1, seed=seed),
    "all others judge": lambda y, seed=0: per_class(y, 5, 100, None, seed=seed),
    "all others choose": lambda y, seed=0: per_class(y, 5, None, 100, seed=seed),
}


@pytest.mark.parametrize("name", MAKERS)
def test_parts_are_disjoint_known_and_repeatable(name: str) -> None:
    y, make = labels(), MAKERS[name]
    one, same, other = make(y, seed=3), make(y, seed=3), make(y, seed=4)
    assert all(mask.dtype == torch.bool and mask.shape == y.shape for mask in one)
    assert not ((one.train.int() + one.val.int() + one.test.int()) > 1).any()
    assert not (one.train | one.val | one.test)[y < 0].any()
    assert all(torch.equal(a, b) for a, b in zip(one, same))
    assert not torch.equal(one.train, other.train)
    assert counts(y, one.train) == pytest.approx([counts(y, one.train)[0]] * 5) or name == "fractions"
    before = torch.get_rng_state()
    torch.manual_seed(7)
    again = make(y, seed=3)
    torch.set_rng_state(before)
    assert torch.equal(again.train, one.train) and torch.equal(again.test, one.test)  # no global state is read


def test_sizes() -> None:
    y = labels()
    known = int((y >= 0).sum())
    assert [counts(y, random(y).train), int(random(y).val.sum()), int(random(y).test.sum())] == [[20] * 5, 500, 1000]
    split = shchur(y)
    assert (counts(y, split.train), counts(y, split.val), int(split.test.sum())) == ([20] * 5, [30] * 5, known - 250)
    split = grand(y)
    assert (counts(y, split.train), int(split.val.sum()), int(split.test.sum())) == ([20] * 5, 1400, known - 1500)
    for n, classes, development in ((20000, 15, 5000), (20000, 3, 1500), (3000, 15, 1500)):  # the first as CS, PubMed
        split = grand(labels(n, classes))
        assert [int(mask.sum()) for mask in split] == [
            20 * classes,
            development - 20 * classes,
            n - 200 - development,
        ]
    split = per_class(y, 5, None, 100)
    assert (counts(y, split.train), int(split.val.sum()), int(split.test.sum())) == ([5] * 5, known - 125, 100)
    split = fractions(y, 0.48, 0.32)
    whole = counts(y, y >= 0)
    assert counts(y, split.train) == [round(0.48 * k) for k in whole]
    assert counts(y, split.val) == [round(0.32 * k) for k in whole]
    assert int(sum(mask.sum() for mask in split)) == known


def test_smaller_label_rates_lie_within_larger_ones() -> None:
    y = labels()
    few = [per_class(y, count, seed=2).train for count in (1, 2, 5, 20)]
    for small, large in pairwise(few):
        assert not (small & ~large).any()


@pytest.mark.parametrize("kind", [torch.int8, torch.uint8, torch.int32])
def test_any_type_of_whole_numbers_and_counts(kind: torch.dtype) -> None:
    y = labels(unknown=0)
    for make in MAKERS.values():
        assert all(torch.equal(a, b) for a, b in zip(make(y, seed=1), make(y.to(kind).numpy(), seed=1)))
    one, other = per_class(y, 20, 30, 40), per_class(y, 20.0, 30.0, 40.0)  # type: ignore[arg-type]
    assert all(torch.equal(a, b) for a, b in zip(one, other))


def test_a_class_of_one_trains() -> None:
    y = torch.tensor([0] * 10 + [1])
    split = fractions(y, 0.1, 0.1)
    assert bool(split.train[10]) and counts(y, split.train) == [1, 1]


def test_every_node_is_drawn_equally_often() -> None:
    """20 nodes in 2 classes, 2 of 10 train: each with chance 0.2, within 4.5 deviations over 1500 seeds."""
    y = torch.arange(20) % 2
    total = sum(per_class(y, 2, 3, None, seed=seed).train.double() for seed in range(1500))
    assert float((total - 300).abs().max()) < 4.5 * (1500 * 0.2 * 0.8) ** 0.5  # type: ignore[union-attr, operator]


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda y: per_class(y, 700), r"700 nodes of class \d are to train and it has \d+; take fewer of each class"),
        (lambda y: per_class(y, 0), "count = 0, expected at least one"),
        (lambda y: per_class(y, 1.5), "count = 1.5, expected a whole number"),
        (lambda y: per_class(y, 20, 2900), r"2900 nodes are to choose or judge and 2700 are left after 100 train"),
        (lambda y: per_class(y, 20, 2000, 1000), "1000 nodes are to judge and 700 are left"),
        (lambda y: per_class(y, 20, None, None), "val and test are both None"),
        (lambda y: per_class(y, 20, val_per_class=600), r"620 nodes of class \d are to train and choose"),
        (lambda y: per_class(y, 20, test=None, val_per_class=-5), "val_per_class = -5, expected a whole number >= 0"),
        (lambda y: per_class(y, 20, None, -1), "test = -1, expected a whole number >= 0"),
        (lambda y: per_class(y, 20, float("nan")), "val = nan, expected a whole number >= 0"),
        (lambda y: per_class(y, None), "count = None, expected a whole number >= 0"),
        (lambda y: fractions(torch.arange(10).repeat(2)), "leave nothing to judge of 20 labelled nodes in 10 classes"),
        (lambda y: fractions(y, 0.7, 0.4), "a sum below 1"),
        (lambda y: fractions(y, 0.0, 0.4), "expected train > 0"),
        (lambda y: grand(y, development=2800), "leaves nothing to judge of 2800 labelled ones"),
        (lambda y: grand(y, development=50), r"the development set holds \d+; take a larger development set"),
        (lambda y: random(y * 0 - 1), "no node has a known label"),
        (lambda y: random(y.float()), "y has type torch.float32"),
        (lambda y: grand(y, development=99.5), "development = 99.5, expected a whole number"),
    ],
)
def test_what_cannot_be_split(make: object, says: str) -> None:
    with pytest.raises(InputError, match=says):
        make(labels())  # type: ignore[operator]


def test_names_for_the_command_line() -> None:
    assert set(SPLITS) == {"random", "fractions", "shchur", "grand"}
    assert isinstance(SPLITS["shchur"](labels(), seed=1), Split)
    with pytest.raises(type(unknown("split", "x", [])), match="did you mean 'grand'"):
        SPLITS["grnd"]


def test_parts_of_a_split() -> None:
    y = labels()
    split = random(y)
    nodes = torch.arange(0, len(y), 3)
    part = split.select(nodes)
    assert torch.equal(part.train, split.train[nodes]) and torch.equal(split.to("cpu").val, split.val)
