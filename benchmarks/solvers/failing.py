"""Problems that must fail: whether each ends with its own error and status, and how soon.

python -m benchmarks.solvers --only failing

They are those of tests/test_failing_problems.py, which asserts the same one by one.
"""

from __future__ import annotations

import importlib
import re
import time
from collections import Counter
from functools import cache
from typing import Any, NamedTuple

from benchmarks.physics.rows import SOLVING, Absent, Found, Row, at_most

SECTION = "Failures by name"
LIST = "tests.test_failing_problems"
SOURCES = (*SOLVING, "tests/test_failing_problems.py", "benchmarks/solvers/failing.py")


class Ended(NamedTuple):
    """How one problem ended: the name of its status or error, whether that is the right one, and after how long."""

    status: str
    right: bool
    seconds: float


def rows() -> list[Row]:
    """How many end by name, and the slowest."""
    return [
        Row(SECTION, "failing problems, named rightly", "all, of 20 or more", at_most(0), _named, sources=SOURCES),
        Row(SECTION, "failing problems, the slowest", "<= 5 s", at_most(5.0), _slowest, sources=SOURCES),
    ]


@cache
def ended() -> dict[str, Ended] | None:
    """Every problem of the list; None where the tests cannot be imported."""
    try:
        problems = importlib.import_module(LIST).PROBLEMS
    except ImportError:
        return None
    return {name: _end(problem) for name, problem in problems.items()}


def _end(problem: Any) -> Ended:
    start = time.perf_counter()
    try:
        problem.ask()
    except Exception as error:  # which one came is the measurement
        status = getattr(getattr(error, "result", None), "status", None)
        right = isinstance(error, problem.error) and re.search(problem.words, str(error)) is not None
        right = right and problem.status in (None, status)
        return Ended(status.name.lower() if status else type(error).__name__, right, time.perf_counter() - start)
    return Ended("silent", False, time.perf_counter() - start)


def _named() -> Found | Absent:
    found = ended()
    if found is None:
        return Absent(f"{LIST} cannot be imported; it needs pytest")
    wrong = [name for name, end in found.items() if not end.right]
    counts = ", ".join(f"{count} {status}" for status, count in Counter(e.status for e in found.values()).most_common())
    short = max(20 - len(found), 0)
    text = f"{len(found) - len(wrong)} of {len(found)} named"
    return Found(len(wrong) + short, text, counts, f"wrong: {', '.join(wrong)}" if wrong else "")


def _slowest() -> Found | Absent:
    found = ended()
    if found is None:
        return Absent(f"{LIST} cannot be imported; it needs pytest")
    name, end = max(found.items(), key=lambda item: item[1].seconds)
    return Found(
        end.seconds, f"{end.seconds:.2f} s", name, f"all together {sum(e.seconds for e in found.values()):.2f} s"
    )
