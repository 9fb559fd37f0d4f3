"""What ``read_mesh`` makes of every mesh file of a folder: one row per file, a mesh or the one sentence of refusal.

python -m benchmarks.meshes.files     # reads ../shared/data/meshes and writes a section of docs/meshes.md
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.meshes.document import DOCUMENT, ROOT, write_section
from graphpde.errors import MeshReadError
from graphpde.mesh.io import FORMATS, read_mesh
from graphpde.mesh.io.formats import PACKED, extension_of, format_of

MESHES = ROOT.parent / "shared" / "data" / "meshes"


@dataclass(frozen=True)
class Row:
    """What one file gave."""

    file: str
    format: str
    nodes: str
    cells: str
    tags: str
    result: str
    seconds: float
    read: bool


def row(path: Path, folder: Path) -> Row:
    """One file read or refused."""
    name = str(path.relative_to(folder))
    start = time.perf_counter()
    try:
        mesh = read_mesh(path)
    except MeshReadError as error:
        reason = error.reason.replace("|", "\\|")
        return Row(name, _known(error.format), "", "", "", f"refused: {reason}", time.perf_counter() - start, False)
    seconds = time.perf_counter() - start
    cells = ", ".join(f"{len(nodes)} {kind}" for kind, nodes in mesh.cells.items())
    names = [f"{key} ({len(tag.ids)})" for key, tag in mesh.tags.items()]
    tags = ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
    dimension = f"{mesh.dim}-D" + (f" in {mesh.space_dim}-D" if mesh.dim < mesh.space_dim else "")
    result = "; ".join([f"read, {dimension}", *mesh.warnings])
    return Row(
        name, _format(path), str(mesh.n), cells, tags.replace("|", "\\|"), result.replace("|", "\\|"), seconds, True
    )


def _known(name: str) -> str:
    return name if name in FORMATS else "unknown"


def _format(path: Path) -> str:
    if path.suffix.lower() in PACKED:
        return next(name for name, known in FORMATS.items() if extension_of(path) in known.extensions)
    with open(path, "rb") as file:
        return format_of(path, file.read(1 << 14))


def reading(folder: Path) -> str:
    """Markdown of all files: a summary, then the table."""
    rows = [row(path, folder) for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "INDEX.md"]
    read = [r for r in rows if r.read]
    formats = len({r.format for r in read})
    lines = [
        f"{len(rows)} files: {len(read)} read in {formats} formats, {len(rows) - len(read)} refused with one sentence, "
        f"nothing else; {sum(r.seconds for r in rows):.0f} s in all. The files lie in a folder beside the checkout and "
        "are no part of it.",
        "",
        "| file | format | points | cells | named sets (members) | result and remarks |",
        "|---|---|---|---|---|---|",
    ]
    lines += [f"| {r.file} | {r.format} | {r.nodes} | {r.cells} | {r.tags} | {r.result} |" for r in rows]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", default=MESHES)
    parser.add_argument("--out", type=Path, default=DOCUMENT)
    arguments = parser.parse_args()
    if not arguments.folder.is_dir():
        print(f"there is no folder {arguments.folder}: nothing to do", file=sys.stderr)
        return 0
    text = reading(arguments.folder)
    write_section(arguments.out, "Real files", text, "python -m benchmarks.meshes.files")
    print(text.splitlines()[0])
    return 0


if __name__ == "__main__":
    sys.exit(main())
