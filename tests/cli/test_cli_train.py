"""``graphpde train``, ``sample`` and ``likelihood`` end to end, and what they refuse."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from graphpde.mesh import Mesh, sphere, write_mesh

SHORT = ("--set", "training.steps=60", "training.batch=64")
QUICK = (*SHORT, "model.hidden=16", "model.layers=2", "flow.tolerance=1e-3")


def written(folder: Path, text: str, name: str = "flow.toml") -> str:
    (folder / name).write_text(text)
    return name


def table(path: Path) -> tuple[list[str], np.ndarray]:
    with open(path, newline="") as file:
        header, *rows = csv.reader(file)
    return header, np.array(rows, dtype=float)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_from_a_law_to_samples_and_their_likelihood(graphpde, here: Path) -> None:
    file = written(here, '[data]\nname = "moons"\n')
    done = graphpde("train", file, *QUICK, "-o", "run", "--json").json
    assert done["status"] == "ok"
    assert done["steps"] == 60
    assert done["nll"] > done["entropy"] - 4 * done["nll_error"]
    assert {"report.html", "flow.toml", "history.csv", "model.safetensors"} <= {
        p.name for p in (here / "run").iterdir()
    }
    assert len(list((here / "run" / "figures").iterdir())) == 4
    first = graphpde("sample", "run", "-n", "300", "--seed", "5").out
    assert "300 samples" in first
    header, x = table(here / "run" / "samples.csv")
    assert header == ["x1", "x2"]
    assert x.shape == (300, 2)
    found = graphpde("sample", "run", "-n", "300", "--seed", "5", "-o", "again", "--movie", "--json").json
    assert Path(found["movie"]).is_file()
    assert np.array_equal(table(here / "again" / "samples.csv")[1], x)
    judged = graphpde("likelihood", "run", "run/samples.csv", "-o", "each.csv", "--json").json
    _, each = table(here / "each.csv")
    assert judged["log_likelihood_mean"] == pytest.approx(each.mean(), abs=1e-6)
    # of samples of the flow itself the mean is minus its entropy: near that of any sample of as much spread
    assert judged["samples"] == 300
    same = graphpde("train", "run/flow.toml", "-o", "twice", "--pictures", "none", "--json").json
    assert same["nll"] == done["nll"]


def test_tables_keep_their_names_and_units(graphpde, here: Path) -> None:
    """A table in very different units: densities are by these units, so the likelihood scales with them."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 2)) * [1000.0, 0.01] + [5.0, -3.0]
    np.savetxt(here / "a.csv", x, delimiter=",", header="mass,width", comments="")
    file = written(here, '[data]\nfile = "a.csv"\nholdout = 0.2\n')
    done = graphpde("train", file, *QUICK, "-o", "run", "--json").json
    gaussian = math.log(2 * math.pi * math.e) + math.log(1000.0) + math.log(0.01)  # the entropy
    assert done["nll"] == pytest.approx(gaussian, abs=0.35)
    graphpde("sample", "run", "-n", "500")
    header, y = table(here / "run" / "samples.csv")
    assert header == ["mass", "width"]
    assert y.std(0) == pytest.approx([1000.0, 0.01], rel=0.3)


def test_places_on_the_globe(graphpde, here: Path) -> None:
    rng = np.random.default_rng(0)
    x = np.stack([rng.normal(40, 8, 300), rng.normal(170, 12, 300)], 1)  # over the date line
    np.savetxt(here / "a.csv", x, delimiter=",", header="latitude,longitude", comments="")
    file = written(here, '[data]\nfile = "a.csv"\n\n[model]\non = "sphere"\n')
    done = graphpde("train", file, *QUICK, "-o", "run", "--json").json
    assert done["by"] == "steradian"
    assert done["nll"] < math.log(4 * math.pi)
    graphpde("sample", "run", "-n", "50")
    header, y = table(here / "run" / "samples.csv")
    assert header == ["latitude", "longitude"]
    assert np.abs(y[:, 0]).max() <= 90
    assert np.abs(y[:, 1]).max() <= 180


def test_angles(graphpde, here: Path) -> None:
    x = np.random.default_rng(0).normal([0.0, 100.0], 20.0, (300, 2))
    np.savetxt(here / "a.csv", x, delimiter=",")
    file = written(here, '[data]\nfile = "a.csv"\n\n[model]\non = "torus"\n')
    done = graphpde("train", file, *QUICK, "-o", "run", "--json").json
    assert done["nll"] < 2 * math.log(360)  # that of the uniform law, by degrees
    graphpde("sample", "run", "-n", "20")
    assert np.abs(table(here / "run" / "samples.csv")[1]).max() <= 180


def test_particles_by_likelihood(graphpde, here: Path) -> None:
    x = np.random.default_rng(0).normal(size=(60, 3, 2)) * 2 + 7
    np.savez(here / "a.npz", x=x)
    text = '[data]\nfile = "a.npz"\n\n[model]\non = "particles"\n\n[flow]\nmethod = "likelihood"\n'
    done = graphpde("train", written(here, text), *QUICK[:2], "training.steps=5", "-o", "run", "--json").json
    assert done["status"] == "ok"
    graphpde("sample", "run", "-n", "7")
    with np.load(here / "run" / "samples.npz") as found:
        y = found["x"]
    assert y.shape == (7, 3, 2)
    assert np.abs(y.mean(1)).max() < 1e-5
    judged = graphpde("likelihood", "run", "a.npz", "--json").json
    entropy = 0.5 * 4 * math.log(2 * math.pi * math.e * 4)  # of four normal coordinates beside the centre
    assert -judged["log_likelihood_mean"] == pytest.approx(entropy, abs=1.0)


BALL = """\
[data]
mesh = "ball.vtu"
{}

[model]
on = "{}"
modes = 25
hidden = 16
"""
POINTS = """\
layers = 2
features = 8
fields = 4

[flow]
steps = 10
"""


def test_points_on_a_surface(graphpde, here: Path) -> None:
    """From the positive part of a mode; the run folder keeps the mesh, so the file itself may go."""
    write_mesh(here / "ball.vtu", sphere(2))
    done = graphpde(
        "train", written(here, BALL.format("mode = 2", "surface") + POINTS), *SHORT, "-o", "run", "--json"
    ).json
    assert done["by"] == "unit of area"
    assert done["entropy"] < math.log(4 * math.pi)
    assert done["nll"] > done["entropy"] - 0.1
    (here / "ball.vtu").unlink()
    graphpde("sample", "run", "-n", "80")
    header, x = table(here / "run" / "samples.csv")
    assert header == ["x", "y", "z"]
    size = np.linalg.norm(x, axis=1)
    assert 0.9 < size.min() <= size.max() < 1 + 1e-6  # on the flat faces of a ball
    judged = graphpde("likelihood", "run", "run/samples.csv", "--json").json
    assert judged["log_likelihood_mean"] > -math.log(4 * math.pi) - 0.1
    np.savetxt(here / "far.csv", x * 3, delimiter=",")
    assert "are both in the same units?" in graphpde("likelihood", "run", "far.csv").err


def test_fields_on_a_mesh(graphpde, here: Path) -> None:
    mesh = sphere(1)
    write_mesh(here / "ball.vtu", mesh)
    x = torch.randn(60, 1, 2, dtype=torch.float64) * mesh.points[None, :, :1] + 3
    np.savez(here / "a.npz", x=x.numpy())
    graphpde("train", written(here, BALL.format('file = "a.npz"', "fields")), *SHORT, "-o", "run")
    graphpde("sample", "run", "-n", "5")
    with np.load(here / "run" / "samples.npz") as found:
        assert found["x"].shape == (5, mesh.n, 2)
    assert "fields have no density" in graphpde("likelihood", "run", "a.npz").err
    np.savez(here / "a.npz", x=x[:, :-1].numpy())
    assert "the mesh has 42 used points" in graphpde("train", "flow.toml", "-o", "other").err


FAULTS = {
    "there is no file 'flow.toml'": None,
    "nothing given, expected one of: data.name": "",
    "data.name and data.file given": '[data]\nname = "moons"\nfile = "a.csv"\n',
    "unknown law in the plane 'moon'": '[data]\nname = "moon"\n',
    "unknown key in [data] 'nam'": '[data]\nnam = "moons"\n',
    "unknown key 'date'": '[date]\nname = "moons"\n',
    "training.steps is 0": '[data]\nname = "moons"\n[training]\nsteps = 0\n',
    "training.average is 1, expected a share below 1": '[data]\nname = "moons"\n[training]\naverage = 1.0\n',
    "data.holdout is 0.95": '[data]\nfile = "a.csv"\nholdout = 0.95\n',
    "data.holdout is 0, expected a finite number > 0": '[data]\nfile = "far.csv"\nholdout = 0\n',
    "there is no file": '[data]\nfile = "missing.csv"\n',
    "data.name is a law in the plane, and model.on is 'sphere'": '[data]\nname = "moons"\n[model]\non = "sphere"\n',
    "needs data.mesh": '[data]\nmode = 3\n[model]\non = "surface"\n',
    "data.mesh is given, and model.on is 'space'": '[data]\nname = "moons"\nmesh = "a.vtu"\n',
    "column 2 of the samples never changes": '[data]\nfile = "flat.csv"\n',
    "latitudes reach 140 degrees": '[data]\nfile = "far.csv"\n[model]\non = "sphere"\n',
    "expected particles [k, n, d]": '[data]\nfile = "far.csv"\n[model]\non = "particles"\n',
    "flow.tolerance is 1e-13, expected a finite number >= 1e-06": '[data]\nname = "moons"\n[flow]\ntolerance = 1e-13\n',
    "flow.kinetic is 0.1 and has no effect": '[data]\nname = "moons"\n[flow]\nkinetic = 0.1\n',
    "unknown coupling 'data'": '[data]\nname = "moons"\n[flow]\ncoupling = "data"\n',
    "line 1 of 'hole.csv' has ''": '[data]\nfile = "hole.csv"\n',
    "has modes 1 to 41": '[data]\nmode = 60\nmesh = "ball.vtu"\n[model]\non = "surface"\n',
    "has 2 components, expected one": '[data]\nmode = 2\nmesh = "two.vtu"\n[model]\non = "surface"\n',
    "has 1 samples": '[data]\nfile = "one.csv"\n',
}


@pytest.mark.parametrize("said", FAULTS)
def test_faults_in_one_sentence(graphpde, here: Path, said: str) -> None:
    (here / "flat.csv").write_text("1,2\n3,2\n5,2\n7,2\n")
    (here / "far.csv").write_text("140,2\n3,2\n5,9\n7,2\n")
    (here / "one.csv").write_text("1,2\n")
    (here / "hole.csv").write_text(",2\n3,4\n5,6\n7,9\n")
    ball = sphere(1)
    write_mesh(here / "ball.vtu", ball)
    cells = torch.cat([ball.cells["triangle"], ball.cells["triangle"] + ball.n])
    write_mesh(here / "two.vtu", Mesh(torch.cat([ball.points, ball.points + 3]), {"triangle": cells}))
    if FAULTS[said] is not None:
        written(here, FAULTS[said])
    done = graphpde("train", "flow.toml", "-o", "run")
    assert done.code == 2
    assert said in done.err
    assert done.err.count("\n") == 1
    assert not (here / "run").exists()


def test_what_is_no_flow(graphpde, here: Path) -> None:
    assert "holds no model.safetensors" in graphpde("sample", "nothing").err
    file = written(here, '[data]\nname = "moons"\n')
    graphpde("train", file, *QUICK, "training.steps=2", "-o", "run", "--pictures", "none")
    assert "-n is 0, expected a whole number >= 1" in graphpde("sample", "run", "-n", "0").err
    for seed in ("-1", "99999999999999999999999"):
        done = graphpde("sample", "run", "--seed", seed)
        assert done.code == 2
        assert f"--seed is {seed}, expected a whole number from 0 to 2^63 - 1" in done.err
    (here / "a.csv").write_text("1,2,3\n4,5,6\n")
    assert "this flow was learned from [k, 2]" in graphpde("likelihood", "run", "a.csv").err
    model = here / "run" / "model.safetensors"
    content = bytearray(model.read_bytes())
    content[len(content) // 2] ^= 1
    model.write_bytes(content)
    assert "damaged" in graphpde("sample", "run").err


def test_the_same_seed_gives_the_same_flow(here: Path) -> None:
    from graphpde.run.flows.config import read_flow
    from graphpde.run.flows.learn import learn_flow

    config = read_flow({"data": {"name": "rings"}, "model": {"hidden": 8}, "training": {"steps": 10, "batch": 32}})
    one, two = (learn_flow(config, here / name, pictures=False) for name in ("a", "b"))
    assert one.nll == two.nll
    assert read_flow(config.as_dict()) == config
    assert json.loads((here / "a" / "manifest.json").read_text())["kind"] == "flow"
    assert torch.initial_seed() >= 0


def test_few_samples_and_failed_fits_are_told_so(graphpde, here: Path) -> None:
    (here / "three.csv").write_text("1,2\n3,4\n5,7\n")
    quick = (*QUICK, "training.steps=3")
    done = graphpde("train", written(here, '[data]\nfile = "three.csv"\n'), *quick, "-o", "run")
    assert "negative log-likelihood of samples kept aside" in done.out
    assert "nan" not in done.out
    done = graphpde("train", "flow.toml", *quick, "training.steps=40", "training.rate=1e18", "-o", "bad")
    assert done.code == 1
    assert "\nfailed: " in done.out
