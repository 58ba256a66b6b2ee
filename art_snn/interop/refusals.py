"""Errors about a model that a rule cannot differentiate as it was told to.

Each ends with those of the remedies below that apply, in their order."""

from art_snn.checks import ArgumentError

EXCHANGE = (
    "Temporal rules, such as STBP, do without the equations: adapt(..., equations=False)."
)
ALONE = (
    "Where the model itself mixes samples, as QKFormer does, give it one sample at a time: "
    "batch_size=1."
)
NATIVE = "Or differentiate it by the rule 'native'."


class UnusableEquations(ArgumentError):
    """A refusal of the equations of neurons, whose spikes may still have exchanged slopes."""


class MixedSamples(ArgumentError):
    """A refusal of a batch of several samples, which the model mixes."""


def refusal(
    expected: str,
    got: str,
    remedy: str,
    *others: str,
    kind: type[ArgumentError] = ArgumentError,
) -> ArgumentError:
    """An error about a model, with a remedy and others of those above."""
    applying = [one for one in (EXCHANGE, ALONE, NATIVE) if one in others]
    return kind.of("model", expected, got, " ".join([remedy, *applying]))


def unusable(expected: str, got: str, remedy: str, *others: str) -> ArgumentError:
    """The error after which temporal rules exchange slopes, if that passes all checks."""
    return refusal(
        expected, got, remedy, EXCHANGE, *others, NATIVE, kind=UnusableEquations
    )
