"""Bridges to torch-geometric and networkx: structure goes into a Graph, everything else into a dict of fields."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from graphpde.core.graph import Graph
from graphpde.core.relation import Relation
from graphpde.errors import GraphError, InputError

if TYPE_CHECKING:
    import networkx
    from torch_geometric.data import Data


def as_graph(domain: Any) -> Graph:
    """A Graph from a Graph, a torch-geometric ``Data`` or a networkx graph; every public door calls this.

    Raises:
        InputError: something else was given.
    """
    if isinstance(domain, Graph):
        return domain
    if _is_networkx(domain):
        return from_networkx(domain)[0]
    if hasattr(domain, "edge_index") and hasattr(domain, "num_nodes"):
        return from_pyg(domain)[0]
    hint = "; build Space(mesh) first" if type(domain).__name__ == "Mesh" else ""
    raise InputError(
        f"got {type(domain).__name__}, expected a Graph, a Space, a torch-geometric Data or a networkx graph{hint}"
    )


def from_pyg(data: Data) -> tuple[Graph, dict[str, Any]]:
    """(graph, fields) of a torch-geometric ``Data``: messages flow source -> target as in PyG.

    ``edge_weight`` (or a one-column ``edge_attr``) becomes ``weight``, ``pos`` and ``batch`` go along; all other
    attributes are fields. Per-edge fields are brought to the graph's own order; ``edge_map`` is kept as a field.

    Raises:
        GraphError: no edge_index.
    """
    if data.edge_index is None:
        raise GraphError("this Data has no edge_index; give it one (an empty [2, 0] tensor for a graph without edges)")
    n = int(data.num_nodes or 0)
    src, dst = data.edge_index
    edges = Relation.from_edges(src, dst, n, n)
    fields: dict[str, Any] = {}
    weight: Tensor | None = None
    for key, value in data.to_dict().items():
        if key in ("edge_index", "pos", "batch", "ptr", "num_nodes"):
            continue
        if data.is_edge_attr(key) and isinstance(value, Tensor):
            value = _permuted(edges, value)
            if key == "edge_weight" or (key == "edge_attr" and weight is None and value[0:1].numel() == 1):
                weight = value.reshape(-1)
                continue
        fields[key] = value
    fields["edge_map"] = edges.edge_map
    if weight is not None and not weight.is_floating_point():
        weight = weight.to(torch.get_default_dtype())
    return Graph(edges, pos=data.pos, weight=weight, batch=getattr(data, "batch", None)), fields


def to_pyg(graph: Graph, fields: dict[str, Any] | None = None) -> Data:
    """A torch-geometric ``Data``; edges come in the order they were given to the relation when ``fields`` holds edge_map."""
    from torch_geometric.data import Data

    fields = dict(fields or {})
    src, dst = graph.edges.pairs()
    edge_map = fields.pop("edge_map", None)
    order = torch.arange(len(src)) if edge_map is None else edge_map
    data = Data(edge_index=torch.stack([src[order], dst[order]]), num_nodes=graph.n)
    if graph._weight is not None:
        data.edge_weight = graph._weight[order]
    if graph.pos is not None:
        data.pos = graph.pos
    if graph.batch is not None:
        data.batch = graph.batch
    for key, value in fields.items():
        per_edge = isinstance(value, Tensor) and value.dim() > 0 and value.shape[0] == len(src) != graph.n
        data[key] = value[order] if per_edge or (key.startswith("edge_") and isinstance(value, Tensor)) else value
    return data


def from_networkx(graph: networkx.Graph) -> tuple[Graph, dict[str, Any]]:
    """(graph, fields) of a networkx graph: an undirected edge becomes two, the edge attribute ``weight`` the weight.

    Nodes are numbered in the graph's order, their names are ``fields["names"]``; the node attribute ``pos`` gives positions,
    other numeric node attributes present on every node become fields [n, ...].

    Raises:
        GraphError: an edge weight is not a number, or only some edges have one.
    """
    names = list(graph.nodes)
    number = {name: k for k, name in enumerate(names)}
    listed = list(graph.edges(data="weight"))
    pairs = np.array([(number[a], number[b]) for a, b, _ in listed], dtype=np.int64).reshape(-1, 2)
    given = [w for _, _, w in listed if w is not None]
    if given and len(given) < len(listed):
        raise GraphError(f"{len(given)} of {len(listed)} edges have a weight, expected all or none")
    try:
        weight = torch.tensor([float(w) for w in given], dtype=torch.float64) if given else None
    except (TypeError, ValueError):
        raise GraphError("an edge weight is not a number; convert the 'weight' attributes first") from None
    src, dst = torch.from_numpy(pairs[:, 0].copy()), torch.from_numpy(pairs[:, 1].copy())
    if not graph.is_directed():
        other = src != dst  # a self-loop is one edge, not two
        weight = None if weight is None else torch.cat([weight, weight[other]])
        src, dst = torch.cat([src, dst[other]]), torch.cat([dst, src[other]])
    edges = Relation.from_edges(src, dst, len(names), len(names))
    fields: dict[str, Any] = {"names": names}
    for key in {k for _, attributes in graph.nodes(data=True) for k in attributes}:
        values = [graph.nodes[name].get(key) for name in names]
        try:
            array = np.array(values, dtype=np.float64)
        except (TypeError, ValueError):
            continue
        fields[key] = torch.from_numpy(array)
    pos = fields.pop("pos", None)
    return Graph(edges, pos=pos, weight=None if weight is None else edges.own(weight)), fields


def to_networkx(graph: Graph, fields: dict[str, Any] | None = None) -> networkx.Graph:
    """A networkx graph: undirected when every edge has its partner with the same weight, else directed.

    Parallel edges become a multigraph; ``fields`` [n, ...] become node attributes, ``fields["names"]`` the node names.
    """
    import networkx

    fields = dict(fields or {})
    names = fields.pop("names", None) or list(range(graph.n))
    src, dst = (x.tolist() for x in graph.edges.pairs())
    weight = None if graph._weight is None else graph._weight.tolist()
    undirected = _mirrored(src, dst, weight)
    parallel = len(set(zip(src, dst, strict=True))) < len(src)
    kind = {
        (True, False): networkx.Graph,
        (False, False): networkx.DiGraph,
        (True, True): networkx.MultiGraph,
        (False, True): networkx.MultiDiGraph,
    }[undirected, parallel]
    out = kind()
    out.add_nodes_from(names)
    for k, (a, b) in enumerate(zip(src, dst, strict=True)):
        if undirected and a > b:
            continue
        attributes = {} if weight is None else {"weight": weight[k]}
        out.add_edge(names[a], names[b], **attributes)
    if graph.pos is not None:
        fields["pos"] = graph.pos
    for key, value in fields.items():
        if isinstance(value, Tensor) and value.dim() and value.shape[0] == graph.n:
            networkx.set_node_attributes(out, dict(zip(names, value.tolist(), strict=True)), key)
    return out


def _is_networkx(x: Any) -> bool:
    module = sys.modules.get("networkx")
    return module is not None and isinstance(x, module.Graph)


def _permuted(edges: Relation, value: Tensor) -> Tensor:
    out = torch.empty_like(value)
    out[edges.edge_map] = value
    return out


def _mirrored(src: list[int], dst: list[int], weight: list[float] | None) -> bool:
    values: list[Any] = [1.0] * len(src) if weight is None else weight
    forward = sorted(zip(src, dst, values, strict=True))
    return forward == sorted(zip(dst, src, values, strict=True))
