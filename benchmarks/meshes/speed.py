"""How fast and in how much memory mesh files are read, beside meshio: one table.

    python -m benchmarks.meshes.speed                    # about three minutes; prints the table
    python -m benchmarks.meshes.speed --only gmsh        # files whose name begins so
    python -m benchmarks.meshes.speed --write            # and puts it into docs/meshes.md

What is measured and how is said in ``EXPLAINED``, which goes into the document with the table.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.meshes.document import DOCUMENT, ROOT, write_section

COMMAND = "python -m benchmarks.meshes.speed"
EXPLAINED = """\
The files are written by meshio: a quadrilateral mesh of 230,400 points with its boundary in four groups, or the same
cut into triangles, and a mesh of 215,622 tetrahedra. Both readers read each file in turn in one process, median CPU
time of five rounds. Memory is the peak of a fresh process above what it held before; 64 MB and eight times the decoded
arrays are allowed. A Space with its boundary sets is built from the mesh that was read; one second is allowed. Here
every index is checked and the named sets are found on reading, meshio hands over arrays; what looks odd about a mesh is
looked for when `mesh.warnings` is first asked for, which the step to a Space does."""
ROUNDS = 5
BASE, FACTOR = 64e6, 8  # bytes of memory allowed: BASE + FACTOR x the decoded arrays
TO_SPACE = 1.0  # seconds allowed from the mesh to a Space with its boundary sets


@dataclass(frozen=True)
class Case:
    """One file: its name, what meshio writes it from and how, and how many times faster than meshio it must be read."""

    name: str
    make: Callable[[], Any]
    format: str
    target: float | None
    options: tuple[tuple[str, Any], ...] = ()


def plate(k: int = 480) -> Any:
    """k x k points, quadrilaterals, and the boundary as lines in four groups."""
    import meshio

    x, y = np.meshgrid(np.linspace(0, 1, k), np.linspace(0, 1, k))
    number = np.arange(k * k).reshape(k, k)
    quads = np.stack([number[:-1, :-1], number[:-1, 1:], number[1:, 1:], number[1:, :-1]], -1).reshape(-1, 4)
    sides = (number[0], number[:, -1], number[-1], number[:, 0])
    lines = np.concatenate([np.stack([side[:-1], side[1:]], 1) for side in sides])
    groups = [np.repeat(np.arange(1, 5), k - 1), np.full(len(quads), 9)]
    names = {name: np.array([n, 1]) for n, name in enumerate(("south", "east", "north", "west"), 1)}
    return meshio.Mesh(
        np.stack([x.reshape(-1), y.reshape(-1), 0.1 * np.sin(3 * x).reshape(-1)], 1),
        [("line", lines), ("quad", quads)],
        cell_data={"gmsh:physical": groups, "gmsh:geometrical": groups},
        field_data={**names, "plate": np.array([9, 2])},
    )


def bare_plate() -> Any:
    """The quadrilaterals alone: what meshio writes of groups in gmsh 4.1 it cannot read, and in OBJ it writes none."""
    import meshio

    mesh = plate()
    return meshio.Mesh(mesh.points, mesh.cells[1:])


def triangles() -> Any:
    """The quadrilaterals cut into 458,882 triangles."""
    import meshio

    mesh = plate()
    quads = mesh.cells[1].data
    return meshio.Mesh(mesh.points, [("triangle", np.concatenate([quads[:, :3], quads[:, [0, 2, 3]]]))])


def solid(k: int = 33) -> Any:
    """A cube of 6 k^3 tetrahedra, the six of Kuhn for each of its small cubes (k = 33 gives 215,622)."""
    import meshio

    axis = np.linspace(0, 1, k + 1)
    x = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
    number = np.arange((k + 1) ** 3).reshape(k + 1, k + 1, k + 1)
    corner = {
        (a, b, c): number[a : k + a, b : k + b, c : k + c].reshape(-1) for a in (0, 1) for b in (0, 1) for c in (0, 1)
    }
    tets = []
    for first, second, sign in ((0, 1, 1), (0, 2, -1), (1, 0, -1), (1, 2, 1), (2, 0, 1), (2, 1, -1)):
        path = [np.zeros(3, int)]
        path += [path[0] + np.eye(3, dtype=int)[first], path[0] + np.eye(3, dtype=int)[[first, second]].sum(0)]
        nodes = [corner[tuple(p.tolist())] for p in (*path, np.ones(3, int))]
        tets.append(np.stack(nodes if sign > 0 else [nodes[0], nodes[2], nodes[1], nodes[3]], 1))
    return meshio.Mesh(x, [("tetra", np.concatenate(tets))])


CASES = (
    Case("gmsh 2.2 text.msh", plate, "gmsh22", 2, (("binary", False),)),
    Case("gmsh 2.2 binary.msh", plate, "gmsh22", 1, (("binary", True),)),
    Case("gmsh 4.1 text.msh", bare_plate, "gmsh", 2, (("binary", False),)),
    Case("gmsh 4.1 binary.msh", bare_plate, "gmsh", 1, (("binary", True),)),
    Case("vtu text.vtu", solid, "vtu", 2, (("binary", False),)),
    Case("vtu plain.vtu", solid, "vtu", 1, (("compression", None),)),
    Case("vtu zlib.vtu", solid, "vtu", 1, (("compression", "zlib"),)),
    Case("vtk text.vtk", solid, "vtk42", 2, (("binary", False),)),
    Case("vtk binary.vtk", solid, "vtk", 1, (("binary", True),)),
    Case("abaqus.inp", solid, "abaqus", None),
    Case("su2.su2", solid, "su2", None),
    Case("medit text.mesh", solid, "medit", None),
    Case("medit binary.meshb", solid, "medit", None),
    Case("nastran.bdf", solid, "nastran", None),
    Case("xdmf hdf.xdmf", solid, "xdmf", None),
    Case("exodus.e", solid, "exodus", None),
    Case("xdmf text.xdmf", solid, "xdmf", None, (("data_format", "XML"),)),
    Case("tetgen.ele", solid, "tetgen", None),
    Case("obj.obj", bare_plate, "obj", None),
    Case("off.off", triangles, "off", None),
    Case("stl text.stl", triangles, "stl", None, (("binary", False),)),
    Case("ply text.ply", triangles, "ply", None, (("binary", False),)),
    Case("ply binary.ply", plate, "ply", None),
)


@dataclass
class Row:
    """What one file gave."""

    name: str
    size: int
    seconds: float
    meshio: float
    target: float | None
    peak: int
    meshio_peak: int
    allowed: float
    space: float

    def cells(self) -> list[str]:
        ratio = self.meshio / self.seconds
        wanted = "" if self.target is None else f"≥ {self.target:g} ({'met' if ratio >= self.target else 'missed'})"
        memory = (
            f"{self.peak / 1e6:.0f} of {self.allowed / 1e6:.0f} ({'met' if self.peak <= self.allowed else 'missed'})"
        )
        return [
            *(self.name.rsplit(".", 1)[0], f"{self.size / 1e6:.1f}", f"{self.seconds:.2f}", f"{self.meshio:.2f}"),
            *(f"{ratio:.1f}", wanted, memory, f"{self.meshio_peak / 1e6:.0f}"),
            f"{self.space:.2f} ({'met' if self.space <= TO_SPACE else 'missed'})",
        ]


HEADER = ("file", "MB", "s", "meshio s", "times faster", "target", "peak MB", "meshio MB", "s to a Space")


def measure(case: Case, folder: Path) -> Row:
    """Write the file, read it in turn by both, and in fresh processes for the memory."""
    import meshio

    from graphpde.mesh import Space, read_mesh

    path = folder / case.name
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        meshio.write(path, case.make(), file_format=case.format, **dict(case.options))
    ours, theirs = [], []
    for _ in range(ROUNDS + 1):  # the first round imports
        start = time.process_time()
        mesh = read_mesh(path)
        middle = time.process_time()
        meshio.read(path)
        ours.append(middle - start)
        theirs.append(time.process_time() - middle)
    start = time.process_time()
    space = Space(mesh)
    for name in (*mesh.tags, "boundary"):
        _ = space.mesh.tag(name).nodes
    to_space = time.process_time() - start
    decoded = mesh.points.nbytes + sum(nodes.nbytes for nodes in mesh.cells.values())
    size = sum(part.stat().st_size for part in folder.iterdir())
    return Row(
        *(case.name, size, statistics.median(ours[1:]), statistics.median(theirs[1:]), case.target),
        *(peak("graphpde", path), peak("meshio", path), BASE + FACTOR * decoded, to_space),
    )


def peak(reader: str, path: Path) -> int:
    """Peak of the memory of a fresh process above what it held when all modules were there, bytes."""
    lines = ["import sys, numpy, scipy.spatial, scipy.sparse, h5py, netCDF4"]
    if reader == "graphpde":
        lines += ["import torch; from graphpde.mesh.io import read_mesh as read", "torch.ones(2, 2) @ torch.ones(2, 2)"]
    else:
        lines += ["from meshio import read"]
    lines += [  # the peak of this process alone, which getrusage would mix with that of its parent
        "def top(): return next(int(l.split()[1]) for l in open('/proc/self/status') if l.startswith('VmHWM')) * 1024",
        "before = top(); mesh = read(sys.argv[1]); print(top() - before)",
    ]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines), str(path)], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return int(done.stdout.split()[-1])


def table(rows: list[Row]) -> str:
    """The rows as Markdown."""
    lines = [f"| {' | '.join(HEADER)} |", "|" + "---|" * len(HEADER)]
    return "\n".join([*lines, *(f"| {' | '.join(row.cells())} |" for row in rows)])


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="*", default=[], help="files whose name begins so")
    parser.add_argument("--write", action="store_true", help="put the table into docs/meshes.md")
    options = parser.parse_args(arguments)
    rows = []
    for case in CASES:
        if options.only and not any(case.name.startswith(word) for word in options.only):
            continue
        with tempfile.TemporaryDirectory() as folder:
            rows.append(measure(case, Path(folder)))
        print(" ".join(rows[-1].cells()), file=sys.stderr)
    print(table(rows))
    if options.write:
        write_section(DOCUMENT, "Speed and memory", f"{EXPLAINED}\n\n{table(rows)}", f"{COMMAND} --write")


if __name__ == "__main__":
    main()
