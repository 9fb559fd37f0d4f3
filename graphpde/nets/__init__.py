"""Networks: features, affine maps and learned weights of edges."""

from graphpde.nets.attention import EdgeAttention
from graphpde.nets.continuous import ContinuousConv
from graphpde.nets.features import Features, SparseFeatures
from graphpde.nets.linear import Linear
from graphpde.nets.mlp import Mlp

__all__ = ["ContinuousConv", "EdgeAttention", "Features", "Linear", "Mlp", "SparseFeatures"]
