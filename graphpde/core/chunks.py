"""Messages worked in slices of the edges, so that memory is bounded whatever the message builds on the way.

Forward and backward, with q = chunk_edges edges at a time, need beside inputs, result and their gradients

    4 n c + q k  numbers,  where k counts what the message and its gradient hold per edge (all of its layers),

instead of e k, and some 40 bytes of indices per edge once, kept for the next call. So for a budget of B numbers take
q = (B - 4 n c) / k. Every slice adds to the gradient of all sources: below about n / 4 smaller slices cost time and
save little.

The message is worked again in the backward pass and must give the same: dropout does (the state of torch's generators
is kept), an explicit ``torch.Generator`` would draw anew and make gradients wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch._C import _autograd
from torch._functorch.pyfunctorch import temporarily_clear_interpreter_stack
from torch.utils import _pytree as tree
from torch.utils.checkpoint import checkpoint

from graphpde.core import heads
from graphpde.core.kernels import composed
from graphpde.core.tracing import Route, route
from graphpde.errors import InputError, ShapeError

if TYPE_CHECKING:
    from graphpde.core.relation import Relation


class Given(NamedTuple):
    """What :meth:`Relation.propagate` was given beside x, by the same names."""

    message: Callable[[Tensor, Tensor, Any], Tensor] | None
    x_dst: Tensor | None
    edge: Any
    weight: Tensor | None
    block: Tensor | None
    reduce: str


class Chunk(NamedTuple):
    """One slice of the edges, a relation of its own.

    Attributes:
        relation: its edges, from the sources that it reads to the rows that it reduces to, numbered within the slice.
        sources: the sources that it reads, ascending [k]; None for all of them.
        goes_on: a further part of the long row that the slice before has begun; other slices have whole rows.
    """

    relation: Relation
    sources: Tensor | None
    goes_on: bool


def propagate(relation: Relation, x: Tensor, given: Given, size: int) -> Tensor:
    """:meth:`Relation.propagate` with at most ``size`` edges at a time.

    In reverse mode a slice keeps only its result and is worked again in the backward pass, by torch.utils.checkpoint
    (non-reentrant): unlike a Function of our own it gives tensors captured in the message their gradients, and has
    second derivatives. Where saved tensors cannot be replaced (torch.func, forward mode, compilers) slices keep what
    they built; values and derivatives are the same. A row that is longer than a slice is rounded once more per part.

    Raises:
        InputError: ``size`` < 1, or ``edge`` holds what cannot be cut. ShapeError: not one value per edge.
    """
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise InputError(f"chunk_edges = {size}, expected a whole number of edges >= 1")
    if relation.n_edges <= size or not _builds_edges(given):
        return relation.propagate(x, **given._asdict())
    chunks = of(relation, size)
    pieces = _pieces(relation, x, given, chunks)
    run = _again if _can_recompute(x, given) else _once
    parts: list[Tensor] = []
    for chunk, piece in zip(chunks, pieces):
        y = run(chunk, x, piece)
        if chunk.goes_on:
            parts[-1] = _joined(parts[-1], y, given.reduce)
        else:
            parts.append(y)
    y = torch.cat(parts, -2)
    return relation._mean(y, lambda z: z) if given.reduce == "mean" else y


def of(relation: Relation, size: int) -> tuple[Chunk, ...]:
    """The slices of a relation, built once for each size."""
    known = relation._slices.get(size)
    if known is None:
        with temporarily_clear_interpreter_stack(), torch.inference_mode(False):  # as ``cached`` does, and why
            known = relation._slices[size] = tuple(_cut(relation, size))
    return known


def prepare(relation: Relation, size: int | None) -> None:
    """Build the plans of every slice now."""
    for chunk in of(relation, size) if size is not None and relation.n_edges > size else ():
        _ = chunk.relation.sides, chunk.relation._to_dst, chunk.relation._to_src


def _builds_edges(given: Given) -> bool:
    """Whether a tensor of edges times channels is built at all; sums of weighted values and plain extrema have none."""
    if given.message is not None:
        return True
    return given.reduce in ("max", "min") and not (given.weight is None and given.block is None)


def _can_recompute(x: Tensor, given: Given) -> bool:
    if not torch.is_grad_enabled() or torch.compiler.is_compiling():
        return False
    if not _autograd._saved_tensors_hooks_is_enabled():  # type: ignore[attr-defined]
        return False
    tensors = [t for t in tree.tree_leaves((x, given)) if isinstance(t, Tensor)]
    return route(*tensors) not in (Route.FULL, Route.PLAIN)


def _once(chunk: Chunk, x: Tensor, piece: Given) -> Tensor:
    if chunk.sources is not None:
        sources = chunk.sources
        x = heads.folded(x, lambda z: composed.selected(z, sources))
    return chunk.relation.propagate(x, **piece._asdict())


def _again(chunk: Chunk, x: Tensor, piece: Given) -> Tensor:
    return checkpoint(_once, chunk, x, piece, use_reentrant=False)


def _joined(a: Tensor, b: Tensor, reduce: str) -> Tensor:
    """Two parts of a row, ``a`` before ``b``: added, or the first winner, where a NaN wins."""
    if reduce in ("sum", "mean"):
        return a + b
    wins = (b > a if reduce == "max" else b < a) | (b.isnan() & ~a.isnan())
    return torch.where(wins, b, a)


def _cut(relation: Relation, size: int) -> Iterator[Chunk]:
    """As many whole rows as fit; a row that is longer than a slice by itself, in parts."""
    from graphpde.core.relation import Relation as Edges  # it imports this module

    ptr = relation._ptr.cpu().numpy()
    row, n = 0, relation.n_dst
    while row < n:
        first = int(ptr[row])
        end = int(np.searchsorted(ptr, first + size, side="right")) - 1
        rows = max(end - row, 1)
        last = int(ptr[row + rows])
        for start in range(first, max(last, first + 1), size):
            stop = min(start + size, last)
            offsets = (relation._ptr[row : row + rows + 1] - start).clamp(0, stop - start)
            src, sources, n_src = relation._src[start:stop], None, relation.n_src
            if stop - start < n_src:  # else plans as long as all the sources weigh no more than the slice
                sources, src = torch.unique(src, return_inverse=True)
                src, n_src = src.to(relation._src.dtype), len(sources)
            each = torch.arange(stop - start, dtype=src.dtype, device=src.device)
            yield Chunk(Edges(src, offsets, n_src, rows, each), sources, start > first)
        row += rows


def _pieces(relation: Relation, x: Tensor, given: Given, chunks: tuple[Chunk, ...]) -> Iterator[Given]:
    """The arguments of each slice.

    All pieces of a tensor come from one split: its gradient is then one concatenation, not one tensor per slice.
    """
    sizes = [chunk.relation.n_edges for chunk in chunks]
    leaves, structure = tree.tree_flatten(given.edge)
    edges = [_split(leaf, relation.n_edges, sizes, "edge", -2) for leaf in leaves]
    weights = _split(given.weight, relation.n_edges, sizes, "weight", -2)
    blocks = _split(given.block, relation.n_edges, sizes, "block", -3)
    ends: Any = None
    if given.message is not None:
        rows = [chunk.relation.n_dst for chunk in chunks if not chunk.goes_on]
        ends = relation._at_dst(x, given.x_dst).split(rows, -2)
    reduce = "sum" if given.reduce == "mean" else given.reduce
    row = -1
    for k, chunk in enumerate(chunks):
        row += not chunk.goes_on
        edge = tree.tree_unflatten([leaf[k] for leaf in edges], structure)
        yield Given(given.message, None if ends is None else ends[row], edge, weights[k], blocks[k], reduce)


def _split(value: Any, e: int, sizes: list[int], what: str, dim: int) -> Any:
    """Per-edge values cut along ``dim``, or along the only dimension; a number is the same for every slice."""
    if value is None or isinstance(value, (bool, int, float, complex, str)):
        return [value] * len(sizes)
    if not isinstance(value, Tensor):
        raise InputError(
            f"{what} holds an object of type {type(value).__name__}, expected tensors with one row per edge to cut"
        )
    if value.dim() == 0:
        return [value] * len(sizes)
    dim = max(dim, -value.dim())
    if value.shape[dim] != e:
        shapes = f"[*, {e}, c', c]" if what == "block" else f"[{e}] or [*, {e}, k]"
        raise ShapeError(f"{what} has shape {list(value.shape)}, expected one row per edge, {shapes}, to be cut")
    return value.split(sizes, dim)
