"""Velocities of fields on meshes and graphs: one network for every mesh of a geometry, and for any other domain.

Reference: Sharp et al. 2022 (DiffusionNet): learned diffusion instead of convolutions, so that nothing depends on how
a surface is cut into triangles.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from graphpde.checks import positive, whole
from graphpde.errors import ShapeError
from graphpde.nets.linear import Linear
from graphpde.nets.mlp import Mlp
from graphpde.ops.eigenbasis import EigenBasis, eigenbasis


class MeshVelocity(nn.Module):
    """v(t, u) of fields u [b, n, c], from parameters alone: ``model.on(domain)`` is the velocity on a domain.

    v = g(t, -Laplace) u + network(t, u). The first part multiplies each mode by a learned function of time and of its
    eigenvalue: all that a flow between Gaussian fields needs. The second one is a chain of blocks, each of which
    spreads its channels by diffusion for a learned time and mixes them at every node.

    Args:
        channels: c. hidden: channels within; 0 = the first part alone. blocks: how many. modes: of the domain that
            messages go through. length: a typical length of the fields, by which eigenvalues are measured.

    Raises:
        InputError: sizes out of range.
    """

    def __init__(self, channels: int, *, hidden: int = 32, blocks: int = 2, modes: int = 128, length: float = 1.0):
        super().__init__()
        self.channels, self.modes = whole("channels", channels), whole("modes", modes)
        positive("length", length)
        self.length, self.blocks, width = length, nn.ModuleList(), whole("hidden", hidden, 0)
        self.gain = Mlp(_TIMES + 1, 64, 64, channels, activation=nn.functional.silu)
        if width:
            self.lift = Linear(channels + _TIMES, width)
            self.blocks.extend(_Block(width, length) for _ in range(whole("blocks", blocks)))
            self.drop = Linear(width, channels)
            nn.init.zeros_(self.drop.weight)  # it begins as the first part

    def on(self, domain: Any) -> FieldVelocity:
        """The velocity on a domain; it shares the parameters."""
        return FieldVelocity(self, eigenbasis(domain, self.modes))

    def forward(self, domain: Any, t: Tensor, u: Tensor) -> Tensor:
        """v [*, n, c] at times t, 0-d or one for each field [*, 1, 1]."""
        return self.on(domain)(t, u)


class FieldVelocity(nn.Module):
    """A :class:`MeshVelocity` on one domain."""

    def __init__(self, model: MeshVelocity, basis: EigenBasis):
        super().__init__()
        self.model, self.basis = model, basis

    def forward(self, t: Tensor, u: Tensor) -> Tensor:
        model, basis = self.model, self.basis
        if u.shape[-1] != model.channels:
            raise ShapeError(f"the field has {u.shape[-1]} channels, this model was made for {model.channels}")
        time = _features(torch.as_tensor(t).to(u))  # [*, 1, q]
        place = torch.log1p(basis.values[:, None].to(u) * model.length**2)
        both = (*torch.broadcast_shapes(time.shape[:-2], place.shape[:-2]), basis.k)
        gain = model.gain(torch.cat([time.expand(*both, -1), place.expand(*both, -1)], -1))
        v = basis.synthesise(gain * basis.analyse(u))
        if not model.blocks:
            return v
        h = model.lift(torch.cat([u, time.expand(*u.shape[:-1], -1)], -1))
        for block in model.blocks:
            h = block(basis, time, h)
        return v + model.drop(h)


class _Block(nn.Module):
    """Diffusion of every channel for a time of its own, then a perceptron of what was, what became and when."""

    def __init__(self, width: int, length: float):
        super().__init__()
        spread = torch.logspace(-2, 0, width) * length**2
        self.log_time = nn.Parameter(spread.log())
        self.mix = Mlp(2 * width + _TIMES, 2 * width, width, activation=nn.functional.silu)

    def forward(self, basis: EigenBasis, time: Tensor, h: Tensor) -> Tensor:
        smooth = basis.heat(h, self.log_time.to(h).exp())
        return h + self.mix(torch.cat([h, smooth, time.expand(*h.shape[:-1], -1)], -1))


_TIMES = 7


def _features(t: Tensor) -> Tensor:
    """t and its waves, [*, 1, 1] -> [*, 1, 7]."""
    t = t if t.dim() >= 2 else t.reshape(1, 1)
    turns = math.pi * t * torch.arange(1, (_TIMES - 1) // 2 + 1, dtype=t.dtype, device=t.device)
    return torch.cat([t, turns.sin(), turns.cos()], -1)
