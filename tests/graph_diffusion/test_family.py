"""The diffusion models against their formulas written out, and what their equations promise."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from graphpde import Graph, Relation
from graphpde.core.normalise import normalised
from graphpde.dynamics import evolve
from graphpde.errors import GraphError, InputError, ShapeError, UnknownName
from graphpde.graph_diffusion import (
    REACTION_TERMS,
    Acmp,
    Attention,
    EnergyDescent,
    Graff,
    Grand,
    GrandPlusPlus,
    GraphCon,
    Gread,
    Integration,
    Known,
    PdeGcn,
    Rdgnn,
    Swing,
    diffused,
    two_hop,
)
from graphpde.graph_diffusion.pde_gcn import EdgeFluxes
from graphpde.nets.attention import EdgeAttention, mean_of_heads
from graphpde.ops import System
from graphpde.ops.weighted_diffusion import WeightedDiffusion

N, C = 12, 4
START = torch.zeros((), dtype=torch.float64)


def network(n: int = N, extra: int = 8, seed: int = 0) -> Graph:
    """A ring with chords, both directions, no loops."""
    rng = torch.Generator().manual_seed(seed)
    pairs = {(i, (i + 1) % n) for i in range(n)}
    while len(pairs) < n + extra:
        i, j = torch.randint(n, (2,), generator=rng).tolist()
        if i < j and (i, j) not in pairs and (j, i) not in pairs:
            pairs.add((i, j))
    a, b = torch.tensor(sorted(pairs)).T
    return Graph(Relation.from_edges(torch.cat([a, b]), torch.cat([b, a]), n, n))


def matrix(graph: Graph, weight: Tensor | None = None) -> Tensor:
    """A with A[i, j] the weight of j -> i."""
    src, dst = graph.edges.pairs()
    a = torch.zeros(graph.n, graph.n, dtype=torch.float64)
    return a.index_put((dst, src), graph.weight if weight is None else weight, accumulate=True)


def field(seed: int = 0, n: int = N, c: int = C) -> Tensor:
    return torch.randn(n, c, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def rate(term: Any, u: Any) -> Any:
    return System(term, None, START).rate(START, u)


def made(model_class: type[nn.Module], **options: Any) -> Any:
    """The model with parameters away from their start, so that no term is switched off."""
    torch.manual_seed(0)
    model = model_class(C, C, 3, **options).double().eval()
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.3 * torch.randn_like(p))
    return model


def close(got: Tensor, expected: Tensor, tolerance: float = 1e-12) -> None:
    torch.testing.assert_close(got, expected, rtol=tolerance, atol=tolerance)


# GRAND with A fixed


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-14)])
def test_one_euler_step_of_grand_is_one_minus_tau_laplacian(dtype: torch.dtype, tolerance: float):
    model, tau = made(Grand, source=False).to(dtype), 0.37
    graph, u = model.prepare(network()), field().to(dtype)
    a = matrix(graph, mean_of_heads(model.coupling.attention(graph.edges, u)).double()).detach()
    laplacian = torch.sigmoid(model.alpha.detach().double()) * (torch.eye(N, dtype=torch.float64) - a)
    term = model.term(graph, u)
    with torch.no_grad():
        step = evolve(term, u, [0.0, tau], stepper="euler", allow_unstable=True).final
    close(step.double(), u.double() - tau * laplacian @ u.double(), tolerance)


def symmetric_laplacian() -> tuple[WeightedDiffusion, Tensor]:
    graph = normalised(network(), "symmetric")
    return WeightedDiffusion(graph, decay=1.0), torch.eye(N, dtype=torch.float64) - matrix(graph)


def test_euler_is_unstable_just_above_its_bound_and_stable_below():
    term, laplacian = symmetric_laplacian()
    bound, u = 2 / float(torch.linalg.eigvalsh(laplacian)[-1]), field()
    for factor, grows in ((1.02, True), (0.98, False)):
        dt = factor * bound
        final = evolve(term, u, [0.0, 400 * dt], stepper="euler", dt=dt, allow_unstable=True).final
        assert (float(final.norm()) > 10 * float(u.norm())) is grows


@pytest.mark.parametrize("stepper", ["backward_euler", "crank_nicolson"])
@pytest.mark.parametrize("dt", [0.1, 1.0, 10.0, 1e2, 1e4])
def test_implicit_steps_are_stable_for_all_sizes(stepper: str, dt: float):
    term, _ = symmetric_laplacian()
    path = evolve(term, field(), [k * dt for k in range(12)], stepper=stepper, dt=dt)
    norms = path.states.norm(dim=(-2, -1))
    assert bool((norms.diff() <= 1e-12 * norms[0]).all())


@pytest.mark.parametrize("dt", [0.1, 10.0, 1e4])
@pytest.mark.parametrize("name", ["grand", "gread", "graff", "grand++"])
def test_models_take_implicit_steps_of_any_size(name: str, dt: float):
    from graphpde.graph_diffusion import MODELS

    torch.manual_seed(0)
    model: Any = MODELS[name](C, C, 3).double().eval()
    model.time, model.integration = 4 * dt, Integration("backward_euler", dt=dt)
    if name == "graff":  # of which only those with a convex energy are stable
        with torch.no_grad():
            model.omega.fill_(5.0)
    known = Known(torch.arange(N) < 3, torch.zeros(N, dtype=torch.int64)) if name == "grand++" and dt < 1e4 else None
    u = model.trajectory(network(), field(), known=known).states
    bound = 1.01 if known is None else 50.0 * max(1.0, dt)  # a source that does not sum to 0 adds up over time
    assert float(u[-1].detach().abs().max()) <= bound * float(u[0].detach().abs().max())


def test_dirichlet_energy_never_grows_under_diffusion():
    term, laplacian = symmetric_laplacian()
    dt = 1.9 / float(torch.linalg.eigvalsh(laplacian)[-1])
    for stepper, step in (("euler", dt), ("backward_euler", 50.0), ("rk4", 1.0)):
        states = evolve(
            term, field(), [k * step for k in range(30)], stepper=stepper, dt=step, allow_unstable=True
        ).states
        energy = torch.einsum("snc,nm,smc->s", states, laplacian, states)
        assert bool((energy.diff() <= 1e-12 * energy[0]).all()) and float(energy[-1]) < 0.5 * float(energy[0])


@pytest.mark.parametrize(("stepper", "dt"), [("euler", 1.0), ("backward_euler", 0.3), ("backward_euler", 1e3)])
def test_attention_into_nodes_keeps_the_maximum_principle(stepper: str, dt: float):
    torch.manual_seed(0)
    graph, u = normalised(network(), "incoming", loops=1.0), field()
    attention = EdgeAttention(C, heads=2, dim=8).double()
    with torch.no_grad():
        for p in attention.parameters():
            p.normal_()
        weight = mean_of_heads(attention(graph.edges, u))
    assert float(weight.std()) > 0.1
    term = WeightedDiffusion(graph, weight, decay=1.0)
    states = evolve(term, u, [k * dt for k in range(8)], stepper=stepper, dt=dt, allow_unstable=True).states
    for before, after in pairwise(states):
        assert bool((after.amax(0) <= before.amax(0) + 1e-12).all())
        assert bool((after.amin(0) >= before.amin(0) - 1e-12).all())


def test_attention_is_as_fresh_as_asked():
    """Held over a step it is that of every evaluation for Euler, and differs from both for other steppers."""
    results = {}
    for stepper in ("euler", "rk4"):
        for fresh in ("start", "step", "evaluation"):
            model = made(GrandPlusPlus, attention=Attention(heads=2, dim=8, fresh=fresh), time=2.0)
            with torch.no_grad():
                for p in model.coupling.parameters():
                    p.normal_(generator=torch.Generator().manual_seed(1))
            model.integration = Integration(stepper, dt=0.5)
            results[stepper, fresh] = model(network(), field()).detach()
    close(results["euler", "step"], results["euler", "evaluation"])
    for one, two in (("start", "step"), ("start", "evaluation"), ("step", "evaluation")):
        assert float((results["rk4", one] - results["rk4", two]).abs().max()) > 1e-6


# right-hand sides against their formulas with dense matrices


def test_source_of_grand_plus_plus():
    model, u = made(GrandPlusPlus), field()
    graph, mask = model.prepare(network()), torch.arange(N) % 5 == 0
    a = matrix(graph, model.coupling.weight(graph, u))
    source = torch.zeros_like(u)
    for j in mask.nonzero()[:, 0]:
        source[j] = u[j] - u[mask].mean(0)
    expected = torch.sigmoid(model.alpha) * (a @ u - u)
    close(rate(model.term(graph, u), u), expected)
    close(rate(model.term(graph, u, Known(mask, torch.zeros(N).long())), u), expected + model.beta * source)
    close(source.sum(0), torch.zeros(C, dtype=torch.float64))


def test_grand_plus_plus_refuses_other_masks():
    model, graph = made(GrandPlusPlus), network()
    with pytest.raises(ShapeError, match="take one column of several splits"):
        model(graph, field(), known=Known(torch.ones(N, 10, dtype=torch.bool), torch.zeros(N).long()))


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("name", REACTION_TERMS)
def test_reactions_of_gread(name: str, per_channel: bool):
    model, u, u0 = made(Gread, reaction=name, per_channel=per_channel), field(), field(1)
    graph = model.prepare(network())
    a, one = matrix(graph), torch.eye(N, dtype=torch.float64)
    reaction = {
        "fisher": u * (1 - u),
        "allen_cahn": u * (1 - u**2),
        "zeldovich": u * (u - u**2),
        "source": u0,
        "blurring_sharpening": (a - a @ a) @ u,
        "filter_bank": (one - a) @ u,
        "filter_bank_star": (one - a) @ u + u,
    }[name]
    expected = -torch.sigmoid(model.alpha) * ((one - a) @ u) + model.beta * reaction
    close(rate(model.term(graph, u0), u), expected)


def test_blurring_sharpening_has_its_matrix_and_transpose():
    model = made(Gread, attention=Attention(heads=2, dim=8))  # not symmetric
    graph, u, v = model.prepare(network()), field(), field(1)
    operator = model.term(graph, u).parts[1][1].operator
    dense = torch.tensor(operator.to_scipy().toarray())
    close(dense @ u, operator(u).detach())
    close((v * operator(u)).sum(), (operator.transpose()(v) * u).sum())


def test_gread_names_its_reactions():
    with pytest.raises(UnknownName, match="did you mean 'fisher'"):
        Gread(C, C, 3, reaction="fischer")


def test_diffusion_of_rdgnn_is_minus_the_laplacian():
    """Without the reaction it is -eps_d L u with one speed for each channel, and no weights between channels."""
    model, u = made(Rdgnn), field()
    graph = model.prepare(network())
    laplacian = torch.eye(N, dtype=torch.float64) - matrix(graph)
    towards = model.net(torch.cat([u, field(1)], -1)) - model.decay.exp() * u
    expected = -model.diffusion.exp() * (laplacian @ u) + model.reaction.exp() * towards
    close(rate(model.term(graph, field(1)), u), expected)
    with torch.no_grad():
        model.reaction.fill_(-float("inf"))
    term = model.term(graph, field(1))
    close(rate(term, u), -model.diffusion.exp() * (laplacian @ u))
    at_rest = matrix(network()).sum(1, keepdim=True).add(1).sqrt().expand(N, C)  # the null vector D^1/2 1 of L
    close(rate(term, at_rest), torch.zeros(N, C, dtype=torch.float64), 1e-12)


def test_messages_of_acmp():
    model, u = made(Acmp, beta=0.3), field()
    graph = model.prepare(network())
    a, expected = matrix(graph), model.delta.exp() * (u - u**3)
    for i in range(N):
        for j in range(N):
            if a[i, j] != 0:
                expected[i] = expected[i] + model.alpha.exp() * (a[i, j] - 0.3) * (u[j] - u[i])
    close(rate(model.term(graph, u), u), expected)


def test_repulsion_drives_two_neighbours_into_different_wells():
    pair = Graph(Relation.from_edges(torch.tensor([0, 1]), torch.tensor([1, 0]), 2, 2))
    for beta, apart in ((0.0, False), (1.5, True)):
        model = Acmp(C, 1, 2, beta=beta).double()
        term = model.term(model.prepare(pair), torch.zeros(2, 1))
        u0 = torch.tensor([[0.6], [0.4]], dtype=torch.float64)
        with torch.no_grad():
            final = evolve(term, u0, [0.0, 12.0], stepper="rk4", dt=0.2).final
        assert bool(final[0] * final[1] < 0) is apart and bool((final.abs() >= 1 - 1e-6).all())


def test_acmp_takes_implicit_steps():
    model, u = made(Acmp), field()
    term = model.term(model.prepare(network()), u)
    with torch.no_grad():
        exact = evolve(term, u, [0.0, 0.2], stepper="rk4", dt=0.01).final
        errors = [
            float((evolve(term, u, [0.0, 0.2], stepper="crank_nicolson", dt=dt).final - exact).abs().max())
            for dt in (0.1, 0.05)
        ]
    assert errors[1] < 0.35 * errors[0]  # order 2


@pytest.mark.parametrize("options", [{}, {"beta": 1.0}])
def test_acmp_refuses_attraction_below_nothing(options: dict[str, float]):
    Acmp(C, C, 3, **options)
    with pytest.raises(InputError, match="beta = -1"):
        Acmp(C, C, 3, beta=-1.0)


# GRAFF


@pytest.mark.parametrize("w", ["symmetric", "diagonal", "diagonally_dominant"])
def test_graff_descends_its_energy(w: str):
    model, u0 = made(Graff, w=w), field(1)
    graph = model.prepare(network())
    term, u = model.term(graph, u0), field().requires_grad_()
    weight, omega = model.channel_weight(), torch.diag(model.omega)
    assert torch.equal(weight, weight.T)
    a, back = matrix(graph), model.back
    close(rate(term, u), a @ u @ weight - u @ omega - u0 @ back)
    energy = (u * (u @ omega)).sum() / 2 - (u * (a @ u @ weight)).sum() / 2 + (u * (u0 @ back)).sum()
    close(term.energy(u), energy)
    close(rate(term, u), -torch.autograd.grad(energy, u)[0])
    with torch.no_grad():
        states = evolve(term, u.detach(), [0.1 * k for k in range(21)], stepper="rk4", dt=0.05).states
        energies = term.energy(states)
        slope = -rate(term, u).square().sum()
    assert bool((energies.diff() < 0).all())
    with torch.no_grad():
        soon = evolve(term, u.detach(), [0.0, 1e-4], stepper="rk4").final
    close((term.energy(soon) - energies[0]) / 1e-4, slope, 1e-2)  # dE/dt = -|grad E|^2


def test_operator_of_graff_has_its_matrix_and_transpose():
    from graphpde.core.linear_operator import Sparse
    from graphpde.graph_diffusion.graff import ChannelMixing

    graph = normalised(network(), "incoming")
    a = Sparse(graph.edges, graph.weight, graph.weight.new_zeros(N))
    mixing, u, v = ChannelMixing(a, field(2, C), field(3, C)), field(), field(1)
    dense = torch.tensor(mixing.to_matrix(C).toarray())
    close((dense @ u.flatten()).reshape(N, C), mixing(u))
    close((v * mixing(u)).sum(), (mixing.transpose()(v) * u).sum())


def test_graff_refuses_directed_graphs_and_other_weights():
    one_way = Graph(Relation.from_edges(torch.tensor([0]), torch.tensor([1]), 2, 2))
    zero = torch.zeros(C, C, dtype=torch.float64)
    with pytest.raises(InputError, match="both directions"):
        EnergyDescent(one_way, zero, zero, torch.zeros(2, C))
    with pytest.raises(InputError, match="expected one of: symmetric"):
        Graff(C, C, 3, w="prod")


# GraphCON


def test_oscillators_of_graphcon():
    model = made(GraphCon, gamma=0.7, alpha=0.2)
    graph, state = model.prepare(network()), Swing(field(), field(1))
    w, b = model.mixing.weight, model.mixing.bias
    drive = torch.relu(matrix(graph) @ state.u @ w.T + b)
    got = rate(model.term(graph, state.u), state)
    assert isinstance(got, Swing)
    close(got.u, state.v)
    close(got.v, drive - 0.7 * state.u - 0.2 * state.v)


def test_undriven_oscillators_swing_as_in_closed_form():
    model = made(GraphCon, gamma=2.0, alpha=0.4, time=3.0, integration=Integration("rk4", dt=0.05))
    with torch.no_grad():
        model.mixing.weight.zero_()
        model.mixing.bias.fill_(-1.0)  # relu switches the drive off
        path = model.trajectory(network(), field())
    u0, omega = path.states.u[0], (2.0 - 0.2**2) ** 0.5
    t = torch.tensor(3.0, dtype=torch.float64)
    exact = torch.exp(-0.2 * t) * (torch.cos(omega * t) + (1 + 0.2) / omega * torch.sin(omega * t)) * u0
    close(path.states.u[-1], exact, 1e-5)


def test_graphcon_refuses_what_it_cannot_do():
    with pytest.raises(InputError, match="attention held over a step"):
        GraphCon(C, C, 3, attention=Attention(fresh="step"))
    with pytest.raises(InputError, match="gamma = -1"):
        GraphCon(C, C, 3, gamma=-1.0)


# PDE-GCN


def test_fluxes_descend_their_energy_and_conserve_the_sum():
    graph, k = network(), torch.eye(C, dtype=torch.float64) + 0.3 * field(5, C)
    u = field().requires_grad_()
    term = EdgeFluxes(graph, k, 1.0, "diffusion")
    src, dst = graph.edges.pairs()
    z = (u[dst] - u[src]) @ k.T
    energy = torch.log(torch.cosh(z)).sum() / 2  # every undirected edge stands here twice
    close(rate(term, u), -torch.autograd.grad(energy, u)[0])
    close(rate(term, u).sum(0), torch.zeros(C, dtype=torch.float64), 1e-13)


def test_small_differences_diffuse_with_the_graph_laplacian():
    model = PdeGcn(C, C, 3).double()
    graph, u = model.prepare(network()), 1e-4 * field()
    a = matrix(graph)
    laplacian = torch.diag(a.sum(1)) - a
    close(rate(model.term(graph, u), u).detach(), -laplacian @ u, 1e-10)


def test_euler_gives_the_layers_of_the_paper_and_leapfrog_its_waves():
    for kind, stepper in (("diffusion", "euler"), ("wave", "leapfrog")):
        model = made(PdeGcn, kind=kind, layers=4, time=2.0, integration=Integration(stepper, dt=0.5))
        graph = model.prepare(network())
        with torch.no_grad():
            path = model.trajectory(network(), field(), [0.0, 0.5, 1.0, 1.5, 2.0])
            u0 = model.encode(field())
            terms = [EdgeFluxes(graph, k, 1.0, "diffusion") for k in model.k]
            if kind == "diffusion":
                u = u0
                for k in range(4):
                    u = u + 0.5 * terms[k](START, u)
                close(path.states[-1], u)
            else:  # kicks at the ends of a layer are halves of both layers that meet there
                before, now = u0, u0 + 0.125 * terms[0](START, u0)
                for k in range(1, 4):
                    force = (terms[k - 1](START, now) + terms[k](START, now)) / 2
                    before, now = now, 2 * now - before + 0.25 * force
                close(model.end(path.states[-1]), now)
    assert len(path.times) == 5 and path.steps == 4


@pytest.mark.parametrize("kind", ["diffusion", "wave", "mixed"])
def test_steps_keep_their_order_where_weights_jump(kind: str):
    model = made(PdeGcn, kind=kind, layers=3, time=3.0)
    finals = []
    for dt in (0.5, 0.25, 0.125, 1 / 64):
        model.integration = Integration("rk4", dt=dt)
        with torch.no_grad():
            finals.append(model.trajectory(network(), field()).states[-1])
    errors = [float((u - finals[-1]).abs().max()) for u in finals[:-1]]
    assert errors[1] < errors[0] / 10 and errors[2] < errors[1] / 10


def test_mixed_equation():
    model = made(PdeGcn, kind="mixed", layers=1)
    graph, u, v = model.prepare(network()), field(), field(1)
    alpha = torch.sigmoid(model.mixing)
    force = EdgeFluxes(graph, model.k[0], 1.0, "diffusion")(START, u)
    got = rate(model.term(graph, u), torch.cat([u, v], -1))
    close(got[:, :C], v)
    close(alpha * got[:, C:] + (1 - alpha) * v, force)


def test_pde_gcn_refuses_what_it_cannot_do():
    one_way = Graph(Relation.from_edges(torch.tensor([0]), torch.tensor([1]), 2, 2))
    with pytest.raises(GraphError, match="no partner"):
        made(PdeGcn)(one_way, field(n=2))
    with pytest.raises(InputError, match="expected one of: diffusion, wave, mixed"):
        PdeGcn(C, C, 3, kind="heat")
    with pytest.raises(InputError, match="got 0 layers"):
        PdeGcn(C, C, 3, layers=0)


# other edges


@pytest.mark.parametrize("kind", ["ppr", "heat"])
def test_diffused_graphs_are_dense_functions_of_the_walk(kind: str):
    graph = network()
    t, one = matrix(normalised(graph, "symmetric", loops=1.0)), torch.eye(N, dtype=torch.float64)
    dense = 0.2 * torch.linalg.inv(one - 0.8 * t) if kind == "ppr" else torch.linalg.matrix_exp(-3.0 * (one - t))
    close(matrix(diffused(graph, kind, alpha=0.2, time=3.0, keep=N)), dense, 1e-10)
    kept = dense * (dense >= dense.topk(4, dim=0).values[-1])
    few = diffused(graph, kind, alpha=0.2, time=3.0, keep=4)
    close(matrix(few), (kept + kept.T) / 2, 1e-10)
    assert few.edges.is_symmetric and few.edges.n_edges < N * N


def test_two_hop_adds_the_neighbours_of_neighbours():
    graph = network()
    a = matrix(graph)
    expected = ((a + a @ a) > 0).double()
    expected.fill_diagonal_(0.0)
    close(matrix(two_hop(graph)), expected)


def test_any_model_runs_on_other_edges():
    for graph in (diffused(network(), keep=3), two_hop(network())):
        assert made(Grand)(graph, field()).shape == (N, 3)
    alone = Graph(Relation.from_edges(torch.zeros(0).long(), torch.zeros(0).long(), 3, 3))
    close(matrix(diffused(alone)), torch.eye(3, dtype=torch.float64), 1e-12)
    assert two_hop(alone).edges.n_edges == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "walk"}, "expected one of: ppr, heat"),
        ({"alpha": 1.0}, "0 < alpha < 1"),
        ({"time": 0.0}, "time > 0"),
        ({"keep": 0}, "keep >= 1"),
    ],
)
def test_diffused_refuses(options: dict[str, Any], message: str):
    with pytest.raises(InputError, match=message):
        diffused(network(), **options)


def test_diffused_refuses_directed_graphs():
    with pytest.raises(InputError, match="this graph is directed"):
        diffused(Graph(Relation.from_edges(torch.tensor([0]), torch.tensor([1]), 2, 2)))
