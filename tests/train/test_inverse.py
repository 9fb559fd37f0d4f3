"""What inverse problems are made of: parametrisations, penalties, misfits, the choice of the weight, moving shapes."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from graphpde.dynamics import BackwardEuler, evolve, steady
from graphpde.errors import InputError, MeshError, ShapeError, SolveError
from graphpde.mesh import Mesh, Space, plate_with_holes, rectangle
from graphpde.mesh.geometry import cell_centroids, cell_measures
from graphpde.mesh.samples import Samples
from graphpde.ops import Diffusion, Dirichlet, Neumann, Source
from graphpde.train import (
    LBFGS,
    HarmonicMotion,
    Inverse,
    Misfit,
    PerTag,
    Positive,
    RoundHole,
    SoftPositive,
    Tikhonov,
    TotalVariation,
    discrepancy,
    fit,
)

F64 = torch.float64


@pytest.mark.parametrize("kind", [Positive, SoftPositive])
def test_positive_quantities_start_where_told_and_stay_positive(kind: type[Positive]) -> None:
    start = torch.tensor([1e-3, 0.5, 1.0, 40.0], dtype=F64)
    model = kind(start)
    torch.testing.assert_close(model().detach(), start, rtol=1e-10, atol=1e-12)
    with torch.no_grad():
        model.free -= 30.0
    assert bool((model() > 0).all())
    with pytest.raises(InputError, match="starts at -1, expected finite numbers > 0"):
        kind(-1.0)


def test_penalties_of_functions_whose_integrals_are_known() -> None:
    """v = 3x + 4y on the unit square: |grad v| = 5; a step of height 2 across the middle line of length 1."""
    mesh = rectangle(8, 8)
    space, x = Space(mesh), mesh.points
    line = 3 * x[:, 0] + 4 * x[:, 1]
    assert float(Tikhonov(space)(line)) == pytest.approx(25)
    s = 1e-2
    assert float(TotalVariation(space, s)(line[:, None])) == pytest.approx((25 + s * s) ** 0.5 - s)
    assert float(Tikhonov(space, reference=1.0)(torch.full((space.n, 1), 3.0, dtype=F64))) == pytest.approx(4)
    step = 2.0 * (cell_centroids(mesh)[:, 0] > 0.5)
    assert float(TotalVariation(mesh, s)(step)) == pytest.approx((4 + s * s) ** 0.5 - s)
    assert float(Tikhonov(mesh, reference=0.0)(step)) == pytest.approx(2)
    flat = torch.ones(mesh.n_cells, dtype=F64)
    assert float(Tikhonov(mesh)(flat)) == 0 and float(TotalVariation(mesh)(flat)) == 0
    # on right triangles the jumps of a linear function see a gradient that is neither too short nor twice too long
    tilted = 3 * cell_centroids(mesh)[:, 0]
    assert 4.5 < float(Tikhonov(mesh)(tilted)) < 18


@pytest.mark.parametrize("element", ["p1", "p2"])
def test_the_distance_to_a_reference_is_an_integral(element: str) -> None:
    """Between x and y on the unit square it is 1/6, with P2 as well, whose lumped measure is zero at corners."""
    space = Space(rectangle(3, 4), element)
    x, y = space.pos.unbind(1)
    assert float(Tikhonov(space, reference=y)(x)) == pytest.approx(1 / 6)
    spike = torch.zeros(space.n, dtype=F64)
    spike[0] = 1.0
    assert float(Tikhonov(space, reference=0.0)(spike)) > 1e-4
    one = Mesh(torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]).double(), {"triangle": torch.tensor([[0, 1, 2]])})
    assert float(Tikhonov(one, reference=1.0)(torch.tensor([3.0], dtype=F64))) == pytest.approx(2)  # no jumps needed
    with pytest.raises(InputError, match="no jumps to penalise"):
        Tikhonov(one)


@pytest.mark.grad
def test_penalties_are_differentiable_twice() -> None:
    mesh = rectangle(3, 2)
    for domain in (mesh, Space(mesh)):
        count = mesh.n_cells if domain is mesh else mesh.n
        v = torch.randn(count, dtype=F64, generator=torch.Generator().manual_seed(0)).requires_grad_()
        for penalty in (Tikhonov(domain), TotalVariation(domain, 0.1), Tikhonov(domain, reference=0.5)):
            assert torch.autograd.gradcheck(penalty, (v,)) and torch.autograd.gradgradcheck(penalty, (v,))


def test_penalties_refuse_fields_of_another_size() -> None:
    mesh = rectangle(3, 2)
    with pytest.raises(ShapeError, match=r"shape \[5\], expected one value for the cells"):
        Tikhonov(mesh)(torch.zeros(5))
    with pytest.raises(ShapeError, match="expected one value for the unknowns"):
        TotalVariation(Space(mesh))(torch.zeros(5))
    with pytest.raises(InputError, match="expected a number > 0"):
        TotalVariation(mesh, 0.0)


def test_the_misfit_of_the_truth_is_one() -> None:
    """The mean of 2000 squared normal numbers is 1 with a deviation of (2 / 2000)^(1/2)."""
    space = Space(rectangle(9, 9))
    u = space.pos[:, :1] ** 2
    draw = torch.Generator().manual_seed(0)
    points = torch.rand(2000, 2, dtype=F64, generator=draw)
    samples = Samples(space, points)
    data = samples(u) + 0.1 * torch.randn(2000, 1, dtype=F64, generator=draw)
    assert float(Misfit(samples, data, 0.1)(u)) == pytest.approx(1, abs=4 * (2 / 2000) ** 0.5)
    nodes = torch.tensor([3, 7])
    two = Misfit(nodes, u[nodes] + torch.tensor([[0.3], [0.4]]), torch.tensor([[0.1], [0.2]]))
    assert float(two(u)) == pytest.approx((9 + 4) / 2)


def test_misfits_refuse_what_is_no_measurement() -> None:
    nodes, data = torch.tensor([0, 1]), torch.zeros(2, 1)
    with pytest.raises(InputError, match="1 of 2 measurements are not finite"):
        Misfit(nodes, torch.tensor([[0.0], [math.nan]]))
    with pytest.raises(InputError, match="a standard deviation is 0, expected finite numbers > 0"):
        Misfit(nodes, data, 0.0)
    with pytest.raises(ShapeError, match=r"the model gives \[2, 3\], the data are \[2, 1\]"):
        Misfit(nodes, data)(torch.zeros(4, 3))


def test_the_discrepancy_principle_on_a_problem_with_a_formula() -> None:
    """Ridge regression towards 0 from d = (3, 0.1): the misfit (3 w / (1 + w))^2 reaches 1 at w = 1/2."""

    def misfit(w: float) -> float:
        return (3 * w / (1 + w)) ** 2

    for start in (1e-4, 1.0, 300.0):
        found = discrepancy(misfit, start=start, within=1e-3, most=60)
        assert found.weight == pytest.approx(0.5, rel=2e-3)
        assert found.misfit == pytest.approx(1, rel=1e-3) and found.trials[-1] == (found.weight, found.misfit)


def test_noise_larger_than_said_and_noise_that_explains_everything() -> None:
    with pytest.raises(SolveError, match="no weight of the penalty explains the data: the misfit is 2"):
        discrepancy(lambda w: 2 + w, start=1e-3)
    least = discrepancy(lambda w: 0.3, start=1.0, most=5)
    assert least.weight == 1e4  # whatever the weight, the data are explained
    with pytest.raises(InputError, match="is nan, expected a finite number"):
        discrepancy(lambda w: math.nan)


class Plate(nn.Module):
    """A plate in two drives, its conductivity to be found."""

    def __init__(self, space: Space, kappa: nn.Module):
        super().__init__()
        self.space, self.kappa = space, kappa

    def forward(self) -> Tensor:
        one, space = torch.eye(2, dtype=F64), self.space
        total = Diffusion(space, self.kappa()) + Source(space, 2 * one[0]) + Neumann("right", one[1])
        return steady(total + Dirichlet("left", 0.0), torch.zeros(space.n, 2, dtype=F64)).value


def test_a_conductivity_is_found_from_exact_data_everywhere() -> None:
    mesh = rectangle(4, 4)
    space = Space(mesh)
    true = torch.exp(0.5 * torch.sin(3 * cell_centroids(mesh).sum(1)))
    truth = Plate(space, Positive(true))
    data = truth().detach()
    model = Plate(space, Positive(torch.ones(mesh.n_cells, dtype=F64)))
    penalty = Tikhonov(mesh)
    objective = Inverse(Misfit(torch.arange(space.n), data, 1e-3), {"rough": lambda m: penalty(m.kappa.free)})
    history = fit(model, objective, update=LBFGS(), steps=150, weights={"rough": 1e-3})
    w = cell_measures(mesh)
    error = (w @ (model.kappa().detach() - true).square() / (w @ true.square())).sqrt()
    # 32 values from 40 numbers, some of which hardly depend on them: those the penalty chooses
    assert float(error) < 0.07 and history["misfit"][-1] < 0.1
    assert float(error) < 0.3 * float((w @ (1 - true).square() / (w @ true.square())).sqrt())
    assert set(history.columns) == {"step", "loss", "misfit", "rough", "gradient", "evaluations", "seconds"}


def test_numbers_of_materials_and_an_initial_state() -> None:
    mesh = rectangle(6, 4)
    left = (cell_centroids(mesh)[:, 0] < 0.5).nonzero()[:, 0]
    mesh = mesh.with_tags(west=mesh.make_tag(2, left))
    space = Space(mesh)
    data = Plate(space, PerTag({"west": 0.2, "*": 3.0}))().detach()
    model = Plate(space, PerTag({"west": 1.0, "*": 1.0}))
    fit(model, Inverse(Misfit(torch.arange(space.n), data, 1e-2)), update=LBFGS(), steps=100)
    found = {name: float(v.detach()) for name, v in model.kappa().items()}
    assert found == pytest.approx({"west": 0.2, "*": 3.0}, rel=1e-4)

    class Start(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.u0 = nn.Parameter(torch.zeros(space.n, 1, dtype=F64))

        def forward(self) -> Tensor:
            return evolve(Diffusion(space), self.u0, [0.0, 0.001, 0.002], stepper=BackwardEuler()).states[1:]

    true, start = torch.cos(3 * space.pos[:, :1]), Start()
    with torch.no_grad():
        seen = evolve(Diffusion(space), true, [0.0, 0.001, 0.002], stepper=BackwardEuler()).states[1:]
    fit(start, Inverse(Misfit(torch.arange(space.n), seen, 1e-3)), update=LBFGS(), steps=200)
    assert float((start.u0.detach() - true).abs().max()) < 1e-2


# shapes


def test_a_rigid_motion_of_the_whole_boundary_moves_every_point() -> None:
    mesh = plate_with_holes(0.15, 1.0, 1.0, ((0.5, 0.5, 0.2),))
    shift = torch.tensor([0.3, -0.1], dtype=F64)
    outer = mesh.tag("boundary").nodes
    moved = HarmonicMotion(mesh, outer)(shift.expand(len(outer), 2))
    torch.testing.assert_close(moved.points, mesh.points + shift)


def test_a_hole_moves_and_the_outer_side_stays() -> None:
    mesh = plate_with_holes(0.12, 1.0, 1.0, ((0.5, 0.5, 0.2),))
    hole = RoundHole(mesh, "hole0", modes=1)
    torch.testing.assert_close(hole().points, mesh.points, atol=1e-12, rtol=0)
    with torch.no_grad():
        hole.centre += torch.tensor([0.05, -0.03], dtype=F64)
        hole.log_radius += math.log(1.2)
        hole.modes[0, 0] = 0.1
    x = hole().points.detach()
    outer, ring = mesh.tag("outer").nodes, mesh.tag("hole0").nodes
    torch.testing.assert_close(x[outer], mesh.points[outer])
    arms = x[ring] - torch.tensor([0.55, 0.47], dtype=F64)
    theta = torch.atan2(arms[:, 1], arms[:, 0])
    torch.testing.assert_close(arms.norm(dim=1), 0.24 * (1 + 0.1 * torch.cos(2 * theta)), atol=1e-8, rtol=0)


def test_cells_that_turn_over_are_named() -> None:
    mesh = plate_with_holes(0.12, 1.0, 1.0, ((0.5, 0.5, 0.2),))
    hole = RoundHole(mesh, "hole0")
    with torch.no_grad():
        hole.centre += 0.6
    with pytest.raises(MeshError, match=r"cells of 'plate_with_holes' have turned over, cell \d+ most of all"):
        hole()
    with pytest.raises(InputError, match="1 of the moved points are not on the boundary"):
        inside = next(k for k in range(mesh.n) if k not in set(mesh.tag("boundary").nodes.tolist()))
        HarmonicMotion(mesh, torch.tensor([inside]))


@pytest.mark.grad
def test_derivatives_by_the_shape_of_a_hole() -> None:
    mesh = plate_with_holes(0.3, 1.0, 1.0, ((0.5, 0.5, 0.2),))
    hole = RoundHole(mesh, "hole0", modes=1)

    def area(centre: Tensor, log_radius: Tensor, modes: Tensor) -> Tensor:
        given = {"centre": centre, "log_radius": log_radius, "modes": modes}
        return cell_measures(torch.func.functional_call(hole, given)).square().sum()

    x = tuple(p.detach().clone().requires_grad_() for p in (hole.centre, hole.log_radius, hole.modes))
    assert torch.autograd.gradcheck(area, x, atol=1e-7) and torch.autograd.gradgradcheck(area, x, atol=1e-6)
