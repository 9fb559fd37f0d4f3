"""Terms: what moves."""

from graphpde.ops.advection import Advection, CentredAdvection, LimitedAdvection, StreamlineUpwind
from graphpde.ops.boundary import Dirichlet, Neumann, Robin
from graphpde.ops.denoising import Denoised, denoise
from graphpde.ops.diffusion import Diffusion
from graphpde.ops.eigenbasis import EigenBasis, eigenbasis
from graphpde.ops.form import FORMS, Energy, Form, LinearForm
from graphpde.ops.forms import (
    AllenCahn,
    Burgers,
    CahnHilliard,
    ElectroThermal,
    Helmholtz,
    MinimalSurface,
    NonlinearDiffusion,
    PLaplacian,
    PorousMedium,
    ReactionForm,
    VectorBurgers,
)
from graphpde.ops.incompressible import Convection, Pressure, Stokes, Velocity
from graphpde.ops.indicators import energy_error, energy_norm, recovery_indicator, residual_indicator
from graphpde.ops.laws import CentredNormal, Law, Normal
from graphpde.ops.noise import SDE, Additive, Diagonal, EdgeNoise, General, Noise
from graphpde.ops.random_fields import GaussianField
from graphpde.ops.reaction import REACTIONS, Reaction
from graphpde.ops.rigid import Rigid
from graphpde.ops.separable import Force, Friction, Separable, Thermal, langevin
from graphpde.ops.source import Source
from graphpde.ops.system import System
from graphpde.ops.term import LinearTerm, Sum, Term
from graphpde.ops.total_variation import DiscreteTotalVariation, Fluxes
from graphpde.ops.turing import analyse, conditions, dispersion, predict, unstable_band
from graphpde.ops.vorticity import vorticity
from graphpde.ops.wave import Held, Wave

__all__ = [
    "FORMS",
    "REACTIONS",
    "SDE",
    "Additive",
    "Advection",
    "AllenCahn",
    "Burgers",
    "CahnHilliard",
    "CentredAdvection",
    "CentredNormal",
    "Convection",
    "Denoised",
    "Diagonal",
    "Diffusion",
    "Dirichlet",
    "DiscreteTotalVariation",
    "EdgeNoise",
    "EigenBasis",
    "ElectroThermal",
    "Energy",
    "Fluxes",
    "Force",
    "Form",
    "Friction",
    "GaussianField",
    "General",
    "Held",
    "Helmholtz",
    "Law",
    "LimitedAdvection",
    "LinearForm",
    "LinearTerm",
    "MinimalSurface",
    "Neumann",
    "Noise",
    "NonlinearDiffusion",
    "Normal",
    "PLaplacian",
    "PorousMedium",
    "Pressure",
    "Reaction",
    "ReactionForm",
    "Rigid",
    "Robin",
    "Separable",
    "Source",
    "Stokes",
    "StreamlineUpwind",
    "Sum",
    "System",
    "Term",
    "Thermal",
    "VectorBurgers",
    "Velocity",
    "Wave",
    "analyse",
    "conditions",
    "denoise",
    "dispersion",
    "eigenbasis",
    "energy_error",
    "energy_norm",
    "langevin",
    "predict",
    "recovery_indicator",
    "residual_indicator",
    "unstable_band",
    "vorticity",
]
