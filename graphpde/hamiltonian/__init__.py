"""Hamiltonian systems: particles, chains and fields whose energy is a sum over nodes and edges."""

from graphpde.hamiltonian.damping import EdgeFriction
from graphpde.hamiltonian.fields import HenonHeiles, Pendulum, Quartic, Weight
from graphpde.hamiltonian.lagrangian import Lagrangian, MassMatrix
from graphpde.hamiltonian.learned import Hamiltonian, LearnedField, LearnedPair, NodeNetwork, PathMatch, RateMatch
from graphpde.hamiltonian.particles import NodeEnergy, Particles
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
    pendulum,
    phi4,
    springs,
    toda,
)

__all__ = [
    "EdgeFriction",
    "Hamiltonian",
    "HenonHeiles",
    "Lagrangian",
    "LearnedField",
    "LearnedPair",
    "MassMatrix",
    "NodeEnergy",
    "NodeNetwork",
    "Particles",
    "PathMatch",
    "Pendulum",
    "Quartic",
    "RateMatch",
    "Start",
    "SympNet",
    "Weight",
    "chain",
    "double_pendulum",
    "fput",
    "henon_heiles",
    "kepler",
    "lennard_jones",
    "mode_energies",
    "nbody",
    "pendulum",
    "phi4",
    "springs",
    "toda",
]
