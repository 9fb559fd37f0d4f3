"""Fits as runs: what they keep, when they stop, and how far the search for the weight of a roughness goes."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from graphpde.config import prepare, read_config
from graphpde.errors import InputError, SolveError
from graphpde.run import simulate
from graphpde.run.fit import fit_run
from graphpde.train import discrepancy

QUIET = {"pictures": "none", "report": False}
STEADY: dict[str, Any] = {
    "pde": "poisson", "mesh": {"shape": "rectangle", "size": 0.25}, "boundary": {"left": {"value": 0.0}}, "source": 2.0,
    "output": QUIET,
}  # fmt: skip
HEAT = {**STEADY, "pde": "heat", "time": {"end": 0.2, "dt": 0.1}}


def table(path: Path, header: str, value: float, sigma: float) -> Path:
    places = 0.1 + 0.8 * torch.rand(8, 2, generator=torch.Generator().manual_seed(0))
    at = ",0.2" if ",t" in header else ""
    path.write_text(header + "\n" + "".join(f"{x},{y}{at},{value},{sigma}\n" for x, y in places.tolist()))
    return path


def manifest(folder: Path) -> Any:
    return json.loads((folder / "manifest.json").read_text())


def test_the_fit_is_kept_when_the_run_begins(tmp_path: Path) -> None:
    data, seen = table(tmp_path / "d.csv", "x,y,t,u,sigma", 0.1, 0.1), []

    def look(*_: Any) -> None:
        seen.append(("kappa" in manifest(tmp_path / "run")["fit"]["values"], (tmp_path / "run/fit.csv").exists()))

    done = fit_run(read_config(HEAT), data, ["kappa"], tmp_path / "run", progress=look)
    assert done.run.status == "ok" and set(seen) == {(True, True)}
    assert tmp_path / "run/fit.csv" in done.run.files


@pytest.mark.parametrize("base", [STEADY, HEAT])
def test_a_fit_that_is_stopped_keeps_what_it_has(tmp_path: Path, base: dict[str, Any]) -> None:
    header = "x,y,u,sigma" if base is STEADY else "x,y,t,u,sigma"
    asked: list[int] = []

    def stop() -> bool:
        asked.append(1)
        return len(asked) >= 3

    data = table(tmp_path / "d.csv", header, 0.1, 0.001)
    done = fit_run(read_config(base), data, ["kappa"], tmp_path / "run", stop=stop)
    assert done.run.status == "interrupted" == manifest(tmp_path / "run")["status"]
    assert done.record.interrupted and len(done.record.history) == 3 and done.record.deviations == {}
    own = float(done.record.numbers["kappa"])
    assert own != 1.0 and f"kappa = {own!r}" in (tmp_path / "run/config.toml").read_text()


def test_a_search_for_the_weight_stops_between_fits(tmp_path: Path) -> None:
    asked: list[int] = []
    data = table(tmp_path / "d.csv", "x,y,u,sigma", 0.1, 1e-4)
    done = fit_run(
        read_config(STEADY), data, ["kappa=field"], tmp_path / "run", stop=lambda: asked.append(1) or len(asked) >= 5
    )
    assert done.run.status == "interrupted" and len(done.record.history) <= 6
    assert (tmp_path / "run/fields/fitted.vtu").exists()


def test_a_folder_is_left_only_by_a_run(tmp_path: Path) -> None:
    data = table(tmp_path / "d.csv", "x,y,u,sigma", -5.0, 0.01)  # below 0, where no kappa puts u
    with pytest.raises(SolveError, match="no weight of the penalty explains the data"):
        fit_run(read_config(STEADY), data, ["kappa=field"], tmp_path / "runs" / "one")
    assert not (tmp_path / "runs").exists()


def test_a_constant_ends_the_search(tmp_path: Path) -> None:
    """Noise far above the data: the ladder of weights ends where the field is flat, and the table counts every step."""
    rng = torch.Generator().manual_seed(5)
    rows = (0.1 + 0.8 * torch.rand(20, 2, generator=rng)).tolist()
    values = (0.6 + 0.1 * torch.randn(20, generator=rng)).tolist()
    data = tmp_path / "d.csv"
    data.write_text("x,y,u,sigma\n" + "".join(f"{x},{y},{u},1\n" for (x, y), u in zip(rows, values, strict=True)))
    done = fit_run(read_config(STEADY), data, ["kappa=field"], tmp_path / "run")
    assert any("a constant kappa explains the measurements" in sentence for sentence in done.run.warnings)
    kappa = done.record.fields["kappa"]
    assert float(kappa.max() / kappa.min()) < 1.0011
    with (tmp_path / "run/fit.csv").open() as file:
        steps = list(csv.DictReader(file))
    assert [int(row["step"]) for row in steps] == list(range(1, done.record.as_dict()["steps"] + 1))
    weights = list(dict.fromkeys(float(row["weight"]) for row in steps))
    assert len(weights) <= 5 and weights[-1] == done.record.weight
    evaluations = [int(row["evaluations"]) for row in steps]
    assert evaluations == sorted(evaluations)


def test_the_search_for_a_weight_ends_where_it_is_told() -> None:
    tried: list[float] = []
    found = discrepancy(lambda w: tried.append(w) or 0.3, enough=lambda: len(tried) == 3)
    assert found.weight == 100 and len(found.trials) == 3
    assert discrepancy(lambda w: 9.0, enough=lambda: True).misfit == 9  # stopped: nothing is said of the data
    for wrong in ({"start": 0.0}, {"start": -1.0}, {"start": float("nan")}, {"most": 0}):
        with pytest.raises(InputError, match="expected > 0 and at least 1"):
            discrepancy(lambda w: w, **wrong)


def test_a_mesh_that_is_being_refined_stops_after_its_round(tmp_path: Path) -> None:
    setup = prepare(read_config({**STEADY, "source": "exp(-50*(x-0.5)**2)", "adapt": {"tolerance": 0.02}}))
    asked: list[int] = []
    done = simulate(setup, tmp_path / "run", stop=lambda: asked.append(1) or len(asked) >= 2)
    assert done.status == "interrupted" == manifest(tmp_path / "run")["status"]
    assert done.adapted is not None and len(done.adapted.rounds) == 2 and not done.adapted.within
    assert done.adapted.rounds[-1].allowed < done.adapted.rounds[-1].estimate
    assert any("it was interrupted; run it again" in sentence for sentence in done.warnings)
    assert simulate(setup, tmp_path / "run").status == "ok"
