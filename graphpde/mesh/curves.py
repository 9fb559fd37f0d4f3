"""Closed plane curves as outlines: some corners on the curve and what moves further points onto it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from graphpde.errors import MeshError

_FEWEST_SIDES, _MOST_SIDES = 16, 20_000  # of a polygon that stands for a circle
_GROWTH = 0.1  # of the sides of an aerofoil from its ends, so small that no side is cut because of its neighbour
_TABLE = 4000  # samples of an aerofoil among which the nearest is looked for


class Curve(NamedTuple):
    """A closed curve: corners [k, 2] on it in order, and ``onto`` that moves points [j, 2] near it onto it."""

    corners: np.ndarray
    onto: Callable[[np.ndarray], np.ndarray]

    @classmethod
    def circle(cls, x: float, y: float, radius: float, size: float | None = None) -> Curve:
        """A circle with corners about ``size`` apart; None: 16 corners, for a size that varies.

        Raises:
            MeshError: a radius or size that is not a positive number, too many corners.
        """
        corners = circle(x, y, radius, 2 * radius if size is None else size)
        return cls(corners, partial(_onto_circle, np.array([x, y]), radius))

    @classmethod
    def naca(cls, digits: int, size: float, *, angle: float = 0.0) -> Curve:
        r"""The aerofoil NACA ``digits`` with chord 1, its nose at the origin and its sharp tail at (1, 0).

        Half the thickness is :math:`5t(0.2969\sqrt x - 0.126x - 0.3516x^2 + 0.2843x^3 - 0.1036x^4)`, laid off at right
        angles to the mean line; the last coefficient, 0.1015 in the report, closes the tail.

        Args:
            digits: 12 for NACA 0012, 2412, ...: camber in percent, its place in tenths, thickness in percent.
            size: distance of the corners; finer round the nose. angle: of attack in degrees, about the origin.

        Raises:
            MeshError: digits that name no aerofoil, a size that is not a positive number.

        Reference: Jacobs, Ward and Pinkerton 1933, NACA Report 460.
        """
        camber, place, thickness = digits // 1000 / 100, digits // 100 % 10 / 10, digits % 100 / 100
        if int(digits) != digits or not 0 < digits < 10_000 or not 0.01 <= thickness <= 0.4 or (camber and not place):
            raise MeshError(
                f"NACA {digits} names no aerofoil of four digits; expected camber, its place and 01 to 40 percent of "
                f"thickness, as in 12 (0012) or 2412"
            )
        if not (np.isfinite(size) and size > 0):
            raise MeshError(f"target edge length on the aerofoil is {size}, expected a positive number")
        turn = np.deg2rad(angle)
        rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])

        at = partial(_turned_profile, rotation, camber, place, thickness)
        nose = min(size, 0.55 * thickness**2)  # half the radius of the nose
        return cls(at(_spread(at, size, nose, min(nose, 0.25 * size))), partial(_onto_nearest, at))


def circle(x: float, y: float, radius: float, size: float) -> np.ndarray:
    """Corners [k, 2] of a regular polygon inscribed in a circle, sides about ``size``, at least 16 of them."""
    if not (np.isfinite(radius) and radius > 0 and np.isfinite(size) and size > 0):
        raise MeshError(f"circle of radius {radius} in sides of {size}: both must be positive numbers")
    sides = max(_FEWEST_SIDES, int(np.ceil(2 * np.pi * radius / size)))
    if sides > _MOST_SIDES:
        raise MeshError(f"circle of radius {radius} in sides of {size} has {sides}, expected at most {_MOST_SIDES}")
    angle = 2 * np.pi * np.arange(sides) / sides
    return np.stack([x + radius * np.cos(angle), y + radius * np.sin(angle)], 1)


def _onto_circle(centre: np.ndarray, radius: float, points: np.ndarray) -> np.ndarray:
    offset = points - centre
    return centre + radius * offset / np.linalg.norm(offset, axis=1, keepdims=True)


def _turned_profile(rotation: np.ndarray, camber: float, place: float, thickness: float, s: np.ndarray) -> np.ndarray:
    return _profile(s, camber, place, thickness) @ rotation


def _onto_nearest(at: Callable[[np.ndarray], np.ndarray], points: np.ndarray) -> np.ndarray:
    return at(_nearest(at, points))


def _profile(s: np.ndarray, camber: float, place: float, thickness: float) -> np.ndarray:
    """Points at parameters 0 (tail), over the upper side to pi (nose) and back along the lower side to 2 pi."""
    x = 0.5 * (1 + np.cos(s))
    root = np.abs(np.cos(0.5 * s))  # sqrt(x) without its loss of digits at the nose
    half = 5 * thickness * (0.2969 * root - 0.1260 * x - 0.3516 * x**2 + 0.2843 * x**3 - 0.1036 * x**4)
    half = np.where(s < np.pi, half, -half)
    if not camber:
        return np.stack([x, half], 1)
    front = x < place
    scale = camber / np.where(front, place, 1 - place) ** 2
    mean = scale * np.where(front, 2 * place * x - x**2, 1 - 2 * place + 2 * place * x - x**2)
    slope = np.arctan(2 * scale * (place - x))
    return np.stack([x - half * np.sin(slope), mean + half * np.cos(slope)], 1)


def _spread(at: Callable[[np.ndarray], np.ndarray], size: float, nose: float, tail: float) -> np.ndarray:
    """Parameters from the tail round to the tail, ``size`` apart, ``nose`` and ``tail`` apart at the two ends."""
    parts = []
    for low, high in ((0.0, np.pi), (np.pi, 2 * np.pi)):
        s = np.linspace(low, high, _TABLE)
        points = at(s)
        step = np.linalg.norm(np.diff(points, axis=0), axis=1)
        middle = 0.5 * (points[1:] + points[:-1])
        length = np.full(len(middle), size)
        for end, tip in ((0.0, tail), (np.pi, nose)):
            away = np.linalg.norm(middle - at(np.array([end])), axis=1)
            length = np.minimum(length, tip + _GROWTH * away)
        count = np.append(0, np.cumsum(step / length))
        pieces = max(8, int(np.ceil(count[-1])))
        if pieces > _MOST_SIDES:
            raise MeshError(f"an aerofoil in sides of {size:.3g} has {pieces} a side, expected at most {_MOST_SIDES}")
        parts.append(np.interp(np.arange(pieces) / pieces * count[-1], count, s))
    spread = np.concatenate(parts)
    # the sides at a sharp corner are cut in three: leave that out here
    return np.delete(spread, [1, 2, len(spread) - 2, len(spread) - 1])


def _nearest(at: Callable[[np.ndarray], np.ndarray], points: np.ndarray) -> np.ndarray:
    """Parameters of the nearest points of the curve: the nearest of a table, then Gauss-Newton."""
    from scipy.spatial import cKDTree

    table = np.linspace(0, 2 * np.pi, _TABLE)
    s = table[cKDTree(at(table)).query(points)[1]]
    width = 1e-6
    for _ in range(4):
        tangent = (at(s + width) - at(s - width)) / (2 * width)
        step = ((points - at(s)) * tangent).sum(1) / np.maximum((tangent**2).sum(1), 1e-12)
        s = np.clip(s + np.clip(step, -table[1], table[1]), 0, 2 * np.pi)
    return s
