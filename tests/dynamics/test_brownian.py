"""Brownian paths: one path whatever is asked of it, and the law that it has."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch

from graphpde.dynamics import Brownian
from graphpde.errors import InputError

MANY = torch.zeros(20_000, 1, dtype=torch.float64)


def z(sample: torch.Tensor, variance: float) -> float:
    """How many standard errors the mean square lies from the variance."""
    found = float(sample.square().mean())
    return abs(found - variance) / (variance * math.sqrt(2 / sample.numel()))


@pytest.mark.parametrize("unit", (1.0, 0.3, 7.0))
def test_pieces_add_up_to_the_whole(unit: float) -> None:
    path = Brownian(3, unit=unit)
    like = torch.zeros(5, 2, dtype=torch.float64)
    places = [-0.7, -0.2, 0.0, 0.125, 0.3, 0.61803, 0.62, 1.0, 1.5, 2.9]
    w = area = torch.zeros_like(like)
    for a, b in pairwise(places):
        piece = path(a, b, like)
        w, area = w + piece.w, area + (b - a) * w + piece.area
    whole = path(places[0], places[-1], like)
    assert torch.allclose(w, whole.w, atol=1e-13)
    assert torch.allclose(area, whole.area, atol=1e-12)


def test_the_order_of_questions_does_not_matter() -> None:
    like = torch.zeros(7, 3, dtype=torch.float64)
    questions = [(k / 37, (k + 1) / 37) for k in range(37)]
    one, other = Brownian(11), Brownian(11)
    forth = [one(a, b, like).w for a, b in questions]
    back = [other(a, b, like).w for a, b in reversed(questions)][::-1]
    assert all(torch.equal(x, y) for x, y in zip(forth, back, strict=True))
    assert all(torch.equal(one(a, b, like).w, x) for (a, b), x in zip(questions, forth, strict=True))


@pytest.mark.parametrize(("a", "b"), [(0, 1), (0.25, 0.5), (0.1, 0.37), (0.9, 3.3), (0.5, 0.5 + 2**-9)])
def test_law_of_an_increment(a: float, b: float) -> None:
    h = b - a
    w, area = Brownian(5)(a, b, MANY)
    assert abs(float(w.mean())) < 4 * math.sqrt(h / MANY.numel())
    assert z(w, h) < 4
    assert z(area, h**3 / 3) < 4
    assert z(area / h - w / 2, h / 12) < 4
    together = float((w * (area / h - w / 2)).mean()) / (h / math.sqrt(12))
    assert abs(together) < 4 / math.sqrt(MANY.numel())  # the two are independent


def test_disjoint_increments_and_seeds_are_independent() -> None:
    path = Brownian(5)
    pieces = [path(a, b, MANY).w / math.sqrt(b - a) for a, b in pairwise((0, 0.2, 0.5, 0.75, 1, 2.5))]
    pieces.append(Brownian(6)(0, 0.2, MANY).w / math.sqrt(0.2))
    c = torch.stack([x[:, 0] for x in pieces])
    c = c @ c.T / MANY.numel() - torch.eye(len(pieces))
    assert float(c.fill_diagonal_(0).abs().max()) < 4.5 / math.sqrt(MANY.numel())


def test_one_path_in_every_precision() -> None:
    fine = Brownian(2)(0.1, 0.9, torch.zeros(4, 1, dtype=torch.float64))
    coarse = Brownian(2)(0.1, 0.9, torch.zeros(4, 1))
    assert coarse.w.dtype == torch.float32
    assert torch.equal(fine.w.float(), coarse.w)


def test_a_generator_draws_the_seed_alone() -> None:
    one, two = (Brownian(torch.Generator().manual_seed(s)) for s in (0, 0))
    assert one.seed == two.seed != Brownian(torch.Generator().manual_seed(1)).seed


def test_what_was_forgotten_is_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    like = torch.zeros(3, 1, dtype=torch.float64)
    wanted = Brownian(4)(0.1, 0.7, like)
    monkeypatch.setattr("graphpde.dynamics.brownian._KEPT", 0)
    found = Brownian(4)(0.1, 0.7, like)
    assert torch.equal(wanted.w, found.w)
    assert torch.equal(wanted.area, found.area)


@pytest.mark.parametrize(("start", "h"), [(0.1, 7e-5), (0.0, 1e-4), (0.25, 2.0**-19)])
def test_short_steps_keep_their_noise(start: float, h: float) -> None:
    """Down to the shortest step that is taken; pieces of the tree itself are exact to the last level."""
    w, area = Brownian(5)(start, start + h, MANY)
    assert z(w, h) < 4 and z(area, h**3 / 3) < 4
    w, _ = Brownian(5, unit=h)(start, start + h, MANY)
    assert z(w, h) < 4


def test_below_the_tree_the_path_is_its_mean() -> None:
    """E[W(q h) | w, k] = q w + 6 q (1 - q) k within a last piece of length h."""
    path, like, h = Brownian(2, depth=6), torch.zeros(50, dtype=torch.float64), 2.0**-6
    one, two = path(0, 1, like), path(0, 1 + h, like)
    w = two.w - one.w
    k = (two.area - one.area - h * one.w) / h - w / 2
    for q in (0.2, 0.5, 0.9):
        assert torch.allclose(path(0, 1 + q * h, like).w - one.w, q * w + 6 * q * (1 - q) * k, atol=1e-13)


def test_an_entry_does_not_depend_on_how_many_others_there_are() -> None:
    path = Brownian(8)
    few, many = (path(0, 0.3, torch.zeros(n, dtype=torch.float64)) for n in (2, 5))
    assert torch.equal(few.w, many.w[:2]) and torch.equal(few.area, many.area[:2])


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Brownian(-1), "seed is -1"),
        (lambda: Brownian(0.5), "seed is 0.5"),
        (lambda: Brownian(0, unit=0.0), "unit is 0.0, expected a finite number > 0"),
        (lambda: Brownian(0, depth=99), "a depth <= 40"),
        (lambda: Brownian(0)(1.0, 0.5, MANY), "the interval from 1 to 0.5"),
        (lambda: Brownian(0)(0.0, math.nan, MANY), "the interval from 0 to nan"),
        (lambda: Brownian(0)(0.0, 1.0, torch.ones(3, dtype=torch.int64)), "the motion has type torch.int64"),
        (lambda: Brownian(0)(0.0, 1.0, [1, 2]), "the motion has type list"),
        (lambda: Brownian(0)(0.0, 3e-6, MANY), "a step of 3e-06 is too short .* such as Brownian.0, unit=3e-06."),
    ],
)
def test_refused(make, said: str) -> None:
    with pytest.raises(InputError, match=said):
        make()
