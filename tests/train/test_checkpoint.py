"""Checkpoints: going on with the same bits, whatever the fit is made of and whenever it was killed."""

from __future__ import annotations

import json
import math
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from graphpde.errors import CheckpointError, InputError, OutputError, UnknownName
from graphpde.train import (
    LBFGS,
    Adam,
    Adamax,
    Best,
    Checkpointing,
    Cosine,
    EarlyStopping,
    Ema,
    History,
    Interrupt,
    Measure,
    Minibatches,
    Numerics,
    RmsProp,
    Sgd,
    Shuffled,
    checkpoints,
    fit,
    load_checkpoint,
    load_model,
    save_checkpoint,
    save_model,
)

ROOT = Path(__file__).resolve().parents[2]
X = torch.randn(40, 3, generator=torch.Generator().manual_seed(1))
Y = (X[:, :1] * X[:, 1:2]).sin()


class Net(nn.Module):
    """Dropout, normalisation with buffers, and a parameter that takes no part in the objective."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Dropout(0.2), nn.Linear(8, 1))
        self.idle = nn.Parameter(torch.ones(2))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


def objective(model: nn.Module, batch: Any, rng: torch.Generator | None) -> dict[str, Tensor]:
    """Draws from everywhere: an explicit generator, that of torch (dropout), numpy's and Python's."""
    rows = slice(None) if batch is None else batch
    noise = 0.01 * torch.randn(3, generator=rng)
    factor = 1 + 0.01 * float(np.random.rand()) + 0.01 * random.random()
    return {"square": factor * (model(X[rows] + noise) - Y[rows]).square().mean()}


class OfTorch:
    """The loader of torch, which draws its order from the global generator at the start of a pass."""

    def __iter__(self) -> Any:
        return iter(torch.utils.data.DataLoader(torch.arange(40), batch_size=8, shuffle=True))


def measure(model: nn.Module) -> dict[str, float]:
    return {"error": float((model(X) - Y).abs().mean())}


UPDATES = [
    Adam(0.02, penalty=1e-3, decay=0.1, clip=1.0, schedule=Cosine(30, warmup=3)),
    Adamax(0.02),
    RmsProp(0.01, momentum=0.5),
    Sgd(0.05, 0.9),
    LBFGS(),
]
BATCHES: list[Callable[[], Any]] = [
    lambda: (None,),
    lambda: [torch.arange(k, k + 8) for k in range(0, 40, 8)],
    lambda: Shuffled([torch.arange(k, k + 8) for k in range(0, 40, 8)]),
    lambda: Minibatches(40, 8),
    OfTorch,
]


def run(folder: Path, update: Any, batches: Any, steps: int, *, go_on: bool = False, stop: int = 0, **more: Any) -> Any:
    """A fit with everything; what came of it."""
    for seed in (torch.manual_seed, np.random.seed, random.seed):
        seed(99 if go_on else 5)  # a new process draws other numbers
    torch.manual_seed(5)
    model = Net()
    ema, best = Ema(0.8), Best("error", "min")
    told: list[int] = []
    keep = Checkpointing(folder, every=4)
    hooks = [
        keep, lambda p: told.append(p.step), Measure(measure, every=3), ema, best, EarlyStopping("error", 50, "min"),
        Interrupt(lambda: told[-1] == stop),
    ]  # fmt: skip
    rng = torch.Generator().manual_seed(8)
    resume = keep.newest() if go_on else None
    history = fit(model, objective, batches, update=update, steps=steps, rng=rng, hooks=hooks, resume=resume, **more)
    rows = [{name: v for name, v in row.items() if name != "seconds"} for row in history.rows]
    tensors = {**model.state_dict(), **{f"ema.{k}": v for k, v in ema.averages().items()}, **best.tensors}
    return json.dumps(rows), history.reason, {name: t.clone() for name, t in tensors.items()}, best.step


def assert_equal(a: Any, b: Any) -> None:
    assert a[0] == b[0] and a[1] == b[1] and a[3] == b[3] and a[2].keys() == b[2].keys()
    for name, t in a[2].items():
        assert torch.equal(t, b[2][name]), name


@pytest.mark.parametrize("batches", BATCHES, ids=["one", "list", "shuffled", "minibatches", "loader"])
@pytest.mark.parametrize("update", UPDATES, ids=lambda u: type(u).__name__)
def test_a_resumed_fit_has_the_bits_of_one_that_never_stopped(tmp_path: Path, update: Any, batches: Any) -> None:
    """Interrupted after 7 of 18 steps, in the middle of a pass."""
    alone = run(tmp_path / "alone", update, batches(), 18)
    first = run(tmp_path / "again", update, batches(), 18, stop=7)
    assert first[1] == "interrupted" and [p.name for p in checkpoints(tmp_path / "again")] == [
        "checkpoint-00000004.safetensors", "checkpoint-00000007.safetensors",
    ]  # fmt: skip
    assert_equal(run(tmp_path / "again", update, batches(), 18, go_on=True), alone)


class Noisy(torch.utils.data.Dataset):
    """Rows by number; each is moved on by some that torch's generator draws."""

    def __len__(self) -> int:
        return 40

    def __getitem__(self, k: int) -> int:
        return (k + int(torch.randint(0, 3, ()))) % 40


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("stop", [7, 10])
def test_so_does_one_whose_loader_draws_from_its_own_generator_or_in_its_data(
    tmp_path: Path, own: bool, stop: int
) -> None:
    """Stopped in the middle of a pass of five batches, and between two."""

    def loader() -> Any:
        more = {"generator": torch.Generator().manual_seed(4)} if own else {}
        return torch.utils.data.DataLoader(Noisy(), batch_size=8, shuffle=True, **more)

    alone = run(tmp_path / "alone", Adam(0.02), loader(), 18)
    run(tmp_path / "again", Adam(0.02), loader(), 18, stop=stop)
    assert_equal(run(tmp_path / "again", Adam(0.02), loader(), 18, go_on=True), alone)


def test_quasi_newton_steps_go_on_with_what_they_know_of_the_curvature(tmp_path: Path) -> None:
    """A function without noise, where pairs of earlier steps are used."""

    def valley(model: Any, batch: Any, rng: Any) -> dict[str, Tensor]:
        x, y = model.weight[0]
        return {"f": 100 * (y - x * x) ** 2 + (1 - x) ** 2}

    def end(folder: str, *steps: int) -> tuple[list[float], Tensor]:
        for count in steps:
            torch.manual_seed(3)
            model = nn.Linear(2, 1, bias=False, dtype=torch.float64)
            keep = Checkpointing(tmp_path / folder, 3)
            history = fit(model, valley, update=LBFGS(), steps=count, hooks=[keep], resume=keep.newest())
        return history["loss"] + history["evaluations"], model.weight.detach()

    alone, again = end("a", 14), end("b", 5, 14)
    assert alone[0] == again[0] and torch.equal(alone[1], again[1]) and len(alone[0]) == 28


@pytest.mark.parametrize("numerics", [Numerics(accumulate=2), Numerics(3, torch.bfloat16), Numerics(1, torch.float16)])
def test_so_do_accumulated_steps_and_those_of_lower_precision(tmp_path: Path, numerics: Numerics) -> None:
    options = {"update": Adam(0.02), "steps": 18, "numerics": numerics}
    alone = run(tmp_path / "alone", batches=Minibatches(40, 8), **options)
    run(tmp_path / "again", batches=Minibatches(40, 8), stop=7, **options)
    assert_equal(run(tmp_path / "again", batches=Minibatches(40, 8), go_on=True, **options), alone)


def test_a_fit_that_is_over_stays_so_and_one_that_used_its_steps_may_have_more(tmp_path: Path) -> None:
    more = run(tmp_path / "a", Adam(0.02), (None,), 12)
    again = run(tmp_path / "a", Adam(0.02), (None,), 12, go_on=True)
    assert_equal(again, more)
    longer = run(tmp_path / "a", Adam(0.02), (None,), 20, go_on=True)
    assert_equal(longer, run(tmp_path / "b", Adam(0.02), (None,), 20))

    def stopped(folder: str) -> History:
        keep = Checkpointing(tmp_path / folder, 100)
        hooks = [Measure(lambda m: {"v": 1.0}), EarlyStopping("v", 3), keep]
        torch.manual_seed(0)
        return fit(Net(), objective, update=Sgd(0.1), steps=9, hooks=hooks, resume=keep.newest())

    first, second = stopped("c"), stopped("c")
    assert len(first) == 4 and first.reason == second.reason and first.rows == second.rows


def test_what_failed_goes_back_to_the_place_of_before_after_a_resume_as_well(tmp_path: Path) -> None:
    """The objective is not finite in step 5; checkpoints are of step 4."""

    def breaks(model: Any, batch: int, rng: Any) -> dict[str, Tensor]:
        return {"f": model.weight.square().sum() * (math.inf if batch == 4 else 1.0)}

    def weights(stop: bool) -> Tensor:
        torch.manual_seed(0)
        model = nn.Linear(2, 2)
        keep = Checkpointing(tmp_path, 4)
        hooks = [Interrupt(lambda: stop and bool(checkpoints(tmp_path))), keep]
        history = fit(
            model, breaks, list(range(9)), update=Adam(0.1), steps=4 if stop else 9, hooks=hooks, resume=keep.newest()
        )
        assert stop or "the parameters are those of the step before" in history.reason
        return model.weight.detach().clone()

    kept = weights(True)
    resumed = weights(False)
    for file in checkpoints(tmp_path):
        file.unlink()
    assert torch.equal(resumed, weights(False)) and not torch.equal(resumed, kept)


def test_kills_bit_flips_and_cuts_in_a_process_of_its_own() -> None:
    """A few of each; ``python -m benchmarks.graph.checkpoints`` makes 40, 500 and 500."""
    words = [sys.executable, "-m", "benchmarks.graph.checkpoints", "--kills", "6", "--flips", "9", "--cuts", "9"]
    done = subprocess.run([*words, "--seed", "5"], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["kills"] == found["bit_equal"] == found["whole_after_kill"] == 6 and found["kills_in_writes"] == 3
    assert found["flips_loaded"] == found["cuts_loaded"] == found["gadgets_executed"] == 0


def state(value: float) -> dict[str, Any]:
    return {"model": {"x": torch.full((50,), value)}}


def test_the_last_two_are_kept_and_what_a_killed_writer_left_goes(tmp_path: Path) -> None:
    left = tmp_path / ".checkpoint-00000002.safetensors-abc"
    left.mkdir()
    (left / "checkpoint-00000002.safetensors").write_bytes(b"half")
    for step in (5, 10, 15):
        save_checkpoint(tmp_path, step, state(step))
    names = ["checkpoint-00000010.safetensors", "checkpoint-00000015.safetensors"]
    assert sorted(os.listdir(tmp_path)) == names == [p.name for p in checkpoints(tmp_path)]
    assert load_checkpoint(tmp_path).step == 15 and load_checkpoint(tmp_path / names[0]).step == 10
    (tmp_path / names[0]).rename(tmp_path / "mine")
    assert load_checkpoint(tmp_path / "mine").step == 10
    save_checkpoint(tmp_path, 7, state(7))  # of a fit that goes on from before
    assert [load_checkpoint(p).step for p in checkpoints(tmp_path)] == [7]


def test_the_one_before_is_taken_only_if_asked_for(tmp_path: Path) -> None:
    for step in (1, 2):
        save_checkpoint(tmp_path, step, state(step))
    newest = checkpoints(tmp_path)[-1]
    newest.write_bytes(newest.read_bytes()[:-7])
    with pytest.raises(CheckpointError, match="00000002.safetensors' is damaged .*; older=True takes the one before"):
        load_checkpoint(tmp_path)
    found = load_checkpoint(tmp_path, older=True)
    assert found.step == 1 and "00000002.safetensors' is damaged" in found.note
    first = checkpoints(tmp_path)[0]
    first.write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match="none of the 2 checkpoints in .* is whole"):
        load_checkpoint(tmp_path, older=True)


def test_a_checkpoint_goes_with_its_configuration(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, 1, state(1), config={"rate": 0.1, "layers": [1, 2]})
    assert load_checkpoint(tmp_path, config={"layers": [1, 2], "rate": 0.1}).config["rate"] == 0.1
    with pytest.raises(CheckpointError, match="another configuration: 'rate' is 0.1 there and 0.2 here"):
        Checkpointing(tmp_path, 1, config={"rate": 0.2, "layers": (1, 2)}).newest()
    assert Checkpointing(tmp_path / "empty", 1).newest() is None


@pytest.mark.parametrize(
    ("there", "here", "said"),
    [
        ({"rate": 1}, {"rate": 1.0}, ""),
        ({"layers": (1, 2)}, {"layers": [1, 2]}, ""),
        ({3: 4}, {"3": 4}, ""),
        ({"a": None}, {}, "'a' is None there and missing here"),
        ({}, {"a": None}, "'a' is missing there and None here"),
        ({1: 2}, {1: 3}, "'1' is 2 there and 3 here"),
        ({"betas": (1, 2), "z": 1}, {"betas": (1, 2), "z": 2}, "'z' is 1 there and 2 here"),
        ([1], [2], "was written with another configuration; take"),
    ],
)
def test_configurations_are_compared_by_their_values(tmp_path: Path, there: Any, here: Any, said: str) -> None:
    save_checkpoint(tmp_path, 1, state(1), config=there)
    if not said:
        assert load_checkpoint(tmp_path, config=here).step == 1
        return
    with pytest.raises(CheckpointError, match=said):
        load_checkpoint(tmp_path, config=here)


def test_a_fit_does_not_write_over_another_one(tmp_path: Path) -> None:
    run(tmp_path, Adam(), (None,), 4)
    with pytest.raises(OutputError, match="holds checkpoints of another fit, .*resume=, name another folder"):
        run(tmp_path, Adam(), (None,), 4)
    first, second = Checkpointing(tmp_path / "a", 2), Checkpointing(tmp_path / "b", 50)
    fit(Net(), objective, update=Adam(), steps=4, hooks=[first])
    fit(Net(), objective, update=Adam(), steps=51, hooks=[second])
    found = checkpoints(tmp_path / "b")
    for keep, resume in ((second, first.newest()), (second, None)):  # also by a hook that was of the other fit
        with pytest.raises(OutputError, match="holds checkpoints of another fit"):
            fit(Net(), objective, update=Adam(), steps=6, hooks=[keep], resume=resume)
    assert checkpoints(tmp_path / "b") == found and len(found) == 2


def test_checkpoints_of_something_else_are_refused(tmp_path: Path) -> None:
    keep = Checkpointing(tmp_path, 2)
    fit(Net(), objective, update=Adam(), steps=2, hooks=[Ema(), keep])
    found, model = load_checkpoint(tmp_path), Net()
    before = {name: t.clone() for name, t in model.state_dict().items()}
    with pytest.raises(CheckpointError, match=r"a fit by Adam \(mean, square\), this one is by Sgd; take the same"):
        fit(model, objective, update=Sgd(0.1), steps=2, hooks=[Ema(), keep], resume=found)
    with pytest.raises(CheckpointError, match="a fit by Adam .*, this one is by LBFGS; take the same"):
        fit(model, objective, update=LBFGS(), steps=2, hooks=[Ema(), keep], resume=found)
    with pytest.raises(CheckpointError, match="with the hooks Ema, Checkpointing, this one has Checkpointing; give"):
        fit(model, objective, update=Adam(), steps=2, hooks=[keep], resume=found)
    with pytest.raises(CheckpointError, match="of a fit with no rng, this one has one on cpu; give the same kind"):
        fit(model, objective, update=Adam(), steps=2, hooks=[Ema(), keep], resume=found, rng=torch.Generator())
    model.idle.requires_grad_(False)
    with pytest.raises(CheckpointError, match="'idle' learns in the fit of the checkpoint only; let the same"):
        fit(model, objective, update=Adam(), steps=2, hooks=[Ema(), keep], resume=found)
    with pytest.raises(OutputError, match="holds checkpoints of another fit"):
        other = Checkpointing(tmp_path / "of_others", 2)
        save_checkpoint(other.folder, 1, state(1))
        fit(model.requires_grad_(), objective, update=Adam(), steps=2, hooks=[Ema(), other], resume=found)
    assert all(torch.equal(t, before[name]) for name, t in model.state_dict().items())  # refused before it was touched
    keep = Checkpointing(tmp_path / "by_lbfgs", 2)
    fit(Net(), objective, update=LBFGS(), steps=2, hooks=[keep])
    with pytest.raises(CheckpointError, match="a fit by LBFGS, this one is by Adam"):
        fit(Net(), objective, update=Adam(), steps=2, hooks=[keep], resume=keep.newest())
    keep = Checkpointing(tmp_path, 2)
    wide = Net()
    wide.idle = nn.Parameter(torch.ones(3))
    with pytest.raises(
        CheckpointError, match=r"'idle' is torch.float32 \[2\] in the checkpoint and torch.float32 \[3\]"
    ):
        fit(wide, objective, update=Adam(), steps=2, hooks=[Ema(), keep], resume=found)
    with pytest.raises(CheckpointError, match="'bias' is not in the checkpoint; build the model that was saved"):
        fit(nn.Linear(3, 1), objective, update=Adam(), steps=2, hooks=[Ema(), keep], resume=found)
    save_checkpoint(tmp_path / "other", 1, state(1))
    with pytest.raises(CheckpointError, match="the checkpoint has no 'learning'; it was not written by a fit"):
        fit(Net(), objective, update=Adam(), steps=2, resume=load_checkpoint(tmp_path / "other"))
    with pytest.raises(CheckpointError, match="there is no checkpoint in"):
        (tmp_path / "empty").mkdir()
        load_checkpoint(tmp_path / "empty")
    with pytest.raises(CheckpointError, match="cannot read the checkpoint .*nowhere': No such file"):
        load_checkpoint(tmp_path / "nowhere")
    with pytest.raises(InputError, match="step is -1, expected a whole number >= 0"):
        save_checkpoint(tmp_path, -1, {})
    with pytest.raises(InputError, match="every is 0, expected a whole number >= 1"):
        Checkpointing(tmp_path, 0)
    with pytest.raises(UnknownName, match="no column 'nothing'"):
        fit(Net(), objective, update=Adam(), steps=2, hooks=[Best("nothing")])


def test_a_model_comes_back_with_what_it_is_built_from(tmp_path: Path) -> None:
    model, other = Net(), Net()
    save_model(tmp_path / "model.safetensors", model, {"model": "net", "width": 8})
    found = load_model(tmp_path / "model.safetensors")
    found.put(other)
    assert found.config == {"model": "net", "width": 8}
    for (name, a), b in zip(model.state_dict().items(), other.state_dict().values()):
        assert torch.equal(a, b), name
    with pytest.raises(CheckpointError, match="the tensor 'bias' is not in the checkpoint"):
        found.put(nn.Linear(3, 1))
    with pytest.raises(InputError, match="the configuration of the model is a NoneType, expected values by name"):
        save_model(tmp_path / "other.safetensors", model, None)  # type: ignore[arg-type]
    save_checkpoint(tmp_path, 1, state(1))
    with pytest.raises(CheckpointError, match="is a checkpoint, expected a model"):
        load_model(checkpoints(tmp_path)[0])
