"""Every registered reaction, and what users give: equilibria, pointwise, derivatives, refusals."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from graphpde.core.jacobian import BlockDiagonal
from graphpde.dynamics import CrankNicolson, evolve
from graphpde.errors import InputError, ShapeError, UnknownName
from graphpde.mesh import Space, interval
from graphpde.ops import REACTIONS, Diffusion, Reaction, System
from graphpde.ops.reactions import (
    AllenCahn,
    Brusselator,
    FitzHughNagumo,
    GiererMeinhardt,
    GrayScott,
    Logistic,
    Schnakenberg,
    fastest_mode,
    growth_rate,
)
from graphpde.ops.reactions.patterns import jacobian

T0 = torch.tensor(0.0, dtype=torch.float64)
NAMES = list(REACTIONS)


def states(name: str, *shape: int) -> Tensor:
    # away from zero, where an inhibitor that divides has no rate
    return 0.2 + torch.rand(*shape, len(REACTIONS[name].channels), dtype=torch.float64)


@pytest.mark.parametrize("name", NAMES)
class TestContract:
    def test_equilibria_stand_still(self, name: str) -> None:
        reaction = REACTIONS[name]()
        equilibria = torch.tensor(reaction.equilibria(), dtype=torch.float64)
        assert len(equilibria) >= 1
        size = 1 + float(equilibria.abs().max())
        assert float(Reaction(reaction)(T0, equilibria).abs().max()) <= 1e-15 * size**2  # rounding of products

    def test_nodes_do_not_see_each_other(self, name: str) -> None:
        term = Reaction(REACTIONS[name]())
        u = states(name, 7)
        order = torch.randperm(7)
        assert torch.equal(term(T0, u[order]), term(T0, u)[order])
        assert torch.equal(torch.cat([term(T0, u[k : k + 1]) for k in range(7)]), term(T0, u))

    def test_batches(self, name: str) -> None:
        term = Reaction(REACTIONS[name]())
        u = states(name, 2, 3, 5)
        assert term(T0, u).shape == u.shape
        assert torch.equal(term(T0, u)[1, 2], term(T0, u[1, 2]))

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_type_of_the_state(self, name: str, dtype: torch.dtype) -> None:
        assert Reaction(REACTIONS[name]())(T0, states(name, 4).to(dtype)).dtype == dtype

    @pytest.mark.grad
    def test_derivatives(self, name: str) -> None:
        reaction = REACTIONS[name]()
        u = states(name, 3).requires_grad_()
        assert torch.autograd.gradcheck(reaction, u)
        assert torch.autograd.gradgradcheck(reaction, u)

    @pytest.mark.grad
    def test_linearised_by_finite_differences(self, name: str) -> None:
        term = Reaction(REACTIONS[name]())
        u = states(name, 2, 5)
        v = torch.randn_like(u)
        jacobian = term.linearise(T0, u)
        h = 1e-6
        slope = (term(T0, u + h * v) - term(T0, u - h * v)) / (2 * h)
        assert isinstance(jacobian, BlockDiagonal)
        assert torch.allclose(jacobian(v), slope, rtol=1e-7, atol=1e-8)
        w = torch.randn_like(u)
        assert (jacobian(v) * w).sum().item() == pytest.approx((v * jacobian.transpose()(w)).sum().item(), rel=1e-12)

    def test_wrong_number_of_channels(self, name: str) -> None:
        """A reaction of several species refuses others; one of a single species acts on every channel alike."""
        reaction, count = REACTIONS[name](), len(REACTIONS[name].channels)
        for wrong in (1, count + 1):
            u = torch.rand(4, wrong, dtype=torch.float64)
            if count == 1:
                alone = torch.cat([reaction(u[:, k : k + 1]) for k in range(wrong)], 1)
                assert torch.equal(reaction(u), alone)
            else:
                with pytest.raises(ShapeError, match=f"needs {count} channels .*, the state has {wrong}"):
                    Reaction(reaction)(T0, u)

    def test_label_names_it(self, name: str) -> None:
        assert Reaction(REACTIONS[name]()).label == f"Reaction({REACTIONS[name].__name__})"

    def test_a_rate_without_domain(self, name: str) -> None:
        term = Reaction(REACTIONS[name]())
        u = states(name, 3)
        assert term.domain is None and term.mass is None
        assert torch.equal(term.rate(T0, u), term(T0, u))


def test_unknown_reaction() -> None:
    with pytest.raises(UnknownName, match="unknown reaction 'gray scott'; known: .*; did you mean 'gray-scott'"):
        REACTIONS["gray scott"]


@pytest.mark.parametrize(("feed", "kill", "count"), [(0.037, 0.06, 1), (0.04, 0.05, 3), (0.06, 0.0625, 1)])
def test_gray_scott_equilibria(feed: float, kill: float, count: int) -> None:
    reaction = GrayScott(feed, kill)
    equilibria = torch.tensor(reaction.equilibria(), dtype=torch.float64)
    assert len(equilibria) == count
    assert float(reaction(equilibria).abs().max()) <= 1e-16


def test_gray_scott_at_a_point() -> None:
    rate = GrayScott(0.5, 0.25)(torch.tensor([[0.5, 2.0]], dtype=torch.float64))
    assert rate.tolist() == [[0.25 - 2.0, 2.0 - 1.5]]


def test_decay_and_logistic_at_a_point() -> None:
    u = torch.tensor([[0.5, 2.0]], dtype=torch.float64)
    assert REACTIONS["decay"](3.0)(u).tolist() == [[-1.5, -6.0]]
    assert REACTIONS["logistic"](2.0)(u).tolist() == [[0.5, -4.0]]


AT_A_POINT = [
    (FitzHughNagumo(0.5, 2.0, 0.25, 0.125), (1.0, 3.0), (1 - 1 / 3 - 3 + 0.125, 0.25 * (1 + 0.5 - 6))),
    (Schnakenberg(0.25, 0.5, 2.0), (2.0, 3.0), (2 * (0.25 - 2 + 12), 2 * (0.5 - 12))),
    (Brusselator(0.5, 3.0), (2.0, 4.0), (0.5 - 4 * 2 + 16, 3 * 2 - 16)),
    (GiererMeinhardt(0.5, 2.0, 0.25, 0.75), (2.0, 4.0), (4 / (4 * 4) - 1 + 0.25, 4 - 8)),
    (AllenCahn(2.0), (0.5,), (2 * (0.5 - 0.125),)),
    (Logistic(2.0, 4.0), (1.0,), (2 * 0.75,)),
]


@pytest.mark.parametrize(("reaction", "state", "rate"), AT_A_POINT, ids=lambda v: type(v).__name__)
def test_rates_at_a_point(reaction: torch.nn.Module, state: tuple[float, ...], rate: tuple[float, ...]) -> None:
    found = reaction(torch.tensor([state], dtype=torch.float64))
    assert found[0].tolist() == pytest.approx(rate, rel=1e-15)


@pytest.mark.parametrize(
    ("reaction", "count"),
    [
        (FitzHughNagumo(0.7, 0.8, 0.08), 1),
        (FitzHughNagumo(0.7, 0.0, 0.08, 3.0), 1),  # the recovery does not decay: u = -a
        (FitzHughNagumo(0.0, 4.0, 0.08), 3),
        (FitzHughNagumo(0.0, 1.0, 0.08), 1),  # a triple root
        (Schnakenberg(0.0, 2.0, 3.0), 1),
        (Brusselator(0.3, 11.0), 1),
        (GiererMeinhardt(2.0, 0.5, 0.0), 1),
        (GiererMeinhardt(1.0, 1.5, 0.1, 0.5), 1),
        (GiererMeinhardt(1.0, 4.0, 0.3, 30.0), 1),
        (GiererMeinhardt(0.065, 0.9, 0.0, 0.02), 1),
        (GiererMeinhardt(0.1, 5.0, 1.0, 1.0), 1),
        (Logistic(2.0, 7.0), 2),
    ],
)
def test_equilibria_for_other_constants(reaction: torch.nn.Module, count: int) -> None:
    equilibria = torch.tensor(reaction.equilibria(), dtype=torch.float64)
    assert len(equilibria) == count and bool(torch.isfinite(equilibria).all())
    assert float(reaction(equilibria).abs().max()) <= 1e-12


@pytest.mark.parametrize(
    ("name", "constants", "expected"),
    [
        (
            "gray-scott",
            {"feed": -0.03},
            r"feed = -0.03 of GrayScott \(rate F .*\), expected a finite number > 0; check",
        ),
        ("gray-scott", {"kill": -1.0}, "kill = -1 of GrayScott .* >= 0"),
        ("decay", {"rate": -1.0}, "rate = -1 of Decay .* >= 0"),
        ("logistic", {"capacity": 0.0}, "capacity = 0 of Logistic .* > 0"),
        ("allen-cahn", {"rate": -2.0}, "rate = -2 of AllenCahn .* > 0"),
        ("fitzhugh-nagumo", {"eps": 0.0}, "eps = 0 of FitzHughNagumo .* > 0"),
        ("fitzhugh-nagumo", {"a": math.nan}, "a = nan of FitzHughNagumo .*, expected a finite number; check"),
        ("schnakenberg", {"b": -0.9}, "b = -0.9 of Schnakenberg .* > 0"),
        ("brusselator", {"a": math.inf}, "a = inf of Brusselator .* > 0"),
        ("gierer-meinhardt", {"saturation": -0.1}, "saturation = -0.1 of GiererMeinhardt .* >= 0"),
        ("decay", {"rate": torch.tensor([1.0, -3.0, 2.0])}, "rate = -3 of Decay .* >= 0"),
    ],
)
def test_constants_of_the_wrong_sign(name: str, constants: dict, expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        REACTIONS[name](**constants)


@pytest.mark.parametrize("name", NAMES)
def test_one_constant_per_node(name: str) -> None:
    """Each node has the rate of a reaction with its own constants, and the constants get gradients."""
    kind = REACTIONS[name]
    usual = {key: getattr(kind(), key) for key in kind.constants}
    factor = torch.linspace(0.5, 2.0, 5, dtype=torch.float64)
    varied = {key: (value * factor).requires_grad_() for key, value in usual.items()}
    u = states(name, 2, 5)
    term = Reaction(kind(**varied))
    alone = [kind(**{key: value * float(f) for key, value in usual.items()}) for f in factor]
    assert torch.allclose(term(T0, u), torch.stack([r(u[:, k]) for k, r in enumerate(alone)], 1), rtol=1e-14)
    assert len(term.tensors()) == len(varied)
    term(T0, u).square().sum().backward()
    assert all(value.grad is not None for value in varied.values())
    if name not in ("decay", "allen-cahn"):  # their equilibria do not depend on the constant
        with pytest.raises(InputError, match="has 5 values, equilibria need one number"):
            term.f.equilibria()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(4,), (5, 1), (3, 5)])
def test_constants_that_fit_no_nodes(name: str, shape: tuple[int, ...]) -> None:
    kind = REACTIONS[name]
    first = next(iter(kind.constants))
    rate = kind(**{first: torch.ones(shape, dtype=torch.float64)})
    expected = rf"{first} of {kind.__name__} has shape \[{', '.join(map(str, shape))}\], .* of the 5 nodes: \[5\]"
    for door in (rate, lambda u: Reaction(rate)(T0, u)):
        with pytest.raises(ShapeError, match=expected):
            door(states(name, 2, 5))


def test_thresholds_of_patterns_and_oscillations() -> None:
    """Turing's condition where the growth rate of the fastest mode changes its sign, Hopf's at wave number zero."""
    schnakenberg = Schnakenberg()
    rest = schnakenberg.equilibria()[0]
    critical = ((2 + math.sqrt(7.2)) / 1.6) ** 2  # 0.8 d - 1 = 2 sqrt(d), from the Jacobian by hand
    assert fastest_mode(schnakenberg, rest, (1.0, 0.99 * critical)).rate < 0
    assert fastest_mode(schnakenberg, rest, (1.0, 1.01 * critical)).rate > 0
    a, d = 2.0, 6.0
    edge = (1 + a / math.sqrt(d)) ** 2  # Nicolis and Prigogine
    for b, grows in ((0.99 * edge, False), (1.01 * edge, True)):
        brusselator = Brusselator(a, b)
        assert (fastest_mode(brusselator, brusselator.equilibria()[0], (1.0, d)).rate > 0) == grows
    for b, oscillates in ((0.99 * (1 + a * a), False), (1.01 * (1 + a * a), True)):
        brusselator = Brusselator(a, b)
        assert (float(growth_rate(brusselator, brusselator.equilibria()[0], (1.0, 1.0), 0.0)) > 0) == oscillates
    assert fastest_mode(AllenCahn(3.0), (0.0,), (0.1,)) == pytest.approx((0.0, 3.0))
    assert fastest_mode(AllenCahn(3.0), (0.0,), (0.1,)).wavelength == math.inf


def test_the_jacobian_at_a_state() -> None:
    a, b = 2.0, 3.0
    found = jacobian(Brusselator(a, b), (a, b / a))
    assert torch.allclose(found, torch.tensor([[b - 1, a * a], [-b, -a * a]], dtype=torch.float64))


@pytest.mark.parametrize(("name", "ratio"), [("schnakenberg", 20.0), ("brusselator", 8.0), ("gierer-meinhardt", 30.0)])
def test_patterns_grow_at_the_predicted_rate(name: str, ratio: float) -> None:
    """On an interval that holds two waves of the fastest mode, a small disturbance of it grows as the analysis says.

    The lumped P1 eigenvalue is k^2 (1 - (k h)^2 / 12): 0.3% below at 40 nodes a wave.
    """
    reaction = REACTIONS[name]()
    rest = reaction.equilibria()[0]
    mode = fastest_mode(reaction, rest, (1.0, ratio))
    assert mode.rate > 0 and mode.rate > float(growth_rate(reaction, rest, (1.0, ratio), 0.0))
    space = Space(interval(80, 2 * mode.wavelength))
    assert space.pos is not None
    kappa = torch.tensor([[1.0, ratio]], dtype=torch.float64)
    wave = torch.cos(math.sqrt(mode.k2) * space.pos)
    u0 = torch.tensor([rest], dtype=torch.float64) + 1e-6 * wave * torch.ones(1, 2, dtype=torch.float64)
    times = torch.tensor([0.0, 6.0, 8.0], dtype=torch.float64) / mode.rate  # what decays is gone at the second
    with torch.no_grad():
        states = evolve(
            Diffusion(space, kappa) + Reaction(reaction), u0, times, stepper=CrankNicolson(), dt=0.05 / mode.rate
        ).states
    size = [float((wave * (u - torch.tensor([rest]))[:, :1] * space.measure[:, None]).sum().abs()) for u in states]
    measured = math.log(size[2] / size[1]) / float(times[2] - times[1])
    assert measured == pytest.approx(mode.rate, rel=0.01)


def test_given_function_and_time() -> None:
    u = torch.rand(3, 2, dtype=torch.float64)
    assert torch.equal(Reaction(lambda u: u**2)(T0, u), u**2)
    assert torch.equal(Reaction(lambda t, u: t * u, timed=True)(T0 + 2, u), 2 * u)


def test_function_that_ignores_the_state_has_a_zero_jacobian() -> None:
    u = torch.rand(3, 2, dtype=torch.float64)
    assert torch.equal(Reaction(torch.ones_like).linearise(T0, u)(u), torch.zeros_like(u))


def test_coupled_channels_keep_their_order() -> None:
    """u' = (u2^2, u1): the Jacobian is [[0, 2 u2], [1, 0]]."""
    u = torch.tensor([[3.0, 5.0]], dtype=torch.float64)
    jacobian = Reaction(lambda u: torch.stack([u[..., 1] ** 2, u[..., 0]], -1)).linearise(T0, u)
    assert isinstance(jacobian, BlockDiagonal)
    assert jacobian.blocks.tolist() == [[[0.0, 10.0], [1.0, 0.0]]]


@pytest.mark.parametrize("f", [lambda u: u[..., :1], lambda u: u.sum(), lambda u: u[:2]])
def test_wrong_shape(f: object) -> None:
    with pytest.raises(ShapeError, match=r"the reaction returned shape .*, expected that of the state: \[3, 2\]"):
        Reaction(f)(T0, torch.rand(3, 2))


def test_learned_reaction() -> None:
    network = torch.nn.Linear(2, 2, dtype=torch.float64)
    term = Reaction(network)
    assert list(term.tensors()) == list(network.parameters())
    System(term, None, T0).rate(T0, torch.rand(3, 2, dtype=torch.float64)).sum().backward()
    assert network.weight.grad is not None
