"""Every sum over edges once more, in numpy's extended precision and by the definition; with a yardstick for rounding.

All arrays are [edges or nodes, channels], of one group. Each function returns the exact values and ``size``: the sum
of the magnitudes of all that was added up, to which rounding errors are proportional.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from graphpde.core.relation import Relation

Array = np.ndarray
Pair = tuple[Array, Array]


def wide(x: Tensor) -> Array:
    return x.detach().to(torch.float64).numpy().astype(np.longdouble)


def ends(rel: Relation) -> tuple[Array, Array]:
    src, dst = rel.pairs()
    return src.numpy(), dst.numpy()


def added(rows: Array, m: Array, n: int) -> Array:
    """The sum of the m [e, c] of each of n rows."""
    y = np.zeros((n, m.shape[1]), np.longdouble)
    np.add.at(y, rows, m)
    return y


def per_channel(w: Array, c: int) -> Array:
    return np.repeat(w, c // w.shape[1], 1)


def weighted(rel: Relation, x: Array, w: Array | None = None) -> Pair:
    src, dst = ends(rel)
    m = x[src] if w is None else x[src] * per_channel(w, x.shape[1])
    return added(dst, m, rel.n_dst), added(dst, abs(m), rel.n_dst)


def pulled_back(rel: Relation, g: Array, w: Array | None = None) -> Pair:
    """The gradient of the sources for g at the destinations."""
    src, dst = ends(rel)
    m = g[dst] if w is None else g[dst] * per_channel(w, g.shape[1])
    return added(src, m, rel.n_src), added(src, abs(m), rel.n_src)


def dots(rel: Relation, y: Array, x: Array, heads: int = 1) -> Pair:
    src, dst = ends(rel)
    m = (y[dst] * x[src]).reshape(len(src), heads, x.shape[1] // heads)
    return m.sum(2), abs(m).sum(2)


def mean(rel: Relation, x: Array, w: Array | None = None) -> Pair:
    degree = np.maximum(np.bincount(ends(rel)[1], minlength=rel.n_dst), 1)[:, None]
    y, size = weighted(rel, x, w)
    return y / degree, size / degree


def extreme(rel: Relation, m: Array, sign: int) -> Array:
    """Largest (+1) or smallest (-1) of the messages m [e, c]; 0 where there is none."""
    _, dst = ends(rel)
    y = np.full((rel.n_dst, m.shape[1]), -np.inf, np.longdouble)
    np.maximum.at(y, dst, sign * m)
    return np.where(np.isin(np.arange(rel.n_dst), dst)[:, None], sign * y, 0)


def softmax(rel: Relation, s: Array) -> Pair:
    """The size allows for the rounding of each score's distance to the largest, which the exponential magnifies."""
    _, dst = ends(rel)
    far = s - extreme(rel, s, 1)[dst]
    p = np.exp(far)
    p = p / added(dst, p, rel.n_dst)[dst]
    return p, p * (1 + abs(far) + added(dst, p * abs(far), rel.n_dst)[dst])


def logsumexp(rel: Relation, s: Array) -> Pair:
    _, dst = ends(rel)
    top = extreme(rel, s, 1)
    far = s - top[dst]
    total = added(dst, np.exp(far), rel.n_dst)
    with np.errstate(divide="ignore"):
        y = np.where(total > 0, top + np.log(total), -np.inf)
    return y, 1 + abs(top) + added(dst, np.exp(far) * (1 + abs(far)), rel.n_dst) / np.maximum(total, 1)


def attention(rel: Relation, q: Array, k: Array, v: Array, heads: int, scale: float) -> Pair:
    """The size allows for the rounding of the scores and of the probabilities, too."""
    _, dst = ends(rel)
    s, terms = (scale * z for z in dots(rel, q, k, heads))
    p, doubt = softmax(rel, s)
    share = added(dst, p * terms, rel.n_dst)[dst]
    doubt = doubt + p * (1 + terms + share)  # 1: of the sum over the values itself
    return weighted(rel, v, p)[0], weighted(rel, abs(v), doubt)[0]


def blocked(rel: Relation, x: Array, block: Array) -> Pair:
    src, dst = ends(rel)
    m = block * x[src][:, None, :]
    return added(dst, m.sum(2), rel.n_dst), added(dst, abs(m).sum(2), rel.n_dst)
