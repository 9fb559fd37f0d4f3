"""Pairs of points that are close to each other, each pair once, also through the walls of a periodic box.

Reference: Allen and Tildesley 2017, Computer Simulation of Liquids, section 5.3 (cell lists).
"""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import Tensor

from graphpde.core.neighbors import has_tree, positions
from graphpde.errors import GraphError, InputError, ShapeError

MOST = 1 << 28  # pairs: 4 GB of numbers of points
_ENTRIES = 1 << 22  # candidates that are looked at together


class Box:
    """A periodic box: what leaves through one wall comes in through the one across.

    Args:
        lengths: of the edges [d], > 0; inf = open in that direction.

    Raises:
        InputError: lengths that are not > 0. ShapeError: no list of lengths.
    """

    def __init__(self, lengths: Any):
        self.lengths = torch.as_tensor(lengths, dtype=torch.float64)
        if self.lengths.dim() != 1:
            raise ShapeError(f"the box has shape {list(self.lengths.shape)}, expected one length per direction: [d]")
        if not bool((self.lengths > 0).all()):
            raise InputError(
                f"the box has an edge of {float(self.lengths.min()):g}, expected > 0, or inf where it is open"
            )
        closed = torch.isfinite(self.lengths)
        self._period = torch.where(closed, self.lengths, 0.0)
        self._turns = torch.where(closed, 1 / self.lengths, 0.0)

    @property
    def d(self) -> int:
        """Number of directions."""
        return len(self.lengths)

    @property
    def volume(self) -> float:
        """Product of the lengths; inf where one is open."""
        return float(self.lengths.prod())

    def require(self, d: int) -> None:
        """Refuse positions of another dimension.

        Raises:
            ShapeError: there are not d lengths.
        """
        if self.d != d:
            raise ShapeError(f"the box has {self.d} lengths and positions have {d} coordinates, expected as many")

    def nearest(self, apart: Tensor) -> Tensor:
        """Differences of positions [*, d] to the nearest image."""
        return apart + self.shift(apart)

    def shift(self, apart: Tensor) -> Tensor:
        """What is added to differences [*, d] for that: whole multiples of the lengths."""
        return -self._period.to(apart) * torch.round(apart.detach() * self._turns.to(apart))

    def inside(self, pos: Tensor) -> Tensor:
        """Positions [*, d] moved into the box, 0 <= x < length."""
        moved = pos - self._period.to(pos) * torch.floor(pos.detach() * self._turns.to(pos))
        period = self._period.to(pos)
        return torch.where((period > 0) & (moved >= period), moved - period, moved)  # where rounding reached the wall


def close_pairs(pos: Tensor, r: float, *, box: Box | None = None) -> tuple[Tensor, Tensor]:
    """(i, j) of all pairs at distance <= r, i < j, sorted by i, then j.

    Args:
        pos: points [n, d], not differentiated. r: > 0 in the units of the positions. box: periodic.

    Raises:
        InputError: positions that are not finite, r <= 0, a box with an edge shorter than 2 r: the nearest image of a
            neighbour would not be the only one. ShapeError: a box of another dimension. GraphError: over 2^28 pairs.
    """
    points = positions(pos, "pos")
    if not 0 < float(r) < float("inf"):
        raise InputError(f"r = {r}, expected a finite radius > 0")
    if box is not None:
        check_box(box, points.shape[1], float(r))
        points = box.inside(points)
    if has_tree(points):
        return _by_tree(points, float(r), box)
    return by_cells(points, float(r), box)


def check_box(box: Box, d: int, r: float) -> None:
    """Refuse a box of another dimension or without room.

    Raises:
        ShapeError: another dimension. InputError: an edge shorter than 2 r.
    """
    box.require(d)
    if bool((box.lengths < 2 * r).any()):
        raise InputError(
            f"the box has an edge of {float(box.lengths.min()):g}, expected at least twice the reach {r:g} of the "
            f"forces (cutoff and skin); take a larger box or a shorter reach"
        )


def _by_tree(points: Tensor, r: float, box: Box | None) -> tuple[Tensor, Tensor]:
    from scipy.spatial import cKDTree

    period = None if box is None else torch.where(torch.isfinite(box.lengths), box.lengths, 0.0).numpy()
    tree = cKDTree(points.numpy(), boxsize=period)
    if len(points) ** 2 > 2 * MOST:  # a sample tells whether they would fit into memory
        some = points[:: max(len(points) // 256, 1)].numpy()
        _refuse_many(int(tree.query_ball_point(some, r, return_length=True).mean() * len(points) / 2), len(points), r)
    pairs = torch.from_numpy(tree.query_pairs(r, output_type="ndarray")).to(torch.int64)
    return _sorted(pairs[:, 0], pairs[:, 1], len(points))


def by_cells(points: Tensor, r: float, box: Box | None) -> tuple[Tensor, Tensor]:
    """The same by cells a little wider than r, whose neighbours are looked at: for devices without a tree."""
    n, d = points.shape
    low = points.amin(0) if n else points.new_zeros(d)
    extent = (points.amax(0) - low).clamp_min(r) if n else points.new_full((d,), r)
    closed = torch.zeros(d, dtype=torch.bool, device=points.device)
    if box is not None:
        closed = torch.isfinite(box.lengths).to(points.device)
        low = torch.where(closed, torch.zeros_like(low), low)
        extent = torch.where(closed, box.lengths.to(points), extent)
    most = max(int(max(n, 1) ** (1 / d)) + 1, 1)  # no more cells than points
    wide = r * (1 + 1e-6)  # so that rounding cannot put two points a distance of r apart into cells two apart
    counts = torch.clamp((extent / wide).floor().long(), 1, most)
    cell = torch.minimum(((points - low) / extent * counts).floor().long().clamp_min(0), counts - 1)
    stride = torch.cat([counts.new_ones(1), counts.cumprod(0)[:-1]])
    number = (cell * stride).sum(1)
    order = torch.argsort(number, stable=True)
    total = int(counts.prod())
    held = torch.bincount(number, minlength=total)
    start = held.cumsum(0) - held
    none = order[:0]
    found, known = [(none, none)], 0
    for offset in itertools.product((-1, 0, 1), repeat=d):
        shift = torch.tensor(offset, device=points.device)
        there = cell + shift
        twice = closed & ((counts == 1) & (shift != 0) | (counts == 2) & (shift < 0))  # the same cell by another way
        if bool(twice.any()):
            continue
        inside = (closed | ((there >= 0) & (there < counts))).all(1)
        target = (torch.where(closed, there % counts, there.clamp_min(0)) * stride).sum(1).clamp(0, total - 1)
        size = torch.where(inside, held[target], 0)
        for rows in _blocks(size):
            i = rows.repeat_interleave(size[rows])
            within = torch.arange(len(i), device=points.device) - (size[rows].cumsum(0) - size[rows]).repeat_interleave(
                size[rows]
            )
            j = order[start[target[i]] + within]
            apart = points[j] - points[i]
            apart = apart if box is None else box.nearest(apart)
            kept = (i < j) & (apart.square().sum(1) <= r * r)
            found.append((i[kept], j[kept]))
            known += len(found[-1][0])
            _refuse_many(known, n, r)
    tail, head = (torch.cat(part) for part in zip(*found, strict=True))
    return _sorted(tail, head, n)


def _blocks(size: Tensor) -> list[Tensor]:
    """Rows in groups with a bounded number of candidates each."""
    group = (size.cumsum(0) - size) // _ENTRIES
    rows = torch.arange(len(size), device=size.device)[size > 0]
    _, lengths = torch.unique_consecutive(group[rows], return_counts=True)
    return list(rows.split(lengths.tolist()))


def _sorted(tail: Tensor, head: Tensor, n: int) -> tuple[Tensor, Tensor]:
    low, high = torch.minimum(tail, head), torch.maximum(tail, head)
    key = (low * n + high).sort().values
    return key // max(n, 1), key % max(n, 1)


def _refuse_many(count: int, n: int, r: float) -> None:
    if count > MOST:
        raise GraphError(
            f"{n} points have {count:,} pairs within {r:g}, expected at most {MOST:,}; take a shorter reach, or look "
            "whether points have run into each other"
        )
