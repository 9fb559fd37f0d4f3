"""Checkpoints under attack: fits killed at any instant, files with one bit changed or cut off, pickles in disguise.

python -m benchmarks.graph.checkpoints                                   # 40 kills, 500 flips, 500 cuts, 10 pickles
python -m benchmarks.graph.checkpoints --kills 6 --flips 40 --cuts 40    # a short one

The fit that is killed has everything that has to be kept: dropout, batches in random order, Adam with penalty, clipping
and a schedule, an average of its parameters, the best step, early stopping and a log. Half of the kills come at random
times, half just before, within and just after the calls that write, flush, rename and remove files. Each killed fit is
resumed until it ends; then parameters, averages, best step, history and log must have the bits of the fit that was left
alone (but for the seconds).
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import io
import itertools
import json
import os
import pickle
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.physics.rows import Found, Row
from graphpde.errors import CheckpointError
from graphpde.train import (
    Adam,
    Best,
    Checkpointing,
    Cosine,
    EarlyStopping,
    Ema,
    Epochs,
    Log,
    Measure,
    Minibatches,
    Numerics,
    checkpoints,
    fit,
    load_checkpoint,
    load_model,
    save_checkpoint,
)
from graphpde.train.sealed import write_sealed

SECTION = "Checkpoints"
SOURCES = ("graphpde/train", "benchmarks/graph/checkpoints.py")
FULL = {"kills": 40, "flips": 500, "cuts": 500}

CONFIG = {"hidden": 16, "rate": 0.02, "epochs": 12}
RESULT, LOG, COUNT = "result.json", "log.csv", "instants"


class Small(nn.Module):
    """Two layers with dropout between them."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16), nn.Tanh(), nn.Dropout(0.3), nn.Linear(16, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


def train(folder: Path) -> dict[str, str]:
    """Train, or go on where a killed process left off; digests of everything that came of it."""
    torch.set_num_threads(1)
    draw = torch.Generator().manual_seed(3)
    x, y = torch.randn(90, 4, generator=draw), torch.randint(3, (90,), generator=draw)
    torch.manual_seed(11)
    model, rng = Small(), torch.Generator().manual_seed(7)

    def objective(model: nn.Module, batch: Tensor, rng: torch.Generator) -> dict[str, Tensor]:
        noise = 0.1 * torch.randn(len(batch), 4, generator=rng)
        return {"cross_entropy": nn.functional.cross_entropy(model(x[batch] + noise), y[batch])}

    def accuracy(model: nn.Module) -> dict[str, float]:
        return {"accuracy": float((model(x[60:]).argmax(1) == y[60:]).double().mean())}

    ema, best = Ema(0.9), Best("accuracy")
    keep = Checkpointing(folder, every=3, config=CONFIG)
    rule = Adam(
        0.02, penalty=1e-3, clip=0.5, schedule=Cosine(48, warmup=5), groups={"layers.4": {"rate": 0.01, "decay": 0.1}}
    )
    hooks = [keep, Measure(accuracy, every=2), ema, best, EarlyStopping("accuracy", 14), Log(folder / LOG)]
    history = fit(
        model,
        objective,
        Minibatches(60, 8),
        update=rule,
        steps=Epochs(12),
        rng=rng,
        hooks=hooks,
        numerics=Numerics(accumulate=2),
        resume=keep.newest(),
    )
    rows = [[repr(row[name]) for name in history.columns if name != "seconds"] for row in history.rows]
    log = [line.split(",") for line in (folder / LOG).read_text().splitlines()]
    column = log[0].index("seconds")
    return {
        "parameters": _digest(model.state_dict()),
        "averages": _digest(ema.averages()),
        "best": _digest({**best.tensors, "step": torch.tensor(best.step)}),
        "history": hashlib.sha256(json.dumps([history.columns, rows, history.reason]).encode()).hexdigest(),
        "log": hashlib.sha256(json.dumps([row[:column] + row[column + 1 :] for row in log]).encode()).hexdigest(),
        "steps": str(len(history)),
    }


def _digest(tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name, t in sorted(tensors.items()):
        digest.update(name.encode() + t.detach().contiguous().numpy().tobytes())
    return digest.hexdigest()


def aimed(instant: int) -> Callable[[], int]:
    """From now on this process kills itself at that instant of writing; returns a count of the instants so far."""
    passed = itertools.count()
    seen = [0]

    def deadly() -> None:
        seen[0] = next(passed)
        if seen[0] == instant:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*given: Any, **named: Any) -> Any:
            deadly()
            out = call(*given, **named)
            deadly()
            return out

        return wrapped

    def in_parts(path: Path, data: bytes) -> int:
        with open(path, "wb") as file:
            for start in range(0, len(data), -(-len(data) // 3) or 1):
                deadly()
                file.write(data[start : start + -(-len(data) // 3)])
                file.flush()
        deadly()
        return len(data)

    os.replace, os.fsync, os.rmdir = around(os.replace), around(os.fsync), around(os.rmdir)
    tempfile.mkdtemp = around(tempfile.mkdtemp)
    shutil.rmtree = around(shutil.rmtree)  # type: ignore[assignment]
    Path.unlink = around(Path.unlink)  # type: ignore[method-assign]
    Path.write_bytes = in_parts  # type: ignore[method-assign, assignment]
    return lambda: seen[0] + 1


def in_child(folder: Path, *, instant: int | None = None, seconds: float | None = None) -> dict[str, Any] | None:
    """Train in a process of its own; None where it was killed."""
    pid = os.fork()
    if pid == 0:
        try:
            counted = aimed(-1 if instant is None else instant)
            found = {**train(folder), COUNT: counted()}
            (folder / RESULT).write_text(json.dumps(found))
        except BaseException as error:
            sys.stderr.write(f"{type(error).__name__}: {error}\n")
            os._exit(1)
        os._exit(0)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        return None
    if os.WEXITSTATUS(status):
        raise SystemExit(f"the fit in '{folder}' failed")
    return json.loads((folder / RESULT).read_text())


def kills(count: int, draw: random.Random, place: Path) -> dict[str, int]:
    """Kill at ``count`` instants; how many left a whole newest checkpoint, and how many resumed to the same bits."""
    (place / "alone").mkdir(parents=True)
    alone = in_child(place / "alone")
    clock = time.perf_counter()
    (place / "again").mkdir()
    again = in_child(place / "again")
    duration = time.perf_counter() - clock
    assert alone is not None and alone == again
    instants = int(alone.pop(COUNT))
    out = {"kills": 0, "kills_in_writes": 0, "whole_after_kill": 0, "bit_equal": 0}
    while out["kills"] < count:
        folder = place / f"kill-{out['kills']}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        aim = bool(out["kills"] % 2)
        how = {"instant": draw.randrange(instants)} if aim else {"seconds": duration * draw.random()}
        if in_child(folder, **how) is not None:
            continue  # it was faster
        out["kills"] += 1
        out["kills_in_writes"] += aim
        files = checkpoints(folder)
        out["whole_after_kill"] += not files or load_checkpoint(folder).step > 0
        found = in_child(folder)
        assert found is not None
        found.pop(COUNT)
        out["bit_equal"] += found == alone
        shutil.rmtree(folder)
    return {**out, "instants_of_writing": instants, "steps": int(alone["steps"])}


def whole_file(place: Path) -> bytes:
    """A checkpoint with a little of everything."""
    state = {
        "model": {"weight": torch.randn(24, 16), "bias": torch.randn(16, dtype=torch.float64)},
        "moments": [torch.randn(7), torch.tensor(3), torch.randn(5).bfloat16()],
        "history": {"loss": [0.1, float("nan"), 1e-300], "reason": "", "converged": False},
        "random": {"torch": torch.get_rng_state()[:99]},
    }
    return save_checkpoint(place, 1, state, config=CONFIG).read_bytes()


def damaged(kind: str, count: int, draw: random.Random, place: Path) -> dict[str, int]:
    """Load a checkpoint with one bit flipped or cut off; how many were loaded or told by another error."""
    good = whole_file(place)
    bits, lengths = 8 * len(good), len(good)
    path = place / "checkpoint-00000001.safetensors"
    out = {kind: 0, f"{kind}_loaded": 0, f"{kind}_other_errors": 0}
    header = 8 + int.from_bytes(good[:8], "little")
    for k in range(count):
        if kind == "flips":  # a third in the length, the names and the manifest, the rest anywhere
            bit = draw.randrange(8 * header) if k % 3 == 0 else draw.randrange(bits)
            changed = bytearray(good)
            changed[bit // 8] ^= 1 << bit % 8
        else:
            changed = bytearray(good[: draw.randrange(header) if k % 3 == 0 else draw.randrange(lengths)])
        path.write_bytes(changed)
        out[kind] += 1
        try:
            load_checkpoint(path)
            out[f"{kind}_loaded"] += 1
        except CheckpointError:
            pass
        except Exception:
            out[f"{kind}_other_errors"] += 1
    path.write_bytes(good)
    load_checkpoint(path)
    return out


class Gadget:
    """Unpickling it calls a function."""

    def __init__(self, function: Callable[..., Any], *given: Any):
        self.call = (function, given)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call


def gadgets(canary: Path) -> Iterator[tuple[str, bytes]]:
    """Ten files that would make the canary if anything in them ran."""
    import builtins
    import runpy
    import subprocess

    touch, python = f"touch '{canary}'", f"open({str(canary)!r}, 'w').close()"
    script = canary.with_suffix(".py")
    script.write_text(python)
    system = pickle.dumps(Gadget(os.system, touch))
    yield "os.system", system
    yield "builtins.eval", pickle.dumps(Gadget(builtins.eval, python), protocol=0)
    yield "builtins.exec behind a header", (16).to_bytes(8, "little") + pickle.dumps(Gadget(builtins.exec, python))
    yield "subprocess.Popen", pickle.dumps([1, {"model": Gadget(subprocess.Popen, ["touch", str(canary)])}], protocol=5)
    yield "runpy.run_path", pickle.dumps(Gadget(runpy.run_path, str(script)))
    archive = io.BytesIO()
    torch.save({"model": Gadget(os.system, touch)}, archive)
    yield "os.system in an archive of torch", archive.getvalue()
    legacy = io.BytesIO()
    torch.save({"model": Gadget(builtins.eval, python)}, legacy, _use_new_zipfile_serialization=False)
    yield "builtins.eval in an old file of torch", legacy.getvalue()
    import numpy as np

    array = io.BytesIO()
    np.save(array, np.array([Gadget(os.system, touch)], dtype=object), allow_pickle=True)
    yield "os.system in an array of objects", array.getvalue()
    sealed = canary.with_suffix(".sealed")
    payload = torch.frombuffer(bytearray(system), dtype=torch.uint8)
    write_sealed(sealed, "checkpoint", {"step": 1, "random": {"__reduce__": payload, "torch": payload}}, CONFIG)
    yield "os.system as bytes of a sealed tensor", sealed.read_bytes()
    text = base64.b64encode(system).decode()
    named = {"__reduce__": ["os.system", touch], "py/reduce": text, "!!python/object/apply:os.system": [touch]}
    write_sealed(sealed, "checkpoint", {"step": 1, "model": named}, {"__class__": "os.system", "pickle": text})
    yield "os.system by name in a sealed manifest", sealed.read_bytes()


def disguised(place: Path) -> dict[str, int]:
    """Give every gadget as a checkpoint and as a model; how many ran, and how many pickles were taken for one."""
    canary = place / "canary"
    out = {"gadgets": 0, "gadgets_executed": 0, "gadgets_refused": 0}
    for name, data in gadgets(canary):
        path = place / "gadget" / "checkpoint-00000001.safetensors"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        out["gadgets"] += 1
        refused = 0
        for attempt in (lambda p=path: load_checkpoint(p.parent), lambda p=path: load_model(p)):
            try:
                attempt()
            except CheckpointError:
                refused += 1
        out["gadgets_refused"] += refused == 2 or "sealed" in name  # sealed ones are data, and stay data
        out["gadgets_executed"] += canary.exists()
        canary.unlink(missing_ok=True)
    return out


def campaign(count: dict[str, int], seed: int, place: Path) -> dict[str, int]:
    """All of it, in a folder; counts."""
    draw = random.Random(seed)
    out: dict[str, int] = {}
    if count["kills"]:
        out |= kills(count["kills"], draw, place)
    for kind in ("flips", "cuts"):
        out |= damaged(kind, count[kind], draw, place / kind)
    return out | disguised(place)


def rows() -> list[Row]:
    """What must not happen, counted."""
    told: dict[str, tuple[str, Callable[[dict[str, int]], int], str]] = {
        "fits resumed after kill -9 that differ by a bit": ("kills", lambda f: f["kills"] - f["bit_equal"], "kills"),
        "checkpoints with a flipped bit that were loaded": ("flips", lambda f: f["flips_loaded"], "flips"),
        "checkpoints cut short that were loaded": ("cuts", lambda f: f["cuts_loaded"], "cuts"),
        "pickles in disguise that ran": ("gadgets", lambda f: f["gadgets_executed"], "gadgets"),
    }
    return [
        Row(SECTION, name, "0", lambda value: value == 0, partial(_counted, part, bad, total), sources=SOURCES)
        for name, (part, bad, total) in told.items()
    ]


def _counted(part: str, bad: Callable[[dict[str, int]], int], total: str) -> Found:
    count = {name: number if name == part else 0 for name, number in FULL.items()}
    with tempfile.TemporaryDirectory() as folder:
        found = campaign(count, 0, Path(folder))
    return Found(bad(found), f"{bad(found)} of {found[total]}", "a small model, Adam, moving averages, a schedule")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, number in {**FULL, "seed": 0}.items():
        parser.add_argument(f"--{name}", type=int, default=number)
    given = vars(parser.parse_args())
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        found = campaign(given, given["seed"], Path(folder))
    print(json.dumps(found))
    bad = found.get("kills", 0) and found["bit_equal"] != given["kills"]
    return int(bool(bad or any(v for name, v in found.items() if name.endswith(("loaded", "errors", "executed")))))


if __name__ == "__main__":
    sys.exit(main())
