"""Real roots of small polynomials to the last digit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def real_roots(coefficients: Sequence[float]) -> list[float]:
    """The real roots, ascending, each once; the highest power comes first and leading zeros are dropped.

    A root beside another within the square root of rounding counts as one: nothing tells them apart.
    """
    given = np.array(coefficients, dtype=np.float64)
    roots = np.roots(given)
    slope = np.polyder(given)
    found: list[float] = []
    for root in sorted(roots[np.abs(roots.imag) < 1e-7 * (1 + np.abs(roots))].real.tolist()):
        for _ in range(3):  # Newton's steps take the rounding of the eigenvalue solver away
            steep = float(np.polyval(slope, root))
            root -= float(np.polyval(given, root)) / steep if steep else 0.0
        if not found or root - found[-1] > 1e-7 * (1 + abs(root)):
            found.append(root)
    return found
