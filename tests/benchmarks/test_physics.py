"""The verification suite: what must hold to rounding, exact physics, references, and the document it writes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks.manufactured.derived import source_of
from benchmarks.manufactured.fields import PlaneWave
from benchmarks.manufactured.fronts import BurgersFront, FisherFront, PhaseFront, Scherk
from benchmarks.physics import __main__ as command
from benchmarks.physics import engineering, exactness, record, references, spectra
from benchmarks.physics.document import document
from benchmarks.physics.rows import NO_TARGET, Absent, Found, Row, at_most
from graphpde.errors import SolveError
from graphpde.mesh import P1, P2, Space, random_square

EXACT = {row.name: row for row in exactness.rows()}
PHYSICS = {row.name: row for row in engineering.rows()}


@pytest.mark.parametrize("name", EXACT)
def test_exact_to_rounding(name: str, request: pytest.FixtureRequest) -> None:
    row = EXACT[name]
    if row.because:
        request.applymarker(pytest.mark.xfail(reason=row.because, strict=True))
    found = row.measure()
    assert isinstance(found, Found)
    assert row.check(found.value), found


def test_a_patch_test_sees_a_rule_that_is_too_weak(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graphpde.mesh.elements.Element.rule_degree", lambda self, corners: 2)
    row = EXACT["patch test, linear u, Q2 on hexahedra with curved sides"]
    found = row.measure()
    assert isinstance(found, Found)
    assert found.value > 1e-8
    assert not row.check(found.value)


@pytest.mark.parametrize("name", [name for name in PHYSICS if "drum" not in name])
def test_exact_physics_within_one_percent(name: str) -> None:
    found = PHYSICS[name].measure()
    assert isinstance(found, Found)
    assert PHYSICS[name].check(found.value), found


def test_the_rate_of_a_wall_of_one_layer_is_that_of_the_text_book(monkeypatch: pytest.MonkeyPatch) -> None:
    """z tan z = Bi for the half thickness of a plate with the same exchange on both sides."""
    monkeypatch.setattr(engineering, "WALL", (engineering.Layer(0.2, 0.4, 1e6),))
    monkeypatch.setattr(engineering, "INSIDE", (3.0, 20.0))
    monkeypatch.setattr(engineering, "OUTSIDE", (3.0, -10.0))
    z = np.sqrt(engineering._rate() * 1e6 / 0.4) * 0.1
    assert z * np.tan(z) == pytest.approx(3.0 * 0.1 / 0.4, rel=1e-10)


# exact solutions


@pytest.mark.parametrize("front", ["fisher", "phases", "burgers", "scherk"])
def test_fronts_solve_their_equations(front: str) -> None:
    """The strong form, differentiated by torch.func, leaves no source."""
    fisher, phases, burgers = FisherFront(), PhaseFront(), BurgersFront()
    way = torch.tensor(burgers.direction, dtype=torch.float64)
    left = {
        "fisher": source_of(fisher, lambda u, g: fisher.kappa * g, lambda u: fisher.rate * u * (1 - u)),
        "phases": source_of(phases, lambda u, g: phases.kappa * g, lambda u: phases.rate * (u - u**3)),
        "burgers": source_of(burgers, lambda u, g: burgers.nu * g - way * u**2 / 2),
        "scherk": source_of(Scherk(), lambda u, g: g / torch.sqrt(1 + g @ g)),
    }[front]
    x = torch.rand(50, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert float(left(x, 0.3).abs().max()) < 1e-12


def test_derived_sources_agree_with_those_by_hand() -> None:
    wave = PlaneWave(speed=3.0)
    x = torch.rand(50, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = source_of(wave, lambda u, g: wave.kappa * g)(x, 0.2)
    assert torch.allclose(found, wave.source(x, 0.2), atol=1e-13)


def test_the_spectrum_of_the_torus_has_converged() -> None:
    exact = spectra._of_torus()[:20]
    assert np.abs(spectra._of_torus(64)[:20] / exact - 1).max() < 1e-11
    assert exact[0] == pytest.approx(exact[1], rel=1e-12)  # pairs cos, sin round the axis
    thin = np.sort(spectra._of_torus())
    assert thin[0] < 1 / (spectra.MAJOR - spectra.MINOR) ** 2  # below that of the shortest circle round the axis


@pytest.mark.parametrize(
    "name", ["unit sphere, P1", "flat torus, P2 with periodic sides", "drum, P2 with curved sides"]
)
def test_eigenvalues_on_coarse_meshes(name: str) -> None:
    spectrum = spectra.SPECTRA[name]
    (_, coarse), (_, fine) = spectra.errors(replace(spectrum, levels=tuple(k - 1 for k in spectrum.levels[:2])))
    order = np.log2(np.linalg.norm(coarse) / np.linalg.norm(fine))
    assert order == pytest.approx(2 * spectrum.element.degree, abs=0.4)


# references


def test_quadratic_functions_are_sampled_exactly() -> None:
    def u(x: Tensor) -> Tensor:
        return 1 + x[:, 0] - 2 * x[:, 1] ** 2 + x[:, 0] * x[:, 1]

    x = torch.rand(40, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for element, exact in ((P1(), False), (P2(), True)):
        space = Space(random_square(4), element)
        assert space.pos is not None
        error = float((references.sampled(space, u(space.pos)[:, None], x) - u(x)).abs().max())
        assert (error < 1e-13) == exact


def test_the_l_shape(shared_data: Path) -> None:
    if not (shared_data / "pde" / "deepxde" / "Poisson_Lshape.npz").is_file():
        pytest.skip("the reference solution Poisson_Lshape.npz is absent")
    found = references.l_shaped(P1())
    assert isinstance(found, Found)
    assert found.value <= 0.005


# the document


def row(name: str, value: float = 1e-14, **more: object) -> Row:
    return Row("Some", name, "1e-12", at_most(1e-12), lambda: Found(value, f"{value:g}", "2 | 3 unknowns"), **more)  # type: ignore[arg-type]


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(record, "CACHE", tmp_path / "runs" / "verification.json")
    return tmp_path / "runs" / "verification.json"


def test_the_document_names_what_is_missed_and_why(kept: Path) -> None:
    rows = [row("good"), row("bad", 0.5, because="The rule is too weak."), row("not a number", float("nan"))]
    absent = Row("Some", "elsewhere", "1", at_most(1), lambda: Absent("its data is not here"))
    figure = Row("Some", "beside", NO_TARGET, lambda value: True, lambda: Found(3.0, "3", "here"))
    text = document([*rows, absent, figure], record.collect([*rows, absent, figure]))
    assert "| beside | none | 3 | figure |" in text
    assert "3 rows with a target, 1 met, 2 missed." in text
    assert "- **bad** (Some): 0.5, target 1e-12. The rule is too weak." in text
    assert "- **not a number**" in text
    assert "2 \\| 3 unknowns" in text
    assert text.endswith("## Not measured here\n\n- elsewhere\n")


def test_rows_measured_elsewhere_stay_in_the_document(kept: Path) -> None:
    rows = [row("good"), row("bad|er", 0.5, because="The rule is too weak.")]
    before = document(rows, record.collect(rows))
    assert document(rows, {}, before) == before
    kept.unlink()
    mended = [row("good"), row("bad|er")]
    text = document(mended, record.collect(mended[1:]), before)
    assert "2 rows with a target, 2 met, 0 missed." in text and "| good |" in text


def test_rows_are_measured_again_when_their_sources_change(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def measure() -> Found:
        calls.append(1)
        return Found(0.0, "0", "here")

    rows = [Row("Some", "counted", "0", at_most(0), measure)]
    record.collect(rows)
    record.collect(rows)
    assert len(calls) == 1
    monkeypatch.setattr(record, "fingerprint", lambda sources: "other sources")
    record.collect(rows, missing=True)
    assert len(calls) == 1
    record.collect(rows)
    assert len(calls) == 2
    record.collect(rows, fresh=True)
    assert len(calls) == 3
    assert json.loads(kept.read_text())["counted"]["sources"] == "other sources"


def test_a_row_that_fails_is_missed(kept: Path) -> None:
    def measure() -> Found:
        raise SolveError("no convergence")

    rows = [Row("Some", "broken", "1e-12", at_most(1e-12), measure), row("good")]
    text = document(rows, record.collect(rows))
    assert "2 rows with a target, 1 met, 1 missed." in text
    assert "- **broken** (Some): failed, target 1e-12. no convergence" in text


def test_a_source_that_is_not_there_is_refused() -> None:
    with pytest.raises(FileNotFoundError, match=r"depends on graphpde/no_such\.py"):
        record.fingerprint(("graphpde/no_such.py",))


def test_every_row_has_a_name_of_its_own_and_sources() -> None:
    rows = command.every_row()
    assert len({each.name for each in rows}) == len(rows) > 200
    for sources in {each.sources for each in rows}:
        assert len(record.fingerprint(sources)) == 16


def test_an_unknown_word_says_how_to_find_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["physics", "--only", "no such row"])
    assert command.main() == 2
    assert "no row holds 'no such row'; --list names them" in capsys.readouterr().err
