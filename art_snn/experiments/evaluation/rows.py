"""What an evaluation found, as tables and sentences."""

from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING

from art_snn.attacks import Outcome
from art_snn.attacks.plan import REPEATED
from art_snn.experiments.evaluation.verdict import bound, size, verdicts
from art_snn.experiments.tables import Notes, Part, Table
from art_snn.metrics import against, paired_difference

if TYPE_CHECKING:
    from art_snn.experiments.evaluation.result import Evaluation
    from art_snn.experiments.evaluation.trial import Trial

SIGNIFICANT = 0.05
PARTS = 4
"""Radii at which the certified accuracy is told."""


def sections(evaluation: "Evaluation") -> list[Part]:
    """The verdict on every budget, what speaks against it, and a row per attack and budget."""
    count = len(evaluation.samples)
    found: list[Part] = [(evaluation.title, f"{count} sample{'' if count == 1 else 's'}")]
    found += [f"{verdict}." for verdict in verdicts(evaluation)]
    notes = [str(one) for one in evaluation.reservations] + remarks(evaluation)
    found += [Notes(notes)] if notes else []
    found.append(attack_rows(evaluation))
    if evaluation.certified is not None:
        found += [certified_words(evaluation), certified(evaluation)]
    return [*found, f"To repeat it: {evaluation.provenance.command}"]


def attack_rows(evaluation: "Evaluation") -> Table:
    """A row per budget and attack, and one for the union of all attacks up to that budget.

    The p-value is that of McNemar's test, with the sign of the stronger one."""
    first, *others = evaluation.names
    titles = ["attack", "eps", "clean accuracy", "attack success", "robust accuracy"]
    titles += ["queries per sample", *([f"p against {first}"] if others else [])]
    rows = []
    for verdict in verdicts(evaluation):
        eps = size(evaluation.norm, verdict.eps)
        tried = at(evaluation, verdict.eps)
        for trial in tried.values():
            robust, reference = trial.robustness, tried.get(first, trial)
            p = "" if reference is trial else against(robust, reference.robustness)
            row = [trial.name, eps, str(robust.clean_accuracy), str(robust.attack_success)]
            row += [bound(evaluation, trial, verdict), f"{trial.outcome.queries:.0f}", p]
            rows.append(row[: len(titles)])
        if len(tried) > 1 or len(evaluation.budgets) > 1:
            of = verdict.outcome
            row = ["union of all", eps, str(of.clean_accuracy), str(of.attack_success)]
            rows.append([*row, verdict.share, "", ""][: len(titles)])
    return Table(titles, rows)


def certified_words(evaluation: "Evaluation") -> str:
    """What is certified, in a sentence; "" where nothing was asked for."""
    known = evaluation.certified
    if known is None:
        return ""
    found = known.certificate(evaluation.labels)
    return (
        f"Certified by {known.draws} draws of every sample, each with a confidence of "
        f"{100 * (1 - known.alpha):g} %, of the class that most draws give: no class for "
        f"{found.abstentions} of the samples, and an l1 radius of {found.average_radius:.3g} on "
        f"average."
    )


def certified(evaluation: "Evaluation") -> Table:
    """Certified accuracy against the l1 radius, up to the largest one that was found."""
    rows = []
    known = evaluation.certified
    if known is not None:
        found = known.certificate(evaluation.labels)
        largest = float(found.radius.max())
        radii = dict.fromkeys(largest * part / PARTS for part in range(PARTS))
        rows = [(f"{radius:.3g}", str(found.certified_accuracy(radius))) for radius in radii]
    return Table(("l1 radius", "certified accuracy"), rows)


def stages(evaluation: "Evaluation") -> Table:
    """How many samples every stage broke that those before it had not."""
    rows = [
        (trial.name, stage, size(evaluation.norm, trial.eps), str(count))
        for trial in evaluation.trials
        for stage, count in trial.outcome.broken_by.items()
    ]
    return Table(("attack", "stage", "eps", "samples broken"), rows, words=2)


def tests(evaluation: "Evaluation") -> tuple[Table, Table]:
    """McNemar's test between any two attacks at the same budget: those that differ, and the rest.

    Two attacks differ where the p-value lies below .05."""
    titles = ("attack", "other attack", "eps", "broken by the attack alone", "by the other", "p")
    differ: list[tuple[str, ...]] = []
    alike: list[tuple[str, ...]] = []
    for eps in evaluation.budgets:
        for one, other in combinations(at(evaluation, eps).values(), 2):
            more, fewer, p = paired_difference(one.robustness, other.robustness)
            counts = size(evaluation.norm, eps), str(more), str(fewer), f"{p:.2g}"
            (differ if p < SIGNIFICANT else alike).append((one.name, other.name, *counts))
    return Table(titles, differ, words=2), Table(titles, alike, words=2)


def remarks(evaluation: "Evaluation") -> list[str]:
    """What the attacks could not do, and how a random network is judged."""
    skipped = [line for trial in evaluation.trials for line in _stages(trial)]
    silent = sum(stage == Outcome.UNANSWERED for stage in evaluation.trials[0].stage)
    told = f"Samples without a prediction, which count as not correct: {silent}."
    draws = max(trial.draws for trial in evaluation.trials)
    random = f"The network is random: most of {draws} predictions tell whether a sample is broken."
    once = dict.fromkeys(skipped)
    return [*once, *([told] if silent else []), *([random] if draws > 1 else [])]


def _stages(trial: "Trial") -> list[str]:
    """Which stages of a trial ran under the network's own gradient or did not run, and why."""
    repeated = {name: why for name, why in trial.skipped.items() if why.startswith(REPEATED)}
    several = {
        "ran {} under the network's own gradient": trial.native,
        "left out {} that would repeat another": repeated,
    }
    lines = []
    for words, stages in several.items():
        for first, why in list(stages.items())[:1]:
            count = f"{len(stages)} stage{'' if len(stages) == 1 else 's'}"
            told = f"{trial.name} {words.format(count)}. The first is {first}: {why.rstrip('.')}."
            lines.append(told)
    return lines + [
        f"{trial.name} left out {name}: {why.rstrip('.')}."
        for name, why in trial.skipped.items()
        if name not in repeated
    ]


def at(evaluation: "Evaluation", eps: float) -> "dict[str, Trial]":
    """The trials of one budget, by name."""
    return {trial.name: trial for trial in evaluation.trials if trial.eps == eps}


def fates(evaluation: "Evaluation", eps: float) -> list[str]:
    """What became of every sample under all attacks up to a budget, in words.

    :param eps: the budget; 0 for no attack."""
    first, *_ = at(evaluation, evaluation.budgets[0]).values()
    upto = [trial for e in evaluation.budgets if e <= eps for trial in at(evaluation, e).values()]
    wrong = [_misclassified(evaluation, first, sample) for sample in range(len(first.stage))]
    told = {Outcome.UNANSWERED: ["no prediction"] * len(wrong), Outcome.WRONG: wrong}
    return [
        told[stage][sample] if stage in told else _fate(evaluation, eps, upto, sample)
        for sample, stage in enumerate(first.stage)
    ]


def _misclassified(evaluation: "Evaluation", trial: "Trial", sample: int) -> str:
    """How a sample was wrong without an attack; of random networks the prediction is one draw."""
    if trial.draws > 1:
        return f"misclassified in {trial.votes[sample]} of {trial.draws} draws"
    return f"misclassified as {evaluation.clean[sample]}"


def _fate(evaluation: "Evaluation", eps: float, upto: "Sequence[Trial]", sample: int) -> str:
    for trial in upto:
        stage = trial.stage[sample]
        if stage >= 0:
            by = trial.name if len(trial.stages) == 1 else f"{trial.name}, {trial.stages[stage]}"
            where = "" if trial.eps == eps else f" at {size(evaluation.norm, trial.eps)}"
            return f"broken by {by}{where}"
    return "stands" if upto else "right"


def samples(evaluation: "Evaluation", most: int) -> Table:
    """What became of the first samples, a column per budget."""
    titles = ["sample", "label", "predicted"]
    titles += [f"at {size(evaluation.norm, eps)}" for eps in evaluation.budgets]
    known = zip(evaluation.labels, evaluation.clean, strict=True)
    clean = [(str(label), "none" if guess < 0 else str(guess)) for label, guess in known]
    columns = [fates(evaluation, eps) for eps in evaluation.budgets]
    rows = [
        (str(sample), *clean[sample], *(column[sample] for column in columns))
        for sample in range(min(most, len(clean)))
    ]
    return Table(titles, rows, words=len(titles))


def provenance_rows(evaluation: "Evaluation") -> Table:
    """All that is needed to do it again, but for the command."""
    known = evaluation.provenance
    told: dict[str, object] = {"samples": len(evaluation.samples)}
    told |= {"examined for findings": known.examined}
    told |= {"seed": known.seed, "block": known.block, "batch size": known.batch_size}
    told |= {f"rule {name}": rule for name, rule in known.rules.items()}
    told |= {"weights": known.weights, "data": known.data, "fingerprint": evaluation.key}
    told |= {"sources": ", ".join(known.sources)} if known.sources else {}
    told |= {"device": known.device, "threads": known.threads} | known.versions
    told |= {"commit": known.commit} if known.commit else {}
    return Table(("", "value"), [(name, str(value)) for name, value in told.items()], words=2)
