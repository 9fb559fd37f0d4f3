"""Random meshes for round trips: any cell types of one dimension, awkward coordinates, overlapping sets, odd names."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import strategies as st

from graphpde.core.graph import TagSet
from graphpde.mesh.cells import CELLS
from graphpde.mesh.mesh import Mesh

_NUMBERS = st.one_of(
    st.floats(-1e100, 1e100),
    st.sampled_from([0.0, -0.0, 0.1, 1 / 3, 5e-324, -1e-308, 1e100, 123456789.123456789]),
)
_NAMES = st.one_of(st.sampled_from(["inlet", "7", "0", "-3", "a b", "ü#\\x", "50%25", "Corners"]), st.text(max_size=4))


@st.composite
def meshes(draw: st.DrawFn, kinds: tuple[str, ...], space_dim: int = 3) -> Mesh:
    """Up to four cells of each of a few types, all of one dimension, with sets of every dimension."""
    chosen = draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=3, unique=True))
    dim = CELLS[chosen[0]].dim
    chosen = [kind for kind in chosen if CELLS[kind].dim == dim]
    n = max(CELLS[kind].nodes for kind in chosen) + draw(st.integers(0, 4))
    few = draw(st.lists(_NUMBERS, min_size=1, max_size=12))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    points = np.where(rng.random((n, space_dim)) < 0.3, rng.choice(few, (n, space_dim)), rng.random((n, space_dim)))
    cells = {
        kind: np.array([rng.permutation(n)[: CELLS[kind].nodes] for _ in range(rng.integers(1, 5))]) for kind in chosen
    }
    mesh = Mesh(points, cells)
    tags = {}
    for name in draw(st.lists(_NAMES, max_size=5, unique=True)):
        own = int(rng.integers(0, dim + 1))
        count = mesh.n if own == 0 else len(mesh.entities(own).nodes)
        ids = torch.from_numpy(np.sort(rng.choice(count, rng.integers(1, count + 1), replace=False)))
        tags[name] = TagSet(0, ids, ids) if own == 0 else mesh.make_tag(own, ids)
    return mesh.with_tags(**tags)


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two arrays of doubles agree in every bit, signs of zeros included."""
    return a.shape == b.shape and np.array_equal(a.view(np.int64), np.ascontiguousarray(b).view(np.int64))
