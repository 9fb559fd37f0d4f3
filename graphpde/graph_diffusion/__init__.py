"""Diffusion and reaction on graphs as classifiers of nodes."""

from graphpde.graph_diffusion.acmp import Acmp
from graphpde.graph_diffusion.appnp import Appnp
from graphpde.graph_diffusion.classification import NodeClassification, known
from graphpde.graph_diffusion.classifier import Classifier, Dropout, Integration, Known
from graphpde.graph_diffusion.collapse import Collapse, Spectrum, collapse_time, energy_decay, spectrum
from graphpde.graph_diffusion.convex_split import Accelerated, ConvexSplit
from graphpde.graph_diffusion.coupling import Attention, Coupling
from graphpde.graph_diffusion.diagnostics import Energies, GradientNorms, States, energies, gradient_norms, states_of
from graphpde.graph_diffusion.gat import Gat
from graphpde.graph_diffusion.gcn import Gcn
from graphpde.graph_diffusion.gcnii import Gcnii
from graphpde.graph_diffusion.ginzburg_landau import (
    Descent,
    DoubleWell,
    GinzburgLandau,
    Segmentation,
    Springs,
    minimise,
    segment,
    spread,
)
from graphpde.graph_diffusion.graff import EnergyDescent, Graff
from graphpde.graph_diffusion.grand import Grand
from graphpde.graph_diffusion.grand_plus_plus import GrandPlusPlus
from graphpde.graph_diffusion.graphcon import GraphCon, Swing
from graphpde.graph_diffusion.gread import REACTION_TERMS, Gread
from graphpde.graph_diffusion.label_propagation import LabelPropagation, propagate_labels
from graphpde.graph_diffusion.layered import Layered
from graphpde.graph_diffusion.mlp import MlpClassifier
from graphpde.graph_diffusion.models import MODELS
from graphpde.graph_diffusion.pde_gcn import PdeGcn
from graphpde.graph_diffusion.rdgnn import Rdgnn
from graphpde.graph_diffusion.rewire import diffused, two_hop
from graphpde.graph_diffusion.sage import Sage
from graphpde.graph_diffusion.sampling import NeighbourSampler, Sampled
from graphpde.graph_diffusion.smoothing import Smoothing, dirichlet_energy

__all__ = [
    "MODELS",
    "REACTION_TERMS",
    "Accelerated",
    "Acmp",
    "Appnp",
    "Attention",
    "Classifier",
    "Collapse",
    "ConvexSplit",
    "Coupling",
    "Descent",
    "DoubleWell",
    "Dropout",
    "Energies",
    "EnergyDescent",
    "Gat",
    "Gcn",
    "Gcnii",
    "GinzburgLandau",
    "GradientNorms",
    "Graff",
    "Grand",
    "GrandPlusPlus",
    "GraphCon",
    "Gread",
    "Integration",
    "Known",
    "LabelPropagation",
    "Layered",
    "MlpClassifier",
    "NeighbourSampler",
    "NodeClassification",
    "PdeGcn",
    "Rdgnn",
    "Sage",
    "Sampled",
    "Segmentation",
    "Smoothing",
    "Spectrum",
    "Springs",
    "States",
    "Swing",
    "collapse_time",
    "diffused",
    "dirichlet_energy",
    "energies",
    "energy_decay",
    "gradient_norms",
    "known",
    "minimise",
    "propagate_labels",
    "segment",
    "spectrum",
    "spread",
    "states_of",
    "two_hop",
]
