"""Findings about what a plan of attacks could not do on a network."""

from art_snn.attacks import Outcome
from art_snn.attacks.suited import REPEATED
from art_snn.findings.base import Finding

FEWEST = 2


def few_gradients(outcome: Outcome) -> Finding | None:
    """Hardly a stage followed a gradient of the network."""
    ran = len(outcome.gradients) - len(_skipped(outcome))
    # Plans of a single stage, as for some norms, ask for one; older outcomes do not tell.
    least = min(FEWEST, len(outcome.stages) + len(outcome.skipped))
    if ran >= least or not outcome.gradients:
        return None
    return Finding(
        "few stages with a gradient",
        {"stages with a gradient": ran, "that were planned": len(outcome.gradients)},
        f"below {FEWEST} stages, or where the only stage of a plan has none: ours",
        "What random search leaves is no robustness. art-snn inspect tells which rules suit the "
        "network; where its own gradient is cut, look for detach, no_grad or rounding.",
    )


def stages_skipped(outcome: Outcome) -> Finding | None:
    """Stages that follow a gradient of the network did not run.

    Transfer without sources, searches that do not fit the samples, and stages that would repeat one
    that does run, do not count."""
    skipped = [w for w in _skipped(outcome) if not outcome.skipped[w].startswith(REPEATED)]
    if not skipped:
        return None
    first = skipped[0]
    return Finding(
        "stages skipped",
        {"stages skipped": len(skipped), "of": len(outcome.gradients)},
        "at the first stage with a gradient that does not run: ours. The first is "
        f"{first}: {outcome.skipped[first].rstrip('.')}",
        "Make the neurons known by art_snn.interop.register_neuron, so that more rules suit the "
        "network, or report the number as an upper bound.",
    )


def _skipped(outcome: Outcome) -> list[str]:
    return [words for words in outcome.gradients if words in outcome.skipped]


CHECKS_OF_OUTCOMES = (few_gradients, stages_skipped)
"""Every check of an outcome, one kind of finding each."""


def examine_outcome(outcome: Outcome) -> list[Finding]:
    """What speaks against believing the robustness that a plan of attacks leaves.

    :param outcome: of :class:`~art_snn.attacks.SpikingAutoAttack`.
    :return: the findings, in the order of CHECKS_OF_OUTCOMES."""
    return [finding for check in CHECKS_OF_OUTCOMES if (finding := check(outcome)) is not None]
