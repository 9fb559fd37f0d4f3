"""``graphpde check``: findings in words, in numbers and in a picture."""

from __future__ import annotations

from pathlib import Path

from graphpde.mesh import Mesh, rectangle, write_mesh
from tests.cli.conftest import Command


def test_the_verb_says_it_in_words_and_numbers_and_draws_it(graphpde: Command, tmp_path: Path) -> None:
    good, bad = tmp_path / "good.vtu", tmp_path / "bad.vtu"
    write_mesh(good, rectangle(3, 3))
    write_mesh(bad, Mesh([[0, 0], [1, 0], [1, 1], [0, 1], [2, 0]], {"triangle": [[0, 1, 2], [0, 1, 4], [0, 2, 3]]}))
    done = graphpde("check", str(good))
    assert done.code == 0 and "nothing that would spoil results" in done.out and "smallest angle" in done.out
    done = graphpde("check", str(bad), "-o", str(tmp_path / "bad.png"))
    assert done.code == 1 and "wrong  1 of 3 cells have zero size, first 1" in done.out
    assert done.err == "" and (tmp_path / "bad.png").stat().st_size > 5000
    done = graphpde("check", str(bad), "--json")
    document = done.json
    assert done.code == 1 and document["sound"] is False
    assert next(f for f in document["findings"] if f["name"] == "zero size")["cells"] == [1]
    assert set(document["quality"]["quality"]) == {"smallest", "median", "largest"}
    done = graphpde("check", str(tmp_path / "none.msh"))
    assert done.code == 2 and done.err.count("\n") == 1
