"""Every registered classifier of nodes: symmetries, gradients, odd graphs, and no label that it may not see."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from graphpde import Graph, Relation
from graphpde.dynamics import STEPPERS
from graphpde.graph_diffusion import MODELS, REACTION_TERMS, Attention, Classifier, Integration, Known
from graphpde.nets import SparseFeatures
from graphpde.ops import System

F, HIDDEN, K = 5, 8, 3
LEARNED = {fresh: Attention(heads=2, dim=8, fresh=fresh) for fresh in ("start", "step", "evaluation")}
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in MODELS),
    *(("grand", {"attention": LEARNED[fresh]}) for fresh in ("step", "evaluation")),
    ("grand", {"attention": Attention(heads=2, dim=8, kind="distance", over="outgoing"), "source": False}),
    ("grand", {"labels": True}),
    *(("gread", {"reaction": name, "per_channel": name < "g"}) for name in REACTION_TERMS),
    *(("graff", {"w": w}) for w in ("symmetric", "diagonal")),
    *(("pde_gcn", {"kind": kind}) for kind in ("wave", "mixed")),
    *((name, {"attention": LEARNED["evaluation"]}) for name in ("grand++", "gread", "rdgnn", "acmp", "graphcon")),
    *((name, {"attention": LEARNED["step"]}) for name in ("grand++", "acmp")),
]
EACH = pytest.mark.parametrize(("name", "options"), VARIANTS, ids=lambda x: x if isinstance(x, str) else _told(x))

ALONE = pytest.mark.parametrize("name", MODELS)  # what depends on the class and not on its options


def _told(options: dict[str, Any]) -> str:
    return "-".join(v.fresh if isinstance(v, Attention) else str(v) for v in options.values())


def made(name: str, options: dict[str, Any], dtype: torch.dtype = torch.float64) -> nn.Module:
    """The model in evaluation, with parameters away from their special values at the start.

    Steps are fixed: adaptive ones would differ between a graph and a batch within the tolerance.
    """
    torch.manual_seed(1)
    model = MODELS[name](F, HIDDEN, K, **options).to(dtype).eval()
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.1 * torch.randn_like(p))
    if isinstance(model, Classifier):
        model.time, model.integration = 0.5, Integration("rk4", dt=0.25)
    return model


def ring(n: int = 6) -> Graph:
    """A ring with a chord, both directions."""
    a = torch.arange(n)
    src, dst = torch.cat([a, torch.tensor([0])]), torch.cat([(a + 1) % n, torch.tensor([3])])
    return Graph(Relation.from_edges(torch.cat([src, dst]), torch.cat([dst, src]), n, n))


def features(n: int = 6, dtype: torch.dtype = torch.float64, seed: int = 0) -> Tensor:
    x = torch.randn(n, F, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (x * (x.abs() > 0.4)).to(dtype)


def known(n: int = 6) -> Known:
    mask = torch.zeros(n, dtype=torch.bool)
    mask[[0, 2, n - 1]] = True
    return Known(mask, torch.arange(n) % K)


# symmetries


@EACH
def test_numbering_of_nodes_does_not_matter(name: str, options: dict[str, Any]):
    check_numbering(name, options, torch.float64, 1e-10)


@ALONE
def test_numbering_of_nodes_does_not_matter_in_single_precision(name: str):
    check_numbering(name, {}, torch.float32, 1e-5)


def check_numbering(name: str, options: dict[str, Any], dtype: torch.dtype, tolerance: float) -> None:
    graph, model, x, labels = ring(), made(name, options, dtype), features(dtype=dtype), known()
    order = torch.tensor([3, 0, 5, 1, 4, 2])  # the new number of each node
    src, dst = graph.edges.pairs()
    other = Graph(Relation.from_edges(order[src].flip(0), order[dst].flip(0), 6, 6))
    back = torch.argsort(order)
    moved = Known(labels.mask[back], labels.labels[back])
    expected, got = model(graph, x, known=labels), model(other, x[back], known=moved)[order]
    assert got.shape == (6, K) and float(expected.detach().std()) > 0
    scale = max(1.0, float(expected.detach().abs().max()))
    torch.testing.assert_close(got, expected, rtol=tolerance, atol=tolerance * scale)


@EACH
def test_a_batch_is_a_loop_over_its_graphs(name: str, options: dict[str, Any]):
    model, graphs = made(name, options), [ring(6), ring(7)]
    xs, labels = [features(6), features(7, seed=1)], [known(6), known(7)]
    both = Known(torch.cat([k.mask for k in labels]), torch.cat([k.labels for k in labels]))
    together = model(Graph.union(graphs), torch.cat(xs), known=both)
    alone = torch.cat([model(g, x, known=k) for g, x, k in zip(graphs, xs, labels)])
    tolerance = 1e-10 if any(p.requires_grad for p in model.parameters()) else 1e-5  # what learns nothing iterates
    torch.testing.assert_close(together, alone, rtol=tolerance, atol=tolerance)


@ALONE
def test_sparse_features_are_dense_ones(name: str):
    model, x = made(name, {}), features()
    dense = model(ring(), x, known=known())
    torch.testing.assert_close(
        model(ring(), SparseFeatures.from_dense(x), known=known()), dense, rtol=1e-10, atol=1e-10
    )


@ALONE
def test_evaluation_is_deterministic(name: str):
    model, x = made(name, {}), features()
    assert torch.equal(model(ring(), x, known=known()), model(ring(), x, known=known()))


# gradients


@EACH
def test_gradients_in_parameters_and_features(name: str, options: dict[str, Any]):
    model, graph, labels = made(name, options), ring(), known()
    learned = {key: p.detach() for key, p in model.named_parameters() if p.requires_grad}
    if not learned:
        pytest.skip("nothing to learn")

    def logits(x: Tensor, flat: Tensor) -> Tensor:
        parts = flat.split([p.numel() for p in learned.values()])
        given = {key: part.reshape(p.shape) for (key, p), part in zip(learned.items(), parts)}
        return torch.func.functional_call(model, given, (graph, x), {"known": labels})

    x = (features() + 0.01).requires_grad_()
    flat = torch.cat([p.flatten() for p in learned.values()]).requires_grad_()
    assert torch.autograd.gradcheck(logits, (x, flat), fast_mode=True)


@EACH
def test_every_parameter_is_used(name: str, options: dict[str, Any]):
    model = made(name, options)
    parameters = {key: p for key, p in model.named_parameters() if p.requires_grad}
    if not parameters:
        pytest.skip("nothing to learn")
    model(ring(), features(), known=known()).square().sum().backward()
    assert not [key for key, p in parameters.items() if p.grad is None]


# odd graphs


def odd_graphs() -> dict[str, Graph]:
    def graph(src: list[int], dst: list[int], n: int) -> Graph:
        return Graph(Relation.from_edges(torch.tensor(src).long(), torch.tensor(dst).long(), n, n))

    return {
        "isolated nodes and self-loops": graph([0, 1, 2, 2], [1, 0, 2, 2], 5),
        "one node": graph([], [], 1),
        "no edges": graph([], [], 4),
        "parallel edges": graph([0, 1, 0, 1], [1, 0, 1, 0], 3),
    }


@pytest.mark.parametrize("which", odd_graphs())
@ALONE
def test_odd_graphs_give_finite_logits_and_gradients(name: str, which: str):
    graph, model = odd_graphs()[which], made(name, {})
    x = features(graph.n).requires_grad_()
    mask = torch.zeros(graph.n, dtype=torch.bool)
    mask[0] = True
    logits = model(graph, x, known=Known(mask, torch.zeros(graph.n, dtype=torch.int64)))
    assert logits.shape == (graph.n, K) and bool(torch.isfinite(logits).all())
    if logits.requires_grad:
        logits.square().sum().backward()
        grads = [p.grad for p in (x, *model.parameters()) if p.grad is not None]
        assert grads and all(bool(torch.isfinite(g).all()) for g in grads)


# labels


@EACH
def test_only_labels_under_the_mask_are_read(name: str, options: dict[str, Any]):
    model, labels = made(name, options), known()
    hidden = torch.where(labels.mask, labels.labels, torch.tensor([2, 0, 1, 2, 0, 1]))
    unknown = torch.where(labels.mask, labels.labels, -1)
    assert not torch.equal(hidden, labels.labels)
    expected = model(ring(), features(), known=labels)
    for other in (hidden, unknown):
        assert torch.equal(model(ring(), features(), known=Known(labels.mask, other)), expected)
    seen = model(ring(), features(), known=Known(labels.mask, (labels.labels + 1) % K))
    reads: str = getattr(model, "reads", "nothing")
    assert torch.equal(seen, expected) is (reads != "labels")
    if isinstance(model, Classifier):
        assert torch.equal(model(ring(), features()), expected) is (reads == "nothing")


# steppers


FLOWS = [(name, options) for name, options in VARIANTS if issubclass(MODELS[name], Classifier)]
EACH_FLOW = pytest.mark.parametrize(("name", "options"), FLOWS, ids=lambda x: x if isinstance(x, str) else _told(x))


@EACH_FLOW
def test_steppers_agree(name: str, options: dict[str, Any]):
    """Explicit ones on every model, implicit ones on every linear equation. Held attention is of first order."""
    model: Any = made(name, options)
    model.time = 0.5
    x, k = features(), known()
    graph = model.prepare(ring())
    u0 = model.encode(x)
    linear = not System(model.term(graph, u0, k), None, torch.zeros((), dtype=torch.float64)).nonlinear
    first_order = "attention" in options and options["attention"].fresh == "step"
    model.integration = Integration("rk4", dt=1 / 16)
    expected = model(ring(), x, known=k)
    steppers = {"euler": 0.2, "dopri5": 0.05 if first_order else 1e-4}
    if linear:
        steppers |= {"crank_nicolson": 0.01, "backward_euler": 0.2}
    for stepper, error in steppers.items():
        dt = None if stepper == "dopri5" else 1 / 16
        model.integration = Integration(stepper, dt=dt, rtol=1e-6, atol=1e-7)
        difference = (model(ring(), x, known=k) - expected).detach().abs().max()
        assert float(difference) <= error * float(expected.detach().abs().max()), stepper


@pytest.mark.parametrize("name", [name for name in MODELS if issubclass(MODELS[name], Classifier)])
def test_gradients_do_not_depend_on_how_they_are_found(name: str):
    """Checkpoints take the same steps again; the adjoint equation has the error of the steps, dt^4."""
    model: Any = made(name, {})
    found = {}
    for grad in ("direct", "checkpoint", "adjoint"):
        if grad == "adjoint" and not isinstance(model.begin(torch.zeros(1, HIDDEN)), Tensor):
            continue
        model.zero_grad()
        model.integration = Integration("rk4", dt=1 / 32, grad=grad)
        model(ring(), features(), known=known()).square().sum().backward()
        found[grad] = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    assert torch.equal(found["checkpoint"], found["direct"])
    if "adjoint" in found:
        assert float((found["adjoint"] - found["direct"]).norm()) <= 1e-4 * float(found["direct"].norm())


@EACH_FLOW
def test_default_integration_is_finite(name: str, options: dict[str, Any]):
    model: Any = MODELS[name](F, HIDDEN, K, **options).eval()
    assert bool(torch.isfinite(model(ring(), features(dtype=torch.float32), known=known())).all())


@EACH_FLOW
def test_terms_say_what_they_read(name: str, options: dict[str, Any]):
    """Every tensor through which the rate depends on parameters is listed by ``tensors()``: adjoints need them all."""
    model: Any = made(name, options)
    graph = model.prepare(ring())
    u0 = model.encode(features()).detach()
    term = model.term(graph, u0, known())
    state = model.begin(u0)
    t = torch.zeros((), dtype=torch.float64)
    rate = System(term, None, t).rate(t, state)
    total = sum(r.square().sum() for r in ([rate] if isinstance(rate, Tensor) else rate))
    learned = [p for key, p in model.named_parameters() if p.requires_grad and key.split(".")[0] not in END]
    direct = torch.autograd.grad(total, learned, allow_unused=True, retain_graph=True)
    read = [x for x in term.tensors() if x.requires_grad]
    partial = torch.autograd.grad(total, read, allow_unused=True, retain_graph=True)
    used = [(x, g) for x, g in zip(read, partial) if g is not None]
    leaves = {id(x) for x, _ in used}
    inner = [(x, g) for x, g in used if x.grad_fn is not None]
    chained = (
        [
            torch.autograd.grad([x for x, _ in inner], p, [g for _, g in inner], allow_unused=True, retain_graph=True)[
                0
            ]
            for p in learned
        ]
        if inner
        else [None] * len(learned)
    )
    for p, expected, through in zip(learned, direct, chained):
        if expected is None:
            continue
        got = torch.zeros_like(p) if through is None else through
        got = got + (next(g for x, g in used if x is p) if id(p) in leaves else 0)
        torch.testing.assert_close(got, expected, rtol=1e-8, atol=1e-10)


END = ("encoder", "decoder", "label")


def test_the_registry_is_not_empty():
    assert {"grand", "grand++", "gread", "rdgnn", "acmp", "graff", "graphcon", "pde_gcn"} <= set(MODELS)
    assert "crank_nicolson" in STEPPERS
