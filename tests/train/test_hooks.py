"""Hooks: measuring, the best step, early stopping, averages, reports and logs."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from graphpde.errors import InputError, UnknownName
from graphpde.train import (
    LBFGS,
    Best,
    Checkpointing,
    EarlyStopping,
    Ema,
    Epochs,
    Interrupt,
    Log,
    Measure,
    Progress,
    Report,
    Sgd,
    evaluating,
    fit,
)

F64 = torch.float64


class Walk(nn.Module):
    """A number that goes down by one a step, and a buffer that counts."""

    def __init__(self, start: float = 0.0) -> None:
        super().__init__()
        self.x = nn.Parameter(torch.tensor([start], dtype=F64))
        self.drop = nn.Dropout(0.5)
        self.register_buffer("seen", torch.zeros(1))


def down(model: Any, batch: Any, rng: Any) -> dict[str, Tensor]:
    model.seen += 1
    return {"f": model.x.sum()}


def values(*given: float) -> Measure:
    """Measures these, one after the other."""
    rest = iter(given)
    return Measure(lambda model: {"score": next(rest)})


def test_early_stopping_waits_as_long_as_it_was_told() -> None:
    """0.5, then 0.7 is the best; three values later without more it ends, at step 5."""
    hooks = [values(0.5, 0.7, 0.6, 0.7, 0.2, 0.9), EarlyStopping("score", 3)]
    history = fit(Walk(), down, update=Sgd(1.0), steps=6, hooks=hooks)
    assert len(history) == 5 and history.reason == "'score' has not improved on 0.7 for 3 values"
    assert history["score"] == [0.5, 0.7, 0.6, 0.7, 0.2]
    hooks = [values(5, 4, 4.5, 3.95, 3.9, 3), EarlyStopping("score", 3, "min", least=0.2)]
    assert len(fit(Walk(), down, update=Sgd(1.0), steps=6, hooks=hooks)) == 5
    assert len(fit(Walk(), down, update=Sgd(1.0), steps=9, hooks=[EarlyStopping("loss", 3, "min")])) == 9


def test_the_best_step_comes_back_with_its_buffers() -> None:
    model, best = Walk(), Best("score")
    fit(model, down, update=Sgd(1.0), steps=5, hooks=[values(0.1, 0.8, 0.8, 0.3, math.nan), best])
    assert (best.step, best.value) == (2, 0.8) and float(model.x.detach()) == -5
    best.restore(model)
    assert float(model.x.detach()) == -2 and float(model.seen) == 2
    low = Best("loss", "min")
    fit(model, down, update=Sgd(-0.0 + 1.0), steps=3, hooks=[low])
    assert low.step == 3


@pytest.mark.parametrize("column", ["loss", "f", "gradient", "after"])
@pytest.mark.parametrize("update", [Sgd(0.9), LBFGS(first=3.0)])
def test_the_best_parameters_are_those_that_had_the_value(update: Any, column: str) -> None:
    """Steps across a minimum at different slopes; a second name for the parameter goes along."""
    model = Walk(3.0)
    model.again = model.x
    f = lambda m, *_: {"f": (m.x - 1).abs().pow(1.5).sum()}  # noqa: E731
    best = Best(column, "min")
    fit(model, f, update=update, steps=6, hooks=[Measure(lambda m: {"after": float(f(m)["f"])}), best])
    best.restore(model)
    model.zero_grad()
    loss = f(model)["f"]
    loss.backward()
    found = float(model.x.grad.detach()) if column == "gradient" else float(loss.detach())
    assert abs(found) == pytest.approx(best.value, rel=1e-12)


def test_a_hook_forgets_the_fit_before(tmp_path: Path) -> None:
    log, ema, best, stop = Log(tmp_path / "a.csv"), Ema(0.5), Best("f"), EarlyStopping("f", 3)
    for _ in range(2):  # from 0 downwards: the first value is the best
        model = Walk()
        history = fit(model, down, update=Sgd(1.0), steps=9, hooks=[log, ema, best, stop])
        assert len(history) == 4 and ema.steps == 4 and (best.step, best.value) == (1, 0)
        assert len((tmp_path / "a.csv").read_text().splitlines()) == 5


def test_the_average_is_of_the_parameters_that_learn() -> None:
    """One that is set free in the middle does not learn in this fit."""
    model, ema = nn.ParameterDict({"x": torch.ones(1), "y": torch.ones(1)}), Ema(0.5)
    model["y"].requires_grad_(False)
    square = lambda m, *_: {"f": m["x"].square().sum() + m["y"].sum()}  # noqa: E731
    free = lambda p: p.model.requires_grad_() and None  # noqa: E731
    fit(model, square, update=Sgd(0.1), steps=4, hooks=[ema, free])
    assert list(ema.averages()) == ["x"] and float(model["y"].detach()) == 1


def test_measuring_is_in_evaluation_mode_and_leaves_the_modes_alone() -> None:
    model = Walk()
    model.drop.eval()
    inner: list[Any] = []
    measure = Measure(lambda m: inner.append((m.training, torch.is_grad_enabled())) or {"v": 1.0}, every=2)
    history = fit(model, down, update=Sgd(1.0), steps=5, hooks=[measure])
    assert inner == [(False, False)] * 3 and model.training and not model.drop.training
    assert [math.isnan(v) for v in history["v"]] == [True, False, True, False, False]  # every other one, and the last
    with pytest.raises(ZeroDivisionError), evaluating(model):
        _ = 1 / 0
    assert model.training


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.9])
def test_the_average_has_its_closed_form(decay: float) -> None:
    """p_k = -k, so the sum over j of decay^(k - j) (-j) over that of decay^(k - j)."""
    model, ema = Walk(), Ema(decay)
    fit(model, down, update=Sgd(1.0), steps=12, hooks=[ema])
    shares = [decay ** (12 - j) for j in range(1, 13)]
    expected = -sum(w * j for j, w in enumerate(shares, 1)) / sum(shares)
    assert float(ema.averages()["x"]) == pytest.approx(expected, rel=1e-12)
    with ema.swapped(model) as averaged:
        assert averaged is model and float(model.x.detach()) == pytest.approx(expected, rel=1e-12)
    assert float(model.x.detach()) == -12
    with pytest.raises(ZeroDivisionError), ema.swapped(model):
        _ = 1 / 0
    assert float(model.x.detach()) == -12 and model.x.requires_grad


def test_a_report_says_how_far_and_how_long() -> None:
    lines: list[str] = []
    fit(Walk(), down, update=Sgd(1.0), steps=4, hooks=[values(1, 2, 3, 4), Report(lines.append, 0.0, ("score",))])
    assert len(lines) == 4 and lines[0] == "step 1 of 4, loss 0, score 1"
    assert lines[1].startswith("step 2 of 4, loss -1, score 2, ") and lines[1].endswith(" s to go")
    assert lines[-1].endswith(" s in all")
    lines.clear()
    fit(Walk(), down, update=Sgd(1.0), steps=50, hooks=[Report(lines.append, every=3600.0)])
    assert len(lines) == 2  # the first and the last


def test_the_default_report_goes_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    fit(Walk(), down, update=Sgd(1.0), steps=1, hooks=[Report()])
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith("step 1 of 1, loss 0, ")


def test_who_is_asked_to_stop_stops() -> None:
    told: list[Progress] = []
    history = fit(Walk(), down, update=Sgd(1.0), steps=50, hooks=[told.append, Interrupt(lambda: len(told) == 3)])
    assert len(history) == 3 and history.reason == "interrupted"


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_a_log_is_written_step_by_step_and_cut_where_a_fit_goes_on(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / "deep" / f"log{suffix}"

    def rows() -> list[dict[str, Any]]:
        with path.open() as file:
            return list(csv.DictReader(file)) if suffix == ".csv" else [json.loads(line) for line in file]

    lengths: list[int] = []
    keep = Checkpointing(tmp_path / "kept", every=4)

    def hooks() -> list[Any]:
        score = Measure(lambda m: {"score": float(m.x)})
        return [score, Log(path), lambda p: lengths.append(len(rows())), keep]

    fit(Walk(), down, update=Sgd(1.0), steps=6, hooks=[*hooks()[:3], Checkpointing(tmp_path / "kept", every=4)])
    assert lengths == [1, 2, 3, 4, 5, 6] and [float(r["score"]) for r in rows()] == [-1, -2, -3, -4, -5, -6]
    (tmp_path / "kept" / "checkpoint-00000006.safetensors").unlink()
    lengths.clear()
    fit(Walk(), down, update=Sgd(1.0), steps=8, hooks=hooks(), resume=keep.newest())
    assert lengths == [5, 6, 7, 8] and [int(r["step"]) for r in rows()] == list(range(1, 9))
    fit(Walk(), down, update=Sgd(1.0), steps=2, hooks=[Log(path)])
    assert len(rows()) == 2 and "score" not in rows()[0]


def test_a_log_that_was_cut_elsewhere_is_refused(tmp_path: Path) -> None:
    keep = Checkpointing(tmp_path / "kept", every=4)
    fit(Walk(), down, update=Sgd(1.0), steps=4, hooks=[Log(tmp_path / "a.csv"), keep])
    lines = (tmp_path / "a.csv").read_text().splitlines(keepends=True)
    (tmp_path / "a.csv").write_text("".join(lines[:3]))
    with pytest.raises(InputError, match=r"a.csv' holds 2 rows and the checkpoint was written after 4"):
        fit(Walk(), down, update=Sgd(1.0), steps=8, hooks=[Log(tmp_path / "a.csv"), keep], resume=keep.newest())


def test_not_a_number_is_null_in_json(tmp_path: Path) -> None:
    fit(Walk(), down, update=Sgd(1.0), steps=2, hooks=[values(math.nan, math.inf), Log(tmp_path / "a.jsonl")])
    read = [json.loads(line, parse_constant=pytest.fail) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert [row["score"] for row in read] == [None, None]


def test_what_hooks_cannot_be_given() -> None:
    with pytest.raises(InputError, match="ends in '.txt', expected .csv or .jsonl"):
        Log("a.txt")
    with pytest.raises(InputError, match="mode is 'highest', expected 'min' or 'max'"):
        Best("score", "highest")
    with pytest.raises(InputError, match="patience is 0, expected a whole number >= 1"):
        EarlyStopping("score", 0)
    with pytest.raises(InputError, match="every is 0"):
        Measure(lambda m: {}, every=0)
    with pytest.raises(InputError, match="decay is 1.0, expected a finite number >= 0 and < 1"):
        Ema(1.0)
    with pytest.raises(InputError, match="no average before the first step"):
        Ema().averages()
    with pytest.raises(InputError, match="no step of the fit had a value of 'score'"):
        Best("score").restore(Walk())
    with pytest.raises(UnknownName, match="the history has no column 'scor'; did you mean 'score'"):
        fit(Walk(), down, update=Sgd(1.0), steps=2, hooks=[values(1, 2), Best("scor")])
    with pytest.raises(InputError, match="'score' is measured after what watches it"):
        fit(Walk(), down, update=Sgd(1.0), steps=2, hooks=[EarlyStopping("score", 9), values(1, 2)])
    with pytest.raises(InputError, match="the history has a column 'loss' already"):
        fit(Walk(), down, update=Sgd(1.0), steps=2, hooks=[Measure(lambda m: {"loss": 1.0})])
    with pytest.raises(InputError, match="the history has a column 'f' already; give the measured value another name"):
        fit(Walk(), down, update=Sgd(1.0), steps=2, hooks=[Measure(lambda m: {"f": -7.0})])
    with pytest.raises(InputError, match="the history has a column 'score' already"):
        fit(Walk(), down, update=Sgd(1.0), steps=2, hooks=[values(1, 2), values(3, 4)])
    with pytest.raises(InputError, match="what Measure calls returned a float, expected values by name"):
        fit(Walk(), down, update=Sgd(1.0), steps=2, hooks=[Measure(lambda m: 3.0)])  # type: ignore[arg-type,return-value]
    with pytest.raises(InputError, match="the value measured as 'score' is 'high', expected a number"):
        fit(Walk(), down, update=Sgd(1.0), steps=2, hooks=[Measure(lambda m: {"score": "high"})])  # type: ignore[dict-item]


def test_hooks_are_told_of_the_end_even_after_an_error() -> None:
    class Ends:
        ended = 0

        def __call__(self, progress: Progress) -> None:
            if progress.step == 2:
                raise RuntimeError("enough")

        def end(self) -> None:
            self.ended += 1

    hook = Ends()
    with pytest.raises(RuntimeError, match="enough"):
        fit(Walk(), down, update=Sgd(1.0), steps=Epochs(5), hooks=[hook])
    assert hook.ended == 1
