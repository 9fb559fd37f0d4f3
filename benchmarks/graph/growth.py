"""Every mode grows as the dispersion relation says: Schnakenberg on a grid, a sphere and a scale-free network."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial

import torch
from torch import Tensor

from benchmarks.physics.rows import SOLVING, Found, Row, at_most, percent
from graphpde.core import Graph, Lattice, barabasi_albert
from graphpde.dynamics import Rk4, Sbdf2, evolve
from graphpde.mesh import Space, sphere
from graphpde.ops import Diffusion, Reaction, analyse, predict
from graphpde.ops.reactions import Schnakenberg

SECTION = "Turing patterns"
SOURCES = (*SOLVING, "benchmarks/graph/growth.py")
KINETICS = Schnakenberg(0.1, 0.9)
RATIO = 40.0
REST = torch.tensor([[1.0, 0.9]], dtype=torch.float64)
NOISE = 1e-6
MODES = 30
ALIKE = 1e-6  # relative distance of eigenvalues that share an eigenspace


@dataclass(frozen=True)
class Place:
    """A domain with diffusivities that put the fastest wave number among its first modes.

    Attributes:
        domain: itself. kappa: of both species. name: for the table.
    """

    domain: Graph
    kappa: tuple[float, float]
    name: str

    def term(self, kappa: tuple[float, float] | None = None) -> object:
        """Diffusion and reaction."""
        each = torch.tensor([kappa or self.kappa], dtype=torch.float64)
        return Diffusion(self.domain, each) + Reaction(KINETICS)

    def start(self) -> Tensor:
        """The homogeneous state with noise."""
        g = torch.Generator().manual_seed(7)
        return REST + NOISE * torch.randn(self.domain.n, 2, generator=g, dtype=torch.float64)


def place(domain: Graph, name: str, at: int = 12) -> Place:
    """Diffusivities for which mode number ``at`` is the fastest."""
    value = float(predict(domain, KINETICS, (1.0, RATIO), k=at + 1).eigenvalues[at])
    kappa = analyse(KINETICS, REST[0].tolist(), (1.0, RATIO)).fastest.k2 / value
    return Place(domain, (kappa, RATIO * kappa), name)


@cache
def grid() -> Place:
    return place(Lattice(48, 48), "periodic grid, 48 x 48 points")


@cache
def ball() -> Place:
    return place(Space(sphere(level=4)), "sphere, 2562 unknowns")


@cache
def network() -> Place:
    return place(barabasi_albert(500, 3, 0), "Barabasi-Albert network, 500 nodes, 3 links each")


PLACES: dict[str, Callable[[], Place]] = {"grid": grid, "sphere": ball, "network": network}


def growth_errors(where: Place, count: int = MODES, window: float = 1.0) -> tuple[list[float], float]:
    """|measured - predicted| rate of each eigenspace among the first modes, and the largest predicted rate.

    The amplitudes (u, v) of a mode obey one 2 x 2 system whatever its shape: its propagator over a time tau is fitted
    to three moments, and its largest eigenvalue is exp(sigma tau). Nothing predicted enters.
    """
    expected = predict(where.domain, KINETICS, where.kappa, k=count)
    assert expected.vectors is not None
    fastest = float(expected.rates.real.abs().max())
    times = [0.0, window / fastest, 2 * window / fastest]
    stable = 2.7 / (where.kappa[1] * _largest(where.domain) + 3)
    run = evolve(where.term(), where.start(), times, stepper=Rk4(), dt=stable / 2)
    weighted = expected.vectors * where.domain.measure[:, None]
    moments = torch.einsum("nk,snc->skc", weighted, run.states - REST)
    errors = []
    for space in _spaces(expected.eigenvalues):
        before = torch.cat([moments[0, space], moments[1, space]])
        after = torch.cat([moments[1, space], moments[2, space]])
        propagator = torch.linalg.lstsq(before, after).solution.T
        measured = float(torch.linalg.eigvals(propagator).abs().max().log()) / times[1]
        errors.append(abs(measured - float(expected.rates[space[0]].real)))
    return errors, fastest


def _largest(domain: Graph) -> float:
    """A bound of the spectrum of minus the Laplacian: the largest row sum of moduli (Gershgorin)."""
    matrix = Diffusion(domain).operator.to_scipy()
    return float((abs(matrix).sum(1) / domain.measure.numpy()).max())


def _spaces(values: Tensor) -> list[list[int]]:
    """Numbers of the modes of each eigenspace."""
    groups: list[list[int]] = []
    for k, value in enumerate(values.tolist()):
        if groups and value - float(values[groups[-1][0]]) <= ALIKE * max(abs(value), 1e-9):
            groups[-1].append(k)
        else:
            groups.append([k])
    return groups


def dominant(where: Place, count: int = 120) -> tuple[float, tuple[float, float]]:
    """The eigenvalue of the strongest mode of the final pattern (without the mean), and the unstable band."""
    expected = predict(where.domain, KINETICS, where.kappa, k=min(count, where.domain.n))
    assert expected.vectors is not None
    end = 60 / float(expected.rates.real.max())
    run = evolve(where.term(), where.start(), [0.0, end], stepper=Sbdf2(), dt=0.05)
    weighted = expected.vectors * where.domain.measure[:, None]
    energy = (weighted.T @ (run.final - REST)[:, 0]).square()
    spaces = _spaces(expected.eigenvalues)[1:]
    best = max(spaces, key=lambda space: float(energy[space].sum()))
    return float(expected.eigenvalues[best[0]]), expected.analysis.bands[0]


def left_of_noise(where: Place, end: float = 40.0) -> float:
    """Deviation at the end over that at the start, both species diffusing alike: exp(-end / 10) of its mean at most."""
    run = evolve(where.term((where.kappa[0],) * 2), where.start(), [0.0, end], stepper=Sbdf2(), dt=0.02)
    size = where.domain.norm(run.states - REST)
    return float(size[1] / size[0])


def rows() -> list[Row]:
    """Growth of each mode, the mode that wins, and the control, on each domain."""
    out = []
    for name, make in PLACES.items():
        for what, target, check, measure in (
            ("growth rates of the first 30 modes", "<= 2 % of the largest", at_most(0.02), _growth),
            ("strongest mode of the final pattern in the band", "yes", at_most(0.0), _winner),
            ("noise left under equal diffusion at t = 40", "<= 0.05", at_most(0.05), _control),
        ):
            out.append(Row(SECTION, f"{what}, {name}", target, check, partial(measure, make), sources=SOURCES))
    return out


def _growth(make: Callable[[], Place]) -> Found:
    errors, fastest = growth_errors(make())
    note = (
        f"{len(errors)} eigenspaces, worst of them; largest rate {fastest:.3g}; 1e-6 noise, Schnakenberg, d = {RATIO:g}"
    )
    return Found(max(errors) / fastest, percent(max(errors) / fastest), make().name, note)


def _winner(make: Callable[[], Place]) -> Found:
    value, (low, high) = dominant(make())
    inside = low <= value <= high
    text = f"{value:.3g} in {low:.3g} .. {high:.3g}" if inside else f"{value:.3g} outside {low:.3g} .. {high:.3g}"
    return Found(0.0 if inside else math.inf, text, make().name, "eigenvalue of minus the Laplacian")


def _control(make: Callable[[], Place]) -> Found:
    value = left_of_noise(make())
    return Found(value, f"{value:.2g}", make().name, "no mode decays slower than exp(-t / 10): 0.018")
