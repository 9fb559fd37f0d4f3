"""Bezier extraction elements of Exodus II files (BEX_QUAD, BEX_HEX) as Lagrange elements on points of the geometry.

The nodes of such a file are control points and lie on no cell. An element names k of them and, for each, a row of a
table: the coefficients of its spline in the Bernstein polynomials of the element. The geometry at a point is then
:math:`x = \\sum_i (\\sum_a C_{ia} B_a) P_i`; quadratic elements are met exactly by their Lagrange twins.

Source: Borden, Scott, Evans and Hughes 2011, "Isogeometric finite element data structures based on Bezier extraction
of NURBS", section 4; the layout of the table (one dense block, i fastest) as in files of the version BEXT 2.0.
"""

from __future__ import annotations

from itertools import product
from math import comb
from typing import Any

import numpy as np

from graphpde.mesh.cells import CELLS
from graphpde.mesh.io.raw import Block, Unreadable

_BASES = {"BEX_QUAD": "quad", "BEX_HEX": "hexahedron"}
_AT_ONCE = 2048  # elements whose weights are held in memory together
_NEAR = 1e-10  # sums of the same numbers in another order differ by less, different combinations by more


def is_bezier(variable: Any) -> bool:
    """Whether a connectivity lists Bezier elements."""
    return str(getattr(variable, "elem_type", "")).upper() in _BASES


def lagrange(file: Any, numbers: list[int], control: np.ndarray) -> tuple[np.ndarray, list[Block], list[str]]:
    """Points [n, d], one block for each element block, and what must be said about it.

    Args:
        numbers: of the element blocks. control: the control points [k, d].

    Raises:
        Unreadable: other elements beside them, a table that does not fit, rational elements.
    """
    variables = [file.variables[f"connect{number}"] for number in numbers]
    if not all(is_bezier(variable) for variable in variables):
        raise Unreadable("it has Bezier elements beside others; save them in files of their own")
    if "nattrb" in file.variables and (np.asarray(file.variables["nattrb"][:]) != 1).any():
        raise Unreadable("its Bezier elements may be rational (its nodes have attributes), which is not read")
    table = _table(file)
    kinds, found, marks = [], [], []
    random = np.random.default_rng(0).random((len(control), 3))
    for variable in variables:
        kind, at_nodes = _bernstein(variable)
        names, rows = np.split(np.asarray(variable[:], dtype=np.int64) - 1, 2, axis=1)
        if at_nodes.shape[1] != table.shape[1]:
            raise Unreadable(f"its Bezier elements have {at_nodes.shape[1]} coefficients, the table {table.shape[1]}")
        for values, limit, what in ((names, len(control), "control point"), (rows, len(table), "row of coefficients")):
            if values.size and not 0 <= values.min() <= values.max() < limit:
                raise Unreadable(f"a Bezier element names {what} {values.max() + 1} or {values.min() + 1} of {limit}")
        kinds.append(kind)
        values = _combined(
            table @ at_nodes.T, rows, names, np.concatenate([np.ones((len(control), 1)), random, control], 1)
        )
        if not np.allclose(values[:, :, 0], 1, rtol=0, atol=1e-8):
            raise Unreadable("the coefficients of its Bezier elements do not sum to one")
        marks.append(values[:, :, 1:4])
        found.append(values[:, :, 4:])
    first, ids = _shared(np.concatenate([mark.reshape(-1, 3) for mark in marks]))
    points = np.concatenate([x.reshape(-1, control.shape[1]) for x in found])[first]
    ends = np.cumsum([x.shape[0] * x.shape[1] for x in found])[:-1]
    blocks = [
        Block(kind, part.reshape(-1, CELLS[kind].nodes)) for kind, part in zip(kinds, np.split(ids, ends), strict=True)
    ]
    many = f"{len(points)} points on the cells replace them"
    notes = [f"its {len(control)} nodes are control points of Bezier elements; {many}"]
    if any(CELLS[kind].corners == kind for kind in kinds):
        notes.append("Bezier elements that are not quadratic are taken at their corners")
    return points, blocks, notes


def _combined(coefficients: np.ndarray, rows: np.ndarray, names: np.ndarray, fields: np.ndarray) -> np.ndarray:
    """Fields [control points, c] at the nodes of each element [m, nodes, c]."""
    out = np.empty((len(rows), coefficients.shape[1], fields.shape[1]))
    for start in range(0, len(rows), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        out[part] = np.einsum("ekq,ekc->eqc", coefficients[rows[part]], fields[names[part]])
    return out


def _table(file: Any) -> np.ndarray:
    """The coefficients [rows, Bernstein polynomials]."""
    for name, variable in file.variables.items():
        info = np.asarray(getattr(variable, "bex_dense_cv_info", []), dtype=np.int64).reshape(-1)
        values = file.variables.get(f"vals_blob_var1blob{name.removeprefix('blob_entity')}")
        if not len(info) or values is None:
            continue
        numbers = np.asarray(values[:], dtype=np.float64).reshape(-1)
        if len(info) != 2 or info.min() < 1 or int(info[0]) * int(info[1]) != len(numbers):
            raise Unreadable(f"its table of Bezier coefficients has {len(numbers)} numbers, expected {info.tolist()}")
        return numbers.reshape(info)
    raise Unreadable("its Bezier elements have no dense table of coefficients")


def _bernstein(variable: Any) -> tuple[str, np.ndarray]:
    """The cell type, and each Bernstein polynomial at each node of it [nodes, polynomials]."""
    base = _BASES[str(variable.elem_type).upper()]
    degrees = np.asarray(getattr(variable, "bex_elem_degrees", []), dtype=np.int64).reshape(-1).tolist()
    if len(degrees) != CELLS[base].dim or not all(1 <= degree <= 16 for degree in degrees):
        raise Unreadable(f"its {variable.elem_type} elements have the degrees {degrees}, expected one per direction")
    if variable.shape[1] % 2:
        raise Unreadable(f"its {variable.elem_type} elements list {variable.shape[1]} numbers, expected an even count")
    kind = {"quad": "quad9", "hexahedron": "hexahedron27"}[base] if set(degrees) == {2} else base
    along = []
    places = _places(kind)
    for axis, p in enumerate(degrees):
        t = places[:, axis]
        along.append(np.stack([comb(p, i) * t**i * (1 - t) ** (p - i) for i in range(p + 1)], 1))
    out = along[0]
    for more in along[1:]:
        out = (more[:, :, None] * out[:, None, :]).reshape(len(places), -1)
    return kind, out


def _places(kind: str) -> np.ndarray:
    """The nodes of a cell type in the unit square or cube: corners, middles of edges, of faces, of the cell."""
    cell = CELLS[kind]
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], dtype=np.float64)
    if cell.dim == 3:
        corners = np.array([[*corner, z] for z, corner in product((0.0, 1.0), corners)])
    if kind == cell.corners:
        return corners
    edges = corners[np.array(cell.edges)].mean(1)
    middle = np.full((1, cell.dim), 0.5)
    faces = np.array([[0, 1, 1], [2, 1, 1], [1, 0, 1], [1, 2, 1], [1, 1, 0], [1, 1, 2]]) / 2
    return np.concatenate([corners, edges, faces, middle] if cell.dim == 3 else [corners, edges, middle])


def _shared(marks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Nodes that are the same combination of control points: the first of each, and the number of each node.

    Three random fields, combined as the points are, tell combinations apart; points that merely coincide stay two.
    """
    labels = np.empty(marks.shape, dtype=np.int64)
    for axis in range(marks.shape[1]):
        order = np.argsort(marks[:, axis], kind="stable")
        gaps = np.diff(marks[order, axis]) > _NEAR
        labels[order, axis] = np.concatenate([[0], np.cumsum(gaps)])
    _, first, ids = np.unique(labels, axis=0, return_index=True, return_inverse=True)
    rank = np.argsort(np.argsort(first))  # points in the order in which they are met
    return np.sort(first), rank[ids.reshape(-1)]
