"""What the steps of a fit go through, pass after pass, in an order that can be repeated."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from graphpde.checks import whole
from graphpde.errors import CheckpointError, InputError

_END = object()
_NO_NUMBERS = {torch.bool, torch.float16, torch.bfloat16, torch.float32, torch.float64}


@runtime_checkable
class Drawn(Protocol):
    """Batches in an order, or with contents, drawn anew for each pass.

    ``drawn(rng)`` is given a generator of its own for each pass and draws from nothing else; then a resumed fit sees
    the same batches.
    """

    def drawn(self, rng: torch.Generator) -> Iterable[Any]: ...


@dataclass(frozen=True)
class Shuffled:
    """The batches of a sequence in a new random order for each pass."""

    batches: Sequence[Any]

    def __len__(self) -> int:
        return len(self.batches)

    def drawn(self, rng: torch.Generator) -> Iterator[Any]:
        return (self.batches[k] for k in torch.randperm(len(self.batches), generator=rng).tolist())


@dataclass(frozen=True)
class Minibatches:
    """Numbers 0 ... n - 1 in random order, ``size`` at a time: batches of indices [size] (int64), the last one shorter.

    Args:
        items: how many there are, or the numbers themselves [n], such as the nodes with known labels.
    """

    items: int | Tensor
    size: int

    def __post_init__(self) -> None:
        whole("size", self.size)
        if not isinstance(self.items, Tensor):
            whole("items", self.items)
        elif self.items.dim() != 1 or not self._count or self.items.dtype in _NO_NUMBERS:
            raise InputError(
                f"items is {self.items.dtype} {list(self.items.shape)}, expected whole numbers [n], at least one; of a "
                f"mask take mask.nonzero()[:, 0]"
            )

    @property
    def _count(self) -> int:
        return len(self.items) if isinstance(self.items, Tensor) else int(self.items)

    def __len__(self) -> int:
        return -(-self._count // self.size)

    def drawn(self, rng: torch.Generator) -> Iterator[Tensor]:
        order = torch.randperm(self._count, generator=rng)
        if isinstance(self.items, Tensor):
            order = self.items[order.to(self.items.device)]
        return iter(order.split(int(self.size)))


@dataclass(frozen=True)
class Epochs:
    """A length of a fit in passes through all batches, where a number counts steps."""

    count: int

    def __post_init__(self) -> None:
        whole("the number of passes", self.count)


class Stream:
    """Groups of batches without end; what a checkpoint keeps of it is a count, and where its numbers are drawn from.

    Args:
        batches: a sequence, something that can be iterated again and again, or :class:`Drawn`.
        group: batches in a group; the last one of a pass may be smaller.
        rng: where each pass of :class:`Drawn` takes its seed from; None is torch's own generator.

    Attributes:
        passes: complete ones so far. length: batches in a pass, None where that is not known.
        single: whether every step sees the same; a loader with one batch in a pass may draw another one for each.

    Raises:
        InputError: no batches, or something that can be gone through only once.
    """

    def __init__(self, batches: Sequence[Any] | Iterable[Any] | Drawn, group: int, rng: torch.Generator | None):
        self.batches, self.group, self._rng = batches, group, rng
        self.length = _length(batches)
        if self.length == 0:
            raise InputError("got 0 batches, expected at least one")
        if isinstance(batches, Iterator):
            raise InputError(
                "the batches are an iterator, which can be gone through only once; give a list, or an object whose "
                "__iter__ begins anew"
            )
        if not isinstance(batches, Drawn | Iterable) and not hasattr(batches, "__getitem__"):
            raise InputError(f"the batches are a {type(batches).__name__}, expected a sequence or an iterable")
        self._drawn = batches if isinstance(batches, Drawn) else None
        self.single = self.length == 1 and self._drawn is None and isinstance(batches, Sequence)
        self.passes, self._taken, self._seed = 0, 0, 0
        self._generators = _generators(batches)
        self._at_start = self._at_ahead = list[Tensor]()
        self._rest: Iterator[Any] | None = None
        self._ahead: Any = _END

    def steps(self, epochs: int) -> int | None:
        """How many groups there are in so many passes, where that is known."""
        return None if self.length is None else epochs * -(-self.length // self.group)

    def next(self) -> list[Any]:
        """The next group.

        Raises:
            InputError: a pass without any batch.
        """
        if self.single and self.group == 1:
            self.passes += 1
            return list(self._iterable())
        if self._rest is None:
            self._begin()
        out: list[Any] = []
        while len(out) < self.group and self._ahead is not _END:
            out.append(self._ahead)
            self._advance()
        self._taken += len(out)
        if self._ahead is _END:
            self._rest, self._taken = None, 0
            self.passes += 1
        return out

    def _begin(self) -> None:
        if self._drawn is not None:
            self._seed = int(torch.randint(2**63 - 1, (), generator=self._rng, device=_device(self._rng)))
        else:
            self._at_start = self._draws()  # a loader of torch draws its order from there
        self._open()

    def _open(self) -> None:
        self._rest = iter(self._iterable())
        self._advance()
        if self._ahead is _END:
            raise InputError(f"pass {self.passes + 1} through the batches gave none, expected at least one")

    def _iterable(self) -> Iterable[Any]:
        if self._drawn is not None:
            return self._drawn.drawn(torch.Generator().manual_seed(self._seed))
        if isinstance(self.batches, Iterable):
            return self.batches
        given: Any = self.batches  # a sequence without __iter__
        return (given[k] for k in range(self.length or 0))

    def _advance(self) -> None:
        assert self._rest is not None
        if self._drawn is None:
            self._at_ahead = self._draws()  # and data may draw as well
        self._ahead = next(self._rest, _END)

    def _draws(self) -> list[Tensor]:
        """The states of what a pass draws from, unless it is :class:`Drawn`."""
        return [torch.get_rng_state(), *(own.get_state() for own in self._generators)]

    def _redraw(self, states: Sequence[Tensor]) -> None:
        if states:
            torch.set_rng_state(states[0])
            for own, state in zip(self._generators, states[1:]):
                own.set_state(state)

    def state(self) -> dict[str, Any]:
        """For checkpoints."""
        drawn = {"start": self._at_start, "ahead": self._at_ahead, "now": self._draws()}
        return {"passes": self.passes, "taken": self._taken, "seed": self._seed, "drawn": drawn}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from there; what that pass had given already is passed over.

        Raises:
            InputError: the pass is shorter than it was. CheckpointError: batches with other generators.
        """
        self.passes, self._taken, self._seed = state["passes"], state["taken"], state["seed"]
        drawn = state["drawn"]
        if len(drawn["now"]) != len(self._draws()):
            raise CheckpointError(
                f"the checkpoint is of batches with {len(drawn['now']) - 1} generators of their own, these have "
                f"{len(self._generators)}; give the same ones"
            )
        self._at_start = drawn["start"]
        if self._taken:
            self._redraw(self._at_start)
            self._pass_over(drawn["ahead"])
        self._redraw(drawn["now"])

    def _pass_over(self, ahead: Sequence[Tensor]) -> None:
        self._open()
        given = 1 + sum(1 for _ in itertools.islice(self._rest or (), self._taken - 1))
        if given == self._taken:
            self._redraw(ahead)
            self._advance()
        if given < self._taken or self._ahead is _END:
            raise InputError(
                f"the checkpoint was written after batch {self._taken} of a pass, and a pass through the batches given "
                f"now has {given}; give those of before"
            )


def _length(batches: Any) -> int | None:
    try:
        return len(batches)
    except TypeError:  # a loader has a length only where its data have one
        return None


def _generators(batches: Any) -> list[torch.Generator]:
    """Those that a loader of torch, or its sampler, was given."""
    found = [getattr(part, "generator", None) for part in (batches, getattr(batches, "sampler", None))]
    return [own for own in found if isinstance(own, torch.Generator)]


def _device(rng: torch.Generator | None) -> torch.device | None:
    return None if rng is None else rng.device
