"""Bodies that deform."""

from graphpde.ops.elasticity.conditions import ElasticSupport, PointLoad, PressureLoad, Symmetry
from graphpde.ops.elasticity.hyperelastic import NeoHookean
from graphpde.ops.elasticity.linear import KINDS, Elasticity, checked_space, displacement_channels
from graphpde.ops.elasticity.load_steps import load_steps
from graphpde.ops.elasticity.modes import Modes, effective_masses, modes
from graphpde.ops.elasticity.motion import Elastodynamics
from graphpde.ops.elasticity.orthotropic import Orthotropic
from graphpde.ops.elasticity.resultants import Resultant, reactions, resultant
from graphpde.ops.elasticity.rigid import free_motions, rigid_modes
from graphpde.ops.elasticity.stresses import (
    Principal,
    at_nodes,
    hydrostatic_pressure,
    max_shear,
    principal,
    von_mises,
)
from graphpde.ops.elasticity.swelling import PoroElasticity, ThermoElasticity

__all__ = [
    "KINDS",
    "ElasticSupport",
    "Elasticity",
    "Elastodynamics",
    "Modes",
    "NeoHookean",
    "Orthotropic",
    "PointLoad",
    "PoroElasticity",
    "PressureLoad",
    "Principal",
    "Resultant",
    "Symmetry",
    "ThermoElasticity",
    "at_nodes",
    "checked_space",
    "displacement_channels",
    "effective_masses",
    "free_motions",
    "hydrostatic_pressure",
    "load_steps",
    "max_shear",
    "modes",
    "principal",
    "reactions",
    "resultant",
    "rigid_modes",
    "von_mises",
]
