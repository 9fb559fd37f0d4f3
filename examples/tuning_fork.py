"""A tuning fork is cut to 440 Hz: by the formula of a clamped beam first, then by the modes of the whole fork.

Equation: K phi = omega^2 M phi of plane stress. A clamped prong of height h and length l sounds at
1.8751^2 / (2 pi l^2) sqrt(E h^2 / (12 rho)) (Rayleigh 1877, The Theory of Sound, section 172). That of a fork has no
wall to end at: l runs along its middle line, round the bend, to the axis. Quadratic triangles, the stem held below.

    python examples/tuning_fork.py
"""

import math

import numpy as np
import torch

from graphpde.mesh import Space, polygon
from graphpde.ops import Dirichlet
from graphpde.ops.elasticity import Elasticity, modes

E, NU, RHO = 206e9, 0.29, 7850.0  # steel
HEIGHT, INNER, STEM, ROOT, TONE = 0.004, 0.005, 0.03, 1.8751040687, 440.0  # prongs, half their gap, stem: in m


BEND = math.pi / 2 * (INNER + HEIGHT / 2)  # of the middle line, from a prong to the axis


def formula(straight):
    """The lowest frequency of a prong that is clamped at the axis, by the length of its straight part."""
    return (ROOT / (straight + BEND)) ** 2 * math.sqrt(E * HEIGHT**2 / (12 * RHO)) / (2 * math.pi)


def outline(length):
    """Corners of the fork, the prongs from y = 0 to ``length`` over a half ring with a stem, and the stem's side."""
    outer, half = INNER + HEIGHT, HEIGHT / 2
    low = -math.sqrt(outer**2 - half**2)
    start = math.asin(half / outer)
    right = [(outer * math.sin(a), -outer * math.cos(a)) for a in np.linspace(start, math.pi / 2, 12)]
    inner = [(INNER * math.cos(a), -INNER * math.sin(a)) for a in np.linspace(0, math.pi, 16)]
    left = [(-x, y) for x, y in reversed(right)]
    foot = [(-half, low - STEM), (half, low - STEM)]
    return [*foot, *right, (outer, length), (INNER, length), *inner, (-INNER, length), (-outer, length), *left]


def sounds(length, k=4):
    """Space, modes, and the number of the lowest one in which the prongs move against each other."""
    corners = outline(length)
    names = ["stem", *[None] * (len(corners) - 1)]
    space = Space(polygon(corners, HEIGHT / 3, names=names), "p2")
    found = modes(Elasticity(space, E, NU, kind="plane_stress") + Dirichlet("stem", 0.0), RHO, k=k)
    tips = [int(((space.pos - torch.tensor([x, length])).norm(dim=1)).argmin()) for x in (-INNER, INNER)]
    against = (found.shapes[tips[0], 0] * found.shapes[tips[1], 0] < 0).tolist()
    return space, found, against.index(True)


length = math.sqrt(formula(-BEND + 1.0) / TONE) - BEND
by_formula, tones = length, []
while not tones or abs(tones[-1] / TONE - 1) > 5e-4:
    length = length if not tones else (length + BEND) * math.sqrt(tones[-1] / TONE) - BEND
    space, found, tone = sounds(length)
    tones.append(float(found.frequencies[tone]))
heard, overtone = tones[-1], float(found.frequencies[tone + 2]) / tones[-1]
stem = space.pos[:, 1] < -INNER - HEIGHT
sizes = found.shapes[..., tone].norm(dim=1)
felt = float(sizes[stem].max() / sizes.max())

print(f"prongs of {1e3 * by_formula:.2f} mm: {TONE:.0f} Hz by the formula, {tones[0]:.1f} Hz by the modes")
print(f"prongs of {1e3 * length:.2f} mm: {heard:.2f} Hz, {2 * space.n} unknowns")
print(f"first overtone {overtone:.3f} times as high, of a clamped beam {(4.6940911330 / ROOT) ** 2:.3f} times")
print(f"the stem moves by {100 * felt:.2f} % of the tips: a hand that holds it does not hear it")

if __name__ == "__main__":
    from matplotlib.figure import Figure

    from graphpde.viz import save_figure

    largest = 0.0045
    figure = Figure(figsize=(8, 4.2), layout="constrained")
    cells, x = space.mesh.cells["triangle6"][:, :3], space.mesh.points
    for k, axes in enumerate(figure.subplots(1, 4)):
        shape = space.at_points(found.shapes[..., k])
        size = shape.norm(dim=1)
        moved = x + shape * (largest / size.max())
        axes.triplot(*(1e3 * x).T, cells, color="0.8", linewidth=0.3)
        axes.tripcolor(*(1e3 * moved).T, size, triangles=cells, shading="gouraud", cmap="viridis")
        axes.set(aspect="equal", title=f"{float(found.frequencies[k]):.0f} Hz", xticks=(), yticks=())
        axes.spines[:].set_visible(False)
    figure.suptitle(f"Slowest modes, at most {1e3 * largest:g} mm from rest beside prongs of {1e3 * length:.1f} mm")
    save_figure(figure, "tuning_fork.png")
    print("picture: tuning_fork.png")
