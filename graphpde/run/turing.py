"""The linear analysis of a reaction by name, on free space or on a domain, as numbers and as a picture."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from graphpde.core.graph import Graph
from graphpde.core.lattice import Lattice
from graphpde.errors import InputError
from graphpde.mesh.space import Space
from graphpde.ops.reactions import REACTIONS, Kinetics
from graphpde.ops.spectral import Spectrum, eigenvalues_below
from graphpde.ops.turing import Analysis, Prediction, analyse
from graphpde.problems import PDES
from graphpde.registry import unknown
from graphpde.viz import save_figure
from graphpde.viz.dispersion import plot_dispersion

_RATIO = 20.0  # of the diffusivities of two species where no problem of the library says one


@dataclass(frozen=True)
class Study:
    """What the analysis says of a reaction.

    Attributes:
        name: of the reaction. kinetics: the reaction. kappa: species -> diffusivity. chosen: species
            whose diffusivity nobody gave.
        domain: None or where the modes live. predictions: one for each homogeneous state.
    """

    name: str
    kinetics: Kinetics
    kappa: Mapping[str, float]
    chosen: tuple[str, ...]
    domain: Graph | None
    predictions: Sequence[Prediction]

    @property
    def shown(self) -> Prediction:
        """The state that a picture is about: the first from which patterns grow, else the first."""
        grow = [p for p in self.predictions if p.analysis.kind in ("turing", "wave")]
        return (grow or list(self.predictions))[0]

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers; what is infinite is None."""
        constants = dict(zip(self.kinetics.constants, self.kinetics.numbers(), strict=True))
        domain = None if self.domain is None else {"nodes": self.domain.n, "edges": self.domain.edges.n_edges // 2}
        states = [_as_dict(self.kinetics.channels, p, self.domain is not None) for p in self.predictions]
        return {
            "reaction": self.name, "constants": constants, "kappa": dict(self.kappa),
            "kappa_by_default": list(self.chosen), "domain": domain, "states": states, "remark": self.kinetics.remark(),
        }  # fmt: skip

    def draw(self, path: str | os.PathLike[str], domain: str = "") -> Path:
        """The dispersion curve of ``shown`` with the modes of the domain, as PNG, SVG or PDF."""
        found = self.shown
        k2 = torch.linspace(0, 1.35 * _shown_up_to(found), 601, dtype=torch.float64)
        species = ", ".join(f"{x:.4g}" for x in found.analysis.state)
        figure = plot_dispersion(
            k2, found.analysis.rates(k2).real, eigenvalues=found.eigenvalues, rates=found.rates.real,
            bands=found.analysis.bands, domain=domain or "the domain", title=f"{self.name} around ({species})",
        )  # fmt: skip
        return save_figure(figure, path)


def study(name: str, given: Mapping[str, float], domain: Graph | None = None) -> Study:
    """Analyse every homogeneous state of a reaction.

    Args:
        name: in ``REACTIONS``, or of a problem that has one of them.
        given: constants of the reaction and diffusivities ``kappa_<species>``. Diffusivities that are missing are, on a
            mesh, those of the problem with that reaction; elsewhere they make the fastest mode one of the domain.

    Raises:
        UnknownName: the reaction, or a key of ``given``. InputError: a value that cannot be, or leads nowhere.
    """
    if name not in REACTIONS and name in PDES:
        name = PDES[name].reaction or name
    kind: Any = REACTIONS[name]
    species = tuple(f"kappa_{x}" for x in kind.channels)
    for key in given:
        if key not in kind.constants and key not in species:
            raise unknown(f"constant of '{name}'", key, (*kind.constants, *species))
    kinetics = kind(**{key: value for key, value in given.items() if key in kind.constants})
    try:
        states = kinetics.equilibria()
    except OverflowError:
        said = ", ".join(f"{key} = {x:g}" for key, x in zip(kind.constants, kinetics.numbers(), strict=True))
        raise InputError(f"'{name}' with {said} has no homogeneous state that double precision can hold") from None
    spectrum: Spectrum | None = None
    asked = {key: value for key, value in given.items() if key in species}
    missing = tuple(x for x, key in zip(kind.channels, species, strict=True) if key not in asked)
    kappa = {**_default_kappa(name, kinetics, domain), **asked} if missing else asked
    each = [kappa[key] for key in species]
    analyses = [analyse(kinetics, state, each) for state in states]
    if domain is not None:
        ends = [high for a in analyses for _, high in a.bands]
        spectrum = eigenvalues_below(domain, max(ends, default=0.0))
    predictions = [_on(a, spectrum) for a in analyses]
    named = dict(zip(kinetics.channels, each, strict=True))
    return Study(name, kinetics, named, missing, domain, predictions)


def _on(found: Analysis, spectrum: Spectrum | None) -> Prediction:
    values = torch.zeros(0, dtype=torch.float64) if spectrum is None else spectrum.values
    below = math.inf if spectrum is None else spectrum.below
    return Prediction(found, values, below, None, found.rates(values))


def _default_kappa(name: str, kinetics: Any, domain: Graph | None) -> dict[str, float]:
    names = [f"kappa_{x}" for x in kinetics.channels]
    found = [kind for kind in PDES.values() if kind.reaction == name]
    pde = found[0](kinetics) if found else None
    if pde is not None and isinstance(domain, Space):
        return dict(zip(names, (float(x) for x in pde.default_coefficients(domain).values()), strict=True))
    if pde is None or hasattr(pde, "ratio"):
        relative = [getattr(pde, "ratio", _RATIO) ** k for k in range(len(names))]
    else:
        plain = [float(x) for x in pde.default_coefficients(Lattice(64, 64)).values()]
        relative = [x / plain[0] for x in plain]
    fastest = analyse(kinetics, kinetics.equilibria()[0], relative).fastest.k2
    unit = 1.0
    if domain is not None and 0 < fastest < math.inf:
        unit = float(f"{fastest / _typical(domain):.2g}")
    return {key: unit * x for key, x in zip(names, relative, strict=True)}


def _typical(domain: Graph) -> float:
    """An eigenvalue whose mode a picture of the domain can show: of a lattice the nearest to eight waves across it, as
    long as each has four points or more; the median elsewhere."""
    if isinstance(domain, Lattice):
        points = max(domain.shape)
        waves = min(8.0, points / 4)
        wanted = (2 * math.pi * waves / (points * domain.spacing)) ** 2
        positive = domain.eigenvalues()[1:]
        return float(positive[(positive - wanted).abs().argmin()])
    values = eigenvalues_below(domain, 0.0).values
    positive = values[values > 1e-9 * float(values.max())]
    if not len(positive):
        raise InputError("the domain has no edges, so nothing spreads on it; give --set kappa_u=... or another domain")
    return float(positive.median())


def _shown_up_to(found: Prediction) -> float:
    """The eigenvalue with which a picture ends: that of the last growing mode, where there is one."""
    highest = float(found.eigenvalues.max()) if len(found.eigenvalues) else 0.0
    low, high = found.analysis.bands[-1] if found.analysis.bands else (0.0, 2 * found.analysis.fastest.k2)
    ends = (high, highest, 4 * low, 1.0)
    return next(x for x in ends if 0 < x < math.inf)


def _as_dict(channels: Sequence[str], found: Prediction, on_domain: bool) -> dict[str, Any]:
    a = found.analysis
    out: dict[str, Any] = {"state": dict(zip(channels, a.state, strict=True)), "kind": a.kind}
    if a.conditions is not None:
        numbers = {key: _finite(value) for key, value in a.conditions._asdict().items()}
        out["conditions"] = {**numbers, "hold": list(a.conditions.each)}
    out["alone"] = {"rate": a.alone.real, "frequency": a.alone.imag}
    out["bands"] = [[low, _finite(high)] for low, high in a.bands]
    out["fastest"] = {
        "eigenvalue": _finite(a.fastest.k2), "wavelength": _finite(a.fastest.wavelength) or None,
        "rate": a.fastest.rate, "frequency": a.frequency,
    }  # fmt: skip
    if on_domain:
        best = found.fastest
        out["modes"] = {
            "known": len(found.eigenvalues), "complete": found.complete, "unstable": found.unstable,
            "fastest": {"number": best, "eigenvalue": float(found.eigenvalues[best]),
                        "rate": float(found.rates[best].real)},
            "growth_time": _finite(found.growth_time),
        }  # fmt: skip
    return out


def _finite(x: float) -> float | None:
    return x if math.isfinite(x) else None
