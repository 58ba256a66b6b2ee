"""Event recordings as frames: the package tonic itself where it is installed, else a stand-in.

The recordings are written by hand in the format of N-MNIST on disk: five bytes per event.
"""

import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from art_snn.data import events, from_npz

Event = tuple[int, int, int]
"""x, y, polarity; every event is one microsecond later."""


def write(path: Path, recording: list[Event]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [[x, y, p << 7, 0, t] for t, (x, y, p) in enumerate(recording)]
    path.write_bytes(np.array(rows, np.uint8).tobytes())


class StandIn:
    """Reads what tonic.datasets.NMNIST reads, and looks for it in the same place."""

    sensor_size = (34, 34, 2)

    def __init__(self, save_to: str, train: bool = True) -> None:
        self.folder = Path(save_to, type(self).__name__)
        self.filename = "train.zip" if train else "test.zip"
        if not self._check_exists():
            self.download()
        found = sorted((self.folder / ("Train" if train else "Test")).glob("*/*.bin"))
        self.data = [str(file) for file in found]
        self.targets = [int(file.parent.name) for file in found]

    def __getitem__(self, index: int) -> tuple[Any, int]:
        raw = np.fromfile(self.data[index], np.uint8).reshape(-1, 5).astype(int)
        return raw, self.targets[index]

    def _check_exists(self) -> bool:
        return False

    def download(self) -> None:
        raise OSError("no network")


class StandInFrames:
    """tonic.transforms.ToFrame by n_event_bins."""

    def __init__(self, sensor_size: tuple[int, int, int], n_event_bins: int) -> None:
        self.shape, self.bins = sensor_size[::-1], n_event_bins

    def __call__(self, recording: np.ndarray) -> np.ndarray:
        frames = np.zeros((self.bins, *self.shape), np.int16 if len(recording) else float)
        size = len(recording) // self.bins
        for index, frame in enumerate(frames):
            for x, y, p, *_ in recording[index * size : (index + 1) * size]:
                frame[p >> 7, y, x] += 1
        return frames


def module(name: str) -> ModuleType:
    """A package that stands for one that is installed."""
    return module_from_spec(ModuleSpec(name, None))


@pytest.fixture
def tonic(monkeypatch: pytest.MonkeyPatch) -> Any:
    """tonic, or a stand-in, that takes any number of recordings for the whole set."""
    try:
        import tonic as package
    except ModuleNotFoundError:
        package = module("tonic")
        sets = {"NMNIST": type("NMNIST", (StandIn,), {})}
        parts = {"datasets": sets, "transforms": {"ToFrame": StandInFrames}}
        monkeypatch.setitem(sys.modules, "tonic", package)
        for name, content in parts.items():
            part = module(f"tonic.{name}")
            part.__dict__.update(content)
            setattr(package, name, part)
            monkeypatch.setitem(sys.modules, f"tonic.{name}", part)
    return package


@pytest.fixture
def root(tonic: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two classes of N-MNIST, three recordings for training and two for testing."""
    monkeypatch.setattr(tonic.datasets.NMNIST, "_check_exists", lambda self: True)
    folder = tmp_path / "NMNIST"
    write(folder / "Train/0/b.bin", [(1, 2, 1)] * 3 + [(5, 6, 0)] * 4)
    write(folder / "Train/0/a.bin", [(3, 3, 0)] * 6)
    write(folder / "Train/1/c.bin", [(33, 0, 1), (0, 33, 0)])
    write(folder / "Test/0/d.bin", [])
    write(folder / "Test/1/e.bin", [(7, 8, 1)] * 9)
    return tmp_path


def test_frames_that_were_made_are_read_however_large_they_are(root, monkeypatch):
    monkeypatch.setitem(from_npz.__kwdefaults__, "largest", 1)
    assert events("nmnist", root, frames=3).steps == 3


def test_every_frame_has_equally_many_events_and_the_last_ones_are_left_out(root):
    data = events("nmnist", root, frames=3)
    assert (data.name, data.input_shape, data.steps) == ("nmnist", (3, 2, 34, 34), 3)
    assert data.y_train.tolist() == [0, 0, 1]
    assert data.y_test.tolist() == [0, 1]
    assert data.x_train.sum(axis=(2, 3, 4)).tolist() == [[2, 2, 2], [2, 2, 2], [0, 0, 0]]
    # Seven events in three frames: two each, and the seventh is gone. Polarity is the channel,
    # and rows come before columns.
    second = data.x_train[1]
    places = [(0, 1, 2, 1), (1, 1, 2, 1), (1, 0, 6, 5), (2, 0, 6, 5)]
    assert [second[place] for place in places] == [2, 1, 1, 2]
    assert data.x_test.sum(axis=(2, 3, 4)).tolist() == [[0, 0, 0], [3, 3, 3]]


def test_frames_are_converted_once_and_their_file_is_one_for_from_npz(root, monkeypatch):
    first = events("nmnist", root, frames=2)
    for name in ("tonic", "tonic.datasets", "tonic.transforms"):
        monkeypatch.setitem(sys.modules, name, None)
    again = events("nmnist", root, frames=2, value_range=(0, 9))
    assert np.array_equal(again.x_train, first.x_train)
    assert [file.name for file in root.glob("*.npz*")] == ["nmnist-2-frames.npz"]
    assert np.array_equal(from_npz(root / "nmnist-2-frames.npz").x_test, first.x_test)
    with pytest.raises(ValueError, match=r"pip install 'art_snn\[events\]'"):
        events("nmnist", root, frames=3)


def test_the_range_of_counts_is_open_unless_it_is_given(root):
    assert events("nmnist", root, frames=2).value_range is None
    assert events("nmnist", root, frames=2, value_range=(0, 4)).clip_values() == (0, 4)
    with pytest.raises(ValueError, match=r"^x_train: .*within"):
        events("nmnist", root, frames=2, value_range=(0, 2))


@pytest.mark.parametrize(
    ("name", "whole", "mirrored"),
    [("nmnist", "", False), ("dvs128-gesture", "", False), ("cifar10-dvs", "-48x48", True)],
)
def test_numerals_and_gestures_are_not_mirrored(name, whole, mirrored, tmp_path):
    x, y = np.zeros((2, 10, 2, 4, 4), np.uint8), np.arange(2)
    for size, part in ((None, whole), (4, "-4x4")):
        file = tmp_path / f"{name}{part}-10-frames.npz"
        parts = {"x_train": x, "y_train": y, "x_test": x, "y_test": y}
        whole = {"x": np.concatenate([x] * 10), "y": np.tile(y, 10)}
        np.savez(file, **whole if name == "cifar10-dvs" else parts)
        assert events(name, tmp_path, image_size=size).mirrored is mirrored


def test_smaller_frames_hold_mean_counts(root):
    data, whole = events("nmnist", root, frames=2, image_size=17), events("nmnist", root, frames=2)
    assert (data.name, data.input_shape) == ("nmnist 17x17", (2, 2, 17, 17))
    blocks = whole.x_train.reshape(3, 2, 2, 17, 2, 17, 2).mean(axis=(4, 6))
    assert np.allclose(data.x_train, blocks)
    assert (root / "nmnist-17x17-2-frames.npz").is_file()


def test_an_interrupted_conversion_leaves_no_file_that_passes_for_whole(root, monkeypatch):
    def stop(stream: Any, **_: Any) -> None:
        stream.write(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(np, "savez_compressed", stop)
        with pytest.raises(KeyboardInterrupt):
            events("nmnist", root, frames=2)
    assert len(events("nmnist", root, frames=2).x_train) == 3


@pytest.fixture
def unsplit(tonic: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[list[int]], None]:
    """CIFAR10-DVS of twenty recordings in two classes, listed in the given order."""

    def install(order: list[int]) -> None:
        class Set:
            sensor_size = (128, 128, 2)

            def __init__(self, save_to: str) -> None:
                self.data = [f"{index % 2}/{index:02}.aedat4" for index in order]
                self.targets = [index % 2 for index in order]

            def __getitem__(self, index: int) -> tuple[int, int]:
                return order[index], self.targets[index]

        def to_frame(size: Any, n_event_bins: int) -> Callable[[int], np.ndarray]:
            return lambda value: np.full((n_event_bins, 2, 128, 128), value, np.int16)

        monkeypatch.setitem(sys.modules, "aedat", module("aedat"))
        monkeypatch.setattr(tonic.datasets, "CIFAR10DVS", Set, raising=False)
        monkeypatch.setattr(tonic.transforms, "ToFrame", to_frame)

    return install


def test_a_set_without_a_split_is_split_nine_to_one_in_any_order(unsplit, tmp_path):
    sets = []
    for name, order in (("one", list(range(20))), ("two", list(range(19, -1, -1)))):
        unsplit(order)
        (tmp_path / name).mkdir()
        sets.append(events("cifar10-dvs", tmp_path / name, frames=2))
    one, two = sets
    assert one.input_shape == (2, 2, 48, 48)
    assert one.name == "cifar10-dvs 48x48"
    assert (len(one.x_train), np.bincount(one.y_test).tolist()) == (18, [1, 1])
    assert np.array_equal(one.x_test, two.x_test)
    values = np.concatenate([one.x_train, one.x_test])[:, 0, 0, 0, 0]
    assert sorted(values) == list(range(20))
    assert np.array_equal(values % 2, np.concatenate([one.y_train, one.y_test]))


@pytest.mark.parametrize(
    ("download", "error", "message"),
    [
        (False, None, "unless asked for"),
        (True, OSError("no network"), r"\(no network\)\."),
        (True, RuntimeError("File not found or corrupted."), r"\(File not found or corrupted"),
    ],
)
def test_recordings_are_fetched_if_asked_for(
    download, error, message, tonic, tmp_path, monkeypatch
):
    def fail(self: Any) -> None:
        assert download, "fetched although nobody asked for it"
        raise error

    monkeypatch.setattr(tonic.datasets.NMNIST, "download", fail)
    with pytest.raises(FileNotFoundError, match=rf"^data: .*{message}"):
        events("nmnist", tmp_path, download=download)
    assert download or not list(tmp_path.iterdir())


@pytest.mark.parametrize("error", [TypeError("a bug"), KeyError("train"), ImportError("gdown")])
def test_other_errors_of_the_package_pass_as_they_are(error, tonic, tmp_path, monkeypatch):
    def fail(self: Any) -> None:
        raise error

    monkeypatch.setattr(tonic.datasets.NMNIST, "download", fail)
    with pytest.raises(type(error)) as caught:
        events("nmnist", tmp_path, download=True)
    assert caught.value is error


@pytest.mark.parametrize(
    ("name", "package"), [("nmnist", "tonic"), ("cifar10-dvs", "tonic"), ("cifar10-dvs", "aedat")]
)
def test_a_missing_package_names_the_extra(name, package, tonic, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ValueError, match=rf"^data: .*{package}, .*events"):
        events(name, tmp_path)


def test_a_package_that_is_there_and_lacks_another_one_says_so_itself(tmp_path, monkeypatch):
    (tmp_path / "tonic.py").write_text("import what_nobody_has")
    monkeypatch.delitem(sys.modules, "tonic", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="what_nobody_has"):
        events("nmnist", tmp_path)


@pytest.mark.parametrize(
    ("argument", "value"),
    [("name", "shd"), ("frames", 0), ("image_size", 0), ("value_range", (1, 1))],
)
def test_what_makes_no_sense_is_refused_before_anything_is_read(argument, value, tmp_path):
    with pytest.raises(ValueError, match=rf"^{argument}: expected "):
        events(**{"name": "nmnist", argument: value}, root=tmp_path)


def test_the_gestures_of_tonic_are_read(tmp_path, monkeypatch):
    kind = pytest.importorskip("tonic").datasets.DVSGesture
    monkeypatch.setattr(kind, "_check_exists", lambda self: True)
    for part in ("Train", "Test"):
        folder = tmp_path / "DVSGesture" / f"ibmGesture{part}" / "user01_led"
        folder.mkdir(parents=True)
        np.save(folder / "10.npy", np.array([[5, 7, 1, 0], [5, 7, 1, 2], [9, 1, 0, 4]]))
    data = events("dvs128-gesture", tmp_path, frames=1)
    assert (data.input_shape, data.classes) == ((1, 2, 128, 128), 11)
    assert (data.x_test[0, 0, 1, 7, 5], data.x_test[0, 0, 0, 1, 9]) == (2, 1)
