"""Sealed files: what goes in comes out, and nothing else is taken for one."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.graph.checkpoints import damaged, disguised
from graphpde.errors import CheckpointError, InputError, OutputError
from graphpde.train.sealed import config_hash, read_sealed, write_sealed


def same(a: Any, b: Any) -> bool:
    """Equal in type, shape and bits."""
    if isinstance(a, torch.Tensor):
        if a.dtype != b.dtype or a.shape != b.shape:
            return False
        a, b = (torch.view_as_real(t.resolve_conj()) if t.is_complex() else t for t in (a, b))
        parts = [t.clone(memory_format=torch.contiguous_format).reshape(-1).view(torch.uint8) for t in (a, b)]
        return torch.equal(*parts)
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and (a == b or (a != a and b != b))


def test_every_value_comes_back_as_it_was(tmp_path: Path) -> None:
    shared = torch.randn(6, 2)
    kinds = [
        torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.complex64, torch.complex128, torch.int64,
        torch.uint8, torch.bool,
    ]  # fmt: skip
    values = {
        "tensors": [torch.randn(3, 2).to(kind) for kind in kinds],
        "odd": (torch.empty(0, 4), torch.tensor(3.0), torch.tensor([math.nan, -0.0, math.inf]), shared.T, shared[::2]),
        "plain": [1, -1, 2**70, 0.1, 1e-320, math.nan, math.inf, -math.inf, True, None, 'ü\n"seal":"' + "0" * 64],
        "a": {"b": torch.ones(1)},
        "a.b": torch.zeros(1),  # the same path, another place
        "": {},
        "__metadata__": torch.ones(2),  # a name that the format has taken
        "seen": torch.tensor([1 + 2j]).conj(),
        "turned": torch.tensor([1 + 2j]).conj().imag,
    }
    write_sealed(tmp_path / "x", "model", values, {"rate": 0.1})
    found = read_sealed(tmp_path / "x", "model")
    assert same(values, found.values) and found.config == {"rate": 0.1}
    assert found.versions["torch"] == torch.__version__


def test_any_other_program_reads_the_tensors(tmp_path: Path) -> None:
    from safetensors import safe_open
    from safetensors.torch import load_file

    weight = torch.randn(3)
    write_sealed(tmp_path / "x", "model", {"layer": {"weight": weight}}, {"rate": 0.1})
    assert torch.equal(load_file(tmp_path / "x")["layer.weight"], weight)
    with safe_open(tmp_path / "x", "pt") as file:
        manifest = json.loads(file.metadata()["graphpde"])
    assert manifest["format"] == 1 and manifest["config_sha256"] == config_hash({"rate": 0.1})
    assert len(manifest["tensors"]["layer.weight"]) == 64


@pytest.mark.parametrize("kind", ["flips", "cuts"])
def test_no_damaged_file_is_loaded(tmp_path: Path, kind: str) -> None:
    count = 150
    found = damaged(kind, count, random.Random(4), tmp_path)
    assert found == {kind: count, f"{kind}_loaded": 0, f"{kind}_other_errors": 0}


def test_nothing_in_a_pickle_runs(tmp_path: Path) -> None:
    assert disguised(tmp_path) == {"gadgets": 10, "gadgets_executed": 0, "gadgets_refused": 10}


def test_the_pickles_would_run_elsewhere(tmp_path: Path) -> None:
    """The canary sings where they are unpickled: the gadgets are real."""
    import pickle

    from benchmarks.graph.checkpoints import gadgets

    name, data = next(gadgets(tmp_path / "canary"))
    pickle.loads(data)
    assert name == "os.system" and (tmp_path / "canary").exists()


def rewritten(path: Path, change: Any) -> None:
    """Change the manifest and seal the file anew, as a later version or an ill-meaning person would."""
    import hashlib

    from safetensors.torch import load, save

    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    manifest = json.loads(json.loads(data[8 : 8 + size])["__metadata__"]["graphpde"])
    change(manifest)
    made = save(load(data), {"graphpde": json.dumps(manifest), "seal": "0" * 64})
    path.write_bytes(made.replace(b"0" * 64, hashlib.sha256(made).hexdigest().encode()))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda m: m.update(format=2), "has format 2, this version of graphpde reads 1; read it with graphpde"),
        (lambda m: m.update(kind="checkpoint"), "is a checkpoint, expected a model"),
        (lambda m: m["tensors"].update(a="0" * 64), r"is damaged \(tensor 'a' differs from its SHA-256\)"),
        (lambda m: m["tensors"].update(b="0" * 64), "is damaged"),
        (lambda m: m["values"]["map"].update(c={"call": "os.system"}), "its values hold an unknown kind, 'call'"),
        (lambda m: m["values"]["map"].update(c=[1]), "not nested as expected"),
        (lambda m: m["values"]["map"].update(c={"tensor": "b"}), "is damaged"),
        (lambda m: m.pop("values"), "is damaged"),
    ],
)
def test_a_sealed_file_with_another_manifest_is_refused(tmp_path: Path, change: Any, says: str) -> None:
    path = tmp_path / "x"
    write_sealed(path, "model", {"a": torch.randn(3)})
    rewritten(path, lambda m: None)
    read_sealed(path, "model")
    rewritten(path, change)
    with pytest.raises(CheckpointError, match=says):
        read_sealed(path, "model")


def test_what_is_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="cannot read the model .*: No such file"):
        read_sealed(tmp_path / "none", "model")
    with pytest.raises(CheckpointError, match="cannot read the model .*: Is a directory"):
        read_sealed(tmp_path, "model")
    (tmp_path / "empty").write_bytes(b"")
    with pytest.raises(CheckpointError, match="is no model of graphpde, or a damaged one .*its header is not there"):
        read_sealed(tmp_path / "empty", "model")
    from safetensors.torch import save_file

    save_file({"a": torch.ones(2)}, tmp_path / "plain")
    with pytest.raises(CheckpointError, match="is no model of graphpde"):
        read_sealed(tmp_path / "plain", "model")
    deep = b"[" * 100_000
    (tmp_path / "deep").write_bytes(len(deep).to_bytes(8, "little") + deep)
    with pytest.raises(CheckpointError, match="RecursionError"):
        read_sealed(tmp_path / "deep", "model")


def test_what_cannot_be_kept(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'a.f' is a builtin_function_or_method, expected tensors"):
        write_sealed(tmp_path / "x", "model", {"a": {"f": print}})
    with pytest.raises(InputError, match="'a' is a tensor of layout torch.sparse_coo, expected a dense one"):
        write_sealed(tmp_path / "x", "model", {"a": torch.eye(3).to_sparse()})
    with pytest.raises(InputError, match="'a' has the key 1, expected texts"):
        write_sealed(tmp_path / "x", "model", {"a": {1: 2}})
    with pytest.raises(InputError, match="the configuration cannot be kept"):
        write_sealed(tmp_path / "x", "model", {}, {"f": print})
    with pytest.raises(OutputError, match="it is a folder"):
        write_sealed(tmp_path, "model", {})
    assert list(tmp_path.iterdir()) == []
