"""Samples in text, written here or in the tests of the readers."""

from __future__ import annotations

from pathlib import Path

from graphpde.mesh.io import write_mesh
from tests.fuzz.corpus import MAKERS, Sample, one, taken
from tests.mesh import test_io_mfem, test_io_tetgen, test_io_text, test_io_unv, test_io_vtp
from tests.mesh.io_samples import solid, square

_OBJ = """# two groups, texture and normal numbers, a colour at each vertex
mtllib none.mtl
v 0 0 0 1 0 0
v 1 0 0 1 0 0
v 1 1 0 1 1 0
v 0 1 0 0 0 1
v 2 0 0.5 0 0 1
vt 0 0
vn 0 0 1
g floor
f 1/1/1 2/1/1 3/1/1
f 1 3 \\
4
g roof left
f -4 -1 -3
f 1 2 3 4
l 1 2 5
"""
_OFF = """OFF
# vertices, faces
5 3 0
0 0 0
1 0 0
1 1 0
0 1 0.25
2 0 0
3 0 1 2
4 0 1 2 3 255 0 0
3 1 4 2 0 0 255
"""
_AVS = """# a comment
5 4 1 1 0
1 0 0 0
2 1 0 0
3 1 1 0
4 0 1 0
5 2 0 0.5
1 7 tri 1 2 3
2 7 tri 1 3 4
3 9 tri 2 5 3
4 9 quad 1 2 3 4
1 1
u, K
1 0.5
2 1.5
3 2.5
4 3.5
5 4.5
1 1
k, W
1 1
2 2
3 3
4 4
"""
_WKT = "TIN (((0 0 0, 1 0 0, 1 1 0, 0 0 0)),((0 0 0, 1 1 0, 0 1 0.5, 0 0 0)),((1 0 0, 2 0 0, 1 1 0, 1 0 0)))\n"
_ABAQUS = """** sets of every kind
*Heading
 a title
*NODE, NSET=all
1, 0, 0, 0
2, 1., 0, 0
3, 1, 1, 0
4, 0, 1, 0
7, 2, 0, 0
*Element, type=cps3, elset=A
10, 1, 2, 3
20, 1, 3, 4
*ELEMENT, TYPE=CPS4R
30, 2, 7, 3, 4
*NSET, NSET=ends, GENERATE
1, 7, 6
*NSET, NSET=more
2, ENDS
*ELSET, ELSET=b, GENERATE
10, 30, 10
*SURFACE, NAME=low
b, S1
"""
_PARTS = """*PART, NAME=p
*INCLUDE, INPUT=nodes.inp
*ELEMENT, TYPE=C3D4, ELSET=e
1,1,2,3,4
*END PART
*ASSEMBLY, NAME=a
*INSTANCE, NAME=i, PART=P
*END INSTANCE
*INSTANCE, NAME=j, PART=p
5, 0, 0
*END INSTANCE
*NSET, NSET=top, INSTANCE=j
4
*END ASSEMBLY
"""
_GRIDS = [(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0), (0, 0, 1), (1, 0, 1), (1, 1, 1), (0, 1, 1), (0.5, 0.5, 2)]
_STL = """solid first
facet normal 0 0 1
 outer loop
  vertex 0 0 0
  vertex 1 0 0
  vertex 1 1 0
 endloop
endfacet
facet normal 0 0 1
 outer loop
  vertex 0 0 0
  vertex 1 1 0
  vertex 0 1 0
 endloop
endfacet
endsolid first
solid second
facet normal 0 0 1
 outer loop
  vertex 1 0 0
  vertex 2.5e0 0 0.5
  vertex 1 1 0
 endloop
endfacet
endsolid second
"""
_POLYDATA = """# vtk DataFile Version 3.0
a surface
ASCII
DATASET POLYDATA
POINTS 5 float
0 0 0 1 0 0 1 1 0
0 1 0 2 0 0.5
POLYGONS 2 8
3 0 1 2
3 0 2 3
TRIANGLE_STRIPS 1 5
4 1 4 2 3
POINT_DATA 5
SCALARS u double 1
LOOKUP_TABLE default
0 1 2 3 4
CELL_DATA 3
VECTORS k float
1 0 0 0 1 0 0 0 1
"""
_RECTILINEAR = """# vtk DataFile Version 3.0
a box
ASCII
DATASET RECTILINEAR_GRID
DIMENSIONS 3 2 2
X_COORDINATES 3 float
0 1 2.5
Y_COORDINATES 2 float
0 1
Z_COORDINATES 2 float
0 0.5
POINT_DATA 12
SCALARS u float
LOOKUP_TABLE default
1 2 3 4 5 6 7 8 9 10 11 12
"""
_IMAGE = """# vtk DataFile Version 2.0
an image
ASCII
DATASET STRUCTURED_POINTS
DIMENSIONS 3 3 1
ORIGIN 0 0 0
SPACING 1 0.5 1
CELL_DATA 4
SCALARS k int
LOOKUP_TABLE default
1 2 3 4
"""


def _small() -> str:
    grids = "".join(f"GRID    {k:8d}        " + "".join(f"{v:8.2f}" for v in x) + "\n" for k, x in enumerate(_GRIDS, 1))
    hexa = "CHEXA   " + "".join(f"{v:8d}" for v in (1, 4, 1, 2, 3, 4, 5, 6)) + "+A\n+A      " + f"{7:8d}{8:8d}\n"
    pyramid = "CPYRAM  " + "".join(f"{v:8d}" for v in (2, 5, 5, 6, 7, 8, 9)) + "\n"
    tetra = "CTETRA  " + "".join(f"{v:8d}" for v in (3, 5, 1, 2, 3, 9)) + "\n"
    return f"SOL 101\nCEND\nBEGIN BULK\n$ a comment\n{grids}{hexa}{pyramid}{tetra}ENDDATA\n"


def _large() -> str:
    grids = "".join(
        f"GRID*   {k:16d}{'':16}{x[0]:16.9E}{x[1]:16.9E}*\n*       {x[2]:16.9E}\n" for k, x in enumerate(_GRIDS, 1)
    )
    quads = "".join(
        f"CQUAD4* {k:16d}{7:16d}{a:16d}{b:16d}*\n*       {c:16d}{d:16d}\n"
        for k, (a, b, c, d) in enumerate(((1, 2, 3, 4), (2, 3, 7, 6)), 1)
    )
    return f"BEGIN BULK\n{grids}{quads}ENDDATA\n"


def _free() -> str:
    grids = "".join(f"GRID,{k},5,{x},{y},{z}\n" for k, (x, y, z) in enumerate(_GRIDS[:4], 1))
    system = "CORD2R,5,0,10.,0.,0.,10.,0.,1.\n+,11.,0.,0.\n"
    return f"BEGIN BULK\n{system}{grids}CTRIA3,1,2,1,2,3\nCTRIA3,2,3,1,3,4\nENDDATA\n"


def _tetgen(target: str) -> Sample:
    texts = {"m.node": test_io_tetgen.NODE, "m.ele": test_io_tetgen.ELE, "m.face": test_io_tetgen.FACE}
    return Sample("tetgen", "m.ele", {name: text.encode() for name, text in texts.items()}, target)


def _abaqus_parts(target: str) -> Sample:
    nodes = b"*NODE\n1,0,0,0\n2,1,0,0\n3,0,1,0\n4,0,0,1\n"
    return Sample(
        "abaqus", "m.inp", {"m.inp": _PARTS.encode(), "nodes.inp": nodes}, target, "abaqus" if target == "m.inp" else ""
    )


def _su2(folder: Path) -> Sample:
    write_mesh(folder / "m.su2", square())
    return taken("su2", folder, "m.su2")


def _su2_solid(folder: Path) -> Sample:
    write_mesh(folder / "m.su2", solid())
    return taken("su2", folder, "m.su2")


MAKERS.update(
    {
        "obj": lambda folder: one("obj", "m.obj", _OBJ, "obj"),
        "off": lambda folder: one("off", "m.off", _OFF),
        "avsucd": lambda folder: one("avsucd", "m.avs", _AVS),
        "wkt": lambda folder: one("wkt", "m.wkt", _WKT),
        "abaqus": lambda folder: one("abaqus", "m.inp", _ABAQUS, "abaqus"),
        "abaqus-parts": lambda folder: _abaqus_parts("m.inp"),
        "abaqus-include": lambda folder: _abaqus_parts("nodes.inp"),
        "nastran-small": lambda folder: one("nastran", "m.bdf", _small(), "nastran"),
        "nastran-large": lambda folder: one("nastran", "m.bdf", _large(), "nastran"),
        "nastran-free": lambda folder: one("nastran", "m.nas", _free(), "nastran"),
        "stl-ascii": lambda folder: one("stl", "m.stl", _STL, "stl"),
        "vtk-polydata": lambda folder: one("vtk", "m.vtk", _POLYDATA, "polydata"),
        "vtk-rectilinear": lambda folder: one("vtk", "m.vtk", _RECTILINEAR),
        "vtk-image": lambda folder: one("vtk", "m.vtk", _IMAGE),
        "vtp-ascii": lambda folder: one("vtp", "m.vtp", test_io_vtp.surface("ascii")),
        "vtp-zlib": lambda folder: one("vtp", "m.vtp", test_io_vtp.surface("zlib")),
        "vtp-raw": lambda folder: one("vtp", "m.vtp", test_io_vtp.surface("raw")),
        "su2-plane": _su2,
        "su2-solid": _su2_solid,
        "unv": lambda folder: one("unv", "m.unv", test_io_unv.WHOLE),
        "mfem": lambda folder: one("mfem", "m.mesh", test_io_mfem.PLAIN),
        "mfem-solid": lambda folder: one("mfem", "m.mesh", test_io_mfem.SOLIDS),
        "mfem-tree": lambda folder: one("mfem", "m.mesh", test_io_mfem.TREE),
        "gambit": lambda folder: one("gambit", "m.neu", test_io_text.SOLID),
        "libmesh": lambda folder: one("libmesh", "m.xda", test_io_text.XDA),
        "tetgen-node": lambda folder: _tetgen("m.node"),
        "tetgen-ele": lambda folder: _tetgen("m.ele"),
        "tetgen-face": lambda folder: _tetgen("m.face"),
    }
)
