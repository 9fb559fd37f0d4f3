"""The Triton kernels against the oracle in float64: on a GPU where there is one, else through Triton's interpreter.

The interpreter computes what the programs say, slowly (about 10 ms a program), so graphs are tiny here. That the same
programs compile for GPUs, with types and layouts that it does not look at, is tested apart, without a GPU.
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from graphpde.core import kernels
from graphpde.core.kernels import Plan, reference
from graphpde.core.kernels import triton as backend
from graphpde.core.relation import Relation

CUDA = torch.cuda.is_available()
DEVICE = "cuda" if CUDA else "cpu"
F64 = torch.float64

if find_spec("triton") is None:
    pytest.skip("the package triton is absent", allow_module_level=True)


@pytest.fixture(autouse=True)
def _interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    if not CUDA:
        monkeypatch.setenv("TRITON_INTERPRET", "1")


pytestmark = pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning:triton")


def compress(src: Tensor, dst: Tensor, n_in: int, n_out: int) -> Plan:
    """The forward plan of edges sorted by destination."""
    order = torch.sort(dst, stable=True).indices
    return _rows(src[order], dst[order], n_in, n_out, None)


def _rows(idx: Tensor, row: Tensor, n_in: int, n_out: int, perm: Tensor | None) -> Plan:
    ptr = torch.zeros(n_out + 1, dtype=torch.int64)
    ptr[1:] = torch.bincount(row, minlength=n_out).cumsum(0)
    ints = (None if t is None else t.to(DEVICE, torch.int32) for t in (ptr, idx, row, perm))
    return Plan(*ints, n_in, n_out)  # type: ignore[arg-type]


def transpose(plan: Plan) -> Plan:
    """The same edges seen from their sources, with their places in the forward plan."""
    order = torch.sort(plan.idx.cpu(), stable=True).indices
    return _rows(plan.row.cpu()[order], plan.idx.cpu()[order], plan.n_out, plan.n_in, order)


def _graph(name: str) -> Plan:
    if name == "loops, doubles and lonely nodes":  # node 2 sends and receives nothing, 0 -> 1 is there three times
        return compress(torch.tensor([0, 0, 1, 3, 0, 4, 3]), torch.tensor([1, 1, 1, 3, 1, 0, 3]), 5, 5)
    if name == "bipartite":
        return compress(torch.tensor([0, 6, 3, 3, 5, 0]), torch.tensor([2, 0, 2, 1, 2, 0]), 7, 3)
    # "long row": more slots than a program takes at once, between short rows
    generator = torch.Generator().manual_seed(1)
    dst = torch.cat([torch.full((150,), 1), torch.tensor([0, 2, 2, 4])])
    return compress(torch.randint(0, 60, dst.shape, generator=generator), dst, 60, 5)


GRAPHS = ("loops, doubles and lonely nodes", "bipartite", "long row")


def draw(*shape: int, kind: torch.dtype = F64) -> Tensor:
    return torch.randn(shape, dtype=F64).to(DEVICE, kind)


def close(found: Tensor, exact: Tensor, bound: Tensor | float = 1.0, eps: float = torch.finfo(F64).eps) -> None:
    """|found - exact| <= 4 eps times the sum of the absolute terms; infinite where it is."""
    assert found.shape == exact.shape
    off = torch.where(found == exact, 0.0, (found.to(F64) - exact).abs())
    assert (off <= 4 * eps * bound).all(), f"off by {off.max():.2e}, {(off / (eps * bound)).nan_to_num().max():.1f} eps"


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize(("c", "heads", "groups"), [(1, 1, 1), (3, 1, 3), (16, 4, 1), (40, 2, 1)])
def test_sums_and_dot_products_agree_with_the_oracle(name: str, c: int, heads: int, groups: int) -> None:
    forward = _graph(name)
    e = forward.idx.numel()
    own, shared = draw(groups, e, heads), draw(1, e, heads)
    for plan, w in ((forward, own), (transpose(forward), shared), (forward, None)):
        x, y = draw(groups, plan.n_in, c), draw(groups, plan.n_out, c)
        # in float64 the oracle rounds as well, on the long row ~ sqrt(150) times
        size = 4 * reference.spmm(plan, None if w is None else w.abs(), x.abs())
        close(backend.spmm(plan, w, x), reference.spmm(plan, w, x), size)
        if w is not None:
            together = w is shared
            size = reference.sddmm(plan, y.abs(), x.abs(), heads, together)
            close(backend.sddmm(plan, y, x, heads, together), reference.sddmm(plan, y, x, heads, together), size)


@pytest.mark.parametrize(("largest", "c"), [(True, 1), (False, 5)])
@pytest.mark.parametrize("name", GRAPHS)
def test_extremes_and_their_first_slots_are_exact(name: str, largest: bool, c: int) -> None:
    plan = _graph(name)
    x = draw(2, plan.n_in, c, kind=torch.float32).mul(2).round()  # small integers: ties
    x[0, 0] = torch.inf if largest else -torch.inf
    x[1, -1] = torch.nan
    x[1, 0] = -torch.inf if largest else torch.inf
    for found, exact in zip(backend.extreme(plan, x, largest), reference.extreme(plan, x, largest)):
        torch.testing.assert_close(found, exact, rtol=0, atol=0, equal_nan=True)
    values, slots = backend.extreme(plan, x, largest, slots=False)
    assert slots is None
    torch.testing.assert_close(values, reference.extreme(plan, x, largest)[0], rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("name", GRAPHS)
def test_softmax_and_its_denominator(name: str) -> None:
    plan = _graph(name)
    s = 30 * draw(2, plan.idx.numel(), 3) + 1000  # exp would overflow without the shift
    close(backend.softmax(plan, s), reference.softmax(plan, s), 50.0)  # exp of a rounded shift of up to 100
    close(backend.logsumexp(plan, s), reference.logsumexp(plan, s), 1000.0)


def test_infinite_scores_count_as_in_the_oracle() -> None:
    plan = compress(torch.zeros(6, dtype=torch.int64), torch.tensor([0, 0, 1, 1, 2, 2]), 1, 4)
    s = torch.tensor([1.0, -torch.inf, -torch.inf, -torch.inf, torch.inf, 0.0], device=DEVICE)[None, :, None]
    found = backend.logsumexp(plan, s)
    assert found.flatten().tolist() == [1.0, -torch.inf, torch.inf, -torch.inf]
    assert backend.softmax(plan, s)[0, :2, 0].tolist() == [1.0, 0.0]


def attention(plan: Plan, heads: int, d: int, f: int, kind: torch.dtype = F64, groups: int = 1) -> tuple[Tensor, ...]:
    q, k = draw(groups, plan.n_out, heads * d, kind=kind), draw(groups, plan.n_in, heads * d, kind=kind)
    return q, k, draw(groups, plan.n_in, heads * f, kind=kind), draw(groups, plan.n_out, heads * f, kind=kind)


@pytest.mark.parametrize(("heads", "d", "f", "groups"), [(1, 1, 1, 3), (4, 3, 5, 1)])
@pytest.mark.parametrize("name", GRAPHS)
def test_attention_and_its_gradient_agree_with_the_oracle(name: str, heads: int, d: int, f: int, groups: int) -> None:
    plan = _graph(name)
    q, k, v, grad = attention(plan, heads, d, f, groups=groups)
    kept, exact = backend.attend(plan, q, k, v, heads, 0.7), reference.attend(plan, q, k, v, heads, 0.7)
    close(kept[0], exact[0], 20.0)  # values of up to 3, weights off by up to |score| eps
    found = backend.attend_back(plan, grad, (q, k, v), kept, heads, 0.7)
    for mine, theirs in zip(found, reference.attend_back(plan, grad, (q, k, v), exact, heads, 0.7)):
        close(mine, theirs, 200.0)  # products of three such numbers


def test_wide_heads_go_by_way_of_their_scores() -> None:
    plan = _graph("bipartite")
    q, k, v, grad = attention(plan, 1, 130, 2)
    kept, exact = backend.attend(plan, q, k, v, 1, 0.1), reference.attend(plan, q, k, v, 1, 0.1)
    close(kept[0], exact[0], 100.0)
    found = backend.attend_back(plan, grad, (q, k, v), kept, 1, 0.1)
    for mine, theirs in zip(found, reference.attend_back(plan, grad, (q, k, v), exact, 1, 0.1)):
        close(mine, theirs, 1000.0)


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_half_precision_is_summed_in_single(kind: torch.dtype) -> None:
    # the interpreter cuts float32 to bfloat16 where a GPU rounds: one unit in the last place instead of half of one
    plan, eps = _graph("long row"), torch.finfo(kind).eps
    w, x = draw(1, plan.idx.numel(), 1, kind=kind), draw(1, plan.n_in, 3, kind=kind)
    y = draw(1, plan.n_out, 3, kind=kind)
    wide = [t.to(F64) for t in (w, x, y)]
    sums, dots = reference.spmm(plan, *wide[:2]), reference.sddmm(plan, wide[2], wide[1], 1, False)
    close(backend.spmm(plan, w, x), sums, sums.abs() / 4 + 1e-6, eps)  # summed in half: off by ~ sqrt(150) eps
    close(backend.sddmm(plan, y, x, 1, False), dots, dots.abs() / 4 + 1e-6, eps)
    assert all(torch.equal(*pair) for pair in zip(backend.extreme(plan, x, True), reference.extreme(plan, x, True)))
    close(backend.softmax(plan, w), reference.softmax(plan, wide[0]), 0.25, eps)
    q, k, v, grad = attention(plan, 1, 3, 3, kind)
    kept, exact = backend.attend(plan, q, k, v, 1, 0.5), reference.attend(plan, *(t.to(F64) for t in (q, k, v)), 1, 0.5)
    assert kept[1].dtype is torch.float32
    close(kept[0], exact[0], exact[0].abs() / 4 + 1e-6, eps)
    dq, p, ds = backend.attend_back(plan, grad, (q, k, v), kept, 1, 0.5)
    assert dq.dtype is p.dtype is ds.dtype is kind
    close(p, exact[1], exact[1] / 4 + 1e-6, eps)


def _star(n: int) -> Plan:
    return compress(torch.arange(n), torch.zeros(n, dtype=torch.int64), n, 2)


def _accurate_on_a_star(n: int) -> None:
    plan, single = _star(n), torch.float32
    eps = torch.finfo(single).eps
    for c, heads in ((1, 1), (6, 3)):
        w, x = draw(1, n, heads, kind=single), draw(1, n, c, kind=single).abs() + 1  # drifts if rounding accumulates
        for weight in (w, None):
            wide = None if weight is None else weight.to(F64)
            size = reference.spmm(plan, None if wide is None else wide.abs(), x.to(F64))
            close(backend.spmm(plan, weight, x), reference.spmm(plan, wide, x.to(F64)), size, eps)
    s = draw(1, n, 1, kind=single)
    close(backend.softmax(plan, s).sum(1), torch.ones(1, 1, dtype=F64, device=DEVICE), 1.0, eps)
    close(backend.logsumexp(plan, s)[:, :1], s.to(F64).logsumexp(1, keepdim=True), 10.0, eps)
    x = draw(1, n, 2, kind=single)
    close(backend.sddmm(plan, draw(1, 2, 2).to(single) * 0 + 1, x, 1, False), x.to(F64).sum(2, keepdim=True), 4.0, eps)
    q, k, v, _ = attention(plan, 1, 2, 2, single)
    exact = reference.attend(plan, *(t.to(F64) for t in (q, k, v.abs())), 1, 0.5)[0]
    close(backend.attend(plan, q, k, v.abs(), 1, 0.5)[0], exact, 2 * exact, eps)


def test_single_precision_stays_accurate_on_a_star() -> None:
    _accurate_on_a_star(5000)


def test_many_small_terms_count_beside_a_large_one() -> None:
    # each tile's share is below half a unit in the last place of the running sum: 0.45 of one is lost every time,
    # some 14 in all, unless rounding errors are carried along
    n, c, eps = 1000, 64, torch.finfo(torch.float32).eps
    plan, x = _star(n), torch.full((1, n, c), 0.45 * eps / 32, device=DEVICE)
    x[:, 0] = 1
    total = x.to(F64).sum(1)
    close(backend.spmm(plan, None, x)[:, 0], total, total, eps)
    close(backend.softmax(plan, x.log()), x.to(F64) / total, x, eps)
    q, k, v = torch.zeros(1, 2, c, device=DEVICE), torch.zeros(1, n, c, device=DEVICE), -torch.ones_like(x)
    q[..., 0], k[..., 0], v[:, 0] = 1, x[..., 0].log(), 1
    mean = (x.to(F64) * v).sum(1) / total
    close(backend.attend(plan, q, k, v, 1, 1.0)[0][:, 0], mean, 1.0, eps)


@pytest.mark.gpu
def test_single_precision_stays_accurate_on_a_large_star() -> None:
    _accurate_on_a_star(100_000)


@pytest.mark.gpu
def test_large_sums_are_right_and_equal_from_run_to_run() -> None:
    n, e = 20_000, 300_000
    plan = compress(torch.randint(0, n, (e,)), (n * torch.rand(e) ** 3).long(), n, n)
    for c, heads in ((1, 1), (16, 4), (128, 1)):
        w, x = draw(1, e, heads, kind=torch.float32), draw(2, n, c, kind=torch.float32)
        y = backend.spmm(plan, w, x)
        wide = w.to(F64), x.to(F64)
        close(y, reference.spmm(plan, *wide), reference.spmm(plan, *(t.abs() for t in wide)), torch.finfo(w.dtype).eps)
        assert all(torch.equal(y, backend.spmm(plan, w, x)) for _ in range(3))


ACROSS = Relation.from_edges([0, 3, 1, 3, 3, 0], [2, 0, 0, 0, 2, 0], 4, 3).to(DEVICE)
OPERATIONS = {  # with the shapes of their arguments
    "weighted sum": (lambda x, w: ACROSS.propagate(x, weight=w), (4, 2), (6, 2)),
    "maximum": (lambda x: ACROSS.propagate(x, reduce="max"), (4, 2)),
    "dot product": (ACROSS.dot, (3, 2), (4, 2)),
    "softmax": (ACROSS.softmax, (6, 1)),
    "logsumexp": (lambda s: ACROSS.logsumexp(s)[..., [0, 2], :], (6, 1)),  # destination 1 has no edge
    "attention": (lambda q, k, v: ACROSS.attend(q, k, v, heads=2), (3, 2), (4, 2), (4, 2)),
}


@pytest.mark.grad
@pytest.mark.parametrize("name", OPERATIONS)
def test_derivatives_of_both_modes_and_orders(name: str) -> None:
    operation, *shapes = OPERATIONS[name]
    given = tuple(draw(*shape).requires_grad_() for shape in shapes)
    with kernels.use("triton"):
        assert torch.autograd.gradcheck(operation, given, check_forward_ad=True, fast_mode=True)
        assert torch.autograd.gradgradcheck(operation, given, fast_mode=True)
        fixed = [t.detach() for t in given]
        many = [torch.stack([t, 2 * t]) for t in fixed]
        one_by_one = torch.stack([operation(*fixed), operation(*(2 * t for t in fixed))])
        torch.testing.assert_close(torch.vmap(operation)(*many), one_by_one)


def test_positions_past_int32_are_computed_in_int64(monkeypatch: pytest.MonkeyPatch) -> None:
    import triton.language as tl

    sizes = {n: torch.empty(2, n, device="meta") for n in (2**31 - 1, 2**31)}
    assert [backend._types(t)["INDEX"] for t in sizes.values()] == [tl.int32, tl.int64]
    monkeypatch.setattr(backend, "_FAR", 1)
    forward = _graph("bipartite")
    w, x = draw(1, forward.idx.numel(), 2), draw(1, 7, 4)
    close(backend.spmm(forward, w, x), reference.spmm(forward, w, x), 10.0)
    back, y = transpose(forward), draw(1, 3, 4)
    close(backend.spmm(back, w, y), reference.spmm(back, w, y), 10.0)
    close(backend.sddmm(back, x, y, 2, False), reference.sddmm(back, x, y, 2, False), 10.0)
    assert torch.equal(backend.extreme(forward, x, True)[1], reference.extreme(forward, x, True)[1])  # type: ignore[arg-type]
    q, k, v, grad = attention(forward, 2, 2, 2)
    kept, exact = backend.attend(forward, q, k, v, 2, 1.0), reference.attend(forward, q, k, v, 2, 1.0)
    found = backend.attend_back(forward, grad, (q, k, v), kept, 2, 1.0)
    for mine, theirs in zip(found, reference.attend_back(forward, grad, (q, k, v), exact, 2, 1.0)):
        close(mine, theirs, 200.0)


def test_an_infinite_value_reaches_only_its_row() -> None:
    plan = _graph("bipartite")
    x = torch.ones(1, 7, 2, device=DEVICE)
    x[0, 6] = torch.inf  # sends to row 0 alone
    y = backend.spmm(plan, None, x)
    assert y[0, :, 0].tolist() == [torch.inf, 1.0, 3.0]


def test_what_the_kernels_do_not_cover_goes_to_the_oracle() -> None:
    nothing = compress(torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.int64), 2, 3)
    plan = _graph("bipartite")
    assert torch.equal(backend.spmm(nothing, None, draw(1, 2, 4)), torch.zeros(1, 3, 4, dtype=F64, device=DEVICE))
    assert backend.extreme(nothing, draw(1, 2, 1), True)[1].eq(-1).all()  # type: ignore[union-attr]
    assert backend.logsumexp(nothing, draw(1, 0, 1)).eq(-torch.inf).all()
    assert backend.attend(nothing, draw(1, 3, 1), draw(1, 2, 1), draw(1, 2, 1), 1, 1.0)[0].eq(0).all()
    whole = torch.arange(7, device=DEVICE)[None, :, None]
    assert backend.spmm(plan, None, whole).flatten().tolist() == [6, 3, 8]
    wide = Plan(plan.ptr.long(), plan.idx.long(), plan.row.long(), None, 7, 3)  # type: ignore[union-attr]
    x, w = draw(1, 7, 2), draw(1, 6, 1)
    close(backend.spmm(wide, w, x), reference.spmm(plan, w, x), 10.0)
    close(backend.spmm(plan, w.float(), x), reference.spmm(plan, w.float(), x), 10.0)
    selection = Plan(None, plan.idx, torch.arange(6, dtype=torch.int32, device=DEVICE), None, 7, 6)
    assert torch.equal(backend.spmm(selection, None, x), x[:, plan.idx.long()])


def test_missing_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    assert backend.missing() is None
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    assert "no CUDA device" in str(backend.missing())
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    compiled = type("JITFunction", (), {})()
    monkeypatch.setitem(sys.modules, "triton.language", SimpleNamespace(sum=compiled))
    assert "before TRITON_INTERPRET=1" in str(backend.missing())
    monkeypatch.setattr(backend, "find_spec", lambda name: None)
    assert "not installed" in str(backend.missing())


_COMPILE = """
import sys
import torch
from triton.backends.compiler import GPUTarget
from triton.runtime import driver
from triton.runtime.jit import JITFunction
from graphpde.core.kernels import Plan, triton

class Driver:
    get_current_device = get_current_stream = lambda self, *a: 0
    get_current_target = lambda self: GPUTarget("cuda", int(sys.argv[1]), 32)

def compile_only(self, *args, warmup, **options):
    assert launch(self, *args, warmup=True, **options).asm["cubin"]

driver.set_active(Driver())
launch, JITFunction.run = JITFunction.run, compile_only
triton._interpreted = lambda: True
n, c = int(sys.argv[2]), int(sys.argv[3])
row = torch.arange(n, dtype=torch.int32)
ptr = torch.arange(n + 1, dtype=torch.int32)
forward, back = Plan(ptr, row, row, None, n, n), Plan(ptr, row, row, row, n, n)
for name in sys.argv[4:]:
    kind = getattr(torch, name)
    h = min(c, 4)
    x, w = torch.ones(2, n, c, dtype=kind), torch.ones(2, n, h, dtype=kind)
    triton.spmm(back, w, x)
    triton.sddmm(back, x, x, h, True)
    triton.extreme(forward, x, False)
    triton.softmax(forward, w)
    triton.logsumexp(forward, w)
    triton.attend_back(forward, x, (x, x, x), triton.attend(forward, x, x, x, h, 0.5), h, 0.5)
print("compiled")
"""


def _compiles(*arguments: str) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    command = [sys.executable, "-c", _COMPILE, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.stdout.strip() == "compiled", done.stderr


def test_every_kernel_compiles_for_a_gpu() -> None:
    _compiles("90", "3", "16", "float32")


@pytest.mark.slow
@pytest.mark.parametrize(("capability", "n", "c"), [("75", "3", "16"), ("80", "1", "1"), ("90", "100", "128")])
def test_every_kernel_compiles_for_every_type(capability: str, n: str, c: str) -> None:
    # a size of one is a constant to the compiler
    _compiles(capability, n, c, "float32", "float64", "bfloat16", "float16")
