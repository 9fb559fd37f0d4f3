"""Samples of the formats that meshio reads for us."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from tests.fuzz.corpus import MAKERS, Sample, one
from tests.fuzz.corpus_binary import mixed, triangles, written

_UGRID = """5 1 0 1 0 0 0
0 0 0
1 0 0
1 1 0
0 1 0
0.5 0.5 1
1 2 3
7
1 2 3 5
"""


def _by(folder: Path, name: str, format: str, types: str = "", data: bool = False, **options: Any) -> Sample:
    return written(folder, name, mixed("", data, tuple(types.split())), format, **options)


def _surface(folder: Path, name: str, format: str, **options: Any) -> Sample:
    return written(folder, name, triangles(), format, **options)


MAKERS.update(
    {
        "netgen": partial(_by, name="m.vol", format="netgen"),
        "tecplot": partial(_by, types="tetra", name="m.tec", format="tecplot", data=True),
        "tecplot-surface": partial(_surface, name="m.dat", format="tecplot"),
        "ugrid": lambda folder: one("ugrid", "m.ugrid", _UGRID),
        "ugrid-binary": partial(_by, types="tetra hexahedron", name="m.b8.ugrid", format="ugrid"),
        "flac3d": partial(_by, types="tetra hexahedron wedge", name="m.f3grid", format="flac3d", listed="flac3d"),
        "ansys-ascii": partial(_by, types="tetra", name="m.msh", format="ansys", binary=False),
        "ansys-binary": partial(_by, types="tetra", name="m.msh", format="ansys", binary=True),
        "dolfin": partial(_by, types="tetra", name="m.xml", format="dolfin-xml"),
        "permas": partial(_by, types="tetra hexahedron", name="m.post", format="permas"),
        "mdpa": partial(_by, types="tetra hexahedron", name="m.mdpa", format="mdpa", listed="mdpa"),
        "h5m": partial(_by, types="tetra", name="m.h5m", format="h5m"),
        "hmf": partial(_by, types="tetra", name="m.hmf", format="hmf"),
    }
)
