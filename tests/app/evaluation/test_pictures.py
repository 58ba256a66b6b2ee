"""Samples as pictures: their pixels, their strips, and what stands below them."""

import base64
import io
from dataclasses import replace

import numpy as np
import pytest
from art_snn.app.evaluation.pictures import (
    MOST,
    OFF,
    ON,
    ROOM,
    Picture,
    difference,
    drawable,
    make_grid,
    sample,
)
from PIL import Image

from tests.evaluations import frames, images, large


def pixels(picture: Picture) -> np.ndarray:
    head, _, content = picture.source.partition(",")
    assert head == "data:image/png;base64"
    values = np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))
    assert values.shape == (picture.height, picture.width, 3)
    return values


POLARITIES = np.array([[[1.0, 0, 1, 0]], [[0, 1.0, 1, 0]]])
FRAMES = np.stack([np.zeros((1, 1, 2)), np.ones((1, 1, 2))])


@pytest.mark.parametrize(
    ("values", "low", "row"),
    [
        (np.array([[[0.2, 0.4, 1.0]]]), 0.2, [[0] * 3, [64] * 3, [255] * 3]),
        (np.array([1.0, 0.0, 0.2]).reshape(3, 1, 1), 0, [[255, 0, 51]]),
        # Two polarities have two colours, and both are white.
        (POLARITIES, 0, [list(OFF), list(ON), [255] * 3, [0] * 3]),
        # Frames are side by side with a line between.
        (FRAMES, 0, [[value] * 3 for value in (0, 0, 128, 255, 255)]),
    ],
    ids=["grey", "colours", "polarities", "frames"],
)
def test_samples_are_drawn_in_grey_in_colours_or_frame_by_frame(values, low, row):
    assert pixels(sample(values, low, 1.0, "words"))[0].tolist() == row


def test_a_difference_is_red_where_more_blue_where_less_on_its_own_scale():
    less, same, more = pixels(difference(np.array([[[-0.01, 0, 0.01]]]), "words"))[0].astype(int)
    assert less[2] > less[0] + 50
    assert more[0] > more[2] + 50
    assert same.min() > 240
    assert (pixels(difference(np.zeros((1, 2, 2)), "words")) > 240).all()


@pytest.mark.parametrize(
    ("shape", "drawn"),
    [((1, 8, 8), True), ((3, 8, 8), True), ((5, 2, 8, 8), True), ((8,), False), ((7, 8, 8), False)],
)
def test_images_and_frames_are_drawn_and_nothing_else(shape, drawn):
    assert drawable(shape) is drawn


def test_each_row_is_described_in_numbers():
    examples = images(2)
    x = np.zeros_like(examples.x)
    adversarial = x.copy()
    adversarial[0, 0, 0, :3] = 0.25
    adversarial[1, 0, 0, 0] = 1
    result = make_grid(large(20), replace(examples, x=x, adversarial=adversarial))
    assert [row.words for row in result.rows] == [
        "Sample 0, of class 0, taken for 1; 3 of 64 values changed, at most by 0.25.",
        "Sample 1, of class 1, taken for 2; 1 of 64 values changed, at most by 1.",
    ]
    assert "at eps 8/255 in the maximum norm. Black is 0, white 1." in result.words
    assert [picture.words for picture in result.rows[0].pictures] == [
        "Sample 0, of class 0, original",
        "Sample 0, of class 0, adversarial, taken for 1",
        "Sample 0, of class 0, difference: largest change 0.25",
    ]


def test_a_sample_that_survives_is_not_said_to_be_taken_for_another():
    examples = replace(images(1), predicted=np.array([0]))
    assert "still taken for 0" in make_grid(large(20), examples).rows[0].words


def test_frames_are_strips_and_their_colours_are_explained():
    result = make_grid(large(20), frames(1, steps=30))
    assert result.strips
    assert "Orange are events of the second channel" in result.words
    assert "Frames 1 to 20 of 30, side by side in time." in result.words
    assert result.rows[0].pictures[0].width == 20 * 24 + 19


def test_as_many_rows_are_shown_as_the_page_has_room_for():
    some = make_grid(large(20), images(MOST + 2))
    assert len(some.rows) == MOST
    assert f"The first {MOST} of {MOST + 2} examples are shown." in some.words
    heavy = make_grid(large(20), images(4, shape=(3, 224, 224)))
    assert 1 <= len(heavy.rows) < 4
    spent = [sum(len(picture.source) for picture in row.pictures) for row in heavy.rows]
    assert sum(spent[1:]) < ROOM


NAN = replace(images(1), adversarial=np.full((1, 1, 8, 8), np.nan))


@pytest.mark.parametrize(
    ("examples", "words"),
    [
        (images(1, shape=(5, 7, 8)), "Samples of shape (5, 7, 8) are not drawn."),
        (images(0), "There is none."),
        (NAN, "They hold values that are not finite, and are not drawn."),
    ],
    ids=["shape", "none", "nan"],
)
def test_what_cannot_be_drawn_is_left_out_with_a_sentence(examples, words):
    result = make_grid(large(20), examples)
    assert result.rows == ()
    assert result.words.endswith(words)
