"""The charts of a page: accuracy, classes and spikes, and pictures of samples."""

import base64
import io
import textwrap
from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps, rc_context, rc_params_from_file
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.rcsetup import cycler
from matplotlib.ticker import MaxNLocator
from numpy import ndarray
from PIL import Image

from art_snn.app.evaluation.record import (
    NEURONS,
    NORMS,
    SIZES,
    Evaluation,
    Examples,
    ReportItem,
)
from art_snn.app.evaluation.verdict import (
    CERTIFIED,
    UNION,
    Verdict,
    count_words,
    describe_budget,
    format_eps,
    join_words,
    verdicts,
)
from art_snn.app.tables import GREY, SERIES, to_percent
from art_snn.metrics import Share

_STYLE: Any = rc_params_from_file(
    Path(__file__).with_name("report.mplstyle"), False, False
)
_STYLE["axes.prop_cycle"] = cycler(color=SERIES)
_styled = rc_context(_STYLE)
"""Decorates what draws in that style."""
_INK = _STYLE["text.color"]
_WIDTH = 3.6
"""Inches of a chart that takes half of a wide page, or a phone."""
_LETTERS = 13
"""Characters of that size in an inch."""
_MARKERS = "osDvPX*"
"""Of the lines, which also differ in grey: one fewer than colours, so that no pair repeats soon."""
_BAND = {
    "color": _INK,
    "alpha": 0.28,
    "lw": 7,
    "elinewidth": 2.5,
    "capsize": 0,
    "marker": "",
    "zorder": 1.5,
}
"""The union as a broad light band, on which the line of an attack that alone makes it is seen."""
_BELOW = {"ls": "--", "marker": "^"}
"""What is certified, which no attack goes below."""
_ROOM = 700_000
"""Characters that the pictures of samples may take."""
_EVENTS = np.array([(86, 180, 233), (240, 160, 0)]) / 255
"""Colours of darker and brighter events; white where a pixel has both."""
_MOST_FRAMES = 20

_Curves = dict[str, dict[float, Share]]
"""Accuracies over the budgets from 0, by the names of their lines."""
_Drawing = dict[str, Any]
"""A figure as a template shows it: its title, the words below it, and its pictures, which
are data URIs, each with words for those who do not see it: its numbers, or that a table
of the page has them. A sample has three pictures and no title."""


@_styled
def _chart(
    figure: Figure, title: str, words: str = "", numbers: str = "A table has its numbers."
) -> _Drawing:
    """The figure as an SVG, with its numbers in words; the same figure gives the same drawing."""
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    stream = io.BytesIO()
    figure.savefig(stream, format="svg", metadata=nothing)
    source = _data_uri("svg+xml", stream.getvalue())
    return {"title": title, "words": words, "pictures": [(source, f"{title}. {numbers}")]}


def _data_uri(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def _make_axes(height: float, lines: int, width: float = _WIDTH) -> tuple[Figure, Axes]:
    """One pair of axes of a height in inches, with room for so many lines of words."""
    figure = Figure(figsize=(width, height + 0.19 * lines))
    return figure, figure.subplots()


def _draw_pairs(ax: Axes, columns: Mapping[str, ndarray]) -> None:
    """Two columns as bars side by side, with a legend above them."""
    for n, (label, heights) in enumerate(columns.items()):
        places = np.arange(len(heights)) + 0.4 * n - 0.2
        ax.bar(places, heights, 0.4, label=label)
    ax.legend(ncols=2, loc="lower left", bbox_to_anchor=(0, 1))


def _fold(name: str, width: float = _WIDTH) -> str:
    """A name of the legend, folded to fit next to its line."""
    return textwrap.fill(name, int(_LETTERS * width) - 6)


def _accuracy_label(results: Sequence[Verdict]) -> str:
    """The label of an axis of the accuracies of these verdicts."""
    if not any(verdict.open for verdict in results):
        return "accuracy [%]"
    if any(verdict.certified is not None for verdict in results):
        return "accuracy, of attacks at most [%]"
    return "accuracy at most [%]"


def accuracy_figure(evaluation: Evaluation, width: float = _WIDTH) -> Figure:
    """Accuracy against the budget under each attack and their union, and what is
    certified, with 95 % intervals."""
    curves: _Curves = {name: {} for name in evaluation.names}
    for eps in evaluation.budgets:
        for name, trial in evaluation.at(eps).items():
            curves[name].setdefault(0.0, trial.robustness.clean_accuracy)
            curves[name][eps] = trial.robustness.robust_accuracy

    results = verdicts(evaluation)
    curves |= _verdict_curves(results, UNION, CERTIFIED)
    return _plot_accuracy(curves, results, width)


def _verdict_curves(results: Sequence[Verdict], name: str, certified: str) -> _Curves:
    """Robust and, with bounds, certified accuracy over the budgets from 0, by these names."""
    clean = {0.0: results[0].outcome.clean_accuracy}
    curves = {name: clean | {one.eps: one.outcome.robust_accuracy for one in results}}
    proven = {one.eps: one.certified for one in results if one.certified is not None}
    if proven:
        curves[certified] = clean | proven
    return curves


@_styled
def _plot_accuracy(curves: _Curves, results: Sequence[Verdict], width: float) -> Figure:
    """One line per name over the budgets, that of the union as a band below the others,
    and that of what is certified dashed, in the colour of the line before it."""
    folded = {name: _fold(name, width) for name in curves}
    lines = sum(1 + name.count("\n") for name in folded.values())
    figure, ax = _make_axes(2.5, lines, width)
    norm = results[0].norm
    scale = 1
    axis = f"eps in {NORMS[norm]}" if norm in SIZES else NORMS[norm]
    if all("/" in format_eps(norm, one.eps) for one in results):
        scale = 255
        axis += " [1/255]"

    ax.set_prop_cycle(color=SERIES * len(_MARKERS), marker=[*_MARKERS] * len(SERIES))
    for name, curve in curves.items():
        # The first is broader, so that it can be seen below another one.
        style: dict[str, Any] = {"lw": 1.4 if ax.containers else 3.0}
        if name == UNION:
            style |= _BAND
        if name == CERTIFIED or name.endswith(f", {CERTIFIED}"):
            style |= _BELOW | {"color": ax.lines[-1].get_color()}
        values, bars = to_percent(curve.values())
        places = scale * np.array([*curve])
        ax.errorbar(places, values, bars, label=folded[name], **style)

    ax.set(ylim=(0, 100), ylabel=_accuracy_label(results), xlabel=axis)
    ax.set_xlim(left=0)
    figure.legend(loc="outside lower left")
    return figure


def draw_accuracy(evaluation: Evaluation) -> _Drawing:
    """Accuracy against the budget."""
    title = "Accuracy under each attack and under all of them"
    if evaluation.certifies:
        title += ", and what is certified"
    return _chart(accuracy_figure(evaluation), f"{title}, with 95 % intervals")


@_styled
def draw_spikes(examples: Examples) -> _Drawing | None:
    """Firing rates of every layer and spikes of the first example; None where there are none."""
    if not examples.layers.size:
        return None
    form = ("original", "adversarial")
    figure = Figure(figsize=(_WIDTH, 4.4))
    axes = figure.subplot_mosaic([["rates", "rates"], [*form]], height_ratios=(2, 3))
    _draw_pairs(axes["rates"], dict(zip(form, examples.rates, strict=True)))

    both = np.all(examples.spikes, axis=0)
    owners, starts, counts = np.unique(
        examples.owners, return_index=True, return_counts=True
    )
    for place, name in enumerate(form):
        # In black, spikes without and with the attack.
        shown = np.where(both, 2, examples.spikes[place]).T
        colours = ListedColormap(["#ffffff", SERIES[place], _INK])
        ax = axes[name]
        ax.pcolormesh(shown, cmap=colours, vmin=0, vmax=2, ec="#ffffff", lw=0.4)
        ax.hlines(starts[1:], 0, len(both), color=GREY, lw=1.2)
        titles = examples.layers[owners] if name == "original" else [""] * len(owners)
        ax.set_yticks(starts + counts / 2, titles)
        ax.set_ylim(len(examples.owners), 0)
        ax.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        ax.grid(visible=False)
        ax.set_xlabel(f"time steps, {name}")
    layers = np.arange(len(examples.layers))
    axes["rates"].set_xticks(layers, examples.layers)
    axes["rates"].set(xlabel="layer of neurons", ylabel="spikes per step")

    words = f"Top: mean rates of {count_words(len(examples.rows), 'sample')}. Bottom: spikes of "
    words += (
        f"sample {examples.rows[0]}. A row is a neuron, up to {NEURONS} of each layer. "
    )
    words += (
        "Black spikes are the same with and without the attack, coloured ones are not."
    )
    rows = zip(examples.layers, *examples.rates, strict=True)
    rates = "; ".join(
        f"{name} {before:.3f} and {after:.3f}" for name, before, after in rows
    )
    return _chart(
        figure, "Firing rates of the layers, and spikes", words, f"{words} {rates}."
    )


@_styled
def draw_operations(evaluation: Evaluation) -> _Drawing | None:
    """Operations of every layer next to a dense network's; None where they are not known."""
    if not evaluation.operations:
        return None
    figure, ax = _make_axes(2.5, 0)
    _, synapses, _, operations = np.transpose([*evaluation.operations.values()])
    _draw_pairs(ax, {"spiking": operations, "dense network": synapses})
    layers = range(len(operations))
    ax.set_xticks(layers, ["in", *map(str, layers[1:])])
    ax.set(xlabel="layer, after the input", ylabel="operations")
    ax.yaxis.set_major_formatter("{x:,.0f}")
    return _chart(figure, "Operations of the layers, and of a dense network")


def draw_side_by_side(items: Sequence[ReportItem]) -> _Drawing | None:
    """The verdicts of several evaluations in one chart; None where their norms differ."""
    if len({item.evaluation.norm for item in items}) > 1:
        return None
    curves: _Curves = {}
    results = []
    for number, item in enumerate(items, 1):
        mine = verdicts(item.evaluation)
        name = f"{number}: {item.evaluation.name}"
        curves |= _verdict_curves(mine, name, f"{name}, {CERTIFIED}")
        results += mine

    title = "Accuracy under all attacks of each result"
    if any(item.evaluation.certifies for item in items):
        title += ", and what is certified"
    return _chart(
        _plot_accuracy(curves, results, _WIDTH), f"{title}, with 95 % intervals"
    )


@_styled
def draw_board(points: Sequence[tuple[str, Share, Share]]) -> _Drawing:
    """Clean and robust accuracy of each record, by its name, the latter with its interval."""
    records, before, after = zip(*points, strict=True)
    names = [_fold(name.replace(", eps", ",")) for name in records]
    places = range(len(points))
    figure, ax = _make_axes(1, len(points))

    clean, _ = to_percent(before)
    robust, bars = to_percent(after)
    ax.hlines(places, robust, clean, color=_STYLE["grid.color"], lw=3)
    ax.plot(clean, places, "o", label="clean")
    ax.errorbar(robust, places, xerr=bars, fmt="D", label="robust")

    ax.set_yticks(places, names, fontsize=_STYLE["font.size"] - 2)
    ax.set(xlim=(0, 100), xlabel="accuracy [%]")
    ax.invert_yaxis()
    figure.legend(loc="outside upper left", ncols=2)
    return _chart(figure, "Accuracy without an attack and under all of them")


@_styled
def draw_classes(evaluation: Evaluation) -> _Drawing:
    """Accuracy by class without an attack and under all of them at each budget."""
    results = verdicts(evaluation)
    columns = {"without an attack": results[0].outcome.correct}
    columns |= {verdict.budget: verdict.standing for verdict in results}
    classes, totals = np.unique(evaluation.labels, return_counts=True)
    members = np.equal.outer(classes, evaluation.labels)
    counts = members @ np.transpose([*columns.values()]).astype(int)

    figure, ax = _make_axes(2.8, len(columns))
    shares = 100 * counts / totals[:, None]
    ax.vlines(classes, shares.min(1), shares.max(1), color=_STYLE["grid.color"], lw=3)
    for name, column, marker in zip(columns, shares.T, cycle(_MARKERS)):
        ax.plot(classes, column, marker, label=name)
    figure.legend(loc="outside lower left")
    few = count_words(totals.min(), "sample")
    words = (
        few
        if totals.min() == totals.max()
        else f"{totals.min()} to {totals.max()} samples"
    )
    axis = f"class (n = {words} each)"
    ax.set(ylim=(-4, 104), xlabel=axis, ylabel=_accuracy_label(results))
    ax.xaxis.set_major_locator(MaxNLocator(10, integer=True))
    ax.grid(visible=False, axis="x")

    rows = [
        f"class {one} {join_words(map(str, row))} of {total}"
        for one, row, total in zip(classes, counts, totals, strict=True)
    ]
    numbers = f"Correct samples {join_words(columns)}: {'; '.join(rows)}."
    return _chart(figure, "Accuracy of each class under all attacks", "", numbers)


def draw_examples(
    evaluation: Evaluation, examples: Examples
) -> tuple[str, list[_Drawing]]:
    """Originals, adversarials and differences of the first examples, as many as a page
    has room for, with a legend in sentences."""
    start = f"Samples under {examples.trial}, {describe_budget(evaluation.norm, examples.eps)}. "
    shape = examples.x.shape[1:]
    if len(shape) not in (3, 4) or shape[-3] not in (1, 2, 3) or not min(shape):
        return (
            f"{start}Samples of shape ({', '.join(map(str, shape))}) are not drawn.",
            [],
        )

    both = examples.x, examples.adversarial
    low = float(np.min(both))
    high = float(np.max(both))
    drawings: list[_Drawing] = []
    room = _ROOM
    for place in range(len(examples.x)):
        drawing = _draw_example(evaluation, examples, place, low, high)
        room -= sum(len(source) for source, _ in drawing["pictures"])
        if drawings and room < 0:
            break
        drawings.append(drawing)

    words = f"Black is {low:.4g}, white {high:.4g}. "
    if shape[-3] == 2:
        words = "Orange are events of the second channel, blue those of the first, white both. "
    several = ", the mean of the channels" if shape[-3] > 1 else ""
    words += f"Differences: red is more, blue is less{several}, each on its own scale."
    if len(shape) == 4:
        words += f" Frames 1 to {min(_MOST_FRAMES, shape[0])} of {shape[0]}, side by side in time."
    if len(drawings) < len(examples.rows):
        words += f" The first {len(drawings)} of {len(examples.rows)} examples are shown."
    return start + words, drawings


def _draw_example(
    evaluation: Evaluation, examples: Examples, place: int, low: float, high: float
) -> _Drawing:
    """Original, adversarial and difference of one sample; black is `low`, white is `high`."""
    frames = (-1, *examples.x.shape[-3:])
    original = examples.x[place].astype(float).reshape(frames)
    changed = examples.adversarial[place].astype(float).reshape(frames)
    change = changed - original

    row = examples.rows[place]
    label = evaluation.labels[row]
    guess = examples.predicted[place]
    largest = f"{np.abs(change).max():.3g}"
    taken = f"{'still ' if guess == label else ''}taken for {guess}"
    start = f"Sample {row}, of class {label}"
    words = (
        f"{start}, {taken}; {np.count_nonzero(change)} of {change.size} values changed, "
        f"at most by {largest}."
    )

    # Blue where less, red where more, on its own scale.
    means = change[:_MOST_FRAMES].mean(1)
    scale = np.abs(means).max() or 1.0
    signed = colormaps["RdBu_r"](0.5 + means / (2 * scale))[..., :3]
    pictures = [
        (_draw_sample(original, low, high), f"{start}, original"),
        (_draw_sample(changed, low, high), f"{start}, adversarial, {taken}"),
        (_strip(signed), f"{start}, difference: largest change {largest}"),
    ]
    return {"words": words, "pictures": pictures}


def _draw_sample(values: ndarray, low: float, high: float) -> str:
    """A sample (T, C, H, W) from low to high as a data URI; its first frames are side by side."""
    shares = (values[:_MOST_FRAMES] - low) / ((high - low) or 1)
    pixels = np.moveaxis(shares, 1, -1)
    if pixels.shape[-1] == 2:
        both = pixels.min(-1, keepdims=True)
        one = np.clip(pixels @ _EVENTS, 0, 1)
        pixels = one * (1 - both) + both
    # Grey is the same in all three.
    return _strip(np.broadcast_to(pixels, (*pixels.shape[:-1], 3)))


def _strip(frames: ndarray) -> str:
    """Frames (T, H, W, 3) in [0, 1] as one picture, a grey line between any two."""
    line = np.full((len(frames[0]), 1, 3), 128 / 255)
    strip = np.concatenate(
        [part for frame in frames for part in (frame, line)][:-1], axis=1
    )
    stream = io.BytesIO()
    Image.fromarray((255 * strip).round().astype(np.uint8)).save(
        stream, "PNG", optimize=True
    )
    return _data_uri("png", stream.getvalue())
