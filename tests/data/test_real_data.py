"""The real files: counts, labels, masks and edges as torch-geometric has them, homophily as published."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from graphpde.data import DATASETS, NodeData, dataset, edge_homophily, largest_component, load
from graphpde.errors import DatasetError
from graphpde.nets import SparseFeatures
from graphpde.train.split import grand

# name, split -> homophily by torch-geometric's own function, number of splits
HOMOPHILY = {
    ("Cora", "public"): (0.810, 1),
    ("Cora", "geom-gcn"): (0.810, 10),
    ("Texas", None): (0.108, 10),
    ("Wisconsin", None): (0.196, 10),
    ("Actor", None): (0.219, 10),
    ("Minesweeper", None): (0.683, 10),
    ("Photo", None): (0.827, 0),
    ("CS", None): (0.808, 0),
    ("Cora_ML", None): (0.789, 0),
}
DIRECTED = {"Texas", "Wisconsin", "Actor", "Chameleon_directed"}


def dense(x: Any) -> torch.Tensor:
    return x.to_dense() if isinstance(x, SparseFeatures) else x


def edges(data: NodeData) -> torch.Tensor:
    """Pairs sorted by source, then destination."""
    src, dst = data.graph.edges.pairs()
    return (src * data.n + dst).sort().values


@pytest.mark.parametrize(("name", "split"), HOMOPHILY)
def test_counts_and_homophily(graphs: Path, name: str, split: str | None) -> None:
    data = load(name, graphs, split)
    size = dataset(name).size
    assert size is not None
    assert (data.n, data.graph.edges.n_edges, data.features, data.classes) == size
    homophily, splits = HOMOPHILY[name, split]
    assert round(data.homophily(), 3) == homophily and len(data.splits) == splits
    assert data.graph.edges.is_symmetric == (name not in DIRECTED)
    assert [note for note in data.notes if "differs" in note or "published" in note] == []  # the files are those
    assert data.metric == ("roc_auc" if name == "Minesweeper" else "accuracy")
    nonzero = int(torch.count_nonzero(dense(data.x)))
    assert isinstance(data.x, SparseFeatures) == (nonzero < 0.1 * data.n * data.features)


@pytest.mark.parametrize("name", ["Chameleon", "Chameleon_directed", "Chameleon_filtered", "Texas_4_classes"])
def test_files_of_yandex_that_torch_geometric_does_not_know(graphs: Path, name: str) -> None:
    data = load(name, graphs / "YandexNpz")
    assert (data.n, data.graph.edges.n_edges, data.features, data.classes) == dataset(name).size
    assert len(data.splits) == 10 and data.graph.edges.is_symmetric == (name not in DIRECTED)
    assert data.notes == ()


@pytest.mark.parametrize(("name", "nodes", "edges"), [("Twitch_ENGB", 7126, 35324), ("Twitch_ES", 4648, 59382)])
def test_twitch(graphs: Path, name: str, nodes: int, edges: int) -> None:
    data = load(name, graphs)
    assert (data.n, data.graph.edges.n_edges, data.classes, data.notes) == (nodes, 2 * edges, 2, ())
    assert int(data.y.sum()) == (3888 if name == "Twitch_ENGB" else 1360)


def test_pages_of_facebook(graphs: Path) -> None:
    data = load("FacebookPagePage", graphs)
    assert (data.n, data.features, data.notes) == (22470, 4714, ())
    assert data.class_names == ("company", "government", "politician", "tvshow")
    assert data.graph.edges.n_edges == 2 * 171002 - 179 and len(data.graph.edges.loops) == 179


def beside(graphs: Path, tmp_path: Path, name: str) -> Any:
    """torch-geometric's own reading of a copy of the folder."""
    from torch_geometric import datasets

    make = {
        "Cora": (datasets.Planetoid, "Planetoid", {"name": "Cora"}),
        "Cora/geom-gcn": (datasets.Planetoid, "Planetoid", {"name": "Cora", "split": "geom-gcn"}),
        "Texas": (datasets.WebKB, "WebKB", {"name": "texas"}),
        "Wisconsin": (datasets.WebKB, "WebKB", {"name": "wisconsin"}),
        "Actor": (datasets.Actor, "Actor", {}),
        "Minesweeper": (datasets.HeterophilousGraphDataset, "HeterophilousGraphDataset", {"name": "minesweeper"}),
        "Photo": (datasets.Amazon, "Amazon", {"name": "Photo"}),
        "Cora_ML": (datasets.CitationFull, "CitationFull", {"name": "Cora_ML"}),
        "Reed98": (datasets.LINKXDataset, "LINKXDataset", {"name": "reed98"}),
        "JohnsHopkins55": (datasets.LINKXDataset, "LINKXDataset", {"name": "johnshopkins55"}),
    }
    kind, folder, options = make[name]
    own = "cora_ml" if name == "Cora_ML" else options.get("name", "")
    shutil.copytree(graphs / folder / own, tmp_path / folder / own)
    for path in tmp_path.rglob("*"):
        path.chmod(0o755)
    return kind(str(tmp_path / folder), **options)[0]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "name",
    ["Cora", "Cora/geom-gcn", "Texas", "Wisconsin", "Actor", "Minesweeper", "Photo", "Cora_ML", "Reed98",
     "JohnsHopkins55"],
)  # fmt: skip
def test_as_torch_geometric_reads_it(graphs: Path, tmp_path: Path, name: str) -> None:
    base, _, split = name.partition("/")
    ours, theirs = load(base, graphs, split or None), beside(graphs, tmp_path, name)
    assert torch.equal(ours.y, theirs.y)
    assert torch.equal(dense(ours.x), theirs.x)
    src, dst = theirs.edge_index
    assert torch.equal(edges(ours), (src * ours.n + dst).sort().values)
    if "train_mask" not in theirs:
        assert ours.splits == ()
        return
    again = NodeData.from_pyg(theirs)
    assert len(again.splits) == len(ours.splits)
    for here, there in zip(ours.splits, again.splits):
        assert all(torch.equal(a, b) for a, b in zip(here, there))


def test_karate_is_torch_geometrics() -> None:
    from torch_geometric.datasets import KarateClub

    ours, theirs = load("karate"), KarateClub()[0]
    assert torch.equal(ours.y, theirs.y) and torch.equal(dense(ours.x), theirs.x)
    assert torch.equal(edges(ours), edges(NodeData.from_pyg(theirs)))
    assert torch.equal(ours.splits[0].train, theirs.train_mask)
    assert [int(mask.sum()) for mask in ours.splits[0]] == [4, 15, 15]
    assert round(ours.homophily(), 3) == 0.756


def test_unknown_gender_is_no_class(graphs: Path) -> None:
    """torch-geometric counts -1 as a class of its own (0.450); we leave those nodes out."""
    data = load("Reed98", graphs)
    assert int((data.y == -1).sum()) == 97 and data.classes == 2
    src, dst = data.graph.edges.pairs()
    known = (data.y[src] >= 0) & (data.y[dst] >= 0)
    expected = float((data.y[src] == data.y[dst])[known].double().mean())
    assert data.homophily() == pytest.approx(expected, abs=1e-12)
    assert round(edge_homophily(data.graph, data.y + 1), 3) == 0.450


def test_a_part_of_pubmed_is_refused(graphs: Path) -> None:
    says = (
        r"the data set 'PubMed' is incomplete in '.*PubMed_partial/raw': ind.pubmed.allx is missing; it is published "
        r"at https://github.com/kimiyoung/planetoid/raw/master/data/ind.pubmed.allx"
    )
    for root in (graphs / "PubMed_partial", graphs / "PubMed_partial" / "raw"):
        with pytest.raises(DatasetError, match=says):
            load("PubMed", root)


@pytest.mark.parametrize(("name", "nodes"), [("Cora", 2485), ("Photo", 7487), ("CS", 18333), ("Cora_ML", 2810)])
def test_largest_components(graphs: Path, name: str, nodes: int) -> None:
    """Sizes as Shchur et al. 2018, table 1, gives them for Cora (full split), CS and Photo."""
    whole = load(name, graphs)
    part = largest_component(whole)
    assert part.n == nodes and part.classes == whole.classes
    assert part.graph.edges.is_symmetric
    assert largest_component(part).n == nodes


@pytest.mark.parametrize("place", ["", "Planetoid", "Planetoid/Cora", "Planetoid/Cora/raw"])
def test_every_spelling_of_the_root(graphs: Path, place: str) -> None:
    assert load("cora", graphs / place).n == 2708


def test_splits_of_the_public_file(graphs: Path) -> None:
    split = load("Cora", graphs).splits[0]
    assert [int(mask.sum()) for mask in split] == [140, 500, 1000]
    for split in load("Cora", graphs, "geom-gcn").splits:
        # 48, 32 and 20 % of the largest component, not the 60, 20 and 20 of the files' names
        assert [int(mask.sum()) for mask in split] == [1192, 796, 497]
        assert sum(int(mask.sum()) for mask in split) == largest_component(load("Cora", graphs)).n


def test_changed_files_are_told(graphs: Path, tmp_path: Path) -> None:
    folder = tmp_path / "Texas" / "raw"
    shutil.copytree(graphs / "WebKB" / "texas" / "raw", folder)
    edges = folder / "out1_graph_edges.txt"
    edges.chmod(0o644)
    edges.write_text(edges.read_text() + "3\t7\n")
    data = load("Texas", tmp_path)
    assert any("out1_graph_edges.txt' differs from the published file" in note for note in data.warnings)
    assert "the files of 'Texas' hold 326 edges, 325 are published" in data.warnings
    assert "4 of 10 splits (0, 1, 2, 7) of 'Texas': no training node of class 1" in data.warnings


def test_every_data_set_says_where_it_comes_from() -> None:
    for entry in DATASETS.values():
        assert entry.what and entry.origin.licence and entry.origin.url
        assert entry.embedded or all(
            url.startswith("https://") for wanted in entry.wanted for url in wanted.urls.values()
        )
        assert len(entry.wanted) in (0, 1, len(entry.splits))


def test_the_split_of_grand_takes_5000_nodes_of_coauthor_cs(graphs: Path) -> None:
    cs, photo = (grand(load(name, graphs).y) for name in ("CS", "Photo"))
    assert [int(mask.sum()) for mask in cs] == [300, 4700, 13333]
    assert [int(mask.sum()) for mask in photo] == [160, 1340, 6150]
