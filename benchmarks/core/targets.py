"""The table of targets, and whether a set of measured rows meets them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.core.contenders import OURS, backends
from benchmarks.core.memory import MEMORY_ROW

Rows = Mapping[str, Mapping[str, Any]]
BEST_SPARSE = ("torch CSR", "PyG EdgeIndex", "scipy CSR", "numba CSR")
BUSY_PERCENT = 5  # of all cores: from here on two threads do not have two cores
PYG, INDEX, SEGMENT = "PyG MessagePassing", "PyG EdgeIndex", "torch_scatter segment_csr"


@dataclass(frozen=True)
class Target:
    """``measure`` of the row must reach ``value``.

    Attributes:
        row: id of the measured row.
        against: contenders; the fastest of them counts; empty where the measure needs none; ("*",) means all of them.
        value: what to reach. at_most: whether a smaller figure is the better one.
        measure: "ratio" (their time over ours), "floor" (fraction of the byte floor, in %), or the name of a figure in
            the row's results of ours.
        backend: ours; default the fastest kind there is.
    """

    row: str
    against: tuple[str, ...]
    value: float
    measure: str = "ratio"
    backend: str = ""
    at_most: bool = False


TARGETS = (
    Target("sum/mesh1M/16", (PYG,), 12),
    Target("sum/mesh1M/16", (SEGMENT,), 8),
    Target("sum/mesh1M/16", BEST_SPARSE, 1.5),
    Target("sum/mesh1M/16", (), 50, "floor"),
    Target("fixed/mesh100k/16", (PYG,), 15),
    Target("fixed/mesh100k/16", (INDEX,), 3),
    Target("fixed/power-law/128", (PYG,), 3),
    Target("fixed/power-law/128", (INDEX,), 1.7),
    Target("learned/mesh100k/16", (PYG,), 10),
    Target("learned/mesh100k/16", (INDEX,), 8),
    Target("learned/cora/64", (PYG,), 2.5),
    Target("attention/mesh100k/16", (PYG,), 8),
    Target("attention/mesh100k/16@2", ("torch.compile",), 10),
    Target("max/mesh100k/16", ("*",), 1),
    Target("max/power-law/128", ("*",), 1),
    Target("sum/mesh1M/16", (PYG,), 5, backend="csr"),
    Target("fixed/mesh100k/16", (PYG,), 5, backend="csr"),
    Target("plan/mesh1M/sorted", (), 500, "cpu_ms", at_most=True),
    Target("plan/mesh1M/shuffled", (), 500, "cpu_ms", at_most=True),
    Target(MEMORY_ROW, (), 2.0, "multiple", at_most=True),
)


@dataclass(frozen=True)
class Verdict:
    """A target beside what was measured; ``measured`` is None where a contender is missing."""

    target: Target
    ours: str
    against: str
    measured: float | None

    @property
    def outcome(self) -> str:
        """met, missed or not measured."""
        if self.measured is None:
            return "not measured"
        value = self.target.value
        return "met" if (self.measured <= value if self.target.at_most else self.measured >= value) else "missed"


def verdicts(rows: Rows) -> list[Verdict]:
    """Every target of a row that was measured, and the rows of threads/."""
    found = [_verdict(target, rows[target.row]) for target in TARGETS if target.row in rows]
    return found + [_speedup(row) for row in rows.values() if row.get("work") == "threads"]


def ours_in(row: Mapping[str, Any]) -> str:
    """What of ours the others are compared with: the first backend that gave a time in this row."""
    names = [name for name, figures in row["results"].items() if name.startswith(OURS) and clock(row) in figures]
    return names[0] if names else OURS + backends()[0]


def clock(row: Mapping[str, Any]) -> str:
    """One thread: time of the process, which other programs disturb least. More: wall, which is what more buys."""
    return row.get("clock", "cpu_ms" if row.get("threads", 1) == 1 else "wall_ms")


def _verdict(target: Target, row: Mapping[str, Any]) -> Verdict:
    ours = OURS + target.backend if target.backend else ours_in(row)
    figures = row["results"].get(ours, {})
    if target.measure == "floor":
        return Verdict(target, ours, "byte floor, %", floor_percent(row, ours))
    if target.measure != "ratio":
        return Verdict(target, ours, target.measure, figures.get(target.measure))
    times = {name: r[clock(row)] for name, r in row["results"].items() if clock(row) in r and not name.startswith(OURS)}
    allowed = times if target.against == ("*",) else target.against
    rivals = {name: times[name] for name in allowed if name in times}
    if not rivals or clock(row) not in figures:
        return Verdict(target, ours, " / ".join(target.against), None)
    best = min(rivals, key=lambda name: rivals[name])
    shown = (best if len(allowed) == 1 else f"best: {best}") + _company(row, row)
    return Verdict(target, ours, shown, rivals[best] / figures[clock(row)])


def _company(measured: Mapping[str, Any], row: Mapping[str, Any]) -> str:
    """A remark where two threads were measured and did not have two cores; one thread's CPU time needs none."""
    percent = measured.get("others_percent", 0)
    if row.get("threads", 1) == 1 or percent < BUSY_PERCENT:
        return ""
    return f"; others used {percent:.0f} % of the machine"


def floor_percent(row: Mapping[str, Any], name: str) -> float | None:
    """Compulsory bytes over copy bandwidth, as a percentage of the time that the contender took."""
    figures = row["results"].get(name, {})
    if clock(row) not in figures:
        return None
    return 100 * row["compulsory_bytes"] / row["copy_bytes_per_s"] / (figures[clock(row)] / 1e3)


def _speedup(row: Mapping[str, Any]) -> Verdict:
    """Two threads against one: 1.6 where one thread stays below half of the byte floor's speed, else never slower."""
    ours = ours_in(row)
    figures = row["results"].get(ours, {})
    below = (floor_percent(row, ours) or 0.0) < 50
    said = "1 thread, wall" + ("" if below else ", at the memory limit") + _company(figures, {"threads": 2})
    return Verdict(Target(row["id"], (), 1.6 if below else 1.0, "speedup"), ours, said, figures.get("speedup"))
