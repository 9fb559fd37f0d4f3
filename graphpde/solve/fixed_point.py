"""Fixed points u = g(u) by Picard's iteration, accelerated by what the last iterates say."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import torch
from torch import Tensor

from graphpde.errors import InputError
from graphpde.solve.result import Result, Status

_DEPENDENT = 1e-8  # smallest over largest pivot of the differences: below, the oldest is dropped
_BEYOND = 1e8  # growth of the residual that no acceleration comes back from


@torch.no_grad()
def picard(
    g: Callable[[Tensor], Tensor],
    u0: Tensor,
    *,
    depth: int = 0,
    damping: float = 1.0,
    rtol: float = 1e-10,
    atol: float = 1e-14,
    max_iterations: int = 200,
) -> Result:
    """Solve u = g(u) for u [*, n, c] from ``u0``: with f = g(u) - u, u <- u + damping f where ``depth`` is 0.

    Otherwise Anderson's acceleration: of the affine combinations of the last ``depth`` + 1 iterates the one with the
    least residual takes the step. For linear g and enough depth that is as good as GMRES; where plain iteration
    diverges it often converges. Stops at ||f|| <= max(rtol ||f(u0)||, atol ||u||).

    Returns:
        The result; ``STAGNATION`` where the residual grows beyond all bounds.

    Raises:
        InputError: a depth below 0, or damping outside (0, 1].

    Reference: Anderson 1965; Walker and Ni 2011, SIAM J. Numer. Anal. 49, algorithm AA.
    """
    if not isinstance(depth, int) or depth < 0:
        raise InputError(f"depth = {depth}, expected a whole number >= 0")
    if not 0 < damping <= 1:
        raise InputError(f"damping = {damping:g}, expected a number in (0, 1]")
    u = u0.detach()
    images: deque[Tensor] = deque(maxlen=depth + 1)  # g of the last iterates
    gaps: deque[Tensor] = deque(maxlen=depth + 1)  # f of them
    history: list[float] = []
    first = 0.0
    for k in range(max_iterations + 1):
        image = g(u)
        gap = image - u
        norm = float(gap.norm())
        first = norm if k == 0 else first
        history.append(norm / first if first > 0 else 0.0)
        goal = max(rtol * first, atol * float(u.norm()))
        if not norm < float("inf"):
            reason = f"the map became non-finite at iteration {k}; damp it, or start nearer to a fixed point"
            return Result(u, Status.NON_FINITE, reason, k, history)
        if norm <= goal:
            return Result(u, Status.CONVERGED, f"||g(u) - u|| = {norm:.1e} <= {goal:.1e}", k, history)
        if norm > _BEYOND * first:
            reason = f"||g(u) - u|| grew to {norm:.1e}: the map does not contract; use depth, damping or newton"
            return Result(u, Status.STAGNATION, reason, k, history)
        images.append(image)
        gaps.append(gap)
        u = _combined(images, gaps, damping)
    reason = f"||g(u) - u|| = {norm:.1e} > {goal:.1e}; allow more iterations, or use depth, damping or newton"
    return Result(u, Status.MAX_ITERATIONS, reason, max_iterations, history)


def _combined(images: deque[Tensor], gaps: deque[Tensor], damping: float) -> Tensor:
    """The next iterate: the least residual over the differences of the last ones, then the step."""
    u, f = images[-1] - gaps[-1], gaps[-1]
    while len(gaps) - 1 > f.numel():  # more differences than unknowns depend on each other
        gaps.popleft()
        images.popleft()
    while len(gaps) > 1:
        df = torch.stack([(b - a).flatten() for a, b in zip(gaps, list(gaps)[1:], strict=False)], 1)
        q, r = torch.linalg.qr(df)
        pivots = r.diagonal().abs()
        if float(pivots.min()) > _DEPENDENT * float(pivots.max()):
            share = torch.linalg.solve_triangular(r, (q.T @ f.flatten())[:, None], upper=True)
            dg = torch.stack([(b - a).flatten() for a, b in zip(images, list(images)[1:], strict=False)], 1)
            u_best = u.flatten() - (dg - df) @ share[:, 0]
            f_best = f.flatten() - df @ share[:, 0]
            return (u_best + damping * f_best).view_as(u)
        gaps.popleft()
        images.popleft()
    return u + damping * f
