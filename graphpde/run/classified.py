"""A classification: one recipe over splits and seeds into a run folder that can be gone on with."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from graphpde.config import dump
from graphpde.data.node_data import NodeData
from graphpde.errors import CheckpointError, OutputError, SolveError
from graphpde.run.experiment import MODEL, Experiment, Reopened, checksum, file_of, fingerprint, number_of
from graphpde.run.folder import MANIFEST, RunFolder, is_alive
from graphpde.run.manifest import now, versions
from graphpde.run.partition import Partition
from graphpde.run.predictions import write_predictions
from graphpde.run.recipe import Recipe
from graphpde.train.metrics import mean_std
from graphpde.train.seeds import Failed, over_seeds

KIND = "classification"
RESULTS = "results.jsonl"

Told = Callable[[int, int | None, float], None]
"""progress(epochs done, epochs of all runs, share)."""


@dataclass(frozen=True)
class Task:
    """What is classified and how.

    Attributes:
        partition: data with their splits, and seeds for each. recipe: of the model. command: that does it again.
        pictures: whether the page has some.
    """

    partition: Partition
    recipe: Recipe
    command: str = ""
    pictures: bool = True

    @property
    def data(self) -> NodeData:
        return self.partition.data

    @property
    def numbers(self) -> list[int]:
        """Every run."""
        return [number_of(k, s) for k in range(len(self.data.splits)) for s in range(self.partition.seeds)]

    @cached_property
    def config(self) -> dict[str, Any]:
        """What the results belong to; how many splits and seeds there are does not matter."""
        recipe = {key: value for key, value in self.recipe.as_dict().items() if key != "origin"}
        masks = [mask for split in self.partition.given for mask in split]
        data = {"name": self.data.name, "sha256": fingerprint(self.data), "masks_sha256": checksum(masks)}
        return {"data": data, "split": self.partition.kind, **json.loads(json.dumps(recipe))}


@dataclass(frozen=True)
class Classified:
    """What a classification came to.

    Attributes:
        status: "ok", "failed" where a run did, or "interrupted". folder: where everything lies. task: what was asked.
        rows: one for each run that ended well: "split", "seed", "test", "val", "train" (in [0, 1]), "epoch" (chosen),
            "epochs", "seconds", "cpu" and "evaluations" of an epoch, "peak_mb", "confusion".
        kept: how many of them were there before. failed: run -> why it has no result.
    """

    status: str
    folder: Path
    task: Task
    rows: Sequence[Mapping[str, Any]]
    kept: int
    failed: Mapping[str, str]

    @property
    def best(self) -> Mapping[str, Any]:
        """The row with the best validation value, of equal ones the first."""
        return max(self.rows, key=lambda row: row["val"])

    def as_dict(self) -> dict[str, Any]:
        """For machines: shares in percent."""
        rows, data = self.rows, self.task.data
        out: dict[str, Any] = {"status": self.status, "model": self.task.recipe.model, "dataset": data.name}
        if data.metric != "accuracy":
            out["metric"] = data.metric
        if rows:
            test, val = (mean_std(100 * row[key] for row in rows) for key in ("test", "val"))
            out |= {"test_accuracy_mean": test.mean, "test_accuracy_std": test.std, "val_accuracy_mean": val.mean}
            out |= {"seconds_per_epoch": _mean(rows, "seconds"), "epochs": _mean(rows, "epochs")}
            out |= {"nfe_per_epoch": _mean(rows, "evaluations"), "peak_mb": max(row["peak_mb"] for row in rows)}
        out |= {"split": self.task.partition.kind, "splits": len(data.splits), "seeds": self.task.partition.seeds}
        if self.failed:
            out["failed"] = dict(self.failed)
        return {**out, "runs": len(rows), "run": str(self.folder.resolve())}


def classify(
    task: Task,
    out: str | os.PathLike[str],
    *,
    workers: int = 1,
    progress: Told | None = None,
    stop: Callable[[], bool] | None = None,
) -> Classified:
    """Train and measure for every split and seed; each result is kept as soon as it is there.

    A folder that holds results of the same configuration is gone on with: only what is missing is computed.

    Args:
        task: see :class:`Task`. out: a new or empty folder, or one to go on with. workers: processes.
        progress: told after every epoch with one worker, else after every run. stop: True ends early.

    Raises:
        OutputError: a folder that holds something else. GraphpdeError: data or settings that the model cannot use.
    """
    folder, before = _opened(Path(out), task)
    experiment = Experiment(task.data, task.partition.kind, task.recipe, folder.path)
    try:
        experiment.try_out()
    except BaseException:
        folder.abandon()
        raise
    folder.go_on() if before else folder.begin()
    folder.write("recipe.toml", dump({task.recipe.model: _as_table(task.recipe)}))
    manifest = before | _manifest(task)
    folder.write_manifest(manifest)
    kept = _kept(folder.path / RESULTS, task.numbers)
    done = _Progress(len(task.numbers) - kept, task.recipe.training.epochs, progress, stop)
    if workers == 1 and (progress is not None or stop is not None):
        experiment = replace(experiment, watch=done.epoch)
    results: Sequence[Any]
    try:
        results = over_seeds(
            experiment, task.numbers, workers=workers, file=folder.path / RESULTS, config=task.config,
            done=done.run, stop=stop,
        )  # fmt: skip
    except SolveError as error:
        results = error.result
    except KeyboardInterrupt:
        folder.write_manifest(manifest | {"status": "interrupted", "finished": now()})
        raise
    stopped = stop is not None and stop()
    found = dict(zip(task.numbers, results, strict=True))
    rows = [row for row in results if not isinstance(row, Failed)]
    # where somebody asked to stop, what has no result was not tried to its end
    failed = {} if stopped else {file_of(n): row.reason for n, row in found.items() if isinstance(row, Failed)}
    status = "interrupted" if stopped and len(rows) < len(results) else "failed" if failed else "ok"
    result = Classified(status, folder.path, task, rows, kept, failed)
    _finish(result, replace(experiment, watch=None), folder, manifest)
    return result


class _Progress:
    """Epochs of all runs that are missing, as they come."""

    def __init__(self, runs: int, epochs: int, told: Told | None, stop: Callable[[], bool] | None):
        self.runs, self.epochs, self.told, self.stop = runs, epochs, told, stop
        self.ended = 0

    def epoch(self, epoch: int, epochs: int) -> bool:
        if self.told is not None:
            total = self.runs * epochs
            self.told(self.ended * epochs + epoch, total, (self.ended * epochs + epoch) / total)
        return self.stop is not None and self.stop()

    def run(self, number: int, row: Any) -> None:
        self.ended += 1
        if self.told is not None:
            self.told(self.ended * self.epochs, self.runs * self.epochs, self.ended / self.runs)


def _kept(path: Path, numbers: Sequence[int]) -> int:
    """How many of these runs have a result; a file that cannot be read is told by whoever needs it."""
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()[1:]]
        return len({row["seed"] for row in rows} & set(numbers))
    except (OSError, ValueError, KeyError, TypeError):
        return 0


def _opened(path: Path, task: Task) -> tuple[RunFolder, dict[str, Any]]:
    """The folder, and the manifest of the run in it that is gone on with."""
    before = read_manifest(path)
    if not before:
        return RunFolder(path), {}
    if before.get("kind") != KIND:
        raise OutputError(f"'{path}' holds a run of another kind; name a new folder with -o, or remove that one")
    if before.get("status") == "running" and is_alive(before):
        raise OutputError(f"process {before['pid']} is at work in '{path}'; wait for it, or name another folder")
    change = _difference(before.get("config"), task.config)
    if change:
        raise OutputError(
            f"'{path}' holds results of another configuration ({change}); name another folder with -o, or remove it"
        )
    return RunFolder(path), before


def read_manifest(path: Path) -> dict[str, Any]:
    """What the folder of a run says of itself; empty where it says nothing."""
    try:
        found = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _difference(there: Any, here: Any, name: str = "") -> str:
    """The first value that is another one, in words."""
    if isinstance(there, Mapping) and isinstance(here, Mapping):
        for key in [*here, *(key for key in there if key not in here)]:
            found = _difference(there.get(key), here.get(key), f"{name}.{key}" if name else key)
            if found:
                return found
        return ""
    return "" if there == here else f"{name} is {there!r} there and {here!r} here"


def _manifest(task: Task) -> dict[str, Any]:
    """What stays the same during the run."""
    data = task.data
    edges = data.graph.edges.n_edges
    counts = {"nodes": data.n, "edges": edges, "features": data.features, "classes": data.classes}
    about = {"name": data.name, "source": data.source, **counts, "homophily": data.homophily() if edges else None}
    return {
        "kind": KIND,
        "status": "running",
        "command": task.command,
        "started": now(),
        "versions": versions(),
        "threads": 1,
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "config": task.config,
        "dataset": {**about, "metric": data.metric, "sha256": task.config["data"]["sha256"]},
        "recipe": task.recipe.as_dict(),
        "split": {"kind": task.partition.kind, "splits": len(data.splits), "seeds": task.partition.seeds},
        "warnings": [*task.partition.remarks, *data.warnings],
    }


def _finish(result: Classified, experiment: Experiment, folder: RunFolder, manifest: dict[str, Any]) -> None:
    """Keep the best model, and write tables, pictures and the page."""
    from graphpde.run.classified_page import write_page

    more: dict[str, Any] = {"failed": dict(result.failed)} if result.failed else {}
    if result.rows:
        _write_results(folder, result.rows)
        opened = _keep_best(result, experiment, folder)
        split = result.task.data.splits[result.best["split"]]
        ready = experiment.ready
        logits = opened.logits(ready, split.train)
        write_predictions(folder.path / "predictions.csv", logits, result.task.data.y, split)
        best = {key: result.best[key] for key in ("split", "seed", "epoch", "test", "val")}
        more |= {"results": result.as_dict(), "best": {**best, "model": MODEL}}
        write_page(result, folder, opened, ready, logits)
    manifest = {**manifest, "status": result.status, "finished": now(), **more}
    folder.write_manifest(manifest)


def _keep_best(result: Classified, experiment: Experiment, folder: RunFolder) -> Reopened:
    """The model of the best validation value takes its place, those of the others go.

    Where it went before, when another run was the best or with the file, it is trained once more: that gives the same.
    """
    split, seed = result.best["split"], result.best["seed"]
    best, kept = number_of(split, seed), folder.path / MODEL
    made = folder.path / "models" / f"{file_of(best)}.safetensors"
    if not made.exists() and not _is_of(kept, [result.task.partition.kind, split], seed):
        experiment(best)
    if made.exists():
        made.replace(kept)
    opened = Reopened(kept)
    if result.status == "ok":
        shutil.rmtree(folder.path / "models", ignore_errors=True)
    return opened


def _is_of(path: Path, split: Sequence[Any], seed: int) -> bool:
    """Whether a file holds the model of that run."""
    try:
        about = Reopened(path).about
    except CheckpointError:
        return False
    return about.get("split") == split and about.get("seed") == seed


def _write_results(folder: RunFolder, rows: Sequence[Mapping[str, Any]]) -> None:
    text = io.StringIO()
    columns = [key for key in rows[0] if key != "confusion"]
    table = csv.DictWriter(text, columns, lineterminator="\n", extrasaction="ignore")
    table.writeheader()
    table.writerows(rows)
    folder.write("results.csv", text.getvalue())


def _as_table(recipe: Recipe) -> dict[str, Any]:
    return {"origin": recipe.origin, **recipe.settings, "training": recipe.as_dict()["training"]}


def _mean(rows: Sequence[Mapping[str, Any]], key: str) -> float:
    mean = mean_std(row[key] for row in rows).mean
    return int(mean) if mean == int(mean) else mean
