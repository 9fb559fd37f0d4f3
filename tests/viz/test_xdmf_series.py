"""Time series as XDMF: times and fields come back, the mesh stands there once, an interrupted series opens."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import torch

from graphpde.errors import InputError, OutputError, ShapeError
from graphpde.mesh.io import read_mesh
from graphpde.mesh.mesh import Mesh
from graphpde.mesh.space import Space
from graphpde.viz import XdmfSeriesWriter, write_series, xdmf_series

h5py = pytest.importorskip("h5py")

Shape = Callable[[str], Mesh]
TIMES = [0.0, 0.1, 1 / 3, 2.5e7, 2.5e7 + 1]


def fields(mesh: Mesh, t: float) -> dict[str, Any]:
    x = mesh.points[:, 0]
    return {"u": torch.sin(x + t), "velocity": torch.stack([x + t, -x], 1).numpy()}


def frames(path: Path) -> list[tuple[float, dict[str, np.ndarray]]]:
    """Times and fields of a series by nothing but the XML parser and h5py."""
    collection = ElementTree.parse(path).getroot().find("Domain/Grid")
    assert collection is not None and collection.get("CollectionType") == "Temporal"
    out = []
    for grid in collection.iterfind("Grid"):
        found = {}
        for node in grid.iterfind("Attribute"):
            item = node.find("DataItem")
            assert item is not None and item.text
            file, _, place = item.text.partition(":")
            with h5py.File(path.parent / file) as opened:
                found[node.get("Name", "")] = opened[place][()]
            assert list(map(int, item.get("Dimensions", "").split())) == list(found[node.get("Name", "")].shape)
        out.append((float(grid.find("Time").get("Value")), found))  # type: ignore[union-attr]
    return out


@pytest.mark.parametrize("kind", ["disk", "channel", "bricks", "prisms", "quadratic", "interval", "network", "pipes"])
def test_frames_come_back_with_times_and_all_fields(shape: Shape, tmp_path: Path, kind: str) -> None:
    mesh = shape(kind)
    path = write_series(
        tmp_path / "new" / "run.xdmf", ((t, fields(mesh, t)) for t in TIMES), names=("u", "velocity"), mesh=mesh
    )
    found = frames(path)
    assert [t for t, _ in found] == TIMES  # exactly: written with all digits, t = 0 included
    for t, values in found:
        assert set(values) == {"u", "velocity"}
        for name, expected in fields(mesh, t).items():
            np.testing.assert_array_equal(values[name], np.asarray(expected))
    back = read_mesh(path)
    assert torch.equal(back.points, mesh.points)
    assert {k: v.tolist() for k, v in back.cells.items()} == {k: v.tolist() for k, v in mesh.cells.items()}
    assert torch.equal(back.point_data["u"], fields(mesh, TIMES[-1])["u"])
    assert back.warnings[0].startswith("it is a time series of 5 steps (t = 0 to 2.5e+07); the mesh is that of step 1,")
    assert path.read_text().count("<Geometry") == 1
    assert sorted(os.listdir(path.parent)) == ["run.h5", "run.xdmf", "run_1.h5", "run_2.h5"]


def test_a_trajectory_goes_into_one_file_of_numbers(shape: Shape, tmp_path: Path) -> None:
    space = Space(shape("channel"))  # its last point carries no unknown
    states = torch.rand(9, space.n, 1)
    run = SimpleNamespace(times=torch.linspace(0, 2, 9), states=states, domain=space)
    found = frames(write_series(tmp_path / "out.xmf", run, names=("T",)))
    assert sorted(os.listdir(tmp_path)) == ["out.h5", "out.xmf"]
    assert [t for t, _ in found] == torch.linspace(0, 2, 9).tolist()
    for k, (_, values) in enumerate(found):
        assert np.isnan(values["T"][-1]) and values["T"].dtype == np.float32
        np.testing.assert_array_equal(values["T"], space.at_points(states[k])[:, 0].numpy())


def test_room_doubles_and_is_bounded(shape: Shape, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xdmf_series, "_MOST_FRAMES", 4)
    mesh = shape("disk")
    writer = XdmfSeriesWriter(tmp_path, "run", mesh)
    for k in range(12):
        writer.add(k, {"u": np.full(mesh.n, k)})
        assert [(t, set(values["u"].tolist())) for t, values in frames(writer.path)] == [(j, {j}) for j in range(k + 1)]
    held = []
    for number in range(5):
        with h5py.File(tmp_path / f"run{f'_{number}' * (number > 0)}.h5") as file:
            held.append(list(file["frames"]))
    assert [len(names) for names in held] == [1, 2, 4, 4, 4] and held[3][0] == "00007"
    monkeypatch.setattr(xdmf_series, "_MOST_BYTES", 2 * 8 * mesh.n)
    large = XdmfSeriesWriter(tmp_path, "large", mesh)
    for k in range(7):
        large.add(k, {"u": np.full(mesh.n, k)})
    assert len(list(tmp_path.glob("large*.h5"))) == 4  # 1 + 2 + 2 + 2
    again = XdmfSeriesWriter(tmp_path, "run", mesh)
    again.add(5, {"u": np.full(mesh.n, 5)})
    assert [t for t, _ in frames(again.path)] == [5]


def test_a_frame_that_fails_is_not_named(shape: Shape, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mesh = shape("disk")
    writer = XdmfSeriesWriter(tmp_path, "run", mesh)
    for k in range(2):
        writer.add(k, {"u": np.full(mesh.n, k)})
    before = writer.path.read_bytes()

    def fails(error: BaseException) -> Callable[..., None]:
        def stop(*_: Any) -> None:
            raise error

        return stop

    full = OSError(28, "No space left on device")
    for error, expected in ((full, OutputError), (KeyboardInterrupt(), KeyboardInterrupt)):
        with monkeypatch.context() as patch:
            patch.setattr("graphpde.mesh.io.aside.os.replace", fails(error))
            with pytest.raises(expected):
                writer.add(2, {"u": np.full(mesh.n, 2)})
        assert writer.path.read_bytes() == before and len(frames(writer.path)) == 2
    (tmp_path / "run_1.h5").chmod(0o400)
    if os.geteuid():
        with pytest.raises(OutputError, match="cannot write '.*run_1.h5'"):
            writer.add(2, {"u": np.full(mesh.n, 2)})
    (tmp_path / "run_1.h5").chmod(0o600)
    writer.add(2, {"u": np.full(mesh.n, 2)})  # and the run may try again
    assert [(t, set(values["u"].tolist())) for t, values in frames(writer.path)] == [(0, {0}), (1, {1}), (2, {2})]


KILLED = """
import sys
import numpy as np
from graphpde.mesh.mesh import Mesh
from graphpde.viz import XdmfSeriesWriter

i = np.arange(6400).reshape(80, 80)
quads = np.stack([i[:-1, :-1], i[:-1, 1:], i[1:, 1:], i[1:, :-1]], 2).reshape(-1, 4)
mesh = Mesh(np.random.default_rng(0).random((6400, 2)), {"quad": quads})
writer = XdmfSeriesWriter(sys.argv[1], "run", mesh, ("u", "v"))
for k in range(100_000):
    writer.add(k, {"u": np.full(mesh.n, k), "v": np.full((mesh.n, 2), k)})
    print(k, flush=True)
"""


def test_a_killed_program_leaves_a_series_that_opens(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        last = next(int(line) for line in run.stdout if int(line) >= 20)
        os.kill(run.pid, signal.SIGKILL)
        last = max([last, *(int(line) for line in run.stdout if line.endswith("\n"))])
    found = frames(tmp_path / "run.xdmf")
    assert len(found) > last
    for t, values in found:
        assert set(values["u"].tolist()) == set(values["v"].reshape(-1).tolist()) == {t}
    assert read_mesh(tmp_path / "run.xdmf").point_data["u"][0] == len(found) - 1


def test_wrong_series_are_refused(shape: Shape, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mesh = shape("disk")
    u = mesh.points[:, 0]
    writer = XdmfSeriesWriter(tmp_path, "run", mesh, ("u",))
    writer.add(1.0, {"u": u})
    cubic = Mesh(np.random.default_rng(0).random((10, 2)), {"triangle10": [[*range(10)]]})
    for call, error, says in [
        (lambda: writer.add(1.0, {"u": u}), InputError, "frame 1 of 'run.xdmf' has time 1, expected a time later"),
        (lambda: writer.add(2.0, {"v": u}), InputError, r"carries \['v'\], expected \['u'\]"),
        (lambda: writer.add(2.0, {"u": u[1:]}), ShapeError, r"shape \[90\], expected \[91\]"),
        (lambda: writer.add(2.0, {"u": mesh.points}), ShapeError, r"other shapes .* expected \[\['float64', 91\]\]"),
        (lambda: writer.add(2.0, {"u": u.float()}), ShapeError, "other shapes or precision than the first"),
        (lambda: writer.add(2.0, {"u": torch.ones(91, 0)}), ShapeError, "field 'u' has no components"),
        (lambda: XdmfSeriesWriter(tmp_path, "a/b", mesh), InputError, "'a/b' cannot start file names"),
        (lambda: XdmfSeriesWriter(tmp_path, "a:b", mesh), InputError, "expected one without ':' and '|'"),
        (lambda: XdmfSeriesWriter(tmp_path, "a", mesh, ("u\0",)), InputError, r"'u\\x00' cannot stand in XML"),
        (lambda: XdmfSeriesWriter(tmp_path, "a", mesh, ("u", "u")), InputError, "no name twice"),
        (lambda: XdmfSeriesWriter(tmp_path, "a", cubic), OutputError, "XDMF has no topology for triangle10"),
        (lambda: write_series(tmp_path / "a.xdmf", [], mesh=mesh), InputError, "no frames"),
    ]:
        with pytest.raises(error, match=says):
            call()
    assert len(frames(writer.path)) == 1
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(OutputError, match=r'it needs h5py; run: pip install "graphpde\[io\]", or write a .pvd'):
        XdmfSeriesWriter(tmp_path, "b", mesh)


def test_hostile_names_stay_text(shape: Shape, tmp_path: Path) -> None:
    mesh = shape("disk")
    name = 'a"<b>&c'
    path = write_series(tmp_path / "x&y z.xdmf", [(0.0, {name: mesh.points[:, 0]})], names=(name,), mesh=mesh)
    assert list(frames(path)[0][1]) == [name] and list(read_mesh(path).point_data) == [name]
