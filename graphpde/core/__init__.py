"""Relations, graphs, operators and the kernels that sum over edges."""

from graphpde.core.block_operator import BlockSparse
from graphpde.core.bridges import as_graph, from_networkx, from_pyg, to_networkx, to_pyg
from graphpde.core.combined import pin
from graphpde.core.edge_difference import EdgeDifference
from graphpde.core.graph import Graph, TagSet, unbatch, union
from graphpde.core.incidence import Incidence
from graphpde.core.jacobian import Action, BlockDiagonal
from graphpde.core.linear_operator import Diagonal, LinearOperator, Sparse
from graphpde.core.neighbors import complete, knn, radius
from graphpde.core.relation import Relation

__all__ = [
    "Action",
    "BlockDiagonal",
    "BlockSparse",
    "Diagonal",
    "EdgeDifference",
    "Graph",
    "Incidence",
    "LinearOperator",
    "Relation",
    "Sparse",
    "TagSet",
    "as_graph",
    "complete",
    "from_networkx",
    "from_pyg",
    "knn",
    "pin",
    "radius",
    "to_networkx",
    "to_pyg",
    "unbatch",
    "union",
]
