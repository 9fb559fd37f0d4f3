"""Sets that overlap, for formats in which each entity carries one label: one number for each combination of sets."""

from __future__ import annotations

import numpy as np


def combinations(count: int, sets: list[np.ndarray]) -> tuple[np.ndarray, list[tuple[int, ...]]]:
    """The combination of sets that each of ``count`` entities lies in.

    Args:
        sets: numbers of the members of each set, each at most once.

    Returns:
        Number of the combination of each entity [count], and the combinations as positions in ``sets``, the empty one
        first, then the smaller ones in order.
    """
    labels = np.zeros(count, dtype=np.int64)
    found: list[tuple[int, ...]] = [()]
    members = np.concatenate([np.empty(0, dtype=np.int64), *sets])
    owners = np.repeat(np.arange(len(sets)), [len(ids) for ids in sets])
    order = np.lexsort((owners, members))
    entities, first, sizes = np.unique(members[order], return_index=True, return_counts=True)
    for size in np.unique(sizes).tolist():
        pick = sizes == size
        rows = owners[order][first[pick][:, None] + np.arange(size)]
        distinct, inverse = np.unique(rows, axis=0, return_inverse=True)
        labels[entities[pick]] = len(found) + inverse.reshape(-1)
        found += [tuple(row) for row in distinct.tolist()]
    return labels, found
