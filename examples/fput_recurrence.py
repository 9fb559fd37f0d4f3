"""Fermi, Pasta, Ulam and Tsingou 1955: a chain of springs that are a little nonlinear forgets, and then remembers.

H = sum p^2 / 2 + sum over links of d^2 / 2 + alpha d^3 / 3, 32 masses between walls, all of the energy in the longest
wave at first. It wanders into other modes, and comes back nearly whole instead of spreading evenly: the surprise
of the first numerical experiment.

    python examples/fput_recurrence.py
"""

import torch

from graphpde.dynamics import evolve
from graphpde.hamiltonian import fput, mode_energies

system, u0 = fput(n=32, alpha=0.25)
times = torch.linspace(0, 11_000, 2201, dtype=torch.float64)
path = evolve(system, u0, times, stepper="leapfrog", dt=0.25)
modes = mode_energies(path.states)
share = modes[:, 0] / modes[0].sum()

least, away = share.min(0)
late = times > 8000
best = int(torch.where(late, share, 0.0).argmax())
back, when = float(share[best]), float(times[best])
energy = system.energy(path.states)
change = float((energy / energy[0] - 1).abs().max())
even = 1 / modes.shape[1]  # what an even spread would leave in each

print(f"{path.steps} steps of leapfrog; energy within {100 * change:.2f} %")
print(
    f"mode 1 holds {100 * float(least):.0f} % at t = {float(times[away]):.0f} and {100 * back:.1f} % at t = {when:.0f}"
)

if __name__ == "__main__":
    from graphpde.viz import plot_curves, save_figure

    curves = {f"mode {k + 1}": modes[:, k] for k in range(5)}
    figure = plot_curves(times, curves, "t", "energy", drifts=False, title="Fermi, Pasta, Ulam and Tsingou")
    save_figure(figure, "fput_recurrence.png")
    print("picture: fput_recurrence.png")
