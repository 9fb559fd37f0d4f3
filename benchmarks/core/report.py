"""Measured rows as Markdown tables, and where they are kept."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.core.contenders import OURS
from benchmarks.core.targets import Rows, clock, floor_percent, ours_in, verdicts

ROOT = Path(__file__).resolve().parents[2]
TITLES = {
    "sum": "Weighted sum, forward",
    "fixed": "Weighted sum, fixed weights, forward + backward",
    "learned": "Weighted sum, learned weights, forward + backward",
    "attention": "Edge-softmax attention, forward + backward",
    "max": "Maximum over neighbours, forward",
    "plan": "Plan: from index pairs to rows, columns and transpose",
    "memory": "Peak memory of attention, forward + backward",
    "threads": "Two threads against one",
    "profile": "Where the time goes: forward + backward on the 100k mesh x 16",
}


def machine(threads: int, allocator: str) -> dict[str, Any]:
    """What the numbers depend on; no date, so that equal runs give equal files."""
    cpu = Path("/proc/cpuinfo").read_text(encoding="utf-8") if Path("/proc/cpuinfo").is_file() else ""
    lines = dict(line.split(":", 1) for line in cpu.splitlines() if ":" in line)
    facts = {key.strip(): value.strip() for key, value in lines.items()}
    flags = [flag for flag in ("avx2", "avx512f") if flag in facts.get("flags", "").split()]
    return {
        "cpu": facts.get("model name", platform.processor() or platform.machine()),
        "cores": os.cpu_count(),
        "flags": " ".join(flags) or "no avx2",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "commit": commit(),
        "threads": threads,
        "allocator": allocator,
    }


def commit() -> str:
    """The commit, with a + when the package's files differ from it."""
    head = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    changed = subprocess.run(["git", "status", "--porcelain", "graphpde"], cwd=ROOT, capture_output=True, text=True)
    return (head.stdout.strip() or "unknown") + ("+" if changed.stdout.strip() else "")


def machine_line(facts: Mapping[str, Any]) -> str:
    """One sentence for the head of the tables."""
    return (
        f"{facts['cpu']}, {facts['cores']} cores, {facts['flags']}; Python {facts['python']}, torch {facts['torch']}, "
        f"commit {facts['commit']}; {facts['threads']} thread{'s' * (facts['threads'] > 1)}, "
        f"{facts['allocator']} allocator."
    )


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def figure(value: float) -> str:
    """Three significant digits without an exponent."""
    return f"{value:.0f}" if abs(value) >= 99.95 else f"{value:#.3g}".rstrip(".")


def work_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Contenders down, cases across: milliseconds and, in brackets, their ratio to ours; failures as notes below."""
    names = list(dict.fromkeys(name for row in rows for name in row["results"]))
    notes: list[str] = []
    lines = [[name, *(_cell(row, name, notes) for row in rows)] for name in names]
    for name in [name for name in names if name.startswith(OURS)]:
        percents = [floor_percent(row, name) for row in rows]
        lines.append([f"*{name}: % of the byte floor*", *("" if p is None else f"{p:.0f}" for p in percents)])
    if any(row.get("others_percent", 0) >= 1 for row in rows):
        lines.append(["*% of the machine used by others*", *(f"{row.get('others_percent', 0):.0f}" for row in rows)])
    lines.append(["*copy, GB/s*", *(f"{row.get('copy_bytes_per_s', 0) / 1e9:.0f}" for row in rows)])
    head = ["ms (ratio to ours)", *(f"{row['graph']} x {row['channels']}" for row in rows)]
    return "\n".join([table(head, lines), *(["", *notes] if notes else [])])


def _cell(row: Mapping[str, Any], name: str, notes: list[str]) -> str:
    found, time = row["results"].get(name), clock(row)
    if found is None:
        return ""
    if "failed" in found:
        said = f"- {name}, {row['graph']} x {row['channels']}: {found['failed']}"
        if said not in notes:
            notes.append(said)
        return "failed"
    ours = row["results"].get(ours_in(row), {}).get(time)
    ratio = f" (x{figure(found[time] / ours)})" if ours else ""
    faults = found.get("faults", 0) if row.get("allocator") == "pool" else 0  # the other regime has them by nature
    return f"{figure(found[time])}{ratio}" + (f", {faults:.0f} faults" if faults >= 100 else "")


def plain_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows whose results name their own columns."""
    columns = next((list(r) for row in rows for r in row["results"].values() if "failed" not in r), ["why"])
    lines = []
    for row in rows:
        for name, found in row["results"].items():
            cells = [f"failed: {found['failed']}"] if "failed" in found else [figure(found[c]) for c in columns]
            lines.append([row["id"], name, *cells])
    return table(["row", "of", *columns], lines)


def targets_table(rows: Rows) -> str:
    """What was to be reached, what was, met or missed."""
    lines = []
    for v in verdicts(rows):
        wanted = f"{'<=' if v.target.at_most else '>='} {v.target.value:g}"
        lines.append(
            [v.target.row, v.ours, v.against, wanted, "" if v.measured is None else figure(v.measured), v.outcome]
        )
    return table(["row", "ours", "against", "target", "measured", ""], lines)


def document(facts: Mapping[str, Any], rows: Rows, *, targets: bool = True) -> str:
    """All tables of a run."""
    parts = [machine_line(facts)]
    for work, title in TITLES.items():
        of_work = [row for row in rows.values() if row["work"] == work and "@" not in row["id"]]
        if of_work:
            shape = work_table if "channels" in of_work[0] else plain_table
            parts += [f"### {title}", shape(of_work)]
    other = [row for row in rows.values() if "@" in row["id"]]
    if other:
        parts += ["### The same in a process of two threads (wall time)", work_table(other)]
    if targets:
        parts += ["### Targets", targets_table(rows)]
    return "\n\n".join(parts) + "\n"


def write_aside(path: Path, text: str) -> None:
    """Write the whole file or nothing."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        aside.write_text(text, encoding="utf-8")
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def kept_rows(path: Path, facts: Mapping[str, Any]) -> dict[str, Any]:
    """The rows of an earlier, interrupted or partial run under the same circumstances; none where they differ."""
    if not path.is_file():
        return {}
    found = json.loads(path.read_text(encoding="utf-8"))
    return dict(found["rows"]) if found["machine"] == dict(facts) else {}


def write_json(path: Path, facts: Mapping[str, Any], rows: Rows) -> None:
    """The raw numbers."""
    write_aside(path, json.dumps({"machine": dict(facts), "rows": dict(rows)}, indent=1) + "\n")


def between_markers(text: str, name: str, body: str) -> str:
    """``text`` with what stands between the markers of that name replaced, or with both appended."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    block = f"{begin}\n{body}\n{end}"
    if begin not in text or end not in text:
        return f"{text.rstrip()}\n\n{block}\n".lstrip()
    head, rest = text.split(begin, 1)
    return head + block + rest.split(end, 1)[1]
