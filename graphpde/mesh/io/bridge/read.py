"""The way to meshio's readers: always in a process of its own, so that a file can neither stop nor hurt this one."""

from __future__ import annotations

from pathlib import Path

from graphpde.mesh.io.bridge.quiet import muted, reason_of
from graphpde.mesh.io.raw import RawMesh
from graphpde.mesh.io.sandbox import parent as sandbox

__all__ = ["READER", "muted", "read", "reason_of"]

READER = "graphpde.mesh.io.bridge.meshio_read:read"


def read(path: Path, name: str) -> RawMesh:
    """Read a file by meshio's reader of that name.

    Raises:
        Unreadable: meshio gave up, crashed, took too long or asked for too much. Other exceptions: what its readers
            let through.
    """
    return sandbox.read(path, READER, name=name)
