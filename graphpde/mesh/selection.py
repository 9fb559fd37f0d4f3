"""Facets by name, by number or by a predicate on their points."""

from __future__ import annotations

import torch
from torch import Tensor

from graphpde.core.graph import Where, numbers, selected
from graphpde.errors import ConditionError
from graphpde.mesh.mesh import Mesh


def facets_where(mesh: Mesh, where: Where, boundary: Tensor, purpose: str) -> Tensor:
    """Facets of a named set, of numbers (or a mask), or those of ``boundary`` whose nodes all satisfy a predicate.

    Args:
        boundary: facets that a predicate chooses from. purpose: what they are for, for messages.

    Raises:
        ConditionError: the set has another dimension, a number is out of range or given twice, or nothing is selected.
    """
    if isinstance(where, str | int):
        tag = mesh.tag(where)
        if tag.dim != mesh.dim - 1:
            raise ConditionError(f"set '{where}' has dimension {tag.dim}, {purpose} facets of dimension {mesh.dim - 1}")
        ids, what = tag.ids, f"named set '{where}'"
    elif callable(where):
        nodes = mesh.facets.nodes[boundary]
        inside = selected(where, mesh.points)
        ids, what = boundary[(inside[nodes.clamp(min=0)] | (nodes < 0)).all(1)], "the predicate"
    else:
        ids, what = numbers(where, len(mesh.facets.nodes), "facet"), "the facet list"
    if ids.numel() == 0:
        raise ConditionError(f"{what} holds no facets of '{mesh.name}'; check the set or the predicate")
    ordered = torch.sort(ids).values
    again = ordered[1:][ordered.diff() == 0]
    if len(again):
        raise ConditionError(f"{what} names facet {int(again[0])} twice, expected each facet once; take torch.unique")
    return ids
