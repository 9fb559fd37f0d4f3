"""Linear terms whose operator is built from coefficients: once, or anew in each call while one is being learned."""

from __future__ import annotations

import torch

from graphpde.core.linear_operator import LinearOperator
from graphpde.ops.term import LinearTerm


class Assembled(LinearTerm):
    """M u' = L u with L from ``_build()``; a subclass calls ``_assemble()`` at the end of its constructor."""

    _cached: LinearOperator | None = None

    def _build(self) -> LinearOperator:
        raise NotImplementedError(f"{type(self).__name__} does not define _build()")

    def _assemble(self) -> None:
        """Build now, so that bad coefficients are refused here and not in the first step."""
        with torch.enable_grad():  # whether anything is being learned must not depend on where the term is built
            operator = self._build()
        # what is being learned changes between calls: never keep what hangs on it
        self._cached = None if any(w.requires_grad for w in operator.tensors()) else operator

    @property
    def operator(self) -> LinearOperator:
        return self._build() if self._cached is None else self._cached
