"""Messages in slices of the edges: the same values and derivatives as all edges at once, in bounded memory."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode

from graphpde.core import chunks, kernels
from graphpde.core.relation import Relation
from graphpde.errors import InputError, ShapeError

F64 = torch.float64
REDUCTIONS = ["sum", "mean", "max", "min"]

# rows of 5, 0, 1, 8, 0, 0 and 2 edges: longer than a slice, empty before, between and behind; parallel edges, loops
SRC = [3, 0, 3, 6, 1, 5, 0, 0, 2, 3, 3, 4, 6, 1, 2, 6]
DST = [0, 0, 0, 0, 0, 2, 3, 3, 3, 3, 3, 3, 3, 3, 6, 6]
E = len(SRC)
RELATIONS = {
    "long rows": Relation.from_edges(SRC, DST, 7, 7),
    "isolated at both ends": Relation.from_edges([4, 4, 4, 2], [1, 1, 1, 3], 5, 6),
    "one row": Relation.from_edges([0, 1, 2, 0, 1], [0, 0, 0, 0, 0], 3, 1),
    "no edges": Relation.from_edges([], [], 3, 4),
    "no nodes": Relation.from_edges([], [], 0, 0),
}
LONG = RELATIONS["long rows"]


class Values(NamedTuple):
    """What a message reads beside x, and what it captures."""

    x: Tensor
    x_dst: Tensor
    scale: Tensor
    shift: Tensor
    weight: Tensor
    matrix: Tensor


class Edge(NamedTuple):
    scale: Tensor
    more: dict[str, Any]


def values(rel: Relation, *batch: int, grad: bool = False) -> Values:
    e = rel.n_edges
    shapes = ((*batch, rel.n_src, 2), (*batch, rel.n_dst, 2), (e,), (*batch, e, 2), (e, 2), (2, 4))
    return Values(*(torch.randn(*shape, dtype=F64).requires_grad_(grad) for shape in shapes))


def sent(rel: Relation, v: Values, reduce: str, size: int | None) -> Tensor:
    """A message that reads everything: both ends, a tree of edge values, a number, a captured parameter, weights."""

    def message(a: Tensor, b: Tensor, edge: Edge) -> Tensor:
        inner = torch.tanh((a - edge.more["factor"] * b) @ v.matrix)
        return inner * edge.scale[:, None] + edge.more["shift"] @ v.matrix

    edge = Edge(v.scale, {"shift": v.shift, "factor": 0.5, "nothing": None})
    return rel.propagate(v.x, message, x_dst=v.x_dst, edge=edge, weight=v.weight, reduce=reduce, chunk_edges=size)


def close(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("reduce", REDUCTIONS)
@pytest.mark.parametrize("size", [1, 3, 7, E, E + 1])
@pytest.mark.parametrize("name", RELATIONS)
def test_slices_change_neither_values_nor_gradients(name: str, size: int, reduce: str) -> None:
    rel = RELATIONS[name]
    for batch in ((), (3,)):
        v = values(rel, *batch, grad=True)
        whole, cut = sent(rel, v, reduce, None), sent(rel, v, reduce, size)
        close(cut, whole)
        g = torch.randn_like(whole)
        for a, b in zip(torch.autograd.grad(cut, v, g), torch.autograd.grad(whole, v, g)):
            close(a, b)


@pytest.mark.parametrize("name", kernels.available())
def test_every_backend_works_in_slices(name: str) -> None:
    v = values(LONG, grad=True)
    for reduce in REDUCTIONS:
        expected = torch.autograd.grad(sent(LONG, v, reduce, None).sin().sum(), v)
        with kernels.use(name):
            found = torch.autograd.grad(sent(LONG, v, reduce, 3).sin().sum(), v)
        for a, b in zip(found, expected):
            close(a, b)


def test_rows_that_fit_are_summed_bit_by_bit_as_ever() -> None:
    rel = Relation.from_edges(torch.randint(60, (500,)), torch.randint(60, (500,)), 60, 60)
    x = torch.randn(60, 3)
    whole = rel.propagate(x, lambda a, b, edge: a * b)
    assert torch.equal(rel.propagate(x, lambda a, b, edge: a * b, chunk_edges=64), whole)
    once, twice = (rel.propagate(x, lambda a, b, edge: a * b, chunk_edges=5) for _ in range(2))
    assert torch.equal(once, twice)


@pytest.mark.parametrize("size", [1, 2, 4, 100])
def test_the_first_winner_takes_the_gradient_and_a_nan_wins_across_slices(size: int) -> None:
    star = Relation.from_edges([0, 1, 2, 3, 4, 5], [0] * 6, 6, 1)
    for reduce, sign in (("max", 1.0), ("min", -1.0)):
        x = (sign * torch.tensor([[1.0, 2.0], [3.0, 2.0], [3.0, 0.0], [0.0, 2.0], [3.0, 2.0], [3.0, 1.0]])).double()
        x.requires_grad_()
        y = star.propagate(x, lambda a, b, edge: a, x_dst=x[:1], reduce=reduce, chunk_edges=size)
        y.sum().backward()
        assert y.tolist() == [[sign * 3.0, sign * 2.0]]
        assert x.grad is not None
        assert x.grad[:, 0].tolist() == [0, 1, 0, 0, 0, 0] and x.grad[:, 1].tolist() == [1, 0, 0, 0, 0, 0]
        for k in range(6):
            holed = x.detach().clone()
            holed[k] = torch.nan
            y = star.propagate(holed, lambda a, b, edge: a, x_dst=x[:1], reduce=reduce, chunk_edges=size)
            assert bool(y.isnan().all())


def test_slices_hold_whole_rows_or_parts_of_one_long_row() -> None:
    for size in range(1, E):
        cut = chunks.of(LONG, size)
        assert chunks.of(LONG, size) is cut
        counts = [chunk.relation.n_edges for chunk in cut]
        assert sum(counts) == E and max(counts) <= size
        assert sum(chunk.relation.n_dst for chunk in cut if not chunk.goes_on) == LONG.n_dst
        for before, chunk in itertools.pairwise(cut):
            if chunk.goes_on:
                assert before.relation.n_dst == chunk.relation.n_dst == 1 and before.relation.n_edges == size
    degrees = [[int(d) for d in chunk.relation.degree] for chunk in chunks.of(LONG, 6)]
    assert degrees == [[5, 0, 1], [6], [2], [0, 0, 2]]


def test_weighted_extrema_and_blocks_need_no_message() -> None:
    v = values(LONG, grad=True)
    block = torch.randn(E, 3, 2, dtype=F64, requires_grad=True)
    for reduce in REDUCTIONS:
        extras: list[dict[str, Any]] = [{"weight": v.weight}, {"weight": v.scale}, {"block": block}, {}]
        for extra in extras:
            whole = LONG.propagate(v.x, reduce=reduce, **extra)
            cut = LONG.propagate(v.x, reduce=reduce, chunk_edges=3, **extra)
            close(cut, whole)
            read = [v.x, *extra.values()]
            g = torch.randn_like(whole)
            for a, b in zip(torch.autograd.grad(cut, read, g), torch.autograd.grad(whole, read, g)):
                close(a, b)


def test_counts_and_types_stay() -> None:
    x = torch.arange(7)[:, None]
    messages: list[Any] = [lambda a, b, edge: a - b, lambda a, b, edge: a < b]
    for reduce in REDUCTIONS:
        for message in messages if reduce in ("sum", "mean") else messages[:1]:
            whole = LONG.propagate(x, message, reduce=reduce)
            cut = LONG.propagate(x, message, reduce=reduce, chunk_edges=3)
            assert cut.dtype == whole.dtype and torch.equal(cut, whole)


# derivatives


@pytest.mark.grad
@pytest.mark.parametrize("reduce", REDUCTIONS)
def test_first_and_second_derivatives_by_differences(reduce: str) -> None:
    v = tuple(values(LONG, grad=True))

    def f(*parts: Tensor) -> Tensor:
        return sent(LONG, Values(*parts), reduce, 3)

    assert torch.autograd.gradcheck(f, v, fast_mode=True, check_forward_ad=True, check_batched_grad=True)
    assert torch.autograd.gradgradcheck(f, v, fast_mode=True)


@pytest.mark.grad
@pytest.mark.parametrize("reduce", REDUCTIONS)
def test_transforms_see_the_same_function(reduce: str) -> None:
    v, many = values(LONG), values(LONG, 3)

    def alone(x: Tensor, scale: Tensor, size: int | None) -> Tensor:
        return sent(LONG, v._replace(x=x, scale=scale), reduce, size)

    def both(use: Callable[[Callable[..., Tensor]], Any]) -> None:
        found, expected = (use(lambda x, s=v.scale, size=size: alone(x, s, size)) for size in (3, None))
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)

    func, tangent = torch.func, torch.randn_like(v.x)
    both(lambda f: func.jvp(f, (v.x,), (tangent,)))
    both(lambda f: func.jvp(lambda s: f(v.x, s), (v.scale,), (v.scale.cos(),)))
    both(lambda f: func.jvp(lambda y: func.jvp(f, (y,), (tangent,))[1], (v.x,), (tangent,)))
    both(lambda f: torch.vmap(f)(many.x))
    both(lambda f: func.grad(lambda x: f(x).sin().sum())(v.x))
    both(lambda f: torch.vmap(func.grad(lambda x: f(x).sin().sum()))(many.x))
    both(lambda f: func.hessian(lambda x: f(x).sin().sum())(v.x))
    x = many.x.requires_grad_()
    both(lambda f: torch.autograd.grad(torch.vmap(f)(x).sin().sum(), x)[0])  # reverse over a finished vmap


@pytest.mark.grad
def test_gradients_reach_what_the_message_captures_when_nothing_else_has_one() -> None:
    layer = torch.nn.Linear(2, 2, dtype=F64)
    x = torch.randn(7, 2, dtype=F64)
    scale = torch.randn((), dtype=F64, requires_grad=True)
    softened = scale.exp()  # captured, but no leaf

    def loss(size: int | None) -> Tensor:
        return LONG.propagate(x, lambda a, b, edge: layer(a - b).tanh() * softened, chunk_edges=size).square().sum()

    wanted = (*layer.parameters(), scale)
    found, expected = (torch.autograd.grad(loss(size), wanted, retain_graph=True) for size in (3, None))
    for a, b in zip(found, expected):
        close(a, b)
    loss(3).backward()
    assert layer.weight.grad is not None
    close(layer.weight.grad, expected[0])


@pytest.mark.grad
def test_dropout_in_a_message_is_the_same_when_it_is_worked_again() -> None:
    x = torch.randn(7, 4, dtype=F64, requires_grad=True)
    y = LONG.propagate(x, lambda a, b, edge: torch.dropout(a, 0.5, True), chunk_edges=3).sum()
    (g,) = torch.autograd.grad(y, x)
    close((g * x).sum(), y)  # linear in x for the noise that was drawn


@pytest.mark.grad
def test_slices_may_meet_disabled_hooks_and_gradients_switched_off() -> None:
    v = values(LONG, grad=True)
    with torch.autograd.graph.disable_saved_tensors_hooks("none here"):
        y = sent(LONG, v, "sum", 3)
    close(torch.autograd.grad(y.sum(), v.x)[0], torch.autograd.grad(sent(LONG, v, "sum", None).sum(), v.x)[0])
    for off in (torch.no_grad(), torch.inference_mode()):
        fresh = Relation.from_edges(SRC, DST, 7, 7)  # whose slices are built in here
        with off:
            assert torch.equal(sent(fresh, v, "mean", 4), sent(fresh, v, "mean", 4))
        torch.autograd.grad(sent(fresh, v, "mean", 4).sum(), v)


@pytest.mark.grad
def test_slices_first_cut_inside_a_transform_are_right_outside() -> None:
    v = values(LONG)
    x = v.x.clone().requires_grad_()
    expected = torch.autograd.grad(sent(LONG, v._replace(x=x), "max", None).sum(), x)[0]
    for name in ("jvp", "grad", "vmap"):
        fresh = Relation.from_edges(SRC, DST, 7, 7)

        def f(x: Tensor, rel: Relation = fresh) -> Tensor:
            return sent(rel, v._replace(x=x), "max", 3)

        if name == "jvp":
            torch.func.jvp(f, (v.x,), (v.x,))
        elif name == "grad":
            torch.func.grad(lambda y: f(y).sum())(v.x)
        else:
            torch.vmap(f)(v.x[None])
        for chunk in chunks.of(fresh, 3):
            kept = [part for part in (*vars(chunk.relation).values(), chunk.sources) if isinstance(part, Tensor)]
            assert kept and not any(torch._C._functorch.is_functorch_wrapped_tensor(part) for part in kept)
        close(torch.autograd.grad(f(x).sum(), x)[0], expected)


@pytest.mark.grad
@pytest.mark.parametrize("reduce", ["sum", "max"])
def test_compiled_slices_are_the_same(reduce: str) -> None:
    rel = Relation.from_edges(SRC, DST, 7, 7).prepare(chunk_edges=6)
    x = torch.randn(7, 2, dtype=F64, requires_grad=True)
    matrix = torch.randn(2, 2, dtype=F64, requires_grad=True)

    def f(x: Tensor, size: int | None = 6) -> Tensor:
        return rel.propagate(x, lambda a, b, edge: torch.tanh((a - b) @ matrix), reduce=reduce, chunk_edges=size)

    torch._dynamo.reset()
    found, expected = torch.compile(f, fullgraph=True, backend="aot_eager")(x), f(x, None)
    close(found, expected)
    g = torch.randn_like(expected)
    for a, b in zip(torch.autograd.grad(found, (x, matrix), g), torch.autograd.grad(expected, (x, matrix), g)):
        close(a, b)


# memory


class Watch(TorchDispatchMode):
    """Every tensor that an operation hands out: the largest, and how many numbers live at once (bytes / item)."""

    def __init__(self, item: int) -> None:
        super().__init__()
        self.item, self.largest, self.peak = item, 0, 0.0
        self.inputs: set[int] = set()
        self.known: dict[int, tuple[StorageWeakRef, int]] = {}

    def live(self) -> float:
        self.known = {key: pair for key, pair in self.known.items() if not pair[0].expired()}
        return sum(size for _, size in self.known.values()) / self.item

    def ignore(self, *tensors: Tensor) -> None:
        self.inputs = {StorageWeakRef(x.untyped_storage()).cdata for x in tensors}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for x in out if isinstance(out, tuple | list) else [out]:
            if isinstance(x, Tensor):
                storage = x.untyped_storage()
                reference = StorageWeakRef(storage)
                if reference.cdata in self.inputs:
                    continue
                self.largest = max(self.largest, x.numel())
                self.known[reference.cdata] = reference, storage.nbytes()
        self.peak = max(self.peak, self.live())
        return out


N, C, EDGES, WIDTH = 300, 8, 9000, 32


@pytest.mark.parametrize("reduce", REDUCTIONS)
@pytest.mark.parametrize("size", [100, 1200])
def test_memory_is_bounded_by_nodes_and_slices(size: int, reduce: str) -> None:
    src, dst = torch.randint(N, (EDGES,)), torch.randint(N, (EDGES,))
    dst[: EDGES // 4] = 7  # one row longer than any slice
    rel = Relation.from_edges(src, dst, N, N).prepare(chunk_edges=size)
    rel.degree  # noqa: B018
    inner, outer = (torch.randn(*shape, requires_grad=True) for shape in ((C, WIDTH), (WIDTH, C)))
    x = torch.randn(N, C, requires_grad=True)

    def run(chunk_edges: int | None) -> tuple[Watch, float]:
        watch = Watch(item=4)
        watch.ignore(x, inner, outer)
        with watch:
            y = rel.propagate(x, lambda a, b, edge: (a - b) @ inner @ outer, reduce=reduce, chunk_edges=chunk_edges)
            held = watch.live()
            torch.autograd.grad(y, (x, inner, outer), torch.ones_like(y))
        return watch, held

    watch, held = run(size)
    assert watch.largest <= max(N * C, size * WIDTH)
    states = 2 * 5056 / 4 * len(chunks.of(rel, size))  # of the generator, for every slice
    assert held <= 2 * N * C + states  # the result, and the counts or masks of split rows
    # both ends, their difference, the hidden layer, the message; the same for the gradient; slots of extrema in int64
    per_edge = 2 * (4 * C + WIDTH) + 4 * C
    assert watch.peak <= 6 * N * C + size * per_edge + states + 2 * C * WIDTH
    whole, held = run(None)
    assert whole.largest == EDGES * WIDTH  # the yardstick sees what it should
    assert held > EDGES * WIDTH and whole.peak > 3 * watch.peak


# refusals


@pytest.mark.parametrize("size", [0, -3, 2.0, True])
def test_a_slice_needs_a_whole_number_of_edges(size: Any) -> None:
    with pytest.raises(InputError, match=f"chunk_edges = {size}, expected a whole number of edges >= 1"):
        LONG.propagate(torch.ones(7, 1), lambda a, b, edge: a, chunk_edges=size)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"edge": torch.ones(5)}, r"edge has shape \[5\], expected one row per edge, \[16\] or \[\*, 16, k\]"),
        ({"edge": (torch.ones(16, 3, 3),)}, r"edge has shape \[16, 3, 3\], expected one row per edge"),
        ({"edge": {"a": object()}}, "edge holds an object of type object, expected tensors with one row per edge"),
        ({"weight": torch.ones(15)}, r"weight has shape \[15\], expected one row per edge"),
        ({"x_dst": torch.ones(6, 1)}, r"x_dst has shape \[6, 1\], expected \[\*, 7, c\]"),
        ({"reduce": "median"}, "unknown reduce 'median'"),
        ({"block": torch.ones(16, 1, 1)}, "block and message exclude each other"),
    ],
)
def test_what_cannot_be_cut_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        LONG.propagate(torch.ones(7, 1), lambda a, b, edge: a, chunk_edges=3, **given)


def test_sizes_that_do_not_fit_are_refused_in_slices_too() -> None:
    with pytest.raises(ShapeError, match=r"x has shape \[6, 1\], expected \[\*, 7, c\]"):
        LONG.propagate(torch.ones(6, 1), lambda a, b, edge: a, chunk_edges=3)
    with pytest.raises(ShapeError, match="x_dst is needed: 5 sources and 6 destinations"):
        RELATIONS["isolated at both ends"].propagate(torch.ones(5, 1), lambda a, b, edge: a, chunk_edges=2)
    with pytest.raises(ShapeError, match=r"block has shape \[15, 1, 1\], expected one row per edge"):
        LONG.propagate(torch.ones(7, 1), block=torch.ones(15, 1, 1), reduce="max", chunk_edges=3)
