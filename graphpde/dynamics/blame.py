"""Where numbers that are not finite come from."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from graphpde.dynamics.state import first_bad_node, is_finite
from graphpde.errors import SolveError
from graphpde.ops.system import System
from graphpde.solve.result import Status


def blamed(f: System, times: Sequence[Tensor], u: Tensor, error: SolveError) -> SolveError:
    """The error, which of numbers that are not finite also says the term or condition and the node they come from.

    Args:
        times: ends of the step. u: last good state [*, n, c].
    """
    if getattr(error.result, "status", None) is not Status.NON_FINITE or not is_finite(u):
        return error
    with torch.no_grad():
        if f.fixed is not None and not all(is_finite(f.fixed.value(t, u)) for t in times):
            return SolveError(f"{error}; not finite: {f.blame(times, u, 0)}", error.result)
        for state in (f.reset(t, u) for t in times):
            wrong = next((w for w in (term.defect(times[0], state) for _, term in f.weak) if w), "")
            if wrong:
                return SolveError(wrong, error.result)
        node = max(first_bad_node(f(t, u)) for t in times)
        if node < 0:  # only the iterates between them, which nobody asked for
            return error
        return SolveError(f"{error}; not finite: {f.blame(times, u, node)} at node {node}", error.result)
