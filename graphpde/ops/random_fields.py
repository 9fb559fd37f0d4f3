"""Gaussian random fields on any domain: one law on all meshes of a geometry."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from graphpde.checks import number, positive
from graphpde.errors import InputError
from graphpde.ops.eigenbasis import EigenBasis, eigenbasis
from graphpde.ops.laws import require_states
from graphpde.typing import check_shape


class GaussianField:
    r"""u = sum_k z_k a_k v_k with standard normal z: mean 0, covariance scale^2 (kappa^2 - Laplace)^-s on the modes.

    a_k^2 = scale^2 (kappa^2 + lambda_k)^-s. Fields of Matern type: 1/kappa is a correlation length, s - d/2 the
    smoothness in dimension d. The law of the coefficients does not depend on the mesh; white noise of the nodes, which
    does, is s = 0.

    Args:
        domain: Space, Graph, ... kappa: in 1/length, > 0. s: power. scale: of the field. modes: how many are kept; None
            = as many as nodes, up to 400.

    Raises:
        InputError: parameters out of range. SolveError: the modes were not found.

    Reference: Lindgren, Rue and Lindstrom 2011, J. R. Stat. Soc. B 73, eqs. (1), (2).
    """

    def __init__(self, domain: Any, *, kappa: float, s: float = 2.0, scale: float = 1.0, modes: int | None = None):
        positive("kappa", kappa, finite=True)
        positive("scale", scale, finite=True)
        number("s", s)
        self.basis: EigenBasis = eigenbasis(domain, 400 if modes is None else modes)
        self.deviations = scale * (kappa**2 + self.basis.values) ** (-s / 2)  # a [k]

    def draw(self, like: Tensor, rng: torch.Generator | None = None) -> Tensor:
        """Independent fields with the shape of ``like`` [*, n, c]; channels are independent.

        Raises:
            ShapeError: another number of nodes.
        """
        check_shape(like, "* n c", "the field", n=self.basis.n)
        shape = (*like.shape[:-2], self.basis.k, like.shape[-1])
        z = torch.randn(shape, generator=rng, dtype=like.dtype, device=like.device)
        return self.basis.synthesise(z * self.deviations[:, None].to(like))

    def log_density(self, x: Tensor, dims: int = 2) -> Tensor:
        """Of each field [*, 1, 1], with respect to the values at the nodes.

        Raises:
            InputError: dims other than 2; fewer modes than nodes: such a law has no density.
        """
        require_states(dims)
        basis = self.basis
        if basis.k < basis.n:
            raise InputError(f"a law on {basis.k} modes of {basis.n} nodes has no density; take modes={basis.n}")
        a = self.deviations[:, None].to(x)
        square = (basis.analyse(x) / a).square().sum((-1, -2), keepdim=True)
        _, volume = torch.linalg.slogdet(basis.weighted)  # of the map from values to coefficients
        each = -self.deviations.log().sum() - 0.5 * basis.n * math.log(2 * math.pi) + volume
        return -0.5 * square + x.shape[-1] * each.to(x)

    def covariance(self) -> Tensor:
        """Of the values at the nodes, [n, n]."""
        weighted = self.basis.vectors * self.deviations
        return weighted @ weighted.T
