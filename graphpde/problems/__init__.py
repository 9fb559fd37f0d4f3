"""The problem library: a PDE by name is its terms, its fields and its default data."""

from graphpde.problems.advection import AdvectionDiffusionProblem, AdvectionProblem
from graphpde.problems.burgers import BurgersProblem
from graphpde.problems.cahn_hilliard import CahnHilliardProblem
from graphpde.problems.elasticity import ElasticityProblem
from graphpde.problems.fitzhugh_nagumo import FitzHughNagumoProblem
from graphpde.problems.fronts import AllenCahnProblem, FisherKppProblem
from graphpde.problems.gray_scott import GrayScottProblem
from graphpde.problems.heat import Heat
from graphpde.problems.helmholtz import HelmholtzProblem, OpenHelmholtzProblem
from graphpde.problems.materials import MATERIALS, Material
from graphpde.problems.modal import ModalProblem
from graphpde.problems.navier_stokes import (
    NavierStokesInSpace,
    NavierStokesProblem,
    StokesInSpace,
    StokesProblem,
)
from graphpde.problems.nonlinear import PLaplacianProblem, PorousMediumProblem
from graphpde.problems.pde import PDES, Box, Coefficient, Pde
from graphpde.problems.poisson import Poisson
from graphpde.problems.reaction_diffusion import ReactionDiffusion
from graphpde.problems.thermo_elastic import ThermoElasticProblem
from graphpde.problems.topology import TopologyProblem
from graphpde.problems.turing import BrusselatorProblem, GiererMeinhardtProblem, SchnakenbergProblem
from graphpde.problems.values import FieldsAt, Vector, conductivity, initial_state
from graphpde.problems.wave import WaveProblem

__all__ = [
    "MATERIALS",
    "PDES",
    "AdvectionDiffusionProblem",
    "AdvectionProblem",
    "AllenCahnProblem",
    "Box",
    "BrusselatorProblem",
    "BurgersProblem",
    "CahnHilliardProblem",
    "Coefficient",
    "ElasticityProblem",
    "FieldsAt",
    "FisherKppProblem",
    "FitzHughNagumoProblem",
    "GiererMeinhardtProblem",
    "GrayScottProblem",
    "Heat",
    "HelmholtzProblem",
    "Material",
    "ModalProblem",
    "NavierStokesInSpace",
    "NavierStokesProblem",
    "OpenHelmholtzProblem",
    "PLaplacianProblem",
    "Pde",
    "Poisson",
    "PorousMediumProblem",
    "ReactionDiffusion",
    "SchnakenbergProblem",
    "StokesInSpace",
    "StokesProblem",
    "ThermoElasticProblem",
    "TopologyProblem",
    "Vector",
    "WaveProblem",
    "conductivity",
    "initial_state",
]
