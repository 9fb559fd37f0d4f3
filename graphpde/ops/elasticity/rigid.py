"""Motions without strain, and whether something holds them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import torch
from torch import Tensor

from graphpde.core.components import components
from graphpde.core.linear_operator import LinearOperator
from graphpde.core.relation import Relation
from graphpde.mesh.space import Space
from graphpde.ops.integration import Integration
from graphpde.ops.term import Free

_SMALL = 1e-13
"""Of the largest: what the squares of a motion at the supports are when rounding alone is left of them."""
_STRAINED = 1e-6
"""Of a turn by one: strains from which it is none, because it tears cells that lie across periodic sides."""


def rigid_modes(space: Space, *, axisymmetric: bool = False) -> Tensor:
    """Motions without strain [n, d, q] about the mean of the nodes: 3 in the plane, 6 in space, 1 along an axis.

    Of periodic spaces those alone that go on across the sides that are one.
    """
    assert space.pos is not None
    modes = _modes(space.pos - space.pos.mean(0), axisymmetric)
    if not space.periodic:
        return modes
    return modes[..., [k for k in range(modes.shape[-1]) if not _is_strain(space, modes[..., k])]]


def _is_strain(space: Space, mode: Tensor) -> bool:
    grads = [grad for _, grad in Integration(space, space.element.degree).fields(mode)]
    return any(bool(((g + g.mT).abs() > _STRAINED).any()) for g in grads)


def _modes(x: Tensor, axisymmetric: bool) -> Tensor:
    n, d = x.shape
    shifts = torch.eye(d, dtype=x.dtype, device=x.device).expand(n, d, d)
    if axisymmetric:
        return shifts[..., 1:]
    turns = []
    for a, b in combinations(range(d), 2):
        turn = torch.zeros_like(x)
        turn[:, a], turn[:, b] = -x[:, b], x[:, a]
        turns.append(turn)
    return torch.cat([shifts, torch.stack(turns, -1)], -1)


@torch.no_grad()
def free_motions(
    space: Space, held: Tensor | None, supports: Sequence[LinearOperator] = (), *, axisymmetric: bool = False
) -> Free:
    """How a body, or a part of a mesh that hangs together, can move without strain.

    Args:
        held: entries with given values, bool [n] or [n, d]. supports: operators beside the body's own, such as springs.

    Returns:
        How many such motions all parts have, and a sentence on those of the first that has some.
    """
    assert space.pos is not None
    x = space.pos.detach().to("cpu", torch.float64)
    n, d = x.shape
    part = components(space).cpu()
    count = int(part.max()) + 1
    of_part = Relation.from_edges(torch.arange(n), part, n, count)
    weight = of_part.propagate(torch.ones(n, 1, dtype=x.dtype))
    x = x - (of_part.propagate(x) / weight)[part]
    size = (of_part.propagate((x**2).sum(1, keepdim=True)) / weight).sqrt()
    modes = _modes(x / size[part], axisymmetric)
    felt = [] if held is None else [(torch.arange(n), modes * held.cpu().reshape(n, -1, 1))]
    for support in supports:
        pulls = [support(mode.contiguous().to(space.device, space.dtype)).to(x) for mode in modes.unbind(-1)]
        felt.append((torch.arange(n), _by_direction(torch.stack(pulls, -1))))
    felt += _torn(space, modes, float(size.max())) if space.periodic else []
    squares = torch.zeros(count, modes.shape[-1], modes.shape[-1], dtype=x.dtype)
    for nodes, motion in felt:
        moved = (motion != 0).flatten(1).any(1).nonzero()[:, 0]
        down = Relation.from_edges(torch.arange(len(moved)), part[nodes[moved]], len(moved), count)
        squares += down.propagate((motion[moved].mT @ motion[moved]).flatten(1)).reshape(squares.shape)
    values, vectors = torch.linalg.eigh(squares)
    free = values <= _SMALL * values[:, -1:].clamp(min=1.0)
    if not bool(free.any()):
        return Free(0, "")
    k = int(free.any(1).nonzero()[0, 0])
    told = _told(vectors[k][:, free[k]], d, axisymmetric)
    name = _name(k, count, int((part == k).nonzero()[0, 0]))
    return Free(int(free.sum()), f"{name} can still {told}; hold that by a value, a plane of symmetry or springs")


def _by_direction(pull: Tensor) -> Tensor:
    """Forces [n, d, q] of motions, each component of each node in units of its own: a soft spring holds as well."""
    largest = pull.abs().amax(-1, keepdim=True)
    return torch.where(largest > 1e-14 * largest.max(), pull / largest, 0.0)


def _torn(space: Space, modes: Tensor, size: float) -> list[tuple[Tensor, Tensor]]:
    """Nodes [m] and strains [m, q d d, k] of cells that motions [n, d, k] strain: those across periodic sides.

    ``size``: that of the body.
    """
    points = Integration(space, space.element.degree)
    strains = [
        torch.stack([0.5 * size * (grad + grad.mT) for _, grad in each], -1).flatten(1, 3).to(modes)
        for each in zip(*(points.fields(mode.to(space.device, space.dtype)) for mode in modes.unbind(-1)), strict=True)
    ]
    nodes = [block.dofs[:, 0].cpu() for block in points.blocks]
    return [(n, torch.where(e.abs() > _STRAINED, e, 0.0)) for n, e in zip(nodes, strains, strict=True)]


def _name(k: int, count: int, node: int) -> str:
    return "the body" if count == 1 else f"part {k + 1} of {count} of the body, with node {node},"


def _told(free: Tensor, d: int, axisymmetric: bool) -> str:
    """The motions that the columns [q, k] span: "move along y and turn about z"."""
    if axisymmetric:
        return "move along y"
    moves, turns = free[:d], free[d:]
    _, sizes, right = torch.linalg.svd(turns)
    rank = int((sizes > 1e-6).sum())
    words: list[str] = []
    if rank < free.shape[1]:
        words.append("move along " + _listed(_directions(moves @ right[rank:].mT)))
    if rank:
        # in space the turns are those from x to y, x to z and y to z: about z, -y and x
        axes = torch.stack([turns[2], -turns[1], turns[0]]) if d == 3 else turns
        words.append("turn about " + _listed(_directions(axes) if d == 3 else ["z"]))
    return " and ".join(words)


def _directions(span: Tensor) -> list[str]:
    """Names of directions that span the columns [3, k]: axes where they lie in it, else components."""
    left, sizes, _ = torch.linalg.svd(span, full_matrices=False)
    basis = left[:, sizes > 1e-6]
    inside = basis @ basis.mT
    axes = [k for k in range(len(span)) if float(inside[k, k]) > 1 - 1e-6]
    others = basis.clone()
    others[axes] = 0
    left, sizes, _ = torch.linalg.svd(others, full_matrices=False)
    rest = [v * v[v.abs().argmax()].sign() for v in left.mT[: basis.shape[1] - len(axes)]]
    return ["xyz"[k] for k in axes] + ["(" + ", ".join(f"{float(c) + 0.0:.2g}" for c in v) + ")" for v in rest]


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
