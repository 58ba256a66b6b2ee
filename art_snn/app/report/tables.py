"""Evaluations as tables and sentences: one, several side by side, and as a table in LaTeX."""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from itertools import combinations

import numpy as np
from tabulate import LATEX_ESCAPE_RULES, tabulate

from art_snn.app.report.evaluation import Evaluation, ReportItem, Trial
from art_snn.app.report.verdict import (
    CERTIFIED,
    EXACT,
    UNION,
    UNITS,
    count_words,
    describe_budget,
    describe_budgets,
    describe_trial,
    describe_verdict,
    format_eps,
    is_upper_bound,
    join_words,
    make_cards,
    verdicts,
)
from art_snn.app.tables import Command, Notes, Part, Table
from art_snn.attacks import Outcome
from art_snn.metrics import (
    Certificate,
    Robustness,
    Share,
    describe_difference,
    format_p,
    paired_difference,
)
from art_snn.progress import duration

MOST_SAMPLES = 1000
"""Rows of the table of samples; the others are in the JSON."""
_RADII = 4
"""Radii at which the certified accuracy is given."""
_LONGEST = 12
"""Characters of a name for which a column in LaTeX has room; the caption explains longer ones."""
_NONE = "--"

Comparison = tuple[str, Table | None]
"""Two evaluations in a sentence, and their counts by budget."""


def evaluation_parts(evaluation: Evaluation) -> list[Part]:
    """The verdict in words and by budget, what casts doubt on it, and a row per attack."""
    samples = count_words(len(evaluation.samples), "sample")
    parts: list[Part] = [(evaluation.name, evaluation.title, samples)]
    parts += [describe_verdict(verdicts(evaluation)[-1]), _verdict_table(evaluation)]
    decisive, others = make_cards(evaluation)
    cards = [(card.severity.capitalize(), card) for card in decisive]
    cards += [("Does not change the verdict", card) for card in others]
    notes = [
        f"{kind}: {card.name} ({card.place}). {' '.join((*card.sentences, *card.remedies))}"
        for kind, card in cards
    ]
    notes += remarks(evaluation)
    parts += [Notes(notes)] if notes else []
    parts.append(_attack_table(evaluation))
    if evaluation.certificate is not None:
        certificate = evaluation.certificate
        parts += [describe_certificate(certificate), _certificate_table(certificate)]
    return [*parts, "Reproduce:", Command(evaluation.provenance.command)]


def evaluation_tables(evaluation: Evaluation) -> dict[str, Table]:
    """The tables of a page, by their names: verdicts, attacks, stages, classes, samples, settings,
    digests and, where there is a certificate, certificate."""
    tables = {
        "verdicts": _verdict_table(evaluation),
        "attacks": _attack_table(evaluation),
        "stages": _stage_table(evaluation),
        "classes": _class_table(evaluation),
        "samples": _sample_table(evaluation),
        "settings": _setting_table(evaluation),
        "digests": _digest_table(evaluation),
    }
    if evaluation.certificate is not None:
        tables["certificate"] = _certificate_table(evaluation.certificate)
    return tables


def _verdict_table(evaluation: Evaluation) -> Table:
    """A row per budget; with bounds also what they certify."""
    titles = ["eps", "clean accuracy", "robust accuracy", "findings"]
    if evaluation.bounds:
        titles.insert(2, "certified accuracy")
    rows = []
    for verdict in verdicts(evaluation):
        eps, clean = format_eps(verdict.norm, verdict.eps), str(verdict.outcome.clean_accuracy)
        proven = [] if verdict.certified is None else [str(verdict.certified)]
        rows.append((eps, clean, *proven, verdict.share, verdict.doubts))
    return Table(titles, rows)


def _attack_table(evaluation: Evaluation) -> Table:
    """A row per budget and attack, one for the union of all attacks up to that budget, and one for
    what bounds certify.

    The last column says whether the attack breaks more than the first one, by McNemar's test."""
    first, *others = evaluation.names
    titles = ["attack", "eps", "clean accuracy", "attack success", "robust accuracy"]
    titles += ["queries per sample", *([f"against {first}"] if others else [])]
    rows = []
    for verdict in verdicts(evaluation):
        eps, clean = format_eps(evaluation.norm, verdict.eps), str(verdict.outcome.clean_accuracy)
        trials = evaluation.at(verdict.eps)
        for trial in trials.values():
            robust, reference = trial.robustness, trials.get(first, trial)
            p = "" if reference is trial else describe_difference(robust, reference.robustness)
            row = [trial.name, eps, str(robust.clean_accuracy), str(robust.attack_success)]
            row += [describe_trial(trial, verdict), f"{trial.outcome.queries:.0f}", p]
            rows.append(row[: len(titles)])
        if len(trials) > 1 or len(evaluation.budgets) > 1:
            row = [UNION, eps, clean, str(verdict.outcome.attack_success), verdict.share, "", ""]
            rows.append(row[: len(titles)])
        if verdict.certified is not None:
            row = [CERTIFIED, eps, clean, "", f"at least {verdict.certified}", "", ""]
            rows.append(row[: len(titles)])
    return Table(titles, rows, wide=(2, 3, 5, 6))


def _stage_table(evaluation: Evaluation) -> Table:
    """How many samples each stage broke that those before it had not."""
    rows = []
    for trial in evaluation.trials:
        eps, counts = format_eps(evaluation.norm, trial.eps), trial.outcome.broken_by
        words = {one.id: one.description for one in trial.outcome.stages}
        rows += [(trial.name, words[one], eps, str(count)) for one, count in counts.items()]
    return Table(("attack", "stage", "eps", "samples broken"), rows, words=2)


def class_counts(evaluation: Evaluation) -> dict[int, list[int]]:
    """Of each class, sorted: all samples, the correct ones, and the robust ones at each budget."""
    labels, results = np.array(evaluation.labels), verdicts(evaluation)
    columns = [np.ones(len(labels), dtype=bool), results[0].outcome.correct]
    columns += [verdict.standing for verdict in results]
    return {
        int(number): [int(column[labels == number].sum()) for column in columns]
        for number in np.unique(labels)
    }


def _class_table(evaluation: Evaluation) -> Table:
    """How many samples of each class are correct without an attack and at each budget."""
    budgets = [describe_budgets(evaluation.norm, eps) for eps in evaluation.budgets]
    rows = [[str(n), *map(str, counts)] for n, counts in class_counts(evaluation).items()]
    return Table(("class", "samples", "without an attack", *budgets), rows)


def describe_certificate(certificate: Certificate) -> str:
    """What is certified by random draws, in a sentence."""
    return (
        f"Certified with {certificate.draws} draws of each sample and a confidence of "
        f"{100 * (1 - certificate.alpha):g} % each: the class that most draws give. No class for "
        f"{certificate.abstentions} of the samples; the l1 radius is "
        f"{certificate.average_radius:.3g} on average."
    )


def _certificate_table(certificate: Certificate) -> Table:
    """Certified accuracy at l1 radii from 0, below the largest."""
    largest = float(certificate.radius.max())
    radii = dict.fromkeys(largest * part / _RADII for part in range(_RADII))
    rows = [(f"{radius:.3g}", str(certificate.certified_accuracy(radius))) for radius in radii]
    return Table(("l1 radius", "certified accuracy"), rows)


def remarks(evaluation: Evaluation) -> list[str]:
    """Sentences about stages that did not run, random networks, and what bounds prove."""
    lines = [line for trial in evaluation.trials for line in _skipped(trial)]
    unanswered = int((evaluation.trials[0].outcome.stage == Outcome.UNANSWERED).sum())
    draws = max(trial.outcome.draws for trial in evaluation.trials)
    if unanswered:
        lines.append(f"Samples without a prediction, which count as not correct: {unanswered}.")
    if draws > 1:
        lines.append(f"The network is random: most of {draws} predictions decide what is broken.")
    for bounds in evaluation.bounds[:1]:
        attacked = "were not attacked, and stand in the table of attacks without queries"
        attacked = "were also attacked, and none was broken" if bounds.checked else attacked
        lines.append(
            f"Bounds of the spikes ({bounds.method}) certify samples that no change within the "
            f"budget can break. Those {attacked}."
        )
        exact = [verdict.eps for verdict in verdicts(evaluation) if verdict.exact]
        if exact:
            at = describe_budgets(evaluation.norm, *exact)
            lines.append(f"The robust accuracy {at} is {EXACT}.")
    return list(dict.fromkeys(lines))


def _skipped(trial: Trial) -> list[str]:
    """Stages of a trial that ran with the network's own gradient or did not run, and why."""
    outcome, lines = trial.outcome, []
    several = {
        "ran {} with the network's own gradient": (outcome.stages, "native"),
        "skipped {} that would repeat another": (outcome.skipped, "repeated"),
    }
    for words, (stages, status) in several.items():
        records = [one for one in stages if one.status == status]
        for one in records[:1]:
            start = f"{trial.name} {words.format(count_words(len(records), 'stage'))}."
            label = one.instead_of or one.label
            lines.append(f"{start} The first is {label}: {one.reason.rstrip('.')}.")
    others = [one for one in outcome.skipped if one.status == "skipped"]
    reasons = dict.fromkeys(f"{one.label}: {one.reason.rstrip('.')}." for one in others)
    return lines + [f"{trial.name} skipped {line}" for line in reasons]


def _sample_results(evaluation: Evaluation, eps: float) -> list[str]:
    """The result of each sample under all attacks up to a budget, in words."""
    trials = [t for e in evaluation.budgets if e <= eps for t in evaluation.at(e).values()]
    first = next(iter(evaluation.at(evaluation.budgets[0]).values())).outcome
    certified = evaluation.certified(eps)
    words = []
    for sample, stage in enumerate(first.stage.tolist()):
        breaker = next((t for t in trials if t.outcome.stage[sample] >= 0), None)
        if stage == Outcome.UNANSWERED:
            words.append("no prediction")
        elif stage == Outcome.WRONG and first.draws > 1:
            # The prediction in the table is one more draw.
            words.append(f"misclassified in {first.votes[sample]} of {first.draws} draws")
        elif stage == Outcome.WRONG:
            words.append(f"misclassified as {evaluation.clean[sample]}")
        elif breaker is not None:
            stages = breaker.outcome.stages
            by = f", {stages[breaker.outcome.stage[sample]].description}" if len(stages) > 1 else ""
            where = "" if breaker.eps == eps else f" at {format_eps(evaluation.norm, breaker.eps)}"
            words.append(f"broken by {breaker.name}{by}{where}")
        else:
            words.append("certified" if certified[sample] else "survives")
    return words


def _sample_table(evaluation: Evaluation) -> Table:
    """The results of the first samples, a column per budget."""
    titles = ["sample", "label", "predicted"]
    titles += [f"at {format_eps(evaluation.norm, eps)}" for eps in evaluation.budgets]
    predicted = ["none" if guess < 0 else str(guess) for guess in evaluation.clean]
    columns = [map(str, evaluation.labels), predicted]
    columns += [_sample_results(evaluation, eps) for eps in evaluation.budgets]
    rows = [(str(i), *row) for i, row in enumerate(zip(*columns, strict=True)) if i < MOST_SAMPLES]
    return Table(titles, rows, words=len(titles))


def _setting_table(evaluation: Evaluation) -> Table:
    """When, where and how it was measured."""
    source = evaluation.provenance
    when = datetime.fromisoformat(evaluation.date).astimezone(timezone.utc)
    cells = {"date": f"{when.day} {when:%B %Y, %H:%M} UTC", "time taken": duration(source.seconds)}
    cells |= {"device": source.device, "threads": str(source.threads)}
    cells |= {"time steps (T)": str(source.steps)} if source.steps is not None else {}
    cells |= {"encoder": source.encoder, "samples": str(len(evaluation.samples))}
    cells |= {"examined for findings": str(source.examined), "seed": str(source.seed)}
    cells |= {"batch size": str(source.batch_size), "block": str(source.block)}
    cells |= {"precision of gradients": source.attack_dtype} if source.attack_dtype else {}
    cells |= {f"rule {name}": rule for name, rule in source.rules.items()}
    return Table(("", "value"), list(cells.items()), words=2)


def _digest_table(evaluation: Evaluation) -> Table:
    """What a result is recognised by: digests, versions, and a commit where there is one."""
    source = evaluation.provenance
    cells = {"weights": source.weights, "data": source.data, "fingerprint": evaluation.key}
    cells |= {"sources": ", ".join(source.sources)} if source.sources else {}
    cells |= source.versions | ({"commit": source.commit} if source.commit else {})
    return Table(("", "value"), list(cells.items()), words=2)


def side_parts(items: Sequence[ReportItem]) -> list[Part]:
    """The verdicts of several evaluations below one another, and the tests between them."""
    names = [
        f"{label}: {item.evaluation.title} ({item.name})"
        for label, item in zip(labels(items), items, strict=True)
    ]
    parts: list[Part] = [f"{len(items)} evaluations side by side", Notes(names)]
    parts.append(side_table(items))
    for words, counts in compare_pairs(items):
        parts += [words] if counts is None else [words, counts]
    return parts


def labels(items: Sequence[ReportItem]) -> list[str]:
    """The names of the evaluations, with their numbers where several have the same."""
    names = [item.evaluation.name for item in items]
    numbered = enumerate(names, 1)
    return [name if names.count(name) == 1 else f"{name} ({number})" for number, name in numbered]


def side_table(items: Sequence[ReportItem]) -> Table:
    """A row per evaluation and budget."""
    rows: list[Sequence[str]] = []
    alike = len({item.evaluation.norm for item in items}) == 1
    at = format_eps if alike else describe_budget
    bounded = any(item.evaluation.bounds for item in items)
    for label, item in zip(labels(items), items, strict=True):
        for verdict in verdicts(item.evaluation):
            eps, clean = at(verdict.norm, verdict.eps), str(verdict.outcome.clean_accuracy)
            proven = [str(verdict.certified or "no bounds")] if bounded else []
            rows.append((label, eps, clean, *proven, verdict.share, verdict.doubts))
    titles = ["result", "eps" if alike else "budget", "clean accuracy"]
    titles += ["certified accuracy"] if bounded else []
    titles += ["robust accuracy", "findings"]
    return Table(titles, rows, words=1 if alike else 2)


def compare_pairs(items: Sequence[ReportItem]) -> list[Comparison]:
    """All pairs of the evaluations, compared on the samples that they share."""
    named = zip(labels(items), items, strict=True)
    return [
        _compare(one.evaluation, other.evaluation, (name, other_name))
        for (name, one), (other_name, other) in combinations(named, 2)
    ]


def _compare(one: Evaluation, other: Evaluation, names: tuple[str, str]) -> Comparison:
    both, rows = " and ".join(names), _match_samples(one, other)
    if not rows:
        return f"{both} have no sample in common, so that nothing can be paired.", None
    common = [eps for eps in one.budgets if one.norm == other.norm and eps in other.budgets]
    counts = []
    mine, yours = (list(column) for column in zip(*rows, strict=True))
    survivors = [
        {0.0: verdicts(each)[0].outcome.correct} | {v.eps: v.standing for v in verdicts(each)}
        for each in (one, other)
    ]
    for eps in (0.0, *common):
        at = describe_budget(one.norm, eps) if eps else "without an attack"
        a, b = survivors[0][eps][mine], survivors[1][eps][yours]
        # The test counts flips: of samples that all begin as right, those that do not survive.
        right = np.ones(len(rows), dtype=bool)
        only_b, only_a, p = paired_difference(Robustness(right, a), Robustness(right, b))
        counts.append((at, *map(str, (int((a & b).sum()), only_a, only_b)), format_p(p)))
    heads = ["budget", "right in both", *(f"in {name} alone" for name in names), "McNemar's test"]
    shared = count_words(len(rows), "sample")
    words = f"{both} share {shared}{'' if common else ' and no budget'}."
    return words, Table(heads, counts)


def _match_samples(one: Evaluation, other: Evaluation) -> list[tuple[int, int]]:
    """Rows of the same digest and label in both, in the order of the first.

    Of those that occur several times the first goes with the first, the second with the second."""
    samples, others = (list(zip(e.samples, e.labels, strict=True)) for e in (one, other))
    places = defaultdict(list)
    for row, sample in reversed([*enumerate(others)]):
        places[sample].append(row)
    return [(row, places[sample].pop()) for row, sample in enumerate(samples) if places[sample]]


def latex_table(items: Sequence[ReportItem]) -> str:
    """A table in LaTeX, narrow enough for a column of an article: a row per evaluation and budget
    with clean accuracy, what the first attack, the plan and all attacks together leave, and what
    bounds certify, in percent."""
    evaluations = [item.evaluation for item in items]
    names, several = [one.name for one in evaluations], len(items) > 1
    norms = list(dict.fromkeys(one.norm for one in evaluations))
    short = len({*names}) == len(names) and all(len(name) <= _LONGEST for name in names)
    shown = names if short else [str(number) for number, _ in enumerate(names, 1)]
    heads = ["network", "\u03b5", "clean"]
    heads.append(_common([one.single_attack for one in evaluations], "one attack"))
    heads += [_common([one.plan for one in evaluations], "plan"), "union", "certified"]
    rows = [
        [label, *row]
        for label, one in zip(shown, evaluations, strict=True)
        for row in _latex_rows(one, len(norms) > 1)
    ]
    kept = [place for place, column in enumerate(zip(*rows, strict=True)) if {*column} != {_NONE}]
    kept = kept if several else kept[1:]
    heads, *rows = [[row[place] for place in kept] for row in (heads, *rows)]
    sides = ["left" if head == "network" else "right" for head in heads]
    table = tabulate(rows, heads, "latex_booktabs", disable_numparse=True, colalign=sides)
    # A bracket at the start of a row would be the option of the line break before it.
    table = re.sub(r"(?m)^ \[", " {[}", table)
    titles = "; ".join(dict.fromkeys(one.title for one in evaluations))
    counts = join_words([*dict.fromkeys(str(len(one.samples)) for one in evaluations)])
    parts = [f"{titles}. Accuracy in % on {counts} samples, clean and after attacks with budget"]
    parts.append(f"\u03b5 in {join_words([UNITS[norm] for norm in norms])}. Union: what no attack")
    parts.append("broke at that or a smaller budget.")
    parts += ["\u2264: an upper bound."] * ("\u2264" in table)
    proven = any(one.bounds for one in evaluations)
    parts += ["Certified: what provably no attack can break."] * proven
    named = [f"{number}: {name}" for number, name in zip(shown, names, strict=True)]
    parts += [f"Networks: {'; '.join(named)}."] * (several and not short)
    caption = "".join(LATEX_ESCAPE_RULES.get(letter, letter) for letter in " ".join(parts))
    lines = [r"\begin{table}[t]", r"\centering\small\setlength{\tabcolsep}{4pt}"]
    lines += [rf"\caption{{{caption}}}", r"\label{tab:robustness}\vspace{4pt}", table]
    text = "\n".join([*lines, r"\end{table}"])
    return text.replace("\u2264", r"$\le$").replace("\u03b5", r"$\varepsilon$")


def _common(names: Sequence[str | None], otherwise: str) -> str:
    """The name that all evaluations share, without its rule, or another one where they differ."""
    short = {name.partition(" by ")[0].partition("(")[0] for name in names if name}
    return short.pop() if len(short) == 1 else otherwise


def _latex_rows(evaluation: Evaluation, named: bool) -> Iterator[list[str]]:
    """The numbers of each budget, with the name of the norm where that is needed."""

    def share(one: Share, upper: bool = False) -> str:
        return "\u2264" * upper + f"{100 * one.value:.1f}"

    for verdict in verdicts(evaluation):
        eps, outcome = format_eps(verdict.norm, verdict.eps), verdict.outcome
        row = [f"{eps} ({verdict.norm})" if named else eps, share(outcome.clean_accuracy)]
        for name in (evaluation.single_attack, evaluation.plan):
            trial = evaluation.at(verdict.eps).get(name or "")
            row.append(_NONE)
            if trial is not None:
                upper = is_upper_bound(trial, verdict)
                row[-1] = share(trial.robustness.robust_accuracy, upper)
        proven = _NONE if verdict.certified is None else share(verdict.certified)
        yield [*row, share(outcome.robust_accuracy, verdict.open), proven]
