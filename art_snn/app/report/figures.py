"""The charts of a page: accuracy, sizes of changes, classes and stages, and pictures of samples."""

import base64
import io
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from PIL import Image

from art_snn.app.colours import GREY, SERIES
from art_snn.app.report.evaluation import Evaluation, Examples, ReportItem, Trial
from art_snn.app.report.tables import class_counts
from art_snn.app.report.verdict import (
    CERTIFIED,
    NORMS,
    UNION,
    UNITS,
    Verdict,
    capital,
    describe_budget,
    describe_budgets,
    format_eps,
    join_words,
    verdicts,
)
from art_snn.attacks import Outcome
from art_snn.metrics import Share

_WIDTH = 3.6
"""Inches of a chart that takes half of a wide page, or a phone."""
_SIZE = 9
_LETTERS = 13
"""Characters of that size in an inch."""
_LEVELS = 255
_MARKERS, _STYLES = "osD^vP", ("-", "--", ":", "-.")
_INK, _GRID = "#1b1f24", "#d3d7dc"
"""Text and axes, and the grid."""
_BAND = {"color": _INK, "alpha": 0.28, "lw": 7, "elinewidth": 2.5, "capsize": 0, "marker": ""}
"""The union as a broad light band, on which the line of an attack that alone makes it is seen."""
_BELOW = {"ls": "--", "marker": "^", "lw": 1.4}
"""What is certified, which no attack goes below."""
_MOST_POINTS = 200
"""Of a line: more would make the page large and change nothing that can be seen."""
_SHADE = 0.3
"""Of one bar. That of a budget lies upon that of the budget before and makes it darker."""
_MOST, _ROOM = 12, 700_000
"""Samples that are shown, and characters that their pictures may take."""
_ON, _OFF = (240, 160, 0), (86, 180, 233)
"""Colours of brighter and darker events; white where a pixel has both."""
_MOST_FRAMES = 20
_GAP = 128
"""Grey of the line between two frames."""


@dataclass(frozen=True)
class Drawing:
    """A figure on a page: a chart, or a sample in three pictures.

    :param title: "" for a sample.
    :param words: the words below it.
    :param pictures: data URIs, each with words for those who do not see it."""

    title: str
    words: str
    pictures: tuple[tuple[str, str], ...]


def _chart(figure: Figure, title: str, words: str, alternative: str = "") -> Drawing:
    """The figure as an SVG; the same figure gives the same drawing.

    :param alternative: the numbers of the chart in words, where these differ."""
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    how: Any = {"svg.fonttype": "none", "svg.hashsalt": "art_snn"}
    with matplotlib.rc_context(how):
        stream = io.BytesIO()
        figure.savefig(stream, format="svg", metadata=nothing)
    alternative = f"{title}. {alternative or words}"
    return Drawing(title, words, ((_data_uri("svg+xml", stream.getvalue()), alternative),))


def _data_uri(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def _axes(width: float, height: float, names: Sequence[str] = ()) -> tuple[Figure, Axes]:
    """One plain pair of axes, with room for the names of the legend below."""
    lines = sum(1 + _fold(name, width).count("\n") for name in names)
    figure = Figure(figsize=(width, height + 0.19 * lines), layout="constrained")
    ax = figure.subplots()
    ax.grid(color=_GRID, lw=0.6)
    ax.set_axisbelow(True)
    ax.tick_params(colors=_INK, labelsize=_SIZE, length=3)
    for label in (ax.xaxis.label, ax.yaxis.label):
        label.set(color=_INK, fontsize=_SIZE)
    for side, spine in ax.spines.items():
        spine.set(color=_INK, lw=0.8, visible=side in ("left", "bottom"))
    return figure, ax


def _fold(name: str, width: float) -> str:
    """A name of the legend, folded to fit next to its line."""
    return textwrap.fill(name, int(_LETTERS * width) - 6)


def _add_legend(figure: Figure, handles: Sequence[Any], names: Sequence[str]) -> None:
    """The names of the lines or bars, below one another below the axes."""
    folded = [_fold(name, figure.get_figwidth()) for name in names]
    how: dict[str, Any] = {"loc": "outside lower left", "frameon": False, "fontsize": _SIZE}
    how |= {"labelcolor": _INK, "borderaxespad": 0, "labelspacing": 0.25}
    for text in figure.legend(handles, folded, **how).get_texts():
        text.set_parse_math(False)


def _style(place: int) -> dict[str, Any]:
    """Colour, style and marker of a line, which also differ in grey; the first is broader, so that
    it can be seen below another one."""
    colour, marker = SERIES[place % len(SERIES)], _MARKERS[place % len(_MARKERS)]
    style = _STYLES[place // len(SERIES) % len(_STYLES)]
    return {"color": colour, "marker": marker, "ls": style, "lw": 1.4 if place else 3.0}


def _budget_axis(norm: str, budgets: Sequence[float]) -> tuple[int, str]:
    """What budgets are multiplied by on an axis, and its label."""
    levels = norm == "inf" and all("/" in format_eps(norm, eps) for eps in budgets if eps)
    label = f"eps in {NORMS[norm]}" if norm in NORMS else UNITS[norm]
    return (_LEVELS, f"{label} [1/255]") if levels else (1, label)


def _accuracy_label(results: Sequence[Verdict]) -> str:
    """The label of an axis of the accuracies of these verdicts."""
    proven = any(verdict.certified is not None for verdict in results)
    bound = " at most" if any(verdict.open for verdict in results) else ""
    return f"accuracy{', of attacks' if bound and proven else ''}{bound} [%]"


def accuracy_figure(evaluation: Evaluation, width: float = _WIDTH) -> Figure:
    """Accuracy against the budget under each attack and their union, and what is certified, with
    95 % intervals."""
    curves = {}
    for name in evaluation.names:
        trials = evaluation.of(name)
        curves[name] = {0.0: trials[0].robustness.clean_accuracy}
        curves[name] |= {trial.eps: trial.robustness.robust_accuracy for trial in trials}
    results = verdicts(evaluation)
    return _plot_accuracy(curves | _verdict_curves(results, UNION, CERTIFIED), results, width)


def _verdict_curves(
    results: Sequence[Verdict], name: str, certified: str
) -> dict[str, dict[float, Share]]:
    """Robust and, with bounds, certified accuracy over the budgets from 0, by these names."""
    clean = {0.0: results[0].outcome.clean_accuracy}
    proven = {v.eps: v.certified for v in results if v.certified is not None}
    curves = {name: clean | {v.eps: v.outcome.robust_accuracy for v in results}}
    return curves | ({certified: clean | proven} if proven else {})


def _plot_accuracy(
    curves: Mapping[str, Mapping[float, Share]], results: Sequence[Verdict], width: float
) -> Figure:
    """One line per name over the budgets, that of the union as a band below the others, and that
    of what is certified dashed, in the colour of the line before it."""
    figure, ax = _axes(width, 2.5, list(curves))
    scale, axis = _budget_axis(results[0].norm, [eps for curve in curves.values() for eps in curve])
    lines: list[Any] = []
    for place, (name, curve) in enumerate(curves.items()):
        values = 100 * np.array([share.value for share in curve.values()])
        low, high = 100 * np.array([share.interval for share in curve.values()]).T
        style = {"markersize": 4, "capsize": 2, "elinewidth": 0.8} | _style(place)
        style |= _BAND | {"zorder": 1.5} if name == UNION else {}
        if name == CERTIFIED or name.endswith(f", {CERTIFIED}"):
            style |= _BELOW | {"color": lines[-1].lines[0].get_color()}
        reach = np.abs([values - low, high - values])
        x = scale * np.array(list(curve))
        lines.append(ax.errorbar(x, values, reach, label=name, **style))
    ax.set(ylim=(0, 100), ylabel=_accuracy_label(results), xlabel=axis)
    ax.set_xlim(left=0)
    _add_legend(figure, lines, list(curves))
    return figure


def draw_accuracy(evaluation: Evaluation) -> Drawing:
    """Accuracy against the budget."""
    results = verdicts(evaluation)
    shares = [f"{one.share} {describe_budget(one.norm, one.eps)}" for one in results]
    words = f"All attacks together leave {join_words(shares)}."
    if evaluation.bounds:
        proven = [f"{v.certified} {describe_budget(v.norm, v.eps)}" for v in results]
        words += f" Certified are {join_words(proven)}."
    certified = ", and what is certified" if evaluation.bounds else ""
    title = f"Accuracy under each attack and under all of them{certified}, with 95 % intervals"
    numbers = f"{words} The table of attacks has the numbers."
    return _chart(accuracy_figure(evaluation), title, "", numbers)


def draw_side_by_side(items: Sequence[ReportItem]) -> Drawing | None:
    """The verdicts of several evaluations in one chart; None where their norms differ."""
    if len({item.evaluation.norm for item in items}) > 1:
        return None
    curves: dict[str, dict[float, Share]] = {}
    words, results = [], []
    for number, item in enumerate(items, 1):
        mine, name = verdicts(item.evaluation), f"{number}: {item.evaluation.name}"
        curves |= _verdict_curves(mine, name, f"{name}, {CERTIFIED}")
        shares = [f"{v.share} {describe_budget(v.norm, v.eps)}" for v in mine]
        words.append(f"result {number} {join_words(shares)}")
        results += mine
    bounded = any(item.evaluation.bounds for item in items)
    proven = ", and what is certified" if bounded else ""
    title = f"Accuracy under all attacks of each result{proven}, with 95 % intervals"
    figure = _plot_accuracy(curves, results, _WIDTH)
    return _chart(figure, title, "", f"{'; '.join(words)}.")


def draw_sizes(evaluation: Evaluation) -> Drawing:
    """Attack success against the size of the smallest change of a sample, at any budget."""
    scale, axis = _budget_axis(evaluation.norm, evaluation.budgets)
    figure, ax = _axes(_WIDTH, 2.5, evaluation.names)
    end, medians = scale * evaluation.budgets[-1], []
    for place, name in enumerate(evaluation.names):
        outcomes = [trial.outcome for trial in evaluation.of(name)]
        sizes = [np.where(one.robustness.flipped, one.distance, np.inf) for one in outcomes]
        smallest = np.min(sizes, axis=0)[outcomes[0].robustness.correct]
        broken = scale * np.sort(smallest[np.isfinite(smallest)])
        success = 100 * np.arange(len(broken) + 1) / max(len(smallest), 1)
        kept = np.unique(np.linspace(0, len(broken), _MOST_POINTS).astype(int))
        x, y = np.append(0, broken)[kept], success[kept]
        style = _style(place) | {"marker": "", "drawstyle": "steps-post"}
        ax.plot(np.append(x, end), np.append(y, y[-1]), label=name, **style)
        if len(broken):
            unit = f"/{_LEVELS}" if scale == _LEVELS else ""
            medians.append(f"{name} {np.median(broken):.3g}{unit}")
    _add_legend(figure, list(ax.lines), evaluation.names)
    for eps in evaluation.budgets:
        ax.axvline(scale * eps, color=GREY, lw=0.8, ls=":", zorder=1)
    ax.set(ylim=(-2, 102), ylabel="attack success [%]", xlim=(0, 1.02 * end))
    ax.set_xlabel(axis.replace("eps in", "size of the change in", 1))
    words = f"Medians: {join_words(medians)}." if medians else "No sample was broken."
    words += " The dotted lines are the budgets. Smaller changes may exist: most attacks stop at "
    words += "the first that they find."
    title = "Attack success against the size of the smallest change that broke a sample"
    return _chart(figure, title, words)


def draw_classes(evaluation: Evaluation) -> Drawing:
    """Accuracy by class without an attack and under all of them at each budget."""
    budgets = [describe_budgets(evaluation.norm, eps) for eps in evaluation.budgets]
    names, counts = ["without an attack", *budgets], class_counts(evaluation)
    columns = np.array(list(counts.values()))
    figure, ax = _axes(_WIDTH, 2.5, names)
    how: dict[str, Any] = {"color": SERIES[0], "width": 0.8, "lw": 0, "alpha": _SHADE}
    for column in (100 * columns[:, 1:] / columns[:, :1]).T:
        ax.bar(list(counts), column, **how)
    shades = [1 - (1 - _SHADE) ** (1 + place) for place in range(len(names))]
    handles = [Rectangle((0, 0), 1, 1, color=SERIES[0], lw=0, alpha=shade) for shade in shades]
    _add_legend(figure, handles, names)
    ax.set(ylim=(0, 100), xlabel="class", ylabel=_accuracy_label(verdicts(evaluation)))
    ax.xaxis.set_major_locator(MaxNLocator(10, integer=True))
    ax.grid(visible=False, axis="x")
    numbers = [
        f"class {n} {join_words([*map(str, row[1:])])} of {row[0]}" for n, row in counts.items()
    ]
    words = f"Correct samples {join_words(names)}: {'; '.join(numbers)}."
    return _chart(figure, "Accuracy of each class under all attacks", "", words)


def draw_stages(evaluation: Evaluation) -> list[Drawing]:
    """Samples that each stage broke at each budget, a chart for each plan of several stages."""
    plans = map(evaluation.of, evaluation.names)
    several = [plan for plan in plans if any(len(trial.outcome.stages) > 1 for trial in plan)]
    return [_draw_plan(plan, evaluation.norm) for plan in several]


def _draw_plan(trials: Sequence[Trial], norm: str) -> Drawing:
    counts: dict[str, list[int]] = {}
    seen: Counter[str] = Counter()
    ids = {one.id: one.label for trial in trials for one in trial.outcome.stages}
    for one, label in ids.items():
        seen[label] += 1
        name = label if seen[label] == 1 else f"{label} ({seen[label]})"
        counts[name] = [trial.outcome.broken_by.get(one, 0) for trial in trials]
    shown = {name: row for name, row in counts.items() if any(row)}
    names = []
    for trial in trials:
        stage, budget = trial.outcome.stage, describe_budgets(norm, trial.eps)
        broken, left = int((stage >= 0).sum()), int((stage == Outcome.STANDING).sum())
        names.append(f"{budget}: {broken} broken, {left} left")
    total = len(trials[0].outcome.stage)
    wrong = int((trials[0].outcome.stage < Outcome.STANDING).sum())
    words = f"{capital('; '.join(names))}. Not correct before the attack: {wrong} of {total}."
    if len(shown) < len(counts):
        words += f" {len(counts) - len(shown)} of {len(counts)} stages broke nothing at any budget."
    title = f"Samples that each stage of {trials[0].name} broke and earlier stages had not"
    if not shown:
        return Drawing(title, words, ())
    labels = [textwrap.fill(name, int(_LETTERS * _WIDTH)) for name in shown]
    bar = 0.16
    heights = np.array([0.24 + 0.17 * label.count("\n") + bar * len(trials) for label in labels])
    tops = heights.cumsum() - heights
    figure, ax = _axes(_WIDTH, 0.6 + float(heights.sum()), names)
    handles = []
    for place in range(len(trials)):
        values = [row[place] for row in shown.values()]
        y = tops + heights - bar * (len(trials) - place - 0.25)
        handles.append(ax.barh(y, values, height=0.85 * bar, color=SERIES[place % len(SERIES)]))
        for height, value in zip(y, values, strict=True):
            ax.text(value, height, f" {value}", color=_INK, fontsize=_SIZE - 2, va="center")
    for top, label in zip(tops, labels, strict=True):
        text = ax.text(0, top + 0.06, label, color=_INK, fontsize=_SIZE, va="top")
        text.set(in_layout=False, parse_math=False)
    ax.set(yticks=[], ylim=(float(heights.sum()) + 0.05, 0), xlabel="samples broken")
    ax.set_xlim(0, 1.08 * max(map(max, shown.values())))
    ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    ax.spines["left"].set_visible(False)
    ax.grid(visible=False, axis="y")
    _add_legend(figure, handles, names)
    numbers = [f"{name} {join_words([*map(str, row)])}" for name, row in shown.items()]
    return _chart(figure, title, words, f"{words} By stage: {'; '.join(numbers)}.")


def draw_examples(evaluation: Evaluation, examples: Examples) -> tuple[str, list[Drawing]]:
    """Originals, adversarials and differences of the first examples, as many as a page has room
    for, with a legend in sentences."""
    start = f"Samples under {examples.trial}, {describe_budget(evaluation.norm, examples.eps)}. "
    shape, both = examples.x.shape[1:], (examples.x, examples.adversarial)
    if not len(examples.x):
        return f"{start}There is none.", []
    if len(shape) not in (3, 4) or shape[-3] not in (1, 2, 3) or not min(shape):
        return f"{start}Samples of shape ({', '.join(map(str, shape))}) are not drawn.", []
    if not all(np.isfinite(values).all() for values in both):
        return f"{start}They hold values that are not finite, and are not drawn.", []
    low, high = float(min(a.min() for a in both)), float(max(a.max() for a in both))
    drawings: list[Drawing] = []
    room = _ROOM
    for place in range(min(_MOST, len(examples.x))):
        drawing = _draw_example(evaluation, examples, place, low, high)
        room -= sum(len(source) for source, _ in drawing.pictures)
        if drawings and room < 0:
            break
        drawings.append(drawing)
    words = f"Black is {low:.4g}, white {high:.4g}. "
    if shape[-3] == 2:
        words = "Orange are events of the second channel, blue those of the first, white both. "
    several = ", the mean of the channels" if shape[-3] > 1 else ""
    words += f"Differences: red is more, blue is less{several}, each on its own scale."
    if len(shape) == 4:
        frames = min(_MOST_FRAMES, shape[0])
        words += f" Frames 1 to {frames} of {shape[0]}, side by side in time."
    if len(drawings) < len(examples.rows):
        words += f" The first {len(drawings)} of {len(examples.rows)} examples are shown."
    return start + words, drawings


def _draw_example(
    evaluation: Evaluation, examples: Examples, place: int, low: float, high: float
) -> Drawing:
    x, adversarial = (a[place].astype(float) for a in (examples.x, examples.adversarial))
    change, row = adversarial - x, int(examples.rows[place])
    label, guess = evaluation.labels[row], int(examples.predicted[place])
    moved, largest = int((change != 0).sum()), f"{np.abs(change).max():.3g}"
    taken = f"{'still ' if guess == label else ''}taken for {guess}"
    start = f"Sample {row}, of class {label}"
    words = f"{start}, {taken}; {moved} of {change.size} values changed, at most by {largest}."
    original, changed = (
        _draw_sample(np.clip((a - low) / ((high - low) or 1), 0, 1)) for a in (x, adversarial)
    )
    pictures = (
        (original, f"{start}, original"),
        (changed, f"{start}, adversarial, {taken}"),
        (_draw_difference(change), f"{start}, difference: largest change {largest}"),
    )
    return Drawing("", words, pictures)


def _draw_sample(values: np.ndarray) -> str:
    """A sample (C, H, W) or (T, C, H, W) in [0, 1] as a data URI; frames are side by side."""

    def coloured(frame: np.ndarray) -> np.ndarray:
        if len(frame) == 1:
            return np.repeat(frame[0][..., None], 3, -1)
        if len(frame) == 3:
            return frame.transpose(1, 2, 0)
        both: np.ndarray = frame.min(0)[..., None]
        one = np.clip(np.tensordot(frame, np.array([_OFF, _ON]) / 255, (0, 0)), 0, 1)
        return np.asarray(one * (1 - both) + both)

    return _strip([coloured(frame) for frame in _frames(values)])


def _draw_difference(values: np.ndarray) -> str:
    """A signed change as a data URI: blue where less, red where more, on its own scale."""
    frames = [frame.mean(0) for frame in _frames(values)]
    scale = max(float(np.abs(frame).max()) for frame in frames) or 1.0
    return _strip([colormaps["RdBu_r"](0.5 + one / (2 * scale))[..., :3] for one in frames])


def _frames(values: np.ndarray) -> list[np.ndarray]:
    return list(values[:_MOST_FRAMES]) if values.ndim == 4 else [values]


def _strip(frames: list[np.ndarray]) -> str:
    """Frames (H, W, 3) in [0, 1] as one picture, a grey line between any two."""
    line = np.full((len(frames[0]), 1, 3), _GAP / 255)
    strip = np.concatenate([part for frame in frames for part in (frame, line)][:-1], axis=1)
    stream = io.BytesIO()
    Image.fromarray((255 * strip).round().astype(np.uint8)).save(stream, "PNG", optimize=True)
    return _data_uri("png", stream.getvalue())
