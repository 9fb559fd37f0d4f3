"""A stopped run goes on as if nothing had happened, bit by bit where its stepper allows it, and says where not."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from graphpde.config import Setup, dump, load, merge, prepare, read_config
from graphpde.dynamics import STEPPERS
from graphpde.dynamics.explicit import Heun
from graphpde.dynamics.stepper import Step
from graphpde.errors import ConfigError, Diverged, InputError
from graphpde.mesh import rectangle, write_mesh
from graphpde.run import RunResult, open_run, resume, simulate
from graphpde.run.checkpoint import read_checkpoint
from graphpde.viz import read_pvd

QUIET = {"pictures": "none", "report": False}
HEAT = {
    "pde": "heat", "mesh": {"shape": "rectangle", "size": 0.25}, "initial": "sin(7*x)*y", "source": "x*sin(3*t)",
    "time": {"end": 0.3, "dt": 0.012, "frames": 5}, "output": QUIET,
}  # fmt: skip
FIXED = {"boundary": {"left": {"value": "sin(9*t)"}}}
ONE_STEP = sorted(name for name, kind in STEPPERS.items() if kind.__module__.endswith((".explicit", ".implicit")))


def ready(*more: dict[str, Any], **top: Any) -> Setup:
    problem: dict[str, Any] = HEAT
    for tables in (*more, top):
        problem = merge(problem, tables)
    return prepare(read_config(problem))


def after(steps: int) -> Callable[[], bool]:
    """A stop that is asked for after so many steps."""
    seen = []
    return lambda: len(seen) == steps or (seen.append(0), len(seen) == steps)[1]


def states(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    with np.load(folder / "fields/run.npz") as kept:
        return kept["times"], kept["states"]


def same_files(a: Path, b: Path) -> bool:
    """Fields, metrics and tables of two runs are equal byte by byte, and neither has a file more."""
    names = [{f.relative_to(p) for f in p.rglob("*") if f.suffix in (".vtu", ".pvd", ".jsonl", ".csv")} for p in (a, b)]
    return names[0] == names[1] and all((a / n).read_bytes() == (b / n).read_bytes() for n in names[0])


@pytest.mark.parametrize(
    ("stepper", "conditions"),
    [(name, FIXED) for name in ONE_STEP] + [(name, {}) for name in ("bosh3", "crank_nicolson", "dopri5", "tsit5")],
)
def test_one_step_methods_go_on_bit_by_bit(tmp_path: Path, stepper: str, conditions: dict[str, Any]) -> None:
    """Stopped within an interval, in the middle of it, with data that change in time."""
    setup = ready(conditions, time={"stepper": stepper})
    whole = simulate(setup, tmp_path / "whole")
    part = simulate(setup, tmp_path / "part", stop=after(12))
    assert part.status == "interrupted" and part.steps == 12
    done = resume(tmp_path / "part")
    assert done.status == "ok" and done.steps == whole.steps == 25 and done.final == whole.final
    (times, a), (again, b) = states(tmp_path / "whole"), states(tmp_path / "part")
    assert (times == again).all() and (a == b).all()
    assert same_files(tmp_path / "whole", tmp_path / "part")
    (entry,) = json.loads((tmp_path / "part/manifest.json").read_text())["resumed"]
    assert entry["exact"] and entry["changed"] == {} and entry["step"] == 12


@pytest.mark.parametrize("stepper", ["backward_euler", "crank_nicolson", "esdirk4"])
def test_what_is_factored_is_that_of_the_first_step(tmp_path: Path, stepper: str) -> None:
    """Intervals whose steps differ in the last bit: all of them use the matrix factored for the first one."""
    setup = ready(FIXED, time={"stepper": stepper, "end": 0.28, "frames": 7, "dt": 0.01})
    assert len(set(setup.times.diff().tolist())) > 1
    simulate(setup, tmp_path / "whole")
    simulate(setup, tmp_path / "part", stop=after(14))
    resume(tmp_path / "part")
    assert same_files(tmp_path / "whole", tmp_path / "part")


def test_certificates_are_those_of_the_whole_run(tmp_path: Path) -> None:
    setup = ready(source=0.0, initial="1 + x")
    whole = simulate(setup, tmp_path / "whole")
    simulate(setup, tmp_path / "part", stop=after(7))
    assert [c.as_dict() for c in resume(tmp_path / "part").certificates] == [c.as_dict() for c in whole.certificates]


def test_it_can_be_stopped_again_and_again(tmp_path: Path) -> None:
    setup = ready(FIXED)
    simulate(setup, tmp_path / "whole")
    simulate(setup, tmp_path / "part", stop=after(1))
    for steps in (1, 4, 7):
        assert resume(tmp_path / "part", stop=after(steps)).status == "interrupted"
    assert resume(tmp_path / "part").status == "ok" and same_files(tmp_path / "whole", tmp_path / "part")
    assert len(json.loads((tmp_path / "part/manifest.json").read_text())["resumed"]) == 4


@pytest.mark.parametrize("stop", [5, 10, 25])
def test_stopped_at_a_saved_moment(tmp_path: Path, stop: int) -> None:
    setup = ready(FIXED)
    simulate(setup, tmp_path / "whole")
    simulate(setup, tmp_path / "part", stop=after(stop))
    assert resume(tmp_path / "part").status == "ok" and same_files(tmp_path / "whole", tmp_path / "part")


def test_the_tables_beside_the_fields_go_on(tmp_path: Path) -> None:
    output = {"probes": {"p": [0.3, 0.4]}, "lines": {"cut": [[0, 0.5], [1, 0.5]]}, "integrals": "all"}
    setup = ready(FIXED, output=output)
    simulate(setup, tmp_path / "whole")
    simulate(setup, tmp_path / "part", stop=after(12))
    resume(tmp_path / "part")
    assert same_files(tmp_path / "whole", tmp_path / "part")
    lines = (tmp_path / "part/probes.csv").read_text().splitlines()
    assert len(lines) == 1 + 26 and len({line.split(",")[0] for line in lines}) == 27  # every step once


def test_xdmf_goes_on(tmp_path: Path) -> None:
    pytest.importorskip("h5py")
    from graphpde.mesh import read_mesh

    setup = ready(FIXED, output={"series": "both"})
    simulate(setup, tmp_path / "whole")
    simulate(setup, tmp_path / "part", stop=after(12))
    resume(tmp_path / "part")
    one, two = (read_mesh(tmp_path / name / "fields/run.xdmf") for name in ("whole", "part"))
    assert torch.equal(one.point_data["u"], two.point_data["u"])
    text = (tmp_path / "part/fields/run.xdmf").read_text()
    assert text.count("<Time ") == 6


class _Killed(BaseException):
    """What nothing in the package catches: the process is gone."""


def killed_at(setup: Setup, folder: Path, step: int, patch: pytest.MonkeyPatch, every: float = 1e9) -> None:
    """A run whose process dies after a step: nothing is packed, closed or recorded."""
    module = importlib.import_module("graphpde.run.simulate")

    def die(count: int, *_: object) -> None:
        if count == step:
            raise _Killed

    with patch.context() as quiet:
        quiet.setattr(module, "record_failure", lambda *args: None)
        quiet.setattr(module.Running, "close", lambda *args: None)
        with pytest.raises(_Killed):
            simulate(setup, folder, progress=die, every=every)
    assert json.loads((folder / "manifest.json").read_text())["status"] == "running"


@pytest.mark.parametrize("every", [0.0, 1e9], ids=["each step", "saved moments"])
def test_a_killed_process_loses_what_lies_after_its_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every: float
) -> None:
    setup = ready(FIXED, output={"probes": {"p": [0.3, 0.4]}})
    simulate(setup, tmp_path / "whole")
    killed_at(setup, tmp_path / "part", 12, monkeypatch, every)
    assert read_checkpoint(tmp_path / "part/checkpoint.npz").step == (11 if every == 0 else 10)
    assert (tmp_path / "part/fields/states.part").exists()
    assert resume(tmp_path / "part").status == "ok" and same_files(tmp_path / "whole", tmp_path / "part")
    (_, a), (_, b) = states(tmp_path / "whole"), states(tmp_path / "part")
    assert (a == b).all()


def test_killed_between_the_files_of_a_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The VTU and the raw state of a moment are there and its checkpoint is not, the last line is cut in two."""
    setup = ready(FIXED)
    simulate(setup, tmp_path / "whole")
    killed_at(setup, tmp_path / "part", 12, monkeypatch)
    kept = (tmp_path / "part/checkpoint.npz").read_bytes()
    killed_at(setup, tmp_path / "part", 16, monkeypatch)
    (tmp_path / "part/checkpoint.npz").write_bytes(kept)
    metrics = tmp_path / "part/metrics.jsonl"
    metrics.write_text(metrics.read_text()[:-20])
    with open(tmp_path / "part/fields/states.part", "ab") as spool:
        spool.write(b"half a st")
    (tmp_path / "part/fields/.run_00004.vtu-xyz").mkdir()
    assert resume(tmp_path / "part").status == "ok" and same_files(tmp_path / "whole", tmp_path / "part")
    assert not list((tmp_path / "part").rglob(".*"))


@pytest.mark.parametrize("npz", [True, False])
def test_without_packed_states(tmp_path: Path, npz: bool) -> None:
    """Where no NPZ is wanted, the raw states of a stopped run stay until it ends."""
    setup = ready(FIXED, output={"npz": npz})
    simulate(setup, tmp_path / "whole")
    simulate(setup, tmp_path / "part", stop=after(12))
    assert (tmp_path / "part/fields/states.part").exists() is not npz
    assert resume(tmp_path / "part").status == "ok" and same_files(tmp_path / "whole", tmp_path / "part")
    assert not (tmp_path / "part/fields/states.part").exists()


def test_from_an_earlier_moment(tmp_path: Path) -> None:
    setup = ready(FIXED)
    simulate(setup, tmp_path / "whole")
    simulate(setup, tmp_path / "part", stop=after(17))
    with pytest.raises(InputError, match=r"saved nothing at t=0.1; it has 5 moments: 0, 0.06, 0.12, 0.18, 0.2"):
        open_run(f"{tmp_path / 'part'}@0.1")
    assert open_run(f"{tmp_path / 'part'}@0.06").checkpoint.step == 5
    assert resume(f"{tmp_path / 'part'}@0.06").status == "ok" and same_files(tmp_path / "whole", tmp_path / "part")


def test_a_later_end(tmp_path: Path) -> None:
    long = ready(FIXED, time={"end": 0.6, "frames": 10})
    simulate(long, tmp_path / "long")
    simulate(ready(FIXED), tmp_path / "short")
    with pytest.raises(ConfigError, match=r"has reached its end at t=0.3; give a later one with --t-end"):
        resume(tmp_path / "short")
    done = resume(tmp_path / "short", {"time": {"end": 0.6}})
    assert done.status == "ok" and done.steps == 50
    (times, a), (again, b) = states(tmp_path / "long"), states(tmp_path / "short")
    assert times == pytest.approx(again, rel=1e-14) and a == pytest.approx(b, abs=1e-13)
    (entry,) = json.loads((tmp_path / "short/manifest.json").read_text())["resumed"]
    assert entry["changed"] == {"time.end": [0.3, 0.6], "time.frames": [5, 10]} and not entry["exact"]


def test_a_run_that_diverged_goes_on_with_another_step(tmp_path: Path) -> None:
    """Explicit Euler beyond its bound; the last good state is kept, and a smaller step goes on from a sound moment."""
    unstable = {"time": {"stepper": "euler", "dt": 0.03, "end": 6.0, "frames": 20}, "solver": {"allow_unstable": True}}
    setup = ready(FIXED, unstable, dtype="float32")  # which overflows sooner
    with pytest.raises(Diverged) as found:
        simulate(setup, tmp_path / "run")
    kept = read_checkpoint(tmp_path / "run/checkpoint.npz")
    assert found.value.__notes__ == [
        f"status failed, the last good state (t={kept.t:.6g}, step {kept.step}) is kept in "
        f"'{tmp_path / 'run/checkpoint.npz'}'; go on with a smaller step: graphpde simulate --resume "
        f"{tmp_path / 'run'}[@TIME] --dt DT"
    ]
    assert bool(torch.isfinite(kept.state).all()) and kept.frames == len(read_pvd(tmp_path / "run/fields/run.pvd"))
    smaller = {"time": {"dt": 0.005, "end": 0.6}, "solver": {"allow_unstable": False}}
    done = resume(f"{tmp_path / 'run'}@0.3", smaller)
    assert done.status == "ok" and done.steps == 10 + 60
    manifest = json.loads((tmp_path / "run/manifest.json").read_text())
    assert manifest["status"] == "ok" and "error" not in manifest
    assert manifest["resumed"][0]["changed"]["time.dt"] == [0.03, 0.005]
    assert load(tmp_path / "run/config.toml")["time"]["dt"] == 0.005
    simulate(ready(FIXED, time={"stepper": "crank_nicolson", "dt": 0.005, "end": 0.6}), tmp_path / "fine")
    assert done.final["u"]["integral"] == pytest.approx(_last(tmp_path / "fine"), rel=0.02)


def _last(folder: Path) -> float:
    return float(json.loads((folder / "metrics.jsonl").read_text().splitlines()[-1])["mass"])


def test_a_changed_step_can_be_stopped_and_goes_on_exactly(tmp_path: Path) -> None:
    """The second leg has a schedule of its own: from there on resuming is exact again."""
    setup = ready(FIXED)
    for name in ("one", "two"):
        simulate(setup, tmp_path / name, stop=after(12))
    other = {"time": {"dt": 0.004, "stepper": "crank_nicolson"}}
    resume(tmp_path / "one", other)
    assert resume(tmp_path / "two", other, stop=after(11)).status == "interrupted"
    assert resume(tmp_path / "two").status == "ok" and same_files(tmp_path / "one", tmp_path / "two")
    exact = [entry["exact"] for entry in json.loads((tmp_path / "two/manifest.json").read_text())["resumed"]]
    assert exact == [False, True]


class _AdamsBashforth(Heun):
    """A stand-in for multistep methods: u + dt (3/2 f_k - 1/2 f_(k-1)), which hands on the slope before."""

    name = "adams_bashforth"
    tableau = Heun.tableau

    def step(self, f: Any, t: Any, dt: Any, u: Any, carry: Any) -> Step:
        slope = f.rate(t, u)
        if carry is None:
            return super().step(f, t, dt, u, None)._replace(carry=(slope,))
        return Step(f.reset(t + dt, u + dt * (1.5 * slope - 0.5 * carry[0])), None, (slope,))

    def real_extent(self) -> float:
        return 1.0


def test_a_method_with_a_memory_says_that_it_starts_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(STEPPERS._items, "adams_bashforth", _AdamsBashforth)
    setup = ready(FIXED, time={"stepper": "adams_bashforth", "dt": 0.003})
    whole = simulate(setup, tmp_path / "whole")
    simulate(setup, tmp_path / "part", stop=after(12))
    done = resume(tmp_path / "part")
    assert any("adams_bashforth keeps earlier states" in sentence for sentence in done.warnings)
    assert not json.loads((tmp_path / "part/manifest.json").read_text())["resumed"][0]["exact"]
    assert done.final["u"]["integral"] == pytest.approx(whole.final["u"]["integral"], rel=1e-4)
    assert done.final != whole.final  # one step of the other method, as it says


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"coefficients": {"kappa": 2.0}}, "coefficients.kappa was 1.0 and is 2.0 now"),
        ({"boundary": {"left": {"value": "cos(t)"}}}, r"boundary.left.value was sin\(9\*t\) and is cos\(t\) now"),
        ({"boundary": {"right": {"value": 1.0}}}, "boundary.right.value was not given and is 1.0 now"),
        ({"source": "x"}, "source"),
        ({"time": {"start": 0.1}}, "time.start was 0.0 and is 0.1 now"),
        ({"dtype": "float32"}, "dtype was float64 and is float32 now"),
        ({"mesh": {"size": 0.2}}, "the mesh 'shape rectangle' has another points, cells or named sets"),
        ({"pde": "advection", "coefficients": {}}, "."),
    ],
)
def test_another_problem_is_refused(tmp_path: Path, change: dict[str, Any], says: str) -> None:
    simulate(ready(FIXED), tmp_path / "run", stop=after(7))
    before = {f: f.read_bytes() for f in (tmp_path / "run").rglob("*") if f.is_file()}
    with pytest.raises(InputError, match=says):
        resume(tmp_path / "run", change)
    assert before == {f: f.read_bytes() for f in (tmp_path / "run").rglob("*") if f.is_file()}


def test_an_edited_problem_file_is_noticed(tmp_path: Path) -> None:
    simulate(ready(FIXED), tmp_path / "run", stop=after(7))
    config = tmp_path / "run/config.toml"
    config.write_text(config.read_text().replace("kappa = 1.0", "kappa = 3.0"))
    with pytest.raises(ConfigError, match=r"coefficients.kappa was 1.0 and is 3.0 now; .*--initial-from"):
        resume(tmp_path / "run")


def test_a_changed_mesh_file_is_noticed_and_a_moved_one_is_not(tmp_path: Path) -> None:
    path = tmp_path / "m.vtu"
    write_mesh(path, rectangle(4, 4))
    setup = ready(FIXED, mesh=str(path))
    simulate(setup, tmp_path / "whole")
    simulate(setup, tmp_path / "run", stop=after(7))
    moved = path.rename(tmp_path / "moved.vtu")
    assert resume(tmp_path / "run", {"mesh": {"path": str(moved)}}, stop=after(5)).status == "interrupted"
    write_mesh(moved, rectangle(5, 4))
    with pytest.raises(ConfigError, match=r"the mesh '.*moved.vtu' has another file \(its checksum differs\)"):
        resume(tmp_path / "run")


def test_what_cannot_go_on(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not the folder of a run"):
        resume(tmp_path)
    simulate(ready(FIXED), tmp_path / "run", stop=after(7))
    manifest = tmp_path / "run/manifest.json"
    alive = json.loads(manifest.read_text()) | {"status": "running", "pid": 1}
    manifest.write_text(json.dumps(alive))
    with pytest.raises(InputError, match="is still being written by process 1"):
        resume(tmp_path / "run")
    manifest.write_text(json.dumps(alive | {"pid": 2**22 + 1}))
    with pytest.raises(InputError, match="names the time 'noon', expected a number"):
        open_run(f"{tmp_path / 'run'}@noon")
    (tmp_path / "run/fields/run.npz").unlink()
    with pytest.raises(InputError, match="the saved states are gone"):
        resume(tmp_path / "run")
    (tmp_path / "run/checkpoint.npz").unlink()
    with pytest.raises(InputError, match="there is no checkpoint"):
        resume(tmp_path / "run")
    poisson = prepare(read_config({"pde": "poisson", "mesh": HEAT["mesh"], "boundary": {"left": 1}, "output": QUIET}))
    simulate(poisson, tmp_path / "steady")
    with pytest.raises(InputError, match="is complete and has no steps in time to go on with"):
        resume(tmp_path / "steady")


def test_the_run_repeats_what_its_problem_file_says(tmp_path: Path) -> None:
    """Resumed by the same problem given anew, as a command line with its problem file does."""
    setup = ready(FIXED)
    simulate(setup, tmp_path / "run", stop=after(7))
    stopped = open_run(tmp_path / "run")
    (tmp_path / "p.toml").write_text(dump(setup.config.as_dict()))
    again = prepare(read_config(load(tmp_path / "p.toml")))
    result: RunResult = simulate(again, stopped.path, after=stopped)
    assert result.status == "ok" and result.steps == 25
