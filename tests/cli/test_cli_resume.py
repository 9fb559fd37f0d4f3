"""The command line of going on: killed processes, sweeps and comparisons, as somebody types them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from graphpde.viz import read_pvd

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from graphpde.cli import main; sys.exit(main())"
QUIET = ("--pictures", "none", "--json")
LINE = ["--pde", "heat", "--set", "mesh.shape=rectangle", "mesh.size=0.25", "--bc", "left=sin(t)", "--t-end", "30"]
PLAN = ["--dt", "0.02", "--frames", "60", "--stepper", "crank_nicolson"]


def wait_for_frames(folder: Path, count: int, process: subprocess.Popen[bytes]) -> None:
    pvd, deadline = folder / "fields/run.pvd", time.monotonic() + 90
    while time.monotonic() < deadline and process.poll() is None:
        if pvd.exists() and len(read_pvd(pvd)) >= count:
            return
        time.sleep(0.01)
    raise AssertionError(f"the run ended with {process.poll()} before {count} frames were there")


def test_kill_9_and_go_on(graphpde, tmp_path: Path) -> None:
    """The process is shot between any two instructions; the run that goes on ends with the bits of a whole one."""
    argv = [sys.executable, "-c", PROGRAM, "simulate", *LINE, *PLAN, "-o", "shot", *QUIET]
    process = subprocess.Popen(argv, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for_frames(tmp_path / "shot", 5, process)
    os.kill(process.pid, signal.SIGKILL)
    process.wait(30)
    assert json.loads(Path("shot/manifest.json").read_text())["status"] == "running"
    assert (tmp_path / "shot/fields/states.part").exists()
    done = graphpde("simulate", "--resume", "shot", *QUIET)
    assert done.code == 0 and done.json["status"] == "ok" and done.json["steps"] == 1500
    assert graphpde("simulate", *LINE, *PLAN, "-o", "whole", *QUIET).code == 0
    with np.load("shot/fields/run.npz") as a, np.load("whole/fields/run.npz") as b:
        assert (a["times"] == b["times"]).all() and (a["states"] == b["states"]).all()
    assert Path("shot/metrics.jsonl").read_bytes() == Path("whole/metrics.jsonl").read_bytes()
    assert Path("shot/fields/run.pvd").read_bytes() == Path("whole/fields/run.pvd").read_bytes()
    said = graphpde("compare", "shot", "whole")
    assert said.code == 0 and "they are equal to the last bit" in said.out


def test_the_same_line_with_resume(graphpde, monkeypatch) -> None:
    """A problem file given again with --resume must be the same problem; the step may be another."""
    Path("p.toml").write_text('pde = "heat"\nmesh = {shape = "rectangle", size = 0.25}\n[boundary]\nleft = 1.0\n')
    assert graphpde("simulate", "p.toml", "-o", "run", *QUIET).code == 0
    more = ("--t-end", "0.4", "--frames", "40", "--dt", "0.01")
    done = graphpde("simulate", "p.toml", "--resume", "run", *more, *QUIET)
    assert done.code == 0 and len(read_pvd("run/fields/run.pvd")) == 41
    changed = json.loads(Path("run/manifest.json").read_text())["resumed"][0]["changed"]
    assert changed["time.dt"] == [0.002, 0.01] and changed["time.end"] == [0.2, 0.4]
    Path("p.toml").write_text(Path("p.toml").read_text().replace("left = 1.0", "left = 2.0"))
    said = graphpde("simulate", "p.toml", "--resume", "run", "--t-end", "1")
    assert said.code == 2 and "boundary.left.value was 1.0 and is 2.0 now" in said.err


def test_adaptive_steps(graphpde) -> None:
    """One line each: the plan, the run, a stepper that cannot, a blow-up with exit code 1, and going on without it."""
    line = ("simulate", *LINE[:7], "--t-end", "0.2", "--frames", "4", "--rtol", "1e-2")
    plan = graphpde(*line, "--dry-run")
    assert 'stepper = "tr_bdf2"' in plan.out and "adaptive steps (rtol 0.01, atol 1e-05), 5 frames" in plan.out
    assert graphpde(*line, "--dry-run", "--json").json["steps"] == "adaptive"
    done = graphpde(*line, "--atol", "1e-4", "-o", "run", "--pictures", "none")
    assert done.code == 0 and "steps of tr_bdf2 (" in done.out and " rejected, dt from " in done.out
    text = Path("run/report.html").read_text()
    assert "adaptive" in text and "0.01, 0.0001" in text and " rejected, dt from " in text
    refused = graphpde(*line, "--stepper", "rk4")
    assert refused.code == 2 and "rk4 estimates no error" in refused.err and "esdirk4" in refused.err
    growth = ("--set", "mesh.shape=rectangle", "mesh.size=0.5", "reaction.name=logistic", "--initial=-1")
    pole = ("simulate", "--pde", "heat", *growth, "--t-end", "1", "--stepper", "rkc2", "--rtol", "1e-2", "-o", "pole")
    failed = graphpde(*pole, "--pictures", "none")
    assert failed.code == 1 and failed.err.startswith("error: the step fell to dt=") and "t=0.69" in failed.err
    assert "--resume pole[@TIME] [--rtol R] [--atol A] [--stepper NAME]" in failed.err
    on = graphpde("simulate", "--resume", "pole@0.5", "--t-end", "0.6", "--rtol", "1e-3", *QUIET)
    assert on.code == 0 and on.json["adaptive"]["accepted"] == on.json["steps"]


def test_a_sweep_and_its_table(graphpde) -> None:
    line = ("simulate", *LINE[:7], "--t-end", "0.1", "--pictures", "none", "--jobs", "1", "--sweep", "kappa=1,-2")
    done = graphpde(*line, "-o", "s")
    assert done.code == 1 and "1 of 2 runs ended well" in done.out and "failed: 2_kappa=-2" in done.out
    assert "warning: 2_kappa=-2: coefficients.kappa is -2, expected" in done.err.replace("-2.0", "-2")
    assert {"sweep.csv", "sweep.html", "sweep.json", "figures"} <= {path.name for path in Path("s").iterdir()}
    again = graphpde("simulate", "--resume", "s", "--json")
    assert again.code == 1 and again.json["failed"] == ["2_kappa=-2"]
    config = Path("s/1_kappa=1/config.toml")
    assert config.exists() and graphpde("simulate", "--resume", "s", "--kappa", "3").code == 2


def test_compare_prints_a_table(graphpde) -> None:
    for name, dt in (("a", "0.02"), ("b", "0.01")):
        line = ("simulate", *LINE[:7], "--t-end", "0.2", "--frames", "2", "--dt", dt, "-o", name, *QUIET)
        assert graphpde(*line).code == 0
    done = graphpde("compare", "a", "b", "-o", "c")
    assert done.code == 0 and done.err == "" and "L2 of A-B" in done.out and "c/difference_u.png" in done.out
    said = graphpde("compare", "a", "b", "--json").json
    assert [row["t"] for row in said["differences"]] == [0.0, 0.1, 0.2] and said["differences"][2]["l2"] > 0
    refused = graphpde("compare", "a", "nowhere")
    assert refused.code == 2 and refused.err.count("\n") == 1 and "there is no file or folder" in refused.err
