"""The tables of Abaqus and CalculiX: element names to cell types, and the corners of each numbered face.

Source: Abaqus Analysis User's Guide, "Element library"; CalculiX CrunchiX manual, "Element types".
"""

from __future__ import annotations

import re

_SOLID = {
    **{4: "tetra", 5: "pyramid", 6: "wedge", 8: "hexahedron", 10: "tetra10", 13: "pyramid13", 15: "wedge15"},
    **{18: "wedge18", 20: "hexahedron20", 27: "hexahedron27"},
}
_PLANE = {3: "triangle", 4: "quad", 6: "triangle6", 8: "quad8", 9: "quad9"}
_CURVE = {2: "line", 3: "line3"}
_NODES_OF_ORDER = {
    1: 2,
    2: 3,
    3: 2,
}  # the last digit of beams and axisymmetric shells is an order, 3 a cubic of two nodes

_FAMILIES = (
    (re.compile(r"(?:C|AC|DC|DCC|F|COH|EC|G|CCL)3D(\d+)"), _SOLID, None),
    (re.compile(r"SC(\d)"), _SOLID, None),
    (re.compile(r"(?:SAX|DSAX)(\d)"), _CURVE, _NODES_OF_ORDER),
    (re.compile(r"(?:B|PIPE)[23](\d)"), _CURVE, _NODES_OF_ORDER),
    (re.compile(r"(?:T2D|T3D|FRAME2D|FRAME3D|R2D|RAX|DC1D)(\d)"), _CURVE, {2: 2, 3: 3}),
    (re.compile(r"STRI(3|6)5?"), _PLANE, None),
    (
        re.compile(
            r"(?:CPS|CPE|CPEG|CAX|CGAX|CAXA|DC2D|DCC2D|DCAX|DCCAX|AC2D|ACAX|M3D|SFM3D|MAX|SFMAX|S|DS|R3D|COH2D|COHAX|F2D"
            r"|EC2D|WARP2D)(\d)"
        ),
        _PLANE,
        None,
    ),
)


def kind_of(name: str) -> str | None:
    """Cell type of an element name such as ``C3D10M`` or ``s8``; None if it has none (springs, masses, contact)."""
    for pattern, kinds, nodes_of in _FAMILIES:
        if match := pattern.match(name.upper()):
            count = int(match.group(1))
            return kinds.get(count if nodes_of is None else nodes_of.get(count, 0))
    return None


# column k of a row in VTK order is column ORDER[kind][k] of the row in the file: the middle of a line is its second
# node, behind the edges of hexahedra comes the centre, then the faces
# Source: CalculiX manual, "Three-node beam element (B32)"; Abaqus manual, "Beam element library"
ORDER = {"line3": [0, 2, 1], "hexahedron27": [*range(20), 26, 24, 23, 25, 21, 22, 20]}

# corners of face S1, S2, ... of each linear type
FACES: dict[str, tuple[tuple[int, ...], ...]] = {
    "triangle": ((0, 1), (1, 2), (2, 0)),
    "quad": ((0, 1), (1, 2), (2, 3), (3, 0)),
    "tetra": ((0, 1, 2), (0, 3, 1), (1, 3, 2), (2, 3, 0)),
    "hexahedron": ((0, 1, 2, 3), (4, 7, 6, 5), (0, 4, 5, 1), (1, 5, 6, 2), (2, 6, 7, 3), (3, 7, 4, 0)),
    "wedge": ((0, 1, 2), (3, 5, 4), (0, 3, 4, 1), (1, 4, 5, 2), (2, 5, 3, 0)),
    "pyramid": ((0, 1, 2, 3), (0, 4, 1), (1, 4, 2), (2, 4, 3), (3, 4, 0)),
}
# shells have their two sides S1, S2 (or SPOS, SNEG) and their edges E1, E2, ...
SHELL = re.compile(r"(?:S|STRI|DS|M3D|SFM3D|R3D)\d", re.IGNORECASE)
