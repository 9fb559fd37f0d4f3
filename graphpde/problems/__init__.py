"""The problem library: a PDE by name is its terms, its fields and its default data."""

from graphpde.problems.advection import AdvectionProblem
from graphpde.problems.gray_scott import GrayScottProblem
from graphpde.problems.heat import Heat
from graphpde.problems.pde import PDES, Box, Coefficient, Pde
from graphpde.problems.poisson import Poisson
from graphpde.problems.values import FieldsAt, Vector, conductivity, initial_state

__all__ = [
    "PDES",
    "AdvectionProblem",
    "Box",
    "Coefficient",
    "FieldsAt",
    "GrayScottProblem",
    "Heat",
    "Pde",
    "Poisson",
    "Vector",
    "conductivity",
    "initial_state",
]
