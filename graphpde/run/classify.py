"""Training classifiers of nodes and measuring them: validation chooses, the test nodes are looked at once."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from graphpde.data.node_data import NodeData
from graphpde.errors import InputError
from graphpde.graph_diffusion.classification import NodeClassification, known
from graphpde.graph_diffusion.classifier import Known
from graphpde.graph_diffusion.layered import Layered
from graphpde.graph_diffusion.sampling import NeighbourSampler
from graphpde.nets.features import Features, SparseFeatures
from graphpde.run.recipe import Recipe, Training
from graphpde.train.batches import Epochs
from graphpde.train.fit import Hook, fit
from graphpde.train.history import History
from graphpde.train.hooks import Best, EarlyStopping, Measure, evaluating
from graphpde.train.metrics import METRICS
from graphpde.train.split import Split


class Prepared(NamedTuple):
    """Data as a model sees them: edges in both directions and once, features of its type."""

    graph: Any
    x: Features
    y: Tensor


class Learned(NamedTuple):
    """One trained model.

    Attributes:
        model: with the parameters of the epoch that validation chose, in evaluation mode.
        test, val, train: the metric on those nodes, in [0, 1]. epoch: the chosen one. epochs: how many were trained.
        seconds, cpu: of wall and of processor for each epoch, training and evaluation. evaluations: of the right-hand
            side in each epoch, both passes. logits: of all nodes [n, k]. history: of the fit.
    """

    model: nn.Module
    test: float
    val: float
    train: float
    epoch: int
    epochs: int
    seconds: float
    cpu: float
    evaluations: float
    logits: Tensor
    history: History


def prepare(data: NodeData, recipe: Recipe, dtype: torch.dtype = torch.float32) -> Prepared:
    """The data as the recipe wants them."""
    data = data.undirected()
    x = data.x.to(dtype=dtype)
    if recipe.training.features == "rows" and not _negative(x):
        x = x.rows_normalised() if isinstance(x, SparseFeatures) else _rows_normalised(x)
    return Prepared(data.graph, x, data.y)


def _negative(x: Features) -> bool:
    """Whether a feature is negative, so that the sum of a row says nothing of its size."""
    return bool(((x.values if isinstance(x, SparseFeatures) else x) < 0).any())


def _rows_normalised(x: Tensor) -> Tensor:
    total = x.sum(1, keepdim=True)
    return x / torch.where(total == 0, torch.ones_like(total), total)


class _Watched:
    """Measures the validation nodes after every epoch, and counts what the model spends."""

    def __init__(self, data: NodeData, split: Split, recipe: Recipe, ready: Prepared):
        self.ready, self.split, self.loss = ready, split, recipe.training.choose == "loss"
        self.metric, self.evaluations = METRICS[data.metric], 0
        self.column, self.mode = ("val_loss", "min") if self.loss else ("val", "max")

    def told(self, model: nn.Module) -> Known | None:
        return known(model, self.split.train, self.ready.y, labels=True)

    def logits(self, model: nn.Module) -> Tensor:
        return model(self.ready.graph, self.ready.x, self.told(model))

    def __call__(self, model: nn.Module) -> Mapping[str, float]:
        self._count(model)  # of the training pass
        logits, y = self.logits(model), self.ready.y
        self._count(model)
        found = {"val": self.metric(logits, y, self.split.val)}
        if self.loss:
            at = self.split.val & (y >= 0)
            found["val_loss"] = float(nn.functional.cross_entropy(logits[at], y[at]))
        return found

    def _count(self, model: nn.Module) -> None:
        self.evaluations += getattr(model, "spent", {}).get("evaluations", 0)


def learn(
    data: NodeData,
    split: Split,
    recipe: Recipe,
    seed: int = 0,
    *,
    hooks: Sequence[Hook] = (),
    ready: Prepared | None = None,
) -> Learned:
    """Train one model and measure it.

    After every epoch the model is evaluated; the parameters of the epoch with the best validation metric are kept (of
    equal ones the first), and with them, at the end, the test nodes are looked at for the only time.

    Args:
        data: see :class:`~graphpde.data.NodeData`. split: which nodes train, choose and judge.
        recipe: see :class:`~graphpde.run.recipe.Recipe`. seed: of parameters, dropout and everything else drawn.
        hooks: further ones for :func:`~graphpde.train.fit`. ready: of :func:`prepare`, to save doing it again.

    Raises:
        InputError: an empty part of the split, or data that the model cannot use.
    """
    for part in ("train", "val", "test"):
        if not bool(getattr(split, part).any()):
            raise InputError(f"the split has no {part} nodes; give another one")
    for one, other in (("train", "val"), ("train", "test"), ("val", "test")):
        shared = int((getattr(split, one) & getattr(split, other)).sum())
        if shared:
            raise InputError(f"the split has {shared} nodes in both {one} and {other}; the parts must not overlap")
    training, ready, history = recipe.training, ready or prepare(data, recipe), History()
    steps = -(-int((split.train & (ready.y >= 0)).sum()) // training.batch) if training.fanouts else 1
    watched = _Watched(data, split, recipe, ready)
    best = Best(watched.column, watched.mode)
    watching: list[Hook] = [Measure(watched, every=steps), best, *hooks]
    if training.patience:
        watching.append(EarlyStopping(watched.column, training.patience, watched.mode))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = recipe.build(data.features, data.classes)
        wall, cpu = time.perf_counter(), time.process_time()
        if any(p.requires_grad for p in model.parameters()):
            objective = NodeClassification(split.train, ready.y, reveal=training.reveal, smoothing=training.smoothing)
            how: dict[str, Any] = {"update": training.rule(), "steps": Epochs(training.epochs), "hooks": watching}
            rng = torch.Generator().manual_seed(seed)
            history = fit(model, objective, _batches(model, split, training, ready), rng=rng, **how)
            best.restore(model)
        epochs = max(len(history) // steps, 1)
        wall, cpu = (time.perf_counter() - wall) / epochs, (time.process_time() - cpu) / epochs
        with evaluating(model):
            logits = watched.logits(model).detach()
    model.eval()
    test, val, train = (watched.metric(logits, ready.y, mask) for mask in (split.test, split.val, split.train))
    spent = watched.evaluations / epochs
    return Learned(model, test, val, train, best.step // steps, epochs, wall, cpu, spent, logits, history)


def _batches(model: nn.Module, split: Split, training: Training, ready: Prepared) -> Any:
    """The whole graph in every step, or parts of it around some of the training nodes."""
    if not training.fanouts:
        return [tuple(ready)]
    check_fanouts(model, training)
    normalising: Any = model
    seeds = split.train & (ready.y >= 0)
    return NeighbourSampler(ready.graph, ready.x, training.fanouts, seeds, training.batch, model=normalising)


def check_fanouts(model: nn.Module, training: Training) -> None:
    """Refuse parts of a graph for a model that cannot learn from them.

    Raises:
        InputError: it does not say how it normalises a graph, or has another number of layers than there are fanouts.
    """
    name, fanouts = type(model).__name__, list(training.fanouts)
    if not hasattr(model, "normalisation") or not any(p.requires_grad for p in model.parameters()):
        raise InputError(f"{name} cannot be trained on parts of a graph; leave fanouts out")
    if isinstance(model, Layered) and len(fanouts) != model.layers:
        raise InputError(f"fanouts = {fanouts}, expected one number for each of the {model.layers} layers of {name}")


def peak_megabytes() -> float:
    """The most memory that this process has held."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (1024 if sys.platform != "darwin" else 1024**2)
