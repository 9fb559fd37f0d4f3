"""Linear and nonlinear solvers with named results."""

from graphpde.solve.eigen import EigenResult, eigenpairs
from graphpde.solve.linear import LinearSolver, solve
from graphpde.solve.newton import Corrector, newton
from graphpde.solve.result import Result, Status

__all__ = ["Corrector", "EigenResult", "LinearSolver", "Result", "Status", "eigenpairs", "newton", "solve"]
