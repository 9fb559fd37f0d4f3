"""The slowest mode of heat on a tripod of unequal arms, from its characteristic equation."""

from __future__ import annotations

import math

import torch
from torch import Tensor

_ARMS = (  # direction, length and conductivity
    ((1.0, 0.0), 1.0, 1.0),
    ((0.0, 1.0), 0.7, 2.0),
    ((-1.2 / 1.3, -0.5 / 1.3), 1.3, 0.5),
)


class ArmMode:
    r"""u = exp(-l t) sin(k_i (L_i - s)) / sin(k_i L_i) on arm i at distance s from the junction.

    With k_i = sqrt(l / kappa_i) it is continuous, vanishes at the ends, and what leaves the junction sums to zero:
    :math:`\sum_i \sqrt{\kappa_i} \cot(k_i L_i) = 0`.
    """

    kappa, driven = 1.0, False

    def __init__(self) -> None:
        from scipy.optimize import brentq

        def balance(rate: float) -> float:
            return sum(k**0.5 / math.tan(length * (rate / k) ** 0.5) for _, length, k in _ARMS)

        pole = min(k * (math.pi / length) ** 2 for _, length, k in _ARMS)
        self.by_set = {f"arm{k}": kappa for k, (_, _, kappa) in enumerate(_ARMS)}
        self.rate = float(brentq(balance, 1e-9, pole * (1 - 1e-12), xtol=1e-15, rtol=1e-15))

    def __call__(self, x: Tensor, t: Tensor | float) -> Tensor:
        along = x @ torch.tensor([direction for direction, _, _ in _ARMS], dtype=x.dtype).T
        arm, distance = along.argmax(1), torch.linalg.vector_norm(x, dim=1)
        length = torch.tensor([length for _, length, _ in _ARMS], dtype=x.dtype)[arm]
        wave = torch.tensor([(self.rate / k) ** 0.5 for _, _, k in _ARMS], dtype=x.dtype)[arm]
        shape = torch.sin(wave * (length - distance)) / torch.sin(wave * length)
        return shape * torch.exp(-self.rate * torch.as_tensor(t, dtype=x.dtype))

    def source(self, x: Tensor, t: Tensor | float) -> Tensor:
        return torch.zeros_like(x[:, 0])

    def flux(self, x: Tensor, t: Tensor | float, axis: int) -> Tensor:
        raise NotImplementedError("the network is held at its ends")
