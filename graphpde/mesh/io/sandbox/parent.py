"""Readers that are not to be trusted with the file, in a process of their own with limits on time, memory and output.

A file that makes such a reader loop, allocate, crash, print or end its process costs one sentence. The process gets no
input, an empty folder to work in, and no more memory and processor time than a file of its size can need.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from graphpde.mesh.io.raw import RawMesh, Unreadable
from graphpde.mesh.io.sandbox import child as sandbox_child
from graphpde.mesh.io.sandbox import handover

_MEGA = 1 << 20
_OWN = "it is read in a process of its own"
_PACKAGES = ("graphpde.mesh", "graphpde.mesh.io")  # entered without their __init__
_KEPT = ("PATH", "SYSTEMROOT", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TMPDIR", "TEMP", "TMP", "LANG", "LC_ALL")
# one thread: more cost address space; no filter plug-ins, which HDF5 would load from wherever a variable says
_GIVEN = {
    **dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
    "HDF5_PLUGIN_PRELOAD": "::",
}


class Limits(NamedTuple):
    """What a reader may use beyond what an idle one uses.

    Attributes:
        seconds: of processor time. patience: seconds on the clock, start included. memory, output: bytes.
    """

    seconds: float
    patience: float
    memory: int
    output: int


def limits_of(size: int) -> Limits:
    """Limits for a file of ``size`` bytes: four seconds and 256 MB, and in proportion to its size."""
    mega = size / _MEGA
    return Limits(4 + 2 * mega, 20 + 8 * mega, 256 * _MEGA + 32 * size, 64 * _MEGA + 32 * size)


def read(path: Path, reader: str, **options: Any) -> RawMesh:
    """Read a file in a process of its own.

    Args:
        reader: "module:function", called with the path and the options; it gives a raw mesh.

    Raises:
        Unreadable: the reader refused, ran into a limit, crashed, or left something that is no raw mesh.
        Exception: what else the reader raised, as one of the kinds that ``handover`` knows.
    """
    limits = limits_of(path.stat().st_size)
    with tempfile.TemporaryDirectory(prefix="graphpde-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        request = {
            "path": os.path.abspath(path),
            "reader": reader,
            "options": options,
            "places": _places(),
            "packages": {package: str(next(iter(sys.modules[package].__path__))) for package in _PACKAGES},
            **limits._asdict(),
        }
        (folder / sandbox_child.REQUEST).write_text(json.dumps(request), encoding="utf-8")
        code = _run(folder, limits)
        if (folder / handover.FAILURE).exists():
            raise _failure(handover.load_failure(folder), limits)
        if code or not (folder / handover.NAMES).exists():
            raise Unreadable(_end(code, folder, limits))
        return handover.load(folder)


def _places() -> list[str]:
    """Where modules are found, without the working folder, in which the file may lie."""
    own = str(Path(__file__).resolve().parents[4])  # of this very package, however it was found
    return [*(place for place in sys.path if os.path.isabs(place) and place != own), own]


def _run(folder: Path, limits: Limits) -> int:
    """Run the child to its end; its exit code, negative for a signal."""
    if not sys.executable:
        raise Unreadable(
            "it is read in a process of its own, and this program does not know its Python (sys.executable)"
        )
    command = [sys.executable, "-I", "-S", os.path.abspath(sandbox_child.__file__)]
    with open(folder / "stderr", "wb") as said:
        try:
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=said,
                cwd=folder,
                env={**{name: os.environ[name] for name in _KEPT if name in os.environ}, **_GIVEN},
                start_new_session=True,
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
        except OSError as error:
            raise Unreadable(
                f"it is read in a process of its own, which cannot be started ({error.strerror})"
            ) from None
        try:
            return child.wait(limits.patience)
        except subprocess.TimeoutExpired:
            raise Unreadable(_too_long(limits.patience)) from None
        finally:  # an interrupt passes through here as well
            _end_all(child)


def _end_all(child: subprocess.Popen) -> None:
    """End the child and whatever it has started, which is in its session."""
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
    elif child.poll() is None:
        child.kill()
    child.wait()


def _failure(error: Exception, limits: Limits) -> Exception:
    if isinstance(error, MemoryError):
        return Unreadable(_too_much(limits))
    if isinstance(error, OSError) and "File too large" in str(error):
        return Unreadable(f"what it unpacks to takes more than the {limits.output // _MEGA} MB that its size allows")
    return error


def _end(code: int, folder: Path, limits: Limits) -> str:
    """Why a child that left nothing ended."""
    if code == -getattr(signal, "SIGXCPU", 24):
        return _too_long(limits.seconds)
    said = (folder / "stderr").read_bytes()[-4000:].decode("utf-8", "replace")
    if "MemoryError" in said or "bad_alloc" in said:
        return _too_much(limits)
    if code < 0:
        known = {number.value: number.name for number in signal.Signals}
        return f"its reader crashed ({known.get(-code, -code)}); the file is probably damaged"
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return f"its reader ended without a result (exit code {code}{'; ' + lines[-1][:120] if lines else ''})"


def _too_long(seconds: float) -> str:
    return f"reading it took more than the {seconds:.0f} s that a file of its size may take; it is probably damaged"


def _too_much(limits: Limits) -> str:
    return (
        f"reading it asks for more memory than the {limits.memory // _MEGA} MB that a file of its size may take; "
        "its counts are probably damaged"
    )
