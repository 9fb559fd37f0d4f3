"""Eigenvalues and eigenvectors of minus the Laplacian of any domain."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from graphpde.core.bridges import as_graph
from graphpde.core.lattice import Lattice
from graphpde.errors import InputError
from graphpde.mesh.space import Space
from graphpde.ops.diffusion import Diffusion
from graphpde.ops.system import mass_operator
from graphpde.solve.eigen import EigenResult, eigenpairs

_DENSE = 2500  # unknowns of a mesh up to which LAPACK finds all eigenvalues, in seconds
_NETWORK = 5000  # the same of a network, whose interesting modes are not the smoothest: half a minute
_MOST = 400  # of a larger domain


class Spectrum(NamedTuple):
    """Eigenvalues of minus the Laplacian.

    Attributes:
        values: rising [k]. below: all eigenvalues up to here are among them; infinite where none is missing.
    """

    values: Tensor
    below: float


def modes(domain: Any, k: int = 30, *, rtol: float = 1e-8) -> EigenResult:
    """The k smoothest modes of a domain: -div(grad v) = lambda v with its own mass, or L v = lambda v on a graph.

    Args:
        domain: Space, Graph, torch-geometric Data or networkx graph. rtol: of the residuals.

    Returns:
        values [k] in 1/length^2, vectors [n, k] with v^T M v = 1. Any rotation of vectors with one value would do too.

    Raises:
        InputError: k out of range, or a directed graph. SolveError: they were not found to that tolerance.
    """
    graph = as_graph(domain)
    return eigenpairs(-_laplacian(graph), graph.mass, k=k, rtol=rtol).checked()


def eigenvalues_below(domain: Any, top: float) -> Spectrum:
    """The eigenvalues up to ``top``, and as many more as come with them.

    A :class:`Lattice` knows all of its own; LAPACK finds all of a space with up to 2500 unknowns and of a network with
    up to 5000 nodes; of larger domains at most the first 400 are sought, and ``below`` says how far they reach.
    """
    graph = as_graph(domain)
    if isinstance(graph, Lattice):
        return Spectrum(graph.eigenvalues(), float("inf"))
    if graph.n <= (_DENSE if isinstance(graph, Space) else _NETWORK):
        return Spectrum(_all(graph), float("inf"))
    count = 50
    while True:
        found = eigenpairs(-_laplacian(graph), graph.mass, k=count, rtol=1e-6).checked().values.detach()
        if float(found[-1]) > top or count >= _MOST:
            return Spectrum(found, float(found[-1]))
        count = min(2 * count, _MOST)


def _laplacian(graph: Any) -> Any:
    if graph.n < 1:
        raise InputError("the domain has no nodes, so it has no modes")
    return Diffusion(graph).operator


def _all(graph: Any) -> Tensor:
    stiffness = (-_laplacian(graph)).to_scipy().toarray()
    if isinstance(graph.mass, Tensor):  # a symmetric matrix: twice as fast as a pencil
        root = graph.mass.detach().cpu().double().sqrt().numpy()
        return _rounded(np.linalg.eigvalsh(stiffness / root[:, None] / root))
    from scipy.linalg import eigh

    mass = mass_operator(graph.mass, torch.zeros(graph.n, 1)).to_scipy().toarray()
    return _rounded(eigh(stiffness, mass, eigvals_only=True))


def _rounded(values: np.ndarray) -> Tensor:
    """What cannot be told from zero, as zero."""
    return torch.from_numpy(np.where(np.abs(values) <= 1e-13 * len(values) * np.abs(values).max(), 0.0, values))
