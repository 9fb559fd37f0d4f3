"""What the native kernels keep of a relation stays right where its tensors move in memory."""

from __future__ import annotations

from multiprocessing.reduction import ForkingPickler

import pytest
import torch
import torch.multiprocessing  # it teaches pickles between processes to share tensors

from graphpde.core.kernels import native
from graphpde.core.relation import Relation


@pytest.mark.skipif(native.compiled() is None, reason="no compiled kernels")
def test_a_relation_that_was_sent_to_another_process() -> None:
    """Sending a tensor moves it to shared memory, under the address that the library was given before."""
    rng = torch.Generator().manual_seed(0)
    src, dst = torch.randint(0, 300, (2, 4000), generator=rng)
    relation, x = Relation.from_edges(src, dst, 300, 300), torch.randn(300, 4, generator=rng)
    before = relation.propagate(x)
    ForkingPickler.dumps(relation)
    filled = [torch.full((4000,), 2**30, dtype=torch.int32) for _ in range(20)]  # takes the memory that was freed
    assert torch.equal(relation.propagate(x), before) and len(filled) == 20
