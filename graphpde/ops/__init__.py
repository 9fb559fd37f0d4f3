"""Terms: what moves."""

from graphpde.ops.advection import Advection
from graphpde.ops.boundary import Dirichlet, Neumann
from graphpde.ops.diffusion import Diffusion
from graphpde.ops.reaction import REACTIONS, Reaction
from graphpde.ops.source import Source
from graphpde.ops.system import System
from graphpde.ops.term import LinearTerm, Sum, Term

__all__ = [
    "REACTIONS",
    "Advection",
    "Diffusion",
    "Dirichlet",
    "LinearTerm",
    "Neumann",
    "Reaction",
    "Source",
    "Sum",
    "System",
    "Term",
]
