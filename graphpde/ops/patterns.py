r"""What kind of pattern a field is, told by numbers: parts, holes, the length it repeats at, its direction, its unrest.

The field is cut at Otsu's level into a high and a low phase. What separates the classes follows from geometry alone:

- *uniform*: the whole range of values is below 1 % of their size, less than three of the 256 greys of a picture.
- A part of a phase is *small* where it has no more room than one cell of a hexagonal pattern of the same wavelength,
  2 / sqrt(3) lambda^2. Spots are small by definition; a stripe, half a wavelength wide, is larger as soon as it is 2.3
  wavelengths long.
- *spots*: more than half of the area of the high phase lies in small parts. *holes*: of the low phase.
- Otherwise the pattern is drawn out: *stripes* where the gradient points along one axis more than across it by half of
  its square (it does so wholly in parallel stripes, not at all in an isotropic maze), else a *labyrinth*.
- *moving*: the variance in time is more than half of that in space, so that the pattern has lost more than half of its
  correlation with itself.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from graphpde.core.bridges import as_graph
from graphpde.core.components import components
from graphpde.core.graph import Graph
from graphpde.core.lattice import Lattice
from graphpde.errors import InputError, ShapeError
from graphpde.mesh.cells import CELLS
from graphpde.mesh.space import Space
from graphpde.ops.structure import structure_factor
from graphpde.typing import check_shape

VISIBLE = 0.01
"""Range over size of values below which a field is uniform."""

CELL = 2 / math.sqrt(3)
"""Area of a cell of the hexagonal pattern, in wavelengths squared."""

HALF = 0.5
"""The share at which one class ends and the other begins, of areas, direction and variance alike."""


class Pattern(NamedTuple):
    """What was found.

    Attributes:
        kind: "uniform", "spots", "holes", "stripes", "labyrinth" or "moving". shape: the same of the last state alone.
        level: between the phases. parts: connected parts of the high phase; gaps: of the low one.
        euler: Euler characteristic of the high phase. share: its part of the area.
        wavelength: 2 pi / k at the peak of the structure factor. contrast: range of values over their size.
        small: shares of the area of the high and of the low phase that lie in small parts.
        direction: 0 (none preferred) to 1 (parallel stripes); NaN on surfaces in space, where nothing is parallel.
        unrest: variance in time over that in space; NaN for a single state.
    """

    kind: str
    shape: str
    level: float
    parts: int
    gaps: int
    euler: int
    share: float
    wavelength: float
    contrast: float
    small: tuple[float, float]
    direction: float
    unrest: float


def classify(domain: Any, states: Tensor) -> Pattern:
    """The kind of pattern of one species on a plane or a surface.

    Args:
        domain: a two-dimensional :class:`Lattice`, or a Space of first-order elements on triangles and quadrilaterals.
        states: one state [n] or [n, 1], or several [s, n] (or [s, n, 1]) over the time in which it may move; the last
            is classified. The parts of the high phase are spots, those of the low one holes: give the other species
            or its negative to name them the other way round.

    Raises:
        InputError: another domain (a network has no areas: see ``components`` of the core), or values that are not
            finite. ShapeError: not one value a node.
    """
    graph = _surface(domain)
    series = _series(graph, states)
    u, measure = series[-1], graph.measure.detach().cpu().double()
    unrest = temporal_variance(graph, series) if len(series) > 1 else math.nan
    size, span = float(u.abs().max()), float(u.max() - u.min())
    contrast = span / size if size > 0 else 0.0
    if contrast <= VISIBLE:
        nan = math.nan
        high = torch.ones(graph.n, dtype=torch.bool)
        whole = euler_characteristic(graph, high)
        kind = "uniform"
        return Pattern(kind, kind, float(u.mean()), 1, 0, whole, 1.0, math.inf, contrast, (0.0, 0.0), nan, unrest)
    level = otsu(u, measure)
    high = u > level
    wavelength = structure_factor(graph, u).wavelength
    direction = alignment(graph, u)
    inside, outside = (_areas(graph, mask, measure) for mask in (high, ~high))
    small = tuple(float(a[a <= CELL * wavelength**2].sum() / a.sum()) for a in (inside, outside))
    if max(small) > HALF:
        shape = "spots" if small[0] >= small[1] else "holes"
    else:
        shape = "stripes" if direction > HALF else "labyrinth"
    kind = "moving" if unrest > HALF else shape
    euler, share = euler_characteristic(graph, high), float(measure[high].sum() / measure.sum())
    return Pattern(
        kind, shape, level, len(inside), len(outside), euler, share, wavelength, contrast, (small[0], small[1]),
        direction, unrest,
    )  # fmt: skip


def otsu(u: Tensor, measure: Tensor) -> float:
    """The level between two groups of values [n] at which the variance between the groups is largest.

    Reference: Otsu 1979, IEEE Trans. Syst. Man Cybern. 9.
    """
    order = u.argsort()
    x, w = u[order], measure[order]
    below, moment = w.cumsum(0)[:-1], (w * x).cumsum(0)[:-1]
    total, all_of_it = w.sum(), (w * x).sum()
    between = (all_of_it * below - total * moment).square() / (below * (total - below))
    between = torch.where(x[1:] > x[:-1], between, -torch.ones_like(between))  # equal values stay together
    k = int(between.argmax())
    return float((x[k] + x[k + 1]) / 2)


def euler_characteristic(domain: Any, among: Tensor) -> int:
    """Nodes - edges + faces of the cells all of whose corners count: parts minus holes, of plane sets.

    Of the whole sphere it is 2, of the whole torus (a periodic lattice) 0.

    Args:
        domain: as :func:`classify`. among: which nodes count, bool [n].

    Raises:
        InputError: another domain. ShapeError: not one truth value a node.
    """
    graph = _surface(domain)
    among = check_shape(among, "n", "among", n=graph.n)
    if isinstance(graph, Lattice):
        a = among.reshape(graph.shape).cpu()
        if not graph.periodic:  # a frame that does not count keeps opposite sides apart
            a = torch.nn.functional.pad(a, (0, 1, 0, 1))
        right, up = a.roll(-1, 0), a.roll(-1, 1)
        return int(a.sum() - (a & right).sum() - (a & up).sum() + (a & right & up & right.roll(-1, 1)).sum())
    mask = among.cpu()
    edges: set[int] = set()
    faces = 0
    for kind, cells in _corner_cells(graph):
        counted = mask[cells]
        faces += int(counted.all(1).sum())
        for i, j in CELLS[kind].edges:
            both = cells[counted[:, i] & counted[:, j]][:, [i, j]].sort(1).values
            edges.update((both[:, 0] * graph.n + both[:, 1]).tolist())
    return int(mask.sum()) - len(edges) + faces


def alignment(domain: Any, u: Tensor) -> float:
    r"""How far the gradient keeps to one axis: \|\int g^2\| / \int \|g\|^2 with g = u_x + i u_y, from 0 to 1.

    NaN on a surface in space, where directions in different places cannot be compared.
    """
    graph = _surface(domain)
    x = check_shape(u.reshape(-1), "n", "field", n=graph.n).detach().cpu().double()
    if isinstance(graph, Lattice):
        f = x.reshape(graph.shape)
        gx, gy = ((f.roll(-1, k) - f.roll(1, k)) for k in (0, 1)) if graph.periodic else torch.gradient(f)
        area = torch.ones_like(gx)
    else:
        if graph.pos is None or graph.pos.shape[1] != 2:
            return math.nan
        gx, gy = _nodal_gradient(graph, x).T
        area = graph.measure.detach().cpu().double()
    doubled = (area * torch.complex(gx, gy).square()).sum().abs()
    total = (area * (gx.square() + gy.square())).sum()
    return float(doubled / total) if float(total) > 0 else 0.0


def _nodal_gradient(space: Any, x: Tensor) -> Tensor:
    """The mean [n, 2] of the gradients of the cells round each node: those of single cells lean with their shape."""
    corners = []
    for block in space.blocks():
        g = torch.einsum("mk,mqkd->mqd", x[block.dofs.cpu()], block.gradients.cpu().double())
        corners.append(torch.einsum("mq,qk,mqd->mkd", block.volume, block.values, g).flatten(0, 1))
    return space.assemble_vector(corners).cpu() / space.measure.detach().cpu().double()[:, None]


def temporal_variance(domain: Any, states: Tensor) -> float:
    """Variance in time over variance in space, of states [s, n] with s >= 2: 0 of a pattern at rest, 1 of pictures that
    have nothing in common.

    Raises:
        InputError: fewer than two states. ShapeError: not one value a node.
    """
    graph = as_graph(domain)
    series = _series(graph, states)
    if len(series) < 2:
        raise InputError("variance in time needs at least two states [s, n]")
    share = graph.measure.detach().cpu().double()
    share = share / share.sum()
    in_time = (series.var(0) * share).sum()
    mean = (series * share).sum(1, keepdim=True)
    in_space = ((series - mean).square() * share).sum(1).mean()
    return float(in_time / in_space) if float(in_space) > 0 else 0.0


def _areas(graph: Graph, among: Tensor, measure: Tensor) -> Tensor:
    """The area of each connected part [k]."""
    label = components(graph, among)[among]
    return torch.bincount(label, weights=measure[among])


def _series(graph: Graph, states: Tensor) -> Tensor:
    """States [s, n], float64.

    Raises:
        ShapeError: not one value a node. InputError: values that are not finite.
    """
    given = states.detach().cpu().double()
    if given.dim() > 1 and given.shape[-1] == 1 and graph.n != 1:
        given = given[..., 0]
    if given.dim() not in (1, 2) or given.shape[-1] != graph.n:
        raise ShapeError(f"states have shape {list(states.shape)}, expected [{graph.n}] or [s, {graph.n}]: one species")
    if not bool(torch.isfinite(given).all()):
        raise InputError("the field is not finite everywhere, so it has no pattern")
    return given.reshape(-1, graph.n)


def _surface(domain: Any) -> Graph:
    """The domain, if it is two-dimensional and has faces."""
    graph = as_graph(domain)
    if isinstance(graph, Lattice) and len(graph.shape) == 2:
        return graph
    if isinstance(graph, Space) and graph.element.degree == 1 and graph.mesh.dim == 2:
        return graph
    raise InputError(
        f"patterns are classified on a Lattice in the plane or a first-order Space on a surface, got {graph!r}; of any "
        f"other graph take components, structure_factor and temporal_variance"
    )


def _corner_cells(space: Any) -> list[tuple[str, Tensor]]:
    """Unknowns [m, k] at the corners of the cells, by type."""
    return [(kind, space.dof_of_point[nodes]) for kind, nodes, _ in space.mesh.corners()]
