"""``graphpde classify``: what it computes, keeps, goes on with and refuses."""

from __future__ import annotations

import csv
import json
import pickle
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from graphpde.data import karate, load
from graphpde.run import experiment
from graphpde.run.classified import Task, classify
from graphpde.run.experiment import Reopened
from graphpde.run.partition import partition
from graphpde.run.recipe import recipe
from graphpde.run.recipe_changes import asked_recipe, changed

QUICK = ("--pictures", "none", "--epochs", 3, "--set", "hidden=8")
KARATE = ("classify", "--dataset", "karate", "--model", "gcn", *QUICK)


def rows(folder: str | Path) -> list[dict[str, str]]:
    """The table of results without what is measured by a clock."""
    with open(Path(folder) / "results.csv", newline="") as file:
        return [
            {k: v for k, v in row.items() if k not in ("seconds", "cpu", "peak_mb")} for row in csv.DictReader(file)
        ]


@pytest.fixture
def mine(tmp_path: Path) -> dict[str, Any]:
    """The arrays of a small graph: two rings of ten nodes joined by one edge, features that tell the rings apart."""
    rng = np.random.default_rng(0)
    ring = np.arange(10)
    edges = np.concatenate([np.stack([ring, (ring + 1) % 10]), 10 + np.stack([ring, (ring + 1) % 10]), [[0], [10]]], 1)
    y = np.repeat([0, 1], 10)
    return {"edges": edges, "x": rng.random((20, 3)) + y[:, None], "y": y}


def saved(arrays: dict[str, Any], name: str = "mine.npz", **other: Any) -> str:
    np.savez(name, **{k: v for k, v in {**arrays, **other}.items() if v is not None})
    return name


def test_a_diffusion_model_without_files_or_network(graphpde) -> None:
    done = graphpde("classify", "--dataset", "karate", "--model", "grand", *QUICK[2:], "--seeds", 2, "-o", "run")
    assert done.code == 0 and done.err == ""
    assert "grand on karate, split public: test accuracy" in done.out and "(mean ± std over 2 seeds)" in done.out
    found = json.loads(Path("run/manifest.json").read_text())
    assert found["status"] == "ok" and found["versions"]["torch"] and found["best"]["model"] == "model.safetensors"
    assert set(found["files"]) == {
        "figures/classes.png", "figures/confusion.png", "figures/smoothing.png", "figures/training.png",
        "history/split0-seed0.csv", "history/split0-seed1.csv", "manifest.json", "model.safetensors",
        "predictions.csv", "recipe.toml", "report.html", "results.csv", "results.jsonl",
    }  # fmt: skip
    table = rows("run")
    assert [row["seed"] for row in table] == ["0", "1"] and {row["epochs"] for row in table} == {"3"}
    best = max(table, key=lambda row: float(row["val"]))
    with open("run/predictions.csv", newline="") as file:
        judged = [row for row in csv.DictReader(file) if row["part"] == "test"]
    share = sum(row["label"] == row["prediction"] for row in judged) / len(judged)
    assert share == float(best["test"])  # the model on disk is the one that validation chose
    page = Path("run/report.html").read_text()
    assert page.count('<img src="data:image/png') == 4 and "http" not in page.split("</style>")[1].split("To repro")[0]


def test_numbers_for_machines(graphpde) -> None:
    found = graphpde(*KARATE, "--split", "fractions", "--splits", 2, "--seeds", 2, "-o", "run", "--json").json
    table = rows("run")
    test = 100 * np.array([float(row["test"]) for row in table])
    assert found["test_accuracy_mean"] == pytest.approx(test.mean())
    assert found["test_accuracy_std"] == pytest.approx(test.std(ddof=1))
    assert (found["splits"], found["seeds"], found["runs"], found["epochs"]) == (2, 2, 4, 3)
    assert found["nfe_per_epoch"] == 0 and found["peak_mb"] > 10 and found["seconds_per_epoch"] > 0
    assert "metric" not in found and found["model"] == "gcn" and Path(found["run"]).name == "run"


def test_twice_the_same_and_by_two_workers(graphpde) -> None:
    for name, workers in (("a", 1), ("b", 1), ("c", 2)):
        assert graphpde(*KARATE, "--seeds", 2, "--workers", workers, "-o", name).code == 0
    assert rows("a") == rows("b") == rows("c")
    assert Path("a/predictions.csv").read_bytes() == Path("c/predictions.csv").read_bytes()


def test_more_seeds_are_added_to_a_folder(graphpde) -> None:
    graphpde(*KARATE, "--seeds", 2, "-o", "run")
    before = Path("run/results.jsonl").read_text().splitlines()
    done = graphpde(*KARATE, "--seeds", 3, "-o", "run")
    after = Path("run/results.jsonl").read_text().splitlines()
    assert "2 of 3 runs were there already" in done.out and after[:3] == before and len(after) == 4
    graphpde(*KARATE, "--seeds", 3, "-o", "at_once")
    assert rows("run") == rows("at_once")
    assert Path("run/predictions.csv").read_bytes() == Path("at_once/predictions.csv").read_bytes()
    other = graphpde(*KARATE, "--set", "training.rate=0.5", "-o", "run")
    assert other.code == 2 and "another configuration (training.rate is 0.01 there and 0.5 here)" in other.err


def test_fewer_seeds_in_a_folder_have_the_model_of_their_best(graphpde) -> None:
    """As has a folder whose model is gone or damaged: it is trained once more, which gives the same one."""
    line = (*KARATE, "-o", "run")
    graphpde(*line, "--seeds", 3)
    graphpde(*KARATE, "-o", "few", "--seeds", 1)
    best = json.loads(Path("run/manifest.json").read_text())["best"]["seed"]
    assert best > 0, "the first seed is not to be the best here"
    for damage in (lambda p: None, Path.unlink, lambda p: p.write_bytes(p.read_bytes()[:-9])):
        damage(Path("run/model.safetensors"))
        assert graphpde(*line, "--seeds", 1).code == 0
        assert Reopened(Path("run/model.safetensors")).about["seed"] == 0
        assert Path("run/predictions.csv").read_bytes() == Path("few/predictions.csv").read_bytes()
    assert graphpde(*line, "--seeds", 3).code == 0
    assert Reopened(Path("run/model.safetensors")).about["seed"] == best


def test_what_is_done_when_somebody_stops_is_kept(tmp_path: Path) -> None:
    data = karate()
    task = Task(
        partition(lambda _: data, ("public",), seeds=3), recipe("gcn").having({}, {"epochs": 4}), "again", False
    )
    asked: list[int] = []

    def told(done: int, total: int | None, share: float) -> None:
        assert total == 12 and share == done / 12
        asked.append(done)

    found = classify(task, tmp_path / "run", progress=told, stop=lambda: 6 in asked)
    assert found.status == "interrupted" and [row["seed"] for row in found.rows] == [0] and not found.failed
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["status"] == "interrupted" and (tmp_path / "run" / "model.safetensors").exists()
    whole = classify(task, tmp_path / "run")
    assert whole.status == "ok" and whole.kept == 1
    assert [{**row, "seconds": 0, "cpu": 0, "peak_mb": 0} for row in whole.rows] == [
        {**row, "seconds": 0, "cpu": 0, "peak_mb": 0} for row in classify(task, tmp_path / "other").rows
    ]


def test_ctrl_c_is_told(graphpde, monkeypatch: pytest.MonkeyPatch) -> None:
    import os
    import signal

    plain = experiment.learn

    def learn(*args: Any, **kwargs: Any) -> Any:
        if args[3] == 1:
            os.kill(os.getpid(), signal.SIGINT)
        return plain(*args, **kwargs)

    monkeypatch.setattr(experiment, "learn", learn)
    done = graphpde(*KARATE, "--seeds", 3)
    assert done.code == 130 and "interrupted; 1 of 3 runs had ended and are kept" in done.out
    assert "--seeds 3 -o runs/gcn-karate-1" in done.out.splitlines()[-1] and "again to stop at once" in done.err


def test_a_run_that_fails_is_told_and_the_others_stay(graphpde, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = experiment.learn

    def learn(*args: Any, **kwargs: Any) -> Any:
        if args[3] == 1:
            raise ValueError("no luck")
        return plain(*args, **kwargs)

    monkeypatch.setattr(experiment, "learn", learn)
    done = graphpde(*KARATE, "--seeds", 3, "-o", "run", "--json")
    assert done.code == 1 and "warning: split0-seed1 has no result: no luck" in done.err
    assert done.json["runs"] == 2 and done.json["status"] == "failed"


def test_settings_and_recipes(graphpde) -> None:
    line = ("classify", "--dataset", "karate", "--model", "grand", "--seeds", 1, "--pictures", "none")
    changes = ("integration.stepper=rk4", "integration.dt=1.0", "dropout=[0.1,0.2]", "training.update=sgd")
    graphpde(*line, "--time", 3, "--epochs", 2, "--set", *changes, "-o", "run", "--json")
    table = tomllib.loads(Path("run/recipe.toml").read_text())["grand"]
    assert (
        table["time"] == 3 and table["integration"] == {"stepper": "rk4", "dt": 1.0} and table["dropout"] == [0.1, 0.2]
    )
    assert table["training"]["epochs"] == 2 and table["training"]["update"] == "sgd"
    again = (
        "classify",
        "--dataset",
        "karate",
        "--seeds",
        1,
        "--recipe",
        "run/recipe.toml",
        "-o",
        "again",
        "--pictures",
        "none",
    )
    assert graphpde(*again).code == 0 and rows("run") == rows("again")
    assert json.loads(Path("run/manifest.json").read_text())["results"]["nfe_per_epoch"] == 24  # 3 steps of 4, twice


def test_parts_of_the_graph_at_a_time(graphpde) -> None:
    """Mini-batches: an epoch is of several steps, and counts as one in tables, progress and pictures."""
    line = ("classify", "--dataset", "two_moons", "--model", "sage", "--epochs", 3, "--seeds", 1, "-o", "run")
    done = graphpde(*line, "--set", "training.fanouts=[5,5]", "training.batch=60", "--json")
    assert done.code == 0 and done.json["epochs"] == 3
    assert len(Path("run/history/split0-seed0.csv").read_text().splitlines()) == 1 + 3 * 4
    assert Path("run/figures/training.png").exists()


def test_tolerances_mean_adaptive_steps() -> None:
    fixed = asked_recipe("grand", changes={"integration": {"stepper": "rk4", "dt": 0.5}})
    assert fixed.settings["integration"]["dt"] == 0.5
    free = changed(fixed, {"integration": {"stepper": "dopri5", "rtol": 1e-5}, "dropout": 0.3})
    assert free.settings["integration"] == {"stepper": "dopri5", "rtol": 1e-5}
    model: Any = free.build(4, 2)
    assert model.integration.dt is None and tuple(model.dropout) == (0.3, 0.3)
    assert changed(fixed, {"hidden": 8}).settings["integration"]["dt"] == 0.5


@pytest.mark.parametrize("model", ["label_propagation", "grand++", "graphcon"])
def test_models_that_need_more_than_features(graphpde, model: str) -> None:
    epochs = ("--epochs", 2, "--pictures", "none") if model != "label_propagation" else ()
    done = graphpde("classify", "--dataset", "karate", "--model", model, *epochs, "--seeds", 1, "-o", "run", "--json")
    assert done.code == 0 and done.err == "" and done.json["runs"] == 1
    assert graphpde("predict", "run", "karate").code == 0


CORA = ("--dataset", "Cora", "--model", "gcn")
REFUSED = {
    "unknown data set 'korate'; known: .* did you mean 'karate'": ("--dataset", "korate", "--model", "gcn"),
    "unknown model 'grnd'; known: .* did you mean 'grand'": ("--dataset", "karate", "--model", "grnd"),
    "unknown split 'fraction'; .* did you mean 'fractions'": (*KARATE[1:], "--split", "fraction"),
    "unknown setting of the model 'gcn' 'layer'; .* did you mean 'layers'": (*KARATE[1:], "--set", "layer=3"),
    "unknown training option 'rates'; .* did you mean 'rate'": (*KARATE[1:], "--set", "training.rates=3"),
    "training.rate = 'fast', expected a number": (*KARATE[1:], "--set", "training.rate=fast"),
    "unknown setting of the model 'gcn' 'time'": (*KARATE[1:], "--time", "4"),
    "alpha = -1, expected a finite number > 0": ("--dataset", "karate", "--model", "acmp", "--set", "alpha=-1"),
    "unknown beginning of a parameter name 'foo'": (*KARATE[1:], "--set", "training.groups.foo.rate=1"),
    "fanouts = .10., expected one number for each of the 2 layers": (*KARATE[1:], "--set", "training.fanouts=[10]"),
    "LabelPropagation cannot be trained on parts": (
        "--dataset", "karate", "--model", "label_propagation", "--set", "training.fanouts=[3,3]"),
    "layers = True, expected a whole number": (*KARATE[1:], "--set", "layers=true"),
    "unknown stepper 'rk5'": ("--dataset", "karate", "--model", "grand", "--set", "integration.stepper=rk5"),
    "hidden = 'abc', expected a whole number": (*KARATE[1:], "--set", "hidden=abc"),
    "dropout = 2, expected probabilities": (*KARATE[1:], "--set", "dropout=2"),
    "the rate is -1": (*KARATE[1:], "--set", "training.rate=-1"),
    "reveal = 2, smoothing = 0, expected shares": (*KARATE[1:], "--set", "training.reveal=2"),
    "attention = 5, expected a table": ("--dataset", "karate", "--model", "grand", "--set", "attention=5"),
    "training.groups.a = 3, expected a table": (*KARATE[1:], "--set", "training.groups={a=3}"),
    "training.fanouts = 3, expected a list": (*KARATE[1:], "--set", "training.fanouts=3"),
    "--seeds is 0, expected at least 1": (*KARATE[1:], "--seeds", "0"),
    "--splits is 2 and 'karate' comes with 1": (*KARATE[1:], "--splits", "2", "--split", "public"),
    "--workers is 0": (*KARATE[1:], "--workers", "0"),
    "no model is named": ("--dataset", "karate"),
    "one of the arguments --dataset --graph is required": ("--model", "gcn"),
    "there is no folder 'nowhere' to read the data set 'Cora' from": (*CORA, "--root", "nowhere"),
    "the data set 'Cora' is not below 'empty'": (*CORA, "--root", "empty"),
    "'a.pt' is a pickle": ("--graph", "a.pt", "--model", "gcn"),
    "'empty' is a folder": ("--graph", "./empty", "--model", "gcn"),
    "--root says where": ("--graph", "a.npz", "--model", "gcn", "--root", "empty"),
    "there is no file 'missing.npz'": ("--graph", "missing.npz", "--model", "gcn"),
    "cannot read the recipe 'none.toml'": (*KARATE[1:], "--recipe", "none.toml"),
}  # fmt: skip


@pytest.mark.parametrize("sentence", REFUSED)
def test_what_cannot_be_used_is_one_sentence(graphpde, sentence: str) -> None:
    Path("empty").mkdir()
    done = graphpde("classify", *REFUSED[sentence])
    assert done.code == 2 and done.out == "" and done.err.count("\n") == 1
    import re

    assert re.search(sentence, done.err), done.err
    assert not Path("runs").exists()


def test_no_network(graphpde, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from graphpde.data import download

    def refuse(url: str) -> Any:
        raise OSError("network is unreachable")

    monkeypatch.setenv("GRAPHPDE_DATA", str(tmp_path / "cache"))
    monkeypatch.setattr(download, "_opened", refuse)
    done = graphpde("classify", "--dataset", "Cora", "--model", "gcn")
    assert done.code == 2 and "--root" in done.err and done.err.count("\n") == 1


def test_a_partial_folder(graphpde) -> None:
    folder = Path("root/Cora/raw")
    folder.mkdir(parents=True)
    (folder / "ind.cora.x").write_bytes(b"")
    done = graphpde("classify", "--dataset", "Cora", "--root", "root", "--model", "gcn")
    assert done.code == 2 and "is incomplete in" in done.err


def test_a_graph_of_ones_own(graphpde, mine: dict[str, Any]) -> None:
    """Directed, with a self-loop, an isolated node and an unknown label; [e, 2] and [2, e] are the same."""
    edges = np.concatenate([mine["edges"], [[3], [3]]], 1)
    arrays = {"edges": edges, "x": np.concatenate([mine["x"], [[9.0, 1, 1]]]), "y": np.append(mine["y"], -1)}
    other = {**arrays, "edges": edges.T}
    line = ("--model", "gcn", "--epochs", 30, "--set", "training.features=given", "training.rate=0.05")
    line += ("--seeds", 2, "--json", "--pictures", "none")
    found = [
        graphpde("classify", "--graph", saved(a, f"{k}.npz"), *line, "-o", f"run{k}")
        for k, a in enumerate((arrays, other))
    ]
    assert [done.code for done in found] == [0, 0] and rows("run0") == rows("run1")
    assert found[0].json["dataset"] == "0" and found[0].json["split"] == "fractions"
    assert found[0].json["test_accuracy_mean"] > 70
    assert Path("run0/predictions.csv").read_text().splitlines()[-1].startswith("20,,")


def test_masks_of_ones_own(graphpde, mine: dict[str, Any]) -> None:
    draw = np.random.default_rng(1).permutation(20)
    part = np.empty(20, dtype=int)
    part[draw] = np.arange(20) % 3
    masks = {f"{name}_mask": part == k for k, name in enumerate(("train", "val", "test"))}
    found = graphpde("classify", "--graph", saved(mine, **masks), "--model", "gcn", *QUICK, "--json").json
    assert (found["split"], found["splits"], found["seeds"]) == ("given", 1, 5)
    two = {name: np.stack([mask, np.roll(mask, 1)], 1) for name, mask in masks.items()}
    found = graphpde("classify", "--graph", saved(mine, **two), "--model", "gcn", *QUICK, "--json").json
    assert (found["splits"], found["seeds"]) == (2, 1)


def test_nobody_chooses(graphpde, mine: dict[str, Any]) -> None:
    mask = np.arange(20) % 4 == 0
    line = ("classify", "--graph", saved(mine, train_mask=mask), "--model", "gcn", *QUICK)
    done = graphpde(*line)
    assert done.code == 0 and "has no val nodes, so 'fractions' is drawn instead" in done.err
    done = graphpde(*line, "--split", "given")
    assert done.code == 2 and "has no val nodes; take a drawn one" in done.err


def test_a_class_that_nobody_trains(graphpde, mine: dict[str, Any]) -> None:
    part = np.arange(20) % 3
    masks = {"train_mask": (part == 0) & (mine["y"] == 0), "val_mask": part == 1, "test_mask": part == 2}
    done = graphpde("classify", "--graph", saved(mine, **masks), "--model", "gcn", *QUICK)
    assert done.code == 0 and "warning: the split of 'mine': no training node of class 1" in done.err


FAULTS: dict[str, dict[str, Any]] = {
    "has no node with a known label": {"y": np.full(20, -1)},
    "has no array 'y', it has edges, x": {"y": None},
    "has no array 'edges'": {"edges": None},
    "features of 1 nodes are not finite, first of node 4": {"x": np.array([[1.0]] * 4 + [[np.nan]] + [[1.0]] * 15)},
    "expected whole numbers \\[2, e\\] or \\[e, 2\\]": {"edges": np.zeros((3, 4))},
    "an edge names node 30, expected 0..19": {"edges": np.array([[0, 30], [1, 2]])},
    "train_mask has shape \\[4\\], expected \\[20\\]": {"train_mask": np.ones(4, dtype=bool)},
    "objects that only unpickling could read": {"y": np.array([{}] * 20, dtype=object)},
    "the parts must not overlap": {f"{part}_mask": np.ones(20, dtype=bool) for part in ("train", "val", "test")},
    "weight": {"weight": np.ones(3)},
    "pos of 1 nodes are not finite, first of node 2": {"pos": np.array([[0.0, 1]] * 2 + [[np.nan, 0]] + [[1, 1]] * 17)},
}  # fmt: skip


@pytest.mark.parametrize("sentence", FAULTS)
def test_graphs_that_cannot_be_used(graphpde, mine: dict[str, Any], sentence: str) -> None:
    import re

    done = graphpde("classify", "--graph", saved(mine, **FAULTS[sentence]), "--model", "gcn")
    assert done.code == 2 and done.err.count("\n") == 1 and re.search(sentence, done.err), done.err
    assert not Path("runs").exists()


def test_no_pickle_is_read(graphpde, tmp_path: Path) -> None:
    class Gadget:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "ran",))

    Path("g.pt").write_bytes(pickle.dumps(Gadget()))
    Path("g.npz").write_bytes(pickle.dumps(Gadget()))
    for name in ("g.pt", "g.npz"):
        assert graphpde("classify", "--graph", name, "--model", "gcn").code == 2
    assert not (tmp_path / "ran").exists()


def test_folders_that_hold_something_else(graphpde) -> None:
    Path("own").mkdir()
    Path("own/notes.txt").write_text("mine")
    done = graphpde(*KARATE, "-o", "own")
    assert done.code == 2 and "holds files that no run wrote" in done.err
    Path("sim").mkdir()
    Path("sim/manifest.json").write_text('{"versions": {"graphpde": "0"}, "status": "ok"}')
    done = graphpde(*KARATE, "-o", "sim")
    assert done.code == 2 and "holds a run of another kind" in done.err


def test_the_lists_know_them(graphpde) -> None:
    models = graphpde("list", "models").out
    assert "grand " in models and "reference" in models and ":func:" not in models
    assert "karate" in graphpde("list", "datasets").out


def test_the_splits_that_are_drawn_are_those_of_the_library() -> None:
    from graphpde.train.split import fractions

    data = load("two_moons")
    found = partition(lambda _: data, (), splits=2)
    assert found.kind == "fractions" and found.seeds == 1
    for k, split in enumerate(found.splits):
        assert all(torch.equal(a, b) for a, b in zip(split, fractions(data.y, seed=k), strict=True))


def test_real_graphs(graphpde, shared_data: Path) -> None:
    """Directed edges and a class that nobody trains; ROC-AUC where the source judges by it."""
    root = shared_data / "graphs"
    if not root.is_dir():
        pytest.skip("the real graphs beside the checkout (../shared/data/graphs) are absent")
    line = ("--root", root, "--model", "gcn", "--json", *QUICK)
    done = graphpde("classify", "--dataset", "texas", *line, "--splits", 3, "-o", "texas")
    assert done.code == 0 and done.json["splits"] == 3 and done.json["dataset"] == "Texas"
    assert "warning: every split of 'Texas': no training node of class 1" in done.err
    done = graphpde("classify", "--dataset", "Minesweeper", *line, "--splits", 1, "-o", "mines")
    assert done.json["metric"] == "roc_auc" and 40 < done.json["test_accuracy_mean"] < 80
    found = graphpde("predict", "mines", "Minesweeper", "--root", root, "--json").json
    assert found["roc_auc"] == pytest.approx(done.json["test_accuracy_mean"]) and found["judged"] == "test nodes"
