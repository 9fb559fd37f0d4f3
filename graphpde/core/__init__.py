"""Relations, graphs and the kernels that sum over edges."""

from graphpde.core.graph import Graph, TagSet
from graphpde.core.relation import Relation

__all__ = ["Graph", "Relation", "TagSet"]
