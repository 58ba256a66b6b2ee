"""Small networks for the tests, and a rule that counts its backward passes."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from art.defences.postprocessor.postprocessor import Postprocessor
from torch import Tensor, nn

from art_snn import (
    LIF,
    RGA,
    STBP,
    Direct,
    Frames,
    PyTorchSpikingClassifier,
    SpikingNetwork,
    TimeDistributed as Timed,
)
from art_snn.gradients import Gradient, NeuronRef

STEPS = 4
CLASSES = 10


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
        def fire(site: NeuronRef, current: Tensor) -> Tensor:
            return _Tallied.apply(firing(site, current), self.tally)

        return self.body.run(encoded, fire)


class _Tallied(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, spikes: Tensor, tally: Tally) -> Tensor:
        ctx.tally = tally
        return spikes.view_as(spikes)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        ctx.tally.backwards += 1
        return grad, None


def layers() -> nn.Sequential:
    """Layers for one-channel 8x8 images of ten classes."""
    return nn.Sequential(
        Timed(nn.Conv2d(1, 12, 3, padding=1)),
        LIF(),
        Timed(nn.AvgPool2d(2), nn.Flatten(), nn.Linear(12 * 16, CLASSES)),
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
    network = SpikingNetwork(
        layers() if network_layers is None else network_layers,
        FORMS[form].encode,
        gradient or RGA(),
        training_gradient or STBP(),
        input_shape=shape,
    )
    options = {"clip_values": (0.0, 1.0), "device_type": "cpu"} | options
    return PyTorchSpikingClassifier(
        network,
        nn.CrossEntropyLoss(),
        shape,
        CLASSES,
        optimizer=torch.optim.Adam(network.parameters(), lr=lr),
        channels_first=FORMS[form].channels_first,
        **options,
    )
