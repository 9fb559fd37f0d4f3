"""Local coordinate systems of Nastran decks (CORD2R, CORD2C, CORD2S): points brought to the basic system.

Source: MSC Nastran Quick Reference Guide, CORD2R, CORD2C and CORD2S: three points A (origin), B (on the z axis) and C
(in the x-z half plane), given in a reference system.
"""

from __future__ import annotations

import numpy as np

from graphpde.mesh.io.raw import Unreadable, listed


class Systems:
    """The systems that a deck defines: number -> kind ("R", "C", "S"), reference system, A, B, C [3, 3]."""

    def __init__(self) -> None:
        self.given: dict[int, tuple[str, int, np.ndarray]] = {}
        self.basic: dict[int, tuple[str, np.ndarray, np.ndarray]] = {}  # kind, origin, axes as rows

    def define(self, name: str, number: int, reference: int, points: list[float]) -> None:
        self.given[number] = (name[5:6], reference, np.array(points).reshape(3, 3))

    def to_basic(self, systems: np.ndarray, points: np.ndarray) -> np.ndarray:
        """Points [n, 3], each in its system [n], in the basic system.

        Raises:
            Unreadable: an undefined system, one that is defined by itself, or whose three points lie on a line.
        """
        out = points.copy()
        unknown = sorted(set(np.unique(systems).tolist()) - {0} - set(self.given))
        if unknown:
            raise Unreadable(f"points stand in coordinate systems {listed(unknown)}, which no CORD2 entry defines")
        for number in np.unique(systems[systems != 0]).tolist():
            mine = systems == number
            out[mine] = self._move(number, points[mine])
        return out

    def _move(self, number: int, points: np.ndarray) -> np.ndarray:
        kind, origin, axes = self._resolved(number, ())
        return origin + _rectangular(kind, points) @ axes

    def _resolved(self, number: int, seen: tuple[int, ...]) -> tuple[str, np.ndarray, np.ndarray]:
        if number in self.basic:
            return self.basic[number]
        if number in seen or number not in self.given:
            raise Unreadable(
                f"the coordinate system {number} is {'defined by itself' if number in seen else 'not defined'}"
            )
        kind, reference, points = self.given[number]
        if reference:
            outer, origin, axes = self._resolved(reference, (*seen, number))
            points = origin + _rectangular(outer, points) @ axes
        z = points[1] - points[0]
        y = np.cross(z, points[2] - points[0])
        if not np.linalg.norm(y) > 0:
            raise Unreadable(f"the three points of coordinate system {number} lie on a line")
        z, y = z / np.linalg.norm(z), y / np.linalg.norm(y)
        self.basic[number] = (kind, points[0], np.stack([np.cross(y, z), y, z]))
        return self.basic[number]


def _rectangular(kind: str, points: np.ndarray) -> np.ndarray:
    """Cylindrical (r, theta, z) or spherical (r, theta, phi) points in degrees as x, y, z of the same system."""
    first, second, third = points.T
    if kind == "C":
        angle = np.radians(second)
        return np.stack([first * np.cos(angle), first * np.sin(angle), third], 1)
    if kind == "S":
        polar, azimuth = np.radians(second), np.radians(third)
        flat = first * np.sin(polar)
        return np.stack([flat * np.cos(azimuth), flat * np.sin(azimuth), first * np.cos(polar)], 1)
    return points
