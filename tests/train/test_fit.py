"""The training loop on functions whose minimum is known."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from graphpde.errors import InputError, ShapeError, SolveError, UnknownName
from graphpde.train import LBFGS, Adam, Ema, Evaluation, History, Progress, Sgd, fit
from graphpde.train.lbfgs import Lbfgs, Point, WolfeSearch
from graphpde.train.update import Update

F64 = torch.float64


class Place(nn.Module):
    """A point of the plane or of more."""

    def __init__(self, *start: float):
        super().__init__()
        self.x = nn.Parameter(torch.tensor(start, dtype=F64))

    def forward(self) -> Tensor:
        return self.x


def rosenbrock(model: nn.Module, batch: Any, rng: Any) -> dict[str, Tensor]:
    x, y = model()
    return {"valley": 100 * (y - x * x) ** 2, "along": (1 - x) ** 2}


def test_lbfgs_finds_the_end_of_the_valley() -> None:
    """The classical start (-1.2, 1); a good line search takes some forty evaluations."""
    model = Place(-1.2, 1.0)
    history = fit(model, rosenbrock, update=LBFGS(), steps=100)
    torch.testing.assert_close(model.x.detach(), torch.ones(2, dtype=F64), atol=1e-6, rtol=0)
    assert history.converged and len(history) < 50 and history["evaluations"][-1] < 80
    assert history["loss"] == sorted(history["loss"], reverse=True)
    assert history["loss"][-1] == pytest.approx(history["valley"][-1] + history["along"][-1])


@pytest.mark.parametrize(("update", "steps"), [(Adam(0.1, betas=(0.9, 0.99)), 500), (Sgd(2e-3, momentum=0.9), 1000)])
def test_first_order_rules_get_there_as_well(update: Update, steps: int) -> None:
    model = Place(-1.2, 1.0)
    history = fit(model, rosenbrock, update=update, steps=steps)
    torch.testing.assert_close(model.x.detach(), torch.ones(2, dtype=F64), atol=2e-2, rtol=0)
    assert len(history) == steps and "all" in history.reason and not history.converged


def test_one_step_of_gradient_descent_is_what_it_says() -> None:
    model = Place(3.0, -1.0)
    weights = {"a": 2.0, "b": 0.5}
    history = fit(model, lambda m, *_: {"a": m()[0] ** 2, "b": m()[1] ** 2}, update=Sgd(0.1), steps=1, weights=weights)
    torch.testing.assert_close(model.x.detach(), torch.tensor([3 - 0.1 * 12, -1 + 0.1 * 1], dtype=F64))
    assert history["loss"] == [18.5] and history["a"] == [9.0] and history["gradient"] == [pytest.approx(145**0.5)]


def test_quasi_newton_steps_minimise_a_quadratic_function_in_few_steps() -> None:
    scale = torch.logspace(0, 4, 12, dtype=F64)
    model = Place(*[1.0] * 12)
    history = fit(
        model, lambda m, *_: {"f": (scale * (m() - 2) ** 2).sum()}, update=LBFGS(memory=60), steps=80, tolerance=1e-9
    )
    torch.testing.assert_close(model.x.detach(), torch.full((12,), 2.0, dtype=F64), atol=1e-6, rtol=0)
    assert history.converged


def test_the_direction_is_that_of_bfgs() -> None:
    """The two-loop recursion against the dense update of Nocedal and Wright 2006, eq. (6.17)."""
    draw = torch.Generator().manual_seed(1)
    rule = Lbfgs(5, 0.1, 20)
    pairs = []
    for _ in range(3):
        s = torch.randn(4, dtype=F64, generator=draw)
        pairs.append((s, s * torch.tensor([1.0, 2, 3, 4]) + 0.1 * s.flip(0)))
    rule.pairs = [(s, y, 1 / float(s @ y)) for s, y in pairs]
    s, y = pairs[-1]
    h = torch.eye(4, dtype=F64) * (s @ y) / (y @ y)
    for s, y in pairs:
        rho, one = 1 / (s @ y), torch.eye(4, dtype=F64)
        h = (one - rho * torch.outer(s, y)) @ h @ (one - rho * torch.outer(y, s)) + rho * torch.outer(s, s)
    g = torch.randn(4, dtype=F64, generator=draw)
    torch.testing.assert_close(rule.inverse_hessian(g), h @ g)


@pytest.mark.parametrize("length", [1e-3, 0.3, 50.0])
def test_the_line_search_ends_where_both_conditions_hold(length: float) -> None:
    def at(x: Tensor) -> Point:
        x = x.detach().requires_grad_()
        f = (x - 2).pow(4).sum() + (x - 2).square().sum()
        return Point(x.detach(), float(f.detach()), torch.autograd.grad(f, x)[0])

    start = at(torch.zeros(1, dtype=F64))
    found = WolfeSearch(at, start, -start.gradient, 30).run(length)
    slope = float(start.gradient @ -start.gradient)
    assert found is not None
    taken = float((found.x / -start.gradient)[0])
    assert found.loss <= start.loss + 1e-4 * taken * slope
    assert abs(float(found.gradient @ -start.gradient)) <= 0.9 * abs(slope)


def test_steps_into_what_is_not_defined_are_shortened() -> None:
    """-ln(x) + x has its minimum at 1 and no value below 0; the first step goes there."""
    model = Place(5.0)
    history = fit(model, lambda m, *_: {"f": (m() - m().log()).sum()}, update=LBFGS(first=100.0), steps=50)
    assert float(model.x.detach()) == pytest.approx(1, abs=1e-5) and history.converged

    def refused(m: nn.Module, *_: Any) -> dict[str, Tensor]:
        if float(m().detach()) < 0.5:
            raise SolveError("no solution below a half")
        return {"f": m().square().sum()}

    model = Place(5.0)
    history = fit(model, refused, update=LBFGS(first=100.0), steps=50)
    assert 0.5 <= float(model.x.detach()) < 0.5001 and math.isfinite(history["loss"][-1])


@pytest.mark.parametrize("update", [Adam(0.5), Sgd(0.5), LBFGS()])
def test_a_fit_that_meets_no_number_says_so_and_keeps_what_it_had(update: Update) -> None:
    calls = []

    def breaks(m: nn.Module, *_: Any) -> dict[str, Tensor]:
        calls.append(m().detach().clone())
        return {"f": (m() ** 4).sum() * (float("nan") if len(calls) > 3 else 1.0)}

    model = Place(3.0, 1.0)
    history = fit(model, breaks, update=update, steps=30)
    assert "not finite" in history.reason and not history.converged
    assert any(torch.equal(model.x.detach(), x) for x in calls[:3])
    if not isinstance(update, LBFGS):
        assert torch.equal(model.x.detach(), calls[2]) and not torch.equal(calls[2], calls[3])
        assert "the parameters are those of the step before" in history.reason
    bad = Place(3.0)
    history = fit(bad, lambda m, *_: {"f": m().sum() * float("inf")}, update=update, steps=3)
    assert "not finite" in history.reason and float(bad.x.detach()) == 3.0 and len(history) == 1


@pytest.mark.parametrize("update", [Adam(0.5), Sgd(0.05, momentum=0.9)])
def test_a_solver_that_fails_leaves_the_last_good_place_and_a_row_without_terms(update: Update) -> None:
    calls = []

    def refuses(m: nn.Module, *_: Any) -> dict[str, Tensor]:
        calls.append(m().detach().clone())
        if len(calls) == 4:
            raise SolveError("no solution from here on")
        return {"f": m().square().sum(), "g": m().sum()}

    model = Place(3.0, 1.0)
    history = fit(model, refuses, update=update, steps=30)
    assert "no solution from here on" in history.reason and len(history) == 4
    assert torch.equal(model.x.detach(), calls[2]) and not torch.equal(calls[2], calls[3])
    for name, there in (("f", calls[2].square().sum()), ("g", calls[2].sum())):
        column = history[name]
        assert column[2] == pytest.approx(float(there)) and math.isnan(column[3]) and len(column) == 4
    assert history["loss"][3] == math.inf and set(history.rows[3]) == set(history.columns)
    with pytest.raises(UnknownName, match="the history has no column 'h'"):
        history["h"]


def test_a_term_that_comes_later_was_nan_before() -> None:
    terms = lambda m, batch, _: {name: m().square().sum() for name in batch}  # noqa: E731
    history = fit(Place(1.0), terms, [("a",), ("a", "b")], update=Sgd(0.1), steps=2)
    assert math.isnan(history["b"][0]) and history["b"][1] == history["a"][1] and "b" in history.columns


def test_the_same_seed_gives_the_same_fit_and_line_searches_see_one_function() -> None:
    def noisy(m: nn.Module, batch: Any, rng: torch.Generator) -> dict[str, Tensor]:
        x = torch.randn(64, 2, dtype=F64, generator=rng)
        return {"f": (m() - 1 - 0.1 * x).square().mean()}

    found = []
    for seed in (4, 4, 5):
        model = Place(0.0, 0.0)
        fit(model, noisy, update=Adam(0.1), steps=40, rng=torch.Generator().manual_seed(seed))
        found.append(model.x.detach().clone())
    assert torch.equal(found[0], found[1]) and not torch.equal(found[0], found[2])
    model = Place(0.0, 0.0)
    history = fit(model, noisy, update=LBFGS(first=0.5), steps=9, rng=torch.Generator().manual_seed(4))
    assert float((model.x.detach() - 1).abs().max()) < 0.1 and history["evaluations"][-1] <= 30


def test_batches_take_turns_and_hooks_stop() -> None:
    seen: list[Any] = []

    def remember(m: nn.Module, batch: Any, rng: Any) -> dict[str, Tensor]:
        seen.append(batch)
        return {"f": (m() - batch).square().sum()}

    told: list[Progress] = []

    def hook(p: Progress) -> str | None:
        told.append(p)
        return "five are enough" if p.step == 5 else None

    history = fit(Place(0.0), remember, [1.0, 2.0], update=Sgd(0.1), steps=50, hooks=[hook])
    assert seen == [1.0, 2.0, 1.0, 2.0, 1.0]
    assert history.reason == "five are enough" and len(history) == 5 and told[-1].history is history
    assert isinstance(told[0].at, Evaluation)
    seen.clear()
    fit(Place(0.0), remember, [1.0, 2.0], update=LBFGS(), steps=2)
    assert {1.0, 2.0} == set(seen)  # another batch is another function: nothing of the last one is used


def test_what_a_later_batch_makes_impossible_is_told_as_a_mistake() -> None:
    """Of the same batch it is a place where the objective is not defined, and the fit ends at the one before."""

    def bad(m: nn.Module, batch: int, rng: Any) -> dict[str, Tensor]:
        if batch == 1 or float(m().detach()) < 0.5:
            raise ShapeError(f"batch {batch} has 3 rows, expected 4")
        return {"f": m().square().sum()}

    for update in (Sgd(0.1), LBFGS()):
        with pytest.raises(ShapeError, match="batch 1 has 3 rows, expected 4"):
            fit(Place(3.0), bad, [0, 1], update=update, steps=5)
    history = fit(Place(3.0), bad, [0], update=Sgd(0.1), steps=50)
    assert "batch 0 has 3 rows" in history.reason and len(history) < 50


def test_a_scalar_alone_is_the_loss() -> None:
    model = Place(3.0)
    history = fit(model, lambda m, *_: m().square().sum(), update=Sgd(0.1), steps=1, weights={"loss": 0.5})
    assert history["loss"] == [4.5] and float(model.x.detach()) == pytest.approx(3 - 0.1 * 3)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (lambda x: None, "the objective returned a NoneType, expected a scalar tensor, or such tensors by name"),
        (lambda x: {}, "the objective returned no terms"),
        (lambda x: {"a": x.sum(), "b": 1.0}, "the term 'b' of the objective is a float, expected a tensor"),
        (lambda x: x.sum() * 1j, "the term 'loss' of the objective is complex, expected a real number"),
        (lambda x: {"step": x.sum()}, "the history has its own column 'step'; give the term of the objective another"),
    ],
)
def test_objectives_that_give_no_terms(given: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        fit(Place(1.0), lambda m, *_: given(m()), update=Adam(), steps=2)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"update": Adam}, r"update is the class Adam, expected a rule of graphpde.train such as Adam\(1e-3\)"),
        ({"update": torch.optim.Adam(Place(1.0).parameters())}, "update is a torch.optim.adam.Adam, expected a rule"),
        ({"resume": "folder"}, r"resume is a str, expected a checkpoint; give load_checkpoint\(folder\)"),
        ({"hooks": Ema()}, "hooks is a graphpde.train.ema.Ema, expected a list of hooks"),
        ({"tolerance": -1.0}, "tolerance is -1.0, expected a finite number >= 0"),
        ({"weights": {"f": "2"}}, "the weight of 'f' is '2', expected a finite number"),
    ],
)
def test_arguments_that_are_something_else(more: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        fit(Place(1.0), lambda m, *_: {"f": m().square().sum()}, **{"update": Adam(), "steps": 2, **more})


def test_what_cannot_be_fitted_is_refused() -> None:
    quiet = Place(1.0)
    quiet.x.requires_grad_(False)
    square = lambda m, *_: {"f": m().square().sum()}  # noqa: E731
    with pytest.raises(InputError, match="no parameters that require gradients"):
        fit(quiet, square, update=Adam(), steps=3)
    with pytest.raises(InputError, match="0 batches"):
        fit(Place(1.0), square, [], update=Adam(), steps=3)
    with pytest.raises(InputError, match="weights name g, the terms of the objective are: f"):
        fit(Place(1.0), square, update=Adam(), steps=3, weights={"g": 1.0})
    with pytest.raises(InputError, match=r"has shape \[2\], expected a scalar"):
        fit(Place(1.0, 2.0), lambda m, *_: {"f": m()}, update=Adam(), steps=3)
    with pytest.raises(InputError, match="does not depend on the parameters"):
        fit(Place(1.0), lambda m, *_: {"f": torch.ones(())}, update=Adam(), steps=3)


def test_a_history_is_followed_by_that_of_another_rule() -> None:
    """Steps, evaluations and seconds go on; a column that only one of them has is nan in the other."""
    first, later = History(reason="enough"), History(reason="flat", converged=True)
    for k in (1, 2):
        first.add(k, Evaluation(2.0 - k, {"a": 1.0}, 1.0), 3 * k, 0.5 * k)
    for k in (1, 2, 3):
        later.add(k, Evaluation(-float(k), {"b": 2.0}, 1.0), 2 * k, 0.25 * k)
    both = first.followed_by(later)
    assert both["step"] == [1, 2, 3, 4, 5]
    assert both["evaluations"] == [3, 6, 8, 10, 12]
    assert both["seconds"] == [0.5, 1.0, 1.25, 1.5, 1.75]
    assert both["loss"] == [1.0, 0.0, -1.0, -2.0, -3.0]
    assert [math.isnan(v) for v in both["a"]] == [False, False, True, True, True]
    assert [math.isnan(v) for v in both["b"]] == [True, True, False, False, False]
    assert (both.reason, both.converged) == ("flat", True)
    assert first["step"] == [1, 2]
