"""Where a point lies in a cell: shape function values there, and the nearest point of the cell if it lies outside.

Everything takes one point and one cell per row: x [p, d] and corners v [p, k, d]. Weights [p, k] are the values of the
shape functions at the corners: barycentric coordinates on simplices, bi- and trilinear functions on quadrilaterals and
hexahedra, products of both on wedges, and on pyramids the rational functions that are linear on triangular and bilinear
on quadrilateral faces. All add up to 1 and give x back as the weighted mean of the corners.
"""

from __future__ import annotations

import numpy as np

from graphpde.mesh.cells import CELLS

_CENTRE = {"wedge": (1 / 3, 1 / 3, 0.5), "pyramid": (0.4, 0.4, 0.2), "quad": (0.5, 0.5), "hexahedron": (0.5, 0.5, 0.5)}
_SQUARE = ((0, 0), (1, 0), (1, 1), (0, 1))
_CORNERS = {
    "quad": _SQUARE,
    "hexahedron": tuple((*flat, z) for z in (0, 1) for flat in _SQUARE),
    "wedge": tuple((*flat, z) for z in (0, 1) for flat in ((0, 0), (1, 0), (0, 1))),
    "pyramid": (*((*flat, 0) for flat in _SQUARE), (0, 0, 1)),
}
# simplices that fill a cell, for cells so distorted that Newton's method finds no way
_SPLIT = {
    "quad": ((0, 1, 2), (0, 2, 3)),
    "pyramid": ((0, 1, 2, 4), (0, 2, 3, 4)),
    "wedge": ((0, 1, 2, 5), (0, 1, 5, 4), (0, 4, 5, 3)),
    "hexahedron": ((0, 1, 2, 6), (0, 2, 3, 6), (0, 3, 7, 6), (0, 7, 4, 6), (0, 4, 5, 6), (0, 5, 1, 6)),
}
_SIMPLEX = {1: "vertex", 2: "line", 3: "triangle", 4: "tetra"}
_OF_WIDTH = {1: "vertex", 2: "line", 3: "triangle", 4: "quad"}
_ROUNDS = 15  # of Newton's method; cells without folds need five or six
_REACH = 4.0  # iterates stay in the reference cell blown up by this
_STILL = 1e-13  # a step of this size is the last,
_SETTLED = 1e-8  # and one of this size, squared by the next, has found its end
_OFF = 1e-9  # a solution misses its point by at most this times the size of the cell


def within(kind: str, x: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights [p, k] of a near point of the cell and its distance [p]: x itself and 0 where x lies in the cell.

    Outside it is some point of the cell, close to x where x is close to the cell. A cell without size gives infinity.
    """
    near, distance, _, _ = _tried(kind, x, v)
    return near, distance


def closest(kind: str, x: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights [p, k] of the nearest point of the cell and its distance [p]; 0 where x lies in the cell.

    Next to a warped quadrilateral in space it is a point from which the distance cannot be made smaller nearby.
    """
    if kind == "vertex":
        return np.ones((len(x), 1)), _length(x - v[:, 0])
    near, distance, weights, solved = _tried(kind, x, v, again=True)
    done = solved & (weights.min(1) >= 0)
    for side in CELLS[kind].facets:
        faces = ~done
        if kind not in _CENTRE:  # the nearest point of a simplex lies on a side that x can see: beyond it is negative
            faces &= ~(solved & (weights[:, [k for k in range(v.shape[1]) if k not in side]].sum(1) >= 0))
        rows = np.flatnonzero(faces)
        if not len(rows):
            continue
        part, away = closest(_OF_WIDTH[len(side)], x[rows], v[rows][:, side])
        better = ~(away >= distance[rows])
        rows = rows[better]
        distance[rows] = away[better]
        near[rows] = 0.0
        near[rows[:, None], np.array(side)] = part[better]
    return near, distance


def _tried(
    kind: str, x: np.ndarray, v: np.ndarray, again: bool = False
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """What ``within`` gives, and the solution it comes from, which may lie outside of the cell."""
    full = v.shape[2] == CELLS[kind].dim
    held = np.arange(len(x))
    weights, solved = np.full(v.shape[:2], 1 / v.shape[1]), np.zeros(len(x), dtype=bool)
    near, distance = weights.copy(), np.full(len(x), np.inf)
    if full and kind in _CENTRE:  # spare Newton's method what the box tells
        room = _OFF * np.abs(v - v[:, :1]).max((1, 2))[:, None]
        held = np.flatnonzero(((x >= v.min(1) - room) & (x <= v.max(1) + room)).all(1))
    weights[held], solved[held] = _solution(kind, x[held], v[held])
    if again and full and kind in _CENTRE:
        _retry(kind, x, v, held, weights, solved)
    near[held], distance[held] = _clamped(weights[held], x[held], v[held])
    distance[~solved] = np.inf
    if full:
        distance[solved & (weights.min(1) >= 0)] = 0.0
    lost = held[~solved[held]]
    if len(lost) and kind in _SPLIT:
        near[lost], distance[lost] = _in_simplices(kind, x[lost], v[lost])
    return near, distance, weights, solved


def _retry(kind: str, x: np.ndarray, v: np.ndarray, rows: np.ndarray, weights: np.ndarray, solved: np.ndarray) -> None:
    """Start once more from near each corner: in a cell that is not convex a point outside may solve it as well."""
    for corner in range(v.shape[1]):
        rows = rows[~(solved[rows] & (weights[rows].min(1) >= 0))]
        if not len(rows):
            return
        found, good = _solution(kind, x[rows], v[rows], corner)
        good &= found.min(1) >= 0
        weights[rows[good]], solved[rows[good]] = found[good], True


def _solution(kind: str, x: np.ndarray, v: np.ndarray, corner: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Weights of the point of the (continued) cell map at or next to x, and whether there is one."""
    with np.errstate(all="ignore"):  # cells without size divide by zero and are told by the result
        if kind in _CENTRE:
            start = np.array(_CENTRE[kind])
            if corner is not None:
                start = 0.3 * start + 0.7 * np.array(_CORNERS[kind][corner])
            weights, solved = _newton(kind, x, v, start)
        elif kind == "vertex":
            weights, solved = np.ones((len(x), 1)), np.ones(len(x), dtype=bool)
        else:
            rest = _least_squares(np.swapaxes(v[:, 1:] - v[:, :1], 1, 2), x - v[:, 0])
            weights = np.concatenate([1 - rest.sum(1, keepdims=True), rest], 1)
            solved = np.ones(len(x), dtype=bool)
        solved &= np.isfinite(weights).all(1)
    weights[~solved] = 1 / v.shape[1]
    return weights, solved


def _in_simplices(kind: str, x: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    near, distance = np.full(v.shape[:2], 1 / v.shape[1]), np.full(len(x), np.inf)
    for part in _SPLIT[kind]:
        weights, away = within(_SIMPLEX[len(part)], x, v[:, part])
        rows = np.flatnonzero(away < distance)
        near[rows] = 0.0
        near[rows[:, None], np.array(part)] = weights[rows]
        distance[rows] = away[rows]
    return near, distance


def _clamped(weights: np.ndarray, x: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights without their negative part, and how far that moves the point."""
    positive = np.maximum(weights, 0.0)
    positive /= positive.sum(1, keepdims=True)
    return positive, _length(_mean(positive, v - x[:, None]))


def _newton(kind: str, x: np.ndarray, v: np.ndarray, start: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Newton's method on the cell map from a point of the reference cell; Gauss-Newton for a quadrilateral in space."""
    xi = np.tile(start, (len(x), 1))
    step = np.full(len(x), np.inf)
    active = np.arange(len(x))
    for _ in range(_ROUNDS):
        values, slopes = _shape(kind, xi[active])
        corners = v[active]
        missing = x[active] - _mean(values, corners)
        jacobian = np.matmul(np.swapaxes(corners, 1, 2), slopes)
        moved = np.clip(xi[active] + _least_squares(jacobian, missing), 0.5 - _REACH, 0.5 + _REACH)
        size = np.abs(moved - xi[active]).max(1)
        xi[active], step[active] = moved, size
        active = active[size > _STILL]  # not a number is not greater: such rows end here
        if not len(active):
            break
    values, slopes = _shape(kind, xi)
    solved = step < _SETTLED
    if v.shape[2] == CELLS[kind].dim:
        size = np.abs(v - v[:, :1]).max((1, 2))
        solved &= _length(x - _mean(values, v)) <= _OFF * size
    return values, solved


def _shape(kind: str, xi: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shape functions [p, k] and their derivatives [p, k, r] at one point of the reference cell per row."""
    a, b = xi[:, 0], xi[:, 1]
    one, zero = np.ones(len(xi)), np.zeros(len(xi))
    if kind == "pyramid":
        q = np.where(np.abs(1 - xi[:, 2]) < 1e-14, 1e-14, 1 - xi[:, 2])
        m = a * b / q
        da, db, dc = b / q, a / q, m / q
        values = np.stack([q - a - b + m, a - m, m, b - m, 1 - q], 1)
        first = np.stack([da - 1, 1 - da, da, -da, zero], 1)
        second = np.stack([db - 1, -db, db, 1 - db, zero], 1)
        return values, np.stack([first, second, np.stack([dc - 1, -dc, dc, -dc, one], 1)], 2)
    if kind == "wedge":
        values = np.stack([1 - a - b, a, b], 1)
        first, second = np.stack([-one, one, zero], 1), np.stack([-one, zero, one], 1)
    else:
        values = np.stack([(1 - a) * (1 - b), a * (1 - b), a * b, (1 - a) * b], 1)
        first, second = np.stack([b - 1, 1 - b, b, -b], 1), np.stack([a - 1, -a, a, 1 - a], 1)
        if kind == "quad":
            return values, np.stack([first, second], 2)
    down, up = 1 - xi[:, 2:], xi[:, 2:]
    first, second = (np.concatenate([part * down, part * up], 1) for part in (first, second))
    third = np.concatenate([-values, values], 1)
    return np.concatenate([values * down, values * up], 1), np.stack([first, second, third], 2)


def _least_squares(e: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The c [p, r] for which e c is next to y, e [p, d, r], y [p, d]; not finite where e has no full rank."""
    d, r = e.shape[1:]
    first = e[:, :, 0]
    if r == 1:
        return (_dot(y, first) / _dot(first, first))[:, None]
    second = e[:, :, 1]
    if d == 2:
        return np.stack([_cross2(y, second), _cross2(first, y)], 1) / _cross2(first, second)[:, None]
    if r == 2:
        normal = _cross(first, second)
        return (
            np.stack([_dot(_cross(y, second), normal), _dot(_cross(first, y), normal)], 1)
            / (_dot(normal, normal)[:, None])
        )
    third = e[:, :, 2]
    other = _cross(second, third)
    turned = _cross(first, y)
    parts = [_dot(y, other), _dot(turned, third), -_dot(turned, second)]
    return np.stack(parts, 1) / _dot(first, other)[:, None]


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.stack([a[:, i] * b[:, j] - a[:, j] * b[:, i] for i, j in ((1, 2), (2, 0), (0, 1))], 1)


def _cross2(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.einsum("pd,pd->p", a, b)


def _mean(weights: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.einsum("pk,pkd->pd", weights, v)


def _length(x: np.ndarray) -> np.ndarray:
    return np.sqrt(_dot(x, x))
