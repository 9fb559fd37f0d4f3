"""One dispatch for the raw kernels that every sum over edges is made of.

``spmm`` (weighted sum of neighbours) and ``sddmm`` (one dot product per edge) are closed under differentiation, so
all orders of derivatives follow from the pair; extrema, softmax, logsumexp and attention have kernels of their own for
speed. The pair and the extrema are registered with torch, without autograd: derivatives live above.

The backend is chosen by ``GRAPHPDE_KERNELS=auto|reference|csr|native|triton|torch_scatter`` or
``with kernels.use("reference"):``. A backend is a module with ``spmm`` and ``sddmm`` and as many of the other kernels
as it has; ``missing()`` says why it cannot be used here.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from types import ModuleType

import torch
from torch import Tensor
from torch import library as registration

from graphpde.core.kernels import csr, native, reference, torch_scatter, triton
from graphpde.core.kernels.composed import Kernels
from graphpde.core.kernels.plan import Plan, index_dtype
from graphpde.errors import InputError
from graphpde.registry import Registry

__all__ = [
    "BACKENDS",
    "Kernels",
    "Plan",
    "available",
    "backend",
    "backend_name",
    "extreme",
    "index_dtype",
    "missing",
    "reference",
    "sddmm",
    "spmm",
    "use",
]

BACKENDS: Registry[ModuleType] = Registry("kernel backend")
BACKENDS.add("reference")(reference)
BACKENDS.add("csr")(csr)
BACKENDS.add("native")(native)
BACKENDS.add("triton")(triton)
BACKENDS.add("torch_scatter")(torch_scatter)

# the fastest measured first (benchmarks/README.md)
PREFERRED = {"cpu": ("native", "csr"), "cuda": ("triton", "csr")}

_forced: list[tuple[object, str]] = []  # for the whole process: backward passes may run in threads of torch's own
_completed: dict[tuple[str, str], Kernels] = {}


def missing(name: str) -> str | None:
    """Why a backend cannot be used on this machine, or None."""
    reason = getattr(BACKENDS[name], "missing", None)
    return None if reason is None else reason()


def available() -> list[str]:
    """The backends that can be used here."""
    return [name for name in BACKENDS if missing(name) is None]


def backend_name(device: str = "cpu") -> str:
    """The backend in force: the innermost ``use``, else GRAPHPDE_KERNELS, else the measured choice for the device.

    Raises:
        InputError: unknown, or not usable here.
    """
    name = _wanted()
    if name == "auto":
        preferred = PREFERRED.get(device, ("csr",))
        return next((name for name in preferred if name in BACKENDS and missing(name) is None), "csr")
    _require(name)
    return name


def backend(x: Tensor) -> Kernels:
    """The kernels in force for tensors like ``x``."""
    key = _wanted(), x.device.type
    found = _completed.get(key)
    if found is None:
        name = backend_name(key[1])
        devices = getattr(BACKENDS[name], "DEVICES", None)
        if devices and key[1] not in devices:
            raise InputError(
                f"kernel backend '{name}' works on {', '.join(devices)}, got a tensor on {key[1]}; choose 'auto'"
            )
        found = _completed[key] = Kernels(name, BACKENDS[name], reference)
    return found


@contextlib.contextmanager
def use(name: str) -> Iterator[None]:
    """Force a backend inside a ``with`` block, in all threads; "auto" restores the measured choice.

    Raises:
        InputError: unknown, or not usable here.
    """
    if name != "auto":
        _require(name)
    mine = object(), name
    _forced.append(mine)
    try:
        yield
    finally:
        _forced.remove(mine)


def _wanted() -> str:
    return _forced[-1][1] if _forced else os.environ.get("GRAPHPDE_KERNELS", "auto")


def _require(name: str) -> None:
    why = missing(name)
    if why is not None:
        raise InputError(f"kernel backend '{name}' cannot be used here ({why}); choose one of {', '.join(available())}")


# The registered operators: what tracers and compilers see instead of addresses in memory.

_PLAN = "Tensor? ptr, Tensor idx, Tensor row, Tensor? perm, SymInt n_in, SymInt n_out, SymInt key"
_library = registration.Library("graphpde", "DEF")
_library.define(f"spmm({_PLAN}, Tensor? w, Tensor x) -> Tensor")
_library.define(f"sddmm({_PLAN}, Tensor y, Tensor x, int heads, bool shared) -> Tensor")
_library.define(f"extreme({_PLAN}, Tensor x, bool largest) -> (Tensor, Tensor)")

for _device in ("CPU", "CUDA"):
    _library.impl("spmm", lambda *a: backend(a[-1]).spmm(Plan.of(*a[:7]), *a[7:]), _device)
    _library.impl("sddmm", lambda *a: backend(a[7]).sddmm(Plan.of(*a[:7]), *a[7:]), _device)
    _library.impl("extreme", lambda *a: backend(a[7]).extreme(Plan.of(*a[:7]), *a[7:]), _device)


@registration.register_fake("graphpde::spmm", lib=_library)
def _(ptr, idx, row, perm, n_in, n_out, key, w, x):  # type: ignore[no-untyped-def]
    return x.new_empty(x.shape[0], n_out, x.shape[2])


@registration.register_fake("graphpde::sddmm", lib=_library)
def _(ptr, idx, row, perm, n_in, n_out, key, y, x, heads, shared):  # type: ignore[no-untyped-def]
    return x.new_empty(1 if shared else x.shape[0], idx.shape[0], heads)


@registration.register_fake("graphpde::extreme", lib=_library)
def _(ptr, idx, row, perm, n_in, n_out, key, x, largest):  # type: ignore[no-untyped-def]
    shape = x.shape[0], n_out, x.shape[2]
    return x.new_empty(shape), x.new_empty(shape, dtype=torch.int64)


def spmm(plan: Plan, w: Tensor | None, x: Tensor) -> Tensor:
    """The raw weighted sum through the dispatcher; not differentiable (see :mod:`graphpde.core.message`)."""
    return torch.ops.graphpde.spmm(*plan.parts(), w, x)


def sddmm(plan: Plan, y: Tensor, x: Tensor, heads: int, shared: bool) -> Tensor:
    """The raw edge dot product through the dispatcher; not differentiable."""
    return torch.ops.graphpde.sddmm(*plan.parts(), y, x, heads, shared)


def extreme(plan: Plan, x: Tensor, largest: bool) -> tuple[Tensor, Tensor]:
    """The raw extremum through the dispatcher; not differentiable."""
    return torch.ops.graphpde.extreme(*plan.parts(), x, largest)
