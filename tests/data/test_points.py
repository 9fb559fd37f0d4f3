"""Samples of users: tables and arrays, and what is no table."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch

from graphpde.data import read_samples
from graphpde.errors import DatasetError


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("1,2\n3,4.5\n", ()),
        ("# note\n\nlat,lon\n1,2\n3,4.5\n", ("lat", "lon")),
        ("1;2\n3;4.5", ()),
        ("  1   2\n 3 4.5\n", ()),
        ('"a"\t"b"\n1\t2\n3\t4.5\n', ("a", "b")),
        ("\ufeff1,2\r\n3,4.5\r\n", ()),
    ],
)
def test_tables(tmp_path: Path, text: str, names: tuple[str, ...]) -> None:
    file = tmp_path / "a.csv"
    file.write_text(text, encoding="utf-8")
    packed = tmp_path / "a.csv.gz"
    packed.write_bytes(gzip.compress(text.encode()))
    for path in (file, packed):
        found = read_samples(path)
        assert found.names == names
        assert torch.equal(found.x, torch.tensor([[1, 2], [3, 4.5]], dtype=torch.float64))


def test_columns_in_another_order(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("b,a\n1,2\n3,4\n")
    found = read_samples(tmp_path / "a.csv")
    turned = found.arranged(["a", "b"])
    assert turned.names == ("a", "b")
    assert turned.x.tolist() == [[2, 1], [4, 3]]
    assert found.arranged(["a", "c"]) is found


def test_arrays(tmp_path: Path) -> None:
    x = np.arange(24, dtype=np.float32).reshape(4, 3, 2)
    np.savez(tmp_path / "a.npz", x=x)
    found = read_samples(tmp_path / "a.npz")
    assert found.x.dtype == torch.float64
    assert np.array_equal(found.x.numpy(), x)


BAD = {
    "there is no file": None,
    "holds no row": "# nothing\n\n",
    "holds names and no row": "a,b\n",
    "line 3 of .* has 1 entries, expected 2": "1,2\n3,4\n5\n",
    "line 2 of .* has 'nan', expected a finite number": "1,2\n3,nan\n",
    "line 2 of .* has 'b', expected a finite number": "1,2\n3,b\n",
    "line 1 of .* has '', expected a finite number": ",2\n3,4\n",
    "line 1 of .* has 'NaN', expected a finite number": "1,NaN\n3,4\n",
    "line 1 of .* has 'inf', expected a finite number": "inf,2\n3,4\n",
    "line 1 of .* has 'b', expected a finite number": "1,b\n3,4\n",
}


@pytest.mark.parametrize("said", BAD)
def test_what_is_no_table(tmp_path: Path, said: str) -> None:
    file = tmp_path / "a.csv"
    if BAD[said] is not None:
        file.write_text(BAD[said])
    with pytest.raises(DatasetError, match=said):
        read_samples(file)


def test_what_is_no_file_of_samples(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(DatasetError, match="is no text in UTF-8"):
        read_samples(tmp_path / "a.csv")
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"1,2\n" * 100)[:-20])
    with pytest.raises(DatasetError, match="cannot read"):
        read_samples(tmp_path / "a.csv.gz")
    np.savez(tmp_path / "a.npz", x=np.zeros(3))
    with pytest.raises(DatasetError, match=r"of shape \[3\], expected numbers \[samples, channels\]"):
        read_samples(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", x=np.full((2, 2), np.inf))
    with pytest.raises(DatasetError, match="has 4 entries that are not finite"):
        read_samples(tmp_path / "b.npz")
    np.savez(tmp_path / "c.npz", y=np.zeros((2, 2)))
    with pytest.raises(DatasetError, match="it has no array 'x'; it has: y"):
        read_samples(tmp_path / "c.npz")
