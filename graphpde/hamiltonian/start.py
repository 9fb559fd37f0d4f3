"""Starts of which a part was not seen, learned beside the law."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from graphpde.typing import check_spreads


class LearnedStart(nn.Module):
    """A law of motion with the states that its runs start from; what was not seen of them is learned.

    For :class:`PathMatch`, such as for motions of which positions alone were measured. All runs are in each batch.

    Args:
        law: a term with parameters. states: first ones [*, n, c]; NaN or anything where they were not seen.
        seen: bool, which spreads to the states. guess: what is not seen begins at [*, n, c], or a number.

    Raises:
        ShapeError: ``seen`` or ``guess`` do not fit.
    """

    known: Tensor
    seen: Tensor

    def __init__(self, law: nn.Module, states: Tensor, seen: Tensor, guess: float | Tensor = 0.0):
        super().__init__()
        first = torch.as_tensor(guess, dtype=states.dtype, device=states.device)
        check_spreads(seen, states.shape, "seen")
        check_spreads(first, states.shape, "guess")
        self.law = law
        self.register_buffer("seen", seen.expand(states.shape).clone())
        self.register_buffer("known", torch.where(self.seen, states, 0.0))
        self.unseen = nn.Parameter(first.expand(states.shape)[~self.seen].clone())

    @property
    def start(self) -> Tensor:
        """The states [*, n, c]."""
        return self.known.masked_scatter(~self.seen, self.unseen)

    def forward(self, t: Tensor, u: Tensor) -> Tensor:
        """What the law says."""
        return self.law(t, u)
