"""Straight simplices in closed form: gradients of barycentric coordinates, sizes, stiffness and mass."""

from __future__ import annotations

import math

import torch
from torch import Tensor

AFFINE = ("line", "triangle", "tetra")


def affine(x: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of the barycentric coordinates [m, r + 1, d] and |det J| [m] of simplices with corners x [m, r + 1, d].

    On curves and surfaces the tangential gradients, and the root of the Gram determinant.
    """
    edges = (x[:, 1:] - x[:, :1]).unbind(1)
    d = x.shape[-1]
    if len(edges) == 1:
        square = _dot(edges[0], edges[0])
        others, size = [edges[0] / square[:, None]], square.sqrt()
    elif d == 2:
        (a, b), (p, q) = edges[0].unbind(1), edges[1].unbind(1)
        det = a * q - b * p
        others, size = [torch.stack([q, -p], 1) / det[:, None], torch.stack([-b, a], 1) / det[:, None]], det.abs()
    elif len(edges) == 2:
        one, two = edges
        aa, ab, bb = _dot(one, one), _dot(one, two), _dot(two, two)
        normal = torch.linalg.cross(one, two)
        det = _dot(normal, normal)  # aa bb - ab^2, without its cancellation
        others = [(bb[:, None] * one - ab[:, None] * two) / det[:, None]]
        others.append((aa[:, None] * two - ab[:, None] * one) / det[:, None])
        size = det.sqrt()
    else:
        one, two, three = edges
        normals = [torch.linalg.cross(two, three), torch.linalg.cross(three, one), torch.linalg.cross(one, two)]
        det = _dot(one, normals[0])
        others, size = [n / det[:, None] for n in normals], det.abs()
    rest = torch.stack(others, 1)
    return torch.cat([-rest.sum(1, keepdim=True), rest], 1), size


def couplings(x: Tensor, kappa: Tensor | None) -> Tensor:
    r"""Off-diagonal stiffness \int kappa grad N_i . grad N_j [m, k (k - 1)] (or [..., c]), row by row.

    Args:
        x: corners [m, k, d]. kappa: [m|1] or [m|1, c], or None for 1.
    """
    k = x.shape[1]
    if k < 4:
        entry = _of_metric(x)
    else:
        gradients, size = affine(x)
        columns = gradients.unbind(1)
        scaled = [g * (size / math.factorial(k - 1))[:, None] for g in columns]
        entry = {(i, j): _dot(scaled[i], columns[j]) for i in range(k) for j in range(i)}
    off = torch.stack([entry[max(i, j), min(i, j)] for i in range(k) for j in range(k) if i != j], 1)
    if kappa is None:
        return off
    return off * kappa[:, None] if kappa.dim() == 1 else off[..., None] * kappa[:, None]


def _of_metric(x: Tensor) -> dict[tuple[int, int], Tensor]:
    """Stiffness of lines and triangles from the products of their edges: on triangles minus half the cotangents."""
    one = x[:, 1] - x[:, 0]
    if x.shape[1] == 2:
        return {(1, 0): -1 / _dot(one, one).sqrt()}
    two = x[:, 2] - x[:, 0]
    aa, ab, bb, twice = _dot(one, one), _dot(one, two), _dot(two, two), 2 * affine_size(x)
    return {(1, 0): (ab - bb) / twice, (2, 0): (ab - aa) / twice, (2, 1): -ab / twice}


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Products of rows [m, d]; torch's sum over a short last dimension is several times slower."""
    parts = [p * q for p, q in zip(a.unbind(1), b.unbind(1), strict=True)]
    return sum(parts[1:], parts[0])


def masses(x: Tensor, density: Tensor | None) -> Tensor:
    r"""\int rho N_i N_j for i != j [m], with rho [m] or 1; on the diagonal it is twice that, the row sum k times."""
    size = affine_size(x)
    k = x.shape[1]
    share = size / (math.factorial(k - 1) * k * (k + 1))
    return share if density is None else share * density


def affine_size(x: Tensor) -> Tensor:
    """|det J| [m] of simplices with corners x [m, r + 1, d]."""
    edges = (x[:, 1:] - x[:, :1]).unbind(1)
    if len(edges) == 1:
        return _dot(edges[0], edges[0]).sqrt()
    if x.shape[-1] == 2:
        (a, b), (p, q) = edges[0].unbind(1), edges[1].unbind(1)
        return (a * q - b * p).abs()
    normal = torch.linalg.cross(*edges[:2])
    return _dot(normal, normal).sqrt() if len(edges) == 2 else _dot(normal, edges[2]).abs()
