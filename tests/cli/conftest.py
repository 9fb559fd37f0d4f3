"""A command line in this process, and small meshes to run it on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from graphpde.cli import main
from graphpde.mesh import Mesh, rectangle, write_mesh


class Done(NamedTuple):
    """What a command left: its exit code and what it said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one document on stdout."""
        return json.loads(self.out)


Command = Callable[..., Done]


@pytest.fixture
def graphpde(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs a command line in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GRAPHPDE_DEBUG", raising=False)

    def run(*argv: object) -> Done:
        capsys.readouterr()  # what a script printed before
        code = main([str(word) for word in argv])
        return Done(code, *capsys.readouterr())

    return run


def two_materials(n: int = 6) -> Mesh:
    """The unit square with its sides named and its cells in two materials, left and right of x = 1/2."""
    mesh = rectangle(n, n)
    x = mesh.points[mesh.cells["triangle"]][:, :, 0].mean(1)
    return mesh.with_tags(
        copper=mesh.make_tag(2, (x < 0.5).nonzero()[:, 0]), steel=mesh.make_tag(2, (x >= 0.5).nonzero()[:, 0])
    )


@pytest.fixture(scope="session")
def square(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of that square."""
    path = tmp_path_factory.mktemp("meshes") / "square.vtu"
    write_mesh(path, two_materials())
    return path


@pytest.fixture(scope="session")
def two_squares(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two squares that share nothing; the left side of the first one is named."""
    one = rectangle(3, 3)
    points = torch.cat([one.points, one.points + torch.tensor([2.0, 0.0], dtype=torch.float64)])
    cells = torch.cat([one.cells["triangle"], one.cells["triangle"] + one.n])
    mesh = Mesh(points, {"triangle": cells})
    x = mesh.points[mesh.facets.nodes][:, :, 0]
    mesh = mesh.with_tags(left=mesh.make_tag(1, (x == 0).all(1).nonzero()[:, 0]))
    path = tmp_path_factory.mktemp("meshes") / "two.vtu"
    write_mesh(path, mesh)
    return path
