"""The same experiment for many seeds, in processes beside each other, and again only where it was not done yet."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from graphpde.checks import whole
from graphpde.errors import CheckpointError, InputError, SolveError
from graphpde.mesh.io.aside import written
from graphpde.train.processes import Ended, in_processes, one_line
from graphpde.train.sealed import config_hash

_ENDED_EARLY = "was stopped before its end; call again to go on"


class Failed(NamedTuple):
    """Stands in ``results`` of a :class:`SolveError` where a seed has no result: why."""

    reason: str


def over_seeds(
    function: Callable[[int], Any],
    seeds: Sequence[int],
    *,
    workers: int = 1,
    file: str | os.PathLike[str] | None = None,
    config: Any = None,
    done: Callable[[int, Any], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> list[Any]:
    """function(seed) for every seed, in the order of the seeds; the same numbers however many processes compute them.

    Each call begins with ``torch.manual_seed(seed)`` and one thread. A seed that fails does not stop the others.

    Args:
        function: defined at the top of a module, or a ``functools.partial`` of such a one; what it returns is sent
            between processes, and with ``file`` made of plain values.
        workers: processes; 1 computes here.
        file: keeps every result as soon as it is there, one JSON line each; a later call computes what is missing. The
            results are those read back: lists for tuples, texts as keys.
        config: plain values that tell what the results belong to; the file of another configuration is refused.
        done: called with each seed that ended well and its result, in the order in which they end.
        stop: asked between seeds; True ends early.

    Raises:
        InputError: seeds given twice, or results that a file cannot keep. CheckpointError: the file is damaged or
            belongs to another configuration. SolveError: seeds that failed; ``result`` holds all results.
    """
    if not isinstance(seeds, Iterable):
        raise InputError(f"seeds is {seeds!r}, expected whole numbers, such as range(10)")
    seeds, workers = [whole("a seed", seed, None) for seed in seeds], whole("workers", workers)
    if len(set(seeds)) < len(seeds):
        raise InputError(f"got {len(seeds)} seeds, {len(set(seeds))} of them different; give each once")
    cache = None if file is None else _Cache(Path(file), config)
    found: dict[int, Any] = {} if cache is None else {s: v for s, v in cache.found.items() if s in set(seeds)}
    failed: dict[int, str] = {}
    missing = [seed for seed in seeds if seed not in found]

    def ended(number: int, how: Ended) -> None:
        seed = missing[number]
        if how.status != "ok":
            failed[seed] = how.error or _ENDED_EARLY
            return
        found[seed] = how.value if cache is None else cache.add(seed, how.value)
        if done is not None:
            done(seed, found[seed])

    if workers == 1:
        _here(function, missing, ended, stop)
    elif missing:
        in_processes(partial(_seeded, function), missing, min(workers, len(missing)), 1, done=ended, stop=stop)
    for seed in missing:
        if seed not in found:
            failed.setdefault(seed, _ENDED_EARLY)
    results = [found.get(seed, Failed(failed.get(seed, ""))) for seed in seeds]
    if failed:
        first = next(seed for seed in seeds if seed in failed)
        rest = f"; {len(failed)} of {len(seeds)} seeds have no result" if len(failed) > 1 else ""
        raise SolveError(f"seed {first} failed: {failed[first]}{rest}", results)
    return results


def _here(
    function: Callable[[int], Any],
    seeds: Sequence[int],
    ended: Callable[[int, Ended], None],
    stop: Callable[[], bool] | None,
) -> None:
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # sums in another number of parts round differently
    try:
        for number, seed in enumerate(seeds):
            if stop is not None and stop():
                return
            try:
                how = Ended("ok", 0.0, _seeded(function, seed, stop))
            except Exception as error:
                how = Ended("failed", 0.0, None, one_line(error))
            ended(number, how)
    finally:
        torch.set_num_threads(threads)


def _seeded(function: Callable[[int], Any], seed: int, stop: Any) -> Any:
    import torch

    torch.manual_seed(seed)
    return function(seed)


class _Cache:
    """Results by seed in a file of JSON lines, the first of which tells the configuration."""

    def __init__(self, path: Path, config: Any):
        self.path = path
        self.head = {"graphpde": "results over seeds", "config": config, "config_sha256": config_hash(config)}
        self.found: dict[int, Any] = {}
        try:
            lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        except FileNotFoundError:
            return
        except (OSError, ValueError) as error:
            raise CheckpointError(f"cannot read the results '{path}': {one_line(error)}") from None
        try:
            head, *rows = [json.loads(line) for line in lines if line.endswith("\n")]  # one cut off is done again
            self.found = {int(row["seed"]): row["result"] for row in rows}
            kept = head["config_sha256"]
        except (ValueError, KeyError, TypeError) as error:
            raise CheckpointError(
                f"'{path}' does not hold results over seeds ({one_line(error)}); remove it, or name another file"
            ) from None
        if kept != self.head["config_sha256"]:
            raise CheckpointError(
                f"'{path}' holds results of another configuration; name another file, or remove that one"
            )

    def add(self, seed: int, result: Any) -> Any:
        """Keep one more; as it will be read back."""
        try:
            kept = json.loads(json.dumps(result))
        except (TypeError, ValueError) as error:
            raise InputError(
                f"the result of seed {seed} cannot be kept in '{self.path}' ({error}); return plain values"
            ) from None
        self.found[seed] = kept
        rows = [self.head, *({"seed": s, "result": value} for s, value in self.found.items())]
        with written(self.path) as aside:
            aside.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return kept
