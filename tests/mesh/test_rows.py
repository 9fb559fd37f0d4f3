"""Rows of point numbers: sorting, grouping and looking up against loops over Python tuples."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from graphpde.errors import MeshError
from graphpde.mesh import rectangle
from graphpde.mesh.mesh import Mesh
from graphpde.mesh.rows import RowTable, distinct, grouped, lexicographic, repeated, sorted_rows

ROWS = st.integers(1, 5).flatmap(
    lambda width: arrays(np.int64, st.tuples(st.integers(1, 30), st.just(width)), elements=st.integers(-1, 6))
)


@settings(max_examples=200, deadline=None)
@given(ROWS)
def test_rows_are_sorted_and_grouped_as_tuples_are(rows: np.ndarray) -> None:
    assert np.array_equal(sorted_rows(rows), np.sort(rows, axis=1))
    tuples = list(map(tuple, rows.tolist()))
    assert lexicographic(rows).tolist() == sorted(range(len(rows)), key=lambda k: tuples[k])
    first, group, count = grouped(rows)
    kinds = sorted(set(tuples))
    assert [tuples[k] for k in first] == kinds
    assert first.tolist() == [tuples.index(kind) for kind in kinds]
    assert group.tolist() == [kinds.index(row) for row in tuples]
    assert count.tolist() == [tuples.count(kind) for kind in kinds]


@settings(max_examples=200, deadline=None)
@given(ROWS, st.booleans())
def test_repeated_rows_are_those_seen_before(rows: np.ndarray, any_order: bool) -> None:
    tuples = [tuple(sorted(row)) if any_order else tuple(row) for row in rows.tolist()]
    assert repeated(rows, any_order=any_order).tolist() == [k for k, row in enumerate(tuples) if row in tuples[:k]]


@settings(max_examples=200, deadline=None)
@given(ROWS, ROWS)
def test_a_table_finds_each_row_and_no_other(rows: np.ndarray, asked: np.ndarray) -> None:
    first, _, _ = grouped(sorted_rows(rows))
    table = sorted_rows(rows)[first]
    asked = np.concatenate([sorted_rows(asked), sorted_rows(asked) + 3])
    known = list(map(tuple, table.tolist()))
    expected = [known.index(row) if row in known else -1 for row in map(tuple, asked.tolist())]
    assert RowTable(table).find(asked).tolist() == expected
    assert RowTable(table[:0]).find(table).tolist() == [-1] * len(table)


def test_numbers_beyond_the_table_are_taken_for_no_other_row() -> None:
    table = RowTable(np.array([[0, 0], [1, 3]]))  # entries count to five, so (0, 8) would be the key of (1, 3)
    assert table.find(np.array([[0, 8], [1, 3], [0, 5]])).tolist() == [-1, 1, -1]


def test_large_numbers_do_not_run_over() -> None:
    big = 2**31 + 5
    rows = np.array([[big - 1, big], [0, big], [0, 3], [big - 1, big]])
    assert lexicographic(rows).tolist() == [2, 1, 0, 3]
    assert grouped(rows)[2].tolist() == [1, 1, 2]
    bits = np.array([[-1.0, 0], [0, -1.0], [-2.0, 0], [-1.0, 0]]).view(np.int64)
    assert grouped(bits)[1].tolist() in ([0, 2, 1, 0], [1, 2, 0, 1]) and grouped(bits)[2].tolist().count(2) == 1


def test_distinct_numbers_are_sorted_and_without_the_negative() -> None:
    assert distinct(torch.tensor([[5, -1], [0, 5]]), 7).tolist() == [0, 5]
    assert distinct(torch.tensor([], dtype=torch.int64), 0).tolist() == []


@pytest.mark.parametrize("dim", [0, 1, 2])
def test_a_mesh_finds_its_entities_whatever_the_order_and_width(dim: int) -> None:
    mesh = Mesh(
        [[0, 0], [1, 0], [1, 1], [0, 1], [2, 0.5]], {"quad": [[0, 1, 2, 3]], "triangle": [[1, 4, 2], [2, 4, 1]]}
    )
    nodes = mesh.entities(dim).nodes
    same = {2: [0, 1, 1]}.get(dim, list(range(len(nodes))))  # of two equal cells the first is found
    assert mesh.find(dim, nodes.flip(1)).tolist() == same
    padded = torch.cat([torch.full((len(nodes), 2), -1), nodes], 1)
    assert mesh.find(dim, padded).tolist() == same
    strange = torch.cat([torch.full((len(nodes), 6 - nodes.shape[1]), 0), nodes], 1)
    assert mesh.find(dim, strange).tolist() == [-1] * len(nodes)


def test_a_few_entities_are_found_among_many_as_all_are() -> None:
    mesh = rectangle(9, 8)
    few, all_of = mesh.facets.nodes[[5, 70, 3]], mesh.facets.nodes
    strange = torch.tensor([[0, 80], [99, 100], [-1, 3]])
    assert mesh.find(1, torch.cat([few.flip(1), strange])).tolist() == [5, 70, 3, -1, -1, -1]
    assert mesh.find(1, strange).tolist() == [-1, -1, -1]
    assert mesh.find(1, all_of).tolist() == list(range(len(all_of)))
    assert mesh.find(1, torch.cat([few.flip(1), strange])).tolist() == [5, 70, 3, -1, -1, -1]


def test_warnings_are_looked_for_when_asked_for_and_once() -> None:
    asked = []

    def look() -> list[str]:
        asked.append(1)
        return ["odd"]

    mesh = rectangle(2, 2).with_warnings(look, "plain")
    moved = mesh.with_points(mesh.points + 1).with_data({"u": torch.zeros(mesh.n)})
    assert not asked
    assert moved.warnings == ("odd", "plain") and mesh.warnings == ("odd", "plain") and moved.warnings
    assert len(asked) == 1


def test_a_long_chain_of_changed_meshes_stays_light_and_shares_what_was_found() -> None:
    asked = []

    def look() -> list[str]:
        asked.append(1)
        return ["odd"]

    mesh = rectangle(2, 2).with_warnings(look)
    for _ in range(1500):
        mesh = mesh.with_points(mesh.points)
    assert mesh.warnings == ("odd",) and len(asked) == 1
    assert copy.deepcopy(mesh).warnings == ("odd",)
    assert pickle.loads(pickle.dumps(rectangle(2, 2))).warnings == ()


def test_sets_and_fields_that_do_not_fit_are_refused() -> None:
    mesh = rectangle(2, 2)
    for ids in ([-1], [mesh.n], [0.5]):
        with pytest.raises(MeshError, match="names entities .* of dimension 0, expected whole numbers in 0..8"):
            mesh.make_tag(0, ids)
    for data in ({"point_data": {"u": torch.zeros(3)}}, {"cell_data": {"u": torch.zeros(3)}}):
        with pytest.raises(MeshError, match="field 'u' has 3 values for"):
            mesh.with_data(**data)
