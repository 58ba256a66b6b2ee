"""Findings where something weaker, or only longer, breaks what the white box leaves."""

import numpy as np

from art_snn.findings.base import Finding
from art_snn.findings.white_box import DRAWS, WINDOW, WhiteBox
from art_snn.metrics import SIGNIFICANT, Robustness, paired_difference

BEYOND = 0.002
CERTAIN, POINT, FALLING = 0.99, 0.01, 0.05
LIMIT = (
    f"more than {BEYOND:g} of all samples that the gradient attack leaves (AutoAttack: Croce and "
    "Hein, ICML 2020), and the gradient attack does not break more at "
    f"p < {SIGNIFICANT:g} (McNemar)"
)
MASKED = "The gradient is masked: use another rule, several rules, or SpikingAutoAttack."
MORE_STEPS = "Take more steps, until they break no more samples."


def whole_range_survived(subject: WhiteBox) -> Finding | None:
    """Samples survive although the attack may turn them into any other."""
    success = subject.unbounded.attack_success
    if not success.total or success.value >= CERTAIN:
        return None
    return Finding(
        "samples survive the whole range",
        {"attack success": success.value, "samples": success.total - success.count},
        f"if success is below {CERTAIN:g} in a ball that holds the whole range: failure at an "
        "unbounded budget (Pintor et al., NeurIPS 2022; Athalye et al., ICML 2018)",
        MASKED,
    )


def one_step_as_strong(subject: WhiteBox) -> Finding | None:
    """One step breaks other samples than all steps, and as many."""
    only_white, only_control, _ = paired_difference(subject.white, subject.one_step)
    if not only_control or only_control < only_white:
        return None
    return Finding(
        "one step is as strong as many",
        _evidence("FGSM", subject, subject.one_step),
        "if FGSM breaks samples that the attack of all steps leaves, and at least as many (after "
        "Athalye et al., ICML 2018)",
        MASKED,
    )


def noise_as_strong(subject: WhiteBox) -> Finding | None:
    """Random points of the ball are misclassified that the white box does not find."""
    name = "noise is as strong as the gradient"
    limit = f"{DRAWS} points at the rim of the ball break"
    return _as_strong(name, "noise", subject, subject.noise, limit, MASKED)


def search_as_strong(subject: WhiteBox) -> Finding | None:
    """A search that asks for no gradient finds what the white box does not."""
    if subject.square is None:
        return None
    name, remedy = "a search without gradients is as strong", f"{MASKED} Also run SquareAttack."
    return _as_strong(name, "SquareAttack", subject, subject.square, "SquareAttack breaks", remedy)


def transfer_as_strong(subject: WhiteBox) -> Finding | None:
    """What is crafted on another network breaks what the white box does not."""
    name, limit = "transfer is as strong", "AutoPGD on one of the sources breaks"
    remedy = f"{MASKED} Also hand the sources to SpikingAutoAttack."
    controls = sorted(subject.transfers, key=lambda outcome: -outcome.flipped.sum())
    findings = (_as_strong(name, "transfer", subject, one, limit, remedy) for one in controls)
    return next(filter(None, findings), None)


def _as_strong(
    name: str, by: str, subject: WhiteBox, control: Robustness, limit: str, remedy: str
) -> Finding | None:
    only_white, only_control, p = paired_difference(subject.white, control)
    weaker = only_control < only_white and p < SIGNIFICANT
    if weaker or only_control <= BEYOND * len(subject.x):
        return None
    return Finding(name, _evidence(by, subject, control), f"if {limit} {LIMIT}", remedy)


def _evidence(by: str, subject: WhiteBox, control: Robustness) -> dict[str, float]:
    _, only_control, p = paired_difference(subject.white, control)
    return {
        f"broken by {by}": int(control.flipped.sum()),
        f"by {by} alone": only_control,
        "by the gradient attack": int(subject.white.flipped.sum()),
        "of": int(subject.correct.sum()),
        "p": p,
    }


def steps_still_help(subject: WhiteBox) -> Finding | None:
    """Twice as many steps break more samples."""
    only_longer, only_white, p = paired_difference(subject.longer, subject.white)
    gain = (only_longer - only_white) / max(1, int(subject.correct.sum()))
    if gain <= POINT or p >= SIGNIFICANT:
        return None
    return Finding(
        "success still rises with steps",
        {"gain of attack success": gain, "steps": 2 * subject.max_iter, "p": p},
        f"if twice the steps gain more than {POINT:g}, at p < {SIGNIFICANT:g} (McNemar; ours, "
        "after Carlini et al., 2019)",
        MORE_STEPS,
    )


def loss_still_rises(subject: WhiteBox) -> Finding | None:
    """The attack ends while its loss still rises."""
    _, rises = subject.traced
    rises = rises[np.isfinite(rises)]
    median = float(np.median(rises)) if len(rises) else 0.0
    if median <= FALLING:
        return None
    return Finding(
        "loss still rises",
        {"median rise of the cross entropy": median, "samples": len(rises)},
        f"if the best loss of unbroken samples rises by more than {FALLING:g} over the last "
        f"{WINDOW} steps: incomplete optimisation (Pintor et al., NeurIPS 2022)",
        MORE_STEPS,
    )
