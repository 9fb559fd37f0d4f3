"""Training runs that tables are made of, each kept as soon as it is over in trainings.jsonl beside its benchmarks.

What has been run is not run again, whatever has changed since: each line says at which commit it was made. Delete a
line to have it made anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import json
import multiprocessing
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.physics.record import ROOT, commit

SHARED = ROOT.parent / "shared" / "data"
WORKERS = 2

Settings = dict[str, Any]


@dataclass(frozen=True)
class Trainings:
    """The training runs of a package of benchmarks.

    Args:
        package: its name below ``benchmarks``. kept: where the runs are kept.
    """

    package: str
    kept: Path

    @classmethod
    def of(cls, package: str) -> Trainings:
        """Those kept in the package's own folder."""
        return cls(package, ROOT / "benchmarks" / package / "trainings.jsonl")

    def __call__(self, what: str, *settings: Settings) -> list[dict[str, float]]:
        """What training runs gave, in their order.

        Args:
            what: "module.function" of the package; the function takes the settings and returns numbers by name.
        """
        keys, known = [_key(what, one) for one in settings], dict(self._known())
        wanted = {key: one for key, one in zip(keys, settings, strict=True) if key not in known}
        if wanted:
            print(f"   {what}: {len(wanted)} of {len(keys)} runs", file=sys.stderr, flush=True)
            start, made_at = time.perf_counter(), commit()
            context = multiprocessing.get_context("spawn")
            with ProcessPoolExecutor(WORKERS, mp_context=context, initializer=_one_thread) as pool:
                running = {pool.submit(_run, self.package, what, one): key for key, one in wanted.items()}
                for done, future in enumerate(as_completed(running), 1):
                    key = running[future]
                    known[key] = future.result()
                    line = {"key": key, "what": what, "settings": wanted[key], "found": known[key], "commit": made_at}
                    with open(self.kept, "a", encoding="utf-8") as file:
                        file.write(json.dumps(line) + "\n")
                    left = (time.perf_counter() - start) / done * (len(wanted) - done)
                    print(f"   {done}/{len(wanted)}, about {left:.0f} s left", file=sys.stderr, flush=True)
        return [known[key] for key in keys]

    def _known(self) -> Iterator[tuple[str, dict[str, float]]]:
        if self.kept.is_file():
            for line in self.kept.read_text(encoding="utf-8").splitlines():
                with contextlib.suppress(json.JSONDecodeError):  # the last line of a run that was cut off
                    entry = json.loads(line)
                    yield entry["key"], entry["found"]


def mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    """Of independent runs: the mean and its standard error."""
    return statistics.fmean(values), statistics.stdev(values) / len(values) ** 0.5


def _key(what: str, settings: Settings) -> str:
    return hashlib.sha256(json.dumps([what, settings], sort_keys=True).encode()).hexdigest()[:20]


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


def _run(package: str, what: str, settings: Settings) -> dict[str, float]:
    module, function = what.split(".")
    start = time.process_time()
    found = getattr(importlib.import_module(f"benchmarks.{package}.{module}"), function)(**settings)
    return {**found, "cpu": time.process_time() - start}
