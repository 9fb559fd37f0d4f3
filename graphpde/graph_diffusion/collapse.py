"""How long averaging over neighbours takes: predicted by the slow end of the spectrum, and measured."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from graphpde.core.bridges import as_graph
from graphpde.core.linear_operator import Sparse
from graphpde.core.relation import Relation
from graphpde.dynamics.evolve import evolve
from graphpde.errors import InputError
from graphpde.graph_diffusion.smoothing import Smoothing
from graphpde.ops.weighted_diffusion import WeightedDiffusion
from graphpde.solve.eigen import eigenpairs
from graphpde.typing import check_shape

_DENSE = 400  # nodes of a component up to which LAPACK finds its modes
_PIECES = 64  # of the time to which the gap bounds the collapse


class Spectrum(NamedTuple):
    """Eigenvalues of the Laplacian of a graph.

    Attributes:
        zeros: how many are zero: one for each component. values: the smallest others, rising [k], float64.
        vectors: of them [n, k], orthonormal in the coordinates of :meth:`Smoothing.straight`.
        highest: the largest ones, falling [k].
        sizes: nodes of each component [zeros]. gaps: the smallest eigenvalue above zero of each; infinite for a node
            without neighbours.
    """

    zeros: int
    values: Tensor
    vectors: Tensor
    highest: Tensor
    sizes: Tensor
    gaps: Tensor

    @property
    def gap(self) -> float:
        """The rate of the slowest mode of all components; infinite where nothing moves."""
        return float(self.gaps.min()) if len(self.gaps) else math.inf


def spectrum(graph: Any, kind: str = "symmetric", k: int = 16, *, loops: float = 1.0) -> Spectrum:
    """Both ends of the spectrum of the Laplacian, component by component.

    Args:
        graph, kind, loops: see :class:`Smoothing`. k: how many of each end, at most.

    Raises:
        InputError: k < 1. SolveError: eigenvalues that were not found.
    """
    if k < 1:
        raise InputError(f"k = {k}, expected at least one eigenvalue")
    smoothing = Smoothing.of(graph, kind, loops)
    key = ("both ends", kind, float(loops), k)
    derived = as_graph(graph).derived
    if key not in derived:
        derived[key] = _spectrum(smoothing, k)
    found: Spectrum = derived[key]
    return found


def _spectrum(smoothing: Smoothing, k: int) -> Spectrum:
    matrix, part = smoothing.operator.to_scipy(), smoothing.parts.cpu().numpy()
    order, sizes = np.argsort(part, kind="stable"), np.bincount(part)
    gaps, values, columns = np.full(len(sizes), math.inf), [], []
    for c, nodes in enumerate(np.split(order, np.cumsum(sizes)[:-1]) if len(order) else []):
        if len(nodes) < 2:
            continue
        own, modes = _slowest(matrix[nodes][:, nodes], min(k, len(nodes) - 1))
        gaps[c] = own[0]
        values += own.tolist()
        columns += [(nodes, mode) for mode in modes.T]
    chosen = np.argsort(values, kind="stable")[:k]
    vectors = torch.zeros(smoothing.graph.n, len(chosen), dtype=torch.float64)
    for j, at in enumerate(chosen):
        nodes, mode = columns[at]
        vectors[torch.from_numpy(nodes), j] = torch.from_numpy(mode)
    lowest = torch.tensor([values[at] for at in chosen], dtype=torch.float64)
    return Spectrum(
        len(sizes), lowest, vectors, _highest(smoothing, k), torch.from_numpy(sizes), torch.from_numpy(gaps)
    )


def _slowest(matrix: Any, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k smallest eigenvalues above zero of a connected component, with vectors."""
    n = matrix.shape[0]
    if n <= _DENSE:
        values, vectors = np.linalg.eigh(matrix.toarray())
        return values[1 : k + 1], vectors[:, 1 : k + 1]
    table = matrix.tocoo()
    edges = Relation.from_edges(table.col.astype(np.int64), table.row.astype(np.int64), n, n)
    weight = edges.own(torch.from_numpy(np.asarray(table.data, dtype=np.float64)))
    operator = Sparse(edges, weight, torch.zeros(n, dtype=torch.float64), symmetric=True)
    found = eigenpairs(operator, k=min(k + 1, n), rtol=1e-7).checked()
    return found.values[1:].numpy(), found.vectors[:, 1:].numpy()


def every_eigenvalue(graph: Any, kind: str = "symmetric", *, loops: float = 1.0) -> Tensor:
    """All eigenvalues of the Laplacian, rising [n], by LAPACK: n^3 operations of the largest component."""
    smoothing = Smoothing.of(graph, kind, loops)
    matrix, part = smoothing.operator.to_scipy(), smoothing.parts.cpu().numpy()
    order = np.argsort(part, kind="stable")
    groups = np.split(order, np.cumsum(np.bincount(part))[:-1]) if len(order) else []
    found = [np.linalg.eigvalsh(matrix[nodes][:, nodes].toarray()) for nodes in groups]
    return torch.from_numpy(np.sort(np.concatenate(found or [np.empty(0)])))


def _highest(smoothing: Smoothing, k: int) -> Tensor:
    top = 2.0 * (float(smoothing.degree.max()) if smoothing.kind == "combinatorial" and smoothing.graph.n else 1.0)
    shift = Sparse(
        smoothing.graph.edges, torch.zeros_like(smoothing.graph.weight), torch.full_like(smoothing.degree, top),
        symmetric=True,
    )  # fmt: skip
    turned = eigenpairs(shift - smoothing.operator, k=min(k, smoothing.graph.n), rtol=1e-6).checked()
    return top - turned.values


class Collapse(NamedTuple):
    """When heat, or repeated averaging, has come within a fraction of its limit.

    Attributes:
        fraction: of |u0 - limit|. gap: the rate of the slowest mode.
        bound: the time by which the gap alone says that it has happened, whatever u0 is.
        predicted: from the slowest modes, each with its share of u0; nan where they have less than ``fraction`` of it.
        measured: found by integrating.
        share: of |u0 - limit|^2 that the slowest modes have.
    """

    fraction: float
    gap: float
    bound: float
    predicted: float
    measured: float
    share: float


def collapse_time(
    graph: Any,
    u0: Tensor,
    fraction: float = 0.01,
    *,
    alpha: float = 1.0,
    kind: str = "symmetric",
    loops: float = 1.0,
    steps: bool = False,
    modes: int = 16,
) -> Collapse:
    r"""The time in which u' = -alpha L u takes u0 to |u(t) - limit| = fraction |u0 - limit|, predicted and measured.

    Predicted is the t with \sum_k c_k^2 e^{-2 alpha lambda_k t} = fraction^2 |u0 - limit|^2, the sum over the slowest
    modes, which are all that is left then. The limit is that of each component, see :meth:`Smoothing.limit`.

    Args:
        graph, kind, loops: see :class:`Smoothing`. u0: [n, c]. fraction: in (0, 1). alpha: speed > 0.
        steps: count steps u <- u - alpha L u instead, layers of averaging without weights; e^{-alpha lambda t} is then
            (1 - alpha lambda)^t. modes: how many are slowest.

    Raises:
        InputError: a fraction or speed that is none, a u0 that is its limit, or steps so long that the highest mode
            decays more slowly than the lowest.
    """
    if not 0 < fraction < 1 or not 0 < alpha < math.inf:
        raise InputError(f"fraction = {fraction:g}, alpha = {alpha:g}; expected a fraction in (0, 1) and a speed > 0")
    smoothing = Smoothing.of(graph, kind, loops)
    u0 = check_shape(u0, "n c", "u0", n=smoothing.graph.n).detach()
    v0 = smoothing.straight(u0)
    rest = smoothing.straight(smoothing.limit(u0))
    far = float((v0 - rest).norm())
    if not far > 1e-12 * float(v0.norm()):
        raise InputError("u0 is its limit already (or vanishes), so there is no time to predict; give another state")
    ends = spectrum(graph, kind, modes, loops=loops)
    rates = _rates(ends, alpha, steps)
    shares = (ends.vectors.T @ v0).square().sum(1) / far**2
    bound = -math.log(fraction) / float(rates[0])
    predicted = _crossing(rates, shares, fraction, bound)
    measured = _measured(smoothing, v0, rest, fraction * far, (alpha, bound, steps))
    return Collapse(fraction, ends.gap, bound, predicted, measured, float(shares.sum()))


def _rates(ends: Spectrum, alpha: float, steps: bool) -> Tensor:
    """At which the amplitudes of the slowest modes decay, rising [k]."""
    if not steps:
        return alpha * ends.values
    low, high = 1 - alpha * float(ends.values[0]), 1 - alpha * float(ends.highest[0])
    if not abs(high) < low:
        raise InputError(
            f"the factors of a step go from {high:.4g} to {low:.4g}, so that not the slowest but the highest mode is "
            "left at the end; take a smaller alpha, or loops"
        )
    return -torch.log((1 - alpha * ends.values).abs().clamp(min=1e-300))


def _crossing(rates: Tensor, shares: Tensor, fraction: float, bound: float) -> float:
    """Where sum shares e^{-2 rates t} falls to fraction^2."""
    if not float(shares.sum()) > fraction**2:
        return math.nan
    low, high = 0.0, bound
    for _ in range(60):
        middle = (low + high) / 2
        left = float((shares * torch.exp(-2 * rates * middle)).sum())
        low, high = (middle, high) if left > fraction**2 else (low, middle)
    return high


def _measured(smoothing: Smoothing, v: Tensor, rest: Tensor, goal: float, how: tuple[float, float, bool]) -> float:
    """When |v - rest| has fallen to the goal, log-linear between moments."""
    alpha, bound, steps = how
    pieces = min(_PIECES, math.ceil(bound)) if steps else _PIECES
    length = math.ceil(bound / pieces) if steps else bound / pieces
    before = float((v - rest).norm())
    for k, u in enumerate(_averaged(smoothing, v, [k * length for k in range(2 * pieces)], alpha, steps)):
        now = float((u - rest).norm())
        if now <= goal:
            return length * (k - 1 + math.log(before / goal) / math.log(before / max(now, 1e-300)))
        before = now
    return math.nan


def _averaged(smoothing: Smoothing, v: Tensor, times: Sequence[float], alpha: float, steps: bool) -> Iterator[Tensor]:
    """v at rising times from 0 on, one after the other, so that nobody has to hold all of them."""
    operator = smoothing.operator
    assert isinstance(operator, Sparse)
    heat = WeightedDiffusion(smoothing.graph, -operator.weight, decay=operator.diag, speed=alpha)
    stepper, dt = ("euler", 1.0) if steps else ("etd1", None)
    now = 0.0
    for t in times:
        if t > now:
            path = evolve(heat, v, [now, float(t)], stepper=stepper, dt=dt, allow_unstable=True)
            assert isinstance(path.states, Tensor)
            v, now = path.states[-1], float(t)
        yield v


class Decay(NamedTuple):
    """The Dirichlet energy of what is only averaged, over its squared norm.

    Attributes:
        times: or numbers of steps. measured: at each of them. predicted: as if the slowest modes were all there is
            beside the limit, which they are in the end.
    """

    times: list[float]
    measured: list[float]
    predicted: list[float]


def energy_decay(
    graph: Any,
    u0: Tensor,
    times: Sequence[float],
    *,
    alpha: float = 1.0,
    kind: str = "symmetric",
    loops: float = 1.0,
    steps: bool = False,
    modes: int = 16,
) -> Decay:
    r"""<u, L u> / |u|^2 of heat from u0 [n, c] at rising times >= 0, and what the slowest modes say of it.

    That is \sum_k \lambda_k a_k over |limit|^2 + \sum_k a_k with a_k = c_k^2 e^{-2 alpha lambda_k t}. The other
    arguments are those of :func:`collapse_time`.
    """
    smoothing = Smoothing.of(graph, kind, loops)
    v0 = smoothing.straight(check_shape(u0, "n c", "u0", n=smoothing.graph.n).detach())
    still = float(smoothing.straight(smoothing.limit(u0.detach())).square().sum())
    ends = spectrum(graph, kind, modes, loops=loops)
    rates, own = _rates(ends, alpha, steps), (ends.vectors.T @ v0).square().sum(1)
    measured, predicted = [], []
    operator = smoothing.operator
    for t, v in zip(times, _averaged(smoothing, v0, times, alpha, steps)):
        measured.append(float((v * operator.matvec(v)).sum() / v.square().sum()))
        left = own * torch.exp(-2 * rates * t)
        predicted.append(float((ends.values * left).sum() / (still + left.sum())))
    return Decay(list(times), measured, predicted)
