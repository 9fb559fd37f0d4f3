"""Time series: every frame with its time and all its fields, readable by others, usable after an interruption."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import meshio
import numpy as np
import pytest
import torch

from graphpde.core.graph import Graph
from graphpde.core.relation import Relation
from graphpde.errors import InputError, OutputError, ShapeError
from graphpde.mesh.mesh import Mesh
from graphpde.mesh.space import Space
from graphpde.viz import SeriesWriter, read_pvd, write_npz, write_series

Shape = Callable[[str], Mesh]
TIMES = [0.0, 0.1, 1 / 3, 2.5e7]


def fields(mesh: Mesh, t: float) -> dict[str, Any]:
    x = mesh.points[:, 0]
    return {"u": torch.sin(x + t), "velocity": torch.stack([x + t, -x], 1).numpy()}


@pytest.mark.parametrize("kind", ["disk", "channel", "bricks", "prisms", "quadratic", "interval", "network", "pipes"])
def test_frames_come_back_with_times_and_all_fields(shape: Shape, tmp_path: Path, kind: str) -> None:
    mesh = shape(kind)
    path = write_series(
        tmp_path / "new" / "run.pvd", [(t, fields(mesh, t)) for t in TIMES], names=("u", "velocity"), mesh=mesh
    )
    frames = read_pvd(path)
    assert [t for t, _ in frames] == TIMES  # exactly: written with all digits, t = 0 included
    assert [p.name for _, p in frames] == [f"run_0000{k}.vtu" for k in range(4)]
    for t, file in frames:
        read = meshio.read(file)
        np.testing.assert_array_equal(read.points[:, : mesh.space_dim], mesh.points.numpy())
        assert {b.type: len(b.data) for b in read.cells} == {k: len(v) for k, v in mesh.cells.items()}
        assert set(read.point_data) == {"u", "velocity"}
        for name, values in fields(mesh, t).items():
            np.testing.assert_array_equal(read.point_data[name], np.asarray(values))


def test_a_trajectory_on_a_space_is_written_at_the_points(shape: Shape, tmp_path: Path) -> None:
    mesh = shape("channel")  # its last point carries no unknown
    space = Space(mesh)
    states = torch.rand(3, space.n, 1, dtype=torch.float64)
    run = SimpleNamespace(times=torch.tensor([0.0, 0.5, 1.0]), states=states, domain=space)
    frames = read_pvd(write_series(tmp_path / "out.pvd", run, names=("T",)))
    assert [t for t, _ in frames] == [0.0, 0.5, 1.0]
    for k, (_, file) in enumerate(frames):
        values = meshio.read(file).point_data["T"]
        assert np.isnan(values[-1]) and np.isfinite(values[:-1]).all()
        np.testing.assert_array_equal(values, space.at_points(states[k])[:, 0].numpy())


@pytest.mark.parametrize("names", [("u", "v"), ("uv",)])
def test_channels_are_named_apart_or_kept_together(tmp_path: Path, names: tuple[str, ...]) -> None:
    edges = Relation.from_edges(torch.tensor([0, 1, 1, 2, 2]), torch.tensor([1, 0, 2, 1, 2]), 3, 3)
    graph = Graph(edges, pos=torch.tensor([[0.0, 0], [1, 0], [1, 1]]))
    states = torch.rand(2, 3, 2)
    run = SimpleNamespace(times=torch.tensor([0.0, 1.0]), states=states, domain=graph)
    read = meshio.read(read_pvd(write_series(tmp_path / "g.pvd", run, names=names))[1][1])
    assert [b.type for b in read.cells] == ["line"] and read.cells[0].data.tolist() == [[0, 1], [1, 2]]
    values = read.point_data["uv"] if len(names) == 1 else np.stack([read.point_data[k] for k in names], 1)
    np.testing.assert_array_equal(values, states[1].numpy())


def test_a_graph_without_edges_is_written_as_points(tmp_path: Path) -> None:
    none = torch.zeros(0, dtype=torch.int64)
    graph = Graph(Relation.from_edges(none, none, 4, 4), pos=torch.rand(4, 3))
    run = SimpleNamespace(times=torch.tensor([0.0]), states=torch.rand(1, 4, 1), domain=graph)
    read = meshio.read(read_pvd(write_series(tmp_path / "p.pvd", run))[0][1])
    assert [(b.type, len(b.data)) for b in read.cells] == [("vertex", 4)]


def test_an_interrupted_run_leaves_a_series_that_opens(shape: Shape, tmp_path: Path, monkeypatch: Any) -> None:
    mesh = shape("disk")
    writer = SeriesWriter(tmp_path, "run", mesh, ("u", "velocity"))
    writer.add(0.0, fields(mesh, 0.0))
    writer.add(0.1, fields(mesh, 0.1))
    assert len(read_pvd(writer.path)) == 2  # usable while the run goes on

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("graphpde.mesh.io.aside.os.replace", stop)
    with pytest.raises(KeyboardInterrupt):
        writer.add(0.2, fields(mesh, 0.2))
    frames = read_pvd(tmp_path / "run.pvd")
    assert [t for t, _ in frames] == [0.0, 0.1]
    assert all("u" in meshio.read(file).point_data for _, file in frames)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["run.pvd", "run_00000.vtu", "run_00001.vtu"]


def test_a_frame_that_fails_is_not_named(shape: Shape, tmp_path: Path, monkeypatch: Any) -> None:
    mesh = shape("disk")
    writer = SeriesWriter(tmp_path, "run", mesh)
    writer.add(0.0, {"u": mesh.points[:, 0]})

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("graphpde.mesh.io.aside.os.replace", full)
        with pytest.raises(OutputError, match="run_00001.vtu.*disk is full"):
            writer.add(1.0, {"u": mesh.points[:, 0]})
    assert len(read_pvd(writer.path)) == 1
    writer.add(1.0, {"u": mesh.points[:, 0]})  # and the run may try again
    assert [t for t, _ in read_pvd(writer.path)] == [0.0, 1.0]


def test_wrong_series_are_refused(shape: Shape, tmp_path: Path) -> None:
    mesh = shape("disk")
    u = mesh.points[:, 0]
    writer = SeriesWriter(tmp_path, "run", mesh, ("u",))
    writer.add(1.0, {"u": u})
    run = SimpleNamespace(times=torch.zeros(1), states=torch.zeros(1, 91, 2), domain=Space(mesh))
    nowhere = SimpleNamespace(times=torch.zeros(1), states=torch.zeros(1, 91, 1), domain=None)
    pair = SimpleNamespace(times=torch.zeros(1), states=(u, u), domain=Space(mesh))
    (tmp_path / "file").write_text("")
    for call, error, says in [
        (
            lambda: writer.add(1.0, {"u": u}),
            InputError,
            "frame 1 of 'run.pvd' has time 1, expected a time later than 1",
        ),
        (lambda: writer.add(float("nan"), {"u": u}), InputError, "has time nan"),
        (lambda: writer.add(2.0, {"v": u}), InputError, r"carries \['v'\], expected \['u'\]"),
        (lambda: writer.add(2.0, {"u": u, "v": u}), InputError, "same fields in all frames"),
        (lambda: writer.add(2.0, {"u": u[1:]}), ShapeError, r"shape \[90\], expected \[91\]"),
        (lambda: SeriesWriter(tmp_path, "a/b", mesh), InputError, "'a/b' cannot start file names"),
        (lambda: SeriesWriter(tmp_path, "a", mesh, ()), InputError, "at least one"),
        (lambda: SeriesWriter(tmp_path, "a", mesh, ("u", "u")), InputError, "no name twice"),
        (lambda: SeriesWriter(tmp_path / "file", "a", mesh).add(0, {"u": u}), OutputError, "cannot make the folder"),
        (lambda: write_series(tmp_path / "a.vtu", run), InputError, "written as '.pvd' or '.xdmf', got 'a.vtu'"),
        (lambda: write_series(tmp_path / "a.pvd", []), InputError, "need mesh="),
        (lambda: write_series(tmp_path / "a.pvd", [], mesh=mesh), InputError, "no frames"),
        (lambda: write_series(tmp_path / "a.pvd", run, names=("a", "b", "c")), InputError, "3 names for 2 channels"),
        (lambda: write_series(tmp_path / "a.pvd", nowhere), InputError, "nothing that can be drawn"),
        (lambda: write_series(tmp_path / "a.pvd", pair), ShapeError, "not one tensor"),
    ]:
        with pytest.raises(error, match=says):
            call()
    assert len(read_pvd(writer.path)) == 1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("<VTKFile", "not a PVD file"),
        ("<VTKFile type='UnstructuredGrid'/>", "expected a Collection"),
        (
            "<VTKFile type='Collection'><Collection><DataSet file='a.vtu'/></Collection></VTKFile>",
            "frame 0 .* time None",
        ),
        (
            "<VTKFile type='Collection'><Collection><DataSet timestep='soon' file='a.vtu'/></Collection></VTKFile>",
            "time 'soon', expected a finite number",
        ),
        (
            "<VTKFile type='Collection'><Collection><DataSet timestep='0' file='no.vtu'/></Collection></VTKFile>",
            "names 'no.vtu', which does not exist",
        ),
    ],
)
def test_a_broken_pvd_is_refused(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "a.pvd").write_text(text)
    (tmp_path / "a.vtu").write_text("")
    with pytest.raises(InputError, match=says):
        read_pvd(tmp_path / "a.pvd")
    with pytest.raises(InputError, match="cannot read"):
        read_pvd(tmp_path / "b.pvd")


def test_hostile_names_stay_text(shape: Shape, tmp_path: Path) -> None:
    mesh = shape("disk")
    name = 'a"<b>&c'
    path = write_series(tmp_path / "x&y.pvd", [(0.0, {name: mesh.points[:, 0]})], names=(name,), mesh=mesh)
    assert list(meshio.read(read_pvd(path)[0][1]).point_data) == [name]


def test_npz_keeps_numbers_and_types(tmp_path: Path) -> None:
    states = torch.rand(3, 5, 2, dtype=torch.float32)
    path = write_npz(tmp_path / "new" / "run.npz", torch.linspace(0, 1, 3), states, torch.rand(5, 2))
    with np.load(path) as read:
        assert sorted(read) == ["points", "states", "times"] and read["states"].dtype == np.float32
        np.testing.assert_array_equal(read["states"], states.numpy())
    with pytest.raises(ShapeError, match=r"shape \[3, 5, 2\], expected \[2, 5, c\]"):
        write_npz(path, [0.0, 1.0], states, torch.rand(5, 2))
    with pytest.raises(OutputError, match="is a folder"):
        write_npz(tmp_path / "new", [0.0, 0.5, 1.0], states, torch.rand(5, 2))
