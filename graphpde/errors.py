"""The errors that users meet: one sentence each, saying what, got, expected and the remedy.

Everything a user can cause derives from :class:`GraphpdeError`; bad input is also a ``ValueError`` (or ``TypeError``),
a computation that failed is also a ``RuntimeError``. The command line turns the first kind into exit code 2, the
second into 1.
"""

from __future__ import annotations

from typing import Any


class GraphpdeError(Exception):
    """Base class of every error this library raises on purpose."""


class InputError(GraphpdeError, ValueError):
    """The caller gave something that cannot be used."""


class ShapeError(InputError):
    """A tensor has the wrong shape or dtype."""


class GraphError(InputError):
    """A relation or graph is inconsistent: index out of range, wrong counts, missing symmetry."""


class IndexTypeError(GraphpdeError, TypeError):
    """Node indices are not integers."""


class UnknownName(InputError):
    """A name is not in its registry; the message lists the known ones and the nearest."""


class MeshError(InputError):
    """A mesh cannot be used as asked: degenerate cells, unsupported cells, missing sets."""


class MeshReadError(MeshError):
    """A file could not be turned into a valid mesh.

    Attributes:
        path: the file as given. format: the format it was read as. reason: why, one sentence.
    """

    def __init__(self, path: Any, format: str, reason: str):
        self.path, self.format, self.reason = str(path), format, reason
        # a name may hold what a terminal would act on, or bytes that are no text
        shown = "".join(letter if letter.isprintable() else "\ufffd" for letter in self.path)
        told = "" if format == "unknown format" else f" ({format})"
        super().__init__(f"cannot read mesh '{shown}'{told}: {reason}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.path, self.format, self.reason)


class DatasetError(InputError):
    """The files of a data set are missing, incomplete or not what they should be."""


class OutputError(InputError):
    """A file or folder cannot be written."""


class CheckpointError(InputError):
    """A checkpoint or saved model is missing, damaged, of another form, or belongs to something else."""


class ConditionError(InputError):
    """A boundary or initial condition cannot be bound: unknown set, clash, missing Dirichlet part."""


class ConfigError(InputError):
    """A problem file or command line is wrong."""


class FormulaError(ConfigError):
    """A formula uses something outside the whitelist."""


class StepTooLong(InputError):
    """An explicit step exceeds the stability bound.

    Attributes:
        dt: the step asked for. dt_max: the longest stable one.
    """

    def __init__(self, dt: float, dt_max: float, stepper: str, why: str):
        self.dt, self.dt_max = dt, dt_max
        super().__init__(
            f"step dt={dt:.3g} exceeds the stability bound {dt_max:.3g} of {stepper} ({why}); "
            f"take dt <= {0.9 * dt_max:.2g}, an implicit stepper such as backward_euler, or allow_unstable=True"
        )


class AdjointCaveat(UserWarning):
    """Said once: what the gradient by the adjoint equation is. ``warnings.simplefilter("ignore", AdjointCaveat)``."""


class LockingCaveat(UserWarning):
    """Elements of first order are too stiff for a body that hardly changes its volume."""


class RoundingCaveat(UserWarning):
    """Rounding may be seen in the digits that are shown."""


class SolveError(GraphpdeError, RuntimeError):
    """A solver stopped without a usable answer; ``result`` holds what it had."""

    def __init__(self, message: str, result: Any = None):
        self.result = result
        super().__init__(message)


class Diverged(SolveError):
    """The state became non-finite during evolution.

    Attributes:
        t, step: where it was found. node, term: the first bad node and the term that produced it. last: last good
            state.
    """

    def __init__(self, t: float, step: int, largest: float, node: int, term: str, last: Any = None):
        self.t, self.step, self.largest, self.node, self.term, self.last = t, step, largest, node, term, last
        super().__init__(
            f"the solution became non-finite at step {step} (t={t:.6g}), first at node {node}, in {term}; largest "
            f"value before: {largest:.3g}; take a smaller dt or an implicit stepper, or check the coefficients"
        )


class StepUnderflow(SolveError):
    """The step control asked for steps too short to move time on.

    Attributes:
        t, dt: where, and the step asked for. largest: of the last good state. suspect: term and node of the error.
        stiff: whether an explicit step is held back by the linear part. last: last good state.
    """

    def __init__(self, t: float, dt: float, largest: float, suspect: str, stiff: bool = False, last: Any = None):
        self.t, self.dt, self.largest, self.suspect, self.stiff, self.last = t, dt, largest, suspect, stiff, last
        remedy = (
            "the linear part is stiff: take an implicit stepper such as esdirk4"
            if stiff
            else "the solution may blow up or jump there: stop before, loosen rtol and atol, or check the coefficients"
        )
        super().__init__(
            f"the step fell to dt={dt:.3g} at t={t:.9g} and the error is still too large, most of all from {suspect}; "
            f"largest value before: {largest:.3g}; {remedy}"
        )
