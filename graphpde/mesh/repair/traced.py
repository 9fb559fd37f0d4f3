"""Cells on their way through repair: by type as in a mesh, each with the number of the cell that it came from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from graphpde.mesh.mesh import Mesh


class Block(NamedTuple):
    """Cells of one type: nodes [m, k] and the cell of the given mesh that each came from [m]."""

    kind: str
    nodes: Tensor
    origin: Tensor


@dataclass(frozen=True)
class TracedCells:
    """Blocks of cells, one for each type, in the order in which a mesh would number them; perhaps none."""

    blocks: tuple[Block, ...]

    @classmethod
    def of(cls, mesh: Mesh) -> TracedCells:
        """The cells of a mesh, which came from themselves."""
        stops = torch.tensor([len(nodes) for nodes in mesh.cells.values()]).cumsum(0).tolist()
        return cls(
            tuple(
                Block(kind, nodes, torch.arange(stop - len(nodes), stop))
                for (kind, nodes), stop in zip(mesh.cells.items(), stops)
            )
        )

    @classmethod
    def joined(cls, parts: Sequence[Block], order: Iterable[str] = ()) -> TracedCells:
        """One block for each type, its cells in the order of their origins; types in ``order`` come first."""
        blocks = []
        for kind in dict.fromkeys([*order, *(part.kind for part in parts)]):
            mine = [part for part in parts if part.kind == kind]
            if not sum(len(part.nodes) for part in mine):
                continue
            nodes, origin = torch.cat([part.nodes for part in mine]), torch.cat([part.origin for part in mine])
            place = torch.argsort(origin, stable=True)
            blocks.append(Block(kind, nodes[place], origin[place]))
        return cls(tuple(blocks))

    def __len__(self) -> int:
        return sum(len(block.nodes) for block in self.blocks)

    @property
    def kinds(self) -> list[str]:
        """Types in their order."""
        return [block.kind for block in self.blocks]

    @property
    def origin(self) -> Tensor:
        """Where each cell came from [m]."""
        return torch.cat([block.origin for block in self.blocks]) if self.blocks else torch.zeros(0, dtype=torch.int64)

    def used(self) -> Tensor:
        """Points of the cells, mid-side nodes among them, sorted [k]."""
        return torch.unique(torch.cat([block.nodes.reshape(-1) for block in self.blocks]))

    def renumbered(self, place: Tensor) -> TracedCells:
        """The same cells on points place[old]."""
        return TracedCells(tuple(block._replace(nodes=place[block.nodes]) for block in self.blocks))

    def kept(self, mask: Tensor) -> TracedCells:
        """The cells where ``mask`` [m] is true."""
        parts = mask.split([len(block.nodes) for block in self.blocks])
        kept = (Block(b.kind, b.nodes[rows], b.origin[rows]) for b, rows in zip(self.blocks, parts))
        return TracedCells(tuple(block for block in kept if len(block.nodes)))

    def mesh(self, points: Tensor) -> Mesh:
        """A mesh of these cells without sets and data."""
        return Mesh(points, {block.kind: block.nodes for block in self.blocks})
