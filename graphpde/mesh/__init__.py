"""Meshes: points, cells, named sets; generators, refinement, geometry, files."""

from graphpde.mesh.cells import CELLS, CellType
from graphpde.mesh.check import Check, check_mesh
from graphpde.mesh.dual import DualGraph, dual_graph
from graphpde.mesh.elements import P1, Q1
from graphpde.mesh.extract import Part, boundary_mesh, extract, submesh
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
from graphpde.mesh.io import FORMATS, read_mesh, write_mesh, write_vtu
from graphpde.mesh.locate import Location, Locator, locate
from graphpde.mesh.mesh import Entities, Mesh
from graphpde.mesh.refine import refine
from graphpde.mesh.repair import Repaired, repair_mesh
from graphpde.mesh.space import Space
from graphpde.mesh.transfer import Interpolation, Transferred, interpolation, transfer, transfer_mesh_data

__all__ = [
    "CELLS",
    "FORMATS",
    "P1",
    "Q1",
    "SHAPES",
    "CellType",
    "Check",
    "Components",
    "DualGraph",
    "Entities",
    "Interpolation",
    "Location",
    "Locator",
    "Mesh",
    "Part",
    "Repaired",
    "Space",
    "Transferred",
    "boundary_mesh",
    "box",
    "cell_angles",
    "cell_centroids",
    "cell_measures",
    "cell_quality",
    "check_mesh",
    "circle",
    "connected_components",
    "disk",
    "dual_graph",
    "edge_lengths",
    "extract",
    "facet_measures",
    "facet_normals",
    "interpolation",
    "interval",
    "jittered",
    "l_bracket",
    "locate",
    "mesh_size",
    "network",
    "plate_with_holes",
    "polygon",
    "random_cube",
    "random_square",
    "read_mesh",
    "rectangle",
    "refine",
    "repair_mesh",
    "signed_measures",
    "sphere",
    "star",
    "submesh",
    "tag_boundary",
    "transfer",
    "transfer_mesh_data",
    "write_mesh",
    "write_vtu",
]
