"""Learning: the one training loop, rules that move parameters, hooks, checkpoints, and what inverse problems need."""

from graphpde.train.batches import Drawn, Epochs, Minibatches, Shuffled
from graphpde.train.checkpoint import (
    Checkpoint,
    Checkpointing,
    SavedModel,
    checkpoints,
    load_checkpoint,
    load_model,
    save_checkpoint,
    save_model,
)
from graphpde.train.closure import Objective
from graphpde.train.ema import Ema
from graphpde.train.first_order import Adam, Adamax, FirstOrder, RmsProp, Sgd
from graphpde.train.fit import Hook, Interruption, Progress, fit
from graphpde.train.history import Evaluation, History
from graphpde.train.hooks import Best, EarlyStopping, Interrupt, Measure, Report, evaluating
from graphpde.train.learnable import PerTag, Positive, SoftPositive
from graphpde.train.log import Log
from graphpde.train.metrics import (
    METRICS,
    accuracy,
    calibration_error,
    confusion,
    macro_f1,
    mean_std,
    roc_auc,
    standard_error,
)
from graphpde.train.misfit import Discrepancy, Inverse, Misfit, discrepancy
from graphpde.train.numerics import Numerics
from graphpde.train.regularise import Tikhonov, TotalVariation
from graphpde.train.schedule import Cosine, Exponential, Linear, Schedule, Stepwise
from graphpde.train.seeds import Failed, over_seeds
from graphpde.train.shape import HarmonicMotion, RoundHole
from graphpde.train.split import SPLITS, Split, fractions, grand, per_class, shchur
from graphpde.train.update import LBFGS, Step, Taken, Update

__all__ = [
    "LBFGS",
    "METRICS",
    "SPLITS",
    "Adam",
    "Adamax",
    "Best",
    "Checkpoint",
    "Checkpointing",
    "Cosine",
    "Discrepancy",
    "Drawn",
    "EarlyStopping",
    "Ema",
    "Epochs",
    "Evaluation",
    "Exponential",
    "Failed",
    "FirstOrder",
    "HarmonicMotion",
    "History",
    "Hook",
    "Interrupt",
    "Interruption",
    "Inverse",
    "Linear",
    "Log",
    "Measure",
    "Minibatches",
    "Misfit",
    "Numerics",
    "Objective",
    "PerTag",
    "Positive",
    "Progress",
    "Report",
    "RmsProp",
    "RoundHole",
    "SavedModel",
    "Schedule",
    "Sgd",
    "Shuffled",
    "SoftPositive",
    "Split",
    "Step",
    "Stepwise",
    "Taken",
    "Tikhonov",
    "TotalVariation",
    "Update",
    "accuracy",
    "calibration_error",
    "checkpoints",
    "confusion",
    "discrepancy",
    "evaluating",
    "fit",
    "fractions",
    "grand",
    "load_checkpoint",
    "load_model",
    "macro_f1",
    "mean_std",
    "over_seeds",
    "per_class",
    "roc_auc",
    "save_checkpoint",
    "save_model",
    "shchur",
    "standard_error",
]
