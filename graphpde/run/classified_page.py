"""The pictures and the page of a classification."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from graphpde.core.networks import layout
from graphpde.errors import GraphpdeError
from graphpde.graph_diffusion.classification import known
from graphpde.graph_diffusion.diagnostics import energies, states_of
from graphpde.run.classify import Prepared
from graphpde.run.experiment import Reopened, file_of, number_of
from graphpde.run.folder import RunFolder
from graphpde.run.manifest import versions
from graphpde.train.metrics import mean_std
from graphpde.viz import Picture, Report, Table, save_figure, write_report
from graphpde.viz.classification import plot_classes, plot_confusion, plot_energy, plot_training

if TYPE_CHECKING:
    from graphpde.run.classified import Classified

_SPRINGS = 500  # nodes up to which linked ones are drawn together


class Shown:
    """What the pictures are made of.

    Attributes:
        result: see :class:`~graphpde.run.classified.Classified`. opened: the best model. ready: data as it sees them.
        logits: of it [n, k]. names: of the classes, perhaps none. what: model and data.
        which: the best run in words.
    """

    def __init__(self, result: Classified, opened: Reopened, ready: Prepared, logits: Tensor, folder: RunFolder):
        self.result, self.opened, self.ready, self.logits, self.folder = result, opened, ready, logits, folder
        self.names = result.task.data.class_names
        split, seed = result.best["split"], result.best["seed"]
        self.number, self.split = number_of(split, seed), result.task.data.splits[split]
        self.what = f"{result.task.recipe.model} on {result.task.data.name}"
        self.which = f"split {split}, seed {seed}"

    @property
    def told(self) -> Any:
        return known(self.opened.model, self.split.train, self.ready.y, labels=True)


def write_page(result: Classified, folder: RunFolder, opened: Reopened, ready: Prepared, logits: Tensor) -> None:
    """Write ``report.html`` and the pictures in it; what cannot be drawn is said there."""
    shown, pictures, notes = Shown(result, opened, ready, logits, folder), [], []
    for name, draw in _PICTURES.items() if result.task.pictures else ():
        try:
            for figure, caption in draw(shown):
                file = save_figure(figure, folder.path / "figures" / f"{name}.png", dpi=130)
                pictures.append(Picture(file.read_bytes(), caption))
        except GraphpdeError as error:
            notes.append(f"the picture '{name}' could not be drawn: {error}")
    task = result.task
    report = Report(
        f"{task.recipe.model} on {task.data.name}", headline(result) + ".", [], pictures,
        [_runs(result, notes), *_about(result)], command=task.command, versions=versions(),
    )  # fmt: skip
    write_report(folder.path / "report.html", report)


def headline(result: Classified) -> str:
    """The result in one line."""
    rows, data = result.rows, result.task.data
    spread = mean_std(100 * row["test"] for row in rows)
    splits, seeds = len({row["split"] for row in rows}), len({row["seed"] for row in rows})
    over = f"{seeds} seed{'s' * (seeds > 1)}" if splits == 1 else f"{splits} splits"
    over += f" x {seeds} seeds" if splits > 1 and seeds > 1 else ""
    if len(rows) == 1:
        return f"test {_word(data.metric)} {spread.mean:.1f} % (one run)"
    return f"test {_word(data.metric)} {spread.mean:.1f} \u00b1 {spread.std:.1f} % (mean \u00b1 std over {over})"


def _word(metric: str) -> str:
    return {"roc_auc": "ROC-AUC", "macro_f1": "macro F1"}.get(metric, metric)


def _runs(result: Classified, notes: Sequence[str]) -> Table:
    columns = {"test": "test [%]", "val": "validation [%]", "train": "training [%]"}
    rows: list[list[Any]] = [
        [str(row["split"]), str(row["seed"]), *(f"{100 * row[key]:.2f}" for key in columns), row["epoch"],
         row["epochs"], f"{row['seconds']:.3g}", f"{row['evaluations']:.3g}"]
        for row in result.rows
    ]  # fmt: skip
    if len(rows) > 1:
        spreads = [mean_std(100 * row[key] for row in result.rows) for key in columns]
        rows.append(["mean", "", *(f"{s.mean:.2f}" for s in spreads), "", "", "", ""])
        rows.append(["std", "", *(f"{s.std:.2f}" for s in spreads), "", "", "", ""])
    header = ["split", "seed", *columns.values(), "chosen epoch", "epochs", "seconds an epoch", "evaluations an epoch"]
    more = [f"{name} has no result: {reason}" for name, reason in result.failed.items()]
    return Table(f"Runs, {_word(result.task.data.metric)}", rows, header=header, notes=[*more, *notes])


def _about(result: Classified) -> Iterator[Table]:
    task, data = result.task, result.task.data
    edges = data.graph.edges.n_edges
    sizes = [f"{part} {int(mask.sum())}" for part, mask in data.splits[0]._asdict().items()]
    about = {
        "source": data.source, "nodes": data.n, "edges as published": edges, "features": data.features,
        "classes": data.classes, "share of edges within a class": f"{data.homophily():.3f}" if edges else "no edges",
        "split": task.partition.kind, "nodes of the first split": ", ".join(sizes),
    }  # fmt: skip
    yield Table(f"Data: {data.name}", list(about.items()), notes=[*task.partition.remarks, *data.warnings])
    recipe = task.recipe.as_dict()
    values = {**recipe["settings"], **{f"training.{k}": v for k, v in recipe["training"].items()}}
    rows = [(name, _text(value)) for name, value in values.items() if value not in ("", {}, [], ())]
    origin = recipe["origin"] or "the defaults of the model where nothing is said here"
    yield Table(f"Recipe: {task.recipe.model}", [*rows, ("origin", origin)])


def _text(value: Any) -> str:
    """A setting as a reader would write it."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_text(inner)}" for name, inner in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_text, value))
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _confusion(shown: Shown) -> Iterator[tuple[Any, str]]:
    rows = shown.result.rows
    counts = torch.tensor([row["confusion"] for row in rows]).sum(0)
    runs = "one run" if len(rows) == 1 else f"{len(rows)} runs, summed"
    figure = plot_confusion(counts, shown.names, title=f"{shown.what}: test nodes of {runs}")
    yield figure, f"Test nodes by their class and the one that is predicted ({runs})."


def _training(shown: Shown) -> Iterator[tuple[Any, str]]:
    columns = read_history(shown.folder, shown.number)
    steps = len(columns.get("step", [])) // shown.result.best["epochs"]
    # where an epoch is of several steps, its last one is measured
    measured = {name: values[steps - 1 :: steps] for name, values in columns.items()} if steps else {}
    if len(measured.get("val", [])) < 2:
        return
    losses = {"loss on training nodes": measured["loss"]}
    if "val_loss" in measured:
        losses["loss on validation nodes"] = measured["val_loss"]
    metrics = {f"validation {_word(shown.result.task.data.metric)}": measured["val"]}
    epochs = range(1, len(measured["val"]) + 1)
    figure = plot_training(
        list(epochs), losses, metrics, chosen=shown.result.best["epoch"], title=f"{shown.what}, {shown.which}"
    )
    yield figure, f"Training of the run with the best validation value ({shown.which})."


def read_history(folder: RunFolder, number: int) -> Mapping[str, list[float]]:
    """Columns of the history of a run; none where it has no file."""
    try:
        head, *lines = (folder.path / "history" / f"{file_of(number)}.csv").read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return {}
    rows = [[float(word or "nan") for word in line.split(",")] for line in lines]
    return {name: [row[k] for row in rows] for k, name in enumerate(head.split(","))}


def _smoothing(shown: Shown) -> Iterator[tuple[Any, str]]:
    ready = shown.ready
    found = energies(shown.opened.model, ready.graph, ready.x, known=shown.told)
    if len(found.positions) < 3 or not any(value > 0 for value in found.energy):
        return
    figure = plot_energy(found.positions, found.energy, found.unit, title=f"{shown.what}, {shown.which}")
    yield (
        figure,
        f"Dirichlet energy of the state against its size, 0 where neighbours agree (Laplacian: "
        f"{found.kind.replace('_', ' ')}), over {found.unit} ({shown.which}).",
    )


def _classes(shown: Shown) -> Iterator[tuple[Any, str]]:
    graph, y = shown.ready.graph, shown.ready.y
    prediction = shown.logits.argmax(1)
    wrong = (y >= 0) & (prediction != y)
    pairs, names = torch.stack(graph.edges.pairs(), 1), None
    if graph.pos is not None and graph.pos.shape[1] == 2:
        points, where = graph.pos, "at the positions of the graph"
    elif graph.n <= _SPRINGS:
        points, where = layout(graph), "with linked ones close to each other (Fruchterman and Reingold 1991)"
    else:
        points, name = _plane(shown)
        where, pairs, names = f"by {name}", pairs[:0], ("first principal component", "second principal component")
    figure = plot_classes(
        points, prediction, wrong, pairs=pairs, axes_names=names,
        names=shown.names or [str(c) for c in range(shown.logits.shape[1])],
        title=f"{shown.what}, {shown.which}: predicted classes",
    )  # fmt: skip
    part = int((wrong & shown.split.test).sum())
    yield (
        figure,
        f"All nodes by their predicted class, {where}. A cross marks the {int(wrong.sum())} of "
        f"{int((y >= 0).sum())} labelled nodes that are wrong, {part} of them test nodes ({shown.which}).",
    )


def _plane(shown: Shown) -> tuple[Tensor, str]:
    """The two directions in which what is decoded varies most [n, 2], and what that is."""
    found = states_of(shown.opened.model, shown.ready.graph, shown.ready.x, known=shown.told)
    if found.unit == "time":
        u, name = found.states[-1], "the final state"
    else:
        u, name = found.states[-2:][0], "what enters the last layer"
    u = u.to(torch.float64) - u.to(torch.float64).mean(0)
    _, _, directions = torch.linalg.svd(u.T @ u)
    plane = u @ directions[:2].T
    return torch.cat(
        [plane, plane.new_zeros(len(plane), 2 - plane.shape[1])], 1
    ), f"the two principal components of {name}"


_PICTURES = {"classes": _classes, "confusion": _confusion, "training": _training, "smoothing": _smoothing}
