"""Batches in their order, passes, accumulation and lower precision."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from graphpde.errors import CheckpointError, InputError, SolveError
from graphpde.train import LBFGS, Adam, Ema, Epochs, Minibatches, Numerics, Progress, Sgd, Shuffled, fit
from graphpde.train.batches import Stream
from graphpde.train.numerics import LossScale

F64 = torch.float64
X = torch.randn(24, 3, generator=torch.Generator().manual_seed(1))
Y = X @ torch.tensor([[1.0], [-2.0], [0.5]]) + 0.3


def linear(dtype: torch.dtype = torch.float32) -> nn.Linear:
    torch.manual_seed(4)
    return nn.Linear(3, 1).to(dtype)


def squares(model: nn.Module, batch: Any, rng: Any) -> dict[str, Tensor]:
    return {"square": (model(X[batch]) - Y[batch]).float().square().mean()}


class Loader:
    """Gives its batches anew for every pass; says no length."""

    def __init__(self, batches: list[Any]):
        self.batches = batches

    def __iter__(self) -> Iterator[Any]:
        return iter(self.batches)


def seen(batches: Any, steps: int | Epochs, **options: Any) -> tuple[list[Any], list[Progress]]:
    found: list[Any] = []
    told: list[Progress] = []

    def remember(model: nn.Module, batch: Any, rng: Any) -> dict[str, Tensor]:
        found.append(batch)
        return {"f": model.weight.square().sum()}

    fit(linear(), remember, batches, update=Sgd(0.1), steps=steps, hooks=[told.append], **options)
    return found, told


@pytest.mark.parametrize("batches", [["a", "b", "c"], Loader(["a", "b", "c"])])
def test_a_pass_goes_through_all_and_epochs_count_passes(batches: Any) -> None:
    found, told = seen(batches, 5)
    assert found == ["a", "b", "c", "a", "b"] and [p.epoch for p in told] == [0, 0, 1, 1, 1]
    assert [p.ending for p in told] == [False] * 4 + [True] and told[0].steps == 5
    found, told = seen(batches, Epochs(2))
    assert found == ["a", "b", "c"] * 2 and told[-1].ending and not told[-2].ending
    assert told[0].steps == (6 if isinstance(batches, list) else None)
    found, told = seen(batches, Epochs(2), numerics=Numerics(accumulate=2))
    assert found == ["a", "b", "c"] * 2 and len(told) == 4  # the last group of a pass is shorter
    assert told[0].steps == (4 if isinstance(batches, list) else None)


def test_random_orders_come_from_the_generator_and_differ_from_pass_to_pass() -> None:
    def order(seed: int) -> list[Any]:
        return seen(Shuffled("abcdefgh"), 24, rng=torch.Generator().manual_seed(seed))[0]

    first = order(1)
    assert first == order(1) and first != order(2)
    assert first[:8] != first[8:16] and all(sorted(first[k : k + 8]) == list("abcdefgh") for k in (0, 8, 16))
    numbers = Minibatches(torch.tensor([3, 5, 7, 9, 11]), 2)
    found = seen(numbers, Epochs(1), rng=torch.Generator().manual_seed(0))[0]
    assert [len(b) for b in found] == [2, 2, 1] and sorted(torch.cat(found).tolist()) == [3, 5, 7, 9, 11]
    assert len(numbers) == 3 and sorted(torch.cat(seen(Minibatches(7, 4), Epochs(1))[0]).tolist()) == list(range(7))


@pytest.mark.parametrize("batches", [list(range(5)), Loader(list(range(5))), Shuffled(range(5))])
def test_a_stream_goes_on_in_the_middle_of_a_pass(batches: Any) -> None:
    rng = torch.Generator().manual_seed(3)
    stream = Stream(batches, 2, rng)
    whole = [stream.next() for _ in range(9)]
    for cut in range(9):
        rng = torch.Generator().manual_seed(3)
        first = Stream(batches, 2, rng)
        before = [first.next() for _ in range(cut)]
        drawn, state = rng.get_state(), first.state()
        rng = torch.Generator()
        second = Stream(batches, 2, rng)
        second.load_state(state)
        rng.set_state(drawn)
        assert before + [second.next() for _ in range(9 - cut)] == whole
        assert second.passes == 3


def test_accumulated_batches_are_one_large_batch() -> None:
    """Equal parts and means: the same gradient up to the order of the sums, in double precision."""
    parts = [torch.arange(k, k + 6) for k in (0, 6, 12, 18)]
    options = {"update": Adam(0.05), "steps": 20}

    def exact(model: nn.Module, batch: Tensor, rng: Any) -> dict[str, Tensor]:
        return {"square": (model(X[batch].double()) - Y[batch].double()).square().mean()}

    small, large = linear(F64), linear(F64)
    one = fit(small, exact, parts, numerics=Numerics(accumulate=4), **options)
    two = fit(large, exact, [torch.arange(24)], **options)
    torch.testing.assert_close(small.weight, large.weight, atol=1e-12, rtol=0)
    assert one["square"] == pytest.approx(two["square"], abs=1e-12)
    assert one["gradient"] == pytest.approx(two["gradient"], abs=1e-12)


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
def test_lower_precision_ends_near_and_computes_in_it(precision: torch.dtype) -> None:
    kinds = set()

    def watched(model: nn.Module, batch: Any, rng: Any) -> dict[str, Tensor]:
        out = model(X)
        kinds.add(out.dtype)
        return {"square": (out.float() - Y).square().mean()}

    low, full = linear(), linear()
    history = fit(low, watched, update=Adam(0.05), steps=200, numerics=Numerics(precision=precision))
    fit(full, watched, update=Adam(0.05), steps=200)
    assert kinds == {precision, torch.float32} and low.weight.dtype == torch.float32
    # the rounding of bfloat16 is 2^-8, of float16 2^-11; the weights are about 2
    torch.testing.assert_close(low.weight, full.weight, atol=0.02, rtol=0)
    assert history["gradient"][20] < 100  # it is that of the loss, not of the scaled one


def test_a_scale_too_large_is_halved_and_the_step_left_out() -> None:
    """A loss whose scaled gradient leaves float16: 4e4 times 2^16 is far beyond 65504."""
    moved = []

    def steep(model: nn.Module, batch: Any, rng: Any) -> dict[str, Tensor]:
        moved.append(model.weight.detach().clone())
        return {"f": (model(X).sum() * 40).float()}

    numerics = Numerics(precision=torch.float16)
    history = fit(linear(), steep, update=Sgd(1e-6), steps=30, numerics=numerics)
    assert len(history) == 30 and "not finite" not in history.reason
    assert torch.equal(moved[0], moved[1]) and not torch.equal(moved[-2], moved[-1])


def test_the_scale_of_the_loss() -> None:
    scale = LossScale(4.0, patience=2)
    assert [scale.overflowed(1.0, g) for g in (float("inf"), 1.0, 1.0, 1.0)] == [True, False, False, False]
    assert scale.factor == 4.0 and scale.state() == {"factor": 4.0, "good": 1}
    assert not scale.overflowed(float("nan"), float("nan")) and scale.factor == 4.0  # the loss itself is at fault
    scale.load_state({"factor": 1.0, "good": 0})
    assert not scale.overflowed(1.0, float("inf"))  # a smaller one would not help
    assert not LossScale(1.0).overflowed(1.0, float("inf"))


def test_quasi_newton_steps_in_float16_wait_for_a_scale_that_fits() -> None:
    """As near to the minimum as in full precision, up to the rounding 2^-11 of weights about 2."""
    low, full = linear(), linear()
    history = fit(low, squares, [slice(None)], update=LBFGS(), steps=20, numerics=Numerics(precision=torch.float16))
    fit(full, squares, [slice(None)], update=LBFGS(), steps=20)
    assert len(history) > 2 and history["evaluations"][0] > 2
    torch.testing.assert_close(low.weight, full.weight, atol=0.02, rtol=0)


def test_a_failure_after_a_step_that_was_left_out_is_the_end() -> None:
    calls = []

    def fails(model: nn.Module, batch: Any, rng: Any) -> dict[str, Tensor]:
        calls.append(1)
        if len(calls) == 3:
            raise SolveError("no solution")
        return {"f": (model(X).sum() * 40).float()}

    model, ema = linear(), Ema(0.5)
    before = model.weight.detach().clone()
    numerics = Numerics(precision=torch.float16)
    history = fit(model, fails, update=Sgd(1e-6), steps=30, numerics=numerics, hooks=[ema])
    assert len(history) == 3 and "no solution" in history.reason and torch.equal(model.weight, before)
    assert ema.steps == 0  # nothing was averaged that was no step


class Numbered(torch.utils.data.Dataset):
    """Rows of the data by number."""

    def __len__(self) -> int:
        return 24

    def __getitem__(self, k: int) -> int:
        return k


class Streamed(torch.utils.data.IterableDataset):
    def __iter__(self) -> Iterator[int]:
        return iter(range(6))


def test_a_loader_of_one_batch_is_another_function_in_each_step() -> None:
    """Random rows: L-BFGS evaluates each new batch where it stands before it moves."""
    drawn = torch.utils.data.RandomSampler(Numbered(), replacement=True, num_samples=8)
    loader = torch.utils.data.DataLoader(Numbered(), batch_size=8, sampler=drawn)
    starts: list[tuple[int, ...]] = []

    def remember(model: nn.Module, batch: Tensor, rng: Any) -> dict[str, Tensor]:
        starts.append(tuple(batch.tolist()))
        return squares(model, batch, rng)

    history = fit(linear(), remember, loader, update=LBFGS(), steps=4)
    for step, first in enumerate([0, *history["evaluations"][:-1]]):
        assert len(set(starts[first : history["evaluations"][step]])) == 1
    assert len(set(starts)) == 4 and not Stream(loader, 1, None).single and Stream([loader], 1, None).single


def test_a_loader_without_a_length_is_gone_through() -> None:
    found, told = seen(torch.utils.data.DataLoader(Streamed(), batch_size=2), Epochs(2))
    assert [b.tolist() for b in found] == [[0, 1], [2, 3], [4, 5]] * 2 and told[0].steps is None


def test_whole_numbers_may_be_those_of_numpy_and_torch() -> None:
    for count in (np.int64(3), torch.tensor(3)):
        assert len(seen([1, 2], count)[0]) == 3 and len(list(Minibatches(9, count).drawn(torch.Generator()))) == 3
    assert len(Minibatches(np.int64(9), 4)) == 3


def test_dropout_is_the_same_within_one_line_search() -> None:
    """L-BFGS compares values of the objective; with other units dropped in each trial it would stop at once."""
    torch.manual_seed(8)
    model = nn.Sequential(nn.Linear(3, 32), nn.Tanh(), nn.Dropout(0.5), nn.Linear(32, 1))
    values: list[list[float]] = [[]]

    def objective(m: nn.Module, batch: Any, rng: Any) -> dict[str, Tensor]:
        state = torch.get_rng_state()
        values[-1].append(float(state.double().sum()))
        return {"f": (m(X) - Y).square().mean()}

    fit(model, objective, update=LBFGS(), steps=4, hooks=[lambda p: values.append([])])
    tried = [v for v in values if v]
    assert all(len(set(v)) == 1 for v in tried) and any(len(v) > 1 for v in tried)
    assert len({v[0] for v in tried}) > 1  # and others in the next step


def test_what_cannot_be_a_batch_or_a_way_to_compute() -> None:
    with pytest.raises(InputError, match="an iterator, which can be gone through only once"):
        fit(linear(), squares, iter([1, 2]), update=Sgd(0.1), steps=2)
    with pytest.raises(InputError, match="pass 1 through the batches gave none"):
        fit(linear(), squares, Loader([]), update=Sgd(0.1), steps=2)
    with pytest.raises(InputError, match="the batches are a int, expected a sequence"):
        fit(linear(), squares, 3, update=Sgd(0.1), steps=2)  # type: ignore[arg-type]
    for count in (0, 5.0, "5", None, True):
        with pytest.raises(InputError, match=f"steps is {count!r}, expected a whole number >= 1, or .* Epochs"):
            fit(linear(), squares, update=Sgd(0.1), steps=count)
        with pytest.raises(InputError, match=f"the number of passes is {count!r}, expected a whole number >= 1"):
            Epochs(count)
        with pytest.raises(InputError, match=f"size is {count!r}, expected a whole number >= 1"):
            Minibatches(5, count)
        with pytest.raises(InputError, match=f"items is {count!r}, expected a whole number >= 1"):
            Minibatches(count, 5)
        with pytest.raises(InputError, match=f"accumulate is {count!r}, expected a whole number >= 1"):
            Numerics(accumulate=count)
    for mask in (torch.tensor([True, False]), torch.ones(3), torch.tensor(5), torch.empty(0, dtype=torch.int64)):
        with pytest.raises(InputError, match=r"items is torch.* expected whole numbers \[n\].* mask.nonzero"):
            Minibatches(mask, 2)
    with pytest.raises(InputError, match="precision is torch.int8, expected torch.bfloat16"):
        Numerics(precision=torch.int8)
    stream = Stream([1, 2, 3], 1, None)
    stream.next(), stream.next()
    with pytest.raises(InputError, match="after batch 2 of a pass, and a pass through the batches given now has 1"):
        Stream(Loader([1]), 1, None).load_state(stream.state())
    own = torch.utils.data.DataLoader(Numbered(), shuffle=True, generator=torch.Generator())
    with pytest.raises(CheckpointError, match="of batches with 0 generators of their own, these have 2; give the same"):
        Stream(own, 1, None).load_state(stream.state())
