"""``graphpde predict``: a saved model on the graph it knows and on others; what it refuses."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from graphpde.data import karate
from graphpde.run.predict import predict

QUICK = ("--epochs", 5, "--set", "hidden=8", "--seeds", 1, "--pictures", "none", "-o", "run")


def table(path: str) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def trained(graphpde, model: str = "gcn", *more: str) -> None:
    assert graphpde("classify", "--dataset", "karate", "--model", model, *QUICK, *more).code == 0


def club(name: str, n: int = 34, **more) -> str:
    """The karate club as a file; of fewer members if asked for."""
    data = karate()
    src, dst = data.graph.edges.pairs()
    kept = (src < n) & (dst < n)
    edges = np.stack([src[kept].numpy(), dst[kept].numpy()])
    np.savez(name, edges=edges, x=data.x.numpy()[:n], **more)
    return name


def test_the_graph_it_has_learned_from(graphpde) -> None:
    trained(graphpde)
    done = graphpde("predict", "run", "karate", "-o", "again.csv")
    assert done.code == 0 and done.err == "" and "% on the test nodes" in done.out
    assert Path("again.csv").read_bytes() == Path("run/predictions.csv").read_bytes()
    found = graphpde("predict", "run/model.safetensors", "karate", "--json").json
    assert found["judged"] == "test nodes" and sum(found["predicted"].values()) == found["nodes"] == 34


def test_other_graphs(graphpde) -> None:
    """The same graph without labels, one with labels, and a part of it."""
    trained(graphpde, "gcn", "--split", "fractions")
    known = [row["prediction"] for row in table("run/predictions.csv")]
    done = graphpde("predict", "run", club("bare.npz"))
    assert done.code == 0 and "accuracy" not in done.out
    rows = table("predictions.csv")
    assert [row["prediction"] for row in rows] == known and {row["label"] + row["part"] for row in rows} == {""}
    done = graphpde("predict", "run", club("labelled.npz", y=karate().y.numpy()))
    assert "% on the test nodes" in done.out  # edges, features and labels are those it has learned from
    done = graphpde("predict", "run", club("part.npz", 20, y=karate().y.numpy()[:20]), "--json")
    assert done.json["judged"] == "labelled nodes" and done.json["nodes"] == 20


def test_a_model_that_looks_at_labels(graphpde) -> None:
    trained(graphpde, "label_propagation")
    assert graphpde("predict", "run", "karate").code == 0
    done = graphpde("predict", "run", club("bare.npz", 30))
    assert done.code == 2 and "add y and train_mask to it" in done.err
    y = karate().y.numpy()[:30]
    assert graphpde("predict", "run", club("told.npz", 30, y=y, train_mask=np.arange(30) < 9)).code == 0


def test_every_changed_byte_is_refused(graphpde) -> None:
    trained(graphpde)
    path = Path("run/model.safetensors")
    whole = path.read_bytes()
    for at in (3, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        done = graphpde("predict", "run", "karate", "-o", "none.csv")
        assert done.code == 2 and done.err.count("\n") == 1 and "model.safetensors" in done.err
    path.write_bytes(whole[:-7])
    assert graphpde("predict", "run", "karate", "-o", "none.csv").code == 2
    assert not Path("none.csv").exists()


def test_what_cannot_be_predicted(graphpde) -> None:
    trained(graphpde)
    np.savez("wide.npz", edges=np.zeros((2, 0), dtype=int), x=np.ones((3, 5)))
    np.savez("strange.npz", edges=np.zeros((2, 0), dtype=int), x=np.ones((3, 34)), y=[0, 1, 9])
    Path("empty").mkdir()
    refused = {
        "reads 34 features and 'wide.npz' has 5": ("run", "wide.npz"),
        "unknown data set 'korate'": ("run", "korate"),
        "'empty' is not the folder of a run": ("empty", "karate"),
        "'nowhere' is not the folder of a run": ("nowhere", "karate"),
        "is a pickle": ("run", "model.pt"),
        "has a label 9 and 3 is the last class": ("run", "strange.npz"),
    }
    for sentence, line in refused.items():
        done = graphpde("predict", *line, "-o", "none.csv")
        assert done.code == 2 and sentence in done.err and done.err.count("\n") == 1, done.err
        assert not Path("none.csv").exists()
    Path("run/model.safetensors").unlink()
    assert "has no model yet; go on with it first: graphpde classify" in graphpde("predict", "run", "karate").err


def test_from_python(graphpde, tmp_path: Path) -> None:
    trained(graphpde)
    found = predict(tmp_path / "run", "karate")
    assert found.logits.shape == (34, 4) and found.split is not None and 0 <= found.score <= 1
    with pytest.raises(ValueError, match="reads 34 features"):
        predict(tmp_path / "run", "two_moons")
