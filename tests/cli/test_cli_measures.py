"""Probes, lines, fluxes, integrals, animations and series from the command line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

from graphpde.run.rows import read_rows

QUIET = ("--pictures", "none", "--json")
SLAB = ("--pde", "heat", "--bc", "left=1", "right=0", "--frames", "3")


def test_everything_at_once(graphpde, square: Path) -> None:
    line = ("--probe", "tip=0.5,0.2", "mid=0.5,0.5", "--line", "mid=0,0.5:1,0.5", "--gif", "--series", "both")
    done = graphpde("simulate", *SLAB, "--mesh", square, *line, "--fluxes", "--integrals", "-o", "run")
    assert done.code == 0 and done.err == ""
    assert "flux balance" in done.out and "FAILED" not in done.out
    expected = {"probes.csv", "fluxes.csv", "integrals.csv", "lines/mid.csv", "fields/run.xdmf", "fields/run.pvd"}
    expected |= {f"figures/{name}" for name in ("animation.gif", "probes.png", "fluxes.png", "line_mid.png")}
    assert all((Path("run") / name).is_file() for name in expected)
    report = Path("run/report.html").read_text()
    for heading in ("Animation", "Probes", "Flow through the boundary", "Integrals and means", "Along lines"):
        assert f"<h2>{heading}</h2>" in report
    config = tomllib.loads(Path("run/config.toml").read_text())["output"]
    assert config["probes"] == {"tip": [0.5, 0.2], "mid": [0.5, 0.5]} and config["fluxes"] == "all"
    assert config["lines"] == {"mid": [[0.0, 0.5], [1.0, 0.5]]} and config["animation"] is True
    again = graphpde("simulate", "run/config.toml", "-o", "again", *QUIET)
    assert again.code == 0
    for name in ("probes.csv", "fluxes.csv", "integrals.csv", "lines/mid.csv"):
        assert (Path("run") / name).read_bytes() == (Path("again") / name).read_bytes()


def test_a_later_run_leaves_no_table_of_an_older_one(graphpde, square: Path) -> None:
    line = ("--mesh", square, *QUIET, "-o", "run")
    assert graphpde("simulate", *SLAB, *line, "--probe", "a=0.5,0.5", "--line", "b=0,0:1,1", "--gif").code == 0
    assert graphpde("simulate", *SLAB, *line).code == 0
    left = {str(file.relative_to("run")) for file in Path("run").rglob("*") if file.is_file()}
    assert not {"probes.csv", "lines/b.csv", "figures/animation.gif"} & left


def test_named_sets_only(graphpde, square: Path) -> None:
    line = ("--fluxes", "left", "boundary", "--integrals", "copper")
    assert graphpde("simulate", *SLAB, "--mesh", square, *line, *QUIET, "-o", "run").code == 0
    header = read_rows(Path("run/fluxes.csv"))[0]
    assert header[:4] == ["t", "left.u", "boundary.u", "elsewhere.u"]
    header = read_rows(Path("run/integrals.csv"))[0]
    assert "copper.u.mean" in header and "steel.u.mean" not in header


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (["--probe", "tip=5,0.2"], "probe 'tip' lies outside of 'square.vtu', 4 away from its nearest cell"),
        (["--probe", "0.5,0.2"], "--probe takes NAME=VALUE, got '0.5,0.2'"),
        (["--probe", "tip=a,b"], "--probe takes numbers joined by commas"),
        (["--line", "mid=0,0.5"], "--line takes NAME=X,Y:X,Y, got 'mid=0,0.5'"),
        (["--line", "mid=0,0.5:0,0.5"], "starts and ends at"),
        (["--fluxes", "inlet"], "square.vtu has no named set 'inlet'; did you mean 'left'? it has: "),
        (["--fluxes", "copper"], "'copper' has dimension 2"),
        (["--integrals", "left"], "'left' of 'square.vtu' has dimension 1"),
        (["--series", "vtk"], "unknown series 'vtk'"),
    ],
)
@pytest.mark.parametrize("dry", [True, False])
def test_bad_wishes_are_refused_with_a_sentence(
    graphpde, square: Path, tmp_path: Path, line: list[str], words: str, dry: bool
) -> None:
    done = graphpde("simulate", *SLAB, "--mesh", square, *line, *(["--dry-run"] if dry else []))
    assert done.code == 2 and words in done.err and len(done.err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX systems")
def test_control_c_leaves_whole_tables(tmp_path: Path, square: Path) -> None:
    command = [
        *(sys.executable, "-m", "graphpde", "simulate", *SLAB, "--mesh", str(square), "--t-end", "1000"),
        *("--dt", "0.001", "--probe", "mid=0.5,0.5", "--fluxes", "-o", str(tmp_path / "run"), *QUIET),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    probes = tmp_path / "run/probes.csv"
    waited = time.monotonic() + 60
    while time.monotonic() < waited and not (probes.exists() and len(probes.read_text().splitlines()) > 20):
        time.sleep(0.05)
        if probes.exists():  # at any moment only whole lines are there
            assert probes.read_text().endswith("\n")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    (_, first), (_, second) = read_rows(probes), read_rows(tmp_path / "run/fluxes.csv")
    assert len(first) == len(second) > 20 and first[-1, 0] == second[-1, 0]
    assert probes.read_text().endswith("\n")
