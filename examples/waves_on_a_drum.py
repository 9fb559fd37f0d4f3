"""A drum, struck beside its middle, sounds its lowest tone: the first zero of the Bessel function J_0.

Equation: u_tt = c^2 lap u on the unit disk, u = 0 on the rim. Whatever the stroke, its share of the mode J_0(j r)
swings as cos(c j t), j = 2.404825557695773 (Rayleigh 1877, The Theory of Sound, section 200). Linear elements and
leapfrog, which keeps the energy: it trembles with the step and does not drift.

    python examples/waves_on_a_drum.py
"""

import torch
from scipy.special import j0

from graphpde.dynamics import Leapfrog, evolve
from graphpde.mesh import Space, disk
from graphpde.ops import Held, Wave

ZERO = 2.404825557695773
speed = 1.0
space = Space(disk(size=0.04))
wave = Wave(space, speed)
drum = wave + Held("outer", 0.0)

middle = torch.tensor([0.35, 0.1], dtype=torch.float64)
dent = torch.exp(-((space.pos - middle) ** 2).sum(1, keepdim=True) / 0.12**2)
dent[space.tag("outer").nodes] = 0.0
u0 = torch.cat([dent, torch.zeros_like(dent)], 1)
times = torch.linspace(0, 12, 601, dtype=torch.float64)
sound = evolve(drum, u0, times, stepper=Leapfrog(), dt=0.01)

mode = torch.from_numpy(j0(ZERO * space.pos.norm(dim=1).numpy()))[:, None]
share = space.inner(sound.states[..., :1], mode) / space.inner(mode, mode)
before, after = share[:-1], share[1:]
turns = (before * after < 0).nonzero()[:, 0]  # half a period lies between two zeros
zeros = times[turns] + times.diff()[turns] * before[turns] / (before[turns] - after[turns])
period = float(2 * (zeros[-1] - zeros[0]) / (len(zeros) - 1))
exact = 2 * torch.pi / (speed * ZERO)

energy = wave.energy(sound.states)
tremble = float((energy / energy[0] - 1).abs().max())
drift = float(energy[-200:].mean() / energy[:200].mean() - 1)

print(f"{space.n} unknowns, {sound.steps} steps")
print(f"period of the lowest tone {period:.4f}, exact {exact:.4f}: {100 * (period / exact - 1):+.2f} %")
print(f"energy: within {100 * tremble:.2f} % all the time, drift {drift:.1e}")

if __name__ == "__main__":
    from graphpde.viz import plot_frames, save_figure

    shown = [0, 15, 30, 50, 75, 130]
    figure = plot_frames(
        space.mesh, times[shown], space.at_points(sound.states[shown, :, :1]), label="displacement", cmap="RdBu_r",
        vmin=-0.4, vmax=0.4, length_unit=None, time_unit=None, show_mesh=False,
    )  # fmt: skip
    save_figure(figure, "waves_on_a_drum.png")
    print("picture: waves_on_a_drum.png")
