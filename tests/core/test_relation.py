"""Relations against dense matrices and plain loops, on whatever graph hypothesis finds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from graphpde.core import kernels
from graphpde.core.relation import Relation
from graphpde.errors import GraphError, IndexTypeError, InputError, ShapeError

F64 = torch.float64


@pytest.fixture(params=kernels.available())
def backend(request: pytest.FixtureRequest) -> Any:
    with kernels.use(request.param):
        yield request.param


@st.composite
def edge_lists(draw: st.DrawFn) -> tuple[list[int], list[int], int, int]:
    n_src, n_dst = draw(st.integers(0, 6)), draw(st.integers(0, 6))
    e = draw(st.integers(0, 14)) if n_src and n_dst else 0
    src = draw(st.lists(st.integers(0, max(n_src - 1, 0)), min_size=e, max_size=e))
    dst = draw(st.lists(st.integers(0, max(n_dst - 1, 0)), min_size=e, max_size=e))
    return src, dst, n_src, n_dst


EXAMPLES = {
    "no nodes": ([], [], 0, 0),
    "no edges": ([], [], 3, 2),
    "no sources": ([], [], 0, 2),
    "isolated nodes": ([1, 3], [2, 2], 5, 4),
    "self-loops": ([0, 1, 1, 2], [0, 1, 0, 2], 3, 3),
    "duplicates": ([2, 0, 2, 2, 0], [1, 1, 1, 0, 1], 3, 2),
    "bipartite": ([0, 4, 2, 1, 3, 4], [1, 0, 1, 0, 1, 1], 5, 2),
}


def dense(src: list[int], dst: list[int], n_src: int, n_dst: int, w: Tensor) -> Tensor:
    """The matrix with the weights of the given edges, by a loop."""
    a = torch.zeros(n_dst, n_src, dtype=F64)
    for k, (j, i) in enumerate(zip(src, dst)):
        a[i, j] += w[k]
    return a


def numbers(*shape: int, dtype: torch.dtype = F64) -> Tensor:
    return torch.randn(*shape, dtype=F64).to(dtype)


def agrees_with_dense_and_loop(src: list[int], dst: list[int], n_src: int, n_dst: int) -> None:
    rel = Relation.from_edges(src, dst, n_src, n_dst)
    e, c = len(src), 4
    w, x = numbers(e), numbers(n_src, c)
    a = dense(src, dst, n_src, n_dst, w)
    torch.testing.assert_close(rel.propagate(x, weight=rel.own(w)), a @ x)
    ones = dense(src, dst, n_src, n_dst, torch.ones(e))
    torch.testing.assert_close(rel.propagate(x), ones @ x)
    torch.testing.assert_close(
        rel.propagate(x, weight=rel.own(w), reduce="mean"), (a @ x) / ones.sum(1).clamp(min=1)[:, None]
    )
    heads = numbers(e, 2)
    by_head = [dense(src, dst, n_src, n_dst, heads[:, h]) @ x[:, 2 * h : 2 * h + 2] for h in range(2)]
    torch.testing.assert_close(rel.propagate(x, weight=rel.own(heads)), torch.cat(by_head, 1))
    batch = numbers(3, n_src, c)
    torch.testing.assert_close(rel.propagate(batch, weight=rel.own(w)), a @ batch)
    torch.testing.assert_close(
        rel.propagate(batch, weight=rel.own(heads))[1], rel.propagate(batch[1], weight=rel.own(heads))
    )
    batched = numbers(3, e, 2)
    own = torch.stack([rel.own(b) for b in batched])
    for k in range(3):
        torch.testing.assert_close(
            rel.propagate(batch, weight=own)[k], rel.propagate(batch[k], weight=rel.own(batched[k]))
        )
    for reduce, extreme in (("max", max), ("min", min)):
        found = rel.propagate(x, reduce=reduce)
        for i in range(n_dst):
            mine = [j for j, to in zip(src, dst) if to == i]
            for k in range(c):
                assert float(found[i, k]) == (extreme(float(x[j, k]) for j in mine) if mine else 0.0)


@settings(max_examples=50, deadline=None)
@given(edge_lists())
def test_random_graphs_agree_with_dense_matrices_and_loops(edges: tuple[list[int], list[int], int, int]) -> None:
    for name in kernels.available():
        with kernels.use(name):
            agrees_with_dense_and_loop(*edges)


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("name", EXAMPLES)
def test_awkward_graphs_agree_with_dense_matrices_and_loops(name: str) -> None:
    agrees_with_dense_and_loop(*EXAMPLES[name])


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("name", EXAMPLES)
def test_awkward_graphs_have_zero_gradients_of_the_right_shape(name: str) -> None:
    src, dst, n_src, n_dst = EXAMPLES[name]
    rel = Relation.from_edges(src, dst, n_src, n_dst)
    for reduce in ("sum", "mean", "max", "min"):
        x = numbers(n_src, 2).requires_grad_()
        w = numbers(len(src)).requires_grad_()
        (rel.propagate(x, weight=w, reduce=reduce) * 0.0).sum().backward()
        assert torch.equal(x.grad, torch.zeros(n_src, 2)) and torch.equal(w.grad, torch.zeros(len(src)))


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize(
    ("dtype", "bound"), [(torch.float32, 1.2e-7), (torch.float64, 2.3e-16), (torch.bfloat16, 7.9e-3)]
)
def test_a_star_is_summed_within_the_rounding_of_its_type(dtype: torch.dtype, bound: float) -> None:
    leaves = 10_000
    inward = Relation.from_edges(torch.arange(1, leaves + 1), torch.zeros(leaves, dtype=torch.int64), leaves + 1, 1)
    x, w = numbers(leaves + 1, 3, dtype=dtype), numbers(leaves, dtype=dtype)
    exact = w.double() @ x[1:].double()
    size = w.double().abs() @ x[1:].double().abs()
    # one rounding of each product and of the result, and in a sum of n numbers an error that grows like sqrt(n)
    steps = 1 if dtype == torch.bfloat16 else leaves**0.5
    y = inward.propagate(x, weight=w)
    assert y.dtype == dtype
    assert bool(((y[0].double() - exact).abs() <= bound * steps * size).all())
    outward = inward.transpose()
    assert torch.equal(outward.propagate(x[:1], weight=outward.own(w))[1:], w[:, None] * x[:1])
    assert torch.equal(outward.propagate(x[:1])[0], torch.zeros(3, dtype=dtype))


@pytest.mark.parametrize("kind", [torch.int64, torch.int32, torch.uint8, np.int32, np.uint16, list])
def test_any_integer_type_of_index_gives_the_same_relation(kind: Any) -> None:
    src, dst = [3, 0, 1, 3], [1, 0, 1, 2]
    made = {list: list}.get(kind) or (
        (lambda v: torch.tensor(v, dtype=kind))
        if isinstance(kind, torch.dtype)
        else (lambda v: np.array(v, dtype=kind))
    )
    rel = Relation.from_edges(made(src), made(dst), 4, 3)
    for found, expected in zip(rel.pairs(), ([0, 3, 1, 3], [0, 1, 1, 2])):
        assert found.dtype == torch.int64 and found.tolist() == expected
    assert rel.edge_map.tolist() == [1, 0, 2, 3] and rel.edge_map.dtype == torch.int64
    assert rel.ptr.tolist() == [0, 1, 3, 4] and rel.ptr.dtype == torch.int64


# own order


@settings(max_examples=50, deadline=None)
@given(edge_lists())
def test_given_edge_k_sits_at_own_position_edge_map_k(edges: tuple[list[int], list[int], int, int]) -> None:
    src, dst, n_src, n_dst = edges
    rel = Relation.from_edges(src, dst, n_src, n_dst)
    own_src, own_dst = (v.tolist() for v in rel.pairs())
    assert sorted(rel.edge_map.tolist()) == list(range(len(src)))
    for k, at in enumerate(rel.edge_map.tolist()):
        assert (own_src[at], own_dst[at]) == (src[k], dst[k])
    # stable: own order is the given order sorted by destination, ties as they came
    assert [at for _, at in sorted((dst[k], k) for k in range(len(src)))] == torch.argsort(rel.edge_map).tolist()
    assert rel.degree.tolist() == [dst.count(i) for i in range(n_dst)]
    w = numbers(len(src), 2)
    assert torch.equal(rel.given(rel.own(w)), w)


@settings(max_examples=50, deadline=None)
@given(edge_lists())
def test_coalescing_merges_equal_pairs_and_sums_their_values(edges: tuple[list[int], list[int], int, int]) -> None:
    src, dst, n_src, n_dst = edges
    rel = Relation.from_edges(src, dst, n_src, n_dst, coalesce=True)
    pairs = sorted(set(zip(dst, src)))
    assert list(zip(*(v.tolist() for v in reversed(rel.pairs())))) == pairs
    assert [pairs[at] for at in rel.edge_map.tolist()] == list(zip(dst, src))
    assert rel.own(torch.ones(len(src), dtype=F64)).tolist() == [float(list(zip(dst, src)).count(p)) for p in pairs]
    w, x = numbers(len(src)), numbers(n_src, 3)
    torch.testing.assert_close(rel.propagate(x, weight=rel.own(w)), dense(src, dst, n_src, n_dst, w) @ x)
    assert torch.equal(rel.given(rel.own(torch.ones(len(src)))), rel.own(torch.ones(len(src)))[rel.edge_map])
    assert rel.ptr.tolist() == [0, *np.cumsum([sum(d == i for d, _ in pairs) for i in range(n_dst)]).tolist()]


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("shape", [(), (2,), (2, 3)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.int64, torch.bool])
def test_values_of_any_type_and_shape_are_translated(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    rel = Relation.from_edges([0, 1, 2, 0], [2, 0, 1, 0], 3, 3)
    w = (torch.arange(4 * int(np.prod(shape))).reshape(4, *shape) % 3).to(dtype)
    own = rel.own(w)
    assert own.dtype == dtype and torch.equal(own[rel.edge_map], w) and torch.equal(rel.given(own), w)


def test_values_are_copied_not_aliased() -> None:
    src, dst = torch.tensor([1, 0]), torch.tensor([0, 1])
    rel = Relation.from_edges(src, dst, 2, 2)
    src[0] = dst[0] = 99
    assert [v.tolist() for v in rel.pairs()] == [[1, 0], [0, 1]]
    array = np.array([1, 0])
    rel = Relation.from_edges(array, array[::-1].copy(), 2, 2)
    array[:] = 7
    assert [v.tolist() for v in rel.pairs()] == [[1, 0], [0, 1]]


# transpose and symmetry


@settings(max_examples=50, deadline=None)
@given(edge_lists())
def test_the_transpose_is_the_adjoint(edges: tuple[list[int], list[int], int, int]) -> None:
    src, dst, n_src, n_dst = edges
    rel = Relation.from_edges(src, dst, n_src, n_dst)
    back = rel.transpose()
    assert (back.n_src, back.n_dst) == (n_dst, n_src)
    w, x, y = numbers(rel.n_edges), numbers(n_src, 2), numbers(n_dst, 2)
    left = (y * rel.propagate(x, weight=w)).sum()
    right = (back.propagate(y, weight=back.own(w)) * x).sum()
    torch.testing.assert_close(left, right, rtol=1e-13, atol=1e-13)
    # given order of the transpose is the own order of the relation; its own order is sorted by source, stably
    assert torch.equal(torch.stack(back.pairs())[:, back.edge_map], torch.stack(rel.pairs()[::-1]))
    sources = rel.pairs()[0].tolist()
    assert torch.argsort(back.edge_map).tolist() == sorted(range(len(sources)), key=lambda k: sources[k])
    again = back.transpose()
    assert sorted(zip(*(v.tolist() for v in again.pairs()))) == sorted(zip(src, dst))
    torch.testing.assert_close(again.propagate(x, weight=again.own(back.own(w))), rel.propagate(x, weight=w))


@settings(max_examples=50, deadline=None)
@given(edge_lists())
def test_symmetry_counts_multiplicity(edges: tuple[list[int], list[int], int, int]) -> None:
    src, dst, n_src, n_dst = edges
    rel = Relation.from_edges(src, dst, n_src, n_dst)
    assert rel.is_symmetric == (n_src == n_dst and sorted(zip(src, dst)) == sorted(zip(dst, src)))
    both = Relation.from_edges(src + dst, dst + src, max(n_src, n_dst), max(n_src, n_dst))
    assert both.is_symmetric


def test_loops_are_the_own_edges_from_a_node_to_itself() -> None:
    rel = Relation.from_edges([1, 0, 2, 2], [0, 0, 1, 2], 3, 3)
    assert rel.loops.tolist() == [1, 3]


@pytest.mark.usefixtures("backend")
def test_order_of_edges_and_nodes_changes_nothing() -> None:
    n, e = 40, 300
    src, dst, w, x = torch.randint(n, (e,)), torch.randint(n, (e,)), numbers(e), numbers(n, 3)

    def total(src: Tensor, dst: Tensor, w: Tensor, x: Tensor, reduce: str) -> Tensor:
        rel = Relation.from_edges(src, dst, n, n)
        return rel.propagate(x, lambda a, b, edge: torch.tanh(a - b) * edge, edge=rel.own(w)[:, None], reduce=reduce)

    shuffle, rename = torch.randperm(e), torch.randperm(n)
    moved = torch.empty_like(x)
    moved[rename] = x
    for reduce in ("sum", "mean", "max", "min"):
        y = total(src, dst, w, x, reduce)
        z = total(src[shuffle], dst[shuffle], w[shuffle], x, reduce)
        renamed = total(rename[src], rename[dst], w, moved, reduce)[rename]
        assert float((y - z).abs().max()) <= 1e-12 and float((y - renamed).abs().max()) <= 1e-12


# messages


@pytest.mark.usefixtures("backend")
def test_messages_see_source_destination_and_edge() -> None:
    rel = Relation.from_edges([0, 1, 2], [1, 1, 0], 3, 2)
    x, y = numbers(3, 2), numbers(2, 2)
    edge = rel.own(torch.tensor([10.0, 20.0, 30.0], dtype=F64))[:, None]
    out = rel.propagate(x, lambda a, b, w: w * (a - b), x_dst=y, edge=edge)
    torch.testing.assert_close(out, torch.stack([30 * (x[2] - y[0]), 10 * (x[0] - y[1]) + 20 * (x[1] - y[1])]))
    assert torch.equal(rel.gather(x), x[rel.pairs()[0]]) and torch.equal(rel.gather_dst(y), y[rel.pairs()[1]])


@pytest.mark.usefixtures("backend")
def test_blocks_act_on_the_channels_of_each_message() -> None:
    rel = Relation.from_edges([0, 1, 1, 2], [1, 0, 1, 1], 3, 2)
    block, x, w = numbers(4, 3, 2), numbers(5, 3, 2), numbers(4)
    own_src, own_dst = (v.tolist() for v in rel.pairs())
    expected = torch.zeros(5, 2, 3, dtype=F64)
    for k, (j, i) in enumerate(zip(own_src, own_dst)):
        expected[:, i] += w[k] * (x[:, j] @ block[k].T)
    torch.testing.assert_close(rel.propagate(x, block=block, weight=w), expected)


@pytest.mark.usefixtures("backend")
def test_an_extremum_of_nan_is_nan_and_ties_go_to_the_first_edge() -> None:
    rel = Relation.from_edges([0, 1, 2, 2], [0, 0, 0, 1], 3, 2)
    x = torch.tensor([[1.0], [float("nan")], [5.0]], dtype=F64)
    for reduce in ("max", "min"):
        y = rel.propagate(x, reduce=reduce)
        assert bool(y[0].isnan()) and float(y[1]) == 5.0
    tie = torch.ones(3, 1, dtype=F64, requires_grad=True)
    rel.propagate(tie, reduce="max").sum().backward()
    assert tie.grad.flatten().tolist() == [1.0, 0.0, 1.0]


# types and layouts


@pytest.mark.usefixtures("backend")
def test_the_state_decides_the_type_and_weights_lose_nothing() -> None:
    rel = Relation.from_edges([0, 1, 2, 0], [1, 0, 1, 1], 3, 2)
    w = torch.tensor([0.5, 0.25, 2.0, 1.0], dtype=F64)
    for reduce in ("sum", "mean", "max"):
        for dtype in (torch.float32, torch.bfloat16, torch.float64):
            assert rel.propagate(torch.ones(3, 1, dtype=dtype), weight=w, reduce=reduce).dtype == dtype
    # whole numbers take the type of their weights instead of cutting them off
    assert rel.propagate(torch.ones(3, 1, dtype=torch.int64), weight=w).flatten().tolist() == [0.5, 3.25]
    assert rel.propagate(torch.ones(3, 1, dtype=F64), weight=torch.tensor([1, 2, 3, 4])).flatten().tolist() == [
        1.0,
        9.0,
    ]
    assert rel.propagate(torch.ones(3, 1, dtype=torch.int64)).dtype == torch.int64
    # truth values are counted
    assert rel.propagate(torch.ones(3, 1, dtype=torch.bool)).flatten().tolist() == [1, 3]
    assert rel.propagate(torch.ones(3, 1, dtype=torch.bool), reduce="mean").flatten().tolist() == [1.0, 1.0]


@pytest.mark.usefixtures("backend")
def test_gradients_reach_weights_of_another_type() -> None:
    rel = Relation.from_edges([0, 1, 2, 0], [1, 0, 1, 1], 3, 2)
    w = numbers(4).requires_grad_()
    x = numbers(3, 2, dtype=torch.float32).requires_grad_()
    rel.propagate(x, weight=w).sum().backward()
    assert w.grad.dtype == F64 and x.grad.dtype == torch.float32
    torch.testing.assert_close(w.grad, x.detach().double().sum(1)[rel.pairs()[0]])


@pytest.mark.usefixtures("backend")
def test_complex_values_and_weights_keep_their_imaginary_part() -> None:
    rel = Relation.from_edges([0, 1, 2, 0], [1, 0, 1, 1], 3, 2)
    w = torch.randn(4, dtype=torch.complex128)
    x = numbers(3, 2)
    a = torch.zeros(2, 3, dtype=torch.complex128).index_put(rel.pairs()[::-1], w, accumulate=True)
    torch.testing.assert_close(rel.propagate(x, weight=w), a @ x.to(w.dtype))
    z = torch.randn(3, 2, dtype=torch.complex128, requires_grad=True)
    assert torch.autograd.gradcheck(lambda z, w: rel.propagate(z, weight=w), (z, w.requires_grad_()))


@pytest.mark.usefixtures("backend")
def test_any_memory_layout_gives_the_same_numbers() -> None:
    n, e = 30, 200
    src, dst = torch.randint(n, (e,)), torch.randint(n, (e,))
    rel = Relation.from_edges(src, dst, n, n)
    plain, w = numbers(n, 6), numbers(e)
    expected = rel.propagate(plain, weight=w)
    strided = torch.empty(n, 12, dtype=F64)[:, ::2].copy_(plain)
    transposed = plain.T.contiguous().T
    flipped = plain.flip(1)
    column = numbers(e, 3).index_copy(1, torch.tensor([1]), w[:, None])[:, 1]
    for x in (strided, transposed):
        for weight in (w, column):
            torch.testing.assert_close(rel.propagate(x, weight=weight), expected, rtol=1e-14, atol=1e-14)
    torch.testing.assert_close(rel.propagate(flipped, weight=column).flip(1), expected, rtol=1e-14, atol=1e-14)
    batch = plain.T.reshape(2, 3, n).transpose(1, 2)  # [2, n, 3]
    torch.testing.assert_close(rel.propagate(batch, weight=w)[1], rel.propagate(batch[1].contiguous(), weight=w))
    one = plain[:, :1].expand(n, 6)
    torch.testing.assert_close(rel.propagate(one, weight=w)[:, 5:], rel.propagate(plain[:, :1].contiguous(), weight=w))


@pytest.mark.usefixtures("backend")
def test_automatic_mixed_precision_leaves_the_product_alone() -> None:
    rel = Relation.from_edges([0, 1, 2, 0], [1, 0, 1, 1], 3, 2)
    x, w = numbers(3, 2, dtype=torch.float32), numbers(4, dtype=torch.float32)
    expected = rel.propagate(x, weight=w)
    dots, attended = rel.dot(expected, x), rel.attend(expected, x, x)
    wanted = torch.autograd.grad(rel.propagate(x, weight=w.requires_grad_()).sin().sum(), w)[0]
    for name in kernels.available():
        with kernels.use(name), torch.autocast("cpu", dtype=torch.bfloat16):
            torch.testing.assert_close(rel.propagate(x, weight=w).detach(), expected)
            torch.testing.assert_close(rel.propagate(x.clone().requires_grad_(), weight=w).detach(), expected)
            torch.testing.assert_close(rel.dot(expected, x), dots)
            torch.testing.assert_close(rel.attend(expected, x, x), attended)
            torch.testing.assert_close(torch.autograd.grad(rel.propagate(x, weight=w).sin().sum(), w)[0], wanted)


# a frozen value


def test_a_relation_is_frozen_and_prepare_returns_itself() -> None:
    rel = Relation.from_edges([0], [1], 2, 2)
    with pytest.raises(AttributeError, match="Relation is frozen; build a new one instead of setting 'n_src'"):
        rel.n_src = 3
    assert rel.prepare() is rel and {"sides", "_to_dst", "_to_src", "_to_own"} <= set(vars(rel))
    assert rel.transpose() is rel.transpose()
    assert repr(rel) == "Relation(2 -> 2, 1 edges)"


def test_moving_to_the_same_device_is_free() -> None:
    rel = Relation.from_edges([0, 1], [1, 0], 2, 2)
    assert rel.to("cpu") is rel and rel.to() is rel and rel.to("cpu", torch.float32) is rel


@pytest.mark.usefixtures("backend")
@pytest.mark.gpu
def test_a_relation_moves_to_the_gpu_and_back() -> None:
    src, dst = torch.randint(50, (400,)), torch.randint(40, (400,))
    rel = Relation.from_edges(src, dst, 50, 40)
    x, w = numbers(50, 6), numbers(400)
    built_there = Relation.from_edges(src.cuda(), dst.cuda(), 50, 40)
    for there in (rel.to("cuda"), built_there):
        assert there.device.type == "cuda" and torch.equal(there.edge_map.cpu(), rel.edge_map)
        torch.testing.assert_close(there.propagate(x.cuda(), weight=w.cuda()).cpu(), rel.propagate(x, weight=w))
        torch.testing.assert_close(there.to("cpu").propagate(x, weight=w), rel.propagate(x, weight=w))


# refusals


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([0, 1, 7], [1, 0, 0], 2, 2), GraphError, r"src\[2\] = 7 is out of range, expected 0..1"),
        (([0, 1], [1, -3], 2, 2), GraphError, r"dst\[1\] = -3 is out of range, expected 0..1"),
        (([0.0, 1.0], [1, 0], 2, 2), IndexTypeError, "src has type torch.float32, expected integer node numbers"),
        (([0, 1], torch.tensor([True, False]), 2, 2), IndexTypeError, "dst has type torch.bool"),
        (([0, 1], [1], 2, 2), ShapeError, "src has 2 entries and dst 1, expected equal lengths"),
        ((torch.zeros(2, 2, dtype=torch.int64), [1], 2, 2), ShapeError, r"src has shape \[2, 2\], expected \[e\]"),
        (([], [], -1, 2), GraphError, "n_src = -1, expected a whole number of nodes >= 0"),
        (([], [], 1, 2.5), GraphError, "n_dst = 2.5, expected a whole number of nodes >= 0"),
    ],
)
def test_wrong_edges_are_refused(arguments: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Relation.from_edges(*arguments)
    assert issubclass(IndexTypeError, TypeError) and issubclass(GraphError, ValueError)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda r: r.propagate(torch.ones(4, 2)), ShapeError, r"x has shape \[4, 2\], expected \[\*, 3, c\]"),
        (lambda r: r.propagate(torch.ones(3)), ShapeError, r"x has shape \[3\], expected \[\*, 3, c\]"),
        (lambda r: r.gather(torch.ones(5, 1)), ShapeError, r"x has shape \[5, 1\], expected \[\*, 3, c\]"),
        (lambda r: r.gather_dst(torch.ones(3, 1)), ShapeError, r"x_dst has shape \[3, 1\], expected \[\*, 2, c\]"),
        (lambda r: r.collect(torch.ones(3, 1)), ShapeError, r"messages have shape \[3, 1\], expected \[\*, 4, c\]"),
        (
            lambda r: r.collect(torch.ones(4, 1), "median"),
            InputError,
            "unknown reduce 'median'; known: sum, mean, max, min",
        ),
        (lambda r: r.propagate(torch.ones(3, 1), reduce="prod"), InputError, "unknown reduce 'prod'"),
        (
            lambda r: r.propagate(torch.ones(3, 2), weight=torch.ones(3)),
            ShapeError,
            r"weight has shape \[3\], expected \[4\]",
        ),
        (lambda r: r.propagate(torch.ones(3, 2), weight=torch.ones(1), reduce="max"), ShapeError, "weight has shape"),
        (
            lambda r: r.propagate(torch.ones(3, 2), weight=torch.ones(())),
            ShapeError,
            r"weight has shape \[\], expected",
        ),
        (lambda r: r.propagate(torch.ones(3, 3), weight=torch.ones(4, 2)), ShapeError, "with h dividing 3"),
        (
            lambda r: r.propagate(torch.ones(2, 3, 2), weight=torch.ones(5, 4, 1)),
            ShapeError,
            r"weight has batch \[5\], x \[2\], expected batches that broadcast",
        ),
        (
            lambda r: r.propagate(torch.ones(3, 2), lambda a, b, e: a - b),
            ShapeError,
            "x_dst is needed: 3 sources and 2",
        ),
        (lambda r: r.own(torch.ones(3)), ShapeError, r"edge values have shape \[3\], expected one per given edge: 4"),
        (lambda r: r.own(torch.ones(())), ShapeError, r"edge values have shape \[\], expected one per given edge: 4"),
        (lambda r: r.given(torch.ones(5)), ShapeError, r"edge values have shape \[5\], expected one per own edge: 4"),
        (lambda r: r.dot(torch.ones(2, 1), torch.ones(3, 2)), ShapeError, "expected equal batch and channels"),
        (
            lambda r: r.dot(torch.ones(3, 2), torch.ones(3, 2)),
            ShapeError,
            r"y has shape \[3, 2\], expected \[\*, 2, c\]",
        ),
    ],
)
def test_sizes_that_do_not_fit_are_refused(call: Any, error: type[Exception], message: str) -> None:
    rel = Relation.from_edges([0, 1, 2, 0], [1, 0, 1, 1], 3, 2)
    with pytest.raises(error, match=message):
        call(rel)


def test_an_unknown_backend_lists_the_known_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        pytest.raises(InputError, match="unknown kernel backend 'cusparse'; known: csr, native, reference"),
        kernels.use("cusparse"),
    ):
        pass
    with kernels.use("auto"):
        monkeypatch.setenv("GRAPHPDE_KERNELS", "referenc")
        assert kernels.backend_name() == ("csr" if kernels.missing("native") else "native")
    kernels_forced, kernels._forced[:] = list(kernels._forced), []
    try:
        with pytest.raises(InputError, match="did you mean 'reference'"):
            Relation.from_edges([0], [0], 1, 1).propagate(torch.ones(1, 1))
        monkeypatch.setenv("GRAPHPDE_KERNELS", "reference")
        assert kernels.backend_name() == "reference"
    finally:
        kernels._forced[:] = kernels_forced
