"""A flow of particles with an exact density, whose divergence costs one sum over edges.

    v_i = sum_j phi(t, r_ij) (x_i - x_j),     div v = sum_ij (d phi + r phi')(t, r_ij)

(Koehler, Klein and Noe 2020, eqs. 9 to 12). Four particles in the plane whose pairs lie in a double well: the flow is
fitted by maximum likelihood to states in thermal equilibrium. Its density is the same for turned and renumbered states.

    python examples/particles_with_exact_divergence.py
"""

import torch

from graphpde.dynamics import ExactDivergence
from graphpde.flow import Flow, Likelihood, PairVelocity
from graphpde.ops import CentredNormal
from graphpde.train import Adam, Cosine, fit

n, d, steps = 4, 2, 200
i, j = torch.triu_indices(n, n, 1)


def distances(x):
    return (x[:, i] - x[:, j]).norm(dim=-1)


def energy(x):
    off = distances(x) - 4.0
    return (-4 * off**2 + 0.9 * off**4).sum(1)


rng = torch.Generator().manual_seed(0)
states = 4.0 * torch.randn(1500, n, d, generator=rng)
for _ in range(2500):  # Metropolis: a chain for every state, all particles moved at once
    moved = states + 0.3 * torch.randn(states.shape, generator=rng)
    taken = torch.rand(len(states), generator=rng).log() < energy(states) - energy(moved)
    states = torch.where(taken[:, None, None], moved, states)
states = states - states.mean(1, keepdim=True)
seen, held = states[:1000], states[1000:]


class Batches:
    def drawn(self, rng):
        for _ in range(steps):
            yield seen[torch.randint(0, len(seen), (64,), generator=rng)]


def flow(velocity):
    return Flow(velocity, CentredNormal(), sample="state", stepper="rk4", dt=0.1)


velocity = PairVelocity(reach=8.0)
before = -float(CentredNormal().log_density(held).mean())
fit(velocity, Likelihood(flow), Batches(), update=Adam(1e-2, schedule=Cosine(steps)), steps=steps, rng=rng)

velocity, held = velocity.double(), held.double()
with torch.no_grad():
    edges = flow(velocity).log_density(held)
    passes = flow(velocity).log_density(held[:50], ExactDivergence())
    turn = torch.linalg.qr(torch.randn(d, d, generator=rng).double()).Q
    other = flow(velocity).log_density((held @ turn)[:, [2, 0, 3, 1]])
    samples = flow(velocity).sample(held, rng)
after, off = -float(edges.mean()), float((other - edges).abs().max())
print(f"negative log-likelihood of states held out: {before:.2f} nats of the normal law, {after:.2f} of the flow")
print(f"by edges and by reverse mode the same to {float((passes - edges[:50]).abs().max()):.0e};", end=" ")
print(f"turned and renumbered the same to {off:.0e} nats")

if __name__ == "__main__":
    from matplotlib import pyplot as plt

    from graphpde.viz import save_figure

    figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
    for name, x in {"equilibrium": held, "flow": samples, "normal law": CentredNormal().draw(held, rng)}.items():
        axes.hist(distances(x).flatten().numpy(), bins=60, range=(0, 9), density=True, histtype="step", label=name)
    axes.set(xlabel="distance of two particles", ylabel="density", title="Four particles in pairs of double wells")
    axes.legend(frameon=False)
    save_figure(figure, "particles_with_exact_divergence.png")
    print("picture: particles_with_exact_divergence.png")
