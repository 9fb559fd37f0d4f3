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

    ``edge_weight``, or else a real one-column ``edge_attr``, is the ``weight``; ``pos``, ``batch`` and ``ptr`` go
    along. All other attributes are fields, ``edge_attr`` always. Per-edge fields are brought to the graph's own order;
    ``edge_map`` is kept as a field, so that :func:`to_pyg` can give the edges back in their order.

    Raises:
        GraphError: no edge_index.
    """
    if data.edge_index is None:
        raise GraphError("this Data has no edge_index; give it one (an empty [2, 0] tensor for a graph without edges)")
    n = int(data.num_nodes or 0)
    src, dst = data.edge_index
    edges = Relation.from_edges(src, dst, n, n)
    fields: dict[str, Any] = {}
    for key, value in data.to_dict().items():
        if key in ("edge_index", "pos", "batch", "ptr", "num_nodes"):
            continue
        per_edge = isinstance(value, Tensor) and data.is_edge_attr(key) and value.shape[:1] == (edges.n_edges,)
        fields[key] = _permuted(edges, value) if per_edge else value
    weight = fields.pop("edge_weight", None)
    if weight is None and _is_weight(fields.get("edge_attr"), edges.n_edges):
        weight = fields["edge_attr"]
    if weight is not None:
        weight = weight.reshape(-1)
        weight = weight if weight.is_floating_point() else weight.to(torch.float64)
    fields["edge_map"] = edges.edge_map
    batch, ptr = (getattr(data, key, None) for key in ("batch", "ptr"))
    return Graph(edges, pos=data.pos, weight=weight, batch=batch, ptr=ptr), fields


def to_pyg(graph: Graph, fields: dict[str, Any] | None = None) -> Data:
    """A torch-geometric ``Data``; with ``edge_map`` among the fields the edges come in the order they were given in.

    Raises:
        GraphError: ``edge_map`` is no permutation of the edges (of coalesced edges it would count some twice).
    """
    from torch_geometric.data import Data

    fields = dict(fields or {})
    src, dst = graph.edges.pairs()
    e = len(src)
    order = fields.pop("edge_map", None)
    if order is None:
        order = torch.arange(e, device=src.device)
    elif order.numel() != e:
        raise GraphError(f"edge_map has {order.numel()} entries for {e} edges; leave it out for coalesced edges")
    data = Data(edge_index=torch.stack([src[order], dst[order]]), num_nodes=graph.n)
    weight = graph._weight
    attribute: Any = fields.get("edge_attr")
    if weight is not None and not (_is_weight(attribute, e) and torch.equal(attribute.reshape(-1), weight)):
        data.edge_weight = weight[order]
    if graph.pos is not None:
        data.pos = graph.pos
    if graph.batch is not None:
        data.batch, data.ptr = graph.batch, graph.ptr
    for key, value in fields.items():
        per_edge = isinstance(value, Tensor) and value.shape[:1] == (e,) and (e != graph.n or "edge" in key)
        data[key] = value[order] if per_edge else value
    return data


def from_networkx(graph: networkx.Graph) -> tuple[Graph, dict[str, Any]]:
    """(graph, fields) of a networkx graph: an undirected edge becomes two, the edge attribute ``weight`` the weight.

    Nodes are numbered in the graph's order, their names are ``fields["names"]``; the node attribute ``pos`` gives
    positions, other numeric node attributes present on every node become fields [n, ...].

    Raises:
        GraphError: an edge weight or a position is not numeric, or only some edges (nodes) have one.
    """
    names = list(graph.nodes)
    number = {name: k for k, name in enumerate(names)}
    listed: list[tuple[Any, Any, Any]] = list(graph.edges(data="weight"))
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
    listed_on: dict[str, list[Any]] = {}
    for _, attributes in graph.nodes(data=True):
        for key, value in attributes.items():
            listed_on.setdefault(key, []).append(value)
    pos: Tensor | None = None
    if "pos" in listed_on:
        places = listed_on.pop("pos")
        pos = _numeric(places) if len(places) == len(names) else None
        if pos is None:
            raise GraphError("the node attribute 'pos' is missing or not numeric on some nodes; give each d numbers")
        pos = pos[:, None] if pos.dim() == 1 else pos
    for key, values in listed_on.items():
        array = _numeric(values) if len(values) == len(names) and key != "names" else None
        if array is not None:
            fields[key] = array
    return Graph(edges, pos=pos, weight=None if weight is None else edges.own(weight)), fields


def to_networkx(graph: Graph, fields: dict[str, Any] | None = None) -> networkx.Graph:
    """A networkx graph: undirected when every edge has its partner with the same weight, else directed.

    Parallel edges become a multigraph; ``fields`` [n, ...] become node attributes, ``fields["names"]`` the node names.

    Raises:
        GraphError: not one different name for each node.
    """
    import networkx

    fields = dict(fields or {})
    names = list(fields.pop("names", range(graph.n)))
    if len(names) != graph.n or len(set(names)) != graph.n:
        raise GraphError(f"got {len(set(names))} different names for {graph.n} nodes, expected one for each")
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
    out: networkx.Graph = kind()
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


def _numeric(values: list[Any]) -> Tensor | None:
    """One value per node as float64 [n, ...], or None."""
    if any(v is None for v in values):
        return None
    try:
        return torch.from_numpy(np.array(values, dtype=np.float64))
    except (TypeError, ValueError):
        return None


def _is_weight(x: Any, e: int) -> bool:
    """Whether per-edge values are one real number each; whole numbers are kinds of edges, not weights."""
    return isinstance(x, Tensor) and x.is_floating_point() and x.shape[:1] == (e,) and x.shape[1:].numel() == 1


def _permuted(edges: Relation, value: Tensor) -> Tensor:
    out = torch.empty_like(value)
    out[edges.edge_map] = value
    return out


def _mirrored(src: list[int], dst: list[int], weight: list[float] | None) -> bool:
    values: list[Any] = [1.0] * len(src) if weight is None else weight
    forward = sorted(zip(src, dst, values, strict=True))
    return forward == sorted(zip(dst, src, values, strict=True))
