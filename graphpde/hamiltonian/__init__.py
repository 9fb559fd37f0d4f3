"""Hamiltonian systems: particles, chains and fields whose energy is a sum over nodes and edges."""

from graphpde.hamiltonian.damping import EdgeFriction
from graphpde.hamiltonian.fields import HenonHeiles, Pendulum, Quartic, Weight
from graphpde.hamiltonian.flows import Flow, dam_break, taylor_green
from graphpde.hamiltonian.lagrangian import Lagrangian, MassMatrix
from graphpde.hamiltonian.learned import Hamiltonian, LearnedField, LearnedPair, NodeNetwork, PathMatch, RateMatch
from graphpde.hamiltonian.particles import NodeEnergy, Particles
from graphpde.hamiltonian.shallow import (
    JumpViscosity,
    Profile,
    ShallowWater,
    dam_break_profile,
    shallow_dam_break,
)
from graphpde.hamiltonian.sph import Fluid, Liquid, Smearing
from graphpde.hamiltonian.start import LearnedStart
from graphpde.hamiltonian.sympnet import SympNet
from graphpde.hamiltonian.systems import (
    Start,
    chain,
    double_pendulum,
    fput,
    henon_heiles,
    kepler,
    lennard_jones,
    mode_energies,
    nbody,
    outer_planets,
    pendulum,
    phi4,
    springs,
    toda,
)
from graphpde.ops.smoothing import Overlap, Smoothing

__all__ = [
    "EdgeFriction",
    "Flow",
    "Fluid",
    "Hamiltonian",
    "HenonHeiles",
    "JumpViscosity",
    "Lagrangian",
    "LearnedField",
    "LearnedPair",
    "LearnedStart",
    "Liquid",
    "MassMatrix",
    "NodeEnergy",
    "NodeNetwork",
    "Overlap",
    "Particles",
    "PathMatch",
    "Pendulum",
    "Profile",
    "Quartic",
    "RateMatch",
    "ShallowWater",
    "Smearing",
    "Smoothing",
    "Start",
    "SympNet",
    "Weight",
    "chain",
    "dam_break",
    "dam_break_profile",
    "double_pendulum",
    "fput",
    "henon_heiles",
    "kepler",
    "lennard_jones",
    "mode_energies",
    "nbody",
    "outer_planets",
    "pendulum",
    "phi4",
    "shallow_dam_break",
    "springs",
    "taylor_green",
    "toda",
]
