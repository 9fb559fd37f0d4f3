"""One experiment for many seeds, in one process and in several."""

from __future__ import annotations

import json
import os
import signal
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from graphpde.errors import CheckpointError, InputError, SolveError
from graphpde.train import Adam, Failed, fit, over_seeds


def trained(seed: int, steps: int = 5, note: str = "") -> dict[str, float]:
    """A tiny fit; leaves a mark where it was computed."""
    if note:
        with open(note, "a") as file:
            file.write(f"{seed} {os.getpid()}\n")
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Dropout(0.5), nn.Linear(4, 1))
    x = torch.randn(64, 3)
    history = fit(model, lambda m, *_: {"f": (m(x) - x[:, :1]).square().mean()}, update=Adam(0.01), steps=steps)
    return {"loss": history["loss"][-1], "threads": torch.get_num_threads()}


def sometimes(seed: int, died: str = "") -> int:
    if seed == 3:
        raise InputError("three is refused")
    if seed == 4 and died:
        os.kill(os.getpid(), signal.SIGKILL)
    return seed * seed


def odd(seed: int) -> Any:
    return torch.ones(2)


def test_processes_give_what_one_gives_in_the_order_of_the_seeds(tmp_path: Path) -> None:
    note = str(tmp_path / "note")
    serial = over_seeds(trained, [5, 1, 9])
    torch.manual_seed(77)
    parallel = over_seeds(partial(trained, note=note), [5, 1, 9], workers=2)
    assert serial == parallel and len({row["loss"] for row in serial}) == 3 and serial[0]["threads"] == 1
    pids = {line.split()[1] for line in Path(note).read_text().splitlines()}
    assert str(os.getpid()) not in pids


def test_a_seed_that_fails_is_named_and_the_others_are_kept() -> None:
    with pytest.raises(SolveError, match="^seed 3 failed: three is refused$") as raised:
        over_seeds(sometimes, [2, 3, 5])
    assert raised.value.result == [4, Failed("three is refused"), 25]


@pytest.mark.slow
def test_a_process_that_dies_takes_no_other_one_down(tmp_path: Path) -> None:
    file = tmp_path / "results.jsonl"
    with pytest.raises(SolveError, match="seed 3 failed: three is refused; 2 of 3 seeds have no result") as raised:
        over_seeds(partial(sometimes, died="yes"), [3, 4, 5], workers=2, file=file)
    assert raised.value.result[2] == 25 and "its process died (exit code -9)" in raised.value.result[1].reason
    assert over_seeds(sometimes, [2, 4, 5], file=file) == [4, 16, 25]


def test_what_is_there_is_not_computed_again(tmp_path: Path) -> None:
    file, note = tmp_path / "deep" / "results.jsonl", str(tmp_path / "note")
    options: dict[str, Any] = {"file": file, "config": {"steps": 5}}
    function = partial(trained, note=note)
    done: list[int] = []
    first = over_seeds(function, [1, 2], done=lambda seed, result: done.append(seed), **options)
    both = over_seeds(function, [3, 2, 1], done=lambda seed, result: done.append(seed), **options)
    assert both[::-1][:2] == first and done == [1, 2, 3]
    assert [line.split()[0] for line in Path(note).read_text().splitlines()] == ["1", "2", "3"]
    assert json.loads(file.read_text().splitlines()[0])["config"] == {"steps": 5}
    with pytest.raises(CheckpointError, match="holds results of another configuration; name another file"):
        over_seeds(function, [1], file=file, config={"steps": 6})
    file.write_text(file.read_text()[9:])
    with pytest.raises(CheckpointError, match="does not hold results over seeds"):
        over_seeds(function, [1], **options)


def test_a_last_line_that_was_cut_off_is_done_again(tmp_path: Path) -> None:
    file = tmp_path / "results.jsonl"
    whole = over_seeds(sometimes, [1, 2, 5], file=file)
    file.write_bytes(file.read_bytes()[:-5])
    assert over_seeds(sometimes, [1, 2, 5], file=file) == whole
    assert len(file.read_text().splitlines()) == 4


def test_who_is_asked_to_stop_keeps_what_is_there(tmp_path: Path) -> None:
    done: list[int] = []
    options: dict[str, Any] = {"file": tmp_path / "r.jsonl", "done": lambda seed, result: done.append(seed)}
    with pytest.raises(SolveError, match="seed 6 failed: was stopped before its end; call again.*2 of 3"):
        over_seeds(sometimes, [5, 6, 7], stop=lambda: len(done) == 1, **options)
    assert over_seeds(sometimes, [5, 6, 7], **options) == [25, 36, 49] and done == [5, 6, 7]


def test_what_seeds_cannot_be_computed(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="got 3 seeds, 2 of them different; give each once"):
        over_seeds(sometimes, [1, 1, 2])
    with pytest.raises(InputError, match="workers is 0, expected a whole number >= 1"):
        over_seeds(sometimes, [1], workers=0)
    with pytest.raises(InputError, match="the result of seed 1 cannot be kept in .*; return plain values"):
        over_seeds(odd, [1], file=tmp_path / "r.jsonl")
    with pytest.raises(InputError, match="processes cannot be given .*; define it at the top of a module"):
        over_seeds(lambda seed: seed, [1, 2], workers=2)
    with pytest.raises(InputError, match="a seed is 1.5, expected a whole number"):
        over_seeds(sometimes, [1.5, 1.2])  # type: ignore[list-item]
    with pytest.raises(InputError, match=r"seeds is 2, expected whole numbers, such as range\(10\)"):
        over_seeds(sometimes, 2)  # type: ignore[arg-type]
    assert over_seeds(sometimes, []) == []
