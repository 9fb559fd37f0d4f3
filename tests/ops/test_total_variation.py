"""Discrete total variation: its dual, nodal quadrature, exact denoising, gaps, graphs."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.optimize import linprog
from torch import Tensor

from graphpde.core import Graph, Lattice, Relation
from graphpde.errors import InputError, MeshError, ShapeError, SolveError
from graphpde.mesh import P2, CellSpace, Mesh, Space, box, cell_centroids, dual_graph, interval, jittered, rectangle
from graphpde.mesh.corner_space import CornerSpace
from graphpde.ops.denoising import denoise
from graphpde.ops.total_variation import DiscreteTotalVariation

D = torch.float64


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=D)


def uneven(n: int = 4) -> Mesh:
    return jittered(rectangle(n, n), 0.25, seed=3)


def inner_facets(mesh: Mesh) -> list[tuple[int, int, np.ndarray, np.ndarray]]:
    """(cell, cell, end, end) of each interior edge, found by comparing the corners of all pairs of triangles."""
    corners = mesh.corners()[0][1].numpy()
    points = mesh.points.numpy()
    found = []
    for i in range(len(corners)):
        for j in range(i):
            shared = sorted(set(corners[i]) & set(corners[j]))
            if len(shared) == 2:
                found.append((i, j, points[shared[0]], points[shared[1]]))
    return found


def dual_supremum(mesh: Mesh, u: np.ndarray, isotropic: bool) -> float:
    r"""sup \int u div p over Raviart-Thomas fields whose flux through each edge is at most its length (times |n|_1)."""
    facets = inner_facets(mesh)
    through = np.zeros((len(u), len(facets)))
    most = []
    for k, (i, j, a, b) in enumerate(facets):
        through[i, k], through[j, k] = 1.0, -1.0
        most.append(np.abs(b - a).sum() if not isotropic else np.linalg.norm(b - a))
    result = linprog(-(u @ through), bounds=[(-size, size) for size in most], method="highs")
    return -float(result.fun)


@pytest.mark.parametrize("isotropic", [True, False])
def test_cell_averages_equal_the_supremum_over_fluxes(isotropic: bool) -> None:
    mesh = uneven()
    variation = DiscreteTotalVariation(CellSpace(mesh), isotropic=isotropic)
    u = random(mesh.n_cells, 1)
    assert float(variation(u)) == pytest.approx(dual_supremum(mesh, u[:, 0].numpy(), isotropic), abs=1e-8)


def exact_variation(space: CornerSpace, u: Tensor) -> float:
    """The total variation of a discontinuous linear function: |jump| integrated exactly along each edge."""
    total, nodes = 0.0, {}
    x = space.mesh.points.numpy()
    for i, cell in enumerate(space.corners.tolist()):
        values = u[3 * i : 3 * i + 3, 0].numpy()
        nodes.update({(i, p): v for p, v in zip(cell, values, strict=True)})
        legs = np.stack([x[cell[1]] - x[cell[0]], x[cell[2]] - x[cell[0]]])
        slope = np.linalg.solve(legs, values[1:] - values[0])
        total += abs(np.linalg.det(legs)) / 2 * np.linalg.norm(slope)
    corners = space.corners.tolist()
    for i, j, a, b in inner_facets(space.mesh):
        first, second = (nodes[i, p] - nodes[j, p] for p in sorted(set(corners[i]) & set(corners[j])))
        length = float(np.linalg.norm(b - a))
        if first * second >= 0:
            total += length * abs(first + second) / 2
        else:  # it changes its sign on the way
            total += length * (first * first + second * second) / (2 * (abs(first) + abs(second)))
    return total


def test_nodal_quadrature_is_an_upper_bound_and_exact_where_no_jump_changes_sign() -> None:
    space = CornerSpace(uneven())
    variation = DiscreteTotalVariation(space)
    for seed in range(5):
        u = random(space.n, 1, seed=seed)
        assert float(variation(u)) > exact_variation(space, u)
    steps = space.from_cells(random(space.mesh.n_cells, 1))
    assert float(variation(steps)) == pytest.approx(exact_variation(space, steps), rel=1e-12)
    assert float(variation(steps)) == pytest.approx(
        float(DiscreteTotalVariation(CellSpace(space.mesh))(steps[::3])), rel=1e-12
    )
    smooth = random(space.mesh.n, 1)
    joined = space.from_points(smooth)
    assert float(variation(joined)) == pytest.approx(exact_variation(space, joined), rel=1e-12)
    continuous = Space(space.mesh, "p1")
    assert float(variation(joined)) == pytest.approx(
        float(DiscreteTotalVariation(continuous)(continuous.from_points(smooth))), rel=1e-12
    )


@pytest.mark.parametrize("mesh", [interval(7), uneven(), jittered(box(3, 2, 2), 0.1, seed=1)], ids=["1d", "2d", "3d"])
def test_a_linear_function_varies_by_its_slope_times_the_volume(mesh: Mesh) -> None:
    slope = torch.tensor([0.7, -1.3, 0.4], dtype=D)[: mesh.space_dim]
    space = Space(mesh, "p1")
    assert space.pos is not None
    for domain in (space, CornerSpace(mesh)):
        assert domain.pos is not None
        u = (domain.pos @ slope)[:, None]
        volume = float(domain.measure.sum())
        assert float(DiscreteTotalVariation(domain)(u)) == pytest.approx(volume * float(slope.norm()), rel=1e-12)
        along = DiscreteTotalVariation(domain, isotropic=False)
        assert float(along(u)) == pytest.approx(volume * float(slope.abs().sum()), rel=1e-12)


def test_a_moved_corner_space_stays_one() -> None:
    space = CornerSpace(uneven())
    moved = space.to(dtype=torch.float32)
    assert isinstance(moved, CornerSpace) and moved.measure.dtype == moved.weight.dtype == torch.float32
    u = random(space.n, 1)
    single = DiscreteTotalVariation(moved)(u.to(torch.float32))
    assert float(single) == pytest.approx(float(DiscreteTotalVariation(space)(u)), rel=1e-5)


def domains() -> list[Graph]:
    mesh = uneven()
    i = torch.tensor([0, 1, 2, 0, 3])
    j = torch.tensor([1, 2, 3, 3, 4])
    edges = Relation.from_edges(torch.cat([i, j]), torch.cat([j, i]), 6, 6)
    weight = edges.own(torch.tensor([1.0, 2.0, 0.5, 3.0, 1.5] * 2, dtype=D))
    return [CellSpace(mesh), dual_graph(mesh), CornerSpace(mesh), Space(mesh, "p1"), Graph(edges, weight=weight)]


@pytest.mark.parametrize("which", range(5), ids=["cells", "dual", "corners", "p1", "graph"])
def test_divergence_is_the_adjoint_and_projection_attains_the_variation(which: int) -> None:
    domain = domains()[which]
    variation = DiscreteTotalVariation(domain)
    u, v = random(2, domain.n, 3), random(2, domain.n, 3, seed=1)
    rise = variation.difference(u)
    pairing = (rise.across * variation.difference(v).across).sum() + (
        rise.inside * variation.difference(v).inside
    ).sum()
    assert float((variation.divergence(rise) * v).sum()) == pytest.approx(float(pairing), rel=1e-12)
    best = variation.project(type(rise)(1e9 * rise.across, 1e9 * rise.inside))  # far outside: the fluxes along the rise
    attained = (best.across * rise.across).sum(-2) + (best.inside * rise.inside).sum((-3, -2))
    assert torch.allclose(attained, variation(u), rtol=1e-12)
    assert torch.allclose(variation(u)[1], variation(u[1]), rtol=1e-14)
    assert torch.allclose(variation(-2 * u + 5), 2 * variation(u), rtol=1e-12)


def test_a_step_on_a_rectangle_sinks_by_length_over_area() -> None:
    mesh = rectangle(8, 4, width=2.0)
    half = cell_centroids(mesh)[:, :1] < 1
    for domain, left in ((CellSpace(mesh), half), (CornerSpace(mesh), CornerSpace(mesh).from_cells(half))):
        found = denoise(DiscreteTotalVariation(domain), left.to(D), 0.2, rtol=1e-10).checked()
        expected = torch.where(left, 0.8, 0.2).to(D)  # each half has area 1, the edge between them length 1
        assert float((found.value - expected).abs().max()) < 1e-5  # |u - u*|^2 <= 2 gap
        flat = denoise(DiscreteTotalVariation(domain), left.to(D), 0.6, rtol=1e-8).checked()
        assert float((flat.value - 0.5).abs().max()) < 1e-4  # they met at 0.5


def picture(x: Tensor) -> Tensor:
    disk = (x - torch.tensor([0.35, 0.6], dtype=D)).norm(dim=1) < 0.22
    square = ((x[:, 0] - 0.7).abs() < 0.15) & ((x[:, 1] - 0.3).abs() < 0.2)
    return (disk.to(D) + 0.6 * square.to(D))[:, None]


@pytest.mark.parametrize("kind", ["cells", "corners", "p1"])
def test_noise_is_removed_to_a_gap_of_a_millionth(kind: str) -> None:
    mesh = rectangle(20, 20)
    domain = {"cells": CellSpace, "corners": CornerSpace, "p1": lambda m: Space(m, "p1")}[kind](mesh)
    clean = picture(domain.pos)
    noisy = clean + 0.2 * random(domain.n, 1)

    def psnr(u: Tensor) -> float:
        return float(-10 * torch.log10(domain.inner(u - clean, u - clean) / domain.measure.sum()))

    variation = DiscreteTotalVariation(domain)
    found = denoise(variation, noisy, 0.012 if kind == "corners" else 0.008).checked()
    assert found.iterations <= 2000  # 500, 1300 and 200; several times as many without the right acceleration
    assert found.residual <= 1e-6 and found.energy is not None and found.gap is not None and found.fluxes is not None
    assert float(found.gap) <= 1.01e-6 * float(found.energy)
    if kind != "p1":  # at nodes of linear functions the disk has no sharp edge
        assert psnr(found.value) > psnr(noisy) + 5
    inward = variation.divergence(found.fluxes) / domain.measure[:, None]
    allowed = variation.project(found.fluxes, 0.012 if kind == "corners" else 0.008)
    assert torch.allclose(allowed.across, found.fluxes.across) and torch.allclose(allowed.inside, found.fluxes.inside)
    away = domain.norm(found.value - (noisy - inward))
    assert float(away) <= 1.01 * math.sqrt(2 * float(found.gap))  # by the strong convexity
    assert torch.allclose(domain.integral(found.value), domain.integral(noisy), rtol=1e-4)


def test_batches_channels_and_numberings_do_not_mix() -> None:
    graph = domains()[4]
    variation = DiscreteTotalVariation(graph)
    g = random(2, graph.n, 2)
    found = denoise(variation, g, 0.3, rtol=1e-10).checked()
    for b in range(2):
        for c in range(2):
            alone = denoise(variation, g[b, :, c : c + 1], 0.3, rtol=1e-10).checked()
            assert torch.allclose(found.value[b, :, c : c + 1], alone.value, atol=1e-4)
    assert torch.equal(found.value[:, 5], g[:, 5])  # a lonely node keeps its value
    order = torch.tensor([3, 1, 5, 0, 4, 2])
    src, dst = graph.edges.pairs()
    edges = Relation.from_edges(torch.argsort(order)[src], torch.argsort(order)[dst], 6, 6)
    moved = DiscreteTotalVariation(Graph(edges, weight=edges.own(graph.weight)))
    again = denoise(moved, g[:, order], 0.3, rtol=1e-10).checked()
    assert torch.allclose(again.value, found.value[:, order], atol=1e-4)


@pytest.mark.parametrize("spacing", [0.5, 2.0])
def test_a_step_on_a_lattice_is_as_long_as_it_is(spacing: float) -> None:
    plane, line = Lattice(20, 20, spacing=spacing, periodic=False), Lattice(20, spacing=spacing, periodic=False)
    for lattice, length in ((plane, 20 * spacing), (line, 1.0)):
        assert lattice.pos is not None
        step = (lattice.pos[:, :1] > 5 * spacing).to(D)
        assert float(DiscreteTotalVariation(lattice)(step)) == pytest.approx(length)


def test_a_function_without_variation_and_a_weight_of_zero_change_nothing() -> None:
    space = CellSpace(uneven())
    variation = DiscreteTotalVariation(space)
    still = denoise(variation, torch.full((space.n, 1), 3.0, dtype=D), 0.1).checked()
    assert torch.allclose(still.value, torch.full((space.n, 1), 3.0, dtype=D))
    g = random(space.n, 1)
    assert torch.allclose(denoise(variation, g, 0.0).checked().value, g)


def test_what_cannot_be_used_is_refused() -> None:
    mesh = uneven()
    space = CellSpace(mesh)
    variation = DiscreteTotalVariation(space)
    g = random(space.n, 1)
    with pytest.raises(InputError, match="weight = -1"):
        denoise(variation, g, -1.0)
    with pytest.raises(InputError, match="1 noisy values are not finite"):
        denoise(variation, torch.where(torch.arange(space.n)[:, None] == 2, math.nan, g), 0.1)
    with pytest.raises(ShapeError, match="the noisy function has shape"):
        denoise(variation, g[:-1], 0.1)
    with pytest.raises(ShapeError, match="the function has shape"):
        variation(g[:-1])
    with pytest.raises(SolveError, match="duality gap is"):
        denoise(variation, g, 0.1, iterations=3).checked()
    with pytest.raises(InputError, match="not one of P1 on simplices"):
        DiscreteTotalVariation(Space(mesh, P2()))
    with pytest.raises(InputError, match="not one of P1 on simplices"):
        DiscreteTotalVariation(Space(rectangle(2, 2, cells="quad")))
    with pytest.raises(InputError, match="a graph has no normals"):
        DiscreteTotalVariation(domains()[4], isotropic=False)
    with pytest.raises(MeshError, match="expected lines, triangles or tetrahedra alone"):
        CornerSpace(rectangle(2, 2, cells="quad"))
    massless = Graph(domains()[4].edges, measure=torch.tensor([0.0, 1, 1, 1, 1, 1], dtype=D))
    with pytest.raises(InputError, match="have no measure"):
        denoise(DiscreteTotalVariation(massless), random(6, 1), 0.1)
