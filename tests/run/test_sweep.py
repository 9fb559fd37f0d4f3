"""Sweeps: every combination once, each a run of its own; failures and interruptions stay with their member."""

from __future__ import annotations

import csv
import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graphpde.config import prepare, read_config
from graphpde.errors import ConfigError, InputError, OutputError
from graphpde.run import simulate
from graphpde.run.members import members_of, problem_of, read_axis
from graphpde.run.rows import last_row, read_rows
from graphpde.run.sweep import resume_sweep, share_cores, sweep
from graphpde.run.workers import Job, run_all

HEAT: dict[str, Any] = {
    "pde": "heat", "mesh": {"shape": "rectangle", "size": 0.25}, "boundary": {"left": 1.0},
    "time": {"end": 0.1, "dt": 0.01, "frames": 2}, "output": {"pictures": "none", "report": False},
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "key", "values"),
    [
        ("kappa=0.1,1,10", "coefficients.kappa", ("0.1", "1", "10")),
        ("kappa=log:0.1:10:3", "coefficients.kappa", ("0.1", "1", "10")),
        ("dt=lin:0.1:0.4:4", "time.dt", ("0.1", "0.2", "0.3", "0.4")),
        ("t-end=1,2", "time.end", ("1", "2")),
        ("stepper=euler, rk4", "time.stepper", ("euler", "rk4")),
        ("size=0.1,0.05", "mesh.size", ("0.1", "0.05")),
        ("kappa=min(x,1),1+x", "coefficients.kappa", ("min(x,1)", "1+x")),
        ("boundary.left.value=0,sin(t)", "boundary.left.value", ("0", "sin(t)")),
        ("initial.u=lin:1:0:2", "initial.u", ("1", "0")),
    ],
)
def test_axes(text: str, key: str, values: tuple[str, ...]) -> None:
    axis = read_axis(text, HEAT)
    assert axis.key == key and axis.values == values


def test_a_logarithmic_axis_has_equal_ratios() -> None:
    numbers = read_axis("kappa=log:1e-3:1e2:11", HEAT).numbers
    assert numbers is not None and np.diff(np.log(numbers)) == pytest.approx(np.log(10) / 2, rel=1e-5)
    assert read_axis("kappa=min(x,1),2", HEAT).numbers is None


def test_constants_of_the_reaction_have_short_names() -> None:
    assert read_axis("feed=0.03,0.04", {"pde": "gray-scott"}).key == "reaction.feed"
    assert read_axis("kappa_v=1,2", {"pde": "gray-scott"}).key == "coefficients.kappa_v"


@pytest.mark.parametrize(
    ("text", "name", "key"),
    [
        ("kappa=1,2", "kappa", 'materials."*".conductivity'),
        ('materials."*".conductivity=1,2', "conductivity", 'materials."*".conductivity'),
        ("density=1,2", "density", 'materials."*".density'),
        ("*.kappa=1,2", "*.kappa", 'materials."*".conductivity'),
        ("material=steel,brass", "material", 'materials."*"'),
        ('materials."*"=steel,brass', "material", 'materials."*"'),
        ("time.dt=1,2", "dt", "time.dt"),
        ("boundary.left.value=1,2", "boundary.left.value", "boundary.left.value"),
    ],
)
def test_materials_have_short_names(text: str, name: str, key: str) -> None:
    problem = {**HEAT, "materials": {"*": "steel"}}
    axis = read_axis(text, problem)
    assert (axis.name, axis.key) == (name, key)
    assert axis.name in members_of([axis])[0].values
    again = read_axis(f"{axis.name}=1,2", problem)
    assert again.key == axis.key  # what is printed can be given


def test_one_of_several_materials() -> None:
    two = {**HEAT, "materials": {"core": "steel", "*": {"conductivity": 2.0, "density": 1.0, "heat_capacity": 1.0}}}
    assert read_axis("core.kappa=1,2", two).key == "materials.core.conductivity"
    assert read_axis("materials.core.conductivity=1,2", two).name == "core.conductivity"
    with pytest.raises(ConfigError, match=r"--sweep kappa fits 2 materials; take one of core.kappa, \*.kappa"):
        read_axis("kappa=1,2", two)
    with pytest.raises(ConfigError, match="varies materials.core.conductivity twice"):
        members_of([read_axis("core.kappa=1,2", two), read_axis("core.conductivity=3,4", two)])
    axis = read_axis("core.kappa=45,50", two)
    tables = problem_of(two, [axis], members_of([axis])[0])  # what the name says of the rest stays
    assert tables["materials"]["core"] == {"material": "steel", "conductivity": 45}


@pytest.mark.parametrize(
    ("texts", "says"),
    [
        (["kappa"], "takes NAME=VALUE,VALUE,... or NAME=log:LOW:HIGH:COUNT, got 'kappa'"),
        (["kappa="], "takes NAME=VALUE"),
        (["kappa=1,2,1"], "names the value 1 twice"),
        (["kapa=1,2"], "does not know 'kapa'; known: kappa"),
        (["feed=1,2"], "does not know 'feed'"),
        (["kappa=log:0:1:5"], "needs ends above zero; take lin:0:1:5"),
        (["kappa=log:1:2"], None),
        (["kappa=lin:1:2:1"], "2 to 10000 values"),
        (["kappa=lin:1:two:3"], "takes two numbers and a count"),
        (["dt=0.1,0.2", "time.dt=1,2"], "varies time.dt twice"),
        (["dt=lin:1:2:200", "kappa=lin:1:2:200"], "has 40000 members, expected at most 10000"),
    ],
)
def test_bad_axes(texts: list[str], says: str | None) -> None:
    if says is None:  # not of that form, so one value; whether it is one is for the problem to say
        assert read_axis(texts[0], HEAT).values == ("log:1:2",)
        return
    with pytest.raises(ConfigError, match=says.replace("(", r"\(")):
        members_of([read_axis(text, HEAT) for text in texts])


def test_members_are_the_product() -> None:
    axes = [read_axis("kappa=1,2", HEAT), read_axis("boundary.left=0,x/y", HEAT)]
    members = members_of(axes)
    assert [tuple(m.values.values()) for m in members] == [("1", "0"), ("1", "x/y"), ("2", "0"), ("2", "x/y")]
    assert len({m.name for m in members}) == 4 and all("/" not in m.name for m in members)
    tables = problem_of(HEAT, axes, members[3])
    assert tables["coefficients"] == {"kappa": 2} and tables["boundary"] == {"left": "x/y"}
    assert HEAT["boundary"] == {"left": 1.0}  # the problem itself stays


def test_cores_are_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert share_cores(100, None) == (8, 1) and share_cores(3, None) == (3, 2) and share_cores(100, 2) == (2, 4)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert share_cores(100, None) == (4, 2) and share_cores(100, 8) == (8, 2)


def test_a_sweep_is_its_runs_and_a_failed_one_is_named(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    result = sweep(
        HEAT, ["kappa=0.5,-1,2"], tmp_path / "s", jobs=2, done=lambda k, n, m, o: seen.append((k, n)), command="again"
    )
    assert result.status == "failed" and seen == [(1, 3), (2, 3), (3, 3)]
    assert result.failed == [result.members[1].name] and "expected a finite number >= 0" in result.rows[1]["error"]
    for member, kappa in ((result.members[0], 0.5), (result.members[2], 2.0)):
        alone = simulate(prepare(read_config({**HEAT, "coefficients": {"kappa": kappa}})), tmp_path / f"alone{kappa}")
        with (
            np.load(result.folder / member.name / "fields/run.npz") as a,
            np.load(alone.folder / "fields/run.npz") as b,
        ):
            assert (a["states"] == b["states"]).all()
    with open(result.folder / "sweep.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["kappa"] for row in rows] == ["0.5", "-1", "2"] and [r["status"] for r in rows] == [
        "ok",
        "failed",
        "ok",
    ]
    assert float(rows[0]["u_integral"]) < float(rows[2]["u_integral"]) and rows[1]["u_integral"] == ""
    page = (result.folder / "sweep.html").read_text()
    assert page.count("<img") == 2 and "2 of 3 runs ended well" in page and "-1" in page
    said = json.loads((result.folder / "sweep.json").read_text())
    assert said["status"] == "failed" and [m["status"] for m in said["members"]] == ["ok", "failed", "ok"]
    # going on skips what is done and tries the failed one again
    stamps = {f: f.stat().st_mtime_ns for f in result.folder.rglob("run.npz")}
    seen.clear()
    again = resume_sweep(result.folder, jobs=1, done=lambda k, n, m, o: seen.append((k, n)))
    assert again.failed == result.failed and seen == [(3, 3)]
    assert stamps == {f: f.stat().st_mtime_ns for f in result.folder.rglob("run.npz")}
    with pytest.raises(OutputError, match="is not empty; name a new folder with -o, or go on .* --resume"):
        sweep(HEAT, ["kappa=1,2"], result.folder)


def test_a_process_that_dies_fails_its_own_run_only(tmp_path: Path) -> None:
    """Killed from outside in the middle of its run, as the kernel does for memory."""
    slow = {**HEAT, "time": {"end": 1e4, "dt": 0.01, "frames": 1000}}
    jobs = [Job(slow, tmp_path / "slow", ""), Job(HEAT, tmp_path / "fast", "")]
    ended: dict[int, Any] = {}

    def stop() -> bool:
        manifest = tmp_path / "slow" / "manifest.json"
        if 0 not in ended and manifest.exists():
            os.kill(json.loads(manifest.read_text())["pid"], signal.SIGKILL)
        return False

    assert run_all(jobs, 1, 1, done=lambda k, outcome: ended.update({k: outcome}), stop=stop)
    assert ended[1].status == "ok" and ended[0].status == "failed"
    assert "its process died (exit code -9); perhaps the machine ran out of memory" in ended[0].error


def test_stopping_keeps_what_ended_and_going_on_finishes_the_rest(tmp_path: Path) -> None:
    long = {**HEAT, "time": {"end": 15.0, "dt": 0.01, "frames": 40}}
    done: list[str] = []

    def stop() -> bool:
        return len(done) == 1 and any((tmp_path / "s").glob("2_*/checkpoint.npz"))

    axes = ["end=0.1,15,0.2"]
    result = sweep(long, axes, tmp_path / "s", jobs=1, done=lambda k, n, m, o: done.append(o.status), stop=stop)
    assert result.status == "interrupted" and [row["status"] for row in result.rows] == ["ok", "interrupted", "not run"]
    again = resume_sweep(tmp_path / "s", jobs=1)
    assert again.status == "ok" and [row["status"] for row in again.rows] == ["ok"] * 3
    manifest = json.loads((tmp_path / "s" / again.members[1].name / "manifest.json").read_text())
    assert manifest["resumed"][0]["exact"] and manifest["resumed"][0]["step"] > 0


def test_a_hopeless_problem_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown pde 'heet'"):
        sweep({**HEAT, "pde": "heet"}, ["time.dt=0.1,0.2"], tmp_path / "s")
    assert not (tmp_path / "s").exists()
    with pytest.raises(InputError, match="is not the folder of a sweep"):
        resume_sweep(tmp_path)


def test_what_was_measured_stands_in_the_table_and_its_pictures(tmp_path: Path) -> None:
    """The last values of probes, fluxes and integrals are columns, by names that do not depend on the sweep."""
    output = {**HEAT["output"], "probes": {"tip": [0.5, 0.5]}, "fluxes": "all", "integrals": "all"}
    result = sweep({**HEAT, "output": output}, ["kappa=0.5,1,2"], tmp_path / "s", jobs=1)
    with open(result.folder / "sweep.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    for row, member in zip(rows, result.members, strict=True):
        for kind, table in (("probe", "probes"), ("flux", "fluxes"), ("integral", "integrals")):
            columns, values = read_rows(result.folder / member.name / f"{table}.csv")
            said = [float(row[f"{kind}.{column}"]) for column in columns[1:]]
            assert said == values[-1, 1:].tolist()
    assert {"probe.tip.u", "flux.left.u", "flux.left.u.amount", "integral.domain.u.mean"} <= set(rows[0])
    assert float(rows[0]["probe.tip.u"]) < float(rows[2]["probe.tip.u"])
    assert (result.folder / "figures" / "sweep_measured.png").is_file()
    assert (result.folder / "sweep.html").read_text().count("<img") == 3


def test_the_last_row_of_a_table(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    assert last_row(path) == {}
    path.write_text("t,a\n")
    assert last_row(path) == {}
    path.write_text("t,a\n0.0,1.0\n")
    assert last_row(path) == {"t": 0.0, "a": 1.0}
    path.write_text("t,a\n" + "".join(f"{k}.0,{k * k}.0\n" for k in range(5000)) + "5000.0,2")  # the program was killed
    assert last_row(path) == {"t": 4999.0, "a": 4999.0**2}
    wide = ["t", *(f"c{k}" for k in range(4000))]
    path.write_text(
        ",".join(wide) + "\n" + "\n".join(",".join(f"{j + k}.5" for k in range(4001)) for j in (1, 2)) + "\n"
    )
    assert list(last_row(path).values())[-1] == 4002.5
