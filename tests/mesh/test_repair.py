"""Repair: exactly what was planted is found, the domain stays the same, sets and fields follow, twice is once."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphpde.core.graph import TagSet
from graphpde.errors import MeshError
from graphpde.mesh import (
    Mesh,
    Repaired,
    box,
    cell_measures,
    check_mesh,
    facet_measures,
    random_cube,
    random_square,
    rectangle,
    repair_mesh,
    signed_measures,
    sphere,
)
from graphpde.mesh.cells import CELLS
from graphpde.mesh.geometry import measures
from graphpde.mesh.node_supports import columns, supports
from graphpde.mesh.repair.collapse import _table
from graphpde.mesh.repair.merge import coinciding
from tests.mesh.io_orders import VTK, places

CUBE = [[x, y, z] for z in (0.0, 1.0) for x, y in ((0, 0), (1, 0), (1, 1), (0, 1))]


def steps(found: Repaired) -> dict[str, int]:
    return {step.name: step.number for step in found.steps if step.number}


def text(found: Repaired, name: str) -> str:
    return next(step.text for step in found.steps if step.name == name)


def assert_same(one: Mesh, two: Mesh) -> None:
    assert torch.equal(one.points, two.points) and list(one.cells) == list(two.cells)
    assert all(torch.equal(one.cells[kind], two.cells[kind]) for kind in one.cells)
    assert list(one.tags) == list(two.tags) and one.warnings == two.warnings
    for name, tag in one.tags.items():
        assert tag.dim == two.tags[name].dim and torch.equal(tag.ids, two.tags[name].ids)
        assert torch.equal(tag.nodes, two.tags[name].nodes)
    for mine, other in ((one.point_data, two.point_data), (one.cell_data, two.cell_data)):
        assert list(mine) == list(other) and all(torch.equal(mine[k], other[k]) for k in mine)


def assert_twice_is_once(found: Repaired, **options: bool) -> None:
    again = repair_mesh(found.mesh, **options)
    assert not again.changed and again.lost == ()
    assert_same(again.mesh, found.mesh)


def soup(mesh: Mesh) -> Mesh:
    """Every cell on points of its own."""
    cells, points, start = {}, [], 0
    for kind, nodes in mesh.cells.items():
        cells[kind] = start + torch.arange(nodes.numel()).reshape(nodes.shape)
        points.append(mesh.points[nodes.reshape(-1)])
        start += nodes.numel()
    return Mesh(torch.cat(points), cells)


def flipped(mesh: Mesh, rows: torch.Tensor) -> Mesh:
    """Simplices or quadrilaterals with two corners exchanged."""
    ((kind, nodes),) = mesh.cells.items()
    swap = {"triangle": [0, 2, 1], "tetra": [1, 0, 2, 3], "quad": [0, 3, 2, 1]}[kind]
    nodes = nodes.clone()
    nodes[rows] = nodes[rows][:, swap]
    return mesh.with_cells({kind: nodes})


def euler(mesh: Mesh) -> int:
    return sum((-1) ** d * len(mesh.entities(d).nodes) for d in range(mesh.dim + 1))


def numbered_at_random(mesh: Mesh, seed: int) -> Mesh:
    """The same mesh with its points in another order."""
    new = torch.from_numpy(np.random.default_rng(seed).permutation(mesh.n))
    points = torch.empty_like(mesh.points)
    points[new] = mesh.points
    other = Mesh(points, {kind: new[nodes] for kind, nodes in mesh.cells.items()})
    facets = {name: other.find(tag.dim, new[mesh.entities(tag.dim).nodes[tag.ids]]) for name, tag in mesh.tags.items()}
    return other.with_tags(**{name: other.make_tag(mesh.tags[name].dim, ids) for name, ids in facets.items()})


# everything at once


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_exactly_what_was_planted_is_found(data: st.DataObject) -> None:
    seed = data.draw(st.integers(0, 10**6))
    rng = np.random.default_rng(seed)
    good = random_square(3, seed=seed) if data.draw(st.booleans()) else random_cube(2, seed=seed)
    ((kind, nodes),) = good.cells.items()
    m, k = nodes.shape
    # torn: some points stand twice, the second one used by one cell only
    shared = np.flatnonzero(np.bincount(nodes.reshape(-1)) > 1)
    torn = rng.choice(shared, min(len(shared), data.draw(st.integers(0, 4))), replace=False)
    cells, points = nodes.clone(), [good.points]
    for number, point in enumerate(torn.tolist()):
        cell, corner = rng.permutation((nodes == point).nonzero().numpy())[0]
        cells[cell, corner] = good.n + number
        points.append(good.points[point, None])
    stray = data.draw(st.integers(0, 3))
    points.append(torch.from_numpy(rng.random((stray, good.space_dim))))
    wrong = torch.from_numpy(rng.random(m) < 0.3)
    spoilt = flipped(Mesh(torch.cat(points), {kind: cells}), wrong)
    again = torch.from_numpy(rng.choice(m, data.draw(st.integers(0, 3)), replace=False))
    flat = data.draw(st.integers(0, 2))
    first = spoilt.cells[kind]
    twice = first[again][:, torch.from_numpy(rng.permutation(k))]
    degenerate = first[:flat].clone()
    degenerate[:, 1] = degenerate[:, 0]
    spoilt = Mesh(spoilt.points, {kind: torch.cat([first, twice, degenerate])})
    spoilt = spoilt.with_data(
        {"place": spoilt.points}, {"number": torch.cat([torch.arange(m), again, torch.arange(flat)])}
    )

    found = repair_mesh(spoilt)
    planted = {"merge": len(torn), "collapse": flat, "repeated": len(again), "orient": int(wrong.sum())}
    planted["unused"] = stray
    assert steps(found) == {name: count for name, count in planted.items() if count}
    assert found.mesh.n == good.n and found.mesh.n_cells == m
    assert torch.equal(found.mesh.point_data["place"], found.mesh.points)
    assert torch.equal(found.mesh.cell_data["number"], torch.arange(m))
    torch.testing.assert_close(signed_measures(found.mesh), cell_measures(good))
    mended = {f.name for f in check_mesh(found.mesh).findings}
    assert not mended & {"unused points", "coinciding points", "repeated cells", "collapsed cells", "zero size"}
    assert "negative orientation" not in mended
    assert euler(found.mesh) == euler(good)
    assert_twice_is_once(found)


def test_a_sound_mesh_stays_as_it_is() -> None:
    mesh = rectangle(3, 2).with_data({"u": torch.arange(12)}, {"k": torch.arange(12.0)}).with_warnings("a remark")
    found = repair_mesh(mesh)
    assert not found.changed and len(found.steps) == 6 and found.lost == ()
    assert torch.equal(found.points, torch.arange(12)) and torch.equal(found.cells, torch.arange(12))
    assert_same(found.mesh, mesh)


# merging


@pytest.mark.parametrize("mesh", [random_square(4, seed=1), box(2, 2, 2, cells="hexahedron"), sphere(1)], ids=repr)
def test_a_soup_of_cells_becomes_the_mesh_again(mesh: Mesh) -> None:
    torn = soup(mesh)
    found = repair_mesh(torn)
    assert steps(found)["merge"] == torn.n - len(mesh.used_points)
    assert f"merged {torn.n - mesh.n} of {torn.n} points" in text(found, "merge")
    assert "exactly equal" in text(found, "merge")
    assert euler(found.mesh) == euler(mesh)
    assert len(found.mesh.boundary_facets) == len(mesh.boundary_facets)
    # the lowest number stands for its group, and all others keep their order
    assert bool((found.points[found.mesh.cells[next(iter(mesh.cells))].new_tensor([0])] == 0).all())
    torch.testing.assert_close(found.mesh.points[found.points], torn.points, rtol=0, atol=0)


def test_points_are_merged_over_chains_and_no_further_than_the_tolerance() -> None:
    gap, x = 1e-3, []
    for j in range(4):  # lines whose ends lie one step of a chain apart, right, left and beside each other
        x += [[1 + j * gap, 0], [2 + j, 1]]
    mesh = Mesh(x, {"line": [[0, 1], [2, 3], [4, 5], [6, 7]]})
    found = repair_mesh(mesh, tolerance=1.0001 * gap)
    assert steps(found) == {"merge": 3} and "at most 0.003 apart" in text(found, "merge")
    assert found.points[[0, 2, 4, 6]].tolist() == [0, 0, 0, 0] and found.mesh.points[0].tolist() == [1, 0]
    assert not repair_mesh(mesh, tolerance=0.9999 * gap).changed
    assert not repair_mesh(mesh, tolerance=1.0001 * gap, merge=False).changed
    turned = Mesh(x[::-1], {"line": [[7, 6], [5, 4], [3, 2], [1, 0]]})
    assert steps(repair_mesh(turned, tolerance=1.0001 * gap)) == {"merge": 3}


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([1e-200, 1e-3, 1.0, 1e150]), st.integers(1, 3))
def test_groups_are_the_components_of_the_graph_of_near_pairs(seed: int, scale: float, d: int) -> None:
    rng = np.random.default_rng(seed)
    x = np.round(rng.random((40, d)), 2) + 1e-4 * rng.random((40, d))
    mesh = Mesh(scale * x, {"line": np.arange(40).reshape(20, 2)})
    reach = 0.05 / 4 ** (3 - d)
    near = np.linalg.norm(x[:, None] - x[None], axis=-1) <= reach
    while not (near @ near == near).all():
        near = near @ near
    lowest = near.argmax(1)
    chosen = rng.permutation(40)
    found = coinciding(mesh, chosen, reach * scale)
    assert (found.place == lowest).all()
    away = np.linalg.norm(x - x[lowest], axis=1).max()
    assert found.farthest / scale == pytest.approx(away, rel=1e-9) and found.tolerance == pytest.approx(reach * scale)


def test_one_stray_point_far_away_does_not_pull_all_others_together() -> None:
    mesh = rectangle(4, 4)
    far = Mesh(torch.cat([mesh.points, torch.tensor([[1e12, 0.0]]).double()]), {"triangle": mesh.cells["triangle"]})
    far = far.with_cells({"triangle": torch.cat([far.cells["triangle"], torch.tensor([[0, 4, 25]])])})
    assert "merge" not in steps(repair_mesh(far))


def test_a_tolerance_that_makes_no_sense_is_refused() -> None:
    mesh = rectangle(2, 2)
    for bad in (-1.0, math.nan, math.inf):
        with pytest.raises(MeshError, match="tolerance for merging is .*, expected a length of 0 or more"):
            repair_mesh(mesh, tolerance=bad)
    with pytest.raises(MeshError, match="no cell of 'rectangle' would be left: all of its 8 triangle cells name a"):
        repair_mesh(mesh, tolerance=2.0)
    with pytest.raises(MeshError, match="makes 1124250 pairs of the 1500 points of 'mesh' coincide; take one well"):
        repair_mesh(Mesh(torch.rand(1500, 2), {"line": torch.arange(1500).reshape(-1, 2)}), tolerance=9.0)


def test_merged_points_with_different_values_are_counted() -> None:
    torn = soup(rectangle(1, 1)).with_data({"u": torch.arange(6.0), "v": torch.full((6,), math.nan)})
    found = repair_mesh(torn)
    assert found.lost == ("'u' differs at 2 of 2 merged points; the lowest-numbered point of each gave its value",)
    assert found.mesh.point_data["u"].tolist() == [0, 1, 2, 5]


# cells that are less than they seem


@pytest.mark.parametrize("kind", ["quad", "pyramid", "wedge", "hexahedron"])
def test_collapsed_cells_become_the_cell_that_they_are(kind: str) -> None:
    sheared = torch.from_numpy(places(kind, " ".join(map(str, range(CELLS[kind].nodes)))))[:, : CELLS[kind].dim]
    for alias, (target, corners) in _table(kind).items():
        assert len(set(alias)) == len(corners) == CELLS[target].nodes
        x = sheared[list(alias)]
        whole, part = measures(kind, x[None]), measures(target, x[list(corners)][None])
        torch.testing.assert_close(part, whole)
        if float(whole) < 1e-9:
            continue
        row = torch.arange(CELLS[kind].nodes)[list(alias)]
        found = repair_mesh(Mesh(sheared, {kind: row[None]}), orient=False)
        assert list(found.mesh.cells) == [target] and steps(found)["collapse"] == 1
        assert float(signed_measures(found.mesh)) > 0


@pytest.mark.parametrize(
    ("kind", "alias", "target"),
    [
        ("quad8", [0, 1, 2, 2], "triangle6"),
        ("quad9", [0, 0, 2, 3], "triangle6"),
        ("hexahedron20", [0, 1, 2, 2, 4, 5, 6, 6], "wedge15"),
        ("hexahedron27", [0, 1, 2, 2, 4, 5, 6, 6], "wedge18"),
        ("hexahedron27", [0, 1, 2, 3, 4, 4, 4, 4], "pyramid14"),
        ("wedge15", [0, 1, 2, 3, 3, 3], "tetra10"),
        ("pyramid13", [0, 1, 1, 3, 4], "tetra10"),
    ],
)
def test_mid_side_nodes_follow_a_collapsing_cell(kind: str, alias: list[int], target: str) -> None:
    linear = CELLS[kind].corners
    corners = torch.from_numpy(places(linear, " ".join(map(str, range(len(alias))))))[alias, : CELLS[kind].dim]
    x = torch.stack([corners[[int(c) for c in word]].mean(0) for word in VTK[kind].split()])
    found = repair_mesh(Mesh(x, {kind: [range(len(x))]}), orient=False)
    assert list(found.mesh.cells) == [target]
    y = found.mesh.points[found.mesh.cells[target][0]]
    for place, word in zip(y, VTK[target].split(), strict=True):
        torch.testing.assert_close(place, y[[int(c) for c in word]].mean(0))
    assert_twice_is_once(found)


def test_a_solid_without_a_simpler_type_stays_until_it_is_split() -> None:
    plane_faced = [*CUBE[:6], [1, 0.5, 1], [0.6, 0.6, 1]]
    mesh = Mesh(plane_faced, {"hexahedron": [[0, 1, 2, 2, 4, 5, 6, 7]]})
    volume = float(measures("hexahedron", mesh.points[mesh.cells["hexahedron"]]))
    found = repair_mesh(mesh)
    assert steps(found) == {"unused": 1} and "1 cells that name a point twice have no simpler" in text(
        found, "collapse"
    )
    split = repair_mesh(mesh, split=True)
    assert list(split.mesh.cells) == ["tetra"] and float(cell_measures(split.mesh).sum()) == pytest.approx(volume)
    assert check_mesh(split.mesh).sound


def test_flat_and_repeated_cells_go_and_a_repeated_one_leaves_its_sets() -> None:
    mesh = Mesh(
        [[0, 0], [1, 0], [1, 1], [0, 1], [2, 0]],
        {"triangle": [[0, 1, 2], [0, 1, 4], [2, 0, 1], [0, 2, 3], [4, 1, 1]]},
        cell_data={"k": [10, 11, 12, 13, 14]},
    )
    one, two = mesh.make_tag(2, [0, 1]), mesh.make_tag(2, [2, 4])
    gone = mesh.make_tag(1, mesh.find(1, torch.tensor([[0, 4], [0, 1]])))
    mesh = mesh.with_tags(one=one, two=two, gone=gone, flat=mesh.make_tag(2, [1]), corner=TagSet(0, one.ids, one.ids))
    found = repair_mesh(mesh)
    assert steps(found) == {"collapse": 1, "repeated": 1, "flat": 1, "unused": 1}
    assert found.mesh.cell_data["k"].tolist() == [10, 13] and found.cells.tolist() == [0, 3]
    assert {name: tag.ids.tolist() for name, tag in found.mesh.tags.items() if tag.dim != 1} == {
        **{"one": [0], "two": [0], "corner": [0, 1]}
    }
    assert found.mesh.tags["gone"].nodes.tolist() == [0, 1]
    assert found.lost == (
        "'k' differs at 1 of 1 repeated cells; the lowest-numbered cell of each gave its value",
        "1 of 2 cells of the set 'one' are gone",
        "1 of 2 cells of the set 'two' are gone",
        "1 of 2 facets of the set 'gone' are gone",
        "1 of 1 cells of the set 'flat' are gone, and with them the set",
    )
    assert_twice_is_once(found)


def test_collapsed_cells_keep_their_order_and_every_point_is_counted_once() -> None:
    x = [[0, 0], [1, 0], [1, 1], [0, 1], [2, 0], [5, 5], [5, 5]]
    cells = {"quad": [[0, 1, 2, 2], [0, 0, 2, 3], [1, 4, 4, 2], [5, 6, 0, 0]]}
    found = repair_mesh(Mesh(x, cells))
    assert found.mesh.cells["triangle"].tolist() == [[0, 1, 2], [2, 3, 0], [2, 1, 4]]
    assert found.cells.tolist() == [0, 1, 2]
    assert steps(found) == {"merge": 1, "collapse": 4, "unused": 1} and found.mesh.n == 7 - 1 - 1
    assert "3 quad became triangle, 1 dropped" in text(found, "collapse")


def test_faces_follow_a_hexahedron_that_becomes_a_wedge() -> None:
    x = torch.tensor(CUBE).double()
    x[[3, 7]] = x[[2, 6]]
    mesh = Mesh(x, {"hexahedron": [range(8)]})
    faces = {"bottom": (0, 1, 2, 3), "side": (0, 1, 5, 4), "drawn": (2, 3, 7, 6)}
    found = {name: mesh.find(2, torch.tensor([face])) for name, face in faces.items()}
    mended = repair_mesh(mesh.with_tags(**{name: mesh.make_tag(2, ids) for name, ids in found.items()}))
    assert list(mended.mesh.cells) == ["wedge"] and set(mended.mesh.tags) == {"bottom", "side"}
    assert mended.mesh.tags["bottom"].nodes.tolist() == [0, 1, 2] and len(mended.mesh.tags["side"].nodes) == 4
    assert mended.lost == ("1 of 1 facets of the set 'drawn' are gone, and with them the set",)


def test_a_face_that_loses_a_corner_is_not_mistaken_for_a_triangle() -> None:
    x = [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 1], [3, 0, 0], [4, 0, 0], [4, 1, 0], [3, 1, 0]]
    mesh = Mesh(x, {"tetra": [[0, 1, 2, 4]], "hexahedron": [[0, 1, 2, 3, 5, 6, 7, 8]]})
    face = mesh.find(2, torch.tensor([[0, 1, 2, 3]]))
    found = repair_mesh(mesh.with_tags(face=mesh.make_tag(2, face)))
    assert steps(found) == {"flat": 1, "unused": 5} and not found.mesh.tags
    assert found.lost == ("1 of 1 facets of the set 'face' are gone, and with them the set",)


def test_nothing_but_flat_cells_is_refused() -> None:
    with pytest.raises(MeshError, match="would be left: all of its 1 triangle cells have zero size; mend it where"):
        repair_mesh(Mesh([[0, 0], [1, 1], [2, 2]], {"triangle": [[0, 1, 2]]}))


def test_findings_of_the_import_are_renewed_and_losses_stay() -> None:
    mesh = soup(rectangle(1, 1))
    mesh = mesh.with_warnings("3 things were left out", *(f.text for f in check_mesh(mesh).findings[:1]))
    assert "coincide" in mesh.warnings[1]
    assert repair_mesh(mesh).mesh.warnings == ("3 things were left out",)


# orientation


@pytest.mark.parametrize("kind", [kind for kind in VTK if CELLS[kind].dim > 1])
def test_quadratic_cells_are_turned_with_their_mid_side_nodes(kind: str) -> None:
    x = torch.from_numpy(places(kind, VTK[kind]))[:, : CELLS[kind].dim] * torch.tensor([-1.0, 1, 1])[: CELLS[kind].dim]
    found = repair_mesh(Mesh(x, {kind: [range(len(x))]}))
    assert steps(found) == {"orient": 1} and float(signed_measures(found.mesh)) > 0
    y = found.mesh.points[found.mesh.cells[kind][0]]
    for place, word in zip(y, VTK[kind].split(), strict=True):
        torch.testing.assert_close(place, y[[int(c) for c in word]].mean(0))
    assert torch.equal(found.mesh.points, x)
    assert_twice_is_once(found)


def test_the_order_of_nodes_agrees_with_the_order_of_files() -> None:
    for kind, order in VTK.items():
        assert supports(kind) == tuple(frozenset(map(int, word)) for word in order.split())
    assert supports("tetra20") is None and columns("quad", (0, 3, 2, 1), range(4), "quad") == [0, 3, 2, 1]


def test_cells_of_third_order_stay_and_are_counted() -> None:
    line = torch.linspace(0, 1, 4).double()
    x = torch.tensor([[0.0, 0], [0, 1], [1, 0]]).double()
    nodes = [x[a] + t * (x[b] - x[a]) for a, b in ((0, 1), (1, 2), (2, 0)) for t in line[1:3]]
    mesh = Mesh(torch.stack([*x, *nodes, x.mean(0)]), {"triangle10": [range(10)]})
    found = repair_mesh(mesh)
    assert not found.changed and "1 of third order stay turned over" in text(found, "orient")
    assert steps(repair_mesh(mesh, linear=True)) == {"linear": 1, "orient": 1, "unused": 7}


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.booleans())
def test_closed_surfaces_look_outward_and_close_their_normals(seed: int, quads: bool) -> None:
    if quads:
        solid = box(2, 3, 2, cells="hexahedron")
        good = Mesh(solid.points, {"quad": solid.facets.nodes[solid.boundary_facets]})
    else:
        good = sphere(1)
    rows = torch.from_numpy(np.random.default_rng(seed).random(good.n_cells) < 0.5)
    moved = flipped(good, rows).with_points(good.points + 100)
    found = repair_mesh(moved)
    x = found.mesh.points[next(iter(found.mesh.cells.values()))] - 100
    vector = torch.linalg.cross(x[:, 2] - x[:, 0], x[:, -1] - x[:, 1]) / 2
    assert float(vector.sum(0).abs().max()) < 1e-12
    assert float((x.mean(1) * vector).sum()) / 3 > 0
    assert "winding" not in {f.name for f in check_mesh(found.mesh).findings}
    assert_twice_is_once(found)


def test_an_open_surface_takes_the_side_of_its_majority() -> None:
    flat = rectangle(3, 3)
    lifted = torch.cat([flat.points, (flat.points[:, :1] ** 2)], 1)
    sheet = Mesh(lifted, {"triangle": flat.cells["triangle"]})
    for wrong in ([0, 4, 5], [k for k in range(18) if k not in (0, 4, 5)]):
        found = repair_mesh(flipped(sheet, torch.tensor(wrong)))
        assert steps(found) == {"orient": 3}
        expected = sheet if len(wrong) == 3 else flipped(sheet, torch.arange(18))
        assert torch.equal(found.mesh.cells["triangle"], expected.cells["triangle"])


def test_a_moebius_strip_is_reported_and_left() -> None:
    k = 12
    angle = 2 * np.pi * np.arange(k) / k
    across = np.stack([np.cos(angle / 2) * np.cos(angle), np.cos(angle / 2) * np.sin(angle), np.sin(angle / 2)], 1)
    ring = 3 * np.stack([np.cos(angle), np.sin(angle), 0 * angle], 1)
    quads = [[j, j + 1, k + j + 1, k + j] for j in range(k - 1)] + [[k - 1, k, 0, 2 * k - 1]]
    strip = Mesh(np.concatenate([ring + across, ring - across]), {"quad": quads})
    assert len(strip.boundary_facets) == 2 * k
    found = repair_mesh(strip)
    assert not found.changed and "1 one-sided parts (12 cells) have no consistent" in text(found, "orient")
    ball = sphere(1)
    both = Mesh(
        torch.cat([ball.points + 10, strip.points]),
        {"triangle": ball.cells["triangle"][:, [1, 0, 2]], "quad": strip.cells["quad"] + ball.n},
    )
    assert steps(repair_mesh(both)) == {"orient": 80}


def test_the_wall_of_a_cavity_keeps_looking_inward() -> None:
    shell = sphere(1)
    cavity = shell.cells["triangle"][:, [1, 0, 2]] + shell.n
    x = torch.cat([shell.points, shell.points / 2, shell.points + torch.tensor([3.0, 0, 0])])
    cells = torch.cat([shell.cells["triangle"], cavity, cavity + shell.n])
    found = repair_mesh(Mesh(x, {"triangle": cells}))
    assert steps(found) == {"orient": 80} and "1 closed parts inside another look inward" in text(found, "orient")
    assert torch.equal(found.mesh.cells["triangle"][:160], cells[:160])
    assert torch.equal(found.mesh.cells["triangle"][160:], cells[160:][:, [0, 2, 1]])
    assert not repair_mesh(Mesh(x, {"triangle": cells}), orient=False).changed


# splitting


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6))
def test_hexahedra_in_any_numbering_become_conforming_tetrahedra(seed: int) -> None:
    mesh = numbered_at_random(box(2, 2, 3, lengths=(1.0, 2.0, 3.0), cells="hexahedron"), seed)
    mesh = mesh.with_points(mesh.points @ torch.tensor([[1.0, 0.3, 0], [0, 1, 0.2], [0.1, 0, 1]]).double())
    edges = mesh.make_tag(1, mesh.find(1, mesh.cells["hexahedron"][:, [0, 1]]))
    mesh = mesh.with_tags(inside=mesh.make_tag(3, [1, 5]), edges=edges, wall=mesh.make_tag(2, range(0, 40, 3)))
    found = repair_mesh(mesh, split=True)
    new = found.mesh
    assert steps(found) == {"split": 12} and new.cells["tetra"].shape == (72, 4) and found.lost == ()
    assert float(signed_measures(new).min()) > 0
    torch.testing.assert_close(signed_measures(new).reshape(12, 6).sum(1), cell_measures(mesh))
    assert torch.equal(found.cells, torch.arange(12).repeat_interleave(6))
    # every face is shared by two cells or lies on the boundary, which is the old one
    assert len(new.nonmanifold_facets) == 0 and len(new.boundary_facets) == 2 * len(mesh.boundary_facets)
    assert euler(new) == euler(mesh) == 1
    for name, tag in mesh.tags.items():
        if tag.dim == 2:
            assert len(new.tags[name].ids) == 2 * len(tag.ids)
            area = float(facet_measures(mesh, tag.ids).sum())
            assert float(facet_measures(new, new.tags[name].ids).sum()) == pytest.approx(area)
    assert new.tags["inside"].ids.tolist() == [*range(6, 12), *range(30, 36)]
    assert torch.equal(new.entities(1).nodes[new.tags["edges"].ids].sort(1).values.unique(dim=0),
                       mesh.entities(1).nodes[edges.ids].sort(1).values.unique(dim=0))  # fmt: skip
    assert_twice_is_once(found, split=True)


def test_wedges_pyramids_and_hexahedra_meet_face_to_face_when_split() -> None:
    cube = torch.tensor(CUBE).double()
    top = torch.tensor([[0.5, 0.5, 2.0]]).double()
    side = torch.tensor([[2.0, 0.5, 0.0], [2.0, 0.5, 1.0]]).double()
    cells = {"pyramid": [[4, 5, 6, 7, 8]], "hexahedron": [list(range(8))], "wedge": [[1, 9, 2, 5, 10, 6]]}
    mesh = Mesh(torch.cat([cube, top, side]), cells, cell_data={"k": [1.0, 2.0, 3.0]})
    for seed in range(20):
        shuffled = numbered_at_random(mesh, seed).with_data(cell_data=mesh.cell_data)
        found = repair_mesh(shuffled, split=True).mesh
        assert found.cell_data["k"].tolist() == [1.0] * 2 + [2.0] * 6 + [3.0] * 3
        volume = [float(signed_measures(found)[found.cell_data["k"] == k].sum()) for k in (1, 2, 3)]
        assert volume == pytest.approx([1 / 3, 1.0, 0.5])
        assert len(found.boundary_facets) == 4 + 2 * 4 + 2 * 2 + 2  # 4 of the pyramid, 4 sides, 2 sides and 2 ends
        assert euler(found) == 1 and len(found.nonmanifold_facets) == 0


def test_quadrilaterals_are_cut_where_the_triangles_are_better() -> None:
    kite = Mesh([[0, 0], [3, 0], [0.5, 0.5], [0, 3]], {"quad": [[0, 1, 2, 3]]})  # not convex at its third corner
    found = repair_mesh(kite, split=True)
    torch.testing.assert_close(signed_measures(found.mesh).sum(), cell_measures(kite).sum())
    assert float(signed_measures(found.mesh).min()) > 0
    lifted = Mesh(torch.cat([kite.points, torch.zeros(4, 1)], 1)[:, [2, 0, 1]], kite.cells)
    torch.testing.assert_close(cell_measures(repair_mesh(lifted, split=True).mesh).sum(), cell_measures(kite).sum())
    sheared = Mesh([[0, 0], [1, 0], [1.6, 1], [0.6, 1]], {"quad": [[0, 1, 2, 3]]})
    assert repair_mesh(sheared, split=True).mesh.cells["triangle"].tolist() == [[0, 1, 3], [1, 2, 3]]
    even = Mesh([[0, 0], [1, 0], [1, 1], [0, 1]], {"quad": [[1, 2, 3, 0]]})
    assert repair_mesh(even, split=True).mesh.cells["triangle"].tolist() == [[1, 2, 0], [2, 3, 0]]


def test_triangles_and_quadrilaterals_become_one_block_and_edges_stay() -> None:
    mesh = Mesh([[0, 0], [1, 0], [1, 1], [0, 1], [2, 0]], {"quad": [[0, 1, 2, 3]], "triangle": [[1, 4, 2]]})
    mesh = mesh.with_tags(wall=mesh.make_tag(1, mesh.boundary_facets), right=mesh.make_tag(2, [1]))
    found = repair_mesh(mesh, split=True)
    assert list(found.mesh.cells) == ["triangle"] and found.cells.tolist() == [0, 0, 1]
    assert torch.equal(found.mesh.tags["wall"].ids, found.mesh.boundary_facets)
    assert found.mesh.tags["right"].ids.tolist() == [2]


def test_quadratic_cells_are_split_at_their_corners_or_refused() -> None:
    x = torch.from_numpy(places("hexahedron20", VTK["hexahedron20"]))
    mesh = Mesh(x, {"hexahedron20": [range(20)]}, name="block")
    mesh = mesh.with_tags(fixed=TagSet(0, torch.tensor([0, 1, 8]), torch.tensor([0, 1, 8])))
    with pytest.raises(MeshError, match="'block' has hexahedron20 cells, which are not split with their mid-side"):
        repair_mesh(mesh, split=True)
    found = repair_mesh(mesh, split=True, linear=True)
    assert steps(found) == {"linear": 1, "split": 1, "unused": 12}
    torch.testing.assert_close(cell_measures(found.mesh).sum(), cell_measures(mesh).sum())
    assert found.mesh.tags["fixed"].ids.tolist() == [0, 1]
    assert found.lost == ("1 of 3 points of the set 'fixed' are gone",)
    six = Mesh(torch.rand(6, 2), {"triangle6": [range(6)]})
    assert repair_mesh(six, split=True).mesh.cells["triangle6"].shape == (1, 6)


def test_pieces_of_a_folded_cell_are_turned_and_counted() -> None:
    x = torch.tensor(CUBE).double()
    x[6] = torch.tensor([0.2, 0.2, 0.2])  # the far corner pushed in until the cell is dented
    found = repair_mesh(Mesh(x, {"hexahedron": [range(8)]}), split=True)
    assert float(signed_measures(found.mesh).min()) > 0
    folded = torch.tensor(CUBE).double()
    folded[6] = torch.tensor([-1.0, -1.0, -0.5])
    found = repair_mesh(Mesh(folded, {"hexahedron": [range(8)]}), split=True)
    assert "came out turned over, of cells that are folded or warped" in text(found, "split")
    assert float(signed_measures(found.mesh).min()) > 0


# lengths, and copies


def test_a_copy_and_its_original_each_know_their_boundary() -> None:
    one = rectangle(2, 2)
    mesh = Mesh(one.points, one.cells)
    _ = mesh.entities(2)
    copy = mesh.with_data({"u": torch.zeros(9)})
    assert len(copy.boundary_facets) == len(mesh.boundary_facets) == 8


def test_lengths_are_scaled() -> None:
    mesh = box(1, 1, 1, lengths=(1000.0, 500.0, 20.0))
    found = repair_mesh(mesh, scale=0.001)
    torch.testing.assert_close(found.mesh.points, mesh.points / 1000)
    assert "multiplied all lengths by 0.001" in text(found, "scale") and found.changed
    for bad in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(MeshError, match="the factor of lengths is .*, expected a number above 0"):
            repair_mesh(mesh, scale=bad)


def test_the_sides_of_a_crack_that_is_closed_are_told() -> None:
    points = [[0, 0], [1, 0], [1, 1], [0, 1], [1, 0], [2, 0], [2, 1], [1, 1]]
    mesh = Mesh(points, {"quad": [[0, 1, 2, 3], [4, 5, 6, 7]]})
    sides = mesh.find(1, torch.tensor([[1, 2], [4, 7], [0, 3]]))
    mesh = mesh.with_tags(
        left=mesh.make_tag(1, sides[:1]), right=mesh.make_tag(1, sides[1:2]), far=mesh.make_tag(1, sides[2:])
    )
    for split in (False, True):
        told = repair_mesh(mesh, split=split).lost
        for name in ("left", "right"):
            assert f"1 facets of the set '{name}' lie between two joined cells now, no longer on the boundary" in told
        assert len(told) == 2
        assert repair_mesh(mesh, merge=False, split=split).lost == ()


def test_a_repeated_cell_with_other_values_is_told() -> None:
    mesh = Mesh([[0, 0], [1, 0], [0, 1]], {"triangle": [[0, 1, 2], [1, 2, 0]]})
    told = repair_mesh(mesh.with_data(cell_data={"thickness": torch.tensor([1.0, 2.0]), "k": torch.ones(2)})).lost
    assert told == ("'thickness' differs at 1 of 1 repeated cells; the lowest-numbered cell of each gave its value",)
