"""Fixtures that several test modules share."""

import copy
import os
import random
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from art_snn import PyTorchSpikingClassifier
from art_snn.data import Dataset, digits
from tests.classifiers import build
from tests.seeds import varied

# A command that runs in this process must not change how later tests of memory allocate.
os.environ["ART_SNN_KEEP_MEMORY"] = "0"

# The networks are tiny and the workers many: more threads per process only wait for each other.
torch.set_num_threads(int(os.environ.get("ART_SNN_TEST_THREADS", "1")))


def seed_everything() -> None:
    random.seed(varied())
    np.random.seed(varied())  # noqa: NPY002 (ART draws from numpy's global state)
    torch.manual_seed(varied())


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print how many seconds the tests of each folder took, with their fixtures."""
    seconds: Counter[str] = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                file = PurePosixPath(report.nodeid.partition("::")[0])
                seconds[str(file.parent)] += report.duration
    terminalreporter.section("seconds of each folder")
    for folder, total in seconds.most_common():
        terminalreporter.line(f"{total:8.1f}  {folder}")


@pytest.fixture(autouse=True)
def _seeds() -> None:
    seed_everything()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The present folder, which is empty."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def traced() -> Iterator[Callable[[], int]]:
    """Bytes of memory at the peak since the beginning of the test, or since the last reset."""
    tracemalloc.start()
    yield lambda: tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()


@pytest.fixture(scope="session")
def data() -> Dataset:
    return digits()


@pytest.fixture(scope="session")
def trained_layers(data: Dataset) -> nn.Sequential:
    """Layers trained on the digits by `fit`, for reading only: deep-copy them to change them."""
    seed_everything()
    classifier = build()
    classifier.fit(data.x_train, data.y_train, batch_size=64, nb_epochs=6)
    # Digits have sixteen grey levels: with weights of few bits their potentials are exact, and no
    # spike depends on the order in which a processor, a thread or a batch adds them up.
    with torch.no_grad():
        for weight in classifier.model.parameters():
            weight.copy_((1024 * weight).round() / 1024)
    accuracy = (classifier.predict(data.x_test).argmax(1) == data.y_test).mean()
    assert accuracy > 0.8
    return classifier.model.layers


@pytest.fixture(scope="session")
def known(data: Dataset, trained_layers: nn.Sequential) -> tuple[np.ndarray, np.ndarray]:
    """Test images, and their labels, that the trained network classifies rightly."""
    right = build(trained_layers).predict(data.x_test).argmax(1) == data.y_test
    return data.x_test[right], data.y_test[right]


@pytest.fixture
def classifier(trained_layers: nn.Sequential) -> PyTorchSpikingClassifier:
    """A trained classifier of its own for every test."""
    return build(copy.deepcopy(trained_layers))
