"""Steppers and the one time loop: how states advance."""

from graphpde.dynamics.evolve import evolve
from graphpde.dynamics.explicit import Bosh3, Dopri5, Euler, Heun, Midpoint, Ralston, Rk4, Tsit5
from graphpde.dynamics.implicit import BackwardEuler, CrankNicolson
from graphpde.dynamics.steady import steady
from graphpde.dynamics.stepper import STEPPERS, Step, Stepper
from graphpde.dynamics.trajectory import SaveAll, SaveLast, SaveTo, Trajectory

__all__ = [
    "STEPPERS",
    "BackwardEuler",
    "Bosh3",
    "CrankNicolson",
    "Dopri5",
    "Euler",
    "Heun",
    "Midpoint",
    "Ralston",
    "Rk4",
    "SaveAll",
    "SaveLast",
    "SaveTo",
    "Step",
    "Stepper",
    "Trajectory",
    "Tsit5",
    "evolve",
    "steady",
]
