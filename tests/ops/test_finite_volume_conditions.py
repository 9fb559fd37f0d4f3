"""Conditions on cell averages where some terms or cells carry no flux: what acts all the same, and what is refused."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from graphpde.errors import ConditionError
from graphpde.mesh import CellSpace, Space, jittered, rectangle
from graphpde.ops import Advection, Diffusion, Dirichlet, Neumann, Reaction, Source, System
from graphpde.ops.boundary import Robin
from graphpde.ops.wave import Held, Wave

F64 = torch.float64
T0 = torch.tensor(0.0, dtype=F64)


def zeros(space: CellSpace) -> Tensor:
    return torch.zeros(space.n, 1, dtype=F64)


def test_inflow_reaches_channels_that_do_not_diffuse() -> None:
    """Whether the factor of a channel is zero or its conductivity, and where two terms share the channels."""
    space = CellSpace(jittered(rectangle(3, 3), 0.15, seed=2))
    u0 = torch.zeros(space.n, 2, dtype=F64)
    first, second = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 2.0])
    inflow = Neumann("left", torch.tensor([1.0, 3.0], dtype=F64))
    kappa = torch.tensor([[1.0, 0.0]], dtype=F64)
    for heat in (
        first * Diffusion(space),
        first * Diffusion(space) + second * Diffusion(space),
        Diffusion(space, kappa),
    ):
        assert System(heat + inflow, None, T0)(T0, u0).sum(0).tolist() == pytest.approx([1.0, 3.0])
    mixed = first * Diffusion(space) + inflow + Robin("right", 2.0, 0.5)
    f = System(mixed, None, T0)
    alone = System(Diffusion(space) + Neumann("left", 1.0) + Robin("right", 2.0, 0.5), None, T0)
    still = System(Reaction(lambda u: 0 * u) + Neumann("left", 3.0) + Robin("right", 2.0, 0.5), space, T0)
    u = torch.randn(space.n, 2, dtype=F64, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(f(T0, u)[:, :1], alone(T0, u[:, :1]), atol=1e-13)
    assert torch.allclose(f(T0, u)[:, 1:], still(T0, u[:, 1:]), atol=1e-13)


@pytest.mark.parametrize("cells", ["triangle", "quad"])
def test_inflow_reaches_cells_that_do_not_conduct(cells: str) -> None:
    """As on a Space: g by area, less a u of the cell, wherever kappa is zero; elsewhere as ever."""
    mesh = jittered(rectangle(4, 4, cells=cells), 0.15, seed=2)
    space = CellSpace(mesh)
    still = System(Diffusion(space, 0.0) + Neumann("left", 1.0), None, T0)
    assert float(still(T0, zeros(space)).sum()) == pytest.approx(1.0)
    nodal = Space(mesh)
    on_points = System(Diffusion(nodal, 0.0) + Neumann("left", 1.0), None, T0)
    assert float(on_points(T0, torch.zeros(nodal.n, 1, dtype=F64)).sum()) == pytest.approx(1.0)
    ones = torch.ones(space.n, 1, dtype=F64)
    lossy = System(Diffusion(space, 0.0) + Robin("left", 2.0, 0.5), None, T0)
    assert float(lossy(T0, ones).sum()) == pytest.approx(0.5 - 2.0)
    kappa = (space.pos[:, 1] > 0.5).double()
    partly = System(Diffusion(space, kappa) + Neumann("left", 1.0), None, T0)
    assert float(partly(T0, ones).sum()) == pytest.approx(1.0)


def test_values_need_a_term_with_fluxes() -> None:
    """What nothing would act on is refused; one term with fluxes is enough, and sets of cells need none."""
    mesh = rectangle(4, 3)
    space = CellSpace(mesh.with_tags(copper=mesh.make_tag(2, [0, 5])))
    decay = Reaction(lambda u: -u)
    for terms in (
        Wave(space) + Held("boundary", 0.0),
        decay + Dirichlet("left", 1.0),
        Source(space, 1.0) + Dirichlet("left", 1.0),
    ):
        with pytest.raises(ConditionError, match=r"the value on '.*' would act .* add a Diffusion or an Advection"):
            System(terms, space, T0)
    for flux in (Diffusion(space), Advection(space, [1.0, 0.0])):
        f = System(decay + flux + Dirichlet("left", 1.0), None, T0)
        assert float(f(T0, zeros(space)).sum()) > 0
    assert System(decay + Dirichlet("copper", 1.0), space, T0).fixed is not None
