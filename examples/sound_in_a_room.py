"""A loudspeaker in a room with an open side: all the power that it sends out leaves through the opening.

Equation: lap p + k^2 p = 0 for the amplitude p, a complex number as two channels; dp/dn = i k p at the open side
(Engquist and Majda 1977, Math. Comp. 31), dp/dn = g at the membrane, hard walls elsewhere. Quadratic elements. A sum
over the modes cos(n pi y / H) of the room solves these equations exactly.

    python examples/sound_in_a_room.py
"""

import math

import torch

from graphpde.dynamics import steady
from graphpde.mesh import P2, Space, polygon
from graphpde.ops import Helmholtz, Neumann

length, height = 6.0, 3.7  # m
k = 2 * math.pi  # 1/m; waves of one metre, 340 Hz in air
corners = [(0, 0), (length, 0), (length, height), (0, height)]
space = Space(polygon(corners, 0.12, names=["floor", "window", "ceiling", "speaker"]), P2(), channels=2)


def membrane(y: torch.Tensor) -> torch.Tensor:
    """How strongly the wall with the speaker, 1.2 m above the floor, pushes."""
    return torch.exp(-(((y - 1.2) / 0.25) ** 2))


def push(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    """dp/dn: real."""
    g = membrane(x[:, 1])
    return torch.stack([g, torch.zeros_like(g)], 1)


room, speaker = Helmholtz(space, k, absorbing="window"), Neumann("speaker", push).bind(space)
silence = torch.zeros(space.n, 2, dtype=torch.float64)
sound = steady(room + speaker, silence, method="direct").value
p = torch.complex(*sound.unbind(1))


def power(force: torch.Tensor) -> float:
    """Im of the integral of conj(p) dp/dn: power through a part of the boundary, up to a factor."""
    return float((p.conj() * torch.complex(*force.unbind(1))).sum().imag)


now = torch.zeros((), dtype=torch.float64)
sent, left = -power(speaker(now, sound)), power(room.impedance(now, sound))

x, y = space.pos.unbind(1)
s = (torch.arange(2000, dtype=torch.float64) + 0.5) * height / 2000
exact = torch.zeros_like(p)
for n in range(40):
    share = (1 if n == 0 else 2) * (membrane(s) * torch.cos(n * math.pi * s / height)).mean()
    kx = torch.tensor(complex(k**2 - (n * math.pi / height) ** 2)).sqrt()  # imaginary: dies out near the speaker
    back = torch.exp(2j * kx * length) * (kx - k) / (kx + k)  # slanting waves are partly thrown back
    along = (torch.exp(1j * kx * x) + back * torch.exp(-1j * kx * x)) / (-1j * kx * (1 - back))
    exact = exact + share * along * torch.cos(n * math.pi * y / height)
difference = torch.stack([(p - exact).real, (p - exact).imag], 1)
error = float(space.norm(difference).norm() / space.norm(sound).norm())

print(f"{2 * space.n} real unknowns")
print(f"difference to the sum over the modes: {100 * error:.2f} %")
print(f"power sent {sent:.6f}, power that left {left:.6f}, relative difference {abs(left / sent - 1):.1e}")

if __name__ == "__main__":
    from graphpde.viz import Panel, plot_multiples, save_figure

    panels = [
        Panel(space.mesh, space.at_points(field)[:, 0], title, label)
        for field, title, label in (
            (sound[:, :1], "at one moment", "pressure"),
            (p.abs()[:, None], "how loud it is", "amplitude"),
        )
    ]
    save_figure(plot_multiples(panels, symmetric=["pressure"]), "sound_in_a_room.png")
    print("picture: sound_in_a_room.png")
