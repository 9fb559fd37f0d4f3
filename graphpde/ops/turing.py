r"""Which modes grow out of a homogeneous state, on any domain with a Laplacian.

Around a state u* with f(u*) = 0 each mode of minus the Laplacian with eigenvalue L grows as exp(sigma t), sigma being
an eigenvalue of J - L D, J = df/du, D = diag(kappa): k^2 in the plane, an eigenvalue of the graph on a network.

Reference: Turing 1952, Phil. Trans. R. Soc. B 237; Murray 2003, Mathematical Biology II, chapter 2; on networks Nakao
and Mikhailov 2010, Nature Physics 6.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from graphpde.core.bridges import as_graph
from graphpde.core.graph import Graph
from graphpde.errors import InputError, ShapeError
from graphpde.ops.reactions.patterns import Mode, fastest_mode, jacobian, leading
from graphpde.ops.spectral import eigenvalues_below, modes

Rate = Callable[[Tensor], Tensor]
Band = tuple[float, float]
_RATIO = 1e12  # of diffusivities: beyond it rounding of the larger hides the modes of the smaller
_STEEP = 1e150  # entries of df/du whose products are not finite


class Conditions(NamedTuple):
    """Turing's four conditions for two species, each by its own number; all four hold exactly where patterns grow.

    Attributes:
        trace: f_u + g_v, to be negative. determinant: f_u g_v - f_v g_u, to be positive: stable without diffusion.
        cross: kappa_v f_u + kappa_u g_v, to be positive. bound: 2 sqrt(kappa_u kappa_v det), what ``cross`` has to
            exceed; NaN where the determinant is negative. The first three do not imply the last.
    """

    trace: float
    determinant: float
    cross: float
    bound: float

    @property
    def each(self) -> tuple[bool, bool, bool, bool]:
        """Whether the four hold, in the order of the textbooks."""
        return self.trace < 0, self.determinant > 0, self.cross > 0, self.cross > self.bound


@dataclass(frozen=True)
class Analysis:
    """What the linear analysis says of one homogeneous state.

    Attributes:
        state, kappa: as given. jacobian: [c, c]. conditions: of two species, else None.
        alone: the growth rate without diffusion (complex: its imaginary part is the frequency).
        bands: intervals of L in which modes grow, rising and disjoint; the last may reach to infinity.
        fastest: the fastest of all L >= 0, and ``frequency``, its own. Where a species does not diffuse no mode may be
            the fastest: then its k2 is infinite, and both are the limits for short waves.
    """

    state: tuple[float, ...]
    kappa: tuple[float, ...]
    jacobian: Tensor
    conditions: Conditions | None
    alone: complex
    bands: tuple[Band, ...]
    fastest: Mode
    frequency: float

    @property
    def kind(self) -> str:
        """ "turing": stable alone, unstable to standing patterns; "wave": to oscillating ones; "unstable": also without
        diffusion; "stable"."""
        if self.alone.real > 0:
            return "unstable"
        if not self.bands:
            return "stable"
        return "wave" if abs(self.frequency) > 1e-9 * (1 + abs(self.fastest.rate)) else "turing"

    def rates(self, eigenvalues: Tensor) -> Tensor:
        """Growth rates, complex [*], of modes with eigenvalues [*]."""
        return leading(self.jacobian, self.kappa, eigenvalues)


@dataclass(frozen=True)
class Prediction:
    """The same on one domain.

    Attributes:
        analysis: of the state. eigenvalues: of minus the Laplacian, rising [k]. below: no eigenvalue up to here is
            missing. vectors: the modes [n, k], or None where only eigenvalues were asked for. rates: complex [k].
    """

    analysis: Analysis
    eigenvalues: Tensor
    below: float
    vectors: Tensor | None
    rates: Tensor

    @property
    def unstable(self) -> int:
        """How many of the modes grow."""
        return int((self.rates.real > 0).sum())

    @property
    def complete(self) -> bool:
        """Whether ``unstable`` counts every growing mode of the domain."""
        return self.below >= max((high for _, high in self.analysis.bands), default=0.0)

    @property
    def fastest(self) -> int:
        """The number of the fastest mode."""
        return int(self.rates.real.argmax())

    @property
    def growth_time(self) -> float:
        """1 / rate of the fastest mode: it grows e-fold in this time; infinite where none grows."""
        rate = float(self.rates.real.max())
        return 1 / rate if rate > 0 else math.inf


def dispersion(f: Rate, state: Sequence[float], kappa: Sequence[float], eigenvalues: Tensor | float) -> Tensor:
    """sigma(L), complex [*]: the eigenvalue of df/du - L diag(kappa) with the largest real part.

    Of a conjugate pair it is the one with the positive imaginary part, the frequency.

    Args:
        f: reaction [n, c] -> [n, c]. state: c numbers with zero rate. kappa: c diffusivities >= 0, in length^2/time.
        eigenvalues: of minus the Laplacian [*], in 1/length^2; k^2 in free space.

    Raises:
        InputError: the state has a rate, a diffusivity is negative, or their ratio is beyond double precision.
        ShapeError: other counts of them.
    """
    j, kappa = _checked(f, state, kappa)
    return leading(j, kappa, eigenvalues)


def conditions(f: Rate, state: Sequence[float], kappa: Sequence[float]) -> Conditions:
    """Turing's four conditions at a homogeneous state of two species.

    Raises:
        InputError: another number of species. Otherwise as :func:`dispersion`.
    """
    j, kappa = _checked(f, state, kappa)
    if len(kappa) != 2:
        raise InputError(f"the four conditions are about two species, got {len(kappa)}; unstable_band takes any number")
    return _conditions(j, kappa)


def unstable_band(f: Rate, state: Sequence[float], kappa: Sequence[float]) -> tuple[Band, ...]:
    """The intervals of L >= 0 in which sigma(L) has a positive real part, exactly, for any number of species.

    Raises:
        InputError, ShapeError: as :func:`dispersion`.
    """
    return _bands(*_checked(f, state, kappa))


def analyse(f: Rate, state: Sequence[float], kappa: Sequence[float]) -> Analysis:
    """Conditions, band and fastest mode of a homogeneous state.

    Raises:
        InputError, ShapeError: as :func:`dispersion`.
    """
    j, kappa = _checked(f, state, kappa)
    fastest = fastest_mode(f, state, kappa)
    return Analysis(
        tuple(float(x) for x in state), kappa, j, _conditions(j, kappa) if len(kappa) == 2 else None,
        complex(leading(j, kappa, 0.0)), _bands(j, kappa), fastest, float(leading(j, kappa, fastest.k2).imag),
    )  # fmt: skip


def predict(
    domain: Any, f: Rate, kappa: Sequence[float], k: int | None = None, state: Sequence[float] | None = None
) -> Prediction:
    """Which modes of a domain grow, and how fast.

    Args:
        domain: Space, Graph, torch-geometric Data, networkx graph, or eigenvalues [k] that are known already.
        f: reaction [n, c] -> [n, c]; one with ``equilibria()`` where ``state`` is None: the first of them is taken.
        k: how many modes, with their vectors; None = all eigenvalues of the unstable band, without vectors.

    Raises:
        InputError, ShapeError: as :func:`dispersion`; a directed graph; k out of range.
    """
    if state is None:
        if not hasattr(f, "equilibria"):
            raise InputError(
                "the reaction does not say where it rests; give state= the numbers at which its rate is zero"
            )
        state = f.equilibria()[0]
    found = analyse(f, state, kappa)
    if isinstance(domain, Tensor):
        values = domain.detach().to(torch.float64).reshape(-1).sort().values
        return Prediction(found, values, math.inf, None, found.rates(values))
    graph: Graph = as_graph(domain)
    if k is None:
        top = found.bands[-1][1] if found.bands else 0.0
        values, below = eigenvalues_below(graph, top)
        return Prediction(found, values, below, None, found.rates(values))
    pairs = modes(graph, k)
    values = pairs.values.detach()
    return Prediction(
        found, values, math.inf if k == graph.n else float(values[-1]), pairs.vectors, found.rates(values)
    )


def _checked(f: Rate, state: Sequence[float], kappa: Sequence[float]) -> tuple[Tensor, tuple[float, ...]]:
    """The Jacobian and the diffusivities of a state that is one."""
    each = tuple(float(x) for x in kappa)
    if len(each) != len(state):
        raise ShapeError(f"got {len(each)} diffusivities for {len(state)} species, expected one for each")
    if not all(0 <= x < math.inf for x in each):
        raise InputError(f"the diffusivities are {each}, expected finite numbers >= 0")
    moving = [x for x in each if x > 0] or [1.0]
    if max(moving) > _RATIO * min(moving):
        raise InputError(
            f"the diffusivities are {each}, expected at most a ratio of {_RATIO:g} between those that are not 0"
        )
    j, at = jacobian(f, state), ", ".join(f"{x:g}" for x in state)
    if not float(j.abs().max()) < _STEEP:
        raise InputError(
            f"around ({at}) the rate is too steep for double precision; check the constants of the reaction"
        )
    point = torch.tensor([list(state)], dtype=torch.float64)
    with torch.no_grad():
        rest = float(f(point).abs().max())
    allowed = 1e-8 * (1.0 + float(point.abs().max())) * (1.0 + float(j.abs().max()))
    if not rest <= allowed:
        raise InputError(f"({at}) is no homogeneous state: its rate is {rest:.3g}, expected 0; see equilibria()")
    return j, each


def _conditions(j: Tensor, kappa: tuple[float, ...]) -> Conditions:
    (fu, fv), (gu, gv) = j.tolist()
    det = fu * gv - fv * gu
    bound = 2 * math.sqrt(kappa[0]) * math.sqrt(kappa[1]) * math.sqrt(det) if det >= 0 else math.nan
    return Conditions(fu + gv, det, kappa[1] * fu + kappa[0] * gv, bound)


def _bands(j: Tensor, kappa: tuple[float, ...]) -> tuple[Band, ...]:
    """Where two eigenvalues of J - L D sum to zero (or one is zero), the sign of the largest real part may change.

    X -> A X + X A^T on symmetric X has these sums as eigenvalues: the crossings are those of one pencil.
    """
    from scipy.linalg import eig

    c = len(kappa)
    pairs = [(a, b) for a in range(c) for b in range(a, c)]

    def on_symmetric(a: np.ndarray) -> np.ndarray:
        columns = []
        for p, q in pairs:
            x = np.zeros((c, c))
            x[p, q] = x[q, p] = 1.0
            y = a @ x + x @ a.T
            columns.append([y[p, q] for p, q in pairs])
        return np.array(columns).T

    spread = np.diag(on_symmetric(np.diag(kappa)))  # it is diagonal: scaled to 0 and 1 small and large crossings last
    scale = np.where(spread > 0, spread, 1.0) ** -0.5
    scaled = scale[:, None] * on_symmetric(j.numpy()) * scale
    sums = eig(scaled, np.diag((spread > 0).astype(float)) if (spread == 0).any() else None, right=False)
    real = sums[np.isfinite(sums) & (np.abs(sums.imag) < 1e-7 * (1 + np.abs(sums)))].real
    ends = [0.0, *sorted(x for x in real.tolist() if x > 0)]
    bands: list[Band] = []
    for low, high in zip(ends, [*ends[1:], math.inf], strict=True):
        middle = (low + high) / 2 if high < math.inf else 2 * low + 1
        if float(leading(j, kappa, middle).real) > 0:
            if bands and bands[-1][1] == low:
                bands[-1] = (bands[-1][0], high)
            else:
                bands.append((low, high))
    return tuple(bands)
