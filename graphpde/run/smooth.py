"""How a model smooths at several depths or times: energies, gradients, accuracy, and when averaging alone ends."""

from __future__ import annotations

import inspect
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from graphpde.core.graph import Graph
from graphpde.data import DATASETS
from graphpde.data.node_data import NodeData
from graphpde.errors import GraphpdeError, InputError
from graphpde.graph_diffusion.classification import known
from graphpde.graph_diffusion.classifier import Classifier
from graphpde.graph_diffusion.collapse import (
    Collapse,
    Decay,
    Spectrum,
    collapse_time,
    energy_decay,
    every_eigenvalue,
    spectrum,
)
from graphpde.graph_diffusion.diagnostics import (
    Energies,
    GradientNorms,
    energies,
    gradient_norms,
    natural_kind,
    natural_speed,
    states_of,
)
from graphpde.graph_diffusion.models import MODELS
from graphpde.run.classify import Learned, Prepared, learn, prepare
from graphpde.run.experiment import MODEL, Reopened
from graphpde.run.predict import predict
from graphpde.run.recipe import Recipe
from graphpde.train.split import Split
from graphpde.viz import save_figure
from graphpde.viz.smoothing import Curve, SmoothingPicture, plot_smoothing

DEPTHS, TIMES = (2.0, 4.0, 8.0, 16.0, 32.0), (1.0, 4.0, 16.0, 64.0)
_MODES = 16  # slowest ones
_ALL = 3000  # nodes up to which every eigenvalue is found for the picture
_ENTRIES = 200_000  # of the state whose averaging is followed, at most: fewer channels of more nodes

Told = Callable[[int, int, float], None]
"""progress(depths done, depths, share)."""


class Look(NamedTuple):
    """A model looked into: its energies and, where it learns, its gradients."""

    energies: Energies
    gradients: GradientNorms | None


@dataclass(frozen=True)
class Row:
    """One depth or time.

    Attributes:
        depth: layers, steps or time. start: as initialised. trained: after training, or None.
        learned: what training came to, or None.
    """

    depth: float
    start: Look
    trained: Look | None = None
    learned: Learned | None = None

    @property
    def last(self) -> Look:
        return self.trained or self.start

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers: of the last state before the logits, and all of them."""
        out: dict[str, Any] = {"depth": self.depth}
        for name, look in {"initial": self.start, "trained": self.trained}.items():
            if look is not None:
                out[name] = _told(look)
        if self.learned is not None:
            out |= {key: 100 * getattr(self.learned, key) for key in ("test", "val", "train")}
            out["epochs"] = self.learned.epochs
        return out


@dataclass(frozen=True)
class Smoothed:
    """What :func:`smooth` came to.

    Attributes:
        model, data: names. unit: "layer" or "time". kind: of the Laplacian. rows: one for each depth.
        spectrum: of it. collapse, decay: of averaging alone from what the deepest model starts with; None where there
            is no such thing, and then ``remark`` says why. graph, loops: that the Laplacian belongs to.
    """

    model: str
    data: str
    unit: str
    kind: str
    rows: Sequence[Row]
    spectrum: Spectrum
    collapse: Collapse | None
    decay: Decay | None
    remark: str
    graph: Graph
    loops: float

    def as_dict(self) -> dict[str, Any]:
        """For machines; what is not finite is None."""
        ends = self.spectrum
        largest = int(ends.sizes.argmax()) if len(ends.sizes) else 0
        out = {
            "model": self.model, "dataset": self.data, "unit": self.unit, "laplacian": self.kind,
            "rows": [row.as_dict() for row in self.rows],
            "spectrum": {
                "components": ends.zeros, "largest_component": int(ends.sizes.max()) if ends.zeros else 0,
                "gap": ends.gap, "gap_of_largest": float(ends.gaps[largest]) if ends.zeros else math.inf,
                "lowest": ends.values.tolist(), "highest": ends.highest.tolist(),
            },
            "collapse": None if self.collapse is None else self.collapse._asdict(),
            "averaging_alone": None if self.decay is None else self.decay._asdict(),
            "remark": self.remark,
        }  # fmt: skip
        return {key: _finite(value) for key, value in out.items()}

    def draw(self, path: str | os.PathLike[str]) -> Path:
        """Energies, gradients and eigenvalues, as PNG, SVG or PDF."""
        energy, gradients = [], []
        for number, row in enumerate(self.rows):
            name = f"{'T =' if self.unit == 'time' else 'depth'} {row.depth:g}"
            for look in (row.start, row.trained):
                if look is None:
                    continue
                before = look is row.start and row.trained is not None
                if not before or row is self.rows[-1]:  # what is not learned yet looks the same at all depths
                    said = f"{name}, {'trained' if look is row.trained else 'as initialised'}"
                    energy.append(Curve(said, look.energies.positions, look.energies.energy, before, number))
                norms = look.gradients
                if norms is not None:
                    gradients.append(Curve(name, norms.positions, norms.states, before, number))
        first = float(self.unit == "layer")  # what is averaged stands after the first layer
        alone = {} if self.decay is None else {"x": [first + t for t in self.decay.times], **self.decay._asdict()}
        end = None if self.collapse is None else (self.collapse.predicted, self.collapse.measured)
        whole, ends = self.graph.n <= _ALL, self.spectrum
        known_ones = torch.cat([torch.zeros(ends.zeros), ends.values, ends.highest])
        found = every_eigenvalue(self.graph, self.kind, loops=self.loops) if whole else known_ones
        picture = SmoothingPicture(self.unit, energy, gradients, alone, end, found, whole, ends.gap)
        figure = plot_smoothing(picture, title=f"{self.model} on {self.data}: energy, gradients and spectrum")
        return save_figure(figure, path)


def depth_of(recipe: Recipe) -> str:
    """The setting that says how deep a model is: "layers", "steps" or "time".

    Raises:
        InputError: it has none.
    """
    kind = MODELS[recipe.model]
    if issubclass(kind, Classifier):
        return "time"
    known_by = inspect.signature(kind.__init__).parameters
    for name in ("steps", "layers"):
        if name in known_by:
            return name
    raise InputError(f"the model '{recipe.model}' has neither layers nor a time, so there is no depth to vary")


def smooth(
    data: NodeData,
    split: Split,
    recipe: Recipe,
    depths: Sequence[float] = (),
    *,
    seed: int = 0,
    trained: bool = True,
    fraction: float = 0.01,
    progress: Told | None = None,
) -> Smoothed:
    """Build a model at each depth, look into it, train it and look again.

    Args:
        split: which nodes train, choose and judge. recipe: of the model, whose depth is replaced.
        depths: layers, steps or times; by default 2 ... 32, or times 1 ... 64. trained: whether to train.
        fraction: of the distance to its limit at which averaging alone counts as ended.

    Raises:
        InputError: a depth that the model cannot have, a split without nodes.
    """
    key = depth_of(recipe)
    depths = depths or (TIMES if key == "time" else DEPTHS)
    wanted = sorted({_depth(d, key) for d in depths})
    ready, rows = prepare(data, recipe), []
    for number, depth in enumerate(wanted):
        changed = recipe.having({key: depth})
        model = _initial(changed, data, seed)
        row = Row(float(depth), _look(model, ready, split))
        if trained:
            learned = learn(data, split, changed, seed, ready=ready)
            row = replace(row, learned=learned, trained=_look(learned.model, ready, split))
        rows.append(row)
        if progress is not None:
            progress(number + 1, len(wanted), (number + 1) / len(wanted))
    return _with_collapse(data, ready, recipe.model, rows, model, fraction)


def smooth_saved(
    data: NodeData, split: Split, recipe: Recipe, model: nn.Module, *, seed: int = 0, fraction: float = 0.01
) -> Smoothed:
    """The same of one trained model, beside what it was before training."""
    ready, start = prepare(data, recipe), _initial(recipe, data, seed)
    looks = [_look(m, ready, split) for m in (start, model)]
    depth = float(getattr(model, "time", looks[1].energies.positions[-1]))
    return _with_collapse(data, ready, recipe.model, [Row(depth, looks[0], looks[1])], start, fraction)


def _with_collapse(
    data: NodeData, ready: Prepared, name: str, rows: Sequence[Row], model: nn.Module, fraction: float
) -> Smoothed:
    kind, loops = natural_kind(model)
    steps, remark = rows[-1].start.energies.unit == "layer", ""
    found, decay = None, None
    ends = spectrum(ready.graph, kind, _MODES, loops=loops)
    first = states_of(model, ready.graph, ready.x, None if steps else [0.0]).states[0]
    first = first[:, : max(8, _ENTRIES // max(ready.graph.n, 1))]
    how: dict[str, Any] = {"alpha": natural_speed(model), "kind": kind, "loops": loops, "steps": steps, "modes": _MODES}
    try:
        found = collapse_time(ready.graph, first, fraction, **how)
        deepest = max(rows[-1].depth, 1.2 * found.measured if found.measured > 0 else 1.0)
        decay = energy_decay(ready.graph, first, _moments(deepest, steps), **how)
    except GraphpdeError as error:
        remark = f"averaging alone: {error}"
    unit = "layer" if steps else "time"
    return Smoothed(name, data.name, unit, kind, rows, ends, found, decay, remark, ready.graph, loops)


def _depth(value: float, key: str) -> float | int:
    if not 0 < value < math.inf or (key != "time" and value != int(value)):
        raise InputError(
            f"got a depth of {value:g}, expected {'a time > 0' if key == 'time' else f'a number of {key}'}"
        )
    return float(value) if key == "time" else int(value)


def _initial(recipe: Recipe, data: NodeData, seed: int) -> nn.Module:
    """The model as training begins."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return recipe.build(data.features, data.classes)


def _look(model: nn.Module, ready: Prepared, split: Split) -> Look:
    times = _moments(model.time, False) if isinstance(model, Classifier) else None
    told = known(model, split.train, ready.y, labels=True)
    found = energies(model, ready.graph, ready.x, times, known=told)
    if not any(p.requires_grad for p in model.parameters()):
        return Look(found, None)
    return Look(found, gradient_norms(model, ready.graph, ready.x, ready.y, split.train, times))


def _moments(end: float, steps: bool) -> list[float]:
    """Positions from 0 on that stand evenly on a logarithmic scale."""
    if steps:
        found = {0, *(round(2 ** (k / 3)) for k in range(64) if 2 ** (k / 3) < end), math.ceil(end)}
        return [float(k) for k in sorted(found)]
    return [0.0, *(end * 2.0 ** (k / 2 - 6) for k in range(13))]


def _told(look: Look) -> dict[str, Any]:
    found, norms = look.energies, look.gradients
    out: dict[str, Any] = {
        "positions": found.positions, "energy": found.energy, "distance": found.distance,
        "final_energy": hidden(found)[0], "final_distance": hidden(found)[1],
    }  # fmt: skip
    if norms is not None:
        out |= {"loss": norms.loss, "gradient_positions": norms.positions, "gradient_at_states": norms.states}
        out["gradient_of_parameters"] = norms.parameters
    return out


def hidden(found: Energies) -> tuple[float, float]:
    """Energy and distance of the last state before the logits, which are the last layer."""
    at = -2 if found.unit == "layer" and len(found.energy) > 1 else -1
    return found.energy[at], found.distance[at]


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(v) for key, v in value.items()}
    return [_finite(v) for v in value] if isinstance(value, Sequence) and not isinstance(value, str) else value


def smooth_run(
    run: str | os.PathLike[str], graph: str = "", root: str | os.PathLike[str] | None = None, fraction: float = 0.01
) -> Smoothed:
    """:func:`smooth_saved` of the model of a classification, on the graph that it has learned from.

    Args:
        run: its folder, or the saved model. graph: an .npz file or the name of a data set; by default the data set that
            the model names. root: see :func:`~graphpde.data.load`.

    Raises:
        CheckpointError: no run, or a damaged model. InputError: another graph than the one it has learned from, or none
            where that was a file.
    """
    file = Path(run) / MODEL if Path(run).is_dir() else Path(run)
    name = graph or (Reopened(file).about["data"] if file.exists() else "")
    if name and not graph and name not in DATASETS:
        raise InputError(
            f"the model of '{os.fspath(run)}' has learned from a file called '{name}' and does not keep the graph; "
            f"give it with --graph {name}.npz"
        )
    found = predict(run, name, root)
    opened = Reopened(file)
    if found.split is None:
        raise InputError(
            f"'{name}' is not the graph that the model of '{os.fspath(run)}' has learned from, which was called "
            f"'{opened.about['data']}'"
        )
    return smooth_saved(
        found.data, found.split, opened.recipe, opened.model, seed=opened.about["seed"], fraction=fraction
    )
