"""Outputs appear whole or not at all, in folders that are made when needed."""

from graphpde.mesh.io.aside import make_folder, written

__all__ = ["make_folder", "written"]
