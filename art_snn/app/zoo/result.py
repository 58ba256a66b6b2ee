from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from art_snn.app.report.verdict import format_eps
from art_snn.app.tables import Table, render
from art_snn.metrics import Share
from art_snn.zoo import Standard, ZooEntry

HEAD = ("network", "data", "training", "T", "parameters", "size", "where", "clean")
BUDGET = ("budget", "standard", "certified")


@dataclass(frozen=True)
class Listed:
    """Networks of the zoo, and by their names where their files are."""

    networks: Sequence[ZooEntry]
    places: Mapping[str, str]

    @property
    def files(self) -> list[str]:
        """None is written."""
        return []

    def table(self) -> Table:
        """A row per network and budget."""
        rows = [row for network in self.networks for row in self._rows(network)]
        return Table((*HEAD, *BUDGET), rows, words=3)

    def render(self) -> str:
        """The table, for the terminal."""
        return render([self.table()])

    def _rows(self, network: ZooEntry) -> list[list[str]]:
        head = [network.name, network.data, network.training, str(network.architecture.steps)]
        head += [f"{network.parameters:,}", f"{network.bytes / 1e6:.1f} MB"]
        head += [self.places[network.name], _percent(network.clean)]
        budgets = [_cells(one) for one in network.standard] or [[""] * len(BUDGET)]
        heads = [head, *([""] * len(HEAD) for _ in budgets[1:])]
        return [[*left, *right] for left, right in zip(heads, budgets, strict=True)]


def _cells(one: Standard) -> list[str]:
    robust = f"{'≤ ' if one.at_most else ''}{_percent(one.robust)}"
    proven = "" if one.certified is None else _percent(one.certified)
    return [f"{format_eps(one.norm, one.eps)} ({one.norm})", robust, proven]


def _percent(share: Share) -> str:
    return f"{100 * share.value:.1f} %"
