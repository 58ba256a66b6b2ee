"""The trained networks of the zoo, in a table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from art_snn.app.settings import Zoo
from art_snn.app.tables import Table, render
from art_snn.metrics import Share
from art_snn.zoo import ZooEntry
from art_snn.zoo.networks import manifest, place_of

HEAD = ("network", "data", "training", "T", "parameters", "size", "where", "clean")
BUDGET = ("budget", "standard", "certified")


@dataclass(frozen=True)
class ZooList:
    """Networks of the zoo, and by their names where their files are."""

    networks: Sequence[ZooEntry]
    places: Mapping[str, str]
    files: Sequence[str] = ()

    def table(self) -> Table:
        """A row per network and budget."""
        rows = []
        for network in self.networks:
            head = [network.name, network.data, network.training, str(network.architecture.steps)]
            head += [f"{network.parameters:,}", f"{network.bytes / 1e6:.1f} MB"]
            head += [self.places[network.name], _percent(network.clean)]
            for one in network.standard:
                levels = round(255 * one.eps)
                size = (
                    f"{levels}/255"
                    if one.norm == "inf" and one.eps == levels / 255
                    else f"{one.eps:.4g}"
                )
                robust = f"{'≤ ' if one.at_most else ''}{_percent(one.robust)}"
                proven = "" if one.certified is None else _percent(one.certified)
                rows.append([*head, f"{size} ({one.norm})", robust, proven])
                head = [""] * len(HEAD)
            if not network.standard:
                rows.append([*head, *[""] * len(BUDGET)])
        return Table((*HEAD, *BUDGET), rows, words=3)

    def render(self) -> str:
        """The table, for the terminal."""
        return render([self.table()])

    def status(self) -> int:
        """0, the exit status."""
        return 0

    def failure(self) -> str:
        """Nothing, since nothing is checked."""
        return ""


def run(settings: Zoo) -> ZooList:
    """List the networks of the zoo; no network is run.

    :raises ArgumentError: when no manifest is there, and none can be fetched."""
    zoo = manifest()
    return ZooList(zoo.networks, {network.name: place_of(network) for network in zoo.networks})


def _percent(share: Share) -> str:
    return f"{100 * share.value:.1f} %"
