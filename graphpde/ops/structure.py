"""At which lengths a field varies: its energy by wave number, on any domain, without eigenvectors."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from graphpde.core.bridges import as_graph
from graphpde.errors import InputError
from graphpde.ops.diffusion import Diffusion
from graphpde.typing import check_shape

WIDTH = 0.1
"""Width of the Gaussian that smooths the energy, in units of ln k: a tenth of a wave number."""


class Structure(NamedTuple):
    """Energy by wave number.

    Attributes:
        k: wave numbers, rising [b], in 1/length: roots of eigenvalues of minus the Laplacian.
        energy: share of the variance at each [b], summing to 1.
    """

    k: Tensor
    energy: Tensor

    def density(self, k: Tensor) -> Tensor:
        """Share of the variance for each unit of ln k, smoothed, at wave numbers k [*] > 0."""
        apart = (k.log()[..., None] - self.k.clamp(min=1e-300).log()) / WIDTH
        return (torch.exp(-0.5 * apart**2) * self.energy).sum(-1) / (WIDTH * math.sqrt(2 * math.pi))

    @property
    def peak(self) -> float:
        """The wave number with the largest density, to a thousandth.

        Raises:
            InputError: the field is constant on every part of its domain.
        """
        present = self.k[(self.energy > 1e-6) & (self.k > 1e-6 * self.k[-1])]
        if not len(present):
            raise InputError("the field is constant on every part of its domain, so it has no wave number")
        grid = torch.exp(torch.arange(math.log(float(present[0])), math.log(float(present[-1])) + 1e-3, 1e-3).double())
        return float(grid[self.density(grid).argmax()])

    @property
    def wavelength(self) -> float:
        """2 pi / peak."""
        return 2 * math.pi / self.peak


def structure_factor(domain: Any, u: Tensor, *, steps: int = 128) -> Structure:
    """How the variance of a field is spread over the spectrum of the Laplacian.

    Lanczos' method started at the field gives the Gauss rule of that distribution: every moment up to 2 steps - 1 is
    exact, single modes are found where they carry energy, and wave numbers closer than about pi / 2 / steps of the
    largest one of the domain run together. On a periodic lattice it is the radially averaged power spectrum.

    Args:
        domain: Space with lumped mass, Graph, torch-geometric Data or networkx graph. u: field [n] or [n, 1].
        steps: of Lanczos, one product with the Laplacian each.

    Raises:
        InputError: a field that is constant or not finite, or a mass that is not lumped. ShapeError: not one value a
            node.

    Reference: Golub and Meurant 2010, Matrices, Moments and Quadrature, chapter 4.
    """
    graph = as_graph(domain)
    field = check_shape(u.reshape(-1), "n", "field", n=graph.n).detach().to(torch.float64)
    if not isinstance(graph.mass, Tensor):
        raise InputError(
            "the structure factor needs a lumped mass; take Space(mesh, lumped=True) or first-order elements"
        )
    measure = graph.measure.detach().to(torch.float64)
    root = measure.sqrt()
    v = root * (field - (measure * field).sum() / measure.sum())
    size = float(v.norm())
    if not 1e-12 * float((root * field).norm()) < size < math.inf:
        raise InputError("the field is constant or not finite, so it has no wave number")
    laplacian = Diffusion(graph).operator

    def apply(x: Tensor) -> Tensor:
        return -laplacian.matvec((x / root)[:, None])[:, 0] / root

    values, weights = _gauss_rule(apply, v / size, min(steps, graph.n))
    return Structure(values.clamp(min=0).sqrt(), weights)


def _gauss_rule(apply: Any, v: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """Nodes and weights of the distribution of v over the spectrum of a symmetric map."""
    basis = v.new_zeros(steps, len(v))
    diagonal, beside = [], []
    basis[0] = v
    for k in range(steps):
        w = apply(basis[k])
        diagonal.append(float(w @ basis[k]))
        for _ in range(2):  # against all before: else converged values come back as copies
            w = w - (basis[: k + 1] @ w) @ basis[: k + 1]
        length = float(w.norm())
        if k == steps - 1 or length <= 1e-12 * max(abs(x) for x in (*diagonal, 1e-300)):
            break
        beside.append(length)
        basis[k + 1] = w / length
    t = (
        torch.diag(torch.tensor(diagonal, dtype=torch.float64))
        + torch.diag(torch.tensor(beside, dtype=torch.float64), 1)
        + torch.diag(torch.tensor(beside, dtype=torch.float64), -1)
    )
    values, vectors = torch.linalg.eigh(t)
    return values, vectors[0] ** 2
