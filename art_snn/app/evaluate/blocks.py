"""Blocks of samples, whose results are written, resumed and handed to processes together."""

from dataclasses import dataclass

import numpy as np

from art_snn.app.evaluate.store import Content, Store
from art_snn.app.evaluate.target import Target
from art_snn.app.evaluation.excerpt import derive_seed, predict_classes
from art_snn.app.evaluation.record import Bounds
from art_snn.app.results import from_json
from art_snn.attacks import Outcome
from art_snn.files import digest
from art_snn.metrics import Certificate


@dataclass(frozen=True)
class Block:
    """Some samples of a target, in their order, and the store of what is computed of them."""

    target: Target
    store: Store
    rows: slice

    @property
    def x(self) -> np.ndarray:
        """The samples ``(n, ...)``."""
        return self.target.x[self.rows]

    @property
    def y(self) -> np.ndarray:
        """Their classes (n,)."""
        return self.target.y[self.rows]

    @property
    def seed(self) -> int:
        """Its seed, which does not depend on other blocks."""
        return derive_seed(self.target.settings.seed, self.rows.start)

    def name(self, work: str) -> str:
        """The name under which work on the block is stored."""
        return f"{work}-{self.rows.start}"

    def name_attack(self, eps: float, plan: str) -> str:
        """The same of a plan at a budget; the name of the plan may not suit a file."""
        return self.name(f"attack-{eps}-{digest(plan)[:16]}")

    def predict(self) -> list[int]:
        """Predicted classes without an attack; -1 without a prediction."""
        size = self.target.settings.batch_size
        return predict_classes(self.target.classifier, self.x, size, self.seed)

    def read_bounds(self) -> dict[float, Bounds]:
        """Bounds at each budget; nothing where bounds were not asked for."""
        proven = {}
        for eps in self.target.bounded:
            content = self.store.read(self.name(f"bounds-{eps}"))
            proven[eps] = from_json(content["bounds"], Bounds)
        return proven

    def read_attack(self, eps: float, plan: str) -> Content:
        """What is stored of a plan at a budget."""
        return self.store.read(self.name_attack(eps, plan))

    def read_outcome(self, eps: float, plan: str) -> Outcome:
        """The outcome of a plan at a budget."""
        outcome: Outcome = from_json(self.read_attack(eps, plan)["outcome"], Outcome)
        return outcome


def join_certificates(target: Target, store: Store) -> Certificate | None:
    """The certificate of all blocks; None without one."""
    parts = []
    for rows in target.certificate_slices:
        block = Block(target, store, rows)
        content = store.read(block.name("certificates"))
        parts.append(from_json(content["certificate"], Certificate))
    return Certificate.concatenate(parts) if parts else None
