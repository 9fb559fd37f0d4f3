"""Better bodies: material where it bears, boundaries where they carry."""

from graphpde.design.compliance import Compliance
from graphpde.design.filter import DensityFilter
from graphpde.design.material import Densities, Heaviside, Simp
from graphpde.design.shape import FreeBoundary, Shape, minimise_shape, worst_cell
from graphpde.design.topology import Topology, minimise_compliance, optimality_criteria

__all__ = [
    "Compliance",
    "Densities",
    "DensityFilter",
    "FreeBoundary",
    "Heaviside",
    "Shape",
    "Simp",
    "Topology",
    "minimise_compliance",
    "minimise_shape",
    "optimality_criteria",
    "worst_cell",
]
