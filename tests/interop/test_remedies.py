"""The right call of adapt gives the logits of the model by itself; others are refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from art_snn import Frames
from art_snn.interop import adapt
from tests.interop.neurons import Merged, Output, Step, Steps
from tests.interop.promises import answer, gradient, inputs, weighed
from tests.interop.stacks import (
    CLASSES,
    STEPS,
    Loop,
    Looping,
    OfOneStep,
    OwnMerged,
    Stack,
    chain,
    images,
    lively,
)


class Charged(nn.Module):
    """The neuron of QCFS: scaled, and charged with half its threshold before its first step."""

    def __init__(self, scale: float = 0.7, charge: float = 0.5) -> None:
        super().__init__()
        self.scale, self.charge, self.t = scale, charge, 0
        self.neuron = Step(1.0, reset="soft")

    def forward(self, x: Tensor) -> Tensor:
        x = x / self.scale
        if self.t == 0:
            self.neuron(torch.ones_like(x) * self.charge)
        self.t += 1
        return self.neuron(x) * self.scale

    def reset(self) -> None:
        self.neuron.reset()
        self.t = 0


def converted() -> nn.Module:
    layers = nn.Linear(9, 12), Charged(), nn.Linear(12, 8), Charged(0.4), nn.Linear(8, CLASSES)
    return lively(nn.Sequential(nn.Flatten(), *layers), 0.5)


class Resetting(nn.Module):
    """That network with its time steps inside."""

    def __init__(self) -> None:
        super().__init__()
        self.net = converted()

    def forward(self, x: Tensor) -> Tensor:
        reset(self.net)
        return sum(self.net(x) for _ in range(6)) / 6


class Fixed(nn.Module):
    """[T, N, ...] -> [T, N, K] in a loop over a number of steps that is written down."""

    def __init__(self, steps: int = 6) -> None:
        super().__init__()
        self.steps, self.fc1, self.fc2 = steps, nn.Linear(9, 12), nn.Linear(12, CLASSES)
        self.lif = Step(0.8)
        lively(self)

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([self.layers(x[t]) for t in range(self.steps)])

    def layers(self, x: Tensor) -> Tensor:
        return self.fc2(self.lif(self.fc1(x.flatten(1))))


class Precharged(Looping):
    """A loop after a call of the whole network, for x or a constant, whose output is not read."""

    def __init__(self, charge: float | None = None) -> None:
        super().__init__(of_one_step())
        self.charge = charge

    def forward(self, x: Tensor) -> Tensor:
        self.model(x if self.charge is None else torch.full_like(x, self.charge))
        return super().forward(x)


class FixedFrames(Fixed):
    """The same from [N, T, ...]."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.transpose(0, 1)).transpose(0, 1)


class Recorded(Fixed):
    """[N, ...] -> records of spikes and potentials, [T, N, K] each."""

    def __init__(self) -> None:
        super().__init__()
        self.last = Output()

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        records = [self.last(self.layers(x)) for _ in range(self.steps)]
        return tuple(map(torch.stack, zip(*records, strict=True)))


class Tutorial(nn.Module):
    """[N, ...] -> [N, K] as SpikingJelly's tutorials write it, or [T, N, K]."""

    def __init__(self, reduced: bool = True) -> None:
        super().__init__()
        self.layers, self.reduced = chain(Steps()), reduced

    def forward(self, x: Tensor) -> Tensor:
        x = self.layers(x.unsqueeze(0).repeat(STEPS, 1, 1, 1, 1))
        return x.mean(0) if self.reduced else x


class Read(nn.Module):
    """The time axis of [T, N, K] is another one, or none is left."""

    def __init__(self, read: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.layers, self.read = chain(Steps()), read

    def forward(self, x: Tensor) -> Tensor:
        return self.read(self.layers(x))


def reset(model: nn.Module) -> None:
    for module in model.modules():
        if hasattr(module, "reset"):
            module.reset()


def loop(model: nn.Module, x: Tensor, steps: int) -> Tensor:
    """A loop over a model of one step, as scripts have it."""
    outputs = [model(x) for _ in range(steps)]
    return torch.stack([o[0] if isinstance(o, tuple) else o for o in outputs]).mean(0)


def repeat(model: nn.Module, x: Tensor, steps: int) -> Tensor:
    return model(x.expand(steps, *x.shape)).mean(0)


def whole(model: nn.Module, x: Tensor, steps: int) -> Tensor:
    return model(x)


def over_time(model: nn.Module, x: Tensor, steps: int, axis: int = 0) -> Tensor:
    return model(x).mean(axis)


@dataclass(frozen=True)
class Row:
    """A model, and how it runs by itself for so many steps.

    :param refused, right: options of adapt."""

    make: Callable[[], nn.Module]
    plain: Callable[[nn.Module, Tensor, int], Tensor]
    refused: tuple[dict[str, Any], ...]
    right: dict[str, Any]
    x: Callable[[], Tensor] = images


def told(*steps: int) -> tuple[dict[str, Any], ...]:
    return tuple({"steps": n} for n in steps)


NONE, FRAMES = {"encoder": None}, {"encoder": Frames()}
MEAN = {"encoder": None, "readout": "mean"}


def of_one_step(last: nn.Module | None = None) -> OfOneStep:
    return OfOneStep(Step(0.8), last or nn.Identity())


def flat() -> nn.Module:
    """The same without its first layer: it also takes [1, N, ...]."""
    return nn.Sequential(*list(of_one_step())[1:])


def expanded(model: nn.Module, x: Tensor, steps: int) -> Tensor:
    return model(x.expand(steps, *x.shape))


frames = partial(images, shape=(6, 1, 3, 3))
ROWS = {
    "one step": Row(of_one_step, loop, (NONE,), {"steps": 8}),
    "spikes": Row(
        lambda: of_one_step(Output()), loop, (NONE, *told(4)), {"steps": 8, "readout": "spikes"}
    ),
    "charged": Row(converted, loop, (NONE,), {"steps": 8}),
    "charged, own loop": Row(Resetting, whole, told(2, 3, 6, 7, 12), NONE),
    "own loop": Row(lambda: Looping(of_one_step()), whole, told(1, 2, 4, 6), NONE),
    "precharged": Row(Precharged, whole, told(1, 4, 5, 6), NONE),
    "precharged, constant": Row(partial(Precharged, 0.3), whole, told(1, 4, 5, 6), NONE),
    "flat": Row(
        lambda: Looping(flat()), whole, told(1, 2, 4, 6), NONE, lambda: images().flatten(1)
    ),
    "steps": Row(partial(Loop, Step), over_time, ({"steps": 3, **MEAN}, NONE), MEAN, inputs),
    "fixed": Row(Fixed, repeat, (*told(1, 4, 5, 7, 12, 18), NONE, MEAN), {"steps": 6}),
    "fixed 2": Row(partial(Fixed, 2), repeat, (*told(1, 3, 4), NONE, MEAN), {"steps": 2}),
    "fixed frames": Row(
        Fixed, lambda m, x, t: m(x.transpose(0, 1)).mean(0), (NONE, MEAN), FRAMES, frames
    ),
    "frames": Row(
        FixedFrames,
        partial(over_time, axis=1),
        (FRAMES, NONE, MEAN),
        {**NONE, "readout": lambda out: out.mean(1)},
        frames,
    ),
    "records": Row(
        Recorded, lambda m, x, t: m(x)[0].mean(0), (*told(4, 6), NONE), MEAN | {"readout": "spikes"}
    ),
    "tutorial": Row(Tutorial, whole, (*told(4, 8), MEAN), NONE),
    "tutorial, all steps": Row(partial(Tutorial, False), over_time, (*told(4, 8), NONE), MEAN),
    "all steps": Row(partial(Stack, Steps), repeat, (NONE, MEAN), {"steps": 8}, inputs),
    "merged": Row(partial(OwnMerged, Merged), over_time, told(4), MEAN | {"steps": STEPS}, inputs),
    "reduced": Row(
        lambda: Read(lambda out: out.mean(0)), expanded, told(4), {"steps": 4, "readout": None}
    ),
    "samples first": Row(
        lambda: Read(lambda out: out.transpose(0, 1)),
        lambda m, x, t: expanded(m, x, t).mean(1),
        told(4),
        {"steps": 4, "readout": lambda out: out.mean(1)},
    ),
}


@pytest.mark.parametrize("rule", [None, "native", "rga", "stbp"])
@pytest.mark.parametrize("name", ROWS)
def test_every_form_has_a_call_with_the_logits_of_the_model_by_itself(name, rule):
    row = ROWS[name]
    model, other, x, options = row.make(), row.make(), row.x(), row.right
    steps = options.get("steps") or getattr(options.get("encoder"), "steps", None) or 1
    reset(other)
    leaf = x.clone().requires_grad_()
    wanted = row.plain(other, leaf, steps)
    for _ in range(2):
        network = adapt(model, **options)
        logits = answer(network, rule, x)
        torch.testing.assert_close(logits, wanted.detach(), rtol=1e-6, atol=1e-6)
    if rule == "native":
        (by_hand,) = torch.autograd.grad(weighed(wanted), leaf)
        torch.testing.assert_close(gradient(network, rule, x)[1], by_hand)


@pytest.mark.parametrize("name", ROWS)
def test_other_calls_are_refused_with_the_forms_in_words(name):
    row = ROWS[name]
    for options, samples in product(row.refused, (1, 5)):
        if samples == 1 and name == "merged":
            continue  # Its time steps pass for pixels.
        with (
            pytest.raises(ValueError, match=r"expected .*(encoder=|steps|readout)"),
            torch.no_grad(),
        ):
            adapt(row.make(), **options)(row.x()[:samples])


class Repeating(nn.Module):
    """It repeats whatever it is given: [N, F] -> [T, N, K], around neurons, known or not."""

    def __init__(self, neuron: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.fc1, self.neuron, self.fc2 = nn.Linear(9, 12), neuron, nn.Linear(12, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.neuron(self.fc1(torch.stack([x] * STEPS))))


@pytest.mark.parametrize("neuron", [Steps(), lambda x: (x.cumsum(0) >= 1).to(x)])
def test_time_that_model_and_encoder_both_make_is_left_to_the_model(neuron):
    model, x = lively(Repeating(neuron)), images().flatten(1)
    with pytest.raises(ValueError, match=r"got a tensor \[4, 4, .*leave it to the model: encoder="):
        adapt(model, STEPS)(x)
    wanted = model(x).mean(0)
    assert torch.equal(adapt(model, encoder=None, readout="mean")(x), wanted)


@pytest.mark.parametrize("rule", [None, "native", "rga", "stbp"])
def test_a_counter_that_was_not_reset_changes_nothing(rule):
    model, other = converted(), converted()
    wanted = loop(other, images(), 8)
    loop(model, images(), 3)
    for _ in range(2):
        network = adapt(model, steps=8)
        logits = answer(network, rule, images())
        torch.testing.assert_close(logits, wanted, rtol=1e-6, atol=1e-6)
    assert [module.t for module in model.modules() if isinstance(module, Charged)] == [3, 3]
