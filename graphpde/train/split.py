"""Which nodes train, which choose and which judge: splits of labelled nodes, each a pure function of labels and seed.

No maker touches a global random state; nodes of unknown label (-1) are in no part.
"""

from __future__ import annotations

import math
from numbers import Real
from typing import Any, NamedTuple

import torch
from torch import Tensor

from graphpde.errors import InputError
from graphpde.registry import Registry
from graphpde.typing import check_shape


class Split(NamedTuple):
    """Three disjoint sets of nodes.

    Attributes:
        train: whose labels are seen [n], bool.
        val: that choose the step to stop at and the hyper-parameters [n], bool.
        test: that are looked at once [n], bool.
    """

    train: Tensor
    val: Tensor
    test: Tensor

    def to(self, device: Any) -> Split:
        """The same sets elsewhere."""
        return Split(*(mask.to(device) for mask in self))

    def select(self, nodes: Tensor) -> Split:
        """The sets among some nodes [k] (numbers or a mask), in their order."""
        return Split(*(mask[nodes] for mask in self))


def class_numbers(y: Any) -> Tensor:
    """Labels [n] as int64, given as whole numbers of any type.

    Raises:
        ShapeError: not one axis. InputError: fractions, complex or infinite numbers.
    """
    y = check_shape(y, "n", "y")
    if y.dtype != torch.int64:
        exact = torch.full(y.shape, torch.nan) if y.is_complex() else y.to(torch.float64)
        if not bool(((exact == exact.round()) & (exact.abs() < 2**62)).all()):
            raise InputError(
                f"y has type {y.dtype} with values that are no classes; expected whole numbers, -1 = unknown"
            )
    return y.to(torch.int64)


SPLITS: Registry[Any] = Registry("split")
"""Makers ``(y, seed=) -> Split`` by the name that ``--split`` takes."""


def per_class(
    y: Tensor, count: int = 20, val: int | None = 500, test: int | None = 1000, *, seed: int = 0, val_per_class: int = 0
) -> Split:
    """``count`` nodes of each class train; of the others ``val`` choose and ``test`` judge (None: all that are left).

    The proportions of the public split of Yang et al. 2016 (20, 500, 1000), drawn anew. Label rates of 1, 2 or 5 a
    class are ``count=1`` and so on: with one seed the smaller training set lies within the larger one.

    Args:
        y: labels [n], -1 = unknown.
        count: training nodes of each class.
        val, test: numbers of nodes that choose and judge; None takes the rest (for one of the two).
        seed: of the draw.
        val_per_class: choose by this many of each class instead of ``val``.

    Raises:
        InputError: a class has too few nodes, or all have; numbers of nodes that are no whole numbers >= 0.
    """
    y, order = _shuffled(y, seed)
    count, val_per_class = _count(count, "count"), _count(val_per_class, "val_per_class")
    val, test = (value if value is None else _count(value, name) for name, value in (("val", val), ("test", test)))
    train = _first_of_each_class(y, order, count, "train")
    taken = train
    if val_per_class:
        taken = _first_of_each_class(y, order, count + val_per_class, "train and choose")
        chosen = taken & ~train
        rest = order[~taken[order]]
    else:
        rest = order[~taken[order]]
        if val is None and test is None:
            raise InputError("val and test are both None; give the size of one of them")
        size = len(rest) - (test or 0) if val is None else val
        if not 0 <= size <= len(rest):
            raise InputError(
                f"{val if val is not None else test} nodes are to choose or judge and {len(rest)} are left after "
                f"{int(train.sum())} train; take fewer"
            )
        chosen = _mask(y, rest[:size])
        rest = rest[size:]
    if test is not None:
        if test > len(rest):
            raise InputError(f"{test} nodes are to judge and {len(rest)} are left; take fewer")
        rest = rest[:test]
    return Split(train, chosen, _mask(y, rest))


def fractions(y: Tensor, train: float = 0.48, val: float = 0.32, *, seed: int = 0) -> Split:
    """Of each class the fraction ``train`` trains, ``val`` chooses and the rest judges, rounded to whole nodes.

    The default is 48/32/20 %, the sizes of the ten splits of Pei et al. 2020 as their files hold them (the text says
    60/20/20).

    Raises:
        InputError: fractions that are not in (0, 1) or leave nothing to judge.
    """
    if not (0 < train < 1 and 0 <= val < 1 and train + val < 1):
        raise InputError(f"fractions train={train}, val={val}: expected train > 0, val >= 0 and a sum below 1")
    y, order = _shuffled(y, seed)
    parts: list[list[Tensor]] = [[], [], []]
    for label in _labels(y):
        mine = order[y[order] == label]
        first = min(max(round(train * len(mine)), 1), len(mine))
        second = min(first + round(val * len(mine)), len(mine))
        for part, nodes in zip(parts, (mine[:first], mine[first:second], mine[second:])):
            part.append(nodes)
    if not sum(map(len, parts[2])):
        raise InputError(
            f"fractions train={train}, val={val} leave nothing to judge of {len(order)} labelled nodes in "
            f"{len(parts[2])} classes; take smaller ones"
        )
    return Split(*(_mask(y, torch.cat(part)) for part in parts))


@SPLITS.add("random")
def random(y: Tensor, *, seed: int = 0) -> Split:
    """20 of each class train, 500 choose, 1000 judge; :func:`per_class` with its defaults (Yang et al. 2016)."""
    return per_class(y, seed=seed)


@SPLITS.add("fractions")
def by_fractions(y: Tensor, *, seed: int = 0) -> Split:
    """48 % of each class train, 32 % choose, 20 % judge; :func:`fractions` with its defaults (sizes of Pei et al.)."""
    return fractions(y, seed=seed)


@SPLITS.add("shchur")
def shchur(y: Tensor, *, seed: int = 0) -> Split:
    """20 of each class train, 30 of each class choose, the rest judges (Shchur et al. 2018, section 3)."""
    return per_class(y, 20, test=None, seed=seed, val_per_class=30)


@SPLITS.add("grand")
def grand(y: Tensor, *, seed: int = 0, development: int | None = None) -> Split:
    """20 of each class train, the rest of ``development`` nodes chooses, all others judge.

    The random splits of GRAND (Chamberlain et al. 2021), whose code takes the scheme from graph diffusion convolution
    (Gasteiger et al. 2019): some nodes are set aside for development and the training nodes are among them. None is
    the size in that code: 1500, and 5000 for Coauthor CS alone (18333 nodes, 15 classes), which is told from its other
    data sets by its labels: more than 15000 known ones, of more than 10 classes.

    Raises:
        InputError: the development set holds too few nodes of a class, or as many nodes as there are.
    """
    y, order = _shuffled(y, seed)
    if development is None:
        development = 5000 if len(order) > 15000 and len(_labels(y)) > 10 else 1500
    development = _count(development, "development")
    if not 0 < development < len(order):
        raise InputError(
            f"a development set of {development} nodes leaves nothing to judge of {len(order)} labelled ones; take a "
            "smaller one"
        )
    ours = order[:development]
    train = _first_of_each_class(
        y, ours, 20, "train", "the development set holds", "take a larger development set or another split"
    )
    return Split(train, _mask(y, ours) & ~train, _mask(y, order[development:]))


def _shuffled(y: Any, seed: int) -> tuple[Tensor, Tensor]:
    """The labels [n], and the nodes of known label [k] in random order, on the labels' device and the same on each."""
    y = check_shape(y, "n", "y")
    if y.is_floating_point() or y.dtype == torch.bool:
        raise InputError(f"y has type {y.dtype}, expected whole numbers of classes, -1 = unknown")
    y = class_numbers(y)
    known = (y.cpu() >= 0).nonzero()[:, 0]
    if len(known) == 0:
        raise InputError("no node has a known label, so there is nothing to split")
    rng = torch.Generator().manual_seed(int(seed))
    return y, known[torch.randperm(len(known), generator=rng)].to(y.device)


def _labels(y: Tensor) -> list[int]:
    """The classes that occur."""
    return torch.unique(y[y >= 0]).tolist()


def _first_of_each_class(
    y: Tensor, order: Tensor, count: int, what: str, holder: str = "it has", remedy: str = "take fewer of each class"
) -> Tensor:
    """The first ``count`` nodes of each class in this order, as a mask [n]."""
    if count == 0:
        raise InputError("count = 0, expected at least one training node of each class")
    taken = []
    for label in _labels(y):
        mine = order[y[order] == label][:count]
        if len(mine) < count:
            raise InputError(f"{count} nodes of class {label} are to {what} and {holder} {len(mine)}; {remedy}")
        taken.append(mine)
    return _mask(y, torch.cat(taken))


def _count(value: Any, name: str) -> int:
    real = isinstance(value, Real) and not isinstance(value, bool)
    if not real or not math.isfinite(value) or value < 0 or value != int(value):
        raise InputError(f"{name} = {value}, expected a whole number >= 0")
    return int(value)


def _mask(y: Tensor, nodes: Tensor) -> Tensor:
    mask = torch.zeros(len(y), dtype=torch.bool, device=y.device)
    mask[nodes] = True
    return mask
