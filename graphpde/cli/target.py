"""The mesh file that a verb writes: never the one it reads, an existing one only if asked for."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from functools import partial
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
        way_out = "" if isinstance(error.__cause__, OSError) else _way_out(target, mesh)
        if not way_out:
            raise
        raise OutputError(f"{error}; {way_out}") from error


def _way_out(target: str, mesh: Mesh) -> str:
    """What makes a mesh that can be written in this format, found by trying."""
    from graphpde.mesh import boundary_mesh

    for options in (("linear",), ("split",), ("linear", "split")):
        chosen = dict.fromkeys(options, True)
        if _fits(target, partial(_repaired, mesh, chosen)):
            return f"'graphpde repair' with {' '.join(f'--{option}' for option in options)} makes cells that fit"
    if mesh.dim == 3 and _fits(target, lambda: boundary_mesh(mesh)):
        return "'graphpde extract' with --boundary writes its surface"
    return ""


def _repaired(mesh: Mesh, chosen: dict[str, bool]) -> Mesh:
    from graphpde.mesh import repair_mesh

    return repair_mesh(mesh, merge=False, orient=False, **chosen).mesh


def _fits(target: str, make: Callable[[], Mesh]) -> bool:
    """Whether a mesh can be made and written in the format of the target."""
    from graphpde.mesh import write_mesh

    with tempfile.TemporaryDirectory(prefix="graphpde-") as folder:
        try:
            write_mesh(os.path.join(folder, os.path.basename(target)), make())
        except GraphpdeError:
            return False
    return True


def lost_in_reading(mesh: Mesh) -> list[str]:
    """What the file held that the mesh does not; what merely looks odd about the mesh is left to ``check``."""
    from graphpde.mesh.io.findings import findings

    odd = findings(mesh)
    return [text for text in mesh.warnings if text not in odd]


def fields_of(mesh: Mesh) -> list[str]:
    """Names of the fields, without those by which a reader keeps the numbers of sets."""
    from graphpde.mesh.io.tag_arrays import NUMBERS

    return [name for name in (*mesh.point_data, *mesh.cell_data) if not (mesh.tags and name in NUMBERS)]


def content(mesh: Mesh) -> str:
    """Points, cells, named sets and fields in numbers."""
    cells = ", ".join(f"{len(nodes)} {kind}" for kind, nodes in mesh.cells.items())
    counts = (len(mesh.tags), "named set"), (len(fields_of(mesh)), "field")
    more = [f"{count} {what}{'s' * (count > 1)}" for count, what in counts if count]
    return ", ".join([f"{mesh.n} points", cells, *more])
