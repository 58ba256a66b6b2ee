"""Exact robust accuracy of networks of the zoo, or of art-snn train: certified, decided and open.

python examples/study/exact.py --network digits-ibp --eps 0.05 0.1 --seconds 60 \
    --output results/exact

Small networks of three and four hidden layers are trained within bounds by

art-snn train --model examples/study/digits_network.py:network --output results/network ...
art-snn train --model examples/study/digits_network.py:deeper --output results/deeper ...

with --data digits --epochs 30 --optimizer adam --learning-rate 0.01 --defence ibp --eps 0.05
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import torch
from art.estimators.classification import PyTorchClassifier
from setting import ratio

from art_snn import zoo
from art_snn.app import tables
from art_snn.app.architecture import Architecture
from art_snn.app.evaluation.verdict import format_eps
from art_snn.app.network import ResolvedNetwork
from art_snn.app.results import write_result
from art_snn.bounds import METHODS, Bounding, certify_bounds, decide_bounds
from art_snn.bounds.reduced import ProblemBuilder
from art_snn.data import Source
from art_snn.files import write_text
from art_snn.metrics import Share

OUTCOME = ("network", "budget", "samples", "clean", "certified by counts", "certified by trains")
OUTCOME += ("proven safe", "broken", "open")
COST = ("network", "budget", "open neurons", "divisions", "seconds", "ms by counts", "ms by trains")


def load(name: str, count: int) -> tuple[PyTorchClassifier, np.ndarray, np.ndarray]:
    """A network of the zoo, or one in a folder named after it, with its first test samples."""
    if name in zoo.names():
        x, y = zoo.samples(zoo.entry(name).data)
        return zoo.classifier(name, "cpu"), x[:count], y[:count]
    model = f"{Path(__file__).with_name('digits_network.py')}:{Path(name).name}"
    path = Path(name) / "network.safetensors"
    subject = ResolvedNetwork(Architecture(model=model), path, Source(data="digits"))
    data = subject.load_data()
    return subject.classifier(data, "cpu"), data.x_test[:count], data.y_test[:count]


def measure(options: argparse.Namespace, name: str, eps: float) -> dict[str, Any]:
    """One row: numbers of samples, nodes of the longest search, seconds of all."""
    classifier, x, y = load(name, options.samples)
    called = Path(name).name
    row: dict[str, Any] = {"network": called, "eps": eps, "samples": len(x)}
    right = classifier.predict(x).argmax(1) == y
    row["clean"] = int(right.sum())
    for method in ("counts", "trains"):
        start = process_time()
        row[method] = int(certify_bounds(classifier, x, y, eps, method=method).certified.sum())
        row[f"{method} ms"] = round(1000 * (process_time() - start) / len(x), 1)
    start, limit = process_time(), {"seconds": options.seconds, "nodes": options.nodes}
    decision = decide_bounds(classifier, x, y, eps, seed=options.seed, **limit)
    row["seconds"] = round(process_time() - start, 1)
    row |= {kind: int(getattr(decision, kind).sum()) for kind in ("safe", "broken", "open")}
    undecided = decision.open.nonzero()[0].tolist()
    builder = ProblemBuilder(
        Bounding(classifier.model, METHODS["counts"](), eps, limits=classifier.clip_values)
    )
    neurons = [
        [sets.shape[1] for sets in builder.build(torch.tensor(x[[i]]), int(y[i])).root.sets[:-1]]
        for i in undecided[:10]
    ]
    row["neurons"] = np.mean(neurons, 0).round().astype(int).tolist() if neurons else []
    return row | {"nodes": int(decision.nodes.max()), "undecided": undecided}


def render(title: str, content: Mapping[str, Any]) -> str:
    """Two tables with a row per network and budget: what was found, and what it took."""
    outcomes, costs = [], []
    for row in content["rows"]:
        about = (row["network"], format_eps("inf", row["eps"]))
        shares = [
            Share(row[name], row["samples"]).percent
            for name in ("clean", "counts", "trains", "safe")
        ]
        outcomes.append((*about, row["samples"], *shares, row["broken"], row["open"]))

        neurons = " / ".join(map(str, row["neurons"])) or "none"
        times = [f"{row[f'{method} ms']:.0f}" for method in ("counts", "trains")]
        costs.append((*about, neurons, row["nodes"], f"{row['seconds']:.0f}", *times))
    return tables.render(
        [title, tables.Table(OUTCOME, outcomes), tables.Table(COST, costs)], "markdown"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Exact robust accuracy of networks.")
    add = parser.add_argument
    add("--network", nargs="+", default=["digits-ibp"], help="of the zoo, or folders of trainings")
    add("--eps", type=ratio, nargs="+", default=[0.05, 0.1])
    add("--samples", type=int, default=200)
    add("--seconds", type=float, default=10, help="for each sample")
    add("--nodes", type=int, help="for each sample, instead of seconds")
    add("--seed", type=int, default=0)
    add("--output", type=Path, default=Path("results/exact"))
    add("--small", action="store_true")
    options = parser.parse_args()
    if options.small:
        vars(options).update(samples=4, eps=[0.05], nodes=2, output=options.output / "small")
    torch.set_num_threads(1)
    limit = f"{options.nodes} divisions" if options.nodes else f"{options.seconds:g} s"
    title = f"The search takes at most {limit} for each sample, with one thread and seed "
    title += f"{options.seed}."
    rows = [measure(options, name, eps) for name in options.network for eps in options.eps]
    content = {"rows": rows}
    text = render(title, content)
    write_result(options.output / "exact.json", content)
    write_text(options.output / "exact.md", text)
    print(text)


if __name__ == "__main__":
    main()
