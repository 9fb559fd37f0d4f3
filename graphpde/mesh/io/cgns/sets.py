"""Boundary conditions of a CGNS zone as named sets: of points, of listed elements, of faces of a structured zone."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphpde.mesh.io.cgns.tree import children, values, word
from graphpde.mesh.io.raw import CellSet, FacetSet, RawMesh, Unreadable, positions

_LISTS = ("PointList", "PointRange", "ElementList", "ElementRange")


def read(raw: RawMesh, zone: Any, ids: list[np.ndarray], shape: tuple[int, ...]) -> None:
    """Add the sets of a zone under the names of its conditions and of their families.

    Args:
        ids: element numbers of each block. shape: numbers of points (i, j, k) of a structured zone, else empty.

    Raises:
        Unreadable: a condition names points or elements that do not exist.
    """
    for folder in children(zone, "ZoneBC_t").values():
        for name, condition in children(folder, "BC_t").items():
            families = [word(node) for node in children(condition, "FamilyName_t").values()]
            families += [word(node) for node in children(condition, "AdditionalFamilyName_t").values()]
            for title in dict.fromkeys([name.strip(), *filter(None, families)]):
                _condition(raw, title, condition, ids, shape)


def _condition(raw: RawMesh, name: str, condition: Any, ids: list[np.ndarray], shape: tuple[int, ...]) -> None:
    parts = children(condition)
    place = word(parts["GridLocation"]) if "GridLocation" in parts else "Vertex"
    for listing in _LISTS:
        if listing not in parts:
            continue
        chosen = values(parts[listing])
        if chosen.dtype.kind not in "iu" or chosen.ndim != 2 or chosen.shape[1] != max(len(shape), 1):
            raise Unreadable(f"{listing} of condition '{name}' has shape {list(chosen.shape)}")
        chosen = chosen.astype(np.int64)
        if listing.endswith("Range") and len(chosen) != 2:
            raise Unreadable(f"{listing} of condition '{name}' has {len(chosen)} ends, expected 2")
        if shape:
            _structured(raw, name, chosen, listing, place, shape)
        else:
            numbers = chosen[:, 0]
            if listing.endswith("Range"):
                most = len(raw.points) if place == "Vertex" else sum(len(part) for part in ids)
                if not 1 <= numbers[0] <= numbers[1] or numbers[1] - numbers[0] >= most:
                    raise Unreadable(f"{listing} of condition '{name}' goes from {numbers[0]} to {numbers[1]}")
                numbers = np.arange(numbers[0], numbers[1] + 1)
            if place == "Vertex" and listing.startswith("Point"):
                if len(numbers) and not 1 <= numbers.min() <= numbers.max() <= len(raw.points):
                    raise Unreadable(f"condition '{name}' names point {numbers.max()}, expected 1..{len(raw.points)}")
                raw.point_sets.append((name, numbers - 1))
            else:
                _elements(raw, name, numbers, ids)
        return


def _elements(raw: RawMesh, name: str, chosen: np.ndarray, ids: list[np.ndarray]) -> None:
    every = np.concatenate([np.zeros(0, np.int64), *ids])
    place = positions(every, chosen, "element")
    starts = np.cumsum([0, *(len(part) for part in ids)])
    owner = np.searchsorted(starts, place, side="right") - 1
    members: list[np.ndarray | None] = [place[owner == b] - starts[b] for b in range(len(ids))]
    raw.cell_sets.append(CellSet(name, members))


def _structured(raw: RawMesh, name: str, chosen: np.ndarray, listing: str, place: str, shape: tuple[int, ...]) -> None:
    """Faces, edges or points of a grid, numbered from 1 with the first index running fastest."""
    number = np.arange(np.prod(shape)).reshape(shape[::-1])
    if listing == "PointList" and place == "Vertex":
        _inside(name, chosen, np.ones(len(shape)), np.array(shape))
        raw.point_sets.append((name, number[tuple((chosen - 1)[:, ::-1].T)]))
        return
    low, high = chosen.min(0), chosen.max(0)
    axis = "IJK".find(place[:1]) if place.endswith("FaceCenter") else -1
    if listing != "PointRange" or not (place == "Vertex" or 0 <= axis < len(shape)):
        raw.notes.append(f"condition '{name}' ({listing} at {place}) of a structured zone was left out")
        return
    if axis >= 0:  # the numbers of faces: as many as cells along the face
        high = high + (np.arange(len(shape)) != axis)
    _inside(name, np.stack([low, high]), np.ones(len(shape)), np.array(shape))
    part = number[tuple(slice(a - 1, b) for a, b in zip(low[::-1], high[::-1]))]
    part = part.squeeze(tuple(k for k in range(part.ndim) if part.shape[k] == 1))
    if part.ndim == len(shape) - 1 and part.ndim == 2:
        corners = np.stack([part[:-1, :-1], part[:-1, 1:], part[1:, 1:], part[1:, :-1]], -1).reshape(-1, 4)
        raw.facet_sets.append(FacetSet(name, 2, corners))
    elif part.ndim == len(shape) - 1 and part.ndim == 1:
        raw.facet_sets.append(FacetSet(name, 1, np.stack([part[:-1], part[1:]], -1)))
    else:
        raw.point_sets.append((name, part.reshape(-1)))


def _inside(name: str, chosen: np.ndarray, low: np.ndarray, high: np.ndarray) -> None:
    if len(chosen) and ((chosen < low).any() or (chosen > high).any()):
        raise Unreadable(f"condition '{name}' names points outside the grid of {high.tolist()} points")
