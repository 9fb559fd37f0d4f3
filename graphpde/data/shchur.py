"""The co-purchase, co-author and full citation graphs of Shchur et al. 2018 in their .npz files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from graphpde.core.graph import Graph
from graphpde.core.relation import Relation
from graphpde.data.dataset import Dataset, Origin, Size, register
from graphpde.data.features import as_features
from graphpde.data.node_data import NodeData
from graphpde.data.npz import read_arrays
from graphpde.data.pickled import Csr, Unreadable, checked_csr
from graphpde.data.raw_files import RawFiles, Wanted

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

_MATRIX = ("shape", "data", "indices", "indptr")


def read_shchur(files: RawFiles, split: str) -> NodeData:
    """Edges in both directions and once, without self-loops; features 1 where a word occurs. No splits of its own.

    Raises:
        DatasetError: the file is missing, damaged or its parts do not fit each other.
    """
    (name,) = _WANTED[files.dataset].urls
    keys = [f"{part}_{key}" for part in ("adj", "attr") for key in _MATRIX]
    arrays = read_arrays(files, name, [*keys, "labels"])
    try:
        adjacency, attributes = (checked_csr(*(arrays[f"{part}_{key}"] for key in _MATRIX)) for part in ("adj", "attr"))
    except Unreadable as error:
        raise files.fault(name, str(error)) from None
    n = arrays["labels"].size
    if adjacency.shape != (n, n) or attributes.shape[0] != n:
        raise files.fault(
            name,
            f"edges of shape {list(adjacency.shape)} and features of shape {list(attributes.shape)} come with labels "
            f"of {n} nodes",
        )
    row, column, _ = adjacency.entries()
    src, dst = torch.from_numpy(row), torch.from_numpy(column)
    other = src != dst
    src, dst = src[other], dst[other]
    both = Relation.from_edges(torch.cat([src, dst]), torch.cat([dst, src]), n, n, coalesce=True)
    return NodeData(files.dataset, Graph(both), as_features(_binary(attributes)), torch.from_numpy(arrays["labels"]))


def _binary(attributes: Csr) -> csr_matrix:
    """Word counts as occurrence: positive entries become 1, as torch-geometric has them."""
    from scipy.sparse import csr_matrix

    parts = attributes.data.astype("float32"), attributes.indices, attributes.indptr
    matrix = csr_matrix(parts, attributes.shape)
    matrix.sum_duplicates()
    matrix.data[matrix.data > 0] = 1
    return matrix


_SHCHUR = Origin("Shchur et al. 2018", "https://github.com/shchur/gnn-benchmark/raw/master/data/npz", "MIT")
_FULL = Origin("Bojchevski and Guennemann 2018", "https://github.com/abojchevski/graph2gauss/raw/master/data", "MIT")
_BOUGHT, _AUTHORS = "products, bought together, category", "authors, papers in common, field"
_WANTED: dict[str, Wanted] = {}


def _register(parent: str, file: str, what: str, size: Size, origin: Origin = _SHCHUR, name: str = "") -> None:
    name = name or parent.rpartition("/")[2]
    wanted = _WANTED[name] = Wanted(name, parent, {file: f"{origin.url}/{file}"})
    register(Dataset(name, what, size, origin, read_shchur, (wanted,)))


_register("Amazon/Photo", "amazon_electronics_photo.npz", _BOUGHT, Size(7650, 238162, 745, 8))
_register("Amazon/Computers", "amazon_electronics_computers.npz", _BOUGHT, Size(13752, 491722, 767, 10))
_register("Coauthor/CS", "ms_academic_cs.npz", _AUTHORS, Size(18333, 163788, 6805, 15))
_register("Coauthor/Physics", "ms_academic_phy.npz", _AUTHORS, Size(34493, 495924, 8415, 5))
_PAPERS = "papers, citations, subject"
_register("CitationFull/cora_ml", "cora_ml.npz", _PAPERS, Size(2995, 16316, 2879, 7), _FULL, "Cora_ML")
_register("CitationFull/cora", "cora.npz", _PAPERS, Size(19793, 126842, 8710, 70), _FULL, "Cora_Full")
_register("CitationFull/dblp", "dblp.npz", _PAPERS, Size(17716, 105734, 1639, 4), _FULL, "DBLP")
