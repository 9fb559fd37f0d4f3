"""Handwritten digits as a graph of nearest neighbours."""

from __future__ import annotations

import torch

from graphpde.core.graph import Graph
from graphpde.core.neighbors import knn
from graphpde.data.dataset import Dataset, Origin, register
from graphpde.data.node_data import NodeData
from graphpde.errors import DatasetError


def digits(k: int = 8) -> NodeData:
    """The 1797 digits of 8 x 8 pixels in scikit-learn, each joined to its k nearest in pixels, in either direction.

    Features are the pixels in [0, 1]. The graph comes from the features: what it adds is smoothness over the points.

    Raises:
        DatasetError: scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise DatasetError("the digits come with scikit-learn; pip install 'graphpde[datasets]'") from None
    pixels, label = load_digits(return_X_y=True)
    x = torch.from_numpy(pixels) / 16
    names = tuple(map(str, range(10)))
    source = "Alpaydin and Kaynak 1998 (UCI), test part, as in scikit-learn"
    data = NodeData("digits", Graph(knn(x, k)), x.to(torch.float32), torch.from_numpy(label), (), names, source)
    return data.undirected()


_ORIGIN = Origin("Alpaydin and Kaynak 1998", "scikit-learn (extra 'datasets')", "CC BY 4.0")
register(Dataset("digits", "digits, nearest in pixels, number; needs scikit-learn", None, _ORIGIN, digits))
