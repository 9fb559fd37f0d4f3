"""Readers in a process of their own: limits, crashes, what comes back and what must not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import warnings
from pathlib import Path

import meshio
import numpy as np
import pytest

from graphpde.errors import MeshReadError
from graphpde.mesh.io import read_mesh
from graphpde.mesh.io.bridge import read as bridge
from graphpde.mesh.io.raw import Block, CellSet, FacetSet, RawMesh, Unreadable
from graphpde.mesh.io.sandbox import child as sandbox_child
from graphpde.mesh.io.sandbox import handover
from graphpde.mesh.io.sandbox import parent as sandbox

LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the limits are those of Linux")
STRAYS = """
import ctypes, os, sys, time
from pathlib import Path

def through_meshio(path, name, kind="ValueError", args=()):
    import meshio, warnings
    from graphpde.mesh.io.bridge import meshio_read
    def reader(path):
        from meshio._common import error, warn
        print("printed"); warn("something odd"); error("worse"); warnings.warn("numpy says")
        os.write(1, b"bytes"); os.write(2, b"bytes")
        made = {"ReadError": meshio.ReadError, "NoModule": lambda *a: ModuleNotFoundError("no", name=a[0])}.get(kind)
        raise (made or getattr(__builtins__, kind, None) or __builtins__[kind])(*args)
    meshio_read.reader_map[name] = reader
    return meshio_read.read(path, name)

def sleep(path): time.sleep(1000)
def spin(path):
    while True: pass
def hoard(path):
    kept = []
    while True: kept.append(b"x" * 1000000 + bytes([len(kept) % 256]))
def crash(path): ctypes.string_at(0)
def leave(path): os._exit(3)
def system_exit(path): sys.exit(5)
def flood(path):
    while True: Path("more").open("ab").write(b"x" * (1 << 20))
def shout(path):
    while True: os.write(2, b"x" * (1 << 20))
def limited(path):
    import resource
    from graphpde.mesh.io.raw import RawMesh, Block
    import numpy as np
    heavy = " ".join(name for name in ("torch", "graphpde.mesh.mesh") if name in sys.modules)
    core = str(resource.getrlimit(resource.RLIMIT_CORE))
    notes = [core, os.getcwd(), sys.stdin.read(), " ".join(sorted(os.environ)), heavy]
    return RawMesh(np.zeros((3, 2)), [Block("triangle", np.array([[0, 1, 2]]))], notes=notes)
def good(path):
    from graphpde.mesh.io.raw import RawMesh, Block
    import numpy as np
    return RawMesh(np.array([[0., 0], [1, 0], [0, 1]]), [Block("triangle", np.array([[0, 1, 2]]))])
"""


@pytest.fixture
def strays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file to read, and readers that misbehave."""
    (tmp_path / "strays.py").write_text(STRAYS)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "m.vol").write_text("mesh3d")
    return tmp_path / "m.vol"


def short(monkeypatch: pytest.MonkeyPatch, seconds: float = 1, patience: float = 20, output: int = 1 << 24) -> None:
    limits = sandbox.Limits(seconds, patience, 256 << 20, output)
    monkeypatch.setattr(sandbox, "limits_of", lambda size: limits)


@LINUX
@pytest.mark.parametrize(
    "reader, reason",
    [
        ("hoard", "asks for more memory than the 256 MB"),
        ("crash", "its reader crashed (SIGSEGV)"),
        ("leave", "its reader ended without a result (exit code 3)"),
        ("system_exit", "not valid Netgen or is cut off"),
        ("flood", "takes more than the 16 MB"),
        ("shout", "takes more than the 16 MB"),  # its words go to a file that may not grow either
        ("nothing", "not valid Netgen or is cut off"),
    ],
)
def test_a_reader_that_misbehaves_costs_one_sentence(strays: Path, monkeypatch, reader, reason, capfd) -> None:
    short(monkeypatch)
    plain = sandbox.read
    monkeypatch.setattr(sandbox, "read", lambda path, *_, **__: plain(path, f"strays:{reader}"))
    with warnings.catch_warnings(record=True) as raised, pytest.raises(MeshReadError) as caught:
        warnings.simplefilter("always")
        read_mesh(strays)
    assert reason in caught.value.reason and "\n" not in caught.value.reason
    assert raised == [] and capfd.readouterr() == ("", "")


@LINUX
def test_time_runs_out_on_the_processor_and_on_the_clock(strays: Path, monkeypatch) -> None:
    short(monkeypatch, seconds=0.5)
    start = time.monotonic()
    with pytest.raises(Unreadable, match="more than the 0 s|more than the 1 s"):
        sandbox.read(strays, "strays:spin")
    assert time.monotonic() - start < 8  # one second of processor time, and starting
    short(monkeypatch, patience=1.5)
    with pytest.raises(Unreadable, match="more than the 2 s that a file of its size may take"):
        sandbox.read(strays, "strays:sleep")


def test_limits_grow_with_the_file() -> None:
    small, large = sandbox.limits_of(1000), sandbox.limits_of(100 << 20)
    assert 3 < small.seconds < 5 and small.memory < 260 << 20 and small.output < 70 << 20
    assert large.seconds > 100 and large.patience > large.seconds and large.memory > 32 * (100 << 20)


@LINUX
def test_the_process_gets_no_input_no_core_and_few_variables(strays: Path, monkeypatch) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "x")
    monkeypatch.setenv("PYTHONSTARTUP", "x")
    core, folder, stdin, variables, heavy = sandbox.read(strays, "strays:limited").notes
    assert core == "(0, 0)" and stdin == "" and "SECRET" not in variables and "PYTHON" not in variables
    assert "graphpde-" in folder and not Path(folder).exists()
    assert heavy == ""  # neither torch nor the meshes are loaded for a reader


def test_nothing_of_the_working_folder_is_imported(strays: Path, tmp_path: Path, monkeypatch) -> None:
    trap = tmp_path / "trap"
    trap.mkdir()
    (trap / "json.py").write_text("raise SystemExit(9)")
    (trap / "numpy.py").write_text("raise SystemExit(9)")
    monkeypatch.chdir(trap)
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    assert len(sandbox.read(strays, "strays:good").points) == 3


def test_an_interrupt_passes_and_leaves_no_process(strays: Path, monkeypatch) -> None:
    started = []
    start = subprocess.Popen

    class Interrupted(start):  # type: ignore[misc, valid-type]
        def wait(self, timeout: float | None = None) -> int:
            if not started:
                started.append(self)
                raise KeyboardInterrupt
            return super().wait(timeout)

    monkeypatch.setattr(subprocess, "Popen", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        sandbox.read(strays, "strays:sleep")
    assert started[0].poll() is not None


def test_no_python_and_no_process_are_told(strays: Path, monkeypatch) -> None:
    monkeypatch.setattr(sys, "executable", str(strays))
    with pytest.raises(MeshReadError, match="cannot be started"):
        read_mesh(strays)
    monkeypatch.setattr(sys, "executable", "")
    with pytest.raises(MeshReadError, match="does not know its Python"):
        read_mesh(strays)


def test_reading_goes_on_where_the_system_has_no_limits(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "resource", None)
    sandbox_child.limit(1, 1, 1)  # would stop this very process


@pytest.mark.parametrize(
    "kind, args, reason",
    [
        ("SystemExit", (1,), "at 'worse'$"),
        ("ReadError", ("Unknown section 'Grid'.",), "Unknown section 'Grid'$"),
        ("KeyError", ("hexa_prism",), "it uses 'hexa_prism', which the reader of Netgen does not know"),
        ("NoModule", ("h5py",), r'needs h5py; run: pip install "graphpde\[io\]"'),
        ("AssertionError", (), "not valid Netgen or is cut off$"),
    ],
)
def test_what_escapes_from_meshio_becomes_one_error(strays: Path, monkeypatch, kind, args, reason, capfd) -> None:
    monkeypatch.setattr(bridge, "READER", "strays:through_meshio")
    plain = sandbox.read
    monkeypatch.setattr(sandbox, "read", lambda path, reader, **more: plain(path, reader, kind=kind, args=args, **more))
    with warnings.catch_warnings(record=True) as raised, pytest.raises(MeshReadError, match=reason):
        warnings.simplefilter("always")
        read_mesh(strays)
    assert raised == [] and capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "error, reason",
    [
        (MemoryError(), "asks for more memory than the 256 MB"),
        (RecursionError(), "too deeply"),
        (FileNotFoundError(2, "no", "/a/b.ele"), "needs the file 'b.ele'"),
        (OSError("Unable to open (file signature not found)"), "no HDF5 file"),
        (OSError(27, "File too large"), "takes more than the 64 MB"),
        (ValueError("cannot reshape\nsecond line"), "not valid Netgen or is cut off .cannot reshape.$"),
        (IndexError("far"), "not valid Netgen or is cut off .far.$"),
        (EOFError(), "ends where more should follow"),
        (UnicodeDecodeError("utf-8", b"\xea", 4, 5, "bad"), "byte 4 cannot be decoded"),
        (KeyboardInterrupt(), "not valid Netgen or is cut off$"),
    ],
)
def test_exceptions_keep_what_their_sentence_needs(tmp_path: Path, monkeypatch, error, reason) -> None:
    def failed(folder: Path, limits: sandbox.Limits) -> int:
        handover.save_failure(error, folder)
        return 0

    monkeypatch.setattr(sandbox, "_run", failed)
    (tmp_path / "m.vol").write_text("mesh3d")
    with pytest.raises(MeshReadError, match=reason):
        read_mesh(tmp_path / "m.vol")


def test_a_failure_of_an_unexpected_kind_is_not_raised(tmp_path: Path) -> None:
    for text in ('["SystemExit", "x", null]', '["KeyError"]', "7", '["UnicodeDecodeError", "x", "y"]', "["):
        (tmp_path / handover.FAILURE).write_text(text)
        assert isinstance(handover.load_failure(tmp_path), Unreadable)


def test_meshio_speaks_again_afterwards(monkeypatch, capfd) -> None:
    monkeypatch.delitem(meshio._mesh.topological_dimension, "wedge15", raising=False)
    table = dict(meshio._mesh.topological_dimension)
    with bridge.muted() as said:
        meshio._common.warn("[bold]inside[/bold]")
        assert "wedge15" in meshio._mesh.topological_dimension
    assert said == ["inside"] and capfd.readouterr().err == ""
    meshio._common.warn("outside")
    assert "outside" in capfd.readouterr().err
    assert meshio._mesh.topological_dimension == table


# what comes back


def everything() -> RawMesh:
    raw = RawMesh(
        np.array([[0.0, -0.0, 5e-324], [1, 0, 0], [0, 1, 1e308], [1, 1, 1]], dtype=">f8"),
        [Block("triangle", np.array([[0, 1, 2], [1, 3, 2]], dtype=np.int32)), Block("line", np.zeros((0, 2), int))],
        [CellSet("a", [np.array([1]), None]), CellSet("é\n", [None])],
        [FacetSet("f", 1, np.array([[0, 1, -1]]))],
        [("p", np.array([3, 0], dtype=np.uint16))],
        {"u": np.arange(4, dtype=np.float32), "t": np.arange(8.0).reshape(4, 2)[:, ::-1], "words": np.array(["x"] * 4)},
        {"c": [np.array([True, False]), None]},
        ["a note"],
        3,
    )
    raw.point_data["long"] = np.arange(4, dtype=np.longdouble)
    return raw


def test_a_raw_mesh_comes_back_as_it_was(tmp_path: Path) -> None:
    raw = everything()
    handover.save(raw, tmp_path)
    back = handover.load(tmp_path)
    assert back.points.tobytes() == raw.points.tobytes() and back.points.dtype == raw.points.dtype
    assert [(b.kind, b.nodes.tolist()) for b in back.blocks] == [("triangle", [[0, 1, 2], [1, 3, 2]]), ("line", [])]
    assert [[None if m is None else m.tolist() for m in c.members] for c in back.cell_sets] == [[[1], None], [None]]
    assert [c.name for c in back.cell_sets] == ["a", "é\n"]
    assert back.facet_sets[0].corners.tolist() == [[0, 1, -1]] and back.facet_sets[0].dim == 1
    assert back.point_sets[0][0] == "p" and back.point_sets[0][1].tolist() == [3, 0]
    assert back.point_data["u"].dtype == np.float32 and back.point_data["t"].tolist() == raw.point_data["t"].tolist()
    assert len(back.point_data["words"]) == 0 and back.point_data["long"].tolist() == [0, 1, 2, 3]
    assert back.cell_data["c"][0].tolist() == [True, False] and back.cell_data["c"][1] is None
    assert back.notes == ["a note"] and back.space_dim == 3


CHANGES = {
    "type": lambda n: n["points"].__setitem__(0, "|O8"),
    "shape": lambda n: n["points"].__setitem__(1, [4, 300]),
    "huge": lambda n: n["points"].__setitem__(1, [1 << 62, 1 << 62]),
    "negative": lambda n: n["points"].__setitem__(1, [-4, -3]),
    "place": lambda n: n["points"].__setitem__(2, 4),
    "outside": lambda n: n["points"].__setitem__(2, 1 << 40),
    "not a list": lambda n: n.__setitem__("points", 7),
    "missing": lambda n: n.pop("blocks"),
    "floating cells": lambda n: n["blocks"].__setitem__(0, ["triangle", n["points"]]),
    "kind": lambda n: n["blocks"][0].__setitem__(0, 7),
    "member": lambda n: n["cell_sets"][0][1].__setitem__(0, n["point_sets"][0][1]),
    "members": lambda n: n["cell_sets"][0].__setitem__(1, [None] * 9),
    "corner": lambda n: n["facet_sets"][0].__setitem__(2, n["point_data"][0][1]),
    "dimension": lambda n: n["facet_sets"][0].__setitem__(1, 7),
    "space": lambda n: n.__setitem__("space_dim", 4),
    "note": lambda n: n["notes"].append(7),
}


@pytest.mark.parametrize("change", CHANGES)
def test_nothing_that_comes_back_is_believed(tmp_path: Path, change: str) -> None:
    handover.save(everything(), tmp_path)
    names = json.loads((tmp_path / handover.NAMES).read_text())
    CHANGES[change](names)
    (tmp_path / handover.NAMES).write_text(json.dumps(names))
    with pytest.raises(Unreadable, match="does not fit together|no table of whole numbers|names entry"):
        handover.load(tmp_path)


def test_cut_or_foreign_results_are_refused(tmp_path: Path) -> None:
    handover.save(everything(), tmp_path)
    whole = (tmp_path / handover.NAMES).read_text()
    for text in (whole[:-5], "[" * 100000, "null", ""):
        (tmp_path / handover.NAMES).write_text(text)
        with pytest.raises(Unreadable, match="does not fit together"):
            handover.load(tmp_path)
    (tmp_path / handover.NAMES).write_text(whole)
    os.truncate(tmp_path / handover.NUMBERS, 100)
    with pytest.raises(Unreadable, match="does not fit together"):
        handover.load(tmp_path)


# real formats


def test_meshio_reads_in_a_process_of_its_own(tmp_path: Path, monkeypatch) -> None:
    """Even where meshio is loaded, the file never meets it here."""
    points = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    meshio.Mesh(points, {"tetra": np.array([[0, 1, 2, 3]])}).write(tmp_path / "m.b8.ugrid")
    monkeypatch.setitem(meshio._helpers.reader_map, "ugrid", None)
    mesh = read_mesh(tmp_path / "m.b8.ugrid")
    assert mesh.n == 4 and list(mesh.cells) == ["tetra"]
    assert np.array_equal(mesh.points.numpy(), points)


def test_a_hostile_count_ends_at_the_limit(tmp_path: Path) -> None:
    (tmp_path / "m.ugrid").write_text("99999999999 0 0 0 0 0 0\n")
    with pytest.raises(MeshReadError, match="more memory|cut off|not valid"):
        read_mesh(tmp_path / "m.ugrid")


def test_a_file_that_kept_meshio_waiting_is_cut_off(tmp_path: Path) -> None:
    (tmp_path / "m.tec").write_text('TITLE = "x"\nVARIABLES = "X", "Y"\nZONE N=3, E=1, F=FEPOINT, ET=TRIANGLE\n0 0\n')
    start = time.monotonic()
    with pytest.raises(MeshReadError, match="cut off"):
        read_mesh(tmp_path / "m.tec")
    assert time.monotonic() - start < 4


def test_hdf5_for_meshio_may_not_lead_elsewhere(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "m.h5m", "w") as file:
        file["x"] = h5py.ExternalLink("other.h5", "/x")
    with pytest.raises(MeshReadError, match="'x' links to another file"):
        read_mesh(tmp_path / "m.h5m")
    with h5py.File(tmp_path / "c.hmf", "w") as file:
        a, b = file.create_group("a"), file.create_group("a/b")
        for k in range(40):
            a[f"to{k}"] = b
            b[f"to{k}"] = a
    with pytest.raises(MeshReadError, match="in circles|64 levels"):
        read_mesh(tmp_path / "c.hmf")
