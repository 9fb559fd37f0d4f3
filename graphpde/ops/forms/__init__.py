"""Weak forms, one equation a file."""

from graphpde.ops.forms.allen_cahn import AllenCahn
from graphpde.ops.forms.burgers import Burgers, VectorBurgers
from graphpde.ops.forms.cahn_hilliard import CahnHilliard
from graphpde.ops.forms.diffusion import NonlinearDiffusion
from graphpde.ops.forms.electro_thermal import ElectroThermal
from graphpde.ops.forms.helmholtz import Helmholtz
from graphpde.ops.forms.minimal_surface import MinimalSurface
from graphpde.ops.forms.p_laplacian import PLaplacian
from graphpde.ops.forms.porous_medium import PorousMedium, barenblatt
from graphpde.ops.forms.reaction import ReactionForm

__all__ = [
    "AllenCahn",
    "Burgers",
    "CahnHilliard",
    "ElectroThermal",
    "Helmholtz",
    "MinimalSurface",
    "NonlinearDiffusion",
    "PLaplacian",
    "PorousMedium",
    "ReactionForm",
    "VectorBurgers",
    "barenblatt",
]
