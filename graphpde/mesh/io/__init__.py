"""Mesh files: reading any known format into a mesh, writing meshes and fields."""

from graphpde.mesh.io.formats import FORMATS
from graphpde.mesh.io.read import read_mesh

__all__ = ["FORMATS", "read_mesh"]
