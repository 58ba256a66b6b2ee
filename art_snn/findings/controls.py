"""Findings where an attack that is weaker by its nature breaks what the white box leaves."""

from art_snn.findings.base import Finding
from art_snn.findings.white_box import DRAWS, WhiteBox
from art_snn.metrics import Robustness, paired_difference

BEYOND, SIGNIFICANT = 0.002, 0.05
LIMIT = (
    f"where it flips what the white box leaves, above {BEYOND:g} of all samples (AutoAttack; Croce "
    f"and Hein, ICML 2020), and the white box does not flip more at p < {SIGNIFICANT:g} (McNemar)"
)
MASKED = "The gradient is masked: take another rule, a union of several, or SpikingAutoAttack."


def one_step_as_strong(subject: WhiteBox) -> Finding | None:
    """One step flips others than all of them, and as many."""
    only_white, only_control, _ = paired_difference(subject.white, subject.one_step)
    if not only_control or only_control < only_white:
        return None
    return Finding(
        "one step is as strong as many",
        _evidence(subject, subject.one_step),
        "where FGSM flips what the attack of all steps leaves, and at least as many: after Athalye "
        "et al. (ICML 2018); the same are none, since on a linear network one step is the best",
        MASKED,
    )


def noise_as_strong(subject: WhiteBox) -> Finding | None:
    """Random points of the ball are misclassified that the white box does not find."""
    name = "noise is as strong as the gradient"
    limit = f"of {DRAWS} random points at the rim of the ball, {LIMIT}"
    return _as_strong(name, subject, subject.noise, limit, MASKED)


def search_as_strong(subject: WhiteBox) -> Finding | None:
    """A search that asks for no gradient finds what the white box does not."""
    if subject.square is None:
        return None
    name = "a search without gradients is as strong"
    remedy = f"{MASKED} Count what SquareAttack breaks, too."
    return _as_strong(name, subject, subject.square, f"of SquareAttack, {LIMIT}", remedy)


def transfer_as_strong(subject: WhiteBox) -> Finding | None:
    """What is crafted on another network breaks what the white box does not."""
    name = "transfer is as strong"
    remedy = f"{MASKED} Hand the sources to SpikingAutoAttack, too."
    limit = f"of AutoPGD on one of the sources, {LIMIT}"
    for control in sorted(subject.transfers, key=lambda outcome: -outcome.flipped.sum()):
        finding = _as_strong(name, subject, control, limit, remedy)
        if finding is not None:
            return finding
    return None


def _as_strong(
    name: str, subject: WhiteBox, control: Robustness, limit: str, remedy: str
) -> Finding | None:
    only_white, only_control, p = paired_difference(subject.white, control)
    weaker = only_control < only_white and p < SIGNIFICANT
    if weaker or only_control <= BEYOND * len(subject.x):
        return None
    return Finding(name, _evidence(subject, control), limit, remedy)


def _evidence(subject: WhiteBox, control: Robustness) -> dict[str, float]:
    _, only_control, p = paired_difference(subject.white, control)
    return {
        "flipped by it": int(control.flipped.sum()),
        "by it alone": only_control,
        "by the white box": int(subject.white.flipped.sum()),
        "of": int(subject.correct.sum()),
        "p": p,
    }
