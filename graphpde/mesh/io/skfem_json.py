"""Meshes that scikit-fem keeps as JSON: points, cells of one type, named boundaries and subdomains.

Boundaries are lists of facet numbers; facets are counted in the lexicographic order of their corners, as ours are.

Source: scikit-fem, ``skfem.io.json`` and ``skfem.mesh.Mesh.to_dict``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch

from graphpde.mesh.cells import CELLS
from graphpde.mesh.io.raw import Block, CellSet, FacetSet, RawMesh, Unreadable
from graphpde.mesh.mesh import Mesh

_KINDS = {(1, 2): "line", (2, 3): "triangle", (2, 4): "quad", (3, 4): "tetra", (3, 8): "hexahedron"}
_HEXAHEDRON = [0, 3, 6, 2, 1, 5, 7, 4]  # place in scikit-fem's order of each corner here


def read(path: Path) -> RawMesh:
    """Read a .json file of scikit-fem.

    Raises:
        Unreadable: other JSON, lists that are no table of numbers, numbers of cells or facets that do not exist.
    """
    try:
        content = json.loads(path.read_bytes(), parse_constant=_refuse)
    except (ValueError, UnicodeDecodeError) as error:
        raise Unreadable(f"it is no valid JSON ({str(error)[:80]})") from None
    if not isinstance(content, dict) or not {"p", "t"} <= set(content):
        raise Unreadable("it has no 'p' and 't' as meshes of scikit-fem do, and JSON has no common mesh format")
    points, nodes = _table(content["p"], float, "points 'p'"), _table(content["t"], int, "cells 't'")
    kind = _KINDS.get((points.shape[1], nodes.shape[1]))
    if kind is None:
        raise Unreadable(f"its cells have {nodes.shape[1]} corners in {points.shape[1]}-D, which is no known type")
    if nodes.size and not 0 <= nodes.min() <= nodes.max() < len(points):
        raise Unreadable(f"a cell names point {nodes.max()} or {nodes.min()}, expected 0..{len(points) - 1}")
    raw = RawMesh(points, [Block(kind, nodes[:, _HEXAHEDRON] if kind == "hexahedron" else nodes)])
    raw.space_dim = points.shape[1]
    for name, ids in _named(content.get("subdomains"), len(nodes), "cell"):
        raw.cell_sets.append(CellSet(name, [ids]))
    if content.get("boundaries"):
        facets = Mesh(points, {kind: torch.from_numpy(raw.blocks[0].nodes)}).facets.nodes.numpy()
        for name, ids in _named(content["boundaries"], len(facets), "facet"):
            raw.facet_sets.append(FacetSet(name, CELLS[kind].dim - 1, facets[ids]))
    return raw


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number")


def _table(rows: Any, kind: type, what: str) -> np.ndarray:
    """A list of equally long lists of numbers [m, w]."""
    try:
        values = np.array(rows)
    except ValueError:
        values = np.empty(0)
    if values.ndim != 2 or not values.size or values.dtype.kind not in ("i" if kind is int else "if"):
        raise Unreadable(f"its {what} are no table of numbers")
    return values.astype(np.int64 if kind is int else np.float64)


def _named(sets: Any, count: int, what: str) -> list[tuple[str, np.ndarray]]:
    out = []
    for name, numbers in (sets if isinstance(sets, dict) else {}).items():
        ids = np.array(numbers)
        if ids.size and (ids.ndim != 1 or ids.dtype.kind != "i" or not 0 <= ids.min() <= ids.max() < count):
            raise Unreadable(f"the set '{name}' names a {what} that does not exist, expected 0..{count - 1}")
        out.append((name, ids.astype(np.int64)))
    return out
