"""Text files taken as a whole: the same result as line by line, and the same lines in C and by NumPy."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphpde.mesh.io import nastran, obj, text_lines
from graphpde.mesh.io.nastran_rows import at_once
from graphpde.mesh.io.nastran_systems import Systems
from graphpde.mesh.io.nastran_table import Deck
from graphpde.mesh.io.obj_rows import whole
from graphpde.mesh.io.raw import RawMesh, Unreadable
from graphpde.mesh.io.text_lines import Lines, letters, plain

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


# Nastran


def equal(first: Deck, second: Deck) -> None:
    assert first.ids.tolist() == second.ids.tolist() and first.systems.tolist() == second.systems.tolist()
    assert first.points.tobytes() == second.points.tobytes()
    assert list(first.rows) == list(second.rows) and list(first.groups) == list(second.groups)
    for kind in first.rows:
        assert first.rows[kind].tolist() == second.rows[kind].tolist()
        assert first.groups[kind].tolist() == second.groups[kind].tolist()
    assert list(first.lost.items()) == list(second.lost.items())


REALS = [
    "0.",
    "1.5",
    "-2.5+1",
    "1.-3",
    "1.5D2",
    "2e-1",
    "",
    "3",
    "-.5d-1",
    "+1.+2",
    "x",
    "1 2",
    "1.5E-3",
    "nan",
    "1-2-3",
]
WHOLE = ["1", "2", "7", "", "+3", "0", "-1", "1.0", "12345678"]
NAMES = [
    "GRID",
    "CTETRA",
    "CHEXA",
    "CTRIA6",
    "CQUAD4",
    "CBAR",
    "CONROD",
    "CELAS1",
    "CONM2",
    "PSOLID",
    "ctria3",
    "CORD2R",
]


@st.composite
def entry(draw: st.DrawFn) -> str:
    name = draw(st.sampled_from(NAMES))
    if name == "GRID":
        words = [draw(st.sampled_from(WHOLE[:3])), draw(st.sampled_from(["", "", "0", "x"]))]
        words += draw(st.lists(st.sampled_from(draw(st.sampled_from([REALS[:9], REALS]))), min_size=2, max_size=3))
    elif name == "CORD2R":
        words = ["5", "", "0.", "0.", "0.", "0.", "0.", "1.", "1.", "0.", "0."]
    else:
        count = draw(st.sampled_from([4, 6, 8, 10, 12, 16, 22]))
        own = draw(st.sampled_from([WHOLE[:3], WHOLE[:4], WHOLE]))
        words = [draw(st.sampled_from(own)) for _ in range(count)]
    form = draw(st.sampled_from(["small", "small", "large", "free", "free large"]))
    mark = draw(st.sampled_from(["", "+A"]))
    slots = 4 if "large" in form else 8
    lines = []
    for k in range(0, len(words), slots):
        head = (name if k == 0 else draw(st.sampled_from(["", "+A"]))) + ("*" if "large" in form else "")
        if "free" in form:
            lines.append(",".join([head, *draw(st.sampled_from([words[k : k + slots], [" ", *words][k : k + slots]]))]))
        else:
            width = 64 // slots
            lines.append(f"{head:8}" + "".join(f"{word:>{width}}" for word in words[k : k + slots]) + mark)
    return "".join(line + draw(st.sampled_from(["\n", "\n", "\r\n", "  \n", " $ a, b\n", "\n\n"])) for line in lines)


DECK_LINE = st.one_of(
    entry(),
    st.sampled_from(["$ GRID,1\n", "\n", "GRID\t1\t\t0.\t1.\t2.\n", "+ 1\n", "RBE2,1,2,3\n", "é\n", "GRDSET,,0\n"]),
    st.sampled_from(["ENDDATA\n", "BEGIN BULK\n", "  GRID         1             0.0     0.0     1.0\n", "* 1\n"]),
)


@settings(max_examples=500, deadline=None)
@given(st.lists(DECK_LINE, min_size=1, max_size=8))
def test_nastran_as_a_whole_and_entry_by_entry(tmp_path_factory: pytest.TempPathFactory, rows: list[str]) -> None:
    path = tmp_path_factory.getbasetemp() / "m.bdf"
    path.write_bytes("".join(rows).encode("latin-1"))
    found = at_once(path.read_bytes(), 1 << 16)
    try:
        expected = nastran._one_by_one(nastran._entries(nastran._lines(path, path.parent, 0)), Systems())
    except Unreadable:
        if found is not None:  # the coordinate systems are left, and wrong
            with pytest.raises(Unreadable):
                nastran._one_by_one(nastran._entries(iter(found.left)), Systems())
        return
    if found is not None:
        equal(found, expected)


@pytest.mark.parametrize("form", ["small", "large", "free"])
def test_honest_decks_are_taken_as_a_whole(tmp_path: Path, form: str) -> None:
    entries = [("GRID", [k, "", f"{k}.-1", "0.", "1.5D0"]) for k in range(1, 21)]
    entries += [("CTETRA", [1, 7, 1, 2, 3, 4]), ("CTETRA", [2, 7, *range(1, 11)]), ("CHEXA", [3, 8, *range(1, 21)])]
    entries += [("CHEXA", [4, 8, *range(1, 9)]), ("CTETRA", [5, 9, 2, 3, 4, 5]), ("CELAS1", [6, 1, 1, 1])]
    slots, lines = 4 if form == "large" else 8, []
    for name, words in entries:
        for k in range(0, len(words), slots):
            head = (name if k == 0 else "") + "*" * (form == "large")
            part = [str(word) for word in words[k : k + slots]]
            width = 64 // slots
            lines.append(
                ",".join([head, *part]) if form == "free" else f"{head:8}" + "".join(f"{w:{width}}" for w in part)
            )
    path = tmp_path / "m.bdf"
    path.write_text("SOL 101\nCEND\nBEGIN BULK\n" + "\n".join(lines) + "\nENDDATA\n")
    found = at_once(path.read_bytes(), 1 << 16)
    assert found is not None
    equal(found, nastran._one_by_one(nastran._entries(nastran._lines(path, path.parent, 0)), Systems()))
    assert {kind: len(rows) for kind, rows in found.rows.items()} == {
        **{"tetra": 2, "tetra10": 1},
        **{"hexahedron20": 1, "hexahedron": 1},
    }
    assert found.points[4].tolist() == [0.5, 0, 1.5] and found.groups["tetra"].tolist() == [7, 9]
