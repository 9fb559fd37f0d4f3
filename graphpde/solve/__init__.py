"""Linear and nonlinear solvers with named results."""

from graphpde.solve.block_jacobi import BlockJacobi
from graphpde.solve.continuation import Branch, arclength, continuation
from graphpde.solve.derivative import derivative, differences
from graphpde.solve.eigen import EigenResult, eigenpairs
from graphpde.solve.fixed_point import picard
from graphpde.solve.krylov import KRYLOV
from graphpde.solve.linear import LinearSolver, solve
from graphpde.solve.newton import Corrector, newton
from graphpde.solve.null_space import NullSpace
from graphpde.solve.recycling import Recycling, sorted_sequence
from graphpde.solve.result import Result, Status
from graphpde.solve.transport import assignment, sinkhorn, sinkhorn_divergence, squared_distances, wasserstein

__all__ = [
    "KRYLOV",
    "BlockJacobi",
    "Branch",
    "Corrector",
    "EigenResult",
    "LinearSolver",
    "NullSpace",
    "Recycling",
    "Result",
    "Status",
    "arclength",
    "assignment",
    "continuation",
    "derivative",
    "differences",
    "eigenpairs",
    "newton",
    "picard",
    "sinkhorn",
    "sinkhorn_divergence",
    "solve",
    "sorted_sequence",
    "squared_distances",
    "wasserstein",
]
