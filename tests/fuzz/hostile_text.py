"""Hostile text and XML: bombs, entities, endless nesting and headers, counts beyond memory, numbers that are none."""

from __future__ import annotations

import base64
import bz2
import gzip
import lzma
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

from tests.fuzz.hostile import BIG, MAKERS, SIZE, hostile, text, xdmf

# bombs


def _vtu(arrays: str, points: int = 3, head: str = "", tail: str = "") -> str:
    return (
        f'<?xml version="1.0"?>{head}<VTKFile type="UnstructuredGrid" version="1.0" byte_order="LittleEndian" '
        f'header_type="UInt64"{tail}><UnstructuredGrid><Piece NumberOfPoints="{points}" NumberOfCells="1"><Points>'
        f'{arrays}</Points><Cells><DataArray type="Int64" Name="connectivity">0 1 2</DataArray><DataArray '
        'type="Int64" Name="offsets">3</DataArray><DataArray type="UInt8" Name="types">5</DataArray></Cells></Piece>'
        "</UnstructuredGrid></VTKFile>"
    )


def _blocks(size: int, block: bytes, count: int) -> str:
    head = struct.pack("<QQQ", count, size, 0) + struct.pack("<Q", len(block)) * count
    return base64.b64encode(head).decode() + base64.b64encode(block * count).decode()


def _vtu_bomb(name: str, compressor: str, pack: Callable[[bytes], bytes], count: int) -> None:
    def make(folder: Path) -> Path:
        size = SIZE // count
        part = 1 << 24
        block = pack(bytes(part)) if count > 1 else pack(bytes(size))
        text = _blocks(part, block, SIZE // part) if count > 1 else _blocks(size, block, 1)
        array = f'<DataArray type="Float64" NumberOfComponents="3" format="binary">{text}</DataArray>'
        (folder / "m.vtu").write_text(_vtu(array, SIZE // 24, tail=f' compressor="{compressor}"'))
        return folder / "m.vtu"

    MAKERS[name] = make


_vtu_bomb("vtu_zlib_bomb", "vtkZLibDataCompressor", lambda data: zlib.compress(data, 9), 128)
_vtu_bomb("vtu_lzma_bomb", "vtkLZMADataCompressor", lambda data: lzma.compress(data, preset=0), 128)


@hostile
def vtu_zlib_bomb_of_a_false_size(folder: Path) -> Path:
    block = zlib.compress(bytes(1 << 28), 9)
    array = f'<DataArray type="Float64" NumberOfComponents="3" format="binary">{_blocks(72, block, 1)}</DataArray>'
    (folder / "m.vtu").write_text(_vtu(array, tail=' compressor="vtkZLibDataCompressor"'))
    return folder / "m.vtu"


def _packed(name: str, extension: str, pack: Callable[[bytes], bytes]) -> None:
    """A packed file of half a gigabyte; all three formats may consist of many pieces one after another."""
    text(name, f"m.obj.{extension}", lambda: pack(b"#" * (1 << 24)) * 32)


_packed("gzip_bomb", "gz", gzip.compress)
_packed("xz_bomb", "xz", lambda data: lzma.compress(data, preset=0))
_packed("bzip2_bomb", "bz2", bz2.compress)

# XML

_POINTS = '<DataArray type="Float64" NumberOfComponents="3">0 0 0 1 0 0 0 1 0</DataArray>'
_LAUGHS = '<!DOCTYPE x [<!ENTITY a "ha">' + "".join(
    f'<!ENTITY {chr(98 + k)} "{f"&{chr(97 + k)};" * 10}">' for k in range(12)
)
text("vtu_billion_laughs", "m.vtu", _vtu(_POINTS.replace("0 0 0 1", "&m; 1"), head=_LAUGHS + "]>"))
text("vtu_external_entity", "m.vtu", _vtu(_POINTS, head='<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>'))
text("vtu_external_dtd", "m.vtu", _vtu(_POINTS, head='<!DOCTYPE x SYSTEM "http://127.0.0.1:9/x.dtd">'))
text(
    "vtu_doctype_in_utf16",
    "m.vtu",
    _vtu(_POINTS, head="<!DOCTYPE x>").replace('"1.0"?>', '"1.0" encoding="utf-16"?>').encode("utf-16"),
)
text("vtu_nested", "m.vtu", '<VTKFile type="UnstructuredGrid">' + "<a>" * 200_000 + "</a>" * 200_000 + "</VTKFile>")
text("xdmf_nested", "m.xdmf", "<Xdmf>" + "<Grid>" * 200_000 + "</Grid>" * 200_000 + "</Xdmf>")
text("xdmf_billion_laughs", "m.xdmf", _LAUGHS + "]>" + xdmf("&m;", "XML"))
text("xdmf_entity", "m.xdmf", '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>' + xdmf("&a;", "XML"))
text("dolfin_billion_laughs", "m.xml", _LAUGHS + "]><dolfin>&m;</dolfin>")
text("vtp_nested", "m.vtp", '<VTKFile type="PolyData">' + "<Piece>" * 200_000)
text(
    "xdmf_include",
    "m.xdmf",
    '<Xdmf xmlns:xi="http://www.w3.org/2001/XInclude"><Domain><xi:include href="/etc/passwd"/></Domain></Xdmf>',
)
text(
    "xdmf_reference_to_itself",
    "m.xdmf",
    '<Xdmf><Domain><Grid Name="a" Reference="/Xdmf/Domain/Grid[1]"/></Domain></Xdmf>',
)
text(
    "xdmf_reference_in_a_circle",
    "m.xdmf",
    '<Xdmf><Domain><Grid Reference="/Xdmf/Domain/Grid[2]"/><Grid Reference="/Xdmf/Domain/Grid[1]"/></Domain></Xdmf>',
)
text(
    "xdmf_endless_search", "m.xdmf", f'<Xdmf><Domain><Grid Reference="{"//*" * 2000}"/>{"<a/>" * 20000}</Domain></Xdmf>'
)
text("xdmf_count", "m.xdmf", xdmf("0 0 0", "XML", size=f"{BIG} 3"))
text(
    "xdmf_uniform",
    "m.xdmf",
    '<Xdmf><Domain><Grid><Topology TopologyType="3DCoRectMesh" Dimensions="10000 10000 10000"/>'
    '<Geometry GeometryType="ORIGIN_DXDYDZ"><DataItem Dimensions="3">0 0 0</DataItem><DataItem Dimensions="3">1 1 1'
    "</DataItem></Geometry></Grid></Domain></Xdmf>",
)
text("vtu_count", "m.vtu", _vtu(_POINTS, BIG))
text("vtu_components", "m.vtu", _vtu(_POINTS.replace('"3"', f'"{BIG}"')))
text("vtu_nan", "m.vtu", _vtu(_POINTS.replace("1 0 0", "nan 0 0")))
text("vtu_index", "m.vtu", _vtu(_POINTS).replace("0 1 2<", "0 1 99<"))
text("vtu_negative_index", "m.vtu", _vtu(_POINTS).replace("0 1 2<", "0 1 -1<"))

# counts, endless headers, and numbers that are none

_HEAD = "$MeshFormat\n{}\n$EndMeshFormat\n"
_VTK = "# vtk DataFile Version 3.0\nx\n{}\nDATASET {}\n"
for _count in (3 * 10**8, BIG):
    _word = f"{_count:.0e}".replace("+", "")
    text(f"gmsh22_nodes_{_word}", "m.msh", _HEAD.format("2.2 0 8") + f"$Nodes\n{_count}\n1 0 0 0\n$EndNodes\n")
    text(
        f"gmsh41_nodes_{_word}",
        "m.msh",
        _HEAD.format("4.1 0 8") + f"$Nodes\n1 {_count} 1 {_count}\n2 1 0 {_count}\n1\n",
    )
    text(f"vtk_points_{_word}", "m.vtk", _VTK.format("ASCII", "UNSTRUCTURED_GRID") + f"POINTS {_count} float\n0 0 0\n")
    text(f"vtk_binary_{_word}", "m.vtk", _VTK.format("BINARY", "UNSTRUCTURED_GRID") + f"POINTS {_count} float\n0000")
    text(f"medit_{_word}", "m.mesh", f"MeshVersionFormatted 2\nDimension 3\nVertices\n{_count}\n0 0 0 1\nEnd\n")
    text(f"off_{_word}", "m.off", f"OFF\n{_count} {_count} 0\n0 0 0\n")
    text(f"ply_{_word}", "m.ply", f"ply\nformat ascii 1.0\nelement vertex {_count}\nproperty float x\nend_header\n1\n")
    text(f"su2_{_word}", "m.su2", f"NDIME= 2\nNELEM= {_count}\n5 0 1 2\nNPOIN= {_count}\n0 0\n")
    text(f"avs_{_word}", "m.avs", f"{_count} {_count} 0 0 0\n1 0 0 0\n")
    text(f"tetgen_{_word}", "m.node", f"{_count} 3 0 0\n1 0 0 0\n")
    text(f"gambit_{_word}", "m.neu", f"   CONTROL INFO 2.4.6\na\nb\nc\nd\ne\n{_count} {_count} 0 0 3 3\nENDOFSECTION\n")
    text(f"mfem_{_word}", "m.mesh", f"MFEM mesh v1.0\ndimension\n2\nelements\n{_count}\n1 2 0 1 2\n")
    text(f"libmesh_{_word}", "m.xda", f"libMesh-0.7.0+\n{_count}\n{_count}\n.\nn/a\nn/a\nn/a\n{_count}\n3 0 1 2\n")
    text(f"tecplot_{_word}", "m.tec", f'VARIABLES="X","Y"\nZONE N={_count}, E={_count}, F=FEPOINT, ET=TRIANGLE\n0 0\n')
    text(f"ugrid_{_word}", "m.ugrid", f"{_count} {_count} 0 0 0 0 0\n0 0 0\n")
    text(f"netgen_{_word}", "m.vol", f"mesh3d\ndimension\n3\npoints\n{_count}\n0 0 0\n")
text(
    "gmsh22_binary_count",
    "m.msh",
    _HEAD.format("2.2 1 8\n\1\0\0\0").encode().replace(b"\\1", b"\1") + b"$Nodes\n999999999999\n" + bytes(56),
)
text(
    "gmsh41_binary_count",
    "m.msh",
    b"$MeshFormat\n4.1 1 8\n\1\0\0\0\n$EndMeshFormat\n$Nodes\n"
    + struct.pack("<4Q", 1, BIG, 1, BIG)
    + struct.pack("<3iQ", 3, 1, 0, BIG)
    + bytes(64),
)
text("medit_binary_count", "m.meshb", struct.pack("<iiiii iii", 1, 3, 3, 24, 3, 4, 0, 2**31 - 1) + bytes(64))
text(
    "ply_binary_list",
    "m.ply",
    b"ply\nformat binary_little_endian 1.0\nelement vertex 1\nproperty float x\nproperty float y\nproperty float z\n"
    b"element face 1\nproperty list uint int vertex_indices\nend_header\n" + bytes(12) + b"\xff" * 4,
)
text("ply_no_properties", "m.ply", f"ply\nformat ascii 1.0\nelement vertex {BIG}\nend_header\n")
text("ply_endless_header", "m.ply", b"ply\nformat ascii 1.0\n" + b"comment x\n" * 1_000_000)
text("ply_no_end", "m.ply", "ply\nformat ascii 1.0\nelement vertex 3\nproperty float x\n")
text("stl_count", "m.stl", bytes(80) + b"\xff" * 4 + bytes(100))
text(
    "vtk_image",
    "m.vtk",
    _VTK.format("ASCII", "STRUCTURED_POINTS") + "DIMENSIONS 10000 10000 10000\nORIGIN 0 0 0\nSPACING 1 1 1\n",
)
text(
    "vtk_image_data",
    "m.vtk",
    _VTK.format("ASCII", "STRUCTURED_POINTS")
    + "DIMENSIONS 3000 3000 1\nORIGIN 0 0 0\nSPACING 1 1 1\n"
    + f"POINT_DATA {BIG}\nSCALARS a float\nLOOKUP_TABLE default\n1\n",
)
text(
    "vtk_image_medium",
    "m.vtk",
    _VTK.format("ASCII", "STRUCTURED_POINTS") + "DIMENSIONS 300 300 300\nORIGIN 0 0 0\nSPACING 1 1 1\n",
)
text(
    "vtk_structured",
    "m.vtk",
    _VTK.format("ASCII", "STRUCTURED_GRID") + "DIMENSIONS 10000 10000 10000\nPOINTS 1000000000000 float\n0 0 0\n",
)
text(
    "vtk_rectilinear",
    "m.vtk",
    _VTK.format("ASCII", "RECTILINEAR_GRID")
    + "".join(["DIMENSIONS 10000 10000 10000\n", *(f"{a}_COORDINATES 10000 float\n" + "0 " * 10000 for a in "XYZ")]),
)
text(
    "vtk_overflow",
    "m.vtk",
    _VTK.format("ASCII", "STRUCTURED_POINTS") + "DIMENSIONS 4294967296 4294967296 1\nORIGIN 0 0 0\nSPACING 1 1 1\n",
)
text("obj_index_zero", "m.obj", "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 0 1 2\n")
text("obj_index", "m.obj", "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 99\n")
text("obj_negative_index", "m.obj", "v 0 0 0\nv 1 0 0\nv 0 1 0\nf -1 -2 -99\n")
text("obj_huge_index", "m.obj", "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 " + "9" * 5000 + "\n")
text("obj_nan", "m.obj", "v 0 0 0\nv nan 0 0\nv 0 1 0\nf 1 2 3\n")
text("obj_underscore", "m.obj", "v 0 0 0\nv 1_0 0 0\nv 0 1 0\nf 1 2 3\n")
text("obj_arabic_digits", "m.obj", "v 0 0 0\nv ١ 0 0\nv 0 1 0\nf 1 2 3\n")
text("off_nan", "m.off", "OFF\n3 1 0\n0 0 0\nnan 0 0\n0 1 0\n3 0 1 2\n")
text("off_wide_face", "m.off", f"OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n{BIG} 0 1 2\n")
text("nul_bytes", "m.obj", bytes(1 << 20))
text("nul_bytes_gmsh", "m.msh", b"$MeshFormat\n" + bytes(1 << 20))
text("nul_bytes_vtu", "m.vtu", bytes(1 << 16))
text(
    "gmsh_two_equal_tags",
    "m.msh",
    _HEAD.format("2.2 0 8")
    + "$Nodes\n3\n1 0 0 0\n1 1 0 0\n3 0 1 0\n$EndNodes\n$Elements\n1\n1 2 0 1 1 3\n$EndElements\n",
)
text(
    "gmsh_unknown_tag",
    "m.msh",
    _HEAD.format("2.2 0 8")
    + "$Nodes\n3\n1 0 0 0\n2 1 0 0\n3 0 1 0\n$EndNodes\n$Elements\n1\n1 2 0 1 2 4\n$EndElements\n",
)
text(
    "gmsh_unclosed",
    "m.msh",
    _HEAD.format("2.2 0 8") + "$Nodes\n3\n1 0 0 0\n2 1 0 0\n3 0 1 0\n$EndNodes\n$Elements\n1\n1 2 0 1 2 3\n",
)
text(
    "gmsh_many_tags",
    "m.msh",
    _HEAD.format("2.2 0 8")
    + f"$Nodes\n3\n1 0 0 0\n2 1 0 0\n3 0 1 0\n$EndNodes\n$Elements\n1\n1 2 {BIG} 1 2 3\n$EndElements\n",
)
text("wkt_brackets", "m.wkt", "TIN " + "(" * 1_000_000)
text("wkt_spaces", "m.wkt", "TIN (((" + " " * 1_000_000 + "0 0 0")
text("stl_words", "m.stl", "solid a\n" + "facet " * 200_000 + "\nendsolid a\n")
text("unv_endless", "m.unv", "    -1\n  2411\n" + "         1         1         1        11\n" * 100_000)
text("nastran_numbers", "m.bdf", "BEGIN BULK\nGRID,1,,1+999999999,0.,0.\nGRID,2,,1.,0.,0.\nCROD,1,1,1,2\nENDDATA\n")
text("medit_digits", "m.mesh", "MeshVersionFormatted 2\nDimension " + "9" * 100_000 + "\n")

text("abaqus_long_line", "m.inp", lambda: b"*NODE\n" + b"1, 0, 0, " * 11_000_000)
text("obj_long_line", "m.obj", lambda: b"v " + b"1 " * 50_000_000)
text("gmsh_long_line", "m.msh", lambda: b"$MeshFormat\n2.2 0 8\n$EndMeshFormat\n$Nodes\n" + b"9" * 100_000_000)
text("su2_long_line", "m.su2", lambda: b"NDIME= " + b" " * 100_000_000)
text("vtk_long_line", "m.vtk", lambda: b"# vtk DataFile Version 3.0\n" + b"x" * 100_000_000)
text("stl_long_line", "m.stl", lambda: b"solid " + b"x" * 100_000_000)
text("ply_long_line", "m.ply", lambda: b"ply\nformat ascii 1.0\ncomment " + b"x" * 100_000_000)
text("newline_in_the_path", "m\nforged: all is well.obj", "f 1 2 3\n")
text("escape_in_the_path", "m\x1b[2J.obj", "f 1 2 3\n")
text("pieces_elsewhere", "m.pvtu", '<VTKFile type="PUnstructuredGrid"><Piece Source="/etc/passwd"/></VTKFile>')
text(
    "series_elsewhere",
    "m.pvd",
    '<VTKFile type="Collection"><Collection><DataSet file="/etc/passwd"/></Collection></VTKFile>',
)
for _format, _file, _head, _word in (
    ("nastran", "m.bdf", "BEGIN BULK\nGRID,", "1,"),
    ("off", "m.off", "OFF\n3 1 0\n", "0 "),
    ("avs", "m.avs", "3 1 0 0 0\n", "1 "),
    ("unv", "m.unv", "    -1\n  2411\n", "1 "),
    ("mfem", "m.mesh", "MFEM mesh v1.0\ndimension\n", "2 "),
    ("tetgen", "m.node", "3 2 0 0\n", "1 "),
    ("gambit", "m.neu", "   CONTROL INFO 2.4.6\n", "1 "),
    ("libmesh", "m.xda", "libMesh-0.7.0+\n", "1 "),
    ("medit", "m.mesh", "MeshVersionFormatted 2\nDimension ", "3 "),
    ("wkt", "m.wkt", "TIN (((", "0 "),
    ("wkt_rings", "m.wkt", "TIN (", "((0 0 0)),"),
    ("vtu", "m.vtu", '<VTKFile type="UnstructuredGrid">', "<a/>"),
):
    text(
        f"{_format}_long_line",
        _file,
        lambda head=_head, word=_word: head.encode() + word.encode() * (100_000_000 // len(word)),
    )
