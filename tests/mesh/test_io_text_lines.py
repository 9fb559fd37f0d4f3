"""Text files taken as a whole: the same result as line by line, and the same lines in C and by NumPy."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphpde.errors import MeshReadError
from graphpde.mesh.io import read_mesh, text_lines
from graphpde.mesh.io.avsucd import read as avs_read
from graphpde.mesh.io.obj import surface as obj
from graphpde.mesh.io.obj.rows import whole
from graphpde.mesh.io.off import read as off_read
from graphpde.mesh.io.raw import RawMesh, Unreadable
from graphpde.mesh.io.text_lines import Lines, letters, plain
from tests.mesh.io_samples import put

BYTES = st.text(alphabet=st.sampled_from("ab1 2#\t\n\r\v\f\x1c\x1f\x85\xa0\0é"), max_size=60)


# lines


@settings(max_examples=300, deadline=None)
@given(BYTES, st.sampled_from(["latin-1", "utf-8"]))
def test_lines_and_words_are_those_of_python(text: str, encoding: str) -> None:
    data = text.encode(encoding)
    decoded = re.sub("\r\n?", "\n", data.decode(encoding))
    expected = [words for line in decoded.splitlines() if (words := line.partition("#")[0].split())]
    lines = Lines(plain(data, encoding), b"#")
    assert [lines.line(k).decode(encoding).split() for k in range(len(lines))] == expected
    assert lines.words.tolist() == [len(words) for words in expected]
    if expected:
        joined = lines.joined(np.arange(0, len(lines), 2)).decode(encoding)
        assert joined.split() == [word for words in expected[::2] for word in words]
        least = min(map(len, expected))
        leading = lines.leading(0, len(lines), np.array([1 + (len(words) > least) for words in expected]))
        assert leading.decode(encoding).split() == [w for ws in expected for w in ws[: 1 + (len(ws) > least)]]
        places = lines.place(0, len(lines), least - 1)
        assert [bytes(lines.text[p:]).split()[0].decode(encoding) for p in places] == [ws[least - 1] for ws in expected]
        counts = [int(ws[0]) if re.fullmatch("[0-9]{1,17}", ws[0]) else -1 for ws in expected]
        assert lines.counts(0, len(lines)).tolist() == counts


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60) | BYTES.map(lambda text: text.encode("latin-1")), st.sampled_from([b"", b"#"]))
def test_without_the_function_in_c_the_lines_are_the_same(data: bytes, comment: bytes) -> None:
    if text_lines._compiled() is None:
        pytest.skip("the function in C was not built")
    with_c = Lines(data, comment)
    by_numpy = Lines(data)
    by_numpy.text = np.frombuffer(bytearray(data + b"\n"), dtype=np.uint8)
    table, longest = text_lines._by_numpy(by_numpy.text, comment)
    found = np.stack([with_c.start, with_c.first, with_c.stop, with_c.words], 1)
    assert np.array_equal(table, found) and longest == with_c.longest
    assert np.array_equal(by_numpy.text, with_c.text)


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="aZ_e1 .\n-", max_size=80), st.integers(0, 80), st.integers(1, 7))
def test_runs_of_letters_in_chunks_of_any_size(text: str, start: int, chunk: int) -> None:
    data = text.encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_lines, "_CHUNK", chunk)
        found = list(letters(data, min(start, len(data))))
    runs = [match for match in re.finditer(r"[A-Za-z_]+", text) if match.start() >= start]
    blank = [match.start() == 0 or text[match.start() - 1].isspace() for match in runs]
    assert found == [match.start() for match, before in zip(runs, blank) if len(match[0]) > 1 or before]


# Wavefront OBJ


def same(first: RawMesh, second: RawMesh) -> None:
    assert np.array_equal(first.points, second.points) and first.point_data.keys() == second.point_data.keys()
    assert all(np.array_equal(values, second.point_data[name]) for name, values in first.point_data.items())
    assert [block.kind for block in first.blocks] == [block.kind for block in second.blocks]
    assert all(np.array_equal(a.nodes, b.nodes) for a, b in zip(first.blocks, second.blocks))
    assert [cells.name for cells in first.cell_sets] == [cells.name for cells in second.cell_sets]
    for a, b in zip(first.cell_sets, second.cell_sets):
        assert [None if m is None else m.tolist() for m in a.members] == [
            None if m is None else m.tolist() for m in b.members
        ]


NUMBER = st.sampled_from(["0", "1", "-2", "+1.5", "1e3", "-0.0", ".5", "1.", "nan", "1_0", "x", "1e400"])
INDEX = st.sampled_from(["1", "2", "3", "3/1", "1//2", "2/1/1", "-1", "-2/3", "+1", "02", "4", "0", "/1", "1/x", "9"])
OBJ_LINE = st.one_of(
    st.lists(NUMBER.filter(lambda word: word[-1] in "0135."), min_size=3, max_size=3).map(lambda w: ["v", *w]),
    st.lists(NUMBER, min_size=2, max_size=7).map(lambda words: ["v", *words]),
    st.lists(INDEX, min_size=0, max_size=5).map(lambda words: ["f", *words]),
    st.lists(st.sampled_from(["1", "2", "3", "-1", "1/1"]), min_size=3, max_size=4).map(lambda words: ["f", *words]),
    st.lists(st.sampled_from(["1", "2", "-1"]), min_size=1, max_size=4).map(lambda words: ["l", *words]),
    st.lists(st.sampled_from(["a", "b", "größe", "a"]), max_size=2).map(lambda words: ["g", *words]),
    st.sampled_from([["vt", "0"], ["vn", "0", "0", "1"], ["# v 1"], [], ["usemtl", "x\x85y"], ["s", "1"], ["v\xa01"]]),
)
BETWEEN = st.sampled_from([" ", " ", " ", "  ", "\t", " \\\n", " \\\r\n"])
END = st.sampled_from(["\n", "\n", "\n", "\r\n", " \n", " # f 1 2 3\n", "\n\n", "\r", "\f"])


@settings(max_examples=500, deadline=None)
@given(st.lists(st.tuples(OBJ_LINE, BETWEEN, END), max_size=12), st.sampled_from(["", " ", "\ufeff"]), st.booleans())
def test_obj_as_a_whole_and_line_by_line(
    tmp_path_factory: pytest.TempPathFactory, rows: list, lead: str, begun: bool
) -> None:
    text = lead + "v 0 0 0\nv 1 0 0\nv 0 1 0\n" * begun + "".join(between.join(w) + end for w, between, end in rows)
    path = tmp_path_factory.getbasetemp() / "m.obj"
    path.write_bytes(text.encode())
    found = whole(path.read_bytes(), 1 << 20)
    try:
        expected = obj._by_lines(path)
    except Unreadable:
        assert found is None
        return
    if found is not None:
        same(found, expected)


def test_honest_obj_files_are_taken_as_a_whole(tmp_path: Path) -> None:
    text = "# größe\r\nv 0 0 0 1 0 0\r\nv 1 0 0 1 0 0\r\nv 0 1 0 0 0 1\r\nvt 0 0\r\ng left größe\r\nf 1/1 2/1 -1/1\r\n"
    text += "l 1 2 3\r\ng\r\nf 1 2 3\r\nv 1 1 0 0 0 0\r\ng left\r\nf 1 2 4 \\\r\n3\r\ng a\r\nf -4 -3 -2\r\n"
    path = tmp_path / "m.obj"
    path.write_bytes(text.encode())
    found = whole(path.read_bytes(), 1 << 20)
    assert found is not None
    same(found, obj._by_lines(path))
    assert [(cells.name, cells.members[0].tolist()) for cells in found.cell_sets if cells.members[0] is not None] == [
        *(("left", [0]), ("größe", [0])),
        ("a", [2]),
    ]
    for longest, taken in ((10, False), (100, True)):
        assert (whole(path.read_bytes(), longest) is not None) is taken


@pytest.mark.parametrize(
    "line", ["f -4 1 2", "f 1 2 4", "f 1 2 0", "f /1 1 2", "f 1 2 x", "v 1 2", "v 0 0 inf", "g a a"]
)
def test_odd_obj_files_are_left_to_the_other_reader(line: str) -> None:
    assert whole(b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n", 100) is not None
    assert whole(f"v 0 0 0\nv 1 0 0\nv 0 1 0\n{line}\nf 1 2 3\n".encode(), 100) is None


# others


def test_vtk_numbers_that_are_not_finite_are_no_words(tmp_path: Path) -> None:
    text = "# vtk DataFile Version 3.0\nt\nASCII\nDATASET POLYDATA\nPOINTS 3 float\n0 0 0\n1 0 0\n0 1 0\nPOLYGONS 1 4\n"
    text += "3 0 1 2\nPOINT_DATA 3\nSCALARS u float\nLOOKUP_TABLE default\n1e-5\n nan\nINF\n"
    values = read_mesh(put(tmp_path, "m.vtk", text)).point_data["u"].tolist()
    assert values[0] == 1e-5 and np.isnan(values[1]) and values[2] == np.inf


def test_kinds_of_cells_stay_in_the_order_of_the_file(tmp_path: Path) -> None:
    off = "OFF\n4 3 0\n0 0 0\n1 0 0\n1 1 0\n0 1 1\n4 0 1 2 3\n3 0 1 2 255 0 0\n4 1 2 3 0\n"
    blocks = off_read(put(tmp_path, "m.off", off)).blocks
    assert [(b.kind, b.nodes.tolist()) for b in blocks] == [
        ("quad", [[0, 1, 2, 3], [1, 2, 3, 0]]),
        ("triangle", [[0, 1, 2]]),
    ]
    avs = "4 2 0 0 0\n1 0 0 0\n2 1 0 0\n3 1 1 0\n4 0 1 0\n1 5 quad 1 2 3 4\n2 6 tri 1 3 4\n"
    assert [block.kind for block in avs_read(put(tmp_path, "m.inp", avs)).blocks] == ["quad", "triangle"]
    for line in ("1 5", "1 5 quad 1 2 3 x"):
        with pytest.raises(MeshReadError, match="a line (is not complete or )?holds something that is not a number"):
            read_mesh(put(tmp_path, "m.inp", avs.replace("1 5 quad 1 2 3 4", line)))
    for line, reason in (
        ("1 5 Quad 1 2 3 4", "cell type 'Quad' is not one"),
        ("1 5 quad 1 2 3", "a quad cell has 3 nodes"),
    ):
        with pytest.raises(MeshReadError, match=reason):
            read_mesh(put(tmp_path, "m.inp", avs.replace("1 5 quad 1 2 3 4", line)))
