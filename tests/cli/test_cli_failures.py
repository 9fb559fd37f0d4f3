"""Whatever goes wrong: one true sentence, the right exit code, nothing half-written."""

from __future__ import annotations

import errno
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from graphpde.mesh import read_mesh
from graphpde.run.checkpoint import read_checkpoint
from graphpde.run.frames import Frames
from graphpde.viz import read_pvd
from graphpde.viz.series import SeriesWriter

ROOT = Path(__file__).resolve().parents[2]
QUIET = ("--pictures", "none", "--json")
HEAT = ("simulate", "--pde", "heat")


def is_one_sentence(err: str) -> bool:
    """One line that starts with "error: ", and no traceback."""
    return err.startswith("error: ") and err.count("\n") == 1 and "Traceback" not in err


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (["--mesh", "missing.msh"], "there is no such file"),
        (["--mesh", "notes.md"], "cannot read mesh 'notes.md'"),
        (["--mesh", "empty.msh"], "the file is empty"),
        (["--mesh", "no_cells.off"], "no_cells.off"),
        (["--mesh", "flat.off"], "zero"),
        (["--mesh", "nan.off"], "nan.off"),
        (["--bc", "inlet=1"], "; did you mean 'left'? it has: bottom, boundary, copper, left, right, steel, top"),
        (["--inflow", "copper=1"], "needs facets of dimension 1"),
        (["--kappa", "cooper=1", "*=2"], "did you mean 'copper'?"),
        (["--kappa", "copper=1"], "36 of 72 cells"),
        (["--kappa", "x-0.5"], "is -0.388889 in cell 0 (36 cells are negative or not finite), expected >= 0"),
        (["--kappa", "1+t"], "unknown name 't'"),
        (["--bc", "left=1", "top=0"], "clash on 1 shared nodes"),
        (["--bc", "left=1", "left=2"], "'left' is given twice"),
        (["--bc", "left"], "--bc takes NAME=VALUE, got 'left'"),
        (["--bc", "left=nan"], "boundary.left.value is nan, expected a finite number or a formula"),
        (["--bc", "left=log(-1-x)"], "Dirichlet on 'left' at t=0 is not finite at 7 places"),
        (["--bc", "left=__import__('os')"], "boundary.left.value: formula"),
        (["--bc", "left=q+1"], "unknown name 'q'"),
        (["--initial", "1/x"], "the initial value of u is not finite at 7 of 49 nodes, first at node 0"),
        (["--initial", "t"], "unknown name 't'"),
        (["--initial", "v=1"], "unknown key in [initial] 'v'"),
        (["--source", "1/(x-x)"], "source is not finite at 49 places"),
        (["--dt", "0"], "time.dt is 0.0, expected a finite number > 0"),
        (["--dt=-1"], "time.dt is -1.0, expected a finite number > 0"),
        (["--dt", "nan"], "time.dt is nan, expected a finite number > 0"),
        (["--dt", "inf"], "time.dt is inf"),
        (["--t-end", "0"], "time.end is 0, expected a time after the start at 0"),
        (["--frames", "0"], "time.frames is 0, expected a whole number from 1"),
        (["--stepper", "eulr"], "unknown stepper 'eulr'"),
        (["--stepper", "euler", "--dt", "0.01"], "exceeds the stability bound 0.00"),
        (["--stepper", "euler", "--dt", "0.01"], "an implicit stepper such as backward_euler"),
        (["--dtype", "float16"], "unknown dtype 'float16'"),
        (["--device", "gpu7"], "device 'gpu7' cannot be used"),
        (["--seed", "-1"], "seed is -1"),
        (["--kappa", "0"], "sets no time scale; give the end of the run"),
        (
            ["--velocity", "1,0"],
            "heat reads no velocity (--velocity or coefficients.velocity): it carries nothing",
        ),
        (["--set", "time.stoper=1"], "did you mean 'stepper'?"),
        (["--set", "tme.dt=1"], "did you mean 'time'?"),
        (["--set", "dt"], "'dt' is not KEY=VALUE"),
        (["--set", "a b=1"], "'a b' is not a key"),
        (["--set", "reaction.name=gray-scott"], "acts on 2 fields, heat has 1"),
        (["--set", "reaction.name=logistic", "reaction.speed=1"], "unknown key in [reaction] 'speed'"),
        (["--set", "mesh.shape=disc"], "did you mean 'disk'?"),
        (["--set", "mesh.shape=disk", "mesh.radios=2"], "did you mean 'radius'?"),
        (["--set", "mesh.shape=disk", "mesh.radius=-1"], "error: "),
        (["--set", "mesh.shape=box_hexahedra", "element=p1"], "hexahedron"),
        (["--override", "left"], "boundary.left has neither a value nor an inflow"),
        (["--pictures", "some"], "unknown pictures 'some'"),
        (["-o", "notes.md"], "notes.md"),
        (["-o", "notes.md/run"], "notes.md"),
        (["-o", "full"], "'full' holds files that no run wrote"),
        (["nothing.toml"], "there is no file 'nothing.toml'"),
        (["notes.md"], "'notes.md' is not a problem file (.toml)"),
        (["broken.toml"], "'broken.toml' is not TOML"),
        (["full"], "'full' is a folder"),
    ],
)
def test_bad_input(graphpde, square: Path, tmp_path: Path, line: list[str], says: str) -> None:
    (tmp_path / "notes.md").write_text("# notes")
    (tmp_path / "empty.msh").write_text("")
    (tmp_path / "no_cells.off").write_text("OFF\n1 0 0\n0 0 0\n")
    (tmp_path / "flat.off").write_text("OFF\n4 2 0\n0 0 0\n1 0 0\n0 1 0\n2 0 0\n3 0 1 2\n3 0 1 3\n")
    (tmp_path / "nan.off").write_text("OFF\n3 1 0\n0 0 0\nnan 0 0\n0 1 0\n3 0 1 2\n")
    (tmp_path / "broken.toml").write_text("pde = heat\n")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    given = line if "--mesh" in line or any("mesh." in word for word in line) else [*line, "--mesh", str(square)]
    done = graphpde(*HEAT, *given)
    assert done.code == 2 and done.out == "" and is_one_sentence(done.err) and says in done.err
    assert sorted(tmp_path.rglob("*")) == before
    done = graphpde(*HEAT, *given, "--json")
    assert done.code == 2 and is_one_sentence(done.err)
    assert done.json["status"] == "failed" and f"error: {done.json['error']}\n" == done.err


def test_poisson_needs_a_value_and_lists_the_sets(graphpde, square: Path, tmp_path: Path) -> None:
    done = graphpde("simulate", "--pde", "poisson", "--mesh", square)
    assert done.code == 2 and is_one_sentence(done.err) and list(tmp_path.iterdir()) == []
    assert "--bc NAME=VALUE" in done.err and "'left', 'right'" in done.err and "'boundary'" in done.err


def test_poisson_says_which_component_has_no_value(graphpde, two_squares: Path, tmp_path: Path) -> None:
    done = graphpde("simulate", "--pde", "poisson", "--mesh", two_squares, "--bc", "left=1", "-o", "run")
    assert done.code == 2 and is_one_sentence(done.err) and list(tmp_path.iterdir()) == []
    assert "component 1 of 2 (16 unknowns" in done.err and "has no Dirichlet condition" in done.err


def test_gray_scott_has_two_fields(graphpde, square: Path) -> None:
    done = graphpde("simulate", "--pde", "gray-scott", "--mesh", square, "--bc", "left=1")
    assert done.code == 2 and "give boundary.left.value = {u = ..., v = ...}" in done.err
    line = ("--set", "boundary.left.value.u=1", "boundary.left.value.v=0", "--t-end", 5, *QUIET)
    assert graphpde("simulate", "--pde", "gray-scott", "--mesh", square, *line).code == 0
    done = graphpde("simulate", "--pde", "gray-scott", "--mesh", square, "--steady")
    assert done.code == 2 and "steady = true is not offered for gray-scott" in done.err


@pytest.mark.parametrize("stepper", ["rk4", "backward_euler"])
def test_blow_up(graphpde, square: Path, stepper: str) -> None:
    line = ("--mesh", square, "--set", "reaction.name=logistic", "--initial=-5-x", "--t-end", 2, "--stepper", stepper)
    done = graphpde(*HEAT, *line, "-o", "run", *QUIET)
    assert done.code == 1 and is_one_sentence(done.err) and done.json["status"] == "failed"
    if stepper == "rk4":
        assert "at step" in done.err and "node" in done.err and "Reaction(Logistic)" in done.err
    manifest = json.loads(Path("run/manifest.json").read_text())
    assert manifest["status"] == "failed" and manifest["error"] == done.json["error"]
    frames = read_pvd("run/fields/run.pvd")
    assert frames[0][0] == 0 and len(frames) == len(Path("run/metrics.jsonl").read_text().splitlines())
    assert not list(Path("run").rglob("*.part")) and not list(Path("run").rglob(".*"))


def test_steps_that_fall_to_nothing(graphpde, square: Path) -> None:
    """A blow-up under step control: code 1, the status, where the last good state lies, and how to go on from it."""
    growth = ("--set", "reaction.name=logistic", "--initial=-5-x", "--t-end", 2, "--rtol", 1e-3)
    done = graphpde(*HEAT, "--mesh", square, *growth, "-o", "run", *QUIET)
    assert done.code == 1 and is_one_sentence(done.err) and "the step fell to dt=" in done.err
    assert "status failed, the last good state (t=" in done.err and "is kept in 'run/checkpoint.npz'" in done.err
    assert "graphpde simulate --resume run[@TIME] [--rtol R]" in done.err
    assert done.json["status"] == "failed" and done.json["remedy"] in done.err
    manifest = json.loads(Path("run/manifest.json").read_text())
    kept = read_checkpoint(Path("run/checkpoint.npz"))
    assert manifest["status"] == "failed" and f"(t={kept.t:.6g}, step {kept.step})" in done.err
    again = graphpde("simulate", "--resume", "run@0", "--t-end", 0.05, *QUIET)
    assert again.code == 0 and again.json["status"] == "ok"


def test_the_exit_codes_are_told(graphpde) -> None:
    said = graphpde("simulate", "--help").out
    assert all(f"\n  {code:<4} " in said for code in (0, 1, 2, 130)) and "exit codes:" in said


def test_no_room_on_the_disk(graphpde, square: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9 - 1000, 1000))
    done = graphpde(*HEAT, "--mesh", square, "-o", "deep/run")
    assert done.code == 2 and is_one_sentence(done.err) and list(tmp_path.iterdir()) == []
    assert "would write about" in done.err and "-o" in done.err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_folder_on_a_full_disk(graphpde, square: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = Path.write_bytes

    def full(path: Path, data: bytes) -> int:
        return write(Path("/dev/full") if path.name.startswith(".probe") else path, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    done = graphpde(*HEAT, "--mesh", square, "-o", "run")
    assert done.code == 2 and is_one_sentence(done.err) and list(tmp_path.iterdir()) == []
    assert "No space left on device" in done.err


def test_the_disk_fills_up_on_the_way(graphpde, square: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = Path.write_bytes

    def full(path: Path, data: bytes) -> int:
        if path.name == "run_00003.vtu":
            write(path, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    done = graphpde(*HEAT, "--mesh", square, "--bc", "left=1", "-o", "run")
    assert done.code == 2 and is_one_sentence(done.err) and "disk is full" in done.err
    assert json.loads(Path("run/manifest.json").read_text())["status"] == "failed"
    assert len(read_pvd("run/fields/run.pvd")) == 3
    assert not list(Path("run").rglob(".*"))


def stop_at(frame: int, monkeypatch: pytest.MonkeyPatch, number: int, times: int = 1) -> None:
    """Send a signal to this process while the given frame is being written."""
    add = SeriesWriter.add

    def interrupted(self: SeriesWriter, t: float, fields: object) -> Path:
        if len(self.frames) == frame:
            for _ in range(times):
                signal.raise_signal(number)
        return add(self, t, fields)  # type: ignore[arg-type]

    monkeypatch.setattr(SeriesWriter, "add", interrupted)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted(graphpde, square: Path, monkeypatch: pytest.MonkeyPatch, number: int, code: int) -> None:
    before = signal.getsignal(number)
    stop_at(3, monkeypatch, number)
    done = graphpde(*HEAT, "--mesh", square, "--bc", "left=1", "--t-end", 1, "-o", "run", *QUIET)
    assert done.code == code and "stopping after this step" in done.err and "Traceback" not in done.err
    assert done.json["status"] == "interrupted" and done.json["steps"] == 16
    assert signal.getsignal(number) is before
    assert json.loads(Path("run/manifest.json").read_text())["status"] == "interrupted"
    frames = read_pvd("run/fields/run.pvd")
    # three moments, the one being written when the signal came, and the step at which the run stopped
    assert [t for t, _ in frames] == pytest.approx([0, 0.05, 0.1, 0.15, 0.16])
    assert all("u" in read_mesh(file).point_data for _, file in frames)
    assert "Interrupted after 16 of 100 steps" in Path("run/report.html").read_text()
    assert Path("run/fields/run.npz").exists() and not list(Path("run").rglob("*.part"))


def test_interrupted_twice(graphpde, square: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stop_at(3, monkeypatch, signal.SIGINT, times=2)
    done = graphpde(*HEAT, "--mesh", square, "--bc", "left=1", "-o", "run")
    assert done.code == 130 and "Traceback" not in done.err and done.err.endswith("error: interrupted\n")
    assert json.loads(Path("run/manifest.json").read_text())["status"] == "interrupted"
    assert len(read_pvd("run/fields/run.pvd")) == 3


def test_interrupted_before_anything_was_computed(graphpde, square: Path, tmp_path: Path, monkeypatch) -> None:
    def interrupt(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Frames, "add", interrupt)
    done = graphpde(*HEAT, "--mesh", square, "-o", "deep/run")
    assert done.code == 130 and list(tmp_path.iterdir()) == []


def test_ctrl_c_in_a_process_of_its_own(tmp_path: Path, square: Path) -> None:
    line = [
        "simulate",
        "--pde",
        "heat",
        "--mesh",
        str(square),
        "--stepper",
        "euler",
        "--bc",
        "left=1",
        "--t-end",
        "2000",
    ]
    program = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from graphpde.cli import main; sys.exit(main())"
    argv = [sys.executable, "-c", program, *line, "--frames", "2000", "-o", "run", "--pictures", "none"]
    process = subprocess.Popen(argv, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    pvd = tmp_path / "run" / "fields" / "run.pvd"
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and process.poll() is None and not (pvd.exists() and len(read_pvd(pvd)) > 3):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "interrupted after" in out and "Traceback" not in err
    assert json.loads((tmp_path / "run" / "manifest.json").read_text())["status"] == "interrupted"
    assert len(read_pvd(pvd)) > 3


def test_a_crashed_run_can_be_replaced(graphpde, square: Path) -> None:
    """A killed run leaves a folder that says "running"; the next one may have it."""
    line = (*HEAT, "--mesh", square, "--bc", "left=1", "-o", "run", *QUIET)
    assert graphpde(*line).code == 0
    manifest = json.loads(Path("run/manifest.json").read_text())
    Path("run/manifest.json").write_text(json.dumps({**manifest, "status": "running", "files": []}))
    Path("run/fields/states.part").write_bytes(b"left over")
    assert graphpde(*line).code == 0
    assert not Path("run/fields/states.part").exists()


def test_the_output_may_be_cut_short(square: Path, tmp_path: Path) -> None:
    program = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from graphpde.cli import main; sys.exit(main())"
    argv = [sys.executable, "-c", program, "list", "shapes"]
    process = subprocess.Popen(argv, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    assert "Traceback" not in process.stderr.read() and process.wait(timeout=60) in (0, 1)
