"""Diffusion and reaction on graphs as classifiers of nodes."""

from graphpde.graph_diffusion.classifier import Classifier, Dropout, Integration, Known
from graphpde.graph_diffusion.grand import Attention, AttentionDiffusion, Grand
from graphpde.graph_diffusion.models import MODELS

__all__ = [
    "MODELS",
    "Attention",
    "AttentionDiffusion",
    "Classifier",
    "Dropout",
    "Grand",
    "Integration",
    "Known",
]
