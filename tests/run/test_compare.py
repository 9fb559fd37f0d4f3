"""Comparing runs: norms against exact integrals, the finer mesh wins, and what has nothing in common is refused."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graphpde.config import merge, prepare, read_config
from graphpde.errors import InputError
from graphpde.mesh import Mesh, box, rectangle, write_mesh
from graphpde.mesh.generate import SHAPES
from graphpde.mesh.second_order import completed
from graphpde.run import simulate
from graphpde.run.compare import compare
from graphpde.viz import SeriesWriter

HEAT: dict[str, Any] = {
    "pde": "heat", "mesh": {"shape": "rectangle", "size": 0.125}, "boundary": {"left": 1.0},
    "time": {"end": 0.1, "dt": 0.01, "frames": 2}, "output": {"pictures": "none", "report": False},
}  # fmt: skip


def series(folder: Path, n: int, value: Any, times: tuple[float, ...] = (0.0, 1.0), name: str = "u") -> Path:
    """A series of f(x, y) + t on a square of n x n."""
    mesh = rectangle(n, n)
    writer = SeriesWriter(folder, "run", mesh, (name,))
    for t in times:
        writer.add(t, {name: value(*mesh.points.unbind(1)) + t})
    return writer.path


def test_a_known_difference(tmp_path: Path) -> None:
    """A - B = 3 everywhere on the unit square: its L2 norm and its largest value are 3."""
    a = series(tmp_path / "a", 8, lambda x, y: x + 5)
    b = series(tmp_path / "b", 8, lambda x, y: x + 2)
    found = compare(a, b)
    assert [row.t for row in found.rows] == [0.0, 1.0] and found.notes == []
    for row in found.rows:
        assert row.l2 == pytest.approx(3, rel=1e-12) and row.largest == pytest.approx(3, rel=1e-12)
        assert row.relative == pytest.approx(3 / row.a, rel=1e-12) and row.a > row.b
    other = compare(b, a)  # the larger norm of the two, whichever side has it
    assert [row.relative for row in other.rows] == pytest.approx([row.relative for row in found.rows], rel=1e-12)
    # |x + 5|^2 integrates to 91/3; the lumped mass leaves an error of h^2 / 6
    assert found.rows[0].a == pytest.approx(math.sqrt(91 / 3), rel=1e-3)


def test_linear_fields_agree_on_any_two_meshes(tmp_path: Path) -> None:
    """Interpolation is exact for them, whichever side is the finer one."""
    coarse = series(tmp_path / "a", 4, lambda x, y: 2 * x - y)
    fine = series(tmp_path / "b", 9, lambda x, y: 2 * x - y)
    for pair in ((coarse, fine), (fine, coarse)):
        found = compare(*pair)
        assert found.mesh.n == 100 and all(row.largest < 1e-14 for row in found.rows)
        assert "(25 points) were interpolated on that of" in found.notes[0]


def test_the_difference_is_where_it_is(tmp_path: Path) -> None:
    a = series(tmp_path / "a", 8, lambda x, y: x * 0 + (x == 0.5) * (y == 0.25))
    b = series(tmp_path / "b", 8, lambda x, y: x * 0)
    row = compare(a, b).rows[0]
    assert row.at == (0.5, 0.25) and row.largest == 1 and row.b == 0 and row.relative == 1


def test_two_runs_and_what_is_written(tmp_path: Path) -> None:
    for name, dt in (("a", 0.01), ("b", 0.005)):
        simulate(prepare(read_config(merge(HEAT, {"time": {"dt": dt}}))), tmp_path / name)
    found = compare(tmp_path / "a", tmp_path / "b", tmp_path / "out")
    assert found.times == pytest.approx([0, 0.05, 0.1]) and found.rows[0].largest == 0 < found.rows[2].l2 < 0.02
    assert {f.name for f in found.files} == {"difference.pvd", "difference_u.png", "compare.json"}
    said = json.loads((tmp_path / "out/compare.json").read_text())
    assert said["differences"][2]["l2"] == found.rows[2].l2 and said["fields"] == ["u"]
    last = compare(tmp_path / "out/difference.pvd", tmp_path / "out/difference.pvd")
    assert last.fields == ("u_difference", "u_a", "u_b") and all(row.largest == 0 for row in last.rows)
    with np.load(tmp_path / "a/fields/run.npz") as a, np.load(tmp_path / "b/fields/run.npz") as b:
        assert found.rows[2].largest == pytest.approx(np.abs(a["states"] - b["states"])[2].max(), rel=1e-12)


def test_only_common_times_count(tmp_path: Path) -> None:
    a = series(tmp_path / "a", 4, lambda x, y: x, (0.0, 0.5, 1.0))
    b = series(tmp_path / "b", 4, lambda x, y: x, (0.25, 0.5 + 1e-13, 2.0))
    assert compare(a, b).times == (0.5,)
    c = series(tmp_path / "c", 4, lambda x, y: x, (3.0,))
    with pytest.raises(InputError, match=r"no saved time in common \(3 from t=0 to 1 against t=3\)"):
        compare(a, c)


def test_a_file_without_time_meets_the_last_moment(tmp_path: Path) -> None:
    a = series(tmp_path / "a", 4, lambda x, y: x)
    mesh = rectangle(4, 4)
    write_mesh(tmp_path / "m.vtu", mesh.with_data({"u": mesh.points[:, 0] + 1}, {}))
    found = compare(a, tmp_path / "m.vtu")
    assert len(found.rows) == 1 and found.rows[0].largest == 0


def test_what_cannot_be_compared(tmp_path: Path) -> None:
    a = series(tmp_path / "a", 4, lambda x, y: x)
    other = series(tmp_path / "b", 4, lambda x, y: x, name="v")
    with pytest.raises(InputError, match=r"no field in common \(u against v\)"):
        compare(a, other)
    cube = box(2, 2, 2)
    write_mesh(tmp_path / "box.vtu", cube.with_data({"u": cube.points[:, 0]}, {}))
    with pytest.raises(InputError, match="only runs on the same kind of mesh"):
        compare(a, tmp_path / "box.vtu")
    far = rectangle(3, 3)
    far = type(far)(far.points + 100, far.cells)
    write_mesh(tmp_path / "far.vtu", far.with_data({"u": far.points[:, 0]}, {}))
    with pytest.raises(InputError, match="share no point of space; check their units"):
        compare(a, tmp_path / "far.vtu")
    with pytest.raises(InputError, match="there is no file or folder"):
        compare(a, tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no saved fields; expected a run folder"):
        compare(tmp_path / "empty", a)


def quadratic(folder: Path, mesh: Mesh, name: str = "u") -> Path:
    """One moment of x^2 + x y - 2 y^2 on a mesh with nodes in the middle of its cells."""
    x, y = mesh.points.unbind(1)
    writer = SeriesWriter(folder, "run", mesh, (name,))
    writer.add(0.0, {name: x**2 + x * y - 2 * y**2})
    return writer.path


def serendipity() -> Mesh:
    """Quadrilaterals with nodes in the middle of their sides and none in that of the cell."""
    full = completed(SHAPES["rectangle_quads"]())
    nodes = full.cells["quad9"][:, :8]
    return Mesh(full.points, {"quad8": nodes})


@pytest.mark.parametrize("source", ["triangles", "quads", "without centres"])
def test_quadratic_cells_are_read_with_all_their_nodes(tmp_path: Path, source: str) -> None:
    """A quadratic field comes to any finer mesh as it is, and on its own mesh has its exact norm."""
    mesh = {
        "triangles": lambda: completed(rectangle(3, 4)),
        "quads": lambda: completed(SHAPES["rectangle_quads"]()),
        "without centres": serendipity,
    }[source]()
    a = quadratic(tmp_path / "a", mesh)
    b = quadratic(tmp_path / "b", completed(rectangle(30, 31)))
    for pair in ((a, b), (b, a)):
        found = compare(*pair)
        assert found.rows[0].largest < 1e-12 and len(found.notes) == 1
        # the integral of (x^2 + x y - 2 y^2)^2 over the unit square
        assert found.rows[0].a == pytest.approx(math.sqrt(1 / 5 + 1 / 9 + 4 / 5 + 1 / 4 - 4 / 9 - 1 / 2), rel=1e-10)


def test_values_at_vertices_are_said_to_be_no_more(tmp_path: Path) -> None:
    """Pyramids of second order have no element here."""
    points = [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [0.5, 0.5, 1.0]]
    ends = [(0, 1), (1, 2), (2, 3), (3, 0), (0, 4), (1, 4), (2, 4), (3, 4)]
    corners = np.array(points, dtype=float)
    both = np.concatenate([corners, [(corners[i] + corners[j]) / 2 for i, j in ends]])
    mesh = Mesh(both, {"pyramid13": [list(range(13))]})
    write_mesh(tmp_path / "p.vtu", mesh.with_data({"u": mesh.points[:, 0]}, {}))
    write_mesh(tmp_path / "fine.vtu", (fine := box(4, 4, 4)).with_data({"u": fine.points[:, 0]}, {}))
    notes = compare(tmp_path / "p.vtu", tmp_path / "fine.vtu").notes
    assert "'p.vtu' were taken at the vertices of its cells, linear between: pyramid13 cells carry no" in notes[0]
