"""Friendships at universities in September 2005 (Traud et al. 2012), with gender as the class (Lim et al. 2021)."""

from __future__ import annotations

import io
import zlib

import numpy as np
import torch

from graphpde.core.graph import Graph
from graphpde.core.relation import Relation
from graphpde.data.dataset import Dataset, Origin, Size, register
from graphpde.data.features import indicators
from graphpde.data.node_data import NodeData
from graphpde.data.pickled import Unreadable, checked_csr
from graphpde.data.raw_files import RawFiles, Wanted
from graphpde.errors import DatasetError
from graphpde.nets.features import Features

FILE = "data.mat"


def read_facebook100(files: RawFiles, split: str) -> NodeData:
    """Friends in both directions; features are one indicator for each value of status, major, dormitory, year, ....

    A missing value (0 in the file) is a value of its own among the features; missing gender is label -1.

    Raises:
        DatasetError: the file is missing, damaged or lacks its two tables.
    """
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    content = io.BytesIO(files.read(FILE))
    try:
        tables = loadmat(content, variable_names=["A", "local_info"])
        by_column, people = tables["A"], np.asarray(tables["local_info"])
        if people.dtype.kind not in "biuf" or not (people == people.round()).all():
            raise files.fault(FILE, "its people are described by other values than whole numbers")
        people = people.astype(np.int64)
        # compressed by columns: the rows of its transpose; scipy itself takes the offsets of a file for granted
        friends = checked_csr(by_column.shape[::-1], by_column.data, by_column.indices, by_column.indptr)
    except DatasetError:
        raise
    except KeyError as error:
        raise files.fault(FILE, f"it has no table {error}") from None
    except Unreadable as error:
        raise files.fault(FILE, str(error)) from None
    except (MatReadError, ValueError, TypeError, IndexError, AttributeError, NotImplementedError, OverflowError,
            OSError, EOFError, MemoryError, zlib.error) as error:  # fmt: skip
        raise files.fault(FILE, f"it is cut or damaged ({type(error).__name__})") from None
    n = len(people)
    if people.ndim != 2 or people.shape[1] < 3 or friends.shape != (n, n):
        raise files.fault(
            FILE, f"friendships of shape {list(by_column.shape)} come with people of shape {list(people.shape)}"
        )
    dst, src = map(torch.from_numpy, friends.entries()[:2])
    y = torch.from_numpy(people[:, 1]) - 1
    return NodeData(files.dataset, Graph(Relation.from_edges(src, dst, n, n)), _indicators(people), y)


def _indicators(people: np.ndarray) -> Features:
    """One column for each value that occurs in each column but gender, values ascending."""
    columns, width = [], 0
    for k in (0, *range(2, people.shape[1])):
        values, at = np.unique(people[:, k], return_inverse=True)
        columns.append(torch.from_numpy(at.reshape(-1).astype(np.int64)) + width)
        width += len(values)
    n = len(people)
    return indicators(torch.arange(n).repeat(len(columns)), torch.cat(columns), (n, width))


_URL = "https://github.com/CUAI/Non-Homophily-Large-Scale/raw/master/data/facebook100"


def _register(name: str, file: str, size: Size) -> None:
    wanted = Wanted(name, f"LINKXDataset/{name.lower()}", {FILE: f"{_URL}/{file}"})
    origin = Origin("Traud et al. 2012, Lim et al. 2021", _URL, "none stated")
    register(Dataset(name, "people, friendship, gender", size, origin, read_facebook100, (wanted,)))


_register("Reed98", "Reed98.mat", Size(962, 37624, 745, 2))
_register("Amherst41", "Amherst41.mat", Size(2235, 181908, 1193, 2))
_register("JohnsHopkins55", "Johns%20Hopkins55.mat", Size(5180, 373172, 2406, 2))
_register("Cornell5", "Cornell5.mat", Size(18660, 1581554, 4735, 2))
_register("Penn94", "Penn94.mat", Size(41554, 2724458, 4814, 2))
