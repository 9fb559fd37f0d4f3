"""The rows of docs/flow.md: named once, judged by mathematics, kept when they are over."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from benchmarks import trainings
from benchmarks.flow import __main__ as flow
from benchmarks.flow import held_out, particles, planar, surfaces
from graphpde.mesh import sphere
from graphpde.mesh.faces import Faces


def test_every_row_is_there_once_and_the_page_keeps_its_text(tmp_path: Path) -> None:
    rows = flow.flow_rows()
    assert len({row.name for row in rows}) == len(rows) > 50
    page = tmp_path / "flow.md"
    page.write_text("# Flows\n\nby hand\n")
    known = {rows[0].name: {"value": 0.0, "text": "1.00", "on": "x", "note": "", "commit": "abc", "seconds": 1.0}}
    flow.put_tables(known, page)
    text = page.read_text()
    flow.put_tables(known, page)
    assert page.read_text() == text
    assert "by hand" in text and rows[0].name in text and rows[-1].name not in text


def quick(seed: int) -> dict[str, float]:
    return {"twice": 2.0 * seed}


def test_a_run_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []

    def run(package: str, what: str, settings: dict[str, int]) -> dict[str, float]:
        made.append(settings["seed"])
        return quick(**settings)

    class Here:
        def __init__(self, *args: object, **named: object) -> None: ...
        def __enter__(self) -> Here:
            return self

        def __exit__(self, *args: object) -> None: ...
        def submit(self, function, *args):  # type: ignore[no-untyped-def]
            from concurrent.futures import Future

            future: Future[dict[str, float]] = Future()
            future.set_result(run(*args))
            return future

    trained = trainings.Trainings("there", tmp_path / "kept.jsonl")
    monkeypatch.setattr(trainings, "ProcessPoolExecutor", Here)
    assert trained("here.quick", {"seed": 1}, {"seed": 2}) == [{"twice": 2.0}, {"twice": 4.0}]
    with open(tmp_path / "kept.jsonl", "a") as file:
        file.write('{"key": "cut o')  # a run that was killed
    assert trained("here.quick", {"seed": 2}, {"seed": 1}) == [{"twice": 4.0}, {"twice": 2.0}]
    assert made == [1, 2]
    lines = (tmp_path / "kept.jsonl").read_text().splitlines()[:2]
    assert sorted(json.loads(line)["settings"]["seed"] for line in lines) == [1, 2]


def test_parts_are_all_rows_once() -> None:
    x = torch.arange(103.0)[:, None]
    found = held_out.parts(x, 3)
    assert torch.cat(list(found)).flatten().sort().values.equal(x.flatten())
    assert [len(part) for part in found] == [83, 10, 10]
    assert not torch.equal(found.test, held_out.parts(x, 4).test)


def test_entropies_of_known_densities() -> None:
    """On the sphere that of a uniform law, and of 1 + z, whose integral is in closed form."""
    mesh = sphere(5)
    faces = Faces(mesh)
    one = torch.ones(mesh.n, dtype=torch.float64)
    assert surfaces.entropy(faces, one) == pytest.approx(float(faces.area.sum().log()), rel=1e-12)
    # p = (1 + z) / 4 pi: -int p log p = log 4 pi - int_0^2 (s / 2) log s ds = log 4 pi - (log 2 - 1 / 2)
    wanted = math.log(4 * math.pi) - (math.log(2) - 0.5)
    assert surfaces.entropy(faces, 1 + mesh.points[:, 2]) == pytest.approx(wanted, abs=2e-3)


def test_states_in_equilibrium() -> None:
    """The virial theorem: the mean of x . dU/dx is the dimension of the centred states, in units of the temperature."""
    x = particles.equilibrium("DW4", 400, sweeps=300)
    assert x.shape == (400, 4, 2)
    assert float(x.mean(-2).abs().max()) < 1e-5
    virial = []
    for state in x.double():
        state.requires_grad_()
        (force,) = torch.autograd.grad(particles.SYSTEMS["DW4"].energy(state), state)
        virial.append((state * force).sum().item())
    mean, error = trainings.mean_and_error(virial)
    assert abs(mean - 6) < 4 * error


def test_sliced_distance_of_a_shift() -> None:
    x = torch.randn(500, 2, generator=torch.Generator().manual_seed(0))
    found = planar.sliced(x, x + torch.tensor([3.0, 4.0]))
    assert found == pytest.approx(5 / math.sqrt(2), rel=1e-5)
