"""What is found about a mesh: every fault where it was put, none where there is none; shapes of known cells."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from graphpde.mesh import Mesh, box, check_mesh, rectangle, sphere
from graphpde.mesh.cells import CELLS
from graphpde.mesh.check import Check, Finding
from graphpde.mesh.shape import corner_jacobians, negative_couplings, quality_measures

SQUARE = [[0.0, 0], [1, 0], [1, 1], [0, 1]]
HIGH = math.sqrt(3) / 2
IDEAL = {
    "triangle": [[0, 0], [1, 0], [0.5, HIGH]],
    "quad": SQUARE,
    "tetra": [[1, 1, 1], [-1, 1, -1], [1, -1, -1], [-1, -1, 1]],
    "hexahedron": [[x, y, z] for z in (0, 1) for x, y in SQUARE],
    "wedge": [[x, y, z] for z in (0, 1) for x, y in ((0, 0), (1, 0), (0.5, HIGH))],
    "pyramid": [*([x, y, 0] for x, y in SQUARE), [0.5, 0.5, math.sqrt(0.5)]],
}


def named(found: Check) -> dict[str, Finding]:
    return {finding.name: finding for finding in found.findings}


@pytest.mark.parametrize("kind", IDEAL)
def test_ideal_cells_have_quality_one_whatever_their_size_and_place(kind: str) -> None:
    x = np.array(IDEAL[kind], dtype=float)
    d = x.shape[1]
    turn = np.linalg.qr(np.random.default_rng(1).standard_normal((d, d)))[0]
    turn[0] *= np.sign(np.linalg.det(turn))
    mesh = Mesh(1e3 * x @ turn.T + 7, {kind: [range(len(x))]})
    found = quality_measures(mesh)
    torch.testing.assert_close(found["quality"], torch.ones(1, dtype=torch.float64))
    torch.testing.assert_close(found["aspect ratio"], torch.ones(1, dtype=torch.float64))
    low, high = corner_jacobians(mesh)
    assert low > 0.5 and high <= 1 + 1e-12
    assert check_mesh(mesh).sound
    mirrored = Mesh(mesh.points * torch.tensor([-1.0] + [1.0] * (d - 1)), mesh.cells)
    torch.testing.assert_close(corner_jacobians(mirrored)[1], -low)
    assert set(named(check_mesh(mirrored))) >= {"negative orientation"} and check_mesh(mirrored).sound


def test_angles_of_a_right_triangle_and_of_a_regular_tetrahedron() -> None:
    found = quality_measures(Mesh([[0, 0], [1, 0], [0, 1e-3]], {"triangle": [[0, 1, 2]]}))
    assert float(found["largest angle"]) == pytest.approx(90, abs=1e-10)
    assert float(found["smallest angle"]) == pytest.approx(math.degrees(math.atan(1e-3)), rel=1e-10)
    found = quality_measures(Mesh(IDEAL["tetra"], {"tetra": [[0, 1, 2, 3]]}))
    for name in ("smallest dihedral angle", "largest dihedral angle"):
        assert float(found[name]) == pytest.approx(math.degrees(math.acos(1 / 3)), rel=1e-12)


def test_negative_couplings_are_edges_with_a_negative_sum_of_cotangents() -> None:
    rng = np.random.default_rng(0)
    for flatness in (0.3, 0.9, 2.0):
        x = np.array([[0, 0], [1, 0], [0.5, flatness], [0.4, -flatness * rng.uniform(0.2, 1)]])
        mesh = Mesh(x, {"triangle": [[0, 1, 2], [0, 3, 1]]})
        bad, count = negative_couplings(mesh, torch.ones(2, dtype=torch.bool))
        expected = set()
        for a, b, opposite in ((0, 1, (2, 3)), (1, 2, (0,)), (0, 2, (1,)), (0, 3, (1,)), (1, 3, (0,))):
            total = 0.0
            for k in opposite:
                u, v = x[a] - x[k], x[b] - x[k]
                total += u @ v / abs(u[0] * v[1] - u[1] * v[0])
            if total < 0:
                expected.add((a, b))
        assert count == 5 and {tuple(pair) for pair in bad.tolist()} == expected
    flat = Mesh([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0.3, 0.3, 0.01]], {"tetra": [[0, 1, 2, 3]]})
    bad, _ = negative_couplings(flat, torch.ones(1, dtype=torch.bool))
    assert {tuple(pair) for pair in bad.tolist()} == {(0, 1), (0, 2), (1, 2)}  # the edges of the wide face
    assert negative_couplings(Mesh(SQUARE, {"quad": [[0, 1, 2, 3]]}), torch.ones(1, dtype=torch.bool)) is None


@pytest.mark.parametrize("mesh", [rectangle(5, 5), box(2, 3, 2), sphere(size=0.5)], ids=["plane", "solid", "surface"])
def test_sound_meshes_have_no_grave_findings(mesh: Mesh) -> None:
    found = check_mesh(mesh)
    assert found.sound and not {"hanging points", "winding", "separate parts", "unused points"} & set(named(found))


def test_a_hanging_point_in_the_plane_and_in_space() -> None:
    # one square beside two halves
    x = [[0, 0], [1, 0], [1, 1], [0, 1], [2, 0], [2, 1], [1, 0.5], [2, 0.5]]
    plane = Mesh(x, {"quad": [[0, 1, 2, 3], [1, 4, 7, 6], [6, 7, 5, 2]]})
    finding = named(check_mesh(plane))["hanging points"]
    assert finding.grave and finding.points.tolist() == [6] and "1 points hang" in finding.text
    points = torch.cat([torch.tensor([[*p, z] for p in x]) for z in (0.0, 1.0)])
    n = len(x)
    solid = Mesh(points, {"hexahedron": [[*q, *(i + n for i in q)] for q in plane.cells["quad"].tolist()]})
    assert named(check_mesh(solid))["hanging points"].points.tolist() == [6, 6 + n]
    # the same points, two parts: they touch
    apart = Mesh(
        [[0, 0], [1, 0], [1, 1], [0, 1], [1, 0.5], [2, 0], [2, 1]], {"quad": [[0, 1, 2, 3]], "triangle": [[4, 5, 6]]}
    )
    found = named(check_mesh(apart))
    assert "hanging points" not in found and found["touching parts"].points.tolist() == [4] and check_mesh(apart).sound
    assert "2 parts" in found["separate parts"].text


def test_cells_of_no_size_folded_repeated_and_collapsed_ones_are_named_with_their_place() -> None:
    x = [*SQUARE, [2, 0], [0.5, 0.5], [3, 0]]
    cells = {"triangle": [[0, 1, 2], [1, 4, 6], [0, 0, 3], [2, 0, 1]], "quad": [[0, 1, 5, 3], [0, 1, 2, 3]]}
    found = check_mesh(Mesh([*x[:5], [0.2, 0.2], x[6]], cells))
    kinds = named(found)
    assert kinds["zero size"].cells.tolist() == [1, 2]
    assert kinds["collapsed cells"].cells.tolist() == [2]
    assert kinds["repeated cells"].cells.tolist() == [3]
    assert kinds["folded cells"].cells.tolist() == [4] and "first 4" in kinds["folded cells"].text
    assert not found.sound and found.findings[0].grave
    marked = found.marked()
    assert marked.tags["folded cells"].nodes.tolist() == [0, 1, 3, 5]


def test_nearly_coinciding_points_and_points_without_cells() -> None:
    x = [*SQUARE, [1 + 1e-12, 0], [1, 1], [2, 0.5], [9, 9]]
    found = named(check_mesh(Mesh(x, {"triangle": [[0, 1, 2], [0, 2, 3], [4, 6, 5]]})))
    assert (
        found["nearly coinciding points"].points.tolist() == [1, 4]
        and "1 pairs" in found["nearly coinciding points"].text
    )
    assert found["coinciding points"].points.tolist() in ([2], [5]) and found["unused points"].points.tolist() == [7]


def test_a_surface_with_one_triangle_turned_over() -> None:
    mesh = sphere(size=0.5)
    nodes = mesh.cells["triangle"].clone()
    assert "winding" not in named(check_mesh(mesh))
    nodes[5] = nodes[5, [1, 0, 2]]
    finding = named(check_mesh(mesh.with_cells({"triangle": nodes})))["winding"]
    assert finding.text.startswith("3 edges") and 5 in finding.cells.tolist() and len(finding.cells) == 4


def test_boundary_sets_are_looked_at() -> None:
    mesh = rectangle(4, 4)
    inside = [k for k in range(len(mesh.facets.nodes)) if k not in set(mesh.boundary_facets.tolist())][:3]
    tags = {
        "left": mesh.tag("left"),
        "mixed": mesh.make_tag(1, [*inside, *mesh.tag("right").ids.tolist()]),
        "none": mesh.make_tag(1, []),
    }
    found = named(check_mesh(Mesh(mesh.points, mesh.cells, tags=tags)))
    assert found["empty sets"].text == "the set 'none' is empty"
    assert found["sets inside"].text.startswith(f"3 of {3 + len(mesh.tag('right').ids)} facets of the set 'mixed'")
    rest = len(mesh.tag("bottom").ids) + len(mesh.tag("top").ids)
    assert found["unnamed boundary"].text.startswith(f"{rest} of {len(mesh.boundary_facets)} boundary facets")


def test_a_length_that_is_probably_millimetres() -> None:
    mesh = rectangle(2, 2)
    assert "units" not in named(check_mesh(mesh))
    assert "0.001" in named(check_mesh(mesh.with_points(1000 * mesh.points)))["units"].text


def test_every_linear_cell_has_its_corners() -> None:
    from graphpde.mesh.shape import _CORNERS

    assert set(_CORNERS) == {cell.corners for cell in CELLS.values() if cell.dim > 1}
