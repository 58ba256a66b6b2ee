"""Findings where something weaker, or only longer, breaks what the white box leaves."""

import numpy as np

from art_snn.findings.base import Finding
from art_snn.findings.remedies import OTHER_RULES, SEARCH, SOURCES, STEPS
from art_snn.findings.white_box import DRAWS, WINDOW, WhiteBox
from art_snn.metrics import SIGNIFICANT, Robustness, paired_difference

BEYOND = 0.002
CERTAIN, POINT, FALLING = 0.99, 0.01, 0.05
LIMIT = (
    f"more than {BEYOND:g} of all samples that the gradient attack leaves (AutoAttack: Croce and "
    "Hein, ICML 2020), and the gradient attack does not break more at "
    f"p < {SIGNIFICANT:g} (McNemar)"
)


def whole_range_survived(subject: WhiteBox) -> Finding | None:
    """Samples survive although the attack may turn them into any other."""
    success = subject.unbounded.attack_success
    if not success.total or success.value >= CERTAIN:
        return None
    left = success.total - success.count
    return Finding(
        "samples survive an unlimited budget",
        {"attack success": success.value, "samples": left},
        f"if success is below {CERTAIN:g} in a ball that holds the whole range: failure at an "
        "unbounded budget (Pintor et al., NeurIPS 2022; Athalye et al., ICML 2018)",
        OTHER_RULES,
        sentence=f"Even where any change is allowed, the gradient attack missed {left} of "
        f"{success.total} samples. A working attack breaks all of them.",
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
        OTHER_RULES,
        sentence=_sentence("A single step (FGSM)", subject, subject.one_step),
    )


def noise_as_strong(subject: WhiteBox) -> Finding | None:
    """Random points of the ball are misclassified that the white box does not find."""
    name, words = "noise is as strong as the gradient", f"Random noise, best of {DRAWS} draws,"
    limit = f"{DRAWS} points at the rim of the ball break"
    return _as_strong(name, "noise", words, subject, subject.noise, limit, OTHER_RULES)


def search_as_strong(subject: WhiteBox) -> Finding | None:
    """A search that asks for no gradient finds what the white box does not."""
    if subject.square is None:
        return None
    name, by = "a search without gradients is as strong", "SquareAttack"
    words, remedy = f"{by}, which needs no gradient,", f"{OTHER_RULES} {SEARCH}"
    return _as_strong(name, by, words, subject, subject.square, f"{by} breaks", remedy)


def transfer_as_strong(subject: WhiteBox) -> Finding | None:
    """What is crafted on another network breaks what the white box does not."""
    name, words = "an attack on another network is as strong", "An attack on another network"
    limit, remedy = "AutoPGD on one of the sources breaks", f"{OTHER_RULES} {SOURCES}"
    controls = sorted(subject.transfers, key=lambda outcome: -outcome.flipped.sum())
    how = (limit, remedy)
    findings = (_as_strong(name, "transfer", words, subject, one, *how) for one in controls)
    return next(filter(None, findings), None)


def _as_strong(
    name: str, by: str, words: str, subject: WhiteBox, control: Robustness, limit: str, remedy: str
) -> Finding | None:
    only_white, only_control, p = paired_difference(subject.white, control)
    weaker = only_control < only_white and p < SIGNIFICANT
    if weaker or only_control <= BEYOND * len(subject.x):
        return None
    evidence, sentence = _evidence(by, subject, control), _sentence(words, subject, control)
    return Finding(name, evidence, f"if {limit} {LIMIT}", remedy, sentence=sentence)


def _sentence(words: str, subject: WhiteBox, control: Robustness) -> str:
    """What a control, in words, broke, and the white box did not."""
    _, missed, _ = paired_difference(subject.white, control)
    broke = f"{control.flipped.sum()} of {subject.correct.sum()} samples at eps {subject.eps:.4g}"
    white = f"the gradient attack broke {subject.white.flipped.sum()}, but missed {missed} of these"
    return f"{words} broke {broke}; {white}."


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
    right, steps = int(subject.correct.sum()), 2 * subject.max_iter
    gain = (only_longer - only_white) / max(1, right)
    if gain <= POINT or p >= SIGNIFICANT:
        return None
    return Finding(
        "more steps break more samples",
        {"gain of attack success": gain, "steps": steps, "p": p},
        f"if twice the steps gain more than {POINT:g}, at p < {SIGNIFICANT:g} (McNemar; ours, "
        "after Carlini et al., 2019)",
        STEPS,
        sentence=f"The gradient attack broke {subject.white.flipped.sum()} of {right} samples at "
        f"eps {subject.eps:.4g}, and {subject.longer.flipped.sum()} with {steps} steps in place of "
        f"{subject.max_iter}.",
    )


def loss_still_rises(subject: WhiteBox) -> Finding | None:
    """The attack ends while its loss still rises."""
    _, rises = subject.traced
    rises = rises[np.isfinite(rises)]
    median = float(np.median(rises)) if len(rises) else 0.0
    if median <= FALLING:
        return None
    return Finding(
        "the attack stops too early",
        {"median rise of the cross entropy": median, "samples": len(rises)},
        f"if the best loss of unbroken samples rises by more than {FALLING:g} over the last "
        f"{WINDOW} steps: incomplete optimisation (Pintor et al., NeurIPS 2022)",
        STEPS,
        sentence=f"After {subject.max_iter} steps at eps {subject.eps:.4g} the loss still rises, "
        f"by {median:.3g} over the last {WINDOW} (median of the {len(rises)} that survive).",
    )
