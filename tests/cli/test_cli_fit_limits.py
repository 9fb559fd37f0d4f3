"""``simulate --fit`` says what it cannot do, what measurements do not determine, and what it found in the report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from .conftest import Command
from .test_cli_fit import F64, QUIET, places, poisson, steady_state, table

HEAT = ("--bc", "left=0", "--source", 2, "--t-end", 0.2, "--dt", 0.1, *QUIET)


def noisy(path: Path, square: Path, sigma: float, count: int = 20, noise: float = 0.0) -> Path:
    x = places(count)
    u = steady_state(square, 2.0, 3.0, x)
    u = u + noise * torch.randn(u.shape, dtype=F64, generator=torch.Generator().manual_seed(2))
    return table(path, "x,y,u,sigma", torch.cat([x, u, torch.full_like(u, sigma)], 1).tolist())


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (["--adapt", 0.1], "--adapt does not go with --fit"),
        (["--set", "adapt.tolerance=0.1"], "a fit needs one mesh and adapt refines it"),
        (["--sweep", "source=1,2"], "--sweep does not go with --fit"),
        (["--jobs", 2], "--jobs does not go with --fit"),
        (["--rtol", 0], "--rtol is 0, expected a number > 0"),
        (["-o", "taken"], "'taken' holds files that no run wrote"),
    ],
)
def test_options_that_do_not_go_with_a_fit(
    graphpde: Command, square: Path, tmp_path: Path, given: list[Any], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = noisy(tmp_path / "data.csv", square, 0.1)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "thesis.tex").write_text("mine")
    monkeypatch.setattr("graphpde.run.fit.fit", None)  # all of it is said before the first step of the fit
    done = graphpde(*poisson(square), "--fit", data, "kappa", *given)
    assert done.code == 2 and says in done.err and done.err.count("error:") == 1
    assert not (tmp_path / "runs").exists()


def test_explicit_steps_are_chosen_for_the_kappa_at_the_start(graphpde: Command, square: Path, tmp_path: Path) -> None:
    data = table(tmp_path / "data.csv", "x,y,t,u", [[0.5, 0.5, 0.1, 0.1], [0.7, 0.5, 0.1, 0.2]])
    line = ("simulate", "--pde", "heat", "--mesh", square, "--bc", "left=0", "--source", 2, "--t-end", 0.1, *QUIET)
    done = graphpde(*line, "--stepper", "rk4", "--fit", data, "kappa")
    assert done.code == 2 and "the longest stable step of rk4 changes with the kappa that is fitted" in done.err
    assert graphpde(*line, "--stepper", "rk4", "--fit", data, "source").code == 0  # which moves no bound


def test_what_the_measurements_do_not_determine(graphpde: Command, square: Path, tmp_path: Path) -> None:
    """A steady u depends on source / kappa alone; and one value says one number."""
    data = noisy(tmp_path / "data.csv", square, 0.01)
    done = graphpde(*poisson(square), "--source", 1, "--fit", data, "kappa", "source", "--json")
    fit = done.json["fit"]
    assert done.code == 0 and fit["deviations"] == {"kappa": None, "source": None}
    assert fit["values"]["source"] / fit["values"]["kappa"] == pytest.approx(1.5, rel=1e-4)
    assert any("do not determine kappa and source" in sentence for sentence in done.json["warnings"])
    single = table(tmp_path / "one.csv", "x,y,u", [[0.5, 0.5, 1.0]])
    done = graphpde(*poisson(square), "--source", 1, "--fit", single, "kappa", "source")
    assert done.code == 2 and "holds 1 measurements for 2 numbers (kappa, source)" in done.err


def test_the_deviation_of_a_number(graphpde: Command, square: Path, tmp_path: Path) -> None:
    """u ~ 1 / kappa and u ~ source: the relative deviation of either is sigma / |u|."""
    sigma, x = 0.02, places(20)
    data = noisy(tmp_path / "data.csv", square, sigma)
    relative = sigma / float(torch.linalg.vector_norm(steady_state(square, 2.0, 3.0, x)))
    done = graphpde(*poisson(square), "--source", 3, "--fit", data, "kappa", "-o", "run", "--json")
    assert done.json["fit"]["deviations"]["kappa"] == pytest.approx(2.0 * relative, rel=1e-4)
    assert json.loads((tmp_path / "run/manifest.json").read_text())["fit"] == done.json["fit"]
    said = graphpde(*poisson(square), "--kappa", 2, "--fit", data, "source")
    assert f"source = 3 +- {3.0 * relative:.2g}" in said.out and said.err == ""


def test_a_source_that_is_zero_is_determined(graphpde: Command, square: Path, tmp_path: Path) -> None:
    x = places(20)
    noise = 0.1 * torch.randn(20, 1, dtype=F64, generator=torch.Generator().manual_seed(4))
    data = table(tmp_path / "data.csv", "x,y,u,sigma", torch.cat([x, noise, 0 * noise + 0.1], 1).tolist())
    done = graphpde(*poisson(square), "--fit", data, "source", "--json")
    found, spread = done.json["fit"]["values"]["source"], done.json["fit"]["deviations"]["source"]
    assert abs(found) < 4 * spread and not any("determine" in sentence for sentence in done.json["warnings"])


def test_a_material_that_nothing_flows_through(graphpde: Command, square: Path, tmp_path: Path) -> None:
    """Held left and insulated elsewhere, without a source: u = 1 whatever the materials are."""
    data = table(tmp_path / "data.csv", "x,y,u", [[*p, 1.0] for p in places(6).tolist()])
    line = ("simulate", "--pde", "poisson", "--mesh", square, "--bc", "left=1", *QUIET)
    done = graphpde(*line, "--kappa", "copper=1", "steel=2", "--fit", data, "kappa", "--json")
    assert done.code == 0 and done.json["fit"]["deviations"] == {"kappa of copper": None, "kappa of steel": None}


def test_a_run_with_a_fitted_field_does_not_go_on_without_it(graphpde: Command, square: Path, tmp_path: Path) -> None:
    data = table(tmp_path / "data.csv", "x,y,t,u,sigma", [[*p, 0.2, 0.3, 10.0] for p in places(4).tolist()])
    line = ("simulate", "--pde", "heat", "--mesh", square, *HEAT)
    done = graphpde(*line, "--fit", data, "kappa=field", "-o", "run")
    assert done.code == 0
    refused = graphpde("simulate", "--resume", "run", "--t-end", 0.4)
    assert refused.code == 2 and "its kappa was fitted as a field, which config.toml does not hold" in refused.err
    assert graphpde(*line, "--fit", data, "kappa", "-o", "run").code == 0
    assert graphpde("simulate", "--resume", "run", "--t-end", 0.4, *QUIET).code == 0  # config.toml holds a number


@pytest.mark.parametrize(
    ("header", "rows", "says"),
    [
        ("x,y,u", [[0.5, 0.5, 0], [0.4, 0.5, 0]], "is 0 and there is no column sigma"),
        ("x,y,u", [[0.5, 0.5, 1e200]], "has u = 1e+200, expected a number of at most 1e+100"),
        ("x,y,u,sigma", [[0.5, 0.5, 1, 1e-302]], "with sigma = 1e-302, expected a standard deviation that is not"),
        ("x,y,u", [[0.5, "7" * 140_000, 1]], "line 2 of"),
        ("x,y,u", [[0.5, "seven" * 1000, 1]], "sevensevenseven"),
    ],
)
def test_tables_that_are_no_measurements(
    graphpde: Command, square: Path, tmp_path: Path, header: str, rows: list[list[Any]], says: str
) -> None:
    done = graphpde(*poisson(square), "--fit", table(tmp_path / "data.csv", header, rows), "kappa")
    assert done.code == 2 and says in done.err and "internal" not in done.err and len(done.err) < 400


def test_the_report_tells_of_the_fit(graphpde: Command, square: Path, tmp_path: Path) -> None:
    data = noisy(tmp_path / "data.csv", square, 0.05, noise=0.05)
    line = ("simulate", "--pde", "poisson", "--mesh", square, "--bc", "left=0", "--source", 3, "--fit", data)
    assert graphpde(*line, "kappa=field", "-o", "run").code == 0
    page = (tmp_path / "run/report.html").read_text()
    for said in (
        "<h2>Fit</h2>",
        "Fitted to 20 measurements",
        "The kappa that was fitted",
        "Computed against measured u",
    ):
        assert said in page
    drawn = {path.name for path in (tmp_path / "run/figures").glob("fit_*.png")}
    assert drawn == {"fit_kappa.png", "fit_agreement.png", "fit_misfit.png"}
    assert graphpde(*line, "kappa", "-o", "run").code == 0
    page = (tmp_path / "run/report.html").read_text()
    assert "standard deviation" in page and not (tmp_path / "run/figures/fit_kappa.png").exists()
