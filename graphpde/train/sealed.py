"""Nested values with tensors in one sealed safetensors file: whole and as written, or refused; nothing in it can run.

The file is an ordinary safetensors file. Its metadata hold two texts: ``graphpde``, the manifest as JSON (format, kind,
versions, configuration and its SHA-256, SHA-256 of every tensor, and the nesting of the values), and ``seal``, the
SHA-256 of all bytes of the file with 64 zeros in place of the seal. One file instead of two cannot be of two ages, and
takes its place by a single rename.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from graphpde import __version__
from graphpde.errors import CheckpointError, InputError
from graphpde.mesh.io.aside import written

FORMAT = 1
_MANIFEST, _SEAL = "graphpde", "seal"
_BLANK = "0" * 64
_NUMBERS = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}
_PAIRS = {torch.complex64, torch.complex128}


class Opened(NamedTuple):
    """What a sealed file holds.

    Attributes:
        values: nested as they were given. config: plain values. versions: of graphpde and torch that wrote it.
    """

    values: Any
    config: Any
    versions: Mapping[str, str]


def config_hash(config: Any) -> str:
    """SHA-256 of plain nested values; the order of keys does not count.

    Raises:
        InputError: something in it is no plain value.
    """
    try:
        text = json.dumps(config, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"the configuration cannot be kept ({error}), expected numbers, texts, lists and tables"
        ) from None
    return hashlib.sha256(text.encode()).hexdigest()


def write_sealed(path: str | os.PathLike[str], kind: str, values: Any, config: Any = None) -> None:
    """Write nested values aside, wait until they lie on the disk, and move them into place.

    Args:
        kind: what it is, such as "checkpoint"; reading asks for the same. values: dicts with texts as keys, lists,
            tuples, tensors (any device; they come back on the CPU), numbers, texts, booleans, None.
        config: plain values that tell what it belongs to.

    Raises:
        InputError: a value of another type. OutputError: it cannot be written; an older file stays.
    """
    from safetensors.torch import save

    tensors: dict[str, Tensor] = {}
    tree = _flat(values, "", tensors)
    manifest = {
        "format": FORMAT,
        "kind": kind,
        "versions": {"graphpde": __version__, "torch": str(torch.__version__)},
        "config": config,
        "config_sha256": config_hash(config),
        "tensors": {name: _digest(t) for name, t in tensors.items()},
        "values": tree,
    }
    data = save(tensors, {_MANIFEST: json.dumps(manifest, allow_nan=False), _SEAL: _BLANK})
    seal = hashlib.sha256(data).hexdigest()
    with written(path, lasting=True) as aside:
        aside.write_bytes(data.replace(_seal(_BLANK), _seal(seal), 1))


def read_sealed(path: str | os.PathLike[str], kind: str) -> Opened:
    """Read it back, if not a single byte has changed.

    Raises:
        CheckpointError: missing, no such file, damaged, another kind, or of another format.
    """
    from safetensors.torch import load

    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise CheckpointError(f"cannot read the {kind} '{path}': {error.strerror or error}") from None
    texts = _metadata(data, path, kind)
    own = _seal(texts[_SEAL])
    sound = data.count(own) == 1 and hashlib.sha256(data.replace(own, _seal(_BLANK))).hexdigest() == texts[_SEAL]
    try:
        manifest = json.loads(texts[_MANIFEST])
        tensors = load(data)
        changed = [name for name, t in tensors.items() if manifest["tensors"].get(name) != _digest(t)]
        if sound and not changed and manifest["format"] != FORMAT:
            raise CheckpointError(
                f"the {kind} '{path}' has format {manifest['format']}, this version of graphpde reads {FORMAT}; read "
                f"it with graphpde {manifest['versions']['graphpde']}, which wrote it"
            )
        if not sound or changed or tensors.keys() != manifest["tensors"].keys():
            what = f"tensor '{changed[0]}' differs from its SHA-256" if changed else "its SHA-256 differs"
            raise CheckpointError(f"the {kind} '{path}' is damaged ({what}); {_WAY_OUT}")
        if manifest["kind"] != kind:
            raise CheckpointError(f"'{path}' is a {manifest['kind']}, expected a {kind}")
        return Opened(_nested(manifest["values"], tensors), manifest["config"], manifest["versions"])
    except CheckpointError:
        raise
    except Exception as error:  # safetensors and the manifest fail in as many ways as there are kinds of damage
        said = " ".join(str(error).split()) or type(error).__name__
        raise CheckpointError(f"the {kind} '{path}' is damaged ({said}); {_WAY_OUT}") from None


_WAY_OUT = "take an older one, or a copy of it"


def _seal(digits: str) -> bytes:
    return f'"{_SEAL}":"{digits}"'.encode()


def _metadata(data: bytes, path: Any, kind: str) -> dict[str, str]:
    """The two texts in the header; a pickle, an archive or a text file has none."""
    size = int.from_bytes(data[:8], "little")
    try:
        if len(data) < 8 or size > len(data) - 8:
            raise ValueError("its header is not there, or cut off")
        texts = json.loads(data[8 : 8 + size])["__metadata__"]
        if not (isinstance(texts[_MANIFEST], str) and isinstance(texts[_SEAL], str) and len(texts[_SEAL]) == 64):
            raise ValueError("its manifest or seal is not a text")
        return texts
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CheckpointError(
            f"'{path}' is no {kind} of graphpde, or a damaged one ({type(error).__name__}: {error}); {_WAY_OUT}"
        ) from None


def _digest(t: Tensor) -> str:
    digest = hashlib.sha256(f"{t.dtype}{list(t.shape)}".encode())
    if t.numel():
        digest.update(t.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _flat(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    """The value as JSON, each container tagged by its type; tensors go to ``tensors`` under their path."""
    if isinstance(value, Tensor):
        if value.layout != torch.strided:
            raise InputError(f"'{name}' is a tensor of layout {value.layout}, expected a dense one")
        kept = value.detach().cpu().resolve_conj().resolve_neg()
        kept = torch.view_as_real(kept) if kept.dtype in _PAIRS else kept
        key = name or "tensor"
        while key in tensors or key == "__metadata__":  # a dot in a key may make two paths alike; that one is taken
            key += "'"
        # parameters may share memory, tensors in a file may not
        tensors[key] = kept.clone(memory_format=torch.contiguous_format)
        return {"complex" if value.dtype in _PAIRS else "tensor": key}
    if isinstance(value, Mapping):
        stray = [key for key in value if not isinstance(key, str)]
        if stray:
            raise InputError(f"'{name}' has the key {stray[0]!r}, expected texts as keys")
        return {"map": {key: _flat(part, f"{name}.{key}" if name else key, tensors) for key, part in value.items()}}
    if isinstance(value, list | tuple):
        parts = [_flat(part, f"{name}.{k}" if name else str(k), tensors) for k, part in enumerate(value)]
        return {"tuple" if isinstance(value, tuple) else "list": parts}
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": str(value)}
    if value is None or isinstance(value, bool | int | float | str):
        return value  # JSON writes the shortest digits that give the same float
    raise InputError(f"'{name}' is a {type(value).__name__}, expected tensors, numbers, texts, lists and tables")


def _nested(node: Any, tensors: Mapping[str, Tensor]) -> Any:
    if not isinstance(node, dict):
        if node is None or isinstance(node, bool | int | float | str):
            return node
        raise ValueError("its values are not nested as expected")
    ((tag, inside),) = node.items()
    match tag:
        case "tensor":
            return tensors[inside]
        case "complex":
            return torch.view_as_complex(tensors[inside])
        case "map":
            return {key: _nested(part, tensors) for key, part in inside.items()}
        case "list":
            return [_nested(part, tensors) for part in inside]
        case "tuple":
            return tuple(_nested(part, tensors) for part in inside)
        case "float":
            return _NUMBERS[inside]
    raise ValueError(f"its values hold an unknown kind, '{tag}'")
