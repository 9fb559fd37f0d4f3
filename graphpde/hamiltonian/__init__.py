"""Hamiltonian systems: particles, chains and fields whose energy is a sum over nodes and edges."""

from graphpde.hamiltonian.fields import HenonHeiles, Pendulum, Quartic, Weight
from graphpde.hamiltonian.particles import NodeEnergy, Particles
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
    "HenonHeiles",
    "NodeEnergy",
    "Particles",
    "Pendulum",
    "Quartic",
    "Start",
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
