"""GPU kernels without atomics, in Triton: present where the package triton is, never imported before they are used.

On a machine without a GPU the same programs run, slowly, in Triton's interpreter (``TRITON_INTERPRET=1``, set before
triton is first imported). What they do not cover goes to :mod:`graphpde.core.kernels.reference`: integer and complex
numbers, mixed types, relations past 2^31 entries, selections, and relations or fields without entries.
"""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from typing import Any, NamedTuple

import torch
from torch import Tensor

from graphpde.core.kernels import composed, reference
from graphpde.core.kernels.plan import Plan

DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)

_WARPS = 4
_TILE = 1024  # float32 numbers a program holds at once: 8 a thread, loaded 16 bytes at a time
_WIDE = 2048  # the same for a long row, which has the program to itself; more would cost every row registers
_CHANNELS = 64  # channels side by side in a program of row sums: the next 64 run when all rows have these, from cache
_BROAD = 128  # the same for dot products and heads, which need all channels of a head at once
_FAR = 2**31  # entries of a tensor from which on positions in it are computed in int64
_END = 2**31 - 2**13  # entries up to which slot numbers rounded up to a tile stay within int32


def missing() -> str | None:
    """Why this backend cannot be used, or None."""
    if find_spec("triton") is None:
        return "the package triton is not installed"
    if not _interpreted():
        return None if torch.cuda.is_available() else "no CUDA device (TRITON_INTERPRET=1 runs it, slowly, without one)"
    language = sys.modules.get("triton.language")
    if language is not None and type(language.sum).__name__ == "JITFunction":
        return "triton was imported before TRITON_INTERPRET=1 was set"
    return None


def spmm(plan: Plan, w: Tensor | None, x: Tensor) -> Tensor:
    """As :func:`reference.spmm`."""
    if not _covers(plan, x, w):
        return reference.spmm(plan, w, x)
    g, _, c = x.shape
    heads = 1 if w is None else w.shape[2]
    if w is not None:
        w = (w[:1] if w.stride(0) == 0 else w).contiguous()
    x, y = x.contiguous(), x.new_empty(g, plan.n_out, c)
    tile = _tile(plan, min(_up(c), _CHANNELS), x.dtype)
    from graphpde.core.kernels.triton_kernels import spmm as kernel

    with torch.cuda.device_of(x):
        kernel[(tile.blocks * -(-c // tile.features) * g,)](
            plan.ptr, plan.idx, plan.perm, w, x, y, plan.n_in, plan.n_out, tile.blocks,
            0 if w is None or w.shape[0] == 1 else w[0].numel(),
            C=c, HEADS=heads, F=tile.features, **tile.shape, **_types(x, y, w), num_warps=_WARPS,
        )  # fmt: skip
    return y


def sddmm(plan: Plan, y: Tensor, x: Tensor, heads: int, shared: bool) -> Tensor:
    """As :func:`reference.sddmm`."""
    if not _covers(plan, y, x):
        return reference.sddmm(plan, y, x, heads, shared)
    g, e, k = x.shape[0], plan.idx.numel(), x.shape[2] // heads
    y, x, s = y.contiguous(), x.contiguous(), x.new_empty(1 if shared else g, e, heads)
    channels = min(_up(k), _BROAD)
    wide = min(_up(heads), _BROAD // channels)
    slots = max(1, 2 * _TILE // (wide * channels * _words(x.dtype)))
    blocks = -(-e // slots)
    from graphpde.core.kernels.triton_kernels import sddmm as kernel

    with torch.cuda.device_of(x):
        kernel[(blocks * -(-heads // wide) * s.shape[0],)](
            plan.row, plan.idx, plan.perm, y, x, s, plan.n_in, plan.n_out, e, blocks, g if shared else 1,
            HEADS=heads, K=k, B=slots, HB=wide, KB=channels, **_types(x, y, s), num_warps=_WARPS,
        )  # fmt: skip
    return s


def extreme(plan: Plan, x: Tensor, largest: bool, slots: bool = True) -> tuple[Tensor, Tensor | None]:
    """As :func:`reference.extreme`."""
    if not _covers(plan, x):
        return reference.extreme(plan, x, largest, slots)
    g, _, c = x.shape
    x, y = x.contiguous(), x.new_empty(g, plan.n_out, c)
    winner = x.new_empty(y.shape, dtype=torch.int64) if slots else None
    tile = _tile(plan, min(_up(c), _CHANNELS), x.dtype)
    from graphpde.core.kernels.triton_kernels import extreme as kernel

    with torch.cuda.device_of(x):
        kernel[(tile.blocks * -(-c // tile.features) * g,)](
            plan.ptr, plan.idx, x, y, winner, plan.n_in, plan.n_out, tile.blocks,
            C=c, LARGEST=bool(largest), F=tile.features, **tile.shape, **_types(x, y), num_warps=_WARPS,
        )  # fmt: skip
    return y, winner


def softmax(plan: Plan, s: Tensor) -> Tensor:
    """As :func:`reference.softmax`."""
    return _softmax(plan, s, True) if _covers(plan, s) else reference.softmax(plan, s)


def logsumexp(plan: Plan, s: Tensor) -> Tensor:
    """As :func:`reference.logsumexp`."""
    return _softmax(plan, s, False) if _covers(plan, s) else reference.logsumexp(plan, s)


def _softmax(plan: Plan, s: Tensor, normalise: bool) -> Tensor:
    g, e, heads = s.shape
    s, out = s.contiguous(), s.new_empty(g, e if normalise else plan.n_out, heads)
    tile = _tile(plan, min(_up(heads), _CHANNELS), s.dtype)
    from graphpde.core.kernels.triton_attention import softmax as kernel

    with torch.cuda.device_of(s):
        kernel[(tile.blocks * -(-heads // tile.features) * g,)](
            plan.ptr, s, out, plan.n_out, e, tile.blocks,
            H=heads, NORMALISE=normalise, HB=tile.features, **tile.shape, **_types(s, out), num_warps=_WARPS,
        )  # fmt: skip
    return out


def attend(plan: Plan, q: Tensor, k: Tensor, v: Tensor, heads: int, scale: float) -> tuple[Tensor, Tensor]:
    """As :func:`composed.attend`; keeps the logarithm of each softmax's denominator, [g, n_out, h] in the sums' type.

    Heads of more than 128 channels go by way of their scores [e, h].
    """
    if not _covers(plan, q, k, v):
        return reference.attend(plan, q, k, v, heads, scale)
    if _broad(q, v, heads):
        return composed.attend(sys.modules[__name__], plan, q, k, v, heads, scale)
    q, k, v = q.contiguous(), k.contiguous(), v.contiguous()
    y = v.new_empty(v.shape[0], plan.n_out, v.shape[2])
    lse = q.new_empty(q.shape[0], plan.n_out, heads, dtype=torch.promote_types(q.dtype, torch.float32))
    blocks, shape = _head_tile(plan, heads, q, v)
    from graphpde.core.kernels.triton_attention import attend as kernel

    with torch.cuda.device_of(q):
        kernel[(blocks * -(-heads // shape["HB"]) * q.shape[0],)](
            plan.ptr, plan.idx, q, k, v, lse.new_full((1,), scale), y, lse, plan.n_in, plan.n_out, blocks,
            **shape, **_types(q, k, v, y), num_warps=_WARPS,
        )  # fmt: skip
    return y, lse


def attend_back(
    plan: Plan,
    grad: Tensor,
    inputs: tuple[Tensor, Tensor, Tensor],
    kept: tuple[Tensor, Tensor],
    heads: int,
    scale: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """As :func:`composed.attend_back`: probabilities computed anew from what ``attend`` kept, in one pass over rows."""
    if not _covers(plan, *inputs):
        return reference.attend_back(plan, grad, inputs, kept, heads, scale)
    if _broad(inputs[0], inputs[2], heads):
        return composed.attend_back(sys.modules[__name__], plan, grad, inputs, kept, heads, scale)
    grad, q, k, v, y, lse = (t.contiguous() for t in (grad, *inputs, *kept))
    p = q.new_empty(q.shape[0], plan.idx.numel(), heads)
    dq, ds = torch.empty_like(q), torch.empty_like(p)
    blocks, shape = _head_tile(plan, heads, q, v)
    from graphpde.core.kernels.triton_attention import attend_back as kernel

    with torch.cuda.device_of(q):
        kernel[(blocks * -(-heads // shape["HB"]) * q.shape[0],)](
            plan.ptr, plan.idx, grad, q, k, v, y, lse, lse.new_full((1,), scale), dq, p, ds,
            plan.n_in, plan.n_out, plan.idx.numel(), blocks, **shape, **_types(q, k, v, y, p), num_warps=_WARPS,
        )  # fmt: skip
    return dq, p, ds


class _Tile(NamedTuple):
    """How a program cuts its work; ``shape`` holds the compile-time numbers of its row block."""

    blocks: int
    features: int
    shape: dict[str, int]


def _tile(plan: Plan, features: int, kind: torch.dtype, room: int = 1) -> _Tile:
    """As many slots as a row has on average, as many rows as then fit the tile.

    Fewer slots would take several rounds of two dependent loads where one does; more would leave lanes idle. The
    choice depends on the plan alone, never on a timing, so that equal calls sum in equal order.
    """
    size = features * _words(kind) * room
    slots = min(max(_up(-(-plan.idx.numel() // plan.n_out)), 4), 32, max(4, 2 * _TILE // size))
    rows = max(1, _TILE // (slots * size))
    wide = max(slots, _WIDE // size)
    # without a wider tile no row is long: the common pass takes all
    shape = {"R": rows, "S": slots, "WIDE": wide, "LONG": 8 * slots if wide > slots else 2**31 - 1}
    return _Tile(-(-plan.n_out // rows), features, shape)


def _head_tile(plan: Plan, heads: int, q: Tensor, v: Tensor) -> tuple[int, dict[str, int]]:
    """Rows x slots x heads x channels of a head; keys and values are held at once, hence twice the room."""
    d, f = q.shape[2] // heads, v.shape[2] // heads
    side = max(_up(d), _up(f))
    wide = min(_up(heads), _BROAD // side)
    tile = _tile(plan, wide * side, q.dtype, room=2)
    return tile.blocks, {"H": heads, "D": d, "V": f, "HB": wide, "DB": _up(d), "VB": _up(f), **tile.shape}


def _broad(q: Tensor, v: Tensor, heads: int) -> bool:
    return max(q.shape[2], v.shape[2]) > _BROAD * heads


def _up(n: int) -> int:
    """The least power of two >= n: the only sizes a tile may have."""
    return 1 << (n - 1).bit_length()


def _words(kind: torch.dtype) -> int:
    return 2 if kind is torch.float64 else 1


def _types(*tensors: Tensor | None) -> dict[str, Any]:
    import triton.language as tl

    large = max(t[0].numel() for t in tensors if t is not None) >= _FAR
    kind = next(t.dtype for t in tensors if t is not None)
    return {"INDEX": tl.int64 if large else tl.int32, "ACC": tl.float64 if kind is torch.float64 else tl.float32}


def _covers(plan: Plan, *tensors: Tensor | None) -> bool:
    given = [t for t in tensors if t is not None]
    return (
        plan.ptr is not None
        and plan.idx.dtype is torch.int32
        and max(plan.n_in, plan.n_out, plan.idx.numel()) < _END
        and given[0].dtype in DTYPES
        and all(t.dtype is given[0].dtype and t.numel() > 0 for t in given)
        and plan.idx.numel() > 0
        and plan.n_out > 0
        and (given[0].is_cuda or _interpreted())
    )


def _interpreted() -> bool:
    return os.environ.get("TRITON_INTERPRET", "0").lower() in ("1", "true", "on", "yes", "y")
