"""Flows of fields: one network on every mesh, and Gaussian laws carried to each other."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from graphpde.core import Graph, networks
from graphpde.errors import InputError, ShapeError
from graphpde.flow import Flow, FlowMatching, MeshVelocity
from graphpde.mesh import Space, interval
from graphpde.ops import GaussianField
from graphpde.train import Adam, fit

LINE = Space(interval(40))


def net(hidden: int = 8) -> MeshVelocity:
    torch.manual_seed(0)
    model = MeshVelocity(2, hidden=hidden, blocks=2, modes=20).double()
    if hidden:
        with torch.no_grad():
            model.drop.weight.normal_()
    return model


def wave(space: Space) -> Tensor:
    x = space.pos[:, :1]
    return torch.cat([torch.cos(3.1 * x), x**2], 1)


def test_one_network_on_ever_finer_meshes() -> None:
    """Velocities at common nodes tend to one function at order 2."""
    model, t = net(), torch.tensor(0.3, dtype=torch.float64)
    values = []
    for n in (40, 80, 160):
        space = Space(interval(n))
        order = space.pos[:, 0].argsort()
        values.append(model(space, t, wave(space))[order][:: n // 40])
    gaps = [float((values[k] - values[k + 1]).abs().max()) for k in range(2)]
    assert gaps[1] < 0.35 * gaps[0]
    assert gaps[1] < 1e-2


def test_new_numbers_of_nodes_change_nothing() -> None:
    graph = networks.watts_strogatz(20, 4, 0.3, seed=0)
    order = torch.randperm(20, generator=torch.Generator().manual_seed(1))
    place = torch.empty_like(order)
    place[order] = torch.arange(20)
    src, dst = graph.edges.pairs()
    other = Graph(type(graph.edges).from_edges(place[src], place[dst], 20, 20))
    u = torch.randn(3, 20, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    model, t = net(), torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)[:, None, None]
    assert torch.allclose(model(other, t, u[:, order]), model(graph, t, u)[:, order], atol=1e-7)


def test_a_batch_is_its_fields() -> None:
    u = torch.randn(3, LINE.n, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    t = torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)[:, None, None]
    velocity = net().on(LINE)
    whole = velocity(t, u)
    for k in range(3):
        assert torch.allclose(whole[k], velocity(t[k, 0, 0], u[k]), atol=1e-12)


def test_without_blocks_it_is_linear() -> None:
    velocity, t = net(hidden=0).on(LINE), torch.tensor(0.4, dtype=torch.float64)
    u, w = torch.randn(2, LINE.n, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(velocity(t, 2 * u - w), 2 * velocity(t, u) - velocity(t, w), atol=1e-12)


def test_a_rough_law_becomes_a_smooth_one() -> None:
    """Covariances of samples on the mesh of the training and on a finer one."""
    torch.manual_seed(0)
    rng = torch.Generator().manual_seed(0)

    def base(space: Space) -> GaussianField:
        return GaussianField(space, kappa=4.0, s=1.0, scale=4.0, modes=12)

    def data(space: Space) -> GaussianField:
        return GaussianField(space, kappa=6.0, s=2.0, scale=60.0, modes=12)

    class Fields:
        def drawn(self, rng: torch.Generator):
            return (data(LINE).draw(torch.zeros(128, LINE.n, 1), rng) for _ in range(100))

    model = MeshVelocity(1, hidden=0, modes=12)
    objective = FlowMatching(base=base(LINE), sample="state", graph=LINE)
    fit(model, objective, Fields(), update=Adam(5e-3), steps=400, rng=rng)
    for space in (LINE, Space(interval(160))):
        flow = Flow(model.on(space), base(space), sample="state", stepper="rk4", dt=0.1)
        u = flow.sample(torch.zeros(4000, space.n, 1), rng)[..., 0].double()
        wanted = data(space).covariance()
        assert float((u.T @ u / 4000 - wanted).norm() / wanted.norm()) < 0.15


def test_refused() -> None:
    with pytest.raises(ShapeError, match="the field has 1 channels, this model was made for 2"):
        net()(LINE, torch.tensor(0.0), torch.zeros(LINE.n, 1))
    with pytest.raises(InputError, match="length is 0, expected a number > 0"):
        MeshVelocity(1, length=0)
