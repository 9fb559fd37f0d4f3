"""A sine wave steepens into a shock that viscosity keeps smooth: Burgers' equation and its steepest slope.

Equation: u_t + u u_x = nu u_xx on (-1, 1), u(x, 0) = -sin(pi x), u = 0 at the ends, nu = 0.01/pi. The steepest slope is
152.00516, at pi t = 1.6037 (Basdevant et al. 1986, Computers & Fluids 14, from the series of Cole). Quadratic
elements, ever smaller towards the middle, and implicit steps.

    python examples/a_shock_forms.py
"""

import math

import torch

from graphpde.dynamics import TrBdf2, evolve
from graphpde.mesh import P2, Mesh, Space, spacing
from graphpde.ops import Burgers, Dirichlet

half = spacing(60, 1.09)  # 0 .. 1, every piece 9 % longer than the one before
x = torch.cat([-half.flip(0)[:-1], half])
line = torch.arange(len(x) - 1)
mesh = Mesh(x[:, None], {"line": torch.stack([line, line + 1], 1)}, name="interval")
space = Space(mesh, P2())
wave = Burgers(space, 0.01 / math.pi) + Dirichlet("boundary", 0.0)

u0 = -torch.sin(math.pi * space.pos)
times = torch.linspace(0, 0.8, 81, dtype=torch.float64)
shock = evolve(wave, u0, times, stepper=TrBdf2())

block = space.blocks(4)[0]
slopes = torch.einsum("mqkd,smk->smq", block.gradients, shock.states[:, block.dofs, 0]).abs().flatten(1).amax(1)
k = int(slopes.argmax())
a, b, c = slopes[k - 1 : k + 2].tolist()
shift = (a - c) / (2 * (a - 2 * b + c))  # the top of the parabola through three moments
steepest = b - (a - c) * shift / 4
moment = float(times[k] + shift * times.diff()[0])

print(f"{space.n} unknowns, {shock.steps} steps, cells from {float(half[1]):.1e} to {float(1 - half[-2]):.2f}")
print(f"steepest slope {steepest:.3f}, reference 152.00516: {100 * (steepest / 152.00516 - 1):+.2f} %")
print(f"at pi t = {math.pi * moment:.4f}, reference 1.6037")

if __name__ == "__main__":
    from graphpde.viz import plot_frames, save_figure

    shown = [0, 16, 32, 51, 80]
    states = space.at_points(shock.states[shown])
    figure = plot_frames(space.mesh, times[shown], states, length_unit=None, time_unit=None)
    save_figure(figure, "a_shock_forms.png")
    print("picture: a_shock_forms.png")
