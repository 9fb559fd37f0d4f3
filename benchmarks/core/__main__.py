"""Time the kernels of graphpde and of other libraries, interleaved in one process, and print ratios.

python -m benchmarks.core                              # every row; about five minutes
python -m benchmarks.core --only sum/mesh1M            # rows whose id begins so
python -m benchmarks.core --json runs/core.json        # keeps the numbers; a later run fills in what is missing
python -m benchmarks.core --json runs/core.json --write  # and puts the tables into benchmarks/README.md
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from benchmarks.core import report
from benchmarks.core.cases import CASES, Row, Settings, measure, note
from benchmarks.core.measure import choose_allocator, faults_of_a_fresh_tensor, touch_pool
from benchmarks.core.memory import MEMORY_ROW, measure_memory
from benchmarks.core.planning import measure_plan
from benchmarks.core.profile import PROFILE_ROW, measure_profile
from benchmarks.core.speedup import AT_TWO_THREADS, TOGGLED, measure_at_two_threads, measure_speedup
from graphpde.core.kernels import missing

README = Path(__file__).resolve().parents[1] / "README.md"
TOUCHED = 1 << 29  # bytes; larger cases touch more


def measurements(settings: Settings) -> dict[str, Callable[[], Row]]:
    """Row id -> its measurement, in the order of the tables; what compares threads belongs to the run of one thread."""
    rows: dict[str, Callable[[], Row]] = {case.id: partial(measure, case, settings) for case in CASES}
    for given in ("sorted", "shuffled"):
        rows[f"plan/mesh1M/{given}"] = partial(measure_plan, given, settings)
    if settings.threads > 1:
        return rows
    for case in TOGGLED:
        rows[f"threads/{case.id}"] = partial(measure_speedup, case, settings)
    rows[f"{AT_TWO_THREADS.id}@2"] = partial(measure_at_two_threads, AT_TWO_THREADS, settings)
    rows[MEMORY_ROW] = partial(measure_memory, settings)
    if missing("native") is None:
        rows[PROFILE_ROW] = partial(measure_profile, settings)
    return rows


def chosen(ids: list[str], only: list[str]) -> list[str]:
    """The ids that begin with one of the words; all without words."""
    return [name for name in ids if not only or any(name.startswith(word) for word in only)]


def parsed(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks.core", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", type=Path, help="file for the raw numbers; rows already in it are not measured again")
    parser.add_argument("--threads", type=int, choices=(1, 2), default=1)
    parser.add_argument("--allocator", choices=("pool", "default"), default="pool")
    parser.add_argument(
        "--only", action="append", default=[], metavar="ROW", help="rows whose id begins so; repeatable"
    )
    parser.add_argument("--again", action="store_true", help="measure rows that the file already holds anew")
    parser.add_argument("--rounds", type=int, default=Settings.rounds)
    parser.add_argument("--quick", action="store_true", help="tiny graphs: tries the harness, measures nothing")
    parser.add_argument("--list", action="store_true", help="print the ids of the rows and stop")
    parser.add_argument("--write", action="store_true", help="put the tables into benchmarks/README.md")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Run, print, keep."""
    args = parsed(arguments)
    settings = Settings(args.threads, 2 if args.quick else args.rounds, args.quick, allocator=args.allocator)
    rows = measurements(settings)
    names = chosen(list(rows), args.only)
    if args.list or not names:
        print("\n".join(rows))
        return 0 if args.list else 2
    torch.set_num_threads(args.threads)
    warnings.filterwarnings("ignore", message="Sparse")  # torch's beta notices, at whoever calls it first
    facts = report.machine(args.threads, args.allocator) | ({"quick": True} if args.quick else {})
    found = report.kept_rows(args.json, facts) if args.json else {}
    if args.allocator == "pool":
        touch_pool(TOUCHED)
    note(f"{faults_of_a_fresh_tensor():.0f} page faults per fresh 40 MB tensor ({args.allocator} allocator)")
    for name in names:
        if name in found and not args.again:
            continue
        started = time.perf_counter()
        found[name] = {"threads": args.threads, "allocator": args.allocator} | rows[name]()
        note(f"{name}: {time.perf_counter() - started:.0f} s")
        if args.json:
            report.write_json(args.json, facts, found)
    ordered = {name: found[name] for name in rows if name in found}
    # the targets are stated for one thread and a pool
    judged = settings.threads == 1 and settings.allocator == "pool" and not args.quick
    text = report.document(facts, ordered, targets=judged)
    print(text)
    if args.write:
        old = README.read_text(encoding="utf-8") if README.is_file() else ""
        marker = f"core, {args.threads} threads, {args.allocator} allocator"
        report.write_aside(README, report.between_markers(old, marker, text))
    return 0


if __name__ == "__main__":
    choose_allocator(parsed(None).allocator)
    sys.exit(main())
