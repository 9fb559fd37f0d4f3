"""The GPU programs for softmax and attention over edges; importing this module imports triton.

Tiles as in :mod:`graphpde.core.kernels.triton_kernels`, with heads [HB] in the place of channels, and [HB, channels
of a head] where queries meet keys. The softmax is the online one: a running maximum per row and head, and sums that
are scaled down whenever it rises, so that a row is read once and its scores are never stored.

Source: Milakov and Gimelshein 2018 (online normaliser); Dao et al. 2022 (recomputation from the saved logsumexp).
"""

# mypy: disallow-untyped-defs=False, check-untyped-defs=False

from __future__ import annotations

import triton
import triton.language as tl

from graphpde.core.kernels.triton_kernels import SIZES, add_exactly, row_block, settle, slot_block


@triton.jit
def finite(top):
    """The maximum to take off a score: 0 where it is infinite, so that no inf - inf arises."""
    return tl.where((top == float("-inf")) | (top == float("inf")), 0.0, top)


@triton.jit
def normaliser(s, start, length, head, H: tl.constexpr, S: tl.constexpr, INDEX: tl.constexpr, ACC: tl.constexpr):
    """What each row's scores are shifted by, and the sum of exp(score - shift): both [R, HB]."""
    top = tl.full((start.shape[0], head.shape[0]), float("-inf"), ACC)
    total = tl.full((start.shape[0], head.shape[0]), 0.0, ACC)
    lost = tl.full((start.shape[0], head.shape[0]), 0.0, ACC)
    for step in range(0, tl.max(length, axis=0), S):
        slot, live = slot_block(start, length, step, S)
        there = live[:, :, None] & (head < H)[None, None, :]
        at = slot.to(INDEX)[:, :, None] * H + head[None, None, :]
        score = tl.load(s + at, mask=there, other=float("-inf")).to(ACC)
        new = tl.maximum(top, tl.max(score, axis=1))
        shift = finite(new)
        fade = tl.exp(top - shift)
        total, lost = add_exactly(total * fade, lost * fade, tl.sum(tl.exp(score - shift[:, None, :]), axis=1))
        top = new
    return finite(top), settle(total, lost)


@triton.jit
def softmax_rows(
    ptr, s, out, n_out, first, low, high, head,
    H: tl.constexpr, NORMALISE: tl.constexpr, R: tl.constexpr, S: tl.constexpr,
    INDEX: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """NORMALISE: the softmax over each row's slots, [e, H]; else the logarithm of its denominator, [n_out, H]."""
    row, start, length, mine, longest = row_block(ptr, first, n_out, low, high, R, INDEX)
    shift, total = normaliser(s, start, length, head, H, S, INDEX, ACC)
    if NORMALISE:
        for step in range(0, tl.max(length, axis=0), S):
            slot, live = slot_block(start, length, step, S)
            there = live[:, :, None] & (head < H)[None, None, :]
            at = slot.to(INDEX)[:, :, None] * H + head[None, None, :]
            score = tl.load(s + at, mask=there, other=0.0).to(ACC)
            tl.store(out + at, tl.exp(score - shift[:, None, :]) / total[:, None, :], mask=there)
    else:
        there = mine[:, None] & (head < H)[None, :]
        tl.store(out + row[:, None] * H + head[None, :], shift + tl.log(total), mask=there)
    return longest


@triton.jit(do_not_specialize=SIZES)
def softmax(
    ptr, s, out, n_out, e, blocks,
    H: tl.constexpr, NORMALISE: tl.constexpr, R: tl.constexpr, S: tl.constexpr, HB: tl.constexpr,
    WIDE: tl.constexpr, LONG: tl.constexpr, INDEX: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """Softmax or logsumexp over rows: grid (row blocks x head blocks x groups)."""
    part = tl.program_id(0) // blocks
    first = (tl.program_id(0) % blocks) * R
    head = (part % ((H + HB - 1) // HB)) * HB + tl.arange(0, HB)
    group = (part // ((H + HB - 1) // HB)).to(tl.int64)
    s += group * e * H
    out += group * (e if NORMALISE else n_out) * H
    longest = softmax_rows(ptr, s, out, n_out, first, -1, LONG, head, H, NORMALISE, R, S, INDEX, ACC)
    if WIDE > S and longest > LONG:
        for k in range(R):
            softmax_rows(ptr, s, out, n_out, first + k, LONG, 2147483647, head, H, NORMALISE, 1, WIDE, INDEX, ACC)


@triton.jit
def head_channels(head, H: tl.constexpr, D: tl.constexpr, DB: tl.constexpr):
    """Where the D channels of each head lie in a node's, [HB, DB], and which of them exist."""
    d = tl.arange(0, DB)
    return head[:, None] * D + d[None, :], (head < H)[:, None] & (d < D)[None, :]


@triton.jit
def attend_rows(
    ptr, idx, q, k, v, scale, y, lse, n_out, first, low, high, head,
    H: tl.constexpr, D: tl.constexpr, V: tl.constexpr, DB: tl.constexpr, VB: tl.constexpr,
    R: tl.constexpr, S: tl.constexpr, INDEX: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """y_i = sum_j softmax_j(scale <q_i, k_j>) v_j and the logarithm of the softmax's denominator, for R rows."""
    row, start, length, mine, longest = row_block(ptr, first, n_out, low, high, R, INDEX)
    in_key, key_there = head_channels(head, H, D, DB)
    in_value, value_there = head_channels(head, H, V, VB)
    whole = mine[:, None, None] & key_there[None, :, :]
    query = tl.load(q + row[:, None, None] * (H * D) + in_key[None, :, :], mask=whole, other=0.0).to(ACC)
    query = query * tl.load(scale)
    top = tl.full((R, head.shape[0]), float("-inf"), ACC)
    total = tl.full((R, head.shape[0]), 0.0, ACC)
    lost = tl.full((R, head.shape[0]), 0.0, ACC)
    mixed = tl.full((R, head.shape[0], VB), 0.0, ACC)
    mixed_lost = tl.full((R, head.shape[0], VB), 0.0, ACC)
    for step in range(0, tl.max(length, axis=0), S):
        slot, live = slot_block(start, length, step, S)
        node = tl.load(idx + slot, mask=live, other=0).to(INDEX)[:, :, None, None]
        real = live[:, :, None, None]
        at = node * (H * D) + in_key[None, None, :, :]
        key = tl.load(k + at, mask=real & key_there[None, None, :, :], other=0.0).to(ACC)
        at = node * (H * V) + in_value[None, None, :, :]
        value = tl.load(v + at, mask=real & value_there[None, None, :, :], other=0.0).to(ACC)
        score = tl.sum(query[:, None, :, :] * key, axis=3)
        score = tl.where(live[:, :, None], score, float("-inf"))
        new = tl.maximum(top, tl.max(score, axis=1))
        shift = finite(new)
        fade = tl.exp(top - shift)
        p = tl.exp(score - shift[:, None, :])
        total, lost = add_exactly(total * fade, lost * fade, tl.sum(p, axis=1))
        block = tl.sum(p[:, :, :, None] * value, axis=1)
        mixed, mixed_lost = add_exactly(mixed * fade[:, :, None], mixed_lost * fade[:, :, None], block)
        top = new
    total = settle(total, lost)
    mean = settle(mixed, mixed_lost) / total[:, :, None]
    mean = tl.where((length > 0)[:, None, None], mean, 0.0)
    whole = mine[:, None, None] & value_there[None, :, :]
    tl.store(y + row[:, None, None] * (H * V) + in_value[None, :, :], mean, mask=whole)
    there = mine[:, None] & (head < H)[None, :]
    tl.store(lse + row[:, None] * H + head[None, :], finite(top) + tl.log(total), mask=there)
    return longest


@triton.jit(do_not_specialize=SIZES)
def attend(
    ptr, idx, q, k, v, scale, y, lse, n_in, n_out, blocks,
    H: tl.constexpr, D: tl.constexpr, V: tl.constexpr, HB: tl.constexpr, DB: tl.constexpr, VB: tl.constexpr,
    R: tl.constexpr, S: tl.constexpr, WIDE: tl.constexpr, LONG: tl.constexpr, INDEX: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """Attention forward: grid (row blocks x head blocks x groups)."""
    part = tl.program_id(0) // blocks
    first = (tl.program_id(0) % blocks) * R
    head = (part % ((H + HB - 1) // HB)) * HB + tl.arange(0, HB)
    group = (part // ((H + HB - 1) // HB)).to(tl.int64)
    q += group * n_out * (H * D)
    k += group * n_in * (H * D)
    v += group * n_in * (H * V)
    y += group * n_out * (H * V)
    lse += group * n_out * H
    longest = attend_rows(
        ptr, idx, q, k, v, scale, y, lse, n_out, first, -1, LONG, head, H, D, V, DB, VB, R, S, INDEX, ACC
    )
    if WIDE > S and longest > LONG:
        for i in range(R):
            attend_rows(
                ptr, idx, q, k, v, scale, y, lse, n_out, first + i, LONG, 2147483647, head,
                H, D, V, DB, VB, 1, WIDE, INDEX, ACC,
            )  # fmt: skip


@triton.jit
def attend_back_rows(
    ptr, idx, gy, q, k, v, y, lse, scale, dq, p, ds, n_out, first, low, high, head,
    H: tl.constexpr, D: tl.constexpr, V: tl.constexpr, DB: tl.constexpr, VB: tl.constexpr,
    R: tl.constexpr, S: tl.constexpr, INDEX: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """p_e = exp(score_e - lse_i), ds_e = scale p_e (<gy_i, v_j> - <gy_i, y_i>), dq_i = sum_j ds_e k_j, for R rows."""
    row, start, length, mine, longest = row_block(ptr, first, n_out, low, high, R, INDEX)
    in_key, key_there = head_channels(head, H, D, DB)
    in_value, value_there = head_channels(head, H, V, VB)
    value_at = row[:, None, None] * (H * V) + in_value[None, :, :]
    whole = mine[:, None, None] & value_there[None, :, :]
    grad = tl.load(gy + value_at, mask=whole, other=0.0).to(ACC)
    mean = tl.sum(grad * tl.load(y + value_at, mask=whole, other=0.0).to(ACC), axis=2)
    head_there = (head < H)[None, :]
    norm = tl.load(lse + row[:, None] * H + head[None, :], mask=mine[:, None] & head_there, other=0.0)
    query_at = row[:, None, None] * (H * D) + in_key[None, :, :]
    whole = mine[:, None, None] & key_there[None, :, :]
    factor = tl.load(scale)
    query = tl.load(q + query_at, mask=whole, other=0.0).to(ACC) * factor
    total = tl.full((R, head.shape[0], DB), 0.0, ACC)
    lost = tl.full((R, head.shape[0], DB), 0.0, ACC)
    for step in range(0, tl.max(length, axis=0), S):
        slot, live = slot_block(start, length, step, S)
        node = tl.load(idx + slot, mask=live, other=0).to(INDEX)[:, :, None, None]
        real = live[:, :, None, None]
        at = node * (H * D) + in_key[None, None, :, :]
        key = tl.load(k + at, mask=real & key_there[None, None, :, :], other=0.0).to(ACC)
        at = node * (H * V) + in_value[None, None, :, :]
        value = tl.load(v + at, mask=real & value_there[None, None, :, :], other=0.0).to(ACC)
        score = tl.sum(query[:, None, :, :] * key, axis=3)
        share = tl.where(live[:, :, None], tl.exp(score - norm[:, None, :]), 0.0)
        slope = factor * share * (tl.sum(grad[:, None, :, :] * value, axis=3) - mean[:, None, :])
        at = slot.to(INDEX)[:, :, None] * H + head[None, None, :]
        there = live[:, :, None] & head_there[None, :, :]
        tl.store(p + at, share, mask=there)
        tl.store(ds + at, slope, mask=there)
        total, lost = add_exactly(total, lost, tl.sum(slope[:, :, :, None] * key, axis=1))
    tl.store(dq + query_at, settle(total, lost), mask=whole)
    return longest


@triton.jit(do_not_specialize=SIZES)
def attend_back(
    ptr, idx, gy, q, k, v, y, lse, scale, dq, p, ds, n_in, n_out, e, blocks,
    H: tl.constexpr, D: tl.constexpr, V: tl.constexpr, HB: tl.constexpr, DB: tl.constexpr, VB: tl.constexpr,
    R: tl.constexpr, S: tl.constexpr, WIDE: tl.constexpr, LONG: tl.constexpr, INDEX: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """The row pass of attention's backward, on the grid of :func:`attend`."""
    part = tl.program_id(0) // blocks
    first = (tl.program_id(0) % blocks) * R
    head = (part % ((H + HB - 1) // HB)) * HB + tl.arange(0, HB)
    group = (part // ((H + HB - 1) // HB)).to(tl.int64)
    gy += group * n_out * (H * V)
    y += group * n_out * (H * V)
    q += group * n_out * (H * D)
    dq += group * n_out * (H * D)
    k += group * n_in * (H * D)
    v += group * n_in * (H * V)
    lse += group * n_out * H
    p += group * e * H
    ds += group * e * H
    longest = attend_back_rows(
        ptr, idx, gy, q, k, v, y, lse, scale, dq, p, ds, n_out, first, -1, LONG, head,
        H, D, V, DB, VB, R, S, INDEX, ACC,
    )  # fmt: skip
    if WIDE > S and longest > LONG:
        for i in range(R):
            attend_back_rows(
                ptr, idx, gy, q, k, v, y, lse, scale, dq, p, ds, n_out, first + i, LONG, 2147483647, head,
                H, D, V, DB, VB, 1, WIDE, INDEX, ACC,
            )  # fmt: skip
