"""Whether ``read_mesh`` is right: each mesh file of a folder read by other libraries too, cell by cell.

    .venv-peers/bin/python -m benchmarks.meshes.peers     # ten minutes; goes on from runs/mesh_peers.json

Peers are meshio, Gmsh's own library and VTK (through pyvista), each for the formats that it reads. A file is confirmed
by a peer if every cell of either side has one of the same kind, at the same place and of the same size on the other.
Each peer reads in a process of its own, as some files end the process of some peers.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Timer
from typing import Any

import numpy as np

from benchmarks.meshes.document import DOCUMENT, ROOT, write_section

MESHES = ROOT.parent / "shared" / "data" / "meshes"
KEPT = ROOT / "runs" / "mesh_peers.json"
NEAR = 2e-5  # part of the extent within which two cells are at the same place; some peers read single precision
PATIENCE = 120  # seconds for one file
EXODUS = (".e", ".exo", ".ex2", ".g", ".gen")
READ_BY = {
    "gmsh": (".msh", ".unv", ".mesh", ".meshb", ".stl", ".bdf", ".nas", ".med", ".cgns", ".off"),
    "vtk": (".vtk", ".vtu", ".vtp", ".stl", ".obj", ".ply", ".off", ".cgns", ".xdmf", *EXODUS),
}
Cells = dict[str, np.ndarray]  # kind -> coordinates of the corners [m, w, 3]


def ours(path: Path) -> Cells:
    from graphpde.mesh import read_mesh

    mesh = read_mesh(path)
    x = np.pad(mesh.points.numpy(), ((0, 0), (0, 3 - mesh.space_dim)))
    return _joined((kind, x[nodes.numpy()]) for kind, nodes, _ in mesh.corners())


def by_meshio(path: Path) -> Cells:
    import meshio

    from graphpde.mesh.io.raw import Block

    mesh = meshio.read(path)
    return _top(
        np.asarray(mesh.points, dtype=float), [Block(block.type, np.asarray(block.data)) for block in mesh.cells]
    )


def by_gmsh(path: Path) -> Cells:
    import gmsh

    from graphpde.mesh.io.gmsh.table import ELEMENTS
    from graphpde.mesh.io.raw import Block

    gmsh.initialize(["", "-v", "0"], readConfigFiles=False)
    try:
        gmsh.merge(str(path))
        tags, coordinates, _ = gmsh.model.mesh.getNodes()
        order = np.argsort(tags)
        tags, x = np.asarray(tags)[order], np.asarray(coordinates).reshape(-1, 3)[order]
        found = []
        for code, _, nodes in zip(*gmsh.model.mesh.getElements()):
            if code in ELEMENTS:
                rows = np.asarray(nodes).reshape(-1, ELEMENTS[code].nodes)
                found.append(Block(ELEMENTS[code].kind, np.searchsorted(tags, rows)))
        return _top(x, found)
    finally:
        gmsh.finalize()


def by_vtk(path: Path) -> Cells:
    import pyvista

    from graphpde.mesh.io.vtk.cells import blocks_of

    if path.suffix.lower() in EXODUS:
        reader = pyvista.ExodusIIReader(path)
        read = reader.read()["Element Blocks"]
    else:
        read = pyvista.read(path)
    parts = read.combine() if isinstance(read, pyvista.MultiBlock) else read
    grid = parts.cast_to_unstructured_grid()
    stops = np.asarray(grid.offset)[1:].astype(np.int64)
    blocks, _, _ = blocks_of(grid.celltypes.astype(np.int64), stops, np.asarray(grid.cell_connectivity, dtype=np.int64))
    return _top(np.asarray(grid.points, dtype=float), blocks)


PEERS: dict[str, Callable[[Path], Cells]] = {"meshio": by_meshio, "gmsh": by_gmsh, "vtk": by_vtk}


def _top(points: np.ndarray, blocks: list[Any]) -> Cells:
    """Cells of the highest dimension at their corners; polygons and prisms are cut here as they are on reading."""
    from graphpde.mesh.cells import CELLS
    from graphpde.mesh.io.convert import _kind
    from graphpde.mesh.io.raw import RawMesh
    from graphpde.mesh.io.split import split_cells

    points = np.pad(points, ((0, 0), (0, 3 - points.shape[1])))
    known = []
    for block in split_cells(RawMesh(points, [block for block in blocks if len(block.nodes)])).blocks:
        kind, nodes = _kind(block.kind, block.nodes)
        if kind in CELLS:
            linear = CELLS[kind].corners
            known.append((linear, points[nodes[:, : CELLS[linear].nodes]]))
        else:
            known.append((kind, points[nodes]))
    dims = {kind: CELLS[kind].dim if kind in CELLS else 2 for kind, _ in known}
    return _joined((kind, x) for kind, x in known if dims[kind] == max(dims.values()))


def _joined(parts: Any) -> Cells:
    out: dict[str, list[np.ndarray]] = {}
    for kind, x in parts:
        out.setdefault(kind, []).append(x)
    return {kind: np.concatenate(rows) for kind, rows in out.items()}


def compare(mine: Cells, other: Cells) -> str:
    """ "same", or how they differ."""
    counts = [", ".join(f"{len(x)} {kind}" for kind, x in sorted(cells.items())) for cells in (mine, other)]
    if set(mine) != set(other):
        return f"here {counts[0]}, there {counts[1]}"
    extent = max(float(np.ptp(x.reshape(-1, 3), axis=0).max()) for x in mine.values())
    for kind, x in mine.items():
        far = _farthest(kind, x, other[kind], extent)
        if far > NEAR:
            return f"here {counts[0]}, there {counts[1]}; cells up to {far:.1g} of the extent or of their size apart"
    return "same" if counts[0] == counts[1] else f"same cells, some listed again: here {counts[0]}, there {counts[1]}"


def _farthest(kind: str, one: np.ndarray, two: np.ndarray, extent: float) -> float:
    """The largest relative difference between each cell of either side and its nearest on the other."""
    from scipy.spatial import cKDTree

    keys = [np.concatenate([x.mean(1) / extent, _size(kind, x / extent)[:, None]], axis=1) for x in (one, two)]
    if not all(np.isfinite(key).all() for key in keys):
        return float("inf")
    return max(float(cKDTree(a).query(b)[0].max()) for a, b in (keys, keys[::-1]))


def _size(kind: str, x: np.ndarray) -> np.ndarray:
    """The size of each cell to the power of one by its dimension, so that small cells count as large ones do."""
    import torch

    from graphpde.mesh.cells import CELLS
    from graphpde.mesh.geometry import measures

    if kind not in CELLS:
        return np.zeros(len(x))
    return measures(kind, torch.from_numpy(np.ascontiguousarray(x))).abs().numpy() ** (1 / max(1, CELLS[kind].dim))


def look(path: Path, peer: str) -> str:
    """One file read by both sides."""
    from graphpde.errors import MeshReadError

    try:
        mine = ours(path)
    except MeshReadError:
        return "refused here"
    try:
        other = PEERS[peer](path)
    except (Exception, SystemExit) as error:
        return f"cannot read it ({type(error).__name__})"
    return compare(mine, other) if other else "reads no cells"


def asked(path: Path, peer: str) -> bool:
    """Whether the peer reads files of that extension at all; meshio is asked for every file."""
    return peer == "meshio" or path.suffix.lower() in READ_BY[peer]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=MESHES)
    parser.add_argument("--one", nargs=2, metavar=("PEER", "FILE"), help="one file, in this process")
    parser.add_argument("--again", nargs="*", default=[], help="words; files whose name holds one are asked again")
    options = parser.parse_args(arguments)
    if options.one:
        for name in options.one[1].split("\n"):
            print(json.dumps([name, look(options.folder / name, options.one[0])]), flush=True)
        return
    KEPT.parent.mkdir(exist_ok=True)
    kept: dict[str, dict[str, str]] = json.loads(KEPT.read_text()) if KEPT.is_file() else {}
    names = [str(p.relative_to(options.folder)) for p in sorted(options.folder.rglob("*")) if p.is_file()]
    names = [name for name in names if not name.endswith(("INDEX.md", ".xz"))]
    for name in names:
        if any(word in name for word in options.again):
            kept.pop(name, None)
    for peer in PEERS:
        todo = [n for n in names if peer not in kept.get(n, {}) and asked(options.folder / n, peer)]
        for name, answer in _answers(options.folder, peer, todo):
            kept.setdefault(name, {})[peer] = answer
            KEPT.write_text(json.dumps(kept, indent=1))
    text = summary(kept)
    print(text)
    write_section(
        DOCUMENT, "Cross-check with other libraries", text, ".venv-peers/bin/python -m benchmarks.meshes.peers"
    )


def _answers(folder: Path, peer: str, todo: list[str]) -> Iterator[tuple[str, str]]:
    """Each file's answer; a process that dies or hangs is begun anew behind the file that did it."""
    todo = list(todo)
    while todo:
        command = [sys.executable, "-m", "benchmarks.meshes.peers", str(folder), "--one", peer, "\n".join(todo)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT) as child:
            assert child.stdout is not None
            watch = Timer(PATIENCE, child.kill)
            watch.start()
            for line in child.stdout:
                if not line.startswith('["'):
                    continue  # a library that prints
                watch.cancel()
                watch = Timer(PATIENCE, child.kill)
                watch.start()
                name, answer = json.loads(line)
                todo.remove(name)
                yield name, answer
            watch.cancel()
        if todo:
            yield todo.pop(0), "its process died"


# where a peer differs: what each does, from looking at the files
KNOWN = {
    "trimesh/notenoughindices.obj": "one face names two points only: left out with a note here, kept by meshio",
    "vtkdata/meshio/out.xdmf": "a series of five steps on one mesh: VTK joins two of them, here one mesh is read",
}


def summary(kept: dict[str, dict[str, str]]) -> str:
    """How many files each peer confirms, where they differ, and what nobody else reads, as Markdown."""
    read = {name: by for name, by in kept.items() if "refused here" not in by.values()}
    confirmed = [name for name, by in read.items() if any(answer.startswith("same") for answer in by.values())]
    lines = [
        f"{len(read)} files are read here. {len(confirmed)} of them hold the same cells of the same sizes at the same "
        f"places for at least one other library; {len(read) - len(confirmed)} are read by no other.",
        "",
        "| library | asked for | same cells | cannot read | differs |",
        "|---|---|---|---|---|",
    ]
    for peer in PEERS:
        answers = [by[peer] for by in read.values() if peer in by]
        same = sum(answer.startswith("same") for answer in answers)
        differs = sum(answer.startswith("here") for answer in answers)
        lines.append(f"| {peer} | {len(answers)} | {same} | {len(answers) - same - differs} | {differs} |")
    lines += ["", "Where they differ:", ""]
    for name, by in read.items():
        for peer, answer in by.items():
            if answer.startswith("here") or (answer != "same" and answer.startswith("same")):
                lines.append(f"- {name}, {peer}: {answer}{'; ' if name in KNOWN else ''}{KNOWN.get(name, '')}")
    lines += ["", "Read by no other:", ""]
    for name in sorted(set(read) - set(confirmed)):
        lines.append(f"- {name}: {', '.join(f'{peer} {answer}' for peer, answer in read[name].items())}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
