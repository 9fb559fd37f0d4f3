"""Which part of what happens at a boundary node belongs to which facets.

The reaction of a Dirichlet node is one number, and where two named sets meet it has to be divided between them. Shares
by length (or area) alone would be wrong by O(h): at the corner of a heated and an insulating-looking wall half of the
heat would go to the wrong one. Here each set predicts its part from the flow density at its neighbouring own nodes, and
what the predictions miss is divided by length: exact for densities that are constant on each set, and the parts always
add up to the whole.
"""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

import torch
from torch import Tensor

from graphpde.core.relation import Relation
from graphpde.mesh.space import Space


class Corners(NamedTuple):
    """Pairs of a facet and an unknown on it.

    Attributes:
        facet: row of the facet among those given [k]. node: the unknown [k]. size: integral of its shape function over
            the facet [k].
    """

    facet: Tensor
    node: Tensor
    size: Tensor


def facet_corners(space: Space, ids: Tensor) -> Corners:
    """The unknowns on facets ``ids`` [f] with their shares of the facets' measures."""
    row = torch.full((len(space.mesh.facets.nodes),), -1, dtype=torch.int64)
    row[ids] = torch.arange(len(ids))
    facet, node, size = [], [], []
    for block in space.facets(ids) if len(ids) else []:
        integral = torch.einsum("qk,mq->mk", block.values, block.volume)
        facet.append(row[block.ids][:, None].expand(block.dofs.shape).reshape(-1))
        node.append(block.dofs.reshape(-1).cpu())
        size.append(integral.reshape(-1).cpu().double())
    if not facet:
        none = torch.zeros(0, dtype=torch.int64)
        return Corners(none, none, torch.zeros(0, dtype=torch.float64))
    return Corners(torch.cat(facet), torch.cat(node), torch.cat(size))


class Shares(NamedTuple):
    """Node values -> their sums over groups of facets, as one sparse product."""

    relation: Relation
    weight: Tensor

    def __call__(self, r: Tensor) -> Tensor:
        """Sums [*, g, c] of r [*, n, c]."""
        return self.relation.propagate(r, weight=self.weight.to(r.dtype))

    @classmethod
    def of(cls, entries: dict[tuple[int, int], float], n: int, groups: int, device: torch.device) -> Shares:
        """From {(group, node): share}."""
        pairs = torch.tensor(list(entries), dtype=torch.int64).reshape(-1, 2)
        relation = Relation.from_edges(pairs[:, 1], pairs[:, 0], n, groups)
        weight = relation.own(torch.tensor(list(entries.values()), dtype=torch.float64))
        return cls(relation.to(device), weight.to(device))


def plain_shares(corners: Corners, regions: Tensor, n: int, device: torch.device) -> Shares:
    """Every node divided among its facets by their measure, summed over regions [r, f] (bool), which may overlap."""
    size = _positive(corners)
    gather = Relation.from_edges(torch.arange(len(size)), corners.node, len(size), n)
    whole = gather.collect(gather.own(size)[:, None])[:, 0]
    return weighted_shares(corners, size / whole[corners.node], regions, n, device)


def weighted_shares(corners: Corners, weight: Tensor, regions: Tensor, n: int, device: torch.device) -> Shares:
    """Sums over regions [r, f] (bool) with a weight of every pair of facet and node [k]."""
    r, k = regions[:, corners.facet].nonzero(as_tuple=True)
    relation = Relation.from_edges(corners.node[k], r, n, len(regions))
    return Shares(relation.to(device), relation.own(weight[k]).to(device))


def group_shares(corners: Corners, group: Tensor, groups: int, n: int, device: torch.device) -> Shares:
    """Reactions of nodes divided among groups of facets, ``group`` [f] the group of each; see the head of the file."""
    size: dict[int, dict[int, float]] = defaultdict(lambda: defaultdict(float))  # node -> group -> measure
    for node, g, s in zip(
        corners.node.tolist(), group[corners.facet].tolist(), _positive(corners).tolist(), strict=True
    ):
        size[node][g] += s
    entries = {(g, node): 1.0 for node, parts in size.items() if len(parts) == 1 for g in parts}
    shared = {node for node, parts in size.items() if len(parts) > 1}
    near = _neighbours(corners, group, shared)
    own: dict[int, list[int]] = defaultdict(list)
    for g, node in entries:
        own[g].append(node)
    for j in shared:  # a corner that touches no own node of a set takes the mean over all of them
        around = {g: near.get((j, g)) or own[g] for g in size[j]}
        _divide(j, size, around, entries)
    return Shares.of(entries, n, groups, device)


def _divide(
    j: int, size: dict[int, dict[int, float]], around: dict[int, list[int]], entries: dict[tuple[int, int], float]
) -> None:
    """Add the shares of a node where groups meet to ``entries``; ``around`` are the own nodes of each group near it."""
    parts = size[j]
    known = [g for g in parts if around[g]]
    takers = [g for g in parts if g not in known] or list(parts)  # who predicts nothing gets what is left
    total = sum(parts[g] for g in takers)
    take = {g: parts[g] / total for g in takers}
    for g, share in take.items():
        entries[g, j] = entries.get((g, j), 0.0) + share
    for g in known:
        predicted = parts[g] / sum(size[i][g] for i in around[g])
        for i in around[g]:
            entries[g, i] = entries.get((g, i), 0.0) + predicted
            for taker, share in take.items():
                entries[taker, i] = entries.get((taker, i), 0.0) - share * predicted


def _neighbours(corners: Corners, group: Tensor, shared: set[int]) -> dict[tuple[int, int], list[int]]:
    """For each shared node and group: the nodes of that group alone on the facets around."""
    touched = torch.zeros(len(group), dtype=torch.bool)
    touched[corners.facet[torch.isin(corners.node, torch.tensor(sorted(shared), dtype=torch.int64))]] = True
    pick = touched[corners.facet]
    around: dict[int, list[int]] = defaultdict(list)
    for facet, node in zip(corners.facet[pick].tolist(), corners.node[pick].tolist(), strict=True):
        around[facet].append(node)
    out: dict[tuple[int, int], set[int]] = defaultdict(set)
    for facet, nodes in around.items():
        mine = [node for node in nodes if node in shared]
        own = {node for node in nodes if node not in shared}
        for node in mine:
            out[node, int(group[facet])] |= own
    return {key: sorted(nodes) for key, nodes in out.items()}


def _positive(corners: Corners) -> Tensor:
    """Measures that are zero (vertices of quadratic triangles) made small instead, so that shares exist."""
    most = float(corners.size.abs().max()) if len(corners.size) else 1.0
    return corners.size.abs().clamp(min=1e-13 * most)
