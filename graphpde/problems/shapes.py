"""Initial values that fit a domain: a bump at a place, a step across it."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from graphpde.core.graph import Graph
from graphpde.formula import Formula
from graphpde.problems.pde import SPACE, Box, nearest_node, squared_distance


def bump(space: Graph, width: float, kind: str = "smooth", at: Any = None) -> Formula:
    """A bump of height 1 round the node nearest to a point ([d]; default: the middle of the domain).

    Args:
        width: radius as a share of the domain's length. kind: "smooth" = a Gaussian, "mound" = zero outside.
    """
    box = Box.of(space)
    place: Tensor = box.centre if at is None else at
    distance = squared_distance(nearest_node(space, place), box.length)
    scale = float(f"{(width * box.length) ** 2:.3g}")
    text = f"exp(-({distance}) / {scale:g})" if kind == "smooth" else f"max(0, 1 - ({distance}) / {scale:g})"
    return Formula(text, SPACE)
