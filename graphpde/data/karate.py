"""Zachary's karate club (1977) with the four communities that torch-geometric labels it with."""

from __future__ import annotations

import torch

from graphpde.core.graph import Graph
from graphpde.core.relation import Relation
from graphpde.data.dataset import Dataset, Origin, Size, register
from graphpde.data.node_data import NodeData
from graphpde.train.split import Split

_FRIENDS = {
    0: (1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 17, 19, 21, 31), 1: (2, 3, 7, 13, 17, 19, 21, 30),
    2: (3, 7, 8, 9, 13, 27, 28, 32), 3: (7, 12, 13), 4: (6, 10), 5: (6, 10, 16), 6: (16,), 8: (30, 32, 33), 9: (33,),
    13: (33,), 14: (32, 33), 15: (32, 33), 18: (32, 33), 19: (33,), 20: (32, 33), 22: (32, 33),
    23: (25, 27, 29, 32, 33), 24: (25, 27, 31), 25: (31,), 26: (29, 33), 27: (33,), 28: (31, 33), 29: (32, 33),
    30: (32, 33), 31: (32, 33), 32: (33,),
}  # fmt: skip
_COMMUNITY = "1111333101311100310101002200200200"


def karate() -> NodeData:
    """34 members, 78 friendships, features the identity.

    The first member of each community trains, of the others every second one chooses and the rest judges. The
    communities maximise modularity; they are not the two sides of the split that followed.
    """
    pairs = torch.tensor([(a, b) for a, friends in _FRIENDS.items() for b in friends])
    both = torch.cat([pairs, pairs.flip(1)])
    y = torch.tensor([int(letter) for letter in _COMMUNITY])
    n = len(y)
    train = torch.zeros(n, dtype=torch.bool)
    for label in range(4):
        train[(y == label).nonzero()[0]] = True
    graph = Graph(Relation.from_edges(both[:, 0], both[:, 1], n, n))
    others = (~train).nonzero()[:, 0]
    val = torch.zeros_like(train)
    val[others[::2]] = True
    split = Split(train, val, ~train & ~val)
    return NodeData("karate", graph, torch.eye(n), y, (split,), source="Zachary 1977")


_ORIGIN = Origin("Zachary 1977, communities as in Kipf and Welling 2017", "in the package", "public domain")
register(Dataset("karate", "people, friendship, community", Size(34, 156, 34, 4), _ORIGIN, karate, splits=("public",)))
