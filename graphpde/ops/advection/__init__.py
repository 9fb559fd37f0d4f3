"""Advection: first order without overshoots, centred, limited, streamline upwind."""

from graphpde.ops.advection.centred import CentredAdvection
from graphpde.ops.advection.limited import LimitedAdvection
from graphpde.ops.advection.schemes import SCHEMES
from graphpde.ops.advection.streamline import StreamlineUpwind
from graphpde.ops.advection.upwind import Advection

__all__ = ["SCHEMES", "Advection", "CentredAdvection", "LimitedAdvection", "StreamlineUpwind"]
