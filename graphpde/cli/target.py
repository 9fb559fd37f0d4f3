"""The mesh file that a verb writes: never the one it reads, an existing one only if asked for."""

from __future__ import annotations

import os
import tempfile
from typing import TYPE_CHECKING

from graphpde.errors import GraphpdeError, OutputError

if TYPE_CHECKING:
    from graphpde.mesh.mesh import Mesh


def check_target(source: str, target: str, force: bool) -> None:
    """Refuse what cannot or must not be written, before anything is read.

    Raises:
        OutputError: an extension that is not written, the source itself under any name, an existing file without
            ``force``.
    """
    from graphpde.mesh.io.write import format_to_write

    format_to_write(target)
    if not os.path.lexists(target):
        return
    if os.path.exists(source) and os.path.exists(target) and os.path.samefile(source, target):
        raise OutputError(f"cannot write '{target}': it is the mesh that is read; give the result another name")
    if not force:
        raise OutputError(f"cannot write '{target}': it is there already; give another name, or --force to replace it")


def write(target: str, mesh: Mesh) -> tuple[str, ...]:
    """Write a mesh; what the format could not hold, one sentence each.

    Raises:
        OutputError: it cannot be written; where the format lacks its cells, with the options of ``repair`` that help.
    """
    from graphpde.mesh import write_mesh

    try:
        return write_mesh(target, mesh)
    except OutputError as error:
        options = "" if isinstance(error.__cause__, OSError) else _way_out(target, mesh)
        if not options:
            raise
        raise OutputError(f"{error}; 'graphpde repair' with {options} makes cells that fit") from error


def _way_out(target: str, mesh: Mesh) -> str:
    """The first options of ``repair`` with which the mesh can be written in this format, found by trying."""
    from graphpde.mesh import repair_mesh, write_mesh

    for options in (("linear",), ("split",), ("linear", "split")):
        with tempfile.TemporaryDirectory(prefix="graphpde-") as folder:
            try:
                fitting = repair_mesh(mesh, merge=False, orient=False, **dict.fromkeys(options, True)).mesh
                write_mesh(os.path.join(folder, os.path.basename(target)), fitting)
            except GraphpdeError:
                continue
        return " ".join(f"--{option}" for option in options)
    return ""


def lost_in_reading(mesh: Mesh) -> list[str]:
    """What the file held that the mesh does not; what merely looks odd about the mesh is left to ``check``."""
    from graphpde.mesh.io.findings import findings

    odd = findings(mesh)
    return [text for text in mesh.warnings if text not in odd]


def content(mesh: Mesh) -> str:
    """Points, cells, named sets and fields in numbers."""
    cells = ", ".join(f"{len(nodes)} {kind}" for kind, nodes in mesh.cells.items())
    counts = (len(mesh.tags), "named set"), (len(mesh.point_data) + len(mesh.cell_data), "field")
    more = [f"{count} {what}{'s' * (count > 1)}" for count, what in counts if count]
    return ", ".join([f"{mesh.n} points", cells, *more])
