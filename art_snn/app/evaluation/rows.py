"""An evaluation as tables and sentences."""

from collections.abc import Sequence
from itertools import combinations

from art_snn.app.evaluation.cards import make_cards
from art_snn.app.evaluation.evaluation import Evaluation, Trial
from art_snn.app.evaluation.verdict import CERTIFIED, EXACT, UNION, bound, plain_words, verdicts
from art_snn.app.evaluation.words import count_words, short_budget, size
from art_snn.app.tables import Command, Notes, Part, Table
from art_snn.attacks import Outcome
from art_snn.metrics import SIGNIFICANT, against, p_words, paired_difference

NOT_DECISIVE = "Does not change the verdict"
RADII = 4
"""Radii at which the certified accuracy is given."""


def sections(evaluation: Evaluation) -> list[Part]:
    """The verdict in words and by budget, what casts doubt on it, and a row per attack."""
    results, samples = verdicts(evaluation), count_words(len(evaluation.samples), "sample")
    parts: list[Part] = [(evaluation.name, evaluation.title, samples)]
    parts += [plain_words(evaluation, results[-1]), verdict_rows(evaluation)]
    notes = finding_lines(evaluation) + remarks(evaluation)
    parts += [Notes(notes)] if notes else []
    parts.append(attack_rows(evaluation))
    if evaluation.certificate is not None:
        parts += [certified_words(evaluation), certified_rows(evaluation)]
    return [*parts, "Reproduce:", Command(evaluation.provenance.command)]


def finding_lines(evaluation: Evaluation) -> list[str]:
    """A line per card of the page: those that do not change the verdict come last."""
    decisive, others = make_cards(evaluation)
    lines = [(card.severity.capitalize(), card) for card in decisive]
    lines += [(NOT_DECISIVE, card) for card in others]
    return [
        f"{kind}: {card.name} ({card.place}). {' '.join((*card.sentences, *card.remedies))}"
        for kind, card in lines
    ]


def verdict_rows(evaluation: Evaluation) -> Table:
    """A row per budget: clean, certified and robust accuracy, and how many findings cast doubt."""
    titles = ["eps", "clean accuracy", "robust accuracy", "findings"]
    titles[2:2] = ["certified accuracy"] if evaluation.bounds else []
    rows = []
    for verdict in verdicts(evaluation):
        eps, clean = size(evaluation.norm, verdict.eps), str(verdict.outcome.clean_accuracy)
        proven = [] if verdict.certified is None else [str(verdict.certified)]
        rows.append((eps, clean, *proven, verdict.share, verdict.doubts))
    return Table(titles, rows)


def attack_rows(evaluation: Evaluation) -> Table:
    """A row per budget and attack, one for the union of all attacks up to that budget, and one for
    what bounds certify.

    The last column says whether the attack breaks more than the first one, by McNemar's test."""
    first, *others = evaluation.names
    titles = ["attack", "eps", "clean accuracy", "attack success", "robust accuracy"]
    titles += ["queries per sample", *([f"against {first}"] if others else [])]
    rows = []
    for verdict in verdicts(evaluation):
        eps = size(evaluation.norm, verdict.eps)
        trials = evaluation.at(verdict.eps)
        for trial in trials.values():
            robust, reference = trial.robustness, trials.get(first, trial)
            p = "" if reference is trial else against(robust, reference.robustness)
            row = [trial.name, eps, str(robust.clean_accuracy), str(robust.attack_success)]
            row += [bound(evaluation, trial, verdict), f"{trial.outcome.queries:.0f}", p]
            rows.append(row[: len(titles)])
        if len(trials) > 1 or len(evaluation.budgets) > 1:
            union = verdict.outcome
            row = [UNION, eps, str(union.clean_accuracy), str(union.attack_success)]
            rows.append([*row, verdict.share, "", ""][: len(titles)])
        if verdict.certified is not None:
            row = [CERTIFIED, eps, str(verdict.outcome.clean_accuracy), ""]
            rows.append([*row, f"at least {verdict.certified}", "", ""][: len(titles)])
    return Table(titles, rows, wide=(2, 3, 5, 6))


def certified_words(evaluation: Evaluation) -> str:
    """What is certified, in a sentence; "" without a certificate."""
    certificate = evaluation.certificate
    if certificate is None:
        return ""
    return (
        f"Certified with {certificate.draws} draws of each sample and a confidence of "
        f"{100 * (1 - certificate.alpha):g} % each: the class that most draws give. No class for "
        f"{certificate.abstentions} of the samples; the l1 radius is "
        f"{certificate.average_radius:.3g} on average."
    )


def certified_rows(evaluation: Evaluation) -> Table:
    """Certified accuracy at l1 radii from 0, below the largest one."""
    rows, certificate = [], evaluation.certificate
    if certificate is not None:
        largest = float(certificate.radius.max())
        radii = dict.fromkeys(largest * part / RADII for part in range(RADII))
        rows = [(f"{radius:.3g}", str(certificate.certified_accuracy(radius))) for radius in radii]
    return Table(("l1 radius", "certified accuracy"), rows)


def stage_rows(evaluation: Evaluation) -> Table:
    """How many samples each stage broke that those before it had not."""
    rows = []
    for trial in evaluation.trials:
        eps, counts = size(evaluation.norm, trial.eps), trial.outcome.broken_by
        words = {one.id: one.description for one in trial.outcome.stages}
        rows += [(trial.name, words[one], eps, str(count)) for one, count in counts.items()]
    return Table(("attack", "stage", "eps", "samples broken"), rows, words=2)


def difference_rows(evaluation: Evaluation) -> tuple[Table, Table]:
    """McNemar's test between any two attacks at the same budget: those that differ, and the rest.

    Two attacks differ where the p-value is below 0.05."""
    titles = ["attack", "other attack", "eps", "broken by the first alone", "by the other alone"]
    titles.append("McNemar's test")
    differ: list[tuple[str, ...]] = []
    alike: list[tuple[str, ...]] = []
    for eps in evaluation.budgets:
        for one, other in combinations(evaluation.at(eps).values(), 2):
            more, fewer, p = paired_difference(one.robustness, other.robustness)
            counts = size(evaluation.norm, eps), str(more), str(fewer), p_words(p)
            (differ if p < SIGNIFICANT else alike).append((one.name, other.name, *counts))
    return Table(titles, differ, words=2), Table(titles, alike, words=2)


def remarks(evaluation: Evaluation) -> list[str]:
    """What the attacks could not do, and how a random network is judged."""
    lines = [line for trial in evaluation.trials for line in _skipped(trial)]
    unanswered = int((evaluation.trials[0].outcome.stage == Outcome.UNANSWERED).sum())
    draws = max(trial.outcome.draws for trial in evaluation.trials)
    if unanswered:
        lines.append(f"Samples without a prediction, which count as not correct: {unanswered}.")
    if draws > 1:
        lines.append(f"The network is random: most of {draws} predictions decide what is broken.")
    return list(dict.fromkeys([*lines, *_bounds_words(evaluation)]))


def _bounds_words(evaluation: Evaluation) -> list[str]:
    """How samples were certified, and what that means for the attacks."""
    if not evaluation.bounds:
        return []
    first, *_ = evaluation.bounds
    attacked = "were not attacked, and stand in the table of attacks without queries"
    attacked = "were attacked all the same, and none was broken" if first.checked else attacked
    lines = [
        f"Bounds of the spikes ({first.method}) certify samples that no change within the budget "
        f"can break. Those {attacked}."
    ]
    exact = [verdict.eps for verdict in verdicts(evaluation) if verdict.exact]
    if exact:
        lines.append(f"The robust accuracy {short_budget(evaluation.norm, *exact)} is {EXACT}.")
    return lines


def _skipped(trial: Trial) -> list[str]:
    """Which stages of a trial ran with the network's own gradient or did not run, and why."""
    outcome, lines = trial.outcome, []
    several = {
        "ran {} with the network's own gradient": [n for n in outcome.stages if n.instead_of],
        "skipped {} that would repeat another": [
            one for one in outcome.skipped if one.status == "repeated"
        ],
    }
    for words, records in several.items():
        for one in records[:1]:
            start = f"{trial.name} {words.format(count_words(len(records), 'stage'))}."
            label = one.instead_of or one.label
            lines.append(f"{start} The first is {label}: {one.reason.rstrip('.')}.")
    others = [one for one in outcome.skipped if one.status == "skipped"]
    told = dict.fromkeys(f"skipped {n.label}: {n.reason.rstrip('.')}." for n in others)
    return lines + [f"{trial.name} {line}" for line in told]


def fates(evaluation: Evaluation, eps: float) -> list[str]:
    """What became of each sample under all attacks up to a budget, 0 for none, in words."""
    trials = [t for e in evaluation.budgets if e <= eps for t in evaluation.at(e).values()]
    first = next(iter(evaluation.at(evaluation.budgets[0]).values())).outcome
    words = []
    for sample, stage in enumerate(first.stage.tolist()):
        if stage == Outcome.UNANSWERED:
            words.append("no prediction")
        elif stage != Outcome.WRONG:
            words.append(_fate(evaluation, eps, trials, sample))
        elif first.draws > 1:
            # The prediction in the table is one more draw.
            words.append(f"misclassified in {first.votes[sample]} of {first.draws} draws")
        else:
            words.append(f"misclassified as {evaluation.clean[sample]}")
    return words


def _fate(evaluation: Evaluation, eps: float, trials: Sequence[Trial], sample: int) -> str:
    for trial in trials:
        stage, stages = trial.outcome.stage[sample], trial.outcome.stages
        if stage >= 0:
            by = trial.name if len(stages) == 1 else f"{trial.name}, {stages[stage].description}"
            where = "" if trial.eps == eps else f" at {size(evaluation.norm, trial.eps)}"
            return f"broken by {by}{where}"
    certified = evaluation.certified(eps) if trials else None
    if certified is not None and certified[sample]:
        return "certified"
    return "survives" if trials else "right"


def sample_rows(evaluation: Evaluation, most: int) -> Table:
    """What became of the first samples, a column per budget."""
    titles = ["sample", "label", "predicted"]
    titles += [f"at {size(evaluation.norm, eps)}" for eps in evaluation.budgets]
    predicted = ["none" if guess < 0 else str(guess) for guess in evaluation.clean]
    columns = [map(str, evaluation.labels), predicted]
    columns += [fates(evaluation, eps) for eps in evaluation.budgets]
    rows = [(str(i), *row) for i, row in enumerate(zip(*columns, strict=True)) if i < most]
    return Table(titles, rows, words=len(titles))
