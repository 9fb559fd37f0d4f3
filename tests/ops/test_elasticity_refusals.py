"""What is no body, no material, no load: one sentence each, before anything is computed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from graphpde.design import Compliance, minimise_shape
from graphpde.dynamics import evolve, steady
from graphpde.errors import GraphpdeError
from graphpde.mesh import Space, plate_with_holes, rectangle
from graphpde.ops import CahnHilliard, Dirichlet, ElectroThermal, Neumann, System
from graphpde.ops.elasticity import Elasticity, ElasticSupport, Orthotropic, ThermoElasticity, modes, resultant

F64 = torch.float64
SPACE = Space(rectangle(4, 2))
ZERO = torch.zeros(SPACE.n, 2, dtype=F64)
START = torch.zeros((), dtype=F64)


def compliance() -> Compliance:
    held = Elasticity(SPACE, 1.0, 0.3) + Dirichlet("left", 0.0)
    return Compliance(held + Neumann("right", torch.tensor([1.0, 0.0], dtype=F64)))


def shape(objective: Any) -> Any:
    return minimise_shape(plate_with_holes(0.15, 2.0, 1.0, [(1.0, 0.5, 0.2)]), "hole0", objective)


@pytest.mark.parametrize(
    ("tried", "told"),
    [
        (lambda: Elasticity(SPACE, "steel"), "young is 'steel', expected a finite number, {set: number}"),
        (lambda: Elasticity(SPACE, None), "young is None, expected a finite number"),
        (lambda: Elasticity(SPACE, [1.0, 2.0]), r"young has shape \[2\], expected one entry or one per cell: 16"),
        (
            lambda: Elasticity(SPACE, expansion=1.0, temperature=torch.ones(SPACE.n, 2)),
            r"temperature has shape \[15, 2\], expected a number or \[15, 1\]: one a node",
        ),
        (lambda: Elasticity(SPACE, expansion=1.0, temperature=float("nan")), "temperature is not finite"),
        (lambda: Elasticity(SPACE, temperature=10.0), "a temperature is given without expansion"),
        (lambda: Orthotropic(2.0, 0.2, 1.0), "young of the orthotropic material has 1 values, expected 2 or 3"),
        (lambda: Orthotropic((2.0,) * 3, (0.2,) * 3, 1.0, axes=torch.eye(2)), r"axes have shape \[2, 2\], expected"),
        (lambda: resultant(SPACE, ZERO, about=(0.0, 0.0, 0.0)), r"about has shape \[3\], expected \[2\]"),
        (lambda: CahnHilliard(SPACE, wells=(1, 0, 2)), r"wells = \(1, 0, 2\), expected two concentrations"),
        (lambda: ElectroThermal(SPACE, lambda t: 1.0), r"the electric conductivity of temperatures \[1, 1\] is 1.0"),
        (lambda: shape(lambda mesh: mesh.points[:, 0]), "the objective is a tensor .* expected one finite number"),
        (lambda: shape(lambda mesh: 1.0), "the objective is 1.0, expected one finite number as a tensor"),
        (lambda: compliance()(-torch.ones(16)), "the least factor of stiffness is -1, expected numbers > 0"),
        (
            lambda: System(Elasticity(SPACE) + ElasticSupport(torch.arange(5), 1.0), None, START),
            "elastic support on a node list acts on 2 facets between two cells",
        ),
        (
            lambda: evolve(ThermoElasticity(Elasticity(SPACE)), torch.zeros(SPACE.n, 3), [0.0, 1.0], stepper="tr_bdf2"),
            "the body can still move along x and y and turn about z",
        ),
    ],
)  # fmt: skip
def test_one_sentence(tried: Callable[[], Any], told: str) -> None:
    with pytest.raises(GraphpdeError, match=told):
        tried()


def test_functions_of_places_may_leave_the_time_out() -> None:
    pull = Neumann("right", torch.tensor([1.0, 0.5], dtype=F64))
    one, other = (
        steady(Elasticity(SPACE, young, 0.3) + Dirichlet("left", 0.0) + pull, ZERO).value
        for young in (lambda x: 1 + x[:, 0], lambda x, t: 1 + x[:, 0])
    )
    assert torch.equal(one, other)
    assert modes(Elasticity(SPACE, 1.0, 0.3), lambda x: 1 + x[:, 0], k=4).rigid == 3


def test_a_body_that_nothing_holds_under_loads_that_balance() -> None:
    """Pulled at both ends its stress is the pull, and it does not move or turn in the mean; three ways to say so."""
    body = pulled = Elasticity(SPACE, 2.0, 0.3, kind="plane_stress")
    for side, sign in (("left", -1.0), ("right", 1.0)):
        pulled = pulled + Neumann(side, torch.tensor([sign, 0.0], dtype=F64))
    free = body.rigid_modes()
    expected = torch.zeros(3, 3, dtype=F64)
    expected[0, 0] = 1.0
    for way in ("rigid", free, free.flatten(0, 1)):
        found = steady(pulled, ZERO, null_space=way).value
        for stress in body.stress(found):
            assert torch.allclose(stress, expected.expand_as(stress), atol=1e-9)
        assert float(torch.einsum("n,nd,ndq->q", SPACE.measure, found, free).abs().max()) < 1e-12
    with pytest.raises(GraphpdeError, match="null_space='rigid' is for one Elasticity that nothing holds"):
        steady(pulled + Dirichlet("top", 0.0), ZERO, null_space="rigid")
