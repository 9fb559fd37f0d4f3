"""Three ways to the gradient of a run: through every step, with checkpoints, by the adjoint equation."""

import pytest
import torch

from graphpde import Graph, Relation, evolve
from graphpde.dynamics import Adaptive
from graphpde.errors import InputError, SolveError
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
    with pytest.raises(InputError, match="grad='guess', expected one of: direct, checkpoint, adjoint"):
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
        path = evolve(f, u0, [0, 0.5, 1], stepper=stepper, control=Adaptive(1e-4, 1e-6, dt0=0.5), grad=grad)
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
