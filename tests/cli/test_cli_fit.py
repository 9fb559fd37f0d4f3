"""``simulate --fit``: what made the measurements is found again, and bad tables are refused in one sentence."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import meshio
import numpy as np
import pytest
import torch

from graphpde.dynamics import BackwardEuler, evolve, steady
from graphpde.mesh import Space, read_mesh
from graphpde.mesh.geometry import cell_centroids
from graphpde.mesh.samples import Samples
from graphpde.ops import Diffusion, Dirichlet, Source

from .conftest import Command

F64 = torch.float64
QUIET = ("--pictures", "none", "--set", "output.report=false")


def places(count: int, seed: int = 0) -> torch.Tensor:
    return 0.05 + 0.9 * torch.rand(count, 2, dtype=F64, generator=torch.Generator().manual_seed(seed))


def table(path: Path, header: str, rows: Any) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header.split(","))
        writer.writerows(rows)
    return path


def steady_state(square: Path, kappa: Any, source: float, x: torch.Tensor) -> torch.Tensor:
    space = Space(read_mesh(square))
    total = Diffusion(space, kappa) + Source(space, source) + Dirichlet("left", 0.0)
    return Samples(space, x)(steady(total, torch.zeros(space.n, 1, dtype=F64)).value)


def poisson(square: Path) -> tuple[Any, ...]:
    return ("simulate", "--pde", "poisson", "--mesh", square, "--bc", "left=0", *QUIET)


def test_a_number_is_found_and_the_folder_runs_again(graphpde: Command, square: Path, tmp_path: Path) -> None:
    x = places(30)
    u = steady_state(square, 2.5, 3.0, x)
    data = table(tmp_path / "data.csv", "x,y,u,sigma", torch.cat([x, u, torch.full_like(u, 1e-3)], 1).tolist())
    done = graphpde(*poisson(square), "--source", 3, "--fit", data, "kappa", "-o", "run", "--json")
    assert done.code == 0 and done.json["fit"]["values"]["kappa"] == pytest.approx(2.5, rel=1e-4)
    assert done.json["fit"]["misfit"] < 1e-4 and done.json["fit"]["measurements"] == 30
    rows = list(csv.DictReader((tmp_path / "run" / "fit.csv").open()))
    assert len(rows) == done.json["fit"]["steps"] and {"step", "loss", "misfit", "gradient"} <= set(rows[0])
    assert str(tmp_path / "run" / "fit.csv") in done.json["files"]
    again = graphpde("simulate", "run/config.toml", "-o", "again", "--json")
    assert again.code == 0 and again.json["final"] == done.json["final"]
    said = graphpde(*poisson(square), "--source", 3, "--fit", data, "kappa", "-o", "run")
    assert "fitted to 30 measurements" in said.out and "kappa = 2.5" in said.out and "times the noise" in said.out


def test_numbers_of_two_materials_and_a_source(graphpde: Command, square: Path, tmp_path: Path) -> None:
    x = places(40)
    u = steady_state(square, {"copper": 4.0, "steel": 0.5}, 2.0, x)
    data = table(tmp_path / "data.csv", "x,y,u", torch.cat([x, u], 1).tolist())
    start = ("--kappa", "copper=1", "steel=1", "--source", 2)
    done = graphpde(*poisson(square), *start, "--fit", data, "kappa", "--json")
    assert done.json["fit"]["values"]["kappa"] == pytest.approx({"copper": 4.0, "steel": 0.5}, rel=1e-3)
    assert done.json["fit"]["sigma_assumed"] == pytest.approx(0.01 * float(u.square().mean().sqrt()))
    assert "fit" in done.json["folder"]
    known = ("--kappa", "copper=4", "steel=0.5", "--source", 1)
    done = graphpde(*poisson(square), *known, "--fit", data, "source", "--json")
    assert done.json["fit"]["values"]["source"] == pytest.approx(2.0, rel=1e-4)


def test_a_field_fits_as_well_as_the_noise_allows(graphpde: Command, square: Path, tmp_path: Path) -> None:
    mesh = read_mesh(square)
    true = torch.exp(torch.sin(3 * cell_centroids(mesh)[:, 0]))
    x = places(60)
    u = steady_state(square, true, 2.0, x)
    sigma = 0.01 * float(u.square().mean().sqrt())
    noise = torch.randn(u.shape, dtype=F64, generator=torch.Generator().manual_seed(1))
    data = table(
        tmp_path / "d.csv", "x,y,u,sigma", torch.cat([x, u + sigma * noise, torch.full_like(u, sigma)], 1).tolist()
    )
    done = graphpde(*poisson(square), "--source", 2, "--fit", data, "kappa=field", "-o", "run", "--json")
    assert done.code == 0 and done.json["fit"]["misfit"] == pytest.approx(1, abs=0.051)
    fitted = meshio.read(tmp_path / "run" / "fields" / "fitted.vtu").cell_data["kappa"][0]
    assert float(np.linalg.norm(fitted - true.numpy()) / true.norm()) < 0.2  # one state says little: see the benchmark
    assert done.json["fit"]["values"]["kappa"]["max"] == pytest.approx(float(fitted.max()))
    assert any("config.toml holds what the fit started from" in sentence for sentence in done.json["warnings"])
    seen = meshio.read(next((tmp_path / "run" / "fields").glob("run_*.vtu"))).point_data["u"]
    space = Space(mesh)
    total = Diffusion(space, torch.from_numpy(fitted)) + Source(space, 2.0) + Dirichlet("left", 0.0)
    own = steady(total, torch.zeros(space.n, 1, dtype=F64)).value
    np.testing.assert_allclose(seen, space.at_points(own)[:, 0], atol=1e-10)


def test_measurements_in_time(graphpde: Command, square: Path, tmp_path: Path) -> None:
    space, x = Space(read_mesh(square)), places(8)
    heat = Diffusion(space, 0.7) + Dirichlet("left", 1.0)
    times = [0.0, 0.1, 0.2]
    states = evolve(heat, torch.zeros(space.n, 1, dtype=F64), times, stepper=BackwardEuler(), dt=0.01).states
    seen = Samples(space, x)(states)[..., 0]
    rows = [[*x[q].tolist(), times[s], float(seen[s, q])] for s in (2, 1) for q in range(8)]
    data = table(tmp_path / "data.csv", "x,y,t,u", rows)
    problem = ("simulate", "--pde", "heat", "--mesh", square, "--bc", "left=1", "--t-end", 0.2, "--dt", 0.01, *QUIET)
    done = graphpde(*problem, "--fit", data, "kappa", "--json")
    assert done.json["fit"]["values"]["kappa"] == pytest.approx(0.7, rel=1e-4)
    late = table(tmp_path / "late.csv", "x,y,t,u", [[0.5, 0.5, 0.3, 1.0]])
    refused = graphpde(*problem, "--fit", late, "kappa")
    assert refused.code == 2 and "has t = 0.3, and the run goes from 0 to 0.2" in refused.err


@pytest.mark.parametrize(
    ("header", "rows", "says"),
    [
        ("x,u", [[0.5, 1.0]], "needs y; expected x, y, one of u"),
        ("x,y", [[0.5, 0.5]], "needs a field"),
        ("x,y,u,colour", [[0.5, 0.5, 1, 2]], "a column 'colour' that is not known"),
        ("x,y,t,u", [[0.5, 0.5, 0, 1]], "'t' that is not known or given twice (a steady state has no time)"),
        ("x,y,u", [], "holds 1 lines, expected a header"),
        ("x,y,u", [[0.5, 0.5, 1], [0.5, 0.2, math.nan]], "line 3 of"),
        ("x,y,u", [[0.5, "half", 1]], "has y = 'half', expected a finite number"),
        ("x,y,u", [[0.5, 0.5]], "line 2 of"),
        ("x,y,u", [[0.5, 0.5, 1], [1.5, 0.5, 1]], "lies outside of"),
        ("x,y,u,sigma", [[0.5, 0.5, 1, 0]], "has sigma = 0, expected a standard deviation > 0"),
    ],
)
def test_bad_tables(
    graphpde: Command, square: Path, tmp_path: Path, header: str, rows: list[list[Any]], says: str
) -> None:
    done = graphpde(*poisson(square), "--fit", table(tmp_path / "data.csv", header, rows), "kappa")
    assert done.code == 2 and says in done.err and done.err.count("\n") <= 2
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (["nowhere.csv", "kappa"], "cannot read the measurements"),
        (["data.csv"], "--fit takes a table and what to fit"),
        (["data.csv", "kapa"], "did you mean 'kappa'"),
        (["data.csv", "kappa=smooth"], "takes kappa for numbers or kappa=field for a field"),
        (["data.csv", "kappa", "kappa"], "names kappa twice"),
        (["data.csv", "kappa", "--kappa", "1+x"], "ask for kappa=field"),
        (["data.csv", "source", "--source", "x"], "the source is a formula"),
        (["data.csv", "kappa", "--dry-run"], "--dry-run does not go with --fit"),
        (["data.csv", "kappa", "--dtype", "float32"], "in float64"),
    ],
)
def test_what_cannot_be_fitted(graphpde: Command, square: Path, tmp_path: Path, given: list[str], says: str) -> None:
    table(tmp_path / "data.csv", "x,y,u", [[0.5, 0.5, 1.0]])
    done = graphpde(*poisson(square), "--fit", *given)
    assert done.code == 2 and says in done.err
