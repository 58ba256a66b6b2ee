"""Words that all pages and tables of evaluations share: budgets, counts, lists."""

from collections.abc import Sequence

NORMS = {"inf": "the maximum norm", "2": "the Euclidean norm"}
"""Norms in which a budget is a size; in the others it is a number."""
MOST_LEVELS = 32
"""Multiples of 1/255 up to here are budgets of images; 0.2, which is 51/255, is none."""
NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def size(norm: str, eps: float) -> str:
    """A budget as a number; in the maximum norm as a fraction of 255 where it is exactly one."""
    levels = round(255 * eps)
    if norm == "inf" and 0 < levels <= MOST_LEVELS and eps == levels / 255:
        return f"{levels}/255"
    return f"{eps:.4g}" if norm in NORMS else f"{eps:g}"


def short_budget(norm: str, *budgets: float) -> str:
    """One or more budgets in words, without the name of their norm."""
    sizes = join_words([size(norm, eps) for eps in budgets])
    plural = "" if budgets == (1,) else "s"
    kinds = {"0": f"with {sizes} changed value{plural}"}
    kinds["shift"] = f"with spikes moved by {sizes} step{plural}"
    return kinds.get(norm, f"at eps {sizes}")


def budget_words(norm: str, eps: float) -> str:
    """A budget in words."""
    return f"{short_budget(norm, eps)}{_within(norm)}"


def unit(norm: str) -> str:
    """What budgets are counted in, for the axis of a figure."""
    kinds = {"0": "changed values", "shift": "spikes moved by steps"}
    return kinds.get(norm, f"eps{_within(norm)}")


def _within(norm: str) -> str:
    return f" in {NORMS[norm]}" if norm in NORMS else ""


def count_words(count: int, noun: str) -> str:
    """A count with what is counted: "1 sample", "2 samples"."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def spelt(count: int) -> str:
    """A count in a word where it has a short one."""
    return NUMBERS[count] if count < len(NUMBERS) else str(count)


def join_words(words: Sequence[str]) -> str:
    """The words with commas between, and an "and" before the last."""
    *others, last = words
    return f"{', '.join(others)} and {last}" if others else last


def capital(text: str) -> str:
    """The text with a capital letter at its start, and the others as they are."""
    return text[:1].upper() + text[1:]
