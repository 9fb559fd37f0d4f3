"""Problems whose exact solutions are known, on meshes refined from one random coarse mesh."""

from benchmarks.manufactured.cases import CASES, Case, Level, observed_orders, run

__all__ = ["CASES", "Case", "Level", "observed_orders", "run"]
