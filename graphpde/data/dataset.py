"""The data sets by name: what they are, where they come from, and :func:`load`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from graphpde.data.download import fetched
from graphpde.data.node_data import NodeData
from graphpde.data.raw_files import RawFiles, Wanted, cache_folder, find
from graphpde.errors import DatasetError, InputError, UnknownName
from graphpde.registry import Registry, unknown


class Size(NamedTuple):
    """Nodes, edges (both directions counted where there are both), feature columns and classes, as published."""

    nodes: int
    edges: int
    features: int
    classes: int


class Origin(NamedTuple):
    """Where a data set comes from.

    Attributes:
        citation: authors and year. url: the page or folder. licence: of the repository that publishes it.
    """

    citation: str
    url: str
    licence: str


@dataclass(frozen=True)
class Dataset:
    """One entry of :data:`DATASETS`.

    Attributes:
        name: as torch-geometric has it.
        what: nodes, edges and classes in a few words.
        size: as published, None where it depends on parameters.
        origin: where it comes from.
        read: ``(files, split) -> NodeData`` for files, ``() -> NodeData`` for what is in the package.
        wanted: its files, by split where they differ; empty for what is in the package.
        splits: names that ``load(split=)`` takes, the default first; empty where the data have none.
        metric: what the source judges by.
    """

    name: str
    what: str
    size: Size | None
    origin: Origin
    read: Callable[..., NodeData]
    wanted: tuple[Wanted, ...] = ()
    splits: tuple[str, ...] = ()
    metric: str = "accuracy"

    @property
    def embedded(self) -> bool:
        """Whether it needs no files."""
        return not self.wanted


DATASETS: Registry[Dataset] = Registry("data set")
"""Every data set by name; each reader's module adds its own."""


def register(entry: Dataset) -> Dataset:
    """Add an entry to :data:`DATASETS`."""
    return DATASETS.add(entry.name)(entry)


_ALIASES = {
    "coauthorcs": "CS",
    "coauthorphysics": "Physics",
    "film": "Actor",
    "karateclub": "karate",
    "moons": "two_moons",
}


def dataset(name: str) -> Dataset:
    """The entry of a name in any case, with - or _.

    Raises:
        UnknownName: there is none; lists the known ones and the nearest.
    """
    plain = str(name).lower().replace("-", "_")
    plain = _ALIASES.get(plain.replace("_", ""), plain).lower().replace("-", "_")
    for known, entry in DATASETS.items():
        if known.lower().replace("-", "_") == plain:
            return entry
    raise unknown(DATASETS.kind, name, DATASETS)


def load(name: str, root: str | os.PathLike[str] | None = None, split: str | None = None) -> NodeData:
    """A data set by name.

    Args:
        name: see :data:`DATASETS`; in any case.
        root: a folder that holds the files, in torch-geometric's layout (``root/Planetoid/Cora/raw``,
            ``root/Cora/raw``, ``root/raw``) or right there. None: the package itself, or ``$GRAPHPDE_DATA``
            (``~/.cache/graphpde/data``), to which missing files are downloaded.
        split: which of the splits that come with it ("public", "geom-gcn"); None is its usual one.

    Raises:
        DatasetError: files are missing, damaged or do not fit. UnknownName: no such data set or split.
    """
    entry = dataset(name)
    if split is not None and split not in entry.splits:
        if not entry.splits:
            raise UnknownName(f"the data set '{entry.name}' comes without splits; draw one of graphpde.train.SPLITS")
        raise unknown(f"split of '{entry.name}'", split, entry.splits)
    chosen = split or (entry.splits[0] if entry.splits else "")
    if entry.embedded:
        return replace(entry.read(), name=entry.name)
    files = _files(entry, chosen, root)
    try:
        data = entry.read(files, chosen)
        notes = (*files.notes, *_differences(entry, data))
        return replace(data, notes=notes, metric=entry.metric, source=f"{entry.origin.citation}, {entry.origin.url}")
    except DatasetError:
        raise
    except InputError as error:
        raise DatasetError(f"the data set '{entry.name}' in '{files.folder}' cannot be used: {error}") from error


def _files(entry: Dataset, split: str, root: str | os.PathLike[str] | None) -> RawFiles:
    wanted = entry.wanted[entry.splits.index(split) if len(entry.wanted) > 1 else 0]
    if root is None:
        return fetched(wanted, cache_folder())
    if not isinstance(root, (str, os.PathLike)):
        raise InputError(f"root = {root!r}, expected the path of a folder")
    return find(wanted, Path(os.path.expanduser(root)))


def _differences(entry: Dataset, data: NodeData) -> Iterator[str]:
    """A sentence where the files do not hold what was published."""
    if entry.size is None:
        return
    found = Size(data.n, data.graph.edges.n_edges, data.features, data.classes)
    for what, here, there in zip(Size._fields, found, entry.size):
        if here != there:
            yield f"the files of '{entry.name}' hold {here} {what}, {there} are published"
