"""Update rules against those of torch and against their formulas."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from graphpde.errors import InputError, UnknownName
from graphpde.train import Adam, Adamax, Cosine, Exponential, Linear, RmsProp, Sgd, Stepwise, fit
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
    with pytest.raises(InputError, match="the rate is -1, expected a finite number >= 0"):
        Adam(-1.0)
    with pytest.raises(InputError, match="the penalty of the group 'encoder' is nan"):
        Adam(groups={"encoder": {"penalty": float("nan")}})
    with pytest.raises(UnknownName, match="unknown option of the group 'encoder' 'rates'.*did you mean 'rate'"):
        Sgd(0.1, groups={"encoder": {"rates": 1.0}})
    with pytest.raises(UnknownName, match="unknown beginning of a parameter name 'enc'.*encoder.weight"):
        fit(Net(), misfit, [0], update=Adam(groups={"enc": {"rate": 1.0}}), steps=1)
    with pytest.raises(InputError, match="clip is 0, expected a number > 0"):
        Adam(clip=0.0)
    with pytest.raises(InputError, match="rises for 5 of 5 steps, expected fewer"):
        Cosine(5, warmup=5)
    with pytest.raises(InputError, match="expected both > 0"):
        Exponential(0.0)
