"""The one table of Medit keywords: names, codes in binary files, columns, and what the sections mean.

Source: Marechal, "libMeshb" (format strings and codes of its keywords); Frey, "Medit, an interactive mesh visualization
software", INRIA RT-0253, for older names. The node order of second-order cells is that of its examples and of ViZiR.
"""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

import numpy as np

from graphpde.mesh.cells import CELLS
from graphpde.mesh.io.raw import Unreadable


class Element(NamedTuple):
    """Cells of one section: type and number of nodes in the file; ``order`` leads to the order of VTK."""

    kind: str
    nodes: int
    order: tuple[int, ...] | None = None


_HEX27 = (*range(20), 25, 23, 22, 24, 20, 21, 26)  # the file has the faces as z-, z+, y-, x+, y+, x-
ELEMENTS = {
    "Edges": Element("line", 2),
    "Triangles": Element("triangle", 3),
    "Quadrilaterals": Element("quad", 4),
    "Tetrahedra": Element("tetra", 4),
    "Hexahedra": Element("hexahedron", 8),
    "Prisms": Element("wedge", 6),
    "Pyramids": Element("pyramid", 5),
    "EdgesP2": Element("line3", 3),
    "TrianglesP2": Element("triangle6", 6),
    "QuadrilateralsQ2": Element("quad9", 9),
    "TetrahedraP2": Element("tetra10", 10),
    "HexahedraQ2": Element("hexahedron27", 27, _HEX27),
    # orders without a documented order of nodes are taken at their corners, which come first
    "PrismsP2": Element("wedge", 18),
    "PyramidsP2": Element("pyramid", 14),
    **{f"EdgesP{p}": Element("line", p + 1) for p in (3, 4)},
    **{f"TrianglesP{p}": Element("triangle", (p + 1) * (p + 2) // 2) for p in (3, 4)},
    **{f"QuadrilateralsQ{p}": Element("quad", (p + 1) ** 2) for p in (3, 4)},
    **{f"TetrahedraP{p}": Element("tetra", (p + 1) * (p + 2) * (p + 3) // 6) for p in (3, 4)},
    **{f"HexahedraQ{p}": Element("hexahedron", (p + 1) ** 3) for p in (3, 4)},
    **{f"PyramidsP{p}": Element("pyramid", (p + 1) * (p + 2) * (2 * p + 3) // 6) for p in (3, 4)},
    **{f"PrismsP{p}": Element("wedge", (p + 1) ** 2 * (p + 2) // 2) for p in (3, 4)},
}
SECTIONS = {e.kind: name for name, e in ELEMENTS.items() if e.nodes == CELLS[e.kind].nodes}

# sections that list rows of another section; each becomes a set of its own name
MARKS = {
    **{"Corners": "Vertices", "RequiredVertices": "Vertices", "ParallelVertices": "Vertices"},
    **{"Ridges": "Edges", "RequiredEdges": "Edges", "ParallelEdges": "Edges"},
    **{"RequiredTriangles": "Triangles", "ParallelTriangles": "Triangles"},
    **{"RequiredQuadrilaterals": "Quadrilaterals", "ParallelQuadrilaterals": "Quadrilaterals"},
    "RequiredTetrahedra": "Tetrahedra",
}
MARK_DIMS = {"Vertices": 0, "Edges": 1, "Triangles": 2, "Quadrilaterals": 2, "Tetrahedra": 3}
REFUSED = ("Polyhedra", "Polygons", "MeshVersionUnformatted", "IncludeFile")

_CODES = {
    **{"MeshVersionFormatted": 1, "Dimension": 3, "Vertices": 4, "Edges": 5, "Triangles": 6, "Quadrilaterals": 7},
    **{"Tetrahedra": 8, "Prisms": 9, "Hexahedra": 10, "RequiredTetrahedra": 12, "Corners": 13, "Ridges": 14},
    **{"RequiredVertices": 15, "RequiredEdges": 16, "RequiredTriangles": 17, "RequiredQuadrilaterals": 18},
    **{"TrianglesP2": 24, "EdgesP2": 25, "QuadrilateralsQ2": 27, "TetrahedraP2": 30, "HexahedraQ2": 33},
    **{"Polyhedra": 46, "Polygons": 47, "Pyramids": 49, "End": 54, "PrismsP2": 86, "PyramidsP2": 87},
    **{"QuadrilateralsQ3": 88, "QuadrilateralsQ4": 89, "TrianglesP3": 90, "TrianglesP4": 91, "EdgesP3": 92},
    **{"EdgesP4": 93, "TetrahedraP3": 96, "TetrahedraP4": 97, "HexahedraQ3": 98, "HexahedraQ4": 99},
    **{"PyramidsP3": 100, "PyramidsP4": 101, "PrismsP3": 102, "PrismsP4": 103, "FloatingPointPrecision": 155},
}
_ORDERED = {
    **{"EdgesP2": (127, 1), "EdgesP3": (128, 1), "TrianglesP2": (129, 3), "TrianglesP3": (130, 3)},
    **{"QuadrilateralsQ2": (131, 2), "QuadrilateralsQ3": (132, 2), "TetrahedraP2": (133, 4), "TetrahedraP3": (134, 4)},
    **{"PyramidsP2": (135, 3), "PyramidsP3": (136, 3), "PrismsP2": (137, 4), "PrismsP3": (138, 4)},
    **{"HexahedraQ2": (139, 3), "HexahedraQ3": (140, 3), "EdgesP1": (141, 1), "EdgesP4": (142, 1)},
    **{"TrianglesP1": (143, 3), "TrianglesP4": (144, 3), "QuadrilateralsQ1": (145, 2), "QuadrilateralsQ4": (146, 2)},
    **{"TetrahedraP1": (147, 4), "TetrahedraP4": (148, 4), "PyramidsP1": (149, 3), "PyramidsP4": (150, 3)},
    **{"PrismsP1": (151, 4), "PrismsP4": (152, 4), "HexahedraQ1": (153, 3), "HexahedraQ4": (154, 3)},
}
_SIX = ("Edges", "Triangles", "Quadrilaterals", "Tetrahedra", "Prisms", "Hexahedra")
_HIGH = [
    f"{name}{letter}{p}"
    for name, letter in (
        *(("Edges", "P"), ("Triangles", "P"), ("Quadrilaterals", "Q"), ("Tetrahedra", "P"), ("Pyramids", "P")),
        *(("Prisms", "P"), ("Hexahedra", "Q")),
    )
    for p in (1, 2, 3)
]
# sections that hold no cells: code, columns ("i" integer, "r" real, "d" as many of the next as the dimension,
# "?" of a length of their own); without a count where the string begins with "!"
_OTHERS = {
    **{"TangentAtEdgeVertices": (19, "iii"), "NormalAtVertices": (20, "ii"), "NormalAtTriangleVertices": (21, "iii")},
    **{"NormalAtQuadrilateralVertices": (22, "iiii"), "AngleOfCornerBound": (23, "!r"), "SolAtPyramids": (26, "?")},
    **{
        "ISolAtPyramids": (28, "?"),
        "SubDomainFromGeom": (29, "?"),
        "Fault_NearTri": (31, "i"),
        "Fault_Inter": (32, "i"),
    },
    **{f"ExtraVerticesAt{name}": (34 + k, "?") for k, name in enumerate(_SIX)},
    **{"VerticesOnGeometricVertices": (40, "ii"), "VerticesOnGeometricEdges": (41, "iirr")},
    **{"VerticesOnGeometricTriangles": (42, "iirrr"), "VerticesOnGeometricQuadrilaterals": (43, "iirrr")},
    **{"EdgesOnGeometricEdges": (44, "ii"), "Fault_FreeEdge": (45, "i"), "Fault_Overlap": (48, "i")},
    **{"BoundingBox": (50, "!drdr"), "PrivateTable": (52, "i"), "Fault_BadShape": (53, "i")},
    **{"TrianglesOnGeometricTriangles": (55, "ii"), "TrianglesOnGeometricQuadrilaterals": (56, "ii")},
    **{"QuadrilateralsOnGeometricTriangles": (57, "ii"), "QuadrilateralsOnGeometricQuadrilaterals": (58, "ii")},
    **{"Tangents": (59, "dr"), "Normals": (60, "dr"), "TangentAtVertices": (61, "ii"), "SolAtVertices": (62, "?")},
    **{f"SolAt{name}": (63 + k, "?") for k, name in enumerate(_SIX)},
    **{
        "DSolAtVertices": (69, "?"),
        "ISolAtVertices": (70, "?"),
        "ISolAtEdges": (71, "?"),
        "ISolAtTriangles": (72, "?"),
    },
    **{"ISolAtQuadrilaterals": (73, "?"), "ISolAtTetrahedra": (74, "?"), "ISolAtPrisms": (75, "?")},
    **{"ISolAtHexahedra": (76, "?"), "Iterations": (77, "!i"), "Time": (78, "!r"), "Fault_SmallTri": (79, "i")},
    **{
        "CoarseHexahedra": (80, "i"),
        "Comments": (81, "?"),
        "PeriodicVertices": (82, "ii"),
        "PeriodicEdges": (83, "ii"),
    },
    **{"PeriodicTriangles": (84, "ii"), "PeriodicQuadrilaterals": (85, "ii"), "IRefGroups": (94, "?")},
    **{"DRefGroups": (95, "?"), "BezierBasis": (125, "!i"), "ByteFlow": (126, "?")},
    **{f"HOSolAt{name}": (104 + k, "?") for k, name in enumerate(_HIGH)},
    **{"SubDomainFromMesh": (-1, "iiii"), "VertexOnGeometricVertex": (-1, "?"), "VertexOnGeometricEdge": (-1, "?")},
    **{"VertexOnGeometricTriangle": (-1, "?"), "EdgeOnGeometricEdge": (-1, "?"), "EdgeOnGeometricTriangle": (-1, "?")},
}


class Keyword(NamedTuple):
    """A section: name, code in binary files (-1 = text only), columns of its rows as above."""

    name: str
    code: int
    columns: str

    @property
    def counted(self) -> bool:
        return not self.columns.startswith("!") and self.name not in ("End", *_SINGLE)

    @property
    def fixed(self) -> bool:
        """Whether its rows all have the same known width."""
        return "?" not in self.columns

    def fields(self, dim: int) -> list[tuple[str, int]]:
        """Letter and number of values, one after another."""
        out, times = [], 1
        for letter in self.columns.lstrip("!"):
            if letter == "d":
                times = dim
            else:
                out.append((letter, times))
                times = 1
        return out

    def width(self, dim: int) -> int:
        return sum(times for _, times in self.fields(dim))


_SINGLE = ("MeshVersionFormatted", "Dimension", "FloatingPointPrecision")


def _columns(name: str) -> str:
    if name == "Vertices":
        return "dri"
    return "i" * (ELEMENTS[name].nodes + 1) if name in ELEMENTS else "i"


KEYWORDS = {
    keyword.name.lower(): keyword
    for keyword in (
        *(Keyword(name, _CODES.get(name, -1), _columns(name)) for name in (*_CODES, *ELEMENTS, *MARKS)),
        *(Keyword(f"{name}Ordering", code, "i" * width) for name, (code, width) in _ORDERED.items()),
        *(Keyword(name, code, columns) for name, (code, columns) in _OTHERS.items()),
    )
}
KEYWORDS |= {"hexaedra": KEYWORDS["hexahedra"], "pentahedra": KEYWORDS["prisms"]}  # older names
BY_CODE = {keyword.code: keyword for keyword in KEYWORDS.values() if keyword.code > 0}

_FLAT = ((0, 0), (1, 0), (1, 1), (0, 1))
_CORNERS = {
    "Edges": np.array([[0], [1]]),
    "Triangles": np.eye(3, dtype=np.int64),
    "Quadrilaterals": np.array(_FLAT),
    "Tetrahedra": np.eye(4, dtype=np.int64),
    "Hexahedra": np.array([(x, y, z) for z, (x, y) in product((0, 1), _FLAT)]),
}
_HEX_FACES = ((0, 3, 7, 4), (1, 2, 6, 5), (0, 1, 5, 4), (3, 2, 6, 7), (0, 1, 2, 3), (4, 5, 6, 7))


def stated_order(name: str, lattice: np.ndarray) -> tuple[str, tuple[int, ...]]:
    """Section and columns in the order of VTK from the places that a file states for the nodes of its cells.

    Args:
        name: keyword such as ``TrianglesP2Ordering``. lattice: place of each node, in barycentric multiples for
            simplices and in steps along the axes for quadrilaterals and hexahedra [k, c].

    Raises:
        Unreadable: an order that is not read, or places that are not those of the nodes.
    """
    base, degree = name[: -len("P1Ordering")], int(name[-len("1Ordering")])
    if base not in _CORNERS or degree > 2:
        raise Unreadable(f"it states an order of nodes of its own ({name}), which is not read")
    corners = degree * _CORNERS[base]
    parts: list[tuple[int, ...]] = [(k,) for k in range(len(corners))]
    if degree == 2:
        parts += CELLS[ELEMENTS[base].kind].edges
        parts += {"Quadrilaterals": ((0, 1, 2, 3),), "Hexahedra": (*_HEX_FACES, tuple(range(8)))}.get(base, ())
    places = {tuple(row): column for column, row in enumerate(lattice.tolist())}
    wanted = [tuple((corners[list(part)].sum(axis=0) // len(part)).tolist()) for part in parts]
    if len(lattice) != len(wanted) or not all(place in places for place in wanted):
        raise Unreadable(f"section {name} does not give the places of {len(wanted)} nodes")
    section = base if degree == 1 else next(s for s in (f"{base}P2", f"{base}Q2") if s in ELEMENTS)
    return section, tuple(places[place] for place in wanted)
