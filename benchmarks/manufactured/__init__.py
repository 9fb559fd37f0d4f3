"""Problems whose exact solutions are known, on meshes refined from one random coarse mesh."""

from benchmarks.manufactured.cases import Case, Level, observed_orders, run
from benchmarks.manufactured.table import CASES

__all__ = ["CASES", "Case", "Level", "observed_orders", "run"]
