"""Initial values from files: exact on the same mesh, interpolated with a note on another."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
import torch

from graphpde.config import Setup, dump, load, merge, prepare, read_config
from graphpde.config.initial_from import FieldFile
from graphpde.errors import ConfigError, InputError
from graphpde.mesh import rectangle, write_mesh
from graphpde.mesh.second_order import completed
from graphpde.run import simulate
from graphpde.viz import SeriesWriter

SQUARE = {"shape": "rectangle", "size": 0.25}
QUIET = {"pictures": "none", "report": False}


def ready(start: Any, **more: Any) -> Setup:
    return prepare(read_config({"pde": "heat", "mesh": SQUARE, "initial": start, "output": QUIET, **more}))


def linear(folder: Path, n: int = 7) -> Path:
    """A series of 2 x + y + t, by the name w, and a number for each cell."""
    mesh = rectangle(n, n)
    writer = SeriesWriter(folder, "run", mesh, ("w",))
    for t in (0.0, 0.5, 1.0):
        writer.add(t, {"w": 2 * mesh.points[:, 0] + mesh.points[:, 1] + t})
    return writer.path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.vtu", ("a.vtu", None, None)),
        ("runs/a-1:u", ("runs/a-1", "u", None)),
        ("a.pvd@0.5", ("a.pvd", None, 0.5)),
        ("a.pvd:u v@-1e-3", ("a.pvd", "u v", -1e-3)),
        ("C:\\a.vtu", ("C:\\a.vtu", None, None)),
        ("a@b.vtu", ("a@b.vtu", None, None)),
    ],
)
def test_how_files_are_named(text: str, expected: tuple[str, str | None, float | None]) -> None:
    found = FieldFile.of(text)
    assert (str(found.path), found.field, found.time) == expected and FieldFile.of(str(found)) == found


def test_a_file_of_that_very_name_comes_first(tmp_path: Path) -> None:
    (tmp_path / "a:b@1").touch()
    assert FieldFile.of("a:b@1", tmp_path) == FieldFile(tmp_path / "a:b@1")


def test_linear_fields_come_exactly_to_another_mesh(tmp_path: Path) -> None:
    path = linear(tmp_path)
    for moment, t in (("", 1.0), ("@0.5", 0.5), ("@0", 0.0)):
        setup = ready({"from": f"{path}:w{moment}"})
        x, y = setup.space.pos.unbind(1)
        assert torch.allclose(setup.u0[:, 0], 2 * x + y + t, atol=1e-14)
        assert "interpolated from the 64 points" in setup.notes[0] and setup.warnings[-1] == setup.notes[-1]


def test_the_same_mesh_gives_the_same_bits_and_no_note(tmp_path: Path) -> None:
    first = ready("sin(9*x)*exp(y)", time={"end": 0.1, "frames": 4})
    simulate(first, tmp_path / "run")
    frames = sorted((tmp_path / "run/fields").glob("*.vtu"))
    from_run, from_file = ready({"from": str(tmp_path / "run")}), ready({"from": str(frames[-1])})
    assert torch.equal(from_run.u0, from_file.u0) and from_run.notes == from_file.notes == ()
    assert torch.equal(ready({"from": f"{tmp_path / 'run'}@0"}).u0, first.u0)
    (tmp_path / "run/fields/run.npz").unlink()  # from the series alone
    assert torch.equal(ready({"from": str(tmp_path / "run")}).u0, from_run.u0)


def test_two_half_runs_are_one(tmp_path: Path) -> None:
    """Restarting at t = 0.1 from what a run left there is that run going on."""
    plan = {"dt": 0.01, "stepper": "crank_nicolson", "frames": 2}
    whole = simulate(ready("x*y", time={**plan, "end": 0.2}), tmp_path / "whole")
    simulate(ready("x*y", time={**plan, "end": 0.1}), tmp_path / "half")
    rest = ready({"from": str(tmp_path / "half")}, time={**plan, "start": 0.1, "end": 0.2})
    done = simulate(rest, tmp_path / "rest")
    assert done.final["u"]["integral"] == pytest.approx(whole.final["u"]["integral"], rel=1e-12)
    assert done.final["u"]["max"] == pytest.approx(whole.final["u"]["max"], rel=1e-12)


def test_points_outside_are_told(tmp_path: Path) -> None:
    path = linear(tmp_path)
    setup = ready({"from": f"{path}:w"}, mesh={"shape": "rectangle", "size": 0.25, "width": 1.5})
    assert "unknowns lie outside of the mesh of" in setup.notes[1] and "up to 0.5 away" in setup.notes[1]


def test_quadratic_fields_come_exactly_from_quadratic_cells(tmp_path: Path) -> None:
    """All nodal values count, on the same mesh bit by bit, on another one by the shape functions."""
    mesh = completed(rectangle(3, 4))
    x, y = mesh.points.unbind(1)
    write_mesh(tmp_path / "q.vtu", mesh.with_data({"u": x**2 - 3 * x * y}, {}))
    for element, size in (("p2", 0.2), ("p1", 0.1)):
        setup = ready({"from": str(tmp_path / "q.vtu")}, element=element, mesh={"shape": "rectangle", "size": size})
        x, y = setup.space.pos.unbind(1)
        assert torch.allclose(setup.u0[:, 0], x**2 - 3 * x * y, atol=1e-13)
    first = ready("sin(9*x)*exp(y)", element="p2", time={"end": 0.02, "dt": 0.01, "frames": 1})
    simulate(first, tmp_path / "run")
    (tmp_path / "run/fields/run.npz").unlink()  # from the series alone
    again = ready({"from": f"{tmp_path / 'run'}@0"}, element="p2")
    assert torch.equal(again.u0, first.u0) and again.notes == ()


def test_values_of_cells(tmp_path: Path) -> None:
    mesh = rectangle(8, 8)
    cells = torch.arange(mesh.n_cells, dtype=torch.float64)
    write_mesh(tmp_path / "c.vtu", mesh.with_data({}, {"p": cells}))
    setup = ready({"from": str(tmp_path / "c.vtu")})
    assert set(setup.u0[:, 0].tolist()) <= set(cells.tolist()) and "starts from the field 'p'" in setup.notes[0]


def test_fields_of_a_system_one_from_a_file_and_one_from_a_formula(tmp_path: Path) -> None:
    mesh = rectangle(4, 4)
    write_mesh(tmp_path / "u.vtu", mesh.with_data({"u": mesh.points[:, 0]}, {}))
    both = {"from": str(tmp_path / "u.vtu"), "v": "y"}
    setup = ready(both, pde="gray-scott")
    assert torch.equal(setup.u0, setup.space.pos) and setup.config.noise == 0.0  # a restart gets no noise by itself
    noisy = ready({**both, "noise": 0.1}, pde="gray-scott")
    assert 0.05 < float((noisy.u0 - setup.u0).abs().max()) <= 0.1
    missing = ready({"from": str(tmp_path / "u.vtu")}, pde="gray-scott")
    assert "has no v, which starts from its default" in missing.notes[0]


def test_the_resolved_problem_reads_the_same_field_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    linear(tmp_path / "data")
    (tmp_path / "p.toml").write_text(
        'pde = "heat"\nmesh = {shape = "rectangle"}\ninitial = {from = "data/run.pvd:w@0.5"}'
    )
    setup = prepare(read_config(load(tmp_path / "p.toml")))  # relative to the file
    text = dump(setup.config.as_dict())
    assert tomllib.loads(text)["initial"]["from"] == f"{(tmp_path / 'data/run.pvd').resolve()}:w@0.5"
    monkeypatch.chdir("/")
    assert torch.equal(prepare(read_config(tomllib.loads(text))).u0, setup.u0)


def test_layers() -> None:
    formula, file = {"initial": {"u": "x", "noise": 0.1}}, {"initial": {"from": "a.vtu"}}
    assert merge(formula, file)["initial"] == {"from": "a.vtu", "noise": 0.1}
    assert merge({"initial": 3.0}, file)["initial"] == {"from": "a.vtu"}
    assert merge(file, {"initial": {"from": "b.vtu"}})["initial"] == {"from": "b.vtu"}
    assert merge(file, {"initial": 2.0})["initial"] == 2.0


def test_what_does_not_fit(tmp_path: Path) -> None:
    path = linear(tmp_path)
    with pytest.raises(ConfigError, match="unknown field of .* 'v'; known: w"):
        ready({"from": f"{path}:v"})
    with pytest.raises(InputError, match=r"has no moment at t=0.7; it has 3: 0, 0.5, 1"):
        ready({"from": f"{path}@0.7"})
    with pytest.raises(ConfigError, match="lies in 2-D space and 'box.*' in 3-D"):
        ready({"from": f"{path}:w"}, mesh={"shape": "box", "size": 0.5})
    far = rectangle(2, 2)
    far = type(far)(far.points + 9, far.cells).with_data({"u": far.points[:, 0]}, {})
    write_mesh(tmp_path / "far.vtu", far)
    with pytest.raises(ConfigError, match="no unknown of 'rectangle.*' lies in the mesh of"):
        ready({"from": str(tmp_path / "far.vtu")})
    with pytest.raises(ConfigError, match="every field has a value of its own"):
        ready({"from": str(path), "u": 1.0})
    with pytest.raises(ConfigError, match="has 1 components, expected 2: one for each of u, v"):
        ready({"from": f"{path}:w"}, pde="gray-scott")
    (tmp_path / "only.npz").write_bytes(b"")
    with pytest.raises(InputError, match="holds values without cells"):
        ready({"from": str(tmp_path / "only.npz")})
