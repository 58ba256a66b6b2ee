"""Findings about what a plan of attacks could not do on a network."""

from dataclasses import replace

from art_snn.attacks import Outcome
from art_snn.attacks.candidates import PREFIX
from art_snn.attacks.plan import REPEATED
from art_snn.findings.base import Finding
from art_snn.findings.remedies import UPPER

FEWEST = 2


def few_gradients(outcome: Outcome) -> Finding | None:
    """Hardly a stage followed a gradient of the network."""
    ran = len(outcome.gradients) - len(_skipped(outcome))
    # Plans of a single stage, as for some norms, ask for one.
    planned = [words for words in outcome.stages if not words.startswith(PREFIX)]
    least = min(FEWEST, len(planned) + len(outcome.skipped))
    if ran >= least or not outcome.gradients:
        return None
    return Finding(
        "too few attacks with a gradient",
        {"stages with a gradient": ran, "that were planned": len(outcome.gradients)},
        f"if fewer than {FEWEST} stages have one, or the only stage of a plan has none (ours)",
        "To survive random search is no robustness. art-snn inspect lists the rules that suit the "
        "network. Where its own gradient is cut, look for detach, no_grad or rounding.",
        sentence=f"{ran} of {len(outcome.gradients)} planned attacks that follow a gradient ran on "
        "this network.",
    )


def stages_skipped(outcome: Outcome) -> Finding | None:
    """Stages that follow a gradient did not run; those that would repeat another do not count."""
    skipped = [w for w in _skipped(outcome) if not outcome.skipped[w].startswith(REPEATED)]
    if not skipped:
        return None
    first = skipped[0]
    return Finding(
        "attacks skipped",
        {"stages skipped": len(skipped), "of": len(outcome.gradients)},
        "if any stage with a gradient does not run (ours)",
        f"The first is {first}: {outcome.skipped[first].rstrip('.')}. Where neurons are not "
        f"recognised, art_snn.interop.register_neuron makes them known. {UPPER}",
        sentence=f"{len(skipped)} of {len(outcome.gradients)} planned attacks that follow a "
        "gradient did not run on this network.",
    )


def _skipped(outcome: Outcome) -> list[str]:
    return [words for words in outcome.gradients if words in outcome.skipped]


CHECKS_OF_OUTCOMES = (few_gradients, stages_skipped)
"""Every check of an outcome, one kind of finding each."""


def examine_outcome(outcome: Outcome) -> list[Finding]:
    """Look for reasons to doubt the robustness that a plan of attacks leaves.

    :param outcome: of :class:`~art_snn.attacks.SpikingAutoAttack`.
    :return: the findings, in the order of CHECKS_OF_OUTCOMES."""
    findings = (check(outcome) for check in CHECKS_OF_OUTCOMES)
    return [replace(finding, about="plan") for finding in findings if finding is not None]
