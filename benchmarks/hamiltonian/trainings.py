"""The training runs behind docs/hamiltonian.md."""

from benchmarks.trainings import SHARED, Trainings

__all__ = ["SHARED", "trained"]

trained = Trainings.of("hamiltonian")
