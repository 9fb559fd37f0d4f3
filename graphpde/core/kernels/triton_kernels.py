"""The GPU programs for sums, dot products and extremes over edges; importing this module imports triton.

A program owns a block of rows and a block of channels, so no two programs write the same number: no atomics, and a
row's sum has one fixed order. Its tile is [rows R, slots S, channels F]; lanes lie along channels first and slots
second, so that at one channel several rows share a warp. A row longer than LONG would keep R - 1 others waiting: such
rows are left out of the common pass and taken one by one with a tile of WIDE slots.

Tiles are summed as trees and added to a running sum that carries its rounding error along, which keeps a row of 1e5
terms as accurate as a row of ten without float64 arithmetic. Channel counts are compile-time constants: only then
does the compiler know that a node's channels are aligned, and loads them 16 bytes at a time. INDEX is the type in
which positions are computed: int64 where a tensor has 2^31 entries or more. ACC is the type of sums.
"""

# mypy: disallow-untyped-defs=False, check-untyped-defs=False

from __future__ import annotations

import triton
import triton.language as tl

# a program must not be compiled anew for every graph: nothing is assumed of these numbers
SIZES = ["n_in", "n_out", "e", "blocks", "rounds", "w_step"]


@triton.jit
def add_exactly(total, lost, term):
    """Knuth's two-sum: total + term, and what rounding lost is added to ``lost``."""
    new = total + term
    part = new - total
    return new, lost + ((total - (new - part)) + (term - part))


@triton.jit
def settle(total, lost):
    """The compensated sum; an infinite total makes ``lost`` NaN and stands for itself."""
    return tl.where(lost == lost, total + lost, total)


@triton.jit
def row_block(ptr, first, n_out, low, high, R: tl.constexpr, INDEX: tl.constexpr):
    """R rows from ``first``: first slots, lengths (0 unless low < length <= high), which these are, and the longest."""
    row = first + tl.arange(0, R)
    inside = row < n_out
    start = tl.load(ptr + row, mask=inside, other=0)
    length = tl.load(ptr + row + 1, mask=inside, other=0) - start
    mine = inside & (length > low) & (length <= high)
    return row.to(INDEX), start, tl.where(mine, length, 0), mine, tl.max(length, axis=0)


@triton.jit
def slot_block(start, length, step, S: tl.constexpr):
    """Slots [R, S] of each row from its ``step``-th on, and which of them exist."""
    lane = step + tl.arange(0, S)
    return start[:, None] + lane[None, :], lane[None, :] < length[:, None]


@triton.jit
def sum_rows(
    ptr, idx, perm, w, x, y, n_out, first, low, high, channel,
    C: tl.constexpr, HEADS: tl.constexpr, R: tl.constexpr, S: tl.constexpr, INDEX: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """y[i, channel] = sum over the slots s of row i of w[perm s, head] x[idx s, channel], for R rows."""
    row, start, length, mine, longest = row_block(ptr, first, n_out, low, high, R, INDEX)
    there = (channel < C)[None, :]
    total = tl.full((R, channel.shape[0]), 0.0, ACC)
    lost = tl.full((R, channel.shape[0]), 0.0, ACC)
    for step in range(0, tl.max(length, axis=0), S):
        slot, live = slot_block(start, length, step, S)
        node = tl.load(idx + slot, mask=live, other=0).to(INDEX)
        full = live[:, :, None] & there[None, :, :]
        term = tl.load(x + node[:, :, None] * C + channel[None, None, :], mask=full, other=0.0).to(ACC)
        if w is not None:
            edge = slot
            if perm is not None:
                edge = tl.load(perm + slot, mask=live, other=0)
            edge = edge.to(INDEX)
            if HEADS == 1:
                term = term * tl.load(w + edge, mask=live, other=0.0).to(ACC)[:, :, None]
            else:
                head = channel // (C // HEADS)
                at = edge[:, :, None] * HEADS + head[None, None, :]
                term = term * tl.load(w + at, mask=full, other=0.0).to(ACC)
        total, lost = add_exactly(total, lost, tl.sum(term, axis=1))
    tl.store(y + row[:, None] * C + channel[None, :], settle(total, lost), mask=mine[:, None] & there)
    return longest


@triton.jit(do_not_specialize=SIZES)
def spmm(
    ptr, idx, perm, w, x, y, n_in, n_out, blocks, w_step,
    C: tl.constexpr, HEADS: tl.constexpr, R: tl.constexpr, S: tl.constexpr, F: tl.constexpr,
    WIDE: tl.constexpr, LONG: tl.constexpr, INDEX: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """Weighted sums of neighbours: grid (row blocks x channel blocks x groups), row blocks running fastest."""
    part = tl.program_id(0) // blocks
    first = (tl.program_id(0) % blocks) * R
    channel = (part % ((C + F - 1) // F)) * F + tl.arange(0, F)
    group = (part // ((C + F - 1) // F)).to(tl.int64)
    x += group * n_in * C
    y += group * n_out * C
    if w is not None:
        w += group * w_step
    longest = sum_rows(ptr, idx, perm, w, x, y, n_out, first, -1, LONG, channel, C, HEADS, R, S, INDEX, ACC)
    if WIDE > S and longest > LONG:
        for k in range(R):
            sum_rows(
                ptr, idx, perm, w, x, y, n_out, first + k, LONG, 2147483647, channel, C, HEADS, 1, WIDE, INDEX, ACC
            )


@triton.jit
def extreme_rows(
    ptr, idx, x, y, winner, n_out, first, low, high, channel,
    C: tl.constexpr, LARGEST: tl.constexpr, R: tl.constexpr, S: tl.constexpr, INDEX: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """Each row's largest value (or smallest, as the largest of -x) and, where wanted, the first slot that holds it."""
    row, start, length, mine, longest = row_block(ptr, first, n_out, low, high, R, INDEX)
    there = (channel < C)[None, :]
    best = tl.full((R, channel.shape[0]), float("-inf"), ACC)
    found = tl.full((R, channel.shape[0]), -1, tl.int32)
    broken = tl.full((R, channel.shape[0]), 0, tl.int32)
    for step in range(0, tl.max(length, axis=0), S):
        slot, live = slot_block(start, length, step, S)
        node = tl.load(idx + slot, mask=live, other=0).to(INDEX)
        full = live[:, :, None] & there[None, :, :]
        value = tl.load(x + node[:, :, None] * C + channel[None, None, :], mask=full, other=0.0).to(ACC)
        if not LARGEST:
            value = -value
        real = full & (value == value)
        value = tl.where(real, value, float("-inf"))
        peak = tl.max(value, axis=1)
        holds = real & (value == peak[:, None, :])
        peak_at = tl.min(tl.where(holds, slot[:, :, None], 2147483647), axis=1)
        nan_at = tl.min(tl.where(full & (real == 0), slot[:, :, None], 2147483647), axis=1)
        has_nan = nan_at < 2147483647
        # the first NaN of a row wins for good; else a strictly larger value, or the first value at all
        larger = (peak_at < 2147483647) & ((peak > best) | (found < 0))
        better = (broken == 0) & (has_nan | larger)
        found = tl.where(better, tl.where(has_nan, nan_at, peak_at), found)
        best = tl.where(better, peak, best)
        broken = tl.where(has_nan, 1, broken)
    if not LARGEST:
        best = -best
    best = tl.where(broken == 1, float("nan"), tl.where(found < 0, 0.0, best))
    out = row[:, None] * C + channel[None, :]
    tl.store(y + out, best, mask=mine[:, None] & there)
    if winner is not None:
        tl.store(winner + out, found.to(tl.int64), mask=mine[:, None] & there)
    return longest


@triton.jit(do_not_specialize=SIZES)
def extreme(
    ptr, idx, x, y, winner, n_in, n_out, blocks,
    C: tl.constexpr, LARGEST: tl.constexpr, R: tl.constexpr, S: tl.constexpr, F: tl.constexpr,
    WIDE: tl.constexpr, LONG: tl.constexpr, INDEX: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """Extremes over rows, on the grid of :func:`spmm`."""
    part = tl.program_id(0) // blocks
    first = (tl.program_id(0) % blocks) * R
    channel = (part % ((C + F - 1) // F)) * F + tl.arange(0, F)
    group = (part // ((C + F - 1) // F)).to(tl.int64)
    x += group * n_in * C
    y += group * n_out * C
    if winner is not None:
        winner += group * n_out * C
    longest = extreme_rows(ptr, idx, x, y, winner, n_out, first, -1, LONG, channel, C, LARGEST, R, S, INDEX, ACC)
    if WIDE > S and longest > LONG:
        for k in range(R):
            extreme_rows(
                ptr, idx, x, y, winner, n_out, first + k, LONG, 2147483647, channel, C, LARGEST, 1, WIDE, INDEX, ACC
            )


@triton.jit(do_not_specialize=SIZES)
def sddmm(
    row, idx, perm, y, x, s, n_in, n_out, e, blocks, rounds,
    HEADS: tl.constexpr, K: tl.constexpr, B: tl.constexpr, HB: tl.constexpr, KB: tl.constexpr,
    INDEX: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """One dot product per edge and head: grid (slot blocks x head blocks x groups); ``rounds`` groups are summed."""
    part = tl.program_id(0) // blocks
    slot = (tl.program_id(0) % blocks) * B + tl.arange(0, B)
    head = (part % ((HEADS + HB - 1) // HB)) * HB + tl.arange(0, HB)
    group = (part // ((HEADS + HB - 1) // HB)).to(tl.int64)
    live = slot < e
    i = tl.load(row + slot, mask=live, other=0).to(INDEX)
    j = tl.load(idx + slot, mask=live, other=0).to(INDEX)
    y += group * n_out * (HEADS * K)
    x += group * n_in * (HEADS * K)
    total = tl.full((B, HB), 0.0, ACC)
    lost = tl.full((B, HB), 0.0, ACC)
    for _ in range(rounds):
        for begin in range(0, K, KB):
            k = begin + tl.arange(0, KB)
            at = (head[:, None] * K + k[None, :])[None, :, :]
            there = live[:, None, None] & ((head < HEADS)[:, None] & (k < K)[None, :])[None, :, :]
            left = tl.load(y + i[:, None, None] * (HEADS * K) + at, mask=there, other=0.0).to(ACC)
            right = tl.load(x + j[:, None, None] * (HEADS * K) + at, mask=there, other=0.0).to(ACC)
            total, lost = add_exactly(total, lost, tl.sum(left * right, axis=2))
        y += n_out.to(tl.int64) * (HEADS * K)
        x += n_in.to(tl.int64) * (HEADS * K)
    edge = slot
    if perm is not None:
        edge = tl.load(perm + slot, mask=live, other=0)
    at = edge.to(INDEX)[:, None] * HEADS + head[None, :]
    tl.store(s + group * e * HEADS + at, settle(total, lost), mask=live[:, None] & (head < HEADS)[None, :])
