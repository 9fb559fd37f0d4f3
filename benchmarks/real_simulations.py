"""Heat on meshes that other people made: does energy decay, is mass kept, does scikit-fem get the same numbers?

Every file below ``../shared/data/meshes`` with at most 100,000 unknowns: insulated heat equation, kappa = 1, a start
that varies along every axis, 20 steps of backward Euler to t = 0.01 L^2 (L = diameter of the bounding box), relative
tolerance 1e-13 where the solver is iterative. The element is what ``Space(mesh)`` takes: second order where a file has
the nodes. First order runs twice, with lumped and with consistent mass; second order with consistent mass. The same
steps are done with matrices that scikit-fem assembles cell kind by cell kind on the same nodes with the same quadrature
points, wherever it has the element in that space (no surfaces, pyramids, quadratic lines or wedges); solids of more
than 15,000 unknowns are not compared, for the time that factoring them takes.

    python benchmarks/real_simulations.py            # prints the table and writes docs/real_simulations.md
"""

from __future__ import annotations

import argparse
import platform
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from graphpde.dynamics import BackwardEuler, evolve
from graphpde.errors import GraphpdeError
from graphpde.mesh import Mesh, Space, read_mesh
from graphpde.mesh.blocks import stiffness_degree
from graphpde.mesh.cells import CELLS
from graphpde.mesh.quadrature import rule
from graphpde.mesh.second_order import MIDDLES
from graphpde.ops import Diffusion

ROOT = Path(__file__).resolve().parents[1]
MESHES = ROOT.parent / "shared" / "data" / "meshes"
STEPS = 20
LARGEST_SOLID_COMPARED = 15_000


@dataclass(frozen=True)
class Row:
    """What one file gave.

    Attributes:
        drift: largest relative change of mass with the element's own mass. drift_consistent: with the consistent one.
        overshoot: how far the lumped solution leaves the range of the start, relative to it; None without lumping.
        monotone: whether no weight is negative, so that it may not.
    """

    file: str
    format: str
    cells: dict[str, int]
    element: str
    curved: bool
    unknowns: int
    notes: str
    energy_decays: bool
    drift: float
    drift_consistent: float
    overshoot: float | None
    monotone: bool
    difference: float | None


@dataclass(frozen=True)
class Refused:
    """A file without simulation, and the sentence said about it."""

    file: str
    why: str


def start(space: Space) -> tuple[Tensor, float]:
    """A smooth start [n, 1] that is not constant, and the diameter L of the bounding box."""
    x = space.pos
    low, high = x.min(0).values, x.max(0).values
    size = float((high - low).norm())
    along = ((x - (low + high) / 2) / size) @ torch.arange(1.0, x.shape[1] + 1, dtype=x.dtype)
    return 1 + torch.cos(4 * along + 0.5)[:, None], size


def simulate(space: Space) -> tuple[Tensor, float]:
    """(states [s, n, 1], step)."""
    u0, size = start(space)
    dt = 0.01 * size**2 / STEPS
    times = torch.arange(STEPS + 1, dtype=torch.float64) * dt
    return evolve(Diffusion(space), u0, times, stepper=BackwardEuler(rtol=1e-13)).states, dt


def is_curved(mesh: Mesh) -> bool:
    """Whether a node between two corners lies off the middle by more than 1e-4 of their distance."""
    for kind, nodes in mesh.cells.items():
        corners = CELLS[CELLS[kind].corners].nodes
        for k, between in enumerate(MIDDLES.get(kind, ())):
            if len(between) == 2:
                one, two = (mesh.points[nodes[:, c]] for c in between)
                off = (mesh.points[nodes[:, corners + k]] - (one + two) / 2).norm(dim=1)
                if bool((off > 1e-4 * (one - two).norm(dim=1)).any()):
                    return True
    return False


# the same by scikit-fem

SQUARE = [(0, 0), (1, 0), (1, 1), (0, 1)]
TRIANGLE = [(0, 0), (1, 0), (0, 1)]
CORNERS = {
    "line": [(0,), (1,)],
    "triangle": TRIANGLE,
    "quad": SQUARE,
    "tetra": [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)],
    "hexahedron": [(*xy, z) for z in (0, 1) for xy in SQUARE],
    "wedge": [(*xy, z) for z in (0, 1) for xy in TRIANGLE],
}
THEIRS = {  # cell -> names of scikit-fem's mesh and element
    "line": ("MeshLine1", "ElementLineP1"),
    "triangle": ("MeshTri1", "ElementTriP1"),
    "triangle6": ("MeshTri2", "ElementTriP2"),
    "quad": ("MeshQuad1", "ElementQuad1"),
    "quad9": ("MeshQuad2", "ElementQuad2"),
    "tetra": ("MeshTet1", "ElementTetP1"),
    "tetra10": ("MeshTet2", "ElementTetP2"),
    "hexahedron": ("MeshHex1", "ElementHex1"),
    "hexahedron27": ("MeshHex2", "ElementHex2"),
    "wedge": ("MeshWedge1", "ElementWedge1"),
}


def local_order(kind: str, theirs: np.ndarray) -> list[int]:
    """Our number of each of scikit-fem's local nodes, which lie at ``theirs`` [k, r] in the reference cell."""
    corners = np.array(CORNERS[CELLS[kind].corners], dtype=float)
    middles = [corners[list(between)].mean(0) for between in MIDDLES.get(kind, ())]
    ours = np.array([*corners, *middles])
    return [int(np.abs(ours - x).sum(1).argmin()) for x in theirs]


def matrices_by_scikit_fem(space: Space) -> tuple | None:
    """(stiffness, mass) assembled by scikit-fem on the unknowns of the space; None where it has no such element."""
    import skfem
    from scipy.sparse import coo_matrix
    from skfem.models.poisson import laplace, mass

    pieces = [(b.kind, b.dofs.numpy()) for b in space.blocks()]
    if space.mesh.dim < space.mesh.space_dim or any(kind not in THEIRS for kind, _ in pieces):
        return None
    total = [coo_matrix((space.n, space.n)).tocsr() for _ in range(2)]
    for kind, dofs in pieces:
        make, element = (getattr(skfem, name) for name in THEIRS[kind])
        linear = CELLS[kind].corners
        ours = dofs[:, local_order(kind, element.doflocs)].T
        used, cells = np.unique(ours, return_inverse=True)
        options = {"sort_t": False} if kind == "triangle" else {}
        mesh = make(space.pos.numpy()[used].T.copy(), cells.reshape(ours.shape), **options)
        for k, (form, degree) in enumerate(
            ((laplace, stiffness_degree(space.element, kind, space.pos[dofs])), (mass, 2 * space.element.degree))
        ):
            points, weights = rule(linear, degree)
            basis = skfem.Basis(mesh, element(), quadrature=(points.numpy().T.copy(), weights.numpy()))
            place = np.zeros(basis.N, dtype=int)
            place[basis.element_dofs] = ours
            local = form.assemble(basis).tocoo()
            total[k] += coo_matrix((local.data, (place[local.row], place[local.col])), (space.n, space.n)).tocsr()
    return total[0], total[1]


def steps_by_scikit_fem(space: Space, u0: np.ndarray, dt: float) -> np.ndarray | None:
    """The final state by scikit-fem's matrices and scipy's solver; None where it has no such element."""
    from scipy.sparse import diags
    from scipy.sparse.linalg import splu

    if space.mesh.dim == 3 and space.n > LARGEST_SOLID_COMPARED:
        return None
    found = matrices_by_scikit_fem(space)
    if found is None:
        return None
    stiffness, mass = found
    if space.lumped:
        mass = diags(np.asarray(mass.sum(1)).ravel())
    options = {"permc_spec": "MMD_AT_PLUS_A", "diag_pivot_thresh": 0.0, "options": {"SymmetricMode": True}}
    factor = splu((mass + dt * stiffness).tocsc(), **options)
    u = u0.copy()
    for _ in range(STEPS):
        u = factor.solve(mass @ u)
    return u


# one file


def load(path: Path, limit: int) -> tuple[Mesh, Space] | Refused:
    """The mesh of a file and its space, or why there is none."""
    name = str(path.relative_to(MESHES))
    try:
        mesh = read_mesh(path)
        space = None if mesh.n_cells > 10 * limit else Space(mesh)
    except GraphpdeError as error:
        return Refused(name, str(error).replace(f"{path}", path.name).replace("\n", " "))
    if space is None or space.n > limit:
        return Refused(name, f"more than {limit} unknowns: not run here")
    return (mesh, space) if space.n > 1 else Refused(name, f"only {space.n} unknowns")


def change(space: Space, states: Tensor) -> float:
    """Largest relative change of the integral."""
    total = torch.stack([space.integral(u)[0] for u in states])
    return float((total - total[0]).abs().max() / total[0].abs())


def decays(space: Space, states: Tensor) -> bool:
    """Whether the energy (u, K u) never grows."""
    operator = Diffusion(space).operator
    energy = torch.stack([-(u * operator(u)).sum() for u in states])
    return bool((energy.diff() <= 1e-12 * energy[0]).all())


def row(path: Path, limit: int) -> Row | Refused:
    """One line of a table."""
    loaded = load(path, limit)
    if isinstance(loaded, Refused):
        return loaded
    mesh, space = loaded
    states, dt = simulate(space)
    falls, drift = decays(space, states), change(space, states)
    drift_consistent, overshoot = drift, None
    if space.lumped:
        full = Space(mesh, lumped=False)
        theirs, _ = simulate(full)
        falls, drift_consistent = falls and decays(full, theirs), change(full, theirs)
        low, high = states[0].min(), states[0].max()
        overshoot = float(torch.maximum(states.max() - high, low - states.min()).clamp(min=0) / (high - low))
    expected = steps_by_scikit_fem(space, states[0].numpy(), dt)
    difference = None
    if expected is not None:
        difference = float(np.abs(states[-1].numpy() - expected).max() / np.abs(expected).max())
    in_space = f" in {mesh.space_dim}-D" if mesh.dim < mesh.space_dim else ""
    unused = max(mesh.n - space.n, 0)
    notes = [f"{mesh.dim}-D{in_space}", *([f"{unused} points without unknown"] if unused else [])]
    notes += ["used at vertices" for w in space.warnings if "at their" in w]
    return Row(
        file=str(path.relative_to(MESHES)),
        format=next(s for s in reversed(path.suffixes) if s not in (".xz", ".gz")).lower().lstrip("."),
        cells={k: len(v) for k, v in mesh.cells.items()},
        element=type(space.element).__name__,
        curved=space.element.degree > 1 and is_curved(space.mesh),
        unknowns=space.n,
        notes="; ".join(notes),
        energy_decays=falls,
        drift=drift,
        drift_consistent=drift_consistent,
        overshoot=overshoot,
        monotone=bool((space.weight >= -1e-12 * space.weight.abs().max()).all()),
        difference=difference,
    )


# the document


def most(values: Iterable[float | None]) -> float:
    """The largest, 0 of none."""
    return max((v or 0.0 for v in values), default=0.0)


def summary(rows: list[Row], refused: list[Refused]) -> list[str]:
    """What stands in front of the table."""
    compared = [r for r in rows if r.difference is not None]
    monotone = [r for r in rows if r.overshoot is not None and r.monotone]
    others = [r for r in rows if r.overshoot is not None and not r.monotone]
    kinds = Counter(kind for r in rows for kind in r.cells)
    elements = Counter(r.element for r in rows)
    return [
        f"- {len(rows)} files with {len({r.format for r in rows})} extensions ran; "
        f"{len(refused)} did not (named below).",
        "- Cells, by the number of files: " + ", ".join(f"{kind} {n}" for kind, n in kinds.most_common()) + ".",
        f"- Elements: {', '.join(f'{name} {n}' for name, n in elements.most_common())}; "
        f"{sum(r.curved for r in rows)} of the second-order meshes are curved; "
        f"{sum(len(r.cells) > 1 for r in rows)} meshes mix cell types.",
        f"- Energy decays in {sum(r.energy_decays for r in rows)} of {len(rows)}. Largest relative change of mass: "
        f"{most(r.drift for r in rows):.1e}, with consistent mass {most(r.drift_consistent for r in rows):.1e}.",
        f"- {len(compared)} compared with scikit-fem, {sum(r.element in ('P2', 'Q2') for r in compared)} of them "
        f"second order; largest relative difference {most(r.difference for r in compared):.1e}.",
        f"- Maximum principle: the {len(monotone)} lumped meshes without negative weights leave the range of the start "
        f"by at most {most(r.overshoot for r in monotone):.1e} of it; of the {len(others)} with some, "
        f"{sum((r.overshoot or 0.0) > 1e-10 for r in others)} do, by at most "
        f"{most(r.overshoot for r in others):.1e}.",
    ]


def line(r: Row) -> str:
    """One row of the table."""
    cells = ", ".join(f"{n} {kind}" for kind, n in r.cells.items())
    curved = ", curved" if r.curved else ""
    overshoot = "" if r.overshoot is None else f"{r.overshoot:.1e}" + ("" if r.monotone else " (negative weights)")
    difference = "" if r.difference is None else f"{r.difference:.1e}"
    drift = f"{r.drift:.1e}" if r.overshoot is None else f"{r.drift:.1e}, {r.drift_consistent:.1e}"
    decay = "yes" if r.energy_decays else "**no**"
    figures = f"{decay} | {drift} | {overshoot} | {difference}"
    return f"| {r.file} | {cells} | {r.element}{curved} | {r.unknowns} | {r.notes} | {figures} |"


def document(rows: list[Row], refused: list[Refused]) -> str:
    """Markdown of everything."""
    told = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    made = f"{platform.machine()}, Python {platform.python_version()}, torch {torch.__version__}"
    lines = [
        "# Heat on meshes from other people's tools",
        "",
        "From a mesh file to a picture in one short problem file: [first_simulation.md](first_simulation.md).",
        "",
        "Generated by `python benchmarks/real_simulations.py` (what it does stands at its top); "
        f"{made}, commit {told.stdout.strip() or 'unknown'}.",
        "",
        *summary(rows, refused),
        "",
        "Mass: largest relative change, where lumped first lumped, then consistent. Overshoot: how far the lumped "
        "solution leaves the range of the start, as a share of it; 0 is guaranteed where no weight is negative.",
        "",
        "| file | cells | element | unknowns | | energy decays | change of mass | overshoot | against scikit-fem |",
        "|---|---|---|---|---|---|---|---|---|",
        *map(line, rows),
        "",
        "## Files without a simulation",
        "",
        "| file | what is said |",
        "|---|---|",
        *(f"| {r.file} | {r.why.replace('|', '/')} |" for r in refused),
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--limit", type=int, default=100_000, help="largest number of unknowns")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "real_simulations.md")
    arguments = parser.parse_args()
    if not MESHES.is_dir():
        print("the folder of real meshes is not here: nothing to do", file=sys.stderr)
        return 0
    rows, refused = [], []
    for path in sorted(MESHES.rglob("*")):
        if not path.is_file() or path.name == "INDEX.md":
            continue
        begin = time.perf_counter()
        found = row(path, arguments.limit)
        (rows if isinstance(found, Row) else refused).append(found)
        print(f"{time.perf_counter() - begin:6.1f} s  {found.file}", file=sys.stderr, flush=True)
    text = document(rows, refused)
    arguments.out.write_text(text)
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
