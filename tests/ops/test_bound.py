"""The bound on the spectrum: never below the largest eigenvalue, exact where it can be, silent where none is known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import networkx as nx
import numpy as np
import pytest
import scipy.linalg
import torch

from graphpde.core.combined import Scaled, Summed
from graphpde.core.graph import Graph
from graphpde.core.jacobian import Action
from graphpde.core.linear_operator import Diagonal, LinearOperator, Sparse
from graphpde.core.relation import Relation
from graphpde.errors import InputError
from graphpde.mesh import Mesh, Space, interval, jittered, random_cube, random_square, rectangle, sphere, star
from graphpde.ops import Advection, Diffusion, Reaction, Source, StreamlineUpwind, System
from graphpde.ops.bound import spectral_bound

T0 = torch.tensor(0.0, dtype=torch.float64)


def dense(operator: LinearOperator, channel: int = 0) -> np.ndarray:
    return operator.to_scipy(channel).toarray()


def bound_of(term: Any) -> float:
    found = System(term, None, T0).spectral_bound()
    assert found is not None
    return found


def largest(term: Any, channel: int = 0) -> float:
    """max |eigenvalue| of M^-1 L by dense linear algebra."""
    system = System(term, None, T0)
    matrix = dense(system.operator, channel)
    mass = system.mass
    mass = dense(mass) if isinstance(mass, LinearOperator) else np.diag(mass.numpy())
    if system.operator.symmetric:
        return float(np.abs(scipy.linalg.eigh(matrix, mass, eigvals_only=True)).max())
    return float(np.abs(scipy.linalg.eig(matrix, mass, right=False)).max())


class TestGraphs:
    def test_grid(self) -> None:
        """An m x m grid has the largest eigenvalue 4 + 4 cos(pi / m): 7.98 for m = 32, against 8."""
        term = Diffusion(nx.grid_2d_graph(32, 32))
        exact = 4 + 4 * np.cos(np.pi / 32)
        assert bound_of(term) == 8.0
        assert largest(Diffusion(nx.grid_2d_graph(8, 8))) == pytest.approx(4 + 4 * np.cos(np.pi / 8), rel=1e-12)
        assert 7.98 < exact < 8.0

    def test_star(self) -> None:
        """The hub of 500 leaves: the bound is the largest eigenvalue itself, where Gershgorin gives twice as much."""
        term = Diffusion(nx.star_graph(500))
        assert bound_of(term) == 501.0
        assert largest(term) == pytest.approx(501.0, rel=1e-12)
        operator = term.operator
        assert isinstance(operator, Sparse)
        as_any = Sparse(operator.relation, operator.weight, operator.diag)
        assert spectral_bound(as_any, None) == 1000.0

    def test_edges_that_carry_nothing_do_not_count(self) -> None:
        """A loop at the hub joins it to itself: 1000 if it counted."""
        hub = nx.star_graph(500)
        hub.add_edge(0, 0)
        assert bound_of(Diffusion(hub)) == 501.0
        assert bound_of(Diffusion(hub, 0.0)) == 0.0

    @pytest.mark.parametrize("seed", range(3))
    def test_scale_free(self, seed: int) -> None:
        graph = nx.barabasi_albert_graph(150, 2, seed=seed)
        for a, b in graph.edges:
            graph.edges[a, b]["weight"] = float(np.random.default_rng([seed, a, b]).uniform(0.1, 3))
        term = Diffusion(graph, 0.7)
        assert largest(term) <= bound_of(term) <= 2 * largest(term)

    @pytest.mark.parametrize("seed", range(5))
    def test_random_weights_and_measures(self, seed: int) -> None:
        graph = nx.gnp_random_graph(30, 0.2, seed=seed)
        rng = np.random.default_rng(seed)
        src, dst = np.array(graph.edges).T
        relation = Relation.from_edges(np.r_[src, dst], np.r_[dst, src], 30, 30)
        weight = relation.own(torch.from_numpy(np.tile(rng.normal(size=len(src)), 2)))  # of both signs
        measure = torch.from_numpy(rng.uniform(0.01, 1, 30))
        term = Diffusion(Graph(relation, weight=weight, measure=measure))
        assert largest(term) <= bound_of(term) * (1 + 1e-12)

    def test_flow_on_pipes(self) -> None:
        graph = nx.gnp_random_graph(30, 0.2, seed=1, directed=True)
        term = Advection(graph, torch.randn(graph.number_of_edges(), dtype=torch.float64))
        assert largest(term) <= bound_of(term)

    def test_two_nodes_exactly(self) -> None:
        pair = Graph(Relation.from_edges([0, 1], [1, 0], 2, 2), measure=torch.tensor([1.0, 4.0], dtype=torch.float64))
        assert bound_of(Diffusion(pair, 3.0)) == pytest.approx(3.75, rel=1e-15)
        assert largest(Diffusion(pair, 3.0)) == pytest.approx(3.75, rel=1e-12)


MESHES: dict[str, Callable[[], Mesh]] = {
    "lines": lambda: jittered(interval(12), 0.4, seed=1),
    "triangles": lambda: random_square(6, seed=1),
    "stretched triangles": lambda: jittered(rectangle(6, 3, height=0.05), 0.2, seed=2),
    "quads": lambda: jittered(rectangle(5, 5, cells="quad"), 0.25, seed=3),
    "tets": lambda: random_cube(3, seed=4),
    "surface": lambda: sphere(1),
}


@pytest.mark.parametrize("lumped", [True, False])
@pytest.mark.parametrize("name", MESHES)
class TestMeshes:
    def space(self, name: str, lumped: bool) -> Space:
        return Space(MESHES[name](), lumped=lumped)

    def test_diffusion(self, name: str, lumped: bool) -> None:
        space = self.space(name, lumped)
        for kappa in (0.3, torch.rand(space.mesh.n_cells, dtype=torch.float64) + 1e-3):
            term = Diffusion(space, kappa)
            exact = largest(term)
            # a consistent mass costs the factor between its diagonal and its least eigenvalue
            assert exact <= bound_of(term) <= (4 if lumped else 16) * exact

    def test_advection(self, name: str, lumped: bool) -> None:
        space = self.space(name, lumped)
        v = torch.tensor([1.0, 0.4, -0.3], dtype=torch.float64)[: space.mesh.space_dim]
        for term in (Advection(space, v), Advection(space, v) + Diffusion(space, 0.01)):
            assert largest(term) <= bound_of(term)

    def test_edge_difference_form(self, name: str, lumped: bool) -> None:
        space = self.space(name, lumped)
        assert bound_of(Diffusion(space, 0.3, conservative=True)) == bound_of(Diffusion(space, 0.3))


SPACE = Space(random_square(4, seed=1))


def test_symmetric_is_sharper_than_gershgorin() -> None:
    operator = Diffusion(SPACE).operator
    assert isinstance(operator, Sparse)
    gershgorin = spectral_bound(Sparse(operator.relation, operator.weight, operator.diag), SPACE.mass)
    edgewise = bound_of(Diffusion(SPACE))
    assert gershgorin is not None and largest(Diffusion(SPACE)) <= edgewise < gershgorin


def test_the_worst_channel_counts() -> None:
    kappa = torch.tensor([[0.1, 5.0, 1.0]], dtype=torch.float64)
    assert bound_of(Diffusion(SPACE, kappa)) == pytest.approx(bound_of(Diffusion(SPACE, 5.0)), rel=1e-12)


def test_scales_with_factors() -> None:
    one = bound_of(Diffusion(SPACE))
    for factor in (-3.0, torch.tensor(3.0, dtype=torch.float64)):
        assert bound_of(factor * Diffusion(SPACE)) == pytest.approx(3 * one, rel=1e-13)
    factor = torch.tensor([1.0, -3.0], dtype=torch.float64)
    assert spectral_bound(Scaled(Diffusion(SPACE).operator, factor), SPACE.mass) == pytest.approx(3 * one, rel=1e-13)


def test_a_diagonal_added_to_a_laplacian() -> None:
    """L - 5 M is no Laplacian any more; rows with more on the diagonal than beside it fall to Gershgorin."""
    shifted = Diffusion(SPACE).operator + Diagonal(-5 * SPACE.measure)
    found = spectral_bound(shifted, SPACE.mass)
    exact = np.abs(scipy.linalg.eigh(dense(shifted), np.diag(SPACE.measure.numpy()), eigvals_only=True)).max()
    assert found is not None and found >= exact


def test_diagonals_and_sums() -> None:
    values = torch.tensor([1.0, -6.0, 2.0], dtype=torch.float64)
    mass = torch.tensor([1.0, 2.0, 0.5], dtype=torch.float64)
    assert spectral_bound(Diagonal(values), None) == 6.0
    assert spectral_bound(Diagonal(values), mass) == 4.0
    assert spectral_bound(Summed(Diagonal(values), Diagonal(values)), mass) == 8.0


def test_empty() -> None:
    assert bound_of(Diffusion(nx.empty_graph(4))) == 0.0
    assert spectral_bound(Diagonal(torch.zeros(0)), None) == 0.0


def test_nothing_is_known_of_an_action() -> None:
    action = Action(SPACE.n, lambda x: x, lambda x: x)
    for operator in (action, action * 2.0, action + Diffusion(SPACE).operator, Diffusion(SPACE).operator + action):
        assert spectral_bound(operator, SPACE.mass) is None
    assert spectral_bound(Diffusion(SPACE).operator, action) is None
    with pytest.raises(InputError, match="known only by its action"):
        action.to_scipy()


def test_nothing_linear_has_no_bound() -> None:
    assert System(Reaction(lambda u: -u), None, T0).spectral_bound() is None
    assert System(Source(SPACE, 1.0), None, T0).spectral_bound() is None


def test_no_gradient_hangs_on_it() -> None:
    kappa = torch.ones(1, dtype=torch.float64, requires_grad=True)
    assert isinstance(bound_of(Diffusion(SPACE, kappa)), float)


WINDS = (torch.tensor([1.0, 0.0]), torch.tensor([0.3, 1.0]), lambda x: torch.stack([-x[:, 1], x[:, 0]], 1))


@pytest.mark.parametrize("cells", ["triangle", "quad", "mixed", "random"])
@pytest.mark.parametrize("kappa", [0.0, 1e-2, 1.0])
def test_a_mass_with_a_streamline_part(cells: str, kappa: float) -> None:
    """The share of the symmetric mass is no bound for it, but what it gives lies above the spectral radius."""
    mesh = random_square(5, seed=2) if cells == "random" else jittered(rectangle(5, 5, cells=cells), 0.2, seed=1)
    space = Space(mesh)
    for wind in WINDS:
        term = StreamlineUpwind(space, wind, kappa)
        assert largest(term) <= bound_of(term)


def test_the_share_of_the_mass_does_not_hold_along_streamlines() -> None:
    """Why the figure is an estimate: a singular value of the scaled mass below the share of the symmetric one."""
    space = Space(star(3, 3))
    mass = dense(StreamlineUpwind(space, WINDS[2]).mass)
    root = mass.diagonal() ** -0.5
    values = scipy.linalg.svdvals(root[:, None] * mass * root)
    assert values.min() < 0.8 * space.least_mass
