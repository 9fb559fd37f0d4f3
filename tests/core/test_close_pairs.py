"""Close pairs: trees and cells against all pairs, open and periodic."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from graphpde.core import close_pairs as module
from graphpde.core.close_pairs import Box, by_cells, close_pairs
from graphpde.errors import GraphError, InputError, ShapeError

INF = float("inf")


def all_pairs(pos: Tensor, r: float, box: Box | None) -> list[tuple[int, int]]:
    """By looking at every pair and every image."""
    shifts = [torch.zeros(pos.shape[1], dtype=torch.float64)]
    if box is not None:
        each = [(-1, 0, 1) if torch.isfinite(length) else (0,) for length in box.lengths]
        period = torch.where(torch.isfinite(box.lengths), box.lengths, 0.0)
        shifts = [torch.tensor(s) * period for s in itertools.product(*each)]
        pos = box.inside(pos)
    return [
        (i, j)
        for i in range(len(pos))
        for j in range(i + 1, len(pos))
        if min(float((pos[j] + s - pos[i]).norm()) for s in shifts) <= r
    ]


@pytest.mark.parametrize(
    ("lengths", "r"),
    [
        (None, 0.3), (None, 2.0), ((1.0, 1.0), 0.12), ((1.0, 1.0), 0.34), ((1.0, 1.0), 0.5), ((1.0, INF), 0.2),
        ((1.0, 0.5, INF), 0.25), ((1.0, 1.2, 0.7), 0.22), ((1.0,), 0.05),
    ],
)  # fmt: skip
def test_trees_and_cells_are_all_pairs(lengths: tuple[float, ...] | None, r: float) -> None:
    d = 2 if lengths is None else len(lengths)
    pos = 3 * torch.rand(40, d, generator=torch.Generator().manual_seed(d), dtype=torch.float64) - 1
    box = None if lengths is None else Box(lengths)
    wanted = all_pairs(pos, r, box)
    assert len(wanted) > 5
    for find in (close_pairs, lambda p, r, box: by_cells(p if box is None else box.inside(p), r, box)):
        tail, head = find(pos, r, box=box)
        assert list(zip(tail.tolist(), head.tolist(), strict=True)) == wanted


def at_most(pos: Tensor, r: float, box: Box | None) -> list[list[int]]:
    """Pairs by the squares of all nearest differences: the same rounding as that of cells."""
    tail, head = torch.triu_indices(len(pos), len(pos), 1).unbind()
    apart = pos[head] - pos[tail]
    near = (apart if box is None else box.nearest(apart)).square().sum(1) <= r * r
    return torch.stack([tail[near], head[near]]).tolist()


@pytest.mark.parametrize("closed", (False, True))
@pytest.mark.parametrize("d", (1, 2))
def test_lattices_whose_neighbours_are_just_at_r(d: int, closed: bool) -> None:
    """Numbers of cells round, distances too: no neighbour may be lost between two cells."""
    for n, r in itertools.product((4, 6, 7, 10), (0.3, 0.1, 1 / 3, 0.7)):
        row = torch.arange(n, dtype=torch.float64) * r
        pos = torch.cartesian_prod(*[row] * d).reshape(-1, d)
        box = Box([n * r] * d) if closed else None
        tail, head = by_cells(pos if box is None else box.inside(pos), r, box)
        assert [tail.tolist(), head.tolist()] == at_most(pos if box is None else box.inside(pos), r, box), (n, r)


@pytest.mark.parametrize("d", (1, 2, 3))
def test_boxes_of_just_twice_r_and_points_on_walls(d: int) -> None:
    """Halves and quarters, which floats hold: every pair once, whatever image is the nearest."""
    side = torch.tensor([0.0, 0.25, 0.5, 1.0, 1.75, 2.0], dtype=torch.float64)
    pos = torch.cartesian_prod(*[side] * d).reshape(-1, d)
    box = Box([2.0] * d)
    wanted = at_most(box.inside(pos), 1.0, box)
    for tail, head in (close_pairs(pos, 1.0, box=box), by_cells(box.inside(pos), 1.0, box)):
        assert [tail.tolist(), head.tolist()] == wanted


def test_cells_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    pos = torch.rand(300, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    monkeypatch.setattr(module, "_ENTRIES", 100)
    for one, two in zip(by_cells(pos, 0.2, None), close_pairs(pos, 0.2), strict=True):
        assert torch.equal(one, two)


def test_few_points() -> None:
    for n in (0, 1):
        tail, head = close_pairs(torch.zeros(n, 2), 1.0)
        assert tail.shape == head.shape == (0,)
        assert by_cells(torch.zeros(n, 2).double(), 1.0, None)[0].shape == (0,)
    assert [x.tolist() for x in close_pairs(torch.zeros(2, 2), 1.0)] == [[0], [1]]


def test_images() -> None:
    box = Box([2.0, INF])
    apart = torch.tensor([[1.6, 5.0], [-1.6, -5.0], [0.4, 0.0]])
    assert torch.allclose(box.nearest(apart), torch.tensor([[-0.4, 5.0], [0.4, -5.0], [0.4, 0.0]]))
    moved = box.inside(torch.tensor([[-0.5, -3.0], [2.0, 1.0], [-1e-20, 0.0]]))
    assert torch.allclose(moved, torch.tensor([[1.5, -3.0], [0.0, 1.0], [0.0, 0.0]]))
    assert bool((moved[:, 0] < 2).all())
    assert box.volume == INF
    x = torch.tensor([[1.6, 5.0]], dtype=torch.float64, requires_grad=True)
    (g,) = torch.autograd.grad(box.nearest(x).sum(), x)
    assert torch.equal(g, torch.ones_like(x))


def test_bad_input(monkeypatch: pytest.MonkeyPatch) -> None:
    pos = torch.rand(10, 2)
    with pytest.raises(InputError, match=r"edge of 0.9, expected at least twice the reach 0.5"):
        close_pairs(pos, 0.5, box=Box([0.9, 2.0]))
    with pytest.raises(InputError, match="edge of -1, expected > 0"):
        Box([1.0, -1.0])
    with pytest.raises(ShapeError, match="box has 3 lengths and positions have 2 coordinates"):
        close_pairs(pos, 0.1, box=Box([1.0, 1.0, 1.0]))
    with pytest.raises(InputError, match="r = 0, expected a finite radius > 0"):
        close_pairs(pos, 0)
    with pytest.raises(InputError, match="not finite at 1 points, first at 3"):
        close_pairs(pos.index_fill(0, torch.tensor([3]), torch.nan), 0.1)
    monkeypatch.setattr(module, "MOST", 10)
    with pytest.raises(GraphError, match="10 points have 50 pairs within 2, expected at most 10"):
        close_pairs(pos, 2.0)
    with pytest.raises(GraphError, match="10 points have [0-9]+ pairs within 2, expected at most 10"):
        by_cells(pos.double(), 2.0, None)
