"""Point location and interpolation: exactness, agreement with brute force, order, gradients, points outside."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from graphpde.errors import MeshError, ShapeError, UnknownName
from graphpde.mesh import (
    Locator,
    Mesh,
    box,
    cell_centroids,
    cell_measures,
    interpolation,
    interval,
    locate,
    read_mesh,
    rectangle,
    refine,
    sphere,
    star,
    transfer,
    transfer_mesh_data,
)
from graphpde.mesh.box_tree import BoxTree
from graphpde.mesh.cells import CELLS
from tests.mesh.unit_meshes import KINDS, SOLID, mapped, unit_mesh

EXACT = 1e-12  # of fields and places of order one: some thousand roundings


def uniform(q: int, d: int, seed: int = 0) -> Tensor:
    return torch.rand(q, d, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def linear(x: Tensor) -> Tensor:
    """Two linear fields [q, 2] on places [q, d]."""
    a = torch.tensor([[1.5, -2.0, 0.7], [0.3, 1.0, -1.0]], dtype=torch.float64)
    return x @ a[:, : x.shape[1]].T + torch.tensor([0.5, -1.0], dtype=torch.float64)


# exactness


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", KINDS)
def test_linear_fields_are_exact_in_every_type_of_cell(kind: str, seed: int) -> None:
    mesh, matrix, shift = mapped(unit_mesh(kind, seed=seed), seed)
    x = uniform(400, mesh.space_dim, seed) @ matrix.T + shift
    operator = interpolation(mesh, x)
    location = operator.location
    assert bool(location.inside.all()) and not bool(location.distance.any())
    assert (operator(linear(mesh.points)) - linear(x)).abs().max() < EXACT
    assert (operator(mesh.points) - x).abs().max() < EXACT
    weights = location.weights
    assert float(weights.min()) >= 0 and float(weights.max()) <= 1 and (weights.sum(1) - 1).abs().max() < 1e-15 * 8
    assert (operator(torch.ones(mesh.n, 1, dtype=torch.float64)) - 1).abs().max() < 1e-15 * 8
    corners = mesh.entities(mesh.dim).nodes[location.cells]
    width = corners.shape[1]
    assert torch.equal(location.nodes[:, :width].sort(1).values, corners.sort(1).values)


@pytest.mark.parametrize("kind", ["line", "triangle", "quad", "mixed plane"])
def test_curves_and_surfaces_in_space(kind: str) -> None:
    """Flat pieces in 3-D: exact on them; beside them the value at the foot of the perpendicular."""
    flat = unit_mesh(kind, 5)
    mesh, matrix, shift = mapped(flat, 3, dim=3)
    inner = uniform(300, flat.space_dim)
    x = inner @ matrix.T + shift
    operator = interpolation(mesh, x)
    assert bool(operator.location.inside.all()) and operator.location.distance.max() < 1e-14
    assert (operator(linear(mesh.points)) - linear(x)).abs().max() < EXACT
    normal = torch.linalg.svd(matrix).U[:, -1]  # perpendicular to the curve or surface
    beside = locate(mesh, x + 0.01 * normal)
    assert torch.allclose(beside.distance, torch.full_like(beside.distance, 0.01), atol=1e-13)
    corners = mesh.points[beside.nodes.clamp(min=0)]
    assert ((beside.weights[..., None] * corners).sum(1) - x).abs().max() < 1e-12
    assert not bool(locate(mesh, x + normal).inside.any())  # as far away as the mesh is large


def test_a_network_is_located_branch_by_branch() -> None:
    mesh = star(5, 4)
    arm = torch.arange(5).repeat_interleave(20)
    ends = mesh.points[torch.cat([mesh.tags[f"end{k}"].nodes for k in range(5)])]
    x = uniform(100, 1) * ends[arm]
    location = locate(mesh, x)
    for k in range(5):
        assert torch.isin(location.cells[arm == k], mesh.tags[f"arm{k}"].ids).all()
    assert (interpolation(mesh, x)(linear(mesh.points)) - linear(x)).abs().max() < EXACT


@pytest.mark.parametrize("kind", [*KINDS, "sphere", "network"])
def test_every_vertex_locates_to_itself(kind: str) -> None:
    mesh = {"sphere": lambda: sphere(2), "network": lambda: star(4, 3)}.get(kind, lambda: unit_mesh(kind, seed=1))()
    location = locate(mesh, mesh.points)
    assert bool(location.inside.all())
    value, corner = location.weights.max(1)
    assert (value - 1).abs().max() < 1e-13
    assert torch.equal(location.nodes[torch.arange(mesh.n), corner], torch.arange(mesh.n))
    lowest = torch.full((mesh.n,), mesh.n_cells)
    for cell, row in enumerate(mesh.entities(mesh.dim).nodes.tolist()):
        for node in row:
            if node >= 0:
                lowest[node] = min(int(lowest[node]), cell)
    assert torch.equal(location.cells, lowest)


@pytest.mark.parametrize("kind", KINDS)
def test_transfer_to_the_same_mesh_changes_nothing(kind: str) -> None:
    mesh = unit_mesh(kind, seed=4)
    u = torch.randn(mesh.n, 3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    assert (transfer(u, mesh, mesh) - u).abs().max() < EXACT
    numbers = torch.arange(mesh.n_cells)
    mesh = mesh.with_data({}, {"number": numbers})
    assert torch.equal(transfer("number", mesh, mesh), numbers)


@pytest.mark.parametrize("kind", ["quad", "hexahedron", "wedge", "pyramid"])
def test_the_map_of_the_cell_is_inverted(kind: str) -> None:
    """One distorted cell far from the origin: points made from known weights give those weights back."""
    corners = torch.from_numpy(_corners(kind)) + 0.35 * (uniform(CELLS[kind].nodes, CELLS[kind].dim, 7) - 0.5)
    mesh = Mesh(corners + 1000, {kind: [list(range(len(corners)))]})
    a, b, c = uniform(200, 3, 1).T
    if kind == "wedge":
        a, b = torch.where(a + b > 1, 1 - a, a), torch.where(a + b > 1, 1 - b, b)
        flat = torch.stack([1 - a - b, a, b], 1)
    else:
        flat = torch.stack([(1 - a) * (1 - b), a * (1 - b), a * b, (1 - a) * b], 1)
    c = c[:, None]
    wanted = {
        "quad": lambda: flat,
        "pyramid": lambda: torch.cat([flat * (1 - c), c], 1),  # a cone over the bilinear base
    }.get(kind, lambda: torch.cat([flat * (1 - c), flat * c], 1))()
    location = locate(mesh, wanted @ mesh.points)
    assert bool(location.inside.all())
    assert (location.weights - wanted).abs().max() < 1e-10  # coordinates of 1000 leave 1e-13 of a cell of size 1


def _corners(kind: str) -> np.ndarray:
    square = [[0, 0], [1, 0], [1, 1], [0, 1]]
    flat = {"wedge": [[0, 0], [1, 0], [0, 1]]}.get(kind, square)
    if kind == "quad":
        return np.array(square, dtype=float)
    if kind == "pyramid":
        return np.array([*[[*x, 0] for x in square], [0.5, 0.5, 1]], dtype=float)
    return np.array([[*x, z] for z in (0, 1) for x in flat], dtype=float)


def test_neighbours_agree_on_the_facet_they_share() -> None:
    """A field that is not linear has one value on a facet, seen from both sides: the interpolant is continuous."""
    mesh = unit_mesh("mixed solid", 3, seed=2)
    u = torch.sin(5 * mesh.points).sum(1, keepdim=True)
    facets = mesh.facets
    shared = (facets.cells[:, 1] >= 0).nonzero()[:, 0]
    weight = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)
    for facet in shared.tolist()[::5]:
        corners = facets.nodes[facet][facets.nodes[facet] >= 0]
        if len(corners) == 3:
            x = (weight[:3] / 0.6) @ mesh.points[corners]
        else:  # bilinear in (0.3, 0.6)
            x = torch.tensor([0.28, 0.12, 0.18, 0.42], dtype=torch.float64) @ mesh.points[corners]
        values = []
        for cell in facets.cells[facet].tolist():
            kind, nodes, start = next(b for b in mesh.corners() if b[2] <= cell < b[2] + len(b[1]))
            single = Mesh(mesh.points, {kind: nodes[cell - start][None]})
            values.append(float(interpolation(single, x[None])(u)))
        assert values[0] == pytest.approx(values[1], abs=1e-12)


# against brute force


def brute_distance(x: np.ndarray, v: np.ndarray) -> float:
    """Distance of a point from a simplex [k, d]: the least over the feet of perpendiculars on all its faces."""
    best = math.inf
    for size in range(1, len(v) + 1):
        for face in itertools.combinations(range(len(v)), size):
            base, edges = v[face[0]], (v[list(face[1:])] - v[face[0]]).T
            share = np.linalg.lstsq(edges, x - base, rcond=None)[0] if size > 1 else np.zeros(0)
            if (share >= -1e-12).all() and share.sum() <= 1 + 1e-12:
                best = min(best, float(np.linalg.norm(base + edges @ share - x)))
    return best


@st.composite
def soups(draw: st.DrawFn) -> tuple[Mesh, Tensor]:
    """Simplices on a small grid that may overlap, repeat or be flat, and points on a grid of half that width."""
    d = draw(st.integers(1, 3))
    kind = draw(st.sampled_from(["line", "triangle", "tetra"][:d]))
    points = draw(st.lists(st.tuples(*[st.integers(0, 4)] * d), min_size=CELLS[kind].nodes, max_size=9))
    row = st.lists(st.integers(0, len(points) - 1), min_size=CELLS[kind].nodes, max_size=CELLS[kind].nodes, unique=True)
    cells = draw(st.lists(row, min_size=1, max_size=12))
    asked = draw(st.lists(st.tuples(*[st.integers(-4, 12)] * d), min_size=1, max_size=8))
    return Mesh(np.array(points, dtype=float), {kind: cells}), torch.tensor(asked, dtype=torch.float64) / 2


@settings(max_examples=60, deadline=None)
@given(soups())
def test_location_is_brute_force(case: tuple[Mesh, Tensor]) -> None:
    mesh, x = case
    location = locate(mesh, x, reach=math.inf)
    (nodes,) = mesh.cells.values()
    for k, place in enumerate(x.numpy()):
        away = np.array([brute_distance(place, mesh.points[row].numpy()) for row in nodes])
        assert float(location.distance[k]) == pytest.approx(away.min(), abs=1e-9)
        # of the cells at that distance, but for rounding, the lowest number; cells without size hold what is left
        nearest = np.flatnonzero(away <= away.min() + 1e-9)
        sized = nearest[cell_measures(mesh).numpy()[nearest] > 1e-9]
        assert int(location.cells[k]) == int((sized if len(sized) and away.min() < 1e-9 else nearest)[0])
        foot = location.weights[k] @ mesh.points[location.nodes[k]]
        assert float((foot - x[k]).norm()) == pytest.approx(away.min(), abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 3), st.integers(1, 300), st.integers(0, 10**6), st.floats(0, 2))
def test_the_tree_finds_every_box_near_a_point(d: int, m: int, seed: int, radius: float) -> None:
    rng = np.random.default_rng(seed)
    low = rng.integers(0, 5, (m, d)) + rng.choice([0.0, 0.5], (m, d))
    high = low + rng.choice([0, 1e-6, 0.5, 3], (m, d))  # flat, tiny and large ones together
    x = rng.uniform(-1, 8, (40, d))
    found = [pair for point, box_, _ in BoxTree(low, high).near(x, np.full(40, radius)) for pair in zip(point, box_)]
    gap = np.maximum(np.maximum(low - x[:, None], x[:, None] - high), 0)
    assert sorted(found) == sorted(zip(*np.nonzero((gap**2).sum(2) <= radius**2)))


def test_memory_is_bounded_by_walking_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    from graphpde.mesh import box_tree

    mesh, x = unit_mesh("tetra", 4), uniform(300, 3) * 1.2
    whole = locate(mesh, x, reach=math.inf)
    monkeypatch.setattr(box_tree, "_PAIRS", 50)
    monkeypatch.setattr(box_tree, "_POINTS", 64)
    parts = locate(mesh, x, reach=math.inf)
    assert all(torch.equal(a, b) for a, b in zip(whole, parts))


@pytest.mark.parametrize("kind", [*SOLID, "quad", "mixed plane"])
def test_outside_of_a_box_the_nearest_point_is_on_its_faces(kind: str) -> None:
    mesh = unit_mesh(kind, 3, seed=1)
    x = 3 * uniform(300, mesh.space_dim) - 1
    location = locate(mesh, x, reach=math.inf)
    nearest = x.clamp(0, 1)
    assert (location.distance - (x - nearest).norm(dim=1)).abs().max() < 1e-12
    foot = (location.weights[..., None] * mesh.points[location.nodes.clamp(min=0)]).sum(1)
    assert (foot - nearest).abs().max() < 1e-6  # a distance up to 1e-12 leaves its square root beside the foot
    assert torch.equal(location.inside, (x == nearest).all(1))
    far = locate(mesh, 1e6 * (x - 0.4), reach=math.inf)
    assert torch.allclose(far.distance, (1e6 * (x - 0.4) - (1e6 * (x - 0.4)).clamp(0, 1)).norm(dim=1), rtol=1e-10)


def test_anisotropic_and_graded_meshes() -> None:
    """Layers ten thousand times thinner than wide, sizes from 1e-6 to 0.3."""
    mesh = unit_mesh("tetra", 8)
    x = uniform(500, 3)
    layered = mesh.with_points(mesh.points * torch.tensor([1.0, 1e-4, 1], dtype=torch.float64))
    graded = mesh.with_points(mesh.points**6)
    for changed, place in ((layered, x * torch.tensor([1.0, 1e-4, 1], dtype=torch.float64)), (graded, x**6)):
        operator = interpolation(changed, place)
        assert bool(operator.location.inside.all())
        assert (operator(changed.points) - place).abs().max() < 1e-13


def test_tangled_and_flat_cells_lose_no_points() -> None:
    """A quadrilateral that is not convex, one that is folded, and cells without size among good ones."""
    arrow = Mesh([[0, 0], [2, 0], [0.5, 0.5], [0, 2]], {"quad": [[0, 1, 2, 3]]})
    bow = Mesh([[0, 0], [1, 1], [1, 0], [0, 1]], {"quad": [[0, 1, 2, 3]]})
    for mesh, x in ((arrow, [[0.2, 0.2], [1.5, 0.1], [0.1, 1.5]]), (bow, [[0.1, 0.3], [0.9, 0.6]])):
        operator = interpolation(mesh, x, outside="error")
        assert (operator(mesh.points) - torch.tensor(x, dtype=torch.float64)).abs().max() < EXACT
        assert torch.isfinite(operator.weight).all()
    flat = Mesh([[0, 0], [1, 0], [2, 0], [0, 1]], {"triangle": [[0, 1, 2], [0, 1, 3]]})
    location = locate(flat, torch.tensor([[0.25, 0.25], [0.5, 0], [1.5, 0]]))
    assert location.cells.tolist() == [1, 1, 0] and not bool(location.distance.any())


# order, gradients, operator


@pytest.mark.orders
@pytest.mark.parametrize("kind", ["line", "triangle", "quad", "tetra", "hexahedron", "wedge", "pyramid"])
def test_smooth_fields_converge_with_order_two(kind: str) -> None:
    d = CELLS[kind].dim

    def field(x: Tensor) -> Tensor:
        return torch.sin(3 * x).prod(1)

    x = uniform(2000, d)
    errors = []
    for n in (4, 8):
        mesh = unit_mesh(kind, n, amount=0.1)
        errors.append(float((transfer(field(mesh.points), mesh, x) - field(x)).square().mean().sqrt()))
    assert 1.7 < math.log2(errors[0] / errors[1]) < 2.4  # random points and meshes blur the rate


def test_fields_on_the_sphere_converge_with_order_two() -> None:
    x = torch.nn.functional.normalize(
        torch.randn(1500, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    )
    errors = []
    for level in (2, 3):
        mesh = sphere(level)
        operator = interpolation(mesh, x)
        assert bool(operator.location.inside.all())  # the chords lie below the sphere, but belong to it
        errors.append(float((operator(mesh.points[:, :1] * mesh.points[:, 1:2])[:, 0] - x[:, 0] * x[:, 1]).abs().max()))
    assert errors[0] / errors[1] > 3.4


@pytest.mark.grad
def test_gradients_flow_through_the_one_sum_over_edges() -> None:
    mesh = unit_mesh("mixed plane", 3)
    operator = interpolation(mesh, uniform(7, 2))
    u = uniform(mesh.n, 2, 5).requires_grad_()
    assert torch.autograd.gradcheck(operator, (u,))
    assert torch.autograd.gradgradcheck(operator, (u,))
    assert torch.autograd.gradcheck(lambda z: transfer(z, mesh, uniform(7, 2)), (u,))
    v = uniform(7, 2, 9)
    back = operator.relation.transpose()
    adjoint = back.propagate(v, weight=back.own(operator.weight))
    one, other = (operator(u) * v).sum().detach(), (u * adjoint).sum().detach()
    assert float(one) == pytest.approx(float(other), rel=1e-13)


def test_one_operator_serves_batches_types_and_components() -> None:
    mesh, x = unit_mesh("quad"), uniform(9, 2)
    operator = interpolation(mesh, x)
    u = torch.randn(4, 2, mesh.n, 3, dtype=torch.float64)
    assert operator(u).shape == (4, 2, 9, 3)
    assert torch.allclose(operator(u)[1, 1], operator(u[1, 1]))
    assert operator(u.float()).dtype == torch.float32
    assert torch.allclose(operator(torch.complex(u, 2 * u)), torch.complex(operator(u), 2 * operator(u)))
    assert operator.to(dtype=torch.float32).weight.dtype == torch.float32
    assert transfer(torch.ones(mesh.n), mesh, x).shape == (9,)
    assert transfer(torch.ones(mesh.n, 2, 2), mesh, x).shape == (9, 2, 2)
    again = interpolation(Locator(mesh), x)
    assert torch.equal(again.weight, operator.weight)


# fields by name and kind


def test_whole_numbers_take_the_nearest_corner_and_cell_data_its_cell() -> None:
    label, on = torch.tensor([0, 10, 20, 30, 40]), torch.tensor([True, False, True, False, True])
    mesh = interval(4).with_data({"label": label, "on": on}, {"k": torch.tensor([1.0, 2, 3, 4])})
    x = torch.tensor([[0.05], [0.24], [0.7]], dtype=torch.float64)
    assert transfer("label", mesh, x).tolist() == [0, 10, 30]
    assert transfer("on", mesh, x).tolist() == [True, False, False]
    assert transfer("k", mesh, x).tolist() == [1, 1, 3]
    assert transfer(torch.tensor([5, 6, 7, 8]), mesh, x).tolist() == [5, 5, 7]
    assert transfer("k", mesh, interval(8)).tolist() == [1, 1, 2, 2, 3, 3, 4, 4]


def test_all_data_of_a_mesh_go_over() -> None:
    source = rectangle(6, 6)
    source = source.with_data(
        {"u": linear(source.points), "id": torch.arange(source.n)}, {"side": cell_centroids(source)[:, 0] > 0.5}
    )
    target = unit_mesh("quad", 5).with_data({"own": torch.zeros(36)}, {"u": torch.zeros(25)})
    done = transfer_mesh_data(source, target)
    assert (done.mesh.point_data["u"] - linear(target.points)).abs().max() < EXACT
    assert set(done.mesh.point_data) == {"own", "u", "id"} and set(done.mesh.cell_data) == {"u", "side"}
    assert torch.equal(done.mesh.cell_data["side"], cell_centroids(target)[:, 0] > 0.5)
    assert not bool(done.outside.any()) and done.mesh.warnings == target.warnings
    assert torch.equal(done.mesh.points, target.points)


def test_quadratic_meshes_are_read_at_their_vertices_and_filled_everywhere() -> None:
    points = torch.tensor([[0, 0], [2, 0], [0, 2], [1, 0], [1, 1], [0, 1]], dtype=torch.float64)
    mesh = Mesh(points, {"triangle6": [[0, 1, 2, 3, 4, 5]]})
    u = linear(points)[:, 0]
    wrong = u.clone()
    wrong[3:] = 99  # mid-side values are not read
    assert (transfer(wrong, mesh, mesh) - u).abs().max() < EXACT
    done = transfer_mesh_data(mesh.with_data({"u": wrong}), mesh)
    assert "the cells of 'mesh' are of higher order; its fields were taken at their vertices" in done.mesh.warnings[0]


# outside


def outside_case() -> tuple[Mesh, Tensor]:
    mesh = rectangle(2, 2).with_data({"u": torch.arange(9.0), "i": torch.arange(9)}, {"k": torch.arange(8)})
    return mesh, torch.tensor([[0.5, 0.5], [1.25, 1.0], [0.0, -3.0]], dtype=torch.float64)


def test_points_outside_take_the_nearest_value() -> None:
    mesh, x = outside_case()
    assert transfer("u", mesh, x).tolist() == [4, 8, 0]
    operator = interpolation(mesh, x)
    assert operator.outside.tolist() == [False, True, True] and operator.location.distance.tolist() == [0, 0.25, 3]
    location = locate(mesh, x)
    assert location.cells[1:].tolist() == [-1, -1] and location.nodes[1].tolist() == [-1] * 3
    assert not bool(location.weights[1:].any()) and location.distance[1:].tolist() == [math.inf] * 2
    within = locate(mesh, x, reach=0.5)
    assert within.inside.tolist() == [True, False, False] and (within.cells >= 0).tolist() == [True, True, False]


def test_points_outside_are_marked() -> None:
    mesh, x = outside_case()
    for name in ("u", "i", "k"):
        values = transfer(name, mesh, x, outside="nan")
        assert values.isnan().tolist() == [False, True, True] and values.is_floating_point()
    u = torch.arange(9, dtype=torch.float64)[:, None].requires_grad_()
    y = interpolation(mesh, x, outside="nan")(u)
    y[0].sum().backward()
    assert u.grad is not None and u.grad.sum() == 1  # the lost rows leave the gradient alone


def test_points_outside_are_refused() -> None:
    mesh, x = outside_case()
    with pytest.raises(
        MeshError, match=r"2 of 3 target points lie outside of 'rectangle', the farthest at \[0.0, -3.0\], 3 away"
    ):
        transfer("u", mesh, x, outside="error")
    assert transfer("u", mesh, x[:1], outside="error").tolist() == [4]
    target = Mesh([[0.1, 0.1], [0.5, 0.1], [0.1, 0.5], [9, 9]], {"triangle": [[0, 1, 2]]})
    assert len(transfer("u", mesh, target, outside="error")) == 4  # a point that no cell uses does not count
    done = transfer_mesh_data(mesh, target)
    assert not bool(done.outside.any()) and float(done.distance[3]) > 11
    done = transfer_mesh_data(mesh, target.with_points(target.points + 0.8), outside="nan")
    assert done.outside.tolist() == [False, True, True, False]
    assert "2 of 4 points lie outside of 'rectangle', up to 0.3 away, and got not-a-number" in done.mesh.warnings


def test_what_cannot_be_located() -> None:
    mesh, x = outside_case()
    with pytest.raises(UnknownName, match="did you mean 'nearest'"):
        transfer("u", mesh, x, outside="nearst")
    with pytest.raises(UnknownName, match=r"field of 'rectangle' 'w'; known: i, k, u"):
        transfer("w", mesh, x)
    with pytest.raises(ShapeError, match=r"field has shape \[5\], expected \[9, ...\] for the points or \[8, ...\]"):
        transfer(torch.zeros(5), mesh, x)
    with pytest.raises(MeshError, match="the target lies in 3-D space and 'rectangle' in 2-D"):
        transfer("u", mesh, box(1, 1, 1))
    with pytest.raises(MeshError, match=r"1 of the points to locate are not finite, first \[1\]"):
        locate(mesh, [[0, 0], [math.nan, 0]])
    with pytest.raises(ShapeError, match=r"points has shape \[2\]"):
        locate(mesh, torch.zeros(2))
    with pytest.raises(MeshError, match="reach is -1"):
        locate(mesh, x, reach=-1)
    with pytest.raises(MeshError, match="is made of points"):
        Locator(Mesh([[0.0]], {"vertex": [[0]]}))
    assert len(locate(mesh, torch.zeros(0, 2)).cells) == 0


def test_lists_of_numbers_keep_their_digits() -> None:
    """0.1 in single precision is 1.5e-9 off."""
    assert float(transfer(interval(1).points[:, 0], interval(1), [[0.1]])) == 0.1


# real files


@pytest.mark.parametrize(
    "name",
    [
        "common3d/spot.obj",
        "libigl/bunny.mesh",
        "vtkdata/uGridEx.vtk",
        "vtkdata/notch_disp.vtu",
        "libmesh/exodus_elements/read_exodus_HEX20.e",
        "meshio/obj/elephav.obj",
        "skfem/mixedtriquad.msh",
        "skfem/quadratic_sphere_tet.msh",
    ],
)
def test_linear_fields_go_over_between_real_meshes(meshes: Path, name: str) -> None:
    """To the centroids and the middles of edges of the mesh itself, which lie in it whatever its shape."""
    if not (meshes / name).exists():
        pytest.skip(f"{name} is not among the real meshes")
    mesh = read_mesh(meshes / name)
    extent = float((mesh.points[mesh.used_points].amax(0) - mesh.points[mesh.used_points].amin(0)).max())
    x = torch.cat([cell_centroids(mesh), mesh.points[mesh.entities(1).nodes].mean(1)])[:4000]
    operator = interpolation(mesh, x, outside="error")
    scale = max(extent, float(mesh.points.abs().max()))
    assert (operator(mesh.points) - x).abs().max() <= 1e-11 * scale
    assert (operator(torch.ones(mesh.n, 1, dtype=torch.float64)) - 1).abs().max() < 1e-14


def test_refined_meshes_hold_the_same_linear_fields() -> None:
    """From fine to coarse and back; the operator to the middles of the edges is that of refinement."""
    coarse = unit_mesh("tetra", 2)
    fine = refine(coarse.with_data({"u": torch.randn(coarse.n, dtype=torch.float64)}))
    assert (
        transfer("u", coarse.with_data({"u": fine.point_data["u"][: coarse.n]}), fine) - fine.point_data["u"]
    ).abs().max() < EXACT
    assert (transfer("u", fine, coarse) - fine.point_data["u"][: coarse.n]).abs().max() < EXACT
