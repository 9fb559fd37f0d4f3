"""A vortex street behind a cylinder: three pairs of vortices leave it in a second and shake it as often.

Equation: du/dt + (u . grad) u = div(nu grad u) - grad p, div u = 0, at Reynolds number 100: the channel of Schaefer and
Turek (1996), case 2D-2. Taylor and Hood's elements, quadratic in the velocity and linear in the pressure; BDF2 with
extrapolated convection, one factorisation for all steps. The force on the cylinder is what holds the fluid there.

    python examples/flow_past_a_cylinder.py
"""

from typing import NamedTuple

import torch
from torch import Tensor

from graphpde.dynamics import Sbdf2, evolve, steady
from graphpde.mesh import Space, channel_with_cylinder
from graphpde.ops import Convection, Stokes, System, Velocity
from graphpde.run.flow_forces import FlowForces, Reference

DIAMETER, HEIGHT, SPEED, NU = 0.1, 0.41, 1.0, 1e-3


class Street(NamedTuple):
    space: Space
    times: Tensor
    states: Tensor  # of the saved moments [s, n, 3]
    lift: Tensor  # coefficients of the same moments [s]
    drag: Tensor
    outflow: Tensor  # through inlet and outlet [s, 2]


def inlet(x: Tensor, t: Tensor) -> Tensor:
    """The parabola of mean speed 1."""
    return torch.stack([6 * SPEED * x[:, 1] * (HEIGHT - x[:, 1]) / HEIGHT**2, torch.zeros_like(x[:, 1])], 1)


@torch.no_grad()
def street(end: float, dt: float = 1e-3, near: float = 0.01) -> Street:
    space = Space(channel_with_cylinder(0.05, near, wake=2 * near), "p2")
    slow = Stokes(space, NU) + Velocity("walls") + Velocity("cylinder") + Velocity("inlet", inlet)
    start = steady(slow, torch.zeros(space.n, 3, dtype=torch.float64)).value
    flow = slow + Convection(space)
    run = evolve(flow, start, torch.arange(0, end + 1e-9, 0.025), stepper=Sbdf2(), dt=dt)
    names = ["cylinder", "inlet", "outlet"]
    meter = FlowForces(System(flow, None, torch.tensor(0.0)), names, Reference(SPEED, DIAMETER))
    found = [meter(t, u) for t, u in zip(run.times, run.states, strict=True)]
    lift, drag = (torch.tensor([f[f"cylinder.{name}_coefficient"] for f in found]) for name in ("lift", "drag"))
    outflow = torch.tensor([[f["inlet.outflow"], f["outlet.outflow"]] for f in found], dtype=torch.float64)
    return Street(space, run.times, run.states, lift, drag, outflow)


def period(found: Street, after: float) -> float:
    """Mean time between the moments at which the lift turns positive."""
    t, lift = found.times, found.lift
    up = ((lift[:-1] < 0) & (lift[1:] >= 0) & (t[1:] > after)).nonzero()[:, 0]
    crossing = t[up] - lift[up] * (t[up + 1] - t[up]) / (lift[up + 1] - lift[up])
    return float(crossing.diff().mean())


if __name__ == "__main__":
    from graphpde.ops import vorticity
    from graphpde.viz import plot_field, save_figure, write_gif

    found = street(6.0)
    settled = found.times > 4.5
    strouhal = DIAMETER / (SPEED * period(found, 4.5))
    print(f"{found.space.n} nodes, {3 * found.space.n} unknowns, 6000 steps")
    print(f"Strouhal number {strouhal:.3f}, drag up to {float(found.drag[settled].max()):.2f}", end=", ")
    print(f"lift from {float(found.lift[settled].min()):.2f} to {float(found.lift[settled].max()):.2f}")
    print(f"largest difference of inflow and outflow {float(found.outflow.sum(1).abs().max()):.0e}")
    turning = vorticity(found.space, found.states[160:]).clamp(-60, 60)[..., 0]
    shown = [found.space.at_points(w[:, None])[:, 0] for w in turning]
    write_gif("flow_past_a_cylinder.gif", found.space.mesh, found.times[160:], shown, label="vorticity", unit="1/s")
    figure = plot_field(found.space.mesh, shown[-1], label="vorticity", unit="1/s")
    save_figure(figure, "flow_past_a_cylinder.png")
    print("movie: flow_past_a_cylinder.gif, picture: flow_past_a_cylinder.png")
