"""Meshes: points, cells, named sets; generators, refinement, geometry, files."""

from typing import Any

from graphpde.mesh.cells import CELLS, CellType
from graphpde.mesh.elements import P1, Q1
from graphpde.mesh.generate import (
    SHAPES,
    box,
    circle,
    disk,
    interval,
    jittered,
    l_bracket,
    network,
    plate_with_holes,
    polygon,
    random_cube,
    random_square,
    rectangle,
    sphere,
    star,
    tag_boundary,
)
from graphpde.mesh.geometry import (
    Components,
    cell_angles,
    cell_centroids,
    cell_measures,
    cell_quality,
    connected_components,
    edge_lengths,
    facet_measures,
    facet_normals,
    mesh_size,
    signed_measures,
)
from graphpde.mesh.mesh import Entities, Mesh
from graphpde.mesh.refine import refine
from graphpde.mesh.space import Space

_FILES = ("FORMATS", "read_mesh", "write_mesh")

__all__ = [
    "CELLS",
    "P1",
    "Q1",
    "SHAPES",
    "CellType",
    "Components",
    "Entities",
    "Mesh",
    "Space",
    "box",
    "cell_angles",
    "cell_centroids",
    "cell_measures",
    "cell_quality",
    "circle",
    "connected_components",
    "disk",
    "edge_lengths",
    "facet_measures",
    "facet_normals",
    "interval",
    "jittered",
    "l_bracket",
    "mesh_size",
    "network",
    "plate_with_holes",
    "polygon",
    "random_cube",
    "random_square",
    "rectangle",
    "refine",
    "signed_measures",
    "sphere",
    "star",
    "tag_boundary",
]


def __getattr__(name: str) -> Any:
    if name in _FILES:  # readers and writers load when asked for: most programs need one format
        from graphpde.mesh import io

        return getattr(io, name)
    raise AttributeError(f"module 'graphpde.mesh' has no attribute '{name}'")
