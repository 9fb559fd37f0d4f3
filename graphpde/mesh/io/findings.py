"""What looks odd about a mesh that was read, one counted sentence each; refusing is left to where it matters."""

from __future__ import annotations

from graphpde.mesh.check import basics
from graphpde.mesh.mesh import Mesh


def findings(mesh: Mesh) -> list[str]:
    """Sentences about unused and coinciding points, repeated, flat and mirrored cells, non-manifold facets."""
    return [finding.text for finding in basics(mesh)]
