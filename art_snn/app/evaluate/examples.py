"""Samples next to their adversarials: those that a page shows, and those that others verify."""

from collections.abc import Sequence
from contextlib import suppress

import numpy as np
import torch
from numpy import ndarray
from scipy.stats import mode
from torch import Tensor

from art_snn.app.evaluate.blocks import Arrays, Block
from art_snn.app.evaluate.decisions import Decisions, join_adversarials
from art_snn.app.evaluation.record import (
    DECIDED,
    EXAMPLES,
    EXCERPT,
    EXCERPT_COUNT,
    NEURONS,
    Evaluation,
    Examples,
    Trial,
)
from art_snn.app.network import record_calls
from art_snn.checks import ArgumentError
from art_snn.classifier import PyTorchSpikingClassifier
from art_snn.files import write_arrays
from art_snn.interop.refusals import MixedSamples
from art_snn.network import SpikingNetwork
from art_snn.neurons import NeuronLayer
from art_snn.seeding import fix_seed

EXAMPLE_COUNT = 8
"""Samples that the page shows."""


def list_files(evaluation: Evaluation) -> list[str]:
    """Names of the files with arrays: the excerpt, and examples where the page shows some."""
    shown = _choose_shown_trial(evaluation.trials, evaluation.plan)
    files = {
        EXAMPLES: shown.outcome.stage.max() >= 0,
        EXCERPT: True,
        DECIDED: any(one.decided.any() for one in evaluation.trials),
    }
    return [name for name, there in files.items() if there]


def _choose_shown_trial(trials: Sequence[Trial], plan: str) -> Trial:
    """The trial that the page shows: of that plan, or of the first, at its largest budget."""
    name = plan or trials[0].name
    return max((one for one in trials if one.name == name), key=lambda one: one.eps)


def _collect_excerpt(
    blocks: Sequence[Block], trials: Sequence[Trial], decisions: Decisions
) -> Arrays:
    """The arrays of :func:`~art_snn.app.evaluation.record.read_excerpt`.

    The first attack that broke a sample counts."""
    target = blocks[0].target
    budgets = target.budgets
    x = target.x[:EXCERPT_COUNT]
    count = len(x)
    adversarial = np.stack([x] * len(budgets))
    broken = np.zeros((len(budgets), count), bool)

    first = [block for block in blocks if block.rows.start < count]
    for trial in reversed(trials):
        points = join_adversarials(first, trial, decisions)
        row = budgets.index(trial.eps)
        hits = trial.outcome.stage[:count] >= 0
        adversarial[row][hits] = points[:count][hits]
        broken[row] |= hits

    return {
        "eps": np.array(budgets, dtype=float),
        "x": x,
        "y": target.y[:count],
        "adversarial": adversarial,
        "broken": broken,
    }


def write_examples(
    blocks: Sequence[Block], trials: Sequence[Trial], decisions: Decisions
) -> None:
    """Write the first adversarials of the trial that the page shows, and the excerpt."""
    target = blocks[0].target
    output = target.settings.output
    write_arrays(output / EXCERPT, **_collect_excerpt(blocks, trials, decisions))

    trial = _choose_shown_trial(trials, target.settings.deciding_plan)
    rows = np.flatnonzero(trial.outcome.stage >= 0)[:EXAMPLE_COUNT]
    if not len(rows):
        return

    x = target.x[rows]
    broken = join_adversarials(blocks, trial, decisions)[rows]
    with fix_seed(target.settings.seed):
        guesses = [
            target.classifier.predict(broken, target.settings.batch_size).argmax(1)
            for _ in range(trial.outcome.draws)
        ]
        spikes = record_spikes(target.classifier, np.concatenate([x, broken]))

    predicted = mode(guesses).mode
    Examples(trial.name, trial.eps, rows, x, broken, predicted, **spikes).write(output)


def record_spikes(classifier: PyTorchSpikingClassifier, samples: ndarray) -> Arrays:
    """Spikes of samples (2 k, ...), half of them adversarials, as :class:`Examples` keeps them.

    Left out are layers whose potential is read, and others that give no spikes (T, 2 k, ...)."""
    network = classifier.model
    sites = {site.name for site in network.body.neurons()}
    names = []
    rates = []
    parts: list[ndarray] = []
    x = torch.as_tensor(samples, device=classifier.device)

    try:
        recorded = record_calls(network, x)
    except MixedSamples:
        return {}
    for layer, calls in recorded:
        output = _join_steps(network, layer, calls)
        if output is None or output.ndim < 3 or layer.site.name not in sites:
            continue
        steps = parts[0].shape[1] if parts else len(output)
        if output.shape[:2] != (steps, len(samples)):
            continue

        # [T, 2, k, M]: without and with the attack.
        spikes = torch.unflatten(output != 0, 1, (2, -1)).flatten(3).cpu().numpy()
        names.append(layer.name)
        rates.append(spikes.mean((0, 2, 3)))

        # Neurons that fire in the first sample, from all over the layer.
        first = spikes[:, :, 0].swapaxes(0, 1)
        firing = np.flatnonzero(first.any((0, 1)))
        count = min(NEURONS, len(firing))
        places = np.linspace(0, len(firing) - 1, count).astype(int)
        parts.append(first[:, :, firing[places]])

    if not parts:
        return {}
    sizes = [part.shape[2] for part in parts]
    return {
        "layers": np.array(names),
        "rates": np.array(rates).T,
        "owners": np.repeat(np.arange(len(parts)), sizes),
        "spikes": np.concatenate(parts, axis=2),
    }


def _join_steps(
    network: SpikingNetwork, layer: NeuronLayer, calls: list[Tensor]
) -> Tensor | None:
    """The output (T, N, ...) of a layer by what its calls returned; None where it has none."""
    if not calls:
        return None
    if layer.layout == "step":
        return torch.stack(calls[-(network.body.steps or 0) :])

    members = getattr(network.body, "members", {})
    if not members:
        return calls[-1]
    with suppress(ArgumentError):
        return members[layer.module].to_steps(calls[-1], network.body.steps)  # type: ignore[no-any-return]  # A body of interop alone has members.
    return None
