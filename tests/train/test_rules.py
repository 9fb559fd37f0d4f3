"""Update rules against those of torch and against their formulas."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from graphpde.errors import InputError, UnknownName
from graphpde.train import LBFGS, Adam, Adamax, Checkpointing, Cosine, Exponential, Linear, RmsProp, Sgd, Stepwise, fit
from graphpde.train.first_order import FirstOrder

F64 = torch.float64


class Net(nn.Module):
    """Two layers, a complex parameter, and one that takes part only in some steps."""

    def __init__(self) -> None:
        super().__init__()
        draw = torch.Generator().manual_seed(5)
        self.encoder = nn.Linear(3, 4, dtype=F64)
        self.decoder = nn.Linear(4, 1, dtype=F64)
        with torch.no_grad():
            for p in self.parameters():
                p.copy_(torch.randn(p.shape, dtype=F64, generator=draw))
        self.wave = nn.Parameter(torch.randn(3, dtype=torch.complex128, generator=draw))
        self.late = nn.Parameter(torch.randn(2, dtype=F64, generator=draw))


X = torch.randn(8, 3, dtype=F64, generator=torch.Generator().manual_seed(2))


def misfit(model: Any, batch: int, rng: Any) -> dict[str, Tensor]:
    out = model.decoder(torch.tanh(model.encoder(X))) - 3 * X[:, :1] + (model.wave * model.wave).real.sum() * 0.1
    terms = {"f": out.square().mean() + (model.wave - 1j).abs().square().sum()}
    return terms | ({"late": model.late.square().sum()} if batch >= 3 else {})


def by_torch(optimizer: type, model: nn.Module, steps: int, **options: Any) -> nn.Module:
    rule = optimizer(model.parameters(), **options)
    for k in range(steps):
        rule.zero_grad()
        torch.stack(list(misfit(model, k, None).values())).sum().backward()
        rule.step()
    return model


@pytest.mark.parametrize(
    ("own", "theirs", "options"),
    [
        (Adam(0.05, betas=(0.8, 0.99)), torch.optim.Adam, {"lr": 0.05, "betas": (0.8, 0.99)}),
        (Adam(0.05, decay=0.1), torch.optim.AdamW, {"lr": 0.05, "weight_decay": 0.1}),
        (Adam(0.05, penalty=0.1), torch.optim.Adam, {"lr": 0.05, "weight_decay": 0.1}),
        (Adamax(0.05, penalty=0.2), torch.optim.Adamax, {"lr": 0.05, "weight_decay": 0.2}),
        (RmsProp(0.01, penalty=0.1), torch.optim.RMSprop, {"lr": 0.01, "weight_decay": 0.1}),
        (RmsProp(0.01, 0.9, 0.5), torch.optim.RMSprop, {"lr": 0.01, "alpha": 0.9, "momentum": 0.5}),
        (Sgd(0.02, 0.8, penalty=0.1), torch.optim.SGD, {"lr": 0.02, "momentum": 0.8, "weight_decay": 0.1}),
        (Sgd(0.02), torch.optim.SGD, {"lr": 0.02}),
    ],
)
def test_the_rules_are_those_of_torch(own: FirstOrder, theirs: type, options: dict[str, Any]) -> None:
    """Ten steps in double precision, with a complex parameter and one whose gradient comes only from the fourth on."""
    model = Net()
    fit(model, misfit, list(range(10)), update=own, steps=10)
    expected = by_torch(theirs, Net(), 10, **options)
    for (name, p), q in zip(model.named_parameters(), expected.parameters()):
        torch.testing.assert_close(p, q, atol=1e-12, rtol=1e-10, msg=name)


def test_coupled_and_decoupled_decay_are_different_things() -> None:
    """A gradient far larger than the weight: L2 in Adam nearly vanishes behind it, decoupled decay does not."""
    push = lambda m, *_: {"f": 1e6 * m.x.sum()}  # noqa: E731

    class One(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.x = nn.Parameter(torch.tensor([2.0], dtype=F64))

    found = {}
    for name, rule in {"none": Adam(0.1), "l2": Adam(0.1, penalty=0.5), "decoupled": Adam(0.1, decay=0.5)}.items():
        model = One()
        fit(model, push, update=rule, steps=1)
        found[name] = float(model.x.detach())
    assert found["none"] == pytest.approx(1.9, abs=1e-9)
    assert found["l2"] == pytest.approx(1.9, abs=1e-6)
    assert found["decoupled"] == pytest.approx(2 * (1 - 0.1 * 0.5) - 0.1, abs=1e-9)


def test_groups_have_their_own_rates_and_the_longest_name_counts() -> None:
    model, before = Net(), Net()
    rule = Sgd(0.1, penalty=1.0, groups={"encoder": {"penalty": 0.0}, "encoder.bias": {"rate": 0.0}})
    fit(model, lambda m, *_: {"f": 0.0 * sum(p.abs().sum() for p in m.parameters())}, update=rule, steps=1)
    assert torch.equal(model.encoder.weight, before.encoder.weight)
    assert torch.equal(model.encoder.bias, before.encoder.bias)
    torch.testing.assert_close(model.decoder.weight, 0.9 * before.decoder.weight)
    rule = Sgd(0.1, penalty=1.0, groups={"encoder.bias": {"rate": 0.0}, "encoder": {"rate": 0.5}})
    model = Net()
    fit(model, lambda m, *_: {"f": 0.0 * sum(p.abs().sum() for p in m.parameters())}, update=rule, steps=1)
    torch.testing.assert_close(model.encoder.weight, 0.5 * before.encoder.weight)
    assert torch.equal(model.encoder.bias, before.encoder.bias)


def test_a_clipped_gradient_has_the_length_asked_for_and_the_history_shows_the_true_one() -> None:
    model, before = Net(), Net()
    history = fit(model, misfit, [0], update=Sgd(1.0, clip=0.01), steps=1)
    moved = math.sqrt(
        sum(float((p - q).detach().abs().square().sum()) for p, q in zip(model.parameters(), before.parameters()))
    )
    assert moved == pytest.approx(0.01, rel=1e-9) and history["gradient"][0] > 1
    model = Net()
    fit(model, misfit, [0], update=Sgd(1e-3, clip=1e9), steps=1)
    free = Net()
    fit(free, misfit, [0], update=Sgd(1e-3), steps=1)
    assert torch.equal(model.decoder.weight, free.decoder.weight)


@pytest.mark.parametrize(
    ("schedule", "values"),
    [
        (Cosine(10), {0: 1.0, 5: 0.5, 10: 0.0, 99: 0.0}),
        (Cosine(14, warmup=4, last=0.2), {0: 0.25, 3: 1.0, 4: 1.0, 9: 0.6, 14: 0.2}),
        (Linear(10, last=0.5), {0: 1.0, 5: 0.75, 10: 0.5, 11: 0.5}),
        (Linear(6, warmup=2), {0: 0.5, 1: 1.0, 2: 1.0, 4: 0.5, 6: 0.0}),
        (Exponential(0.5, every=2), {0: 1.0, 1: 0.5**0.5, 4: 0.25}),
        (Exponential(0.5, every=2, stairs=True), {0: 1.0, 1: 1.0, 2: 0.5, 5: 0.25}),
        (Stepwise((3, 5), 0.1), {2: 1.0, 3: 0.1, 4: 0.1, 5: 0.01}),
    ],
)
def test_schedules_have_the_values_that_their_formulas_say(schedule: Any, values: dict[int, float]) -> None:
    assert {k: schedule(k) for k in values} == pytest.approx(values, abs=1e-15)


def test_a_schedule_scales_every_step() -> None:
    """With a gradient of one and no momentum the way is the sum of the rates."""

    class One(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.x = nn.Parameter(torch.zeros(1, dtype=F64))

    model = One()
    fit(model, lambda m, *_: {"f": -m.x.sum()}, update=Sgd(2.0, schedule=Linear(4)), steps=6)
    assert float(model.x.detach()) == pytest.approx(2.0 * (1 + 0.75 + 0.5 + 0.25))


def test_what_a_rule_cannot_be_given() -> None:
    with pytest.raises(InputError, match="the rate is -1.0, expected a finite number >= 0"):
        Adam(-1.0)
    with pytest.raises(InputError, match="the penalty of the group 'encoder' is nan"):
        Adam(groups={"encoder": {"penalty": float("nan")}})
    with pytest.raises(UnknownName, match="unknown option of the group 'encoder' 'rates'.*did you mean 'rate'"):
        Sgd(0.1, groups={"encoder": {"rates": 1.0}})
    with pytest.raises(UnknownName, match="unknown beginning of a parameter name 'enc'.*encoder.weight"):
        fit(Net(), misfit, [0], update=Adam(groups={"enc": {"rate": 1.0}}), steps=1)
    with pytest.raises(InputError, match="clip is 0.0, expected a number > 0"):
        Adam(clip=0.0)
    with pytest.raises(InputError, match="rises for 5 of 5 steps, expected fewer"):
        Cosine(5, warmup=5)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Adam("a"), "the rate is 'a', expected a finite number >= 0"),
        (lambda: Adam(betas=(1.0, 0.9)), r"betas\[0\] is 1.0, expected a finite number >= 0 and < 1"),
        (lambda: Adamax(betas=(0.9, -3)), r"betas\[1\] is -3, expected"),
        (lambda: Adam(betas=(0.9,)), r"betas is \(0.9,\), expected two numbers"),
        (lambda: Adam(groups={"encoder": 1.0}), "the group 'encoder' is 1.0, expected its options, such as {'rate'"),
        (lambda: RmsProp(smoothing=2.0), "smoothing is 2.0, expected"),
        (lambda: RmsProp(momentum=1.0), "momentum is 1.0, expected"),
        (lambda: Sgd(0.1, momentum=math.nan), "momentum is nan, expected"),
        (lambda: LBFGS(trials=0), "trials is 0, expected a whole number >= 1"),
        (lambda: LBFGS(memory=0), "memory is 0, expected a whole number >= 1"),
        (lambda: LBFGS(first=-1.0), "first is -1.0, expected a number > 0"),
        (lambda: LBFGS(change=-1.0), "change is -1.0, expected a finite number >= 0"),
        (lambda: Cosine(10, last=-5.0), "last is -5.0, expected a finite number >= 0"),
        (lambda: Linear(10.5), "steps is 10.5, expected a whole number >= 1"),
        (lambda: Exponential(0.0), "factor is 0.0, expected a number > 0"),
        (lambda: Exponential(0.5, every=0), "every is 0, expected a whole number >= 1"),
        (lambda: Stepwise(5), r"at is 5, expected steps, such as \(100, 150\)"),
    ],
)
def test_numbers_that_make_no_rule_and_no_schedule(make: Callable[[], Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        make()


@pytest.mark.parametrize("factor", [math.nan, math.inf, -1.0])
def test_a_schedule_without_a_number_is_named_before_anything_moves(factor: float) -> None:
    model, before = Net(), Net()
    with pytest.raises(InputError, match=f"the factor that the schedule gives at step 0 is {factor}, expected"):
        fit(model, misfit, [0], update=Adam(schedule=lambda k: factor), steps=2)
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), before.parameters()))


class Strided(nn.Module):
    """Parameters that are every other column, a transpose, and an inner part of larger tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.whole = [torch.arange(12.0).reshape(3, 4) for _ in range(3)]
        parts = self.whole[0][:, ::2], self.whole[1].T, self.whole[2][1:, 1:3]
        self.parts = nn.ParameterList([nn.Parameter(part) for part in parts])


def of_strided(model: Any, *_: Any) -> dict[str, Tensor]:
    return {"f": sum((p.square() * torch.arange(p.numel()).view(p.shape)).sum() for p in model.parts)}


@pytest.mark.parametrize(
    ("own", "theirs"),
    [
        (Adam(0.1), lambda p: torch.optim.Adam(p, 0.1)),
        (Adamax(0.1), lambda p: torch.optim.Adamax(p, 0.1)),
        (RmsProp(0.1, momentum=0.5), lambda p: torch.optim.RMSprop(p, 0.1, momentum=0.5)),
        (Sgd(0.01, 0.5), lambda p: torch.optim.SGD(p, 0.01, 0.5)),
    ],
)
def test_parameters_with_gaps_move_alone(own: FirstOrder, theirs: Any, tmp_path: Path) -> None:
    """Nothing between them is touched, and a resumed fit does the same."""
    model, expected = Strided(), Strided()
    fit(model, of_strided, update=own, steps=5)
    rule = theirs(expected.parameters())
    for _ in range(5):
        rule.zero_grad()
        of_strided(expected)["f"].backward()
        rule.step()
    for a, b in zip(model.whole, expected.whole):
        torch.testing.assert_close(a, b)
    keep, again = Checkpointing(tmp_path, 3), Strided()
    fit(again, of_strided, update=own, steps=3, hooks=[keep])
    again = Strided()
    fit(again, of_strided, update=own, steps=5, hooks=[keep], resume=keep.newest())
    assert all(torch.equal(a, b) for a, b in zip(model.whole, again.whole))


def test_quasi_newton_steps_move_complex_numbers() -> None:
    model = nn.ParameterDict({"z": torch.zeros(2, dtype=torch.complex128), "x": torch.ones(1, dtype=F64)})
    goal = torch.tensor([1 + 2j, -3j])
    fit(
        model,
        lambda m, *_: {"f": (m["z"] - goal).abs().square().sum() + m["x"].square().sum()},
        update=LBFGS(),
        steps=9,
    )
    torch.testing.assert_close(model["z"].detach(), goal.to(torch.complex128), atol=1e-6, rtol=0)


def test_sparse_gradients_are_those_of_dense_ones() -> None:
    weights = []
    for sparse in (True, False):
        torch.manual_seed(0)
        table = nn.Embedding(5, 2, sparse=sparse)
        fit(table, lambda m, *_: {"f": m(torch.tensor([1, 2, 1])).square().sum()}, update=Adam(0.1), steps=3)
        weights.append(table.weight.detach())
    assert torch.equal(*weights)
