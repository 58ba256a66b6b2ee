"""Findings about samples, their range, and a budget that does not fit either."""

import numpy as np

from art_snn.findings.base import Finding, Subject

NARROW, LARGE, SMALL = 1 / 16, 0.5, 1e-3
ROUNDING = 1e-6


def range_unknown(subject: Subject) -> Finding | None:
    """Nothing says which values a sample may have."""
    if subject.estimator.clip_values is not None:
        return None
    low, high = float(subject.x.min()), float(subject.x.max())
    return Finding(
        "range of values unknown",
        {"lowest value": low, "highest value": high},
        "if there are no clip_values (ours)",
        "Give the classifier the range of its samples as clip_values.",
        sentence=f"The samples lie between {low:.4g} and {high:.4g}. The classifier has no "
        "clip_values, so attacks may return values that no sample can have.",
    )


def range_left(subject: Subject) -> Finding | None:
    """Samples have values that the range excludes, or use next to none of it."""
    values = subject.estimator.clip_values
    if values is None:
        return None
    low, high = values
    slack = ROUNDING * subject.span
    outside = float(((subject.x < low - slack) | (subject.x > high + slack)).mean())
    used = float(np.ptp(subject.x)) / subject.span
    if outside == 0 and used >= NARROW:
        return None
    extent = f"the range of clip_values, {np.min(low):.4g} to {np.max(high):.4g}"
    words = f"{100 * outside:.3g} % of the values lie outside" if outside else ""
    words = words or f"The samples use {100 * used:.2g} % of"
    return Finding(
        "samples that do not fit their range",
        {
            "share of values outside": outside,
            "share of the range in use": used,
            "highest value": float(subject.x.max()),
        },
        f"if any value lies outside clip_values, or less than {NARROW:g} of the range is in use, "
        "as of images of 0..1 in a range of 0..255 (ours)",
        "Scale the samples or correct clip_values. Normalise inside the network.",
        sentence=f"{words} {extent}.",
        severity="error",
    )


def odd_budget(subject: Subject) -> Finding | None:
    """The budget is as wide as the range, or too small to matter."""
    if subject.norm not in (np.inf, 2) or not subject.span:
        return None
    share = subject.eps / subject.reach
    if SMALL <= share < LARGE:
        return None
    extent = "diagonal" if subject.norm == 2 else "width"
    meaning = "too little to matter" if share < SMALL else "every image may become plain grey"
    return Finding(
        "budget that does not fit the range",
        {"eps": subject.eps, f"{extent} of the range": subject.reach, "share": share},
        f"if eps is {LARGE:g} of the range or more, where all images can become grey, or less "
        f"than {SMALL:g} (ours)",
        "Budgets are in the unit of the samples: 8/255 for images in [0, 1], 8 for 0..255.",
        sentence=f"eps {subject.eps:.4g} is {share:.3g} times the range's {extent}: {meaning}.",
        severity="error",
        eps=subject.eps,
    )
