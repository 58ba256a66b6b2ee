"""Raw events become frames: by count, by time, recording by recording, and from a file."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from art_snn.checks import ArgumentError
from art_snn.data import Source, frames
from tests.conftest import varied

SIZE = (3, 5)


def recordings(count: int, events: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Columns of events of several recordings, in any order."""
    draw = np.random.default_rng(varied(seed))
    columns = {"x": draw.integers(0, 5, events), "y": draw.integers(0, 3, events)}
    columns |= {"p": draw.integers(0, 2, events), "t": draw.permutation(10 * events)[:events]}
    return columns | {"recording": draw.integers(0, count, events)}


def count_one_by_one(columns, count, steps, bins):
    """The same in a loop over events."""
    expected = np.zeros((count, steps, 2, *SIZE), np.float32)
    for one in range(count):
        rows = sorted(
            np.flatnonzero(columns["recording"] == one), key=lambda row: columns["t"][row]
        )
        for place, row in enumerate(rows):
            first, last = columns["t"][rows[0]], columns["t"][rows[-1]]
            step = place * steps // len(rows)
            if bins == "time":
                since = int(columns["t"][row] - first)
                step = min(since * steps // max(int(last - first), 1), steps - 1)
            x, y, p = (columns[name][row] for name in "xyp")
            expected[one, step, int(p), y, x] += 1
    return expected


@given(st.integers(1, 4), st.integers(1, 60), st.integers(1, 5), st.integers(0, 99))
@settings(max_examples=30, deadline=None)
@pytest.mark.parametrize("bins", ["count", "time"])
def test_frames_count_the_events_of_each_recording(bins, count, events, steps, seed):
    columns = recordings(count, events, seed)
    count = columns["recording"].max() + 1
    made = frames(**columns, steps=steps, size=SIZE, bins=bins)
    assert made.dtype == np.float32
    assert np.array_equal(made, count_one_by_one(columns, count, steps, bins))


def test_polarities_may_be_minus_one_and_one_and_columns_small_numbers():
    columns = recordings(2, 30)
    expected = frames(**columns, steps=3, size=SIZE)
    signed = columns | {"p": 2 * columns["p"] - 1, "recording": columns["recording"].astype("u1")}
    assert np.array_equal(frames(**signed, steps=3, size=SIZE), expected)
    alone = {name: columns[name] for name in "xypt"}
    assert frames(**alone, steps=3, size=SIZE).sum() == 30


REFUSED = [
    ({"x": np.full(30, 5)}, "^x: .*from 0 to 4"),
    ({"y": np.full(30, -1)}, "^y: .*from 0 to 2"),
    ({"x": np.full(30, 0.5)}, "^x: .*whole numbers"),
    ({"p": np.full(30, 2)}, "^p: "),
    ({"t": np.zeros(29)}, "^events: .*one number per event"),
    ({"bins": "events"}, "^bins: "),
    ({"steps": 0}, "^steps: "),
]


@pytest.mark.parametrize(("changes", "message"), REFUSED)
def test_what_are_no_events_is_refused_by_name(changes, message):
    with pytest.raises(ArgumentError, match=message):
        frames(**{"steps": 3, "size": SIZE} | recordings(2, 30) | changes)


def write(path, **changes):
    columns = recordings(12, 600) | {"label": np.arange(12) % 2}
    np.savez(path, **{k: v for k, v in (columns | changes).items() if v is not None})
    return columns


@pytest.mark.parametrize("bins", [None, "time"])
def test_a_file_of_columns_is_a_data_set_of_frames(tmp_path, bins):
    columns = write(tmp_path / "raw.npz")
    del columns["label"]
    data = Source(data=str(tmp_path / "raw.npz"), frames=4, bins=bins, test_share=0.5).load()
    assert data.events
    assert data.input_shape == (4, 2, *SIZE)
    whole = frames(**columns, steps=4, size=SIZE, bins=bins or "count")
    both = np.concatenate([data.x_train, data.x_test])
    assert np.array_equal(np.sort(both.sum((1, 2, 3, 4))), np.sort(whole.sum((1, 2, 3, 4))))
    spans = [np.ptp(columns["t"][columns["recording"] == one]) for one in range(12)]
    assert data.milliseconds == pytest.approx(np.mean(spans) / 4 / 1000)


def test_a_structured_array_as_tonic_gives_it_is_the_same(tmp_path):
    columns = write(tmp_path / "raw.npz")
    kind = [("x", "i8"), ("y", "i8"), ("t", "i8"), ("p", "i8")]
    events = np.zeros(600, kind)
    for name in "xypt":
        events[name] = columns[name]
    others = {name: columns[name] for name in ("recording", "label")}
    np.savez(tmp_path / "tonic.npz", events=events, **others)
    one, other = (
        Source(data=str(tmp_path / name), image_size=(3, 5)).load()
        for name in ("raw.npz", "tonic.npz")
    )
    assert np.array_equal(one.x_test, other.x_test)


def test_a_file_without_labels_says_what_it_lacks_and_frames_alone_are_for_events(tmp_path):
    write(tmp_path / "raw.npz", label=None)
    with pytest.raises(ArgumentError, match="without label"):
        Source(data=str(tmp_path / "raw.npz")).load()
    with pytest.raises(ArgumentError, match=r"^bins: .*None for digits"):
        Source(bins="time").load()
