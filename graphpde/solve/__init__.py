"""Linear and nonlinear solvers with named results."""

from graphpde.solve.linear import LinearSolver, solve
from graphpde.solve.newton import newton
from graphpde.solve.result import Result, Status

__all__ = ["LinearSolver", "Result", "Status", "newton", "solve"]
