"""The numbers of evaluations as a table in LaTeX, narrow enough for a column of an article."""

from collections.abc import Iterator, Sequence

from tabulate import LATEX_ESCAPE_RULES, DataRow, Line, TableFormat, tabulate

from art_snn.app.evaluation import Evaluation, ReportItem, Verdict, verdicts
from art_snn.app.evaluation.verdict import is_bound
from art_snn.app.evaluation.words import NORMS, join_words, size
from art_snn.metrics import Share

LONGEST = 12
"""Characters of a name for which a column has room; the caption explains numbers of longer ones."""
NONE = "--"
UNITS = NORMS | {"0": "changed values", "shift": "time steps that a spike moves"}
TOP, MIDDLE, BOTTOM = (Line(rf"\{place}rule", "", "", "") for place in ("top", "mid", "bottom"))
ROW = DataRow("", " & ", r" \\")
BOOKTABS = TableFormat(TOP, MIDDLE, None, BOTTOM, ROW, ROW, 0, None)


def latex_table(items: Sequence[ReportItem]) -> str:
    """A row per evaluation and budget: clean accuracy, what the first attack, the plan and all
    attacks together leave, and what bounds certify, in percent."""
    evaluations = [item.evaluation for item in items]
    names = [one.name for one in evaluations]
    short = len({*names}) == len(names) and all(len(name) <= LONGEST for name in names)
    numbers = [str(number) for number, _ in enumerate(names, 1)]
    heads, *rows = _cells(evaluations, names if short else numbers)
    body = tabulate(rows, heads, BOOKTABS, disable_numparse=True)
    several = len(names) > 1
    columns = "l" * several + "r" * (len(heads) - several)
    caption = _caption(evaluations, [] if short or not several else numbers, r"\le" in body)
    lines = [r"\begin{table}[t]", r"\centering\small\setlength{\tabcolsep}{4pt}"]
    lines += [rf"\caption{{{caption}}}", r"\label{tab:robustness}\vspace{4pt}"]
    lines += [rf"\begin{{tabular}}{{{columns}}}", body, r"\end{tabular}", r"\end{table}"]
    return "\n".join(lines)


def _cells(evaluations: Sequence[Evaluation], labels: Sequence[str]) -> list[list[str]]:
    """The heads and all rows, without the columns that have nothing to say."""
    norms, pairs = _norms(evaluations), zip(labels, evaluations, strict=True)
    rows = [[escape(label), *row] for label, one in pairs for row in _rows(one, norms)]
    heads = ["network", r"$\varepsilon$", "clean"]
    heads += [_head(evaluations, False), _head(evaluations, True), "union", "certified"]
    kept = [place for place, column in enumerate(zip(*rows, strict=True)) if {*column} != {NONE}]
    kept = kept if len(labels) > 1 else kept[1:]
    return [[row[place] for place in kept] for row in (heads, *rows)]


def escape(text: str) -> str:
    """The text with all that LaTeX would take for a command escaped."""
    escaped = "".join(LATEX_ESCAPE_RULES.get(letter, letter) for letter in text)
    # A bracket at the start of a row would be the option of the line break before it.
    return f"{{[}}{escaped[1:]}" if escaped.startswith("[") else escaped


def _norms(evaluations: Sequence[Evaluation]) -> list[str]:
    return list(dict.fromkeys(evaluation.norm for evaluation in evaluations))


def _first_attack(evaluation: Evaluation) -> str | None:
    """The name of the first attack next to the plan."""
    return next((name for name in evaluation.names if name != evaluation.plan), None)


def _rows(evaluation: Evaluation, norms: Sequence[str]) -> Iterator[list[str]]:
    for verdict in verdicts(evaluation):
        eps, outcome = size(verdict.norm, verdict.eps), verdict.outcome
        row = [f"{eps} ({verdict.norm})" if len(norms) > 1 else eps]
        row.append(_percent(outcome.clean_accuracy, False))
        row += [_left(evaluation, n, verdict) for n in (_first_attack(evaluation), evaluation.plan)]
        proven = NONE if verdict.certified is None else _percent(verdict.certified, False)
        yield [*row, _percent(outcome.robust_accuracy, verdict.open), proven]


def _left(evaluation: Evaluation, name: str | None, verdict: Verdict) -> str:
    """What an attack leaves."""
    trial = evaluation.at(verdict.eps).get(name or "")
    if trial is None:
        return NONE
    return _percent(trial.robustness.robust_accuracy, is_bound(evaluation, trial, verdict))


def _percent(share: Share, at_most: bool) -> str:
    return r"$\le$" * at_most + f"{100 * share.value:.1f}"


def _head(evaluations: Sequence[Evaluation], plans: bool) -> str:
    """The name of the plan, or of the first attack, where there is one for all."""
    names = {one.plan if plans else _first_attack(one) for one in evaluations} - {None, ""}
    short = {name.partition(" by ")[0].partition("(")[0] for name in names if name}
    usual = "plan" if plans else "one attack"
    return escape(short.pop()) if len(short) == 1 else usual


def _caption(evaluations: Sequence[Evaluation], numbers: Sequence[str], bounds: bool) -> str:
    """What the numbers are, of which networks, samples and budgets."""
    titles = "; ".join(dict.fromkeys(evaluation.title for evaluation in evaluations))
    counts = join_words([*dict.fromkeys(str(len(one.samples)) for one in evaluations)])
    norms = join_words([UNITS[norm] for norm in _norms(evaluations)])
    parts = [rf"{escape(titles)}. Accuracy in \% on {counts} samples, clean and after attacks with"]
    parts.append(rf"budget $\varepsilon$ in {norms}. Union: what no attack broke at that or a")
    parts += ["smaller budget."] + [r"$\le$: an upper bound."] * bounds
    proven = any(one.bounds for one in evaluations)
    parts += ["Certified: what provably no attack can break."] * proven
    named = [f"{n}: {escape(one.name)}" for n, one in zip(numbers, evaluations, strict=False)]
    return " ".join([*parts, *([f"Networks: {'; '.join(named)}."] if named else [])])
