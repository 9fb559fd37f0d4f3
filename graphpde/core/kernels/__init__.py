"""One dispatch for the two raw kernels that every sum over edges is made of.

``spmm`` (weighted sum of neighbours) and ``sddmm`` (one dot product per edge) are closed under differentiation, so
all orders of derivatives follow from the pair. They are registered with torch.library without autograd: derivatives
live in :mod:`graphpde.core.message`.

The backend is chosen by ``GRAPHPDE_KERNELS=auto|reference|csr`` or ``with kernels.use("reference"):``.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Protocol

import torch
from torch import Tensor

from graphpde.core.kernels import csr, reference
from graphpde.core.kernels.plan import Plan, index_dtype
from graphpde.registry import Registry

__all__ = [
    "BACKENDS",
    "Plan",
    "backend",
    "backend_name",
    "index_dtype",
    "plain_sddmm",
    "plain_spmm",
    "sddmm",
    "spmm",
    "use",
]


class Backend(Protocol):
    """A module with the two kernels."""

    def spmm(self, plan: Plan, w: Tensor | None, x: Tensor) -> Tensor: ...

    def sddmm(self, plan: Plan, g: Tensor, x: Tensor) -> Tensor: ...


BACKENDS: Registry[Backend] = Registry("kernel backend")
BACKENDS.add("reference")(reference)
BACKENDS.add("csr")(csr)

plain_spmm, plain_sddmm = reference.spmm, reference.sddmm
_forced: list[str] = []


def backend_name() -> str:
    """The backend in force: the innermost ``use``, else GRAPHPDE_KERNELS, else the measured choice (csr)."""
    name = _forced[-1] if _forced else os.environ.get("GRAPHPDE_KERNELS", "auto")
    if name == "auto":
        return "csr"
    BACKENDS[name]
    return name


def backend() -> Backend:
    """The backend in force, for calls that nothing traces."""
    return BACKENDS[backend_name()]


@contextlib.contextmanager
def use(name: str) -> Iterator[None]:
    """Force a backend inside a ``with`` block; "auto" restores the measured choice."""
    if name != "auto":
        BACKENDS[name]
    _forced.append(name)
    try:
        yield
    finally:
        _forced.pop()


_library = torch.library.Library("graphpde", "DEF")
_library.define(
    "spmm(Tensor? ptr, Tensor idx, Tensor row, Tensor? perm, SymInt n_in, SymInt n_out, Tensor? w, Tensor x) -> Tensor"
)
_library.define(
    "sddmm(Tensor? ptr, Tensor idx, Tensor row, Tensor? perm, SymInt n_in, SymInt n_out, Tensor g, Tensor x) -> Tensor"
)


def _spmm(
    ptr: Tensor | None,
    idx: Tensor,
    row: Tensor,
    perm: Tensor | None,
    n_in: int,
    n_out: int,
    w: Tensor | None,
    x: Tensor,
) -> Tensor:
    return backend().spmm(Plan(ptr, idx, row, perm, n_in, n_out), w, x)


def _sddmm(
    ptr: Tensor | None, idx: Tensor, row: Tensor, perm: Tensor | None, n_in: int, n_out: int, g: Tensor, x: Tensor
) -> Tensor:
    return backend().sddmm(Plan(ptr, idx, row, perm, n_in, n_out), g, x)


for _device in ("CPU", "CUDA"):
    _library.impl("spmm", _spmm, _device)
    _library.impl("sddmm", _sddmm, _device)


@torch.library.register_fake("graphpde::spmm", lib=_library)
def _(ptr, idx, row, perm, n_in, n_out, w, x):  # type: ignore[no-untyped-def]
    return x.new_empty(x.shape[0], n_out, x.shape[2])


@torch.library.register_fake("graphpde::sddmm", lib=_library)
def _(ptr, idx, row, perm, n_in, n_out, g, x):  # type: ignore[no-untyped-def]
    return x.new_empty(x.shape[0], idx.shape[0])


def spmm(plan: Plan, w: Tensor | None, x: Tensor) -> Tensor:
    """The raw weighted sum through the dispatcher; not differentiable (see :mod:`graphpde.core.message`)."""
    return torch.ops.graphpde.spmm(*plan, w, x)


def sddmm(plan: Plan, g: Tensor, x: Tensor) -> Tensor:
    """The raw edge dot product through the dispatcher; not differentiable."""
    return torch.ops.graphpde.sddmm(*plan, g, x)
