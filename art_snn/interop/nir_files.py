"""The content of NIR files as nested dicts, and the order in which nodes compute.

Nothing of a file is run, no other file is opened, and memory is bounded."""

from collections import defaultdict
from graphlib import CycleError, TopologicalSorter
from importlib import import_module
from typing import Any

import numpy as np

from art_snn.checks import FILE, invalid, refusing, require, require_kind

Node = dict[str, Any]
"""The type of a node and its parameters; of a graph its nodes and edges."""
WRITE_AGAIN = "nir.write makes a file of a graph."
Nodes = list[tuple[str, Node, list[int]]]
"""Nodes in the order in which they compute: name, node, and numbers of those that it adds up."""
_ITEMS = 100_000
"""Most groups and arrays of a file, where every text of an array of texts counts as one."""
_EXPANSION = 2000
"""Most bytes of arrays for each byte of a file."""
_UNPACKED = 2**32
"""Most bytes of arrays beyond the size of the file."""
_DEPTH = 100
"""Most groups in one another."""


def package() -> Any:
    """The package nir, which the extra nir brings, and with it h5py."""
    with refusing(
        "path_or_graph", "the package nir", "none", 'pip install "art-snn[nir]"'
    ):
        return import_module("nir")


def read_graph(path: Any) -> Node:
    """The content of a NIR file, or of a graph of the package nir."""
    to_dict = getattr(path, "to_dict", None)
    if callable(to_dict):
        return dict(to_dict())
    file = require_kind("path_or_graph", path, FILE, "a NIR file")
    hdf = package().serialization
    h5py = hdf.h5py
    size = file.stat().st_size
    items = _ITEMS
    room = min(_EXPANSION * size, _UNPACKED + size)

    def find(name: str, link: Any) -> str | None:
        """The name of an item that is refused; None for a group or array that the file holds once.

        Arrays have numbers or texts, and no code."""
        nonlocal items, room
        item: Any = content[name] if type(link) is h5py.HardLink else None
        odd = not isinstance(item, h5py.Group | h5py.Dataset)
        if odd or name.count("/") >= _DEPTH or h5py.h5o.get_info(item.id).rc > 1:
            return name

        items -= 1
        if isinstance(item, h5py.Dataset):
            is_text = h5py.check_string_dtype(item.dtype)
            fits = item.shape is not None and (is_text or item.dtype.kind in "fiub")
            if not fits or item.external or item.is_virtual:
                return name
            room -= item.nbytes
            if item.dtype.kind == "O":
                # Many texts of an array may be one in the file.
                for place in np.ndindex(item.shape):
                    items -= 1
                    room -= len(item[place])
                    if min(items, room) < 0:
                        return name
        return name if min(items, room) < 0 else None

    with (
        refusing("path_or_graph", "a NIR file", f"{path}", WRITE_AGAIN),
        h5py.File(file, "r") as content,
    ):
        odd = content.visititems_links(find)
        require(
            odd is None,
            "path_or_graph",
            "a file that holds its own arrays",
            f"{path}, whose {odd!r} is a link, too large, too deep or no array of numbers",
            WRITE_AGAIN,
        )
        return dict(hdf.hdf2dict(content["node"]))


def order_nodes(graph: Node) -> Nodes:
    """The nodes from the Input to the Output; subgraphs are inlined.

    Nodes that no other node reads are left out."""
    nodes: Node = {}
    edges = list[tuple[str, str]]()
    sources = defaultdict[str, dict[str, None]](dict)
    with refusing("graph", "nodes with a type, and edges", "others", WRITE_AGAIN):
        first, last = _inline(graph, nodes, edges)
        for source, target in edges:
            require(
                {source, target} <= nodes.keys() and source not in sources[target],
                "graph",
                "edges between its nodes, every one once",
                f"{source} → {target}",
                "Leave it out.",
            )
            sources[target][source] = None

    read = dict[str, dict[str, None]]()
    waiting = [last]
    while waiting:
        name = waiting.pop()
        if name in read:
            continue
        require(
            name == first or sources[name],
            "graph",
            "edges from the Input to every node",
            f"none to {name}",
            "Add one.",
        )
        read[name] = sources[name]
        waiting += sources[name]

    try:
        order = list(TopologicalSorter(read).static_order())
    except CycleError as error:
        remedy = 'Adapt the framework\'s own model under "native".'
        cycle = " → ".join(error.args[1])
        raise invalid("graph", "no recurrent connection", cycle, remedy) from error
    numbers = {name: number for number, name in enumerate(order)}
    return [(name, nodes[name], [numbers[one] for one in read[name]]) for name in order]


def _inline(
    graph: Node, nodes: Node, edges: list[tuple[str, str]], prefix: str = ""
) -> tuple[str, str]:
    """Collect nodes and edges, those of subgraphs with a prefix.

    :return: the names of the Input and of the Output of the graph."""
    ends = dict[str, tuple[str, str]]()
    names = defaultdict[str, list[str]](list)
    for key, node in graph["nodes"].items():
        name = f"{prefix}{key}"
        kind = str(node["type"])
        names[kind].append(name)
        if kind == "NIRGraph":
            ends[f"{key}"] = _inline(node, nodes, edges, f"{name}.")
        else:
            ends[f"{key}"] = (name, name)
            nodes[name] = node

    for pair in graph["edges"]:
        source, target = (end.decode() if type(end) is bytes else end for end in pair)
        # An edge leaves a subgraph at its Output, and enters it at its Input.
        _, start = ends.get(source, (source, source))
        end, _ = ends.get(target, (target, target))
        edges.append((start, end))

    first = names["Input"]
    last = names["Output"]
    require(
        len(first) == len(last) == 1,
        "graph",
        "one Input and one Output",
        f"{', '.join(first) or 'none'} and {', '.join(last) or 'none'}",
        "Networks here have one input, and logits.",
    )
    return first[0], last[0]
