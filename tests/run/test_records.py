"""What a run writes beside its fields: tables that stay whole however it ends, and what is refused beforehand."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from graphpde.config import Setup, prepare, read_config
from graphpde.errors import ConditionError, ConfigError, InputError, UnknownName
from graphpde.mesh.io import read_mesh
from graphpde.run import resume, simulate
from graphpde.run.rows import Rows, read_rows
from graphpde.viz import read_pvd

QUIET = {"pictures": "none", "report": False}


def ready(output: dict[str, Any], **more: Any) -> Setup:
    problem = {
        "pde": "heat",
        "mesh": {"shape": "rectangle", "size": 0.25},
        "boundary": {"left": 1.0, "right": 0.0},
        "time": {"end": 0.5, "dt": 0.025, "frames": 4},
        "output": {**QUIET, **output},
    }
    return prepare(read_config({**problem, **more}))


def test_probes_at_every_step(tmp_path: Path) -> None:
    setup = ready({"probes": {"mid": [0.5, 0.3], "wall": [0.0, 1.0]}})
    simulate(setup, tmp_path / "run")
    header, values = read_rows(tmp_path / "run/probes.csv")
    assert header == ["t", "mid.u", "wall.u"] and values.shape == (21, 3)
    assert values[:, 0] == pytest.approx(np.linspace(0, 0.5, 21)) and (values[:, 2] == 1).all()
    with np.load(tmp_path / "run/fields/run.npz") as kept:  # the saved moments are among the steps
        x = kept["points"]
        node = int(np.argmin(np.abs(x - [0.0, 1.0]).sum(1)))
        assert kept["states"][:, node, 0] == pytest.approx(values[::5, 2])
    assert 0 == values[0, 1] < values[5, 1] < values[-1, 1] < 0.5


def test_fluxes_and_their_balance(tmp_path: Path) -> None:
    result = simulate(ready({"fluxes": "all"}), tmp_path / "run")
    header, values = read_rows(tmp_path / "run/fluxes.csv")
    column = dict(zip(header, values.T, strict=True))
    assert len(values) == 21 and column["bottom.u"].max() == 0
    assert column["storage.u"] == pytest.approx(column["left.u"] + column["right.u"], abs=1e-12)
    assert column["left.u"][-1] == pytest.approx(1.0, rel=0.05)  # on its way to k A dT / L
    gained = column["content.u"] - column["content.u"][0]
    assert gained == pytest.approx(column["left.u.amount"] + column["right.u.amount"], abs=1e-12)
    kept = {c.name: c for c in result.certificates}
    assert kept["flux balance"].passed and kept["amount balance"].passed and kept["amount balance"].value < 1e-12


def test_a_steady_state_has_one_row_of_exact_flows(tmp_path: Path) -> None:
    setup = ready({"fluxes": ["left"], "integrals": True}, steady=True, time={})
    result = simulate(setup, tmp_path / "run")
    header, values = read_rows(tmp_path / "run/fluxes.csv")
    found = dict(zip(header, values[0], strict=True))
    assert found["left.u"] == pytest.approx(1.0, rel=1e-10) and found["elsewhere.u"] == pytest.approx(-1.0, rel=1e-10)
    assert found["storage.u"] == 0 and not any("amount" in name for name in header)
    assert "flux balance" in {c.name for c in result.certificates}
    assert read_rows(tmp_path / "run/integrals.csv")[1][0, 1:3] == pytest.approx([0.5, 0.5], rel=1e-12)


def test_an_explicit_run_balances_at_every_moment(tmp_path: Path) -> None:
    setup = ready({"fluxes": "all"}, time={"end": 0.1, "stepper": "heun", "frames": 2})
    kept = {c.name: c for c in simulate(setup, tmp_path / "run").certificates}
    assert kept["flux balance"].passed and kept["amount balance"].target is None
    assert kept["amount balance"].value < 0.02  # the trapezoidal rule


def test_integrals_and_lines_at_saved_moments(tmp_path: Path) -> None:
    setup = ready({"integrals": "all", "lines": {"mid": [[0.0, 0.5], [1.0, 0.5]]}})
    simulate(setup, tmp_path / "run")
    header, values = read_rows(tmp_path / "run/integrals.csv")
    assert header == ["t", *(f"domain.u.{what}" for what in ("integral", "mean", "min", "max"))]
    assert len(values) == 5 and (values[:, 3] == 0).all() and (values[:, 4] == 1).all()
    header, values = read_rows(tmp_path / "run/lines/mid.csv")
    assert header == ["t", "s", "x", "y", "u"] and len(values) == 5 * 200
    last = values[-200:]
    assert last[:, 1] == pytest.approx(last[:, 2]) and last[0, 4] == 1 and last[-1, 4] == 0
    assert (np.diff(last[:, 4]) < 0).all()


@pytest.mark.parametrize("by", ["stop", "interrupt"])
def test_an_interrupted_run_keeps_its_tables_whole(tmp_path: Path, by: str) -> None:
    setup, steps = ready({"probes": {"a": [0.5, 0.5]}, "fluxes": "all", "integrals": True}), []

    def progress(step: int, of: int | None, share: float) -> None:
        steps.append(step)
        if by == "interrupt" and step == 7:
            raise KeyboardInterrupt

    if by == "stop":
        simulate(setup, tmp_path / "run", progress=progress, stop=lambda: len(steps) == 7)
    else:
        with pytest.raises(KeyboardInterrupt):
            simulate(setup, tmp_path / "run", progress=progress)
    for name, rows in (("probes", 8), ("fluxes", 8), ("integrals", 3 if by == "stop" else 2)):
        text = (tmp_path / f"run/{name}.csv").read_text()
        assert text.endswith("\n") and len(text.splitlines()) == rows + 1
        assert len({line.count(",") for line in text.splitlines()}) == 1


def test_a_run_that_goes_on_has_the_tables_of_one_that_never_stopped(tmp_path: Path) -> None:
    asked = {
        "probes": {"a": [0.5, 0.5]}, "fluxes": "all", "integrals": True, "lines": {"mid": [[0, 0.5], [1, 0.5]]},
        "series": "both",
    }  # fmt: skip
    simulate(ready(asked), tmp_path / "whole")
    seen: list[int] = []
    simulate(ready(asked), tmp_path / "run", progress=lambda k, *_: seen.append(k), stop=lambda: len(seen) == 7)
    resume(tmp_path / "run")
    for name in ("probes", "fluxes", "integrals", "lines/mid"):
        (one, first), (two, second) = (read_rows(tmp_path / f"{run}/{name}.csv") for run in ("whole", "run"))
        assert one == two and second == pytest.approx(first, rel=1e-9, abs=1e-12), name
    assert (tmp_path / "run/fields/run.xdmf").read_text().count("<Time ") == 5


def test_series_of_each_kind(tmp_path: Path) -> None:
    pytest.importorskip("h5py")
    for kind in ("vtu", "xdmf", "both"):
        folder = tmp_path / kind
        result = simulate(ready({"series": kind}), folder)
        names = {file.name for file in result.files}
        assert ("run.pvd" in names) == (kind != "xdmf") and ("run.xdmf" in names) == (kind != "vtu")
    times = [float(t) for t in re.findall(r'<Time Value="([^"]+)"', (tmp_path / "xdmf/fields/run.xdmf").read_text())]
    assert times == pytest.approx([t for t, _ in read_pvd(tmp_path / "vtu/fields/run.pvd")])
    last = read_mesh(tmp_path / "both/fields/run.xdmf").point_data["u"]
    assert np.allclose(last, read_mesh(read_pvd(tmp_path / "both/fields/run.pvd")[-1][1]).point_data["u"])


def test_the_animation_has_a_frame_for_each_moment_and_stands_in_the_report(tmp_path: Path) -> None:
    setup = ready({"animation": True, "report": True, "lines": {"mid": [[0, 0.5], [1, 0.5]]}, "fluxes": ["left"]})
    simulate(setup, tmp_path / "run")
    with Image.open(tmp_path / "run/figures/animation.gif") as movie:
        assert movie.n_frames == 5 and movie.info["loop"] == 0
    page = (tmp_path / "run/report.html").read_text()
    assert "data:image/gif;base64" in page and 'href="figures/animation.gif"' in page
    assert 'href="lines/mid.csv"' in page and "Flow through the boundary" in page and "[m\N{SUPERSCRIPT TWO}/s]" in page


@pytest.mark.parametrize(
    ("output", "error", "words"),
    [
        ({"probes": {"far": [3.0, 0.5]}}, InputError, "probe 'far' lies outside of 'rectangle', 2 away"),
        ({"probes": {"p": [0.5]}}, InputError, "probe 'p' has 1 coordinates, expected 2"),
        ({"lines": {"mid": [[2.0, 2.0], [3.0, 3.0]]}}, InputError, "line 'mid' .* misses 'rectangle'"),
        ({"fluxes": ["inlet"]}, UnknownName, "inlet"),
        ({"fluxes": ["left", "nowhere"]}, UnknownName, "nowhere"),
        ({"integrals": ["copper"]}, UnknownName, "copper"),
    ],
)
def test_bad_wishes_are_refused_before_anything_is_written(
    tmp_path: Path, output: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        simulate(ready(output), tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ({"probes": {"p": "here"}}, "output.probes.p is 'here', expected the coordinates of a point"),
        ({"lines": {"mid": [[0.5, 0.5], [0.5, 0.5]]}}, r"starts and ends at \[0.5, 0.5\]"),
        ({"lines": {"mid": [0.5, 0.5, 1]}}, "expected its two ends"),
        ({"lines": {"mid": [[0.5, 0.5], [1.0]]}}, "ends with 2 and 1 coordinates"),
        ({"lines": {"../up": [[0, 0], [1, 1]]}}, "becomes that of a file"),
        ({"fluxes": 3}, 'expected "all" or names of sets'),
        ({"animation": "yes"}, "expected true or false"),
        ({"series": "vtk"}, "unknown series 'vtk'"),
    ],
)
def test_what_the_output_table_refuses(output: dict[str, Any], words: str) -> None:
    with pytest.raises((ConfigError, UnknownName), match=words):
        ready(output)


def test_sets_inside_are_left_out_unless_somebody_names_them(tmp_path: Path) -> None:
    mesh = {"mesh": str(Path(__file__).resolve().parents[2] / "meshes/mixed_boundaries.msh")}
    bar = {**mesh, "boundary": {"cooler": 300.0, "heater": {"inflow": 1e-3}}, "initial": 300.0}
    setup = ready({"fluxes": "all", "integrals": "all"}, **bar)
    simulate(setup, tmp_path / "run")
    header = read_rows(tmp_path / "run/fluxes.csv")[0]
    assert "heater.u" in header and "interface.u" not in header
    assert "steel.u.mean" in read_rows(tmp_path / "run/integrals.csv")[0]
    with pytest.raises(ConditionError, match="interface"):
        simulate(ready({"fluxes": ["interface"]}, **bar), tmp_path / "other")


def test_rows_are_read_as_far_as_they_are_whole(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    rows = Rows(path, ["t", 'odd "name", here.u'])
    rows.add([0.0, 1 / 3])
    rows.flush()
    rows.add([1.0, float("nan")])
    rows.flush()
    with open(path, "a") as file:
        file.write("2.0,0.")
    header, values = read_rows(path)
    assert header == ["t", 'odd "name", here.u'] and values.shape == (2, 2) and values[0, 1] == 1 / 3
    again = Rows(path, header, keep=0.0)
    again.add([0.5, 7.0])
    again.flush()
    assert read_rows(path)[1].tolist() == [[0.0, 1 / 3], [0.5, 7.0]]
    assert read_rows(tmp_path / "none.csv")[1].size == 0


def test_a_stepper_that_loses_something_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    setup = ready({"fluxes": "all"})
    kind = type(setup.stepper)
    step = kind.step

    def leaking(self: Any, *args: Any) -> Any:
        done = step(self, *args)
        return done._replace(u=done.u * (1 - 1e-6))

    monkeypatch.setattr(kind, "step", leaking)
    kept = {c.name: c for c in simulate(setup, tmp_path / "run").certificates}
    assert not kept["flux balance"].passed and not kept["amount balance"].passed


def test_two_fields_that_swing_about_zero_are_balanced_too(tmp_path: Path) -> None:
    problem = {"pde": "gray-scott", "mesh": {"shape": "rectangle", "size": 0.25}, "time": {"end": 20.0, "frames": 2}}
    result = simulate(prepare(read_config({**problem, "output": {**QUIET, "fluxes": "all"}})), tmp_path / "run")
    assert {c.name: c for c in result.certificates}["flux balance"].passed
    header, values = read_rows(tmp_path / "run/fluxes.csv")
    column = dict(zip(header, values.T, strict=True))
    assert column["storage.v"] == pytest.approx(column["sources.v"], rel=1e-9, abs=1e-15)
    assert (column["left.u"] == 0).all() and (column["elsewhere.v"] == 0).all()
