"""JSON of scikit-fem: what that library writes comes back with its sets, all else is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import skfem
from skfem.io import json as skfem_json

from graphpde.errors import MeshReadError
from graphpde.mesh import cell_measures, signed_measures
from graphpde.mesh.io import read_mesh
from tests.mesh.io_samples import put


@pytest.mark.parametrize("make", [skfem.MeshLine, skfem.MeshTri, skfem.MeshQuad, skfem.MeshTet, skfem.MeshHex])
def test_what_scikit_fem_writes(tmp_path: Path, make) -> None:
    theirs = make().refined(2).with_boundaries({"left": lambda x: x[0] == 0})
    theirs = theirs.with_subdomains({"half": lambda x: x[0] < 0.5})
    skfem_json.to_file(theirs, str(tmp_path / "m.json"))
    mesh = read_mesh(tmp_path / "m.json")
    assert np.array_equal(mesh.points, theirs.p.T)
    assert float(cell_measures(mesh).sum()) == pytest.approx(1) and mesh.n_cells == theirs.nelements
    if mesh.dim in (1, 3):
        assert (signed_measures(mesh).abs() > 0).all()
    left = mesh.points[mesh.tag("left").nodes]
    assert len(mesh.tag("left").ids) == len(theirs.boundaries["left"]) and (left[:, 0] == 0).all()
    assert np.array_equal(mesh.tag("half").ids, np.sort(theirs.subdomains["half"]))


GOOD = {"p": [[0.0, 0], [1, 0], [0, 1]], "t": [[0, 1, 2]], "boundaries": {"a": [0, 2]}, "subdomains": None}


@pytest.mark.parametrize(
    "changed, reason",
    [
        ({"t": [[0, 1, 3]]}, "names point 3 or 0, expected 0..2"),
        ({"t": [[0, 1, -1]]}, "names point 1 or -1"),
        ({"t": [[0, 1, 1.5]]}, "cells 't' are no table"),
        ({"t": [[0, 1, 2], [0, 1]]}, "cells 't' are no table"),
        ({"t": [[0, 1, 2, 0, 1]]}, "5 corners in 2-D"),
        ({"p": []}, "points 'p' are no table"),
        ({"p": [["0", "0"]]}, "points 'p' are no table"),
        ({"boundaries": {"a": [3]}}, "set 'a' names a facet that does not exist, expected 0..2"),
        ({"subdomains": {"b": [1]}}, "set 'b' names a cell"),
        ({"subdomains": {"b": [[0]]}}, "set 'b' names a cell"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, changed: dict, reason: str) -> None:
    assert read_mesh(put(tmp_path, "m.json", json.dumps(GOOD))).tag("a").nodes.tolist() == [0, 1, 2]
    with pytest.raises(MeshReadError, match=reason):
        read_mesh(put(tmp_path, "m.json", json.dumps(GOOD | changed)))


def test_other_json_is_refused(tmp_path: Path) -> None:
    text = json.dumps(GOOD)
    for content, reason in (
        ('{"nodes": []}', "JSON has no common mesh format"),
        ("[1, 2]", "JSON has no common mesh format"),
        (text[:-9], "no valid JSON"),
        (text.replace("0.0", "NaN"), "no valid JSON .NaN is no number"),
        ("[" * 100_000, "too deeply|no valid JSON"),
        (b"\xff\xfe\x00", "no valid JSON"),
    ):
        with pytest.raises(MeshReadError, match=reason):
            read_mesh(put(tmp_path, "m.json", content))
