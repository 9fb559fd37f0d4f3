"""Data in single precision beside a mesh in double: nothing that is computed in double is rounded by them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from graphpde.dynamics import steady
from graphpde.mesh import Space, rectangle
from graphpde.ops import Diffusion, Dirichlet, Neumann, Robin, Source
from graphpde.ops.elasticity import Elasticity, PressureLoad

F64 = torch.float64
SPACE = Space(rectangle(7, 3), "p2")
Given = Callable[..., Tensor]


def body(*more: Any) -> Any:
    return sum(more, Elasticity(SPACE, 1.0, 0.25) + Dirichlet("left", 0.0))


CASES: dict[str, Callable[[Given], Any]] = {
    "traction": lambda g: body(Neumann("right", g(0.5, -1.0))),
    "source": lambda g: body(Source(SPACE, g(0.5, -1.0))),
    "source of places": lambda g: body(Source(SPACE, lambda x, t: g(0.5, -1.0).expand(len(x), 2))),
    "pressure": lambda g: body(PressureLoad("right", g(0.5))),
    "held": lambda g: body(Dirichlet("right", g(0.5, -1.0))),
    "moduli": lambda g: (
        Elasticity(SPACE, g(2.0), g(0.25)) + Dirichlet("left", 0.0) + Neumann("right", g(0.5, -1.0).double())
    ),
    "exchange": lambda g: (
        Diffusion(SPACE, g(0.5)) + Robin("left", g(1.0), g(0.5)) + Dirichlet("right", g(0.5)) + Source(SPACE, g(0.25))
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_they_round_nothing(case: str) -> None:
    found = []
    for dtype in (torch.float32, F64):
        terms = CASES[case](lambda *v, dtype=dtype: torch.tensor(v if len(v) > 1 else v[0], dtype=dtype))
        u0 = torch.zeros(SPACE.n, 1 if case == "exchange" else 2, dtype=F64)
        found.append(steady(terms, u0).value)
    assert found[0].dtype == F64
    assert torch.allclose(*found, rtol=1e-13, atol=1e-14)
