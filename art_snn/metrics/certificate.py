"""Certificates of encoders that draw: a class by most draws, and the changes that leave it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from art.estimators.classification import PyTorchClassifier
from numpy import ndarray
from numpy.typing import NDArray
from scipy.stats import binomtest
from sklearn.utils import gen_batches
from torch import Tensor

from art_snn.certified_regions import EventChanges, L1Ball
from art_snn.checks import require, require_count, require_number, require_seed
from art_snn.classifier.inputs import (
    as_array,
    check_samples,
    class_indices,
    require_network,
)
from art_snn.encoders import draws as encoder_draws
from art_snn.gradients.base import simulation
from art_snn.hooks import require_composed
from art_snn.layers import device_of, dtype_of
from art_snn.metrics.robust import Share
from art_snn.network import SpikingNetwork
from art_snn.progress import Progress
from art_snn.running.context import keep_modes
from art_snn.seeding import fix_seed

ABSTAINED = -1
"""Instead of a class that is not certified."""
_COMPARED = 16
"""Draws that show whether logits depend on anything else."""


def _least_lead(
    counts: NDArray[np.int64], answer: int, draws: int, alpha: float
) -> float:
    """A lower bound, of confidence 1 - alpha, of (1 + P - Q) / 2.

    P is the probability of the class that is the answer, and Q that of any other one, or
    of no answer. With two outcomes Q is 1 - P, and the number is P. What is proven of P
    there holds of the number."""
    least = _lower_bound(int(counts[answer]), draws, alpha / 2)
    others = [*np.delete(counts, answer).tolist(), draws - int(counts.sum())]
    most = 1 - _lower_bound(draws - max(others), draws, alpha / 2 / len(others))
    return (1 + least - min(1 - least, most)) / 2


def _lower_bound(count: int, draws: int, alpha: float) -> float:
    """The one-sided Clopper-Pearson bound: a probability exceeds it with confidence 1 - alpha."""
    test = binomtest(count, draws, alternative="greater")
    return float(test.proportion_ci(1 - alpha, method="exact").low)


@dataclass(frozen=True)
class Certificate:
    """Certified classes of samples, and the region of each; each holds with probability 1 - alpha.

    :param predicted: class that most draws give, where it is certified, int (N,); otherwise -1.
    :param region: changes of the samples that leave the class the answer, as the encoder says.
    :param correct: whether the class is the true one, bool (N,); False where there is none.
    :param draws: of each sample, without those that choose the class."""

    predicted: NDArray[np.int64]
    region: L1Ball | EventChanges
    correct: NDArray[np.bool_]
    draws: int
    alpha: float

    @classmethod
    def concatenate(cls, parts: "Sequence[Certificate]") -> "Certificate":
        """The certificates of all parts, of one encoder and as many draws, one after another."""

        def join(some: Sequence[Any]) -> Any:
            columns = {
                name: np.concatenate([getattr(one, name) for one in some])
                for name, value in vars(some[0]).items()
                if isinstance(value, ndarray)
            }
            return replace(some[0], **columns)

        whole: Certificate = join(parts)
        return replace(whole, region=join([part.region for part in parts]))

    def certified(self, **change: float | None) -> NDArray[np.bool_]:
        """Samples (N,) that are right under every change, as :meth:`certified_accuracy` counts."""
        region: Any = self.region
        given = {name: value for name, value in change.items() if value is not None}
        for name, value in given.items():
            require(
                name in region.changes,
                name,
                f"None, since this encoder certifies {', '.join(region.changes)}",
                value,
                "Events are of binary frames, an l1 radius is of images.",
            )
        return self.correct & region.holds(**given)  # type: ignore[no-any-return]  # numpy gives Any.

    def certified_accuracy(self, radius: float | None = None, **events: int) -> Share:
        """Share of samples that are right under every change of that size or less.

        :param radius: l1 norm of the change.
        :param events: instead, numbers of events: flips, added, removed, moved, or several.
        :raises ValueError: for changes of another kind than the encoder certifies."""
        return Share.of(self.certified(radius=radius, **events))

    @property
    def abstentions(self) -> Share:
        """Share of samples of which no class is certified."""
        return Share.of(self.predicted == ABSTAINED)

    @property
    def average(self) -> float:
        """Mean l1 radius or number of flips, 0 where none is right (Zhai et al., ICLR 2020)."""
        return float(np.where(self.correct, self.region.size, 0.0).mean())

    def __str__(self) -> str:
        return (
            f"certified accuracy {self.certified_accuracy()}, abstentions {self.abstentions}, "
            f"average {self.region.measure} {self.average:.3g}"
        )


def certify(
    estimator: PyTorchClassifier,
    x: ndarray,
    y: ndarray,
    *,
    selection: int = 100,
    draws: int = 1000,
    alpha: float = 0.001,
    batch_size: int = 32,
    seed: int = 0,
    verbose: bool = False,
) -> Certificate:
    """Certify a network whose encoder draws, sample by sample (Cohen et al., ICML 2019).

    `selection` draws choose the most frequent class; then `draws` fresh ones are counted. Those
    with NaN logits count for no class. Clopper-Pearson bounds, together at `alpha`, say how far
    the class is ahead of every other one, and :meth:`certified` of the encoder what follows; a
    sample without a lead abstains. The draws of a sample follow from the seed, its position and
    the batch size, and from no other sample.

    :param estimator: a classifier of ART around a :class:`~art_snn.SpikingNetwork` with one of the
        encoders :class:`~art_snn.Poisson`, :class:`~art_snn.SQE` and :class:`~art_snn.Ablation`.
    :param x: samples ``(N, *input_shape)`` in [0, 1]; of Ablation 0 and 1 alone.
    :param y: true classes, indices (N,) or scores (N, K).
    :param alpha: probability that the certificate of a sample is wrong, at most.
    :param batch_size: draws per forward pass of the network.
    :param verbose: show progress.
    :raises TypeError: when x or y is no array of real numbers.
    :raises ValueError: for another encoder, preprocessing, a network in half precision,
        no sample, another shape, values outside [0, 1], or a bad setting."""
    encoder, samples = _read_samples(estimator, x)
    labels = class_indices(y, len(samples), estimator.nb_classes)
    selection = require_count("selection", selection, remedy="100 are usual.")
    remedy = "1000 are usual, more give larger radii."
    draws = require_count("draws", draws, remedy=remedy)
    alpha = require_number("alpha", alpha, above=0, below=1, remedy="0.001 is usual.")
    size = require_count("batch_size", batch_size, remedy="Batches of 32 are usual.")
    seed = require_seed("seed", seed)
    predicted = np.full(len(samples), ABSTAINED)
    leads = np.zeros(len(samples))
    total = len(samples) * (selection + draws)
    with Progress("Certificates", total, unit="draws", verbose=verbose) as progress:

        def count(sample: ndarray, draws: int) -> ndarray:
            """How many draws give every class [K]; those with NaN logits give none."""
            counts = np.zeros(estimator.nb_classes, dtype=np.int64)
            for part in gen_batches(draws, size):
                some = part.stop - part.start
                copies = np.repeat(sample[None], some, axis=0)
                logits = estimator.predict(copies, batch_size=some)
                answered = logits[~np.isnan(logits).any(1)]
                counts += np.bincount(answered.argmax(1), minlength=len(counts))
                progress.update(some)
            return counts

        for i, sample in enumerate(samples):
            with fix_seed(seed + i):
                answer = int(count(sample, selection).argmax())
                leads[i] = _least_lead(count(sample, draws), answer, draws, alpha)
            predicted[i] = answer if leads[i] > 0.5 else ABSTAINED
    region = encoder.certified(leads)
    return Certificate(predicted, region, predicted == labels, draws, alpha)


def _read_samples(estimator: PyTorchClassifier, x: ndarray) -> tuple[Any, ndarray]:
    """Check a network and samples of it, and return its encoder and the samples."""
    encoder = _certifying_encoder(estimator)
    samples = as_array(check_samples(x, estimator.input_shape))
    require(
        len(samples), "x", "at least one sample", "none", "Take some of the test samples."
    )
    least, most = float(samples.min()), float(samples.max())
    got = f"values from {least:g} to {most:g}"
    fits = least >= 0 and most <= 1
    expected = "values from 0 to 1"
    remedy = "They are probabilities of a spike: bring them into that range before you certify."
    if encoder.certified(0).binary:
        fits = bool(np.isin(samples, (0, 1)).all())
        expected = "binary frames of 0 and 1"
        remedy = (
            "Make them binary, for instance by (x > 0), before you train and certify."
        )
    require(fits, "x", expected, got, remedy)
    if samples.dtype.kind != "f":
        samples = samples.astype(np.float32)
    _require_draws_alone(estimator.model, samples)
    return encoder, samples


@torch.no_grad()
def _require_draws_alone(network: SpikingNetwork, samples: ndarray) -> None:
    """Refuse a network whose logits of a sample depend on more than what its encoder draws of it.

    Samples go through the network. Then what the encoder draws of them does, with the
    same random numbers: next to the samples, next to NaN instead, and with NaN for all
    but the first."""
    rows = np.resize(np.arange(len(samples)), _COMPARED)
    x = torch.as_tensor(samples[rows], device=device_of(network)).to(dtype_of(network))
    with keep_modes(network, False), fix_seed(0):
        drawn: Tensor = network.encoder(x)
    first = drawn.clone()
    first[:, 1:] = torch.nan

    def compute(given: Tensor, encoded: Tensor | None = None) -> Tensor:
        """Logits of samples, or of what is fixed as their encoding."""

        def run(network: SpikingNetwork, x: Tensor) -> Tensor:
            encoding = network.body.encode(x)
            return network.body.run(encoding if encoded is None else encoded, simulation)

        with keep_modes(network, False), fix_seed(0), network.body.changed(forward=run):
            return network(given)  # type: ignore[no-any-return]  # torch gives Any.

    expected = compute(x)
    unread = torch.full_like(x, torch.nan)
    wanted = (
        "a network whose logits depend on what its encoder draws of a sample, and no more"
    )
    remedy = "Remove what reads anything else: a hook, or a layer that keeps the input."
    for logits, got in (
        (
            compute(x, drawn),
            "one that computes something else than its encoder and its layers",
        ),
        (compute(unread, drawn), "one whose layers read the input itself"),
        (compute(x, first)[:1], "one whose logits depend on other samples of a batch"),
    ):
        require(
            torch.allclose(
                logits, expected[: len(logits)], rtol=1e-3, atol=1e-5, equal_nan=True
            ),
            "estimator",
            wanted,
            got,
            remedy,
        )


def _certifying_encoder(estimator: PyTorchClassifier) -> Any:
    """The encoder of a network; ValueError unless it says what its own draws certify."""
    remedy = "Put it into the network, after the encoder; before it, changes have another unit."
    network = require_network("estimator", estimator, remedy)
    require_composed(network, "estimator")
    encoder = network.encoder
    # A class derived from one of ours may draw with other probabilities.
    owners = [
        next((k for k in type(encoder).__mro__ if n in vars(k)), object)
        for n in ("certified", "__call__")
    ]
    require(
        encoder_draws(encoder) and owners[0] is not object and issubclass(*owners),
        "estimator",
        "a network with Poisson encoding, SQE or Ablation",
        f"{encoder}",
        "Only what is drawn certifies: build it with encoder=Poisson(8), for instance.",
    )
    dtype = dtype_of(network)
    require(
        dtype in (torch.float32, torch.float64),
        "estimator",
        "a network in single or double precision",
        f"{dtype}",
        "Half precision rounds the probabilities themselves: use network.float().",
    )
    return encoder
