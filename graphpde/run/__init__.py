"""Runs: a problem goes in, a folder with fields, pictures, certificates and a report comes out."""

from graphpde.run.estimate import Estimate, estimate
from graphpde.run.fluxes import Balance, BoundaryFluxes, boundary_flux
from graphpde.run.folder import RunFolder, next_folder
from graphpde.run.integrals import Integrals
from graphpde.run.lines import Line
from graphpde.run.probes import Probes
from graphpde.run.records import Records
from graphpde.run.resume import open_run
from graphpde.run.simulate import RunResult, resume, simulate

__all__ = [
    "Balance",
    "BoundaryFluxes",
    "Estimate",
    "Integrals",
    "Line",
    "Probes",
    "Records",
    "RunFolder",
    "RunResult",
    "boundary_flux",
    "estimate",
    "next_folder",
    "open_run",
    "resume",
    "simulate",
]
