"""What the steps of a fit go through, pass after pass, in an order that can be repeated."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from graphpde.errors import InputError

_END = object()


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
        if self._count < 1 or self.size < 1:
            raise InputError(f"got batches of {self.size} out of {self._count}, expected at least 1 of each")

    @property
    def _count(self) -> int:
        return self.items if isinstance(self.items, int) else len(self.items)

    def __len__(self) -> int:
        return -(-self._count // self.size)

    def drawn(self, rng: torch.Generator) -> Iterator[Tensor]:
        order = torch.randperm(self._count, generator=rng)
        if not isinstance(self.items, int):
            order = self.items[order.to(self.items.device)]
        return iter(order.split(self.size))


@dataclass(frozen=True)
class Epochs:
    """A length of a fit in passes through all batches, where a number counts steps."""

    count: int

    def __post_init__(self) -> None:
        if self.count < 1:
            raise InputError(f"got {self.count} passes through the batches, expected at least one")


class Stream:
    """Groups of batches without end; what a checkpoint keeps of it is a seed and a count.

    Args:
        batches: a sequence, something that can be iterated again and again, or :class:`Drawn`.
        group: batches in a group; the last one of a pass may be smaller.
        rng: where each pass of :class:`Drawn` takes its seed from; None is torch's own generator.

    Attributes:
        passes: complete ones so far. length: batches in a pass, None where that is not known.
        single: whether every step sees the same.

    Raises:
        InputError: no batches, or something that can be gone through only once.
    """

    def __init__(self, batches: Sequence[Any] | Iterable[Any] | Drawn, group: int, rng: torch.Generator | None):
        self.batches, self.group, self._rng = batches, group, rng
        self.length = len(batches) if hasattr(batches, "__len__") else None  # type: ignore[arg-type]
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
        self.single = self.length == 1 and self._drawn is None
        self.passes, self._taken, self._seed = 0, 0, 0
        self._at_start: Tensor | None = None
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
            self._at_start = torch.get_rng_state()  # a loader of torch draws its order from there
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
        self._ahead = next(self._rest, _END)

    def state(self) -> dict[str, Any]:
        """For checkpoints."""
        return {"passes": self.passes, "taken": self._taken, "seed": self._seed, "start": self._at_start}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from there; what that pass had given already is passed over. Leaves torch's generator elsewhere.

        Raises:
            InputError: the pass is shorter than it was.
        """
        self.passes, self._taken, self._seed = state["passes"], state["taken"], state["seed"]
        self._at_start = state["start"]
        if not self._taken:
            return
        if self._at_start is not None:
            torch.set_rng_state(self._at_start)
        self._open()
        given = 1 + sum(1 for _ in itertools.islice(self._rest or (), self._taken - 1))
        if given == self._taken:
            self._advance()
        if given < self._taken or self._ahead is _END:
            raise InputError(
                f"the checkpoint was written after batch {self._taken} of a pass, and a pass through the batches given "
                f"now has {given}; give those of before"
            )


def _device(rng: torch.Generator | None) -> torch.device | None:
    return None if rng is None else rng.device
