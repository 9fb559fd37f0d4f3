"""Continuous flows and flow matching: samples, particles, fields on meshes."""

from graphpde.flow.coupling import (
    COUPLINGS,
    Coupling,
    DataCoupling,
    IndependentCoupling,
    OptimalCoupling,
    SinkhornCoupling,
)
from graphpde.flow.fields import FieldVelocity, MeshVelocity
from graphpde.flow.flow import Flow
from graphpde.flow.likelihood import Likelihood
from graphpde.flow.manifold import GeodesicPath, Manifold, Sphere, Tangent, Torus
from graphpde.flow.matching import FlowMatching
from graphpde.flow.neural_ode import NeuralOde
from graphpde.flow.neural_sde import PositiveFactor, Transitions
from graphpde.flow.particles import PairVelocity
from graphpde.flow.path import PATHS, Interpolation, LinearPath, OnPath, Path, VariancePreservingPath
from graphpde.flow.premetric import SpectralPremetric, SurfaceMatching, Ways
from graphpde.flow.rectified import Pairs, reflow, straightness, transport_cost
from graphpde.flow.surface import SurfaceFlow, SurfaceVelocity, Traced, Tracing
from graphpde.flow.velocity import PointVelocity

__all__ = [
    "COUPLINGS",
    "PATHS",
    "Coupling",
    "DataCoupling",
    "FieldVelocity",
    "Flow",
    "FlowMatching",
    "GeodesicPath",
    "IndependentCoupling",
    "Interpolation",
    "Likelihood",
    "LinearPath",
    "Manifold",
    "MeshVelocity",
    "NeuralOde",
    "OnPath",
    "OptimalCoupling",
    "PairVelocity",
    "Pairs",
    "Path",
    "PointVelocity",
    "PositiveFactor",
    "SinkhornCoupling",
    "SpectralPremetric",
    "Sphere",
    "SurfaceFlow",
    "SurfaceMatching",
    "SurfaceVelocity",
    "Tangent",
    "Torus",
    "Traced",
    "Tracing",
    "Transitions",
    "VariancePreservingPath",
    "Ways",
    "reflow",
    "straightness",
    "transport_cost",
]
