"""Own kernels in C (see src/), built at installation where a C compiler is found; float32 and float64 at full speed.

Half-precision numbers are widened to float32, summed and rounded once. Threads are torch's own.
"""

from __future__ import annotations

import ctypes
import math
import struct
import sys
from collections.abc import Callable, Sequence
from functools import cache, wraps
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphpde.core.kernels import composed, reference
from graphpde.core.kernels.plan import Plan, is_scattered

SPMM, SDDMM, EXTREME, SOFTMAX, LOGSUMEXP, ATTEND, ATTEND_BACK, SPMM_SDDMM = _ALL = range(8)  # as in src/native.h
DEVICES = ("cpu",)
ADDS_DIAGONAL = True  # spmm takes one and adds it in the same pass
DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)

_OWN = (torch.float32, torch.float64)
_SMALL = 1 << 15  # multiply-adds below which a second thread costs more than it gains
_SHARE = 1 << 13  # slots and rows in one share of the work
_CACHE = 1 << 20  # bytes of node values beyond which the order of memory accesses counts
_PLAN = struct.Struct("8q")  # as Plan and the rest of Job in src/native.h
_JOB = struct.Struct("8q d 9q")
_TERMS = 16  # of one sum, as MOST in src/native.h
_BLEND = struct.Struct(f"4q {_TERMS}q {_TERMS}d")
_DEVIATION = struct.Struct(f"5q {_TERMS}q {2 * _TERMS}d 2d")
_FEW = 1 << 15  # entries that one thread is through with before a second has begun


@cache
def _found() -> ctypes.CDLL | str:
    """The compiled kernels, or why there are none."""
    paths = [Path(__file__).with_name("_native" + suffix) for suffix in EXTENSION_SUFFIXES]
    path = next((p for p in paths if p.exists()), None)
    if path is None:
        return "not built: no C compiler (gcc 12 or newer, or clang) was found when graphpde was installed"
    try:
        found = ctypes.CDLL(str(path))
        interface = found.graphpde_interface()
    except (OSError, AttributeError) as error:  # built for another machine, or another version
        return f"cannot be loaded ({error}); install graphpde again"
    if interface != len(_ALL) * 10_000 + _PLAN.size + _JOB.size + _BLEND.size + _DEVIATION.size:
        return "built from another version; install graphpde again"
    found.graphpde_instructions.restype = ctypes.c_char_p
    found.graphpde_run.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_char_p]
    found.graphpde_run.restype = None
    found.graphpde_blend.argtypes = found.graphpde_deviation.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_char_p]
    found.graphpde_blend.restype, found.graphpde_deviation.restype = None, ctypes.c_double
    found.graphpde_threads()
    found.graphpde_instructions(b"best")
    return found


@cache
def compiled() -> ctypes.CDLL | None:
    """The compiled kernels, or None where there are none."""
    found = _found()
    return None if isinstance(found, str) else found


def instructions(name: str | None = None) -> str | None:
    """Choose "baseline", "avx2", "avx512" or "best" instructions; those in force, or None where they are not here."""
    found = compiled()
    if found is None:
        return None
    chosen = found.graphpde_instructions(name.encode() if name else None)
    return chosen.decode() if chosen else None


def about() -> str:
    """What is special here, in a few words."""
    return f"{instructions()} instructions"


def missing() -> str | None:
    """Why this backend cannot be used, or None."""
    found = _found()
    return found if isinstance(found, str) else None


def _kernel(f: Callable[..., Any]) -> Callable[..., Any]:
    """A kernel for float32 and float64, for half precision widened, and the oracle for every other type."""
    oracle = getattr(reference, f.__name__)

    @wraps(f)
    def call(plan: Plan, *args: Any) -> Any:
        kind = args[0].dtype if args[0] is not None else args[1].dtype
        if plan.idx.dtype is not torch.int32 or kind not in DTYPES:
            return oracle(plan, *args)
        if kind in _OWN:
            return f(plan, *_signed(args))
        return _map(f(plan, *_map(_signed(args), kind, torch.float32)), torch.float32, kind)

    return call


def _signed(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Tensors whose sign stands in their memory, not in a flag beside it (as of the imaginary part of a conjugate)."""
    return tuple(
        v.resolve_neg() if isinstance(v, Tensor) else _signed(v) if isinstance(v, tuple) else v for v in values
    )


def _map(values: Any, old: torch.dtype, new: torch.dtype) -> Any:
    if isinstance(values, tuple):
        return tuple(_map(v, old, new) for v in values)
    return values.to(new) if isinstance(values, Tensor) and values.dtype == old else values


@_kernel
def spmm(plan: Plan, w: Tensor | None, x: Tensor, diagonal: Tensor | None = None) -> Tensor:
    """As :func:`reference.spmm`; with a ``diagonal`` [n] or [n, c] of a square relation, diagonal * x is added."""
    g, _, c = x.shape
    x = x.contiguous()
    y = x.new_empty(g, plan.n_out, c)
    h, w_step = 1, 0
    if w is not None:
        w = w.contiguous()
        h = w.shape[2]
        w_step = w.shape[1] * h if w.shape[0] > 1 else 0
    if diagonal is not None:
        diagonal = diagonal.contiguous()
    _run(SPMM, plan, x, g, h, c // h, w=w, w_step=w_step, d=diagonal, x=x, y=y)
    return y


@_kernel
def sddmm(plan: Plan, y: Tensor, x: Tensor, heads: int, shared: bool) -> Tensor:
    """As :func:`reference.sddmm`."""
    g, _, c = x.shape
    y, x = y.contiguous(), x.contiguous()
    s = x.new_empty(1 if shared else g, plan.idx.numel(), heads)
    if not g:
        return s.zero_()
    _run(SDDMM, plan, x, g, heads, c // heads, shared=shared, a=y, x=x, s=s)
    return s if plan.perm is None else composed.own_order(plan, s)


@_kernel
def spmm_sddmm(plan: Plan, w: Tensor, x: Tensor, diagonal: Tensor | None, y: Tensor) -> tuple[Tensor, Tensor]:
    """As :func:`composed.spmm_sddmm`, the columns of a row read once for both."""
    if w.shape[0] > 1 or w.shape[2] > 1 or x.shape[0] > 1:
        return composed.spmm_sddmm(sys.modules[__name__], plan, w, x, diagonal, y)
    x, y, w = x.contiguous(), y.contiguous(), w.contiguous()
    total, s = torch.empty_like(y), torch.empty_like(w)
    if diagonal is not None:
        diagonal = diagonal.contiguous()
    _run(SPMM_SDDMM, plan, x, 1, 1, x.shape[2], w=w, d=diagonal, a=y, x=x, y=total, s=s)
    return total, s


@_kernel
def extreme(plan: Plan, x: Tensor, largest: bool, slots: bool = True) -> tuple[Tensor, Tensor | None]:
    """As :func:`reference.extreme`; the slots only where they are wanted."""
    g, _, c = x.shape
    x = x.contiguous()
    y = x.new_empty(g, plan.n_out, c)
    slot = y.new_empty(y.shape, dtype=torch.int64) if slots else None
    _run(EXTREME, plan, x, g, 1, c, scale=1.0 if largest else -1.0, x=x, y=y, slot=slot)
    return y, slot


@_kernel
def softmax(plan: Plan, s: Tensor) -> Tensor:
    """As :func:`reference.softmax`."""
    s = s.contiguous()
    p = torch.empty_like(s)
    _run(SOFTMAX, plan, s, s.shape[0], s.shape[2], 1, x=s, s=p)
    return p


@_kernel
def logsumexp(plan: Plan, s: Tensor) -> Tensor:
    """As :func:`reference.logsumexp`."""
    s = s.contiguous()
    y = s.new_empty(s.shape[0], plan.n_out, s.shape[2])
    _run(LOGSUMEXP, plan, s, s.shape[0], s.shape[2], 1, x=s, y=y)
    return y


@_kernel
def attend(plan: Plan, q: Tensor, k: Tensor, v: Tensor, heads: int, scale: float) -> tuple[Tensor, Tensor]:
    """As :func:`composed.attend`, row by row in one pass."""
    g, e = q.shape[0], plan.idx.numel()
    q, k, v = q.contiguous(), k.contiguous(), v.contiguous()
    y, p = q.new_empty(g, plan.n_out, v.shape[2]), q.new_empty(g, e, heads)
    _run(ATTEND, plan, q, g, heads, q.shape[2] // heads, f=v.shape[2] // heads, scale=scale, a=q, x=k, v=v, s=p, y=y)
    return y, p


@_kernel
def attend_back(
    plan: Plan,
    grad: Tensor,
    inputs: tuple[Tensor, Tensor, Tensor],
    kept: tuple[Tensor, Tensor],
    heads: int,
    scale: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """As :func:`composed.attend_back`, in one pass over the rows."""
    (q, k, v), p = (t.contiguous() for t in inputs), kept[1]
    dq, ds = torch.empty_like(q), torch.empty_like(p)
    c, f = q.shape[2] // heads, v.shape[2] // heads
    a = grad.contiguous()
    _run(ATTEND_BACK, plan, q, q.shape[0], heads, c, f=f, scale=scale, a=a, x=k, v=v, p=p, s=ds, y=dq)
    return dq, p, ds


def blend(u: Tensor, factors: Sequence[float], terms: Sequence[Tensor]) -> Tensor:
    """As :func:`reference.blend`, every array read once."""
    count = len(terms)
    if not 1 < count <= _TERMS or not _alike(u, *terms):
        return reference.blend(u, factors, terms)
    y, none = torch.empty_like(u), [0] * (_TERMS - count)
    addresses = [t.data_ptr() for t in terms]
    job = _BLEND.pack(u.numel(), count, u.data_ptr(), y.data_ptr(), *addresses, *none, *factors, *none)
    compiled().graphpde_blend(u.element_size() == 8, _threads(u), job)  # type: ignore[union-attr]
    return y


def deviation(e: Tensor, a: Tensor, b: Tensor, rtol: float, atol: float) -> float:
    """As :func:`reference.deviation`, every array read once."""
    if not atol or not _alike(e, a, b):
        return reference.deviation(e, a, b, rtol, atol)
    none = [0] * (3 * _TERMS)
    job = _DEVIATION.pack(e.numel(), 0, a.data_ptr(), b.data_ptr(), e.data_ptr(), *none, rtol, atol)
    total = compiled().graphpde_deviation(e.element_size() == 8, _threads(e), job)  # type: ignore[union-attr]
    # of finite numbers, perhaps: their squares may not be
    return total if total < math.inf else reference.deviation(e, a, b, rtol, atol)


def deviation_of_sums(
    a: Tensor, factors: Sequence[float], errors: Sequence[float], terms: Sequence[Tensor], rtol: float, atol: float
) -> float:
    """As :func:`reference.deviation_of_sums`, every array read once and nothing written."""
    count = len(terms)
    if not atol or not 0 < count <= _TERMS or not _alike(a, *terms):
        return reference.deviation_of_sums(a, factors, errors, terms, rtol, atol)
    none = [0] * (_TERMS - count)
    padded = (*factors, *[0.0] * (_TERMS - len(factors)), *errors, *[0.0] * (_TERMS - len(errors)))
    addresses = [t.data_ptr() for t in terms]
    job = _DEVIATION.pack(a.numel(), count, a.data_ptr(), 0, 0, *addresses, *none, *padded, rtol, atol)
    return compiled().graphpde_deviation(a.element_size() == 8, _threads(a), job)  # type: ignore[union-attr]


def _alike(*tensors: Tensor) -> bool:
    """Whether entry i of all lies at place i, in numbers known here."""
    kind, shape = tensors[0].dtype, tensors[0].shape
    return kind in _OWN and all(
        t.dtype is kind and t.shape == shape and t.is_contiguous() and t.device.type == "cpu" and not t.is_neg()
        for t in tensors
    )


def _threads(x: Tensor) -> int:
    return torch.get_num_threads() if x.numel() > _FEW else 1


def _run(
    operation: int,
    plan: Plan,
    like: Tensor,
    groups: int,
    heads: int,
    k: int,
    *,
    f: int = 0,
    w_step: int = 0,
    shared: bool = False,
    scale: float = 0.0,
    w: Tensor | None = None,
    d: Tensor | None = None,
    a: Tensor | None = None,
    x: Tensor | None = None,
    v: Tensor | None = None,
    p: Tensor | None = None,
    y: Tensor | None = None,
    s: Tensor | None = None,
    slot: Tensor | None = None,
) -> None:
    """One call of the library; the caller holds the tensors."""
    prepared = plan.native
    if prepared is None or prepared.place != plan.idx.data_ptr():  # sent to another process, tensors move in memory
        prepared = _prepare(plan)
    size = like.element_size()
    far = prepared.far and heads * k * size * plan.n_in > _CACHE
    threads = torch.get_num_threads()
    if threads > 1 and groups * heads * k * prepared.work < _SMALL:
        threads = 1
    addresses = [0 if t is None else t.data_ptr() for t in (w, a, x, v, p, d, y, s, slot)]
    d_each = d is not None and d.dim() == 2 and d.shape[1] > 1
    job = prepared.packed + _JOB.pack(groups, heads, k, f, w_step, shared, d_each, far, scale, *addresses)
    compiled().graphpde_run(operation, size == 8, threads, job)  # type: ignore[union-attr]


class _Prepared:
    """A plan as the library reads it: packed addresses, and the tensors they belong to."""

    __slots__ = ("far", "held", "packed", "place", "work")

    def __init__(self, plan: Plan):
        e, n = plan.idx.numel(), plan.n_out
        self.work = e + n
        chunks = min(max(self.work // _SHARE, 1), 64)
        starts = torch.from_numpy(_starts(plan, chunks))
        idx = plan.idx.contiguous()
        self.held, self.place = (plan.ptr, idx, plan.perm, starts), plan.idx.data_ptr()
        addresses = [0 if t is None else t.data_ptr() for t in (plan.ptr, idx, plan.perm, starts)]
        self.packed = _PLAN.pack(*addresses, plan.n_in, n, e, chunks)
        self.far = is_scattered(plan.idx)


def _prepare(plan: Plan) -> _Prepared:
    plan.native = _Prepared(plan)
    return plan.native


def _starts(plan: Plan, chunks: int) -> np.ndarray:
    """First row of each share of about equal work."""
    if plan.ptr is None:
        return np.linspace(0, plan.n_out, chunks + 1).astype(np.int32)
    ptr = plan.ptr.numpy()
    cost = ptr + np.arange(len(ptr), dtype=np.int64)
    starts = np.searchsorted(cost, np.linspace(0, cost[-1], chunks + 1)).astype(np.int32)
    starts[0], starts[-1] = 0, plan.n_out
    return starts
