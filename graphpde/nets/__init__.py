"""Networks: features, affine maps and learned weights of edges."""

from graphpde.nets.attention import EdgeAttention
from graphpde.nets.features import Features, SparseFeatures
from graphpde.nets.linear import Linear
from graphpde.nets.mlp import Mlp

__all__ = ["EdgeAttention", "Features", "Linear", "Mlp", "SparseFeatures"]
