"""Heat on meshes that other people made: does energy decay, is mass kept, does scikit-fem get the same numbers?

Every readable file below ``../shared/data/meshes`` with lines, triangles, quadrilaterals or tetrahedra and at most
50,000 unknowns: insulated heat equation, kappa = 1, a start that varies along every axis, 20 steps of backward Euler to
t = 0.01 L^2 (L = diameter of the bounding box), lumped mass, relative tolerance 1e-13 where the solver is iterative. On
plane triangles and tetrahedra the same 20 steps are done with matrices assembled by scikit-fem.

    python benchmarks/real_simulations.py            # prints the table and writes docs/real_simulations.md
"""

from __future__ import annotations

import argparse
import platform
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from graphpde.dynamics import BackwardEuler, evolve
from graphpde.errors import GraphpdeError
from graphpde.mesh import Mesh, Space, read_mesh
from graphpde.ops import Diffusion

ROOT = Path(__file__).resolve().parents[1]
MESHES = ROOT.parent / "shared" / "data" / "meshes"
STEPS = 20


@dataclass(frozen=True)
class Row:
    """What one file gave."""

    file: str
    format: str
    cells: str
    unknowns: int
    notes: str
    energy_decays: bool
    mass_drift: float
    difference: float | None


def start(space: Space) -> tuple[torch.Tensor, float]:
    """A smooth start [n, 1] that is not constant, and the diameter L of the bounding box."""
    x = space.pos
    low, high = x.min(0).values, x.max(0).values
    size = float((high - low).norm())
    along = ((x - (low + high) / 2) / size) @ torch.arange(1.0, x.shape[1] + 1, dtype=x.dtype)
    return 1 + torch.cos(4 * along)[:, None], size


def simulate(mesh: Mesh) -> tuple[Space, torch.Tensor, float]:
    """(space, states [s, n, 1], step)."""
    space = Space(mesh)
    u0, size = start(space)
    dt = 0.01 * size**2 / STEPS
    times = torch.arange(STEPS + 1, dtype=torch.float64) * dt
    return space, evolve(Diffusion(space), u0, times, stepper=BackwardEuler(rtol=1e-13)).states, dt


def by_scikit_fem(space: Space, u0: np.ndarray, dt: float) -> np.ndarray | None:
    """The final state by scikit-fem's matrices and scipy's solver; None where it has no such element."""
    import skfem
    from scipy.sparse import diags
    from scipy.sparse.linalg import splu
    from skfem.models.poisson import laplace, mass

    kinds = {linear for linear, _, _ in space.mesh.corners()}
    d = space.mesh.space_dim
    if (kinds, d) == ({"triangle"}, 2):
        make, element = skfem.MeshTri, skfem.ElementTriP1()
    elif (kinds, d) == ({"tetra"}, 3):
        make, element = skfem.MeshTet, skfem.ElementTetP1()
    else:
        return None
    corners = torch.cat([nodes for _, nodes, _ in space.mesh.corners()])
    cells = space.dof_of_point[corners].numpy().T
    basis = skfem.Basis(make(space.pos.numpy().T.copy(), cells.copy()), element)
    stiffness, lumped = laplace.assemble(basis), np.asarray(mass.assemble(basis).sum(1)).ravel()
    factor = splu((diags(lumped) + dt * stiffness).tocsc())
    u = u0.copy()
    for _ in range(STEPS):
        u = factor.solve(lumped[:, None] * u)
    return u


def row(path: Path, limit: int) -> Row | None:
    """One line of the table, or None for files this element set does not cover."""
    try:
        mesh = read_mesh(path)
        if mesh.n_cells > 10 * limit:
            return None
        space = Space(mesh)
    except GraphpdeError:
        return None
    if space.n > limit or space.n < 3:
        return None
    space, states, dt = simulate(mesh)
    operator = Diffusion(space).operator
    energy = torch.stack([-(u * operator(u)).sum() for u in states])
    total = torch.stack([space.integral(u)[0] for u in states])
    theirs = by_scikit_fem(space, states[0].numpy(), dt)
    difference = None
    if theirs is not None:
        difference = float(np.abs(states[-1].numpy() - theirs).max() / np.abs(theirs).max())
    kinds = ", ".join(f"{len(v)} {k}" for k, v in mesh.cells.items())
    dimension = f"{mesh.dim}-D in {mesh.space_dim}-D" if mesh.dim < mesh.space_dim else f"{mesh.dim}-D"
    unused = mesh.n - space.n
    notes = dimension + (f"; {unused} points without unknown" if unused else "")
    if any("at their vertices" in w for w in space.warnings):
        notes += "; used at vertices"
    return Row(
        str(path.relative_to(MESHES)),
        path.suffix.lower().lstrip("."),
        kinds,
        space.n,
        notes,
        bool((energy.diff() <= 1e-12 * energy[0]).all()),
        float((total - total[0]).abs().max() / total[0].abs()),
        difference,
    )


def table(rows: list[Row]) -> str:
    """Markdown of the rows with a summary in front."""
    compared = [r.difference for r in rows if r.difference is not None]
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True
    ).stdout.strip()
    lines = [
        "# Heat on meshes from other people's tools",
        "",
        "Generated by `python benchmarks/real_simulations.py` (what it does stands at its top); "
        f"{platform.machine()}, Python {platform.python_version()}, torch {torch.__version__}, "
        f"commit {commit or 'unknown'}.",
        "",
        f"{len(rows)} files in {len({r.format for r in rows})} formats; "
        f"energy decays in {sum(r.energy_decays for r in rows)}; "
        f"largest relative change of mass {max(r.mass_drift for r in rows):.1e}; "
        f"{len(compared)} compared with scikit-fem, largest relative difference {max(compared):.1e}.",
        "",
        "| file | cells | unknowns | | energy decays | mass drift | against scikit-fem |",
        "|---|---|---|---|---|---|---|",
    ]
    for r in rows:
        difference = "" if r.difference is None else f"{r.difference:.1e}"
        decays = "yes" if r.energy_decays else "**no**"
        lines.append(
            f"| {r.file} | {r.cells} | {r.unknowns} | {r.notes} | {decays} | {r.mass_drift:.1e} | {difference} |"
        )
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--limit", type=int, default=50_000, help="largest number of unknowns")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "real_simulations.md")
    arguments = parser.parse_args()
    if not MESHES.is_dir():
        print("the folder of real meshes is not here: nothing to do", file=sys.stderr)
        return 0
    rows = [r for path in sorted(MESHES.rglob("*")) if path.is_file() and (r := row(path, arguments.limit)) is not None]
    text = table(rows)
    arguments.out.write_text(text)
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
