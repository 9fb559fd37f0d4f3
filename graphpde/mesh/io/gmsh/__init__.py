"""Gmsh meshes (.msh), formats 2.x and 4.1, read, and 4.1, written."""
