"""Runs: a problem goes in, a folder with fields, pictures, certificates and a report comes out."""

from graphpde.run.estimate import Estimate, estimate
from graphpde.run.folder import RunFolder, next_folder
from graphpde.run.simulate import RunResult, simulate

__all__ = ["Estimate", "RunFolder", "RunResult", "estimate", "next_folder", "simulate"]
