"""Relations, graphs, operators and the kernels that sum over edges."""

from graphpde.core.block_operator import BlockSparse
from graphpde.core.bridges import as_graph, from_networkx, from_pyg, to_networkx, to_pyg
from graphpde.core.combined import pin
from graphpde.core.components import components
from graphpde.core.edge_difference import EdgeDifference
from graphpde.core.graph import Graph, TagSet, unbatch, union
from graphpde.core.incidence import Incidence
from graphpde.core.jacobian import Action, BlockDiagonal
from graphpde.core.lattice import Lattice
from graphpde.core.linear_operator import Diagonal, LinearOperator, Sparse
from graphpde.core.neighbors import complete, knn, radius
from graphpde.core.networks import barabasi_albert, erdos_renyi, layout, stochastic_block, watts_strogatz
from graphpde.core.relation import Relation

__all__ = [
    "Action",
    "BlockDiagonal",
    "BlockSparse",
    "Diagonal",
    "EdgeDifference",
    "Graph",
    "Incidence",
    "Lattice",
    "LinearOperator",
    "Relation",
    "Sparse",
    "TagSet",
    "as_graph",
    "barabasi_albert",
    "complete",
    "components",
    "erdos_renyi",
    "from_networkx",
    "from_pyg",
    "knn",
    "layout",
    "pin",
    "radius",
    "stochastic_block",
    "to_networkx",
    "to_pyg",
    "unbatch",
    "union",
    "watts_strogatz",
]
