"""Evaluations as tables and sentences: one, several side by side, and as a table in LaTeX."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from itertools import combinations

import numpy as np
from numpy import ndarray
from tabulate import LATEX_ESCAPE_RULES, tabulate

from art_snn.app.evaluation.record import NORMS, Evaluation, ReportItem
from art_snn.app.evaluation.verdict import (
    CERTIFIED,
    UNION,
    Verdict,
    count_words,
    describe_bound,
    describe_budget,
    describe_budgets,
    describe_verdicts,
    format_eps,
    join_words,
    make_cards,
    tell_apart,
    verdicts,
)
from art_snn.app.tables import Command, Notes, Part, Table
from art_snn.attacks import Outcome
from art_snn.metrics import (
    SIGNIFICANT,
    Certificate,
    Robustness,
    Share,
    describe_difference,
    format_p,
    paired_difference,
)
from art_snn.metrics.energy import ACCUMULATE, MULTIPLY
from art_snn.progress import duration

MOST_SAMPLES = 1000
"""Rows of the table of samples; the others are in the JSON."""
_RADII, _DOUBLINGS = 4, 12
"""Radii and numbers of events at which the certified accuracy is given."""
NOISE = "a random change, to compare"


def evaluation_parts(evaluation: Evaluation) -> list[Part]:
    """The verdict in words and by budget, what casts doubt on it, and a row per attack."""
    decisive, others = make_cards(evaluation)
    notes = []
    for card in (*decisive, *others):
        kind = (
            card["severity"].capitalize()
            if card in decisive
            else "Does not change the verdict"
        )
        words = " ".join((*card["sentences"], *card["remedies"]))
        notes.append(f"{kind}: {card['name']} ({card['place']}). {words}")
    notes += remarks(evaluation)
    parts: list[Part] = [
        (
            evaluation.name,
            evaluation.title,
            count_words(len(evaluation.samples), "sample"),
        ),
        describe_verdicts(verdicts(evaluation)),
        _verdict_table(evaluation),
        Notes(notes),
        _attack_table(evaluation),
    ]
    if evaluation.certificate is not None:
        parts.append(_certificate_table(evaluation.certificate))
    return [*parts, "Reproduce:", Command(evaluation.provenance.command)]


def evaluation_tables(evaluation: Evaluation) -> dict[str, Table]:
    """The tables of a page, by their names: verdicts, attacks, stages, samples, settings,
    digests and, where they are known, certificate and operations."""
    tables = {
        "verdicts": _verdict_table(evaluation),
        "attacks": _attack_table(evaluation),
        "stages": _stage_table(evaluation),
        "samples": _sample_table(evaluation),
        **_provenance_tables(evaluation),
    }
    if evaluation.certificate is not None:
        tables["certificate"] = _certificate_table(evaluation.certificate)
    if evaluation.operations:
        tables["operations"] = _operation_table(evaluation)
    return tables


def _verdict_table(evaluation: Evaluation) -> Table:
    """A row per budget; with bounds or draws also what they certify."""
    table = _side_table([ReportItem("", evaluation)])
    return Table(table.titles[1:], [row[1:] for row in table.rows])


def _attack_table(evaluation: Evaluation) -> Table:
    """A row per budget and attack, and one each for the union of all attacks up to that
    budget, for what is certified, and for a random change.

    The last column says whether the attack breaks more than the first one, by McNemar's test."""
    first, *others = evaluation.names
    titles = [
        "attack",
        "eps",
        "robust accuracy",
        "attack success",
        "clean accuracy",
        "queries per sample",
    ]
    if others:
        titles.append(f"against {first}")

    rows = []
    for verdict in verdicts(evaluation):
        eps = format_eps(evaluation.norm, verdict.eps)
        clean = verdict.outcome.clean_accuracy
        trials = evaluation.at(verdict.eps)
        for trial in trials.values():
            result = trial.robustness
            difference = ""
            if first in trials and trial.name != first:
                difference = describe_difference(result, trials[first].robustness)
            rows.append(
                [
                    trial.name,
                    eps,
                    verdict.describe_trial(trial),
                    result.attack_success,
                    result.clean_accuracy,
                    f"{trial.outcome.queries:.0f}",
                    difference,
                ]
            )
        if len(evaluation.trials) > 1:
            success = verdict.outcome.attack_success
            rows.append([UNION, eps, verdict.share, success, clean, "", ""])
        if verdict.certified is not None:
            proven = f"at least {verdict.certified}"
            rows.append([CERTIFIED, eps, proven, "", clean, "", ""])
        if verdict.noise is not None:
            rows.append([NOISE, eps, verdict.noise, "", clean, "", ""])
    return Table(titles, [row[: len(titles)] for row in rows], wide=(3, 4, 5, 6))


def _stage_table(evaluation: Evaluation) -> Table:
    """How many samples each stage broke that those before it had not."""
    rows = []
    for trial in evaluation.trials:
        eps = format_eps(evaluation.norm, trial.eps)
        words = {one.id: one.description for one in trial.outcome.stages}
        for one, count in trial.outcome.broken_by.items():
            rows.append((trial.name, words[one], eps, count))
    return Table(("attack", "stage", "eps", "samples broken"), rows, words=2)


def _certificate_table(certificate: Certificate) -> Table:
    """Certified accuracy at l1 radii from 0, below the largest, or at numbers of events."""
    accuracy = certificate.certified_accuracy
    if "radius" in certificate.region.changes:
        largest = certificate.region.size.max()
        radii = dict.fromkeys(largest * part / _RADII for part in range(_RADII))
        rows = [(f"{radius:.3g}", accuracy(radius)) for radius in radii]
        return Table(("l1 radius", "certified accuracy"), rows)

    lines = []
    for count in (0, *(2**power for power in range(_DOUBLINGS))):
        shares = [accuracy(**{kind: count}) for kind in ("flips", "removed", "moved")]
        if count < 2 or any(share.count for share in shares):
            lines.append([count, *shares])
    return Table(("events", "flipped or added", "removed", "moved"), lines)


def _operation_table(evaluation: Evaluation) -> Table:
    """A row per layer, their sum, and an estimate of energy, next to a dense network's."""
    titles = (
        "layer",
        "neurons",
        "spikes per neuron",
        "operations",
        "dense network",
        "ratio",
    )
    rows = []
    for name, (neurons, synapses, spikes, operations) in evaluation.operations.items():
        costs = _compare_costs(operations, synapses)
        rows.append((name, f"{neurons:,.0f}", f"{spikes / neurons:.3f}", *costs))

    _, synapses, spikes, operations = np.transpose([*evaluation.operations.values()])
    rows.append(("all layers", "", "", *_compare_costs(operations.sum(), synapses.sum())))
    prices = np.full(len(operations), ACCUMULATE)
    if spikes[0] == 0:  # A dense input is multiplied.
        prices[0] = MULTIPLY
    energy = _compare_costs(prices @ operations / 1000, MULTIPLY * synapses.sum() / 1000)
    rows.append(("energy, an estimate [nJ]", "", "", *energy))
    return Table(titles, rows)


def _compare_costs(ours: float, dense: float) -> tuple[str, str, str]:
    """Costs of a spiking and of a dense network, and their ratio."""
    return f"{ours:,.0f}", f"{dense:,.0f}", f"{ours / dense if dense else 0:.3f}"


def remarks(evaluation: Evaluation) -> list[str]:
    """Sentences about stages that did not run, or ran with the network's own gradient,
    and why; about random networks, and what is proven."""
    lines = []
    for trial in evaluation.trials:
        native = [one for one in trial.outcome.stages if one.status == "native"]
        if native:
            lines.append(
                f"{trial.name} ran {count_words(len(native), 'stage')} with the network's own "
                f"gradient. The first is {native[0].instead_of}, whose rule does not suit all "
                "neurons."
            )
        for one in trial.outcome.skipped:
            if one.status == "skipped":
                lines.append(
                    f"{trial.name} skipped {one.label}: {one.reason.rstrip('.')}."
                )

    draws = max(trial.outcome.draws for trial in evaluation.trials)
    if draws > 1:
        lines.append(
            f"The network is random: most of {draws} predictions decide what is broken."
        )
    if evaluation.bounds:
        words = (
            "certify samples, which were not attacked: in the table they have no queries"
        )
        lines.append(f"Bounds of the spikes ({evaluation.bounds[0].method}) {words}.")
    certificate = evaluation.certificate
    if certificate is not None:
        lines.append(
            f"Certified with {certificate.draws} draws of each sample and a confidence of "
            f"{100 * (1 - certificate.alpha):g} % each: the class that most draws give. No class "
            f"for {certificate.abstentions} of the samples; on average the "
            f"{certificate.region.measure} is {certificate.average:.3g}."
        )
    if evaluation.best_rule not in ("", *evaluation.provenance.rules):
        lines.append(
            f"Attack with {evaluation.best_rule}, as art-snn inspect says: the gradient of stbp is "
            f"zero for more samples. {evaluation.single_attack} is what papers report, to compare."
        )
    lines.append(evaluation.peers)
    return list(dict.fromkeys(filter(None, lines)))


def _sample_table(evaluation: Evaluation) -> Table:
    """The results of the first samples, a column per budget."""
    titles = ["sample", "label", "predicted"]
    titles += [f"at {format_eps(evaluation.norm, eps)}" for eps in evaluation.budgets]
    results = verdicts(evaluation)

    rows = []
    for sample, label in enumerate(evaluation.labels[:MOST_SAMPLES]):
        guess = evaluation.clean[sample]
        predicted = "none" if guess < 0 else guess
        words = [_describe_sample(verdict, sample) for verdict in results]
        rows.append((sample, label, predicted, *words))
    return Table(titles, rows, words=len(titles))


def _describe_sample(verdict: Verdict, sample: int) -> str:
    """The result of a sample under all attacks up to a budget, in words."""
    evaluation = verdict.evaluation
    first = evaluation.trials[0].outcome
    stage = first.stage[sample]
    if stage == Outcome.UNANSWERED:
        return "no prediction"
    if stage == Outcome.WRONG:
        if first.draws > 1:
            # The prediction in the table is one more draw.
            return f"misclassified in {first.votes[sample]} of {first.draws} draws"
        return f"misclassified as {evaluation.clean[sample]}"

    breaker = verdict.breaker(sample)
    if breaker is None:
        if not verdict.standing[sample]:
            return "broken while findings were looked for"
        certified = evaluation.certified(verdict.eps)[sample]
        return "certified" if certified else "survives"

    outcome = breaker.outcome
    words = f"broken by {breaker.name}"
    if len(outcome.stages) > 1:
        words += f", {outcome.stages[outcome.stage[sample]].description}"
    # Its budget may be a smaller one.
    if breaker.eps != verdict.eps:
        words += f" at {format_eps(verdict.norm, breaker.eps)}"
    return words


def _provenance_tables(evaluation: Evaluation) -> dict[str, Table]:
    """When, where and how it was measured; and digests, versions and a commit, where
    there is one, by which a result is recognised."""
    source = evaluation.provenance
    when = datetime.fromisoformat(evaluation.date).astimezone(timezone.utc)
    cells = {
        "date": f"{when.day} {when:%B %Y, %H:%M} UTC",
        "time taken": duration(source.seconds),
        "device": source.device,
        "threads": source.threads,
        "time steps (T)": source.steps,
        "encoder": source.encoder,
        "samples": len(evaluation.samples),
        "examined for findings": source.examined,
        "seed": source.seed,
        "batch size": source.batch_size,
        "block": source.block,
        **{f"rule {name}": rule for name, rule in source.rules.items()},
    }
    digests = {
        "weights": source.weights,
        "data": source.data,
        "fingerprint": evaluation.key,
        "sources": ", ".join(source.sources) or None,
        **source.versions,
        "commit": source.commit or None,
    }
    return {"settings": _list_values(cells), "digests": _list_values(digests)}


def _list_values(cells: Mapping[str, object]) -> Table:
    """A row per name and value; none where there is no value."""
    rows = [(name, value) for name, value in cells.items() if value is not None]
    return Table(("", "value"), rows, 2)


def compare_parts(items: Sequence[ReportItem]) -> list[Part]:
    """A title, the names of several evaluations, their verdicts below one another, and all pairs
    of them on the samples that they share: a sentence, and a table where they share some."""
    named = label_items(items)
    names = [f"{label}: {item.evaluation.title} ({item.name})" for label, item in named]
    parts: list[Part] = [
        f"{len(items)} evaluations side by side",
        Notes(names),
        _side_table(items),
    ]
    for (name, one), (other_name, other) in combinations(named, 2):
        parts += _compare(one.evaluation, other.evaluation, (name, other_name))
    return parts


def label_items(items: Sequence[ReportItem]) -> list[tuple[str, ReportItem]]:
    """Evaluations by their names, with their numbers where several have the same."""
    names = [item.evaluation.name for item in items]
    labels = tell_apart(names, range(1, len(items) + 1))
    return list(zip(labels, items, strict=True))


def _side_table(items: Sequence[ReportItem]) -> Table:
    """A row per evaluation and budget."""
    alike = len({item.evaluation.norm for item in items}) == 1
    bounded = any(item.evaluation.certifies for item in items)
    rows = []
    for label, item in label_items(items):
        for verdict in verdicts(item.evaluation):
            describe = format_eps if alike else describe_budget
            row = [label, describe(verdict.norm, verdict.eps), verdict.share]
            if bounded:
                certified = verdict.certified
                row.append("no bounds" if certified is None else str(certified))
            clean = verdict.outcome.clean_accuracy
            rows.append((*row, str(clean), verdict.doubts))
    titles = ["result", "eps" if alike else "budget", "robust accuracy"]
    if bounded:
        titles.append("certified accuracy")
    return Table([*titles, "clean accuracy", "findings"], rows, words=1 if alike else 2)


def _compare(one: Evaluation, other: Evaluation, names: tuple[str, str]) -> list[Part]:
    """Two evaluations in a sentence, and their counts by budget where they share samples."""
    both = " and ".join(names)
    pairs = _match_samples(one, other)
    if not pairs:
        return [f"{both} have no sample in common, so that nothing can be paired."]
    common = [
        eps for eps in one.budgets if one.norm == other.norm and eps in other.budgets
    ]
    mine, yours = np.transpose(pairs)
    first = _survivors(one)
    second = _survivors(other)

    # The test counts flips: of samples that all begin as right, those that do not survive.
    right = np.ones(len(pairs), dtype=bool)
    rows = []
    for eps in (0.0, *common):
        at = describe_budgets(one.norm, eps) if eps else "without an attack"
        here = first[eps][mine]
        there = second[eps][yours]
        only_there, only_here, p = paired_difference(
            Robustness(right, here), Robustness(right, there)
        )
        words = f"{'' if p < SIGNIFICANT else 'no difference, '}{format_p(p)}"
        rows.append((at, (here & there).sum(), only_here, only_there, words))

    titles = [
        "budget",
        "right in both",
        *(f"in {name} alone" for name in names),
        "McNemar's test",
    ]
    shared = count_words(len(pairs), "sample")
    words = f"{both} share {shared}{'' if common else ' and no budget'}."
    return [words, Table(titles, rows)]


def _survivors(evaluation: Evaluation) -> dict[float, ndarray]:
    """Samples that are right, bool (N,): without an attack at 0, and after those of each budget."""
    results = verdicts(evaluation)
    return {0.0: results[0].outcome.correct} | {one.eps: one.standing for one in results}


def _match_samples(one: Evaluation, other: Evaluation) -> list[tuple[int, int]]:
    """Rows of the same digest and label in both, in the order of the first.

    Of those that occur several times the first goes with the first, the second with the second."""
    places = defaultdict(list)
    for row, sample in enumerate(zip(other.samples, other.labels, strict=True)):
        places[sample].append(row)
    pairs = []
    for row, sample in enumerate(zip(one.samples, one.labels, strict=True)):
        if places[sample]:
            pairs.append((row, places[sample].pop(0)))
    return pairs


def latex_table(items: Sequence[ReportItem]) -> str:
    """A table in LaTeX: a row per evaluation and a column per budget, in percent."""
    columns = dict.fromkeys(
        (item.evaluation.norm, eps) for item in items for eps in item.evaluation.budgets
    )
    rows = []
    for label, item in label_items(items):
        results = {(one.norm, one.eps): one for one in verdicts(item.evaluation)}
        clean = next(iter(results.values())).outcome.clean_accuracy
        cells = [
            _shorten(results[column]) if column in results else "" for column in columns
        ]
        rows.append([label, _percent(clean), *cells])

    alike = len({norm for norm, _ in columns}) == 1
    describe = format_eps if alike else describe_budget
    titles = ["network", "clean", *(describe(*column) for column in columns)]
    table = Table(titles, rows)
    text = tabulate(
        table.rows,
        table.titles,
        "latex_booktabs",
        disable_numparse=True,
        colalign=table.sides,
    )
    # A bracket at the start of a row would be the option of the line break before it.
    text = re.sub(r"(?m)^ \[", " {[}", text)
    text = re.sub(r"at most (?=[\d.]+ )", r"$\\le$ ", text)
    caption = _write_caption(items).translate(str.maketrans(LATEX_ESCAPE_RULES))
    if r"$\le$" in text:
        caption += r" The sign $\le$ marks upper bounds."
    return rf"""\begin{{table}}[t]
\centering\small
\caption{{{caption}}}
\label{{tab:robustness}}
{text}
\end{{table}}"""


def _percent(share: Share) -> str:
    return f"{100 * share.value:.1f}"


def _shorten(verdict: Verdict) -> str:
    """The robust accuracy in percent, from what is certified to what attacks leave."""
    high = _percent(verdict.outcome.robust_accuracy)
    if verdict.certified is None or verdict.exact:
        return describe_bound(high, verdict.open)
    return f"{_percent(verdict.certified)}--{high}"


def _write_caption(items: Sequence[ReportItem]) -> str:
    """What the table in LaTeX shows, in sentences."""
    evaluations = [item.evaluation for item in items]
    data = join_words(dict.fromkeys(one.provenance.dataset for one in evaluations))
    counts = join_words(dict.fromkeys(str(len(one.samples)) for one in evaluations))
    norms = join_words(dict.fromkeys(NORMS[one.norm] for one in evaluations))
    words = f"Accuracy in percent on {counts} test samples of {data}: without an attack "
    words += f"(clean), and under attacks within each budget in {norms}."
    if any(one.certifies for one in evaluations):
        words += " Of two numbers the first is certified, the second is left by attacks."
    return words
