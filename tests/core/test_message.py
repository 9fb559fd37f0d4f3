"""The sum over edges under every transform of torch, for states and for weights, on every backend.

The oracle is a dense selection matrix and plain indexing; second derivatives of it are taken twice in reverse, the one
nesting that never was wrong.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor
from torch import library as registration
from torch.utils._python_dispatch import TorchDispatchMode

from graphpde.core import kernels, message
from graphpde.core.kernels import Plan, csr
from graphpde.core.message import Sides
from graphpde.core.relation import Relation
from graphpde.core.tracing import Route, route

pytestmark = pytest.mark.grad
F64 = torch.float64


@pytest.fixture(params=kernels.available())
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    with kernels.use(request.param):
        yield request.param


# two relations: 4 -> 3 with parallel edges and a destination without any; 3 -> 3 with a self-loop
ACROSS = Relation.from_edges([0, 3, 1, 3, 3, 0], [2, 0, 0, 0, 2, 0], 4, 3)
WITHIN = Relation.from_edges([0, 1, 2, 2, 1], [1, 0, 1, 2, 1], 3, 3)
MERGED = Relation.from_edges([0, 1, 0, 2], [1, 0, 1, 0], 3, 2, coalesce=True)


class Case(NamedTuple):
    """What is differentiated, the same in dense arithmetic, and the shapes of its inputs."""

    ours: Callable[..., Tensor]
    oracle: Callable[..., Tensor]
    shapes: tuple[tuple[int, ...], ...]


def selection(rel: Relation) -> Tensor:
    """[n_dst, e] with 1 where an edge ends."""
    return torch.nn.functional.one_hot(rel.pairs()[1], rel.n_dst).T.to(F64)


def collected(rel: Relation, m: Tensor, reduce: str = "sum") -> Tensor:
    if reduce in ("sum", "mean"):
        s = selection(rel)
        return (s if reduce == "sum" else s / s.sum(1, keepdim=True).clamp(min=1)) @ m
    rows = []
    for i in range(rel.n_dst):
        mine = m[..., rel.pairs()[1] == i, :]
        sign = 1 if reduce == "max" else -1
        rows.append(sign * (sign * mine).amax(-2) if mine.shape[-2] else m.sum(-2) * 0)
    return torch.stack(rows, -2)


def weighted(rel: Relation, x: Tensor, w: Tensor | None, reduce: str = "sum") -> Tensor:
    m = x[..., rel.pairs()[0], :]
    if w is not None:
        w = w[:, None] if w.dim() == 1 else w
        m = m * w.repeat_interleave(m.shape[-1] // w.shape[-1], -1)
    return collected(rel, m, reduce)


def product(shapes: tuple[tuple[int, ...], ...], reduce: str = "sum") -> Case:
    return Case(
        lambda x, w=None: ACROSS.propagate(x, weight=w, reduce=reduce),
        lambda x, w=None: weighted(ACROSS, x, w, reduce),
        shapes,
    )


def pointwise(a: Tensor, b: Tensor, edge: Tensor) -> Tensor:
    return torch.sin(a - b) * edge * a


def collection(reduce: str) -> Case:
    return Case(lambda m: ACROSS.collect(m, reduce), lambda m: collected(ACROSS, m, reduce), ((6, 2),))


CASES = {
    "x": product(((4, 2),)),
    "x [b]": product(((2, 4, 1),)),
    "x, w [e]": product(((4, 2), (6,))),
    "x [b], w [e]": product(((2, 4, 2), (6,))),
    "x, w [e, h]": product(((4, 4), (6, 2))),
    "x [b], w [e, h]": product(((2, 4, 2), (6, 2))),
    "x [b], w [b, e, h]": product(((2, 4, 2), (2, 6, 2))),
    "x, w [b, e, 1]": product(((4, 2), (2, 6, 1))),
    "mean of x, w [e]": product(((4, 2), (6,)), "mean"),
    "max of x, w [e]": product(((4, 2), (6,)), "max"),
    "min of x, w [e, h]": product(((4, 2), (6, 2)), "min"),
    "gather": Case(ACROSS.gather, lambda x: x[..., ACROSS.pairs()[0], :], ((2, 4, 2),)),
    "gather_dst": Case(ACROSS.gather_dst, lambda x: x[..., ACROSS.pairs()[1], :], ((3, 2),)),
    "collect sum": collection("sum"),
    "collect mean": collection("mean"),
    "collect max": collection("max"),
    "collect min": collection("min"),
    "dot": Case(ACROSS.dot, lambda y, x: (y[ACROSS.pairs()[1]] * x[ACROSS.pairs()[0]]).sum(-1), ((3, 2), (4, 2))),
    "message": Case(
        lambda x, edge: WITHIN.propagate(x, pointwise, edge=edge),
        lambda x, edge: collected(WITHIN, pointwise(*(x[..., k, :] for k in WITHIN.pairs()), edge)),
        ((3, 2), (5, 1)),
    ),
    "block": Case(
        lambda x, block: WITHIN.propagate(x, block=block),
        lambda x, block: collected(WITHIN, torch.einsum("eij,ej->ei", block, x[WITHIN.pairs()[0]])),
        ((3, 2), (5, 1, 2)),
    ),
    "own": Case(MERGED.own, lambda w: torch.nn.functional.one_hot(MERGED.edge_map).T.to(F64) @ w, ((4, 2),)),
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


def inputs_of(case: Case, *batch: int) -> list[Tensor]:
    return [torch.randn(*batch, *shape, dtype=F64) for shape in case.shapes]


def scalar(case: Case, f: Callable[..., Tensor]) -> Callable[[Tensor], Tensor]:
    """A nonlinear number made of ``f`` as a function of all inputs in one vector: Hessians see the mixed blocks."""
    sizes = [int(torch.Size(shape).numel()) for shape in case.shapes]

    def g(packed: Tensor) -> Tensor:
        parts = [p.reshape(shape) for p, shape in zip(packed.split(sizes), case.shapes)]
        y = f(*parts)
        return (torch.cos(y) * torch.arange(1.0, y.numel() + 1, dtype=F64).reshape(y.shape)).sum()

    return g


def close(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-11)


@pytest.mark.usefixtures("backend")
def test_values_equal_the_oracle(case: Case) -> None:
    inputs = inputs_of(case)
    close(case.ours(*inputs), case.oracle(*inputs))


# the Functions are the same on every backend, and differences are slow: these run on the one that is chosen by default


def test_first_derivatives_forward_reverse_and_batched(case: Case) -> None:
    inputs = [x.requires_grad_() for x in inputs_of(case)]
    assert torch.autograd.gradcheck(
        case.ours, inputs, check_forward_ad=True, check_batched_grad=True, check_batched_forward_grad=True
    )


def test_second_derivatives_by_differences(case: Case) -> None:
    inputs = [x.requires_grad_() for x in inputs_of(case)]
    # in random directions; the next test has the whole matrices
    assert torch.autograd.gradgradcheck(
        case.ours, inputs, check_fwd_over_rev=True, check_batched_grad=True, fast_mode=True
    )


@pytest.mark.usefixtures("backend")
def test_second_derivatives_in_every_nesting(case: Case) -> None:
    packed = torch.cat([x.flatten() for x in inputs_of(case)])
    ours, oracle = scalar(case, case.ours), scalar(case, case.oracle)
    expected = torch.autograd.functional.hessian(oracle, packed)
    jacfwd, jacrev, jvp = torch.func.jacfwd, torch.func.jacrev, torch.func.jvp
    for outer, inner in itertools.product((jacfwd, jacrev), repeat=2):
        close(outer(inner(ours))(packed), expected)
    close(torch.func.hessian(ours)(packed), expected)
    u, v = torch.randn(2, len(packed), dtype=F64)
    close(jvp(lambda p: jvp(ours, (p,), (v,))[1], (packed,), (u,))[1], u @ expected @ v)


@pytest.mark.usefixtures("backend")
def test_third_derivatives_in_forward_mode() -> None:
    case = CASES["x, w [e]"]
    packed = torch.cat([x.flatten() for x in inputs_of(case)])
    v = torch.randn_like(packed)

    def along(f: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        return lambda p: torch.func.jvp(f, (p,), (v,))[1]

    def across(f: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        return lambda p: torch.func.grad(f)(p) @ v

    ours, oracle = scalar(case, case.ours), scalar(case, case.oracle)
    close(along(along(along(ours)))(packed), across(across(across(oracle)))(packed))


@pytest.mark.filterwarnings("ignore:Attempted to insert a get_attr Node:UserWarning")  # torch's own folding
@pytest.mark.parametrize("name", ["x", "x [b], w [e, h]", "x [b], w [b, e, h]", "max of x, w [e]", "dot", "own"])
def test_linearisation(name: str) -> None:
    case = CASES[name]
    inputs, tangents = inputs_of(case), inputs_of(case)
    value, push = torch.func.linearize(case.ours, *inputs)
    expected, slope = torch.autograd.functional.jvp(case.oracle, tuple(inputs), tuple(tangents))
    close(value, expected)
    close(push(*tangents), slope)


@pytest.mark.usefixtures("backend")
def test_vmap_over_any_of_the_inputs(case: Case) -> None:
    b = 3
    for chosen in itertools.product((True, False), repeat=len(case.shapes)):
        if not any(chosen):
            continue
        single, many = inputs_of(case), inputs_of(case, b)
        dims = tuple(1 if batched and k == 0 else 0 if batched else None for k, batched in enumerate(chosen))
        given = [m.movedim(0, d) if d is not None else s for m, s, d in zip(many, single, dims)]
        expected = [
            case.oracle(*(m[i] if batched else s for m, s, batched in zip(many, single, chosen))) for i in range(b)
        ]
        close(torch.vmap(case.ours, dims)(*given), torch.stack(expected))


@pytest.mark.usefixtures("backend")
def test_vmap_in_vmap() -> None:
    case = CASES["x, w [e]"]
    x, w = torch.randn(2, 4, 2, dtype=F64), torch.randn(3, 6, dtype=F64)
    both = torch.vmap(lambda x: torch.vmap(lambda w: case.ours(x, w))(w))(x)
    close(both, torch.stack([torch.stack([case.oracle(a, b) for b in w]) for a in x]))


@pytest.mark.usefixtures("backend")
def test_gradients_per_sample(case: Case) -> None:
    many = torch.stack([torch.cat([x.flatten() for x in inputs_of(case)]) for _ in range(3)])
    found = torch.vmap(torch.func.grad(scalar(case, case.ours)))(many)
    expected = torch.stack([torch.func.grad(scalar(case, case.oracle))(one) for one in many])
    close(found, expected)


@pytest.mark.usefixtures("backend")
def test_dual_numbers_of_either_input_alone() -> None:
    x, w, dx, dw = (torch.randn(*s, dtype=F64) for s in ((4, 2), (6,), (4, 2), (6,)))
    with torch.autograd.forward_ad.dual_level():
        make, split = torch.autograd.forward_ad.make_dual, torch.autograd.forward_ad.unpack_dual
        close(split(ACROSS.propagate(make(x, dx), weight=w)).tangent, weighted(ACROSS, dx, w))
        close(split(ACROSS.propagate(x, weight=make(w, dw))).tangent, weighted(ACROSS, x, dw))
        close(split(ACROSS.dot(make(x[:3], dx[:3]), x)).tangent, ACROSS.dot(dx[:3], x))


def surroundings() -> Iterator[tuple[str, Callable[[Callable[[Tensor], Tensor], Tensor], Any]]]:
    yield "jvp", lambda f, x: torch.func.jvp(f, (x,), (x,))
    yield "grad", lambda f, x: torch.func.grad(lambda y: f(y).sum())(x)
    yield "vmap", lambda f, x: torch.vmap(f)(x[None])
    yield "jvp of jvp", lambda f, x: torch.func.jvp(lambda y: torch.func.jvp(f, (y,), (x,))[1], (x,), (x,))
    yield "inference", lambda f, x: torch.inference_mode()(f)(x)


def tensors(value: Any) -> Iterator[Tensor]:
    """All tensors that a relation holds, in its plans too."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (tuple, Relation, Sides, Plan)):
        parts = value if isinstance(value, tuple) else [getattr(value, name, None) for name in names_of(value)]
        for part in parts:
            yield from tensors(part)


def names_of(value: Any) -> list[str]:
    return list(vars(value)) if isinstance(value, Relation) else [n for n in value.__slots__ if n != "__weakref__"]


@pytest.mark.parametrize(("name", "surround"), list(surroundings()))
def test_what_a_transform_builds_first_is_right_outside(name: str, surround: Any) -> None:
    """Plans are built lazily, so the first use may be anywhere: nothing of the transform may stay in the cache."""
    src, dst = [0, 1, 2, 2], [1, 0, 1, 2]
    rel = Relation.from_edges(src, dst, 3, 3, coalesce=True)
    x = torch.randn(3, 2, dtype=F64)

    def everything(y: Tensor) -> Tensor:
        z = (
            rel.propagate(y, lambda a, b, edge: a * b)
            + rel.propagate(y, reduce="max")
            + rel.propagate(y, reduce="mean")
        )
        return z + rel.transpose().propagate(y) + rel.given(rel.own(rel.gather(y))).sum() * rel.is_symmetric

    surround(everything, x)
    kept = list(tensors(rel))
    assert len(kept) > 10
    for tensor in kept:
        assert not torch._C._functorch.is_functorch_wrapped_tensor(tensor) and not tensor.is_inference()
    again = everything(x)
    assert torch.autograd.gradcheck(everything, (x.clone().requires_grad_(),), check_forward_ad=True)
    rel = Relation.from_edges(src, dst, 3, 3, coalesce=True)
    close(again, everything(x))


@pytest.mark.parametrize("second_order", [False, True])
def test_gradients_of_a_batch_of_cotangents(second_order: bool) -> None:
    x, w = torch.randn(4, 2, dtype=F64).requires_grad_(), torch.randn(6, dtype=F64).requires_grad_()
    many = torch.randn(5, 3, 2, dtype=F64)
    y = ACROSS.propagate(x, weight=w) + ACROSS.propagate(x)
    found = torch.autograd.grad(y, (x, w), many, is_grads_batched=True, create_graph=second_order)
    again = ACROSS.propagate(x, weight=w) + ACROSS.propagate(x)
    each = [torch.autograd.grad(again, (x, w), one, retain_graph=True) for one in many]
    for k in range(2):
        close(found[k].detach(), torch.stack([e[k] for e in each]))


# what torch gets wrong in silence


class _Product(torch.autograd.Function):
    """The smallest Function with a jvp."""

    @staticmethod
    def forward(a: Tensor, b: Tensor) -> Tensor:
        return a * b

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_forward(*inputs)

    @staticmethod
    def jvp(ctx: Any, da: Tensor, db: Tensor) -> Tensor:
        a, b = ctx.saved_tensors
        return da * b + a * db


def twice_forward(f: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    one = torch.ones_like(x)
    return torch.func.jvp(lambda y: torch.func.jvp(f, (y,), (one,))[1], (x,), (one,))[1]


@pytest.mark.usefixtures("backend")
def test_forward_in_forward_mode_still_needs_the_plain_path() -> None:
    """(x^2)'' = 2, but torch says 0 for any Function with a jvp; ours goes around it.

    When this first assertion fails, torch has learned it: then the switch ``tracing.route``, which reads private state
    of functorch, can shrink to the case of compilation.
    """
    x = torch.tensor(3.0, dtype=F64)
    assert float(twice_forward(lambda y: _Product.apply(y, y), x)) == 0.0
    square = Relation.from_edges([0], [0], 1, 1)
    found = twice_forward(lambda y: square.propagate(y.reshape(1, 1), weight=y.reshape(1)).sum(), x)
    assert float(found) == 2.0


def test_the_switch_sees_nested_forward_mode_and_nothing_else() -> None:
    seen: list[Route] = []

    def spy(x: Tensor) -> Tensor:
        seen.append(route(x))
        return x.sin()

    x = torch.ones((), dtype=F64)
    jvp, grad = torch.func.jvp, torch.func.grad
    spy(x)
    jvp(spy, (x,), (x,))
    grad(spy)(x)
    jvp(grad(spy), (x,), (x,))
    grad(lambda y: jvp(spy, (y,), (x,))[1])(x)
    torch.vmap(spy)(x[None])
    with torch.autograd.forward_ad.dual_level():
        spy(torch.autograd.forward_ad.make_dual(x, x))
    assert seen == [Route.DIRECT] + [Route.FULL] * 6
    twice_forward(spy, x)
    torch.vmap(lambda y: twice_forward(spy, y))(x[None])
    assert seen[7:] == [Route.PLAIN] * 2
    assert route(None, x.clone().requires_grad_()) is Route.REVERSE
    with _Largest():
        assert route(x) is Route.TRACED


def test_the_raw_operation_has_no_tangent_and_ours_has() -> None:
    """A registered operation without autograd gives a zero tangent in silence: it must never be called but by ours."""
    plan = ACROSS.sides.forward
    x, w, dx = torch.randn(1, 4, 2, dtype=F64), torch.randn(1, 6, 1, dtype=F64), torch.randn(1, 4, 2, dtype=F64)
    _, raw = torch.func.jvp(lambda x: kernels.spmm(plan, w, x), (x,), (dx,))
    assert float(raw.abs().max()) == 0.0
    _, ours = torch.func.jvp(lambda x: message.spmm(ACROSS.sides, w, x), (x,), (dx,))
    close(ours, weighted(ACROSS, dx, w[0, :, 0]))


# the raw operations


def raw_arguments() -> list[tuple[str, tuple[Any, ...]]]:
    out = []
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        for plan in (*(getattr(ACROSS.sides, side) for side in ("forward", "backward")), ACROSS._to_own.forward):
            parts, e = plan.parts(), len(plan.idx)
            x = torch.randn(2, plan.n_in, 6).to(dtype)
            y = torch.randn(2, plan.n_out, 6).to(dtype)
            out += [("spmm", (*parts, None, x)), ("spmm", (*parts, torch.randn(2, e, 1).to(dtype), x))]
            out += [("spmm", (*parts, torch.randn(1, e, 3).to(dtype), x)), ("sddmm", (*parts, y, x, 1, True))]
            out += [("sddmm", (*parts, y, x, 2, False))]
    return out


@pytest.mark.usefixtures("backend")
def test_the_raw_operations_keep_the_contract_of_the_dispatcher() -> None:
    for name, arguments in raw_arguments():
        operation = getattr(torch.ops.graphpde, name).default
        registration.opcheck(operation, arguments, test_utils=("test_schema", "test_faketensor"))
        assert operation(*arguments).dtype == arguments[8].dtype


def test_every_backend_equals_the_reference_on_every_plan(backend: str) -> None:
    for name, arguments in raw_arguments():
        found = getattr(torch.ops.graphpde, name)(*arguments)
        with kernels.use("reference"):
            expected = getattr(torch.ops.graphpde, name)(*arguments)
        # the oracle adds half-precision numbers one by one, the others in single precision
        tolerance = {"rtol": 0.02, "atol": 0.05} if expected.dtype == torch.bfloat16 else {}
        torch.testing.assert_close(found, expected, **tolerance)


def test_a_relation_beyond_int32_keeps_long_indices() -> None:
    assert kernels.index_dtype(2**31 - 2, 5) == torch.int32
    assert kernels.index_dtype(5, 2**31 - 1) == torch.int64


class _Largest(TorchDispatchMode):
    """The largest tensor that any operation hands out."""

    def __init__(self) -> None:
        super().__init__()
        self.entries = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for x in out if isinstance(out, tuple | list) else [out]:
            if isinstance(x, Tensor):
                self.entries = max(self.entries, x.numel())
        return out


def test_the_product_never_builds_a_tensor_of_edges_times_channels(
    backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if backend == "reference":
        pytest.skip("the oracle is allowed to")
    n, e, c = 50, 2000, 64
    rel = Relation.from_edges(torch.randint(n, (e,)), torch.randint(n, (e,)), n, n).prepare()
    monkeypatch.setattr(csr, "_BLOCK", 4096)
    x, w = torch.randn(1, n, c), torch.randn(1, e, 1)
    g = torch.randn(1, n, c)
    raw = kernels.BACKENDS[backend]
    with _Largest() as seen:
        for plan in (rel.sides.forward, rel.sides.backward):
            raw.spmm(plan, w, x)
            raw.spmm(plan, None, x)
            raw.sddmm(plan, g, x, 1, False)
    assert seen.entries <= max(4096, n * c)
    with _Largest() as whole:
        rel.gather(x[0])
    assert whole.entries == e * c  # the yardstick sees what it should
    with kernels.use("reference"):
        for plan in (rel.sides.forward, rel.sides.backward):  # and blocks change nothing
            torch.testing.assert_close(raw.sddmm(plan, g, x, 1, False), kernels.sddmm(plan, g, x, 1, False))
