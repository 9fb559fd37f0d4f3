"""What a training step of GRAND costs: on Cora beside its reference implementation, on a large graph beside others."""

from __future__ import annotations

import multiprocessing
import statistics
import time
from typing import Any

import torch

from benchmarks.graph.trials import available, data_and_split
from benchmarks.physics.rows import Absent, Found, Row
from graphpde.run.recipe import recipe

SECTION = "Speed"
SOURCES = (
    "graphpde/core",
    "graphpde/dynamics",
    "graphpde/nets",
    "graphpde/graph_diffusion",
    "benchmarks/graph/speed.py",
)
REFERENCE = 210.0  # matmuls of 512 x 512 that an epoch of the reference implementation takes: 0.51 to 0.57 CPU s
EPOCHS = 40
NODES, EDGES, CHANNELS, HEADS = 170_000, 2_300_000, 128, 4


def rows() -> list[Row]:
    """Ratios and memory."""
    return [
        Row(SECTION, "Cora, GRAND-l: the reference implementation's epoch by ours", ">= 5", lambda v: v >= 5, _epoch,
            sources=SOURCES),
        Row(SECTION, f"GRAND-l, one training step on {NODES:,} nodes, {EDGES:,} edges, {CHANNELS} channels: memory",
            "<= 6 GiB", lambda v: v <= 6, _large, sources=SOURCES),
    ]  # fmt: skip


def _matmul() -> float:
    a = torch.rand(512, 512)
    start = time.process_time()
    for _ in range(20):
        a @ a
    return (time.process_time() - start) / 20


class _Clock:
    """Called after each epoch: its CPU time in matrix products, which are timed before and after it."""

    last = True

    def __init__(self) -> None:
        self.ratios: list[float] = []
        self.matmul, self.start = _matmul(), time.process_time()

    def __call__(self, progress: Any) -> None:
        spent, before = time.process_time() - self.start, self.matmul
        self.matmul = _matmul()
        self.ratios.append(2 * spent / (before + self.matmul))
        self.start = time.process_time()


def _epoch() -> Found | Absent:
    """Train and evaluate with the recipe of its authors; a matrix product between the epochs says how fast we are."""
    if not available():
        return Absent("the real graphs are not there")
    from graphpde.run.classify import learn

    torch.set_num_threads(1)
    made = recipe("grand", "reference").having({}, {"epochs": EPOCHS})
    data, split = data_and_split("Cora", "public", 0)
    clock = _Clock()
    found = learn(data, split, made, hooks=[clock])
    ours = statistics.median(clock.ratios[3:])
    rtol = made.settings["integration"]["rtol"]
    on = f"hidden {made.settings['hidden']}, dopri5, rtol {rtol:.1e}, T {made.settings['time']:.2f}"
    note = (
        f"{ours:.0f} matmuls of 512 x 512 an epoch against {REFERENCE:.0f} (0.51 to 0.57 s); "
        f"{found.evaluations:.0f} evaluations against about 100"
    )
    return Found(REFERENCE / ours, f"{REFERENCE / ours:.1f}x", on, note)


def _large() -> Found | Absent:
    found = {
        name: _alone(*how)
        for name, how in {
            "T = 4": ("ours", 4, "direct"),
            "T = 4 with checkpoints": ("ours", 4, "checkpoint"),
            "T = 1": ("ours", 1, "direct"),
            "torch-geometric T = 1": ("theirs", 1, ""),
        }.items()
    }
    told = "; ".join(f"{name}: {memory:.2f} GiB, {seconds:.1f} s" for name, (memory, seconds) in found.items())
    (memory, seconds), one, theirs = found["T = 4"], found["T = 1"], found["torch-geometric T = 1"]
    ratios = f"at T = 1 {one[0] / theirs[0]:.2f}x the memory, {one[1] / theirs[1]:.2f}x the time of torch-geometric"
    on = f"rk4, steps of 1, {HEADS} heads; {ratios}"
    return Found(memory, f"{memory:.2f} GiB, {seconds:.1f} s CPU", on, told)


def _alone(what: str, steps: int, grad: str) -> tuple[float, float]:
    """Most memory over that of the data, GiB, and CPU seconds of a step, in a process of its own."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(step_on_a_large_graph, (what, steps, grad))


def step_on_a_large_graph(what: str, steps: int, grad: str) -> tuple[float, float]:
    """One training step; memory counts everything but the interpreter and its libraries."""
    import resource

    torch.set_num_threads(1)
    start_memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    rng = torch.Generator().manual_seed(0)
    src, dst = torch.randint(NODES, (2, EDGES // 2), generator=rng)
    x, y = torch.randn(NODES, CHANNELS, generator=rng), torch.randint(40, (NODES,), generator=rng)
    step = _pyg_step(src, dst, x, y, steps) if what == "theirs" else _our_step(src, dst, x, y, steps, grad)
    start = time.process_time()
    step()
    seconds = time.process_time() - start
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start_memory) / 2**20, seconds


def _our_step(src: Any, dst: Any, x: Any, y: Any, steps: int, grad: str) -> Any:
    from graphpde import Graph, Relation
    from graphpde.graph_diffusion import Attention, Dropout, Grand, Integration

    graph = Graph(Relation.from_edges(torch.cat([src, dst]), torch.cat([dst, src]), NODES, NODES))
    way = Integration("rk4", dt=1.0, grad=grad)
    model = Grand(
        CHANNELS, CHANNELS, 40, time=steps, attention=Attention(HEADS, 32), dropout=Dropout(0.0, 0.0), integration=way
    )
    return lambda: torch.nn.functional.cross_entropy(model(graph, x), y).backward()


def _pyg_step(src: Any, dst: Any, x: Any, y: Any, steps: int) -> Any:
    """The same with torch-geometric: its softmax of edges once, then four sums of messages a step as in its layers.

    Each keeps the messages of all edges for the gradient, 1.3 GB: four steps would not fit into 20 GB.
    """
    from torch_geometric.utils import add_self_loops, softmax

    edges, _ = add_self_loops(torch.stack([torch.cat([src, dst]), torch.cat([dst, src])]), num_nodes=NODES)
    encoder, decoder = torch.nn.Linear(CHANNELS, CHANNELS), torch.nn.Linear(CHANNELS, 40)
    query, key = torch.nn.Linear(CHANNELS, 32), torch.nn.Linear(CHANNELS, 32)

    def step() -> None:
        u = encoder(x)
        q, k = query(u).view(-1, HEADS, 8), key(u).view(-1, HEADS, 8)
        a = softmax((q[edges[1]] * k[edges[0]]).sum(-1) / 8**0.5, edges[1], num_nodes=NODES).mean(1)

        def rate(u: torch.Tensor) -> torch.Tensor:
            out = torch.zeros_like(u)
            return 0.5 * (out.index_add(0, edges[1], a[:, None] * u[edges[0]]) - u)

        for _ in range(steps):
            k1 = rate(u)
            k2 = rate(u + 0.5 * k1)
            k3 = rate(u + 0.5 * k2)
            u = u + (k1 + 2 * k2 + 2 * k3 + rate(u + k3)) / 6
        torch.nn.functional.cross_entropy(decoder(torch.relu(u)), y).backward()

    return step
