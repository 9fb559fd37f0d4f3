"""A run folder holds what it promises: every moment, the right numbers, pictures with units, the way to do it again."""

from __future__ import annotations

import json
import math
import tomllib
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from graphpde.mesh import read_mesh
from graphpde.run import pictures
from graphpde.viz import read_pvd

EXAMPLES = sorted((Path(__file__).resolve().parents[2] / "examples" / "problems").glob("*.toml"))
QUIET = ("--pictures", "none", "--json")


def texts(figure: Figure) -> list[str]:
    """Everything written on a figure."""
    found = [figure.get_suptitle()]
    for axes in figure.axes:
        found += [axes.get_xlabel(), axes.get_ylabel(), axes.get_title()]
    return [text.strip() for text in found]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> dict[str, Figure]:
    """The figures that a run saves, by file name."""
    figures: dict[str, Figure] = {}
    save = pictures.save_figure

    def remember(figure: Figure, path: Any, **options: Any) -> Path:
        figures[Path(path).name] = figure
        return save(figure, path, **options)

    monkeypatch.setattr(pictures, "save_figure", remember)
    return figures


def test_heat_from_options(graphpde, square: Path, drawn: dict[str, Figure]) -> None:
    done = graphpde("simulate", "--pde", "heat", "--mesh", square, "--bc", "left=1", "-o", "run", "--frames", 5)
    assert done.code == 0 and done.err == ""
    assert "Heat equation on square.vtu: 49 unknowns, 100 steps of backward_euler" in done.out
    assert "u in [" in done.out and " K" not in done.out and " m^2" not in done.out  # nobody said kelvin
    for name in ("figures/final.png", "fields/run.pvd", "report.html", "config.toml"):
        assert f"run/{name}" in done.out
    frames = read_pvd("run/fields/run.pvd")
    assert [t for t, _ in frames] == pytest.approx(np.linspace(0, 0.2, 6), rel=1e-12)  # 0.2 length^2 / kappa
    for _, file in frames:
        u = read_mesh(file).point_data["u"].squeeze()
        assert u.shape == (49,) and float(u.min()) >= 0 and float(u.max()) == 1
    assert {"final.png", "frames.png", "mass.png", "energy.png", "range.png", "mesh.png"} == set(drawn)
    assert {"u", "x [m]", "y [m]", "Heat equation, t = 0.2 s"} <= set(texts(drawn["final.png"]))
    assert {"t = 0 s", "t = 0.2 s", "u"} <= set(texts(drawn["frames.png"]))
    assert {"t [s]", "value"} <= set(texts(drawn["range.png"]))
    report = Path("run/report.html").read_text()
    assert report.count("<img") == 6 and "overshoot" in report and "du/dt = div(kappa grad u) + f" in report


def test_units_of_the_file_reach_every_picture(graphpde, square: Path, drawn: dict[str, Figure]) -> None:
    Path("problem.toml").write_text(
        f'pde = "heat"\nmesh = "{square}"\ninitial = "x"\n[time]\nend = 1\nframes = 2\n'
        '[output]\npictures = "all"\n[output.units]\nu = "°C"\nlength = "mm"\ntime = "h"\n'
    )
    assert graphpde("simulate", "problem.toml", "-o", "run").code == 0
    assert {"u [°C]", "x [mm]", "Heat equation, t = 1 h"} <= set(texts(drawn["final.png"]))
    assert "t [h]" in texts(drawn["energy.png"])
    assert len(list(Path("run/figures").glob("frame_*.png"))) == 3  # one of every moment


def test_what_json_says(graphpde, square: Path) -> None:
    done = graphpde("simulate", "--pde", "heat", "--mesh", square, "--initial", "1+x", "-o", "run", *QUIET)
    assert done.code == 0 and done.err == ""
    said = done.json
    assert said["status"] == "ok" and said["unknowns"] == 49 and said["steps"] == 100 and said["seconds"] > 0
    assert set(said["certificates"]) == {"mass drift", "energy increase", "overshoot"}
    for certificate in said["certificates"].values():
        assert certificate["passed"] and certificate["value"] <= certificate["target"]
    assert said["final"]["u"]["integral"] == pytest.approx(1.5, rel=1e-12)  # insulated: nothing is lost
    assert 1 <= said["final"]["u"]["min"] <= said["final"]["u"]["max"] <= 2
    assert all(Path(file).is_file() for file in said["files"]) and Path("run").resolve() == Path(said["folder"])
    assert {Path(file).name for file in said["files"]} >= {"run.pvd", "run_00000.vtu", "run.npz", "metrics.jsonl"}


def test_manifest_metrics_and_npz_agree(graphpde, square: Path) -> None:
    said = graphpde("simulate", "--pde", "heat", "--mesh", square, "--initial", "x", "-o", "run", *QUIET).json
    manifest = json.loads(Path("run/manifest.json").read_text())
    assert manifest["status"] == "ok" and manifest["seed"] == 0 and manifest["steps"] == 100
    assert {"graphpde", "python", "torch", "numpy", "scipy"} <= set(manifest["versions"])
    assert manifest["command"].startswith("graphpde simulate --pde heat") and len(manifest["mesh"]["sha256"]) == 64
    assert manifest["certificates"] == said["certificates"]
    assert sorted(manifest["files"]) == sorted(str(Path(f).relative_to(Path("run").resolve())) for f in said["files"])
    rows = [json.loads(line) for line in Path("run/metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(0, 101, 5))
    assert set(rows[0]) == {"t", "step", "mass", "energy", "min", "max"}
    # energy 1/2 |grad x|^2 = 1/2 at the start, then downhill
    assert rows[0]["energy"] == pytest.approx(0.5) and all(a["energy"] > b["energy"] for a, b in pairwise(rows))
    with np.load("run/fields/run.npz") as kept:
        assert kept["times"] == pytest.approx([row["t"] for row in rows])
        assert kept["states"].shape == (21, 49, 1) and kept["points"].shape == (49, 2)
        assert kept["states"].min(1)[:, 0] == pytest.approx([row["min"] for row in rows])


def test_a_resolved_configuration_runs_again_to_the_same_numbers(graphpde, square: Path) -> None:
    first = graphpde("simulate", "--pde", "gray-scott", "--mesh", square, "--t-end", 20, "--seed", 7, "-o", "a", *QUIET)
    again = graphpde("simulate", "a/config.toml", "-o", "b")
    assert first.code == again.code == 0
    one, two = (tomllib.loads(Path(f"{folder}/config.toml").read_text()) for folder in "ab")
    assert one == two and one["reaction"] == {"name": "gray-scott", "feed": 0.037, "kill": 0.06}
    with np.load("a/fields/run.npz") as a, np.load("b/fields/run.npz") as b:
        assert (a["states"] == b["states"]).all() and (a["times"] == b["times"]).all()
    other = graphpde("simulate", "a/config.toml", "--seed", 8, "-o", "c", *QUIET)
    with np.load("a/fields/run.npz") as a, np.load("c/fields/run.npz") as c:
        assert other.code == 0 and (a["states"] != c["states"]).any()


def test_layers_defaults_file_line(graphpde, square: Path) -> None:
    folder = Path("sub")
    folder.mkdir()
    (folder / "square.vtu").write_bytes(square.read_bytes())
    (folder / "p.toml").write_text(
        'pde = "heat"\nmesh = "square.vtu"\n[boundary]\nleft = 1.0\n[boundary.right]\ninflow = 2.0\n'
        "[time]\nend = 1\ndt = 0.1\n"
    )
    plan = graphpde("simulate", "sub/p.toml", "--dry-run", "--json", "--dt", 0.05, "--bc", "right=0").json
    assert plan["config"]["mesh"]["path"] == str((folder / "square.vtu").resolve())  # relative to the file
    assert plan["config"]["time"] == {"start": 0, "end": 1, "dt": 0.05, "frames": 20, "stepper": "backward_euler"}
    assert plan["config"]["boundary"] == {"left": {"value": 1}, "right": {"value": 0}}  # the line replaces the inflow
    plan = graphpde(
        "simulate", "sub/p.toml", "--dry-run", "--json", "--override", "left", "--set", "boundary.top=3"
    ).json
    assert plan["config"]["boundary"]["left"] == {"value": 1, "override": True}
    assert plan["config"]["boundary"]["top"] == {"value": 3}


def test_dry_run_writes_nothing(graphpde, square: Path, tmp_path: Path) -> None:
    done = graphpde("simulate", "--pde", "heat", "--mesh", square, "--dry-run", "--stepper", "rk4", "--t-end", 9)
    assert done.code == 0 and list(tmp_path.iterdir()) == []
    assert "49 unknowns" in done.out and "of memory" in done.out and "nothing was written" in done.out
    config = tomllib.loads(done.out)
    # the default step of an explicit method keeps clear of the bound: rk4's 2.785 over 8 / h^2 = 288
    assert 0.5 * 2.785 / 288 < config["time"]["dt"] <= 0.9 * 2.785 / 288 * (1 + 1e-12)


def test_poisson_against_its_exact_solution(graphpde, square: Path) -> None:
    argv = ("--mesh", square, "--bc", "left=0", "right=1", "--kappa", "copper=1", "steel=3", "-o", "run", *QUIET)
    said = graphpde("simulate", "--pde", "poisson", *argv).json
    assert said["steps"] == 1 and set(said["certificates"]) == {"residual", "overshoot"}
    (moment,) = read_pvd("run/fields/run.pvd")
    mesh = read_mesh(moment[1])
    x = mesh.points[:, 0].numpy()
    exact = np.where(x < 0.5, 1.5 * x, 0.75 + (x - 0.5) / 2)  # the flux 1.5 is the same in both
    assert mesh.point_data["u"].squeeze().numpy() == pytest.approx(exact, abs=1e-12)


def test_heat_steady_equals_poisson(graphpde, square: Path) -> None:
    line = ("--mesh", square, "--bc", "left=y", "right=0", "--source", "1", *QUIET)
    heat = graphpde("simulate", "--pde", "heat", "--steady", *line).json
    poisson = graphpde("simulate", "--pde", "poisson", *line).json
    assert heat["final"]["u"] == pytest.approx(poisson["final"]["u"], rel=1e-12)
    assert Path(heat["folder"]).name == "heat-square-1" and Path(poisson["folder"]).name == "poisson-square-1"


def test_an_inflow_brings_in_what_it_says(graphpde, square: Path) -> None:
    line = ("--mesh", square, "--inflow", "left=2", "--source", "3", "--t-end", 0.5, *QUIET)
    said = graphpde("simulate", "--pde", "heat", *line).json
    assert said["final"]["u"]["integral"] == pytest.approx((2 * 1 + 3 * 1) * 0.5, rel=1e-10)
    assert said["certificates"]["mass balance"]["passed"]


def test_advection_carries_the_inflow(graphpde, square: Path) -> None:
    line = ("--mesh", square, "--velocity", "1,0", "--bc", "left=2", "--t-end", 3, *QUIET)
    said = graphpde("simulate", "--pde", "advection", *line).json
    assert said["certificates"]["overshoot"]["target"] is not None and said["certificates"]["overshoot"]["passed"]
    assert said["final"]["u"]["min"] == pytest.approx(2, rel=1e-3) and said["final"]["u"]["max"] <= 2 + 1e-9


def test_time_dependent_boundary_values(graphpde, square: Path) -> None:
    line = (
        "--mesh",
        square,
        "--bc",
        "boundary=x+t",
        "--source",
        "1",
        "--initial",
        "x",
        "--t-end",
        1,
        "-o",
        "run",
        *QUIET,
    )
    assert graphpde("simulate", "--pde", "heat", *line).code == 0
    mesh = read_mesh(read_pvd("run/fields/run.pvd")[-1][1])
    # u = x + t solves u' = laplace(u) + 1 exactly, in space and under backward Euler
    assert mesh.point_data["u"].squeeze().numpy() == pytest.approx(mesh.points[:, 0].numpy() + 1, abs=1e-10)


def test_float32(graphpde, square: Path) -> None:
    said = graphpde(
        "simulate", "--pde", "heat", "--mesh", square, "--initial", "1+x", "--dtype", "float32", *QUIET
    ).json
    assert said["final"]["u"]["integral"] == pytest.approx(1.5, rel=1e-5)
    assert all(c["passed"] for c in said["certificates"].values())


@pytest.mark.parametrize(
    ("shape", "pde", "line"),
    [
        ("interval", "heat", ["--bc", "left=1"]),
        ("star", "heat", ["--bc", "end0=1", "end1=0"]),
        ("rectangle_quads", "heat", ["--bc", "left=1", "--stepper", "crank_nicolson"]),
        ("sphere", "heat", ["--initial", "z"]),
        ("box", "heat", ["--bc", "left=1"]),
        ("box", "advection", []),
        ("sphere", "gray-scott", ["--t-end", "20"]),
    ],
)
def test_every_dimension_runs(graphpde, shape: str, pde: str, line: list[str]) -> None:
    done = graphpde("simulate", "--pde", pde, "--set", f"mesh.shape={shape}", *line, "--frames", 2, *QUIET)
    assert done.code == 0, done.err
    assert all(c["passed"] for c in done.json["certificates"].values())


@pytest.mark.parametrize("problem", EXAMPLES, ids=[path.stem for path in EXAMPLES])
def test_the_sample_files_run(graphpde, problem: Path) -> None:
    done = graphpde("simulate", problem, "-o", "run", *QUIET)
    assert done.code == 0 and done.err == ""
    config = tomllib.loads(problem.read_text())
    moments = read_pvd("run/fields/run.pvd")
    if config["pde"] in ("poisson", "elasticity") or config.get("steady"):
        assert len(moments) == 1 and done.json["certificates"]["residual"]["passed"]
    else:
        assert len(moments) == config["time"].get("frames", 20) + 1 and moments[0][0] == 0
        assert moments[-1][0] == pytest.approx(config["time"]["end"])
    assert all(math.isfinite(v) for field in done.json["final"].values() for v in field.values())
    assert len(EXAMPLES) >= 5


def test_a_constant_solution_is_pointed_out(graphpde, square: Path) -> None:
    done = graphpde("simulate", "--pde", "heat", "--mesh", square, "--pictures", "none")
    assert done.code == 0 and "warning: the solution is the same everywhere" in done.err


def test_warnings_of_the_mesh_are_said_once(graphpde, tmp_path: Path) -> None:
    (tmp_path / "flipped.off").write_text("OFF\n5 2 0\n0 0 0\n1 0 0\n0 1 0\n1 1 0\n5 5 0\n3 0 2 1\n3 1 3 2\n")
    done = graphpde(
        "simulate", "--pde", "heat", "--mesh", "flipped.off", "--initial", "x", "--pictures", "none", "-o", "run"
    )
    lines = done.err.splitlines()
    assert done.code == 0 and len(lines) == len(set(lines)) and all(line.startswith("warning: ") for line in lines)
    assert "1 of 5 points belong to no cell" in done.err and "had negative orientation and were turned" in done.err
    report = Path("run/report.html").read_text()
    assert "points belong to no cell" in report
    said = graphpde("simulate", "--pde", "heat", "--mesh", "flipped.off", "--initial", "x", *QUIET).json
    assert [f"warning: {sentence}" for sentence in said["warnings"]] == lines


def test_a_later_run_replaces_all_of_an_older_one(graphpde, square: Path) -> None:
    line = ("--mesh", square, "--bc", "left=1", *QUIET, "-o", "run")
    assert graphpde("simulate", "--pde", "heat", *line, "--frames", 9).code == 0
    Path("run/notes.txt").write_text("mine")
    assert graphpde("simulate", "--pde", "heat", *line, "--frames", 3).code == 0
    assert (
        len(list(Path("run/fields").glob("*.vtu"))) == 4
        and len(Path("run/metrics.jsonl").read_text().splitlines()) == 4
    )
    assert Path("run/notes.txt").read_text() == "mine"
