"""The training runs behind docs/flow.md."""

from benchmarks.trainings import SHARED, Trainings, mean_and_error

__all__ = ["SHARED", "mean_and_error", "trained"]

trained = Trainings.of("flow")
