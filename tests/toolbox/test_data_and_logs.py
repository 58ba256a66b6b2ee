"""ART's data generators feed a spiking classifier, and its summaries log attacks on one."""

from __future__ import annotations

import copy
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from art.attacks.evasion import ProjectedGradientDescent
from art.data_generators import NumpyDataGenerator, PyTorchDataGenerator
from art.summary_writer import SummaryWriterDefault

from art_snn import RGA, STBP
from tests.networks import CLASSES, Counted, build
from tests.toolbox.promises import (
    ATTACK_GRADIENT,
    FIT,
    LOSS_GRADIENT,
    NOTHING,
    TRAINING_GRADIENT,
    promises,
)


@promises(
    "`fit_generator` visits every sample once per epoch, with the schedule's steps",
    "NumpyDataGenerator",
    "PyTorchDataGenerator",
    uses=FIT,
    rule=TRAINING_GRADIENT,
)
@pytest.mark.parametrize("labels", [np.asarray, lambda y: np.eye(CLASSES, dtype=np.float32)[y]])
@pytest.mark.parametrize("kind", ["numpy", "numpy without the remainder", "torch"])
def test_fit_generator_visits_every_sample_once_per_epoch(data, labels, kind, monkeypatch):
    x, y, whole = data.x_train[:20], labels(data.y_train[:20]), "without" not in kind
    if kind == "torch":
        pairs = torch.utils.data.TensorDataset(torch.tensor(x), torch.tensor(y))
        loader = torch.utils.data.DataLoader(pairs, batch_size=8)
        generator: Any = PyTorchDataGenerator(loader, size=20, batch_size=8)
    else:
        generator = NumpyDataGenerator(x, y, batch_size=8, drop_remainder=not whole)
    attack, training, seen = Counted(RGA()), Counted(STBP()), []
    classifier = build(gradient=attack, training_gradient=training)
    fit = classifier.fit

    def recorded(x: np.ndarray, y: np.ndarray, **options: Any) -> None:
        seen.append(x)
        fit(x, y, **options)

    monkeypatch.setattr(classifier, "fit", recorded)
    before = copy.deepcopy(classifier.model.state_dict())
    schedule = torch.optim.lr_scheduler.StepLR(classifier.optimizer, step_size=1)
    classifier.fit_generator(generator, nb_epochs=2, scheduler=schedule)
    assert schedule.last_epoch == 2, "the schedule goes by batches"
    assert all(not torch.equal(before[k], v) for k, v in classifier.model.state_dict().items())
    assert [len(part) for part in seen] == ([8, 8, 4] if whole else [8, 8]) * 2
    assert (attack.tally.backwards, training.tally.backwards) == (0, len(seen))
    for epoch in (np.concatenate(seen[:3]), np.concatenate(seen[3:])) if whole else ():
        np.testing.assert_array_equal(np.sort(epoch, axis=0), np.sort(x, axis=0))


STEPPED = {"eps": 0.1, "eps_step": 0.05, "max_iter": 3, "verbose": False}


def logged(folder: Path) -> Iterator[tuple[int, float]]:
    """(step, value) of all scalars in the files of events of a folder."""
    from tensorboardX.proto.event_pb2 import Event

    for file in sorted(folder.glob("events.*")):
        content = file.read_bytes()
        while content:
            # Length, its checksum, the event, its checksum.
            (size,) = struct.unpack("<Q", content[:8])
            event = Event.FromString(content[12 : 12 + size])
            yield from ((event.step, one.simple_value) for one in event.summary.value)
            content = content[16 + size :]


@promises(
    "logs norms of gradients, losses and the indicators 1 to 3 of failure at every step of PGD, "
    "equal to those by hand; the fourth divides by step 0 in ART, which warns",
    "SummaryWriterDefault",
    uses=LOSS_GRADIENT,
    rule=ATTACK_GRADIENT,
)
def test_an_attack_logs_its_gradients_and_losses(trained_layers, known, tmp_path):
    attack_rule, training = Counted(RGA()), Counted(STBP())
    classifier = build(trained_layers, gradient=attack_rule, training_gradient=training)
    x, y = known[0][:2], known[1][:2]
    norms = np.linalg.norm(classifier.loss_gradient(x, y).reshape(2, -1), axis=1)
    writer = SummaryWriterDefault(str(tmp_path), ind_1=True, ind_2=True, ind_3=True)
    first = writer.summary_writer
    ProjectedGradientDescent(classifier, summary_writer=writer, **STEPPED).generate(x, y)
    for one in (first, writer.summary_writer):
        one.close()
    folder = tmp_path / "generate-0"
    indicator = folder / "Attack Failure Indicator 1 - Silent Success" / "batch-0"
    for number in range(2):
        lengths = list(logged(folder / "gradients" / "norm-L2" / "batch-0" / str(number)))
        losses = list(logged(folder / "loss" / "total" / "batch-0" / str(number)))
        assert [step for step, _ in lengths] == [step for step, _ in losses] == [0, 1, 2]
        assert lengths[0][1] == pytest.approx(norms[number], rel=1e-3)
        assert losses[0][1] == pytest.approx(classifier.compute_loss(x, y)[number], rel=1e-3)
        assert losses[2][1] > losses[0][1]
        # At first every sample is classified as its label says.
        assert next(logged(indicator / str(number))) == (0, 1)
    assert attack_rule.tally.backwards == 1 + 3
    assert training.tally.backwards == 0


@promises(
    "needs the package tensorboardX, which its error names", "SummaryWriterDefault", uses=NOTHING
)
def test_the_package_that_summaries_need_is_named(classifier, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ImportError, match="tensorboardX"):
        ProjectedGradientDescent(classifier, summary_writer=str(tmp_path), **STEPPED)
