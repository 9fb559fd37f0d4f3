"""VTK surfaces (.vtp): every encoding, the order of the cell data, strips and lines, several pieces, damage."""

from __future__ import annotations

import base64
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from graphpde.errors import MeshReadError
from graphpde.mesh.io import read_mesh
from tests.mesh.io_samples import POINTS, put, sets

RAISED = POINTS + np.array([0, 0, 1.0]) * np.arange(5)[:, None]  # not planar
ARRAYS = {
    "Verts": ([0], [1]),
    "Lines": ([0, 1, 4], [3]),
    "Strips": ([1, 4, 2, 3], [4]),
    "Polys": ([0, 1, 2, 0, 2, 3], [3, 6]),
}
CELL_DATA = [10.0, 20, 31, 32, 40]  # vertex, poly-line, two polygons, strip


def encoded(values: np.ndarray, form: str) -> bytes:
    """An array with its header: plain base64, zlib in blocks of 16 bytes, or raw bytes."""
    data = values.tobytes()
    word = values.dtype.byteorder.replace("|", "<").replace("=", "<") + "u4"
    if form != "zlib":
        whole = np.array([len(data)], dtype=word).tobytes() + data
        return whole if form == "raw" else base64.b64encode(whole)
    blocks = [zlib.compress(data[k : k + 16]) for k in range(0, len(data), 16)]
    head = np.array([len(blocks), 16, len(data) % 16, *map(len, blocks)], dtype=word).tobytes()
    return base64.b64encode(head) + base64.b64encode(b"".join(blocks))


def surface(form: str, order: str = "<") -> bytes:
    """The same surface as "ascii", "base64" or "zlib" inline, appended "raw" or "appended" base64."""
    body, names = b"", {"f8": "Float64", "i4": "Int32"}

    def array(values: object, kind: str, name: str, width: int = 1) -> str:
        nonlocal body
        numbers = np.asarray(values, dtype=order + kind)
        head = f'<DataArray type="{names[kind]}" Name="{name}" NumberOfComponents="{width}" format='
        if form == "ascii":
            return head + '"ascii">' + " ".join(map(repr, numbers.reshape(-1).tolist())) + "</DataArray>"
        if form in ("base64", "zlib"):
            return head + f'"binary">{encoded(numbers, form).decode()}</DataArray>'
        start = len(body)
        body += encoded(numbers, "raw" if form == "raw" else "base64")
        return head + f'"appended" offset="{start}"/>'

    u, k, x = array(np.arange(5.0), "f8", "u"), array(CELL_DATA, "f8", "k"), array(RAISED, "f8", "x", 3)
    parts = "".join(
        f"<{tag}>{array(nodes, 'i4', 'connectivity')}{array(stops, 'i4', 'offsets')}</{tag}>"
        for tag, (nodes, stops) in ARRAYS.items()
    )
    counts = " ".join(f'NumberOf{tag}="{len(stops)}"' for tag, (_, stops) in ARRAYS.items())
    compressor = ' compressor="vtkZLibDataCompressor"' if form == "zlib" else ""
    end = {"<": "Little", ">": "Big"}[order]
    text = (
        f'<?xml version="1.0"?><VTKFile type="PolyData" version="0.1" byte_order="{end}Endian"{compressor}><PolyData>'
        f'<Piece NumberOfPoints="5" {counts}><PointData>{u}</PointData>'
        f"<CellData>{k}</CellData>"
        f"<Points>{x}</Points>{parts}</Piece></PolyData>"
    ).encode()
    if body:
        encoding = b"raw" if form == "raw" else b"base64"
        text += b'<AppendedData encoding="' + encoding + b'">_' + body + b"\n</AppendedData>"
    return text + b"</VTKFile>"


@pytest.mark.parametrize("form", ["ascii", "base64", "zlib", "raw", "appended"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_every_encoding_gives_the_same_surface(tmp_path: Path, form: str, order: str) -> None:
    mesh = read_mesh(put(tmp_path, "m.vtp", surface(form, order)))
    assert np.array_equal(mesh.points, RAISED)
    assert mesh.cells["triangle"].tolist() == [[0, 1, 2], [0, 2, 3], [1, 4, 2], [3, 2, 4]]
    assert mesh.point_data["u"].tolist() == [0, 1, 2, 3, 4]
    assert mesh.cell_data["k"].tolist() == [31, 32, 40, 40]  # a strip stands behind the polygons
    assert sets(mesh) == {"line": (1, [0, 1, 4]), "vertex": (0, [0])}


def test_pieces_are_joined_and_empty_ones_skipped(tmp_path: Path) -> None:
    text = surface("ascii").decode()
    start, stop = text.index("<Piece"), text.index("</PolyData>")
    empty = '<Piece NumberOfPoints="0"><Points><DataArray type="Float64" NumberOfComponents="3"/></Points></Piece>'
    mesh = read_mesh(put(tmp_path, "m.vtp", text[:start] + 2 * text[start:stop] + text[stop:]))
    assert mesh.n == 10 and mesh.cells["triangle"].tolist()[-1] == [8, 7, 9]
    assert mesh.cell_data["k"].tolist() == [31, 32, 31, 32, 40, 40, 40, 40]
    mesh = read_mesh(put(tmp_path, "m.vtp", text[:stop] + empty + text[stop:]))
    assert mesh.n == 5 and mesh.n_cells == 4
    with pytest.raises(MeshReadError, match="it holds 0 points and no cells"):
        read_mesh(put(tmp_path, "m.vtp", text[:start] + empty + text[stop:]))


@pytest.mark.parametrize(
    "old, new, reason",
    [
        ("</VTKFile>", "", "the XML is broken"),
        ("<PolyData>", "<PolyData>" + 70 * "<a>" + 70 * "</a>", "nest more than 64 levels deep"),
        ("<VTKFile ", "<!DOCTYPE a><VTKFile ", "holds a <!DOCTYPE declaration"),
        ('type="PolyData"', 'type="ImageData"', "holds ImageData, expected a PolyData"),
        ('NumberOfPoints="5"', 'NumberOfPoints="6"', "the points have shape"),
        ('NumberOfPolys="2"', 'NumberOfPolys="3"', "array 'offsets' has 2 entries for 3 Polys"),
        (">3 6<", ">3 7<", "the Polys have 6 point numbers, expected 7"),
        (">3 6<", ">7 6<", "offsets do not fit"),
        (">0 1 2 0 2 3<", ">0 1 2 0 2 9<", "a cell names point 9 or 0, expected 0..4"),
        (">0 1 2 0 2 3<", ">0 1 2 0 2 x<", "holds something that is not a number"),
        (">10.0 20.0 ", ">20.0 ", "array 'k' has 4 rows, expected 5"),
        ('Name="connectivity"', 'Name="conn"', "the Verts lack the array"),
        ("<PolyData>", "<Poly>", "the XML is broken"),
    ],
)
def test_damage_is_refused(tmp_path: Path, old: str, new: str, reason: str) -> None:
    text = surface("ascii").decode()
    assert old in text
    with pytest.raises(MeshReadError, match=reason):
        read_mesh(put(tmp_path, "m.vtp", text.replace(old, new, 1)))


@pytest.mark.parametrize("form", ["ascii", "zlib", "raw"])
def test_a_cut_file_is_never_a_smaller_mesh(tmp_path: Path, form: str) -> None:
    whole = surface(form)
    for stop in range(1, len(whole), 7):
        with pytest.raises(MeshReadError):
            read_mesh(put(tmp_path, "m.vtp", whole[:stop]))


def test_the_cow(shared_data: Path) -> None:
    path = shared_data / "meshes/vtkdata/cow.vtp"
    if not path.is_file():
        pytest.skip("the real meshes beside the checkout (../shared/data/meshes) are absent")
    mesh = read_mesh(path)
    assert mesh.n == 2903 and mesh.dim == 2 and mesh.space_dim == 3
    assert len(mesh.cells["quad"]) == 2519 and len(mesh.cells["triangle"]) >= 734
    assert torch.unique(torch.cat([nodes.reshape(-1) for nodes in mesh.cells.values()])).numel() == 2903
