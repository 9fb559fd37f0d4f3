"""Reactions by name, and the patterns that grow out of them."""

from graphpde.ops.reactions.brusselator import Brusselator
from graphpde.ops.reactions.fitzhugh_nagumo import FitzHughNagumo
from graphpde.ops.reactions.gierer_meinhardt import GiererMeinhardt
from graphpde.ops.reactions.gray_scott import GrayScott
from graphpde.ops.reactions.kinetics import REACTIONS, Constant, Kinetics
from graphpde.ops.reactions.mimura_murray import MimuraMurray
from graphpde.ops.reactions.patterns import Mode, fastest_mode, growth_rate
from graphpde.ops.reactions.schnakenberg import Schnakenberg
from graphpde.ops.reactions.single import AllenCahn, Decay, Logistic

__all__ = [
    "REACTIONS",
    "AllenCahn",
    "Brusselator",
    "Constant",
    "Decay",
    "FitzHughNagumo",
    "GiererMeinhardt",
    "GrayScott",
    "Kinetics",
    "Logistic",
    "MimuraMurray",
    "Mode",
    "Schnakenberg",
    "fastest_mode",
    "growth_rate",
]
