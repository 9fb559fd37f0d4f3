"""Labelled graphs, real ones by own readers of torch-geometric's folders and drawn ones; laws in the plane."""

from graphpde.data import facebook100, geom_gcn, musae, planetoid, shchur, yandex  # each adds its own to DATASETS
from graphpde.data.component import largest_component
from graphpde.data.dataset import DATASETS, Dataset, Origin, Size, dataset, load
from graphpde.data.digits import digits
from graphpde.data.homophily import adjusted_homophily, edge_homophily, node_homophily
from graphpde.data.karate import karate
from graphpde.data.node_data import NodeData
from graphpde.data.planar import PLANAR, PlanarLaw
from graphpde.data.points import Samples, read_samples
from graphpde.data.raw_files import cache_folder
from graphpde.data.synthetic import csbm, sbm, two_moons

__all__ = [
    "DATASETS",
    "PLANAR",
    "Dataset",
    "NodeData",
    "Origin",
    "PlanarLaw",
    "Samples",
    "Size",
    "adjusted_homophily",
    "cache_folder",
    "csbm",
    "dataset",
    "digits",
    "edge_homophily",
    "facebook100",
    "geom_gcn",
    "karate",
    "largest_component",
    "load",
    "musae",
    "node_homophily",
    "planetoid",
    "read_samples",
    "sbm",
    "shchur",
    "two_moons",
    "yandex",
]
