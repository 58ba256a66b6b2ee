"""Every command at its tiniest: a second of work, or some where processes are measured."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np

from art_snn.files import write_arrays
from tests.faults.report import Report, two_at_a_time
from tests.faults.results import Results, differences, results
from tests.faults.runs import Run, warm
from tests.own import own

NETWORK = ("--width", "0.05", "--steps", "2")
TRAINING = (*NETWORK, "--validation", "0.25", "--batch-size", "8")
ATTACK = (*NETWORK, "--samples", "12", "--batch-size", "6", "--iterations", "2", "--epochs", "2")
IMAGE = ("--batch-size", "2", "--image-size", "8", "--channels", "1", "--repeats", "1")
SWEEP = ("--rule", "rga", "--field", "beta", "--values", "1,2", "--decays", "1,0.5")
EVALUATION = ("--samples", "12", "--batch-size", "6", "--block", "6", "--examined", "6")
EVALUATION += ("--plan", "fast", "--rules", "stbp", "--eps", "0.1", "--save-adversarials")
SCALING = ("--models", "vgg5", "--width", "0.05", "--steps", "1,2", "--samples", "2")
# Three or four processes of some seconds are measured by each of these.
WORDS: Mapping[str, tuple[str, ...]] = {
    "scaling": (*SCALING, *IMAGE, "--rules", "rga", "--iterations", "1"),
    "cost": ("--model", "vgg5", *NETWORK, *IMAGE, "--rules", "rga"),
    "demo": ("--epochs", "1", "--eps", "0.1,0.2", "--test-images", "10"),
    "train": (*TRAINING, "--epochs", "4"),
    "harden": (*TRAINING, "--epochs", "3", "--iterations", "2"),
    "compare": (*ATTACK, "--rules", "stbp,rga,hart", "--repeats", "1"),
    "sweep": (*ATTACK, *SWEEP),
    "evaluate": (*NETWORK, "--epochs", "2", *EVALUATION),
    "curves": (*NETWORK, "--epochs", "2", "--pairs", "500", "--batch-size", "6"),
}
SLOW, DRAWN = ("scaling", "cost"), ("scaling", "cost", "demo")
"""Commands that measure processes, and commands that take no data."""
QUICK = tuple(name for name in WORDS if name not in SLOW)


class Bench:
    """A folder with data, in which commands are run, and what they give when nothing disturbs them.

    :param folder: for data and outputs.
    :param seed: of all that is drawn."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.seed = folder, seed
        self.data = folder / "tiny.npz"
        draw = np.random.default_rng(0)
        x, y = draw.random((40, 1, 8, 8), dtype=np.float32), np.arange(40) % 4
        write_arrays(self.data, x_train=x[:28], y_train=y[:28], x_test=x[28:], y_test=y[28:])
        self._model = own(folder, (1, 8, 8), 10)
        self._ended: dict[str, tuple[float, Results]] = {}
        self._locks = {name: threading.Lock() for name in WORDS}
        self._count = 0
        warm()

    def words(self, name: str, output: Path) -> list[str]:
        """The command line behind art-snn."""
        data = ("--data", str(self.data)) if name not in DRAWN else ()
        data = ("--model", self._model) if name == "demo" else data
        usual = ("--device", "cpu", "--threads", "1", "--output", str(output))
        return [name, *WORDS[name], *data, *usual]

    def fresh(self, name: str) -> Path:
        """A folder that is not there yet."""
        self._count += 1
        return self.folder / f"{name}-{self._count}-{random.randrange(10**6)}"

    def draw(self, *of: object) -> random.Random:
        return random.Random(f"{self.seed} {of}")

    def seconds(self, name: str) -> float:
        """What the command takes when nothing disturbs it."""
        return self._undisturbed(name)[0]

    def results(self, name: str) -> Results:
        """What the command gives when nothing disturbs it."""
        return self._undisturbed(name)[1]

    def expect_same(self, report: Report, output: Path, name: str, where: object) -> bool:
        """A folder holds what the command gives when nothing disturbs it."""
        different = differences(results(output), self.results(name))
        return report.expect(not different, f"{where}: {different}")

    def expect_rerun(self, report: Report, output: Path, words: list[str], where: object) -> Run:
        """A command that was disturbed is called again, and gives what it gives undisturbed."""
        again = Run(words)
        if again.expect_end(report, (0,), f"{where}, then") == 0:
            report.count("reruns")
            same = self.expect_same(report, output, words[0], f"{where}, then {again}")
            report.count("of these identical", same)
        return again

    def whole(self, name: str) -> Path:
        """A folder, for reading only, in which the command has ended."""
        self._undisturbed(name)
        return self.folder / f"{name}-whole"

    def prepare(self, *names: str) -> None:
        """Run the commands undisturbed."""
        two_at_a_time([partial(self._undisturbed, name) for name in names])

    def _undisturbed(self, name: str) -> tuple[float, Results]:
        with self._locks[name]:
            if name not in self._ended:
                output = self.folder / f"{name}-whole"
                run = Run(self.words(name, output))
                assert run.ended() == 0, run
                self._ended[name] = time.monotonic() - run.began, results(output)
            return self._ended[name]
