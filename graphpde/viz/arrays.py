"""Numbers from tensors, arrays and lists, as numpy arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphpde.errors import ShapeError


def numbers(values: Any, what: str) -> np.ndarray:
    """Real numbers as an array of their own type, from a tensor on any device, an array or a list.

    Raises:
        ShapeError: not real numbers, or rows of different lengths.
    """
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        values = values.double().numpy() if values.element_size() < 4 and values.is_floating_point() else values.numpy()
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise ShapeError(f"{what} has rows of different lengths, expected a full array") from error
    if array.dtype.kind not in "biuf":
        raise ShapeError(
            f"{what} is not an array of real numbers but of {array.dtype}; give real and imaginary parts apart"
        )
    return array


def as_array(values: Any, what: str) -> np.ndarray:
    """Real numbers as float64; see :func:`numbers`."""
    return numbers(values, what).astype(np.float64)
