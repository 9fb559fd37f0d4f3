"""What a relation withstands: copies, other threads, narrow types, values of the wrong kind or in the wrong place."""

from __future__ import annotations

import pickle
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from graphpde.core import kernels
from graphpde.core.relation import Relation
from graphpde.errors import GraphError, InputError, ShapeError


def numbers(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(len(shape)), dtype=dtype)


def test_one_leaving_a_choice_of_backend_leaves_another_ones_alone() -> None:
    first, second = kernels.use("reference"), kernels.use("csr")
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert kernels.backend_name() == "csr"
    second.__exit__(None, None, None)


def test_copies_of_a_used_relation_have_plans_of_their_own() -> None:
    """A plan that the native kernels have seen holds addresses in memory: a copy must not."""
    rel = Relation.from_edges([0, 3, 1, 3], [2, 0, 0, 2], 4, 3).prepare()
    x = torch.randn(4, 2)
    expected = rel.propagate(x)
    rel.propagate(x, reduce="max")
    rel.propagate(x, lambda a, b, e: a, x_dst=x[:3], chunk_edges=1)
    elsewhere = """
import copy, gc, sys, pickle, torch
x, expected = torch.load(sys.argv[1] + ".pt")
assert torch.equal(pickle.load(open(sys.argv[1], "rb")).propagate(x), expected)
"""
    here = """
from graphpde.core.relation import Relation
rel = Relation.from_edges([0, 3, 1, 3], [2, 0, 0, 2], 4, 3).prepare()
x = torch.randn(4, 2)
y = torch.randn(3, 2)
expected = rel.propagate(x), rel.transpose().propagate(y), rel.propagate(x, reduce="max")
rel.propagate(x, lambda a, b, e: a, x_dst=x[:3], chunk_edges=1)
data, twin = pickle.dumps(rel), copy.deepcopy(rel)
keys = {twin.sides.forward.key, rel.sides.forward.key, pickle.loads(data).sides.forward.key}
assert len(keys) == 3 and twin.sides.forward.native is None
del rel
gc.collect()
noise = [torch.full((4,), 1 << 30) for _ in range(1000)]
for again in (twin, pickle.loads(data)):
    assert torch.equal(again.propagate(x), expected[0])
    assert torch.equal(again.transpose().propagate(y), expected[1])
    assert torch.equal(again.propagate(x, reduce="max"), expected[2])
"""
    with tempfile.TemporaryDirectory() as folder:
        Path(f"{folder}/relation").write_bytes(pickle.dumps(rel))
        torch.save((x, expected), f"{folder}/relation.pt")
        command = [sys.executable, "-c", elsewhere + here, f"{folder}/relation"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr[-500:]


@pytest.mark.parametrize("name", kernels.available())
def test_counts_and_means_do_not_overflow_their_type(name: str) -> None:
    many = Relation.from_edges(torch.zeros(70_000, dtype=torch.int64), torch.zeros(70_000, dtype=torch.int64), 1, 1)
    if name == "triton":
        many = Relation.from_edges([0] * 300, [0] * 300, 1, 1)
    n = many.n_edges
    with kernels.use(name):
        assert many.propagate(torch.ones(1, 1, dtype=torch.uint8)).tolist() == [[n]]
        assert many.propagate(torch.ones(1, 1, dtype=torch.int8), reduce="mean").tolist() == [[1.0]]
        assert many.propagate(torch.ones(1, 1, dtype=torch.bool), weight=torch.ones(n, dtype=torch.bool)).item() == n
        for kind in (torch.float16, torch.bfloat16):
            x = torch.full((1, 1), 0.5, dtype=kind)
            for mean in (many.propagate(x, reduce="mean"), many.collect(x.expand(n, 1), "mean")):
                assert mean.dtype == kind and mean.tolist() == [[0.5]]


def test_an_empty_batch_has_zero_gradients() -> None:
    rel = Relation.from_edges([0, 1, 2], [1, 0, 1], 3, 2)
    w = torch.ones(3, requires_grad=True)
    x = torch.ones(0, 3, 4)
    torch.use_deterministic_algorithms(True)  # fills fresh memory with NaN
    try:
        for name in kernels.available():
            with kernels.use(name):
                assert torch.autograd.grad(rel.propagate(x, weight=w).sum(), w)[0].tolist() == [0.0] * 3
                assert rel.dot(x[:, :2], x).tolist() == [0.0] * 3
    finally:
        torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda r, x: r.propagate([[1.0]]), InputError, "x must be a tensor, got list"),
        (lambda r, x: r.propagate(x, weight=2.0), InputError, "weight must be a tensor, got float"),
        (lambda r, x: r.propagate(x.to("meta")), InputError, "x is on meta, expected cpu; move one of them"),
        (lambda r, x: r.propagate(x, weight=torch.ones(3, device="meta")), InputError, "weight is on meta"),
        (lambda r, x: r.own(torch.ones(3, device="meta")), InputError, "edge values is on meta"),
        (lambda r, x: r.collect(torch.ones(3, 1, device="meta")), InputError, "messages is on meta"),
        (lambda r, x: r.softmax(torch.ones(3, device="meta")), InputError, "scores is on meta"),
        (lambda r, x: r.attend(x[:2], x, x, scale=torch.ones(())), InputError, "scale is a tensor, expected a number"),
        (lambda r, x: r.attend(x[:2], x, x, heads=2.0), ShapeError, "heads = 2.0, expected a divisor of the 4"),
        (lambda r, x: r.attend(x[:2, :0], x[:, :0], x), ShapeError, "query has shape .* at least one channel per head"),
        (lambda r, x: r.dot(x[:2], x, heads=True + 2), ShapeError, "heads = 3, expected a divisor of the 4 channels"),
        (lambda r, x: r.propagate(x, block=torch.ones(3, 0, 4)), ShapeError, r"block has shape \[3, 0, 4\]"),
        (
            lambda r, x: r.propagate(x, block=torch.ones(3, 4, 4), weight=torch.tensor(1.0)),
            ShapeError,
            r"weight has shape \[\], expected \[3\]",
        ),
        (
            lambda r, x: Relation.from_edges([0], [0], 0, 1),
            GraphError,
            r"src\[0\] = 0 is out of range, for there are no",
        ),
        (
            lambda r, x: Relation.from_edges(torch.tensor([2**63 + 1], dtype=torch.uint64), [0], 1, 1),
            GraphError,
            "src has numbers beyond 2\\^63",
        ),
    ],
)
def test_what_no_kernel_may_see_is_refused_in_one_sentence(call: Any, error: type[Exception], message: str) -> None:
    rel = Relation.from_edges([0, 1, 2], [1, 0, 1], 3, 2)
    with pytest.raises(error, match=message):
        call(rel, torch.ones(3, 4))


def test_blocks_take_the_wider_type_for_extrema_too() -> None:
    rel = Relation.from_edges([0, 1, 2], [1, 0, 1], 3, 2)
    block, x = numbers(3, 2, 4), numbers(3, 4, dtype=torch.float32)
    found = rel.propagate(x, block=block, reduce="max")
    torch.testing.assert_close(found, rel.propagate(x.double(), block=block, reduce="max"))


def test_a_default_device_elsewhere_changes_nothing() -> None:
    rel = Relation.from_edges([0, 1, 2], [1, 0, 1], 3, 2)
    x = numbers(3, 4)
    wanted = torch.autograd.grad(rel.propagate(x.requires_grad_(), reduce="max").sum(), x)[0]
    for name in kernels.available():
        with kernels.use(name), torch.device("meta"):
            assert torch.equal(torch.autograd.grad(rel.propagate(x, reduce="max").sum(), x)[0], wanted)
