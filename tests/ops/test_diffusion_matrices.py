"""Diffusion against scikit-fem, learned conductivities, and tensors that conduct nothing."""

from __future__ import annotations

from collections.abc import Callable

import networkx as nx
import numpy as np
import pytest
import scipy.sparse as sp
import skfem
import torch
from skfem.helpers import dot, grad
from torch import Tensor

from graphpde.core.graph import Graph
from graphpde.core.relation import Relation
from graphpde.errors import InputError
from graphpde.mesh import Mesh, Space, cell_centroids, jittered, random_cube, random_square, rectangle
from graphpde.ops import Diffusion

EXACT = 1e-12  # rounding of sums over at most 30 cells, relative to the largest entry
T0 = torch.tensor(0.0, dtype=torch.float64)
MESHES: dict[str, Callable[[], Mesh]] = {
    "triangles": lambda: random_square(4, seed=1),
    "quads": lambda: jittered(rectangle(4, 3, cells="quad"), 0.2, seed=2),
    "tets": lambda: random_cube(2, seed=3),
}
ELEMENTS = {
    "triangle": (skfem.MeshTri, skfem.ElementTriP1),
    "quad": (skfem.MeshQuad, skfem.ElementQuad1),
    "tetra": (skfem.MeshTet, skfem.ElementTetP1),
}


def two_materials(mesh: Mesh) -> Mesh:
    left = cell_centroids(mesh)[:, 0] < 0.5
    return mesh.with_tags(
        copper=mesh.make_tag(mesh.dim, left.nonzero()[:, 0]), steel=mesh.make_tag(mesh.dim, (~left).nonzero()[:, 0])
    )


def their_stiffness(space: Space, kappa: np.ndarray) -> sp.csr_matrix:
    """scikit-fem's stiffness for conductivities per cell, [m] or tensors [m, d, d]."""
    ((kind, nodes),) = space.mesh.cells.items()
    make, element = ELEMENTS[kind]
    mesh = make(space.mesh.points.T.numpy().copy(), nodes.T.numpy().copy())
    basis = skfem.Basis(mesh, element(), intorder=3 if kind == "quad" else 2)
    if kappa.ndim == 1:
        form = skfem.BilinearForm(lambda u, v, w: w["kappa"] * dot(grad(u), grad(v)))
        return form.assemble(basis, kappa=kappa[:, None])
    d = kappa.shape[1]
    parts = {f"k{i}{j}": kappa[:, i, j, None] for i in range(d) for j in range(d)}
    form = skfem.BilinearForm(
        lambda u, v, w: sum(w[f"k{i}{j}"] * grad(u)[j] * grad(v)[i] for i in range(d) for j in range(d))
    )
    return form.assemble(basis, **parts)


def assert_same(term: Diffusion, theirs: sp.csr_matrix, channel: int = 0) -> None:
    assert abs(term.operator.to_scipy(channel) + theirs).max() <= EXACT * abs(theirs).max()


@pytest.mark.parametrize("name", MESHES)
class TestAgainstScikitFem:
    def test_materials(self, name: str) -> None:
        space = Space(two_materials(MESHES[name]()))
        kappa = np.where(cell_centroids(space.mesh)[:, 0].numpy() < 0.5, 400.0, 45.0)
        assert 0 < (kappa == 45.0).sum() < len(kappa)
        theirs = their_stiffness(space, kappa)
        assert_same(Diffusion(space, {"copper": 400.0, "steel": 45.0}), theirs)
        assert_same(Diffusion(space, {"copper": 400.0, "*": 45.0}), theirs)
        assert_same(Diffusion(space, {"*": 45.0, "copper": 400.0}), theirs)

    def test_per_cell(self, name: str) -> None:
        space = Space(MESHES[name]())
        kappa = torch.rand(space.mesh.n_cells, dtype=torch.float64)
        assert_same(Diffusion(space, kappa), their_stiffness(space, kappa.numpy()))

    def test_per_channel(self, name: str) -> None:
        space = Space(MESHES[name]())
        kappa = torch.rand(space.mesh.n_cells, 2, dtype=torch.float64)
        same_everywhere = torch.tensor([[0.3, 2.0]], dtype=torch.float64)
        for channel in range(2):
            assert_same(Diffusion(space, kappa), their_stiffness(space, kappa[:, channel].numpy()), channel)
            number = np.full(space.mesh.n_cells, float(same_everywhere[0, channel]))
            assert_same(Diffusion(space, same_everywhere), their_stiffness(space, number), channel)

    @pytest.mark.parametrize("rows", ["one", "per cell"])
    def test_tensor(self, name: str, rows: str) -> None:
        space = Space(MESHES[name]())
        d = space.mesh.space_dim
        root = torch.rand(1 if rows == "one" else space.mesh.n_cells, d, d, dtype=torch.float64)
        kappa = root @ root.mT
        theirs = their_stiffness(space, kappa.expand(space.mesh.n_cells, d, d).numpy())
        assert_same(Diffusion(space, kappa), theirs)

    def test_numbers_in_every_form(self, name: str) -> None:
        space = Space(MESHES[name]())
        theirs = their_stiffness(space, np.full(space.mesh.n_cells, 0.3))
        one = torch.tensor(0.3, dtype=torch.float64)
        isotropic = 0.3 * torch.eye(space.mesh.space_dim, dtype=torch.float64)
        for kappa in (0.3, one, one[None], one[None, None], isotropic[None]):
            assert_same(Diffusion(space, kappa), theirs)

    def test_conservative_form(self, name: str) -> None:
        space = Space(MESHES[name]())
        kappa = torch.rand(space.mesh.n_cells, 2, dtype=torch.float64) + 0.1
        u = torch.randn(3, space.n, 2, dtype=torch.float64)
        plain, conservative = Diffusion(space, kappa), Diffusion(space, kappa, conservative=True)
        # one form rounds the differences, the other one its products
        scale = float((plain.operator.diagonal().abs() * u.abs()).max())
        assert float((conservative(T0, u) - plain(T0, u)).abs().max()) <= 1e-14 * scale
        assert abs(conservative.operator.to_scipy(1) - plain.operator.to_scipy(1)).max() == 0

    def test_symmetric_and_negative(self, name: str) -> None:
        space = Space(MESHES[name]())
        term = Diffusion(space, torch.rand(space.mesh.n_cells, dtype=torch.float64))
        matrix = term.operator.to_scipy().toarray()
        assert term.operator.symmetric
        assert np.abs(matrix - matrix.T).max() <= EXACT
        assert np.linalg.eigvalsh(matrix)[-1] <= EXACT
        assert np.abs(matrix.sum(1)).max() <= EXACT


def test_what_leaves_one_node_arrives_at_the_other_bit_by_bit() -> None:
    pair = nx.Graph([(0, 1, {"weight": 0.1})])
    f = Diffusion(pair, 1 / 3, conservative=True)(T0, torch.tensor([[1e8], [0.7]], dtype=torch.float64))
    assert float(f[0]) == -float(f[1]) != 0


def test_a_huge_self_loop_has_no_effect_at_all() -> None:
    """Left in the sums it would cancel only to rounding, 1e20 against 1."""
    looped = nx.Graph([(0, 1, {"weight": 2.0}), (1, 1, {"weight": 1e20})])
    u = torch.tensor([[1.0], [0.3]], dtype=torch.float64)
    for conservative in (False, True):
        f = Diffusion(looped, conservative=conservative)(T0, u)
        assert f[:, 0].tolist() == pytest.approx([-1.4, 1.4], rel=1e-15)


# refusals


SPACE = Space(two_materials(rectangle(2, 2)))


def test_unequal_weights_by_channel() -> None:
    graph = Graph(Relation.from_edges([0, 1, 1, 2], [1, 0, 2, 1], 3, 3))
    with pytest.raises(InputError, match="diffusion needs equal weights in both directions"):
        Diffusion(graph, torch.tensor([[1.0, 1.0], [1.0, 2.0], [1.0, 1.0], [1.0, 1.0]], dtype=torch.float64))


def test_tensor_that_is_no_conductivity() -> None:
    with pytest.raises(InputError, match="the conductivity tensor of cell 0 is not symmetric"):
        Diffusion(SPACE, torch.tensor([[[1.0, 0.5], [0.0, 1.0]]], dtype=torch.float64))
    kappa = torch.eye(2, dtype=torch.float64).repeat(8, 1, 1)
    kappa[3] = torch.tensor([[1.0, 2.0], [2.0, 1.0]])  # eigenvalues 3 and -1
    kappa[6, 0, 0] = float("nan")
    with pytest.raises(InputError, match="negative or not finite at 2 cells"):
        Diffusion(SPACE, kappa)
    semidefinite = torch.tensor([[[0.1, 0.3], [0.3, 0.9]]], dtype=torch.float64)  # conducts along one direction only
    assert bool(torch.isfinite(Diffusion(SPACE, semidefinite).operator.diagonal()).all())


# learned conductivities


KINDS = ["number", "one", "per cell", "per channel", "tensor"]


def learned(kind: str, space: Space) -> Tensor:
    start = {
        "number": torch.tensor(0.8),
        "one": torch.tensor([0.8]),
        "per cell": torch.rand(space.mesh.n_cells) + 0.5,
        "per channel": torch.tensor([[0.8, 0.3]]),
        "tensor": torch.eye(2)[None] + 0.1,
    }[kind]
    return start.to(torch.float64).requires_grad_()


@pytest.mark.parametrize("conservative", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_learned_conductivity_is_assembled_anew(kind: str, conservative: bool) -> None:
    space = Space(random_square(3, seed=1))
    kappa = learned(kind, space)
    term = Diffusion(space, kappa, conservative=conservative)
    u = torch.randn(space.n, 2, dtype=torch.float64)
    with torch.no_grad():  # a look without gradients must not freeze the operator
        before = term(T0, u)
    for _ in range(2):
        kappa.grad = None
        (-term(T0, u).square().sum()).backward()
        with torch.no_grad():
            kappa -= 1e-3 * kappa.grad
    fresh = Diffusion(space, kappa.detach().clone(), conservative=conservative)
    assert torch.equal(term(T0, u), fresh(T0, u))
    assert not torch.equal(term(T0, u), before)
    assert [w is kappa for w in term.tensors()] == [True]
    if kind == "tensor":
        assert torch.equal(kappa, kappa.mT)


def test_a_term_built_without_gradients_still_learns() -> None:
    kappa = torch.ones(8, dtype=torch.float64, requires_grad=True)
    with torch.no_grad():
        term = Diffusion(SPACE, kappa)
    assert term(T0, SPACE.pos[:, :1]).requires_grad


def test_parameters_stay_parameters() -> None:
    for kappa in (torch.tensor(0.5), torch.tensor([0.5])):
        parameter = torch.nn.Parameter(kappa.double())
        assert list(Diffusion(SPACE, parameter).parameters()) == [parameter]


@pytest.mark.grad
@pytest.mark.parametrize("conservative", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_gradient_by_finite_differences(kind: str, conservative: bool) -> None:
    space = Space(random_square(2, seed=1))
    u = torch.randn(space.n, 2, dtype=torch.float64)

    def f(kappa: Tensor) -> Tensor:
        if kind == "tensor":  # differences of one entry would leave the symmetric tensors
            kappa = (kappa + kappa.mT) / 2
        return Diffusion(space, kappa, conservative=conservative)(T0, u)

    assert torch.autograd.gradcheck(f, learned(kind, space))


@pytest.mark.grad
def test_gradient_of_edge_weights() -> None:
    relation = Relation.from_edges([0, 1, 1, 2], [1, 0, 2, 1], 3, 3)
    u = torch.randn(3, 1, dtype=torch.float64)

    def f(pair: Tensor) -> Tensor:
        return Diffusion(Graph(relation, weight=relation.own(pair.repeat_interleave(2))))(T0, u)

    pair = torch.rand(2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(f, pair)
    weight = relation.own(pair.detach().repeat_interleave(2)).requires_grad_()
    term = Diffusion(Graph(relation, weight=weight))
    assert len(term.tensors()) == 1 and term.tensors()[0] is weight
