"""Which stage of a plan broke how many samples: a panel per budget."""

from collections import Counter
from collections.abc import Mapping, Sequence

from markupsafe import Markup
from matplotlib.figure import Figure

from art_snn.app.colours import SERIES
from art_snn.app.evaluation.axes import WIDTH, labelled_bars
from art_snn.app.evaluation.evaluation import Evaluation, Trial
from art_snn.app.evaluation.svg import Drawing, inline
from art_snn.app.evaluation.words import capital, join_words, short_budget
from art_snn.attacks import Outcome

NARROW = 3.0
"""Inches of one of three panels next to one another."""
LONG = 4
"""Stages from which on a single panel would leave half of a wide page empty."""


def stage_counts(trials: Sequence[Trial]) -> dict[str, list[int]]:
    """How many samples each stage of a plan broke in each trial, by the short name of the stage.

    :param trials: of one plan at several budgets. Stages of the same short name are numbered."""
    counts: dict[str, list[int]] = {}
    names: Counter[str] = Counter()
    labels = {one.id: one.label for trial in trials for one in trial.outcome.stages}
    for stage, name in labels.items():
        names[name] += 1
        name = name if names[name] == 1 else f"{name} ({names[name]})"
        counts[name] = [trial.outcome.broken_by.get(stage, 0) for trial in trials]
    return counts


def stages_figure(
    counts: Mapping[str, int], stages: Sequence[str], title: str, limit: int, width: float = WIDTH
) -> Figure:
    """How many samples each stage broke that those before it had not; a colour is an attack.

    :param counts: by the short names of the stages; stages: those of all panels.
    :param limit: the end of the axis in all panels."""
    labels = [f"{count}: {name}" for name, count in counts.items()]
    # The first word of a stage is its attack.
    attacks = list(dict.fromkeys(name.partition(" ")[0] for name in stages))
    places = [attacks.index(name.partition(" ")[0]) for name in counts]
    colours = [SERIES[place % len(SERIES)] for place in places]
    words, values = "samples broken", list(counts.values())
    return labelled_bars(labels, values, words, width, colours, limit=1.04 * limit, title=title)


def draw_stages(evaluation: Evaluation, name: str) -> list[Drawing]:
    """What broke the samples at each budget, for each plan of several stages."""
    plans = map(evaluation.of, evaluation.names)
    several = [plan for plan in plans if any(len(t.outcome.stages) > 1 for t in plan)]
    norm = evaluation.norm
    return [_draw_plan(plan, norm, f"{name}-{place}") for place, plan in enumerate(several)]


def _draw_plan(trials: Sequence[Trial], norm: str, name: str) -> Drawing:
    rows = stage_counts(trials)
    counts = {stage: row for stage, row in rows.items() if any(row)}
    limit = max((max(row) for row in counts.values()), default=0)
    panels = []
    for place, trial in enumerate(trials if counts else ()):
        broken = {stage: row[place] for stage, row in counts.items()}
        panels.append((_panel_title(trial, norm), broken))
    if len(panels) == 1 and len(counts) >= LONG:
        panels = _halves(*panels[0])
    # Three are next to one another on a wide page, or two.
    three = len(panels) not in (1, 2, 4)
    width = NARROW if three else WIDTH
    pictures = []
    for place, (title, broken) in enumerate(panels):
        words = join_words([f"{stage} {count}" for stage, count in broken.items()])
        heading, words = f"{trials[0].name}. {title}", f"Broken by stage: {words}."
        figure = stages_figure(broken, list(counts), title, limit, width)
        pictures.append(inline(figure, f"{name}-{place}", heading, words))
    markup = Markup('<div class="panels{}">{}</div>')
    element = markup.format(" three" if three else "", Markup("").join(pictures))
    title = f"Samples that each stage of {trials[0].name} broke and earlier stages had not"
    return Drawing(
        title, element if counts else Markup(), _words(trials[0], len(rows), len(counts))
    )


def _panel_title(trial: Trial, norm: str) -> str:
    stage, budget = trial.outcome.stage, capital(short_budget(norm, trial.eps))
    broken, left = int((stage >= 0).sum()), int((stage == Outcome.STANDING).sum())
    return f"{budget}: {broken} broken, {left} left"


def _halves(title: str, counts: Mapping[str, int]) -> list[tuple[str, dict[str, int]]]:
    """The panel of a single budget as two next to one another."""
    stages, middle = list(counts.items()), (len(counts) + 1) // 2
    return [(title, dict(stages[:middle])), ("Later stages", dict(stages[middle:]))]


def _words(trial: Trial, stages: int, shown: int) -> str:
    """What the panels leave out."""
    total, wrong = len(trial.outcome.stage), int((trial.outcome.stage < Outcome.STANDING).sum())
    words = f"Samples that were not correct before the attack: {wrong} of {total}."
    if shown < stages:
        words += f" {stages - shown} of {stages} stages broke nothing at any budget."
    return f"{words} The table below has all stages by their full names."
