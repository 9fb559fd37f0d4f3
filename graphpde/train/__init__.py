"""Learning: the one training loop, rules that move parameters, and what inverse problems are made of."""

from graphpde.train.fit import Hook, Objective, Progress, fit
from graphpde.train.history import Evaluation, History
from graphpde.train.learnable import PerTag, Positive, SoftPositive
from graphpde.train.misfit import Discrepancy, Inverse, Misfit, discrepancy
from graphpde.train.regularise import Tikhonov, TotalVariation
from graphpde.train.shape import HarmonicMotion, RoundHole
from graphpde.train.update import LBFGS, Adam, Sgd, Update

__all__ = [
    "LBFGS",
    "Adam",
    "Discrepancy",
    "Evaluation",
    "HarmonicMotion",
    "History",
    "Hook",
    "Inverse",
    "Misfit",
    "Objective",
    "PerTag",
    "Positive",
    "Progress",
    "RoundHole",
    "Sgd",
    "SoftPositive",
    "Tikhonov",
    "TotalVariation",
    "Update",
    "discrepancy",
    "fit",
]
