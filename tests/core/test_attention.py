"""Attention, softmax, log-sum-exp, dot products by heads and extrema under every transform, and what they refuse."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest
import torch
from torch import Tensor
from torch.testing._internal.two_tensor import TwoTensor

from graphpde.core import kernels
from graphpde.core.relation import Relation
from graphpde.errors import InputError, ShapeError

F64 = torch.float64
NAMES = [name for name in kernels.available() if name != "triton"]


@pytest.fixture(params=NAMES)
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    with kernels.use(request.param):
        yield request.param


# 4 -> 3 with parallel edges and a destination, 1, without any
REL = Relation.from_edges([0, 3, 1, 3, 3, 0], [2, 0, 0, 0, 2, 0], 4, 3)
FULL = torch.tensor([0, 2])
INTO = [(REL.pairs()[1] == i).nonzero()[:, 0] for i in range(3)]


def rows(f: Callable[[Tensor], Tensor], s: Tensor) -> list[Tensor]:
    return [f(s[..., mine, :]) for mine in INTO if len(mine)]


def dense_softmax(s: Tensor) -> Tensor:
    p = torch.zeros_like(s)
    for mine in INTO:
        p = p.index_put(
            (mine,) if s.dim() == 2 else (torch.arange(len(s))[:, None], mine[None]), s[..., mine, :].softmax(-2)
        )
    return p


def dense_logsumexp(s: Tensor) -> Tensor:
    return torch.stack(rows(lambda z: z.logsumexp(-2), s), -2)


def dense_extreme(x: Tensor, largest: bool) -> Tensor:
    m = x[..., REL.pairs()[0], :]
    y = torch.stack(rows(lambda z: z.amax(-2) if largest else z.amin(-2), m), -2)
    return torch.cat([y[..., :1, :], torch.zeros_like(y[..., :1, :]), y[..., 1:, :]], -2)


def dense_dot(y: Tensor, x: Tensor, heads: int) -> Tensor:
    src, dst = REL.pairs()
    m = (y[..., dst, :] * x[..., src, :]).unflatten(-1, (heads, -1)).sum(-1)
    return m if m.dim() == 2 else m.sum(0)


def dense_attention(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
    """With a mask of multiplicities: edges that are there twice count twice."""
    count = torch.zeros(3, 4, dtype=F64).index_put(REL.pairs()[::-1], torch.ones(6, dtype=F64), accumulate=True)
    q, k, v = (z.unflatten(-1, (heads, -1)).movedim(-2, -3) for z in (q, k, v))
    weight = count * torch.exp(q @ k.mT / q.shape[-1] ** 0.5)
    y = weight @ v / weight.sum(-1, keepdim=True).clamp(min=1e-300)
    return y.movedim(-3, -2).flatten(-2)


def dense_blocks(x: Tensor, block: Tensor, w: Tensor) -> Tensor:
    src, dst = REL.pairs()
    m = w[:, None] * torch.einsum("epq,eq->ep", block, x[src])
    return torch.zeros(3, block.shape[1], dtype=F64).index_put((dst,), m, accumulate=True)


class Case(NamedTuple):
    ours: Callable[..., Tensor]
    dense: Callable[..., Tensor]
    shapes: tuple[tuple[int, ...], ...]


def attention(heads: int, *shapes: tuple[int, ...]) -> Case:
    return Case(
        lambda q, k, v: REL.attend(q, k, v, heads=heads), lambda q, k, v: dense_attention(q, k, v, heads), shapes
    )


CASES = {
    "dot, 2 heads": Case(lambda y, x: REL.dot(y, x, heads=2), lambda y, x: dense_dot(y, x, 2), ((3, 4), (4, 4))),
    "dot, 2 heads, batch": Case(
        lambda y, x: REL.dot(y, x, heads=2), lambda y, x: dense_dot(y, x, 2), ((2, 3, 2), (2, 4, 2))
    ),
    "softmax": Case(REL.softmax, dense_softmax, ((6, 2),)),
    "softmax, batch": Case(REL.softmax, dense_softmax, ((2, 6, 1),)),
    "logsumexp": Case(lambda s: REL.logsumexp(s)[..., FULL, :], dense_logsumexp, ((6, 2),)),
    "logsumexp, batch": Case(lambda s: REL.logsumexp(s)[..., FULL, :], dense_logsumexp, ((2, 6, 1),)),
    "attention": attention(1, (3, 2), (4, 2), (4, 3)),
    "attention, 2 heads": attention(2, (3, 2), (4, 2), (4, 4)),
    "attention, batch": attention(2, (2, 3, 2), (2, 4, 2), (2, 4, 2)),
    "attention, one query for a batch": attention(1, (3, 2), (2, 4, 2), (2, 4, 1)),
    "blocks with weights": Case(
        lambda x, block, w: REL.propagate(x, block=block, weight=w), dense_blocks, ((4, 2), (6, 3, 2), (6,))
    ),
    "max": Case(lambda x: REL.propagate(x, reduce="max"), lambda x: dense_extreme(x, True), ((4, 2),)),
    "min, batch": Case(lambda x: REL.propagate(x, reduce="min"), lambda x: dense_extreme(x, False), ((2, 4, 1),)),
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


def inputs_of(case: Case) -> list[Tensor]:
    return [torch.randn(*shape, dtype=F64) for shape in case.shapes]


def close(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-11)


def scalar(case: Case, f: Callable[..., Tensor]) -> Callable[[Tensor], Tensor]:
    """A number made of ``f`` as a function of all inputs in one vector."""
    sizes = [torch.Size(shape).numel() for shape in case.shapes]

    def g(packed: Tensor) -> Tensor:
        y = f(*(p.reshape(shape) for p, shape in zip(packed.split(sizes), case.shapes)))
        return (torch.cos(y) * torch.arange(1.0, y.numel() + 1, dtype=F64).reshape(y.shape)).sum()

    return g


@pytest.mark.grad
def test_values_and_first_derivatives(case: Case, backend: str) -> None:
    inputs = [x.requires_grad_() for x in inputs_of(case)]
    close(case.ours(*inputs), case.dense(*inputs))
    with torch.no_grad():
        close(case.ours(*inputs), case.dense(*inputs))
    assert torch.autograd.gradcheck(
        case.ours,
        inputs,
        check_forward_ad=True,
        check_batched_grad=True,
        check_batched_forward_grad=True,
        fast_mode=backend != NAMES[-1],  # random directions; the next test has whole matrices
    )
    for k, x in enumerate(inputs):  # each alone
        fixed = [z.detach() for z in inputs]

        def one(z: Tensor, k: int = k, fixed: list[Tensor] = fixed) -> Tensor:
            return case.ours(*fixed[:k], z, *fixed[k + 1 :])

        assert torch.autograd.gradcheck(one, (x,), fast_mode=True)


@pytest.mark.grad
def test_second_derivatives(case: Case, backend: str) -> None:
    inputs = [x.requires_grad_() for x in inputs_of(case)]
    if backend == NAMES[-1]:  # the Functions are the same on every backend; the whole matrices below are not spared
        assert torch.autograd.gradgradcheck(case.ours, inputs, check_fwd_over_rev=True, fast_mode=True)
    packed = torch.cat([x.detach().flatten() for x in inputs])
    ours, expected = scalar(case, case.ours), torch.autograd.functional.hessian(scalar(case, case.dense), packed)
    modes: tuple[Callable[..., Callable[..., Tensor]], ...] = torch.func.jacfwd, torch.func.jacrev
    for outer, inner in itertools.product(modes, repeat=2):
        close(outer(inner(ours))(packed), expected)


@pytest.mark.grad
@pytest.mark.usefixtures("backend")
def test_vmap_of_values_and_of_gradients(case: Case) -> None:
    single, many = inputs_of(case), [torch.randn(3, *shape, dtype=F64) for shape in case.shapes]
    for chosen in itertools.product((True, False), repeat=len(single)):
        if any(chosen):
            given = [m if c else s for m, s, c in zip(many, single, chosen)]
            one_by_one = [case.dense(*(g[i] if c else g for g, c in zip(given, chosen))) for i in range(3)]
            close(torch.vmap(case.ours, tuple(0 if c else None for c in chosen))(*given), torch.stack(one_by_one))
    packed = torch.stack([torch.cat([m[i].flatten() for m in many]) for i in range(3)])
    found = torch.vmap(torch.func.grad(scalar(case, case.ours)))(packed)
    close(found, torch.stack([torch.func.grad(scalar(case, case.dense))(p) for p in packed]))


# rows without edges


@pytest.mark.usefixtures("backend")
def test_rows_without_edges_have_documented_values_and_no_gradient() -> None:
    assert (REL.degree == 0).tolist() == [False, True, False]
    x, s = torch.randn(4, 2, dtype=F64).requires_grad_(), torch.randn(6, 2, dtype=F64).requires_grad_()
    q = torch.randn(3, 2, dtype=F64).requires_grad_()
    for reduce in ("sum", "mean", "max", "min"):
        y = REL.propagate(x, reduce=reduce)
        assert y[1].tolist() == [0.0, 0.0] and REL.collect(s, reduce)[1].tolist() == [0.0, 0.0]
        assert not torch.autograd.grad(y[1].sum(), x)[0].any()
    y = REL.attend(q, x, x)
    assert y[1].tolist() == [0.0, 0.0]
    gradients = torch.autograd.grad(y[1].sum(), (q, x))
    assert not gradients[0].any() and not gradients[1].any()
    total = REL.logsumexp(s)
    assert total[1].tolist() == [-torch.inf] * 2
    (gradient,) = torch.autograd.grad(total[FULL].sum(), s)
    close(gradient, REL.softmax(s.detach()))
    assert not torch.autograd.grad(REL.logsumexp(s)[1].sum(), s)[0].any()
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(s.detach(), torch.ones(6, 2, dtype=F64))
        tangent = torch.autograd.forward_ad.unpack_dual(REL.logsumexp(dual)).tangent
    assert bool(tangent.isfinite().all())


# unusual tensors


@pytest.mark.usefixtures("backend")
def test_a_wrapped_tensor_is_handed_to_its_own_dispatch() -> None:
    """It has no numbers at its address: to read there would end the process."""
    x, y = torch.randn(4, 2), torch.randn(4, 2)
    found = REL.propagate(TwoTensor(x, y))
    assert isinstance(found, TwoTensor)
    assert torch.equal(found.a, REL.propagate(x)) and torch.equal(found.b, REL.propagate(y))
    leaf = TwoTensor(x, y).requires_grad_()
    REL.propagate(leaf, reduce="max").sum().backward()
    assert leaf.grad.a.shape == (4, 2)  # type: ignore[union-attr]


@pytest.mark.usefixtures("backend")
def test_half_precision_keeps_its_type_and_is_rounded_once() -> None:
    q, k, v = (torch.randn(n, 4) for n in (3, 4, 4))
    for dtype in (torch.bfloat16, torch.float16):
        given = [z.to(dtype).requires_grad_() for z in (q, k, v)]
        exact = [z.detach().double().requires_grad_() for z in given]
        y, expected = REL.attend(*given, heads=2), REL.attend(*exact, heads=2)
        assert y.dtype == dtype
        torch.testing.assert_close(y.double(), expected, rtol=0.02, atol=0.02)
        for a, b in zip(torch.autograd.grad(y.sum(), given), torch.autograd.grad(expected.sum(), exact)):
            assert a.dtype == dtype
            torch.testing.assert_close(a.double(), b, rtol=0.05, atol=0.05)


# refusals


def test_a_row_of_masked_scores_gives_no_gradient() -> None:
    rel = Relation.from_edges([0, 1, 2, 0], [0, 0, 1, 1], 3, 2)
    s = torch.tensor([1.0, 2.0, -torch.inf, -torch.inf], dtype=torch.float64)
    expected = [*torch.softmax(s[:2], 0).tolist(), 0.0, 0.0]

    def first(s: Tensor) -> Tensor:
        return rel.logsumexp(s)[0]

    (found,) = torch.autograd.grad(first(s.requires_grad_()), s)
    torch.testing.assert_close(found.tolist(), expected)
    torch.testing.assert_close(torch.func.grad(first)(s.detach()).tolist(), expected)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: REL.softmax(torch.ones(5)), ShapeError, r"scores have shape \[5, 1\], expected \[\*, 6, h\]"),
        (lambda: REL.softmax(torch.ones(())), ShapeError, r"scores have shape \[\], expected"),
        (lambda: REL.logsumexp(torch.ones(2, 5, 3)), ShapeError, r"scores have shape \[2, 5, 3\]"),
        (
            lambda: REL.softmax(torch.ones(6, dtype=torch.int64)),
            InputError,
            "scores have type torch.int64, expected real",
        ),
        (lambda: REL.logsumexp(torch.ones(6, dtype=torch.complex64)), InputError, "scores have type torch.complex64"),
        (lambda: attend((4, 2), (4, 2), (4, 2)), ShapeError, r"query has shape \[4, 2\], expected \[\*, 3, c\]"),
        (lambda: attend((3, 2), (3, 2), (4, 2)), ShapeError, r"key has shape \[3, 2\], expected \[\*, 4, c\]"),
        (lambda: attend((3, 2), (4, 2), (4,)), ShapeError, r"value has shape \[4\], expected \[\*, 4, c\]"),
        (lambda: attend((3, 2), (4, 4), (4, 2)), ShapeError, "query has 2 channels and key 4, expected equal numbers"),
        (
            lambda: attend((3, 4), (4, 4), (4, 3), heads=2),
            ShapeError,
            "heads = 2, expected a divisor of the 3 channels",
        ),
        (lambda: attend((3, 4), (4, 4), (4, 4), heads=0), ShapeError, "heads = 0, expected a divisor"),
        (lambda: attend((3, 4), (4, 4), (4, 4), dtype=torch.int32), InputError, "query has type torch.int32"),
        (lambda: REL.dot(torch.ones(3, 3), torch.ones(4, 3), heads=2), ShapeError, "heads = 2, expected a divisor"),
        (lambda: REL.dot(torch.ones(3, 3), torch.ones(4, 3), heads=0), ShapeError, "heads = 0, expected a divisor"),
        (
            lambda: REL.propagate(torch.ones(4, 2), block=torch.ones(6, 2, 3)),
            ShapeError,
            r"block has shape \[6, 2, 3\], expected \[\*, 6, c', 2\]",
        ),
        (
            lambda: REL.propagate(torch.ones(4, 2), block=torch.ones(6, 2, 2), weight=torch.ones(6, 2)),
            ShapeError,
            r"weight has shape \[6, 2\], expected \[6\] or \[\*, 6, 1\] beside blocks",
        ),
        (
            lambda: attend((5, 3, 2), (2, 4, 2), (4, 2)),
            ShapeError,
            r"query has batch \[5\], key \[2\] and value \[\], expected batches that broadcast",
        ),
        (
            lambda: REL.propagate(torch.ones(4, 2), lambda a, b, e: a, block=torch.ones(6, 2, 2)),
            InputError,
            "block and message exclude each other",
        ),
    ],
)
def test_what_does_not_fit_is_refused(call: Callable[[], Tensor], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def attend(*shapes: tuple[int, ...], heads: int = 1, dtype: torch.dtype = F64) -> Tensor:
    return REL.attend(*(torch.ones(*shape, dtype=dtype) for shape in shapes), heads=heads)  # type: ignore[misc]
