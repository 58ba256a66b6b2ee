"""The charts of a page: the numbers behind them, their words, and samples as pictures."""

import base64
import io
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from art_snn.app.evaluation import figures
from art_snn.app.evaluation.record import ReportItem
from tests.evaluations import evaluation, frames, images, large, proven, small, spiking, trial


def content(source):
    """The bytes of a picture on a page."""
    kind, _, code = source.partition(";base64,")
    assert kind in ("data:image/svg+xml", "data:image/png")
    return base64.b64decode(code)


def letters(drawing):
    """All texts of a chart, which is a whole SVG."""
    ((source, _),) = drawing["pictures"]
    root = ElementTree.fromstring(content(source))
    return [one.text.strip() for one in root.iter("{http://www.w3.org/2000/svg}text") if one.text]


def test_lines_show_the_clean_accuracy_every_budget_the_union_and_what_is_certified():
    result = large(100)
    margins = [np.where(result.trials[2].outcome.stage == -1, size, -1) for size in (1, 1, -1)]
    bounds = [proven(*m, eps=eps) for m, eps in zip(margins, result.budgets, strict=True)]
    (ax,) = figures.accuracy_figure(replace(result, bounds=tuple(bounds))).axes
    lines = {one.get_label(): one.lines[0] for one in ax.containers}
    names = ["standard", "PGD-7 by stbp", "PGD-7 by rga", "union of all", "certified"]
    assert list(lines) == names
    assert [text.get_text() for text in ax.figure.legends[0].get_texts()] == names
    x, y = lines["standard"].get_data()
    trials = [result.at(eps)["standard"] for eps in result.budgets]
    shares = [one.robustness.robust_accuracy.value for one in trials]
    assert np.allclose(x, [0, 2, 4, 8])
    assert np.allclose(y[1:], 100 * np.array(shares))
    # The union is a broad light band below the line of the plan, which alone makes it.
    plan, union = lines["standard"], lines["union of all"]
    assert np.array_equal(plan.get_ydata(), union.get_ydata())
    assert union.get_linewidth() > 2 * plan.get_linewidth()
    assert union.get_zorder() < plan.get_zorder()
    certified = lines["certified"].get_ydata()
    assert certified[0] == y[0]
    assert (certified <= union.get_ydata()).all()
    assert ax.get_ylabel() == "accuracy, of attacks at most [%]"
    assert ax.get_xlabel() == "eps in the maximum norm [1/255]"


def test_classes_are_columns_of_points_with_the_numbers_of_their_samples(monkeypatch):
    # The smaller budget breaks the first sample, and the fourth was never right.
    trials = trial("a", 1, (0, -1, -1, -2, -1)), trial("a", 3, (0, 0, -1, -2, 0))
    result = evaluation(*trials, labels=(2, 5, 2, 5, 2), norm="0")
    ((_, words),) = figures.draw_classes(result)["pictures"]
    assert "without an attack, with 1 changed value and with 3 changed values" in words
    assert "class 2 3, 2 and 1 of 3; class 5 1, 1 and 0 of 2." in words
    made = []
    monkeypatch.setattr(figures, "_chart", lambda figure, *_: made.append(figure))
    figures.draw_classes(result)
    (ax,) = made[0].axes
    heights = [[round(share) for share in line.get_ydata()] for line in ax.lines]
    assert heights == [[100, 50], [67, 50], [33, 0]]
    assert ax.get_xlabel() == "class (n = 2 to 3 samples each)"


def test_names_of_any_letters_are_drawn_as_they_are():
    for name in ("<b>&\"'", "$a_{", "x" * 300, "\\frac", "%"):
        one = evaluation(trial(name[:80], 0.1, (0, -1, 1), ("first", name)))
        assert name[:9] in "".join(letters(figures.draw_accuracy(one)))


def test_spikes_are_drawn_where_some_were_recorded_with_the_rates_in_words():
    assert figures.draw_spikes(images(2)) is None
    drawing = figures.draw_spikes(spiking(images(2)))
    words = {"original", "time steps, adversarial", "layer of neurons", "layers.1"}
    assert words <= set(letters(drawing))
    ((_, words),) = drawing["pictures"]
    assert "mean rates of 2 samples. Bottom: spikes of sample 0. A row is a neuron" in words
    assert words.endswith(" layers.1 0.100 and 0.100; layers.<3> 0.200 and 0.450.")


def test_results_side_by_side_are_lines_unless_their_norms_differ():
    items = [
        ReportItem("", small(bounds=(proven(-1, -1, -1, 2),))),
        ReportItem("", small(name="b")),
    ]
    drawing = figures.draw_side_by_side(items)
    assert {"1: plain", "1: plain, certified", "2: b"} <= {*letters(drawing)}
    assert figures.draw_side_by_side([items[0], ReportItem("", small(norm="2"))]) is None


def picture(drawing, place=0):
    """The original, the adversarial or the difference of a sample."""
    return Image.open(io.BytesIO(content(drawing["pictures"][place][0])))


def pixels(x, adversarial, place=0):
    """The original, the adversarial or the difference of a sample on the page, (H, W, 3)."""
    x, adversarial = np.array(x, float)[None], np.array(adversarial, float)[None]
    examples = replace(images(1), x=x, adversarial=adversarial)
    _, (drawing,) = figures.draw_examples(large(20), examples)
    return np.asarray(picture(drawing, place))


@pytest.mark.parametrize(
    ("values", "row"),
    [
        ([[[0, 0.25, 1]]], [[0] * 3, [64] * 3, [255] * 3]),
        ([[[1, 0]], [[0, 0]], [[0.2, 0]]], [[255, 0, 51], [0] * 3]),
        # Two polarities have two colours, and both are white.
        ([[[1, 0, 1, 0]], [[0, 1, 1, 0]]], [[86, 180, 233], [240, 160, 0], [255] * 3, [0] * 3]),
        # Frames are side by side with a line between.
        ([[[[0, 0]]], [[[1, 1]]]], [[value] * 3 for value in (0, 0, 128, 255, 255)]),
    ],
    ids=["grey", "colours", "polarities", "frames"],
)
def test_samples_are_drawn_in_grey_in_colours_or_frame_by_frame(values, row):
    assert pixels(values, values)[0].tolist() == row
    assert (pixels(values, values, 2)[:, :2] > 240).all()


def test_a_difference_is_red_where_more_blue_where_less_on_its_own_scale():
    less, same, more = pixels(np.zeros((1, 1, 3)), [[[-0.01, 0, 0.01]]], 2)[0].astype(int)
    assert less[2] > less[0] + 50
    assert more[0] > more[2] + 50
    assert same.min() > 240


def test_each_example_is_described_in_numbers():
    x = np.zeros((2, 1, 8, 8))
    adversarial = x.copy()
    adversarial[0, 0, 0, :3] = 0.25
    adversarial[1, 0, 0, 0] = 1
    examples = replace(images(2), x=x, adversarial=adversarial, predicted=np.array([1, 1]))
    legend, drawings = figures.draw_examples(large(20), examples)
    assert "at eps 8/255 in the maximum norm. Black is 0, white 1." in legend
    assert [one["words"] for one in drawings] == [
        "Sample 0, of class 0, taken for 1; 3 of 64 values changed, at most by 0.25.",
        "Sample 1, of class 1, still taken for 1; 1 of 64 values changed, at most by 1.",
    ]
    assert [words for _, words in drawings[0]["pictures"]] == [
        "Sample 0, of class 0, original",
        "Sample 0, of class 0, adversarial, taken for 1",
        "Sample 0, of class 0, difference: largest change 0.25",
    ]


def test_frames_are_strips_and_their_colours_are_explained():
    legend, drawings = figures.draw_examples(large(20), frames(1, steps=30))
    assert "Orange are events of the second channel" in legend
    assert "Frames 1 to 20 of 30, side by side in time." in legend
    assert picture(drawings[0]).size == (20 * 24 + 19, 24)


def test_examples_are_shown_as_many_as_there_is_room_for_and_none_of_another_shape():
    legend, heavy = figures.draw_examples(large(20), images(4, shape=(3, 224, 224)))
    assert 1 <= len(heavy) < 4
    assert f"The first {len(heavy)} of 4 examples are shown." in legend
    assert sum(len(source) for one in heavy[1:] for source, _ in one["pictures"]) < 700_000
    legend, drawings = figures.draw_examples(large(20), images(1, shape=(5, 7, 8)))
    assert (drawings, legend.partition("norm. ")[2]) == (
        [],
        "Samples of shape (5, 7, 8) are not drawn.",
    )
