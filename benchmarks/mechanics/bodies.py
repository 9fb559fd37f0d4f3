"""Meshes of other programs: from the file to a picture of stresses by one command, and whether forces balance."""

from __future__ import annotations

import contextlib
import io
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.physics.record import ROOT
from benchmarks.physics.rows import SOLVING, Absent, Found, Row, at_most
from graphpde.cli import main

SECTION = "Real meshes"
SOURCES = (*SOLVING, "graphpde/problems/elasticity.py", "graphpde/run/stresses.py", "benchmarks/mechanics/bodies.py")
MESHES = ROOT.parent / "shared" / "data" / "meshes"
MOST = 15  # lines of a problem file

BODIES = {
    "skfem/beams.msh": """
[materials]
"*" = "steel"
[coefficients]
gravity = [0.0, 0.0, -9.81]
[boundary]
fixed = 0.0
""",
    "torchfem/ge_bracket.vtu": """
[sets]
underside = "z < -44.6"
pin = "hypot(y, z) < 9.6"
[materials]
"*" = { young = 114e3, poisson = 0.34, yield_strength = 830 }
[boundary]
underside = 0.0
[boundary.pin]
force = [0.0, 0.0, 35600.0]
[output.units]
length = "mm"
""",
    "pynastran_conv/test_bracket.inp": """
[sets]
wall = "x < 1e-6"
top = "z > -1e-6"
[materials]
"*" = "aluminium-2024"
[boundary]
wall = 0.0
[boundary.top]
pressure = 1e5
""",
    "calculix/rotor.inp": """
[coefficients]
young = 2.1e11
poisson = 0.3
density = 7800
gravity = ["1e4 * x", "1e4 * y", 0.0]
[boundary]
Nfix = 0.0
""",
    "torchfem/quarter_plate_hole_3d.vtu": """
[sets]
cut_x = "x < 1e-6"
cut_y = "y < 1e-6"
back = "z < 1e-6"
end = "x > 99.99"
[materials]
"*" = { young = 2.1e5, poisson = 0.3 }
[boundary]
cut_x = { symmetry = true }
cut_y = { symmetry = true }
back = { symmetry = true }
end = { traction = [100.0, 0.0, 0.0] }
""",
}  # fmt: skip


def rows() -> list[Row]:
    """The promises."""
    return [
        Row(SECTION, f"{Path(name).name}: loads and supports beside their size", "<= 1e-8", at_most(1e-8), _of(name),
            sources=SOURCES)
        for name in BODIES
    ]  # fmt: skip


def _of(name: str) -> Callable[[], Found | Absent]:
    return lambda: balance(name)


def balance(name: str) -> Found | Absent:
    """One command on a mesh: how far loads and supports are from balance, and what came out."""
    mesh = MESHES / name
    if not mesh.is_file():
        return Absent("the shared meshes are not there")
    problem = f'pde = "elasticity"\nmesh = "{mesh}"{BODIES[name]}'
    lines = len([line for line in problem.splitlines() if line])
    assert lines <= MOST, f"{name} takes {lines} lines"
    with tempfile.TemporaryDirectory() as folder:
        here = Path.cwd()
        os.chdir(folder)
        try:
            Path("body.toml").write_text(problem, encoding="utf-8")
            said = io.StringIO()
            with contextlib.redirect_stdout(said), contextlib.redirect_stderr(io.StringIO()):
                code = main(["simulate", "body.toml", "-o", "run", "--json"])
            if code:
                return Found(float("nan"), f"exit code {code}", mesh.name)
            done = json.loads(said.getvalue())
            picture = (Path("run") / "figures" / "final.png").stat().st_size
        finally:
            os.chdir(here)
    assert picture > 10_000
    found = done["certificates"]["equilibrium"]["value"]
    final = done["final"]
    note = f"largest von Mises stress {final['von_mises']['max']:.4g}, displacement {final['displacement']['max']:.4g}"
    return Found(found, f"{found:.1e}", f"{done['unknowns']} unknowns, {lines} lines of TOML", note)
