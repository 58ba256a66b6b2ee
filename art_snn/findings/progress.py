"""Findings where the white box could go on, or has no hold on samples at any budget."""

import numpy as np

from art_snn.findings.base import Finding
from art_snn.findings.controls import MASKED, SIGNIFICANT
from art_snn.findings.white_box import WINDOW, WhiteBox
from art_snn.metrics import paired_difference

CERTAIN, POINT, FALLING = 0.99, 0.01, 0.05
MORE_STEPS = "Take more steps, until more of them flip no more samples."


def whole_range_survived(subject: WhiteBox) -> Finding | None:
    """Samples stand although the attack may turn them into any other."""
    success = subject.unbounded.attack_success
    if not success.total or success.value >= CERTAIN:
        return None
    return Finding(
        "samples survive the whole range",
        {"attack success": success.value, "samples": success.total - success.count},
        f"below {CERTAIN:g} with a ball that holds the whole range: failure at an unbounded budget "
        "(Pintor et al., NeurIPS 2022; Athalye et al., ICML 2018)",
        MASKED,
    )


def steps_still_help(subject: WhiteBox) -> Finding | None:
    """Twice as many steps flip more samples."""
    only_longer, only_white, p = paired_difference(subject.longer, subject.white)
    gain = (only_longer - only_white) / max(1, int(subject.correct.sum()))
    if gain <= POINT or p >= SIGNIFICANT:
        return None
    return Finding(
        "success still rises with steps",
        {"gain of attack success": gain, "steps": 2 * subject.max_iter, "p": p},
        f"above {POINT:g} more with twice the steps, at p < {SIGNIFICANT:g} (McNemar): ours, after "
        "Carlini et al. (2019)",
        MORE_STEPS,
    )


def loss_still_rises(subject: WhiteBox) -> Finding | None:
    """The attack ends while its loss goes on."""
    _, rises = subject.traced
    rises = rises[np.isfinite(rises)]
    median = float(np.median(rises)) if len(rises) else 0.0
    if median <= FALLING:
        return None
    return Finding(
        "loss still rises",
        {"median rise of the cross entropy": median, "samples": len(rises)},
        f"above {FALLING:g} over the last {WINDOW} steps, in the best loss of samples that stand: "
        "incomplete optimisation (Pintor et al., NeurIPS 2022)",
        MORE_STEPS,
    )
