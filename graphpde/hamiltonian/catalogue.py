"""The systems of particles that run by name: what they are, and how they are usually advanced and shown."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from torch import Tensor

from graphpde.hamiltonian.flows import dam_break, taylor_green
from graphpde.hamiltonian.systems import (
    double_pendulum,
    fput,
    henon_heiles,
    kepler,
    lennard_jones,
    nbody,
    outer_planets,
    pendulum,
    phi4,
    springs,
    toda,
)
from graphpde.registry import Registry


class Known(NamedTuple):
    """A system by name.

    Attributes:
        title: for reports. equation: as text.
        make: numbers by name -> the system and a state [n, c] whose first columns are positions.
        end, step: of a run where nobody says them; an infinite step: what the system says is safe.
        stepper: that suits it.
        where: what positions are: "space" (coordinates), "chain" (displacements along a row), "angle".
        unit: of length and of time, for axes; "1": those of the equation.
    """

    title: str
    equation: str
    make: Callable[..., tuple[Any, Tensor]]
    end: float
    step: float
    stepper: str = "leapfrog"
    where: str = "space"
    unit: tuple[str, str] = ("1", "1")


_TABLE = {
    "double-pendulum": Known(
        "A double pendulum of rigid links", "m q'' = m g + tensions, |q_j - q_i| = l", double_pendulum, 10, 0.002,
        "rattle",
    ),
    "fput": Known(
        "The chain of Fermi, Pasta, Ulam and Tsingou", "V = d^2 / 2 + alpha d^3 / 3 + beta d^4 / 4", fput, 12_000, 0.1,
        where="chain",
    ),
    "henon-heiles": Known(
        "The system of Henon and Heiles", "U = (x^2 + y^2) / 2 + x^2 y - y^3 / 3", henon_heiles, 200, 0.05
    ),
    "kepler": Known("Two bodies on an ellipse", "m q'' = G m m' d / |d|^3", kepler, 20 * math.pi, 0.01),
    "lennard-jones": Known(
        "A Lennard-Jones fluid", "V = 4 (1 / r^12 - 1 / r^6), shifted to end at the cutoff", lennard_jones, 2, 0.004
    ),
    "nbody": Known(
        "Bodies that attract each other", "m q'' = sum of G m m' d / (|d|^2 + softening^2)^(3/2)", nbody, 10, 0.01
    ),
    "outer-planets": Known(
        "The outer planets", "m q'' = sum of G m m' d / |d|^3", outer_planets, 200_000, 50, unit=("AU", "d")
    ),
    "pendulum": Known("A pendulum", "q'' = -strength sin q", pendulum, 25, 0.05, where="angle"),
    "phi4": Known(
        "Lattice phi^4", "H = sum of p^2 / 2 + (q_j - q_i)^2 / 2 + square q^2 / 2 + quartic q^4 / 4", phi4, 50, 0.05,
        where="chain",
    ),
    "sph-dam-break": Known(
        "A collapsing column of water", "m v' = -sum of V V' (p + p') grad W + m g, p = p(rho)", dam_break, 3, math.inf,
        "heun",
    ),
    "sph-taylor-green": Known(
        "Decaying vortices", "m v' = -sum of V V' (p + p') grad W + viscosity, p = p(rho)", taylor_green, 0.5, math.inf,
        "heun",
    ),
    "springs": Known("A ring of springs", "V = stiffness (|d| - rest)^2 / 2", springs, 20, 0.02),
    "toda": Known("A Toda chain", "V = exp(-d) + d - 1", toda, 500, 0.05, where="chain"),
}  # fmt: skip
PARTICLES: Registry[Known] = Registry("system of particles")
for _name, _known in _TABLE.items():
    PARTICLES.add(_name)(_known)
