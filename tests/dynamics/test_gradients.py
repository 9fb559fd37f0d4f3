"""Three ways to the gradient of a run: through every step, with checkpoints, by the adjoint equation."""

import gc
import warnings

import pytest
import torch
from torch import Tensor, nn

from graphpde import Graph, Relation, evolve
from graphpde.dynamics import Adaptive, Checkpoints, Event
from graphpde.dynamics.adjoint import warn_of_adjoint
from graphpde.errors import AdjointCaveat, InputError, SolveError
from graphpde.ops import Diffusion, Dirichlet, Reaction, Term
from graphpde.ops.weighted_diffusion import HeldRate, WeightedDiffusion

N, TIMES = 12, [0.0, 0.5, 2.0]


def graph():
    rng = torch.Generator().manual_seed(0)
    src, dst = torch.randint(N, (2, 40), generator=rng)
    return Graph(Relation.from_edges(src, dst, N, N))


class Run:
    """One loss with everything that may be learned: edge weights, a speed, a network, the start and the times."""

    def __init__(self, nonlinear):
        rng = torch.Generator().manual_seed(1)
        self.nonlinear = nonlinear
        self.net = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Tanh()).double()
        for p in self.net.parameters():
            p.data = 0.5 * torch.randn(p.shape, generator=rng, dtype=torch.float64)
        self.w = torch.rand(40, generator=rng, dtype=torch.float64).requires_grad_()
        self.u0 = torch.randn(N, 3, generator=rng, dtype=torch.float64).requires_grad_()
        self.speed = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
        self.times = torch.tensor(TIMES, dtype=torch.float64, requires_grad=True)

    def gradients(self, **how):
        f = WeightedDiffusion(graph(), 0.2 * torch.sigmoid(self.w), speed=self.speed)
        f = f + HeldRate(0.1 * self.u0 * self.speed)  # reaches the speed a second time, through a tensor that is read
        if self.nonlinear:
            f = f + Reaction(self.net)
        path = evolve(f, self.u0, self.times, allow_unstable=True, **how)
        wanted = [self.w, self.speed, self.u0, self.times, *(self.net.parameters() if self.nonlinear else ())]
        return torch.autograd.grad((path.states[1:] ** 3).sum(), wanted)


HOW = {
    "rk4": {"dt": 0.05},
    "dopri5": {"control": Adaptive(rtol=1e-6, atol=1e-6)},
    "etdrk4": {"dt": 0.1},
    "crank_nicolson": {"dt": 0.1},
    "bdf2": {"dt": 0.1},
}


@pytest.mark.grad
@pytest.mark.parametrize("nonlinear", [False, True])
@pytest.mark.parametrize("stepper", HOW)
def test_checkpoints_give_the_gradient_of_the_run(stepper, nonlinear):
    run = Run(nonlinear)
    direct = run.gradients(stepper=stepper, **HOW[stepper])
    kept = run.gradients(stepper=stepper, grad="checkpoint", **HOW[stepper])
    for a, b in zip(direct, kept, strict=True):
        assert torch.allclose(a, b, rtol=1e-13, atol=1e-14)


@pytest.mark.grad
@pytest.mark.parametrize("nonlinear", [False, True])
def test_the_adjoint_meets_the_direct_gradient_as_far_as_both_are_solved(nonlinear):
    run, fine = Run(nonlinear), {"stepper": "dopri5", "control": Adaptive(rtol=1e-10, atol=1e-10)}
    for a, b in zip(run.gradients(**fine), run.gradients(grad="adjoint", **fine), strict=True):
        assert float((a - b).norm()) <= 1e-8 * float(a.norm())


def saved_bytes(grad, steps):
    w = torch.rand(40, dtype=torch.float64, requires_grad=True)
    kept = {}

    def pack(x):
        kept[x.data_ptr()] = x.numel() * x.element_size()
        return x

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        f = WeightedDiffusion(graph(), w) + Reaction(lambda u: -(u**3))
        evolve(f, torch.rand(N, 8, dtype=torch.float64), [0.0, 1.0], stepper="rk4", dt=1 / steps, grad=grad)
    return sum(kept.values())


def test_what_is_kept_for_the_gradient_grows_with_all_steps_or_with_few():
    direct = saved_bytes("direct", 400) / saved_bytes("direct", 40)
    assert direct > 5
    # the hooks of the checkpoints stand inside: what they let through to these is what they keep
    assert saved_bytes("checkpoint", 400) < 0.05 * saved_bytes("direct", 400)


class Plain(torch.nn.Module):
    def forward(self, t, u):
        return -u


@pytest.mark.parametrize(
    "f, u0, stepper, message",
    [
        (lambda t, u: -u, torch.ones(3, 1), "rk4", "a plain function says nothing"),
        (Plain(), torch.ones(3, 1), "backward_euler", "stepped explicitly, not by backward_euler"),
        (WeightedDiffusion(graph()) + Dirichlet([0], 1.0), torch.ones(N, 1), "rk4", "held values"),
    ],
)
def test_what_the_adjoint_cannot_serve_is_refused(f, u0, stepper, message):
    with pytest.raises(InputError, match=message):
        evolve(f, u0, [0.0, 1.0], stepper=stepper, dt=0.1, grad="adjoint")


def test_an_unknown_way_is_refused():
    with pytest.raises(InputError, match="grad='guess', expected one of: auto, direct, checkpoint, adjoint"):
        evolve(Plain(), torch.ones(3, 1), [0.0, 1.0], stepper="rk4", dt=0.1, grad="guess")


def graph_of(n=8):
    src = torch.arange(n)
    both = torch.cat([src, (src + 1) % n]), torch.cat([(src + 1) % n, src])
    return Graph(Relation.from_edges(*both, n, n))


@pytest.mark.grad
@pytest.mark.parametrize("stepper", ["heun", "dopri5", "tsit5", "backward_euler", "sdirk2", "tr_bdf2"])
def test_refused_steps_are_taken_again_with_the_others(stepper):
    k = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    u0 = torch.rand(8, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = []
    for grad in ("direct", "checkpoint"):
        f = k * Diffusion(graph_of()) + Reaction(lambda u: u - k * u**3)
        path = evolve(f, u0, [0, 0.5, 1], stepper=stepper, control=Adaptive(1e-3, 1e-5, dt0=0.5), grad=grad)
        assert path.statistics["rejected"] > 0
        found.append(torch.autograd.grad(path.final.square().sum(), k)[0])
    torch.testing.assert_close(found[0], found[1], rtol=1e-13, atol=0.0)


@pytest.mark.grad
def test_a_tensor_that_is_read_twice_counts_once():
    k = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    u0 = torch.rand(8, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    diffusion, fine = Diffusion(graph_of()), Adaptive(1e-10, 1e-10)
    for f in (k * diffusion + k * diffusion, k * (k * diffusion)):
        direct, adjoint = (
            torch.autograd.grad(
                evolve(f, u0, [0, 1], stepper="dopri5", control=fine, grad=grad).final.square().sum(), k
            )[0]
            for grad in ("direct", "adjoint")
        )
        torch.testing.assert_close(direct, adjoint, rtol=1e-7, atol=0.0)


def test_what_is_learned_and_not_told_of_is_refused():
    k = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    u0 = torch.ones(8, 1, dtype=torch.float64)
    for f in (Diffusion(graph_of()) + (lambda t, u: -k * u), Diffusion(graph_of()) + Reaction(lambda u: -k * u)):
        with pytest.raises(InputError, match=r"a tensor of shape \[\] .* no term says it reads"):
            evolve(f, u0, [0, 1], stepper="rk4", dt=0.1, grad="adjoint")


@pytest.mark.grad
@pytest.mark.parametrize("scale", [1.0, 1e-8])
def test_the_error_of_the_adjoint_does_not_depend_on_the_scale_of_the_loss(scale):
    u0 = torch.rand(8, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64).requires_grad_()
    found = []
    for grad, rtol in (("direct", 1e-10), ("adjoint", 1e-3)):
        path = evolve(Diffusion(graph_of()), u0, [0, 1], stepper="dopri5", control=Adaptive(rtol, rtol / 10), grad=grad)
        found.append(torch.autograd.grad(scale * (path.final[0] - path.final[3]).sum(), u0)[0])
    assert float((found[0] - found[1]).norm()) <= 2e-3 * float(found[0].norm())


def test_an_adjoint_that_does_not_find_back_is_refused():
    u0 = torch.rand(8, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64).requires_grad_()
    path = evolve(3 * Diffusion(graph_of()), u0, [0, 8], stepper="dopri5", control=Adaptive(1e-3, 1e-4), grad="adjoint")
    with pytest.raises(SolveError, match="lost its way.*use grad='checkpoint'"):
        path.final.square().sum().backward()


@pytest.mark.parametrize("stepper", ["bosh3", "dopri5", "rk4"])
def test_weights_that_are_frozen_over_a_step_are_those_of_its_start(stepper):
    class Lagged(Term):
        mass = None

        def __init__(self):
            super().__init__()
            self.domain = graph_of()

        def at(self, t, u):
            src, dst = self.domain.edges.pairs()
            return WeightedDiffusion(self.domain, torch.exp(-(u[src] - u[dst]).square().sum(1)))

        def forward(self, t, u):
            return self.at(t, u)(t, u)

    u = u0 = torch.randn(8, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for _ in range(5):
        u = evolve(Lagged().at(None, u), u, [0, 0.2], stepper=stepper).final
    torch.testing.assert_close(evolve(Lagged(), u0, [0, 1], stepper=stepper, dt=0.2).final, u, rtol=1e-13, atol=1e-14)


@pytest.mark.grad
@pytest.mark.parametrize("stepper", ["rk4", "backward_euler", "exp_rosenbrock"])
def test_derivatives_inside_a_step_do_not_disturb_checkpoints(stepper):
    k = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    u0 = torch.rand(8, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = []
    for grad in ("direct", "checkpoint"):
        f = k * Diffusion(graph_of()) + Reaction(lambda u: u - u**3) + Dirichlet([0], lambda x, t: torch.sin(3 * t))
        path = evolve(f, u0, [0, 0.5], stepper=stepper, dt=0.05, grad=grad)
        found.append(torch.autograd.grad(path.final.square().sum(), k)[0])
    torch.testing.assert_close(found[0], found[1], rtol=1e-12, atol=0.0)


def test_the_adjoint_needs_every_saved_state():
    from graphpde.dynamics import SaveAll

    with pytest.raises(InputError, match="leave save= out"):
        evolve(Plain(), torch.ones(3, 1), [0, 1], stepper="rk4", dt=0.1, grad="adjoint", save=SaveAll())


# few states: what is kept, and that nothing else changes


class Slow(Term):
    """A learned decay with a place for every number, and torch's own random numbers where asked for."""

    def __init__(self, noisy=False):
        super().__init__()
        self.k = torch.nn.Parameter(torch.linspace(0.5, 1, 400, dtype=torch.float64)[:, None])
        self.noisy = noisy

    def forward(self, t, u):
        kick = torch.randn(u.shape, dtype=u.dtype) if self.noisy else 0.0
        return -self.k * torch.sin(u) * (1 + 0.1 * torch.cos(t)) + kick


def both(grad, term, **how):
    """Final states and gradients, of all steps and by checkpoints, with the same random numbers."""
    found = []
    for way in ("direct", grad):
        torch.manual_seed(0)
        u0 = torch.linspace(0, 2, 400, dtype=torch.float64)[:, None].requires_grad_()
        run = evolve(term, u0, **{"times": [0.0, 1.0], "stepper": "rk4", "grad": way, **how})
        found.append([run.final, *torch.autograd.grad((run.states[1:] ** 3).sum(), [u0, term.k])])
    return found


@pytest.mark.grad
@pytest.mark.parametrize("states", [None, 15, 16, 60])
@pytest.mark.parametrize("times", [[0.0, 1.0], [0.0, 0.13, 0.2, 1.0]])
def test_any_number_of_levels_gives_the_gradient_bit_by_bit(states, times):
    for one, two in zip(*both(Checkpoints(states), Slow(), dt=0.002, times=times), strict=True):
        assert torch.equal(one, two)


@pytest.mark.grad
@pytest.mark.parametrize("states", [None, 15])
def test_levels_repeat_random_numbers(states):
    for one, two in zip(*both(Checkpoints(states), Slow(noisy=True), dt=0.002), strict=True):
        assert torch.equal(one, two)


@pytest.mark.grad
@pytest.mark.parametrize("states", [None, 15, 30])
def test_levels_under_control(states):
    """Refused steps included; stretches grow, since nobody knows how many steps there will be."""
    control = Adaptive(1e-9, 1e-9, dt0=0.5, dt_max=0.002)
    for one, two in zip(*both(Checkpoints(states), Slow(), stepper="bosh3", control=control), strict=True):
        assert torch.equal(one, two)


@pytest.mark.grad
def test_levels_carry_states_of_several_tensors():
    net = torch.nn.Linear(1, 1).double()

    def swing(t, state):
        return state[1], -net(state[0])

    found = []
    for grad in ("direct", Checkpoints(12)):
        u0 = (torch.ones(3, 1, dtype=torch.float64), torch.zeros(3, 1, dtype=torch.float64))
        run = evolve(swing, u0, [0.0, 1.0], stepper="dopri5", dt=0.005, grad=grad)
        found.append(torch.autograd.grad(run.final[0].square().sum(), list(net.parameters())))
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def numbers(grad, **how):
    """Most numbers that are in memory beyond those before the run: after it, and at any time of the backward pass."""
    term, u0 = Slow(), torch.linspace(0, 2, 400, dtype=torch.float64)[:, None]

    gc.freeze()  # what other tests made is neither searched nor counted

    def held():
        gc.collect()
        found = {x.data_ptr(): x.numel() for x in gc.get_objects() if type(x) in (Tensor, nn.Parameter)}
        return sum(n for n in found.values() if n >= 400)

    before = held()
    peak = []

    class Probe(torch.autograd.Function):
        """Looks round in the backward pass."""

        @staticmethod
        def forward(ctx, u):
            return u.clone()

        @staticmethod
        def backward(ctx, g):
            peak.append(held() - before)
            return g

    def f(t, u):
        looks = torch.is_grad_enabled() and float(t) * 11 % 1 < 0.02
        return term(t, Probe.apply(u) if looks else u)

    final = evolve(f, u0.requires_grad_(), [0.0, 1.0], stepper="euler", grad=grad, **how).final
    after = held() - before
    final.sum().backward()
    gc.unfreeze()
    return after / 400, max(peak) / 400


@pytest.mark.parametrize("states", [16, 20, 32])
def test_a_budget_is_kept(states):
    """1000 steps: on one level 32 states and steps, on two 20 and 10, on four 16 and 4; a few more for the ends."""
    steps = {32: 32, 20: 10, 16: 4}[states]
    after, peak = numbers(Checkpoints(states), dt=0.001)
    assert after <= states + 5
    assert peak <= states + 3 * steps + 10  # autograd keeps three states of one such step


def test_a_budget_that_cannot_be_met_is_refused():
    u0 = torch.ones(3, 1, requires_grad=True)
    with pytest.raises(
        InputError, match=r"15 states are too few for 1000 steps; take Checkpoints\(states=16\) or more"
    ):
        evolve(Plain(), u0, [0, 1], stepper="euler", dt=0.001, grad=Checkpoints(15))
    with pytest.raises(InputError, match="2 states are too few: they are used up after .* steps of a control"):
        evolve(Plain(), u0, [0, 1], stepper="heun", control=Adaptive(dt_max=0.01), grad=Checkpoints(2))
    with pytest.raises(InputError, match="states is 0, expected a whole number >= 1"):
        Checkpoints(0)


def test_long_runs_keep_few_states_by_default():
    direct, short, long = (saved_bytes(*how) for how in (("direct", 501), ("auto", 500), ("auto", 501)))
    assert short > 0.9 * direct
    assert long < 0.1 * direct


def test_where_nothing_is_learned_nothing_is_checkpointed(monkeypatch):
    """Torch's checkpoints import a compiler: seconds that a simulation need not pay."""
    monkeypatch.setattr("graphpde.dynamics.checkpointed.checkpoint", None)
    run = evolve(Plain(), torch.ones(3, 1, dtype=torch.float64), [0, 1], stepper="euler", dt=1e-3)
    assert torch.allclose(run.final, torch.full_like(run.final, (1 - 1e-3) ** 1000))


def test_long_runs_beneath_transforms_and_events_are_taken_directly():
    def end(u):
        return evolve(Plain(), u, [0.0, 1.0], stepper="euler", dt=1e-3).final.sum()

    u0 = torch.ones(3, 1, dtype=torch.float64)
    wanted = torch.full_like(u0, (1 - 1e-3) ** 1000)
    assert torch.allclose(torch.func.grad(end)(u0), wanted)
    assert float(torch.func.jvp(end, (u0,), (u0,))[1]) == pytest.approx(float(wanted.sum()))
    run = evolve(Plain(), u0, [0, 1], stepper="euler", dt=1e-3, events=Event(lambda t, u: u.sum() - 2))
    assert len(run.events) == 1


def test_the_adjoint_says_once_what_it_is():
    warn_of_adjoint.cache_clear()
    u0 = torch.ones(3, 1, dtype=torch.float64, requires_grad=True)
    how = {"stepper": "dopri5", "control": Adaptive(), "grad": "adjoint"}
    with pytest.warns(
        AdjointCaveat, match="the gradient of the exact solution, which differs .* tighten the tolerances"
    ):
        evolve(Plain(), u0, [0, 1], **how)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        evolve(Plain(), u0, [0, 1], **how)
        warn_of_adjoint.cache_clear()
        warnings.simplefilter("ignore", AdjointCaveat)
        evolve(Plain(), u0, [0, 1], **how)
