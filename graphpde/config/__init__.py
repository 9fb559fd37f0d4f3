"""Problem files: text to frozen values, and the only place where names become objects."""

from graphpde.config.layers import assign, load, merge
from graphpde.config.prepare import Setup, prepare, with_sets
from graphpde.config.read import read_config
from graphpde.config.schema import BoundaryRule, Config, MeshSource, Output, ReactionChoice, Solver, TimePlan
from graphpde.config.toml import dump

__all__ = [
    "BoundaryRule",
    "Config",
    "MeshSource",
    "Output",
    "ReactionChoice",
    "Setup",
    "Solver",
    "TimePlan",
    "assign",
    "dump",
    "load",
    "merge",
    "prepare",
    "read_config",
    "with_sets",
]
