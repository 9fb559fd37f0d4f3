"""An energy of springs, learned on a ring of five, moves a ring of a thousand.

A network says what an edge stores by its length; forces are its slopes, added at one end and taken at the other. So it
serves on any number of bodies, and momentum and angular momentum stay to rounding whatever it has learned. It sees
positions, momenta and their rates of five bodies, and never the law V = (r - 1)^2 / 2.

    python examples/springs_learned_on_five_run_on_a_thousand.py
"""

import torch

from graphpde.dynamics import evolve
from graphpde.hamiltonian import LearnedPair, Particles, RateMatch, springs
from graphpde.hamiltonian.balance import kept
from graphpde.train import Adam, Cosine, fit

steps = 600
few, u0 = springs(5)
rng = torch.Generator().manual_seed(0)
starts = (
    torch.stack([springs(5, seed=k).state for k in range(40)]) + 0.2 * torch.randn(40, 5, 4, generator=rng).double()
)
times = torch.linspace(0, 8, 17, dtype=torch.float64)
seen = torch.cat([evolve(few, u, times, stepper="leapfrog", dt=0.05).states for u in starts])
rates = few(times[0], seen)

torch.manual_seed(0)
pair = LearnedPair(reach=4.0).double()
batches = [(seen[k::17], rates[k::17]) for k in range(17)]
fit(
    Particles(few.masses, pair, edges=few.edges),
    RateMatch(),
    batches,
    update=Adam(1e-2, schedule=Cosine(steps)),
    steps=steps,
)

many, v0 = springs(1000, seed=1)
learned = Particles(many.masses, pair, edges=many.edges)
when = torch.linspace(0, 20, 101, dtype=torch.float64)
with torch.no_grad():
    path = evolve(learned, v0, when, stepper="leapfrog", dt=0.02)
    exact = evolve(many, v0, when, stepper="leapfrog", dt=0.02)
    energy = many.energy(path.states)  # the true one, along the learned motion
drift = float((energy / energy[0] - 1).abs().max())
apart = (path.states - exact.states)[..., :2].norm(dim=-1)
off, moved = float(apart[-1].mean()), float((exact.states[-1] - exact.states[0])[:, :2].norm(dim=-1).mean())
start, end = kept(learned, v0), kept(learned, path.states[-1])
momentum = max(abs(a - b) for a, b in zip(end.momentum, start.momentum, strict=True)) / start.size[0]

print(f"1000 springs, 1000 steps: true energy within {100 * drift:.2f} %, momentum to {momentum:.0e}")
print(f"bodies are {off:.3f} from where they belong at t = 20, on a way of {moved:.2f}")

if __name__ == "__main__":
    from graphpde.viz import save_figure
    from graphpde.viz.particles import plot_ways

    some = slice(0, 1000, 125)
    true, found = ((x.states[:, some] - v0[some])[..., :2] for x in (exact, path))
    axes = ("displacement along x", "displacement along y")
    figure = plot_ways(found, axes, title="Eight of a thousand bodies, learned; dotted: true")
    figure.axes[0].plot(true[..., 0], true[..., 1], color="black", linestyle=":", linewidth=0.9)
    save_figure(figure, "springs_learned_on_five_run_on_a_thousand.png")
    print("picture: springs_learned_on_five_run_on_a_thousand.png")
