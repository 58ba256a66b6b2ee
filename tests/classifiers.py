"""Classifiers of digits in every form and small ones of few classes, and a rule that counts."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from art.defences.postprocessor.postprocessor import Postprocessor
from torch import Tensor, nn

from art_snn import LIF, Direct, PyTorchSpikingClassifier, SpikingNetwork, TimeDistributed as Timed
from art_snn.encoders import Frames
from art_snn.gradients import RGA, STBP, Gradient, NeuronRef
from tests.seeds import varied

STEPS, DIGITS = 4, 10
SHAPE, CLASSES = (1, 8, 8), 4
"""Of the small classifiers."""


@dataclass
class Tally:
    """How often a rule went backward through a neuron layer; raises at `limit`, when given."""

    forwards: int = 0
    backwards: int = 0
    limit: int | None = None
    error: type[BaseException] = RuntimeError


@dataclass(frozen=True)
class Counted(Gradient):
    """A rule that does what `rule` does and counts its passes through neurons."""

    rule: Gradient
    tally: Tally = field(default_factory=Tally, compare=False)

    @property
    def second_derivative(self) -> bool:
        return self.rule.second_derivative

    def logits(self, body: Any, x: Tensor) -> Tensor:
        self.tally.forwards += 1
        if self.tally.limit is not None and self.tally.forwards >= self.tally.limit:
            raise self.tally.error("injected by the test")
        return self.rule.logits(_Watched(body, self.tally), x)


class _Watched:
    """A body, with a counter behind every neuron."""

    def __init__(self, body: Any, tally: Tally) -> None:
        vars(self).update(body=body, tally=tally)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.body, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.body, name, value)

    def with_steps(self, steps: int) -> Any:
        return _Watched(self.body.with_steps(steps), self.tally)

    def run(self, encoded: Tensor, firing: Callable[[NeuronRef, Tensor], Tensor]) -> Tensor:
        def count(_: Tensor) -> None:
            self.tally.backwards += 1

        def fire(site: NeuronRef, current: Tensor) -> Tensor:
            spikes = firing(site, current)
            if spikes.requires_grad:
                spikes.register_hook(count)
            return spikes

        return self.body.run(encoded, fire)


def layers() -> nn.Sequential:
    """Layers for one-channel 8x8 images of ten classes."""
    return nn.Sequential(
        Timed(nn.Conv2d(1, 12, 3, padding=1)),
        LIF(),
        Timed(nn.AvgPool2d(2), nn.Flatten(), nn.Linear(12 * 16, DIGITS)),
    )


@dataclass(frozen=True)
class Form:
    """One way to present a digit: to numpy data, and back to [T, N, 1, 8, 8] inside the network.

    :param shape: shape of one sample.
    :param present: images [N, 1, 8, 8] to data [N, *shape].
    :param encode: data as a tensor [N, *shape] to time steps [T, N, 1, 8, 8].
    :param channels_first: as ART wants to know it.
    """

    shape: tuple[int, ...]
    present: Callable[[np.ndarray], np.ndarray]
    encode: Callable[[Tensor], Tensor]
    channels_first: bool = True


FORMS = {
    "grey": Form((1, 8, 8), lambda x: x, Direct(STEPS)),
    "colour": Form(
        (3, 8, 8),
        lambda x: np.repeat(x, 3, axis=1),
        lambda x: Direct(STEPS)(x.mean(1, keepdim=True)),
    ),
    "large": Form(
        (1, 16, 16),
        lambda x: x.repeat(2, axis=2).repeat(2, axis=3),
        lambda x: Direct(STEPS)(nn.functional.avg_pool2d(x, 2)),
    ),
    "channels last": Form(
        (8, 8, 3),
        lambda x: np.repeat(x, 3, axis=1).transpose(0, 2, 3, 1),
        lambda x: Direct(STEPS)(x.mean(3)[:, None]),
        channels_first=False,
    ),
    "table": Form((64,), lambda x: x.reshape(-1, 64), lambda x: Direct(STEPS)(x.view(-1, 1, 8, 8))),
    "frames": Form((STEPS, 1, 8, 8), lambda x: np.repeat(x[:, None], STEPS, axis=1), Frames(STEPS)),
    # A pixel fires at the steps whose threshold it exceeds: the brighter, the more often.
    "binary frames": Form(
        (STEPS, 1, 8, 8),
        lambda x: np.stack(
            [x > (2 * step + 1) / (2 * STEPS) for step in range(STEPS)], axis=1
        ).astype(x.dtype),
        Frames(STEPS),
    ),
    "video": Form(
        (STEPS, 8, 8, 1),
        lambda x: np.repeat(x[:, None], STEPS, axis=1).transpose(0, 1, 3, 4, 2),
        lambda x: Frames(STEPS)(x.permute(0, 1, 4, 2, 3)),
        channels_first=False,
    ),
}
"""Every form of input that the audited attacks ask for; one set of trained layers serves all."""


class Probabilities(Postprocessor):
    """Softmax over predictions, for the attacks that refuse logits."""

    def __init__(self) -> None:
        super().__init__(is_fitted=True, apply_fit=False, apply_predict=True)

    def __call__(self, preds: np.ndarray) -> np.ndarray:
        odds = np.exp(preds - preds.max(1, keepdims=True))
        return odds / odds.sum(1, keepdims=True)


def build(
    network_layers: nn.Module | None = None,
    form: str = "grey",
    gradient: Gradient | None = None,
    training_gradient: Gradient | None = None,
    lr: float = 0.01,
    **options: Any,
) -> PyTorchSpikingClassifier:
    """A classifier of digits in one of the FORMS."""
    shape = FORMS[form].shape
    made = layers() if network_layers is None else network_layers
    rules = gradient or RGA(), training_gradient or STBP()
    network = SpikingNetwork(made, FORMS[form].encode, *rules, input_shape=shape)

    usual = {"clip_values": (0.0, 1.0), "device_type": "cpu"}
    usual |= {"channels_first": FORMS[form].channels_first}
    usual |= {"optimizer": torch.optim.Adam(network.parameters(), lr=lr)}
    loss = nn.CrossEntropyLoss()
    return PyTorchSpikingClassifier(network, loss, shape, DIGITS, **(usual | options))


def classifier(*, seed=0, encoder=None, hidden=24, **neuron):
    """A small one: linear layers around one layer of neurons, with weights from the seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(varied(seed))
        layers = [
            Timed(nn.Flatten(), nn.Linear(64, hidden)),
            LIF(**neuron),
            Timed(nn.Linear(hidden, CLASSES)),
        ]
        # In double precision no batch size and no processor rounds a potential over its threshold.
        network = SpikingNetwork(layers, encoder or Direct(STEPS), input_shape=SHAPE).double()
        with torch.no_grad():
            layers[0].module[1].weight.mul_(3)
            # No class wins everywhere, so that a small step can flip a sample; and ART does not
            # take the logits for probabilities, as where they are positive with the sum 1.
            layers[2].module[0].bias.sub_(network(torch.rand(64, *SHAPE)).mean(0) + 1)
    return around(network)


def around(network: SpikingNetwork, lr: float = 0.0) -> PyTorchSpikingClassifier:
    """The network as ART sees it, with Adam of a learning rate for trainers of ART."""
    optimizer = torch.optim.Adam(network.parameters(), lr=lr) if lr else None
    options = {"clip_values": (0.0, 1.0), "optimizer": optimizer, "device_type": "cpu"}
    return PyTorchSpikingClassifier(network, nn.CrossEntropyLoss(), SHAPE, CLASSES, **options)


def samples(wrapped, count=10, wrong=2):
    """Random images with the labels that the network gives them, the first `wrong` ones others."""
    x = np.random.default_rng(varied()).random((count, *SHAPE), dtype=np.float32)
    y = wrapped.predict(x).argmax(1)
    y[:wrong] = (y[:wrong] + 1) % CLASSES
    return x, y


def pgd_by_hand(network, rule, eps, step, iterations, x, y):
    """PGD in the maximum norm from the samples themselves, by torch alone."""
    clean, labels = torch.as_tensor(x), torch.as_tensor(y)
    moved = clean.clone()
    for _ in range(iterations):
        leaf = moved.clone().requires_grad_(True)
        with network.using(rule):
            loss = nn.functional.cross_entropy(network(leaf), labels, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, leaf)
        moved = (moved + step * gradient.sign()).clamp(0, 1)
        moved = clean + (moved - clean).clamp(-eps, eps)
    return moved.numpy()


@contextmanager
def untouched(wrapped: PyTorchSpikingClassifier) -> Iterator[None]:
    """Whatever the block raises, it leaves rule, network and random states as they are."""
    rule, numpy, state = wrapped.gradient, np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    try:
        yield
    finally:
        after = np.random.get_state()  # noqa: NPY002
        assert str(numpy) == str(after)
        assert np.array_equal(numpy[1], after[1])
        assert torch.equal(state, torch.get_rng_state())
        assert wrapped.gradient is rule
        assert wrapped.model.body.context.rule is None
        assert wrapped.model.body.memory == {}
        assert not wrapped.model.training
