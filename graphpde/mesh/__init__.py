"""Meshes: points, cells, named sets; generators, refinement, geometry, files."""

from graphpde.mesh.cells import CELLS, CellType
from graphpde.mesh.mesh import Entities, Mesh

__all__ = ["CELLS", "CellType", "Entities", "Mesh"]
