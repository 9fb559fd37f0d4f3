"""Steppers and the one time loop: how states advance."""

from graphpde.dynamics.adapt import Adapted, adapt
from graphpde.dynamics.brownian import Brownian, Increment
from graphpde.dynamics.checkpointed import Checkpoints
from graphpde.dynamics.control import Adaptive
from graphpde.dynamics.dense import DenseOutput, SaveDense
from graphpde.dynamics.density import Density, DensityAndCosts, ExactDivergence, Hutchinson, WithLogDensity
from graphpde.dynamics.events import Event, Occurrence
from graphpde.dynamics.evolve import evolve
from graphpde.dynamics.explicit import Bosh3, Dopri5, Euler, Heun, Midpoint, Ralston, Rk4, Tsit5
from graphpde.dynamics.exponential import Etd2Rk, Etdrk4, ExponentialEuler, ExponentialRosenbrock
from graphpde.dynamics.imex import Ark3, Ark4, Ars222, Ars443
from graphpde.dynamics.implicit import BackwardEuler, CrankNicolson, Esdirk4, Sdirk2, TrBdf2
from graphpde.dynamics.langevin import Baoab
from graphpde.dynamics.multistep import Bdf2, Sbdf2
from graphpde.dynamics.newmark import GeneralisedAlpha, Newmark
from graphpde.dynamics.projection import Projection
from graphpde.dynamics.rattle import Rattle
from graphpde.dynamics.reversible import ReversibleHeun
from graphpde.dynamics.splitting import Lie, Strang
from graphpde.dynamics.stabilised import Rkc2
from graphpde.dynamics.staggered import Staggered
from graphpde.dynamics.steady import steady
from graphpde.dynamics.stepper import STEPPERS, Step, Stepper
from graphpde.dynamics.stochastic import EulerMaruyama, Milstein, Sra1, Sriw1, StochasticHeun
from graphpde.dynamics.symplectic import (
    ForestRuth,
    ImplicitMidpoint,
    Leapfrog,
    McLachlan,
    Pefrl,
    PositionVerlet,
    Respa,
    SymplecticEuler,
    Yoshida4,
    Yoshida6,
    Yoshida8,
)
from graphpde.dynamics.trajectory import SaveAll, SaveLast, SaveTo, Trajectory

__all__ = [
    "STEPPERS",
    "Adapted",
    "Adaptive",
    "Ark3",
    "Ark4",
    "Ars222",
    "Ars443",
    "BackwardEuler",
    "Baoab",
    "Bdf2",
    "Bosh3",
    "Brownian",
    "Checkpoints",
    "CrankNicolson",
    "DenseOutput",
    "Density",
    "DensityAndCosts",
    "Dopri5",
    "Esdirk4",
    "Etd2Rk",
    "Etdrk4",
    "Euler",
    "EulerMaruyama",
    "Event",
    "ExactDivergence",
    "ExponentialEuler",
    "ExponentialRosenbrock",
    "ForestRuth",
    "GeneralisedAlpha",
    "Heun",
    "Hutchinson",
    "ImplicitMidpoint",
    "Increment",
    "Leapfrog",
    "Lie",
    "McLachlan",
    "Midpoint",
    "Milstein",
    "Newmark",
    "Occurrence",
    "Pefrl",
    "PositionVerlet",
    "Projection",
    "Ralston",
    "Rattle",
    "Respa",
    "ReversibleHeun",
    "Rk4",
    "Rkc2",
    "SaveAll",
    "SaveDense",
    "SaveLast",
    "SaveTo",
    "Sbdf2",
    "Sdirk2",
    "Sra1",
    "Sriw1",
    "Staggered",
    "Step",
    "Stepper",
    "StochasticHeun",
    "Strang",
    "SymplecticEuler",
    "TrBdf2",
    "Trajectory",
    "Tsit5",
    "WithLogDensity",
    "Yoshida4",
    "Yoshida6",
    "Yoshida8",
    "adapt",
    "evolve",
    "steady",
]
