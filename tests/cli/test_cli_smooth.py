"""``graphpde smooth``: the numbers it prints are those of the library, and what does not fit is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from graphpde.cli.main import main
from graphpde.data import load
from graphpde.graph_diffusion import Gcn
from graphpde.graph_diffusion.diagnostics import energies, gradient_norms
from graphpde.viz.smoothing import Curve, SmoothingPicture, plot_smoothing

KARATE = ["smooth", "--dataset", "karate"]


def test_untrained_numbers_are_those_of_the_library(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    picture = tmp_path / "smooth.png"
    line = [*KARATE, "--model", "gcn", "--depths", "8,2,8", "--untrained", "--set", "hidden=16", "-o", str(picture)]
    assert main([*line, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert [row["depth"] for row in said["rows"]] == [2, 8] and "test" not in said["rows"][0]
    assert picture.read_bytes().startswith(b"\x89PNG") and said["picture"] == str(picture)
    data = load("karate").undirected()
    torch.manual_seed(0)
    model = Gcn(34, 16, 4, layers=8)
    found = said["rows"][1]["initial"]
    expected = energies(model, data.graph, data.x)
    assert found["energy"] == pytest.approx(expected.energy, rel=1e-5)
    assert found["final_energy"] == found["energy"][-2] and found["final_distance"] == found["distance"][-2]
    norms = gradient_norms(model, data.graph, data.x, data.y, data.splits[0].train)
    assert found["gradient_at_states"] == pytest.approx(norms.states, rel=1e-4)
    assert said["spectrum"]["components"] == 1 and said["spectrum"]["gap"] == pytest.approx(0.10389, rel=1e-3)
    collapse = said["collapse"]
    assert collapse["predicted"] == pytest.approx(collapse["measured"], rel=0.05)
    assert collapse["measured"] <= collapse["bound"]
    assert main(line) == 0
    text = capsys.readouterr().out
    assert f"{found['final_energy']:.3e}" in text and "slowest modes" in text and str(picture) in text


def test_a_model_that_evolves_is_trained_at_every_time(capsys: pytest.CaptureFixture[str]) -> None:
    line = [*KARATE, "--model", "grand", "--time", "1,4", "--epochs", "3", "--set", "hidden=8", "--json"]
    assert main(line) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["unit"] == "time" and said["laplacian"] == "random_walk"
    for row, end in zip(said["rows"], (1.0, 4.0)):
        assert row["epochs"] == 3 and 0 <= row["test"] <= 100
        assert row["initial"]["positions"][-1] == end == row["trained"]["positions"][-1]
        assert row["initial"]["energy"] != row["trained"]["energy"]


def test_a_saved_run(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    folder = tmp_path / "run"
    line = ["--dataset", "karate", "--model", "gcn", "--epochs", "2", "--seeds", "1", "--set", "hidden=8"]
    assert main(["classify", *line, "-o", str(folder), "--json"]) == 0
    capsys.readouterr()
    assert main(["smooth", str(folder), "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert row["depth"] == 2 and row["trained"]["loss"] < row["initial"]["loss"]
    assert main(["smooth", str(folder), "--model", "gcn"]) == 2
    assert "leave it out with the RUN" in capsys.readouterr().err
    assert main(["smooth", str(folder), "--dataset", "csbm"]) == 2
    assert "features" in capsys.readouterr().err


def test_a_graph_of_ones_own(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    ring = np.arange(40)
    file = tmp_path / "ring.npz"
    # one way only, and a piece of two nodes beside it
    edges = np.concatenate([np.stack([ring, (ring + 1) % 40]), [[40], [41]]], 1)
    np.savez(file, edges=edges, x=rng.normal(size=(42, 3)), y=np.arange(42) % 2)
    assert main(["smooth", "--graph", str(file), "--model", "sage", "--depths", "4", "--untrained", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    # averaging over the neighbours of an even ring alternates for ever
    assert said["collapse"] is None and "the highest mode is left" in said["remark"]
    assert said["spectrum"]["components"] == 2 and said["spectrum"]["gap_of_largest"] == said["spectrum"]["gap"]


def test_a_model_of_a_file_asks_for_the_file(graphpde) -> None:
    rng, ring = np.random.default_rng(0), np.arange(40)
    masks = {f"{part}_mask": ring % 3 == k for k, part in enumerate(("train", "val", "test"))}
    np.savez("own.npz", edges=np.stack([ring, (ring + 1) % 40]), x=rng.normal(size=(40, 3)), y=ring % 2, **masks)
    line = ("--graph", "own.npz", "--model", "gcn", "--epochs", 2, "--seeds", 1, "--set", "hidden=8", "-o", "run")
    assert graphpde("classify", *line).code == 0
    done = graphpde("smooth", "run")
    assert done.code == 2 and "has learned from a file called 'own'" in done.err and "--graph own.npz" in done.err
    assert graphpde("smooth", "run", "--graph", "own.npz", "--json").json["rows"][0]["depth"] == 2


def test_a_graph_without_edges_has_a_note_instead_of_energies() -> None:
    none = Curve("depth 2", [1.0, 2.0], [0.0, 0.0])
    left, middle, _ = plot_smoothing(SmoothingPicture("layer", [none], [])).axes
    assert [text.get_text() for axes in (left, middle) for text in axes.texts] == ["the energy is zero", "no gradient"]
    assert left.get_yscale() == "linear"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--model", "gcn"], "say which graph"),
        (["--dataset", "karate"], "no model is named"),
        ([*KARATE[1:], "--model", "gcm"], "gcn"),
        ([*KARATE[1:], "--model", "gcn", "--time", "3"], "--time does not fit 'gcn'"),
        ([*KARATE[1:], "--model", "grand", "--depths", "3"], "--depths does not fit 'grand'"),
        ([*KARATE[1:], "--model", "gcn", "--depths", "2;4"], "--depths takes numbers"),
        ([*KARATE[1:], "--model", "gcn", "--depths", "2.5"], "a depth of 2.5"),
        ([*KARATE[1:], "--model", "grand", "--time=-1"], "a time > 0"),
        ([*KARATE[1:], "--model", "label_propagation"], "no depth to vary"),
        ([*KARATE[1:], "--model", "gcn", "--fraction", "3"], "--fraction is 3"),
        ([*KARATE[1:], "--model", "gcn", "-o", "a.doc"], "cannot save a picture"),
        ([*KARATE[1:], "--model", "gcn", "--seed=-1"], "--seed is -1, expected a whole number"),
        ([*KARATE[1:], "--model", "gcn", "--depths", "2", "--set", "layers=7"], "say --depths 7 instead"),
        ([*KARATE[1:], "--model", "grand", "--set", "time=3.0"], "say --time 3.0 instead"),
        (["nowhere"], "not the folder of a run"),
    ],
)
def test_what_does_not_fit_is_said(options: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["smooth", *options]) == 2
    assert says in capsys.readouterr().err
