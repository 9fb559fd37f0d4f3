"""Cost of a weighted sum over neighbours against the number of edges, 1e3 to 1e7, on triangle meshes of 16 channels.

The exponent is that of a line through the logarithms, over all sizes and over those of 1e5 edges and more: below, the
cost of a call counts. One thread, freed memory kept in the process.

    python -m benchmarks.scaling
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a program, only this folder is on the path

import numpy as np
import torch

from benchmarks.core import report
from benchmarks.core.contenders import OURS, backends, ours
from benchmarks.core.graphs import mesh
from benchmarks.core.measure import choose_allocator, interleaved, touch_pool
from benchmarks.core.problem import pose

CHANNELS = 16
EDGES = (1e3, 3e3, 1e4, 3e4, 1e5, 3e5, 1e6, 3e6, 1e7)
LARGE = 1e5


def exponent(edges: Sequence[float], times: Sequence[float]) -> float:
    """The power p of time ~ edges^p that fits best in the least-squares sense of the logarithms."""
    return float(np.polyfit(np.log(edges), np.log(times), 1)[0])


def measured(edges: float, rounds: int) -> tuple[int, dict[str, float]]:
    """(number of edges, milliseconds of the forward pass by backend) on a mesh of about so many edges."""
    side = max(2, round(math.sqrt(edges / 6)))
    problem = pose("sum", mesh(side, side), CHANNELS)
    found = interleaved({name: ours(problem, name) for name in backends()}, rounds=rounds, limit=5.0)
    return problem.edges.e, {name: each["cpu_ms"] for name, each in found.items()}


def main(arguments: list[str] | None = None) -> int:
    """Print the table and the exponents."""
    parser = argparse.ArgumentParser("python -m benchmarks.scaling", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--largest", type=float, default=EDGES[-1], help="stop at so many edges")
    parser.add_argument("--rounds", type=int, default=15)
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)
    rows = [measured(size, args.rounds) for size in EDGES if size <= args.largest]
    edges = [e for e, _ in rows]
    large = [k for k, e in enumerate(edges) if e >= LARGE / 2]
    head = ["edges", *(f"{OURS}{name}, {unit}" for name in backends() for unit in ("ms", "ns per edge"))]
    lines = [
        [str(e), *(report.figure(x) for name in backends() for x in (ms[name], 1e6 * ms[name] / e))] for e, ms in rows
    ]
    print(report.machine_line(report.machine(1, "pool")), "", report.table(head, lines), "", sep="\n")
    for name in backends():
        times = [ms[name] for _, ms in rows]
        over_all = f"{OURS}{name}: time ~ edges^{exponent(edges, times):.2f} over all sizes"
        if len(large) > 1:
            tail = exponent([edges[k] for k in large], [times[k] for k in large])
            over_all += f", edges^{tail:.2f} from {LARGE:g} edges on"
        print(over_all)
    return 0


if __name__ == "__main__":
    choose_allocator("pool")
    touch_pool(2 << 30)
    sys.exit(main())
