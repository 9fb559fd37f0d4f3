"""The kernels on a CUDA device: right first, then timed against other libraries. Without a device nothing is measured.

Correctness: every kernel of the triton backend and its gradients, 1, 16 and 128 channels and several heads, against
float64 on the CPU. Times: milliseconds between CUDA events, interleaved, warm, medians; the byte floor is
the compulsory bytes over the bandwidth of a copy on the device. A part that fails prints a line and the others go on;
none starts after seven minutes.

    python -m benchmarks.gpu [--json FILE]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a program, only this folder is on the path

import torch
from torch import Tensor

from benchmarks.core import report
from benchmarks.core.cases import CASES, Case, checked, described, first_line, graph
from benchmarks.core.contenders import prepared
from benchmarks.core.graphs import Edges, mesh, power_law
from benchmarks.core.problem import TOLERANCE, largest_error, pose
from graphpde.core import Relation, kernels

COPIED = 1 << 28  # floats: 1 GB each way
LAST_START = 420.0  # seconds
BACKEND, DEVICE = "triton", "cuda"


def guarded(what: str, part: Callable[[], None], started: float) -> None:
    """Run a part; a failure is a line with its place, and too late a start is a line too."""
    if time.perf_counter() - started > LAST_START:
        print(f"{what}: not started, {LAST_START:.0f} s are over")
        return
    try:
        part()
    except Exception as why:
        places = [f"{Path(f.filename).name}:{f.lineno}" for f in traceback.extract_tb(why.__traceback__)[-3:]]
        print(f"{what}: failed: {first_line(why)} ({' > '.join(places)})")
    sys.stdout.flush()


# correctness


def products(rel: Relation, fields: Mapping[str, Tensor], heads: int) -> dict[str, Callable[[], Tensor]]:
    """Every kernel as a function of the fields; reductions of other parts are not repeated."""
    x, y, v, w, s = (fields[name] for name in ("x", "y", "v", "w", "s"))
    return {
        "weighted sum": lambda: rel.propagate(x, weight=w),
        "sum": lambda: rel.propagate(x),
        "edge dot product": lambda: rel.dot(y, x, heads=heads),
        "max": lambda: rel.propagate(x, reduce="max"),
        "min": lambda: rel.propagate(x, reduce="min"),
        "softmax": lambda: rel.softmax(s),
        "logsumexp": lambda: rel.logsumexp(s).nan_to_num(neginf=0.0),
        "attention": lambda: rel.attend(y, x, v, heads=heads),
    }


def deviations(edges: Edges, channels: int, heads: int) -> dict[str, float | str]:
    """Kernel -> largest deviation of its output and gradients from float64, relative to the largest entry."""
    rng = torch.Generator().manual_seed(channels + heads)
    sizes = {"x": (edges.n, channels), "y": (edges.n, channels), "v": (edges.n, channels)}
    sizes |= {"w": (edges.e, heads), "s": (edges.e, heads)}
    drawn = {name: torch.randn(size, generator=rng) for name, size in sizes.items()}
    rel = Relation.from_edges(torch.from_numpy(edges.src), torch.from_numpy(edges.dst), edges.n, edges.n)
    exact = {name: x.double().requires_grad_() for name, x in drawn.items()}
    tried = {name: x.to(DEVICE).requires_grad_() for name, x in drawn.items()}
    expected, there = products(rel, exact, heads), products(rel.to(DEVICE), tried, heads)
    found: dict[str, float | str] = {}
    for name in expected:
        with kernels.use("reference"):
            right = outputs(expected[name], exact, rng)
        try:
            with kernels.use(BACKEND):
                got = outputs(there[name], tried, rng)
            found[name] = largest_error(got, [x.detach().numpy() for x in right])
        except Exception as why:
            found[name] = first_line(why)
    return found


def outputs(call: Callable[[], Tensor], fields: Mapping[str, Tensor], rng: torch.Generator) -> list[Tensor]:
    """The output and the gradients of every field that it depends on, from one fixed cotangent."""
    y = call()
    cotangent = torch.randn(y.shape, generator=rng.manual_seed(7)).to(y)
    gradients = torch.autograd.grad(y, list(fields.values()), cotangent, allow_unused=True)
    return [y, *(g for g in gradients if g is not None)]


def correctness(name: str, edges: Edges, channels: int, heads: int) -> None:
    """One line per kernel."""
    for kernel, error in deviations(edges, channels, heads).items():
        said = error if isinstance(error, str) else f"{error:.1e} {'right' if error <= TOLERANCE else 'WRONG'}"
        print(f"{name}, {channels} channels, {heads} heads: {kernel}: {said}")


# times


def milliseconds(calls: Mapping[str, Callable[[], Any]], rounds: int = 15) -> dict[str, float]:
    """Median time of each call between two events, A B C A B C ..., each sample about 5 ms long."""
    repeats = {
        name: max(1, min(1000, round(5.0 / max(_between_events(call, 5) / 5, 1e-3)))) for name, call in calls.items()
    }
    samples: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            samples[name].append(_between_events(call, repeats[name]) / repeats[name])
    return {name: statistics.median(found) for name, found in samples.items()}


def _between_events(call: Callable[[], Any], repeats: int) -> float:
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    begin.record()
    for _ in range(repeats):
        call()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end)


def timed(case: Case, rows: dict[str, Any]) -> None:
    """Check and time one case; its row goes into ``rows``."""
    problem = pose(case.work, graph(case.graph), case.channels, DEVICE)
    calls, results = checked(problem, prepared(problem))
    source, target = torch.ones(2, COPIED, device=DEVICE)
    calls["copy"] = lambda: target.copy_(source)
    found = milliseconds(calls)
    copied = found.pop("copy")
    for name, each in found.items():
        results[name]["ms"] = each
    bandwidth = {"copy_bytes_per_s": 8 * COPIED / (copied / 1e3)}
    rows[case.id] = described(case, problem) | {"clock": "ms", "results": results} | bandwidth
    print(f"{case.id}: " + ", ".join(f"{name} {report.figure(each)} ms" for name, each in found.items()))
    torch.cuda.empty_cache()


def main(arguments: list[str] | None = None) -> int:
    """Print what is right, then the tables."""
    parser = argparse.ArgumentParser("python -m benchmarks.gpu", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", type=Path, help="file for the raw numbers")
    args = parser.parse_args(arguments)
    if not torch.cuda.is_available():
        print("no CUDA device: nothing measured")
        return 0
    started = time.perf_counter()
    facts = report.machine(1, "caching") | {"cpu": torch.cuda.get_device_name(), "flags": f"CUDA {torch.version.cuda}"}
    print(report.machine_line(facts))
    small = {"mesh": mesh(60, 50), "power law": power_law(3000, 20_000)}
    for name, edges in small.items():
        for channels, heads in ((1, 1), (16, 1), (16, 4), (128, 1), (128, 8)):
            guarded(f"{name} {channels}/{heads}", partial(correctness, name, edges, channels, heads), started)
    rows: dict[str, Any] = {}
    for case in CASES:
        guarded(case.id, partial(timed, case, rows), started)
        if args.json and rows:
            report.write_json(args.json, facts, rows)
    guarded("tables", lambda: print(report.document(facts, rows, targets=False)), time.perf_counter())
    return 0


if __name__ == "__main__":
    sys.exit(main())
