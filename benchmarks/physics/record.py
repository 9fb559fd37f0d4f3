"""Rows that were measured, kept with the sources and the commit that made them."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.physics.rows import Absent, Found, Row
from graphpde.errors import GraphpdeError

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / "runs" / "verification.json"
Known = dict[str, dict[str, Any]]


def known_rows() -> Known:
    """What has been measured, by name."""
    return json.loads(CACHE.read_text(encoding="utf-8")) if CACHE.is_file() else {}


def collect(rows: Sequence[Row], *, fresh: bool = False, missing: bool = False) -> Known:
    """Measure the rows that the same sources have not measured yet; each is kept as soon as it is there.

    Args:
        fresh: all of them. missing: only those that no sources have measured.
    """
    known, made_at = known_rows(), commit()
    for row in rows:
        sources = fingerprint(row.sources)
        before = known.get(row.name, {}).get("sources")
        if not fresh and (before == sources or (missing and before is not None)):
            continue
        start, used = time.perf_counter(), time.process_time()
        try:
            found = row.measure()
        except GraphpdeError as error:  # a row that fails is a row that is missed, and the others are still wanted
            found = Found(float("nan"), "failed", "", str(error))
        seconds, used = time.perf_counter() - start, time.process_time() - used
        if isinstance(found, Absent):
            print(f"   left out  {row.name}: {found.reason}", file=sys.stderr, flush=True)
            continue
        entry = {**found._asdict(), "seconds": round(used, 1), "commit": made_at, "sources": sources}
        known = {**known_rows(), row.name: entry}  # what another command has measured meanwhile stays
        met = "met   " if row.check(found.value) else "MISSED"
        print(f"{seconds:8.1f} s  {met}  {row.name}: {found.text}", file=sys.stderr, flush=True)
        _store(known)
    return known


@cache
def fingerprint(sources: tuple[str, ...]) -> str:
    """A digest of the files behind a row."""
    digest = hashlib.sha256()
    for path in sorted(path for given in sources for path in _files(given)):
        digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def _files(given: str) -> list[Path]:
    path = ROOT / given
    if path.is_dir():
        return list(path.rglob("*.py"))
    found = list(ROOT.glob(given))
    if not found:
        raise FileNotFoundError(f"a row depends on {given}, which is not there")
    return found


def commit() -> str:
    """The commit, with a + when sources differ from it."""
    found = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    what = ["git", "status", "--porcelain", "--", "graphpde", "benchmarks"]
    changed = subprocess.run(what, cwd=ROOT, capture_output=True, text=True)
    return (found.stdout.strip() or "unknown") + ("+" if changed.stdout.strip() else "")


def _store(known: Known) -> None:
    CACHE.parent.mkdir(parents=True, exist_ok=True)
    aside = CACHE.with_suffix(".new")
    aside.write_text(json.dumps(known, indent=1), encoding="utf-8")
    os.replace(aside, CACHE)
