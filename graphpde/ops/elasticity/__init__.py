"""Bodies that deform."""

from graphpde.ops.elasticity.linear import KINDS, Elasticity, checked_space, displacement_channels
from graphpde.ops.elasticity.rigid import rigid_modes
from graphpde.ops.elasticity.stresses import von_mises

__all__ = ["KINDS", "Elasticity", "checked_space", "displacement_channels", "rigid_modes", "von_mises"]
