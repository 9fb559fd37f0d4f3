"""The solvers' rows: they measure what they say, both commands write one document, and neither loses a row."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from benchmarks import verification
from benchmarks.physics import __main__ as physics
from benchmarks.physics import record
from benchmarks.physics.rows import Found, Row, at_most
from benchmarks.solvers import __main__ as solvers
from benchmarks.solvers import adaptivity, failing, poisson
from graphpde.errors import SolveError
from graphpde.solve import LinearSolver
from tests.test_failing_problems import Failing


@pytest.fixture
def aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache and the README of the benchmarks in a folder of their own, and two rows for each command."""
    monkeypatch.setattr(record, "CACHE", tmp_path / "runs" / "verification.json")
    monkeypatch.setattr(solvers, "README", tmp_path / "README.md")
    (tmp_path / "README.md").write_text("# Before\n\n<!-- solvers: begin -->\nold\n<!-- solvers: end -->\n\nAfter\n")

    def row(section: str, name: str) -> Row:
        return Row(section, name, "1", at_most(1), lambda: Found(0.5, "0.5", "here"), sources=("benchmarks/core/*.py",))

    rows = {"physics": [row("Orders", "heat")], "mechanics": [], "solver": [row("Scale", "many"), row("Scale", "more")]}
    for name, mine in rows.items():
        monkeypatch.setattr(verification, f"{name}_rows", lambda mine=mine: mine)
    monkeypatch.setattr(physics, "physics_rows", lambda: rows["physics"])
    monkeypatch.setattr(solvers, "solver_rows", lambda: rows["solver"])
    return tmp_path


def test_both_commands_write_one_document(aside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(main: object, *argv: str) -> str:
        monkeypatch.setattr("sys.argv", ["rows", "--out", str(aside / "found.md"), *argv])
        assert main() == 0  # type: ignore[operator]
        return (aside / "found.md").read_text()

    assert "## Not measured here\n\n- many\n- more\n" in run(physics.main)
    assert "3 rows with a target, 3 met" in run(solvers.main)
    assert run(physics.main, "--write") == run(solvers.main, "--write")
    text = (aside / "README.md").read_text()
    assert text.startswith("# Before") and text.endswith("After\n") and "old" not in text
    assert "### Scale" in text and "| many | 1 | 0.5 | met |" in text and "heat" not in text


def test_what_another_command_has_kept_meanwhile_stays(aside: Path) -> None:
    def measure() -> Found:
        record._store({"other": {"value": 1.0}})
        return Found(0.5, "0.5", "here")

    record.collect([Row("Some", "mine", "1", at_most(1), measure, sources=("benchmarks/core/*.py",))])
    assert set(json.loads(record.CACHE.read_text())) == {"other", "mine"}


def test_the_problem_of_the_timings_is_poissons() -> None:
    a, b = poisson.problem(16)
    u = LinearSolver(a, rtol=1e-12).solve(b).checked().value
    assert float(u.max()) == pytest.approx(0.0736713, rel=5e-3)  # the middle of the square: Timoshenko's torsion
    kappa = torch.full((2 * 16 * 16,), 2.0, dtype=torch.float64)
    half = LinearSolver(poisson.problem(16, kappa)[0], rtol=1e-12).solve(b).checked().value
    torch.testing.assert_close(half, u / 2)


def test_refined_meshes_of_the_rows_keep_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adaptivity, "MOST", 2500)
    monkeypatch.setattr(adaptivity, "FROM", 200)
    adaptivity.refined.cache_clear()
    try:
        for row in adaptivity.rows():
            found = row.measure()
            assert isinstance(found, Found) and row.check(found.value), row.name
    finally:
        adaptivity.refined.cache_clear()


def test_a_problem_that_ends_wrongly_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    def raise_it() -> None:
        raise SolveError("no convergence")

    wrong = {
        "silent": Failing(lambda: 1, SolveError, "x"),
        "other words": Failing(raise_it, SolveError, "blow-up"),
        "right": Failing(raise_it, SolveError, "no conv"),
    }
    monkeypatch.setattr(failing, "ended", lambda: {name: failing._end(p) for name, p in wrong.items()})
    found = failing._named()
    assert isinstance(found, Found)
    assert found.text == "1 of 3 named" and "wrong: silent, other words" in found.note
    assert found.value == 2 + 17  # and seventeen fewer than twenty
