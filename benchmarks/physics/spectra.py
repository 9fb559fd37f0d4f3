"""Eigenvalues of the Laplacian on closed surfaces and membranes, from our stiffness and mass by scipy's eigsh."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor

from benchmarks.manufactured import meshes
from benchmarks.physics.rows import SOLVING, Found, Row, at_most, percent
from graphpde.mesh import P1, P2, Mesh, Space, jittered, rectangle, refine, torus
from graphpde.mesh.elements import Element
from graphpde.mesh.second_order import completed
from graphpde.ops import Diffusion

SECTION = "Eigenvalues"
COUNT = 20
MAJOR, MINOR = 1.0, 0.4
SOURCES = (*SOLVING, "benchmarks/manufactured/meshes.py", "benchmarks/physics/spectra.py")


@dataclass(frozen=True)
class Spectrum:
    """A domain with known eigenvalues.

    Attributes:
        mesh: refinement level -> mesh. levels: the three that are run. element: on it. exact: its eigenvalues > 0.
        periodic: pairs of sides. held: whether the boundary is at rest.
    """

    mesh: Callable[[int], Mesh]
    levels: tuple[int, int, int]
    element: Element
    exact: Callable[[], np.ndarray]
    periodic: tuple[tuple[str, str], ...] = ()
    held: bool = False


def rows() -> list[Row]:
    """For each domain the order and the errors of the first eigenvalues on the finest mesh."""
    out = []
    for name, spectrum in SPECTRA.items():
        order = 2 * spectrum.element.degree
        out.append(
            Row(SECTION, f"order of the first {COUNT} eigenvalues, {name}", f"{order} (- 0.05)", lambda v: v >= -0.05,
                lambda s=spectrum: _order(s), BECAUSE.get(name, ""), SOURCES)
        )  # fmt: skip
        out.append(
            Row(SECTION, f"largest error of the first {COUNT} eigenvalues, {name}", "0.5 %", at_most(0.005),
                lambda s=spectrum: _largest(s), "", SOURCES)
        )  # fmt: skip
    return out


BECAUSE: dict[str, str] = {}


@cache
def errors(spectrum: Spectrum) -> list[tuple[int, np.ndarray]]:
    """Unknowns and relative errors of the first eigenvalues on each mesh."""
    exact = spectrum.exact()[:COUNT]
    out = []
    for level in spectrum.levels:
        space = Space(spectrum.mesh(level), spectrum.element, periodic=spectrum.periodic)
        out.append((space.n, eigenvalues(space, spectrum.held) / exact - 1))
    return out


def eigenvalues(space: Space, held: bool) -> np.ndarray:
    """The first ones above zero, in ascending order."""
    from scipy.sparse.linalg import eigsh

    stiff, mass = -Diffusion(space).operator.to_scipy(), space.consistent_mass.to_scipy()
    if held:
        free = np.setdiff1d(np.arange(space.n), space.tag("boundary").nodes.numpy())
        stiff, mass = stiff[free][:, free], mass[free][:, free]
    extra = 0 if held else 1
    start = np.random.default_rng(0).standard_normal(stiff.shape[0])
    found = np.sort(eigsh(stiff.tocsc(), COUNT + extra, mass.tocsc(), sigma=-1.0, v0=start)[0])
    return found[extra:]


def _order(spectrum: Spectrum) -> Found:
    found = errors(spectrum)
    sizes = [float(np.sqrt((error**2).mean())) for _, error in found]
    order = math.log2(sizes[-2] / sizes[-1])
    on = ", ".join(str(n) for n, _ in found) + " unknowns"
    note = "root mean square of the relative errors " + ", ".join(f"{size:.2e}" for size in sizes)
    return Found(order - 2 * spectrum.element.degree, f"{order:.3f}", on, note)


def _largest(spectrum: Spectrum) -> Found:
    n, error = errors(spectrum)[-1]
    worst = float(np.abs(error).max())
    return Found(worst, percent(worst), f"{n} unknowns")


def _of_sphere() -> np.ndarray:
    return np.concatenate([[degree * (degree + 1.0)] * (2 * degree + 1) for degree in range(1, 7)])


def _of_flat_torus() -> np.ndarray:
    k = np.arange(-6, 7)
    return np.sort((4 * np.pi**2 * (k[:, None] ** 2 + k[None] ** 2)).reshape(-1))[1:]


def _of_drum() -> np.ndarray:
    from scipy.special import jn_zeros

    zeros = [(1 if m == 0 else 2) * [z] for m in range(12) for z in jn_zeros(m, 6)]
    return np.sort(np.concatenate(zeros)) ** 2


def _of_torus(points: int = 128) -> np.ndarray:
    r"""Separation u = f(phi) e^{i m theta}: \int rho f' g' / r^2 + m^2 / rho f g = l \int rho f g, rho = R + r cos phi.

    By Fourier's method, whose error falls faster than any power: 64 and 128 points agree to 1e-12.
    """
    from scipy.linalg import eigh

    phi = 2 * np.pi * np.arange(points) / points
    k = np.arange(-points // 4, points // 4 + 1)
    waves = np.exp(1j * phi[:, None] * k)
    rho = MAJOR + MINOR * np.cos(phi)
    slopes = 1j * k * waves
    mass = waves.conj().T @ (rho[:, None] * waves)
    out = []
    for m in range(12):
        stiff = slopes.conj().T @ (rho[:, None] * slopes) / MINOR**2 + waves.conj().T @ ((m * m / rho)[:, None] * waves)
        out += [*eigh(stiff, mass, eigvals_only=True)[:12]] * (1 if m == 0 else 2)
    return np.sort(out)[1:]


def _onto_torus(x: Tensor) -> Tensor:
    flat = torch.linalg.vector_norm(x[:, :2], dim=1, keepdim=True)
    centre = torch.cat([MAJOR * x[:, :2] / flat, torch.zeros_like(flat)], 1)
    way = x - centre
    return centre + MINOR * way / torch.linalg.vector_norm(way, dim=1, keepdim=True)


def _torus(level: int) -> Mesh:
    """Triangles between random points of the torus."""
    coarse = torus(0.5, MAJOR, MINOR)
    rng = np.random.default_rng(meshes.SEED)
    moved = coarse.points + torch.from_numpy(0.03 * rng.standard_normal((coarse.n, 3)))
    return refine(coarse.with_points(_onto_torus(moved)), level, project=_onto_torus)


def _curved_torus(level: int) -> Mesh:
    mesh = completed(_torus(level))
    return mesh.with_points(_onto_torus(mesh.points))


def _periodic_square(level: int) -> Mesh:
    return refine(jittered(rectangle(4, 4), 0.2, seed=meshes.SEED), level)


_ROUND = (("left", "right"), ("bottom", "top"))
SPECTRA: dict[str, Spectrum] = {
    "unit sphere, P1": Spectrum(meshes.globe, (3, 4, 5), P1(), _of_sphere),
    "unit sphere, P2 with curved sides": Spectrum(meshes.curved_globe, (2, 3, 4), P2(), _of_sphere),
    "torus of radii 1 and 0.4, P1": Spectrum(_torus, (2, 3, 4), P1(), _of_torus),
    "torus of radii 1 and 0.4, P2 with curved sides": Spectrum(_curved_torus, (1, 2, 3), P2(), _of_torus),
    "flat torus, P1 with periodic sides": Spectrum(_periodic_square, (3, 4, 5), P1(), _of_flat_torus, _ROUND),
    "flat torus, P2 with periodic sides": Spectrum(_periodic_square, (2, 3, 4), P2(), _of_flat_torus, _ROUND),
    "drum, P1": Spectrum(meshes.round_disk, (3, 4, 5), P1(), _of_drum, held=True),
    "drum, P2 with curved sides": Spectrum(meshes.curved_disk, (2, 3, 4), P2(), _of_drum, held=True),
}
