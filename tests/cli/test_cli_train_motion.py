"""``graphpde train`` of laws of motion and ``predict`` from them: end to end, and what they refuse."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pytest

SHORT = ("--set", "training.steps=50", "training.polish=30", "model.hidden=16", "--pictures", "none", "--json")


def swinging(t: np.ndarray, mass: float, stiffness: float, rate: float = 0.0, start: float = 1.0) -> np.ndarray:
    """q and p [s, 2] of m q'' = -k q - rate m q', released from ``start``: exact."""
    w = math.sqrt(stiffness / mass - rate**2 / 4)
    decay, c, s = np.exp(-rate * t / 2), np.cos(w * t), np.sin(w * t)
    q = start * decay * (c + rate / (2 * w) * s)
    return np.stack([q, -mass * start * decay * (w + rate**2 / (4 * w)) * s], 1)


def save(path: Path, names: str, *columns: np.ndarray) -> None:
    np.savetxt(path, np.column_stack(columns), delimiter=",", header=names, comments="")


def table(path: Path) -> tuple[list[str], np.ndarray]:
    with open(path, newline="") as file:
        header, *rows = csv.reader(file)
    return header, np.array(rows, dtype=float)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_pendulum_from_a_file_of_two_lines_to_a_forecast(graphpde, here: Path) -> None:
    (here / "hnn.toml").write_text('learn = "hamiltonian"\n[data]\nsystem = "pendulum"\n')
    quick = ("--set", "training.steps=50", "training.polish=60", "data.starts=10", "model.hidden=32")
    done = graphpde("train", "hnn.toml", *quick, "-o", "run", "--json").json
    assert done["status"] == "ok"
    assert done["steps"] == 110
    assert done["error"] < 0.1
    assert done["energy"] < 1e-3  # a Hamiltonian keeps its own energy, right or wrong
    assert done["true_energy"] < 0.2
    kept = {p.name for p in (here / "run").iterdir()}
    assert {"report.html", "motion.toml", "history.csv", "model.safetensors"} <= kept
    assert {p.stem for p in (here / "run" / "figures").iterdir()} == {"followed", "portrait", "energy", "loss"}
    (here / "now.csv").write_text("t,q,p\n5,0.5,0\n")
    told = graphpde("predict", "run", "now.csv", "--until", "9", "--every", "0.5", "--json").json
    assert told["moments"] == 9
    header, x = table(here / "predictions.csv")
    assert header == ["t", "q", "p"]
    assert x[:, 0] == pytest.approx(np.arange(5, 9.25, 0.5))
    assert x[0, 1:] == pytest.approx([0.5, 0.0])
    assert x[-1, 1] == pytest.approx(0.5 * math.cos(4.0), abs=0.15)  # a pendulum of strength 1, for small angles
    again = graphpde("train", "run/motion.toml", "-o", "twice", "--pictures", "none", "--json").json
    assert again["error"] == done["error"]


def test_masses_come_in_the_units_of_the_data(graphpde, here: Path) -> None:
    """Positions in micrometres, momenta far below 1, times in microseconds: the mass is found all the same."""
    t, mass, stiffness = np.linspace(0, 2e-5, 81), 3e-9, 750.0  # omega = 5e5
    motions = [swinging(t, mass, stiffness, start=a) for a in (20e-6, 40e-6, 30e-6)]
    rows = [np.column_stack([np.full(len(t), k), t, x]) for k, x in enumerate(motions)]
    save(here / "a.csv", "run,t,x,px", np.concatenate(rows))
    (here / "m.toml").write_text('learn = "separable"\n[data]\nfile = "a.csv"\n')
    done = graphpde("train", "m.toml", *SHORT, "-o", "run").json
    assert float(done["facts"]["mass"]) == pytest.approx(mass, rel=0.01)
    assert done["error"] < 0.08
    assert done["until"] == pytest.approx(2e-5)


def test_friction_of_a_record_with_gaps(graphpde, here: Path) -> None:
    t, rate = np.arange(0, 30, 0.2), 0.08
    x = swinging(t, 1.0, 4.0, rate)
    there = np.ones(len(t), bool)
    there[40:52] = there[77] = False  # rows that are missing
    x[20] = np.nan  # and a row of which nothing is known
    save(here / "a.csv", "t,angle,velocity", t[there], x[there])
    text = (here / "a.csv").read_text().replace("nan,nan", ",")
    (here / "a.csv").write_text(text)
    (here / "m.toml").write_text('learn = "dissipative"\n[data]\nfile = "a.csv"\n[training]\nwindows = [1, 4]\n')
    done = graphpde(
        "train", "m.toml", "--set", "training.steps=60", "training.polish=40", "model.hidden=8", "--json", "-o", "run"
    ).json
    found = float(done["facts"]["friction"].split()[3])
    assert found == pytest.approx(rate, rel=0.05)
    assert done["error"] < 0.05
    assert done["notes"] == ["positions are angle, momenta are velocity"]
    assert "energy" not in done  # which falls


def test_pairs_learned_from_a_run_go_on_with_their_momentum(graphpde, here: Path) -> None:
    graphpde("simulate", "--pde", "springs", "--set", "time.end=8", "time.frames=100", "--pictures", "none", "-o", "s")
    (here / "m.toml").write_text('learn = "pairs"\n[data]\nfile = "s"\n[model]\nstepper = "leapfrog"\n')
    done = graphpde(
        "train", "m.toml", "--set", "training.steps=20", "training.polish=5", "model.hidden=8", "-o", "run", "--json"
    ).json
    assert {p.stem for p in (here / "run" / "figures").iterdir()} == {"followed", "pair", "energy", "loss"}
    assert done["until"] < 2
    told = graphpde("predict", "run", "s", "--until", "12", "--json").json
    assert told["nodes"] == 5
    with np.load(here / "predictions.npz") as found:
        p = found["states"][:, :, 2:].sum(1)
        assert found["times"][0] == pytest.approx(8.0)
        assert found["times"][-1] == pytest.approx(12.0)
        assert np.abs(p - p[0]).max() < 1e-12


@pytest.mark.parametrize("learn", ["lagrangian", "plain", "hamiltonian"])
def test_other_laws_follow_a_spring(graphpde, here: Path, learn: str) -> None:
    t = np.arange(0, 12, 0.1)
    rows = [np.column_stack([np.full(len(t), k), t, swinging(t, 1, 1, start=a)]) for k, a in enumerate((0.3, 0.5, 0.4))]
    save(here / "a.csv", "run,t,q,v", np.concatenate(rows))
    (here / "m.toml").write_text(f'learn = "{learn}"\n[data]\nfile = "a.csv"\n')
    few = ("--set", "training.steps=30", "training.polish=15", "model.hidden=12", "--pictures", "none", "--json")
    done = graphpde("train", "m.toml", *few, "-o", "run").json
    assert done["error"] < 0.5
    assert ("energy" in done) == (learn != "plain")


GOOD = "t,q,p\n" + "".join(f"{k / 10},{math.cos(k / 10)},{-math.sin(k / 10)}\n" for k in range(60))


@pytest.mark.parametrize(
    ("table", "toml", "said"),
    [
        (GOOD, "[data]\n", "neither data.file nor data.system is given, expected one of"),
        (GOOD, '[data]\nfile = "a.csv"\nsystem = "pendulum"\n', "data.file and data.system are both given"),
        (GOOD, '[data]\nfile = "b.csv"\n', "there is no file"),
        (GOOD, '[data]\nsystem = "sph-dam-break"\n', "has no q and p of its own; take"),
        (GOOD, '[data]\nsystem = "double-pendulum"\n', "has no q and p of its own; take"),
        (GOOD, '[data]\nsystem = "pendulumm"\n', "did you mean 'pendulum'?"),
        (GOOD, '[data]\nfile = "a.csv"\nnoise = 0.1\n', "data.noise is 0.1 and has no effect where data.file is given"),
        (GOOD, '[data]\nfile = "a.csv"\n[model]\nbumps = 3\n', 'it counts with learn = "pairs"'),
        (GOOD, '[data]\nfile = "a.csv"\nholdout = 0.95\n', "data.holdout is 0.95, expected a share below 0.9"),
        (GOOD, '[data]\nfile = "a.csv"\n[training]\nwindows = 99\n', "training.windows reaches 99, and the motions"),
        (GOOD, '[data]\nfile = "a.csv"\n[training]\nwindows = [1, -1]\n', "training.windows is -1, expected a finite"),
        (GOOD, '[data]\nfile = "a.csv"\n[model]\nstepper = "rk5"\n', "unknown stepper 'rk5'"),
        (GOOD, '[data]\nfile = "a.csv"\n[model]\nstepper = "leapfrog"\n', "leapfrog"),
        (GOOD.replace("t,q,p", "t,q,p,r"), '[data]\nfile = "a.csv"\n', "line 2 of 'a.csv' has 3 entries, expected 4"),
        (GOOD.replace("t,q,p", "u,q,p"), '[data]\nfile = "a.csv"\n', "has the columns u, q, p, expected t"),
        (GOOD.replace("\n0.3,", "\n0.34,"), '[data]\nfile = "a.csv"\n', "are no multiples of one step: 0.1"),
        (GOOD.replace("\n0.3,", "\n0.1,"), '[data]\nfile = "a.csv"\n', "do not all increase"),
        (
            "t,q,p\n0,1,1\n1,2,3\n",
            '[data]\nfile = "a.csv"\n',
            "times of a motion that do not all increase; expected 3 or more",
        ),
        ("t,q,p\n0,1,1\n1,1,1\n2,1,1\n3,1,1\n4,1,1\n5,1,1\n", '[data]\nfile = "a.csv"\n', "no motion to learn from"),
        (GOOD.replace("0.1,0.9", "0.1,x0.9"), '[data]\nfile = "a.csv"\n', "line 3 of"),
    ],
)
def test_what_is_refused(graphpde, here: Path, table: str, toml: str, said: str) -> None:
    (here / "a.csv").write_text(table)
    (here / "m.toml").write_text('learn = "hamiltonian"\n' + toml)
    done = graphpde("train", "m.toml", "-o", "run")
    assert done.code == 2
    assert said in done.err
    assert done.err.count("\n") == 1
    assert not (here / "run").exists()


def test_forecasts_that_are_refused(graphpde, here: Path) -> None:
    (here / "a.csv").write_text(GOOD)
    (here / "m.toml").write_text('learn = "hamiltonian"\n[data]\nfile = "a.csv"\n')
    graphpde(
        "train",
        "m.toml",
        "--set",
        "training.steps=2",
        "training.polish=0",
        "model.hidden=4",
        "--pictures",
        "none",
        "-o",
        "run",
    )
    (here / "wide.csv").write_text("t,q1,q2,p1,p2\n0,1,1,1,1\n")
    (here / "unseen.csv").write_text("t,q,p\n0,1,\n")
    for args, said in {
        ("run", "a.csv"): "give it by --until T",
        ("run", "a.csv", "--until", "1"): "until is 1, and 'a.csv' ends at 5.9; expected a later time",
        ("run", "a.csv", "--until", "nan"): "until is nan, expected a finite time",
        ("run", "a.csv", "--until", "9", "--every", "0"): "every is 0, expected a finite step > 0",
        ("run", "a.csv", "--until", "9", "--every", "1e-9"): "take a larger step (--every)",
        ("run", "wide.csv", "--until", "9"): "has 1 nodes of 4 columns, and the motion was learned from 1 of 2",
        ("run", "unseen.csv", "--until", "9"): "without a moment at which everything was seen",
        ("run", "b.csv", "--until", "9"): "there is no file",
        ("run", "a.csv", "--until", "9", "--root", "."): "--root is of data sets",
        ("none", "a.csv", "--until", "9"): "--until is of learned motions",
    }.items():
        done = graphpde("predict", *args)
        assert done.code == 2
        assert said in done.err
    assert "is no flow" in graphpde("sample", "run").err
    (here / "flow.toml").write_text('[data]\nname = "moons"\n')
    assert "holds a run of another kind" in graphpde("train", "flow.toml", "-o", "run").err
