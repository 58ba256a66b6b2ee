"""adapt: a model of another framework, or one written by hand, as a SpikingNetwork."""

from collections.abc import Iterable
from functools import partial
from typing import Literal

import torch
from torch.nn import Module

from art_snn.checks import require, require_count
from art_snn.encoders import Direct, Encoder
from art_snn.engine.body import OwnTime
from art_snn.gradients import Gradient
from art_snn.interop.body import READOUTS, ModelBody, Readout
from art_snn.interop.verify import verify
from art_snn.network import SpikingNetwork
from art_snn.neurons import Neuron


def adapt(
    model: Module,
    steps: int | None = None,
    *,
    encoder: Encoder | Literal["direct"] | None = "direct",
    readout: Readout | Literal["default"] = "default",
    gradient: Gradient | str | None = None,
    training_gradient: Gradient | str = "native",
    input_shape: tuple[int | None, ...] | None = None,
    harmless: Iterable[type[torch.autograd.Function]] = (),
    equations: bool = True,
) -> SpikingNetwork:
    """A model of SpikingJelly, snnTorch, Norse or sinabs, or your own, as a SpikingNetwork.

    It shares the model's parameters, state dict and device. Every pass starts from rest and leaves
    no trace. docs/frameworks.md has the call for every form of a model, and all readouts. Temporal
    rules exchange the slopes of neurons that nobody knows, and of all neurons where equations of
    known ones cannot be used. A warning says so once.

    :param model: its neurons are recognised by class; yours by :func:`register_neuron`.
    :param steps: time steps T of the encoder Direct; with encoder=None, of the model itself.
    :param encoder: maps x [N, ...] to [T, N, ...]; "direct" repeats it. None: the model takes x.
    :param readout: how the outputs of the model become logits [N, K]. None: they are logits. Left
        out: None with encoder=None, otherwise "mean".
    :param gradient: rule for gradients at the input. None: that of
        :func:`~art_snn.gradients.choose_rule`, from the equations alone.
    :param training_gradient: rule for gradients at the weights.
    :param input_shape: shape of one input, as :class:`~art_snn.SpikingNetwork` takes it.
    :param harmless: autograd functions of the model that are no spikes; our rules refuse others.
    :param equations: False exchanges the slopes of all neurons from the first pass on.
    :raises TypeError: when `model` is no module, or one of art_snn already.
    :raises ValueError: when arguments contradict each other, or a rule does not apply."""
    _check_model(model)
    if readout == "default":
        readout = None if encoder is None else "mean"
    functions = tuple(harmless) if isinstance(harmless, Iterable) else (harmless,)
    _check_options(input_shape, readout, functions)
    body = partial(
        ModelBody,
        own_steps=steps,
        readout=readout,
        harmless=functions,
        equations=equations,
    )
    time = _make_encoder(encoder, steps)
    network = SpikingNetwork(
        model, time, gradient, training_gradient, input_shape=input_shape, body=body
    )
    network.body.verify = verify
    if isinstance(readout, Module):
        network.readout = readout  # It is trained with the model.
    return network


def _check_options(
    input_shape: object, readout: object, harmless: tuple[object, ...]
) -> None:
    """Refuse options of other kinds."""
    require(
        input_shape is None or isinstance(input_shape, tuple | list),
        "input_shape",
        "a tuple of sizes",
        repr(input_shape),
        "For example (3, 32, 32).",
    )
    require(
        readout is None or callable(readout) or readout in READOUTS,
        "readout",
        f"{', '.join(map(repr, READOUTS))}, None or a function",
        repr(readout),
        "A function gets what the model returns, and gives [N, K].",
    )
    require(
        all(
            isinstance(f, type) and issubclass(f, torch.autograd.Function)
            for f in harmless
        ),
        "harmless",
        "classes of autograd functions",
        ", ".join(map(repr, harmless)),
        "For example harmless=[RoundSTE].",
    )


def _make_encoder(encoder: Encoder | str | None, steps: int | None) -> Encoder:
    if isinstance(encoder, str):
        require(
            encoder == "direct",
            "encoder",
            "an encoder or 'direct'",
            repr(encoder),
            "Leave it.",
        )
        remedy = "With encoder=None the model makes its time steps itself."
        return Direct(require_count("steps", steps, remedy=remedy))
    if encoder is not None:
        require(
            steps is None,
            "steps",
            "None with an encoder",
            steps,
            "The encoder has the steps: leave steps out.",
        )
        return encoder
    if steps is not None:
        require_count("steps", steps, remedy="Leave it out where the model knows it.")
    return OwnTime()


def _check_model(model: object) -> None:
    """Refuse what is no model of another framework, or cannot be put back after a pass."""
    if not isinstance(model, Module) or isinstance(model, SpikingNetwork):
        raise TypeError(
            f"model: expected a torch module of another framework, got {type(model).__name__}. "
            "Pass an instance; a SpikingNetwork needs no adapting."
        )
    ours = [name for name, module in model.named_modules() if isinstance(module, Neuron)]
    require(
        not ours,
        "model",
        "neurons of one framework",
        f"art_snn's {ours[:1]}",
        "Build a SpikingNetwork of it.",
    )
