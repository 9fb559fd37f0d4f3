"""MFEM's own meshes."""
