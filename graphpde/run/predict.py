"""Predictions of a saved model on the graph it has learned from, or on another one with the same features."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from graphpde.data import DATASETS, load
from graphpde.data.dataset import dataset
from graphpde.data.node_data import NodeData
from graphpde.errors import CheckpointError, InputError
from graphpde.run.classified import KIND, read_manifest
from graphpde.run.classify import prepare
from graphpde.run.experiment import MODEL, Reopened, fingerprint
from graphpde.run.graph_file import GraphFile, is_file, read_graph
from graphpde.train.metrics import METRICS
from graphpde.train.split import SPLITS, Split


@dataclass(frozen=True)
class Predicted:
    """What a model says of a graph.

    Attributes:
        about: what the model says of itself. data: the graph. labelled: whether its labels mean anything.
        logits: [n, k]. split: the parts of the graph that it has learned from, if this is that graph, else None.
    """

    about: dict[str, Any]
    data: NodeData
    labelled: bool
    logits: Tensor
    split: Split | None

    @property
    def names(self) -> list[str]:
        """Of the classes."""
        return self.about["class_names"] or [str(c) for c in range(self.about["classes"])]

    @property
    def score(self) -> float | None:
        """The metric on the test nodes of the graph it has learned from, on all labelled nodes of another one."""
        if not self.labelled:
            return None
        mask = self.split.test if self.split is not None else self.data.y >= 0
        return METRICS[self.about["metric"]](self.logits, self.data.y, mask)

    @property
    def counts(self) -> list[int]:
        """Nodes of each predicted class."""
        return self.logits.argmax(1).bincount(minlength=self.logits.shape[1]).tolist()


def predict(run: str | os.PathLike[str], graph: str, root: str | os.PathLike[str] | None = None) -> Predicted:
    """Classes of the nodes of a graph.

    Args:
        run: folder of a classification, or a saved model. graph: an .npz file or the name of a data set.
        root: see :func:`~graphpde.data.load`.

    Raises:
        CheckpointError: no run, or a model that is damaged. InputError: a graph with other features, or without the
            labels that the model reads.
    """
    opened = Reopened(_model_file(Path(run)))
    found = _read(opened, graph, root)
    data = found.data
    if data.features != opened.about["features"]:
        raise InputError(
            f"the model of '{os.fspath(run)}' reads {opened.about['features']} features and '{graph}' has "
            f"{data.features}; give a graph with the same columns as '{opened.about['data']}'"
        )
    last = opened.about["classes"] - 1
    if found.labelled and int(data.y.max()) > last:
        raise InputError(f"'{graph}' has a label {int(data.y.max())} and {last} is the last class of the model")
    same = fingerprint(data) == opened.about["data_sha256"]
    split = _split_of(opened, data) if same else None
    told = split or (data.splits[0] if data.splits and found.labelled else None)
    if told is None and getattr(opened.model, "reads", "nothing") != "nothing":
        raise InputError(
            f"the model '{opened.recipe.model}' looks at nodes whose label is known, and '{graph}' says of none that "
            f"it is; add y and train_mask to it"
        )
    ready = prepare(data, opened.recipe)
    logits = opened.logits(ready, None if told is None else told.train)
    return Predicted(opened.about, data, found.labelled, logits, split)


def _model_file(run: Path) -> Path:
    if run.is_file():
        return run
    manifest = read_manifest(run)
    if not manifest:
        raise CheckpointError(f"'{run}' is not the folder of a run; 'graphpde classify' makes one")
    if manifest.get("kind") != KIND:
        raise CheckpointError(f"'{run}' holds a run of another kind, without a model; 'graphpde classify' makes one")
    if not (run / MODEL).exists():
        raise CheckpointError(f"the run in '{run}' has no model yet; go on with it first: {manifest.get('command')}")
    return run / MODEL


def _read(opened: Reopened, graph: str, root: str | os.PathLike[str] | None) -> GraphFile:
    if is_file(graph) and graph not in DATASETS:
        return read_graph(graph, labels=False)
    entry, kind = dataset(graph), opened.about["split"][0]
    split = kind if entry.name == opened.about["data"] and kind in entry.splits else None
    return GraphFile(load(graph, root, split), True)


def _split_of(opened: Reopened, data: NodeData) -> Split | None:
    """The parts of the graph that the model has learned from; None where the graph does not say them."""
    kind, number = opened.about["split"]
    if kind in SPLITS:
        drawn: Split = SPLITS[kind](data.y, seed=number)
        return drawn
    return data.splits[number] if number < len(data.splits) else None
