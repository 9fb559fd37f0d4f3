"""One training run of many over splits and seeds, as processes carry it out, and what it leaves in the run folder."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from graphpde.data.node_data import NodeData
from graphpde.errors import CheckpointError, GraphpdeError, InputError
from graphpde.graph_diffusion.classification import NodeClassification, known
from graphpde.nets.features import SparseFeatures
from graphpde.run.classify import Prepared, check_fanouts, learn, peak_megabytes, prepare
from graphpde.run.recipe import Recipe, from_table
from graphpde.train.checkpoint import SavedModel, load_model, save_model
from graphpde.train.fit import Hook, Progress
from graphpde.train.history import History
from graphpde.train.hooks import evaluating
from graphpde.train.metrics import confusion
from graphpde.viz.files import written

MODEL = "model.safetensors"
_SEEDS = 1_000_000  # the most for each split

Watch = Callable[[int, int], bool]
"""watch(epoch, epochs) -> whether somebody asked to stop."""


class Stopped(GraphpdeError):
    """Somebody asked to stop before the fit had ended."""


def number_of(split: int, seed: int) -> int:
    """One number for a split and a seed, the same however many there are of either."""
    return split * _SEEDS + seed


def file_of(number: int) -> str:
    """The stem of the files of a run."""
    return "split{}-seed{}".format(*divmod(number, _SEEDS))


@dataclass
class Experiment:
    """Called with a number of :func:`number_of` it trains one model, keeps it, and returns a row of plain values.

    Attributes:
        data: whose splits are counted. kind: of these splits. recipe: how. folder: of the run.
        watch: told every epoch; only in the process that has it.
    """

    data: NodeData
    kind: str
    recipe: Recipe
    folder: Path
    watch: Watch | None = None

    def __getstate__(self) -> dict[str, Any]:
        kept = ("data", "kind", "recipe", "folder")
        return {**{name: getattr(self, name) for name in kept}, "watch": None}

    @cached_property
    def ready(self) -> Prepared:
        """The data as the model sees them."""
        return prepare(self.data, self.recipe)

    @cached_property
    def sha256(self) -> str:
        """Of the data."""
        return fingerprint(self.data)

    def __call__(self, number: int) -> dict[str, Any]:
        split, seed = divmod(number, _SEEDS)
        parts, stem = self.data.splits[split], file_of(number)
        hooks: list[Hook] = [] if self.watch is None else [_Asked(self.watch, self.recipe.training.epochs)]
        learned = learn(self.data, parts, self.recipe, seed, hooks=hooks, ready=self.ready)
        write_history(self.folder / "history" / f"{stem}.csv", learned.history)
        save_model(self.folder / "models" / f"{stem}.safetensors", learned.model, self._about(split, seed))
        return {
            "split": split,
            "seed": seed,
            "test": learned.test,
            "val": learned.val,
            "train": learned.train,
            "epoch": learned.epoch,
            "epochs": learned.epochs,
            "seconds": learned.seconds,
            "cpu": learned.cpu,
            "evaluations": learned.evaluations,
            "peak_mb": peak_megabytes(),
            "confusion": confusion(learned.logits, self.ready.y, parts.test).tolist(),
        }

    def _about(self, split: int, seed: int) -> dict[str, Any]:
        """What a saved model is built from and was trained on."""
        return {
            "recipe": self.recipe.as_dict(),
            "features": self.data.features,
            "classes": self.data.classes,
            "class_names": list(self.data.class_names),
            "metric": self.data.metric,
            "data": self.data.name,
            "data_sha256": self.sha256,
            "split": [self.kind, split],
            "seed": seed,
        }

    def try_out(self) -> None:
        """Build the model and evaluate it once, so that what cannot be used is told before anything is written.

        Raises:
            GraphpdeError: of whatever kind the model finds.
        """
        training, first = self.recipe.training, self.data.splits[0]
        NodeClassification(first.train, reveal=training.reveal, smoothing=training.smoothing)
        with torch.random.fork_rng(devices=[]):
            model = self.recipe.build(self.data.features, self.data.classes)
        training.rule().split(dict(model.named_parameters()))
        if training.fanouts:
            check_fanouts(model, training)
        told = known(model, first.train, self.ready.y, labels=True)
        with evaluating(model):
            logits = model(self.ready.graph, self.ready.x, told)
        if not bool(torch.isfinite(logits).all()):
            raise InputError(
                f"the model '{self.recipe.model}' gives values that are not finite before it has learned anything; "
                f"check the features, or take a smaller time or step"
            )


class _Asked:
    """Tells every epoch, and ends the fit where somebody asks to."""

    def __init__(self, watch: Watch, epochs: int):
        self.watch, self.epochs = watch, epochs

    def __call__(self, progress: Progress) -> None:
        if self.watch(progress.epoch, self.epochs):
            raise Stopped("interrupted")

    def state(self) -> dict[str, Any]:
        """For checkpoints: nothing."""
        return {}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Nothing to go on from."""


def write_history(path: Path, history: History) -> None:
    """A line for each step; what was not measured in it is empty."""
    lines = [",".join(history.columns)]
    lines += [",".join("" if value != value else f"{value:.10g}" for value in row.values()) for row in history.rows]
    with written(path) as aside:
        aside.write_text("\n".join(lines) + "\n", encoding="utf-8")


class Reopened:
    """A saved model, built again from its recipe, in evaluation mode.

    Attributes:
        about: what it says of itself. recipe, model: from it.

    Raises:
        CheckpointError: it is damaged, or no model of a classification.
    """

    def __init__(self, path: Path):
        saved: SavedModel = load_model(path)
        self.about = saved.config
        try:
            said = saved.config["recipe"]
            table = {**said["settings"], "training": said["training"], "origin": said["origin"]}
            self.recipe = from_table(said["model"], table)
            self.model = self.recipe.build(int(self.about["features"]), int(self.about["classes"]))
        except (KeyError, TypeError) as error:
            raise CheckpointError(
                f"'{path}' does not say what its model is built from ({error}); save it by 'graphpde classify'"
            ) from None
        saved.put(self.model)
        self.model.eval()

    def logits(self, ready: Prepared, train: Tensor | None) -> Tensor:
        """Of all nodes [n, k]; ``train``: nodes whose labels a model that reads some is told [n], or None."""
        told = None if train is None else known(self.model, train, ready.y, labels=True)
        with evaluating(self.model), one_thread():
            found: Tensor = self.model(ready.graph, ready.x, told)
        return found


@contextmanager
def one_thread() -> Iterator[None]:
    """As the runs themselves: sums in another number of parts round differently."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def fingerprint(data: NodeData) -> str:
    """SHA-256 of edges, weights, features (dense or sparse alike) and labels."""
    x = data.x if isinstance(data.x, SparseFeatures) else SparseFeatures.from_dense(data.x)
    return checksum([*data.graph.edges.pairs(), data.graph.weight, *x.relation.pairs(), x.values, data.y])


def checksum(tensors: Sequence[Tensor]) -> str:
    """SHA-256 of types, shapes and values."""
    digest = hashlib.sha256()
    for tensor in tensors:
        plain = tensor.detach().cpu().contiguous()
        digest.update(f"{plain.dtype} {list(plain.shape)};".encode())
        digest.update(plain.numpy().tobytes())
    return digest.hexdigest()
