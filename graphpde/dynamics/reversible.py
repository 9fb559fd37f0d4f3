"""A stepper that can be run backwards exactly."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from graphpde.dynamics.state import combine, tree_map
from graphpde.dynamics.stepper import STEPPERS, Carry, Step
from graphpde.errors import InputError
from graphpde.ops.system import System
from graphpde.typing import Scalar, State


class Twin(NamedTuple):
    """The second solution that is carried along, and its rate."""

    value: State
    slope: State


@STEPPERS.add("reversible_heun")
class ReversibleHeun:
    """Heun's rule with a second solution beside, u and w: order 2, and every step can be undone.

    w_1 = 2 u_0 - w_0 + dt f(w_0),   u_1 = u_0 + dt (f(w_0) + f(w_1)) / 2

    One evaluation a step. Stable on the imaginary axis up to dt |lambda| = 1 and nowhere else: for oscillations and for
    learned velocities without strong decay, not for diffusion.

    Reference: Kidger, Foster, Li and Lyons 2021, algorithm 1 without noise.
    """

    name, order, implicit, symplectic, stiff, accepts = "reversible_heun", 2.0, False, "no", "none", "undamped"
    error_power: float | None = 2.0

    def init(self, f: System, t: Tensor, u: State) -> Carry:
        if f.spectral_bound():
            raise InputError(f"{self.name} is unstable for decay of any speed, and {f.label} decays; use heun")
        return None

    def step(self, f: System, t: Tensor, dt: Scalar, u: State, carry: Carry) -> Step:
        twin = Twin(u, f.rate(t, u)) if carry is None else carry
        value = f.reset(t + dt, combine(_mirrored(u, twin.value), [dt], [twin.slope]))
        slope = f.rate(t + dt, value)
        new = f.reset(t + dt, combine(u, [0.5 * dt, 0.5 * dt], [twin.slope, slope]))

        def error() -> State:
            return combine(tree_map(lambda x: x * 0, u), [-0.5 * dt, 0.5 * dt], [twin.slope, slope])

        return Step(new, error, Twin(value, slope), {"evaluations": 1 + (carry is None)})

    def back(self, f: System, t: Tensor, dt: Scalar, u: State, carry: Carry) -> tuple[State, Carry]:
        """State and carry before the step from t to t + dt, but for rounding."""
        value = combine(_mirrored(u, carry.value), [-dt], [carry.slope])
        slope = f.rate(t, value)
        return combine(u, [-0.5 * dt, -0.5 * dt], [slope, carry.slope]), Twin(value, slope)

    def real_extent(self) -> float:
        """Of learned velocities nothing is known; what is known to decay is refused."""
        return float("inf")


def _mirrored(u: State, w: State) -> State:
    return tree_map(lambda x, y: 2 * x - y, u, w)
