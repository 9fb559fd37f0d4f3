"""The nodes of an element on the cells and facets of a mesh."""

from __future__ import annotations

import torch
from torch import Tensor

from graphpde.mesh.blocks import Piece
from graphpde.mesh.cells import CELLS, KIND_OF_WIDTH, SIMPLICES
from graphpde.mesh.elements import P1, P2, Q1, Q2, Element
from graphpde.mesh.mesh import Mesh
from graphpde.mesh.second_order import SECOND_ORDER, facet_tables, together


def natural_element(mesh: Mesh) -> Element:
    """Second order where every cell has the nodes for it, else first; P on simplices, Q as soon as there are others."""
    simplices = all(CELLS[kind].corners in SIMPLICES for kind in mesh.cells)
    if all(kind in SECOND_ORDER for kind in mesh.cells) and together(mesh):
        return P2() if simplices else Q2()
    return P1() if simplices else Q1()


def pieces(mesh: Mesh, element: Element) -> list[Piece]:
    """The cells by type with the nodes that carry unknowns; the unknowns themselves are not known yet."""
    if element.degree == 1:
        blocks = mesh.corners()
    else:
        blocks, start = [], 0
        for kind, nodes in mesh.cells.items():
            blocks.append((kind, nodes, start))
            start += len(nodes)
    return [Piece(kind, torch.arange(start, start + len(nodes)), nodes, nodes) for kind, nodes, start in blocks]


def facet_pieces(mesh: Mesh, element: Element, ids: Tensor) -> list[Piece]:
    """Facets [k] by type with the nodes that carry unknowns; the unknowns themselves are not known yet."""
    corners = mesh.facets.nodes[ids]
    width = (corners >= 0).sum(1)
    if element.degree == 1:
        return [
            Piece(KIND_OF_WIDTH[k], ids[width == k], corners[width == k][:, :k], ids[width == k])
            for k in torch.unique(width).tolist()
        ]
    out: dict[str, list[tuple[Tensor, Tensor]]] = {}
    owner, local, start = mesh.facets.cells[ids, 0], mesh.facets.local[ids], 0
    for kind, nodes in mesh.cells.items():
        for number, table in enumerate(facet_tables(kind)):
            mine = (owner >= start) & (owner < start + len(nodes)) & (local == number)
            if bool(mine.any()):
                on = nodes[owner[mine] - start][:, table]
                facet = element.kind_on(KIND_OF_WIDTH[len(CELLS[kind].facets[number])])
                out.setdefault(facet, []).append((ids[mine], on))
        start += len(nodes)
    found = {kind: tuple(torch.cat(parts) for parts in zip(*both, strict=True)) for kind, both in out.items()}
    return [Piece(kind, which, on, on) for kind, (which, on) in found.items()]
