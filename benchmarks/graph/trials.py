"""Training runs that the tables are made of, each kept as soon as it is over in trials.jsonl beside this file.

A trial is one model trained on one split with one seed. What has been run is not run again, whatever has changed since
(each line says at which commit it was made); ``fresh`` forgets it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import multiprocessing
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.physics.record import commit
from graphpde.errors import DatasetError, GraphpdeError
from graphpde.run.recipe import Recipe, Training, from_table

KEPT = Path(__file__).with_name("trials.jsonl")
FOLDERS = {"Chameleon_filtered": "YandexNpz"}
"""Where a data set lies below the folder of all, if not where torch-geometric puts it."""
SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "graphs"
WORKERS = 2


@dataclass(frozen=True)
class Trial:
    """One training run.

    Attributes:
        dataset: name. kind: of splits: a name that the data set has, or a maker in ``SPLITS``, or "N per class".
        number: of the split, or the seed of its maker. seed: of the model. recipe: as JSON.
    """

    dataset: str
    kind: str
    number: int
    seed: int
    recipe: str

    @property
    def key(self) -> str:
        """What it is kept under."""
        told = json.dumps([self.dataset, self.kind, self.number, self.seed, json.loads(self.recipe)], sort_keys=True)
        return hashlib.sha256(told.encode()).hexdigest()[:20]


class NotRun(Exception):
    """Trials that a table needs were never run, and now is not the time."""


_KEPT_ONLY: list[bool] = []


@contextlib.contextmanager
def kept_only() -> Iterator[None]:
    """Within it nothing is run: what is missing raises :class:`NotRun`."""
    _KEPT_ONLY.append(True)
    try:
        yield
    finally:
        _KEPT_ONLY.pop()


def trial(dataset: str, kind: str, number: int, seed: int, recipe: Recipe) -> Trial:
    """A trial of a recipe."""
    table = {"model": recipe.model, "settings": dict(recipe.settings), "training": told(recipe.training)}
    return Trial(dataset, kind, number, seed, json.dumps(table, sort_keys=True))


def told(training: Training) -> dict[str, Any]:
    """The options that are not the usual ones, so that further options change no key."""
    usual = Training()
    options = {f.name: getattr(training, f.name) for f in fields(Training)}
    return {name: value for name, value in options.items() if value != getattr(usual, name)}


def available() -> bool:
    """Whether the real graphs are there."""
    return SHARED.is_dir()


def results(trials: Sequence[Trial], *, fresh: bool = False) -> list[dict[str, Any]]:
    """What the trials gave, in their order: "test", "val", "train", "epoch", "epochs", "cpu", "evaluations", ..."""
    known = {} if fresh else dict(_kept())
    wanted = {t.key: t for t in trials if t.key not in known}
    if wanted and _KEPT_ONLY:
        raise NotRun(f"{len(wanted)} of {len(trials)} trials were not run")
    if wanted:
        print(f"   {len(wanted)} of {len(trials)} trials to run", file=sys.stderr, flush=True)
        start, made_at = time.perf_counter(), commit()
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(WORKERS, mp_context=context, initializer=_one_thread) as pool:
            running = {pool.submit(measure, t): key for key, t in wanted.items()}
            for done, future in enumerate(as_completed(running), 1):
                key = running[future]
                known[key] = {**future.result(), "commit": made_at}
                line = {"key": key, **vars(wanted[key]), **known[key]}
                with open(KEPT, "a", encoding="utf-8") as file:
                    file.write(json.dumps(line) + "\n")
                left = (time.perf_counter() - start) / done * (len(wanted) - done)
                print(f"   {done}/{len(wanted)}, about {left:.0f} s left   ", end="\r", file=sys.stderr, flush=True)
        print(file=sys.stderr)
    return [known[t.key] for t in trials]


def _kept() -> Iterator[tuple[str, dict[str, Any]]]:
    if KEPT.is_file():
        for line in KEPT.read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(json.JSONDecodeError):  # the last line of a run that was cut off
                entry = json.loads(line)
                yield entry["key"], entry


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


def measure(t: Trial) -> dict[str, Any]:
    """Run one trial."""
    from graphpde.run.classify import learn

    table = json.loads(t.recipe)
    made = from_table(table["model"], {**table["settings"], "training": table["training"]})
    data, split = data_and_split(t.dataset, t.kind, t.number)
    try:
        found = learn(data, split, made, t.seed)
    except GraphpdeError as error:  # settings under which it cannot be integrated: the worst there is
        return {"test": 0.0, "val": 0.0, "train": 0.0, "epoch": 0, "epochs": 0, "failure": str(error)[:200]}
    return {
        "test": found.test,
        "val": found.val,
        "train": found.train,
        "epoch": found.epoch,
        "epochs": found.epochs,
        "cpu": found.cpu,
        "evaluations": found.evaluations,
    }


@cache
def read(dataset: str, split: str | None) -> Any:
    """A data set, read once in each process."""
    from graphpde.data import load

    if not available():
        raise DatasetError(f"the real graphs are not in {SHARED.name}; these rows are left out")
    return load(dataset, root=SHARED / FOLDERS.get(dataset, ""), split=split)


def data_and_split(dataset: str, kind: str, number: int) -> tuple[Any, Any]:
    """The data and one of their splits."""
    from graphpde.data import largest_component
    from graphpde.data.dataset import dataset as entry
    from graphpde.train.split import SPLITS, per_class

    if kind in entry(dataset).splits:
        data = read(dataset, kind)
        return data, data.splits[number]
    data = read(dataset, None)
    if kind == "grand":  # its paper takes the largest component
        data = largest_component(data)
    if kind.endswith(" per class"):
        return data, per_class(data.y, int(kind.split()[0]), seed=number)
    return data, SPLITS[kind](data.y, seed=number)
