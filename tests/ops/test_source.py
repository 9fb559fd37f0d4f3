"""Sources: quadrature against exact integrals, values at nodes, time, gradients, refusals."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import networkx as nx
import pytest
import torch
from torch import Tensor

from graphpde.core.graph import Graph
from graphpde.core.relation import Relation
from graphpde.errors import ConditionError
from graphpde.mesh import P1, P2, Mesh, Space, interval, jittered, random_cube, random_square, rectangle
from graphpde.ops import Diffusion, Source, System

T0 = torch.tensor(0.0, dtype=torch.float64)
MESHES: dict[str, Callable[[], Mesh]] = {
    "lines": lambda: jittered(interval(6), 0.3, seed=1),
    "triangles": lambda: random_square(3, seed=1),
    "quads": lambda: jittered(rectangle(3, 3, cells="quad"), 0.2, seed=2),
    "tets": lambda: random_cube(2, seed=3),
}


def load_of(domain: Any, f: Any, t: float = 0.0, channels: int = 1) -> Tensor:
    source = Source(domain, f)
    like = torch.zeros(source.domain.n, channels, dtype=torch.float64)
    found = source.load(torch.tensor(t, dtype=torch.float64), like)
    assert found is not None
    return found


@pytest.mark.parametrize("name", MESHES)
class TestQuadrature:
    @pytest.mark.parametrize("degree", [0, 1, 2])
    def test_integrals_of_powers(self, name: str, degree: int) -> None:
        r"""The loads sum to \int f over the unit box, exactly up to degree 2."""
        space = Space(MESHES[name]())
        for axis in range(space.mesh.space_dim):
            b = load_of(space, lambda x, t, axis=axis: x[:, axis] ** degree)
            assert float(b.sum()) == pytest.approx(1 / (degree + 1), rel=1e-13)

    def test_mixed_product(self, name: str) -> None:
        space = Space(MESHES[name]())
        b = load_of(space, lambda x, t: x[:, 0] * x[:, -1])
        assert float(b.sum()) == pytest.approx(1 / 3 if name == "lines" else 1 / 4, rel=1e-13)

    def test_linear_functions_node_by_node(self, name: str) -> None:
        r"""f in the span of the shape functions: \int f N_i is row i of the consistent mass applied to f."""
        space = Space(MESHES[name]())
        b = load_of(space, lambda x, t: 2 - 3 * x[:, 0])
        assert torch.allclose(b, space.consistent_mass(2 - 3 * space.pos[:, :1]), rtol=0, atol=1e-15)

    def test_constants_are_the_measure(self, name: str) -> None:
        space = Space(MESHES[name]())
        assert torch.allclose(load_of(space, 2.0)[:, 0], 2 * space.measure, rtol=1e-14)
        rate = Source(space, 2.0).rate(T0, torch.zeros(space.n, 1, dtype=torch.float64))
        assert torch.allclose(rate, torch.full_like(rate, 2.0), rtol=1e-13)


SPACE = Space(random_square(3, seed=1))


def test_values_at_nodes_meet_the_lumped_mass() -> None:
    values = torch.randn(SPACE.n, 2, dtype=torch.float64)
    assert torch.equal(load_of(SPACE, values, channels=2), SPACE.measure[:, None] * values)
    assert torch.equal(load_of(SPACE, values[:, 0]), SPACE.measure[:, None] * values[:, :1])


def test_one_a_channel() -> None:
    b = load_of(SPACE, torch.tensor([1.0, -2.0], dtype=torch.float64), channels=2)
    assert torch.allclose(b, SPACE.measure[:, None] * torch.tensor([1.0, -2.0], dtype=torch.float64), rtol=1e-13)


def test_time() -> None:
    for t in (0.0, 0.7):
        b = load_of(SPACE, lambda x, t: x[:, 0] * torch.cos(t), t)
        assert float(b.sum()) == pytest.approx(0.5 * math.cos(t), rel=1e-13)


def test_the_state_does_not_matter() -> None:
    source = Source(SPACE, 1.5)
    u = torch.randn(2, SPACE.n, 3, dtype=torch.float64)
    assert torch.equal(source(T0, u), source(T0, torch.zeros_like(u)))
    assert source(T0, u).shape == u.shape
    assert source.operator is None


def test_graphs_weigh_with_their_measure() -> None:
    graph = Graph(
        Relation.from_edges([0, 1], [1, 0], 2, 2),
        measure=torch.tensor([2.0, 5.0], dtype=torch.float64),
        pos=torch.tensor([[1.0], [3.0]], dtype=torch.float64),
    )
    assert load_of(graph, lambda x, t: x[:, 0] + t, 1.0)[:, 0].tolist() == [4.0, 20.0]
    assert load_of(graph, 3.0)[:, 0].tolist() == [6.0, 15.0]
    assert load_of(nx.path_graph(3), torch.tensor([1.0, 2.0, 3.0]))[:, 0].tolist() == [1.0, 2.0, 3.0]


@pytest.mark.grad
@pytest.mark.parametrize("shape", [(), (2,), (SPACE.n,), (SPACE.n, 2)])
def test_gradient_by_finite_differences(shape: tuple[int, ...]) -> None:
    f = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda f: load_of(SPACE, f, channels=2), f)
    assert Source(SPACE, f).tensors()[0] is f


def test_learned_source_is_integrated_anew() -> None:
    f = torch.ones(1, dtype=torch.float64, requires_grad=True)
    source = Source(SPACE, f)
    u = torch.zeros(SPACE.n, 1, dtype=torch.float64)
    with torch.no_grad():
        before = source(T0, u)
        f *= 3
    assert torch.allclose(source(T0, u), 3 * before)


# refusals


@pytest.mark.parametrize("f", [float("nan"), torch.full((SPACE.n,), math.inf), torch.tensor([1.0, math.nan])])
def test_constant_that_is_not_finite(f: Any) -> None:
    with pytest.raises(ConditionError, match="source is not finite at .* places, first at index 0"):
        Source(SPACE, f)


def test_function_that_is_not_finite() -> None:
    with pytest.raises(ConditionError, match="source at t=2 is not finite at"):
        System(Diffusion(SPACE) + Source(SPACE, lambda x, t: 1 / (t - 2) + 0 * x[:, 0]), None, T0 + 2)


@pytest.mark.parametrize("f", [torch.ones(3, 4), lambda x, t: torch.ones(3), lambda x, t: torch.ones(2, 2, 2)])
def test_wrong_shape(f: Any) -> None:
    with pytest.raises(ConditionError, match=r"source has shape .* at \d+ points, expected one number"):
        load_of(SPACE, f)


def test_wrong_number_of_channels() -> None:
    with pytest.raises(ConditionError, match="source has 2 channels, the state has 3"):
        load_of(SPACE, torch.ones(2), channels=3)


def test_position_on_a_graph_that_has_none() -> None:
    with pytest.raises(ConditionError, match="source is a function of position and the graph has none"):
        load_of(nx.path_graph(3), lambda x, t: x[:, 0])


@pytest.mark.parametrize("element", [P1, P2])
def test_one_value_per_node_counts_at_vertices(element: type) -> None:
    """On second order the lumped masses vanish at the vertices of triangles; the consistent mass gives f back."""
    space = Space(random_square(3, seed=1), element())
    f = torch.cos(space.pos[:, :1])
    rate = System(Source(space, f), None, torch.zeros((), dtype=torch.float64)).rate(torch.zeros(()), 0 * f)
    assert torch.allclose(rate, f, atol=1e-10)
