"""Which splits an experiment on labelled nodes runs over: published ones, given masks, or drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from graphpde.data.node_data import NodeData
from graphpde.errors import InputError
from graphpde.registry import unknown
from graphpde.train.split import SPLITS, Split

RUNS = 5  # where nothing says how many
_DRAWN = "fractions"


class Partition(NamedTuple):
    """Data with the splits to run over.

    Attributes:
        data: whose ``splits`` are those. kind: name of the kind of split. given: those that came with the data.
        seeds: for each split. remarks: sentences.
    """

    data: NodeData
    kind: str
    given: tuple[Split, ...]
    seeds: int
    remarks: tuple[str, ...]

    @property
    def splits(self) -> tuple[Split, ...]:
        return self.data.splits


def partition(
    load: Callable[[str | None], NodeData],
    published: Sequence[str],
    *,
    name: str | None = None,
    splits: int | None = None,
    seeds: int | None = None,
) -> Partition:
    """Choose splits and count seeds.

    Without a name those are taken that come with the data, where nodes train, choose and judge in each; else
    ``fractions`` are drawn. Numbers that nobody gives are such that there are five runs, or one for each split.

    Args:
        load: split or None -> data. published: names of the splits that come with the data.
        name: one of those or of ``graphpde.train.SPLITS``. splits, seeds: how many.

    Raises:
        UnknownName: no such split. InputError: counts below one, more splits than there are, a part that is empty,
            too few nodes to draw.
    """
    for word, count in (("--splits", splits), ("--seeds", seeds)):
        if count is not None and count < 1:
            raise InputError(f"{word} is {count}, expected at least 1")
    if name is not None and name not in published and name not in SPLITS:
        raise unknown("split", name, {*published, *SPLITS})
    data = load(name if name in published else None)
    given = data.splits
    remarks: list[str] = []
    if name is None:
        missing = _missing(data)
        name = _DRAWN if missing else published[0]
        if missing and data.splits:
            remarks.append(f"the split that comes with '{data.name}' has {missing}, so '{name}' is drawn instead")
    if name in published:
        data = _given(data, name, splits)
    else:
        count = splits if splits is not None else RUNS if seeds is None else 1
        data = replace(data, splits=tuple(SPLITS[name](data.y, seed=k) for k in range(count)))
        if _missing(data):
            raise InputError(
                f"'{data.name}' has {int((data.y >= 0).sum())} labelled nodes; the split '{name}' drawn of so few has "
                f"{_missing(data)}; label more of them"
            )
    if seeds is None:
        seeds = 1 if len(data.splits) > 1 or splits is not None else RUNS
    return Partition(data, name, given if name in published else (), seeds, tuple(remarks))


def _given(data: NodeData, name: str, count: int | None) -> NodeData:
    missing = _missing(data)
    if missing:
        raise InputError(
            f"the split '{name}' of '{data.name}' has {missing}; take a drawn one, such as --split {_DRAWN}"
        )
    if count is not None and count > len(data.splits):
        raise InputError(f"--splits is {count} and '{data.name}' comes with {len(data.splits)} of '{name}'; take fewer")
    return replace(data, splits=data.splits[:count])


def _missing(data: NodeData) -> str:
    """What is missing for these splits to be run over, or ""."""
    if not data.splits:
        return "no masks"
    for part in Split._fields:
        if not all(bool(getattr(split, part).any()) for split in data.splits):
            return f"no {part} nodes"
    return ""
