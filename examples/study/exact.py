"""Exact robust accuracy of networks of the zoo: certified, decided and open.

python examples/study/exact.py --network digits-ibp --eps 0.05 0.1 --seconds 60 --output exact
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from time import process_time
from typing import Any

import torch
from setting import ratio

from art_snn import zoo
from art_snn.app import tables
from art_snn.app.results import write_result
from art_snn.bounds import certify_bounds, decide_bounds
from art_snn.files import write_text
from art_snn.metrics import Share

TITLES = ("budget", "clean", "counts", "trains", "safe", "broken", "open", "nodes", "s")


def measure(options: argparse.Namespace, eps: float) -> dict[str, Any]:
    """One row: numbers of samples, nodes of the longest search, seconds of all."""
    about = zoo.entry(options.network)
    x, y = (part[: options.samples] for part in zoo.samples(about.data))
    classifier = zoo.classifier(options.network, "cpu")
    row: dict[str, Any] = {"eps": eps, "samples": len(x)}
    right = classifier.predict(x).argmax(1) == y
    row["clean"] = int(right.sum())
    for method in ("counts", "trains"):
        row[method] = int(certify_bounds(classifier, x, y, eps, method=method).certified.sum())
    start, limit = process_time(), {"seconds": options.seconds, "nodes": options.nodes}
    decision = decide_bounds(classifier, x, y, eps, seed=options.seed, **limit)
    row["seconds"] = round(process_time() - start, 1)
    row |= {name: int(getattr(decision, name).sum()) for name in ("safe", "broken", "open")}
    row |= {"nodes": int(decision.nodes.max()), "undecided": decision.open.nonzero()[0].tolist()}
    return row


def render(title: str, content: Mapping[str, Any]) -> str:
    """A row per budget."""
    rows = []
    for row in content["rows"]:
        shares = ("clean", "counts", "trains", "safe")
        cells = [Share(row[name], row["samples"]).percent for name in shares]
        cells += [str(row["broken"]), str(row["open"])]
        rows.append((f"{row['eps']:.4g}", *cells, str(row["nodes"]), f"{row['seconds']:.0f}"))
    return tables.render([title, tables.Table(TITLES, rows)], "markdown")


def main() -> None:
    parser = argparse.ArgumentParser(description="Exact robust accuracy of a network of the zoo.")
    add = parser.add_argument
    add("--network", default="digits-ibp", choices=zoo.names())
    add("--eps", type=ratio, nargs="+", default=[0.05, 0.1])
    add("--samples", type=int, default=200)
    add("--seconds", type=float, default=10, help="for each sample")
    add("--nodes", type=int, help="for each sample, instead of seconds")
    add("--seed", type=int, default=0)
    add("--output", type=Path, default=Path("exact"))
    add("--small", action="store_true")
    options = parser.parse_args()
    if options.small:
        vars(options).update(samples=4, eps=[0.05], nodes=2, output=options.output / "small")
    torch.set_num_threads(1)
    limit = f"{options.nodes} nodes" if options.nodes else f"{options.seconds:g} s"
    title = f"{options.network}; at most {limit} for each sample, one thread, seed {options.seed}."
    content = {"rows": [measure(options, eps) for eps in options.eps]}
    text = render(title, content)
    write_result(options.output / "exact.json", content)
    write_text(options.output / "exact.md", text)
    print(text)


if __name__ == "__main__":
    main()
