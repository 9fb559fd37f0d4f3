"""A checkpoint comes back bit by bit, and one that is damaged or foreign is refused."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch

from graphpde.errors import InputError, OutputError
from graphpde.mesh import rectangle, write_mesh
from graphpde.run.checkpoint import Checkpoint, Origin, carry_kind, fingerprint, read_checkpoint, write_checkpoint


def checkpoint(dtype: torch.dtype = torch.float64, carry: bool = True) -> Checkpoint:
    state = torch.randn(7, 2, generator=torch.Generator().manual_seed(0), dtype=dtype)
    kept = state + 1 if carry else None
    config = {"pde": "heat", "time": {"dt": 0.1 + 0.2}, "boundary": {"à b": {"value": "sin(t)"}}}
    mesh = {"file": None, "content": "ab"}
    return Checkpoint(1 / 3, 17, 4, state, Origin(0.1, 3, 0), kept, "tensor", config, mesh)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("carry", [True, False])
def test_it_comes_back_bit_by_bit(tmp_path: Path, dtype: torch.dtype, carry: bool) -> None:
    one = checkpoint(dtype, carry)
    write_checkpoint(tmp_path / "c.npz", one)
    two = read_checkpoint(tmp_path / "c.npz")
    assert two.state.dtype == dtype and torch.equal(one.state, two.state)
    assert (two.carry is None) is not carry and (not carry or torch.equal(one.carry, two.carry))
    assert one._replace(state=None, carry=None) == two._replace(state=None, carry=None)
    with np.load(tmp_path / "c.npz", allow_pickle=False) as file:  # nothing in it needs unpickling
        assert {"meta", "checksum", "state"} <= set(file.files)


def test_one_flipped_bit_is_found(tmp_path: Path) -> None:
    """Anywhere in the state: by the checksum of the archive or by ours."""
    path = tmp_path / "c.npz"
    write_checkpoint(path, checkpoint())
    data = path.read_bytes()
    with np.load(path) as file:
        where = data.index(file["state"].tobytes())
    for offset in (0, 55, 111):
        broken = bytearray(data)
        broken[where + offset] ^= 1
        path.write_bytes(bytes(broken))
        with pytest.raises(InputError, match=r"is damaged .*--resume RUN@TIME"):
            read_checkpoint(path)


def test_our_checksum_covers_the_text(tmp_path: Path) -> None:
    path = tmp_path / "c.npz"
    write_checkpoint(path, checkpoint())
    with np.load(path) as file:
        arrays = dict(file)
    arrays["meta"] = np.array(str(arrays["meta"]).replace('"step": 17', '"step": 18'))
    np.savez(path, **arrays)
    with pytest.raises(InputError, match="its checksum differs"):
        read_checkpoint(path)


@pytest.mark.parametrize("keep", [0, 10, 400])
def test_a_file_cut_short_is_refused(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "c.npz"
    write_checkpoint(path, checkpoint())
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match="is damaged"):
        read_checkpoint(path)
    with pytest.raises(InputError, match="there is no checkpoint"):
        read_checkpoint(tmp_path / "none.npz")


def test_pickled_objects_are_never_loaded(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "sprung",))

    np.savez(tmp_path / "c.npz", meta=np.array([Trap()], dtype=object), checksum=np.array("x"), state=np.zeros(1))
    with pytest.raises(InputError, match="is damaged"):
        read_checkpoint(tmp_path / "c.npz")
    assert not (tmp_path / "sprung").exists()


def test_a_failed_write_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "c.npz"
    write_checkpoint(path, checkpoint())
    before = path.read_bytes()

    def full(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OutputError, match="the disk is full"):
        write_checkpoint(path, checkpoint()._replace(step=99))
    assert path.read_bytes() == before and [*tmp_path.iterdir()] == [path]


def test_what_steppers_hand_on() -> None:
    class Cache(NamedTuple):
        dt: float
        solver: object

    class History(NamedTuple):
        before: torch.Tensor
        dt: float

    x = torch.zeros(2, 1)
    assert carry_kind(x) == "tensor" and carry_kind(None) == "cache" and carry_kind(Cache(0.1, object())) == "cache"
    assert carry_kind(History(x, 0.1)) == "history" and carry_kind((Cache(0.1, None), (x,))) == "history"


def test_fingerprints_tell_meshes_apart(tmp_path: Path) -> None:
    mesh = rectangle(3, 3)
    path = tmp_path / "m.vtu"
    write_mesh(path, mesh)
    own = fingerprint(mesh, path)
    assert own == fingerprint(rectangle(3, 3), path) and own["file"] is not None
    assert own["content"] != fingerprint(rectangle(3, 4), path)["content"]
    tagged = mesh.with_tags(hot=mesh.make_tag(2, torch.tensor([0])))
    assert own["content"] != fingerprint(tagged, path)["content"]
    path.write_bytes(path.read_bytes() + b"\n")
    assert own["file"] != fingerprint(mesh, path)["file"] and own["content"] == fingerprint(mesh, path)["content"]
