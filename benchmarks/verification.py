"""Observed orders against exact solutions, and the figures that must hold whatever the mesh.

Every row refines one random coarse mesh uniformly; the L2 error is measured by quadrature of degree 5 against the exact
solution (on the sphere at projected points) and the order is that of the last halving of h. Implicit rows take so many
steps that dt^2 is far below h^2, explicit rows the longest stable step. The rows stand in benchmarks/manufactured and
run, the quick ones always and the others with ``-m slow``, in tests/test_orders.py and tests/test_conservation.py.

    python benchmarks/verification.py                # what is missing; prints and writes docs/verification.md
    python benchmarks/verification.py --fresh        # everything anew
    python benchmarks/verification.py --only sphere  # rows whose name holds a word
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # run as a program, this folder is on the path and not the one above

import torch  # noqa: E402

from benchmarks.manufactured import CASES, observed_orders, run, structure  # noqa: E402
from graphpde.dynamics import BackwardEuler, CrankNicolson, Rk4  # noqa: E402

CACHE = ROOT / "runs" / "verification.json"
REFERENCE = ROOT.parent / "shared" / "data" / "pde" / "pinnacle" / "poisson_classic.dat"
LONG = 100_000


def _conserved(mesh: Callable[[], Any]) -> dict[str, Any]:
    found = structure.conservation(mesh(), LONG)
    text = f"{found.drift:.1e}; energy {'never rises' if found.rise == 0 else f'rises by {found.rise:.1e}'}"
    return {"figure": text, "on": f"{found.unknowns} unknowns, {found.steps} steps of forward Euler"}


def _bounded() -> dict[str, Any]:
    worst = max(structure.bounds_violation(structure.insulated_plate(), dt) for dt in (1e-6, 1e-4, 1e-2, 1.0, 100.0))
    return {"figure": f"{worst:.1e}", "on": "plate with two holes, 200 steps each of dt = 1e-6 to 100"}


def _renumbered() -> dict[str, Any]:
    steppers = (BackwardEuler(), CrankNicolson(), Rk4())
    grids = (structure.meshes.square(2), structure.meshes.quads(2))
    worst = max(structure.numbering_difference(mesh, stepper) for mesh in grids for stepper in steppers)
    return {"figure": f"{worst:.1e}", "on": "diffusion, transport, reaction, source and all conditions to t = 0.5"}


def _classic() -> dict[str, Any] | None:
    if not REFERENCE.is_file():
        return None
    unknowns, error = structure.classic_poisson(REFERENCE)
    return {"figure": f"{100 * error:.2f} %", "on": f"{unknowns} unknowns, at the points of the reference"}


FIGURES: dict[str, tuple[str, Callable[[], dict[str, Any] | None]]] = {
    "mass drift on a closed surface (edge differences)": ("1e-12", lambda: _conserved(structure.closed_surface)),
    "mass drift on an insulated plate (edge differences)": ("1e-12", lambda: _conserved(structure.insulated_plate)),
    "violation of the maximum principle by backward Euler": ("1e-13", _bounded),
    "largest change by renumbering points and cells": ("1e-12", _renumbered),
    "square with four holes against a reference solution, relative L2": ("1 %", _classic),
}


def commit() -> str:
    """The commit, with a + when files differ from it."""
    found = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    changed = subprocess.run(["git", "status", "--porcelain", "graphpde"], cwd=ROOT, capture_output=True, text=True)
    return (found.stdout.strip() or "unknown") + ("+" if changed.stdout.strip() else "")


def fingerprint() -> str:
    """What the rows depend on: the sources of the package and of the problems."""
    digest = hashlib.sha256()
    for folder in (ROOT / "graphpde", ROOT / "benchmarks" / "manufactured"):
        for path in sorted(folder.rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def collect(only: str, fresh: bool) -> dict[str, dict[str, Any]]:
    """Every row by name, from the cache where the same sources made it."""
    known: dict[str, dict[str, Any]] = json.loads(CACHE.read_text()) if CACHE.is_file() else {}
    made_by = {"commit": commit(), "sources": fingerprint()}
    for name in [*CASES, *FIGURES]:
        if only not in name or (not fresh and known.get(name, {}).get("sources") == made_by["sources"]):
            continue
        start = time.perf_counter()
        found = {"levels": [asdict(level) for level in run(CASES[name])]} if name in CASES else FIGURES[name][1]()
        if found is None:
            print(f"left out: {name} (its data is not here)", file=sys.stderr)
            continue
        known[name] = {**found, **made_by, "seconds": round(time.perf_counter() - start, 1)}
        print(f"{known[name]['seconds']:7.1f} s  {name}", file=sys.stderr)
        _store(known)
    return {name: row for name, row in known.items() if name in CASES or name in FIGURES}


def _store(known: dict[str, dict[str, Any]]) -> None:
    CACHE.parent.mkdir(parents=True, exist_ok=True)
    aside = CACHE.with_suffix(".new")
    aside.write_text(json.dumps(known, indent=1))
    os.replace(aside, CACHE)


def table(rows: dict[str, dict[str, Any]]) -> str:
    """The document."""
    commits = sorted({row["commit"] for row in rows.values()})
    lines = [
        "# Verification",
        "",
        f"Generated by `python benchmarks/verification.py` (what it does stands at its top); {platform.machine()}, "
        f"one thread, Python {platform.python_version()}, torch {torch.__version__}, commit {', '.join(commits)}.",
        "",
        "## Orders",
        "",
        "| equation | cells | boundary | method | unknowns | L2 errors | order | theory |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, case in CASES.items():
        if name not in rows:
            continue
        levels = rows[name]["levels"]
        errors = [level["error"] for level in levels]
        shown = ", ".join(f"{error:.2e}" for error in errors)
        unknowns = ", ".join(f"{level['unknowns']}" for level in levels)
        order = observed_orders(errors)[-1]
        lines.append(
            f"| {case.equation} | {case.cells} | {case.boundary} | {case.method} | {unknowns} | {shown} | "
            f"{order:.3f} | {case.order:g} |"
        )
    lines += ["", "## Figures", "", "| what | bound | found | on |", "|---|---|---|---|"]
    lines += [
        f"| {name} | {bound} | {rows[name]['figure']} | {rows[name]['on']} |"
        for name, (bound, _) in FIGURES.items()
        if name in rows
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default="", help="rows whose name holds this")
    parser.add_argument("--fresh", action="store_true", help="run rows again that the same sources have already made")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "verification.md")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    text = table(collect(arguments.only, arguments.fresh))
    arguments.out.write_text(text)
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
