"""Linear and nonlinear solvers with named results."""

from graphpde.solve.linear import LinearSolver, solve
from graphpde.solve.newton import Corrector, newton
from graphpde.solve.result import Result, Status

__all__ = ["Corrector", "LinearSolver", "Result", "Status", "newton", "solve"]
