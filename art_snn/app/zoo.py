"""The trained networks of the zoo, in a table."""

from art_snn.app.evaluation.verdict import describe_bound, format_eps
from art_snn.app.results import Printed
from art_snn.app.settings import Zoo
from art_snn.app.tables import Table
from art_snn.zoo.networks import is_here, manifest

_HEAD = ("network", "here", "data", "training", "T", "parameters", "size")
_BUDGET = ("budget", "samples", "clean", "standard", "certified")


def run(settings: Zoo) -> Printed:
    """List the networks of the zoo, and which can be loaded here; no network is run.

    :raises ArgumentError: when the manifest cannot be read."""
    rows = []
    zoo = manifest()
    data = {one.name: is_here(one) for one in zoo.data}
    for network in zoo.networks:
        head = [
            network.name,
            "yes" if is_here(network) and data[network.data] else "no",
            network.data,
            network.training,
            network.architecture["steps"],
            f"{network.parameters:,}",
            f"{network.bytes / 1e6:.1f} MB",
        ]
        for one in network.standard:
            robust = describe_bound(one.robust.percent, one.at_most)
            if one.certified == one.robust:
                robust = f"exactly {one.robust.percent}"
            proven = "" if one.certified is None else f"at least {one.certified.percent}"
            budget = [
                f"{format_eps(one.norm, one.eps)} ({one.norm})",
                f"{one.clean.total}",
            ]
            rows.append([*head, *budget, one.clean.percent, robust, proven])
            head = [""] * len(_HEAD)
        if not network.standard:
            rows.append([*head, *[""] * len(_BUDGET)])
    return Printed([Table((*_HEAD, *_BUDGET), rows, words=4)])
