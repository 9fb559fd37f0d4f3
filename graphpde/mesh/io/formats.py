"""The one table of mesh file formats: names, extensions, who reads and writes them, and how to tell them apart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from graphpde.mesh.io import avsucd, gambit, libmesh, off, skfem_json, su2, tetgen, unv, wkt
from graphpde.mesh.io.abaqus import read as abaqus
from graphpde.mesh.io.abaqus import write as abaqus_write
from graphpde.mesh.io.bridge import read as bridge
from graphpde.mesh.io.bridge import write as bridge_write
from graphpde.mesh.io.exodus import read as exodus
from graphpde.mesh.io.exodus import write as exodus_write
from graphpde.mesh.io.gmsh import read as gmsh_read
from graphpde.mesh.io.gmsh import write as gmsh
from graphpde.mesh.io.med import write as med_write
from graphpde.mesh.io.medit import read as medit
from graphpde.mesh.io.medit import write as medit_write
from graphpde.mesh.io.mfem import read as mfem
from graphpde.mesh.io.nastran import read as nastran
from graphpde.mesh.io.nastran import write as nastran_write
from graphpde.mesh.io.obj import surface as obj
from graphpde.mesh.io.ply import surface as ply
from graphpde.mesh.io.raw import RawMesh, Unreadable
from graphpde.mesh.io.references import check_hdf5
from graphpde.mesh.io.sandbox import parent as sandbox
from graphpde.mesh.io.stl import surface as stl
from graphpde.mesh.io.vtk import legacy_read as vtk_read
from graphpde.mesh.io.vtk import legacy_write as vtk_write
from graphpde.mesh.io.vtk import vtp_read, vtu_read
from graphpde.mesh.io.vtk import vtu_write as vtu
from graphpde.mesh.io.xdmf import read as xdmf
from graphpde.mesh.io.xdmf import write as xdmf_write
from graphpde.mesh.mesh import Mesh
from graphpde.registry import Registry, unknown

Fields = dict[str, Any]
Writer = Callable[[Path, Mesh, Fields, Fields], list[str]]


@dataclass(frozen=True)
class Format:
    """One mesh file format.

    Attributes:
        title: what people call it. extensions: lower case, with the dot.
        read: path -> raw mesh. check: looks at a file before it is read and refuses what must not be.
        write: (path, mesh, point data, cell data) -> what was lost beyond the two lines below, or None.
        sets: which named sets survive writing: "all", "entities" (cells, facets, points), "cells", "facets" or "none".
        keeps_fields: whether data do.
    """

    title: str
    extensions: tuple[str, ...]
    read: Callable[[Path], RawMesh]
    check: Callable[[Path], None] | None = None
    write: Writer | None = None
    sets: str = "none"
    keeps_fields: bool = False

    def set_dims(self, dim: int) -> tuple[int, ...]:
        """Dimensions of the named sets that survive writing a mesh of dimension ``dim``."""
        dims = {"all": (0, 1, 2, 3), "entities": (0, dim - 1, dim), "cells": (dim,), "facets": (dim - 1,), "none": ()}
        return dims[self.sets]


FORMATS: Registry[Format] = Registry("mesh format")


def _by_meshio(name: str) -> Callable[[Path], RawMesh]:
    return partial(bridge.read, name=name)


def _apart(reader: str) -> Callable[[Path], RawMesh]:
    """A reader of our own that leans on a library which damaged files can crash."""
    return partial(sandbox.read, reader=reader)


def _meshio_writes(name: str, **options: Any) -> Writer:
    return partial(bridge_write.write, name=name, **options)


for _name, _format in {
    "gmsh": Format("Gmsh", (".msh",), gmsh_read.read, None, gmsh.write, "all", True),
    "vtu": Format("VTK unstructured grid (XML)", (".vtu",), vtu_read.read, None, vtu.write, "all", True),
    "vtp": Format("VTK surface (XML)", (".vtp",), vtp_read.read),
    "vtk": Format("VTK legacy", (".vtk",), vtk_read.read, None, vtk_write.write, "all", True),
    "xdmf": Format("XDMF", (".xdmf", ".xmf"), xdmf.read, None, xdmf_write.write, "all", True),
    "abaqus": Format("Abaqus, CalculiX", (".inp",), abaqus.read, None, abaqus_write.write, "entities"),
    "exodus": Format(
        "Exodus II",
        (".e", ".exo", ".ex2", ".exii", ".g", ".gen"),
        exodus.read,
        check_hdf5,
        exodus_write.write,
        "all",
        True,
    ),
    "nastran": Format("Nastran bulk data", (".bdf", ".nas", ".fem", ".dat"), nastran.read, None, nastran_write.write),
    "med": Format(
        "MED (Salome)", (".med",), _apart("graphpde.mesh.io.med.read:read"), None, med_write.write, "all", True
    ),
    "medit": Format("Medit", (".mesh", ".meshb"), medit.read, None, medit_write.write, "all"),
    "netgen": Format("Netgen", (".vol",), _by_meshio("netgen"), None, _meshio_writes("netgen")),
    "su2": Format("SU2", (".su2",), su2.read, None, su2.write, "facets"),
    "obj": Format("Wavefront OBJ", (".obj",), obj.read, None, obj.write, "cells"),
    "off": Format("Object File Format", (".off", ".coff"), off.read, None, off.write),
    "ply": Format("Stanford PLY", (".ply",), ply.read, None, ply.write, keeps_fields=True),
    "stl": Format("STL", (".stl",), stl.read, None, stl.write),
    "tecplot": Format("Tecplot", (".tec", ".dat"), _by_meshio("tecplot"), None, _meshio_writes("tecplot")),
    "avsucd": Format("AVS-UCD", (".avs", ".ucd", ".inp"), avsucd.read, None, _meshio_writes("avsucd")),
    "ugrid": Format("AFLR UGRID", (".ugrid",), _by_meshio("ugrid")),
    "cgns": Format("CGNS", (".cgns",), _apart("graphpde.mesh.io.cgns.read:read")),
    "flac3d": Format("FLAC3D", (".f3grid",), _by_meshio("flac3d")),
    "tetgen": Format("TetGen, Triangle", (".node", ".ele"), tetgen.read),
    "unv": Format("I-DEAS universal", (".unv",), unv.read),
    "mfem": Format("MFEM", (".mesh",), mfem.read),
    "skfem": Format("scikit-fem", (".json",), skfem_json.read),
    "gambit": Format("Gambit neutral", (".neu",), gambit.read),
    "libmesh": Format("libMesh", (".xda",), libmesh.read),
    "ansys": Format("Ansys Fluent", (".msh",), _by_meshio("ansys")),
    "dolfin-xml": Format("DOLFIN XML", (".xml",), _by_meshio("dolfin-xml")),
    "permas": Format("PERMAS", (".post", ".dato"), _by_meshio("permas")),
    "mdpa": Format("Kratos", (".mdpa",), _by_meshio("mdpa")),
    "wkt": Format("Well-known text", (".wkt",), wkt.read),
    "h5m": Format("MOAB", (".h5m",), _by_meshio("h5m")),
    "hmf": Format("HMF", (".hmf",), _by_meshio("hmf")),
}.items():
    FORMATS.add(_name)(_format)

PACKED = {".gz": "gzip", ".xz": "xz", ".bz2": "bzip2"}

# what people hand over that is no mesh for this library, and what to do about it
_FOREIGN = {
    ".xdr": "libMesh's own binary format is not read; save it as .xda or Exodus (.e) with meshtool",
    ".vti": "VTK images are not read; save it as an unstructured grid (.vtu) in ParaView",
    ".pvd": "it is a list of files; read one of the .vtu files that it names",
    ".pvtu": "it is a list of pieces; read the .vtu files that it names or merge them in ParaView",
    ".h5": "HDF5 holds only the numbers of a mesh; read the .xdmf file beside it",
    ".geo": "it is a geometry, not a mesh; mesh it with Gmsh first",
    ".step": "it is a geometry, not a mesh; mesh it with Gmsh first",
    ".stp": "it is a geometry, not a mesh; mesh it with Gmsh first",
    ".iges": "it is a geometry, not a mesh; mesh it with Gmsh first",
    ".igs": "it is a geometry, not a mesh; mesh it with Gmsh first",
    ".brep": "it is a geometry, not a mesh; mesh it with Gmsh first",
    ".smesh": "it is an input of TetGen, not a mesh; run tetgen on it and read the .node file",
    ".poly": "it is an input of Triangle or TetGen, not a mesh; run it and read the .node file",
}


def extensions() -> list[str]:
    """All known extensions, sorted."""
    return sorted({extension for known in FORMATS.values() for extension in known.extensions})


def extension_of(path: Path) -> str:
    """The extension in lower case; behind a packed one (``.msh.xz``) the inner one."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in PACKED:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def format_of(path: Path, head: bytes) -> str:
    """The name of the format by extension and, where several share one, by the first bytes.

    Raises:
        Unreadable: an unknown extension, or a content that none of the formats of that extension begins with.
    """
    extension = extension_of(path)
    if extension in _FOREIGN:
        raise Unreadable(_FOREIGN[extension])
    names = [name for name, known in FORMATS.items() if extension in known.extensions]
    if len(names) == 1 and extension != ".mesh":
        return names[0]
    text = head.lstrip()
    if extension == ".msh":
        return _msh(text)
    if extension in (".mesh", ".inp", ".dat"):
        return {".mesh": _mesh, ".inp": _inp, ".dat": _dat}[extension](text)
    found = _magic(text)
    if found and not extension:
        return found
    if not extension:
        raise Unreadable("it has no extension and its content is not recognised; name the format, e.g. format='gmsh'")
    raise Unreadable(str(unknown("extension", extension, extensions())))


def _magic(text: bytes) -> str | None:
    """The format of a file without extension, where its first bytes tell."""
    marks = {
        b"$MeshFormat": "gmsh",
        b"# vtk DataFile": "vtk",
        b"<VTKFile": "vtu",
        b"MeshVersionFormatted": "medit",
        b"MFEM": "mfem",
        b"OFF": "off",
        b"ply": "ply",
        b"mesh3d": "netgen",
    }
    return next((name for mark, name in marks.items() if text.startswith(mark)), None)


def _msh(text: bytes) -> str:
    if b"$MeshFormat" in text:
        return "gmsh"
    if text.startswith(b"$NOD"):
        raise Unreadable("it is of the old Gmsh format 1; open it in Gmsh and save it as version 4.1 or 2.2")
    if text.startswith(b"("):
        return "ansys"
    raise Unreadable("it begins neither like a Gmsh file ($MeshFormat) nor like one of Ansys Fluent")


def _mesh(text: bytes) -> str:
    if text.startswith(b"MFEM"):
        return "mfem"
    if b"meshversionformatted" in text.lower():
        return "medit"
    raise Unreadable("it does not begin with MeshVersionFormatted as Medit files do, nor with MFEM")


def _inp(text: bytes) -> str:
    if text.startswith(b"\x07"):
        raise Unreadable("it is a binary AVS-UCD file; save it as text or as .vtu")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    body = [line for line in lines if not line.startswith((b"#", b"**"))]
    words = body[0].split() if body else []
    if (body and body[0].startswith(b"*")) or (lines and not body and lines[0].startswith(b"**")):
        return "abaqus"
    if len(words) == 5 and all(word.isdigit() for word in words):
        return "avsucd"
    raise Unreadable("it begins neither like an Abaqus deck (*KEYWORD) nor like an AVS-UCD file (five counts)")


def _dat(text: bytes) -> str:
    upper = text.upper()
    first = upper.split(None, 1)[0] if upper else b""
    if first.startswith((b"TITLE", b"VARIABLES", b"ZONE")) and b"=" in upper[:200] and b"BEGIN BULK" not in upper:
        return "tecplot"
    if any(mark in upper for mark in (b"BEGIN BULK", b"GRID", b"CEND")) or upper.startswith((b"$", b"SOL ", b"ID ")):
        return "nastran"
    raise Unreadable("it begins neither like a Tecplot file (VARIABLES) nor like a Nastran deck (BEGIN BULK)")
