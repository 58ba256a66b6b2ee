"""The blocks of an evaluation: their names, and what is read from them."""

from collections.abc import Sequence

import numpy as np

from art_snn.app.evaluate.store import Store
from art_snn.app.evaluate.target import Target
from art_snn.app.evaluation.record import Bounds, Trial
from art_snn.app.results import from_json
from art_snn.attacks import Outcome, Plan
from art_snn.files import digest
from art_snn.metrics import Certificate


def name_block(work: str, rows: slice) -> str:
    """Name of a block, by what is computed and its first sample."""
    return f"{work}-{rows.start}"


def name_bounds(eps: float, rows: slice) -> str:
    """Name of the block of bounds at a budget."""
    return name_block(f"bounds-{eps}", rows)


def name_attack(eps: float, plan: str, rows: slice) -> str:
    """Name of the block of a plan at a budget; the name of the plan may not suit a file."""
    return name_block(f"attack-{eps}-{digest(plan)[:16]}", rows)


def name_decisions(eps: float, rows: slice) -> str:
    """Name of the block of the exact search at a budget."""
    return name_block(f"decisions-{eps}", rows)


def name_certificates(rows: slice) -> str:
    """Name of the block of certificates by draws."""
    return name_block("certificates", rows)


def read_bounds(target: Target, store: Store, rows: slice) -> dict[float, Bounds]:
    """Bounds of a block at each budget; nothing where bounds were not asked for."""
    proven = {}
    for eps in target.bounded:
        content = store.read(name_bounds(eps, rows))
        proven[eps] = from_json(content["bounds"], Bounds)
    return proven


def read_outcome(store: Store, eps: float, plan: Plan, rows: slice) -> Outcome:
    """The outcome of a plan on a block."""
    content = store.read(name_attack(eps, plan.name, rows))
    outcome: Outcome = from_json(content["outcome"], Outcome)
    return outcome


def read_trials(target: Target, store: Store) -> list[Trial]:
    """All plans at their budgets on all samples."""
    trials = []
    for eps, plan in target.plans:
        outcomes = [read_outcome(store, eps, plan, rows) for rows in target.slices]
        trials.append(Trial(plan.name, eps, Outcome.concatenate(outcomes)))
    return trials


def read_clean(target: Target, store: Store) -> tuple[int, ...]:
    """Predicted classes of all samples without an attack, which lie next to the first plan."""
    eps, plan = target.plans[0]
    blocks = [store.read(name_attack(eps, plan.name, rows)) for rows in target.slices]
    return tuple(predicted for block in blocks for predicted in block["clean"])


def read_certificate(target: Target, store: Store) -> Certificate | None:
    """The certificate by draws of all samples; None where none was asked for."""
    contents = [store.read(name_certificates(rows)) for rows in target.certificate_slices]
    parts = [from_json(content["certificate"], Certificate) for content in contents]
    return Certificate.concatenate(parts) if parts else None


def read_adversarials(store: Store, trial: Trial, blocks: Sequence[slice]) -> np.ndarray:
    """What a plan made of the samples of blocks, the first ones ``(n, ...)``."""
    names = [name_attack(trial.eps, trial.name, rows) for rows in blocks]
    return np.concatenate([store.arrays(name)["adversarials"] for name in names])
