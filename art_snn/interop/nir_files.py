"""The content of NIR files as nested dicts, and the order in which nodes compute.

Nothing of a file is run, no other file is opened, and memory is bounded."""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from graphlib import CycleError, TopologicalSorter
from importlib import import_module
from itertools import chain
from typing import Any

import numpy as np

from art_snn import checks
from art_snn.checks import ArgumentError, expand_path, first_line, invalid, require

Node = dict[str, Any]
"""The type of a node and its parameters; of a graph its nodes and edges."""
WRITE_AGAIN = "nir.write makes a file of a graph."
_ITEMS, _EXPANSION, _UNPACKED, _DEPTH = 100_000, 2000, 2**32, 100
"""Most items of a file, bytes of arrays per byte of it, and in all, and groups in one another."""


@contextmanager
def refusing(argument: str, expected: str, got: str, how: str = WRITE_AGAIN) -> Iterator[None]:
    """Any error as a refusal: damaged files and odd graphs fail in any way."""
    try:
        yield
    except ArgumentError:
        raise
    except Exception as error:
        raise invalid(argument, expected, f"{got} ({first_line(error)})", how) from error


def package() -> Any:
    """The package nir, which the extra nir brings, and with it h5py."""
    with refusing("path_or_graph", "the package nir", "none", 'pip install "art-snn[nir]"'):
        return import_module("nir")


def read_graph(path: Any) -> Node:
    """The content of a NIR file, or of a graph of the package nir."""
    if callable(to_dict := getattr(path, "to_dict", None)):
        return dict(to_dict())
    file = expand_path("path_or_graph", path)
    checks.require_kind("path_or_graph", file, checks.FILE, "a NIR file")
    hdf, size = package().serialization, file.stat().st_size
    items, room, h5py = _ITEMS, min(_EXPANSION * size, _UNPACKED + size), hdf.h5py

    def find(name: str, link: Any) -> str | None:
        """The name of what is not in the file, once, as a group or as an array without code."""
        nonlocal items, room
        item: Any = content[name] if type(link) is h5py.HardLink else None
        array = isinstance(item, h5py.Dataset) and item.shape is not None
        array = array and (item.dtype.kind in "fiub" or h5py.check_string_dtype(item.dtype))
        array = array and not (item.external or item.is_virtual)
        fits = (array or isinstance(item, h5py.Group)) and h5py.h5o.get_info(item.id).rc == 1
        fits = fits and name.count("/") < _DEPTH
        # Many strings may be one in the file.
        texts = np.ndindex(item.shape) if array and item.dtype.kind == "O" else ()
        for amount in chain([item.nbytes if array else 0], (len(item[at]) for at in texts)):
            items, room = items - 1, room - amount
            if not fits or min(items, room) < 0:
                return name
        return None

    with refusing("path_or_graph", "a NIR file", f"{path}"), h5py.File(file, "r") as content:
        odd = content.visititems_links(find)
        got = f"{path}, whose {odd!r} is a link, too large, too deep or no array of numbers"
        require(odd is None, "path_or_graph", "a file that holds its own arrays", got, WRITE_AGAIN)
        return dict(hdf.hdf2dict(content["node"]))


def order_nodes(graph: Node) -> list[tuple[str, Node, list[str]]]:
    """Nodes with the names of those that they add up, from the Input to the Output.

    Subgraphs are inlined, and what nothing reads is left out."""
    nodes, edges = dict[str, Any](), list[tuple[str, str]]()
    sources = defaultdict[str, dict[str, None]](dict)
    with refusing("graph", "nodes with a type, and edges", "others"):
        first, last = _inline(graph, nodes, edges)
        for before, behind in edges:
            fits = before in nodes and behind in nodes and before not in sources[behind]
            expected, got = "edges between its nodes, every one once", f"{before} → {behind}"
            require(fits, "graph", expected, got, "Leave it out.")
            sources[behind][before] = None

    read = dict[str, list[str]]()
    waiting = [last]
    while waiting:
        name = waiting.pop()
        if name in read:
            continue
        fits = name == first or bool(sources[name])
        require(fits, "graph", "edges from the Input to every node", f"none to {name}", "Add one.")
        read[name] = list(sources[name])
        waiting += read[name]

    try:
        order = list(TopologicalSorter(read).static_order())
    except CycleError as error:
        remedy = 'Adapt the framework\'s own model under "native".'
        cycle = " → ".join(error.args[1])
        raise invalid("graph", "no recurrent connection", cycle, remedy) from error
    return [(name, nodes[name], read[name]) for name in order]


def _inline(graph: Node, nodes: Node, edges: list[Any], prefix: str = "") -> tuple[str, str]:
    """Collect nodes and edges, of subgraphs with a prefix; the names of its Input and Output."""
    ends, names = dict[str, tuple[str, str]](), defaultdict[str, list[str]](list)
    for key, node in graph["nodes"].items():
        name, kind = f"{prefix}{key}", str(node["type"])
        names[kind].append(name)
        nested = kind == "NIRGraph"
        ends[f"{key}"] = _inline(node, nodes, edges, f"{name}.") if nested else (name, name)
        nodes |= {} if nested else {name: node}
    for pair in graph["edges"]:
        a, b = (x.decode() if type(x) is bytes else x for x in pair)
        edges.append((ends.get(a, (a, a))[1], ends.get(b, (b, b))[0]))
    first, last = names["Input"], names["Output"]
    got = f"{', '.join(first) or 'none'} and {', '.join(last) or 'none'}"
    fits, remedy = len(first) == len(last) == 1, "Networks here have one input, and logits."
    require(fits, "graph", "one Input and one Output", got, remedy)
    return first[0], last[0]
