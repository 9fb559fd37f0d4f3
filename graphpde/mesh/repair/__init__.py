"""Mending meshes by rule, each step counted."""

from graphpde.mesh.repair.repair import Repaired, repair_mesh

__all__ = ["Repaired", "repair_mesh"]
