"""What a reaction of the library declares: its species, its constants and where it stands still."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple, cast

import torch
from torch import Tensor, nn

from graphpde.errors import InputError, ShapeError
from graphpde.registry import Registry

REACTIONS: Registry[type[nn.Module]] = Registry("reaction")


class Constant(NamedTuple):
    """A constant of a reaction.

    Attributes:
        meaning, unit: for lists and messages; units in powers of those of time and amount, "1" = none.
        low: least value. above: whether it must exceed that.
    """

    meaning: str
    unit: str = "1"
    low: float = -math.inf
    above: bool = False

    @property
    def expected(self) -> str:
        """The range, for messages."""
        if self.low == -math.inf:
            return "a finite number"
        return f"a finite number {'>' if self.above else '>='} {self.low:g}"


class Kinetics(nn.Module):
    """A rate f(u) [*, n, c] -> [*, n, c] with named species and constants.

    Every constant is a number, or a tensor [n] with one value per node.

    Attributes:
        channels: names of the species, in the order of the channels.
        constants: what each argument means and which values it takes.
    """

    channels: ClassVar[tuple[str, ...]]
    constants: ClassVar[Mapping[str, Constant]] = {}

    def __init__(self, **values: float | Tensor):
        super().__init__()
        for name, value in values.items():
            self._keep(name, value)
        self._varying = tuple(name for name, value in values.items() if isinstance(value, Tensor) and value.dim())

    def _keep(self, name: str, value: float | Tensor) -> None:
        """Check a constant and make it an attribute.

        Raises:
            InputError: it lies outside its range, for instance has the wrong sign.
        """
        constant = self.constants[name]
        worst = _worst(value, constant)
        if worst is not None:
            raise InputError(
                f"{name} = {worst:g} of {type(self).__name__} ({constant.meaning}), expected {constant.expected}; "
                f"check its sign"
            )
        if isinstance(value, nn.Parameter) or not isinstance(value, Tensor):
            setattr(self, name, value if isinstance(value, Tensor) else float(value))
        else:
            self.register_buffer(name, value)

    def __call__(self, state: Tensor) -> Tensor:
        """The rate of a state [*, n, c].

        Raises:
            ShapeError: a constant with neither one value nor one per node.
        """
        for name in self._varying:
            value = getattr(self, name)
            if not _fits(value.shape, state.shape[:-1]):
                raise ShapeError(
                    f"{name} of {type(self).__name__} has shape {list(value.shape)}, expected one number or one for "
                    f"each of the {state.shape[-2]} nodes: [{state.shape[-2]}]"
                )
        return cast(Tensor, super().__call__(state))

    def equilibria(self) -> list[tuple[float, ...]]:
        """Homogeneous states with zero rate."""
        raise NotImplementedError(f"{type(self).__name__} does not define equilibria()")

    def remark(self) -> str:
        """What one should know about its equilibria, one sentence, or ""."""
        return ""

    def numbers(self) -> tuple[float, ...]:
        """The constants in the order of ``constants``.

        Raises:
            InputError: one varies from node to node, so that there is no homogeneous state.
        """
        found: list[Any] = [getattr(self, name) for name in self.constants]
        for name, value in zip(self.constants, found, strict=True):
            if isinstance(value, Tensor) and value.numel() != 1:
                raise InputError(f"{name} has {value.numel()} values, equilibria need one number for every constant")
        return tuple(float(value) for value in found)

    def species(self, state: Tensor) -> Any:
        """The channels [*, n] of a state [*, n, c].

        Raises:
            ShapeError: another number of channels.
        """
        if state.shape[-1] != len(self.channels):
            raise ShapeError(
                f"{type(self).__name__} needs {len(self.channels)} channels ({', '.join(self.channels)}), "
                f"the state has {state.shape[-1]}"
            )
        return tuple(x.contiguous() for x in state.unbind(-1))  # arithmetic on every c-th number is slower


def joined(*rates: Tensor) -> Tensor:
    """Rates [*, n] of each species as the channels [*, n, c] of one state."""
    if len(rates) == 2 and rates[0].dtype == rates[1].dtype and rates[0].dtype in (torch.float32, torch.float64):
        return torch.view_as_real(torch.complex(*rates))  # six times faster than stacking in the last dimension
    return torch.stack(rates, -1)


def per_species(value: Any) -> Any:
    """A constant that acts on every channel: a tensor [n] as [n, 1]."""
    return value[..., None] if isinstance(value, Tensor) and value.dim() else value


def _fits(given: torch.Size, nodes: torch.Size) -> bool:
    """Whether constants of one shape spread over nodes [*, n]."""
    try:
        return torch.broadcast_shapes(given, nodes) == nodes
    except RuntimeError:
        return False


def _worst(value: float | Tensor, constant: Constant) -> float | None:
    """The first value that is not finite or out of range, or None."""
    if not isinstance(value, Tensor):
        outside = value <= constant.low if constant.above else value < constant.low
        return value if outside or not math.isfinite(value) else None
    given = value.detach().reshape(-1)
    below = given <= constant.low if constant.above else given < constant.low
    bad = given[below | ~torch.isfinite(given)]
    return float(bad[0]) if len(bad) else None
