"""Mesh files: reading any known format into a mesh, writing meshes and fields."""

from graphpde.mesh.io.formats import FORMATS, Format
from graphpde.mesh.io.read import read_mesh
from graphpde.mesh.io.vtk.vtu_write import write_vtu
from graphpde.mesh.io.write import write_mesh

__all__ = ["FORMATS", "Format", "read_mesh", "write_mesh", "write_vtu"]
