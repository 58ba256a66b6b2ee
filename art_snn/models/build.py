"""A model by the settings that checkpoints, manifests and commands name."""

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

import torch

from art_snn.checks import require_memory
from art_snn.encoders import parse_encoder
from art_snn.models.networks import MODELS, Options
from art_snn.network import SpikingNetwork
from art_snn.seeding import fix_seed

DEFAULTS: Mapping[str, Any] = MappingProxyType(
    {
        "model": "vgg5",
        "width": Options.width,
        "steps": Options.steps,
        "readout": None,
        "decay": Options.decay,
        "threshold": Options.threshold,
        "reset": Options.reset,
        "encoder": "direct",
        "modulation": Options.modulation,
    }
)
"""The settings of a network by their names, as they are on images. On event frames steps
and encoder are those of the frames; only models of other frameworks have a readout."""


def build_model(
    settings: Mapping[str, Any], seed: int = 0, **options: Any
) -> SpikingNetwork:
    """One of MODELS, with weights drawn from the seed.

    :param settings: its name and its settings; what is missing is as in DEFAULTS.
    :param options: other options of it, such as image_size.
    :raises KeyError: for an unknown model.
    :raises ValueError: for settings that it refuses, or weights that do not fit into memory."""
    usual = {"model": DEFAULTS["model"], "steps": DEFAULTS["steps"]}
    given = {**usual, **settings, **options}
    name = given.pop("model")
    if isinstance(given.get("encoder"), str):
        given["encoder"] = parse_encoder(given["encoder"], given["steps"])
    make = partial(MODELS[name], **given)
    with torch.device("meta"), fix_seed(seed):
        weights = make().state_dict().values()
    needed = sum(tensor.nbytes for tensor in weights)
    argument = "width" if given.get("width", 1) > 1 else "image_size"
    require_memory(
        argument,
        given.get(argument),
        "weights",
        needed,
        remedy="Make the network smaller.",
    )
    with fix_seed(seed):
        return make()
