"""Labelled graphs of users: arrays of numbers in an .npz file."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from graphpde.core.graph import Graph
from graphpde.core.relation import Relation
from graphpde.data.features import as_features
from graphpde.data.node_data import NodeData, splits_of
from graphpde.data.npz import read_arrays
from graphpde.data.raw_files import RawFiles
from graphpde.errors import DatasetError, InputError, ShapeError
from graphpde.typing import check_shape

ARRAYS = ("edges", "edge_index", "x", "y", "train_mask", "val_mask", "test_mask", "pos", "weight")
_PICKLES = (".pt", ".pth", ".pkl", ".pickle", ".joblib")
_ASKED = "save edges [2, e], x [n, f] and y [n] with numpy.savez"


class GraphFile(NamedTuple):
    """The data, and whether the file says labels (else all are 0, and mean nothing)."""

    data: NodeData
    labelled: bool


def is_file(name: str) -> bool:
    """Whether this is the path of a graph rather than the name of a data set."""
    return Path(name).suffix.lower() in (".npz", *_PICKLES) or os.sep in name or Path(name).is_file()


def read_graph(path: str | os.PathLike[str], *, labels: bool = True) -> GraphFile:
    """A graph with features from an .npz file.

    ``edges`` (or ``edge_index``) [2, e] or [e, 2]: numbers of source and target; ``x`` [n, f]; ``y`` [n], -1 = unknown;
    ``train_mask``, ``val_mask``, ``test_mask`` [n] or [n, k]; ``pos`` [n, d] for pictures; ``weight`` [e]. All but the
    first two are optional.

    Args:
        labels: whether there must be some.

    Raises:
        DatasetError: no such file, no .npz, arrays that are missing or hold objects. InputError: what they hold fits
            nowhere, see :class:`~graphpde.data.NodeData`.
    """
    path = Path(path)
    if path.suffix.lower() in _PICKLES:
        raise DatasetError(f"'{path}' is a pickle, which could run anything when it is read, so it is not; {_ASKED}")
    if path.is_dir():
        raise DatasetError(
            f"'{path}' is a folder, expected an .npz file; a data set in torch-geometric's layout is read by --dataset "
            f"NAME --root FOLDER"
        )
    if not path.exists():
        raise DatasetError(f"there is no file '{path}'; {_ASKED}")
    files = RawFiles(path.name, path.parent)
    arrays = read_arrays(files, path.name, _present(path, files))
    edges = arrays.get("edges", arrays.get("edge_index"))
    needed = {"edges": edges, "x": arrays.get("x"), **({"y": arrays.get("y")} if labels else {})}
    for name, value in needed.items():
        if value is None:
            raise DatasetError(f"'{path}' has no array '{name}', it has {', '.join(arrays) or 'none'}; {_ASKED}")
    assert edges is not None
    x, known = as_features(arrays["x"]), arrays.get("y")
    labelled = known is not None and bool((known >= 0).any())
    if labels and not labelled:
        raise InputError(f"'{path}' has no node with a known label (0, 1, ...; -1 = unknown): nothing to learn from")
    y = torch.as_tensor(known) if labelled else torch.zeros(x.shape[0], dtype=torch.int64)
    data = NodeData(
        path.stem, _graph(edges, x.shape[0], arrays), x, y, splits_of(_masks(arrays, x.shape[0]), y), source=path.name
    )
    return GraphFile(data, labelled)


def _present(path: Path, files: RawFiles) -> list[str]:
    """The arrays of ours that the file has."""
    try:
        with zipfile.ZipFile(io.BytesIO(files.read(path.name))) as archive:
            inside = {name.removesuffix(".npy") for name in archive.namelist()}
    except (zipfile.BadZipFile, ValueError) as error:
        raise DatasetError(f"'{path}' is no .npz file ({error}); {_ASKED}") from None
    return [name for name in ARRAYS if name in inside]


def _graph(edges: np.ndarray, n: int, arrays: dict[str, np.ndarray]) -> Graph:
    if edges.ndim != 2 or 2 not in edges.shape or edges.dtype.kind not in "iu":
        raise InputError(
            f"edges have shape {list(edges.shape)} of {edges.dtype}, expected whole numbers [2, e] or [e, 2]"
        )
    ends = torch.as_tensor(edges.astype(np.int64))
    ends = ends if ends.shape[0] == 2 else ends.T
    outside = ends[(ends < 0) | (ends >= n)]
    if len(outside):
        raise InputError(f"an edge names node {int(outside[0])}, expected 0..{n - 1}: x has {n} rows")
    relation = Relation.from_edges(ends[0], ends[1], n, n)
    weight, pos = arrays.get("weight"), arrays.get("pos")
    place = None if pos is None else torch.as_tensor(pos, dtype=torch.float64)
    if place is not None:
        bad = (~torch.isfinite(place)).reshape(len(place), -1).any(1).nonzero()[:, 0]
        if len(bad):
            raise InputError(f"pos of {len(bad)} nodes are not finite, first of node {int(bad[0])}; leave pos out")
    own = None if weight is None else relation.own(check_shape(torch.as_tensor(weight), "e", "weight", e=ends.shape[1]))
    return Graph(relation, pos=place, weight=own)


def _masks(arrays: dict[str, np.ndarray], n: int) -> dict[str, Tensor]:
    """The masks that are there, [n] or [n, k]."""
    masks = {name: torch.as_tensor(arrays[name]) for name in ARRAYS if name.endswith("_mask") and name in arrays}
    for name, mask in masks.items():
        if mask.dim() not in (1, 2) or len(mask) != n:
            raise ShapeError(f"{name} has shape {list(mask.shape)}, expected [{n}] or [{n}, k] for {n} nodes")
    return masks
