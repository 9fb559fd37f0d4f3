"""Movies of learned flows: from the base law to where the flow ends, for every kind of place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from graphpde.errors import InputError
from graphpde.mesh import sphere, write_mesh
from graphpde.run.flows import movie
from graphpde.run.flows.config import read_flow
from graphpde.run.flows.kinds import KINDS
from graphpde.run.flows.reopen import Reopened

GIVEN = {
    "space": torch.randn(40, 2, dtype=torch.float64),
    "sphere": 60 * torch.rand(40, 2, dtype=torch.float64),
    "torus": 60 * torch.rand(40, 2, dtype=torch.float64),
    "particles": torch.randn(40, 3, 2, dtype=torch.float64),
    "fields": torch.randn(8, 42, 1, dtype=torch.float64),
}


def opened(on: str, x: torch.Tensor | None, folder: Path, **data: Any) -> Reopened:
    if on in ("fields", "surface"):
        data["mesh"] = str(folder / "ball.vtu")
        write_mesh(data["mesh"], sphere(1))
    given = {"data": data if "mode" in data else {"file": "a.csv", **data}}
    chosen = read_flow({**given, "model": {"on": on, **({"modes": 12} if on == "fields" else {})}})
    place = KINDS[on](chosen, KINDS[on].learn(chosen, x))
    torch.manual_seed(0)
    return Reopened(place, place.module().eval())


@pytest.mark.parametrize("on", GIVEN)
def test_every_moment_is_a_frame(on: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(movie, "FRAMES", 4)
    assert movie.write_movie(opened(on, GIVEN[on], tmp_path), tmp_path / "way.gif") == 4
    with Image.open(tmp_path / "way.gif") as made:
        assert made.n_frames == 4 and min(made.size) > 150


def test_points_move_over_a_surface(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(movie, "FRAMES", 3)
    monkeypatch.setattr(movie, "POINTS", 20)
    given = opened("surface", None, tmp_path, mode=2)
    assert movie.write_movie(given, tmp_path / "way.gif") == 3


def test_the_frames_are_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is drawn first is the base law, and last what the flow makes of it."""
    drawn: list[torch.Tensor] = []
    real = movie.plot_points
    monkeypatch.setattr(movie, "FRAMES", 3)
    monkeypatch.setattr(movie, "plot_points", lambda sets, *a, **k: drawn.extend(sets.values()) or real(sets, *a, **k))
    given = opened("space", GIVEN["space"], tmp_path)
    movie.write_movie(given, tmp_path / "way.gif", seed=4)
    flow, rng = given.place.flow(given.model), torch.Generator().manual_seed(4)
    start = flow.base.draw(torch.zeros(movie.POINTS, 2), rng)
    with torch.no_grad():
        end = flow.push(start).final
    assert torch.allclose(drawn[0], given.place.decode(start))
    assert torch.allclose(drawn[-1], given.place.decode(end), atol=1e-3)
    assert len(drawn) == 3


def test_what_no_plane_shows_is_refused(tmp_path: Path) -> None:
    for on, x in (("space", torch.randn(9, 1)), ("space", torch.randn(9, 3)), ("particles", torch.randn(9, 4, 3))):
        with pytest.raises(InputError, match="two coordinates"):
            movie.write_movie(opened(on, x.double(), tmp_path), tmp_path / "way.gif")
    assert not (tmp_path / "way.gif").exists()
