"""Writer of Nastran bulk data (.bdf): points in large fields, elements in small ones, no properties.

A large field has 16 characters, some 12 digits: coordinates that need more are rounded, and that is told. Elements have
no property number, for which Nastran takes their own.

Source: MSC Nastran Quick Reference Guide, "Format of bulk data entries", CROD, CTRIA3, CQUAD4, CTETRA, CPENTA, ...
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from graphpde.errors import OutputError
from graphpde.mesh.io.labels import flattened
from graphpde.mesh.io.nastran.table import ORDER
from graphpde.mesh.io.raw import listed
from graphpde.mesh.mesh import Mesh

_NAMES = {
    **{"line": "CROD", "triangle": "CTRIA3", "triangle6": "CTRIA6", "quad": "CQUAD4", "quad8": "CQUAD8"},
    **{"tetra": "CTETRA", "tetra10": "CTETRA", "pyramid": "CPYRAM", "pyramid13": "CPYRAM", "wedge": "CPENTA"},
    **{"wedge15": "CPENTA", "hexahedron": "CHEXA", "hexahedron20": "CHEXA"},
}
_LARGE, _MOST = 16, 10**8  # characters of a large field, numbers that a small one holds
_AT_ONCE = 4096  # lines that are formatted together


def write(path: Path, mesh: Mesh, point_data: dict[str, Any], cell_data: dict[str, Any]) -> list[str]:
    """Write points and elements.

    Returns:
        What was rounded or will be read otherwise, one sentence each.

    Raises:
        OutputError: cells that Nastran does not know, or more of them than its fields can number.
    """
    if other := [f"{len(nodes)} {kind}" for kind, nodes in mesh.cells.items() if kind not in _NAMES]:
        raise OutputError(
            f"cannot write '{path.name}': Nastran has no element for {listed(other)}; write a .vtu file instead"
        )
    if max(mesh.n, mesh.n_cells) >= _MOST:
        raise OutputError(f"cannot write '{path.name}': it is too large for Nastran; write a .vtu file instead")
    points = np.zeros((mesh.n, 3))
    points[:, : mesh.space_dim] = mesh.points.detach().cpu().numpy()
    values, back = np.unique(points.view(np.int64), return_inverse=True)  # by their bits: -0.0 is not 0.0
    texts = [_field(value) for value in values.view(np.float64).tolist()]
    exact = np.array([float(_plain(text)) for text in texts]).view(np.int64) == values
    rounded = int((~exact)[back].sum())
    with open(path, "w", encoding="ascii", newline="\n") as out:
        out.write("$ written by graphpde\nBEGIN BULK\n")
        for number, (x, y, z) in enumerate(back.reshape(-1, 3).tolist(), 1):
            out.write(f"GRID*   {number:<16d}{'':16s}{texts[x]:<16s}{texts[y]:<16s}\n*       {texts[z]}\n")
        first = 1
        for kind, nodes in mesh.cells.items():
            out.writelines(_elements(kind, nodes.numpy() + 1, first))
            first += len(nodes)
        out.write("ENDDATA\n")
    told = [f"Nastran has 16 characters for a number: {rounded} of {points.size} coordinates are rounded"]
    return (told if rounded else []) + flattened(mesh)


def _field(value: float) -> str:
    """The nearest number that 16 characters hold; exponents stand without their letter, as usual there."""
    text = repr(value)
    if len(text) <= _LARGE and "." in text and "e" not in text:
        return text
    found = []
    if 1e-4 < abs(value) < 1e13:
        whole = len(f"{value:.0f}") + 1
        found.append(f"{value:.{max(_LARGE - whole, 0)}f}"[:_LARGE])
    for digits in range(_LARGE, 0, -1):
        mantissa, _, exponent = f"{value:.{digits}e}".partition("e")
        short = f"{mantissa.rstrip('0')}{int(exponent):+d}"
        if len(short) <= _LARGE:
            found.append(short)
            break
    return min((text for text in found if "." in text), key=lambda text: abs(float(_plain(text)) - value))


def _plain(text: str) -> str:
    """The number as other programs write it."""
    sign = max(text.rfind("+"), text.rfind("-"))
    return f"{text[:sign]}e{text[sign:]}" if sign > 0 else text


def _elements(kind: str, nodes: np.ndarray, first: int) -> Iterator[str]:
    """Entries of eight fields in a line, those behind the first line marked by a plus sign."""
    rows = nodes[:, np.argsort(ORDER[kind])] if kind in ORDER else nodes
    fields = ["%8d", " " * 8, *["%8d"] * rows.shape[1]]
    starts = range(0, len(fields), 8)
    heads = [f"{_NAMES[kind]:8s}", *["+       "] * (len(starts) - 1)]
    form = "".join(head + "".join(fields[k : k + 8]) + "\n" for head, k in zip(heads, starts, strict=True))
    table = np.column_stack([np.arange(first, first + len(rows)), rows])
    for start in range(0, len(table), _AT_ONCE):
        part = table[start : start + _AT_ONCE].tolist()
        yield form * len(part) % tuple(chain.from_iterable(part))
