"""Where files are looked for, what is said when they are absent, downloads without a network, damaged .npz and text."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from scipy.io import savemat

from graphpde.data import DATASETS, cache_folder, dataset, download, load, npz
from graphpde.data.npz import read_arrays
from graphpde.data.raw_files import RawFiles
from graphpde.errors import DatasetError, InputError, UnknownName
from tests.data.planetoid_folder import KNOWN, TEST, planetoid_parts, write_planetoid


@pytest.mark.parametrize("place", ["Planetoid/Cora/raw", "Cora/raw", "Cora/Cora/raw", "cora/raw", "Cora", "raw", "."])
def test_every_layout_is_found(tmp_path: Path, place: str) -> None:
    write_planetoid(tmp_path / place, planetoid_parts())
    for name in ("Cora", "cora", "CORA"):
        assert load(name, str(tmp_path)).n == KNOWN + TEST


def test_a_missing_folder_an_empty_one_and_a_partial_one(tmp_path: Path) -> None:
    for root in (tmp_path / "nowhere", "nowhere" * 999, "~nosuchuser/nowhere", "no\0where"):
        with pytest.raises(DatasetError, match=r"(?s)there is no folder '.*where' to read the data set 'Cora' from"):
            load("Cora", root)
    with pytest.raises(InputError, match="root = 5, expected the path of a folder"):
        load("Cora", 5)  # type: ignore[arg-type]
    says = (
        r"'Cora' is not below '.*': expected ind.cora.x, ind.cora.tx and 6 more in Planetoid/Cora/raw or Cora/raw or "
        r"right there; they are published in https://github.com/kimiyoung/planetoid/raw/master/data$"
    )
    with pytest.raises(DatasetError, match=says):
        load("Cora", tmp_path)
    folder = write_planetoid(tmp_path / "Cora" / "raw", planetoid_parts())
    (folder / "ind.cora.graph").unlink()
    with pytest.raises(DatasetError, match=r"incomplete in '.*Cora/raw': ind.cora.graph is missing; it is published"):
        load("Cora", tmp_path)
    (folder / "ind.cora.x").unlink()
    with pytest.raises(DatasetError, match=r"ind.cora.x, ind.cora.graph are missing; they are published in"):
        load("Cora", tmp_path)


def test_names_and_splits(small_cora: Path) -> None:
    assert dataset("roman_empire") is dataset("Roman-empire") is DATASETS["Roman-empire"]
    assert dataset("CoauthorCS") is DATASETS["CS"] and dataset("film") is DATASETS["Actor"]
    with pytest.raises(UnknownName, match=r"unknown data set 'cara'; known: .*did you mean 'Cora'"):
        load("cara")
    with pytest.raises(UnknownName, match=r"unknown split of 'Cora' 'publik'; known: geom-gcn, public; did you mean"):
        load("Cora", small_cora, split="publik")
    with pytest.raises(UnknownName, match="'Photo' comes without splits; draw one of graphpde.train.SPLITS"):
        load("Photo", small_cora, split="public")
    with pytest.raises(DatasetError, match=r"_0.6_0.2_0.npz, cora_split_0.6_0.2_1.npz and 8 more are missing"):
        load("Cora", small_cora, split="geom-gcn")


def write_splits(folder: Path, n: int, change: Any = None) -> None:
    rng = np.random.default_rng(0)
    for k in range(10):
        part = rng.integers(0, 3, n)
        masks = {f"{name}_mask": (part == j).astype(np.uint8) for j, name in enumerate(("train", "val", "test"))}
        if change is not None and k == 3:
            change(masks)
        np.savez(folder / f"cora_split_0.6_0.2_{k}.npz", **masks)


def test_the_ten_splits(small_cora: Path) -> None:
    n = KNOWN + TEST
    write_splits(small_cora, n)
    data = load("Cora", small_cora, split="geom-gcn")
    assert len(data.splits) == 10 and all(sum(split).all() for split in data.splits)  # type: ignore[call-overload]

    def overlap(masks: dict[str, np.ndarray]) -> None:
        masks["val_mask"][:] = 1

    def longer(masks: dict[str, np.ndarray]) -> None:
        masks["val_mask"] = np.zeros(n + 1, dtype=bool)

    def twos(masks: dict[str, np.ndarray]) -> None:
        masks["train_mask"][5] = 2

    for change, says in (
        (overlap, r"'Cora' in '.*' cannot be used: split 3 has \d+ nodes in both train and val, first node \d+"),
        (longer, rf"_3.npz' of the data set 'Cora': 'val_mask' has shape \[{n + 1}\], expected \[{n}\]"),
        (twos, "_3.npz'.*'train_mask' holds other values than 0 and 1"),
        (lambda masks: masks.pop("test_mask"), "_3.npz'.*has no array 'test_mask'; it has: train_mask, val_mask"),
    ):
        write_splits(small_cora, n, change)
        with pytest.raises(DatasetError, match=says):
            load("Cora", small_cora, split="geom-gcn")


def test_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHPDE_DATA", str(tmp_path / "cache"))
    assert cache_folder() == tmp_path / "cache"

    def opened(url: str) -> Any:
        raise URLError("no route to host")

    monkeypatch.setattr(download, "_opened", opened)
    says = (
        r"'Cora' is not in '.*cache' and could not be downloaded: no answer from https://.*/ind.cora.x \(no route to "
        r"host\); copy its files to '.*cache/Planetoid/Cora/raw', or point --root .* that holds Planetoid/Cora/raw"
    )
    with pytest.raises(DatasetError, match=says):
        load("Cora")
    assert not (tmp_path / "cache").exists()  # nothing is left behind
    write_planetoid(tmp_path / "cache" / "Planetoid" / "Cora" / "raw", planetoid_parts())
    assert load("Cora").n == KNOWN + TEST  # and what lies there is not asked for


def test_with_a_network_only_what_is_missing_is_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHPDE_DATA", str(tmp_path / "cache"))
    published = write_planetoid(tmp_path / "server", planetoid_parts())
    asked: list[str] = []

    def opened(url: str) -> Any:
        asked.append(url)
        if len(asked) == 5:
            raise TimeoutError("timed out")
        return io.BytesIO((published / url.rpartition("/")[2]).read_bytes())

    monkeypatch.setattr(download, "_opened", opened)
    with pytest.raises(DatasetError, match="timed out"):
        load("Cora")
    assert load("Cora").n == KNOWN + TEST
    assert len(asked) == 9 and len(set(asked)) == 8  # the one that failed was asked for again
    assert load("Cora").n == KNOWN + TEST and len(asked) == 9
    there = sorted(path.name for path in (tmp_path / "cache").rglob("*") if path.is_file())
    assert there == sorted(path.name for path in published.iterdir())  # as published, nothing processed beside it


def test_what_is_fetched_is_https_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="only https is fetched"):
        download._content("http://example.org/a")
    monkeypatch.setattr(download, "_LARGEST", 10)
    monkeypatch.setattr(download, "_opened", lambda url: io.BytesIO(b"x" * 11))
    with pytest.raises(ValueError, match="the answer is longer"):
        download._content("https://example.org/a")


def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GRAPHPDE_DATA", str(tmp_path / "file"))
    monkeypatch.setattr(download, "_opened", lambda url: io.BytesIO(b"x"))
    with pytest.raises(DatasetError, match=r"cannot make the folder '.*'.*name another one in GRAPHPDE_DATA"):
        load("Cora")


def test_scikit_learn_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "sklearn.datasets", None)
    with pytest.raises(DatasetError, match=r"scikit-learn; pip install 'graphpde\[datasets\]'"):
        load("digits")


def arrays(folder: Path, content: bytes, keys: tuple[str, ...] = ("a",)) -> dict[str, np.ndarray]:
    (folder / "f.npz").write_bytes(content)
    return read_arrays(RawFiles("some", folder), "f.npz", keys)


def saved(**values: Any) -> bytes:
    out = io.BytesIO()
    np.savez_compressed(out, **values)
    return out.getvalue()


def test_npz_arrays_are_numpys(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for value in (
        rng.normal(size=(3, 4)), np.asfortranarray(rng.normal(size=(3, 4))), np.arange(5, dtype=">u2"),
        np.zeros((2, 0)), np.array(3.5), np.array([True, False]), np.arange(3, dtype="u8"), np.arange(3).astype("g"),
    ):  # fmt: skip
        read = arrays(tmp_path, saved(a=value))["a"]
        assert np.array_equal(read, value) and read.shape == value.shape
        torch.from_numpy(read)[:0] if read.ndim else None  # of a type that torch has


def test_npz_arrays_are_bounded_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    zeros = np.zeros(100_000)
    content = saved(a=zeros, b=zeros)
    monkeypatch.setattr(npz, "_LARGEST", 10**6)
    assert arrays(tmp_path, content)["a"].shape == (100_000,)
    with pytest.raises(DatasetError, match="its arrays would unpack to more than 0 MB"):
        arrays(tmp_path, content, ("a", "b"))
    monkeypatch.setattr(npz, "_TIMES", 10**6)  # what a large file may hold
    assert len(arrays(tmp_path, content, ("a", "b"))) == 2


def test_npz_that_cannot_be_read(tmp_path: Path) -> None:
    good = saved(a=np.arange(100))
    with pytest.raises(DatasetError, match="has no array 'a'; it has: b, c"):
        arrays(tmp_path, saved(b=1, c=2))
    with pytest.raises(DatasetError, match="holds objects that only unpickling could read, not numbers"):
        arrays(tmp_path, saved(a=np.array([None, {}], dtype=object)))
    with pytest.raises(DatasetError, match="holds <U1, not numbers"):
        arrays(tmp_path, saved(a=np.array(["x"])))
    for end in range(0, len(good), 7):
        with pytest.raises(DatasetError, match="cut or damaged"):
            arrays(tmp_path, good[:end])

    def packed(raw: bytes) -> bytes:
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a.npy", raw)
        return out.getvalue()

    with zipfile.ZipFile(io.BytesIO(good)) as archive:
        plain = archive.read("a.npy")
    with pytest.raises(DatasetError, match=r"declares shape \[1000000000\] and comes with 800 bytes"):
        arrays(tmp_path, packed(plain.replace(b"(100,), }" + b" " * 7, b"(1000000000,), }")))
    for raw, says in (
        (plain[:64], "header|declares"), (b"nothing", "is no .npy data"), (plain[:-1], "comes with 799 bytes"),
        (plain.replace(b"'<i8'", b"'<x8'"), "damaged header"),
        (plain.replace(b"{'de", b"[" * 4), "damaged header"),
        (plain[:8] + b"\x40\x9c" + b" " * (40_000 - 118) + plain[10:], "damaged header"),
    ):  # fmt: skip
        with pytest.raises(DatasetError, match=says):
            arrays(tmp_path, packed(raw))


def test_damaged_npz_is_one_kind_of_error(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    content = saved(a=np.arange(50), b=rng.normal(size=20))
    wrong = 0
    for _ in range(600):
        damaged = bytearray(content)
        damaged[rng.integers(len(content))] ^= 1 << rng.integers(8)
        try:
            read = arrays(tmp_path, bytes(damaged))["a"]
        except DatasetError:
            continue
        wrong += not np.array_equal(read, np.arange(50))
    assert wrong == 0  # the checksums of the archive see every flipped bit


def webkb(folder: Path, nodes: str, edges: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "out1_node_feature_label.txt").write_text(nodes)
    (folder / "out1_graph_edges.txt").write_text(edges)
    for k in range(10):
        masks = {"train_mask": [1, 0, 0], "val_mask": [0, 1, 0], "test_mask": [0, 0, 1]}
        np.savez(folder / f"texas_split_0.6_0.2_{k}.npz", **{key: np.array(mask) for key, mask in masks.items()})
    return folder


NODES = "node_id\tfeature\tlabel\n1\t0,1\t1\n0\t1,1\t0\n2\t0,0\t1\n"
EDGES = "node_id\tnode_id\n0\t1\n1\t2\n0\t1\n2\t2\n"


def test_text_files_as_published(tmp_path: Path) -> None:
    """Rows in any order, features dense, edges as listed but once, self-loops kept; undirected() is both directions."""
    data = load("texas", webkb(tmp_path, NODES, EDGES))
    assert data.x.tolist() == [[1, 1], [0, 1], [0, 0]] and data.y.tolist() == [0, 1, 1]
    assert sorted(zip(*(end.tolist() for end in data.graph.edges.pairs()))) == [(0, 1), (1, 2), (2, 2)]
    both = data.undirected()
    assert sorted(zip(*(end.tolist() for end in both.graph.edges.pairs()))) == [(0, 1), (1, 0), (1, 2), (2, 1), (2, 2)]
    assert both.undirected().graph.edges.n_edges == 5


@pytest.mark.parametrize(
    ("nodes", "edges", "says"),
    [
        (NODES.replace("1,1", "1"), EDGES, r"label.txt'.*node 1 has 2 features and node 0 has 1"),
        (NODES.replace("0,0\t1", "0,0"), EDGES, r"label.txt'.*line 4 is not 'node, numbers, label'"),
        (NODES.replace("0,0\t1", "0,_0\t1"), EDGES, "line 4 is not"),
        (NODES.replace("2\t0,0", "3\t0,0"), EDGES, "its 3 nodes are not numbered from 0 on"),
        ("", EDGES, "its 0 nodes are not numbered"),
        (NODES, EDGES + "1\t3\n", r"edges.txt'.*line 6 names node 3 and there are 3, counted from 0"),
        (NODES, EDGES + "1\t-1\n", "line 6 is not two nodes"),
        (NODES, EDGES + "1 1\n", "line 6 is not two nodes"),
    ],
)
def test_text_files_that_do_not_fit(tmp_path: Path, nodes: str, edges: str, says: str) -> None:
    with pytest.raises(DatasetError, match=says):
        load("texas", webkb(tmp_path, nodes, edges))


def test_other_files_that_do_not_fit(tmp_path: Path) -> None:
    def shchur(**change: Any) -> None:
        eye = {"shape": [3, 3], "data": np.ones(3), "indices": np.arange(3), "indptr": np.arange(4)}
        values = {f"{part}_{key}": value for part in ("adj", "attr") for key, value in eye.items()}
        np.savez(tmp_path / "amazon_electronics_photo.npz", **{**values, "labels": np.arange(3), **change})

    shchur()
    data = load("Photo", tmp_path)
    assert data.graph.edges.n_edges == 0 and data.n == 3  # self-loops are dropped, as torch-geometric does
    for change, says in (
        ({"adj_indices": np.array([0, 1, 3])}, "a sparse matrix of 3 columns names column 3"),
        ({"labels": np.arange(4)}, r"edges of shape \[3, 3\].*come with labels of 4 nodes"),
        ({"labels": np.array([0, 1, -2])}, "node 2 has label -2, expected 0 to the number of classes - 1"),
        ({"attr_data": np.array([1, np.nan, 1])}, "not finite"),
        ({"labels": np.array([0, 1, 2**60])}, f"node 2 has label {2**60}, expected .* at most 100000"),
        ({"labels": np.array(0)}, "come with labels of 1 nodes"),
        ({"adj_shape": np.array([np.inf, np.inf])}, "shape of a sparse matrix is not two whole numbers"),
        ({"attr_shape": np.array([3.7, 3.2])}, "shape of a sparse matrix is not two whole numbers"),
        ({"attr_shape": np.array([3, 10**12])}, "1000000000000 columns, expected at most 10000000; leave out"),
        ({"adj_indices": np.arange(3)[:, None]}, "parts that are no arrays with one axis"),
        ({"adj_indptr": np.arange(4)[:, None]}, "parts that are no arrays with one axis"),
        ({"attr_data": np.ones((3, 2))}, "parts that are no arrays with one axis"),
    ):
        shchur(**change)
        with pytest.raises(DatasetError, match=says):
            load("Photo", tmp_path)

    def yandex(**change: Any) -> None:
        masks = {f"{part}_masks": np.eye(3, dtype=bool)[[k]] for k, part in enumerate(("train", "val", "test"))}
        values = {"node_features": np.ones((3, 2)), "node_labels": np.array([0, 1, 1]), "edges": np.array([[0, 1]])}
        np.savez(tmp_path / "minesweeper.npz", **{**values, **masks, **change})

    yandex()
    data = load("Minesweeper", tmp_path)
    assert data.graph.edges.n_edges == 2 and data.metric == "roc_auc" and len(data.splits) == 1
    for kind in ("u1", "u2", "u4", "u8"):
        yandex(edges=np.array([[0, 1]], dtype=kind), node_features=np.ones((3, 2), dtype=np.longdouble))
        assert load("Minesweeper", tmp_path).graph.edges.n_edges == 2
    for change, says in (
        ({"edges": np.array([[0, 3]])}, "an edge names a node outside 0 to 2"),
        ({"edges": np.array([0, 1])}, r"and \[2\], expected \[n, f\], \[n\] and \[e, 2\]"),
        ({"val_masks": np.ones((2, 3), dtype=bool)}, r"the masks have shapes .*expected truth values \[splits, 3\]"),
        ({"node_features": np.array(1.0)}, r"have shapes \[\], \[3\] and"),
        ({"node_labels": np.array([2**64 - 1, 0, 1], dtype="u8")}, "'node_labels' holds whole numbers of more than 63"),
        ({"node_labels": np.array([np.inf, 0, 1])}, "values that are no classes"),
        ({"node_labels": np.array([0, 1, 2])}, "ROC-AUC judges two classes and 'Minesweeper' has 3"),
    ):
        yandex(**change)
        with pytest.raises(DatasetError, match=says):
            load("Minesweeper", tmp_path)


FRIENDS = sp.csc_matrix(np.eye(6)[::-1])
PEOPLE = np.array([[1, k % 3, 2, 3, 4, 5, k] for k in range(6)])


def words(*values: int) -> bytes:
    return np.array(values, dtype="<i4").tobytes()


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (words(*FRIENDS.indptr), words(0, 2**30, 1, 1, 1, 1, 6), "row offsets of a sparse matrix do not count up"),
        (words(*FRIENDS.indptr), words(0, -5, -(2**30), 1, 1, 1, 6), "row offsets of a sparse matrix do not count up"),
        (words(*FRIENDS.indices), words(5, 4, 3, 2, 1, 1000), "of 6 columns names column 1000"),
        (words(*FRIENDS.indices), words(5, 4, 3, 2, 1, -7), "of 6 columns names column -7"),
    ],
)
def test_offsets_in_a_mat_file(tmp_path: Path, old: bytes, new: bytes, says: str) -> None:
    path = tmp_path / "data.mat"
    savemat(path, {"A": FRIENDS, "local_info": PEOPLE})
    src, dst = load("Reed98", tmp_path).graph.edges.pairs()
    assert src.tolist() == [5, 4, 3, 2, 1, 0] and dst.tolist() == [0, 1, 2, 3, 4, 5]
    content = path.read_bytes()
    assert content.count(old) == 1
    path.write_bytes(content.replace(old, new))
    with pytest.raises(DatasetError, match=says):
        load("Reed98", tmp_path)


def test_other_tables_in_a_mat_file(tmp_path: Path) -> None:
    for friends, people, says in (
        (FRIENDS, PEOPLE + 0.5, "described by other values than whole numbers"),
        (FRIENDS, np.where(PEOPLE == 2, np.nan, PEOPLE), "described by other values than whole numbers"),
        (FRIENDS, PEOPLE[:5], r"friendships of shape \[6, 6\] come with people of shape \[5, 7\]"),
        (np.eye(6), PEOPLE, "cut or damaged"),
    ):
        savemat(tmp_path / "data.mat", {"A": friends, "local_info": people})
        with pytest.raises(DatasetError, match=says):
            load("Reed98", tmp_path)
    (tmp_path / "data.mat").write_bytes(os.urandom(300))
    with pytest.raises(DatasetError, match="data.mat' of the data set 'Reed98': it is cut or damaged"):
        load("Reed98", tmp_path)
