"""The table of advection schemes: name -> term built as ``scheme(domain, velocity)``.

One class a scheme and no ``scheme=`` string: the limited ones are nonlinear, streamline upwinding has a mass of its own
and needs to know the diffusion and the source, so they share neither base class nor arguments.
"""

from __future__ import annotations

from graphpde.ops.term import Term
from graphpde.registry import Registry

SCHEMES: Registry[type[Term]] = Registry("advection scheme")
