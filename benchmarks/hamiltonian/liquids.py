"""Lennard-Jones liquids by other means: all pairs in torch, and lists from cells in numpy."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import torch
from torch import Tensor

CUTOFF = 2.5
_SHIFT = 24 * (2 * CUTOFF**-12 - CUTOFF**-6) / CUTOFF
"""Minus the slope of the potential at the cutoff, added so that forces end at zero."""


class AllPairs:
    """Forces [n, 3] in torch over all pairs of particles in a cube, some rows at a time.

    Args:
        length: of the cube. rows: so many that a block stays in the caches.
    """

    def __init__(self, length: float, rows: int = 64):
        self.length, self.rows = length, rows

    def __call__(self, q: Tensor) -> Tensor:
        out, columns = torch.empty_like(q), q.T.contiguous()
        for first in range(0, len(q), self.rows):
            here = columns[:, first : first + self.rows, None]
            apart = columns[:, None, :] - here
            apart -= self.length * torch.round(apart / self.length)
            s = apart.square().sum(0)
            inside = (s < CUTOFF**2) & (s > 0)
            s = torch.where(inside, s, 1.0)
            x = s**-3
            pull = torch.where(inside, -24 * (2 * x * x - x) / s + _SHIFT * s.rsqrt(), 0.0)
            out[first : first + self.rows] = (pull * apart).sum(-1).T
        return out


class Cells:
    """Forces [n, 3] in numpy over a list of pairs with a skin, which cells make anew when particles have moved.

    Args:
        length: of the cube. skin: of the list; made anew when a particle has moved by half of it.
    """

    def __init__(self, length: float, skin: float):
        self.length, self.skin, self.made = length, skin, 0
        self.count = max(int(length / (CUTOFF + skin)), 3)
        self._before: Any = None

    def __call__(self, q: np.ndarray) -> np.ndarray:
        if self._before is None or float(((q - self._before) ** 2).sum(1).max()) > (self.skin / 2) ** 2:
            self._before, (self.i, self.j), self.made = q.copy(), self._pairs(q), self.made + 1
        apart = self._nearest(q[self.j] - q[self.i])
        s = np.einsum("ek,ek->e", apart, apart)
        near = s < CUTOFF**2
        i, j, apart, s = self.i[near], self.j[near], apart[near], s[near]
        inverse = 1 / s
        x = inverse**3
        pull = ((-24 * (2 * x * x - x)) * inverse + _SHIFT * np.sqrt(inverse))[:, None] * apart
        n = len(q)
        return np.stack(
            [np.bincount(i, pull[:, k], n) - np.bincount(j, pull[:, k], n) for k in range(3)], 1
        )  # several times as fast as np.add.at

    def _nearest(self, apart: np.ndarray) -> np.ndarray:
        return apart - self.length * np.round(apart / self.length)

    def _pairs(self, q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pairs within cutoff + skin: every cell with itself and with half of its 26 neighbours."""
        m, reach = self.count, CUTOFF + self.skin
        cell = np.floor((q / self.length % 1.0) * m).astype(np.int64) % m
        flat = (cell[:, 0] * m + cell[:, 1]) * m + cell[:, 2]
        order = np.argsort(flat, kind="stable")
        counts = np.bincount(flat, minlength=m**3)
        first, most = np.cumsum(counts) - counts, int(counts.max())
        table = np.full((m**3, most), -1, dtype=np.int64)  # who is in a cell
        table[flat[order], np.arange(len(q)) - first[flat[order]]] = order
        places = np.indices((m, m, m)).reshape(3, -1)
        kept = []
        for way in itertools.product((-1, 0, 1), repeat=3):
            if way < (0, 0, 0):
                continue
            x, y, z = ((places[k] + way[k]) % m for k in range(3))
            i, j = np.broadcast_arrays(table[:, :, None], table[(x * m + y) * m + z][:, None, :])
            both = (i >= 0) & (j >= 0) & ((i < j) if way == (0, 0, 0) else True)
            i, j = i[both], j[both]
            apart = self._nearest(q[j] - q[i])
            near = np.einsum("ek,ek->e", apart, apart) < reach**2
            kept.append((i[near], j[near]))
        i, j = (np.concatenate(ends) for ends in zip(*kept, strict=True))
        return i, j


def verlet(force: Any, q: Any, p: Any, dt: float, steps: int) -> tuple[Any, Any]:
    """Velocity Verlet for masses of 1, of torch's or numpy's arrays."""
    f = force(q)
    for _ in range(steps):
        p = p + 0.5 * dt * f
        q = q + dt * p
        f = force(q)
        p = p + 0.5 * dt * f
    return q, p
