"""What the manifest says of every network and every data set."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from art_snn.checks import require, require_distinct
from art_snn.data import Source
from art_snn.metrics import Share
from art_snn.models import MODELS, Architecture

NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
SHA256 = re.compile(r"[0-9a-f]{64}")
FIRST = 200
"""Test samples that lie in the zoo, the first ones."""


@dataclass(frozen=True)
class Standard:
    """What the plan standard left at one budget.

    :param eps: budget in the norm, in the unit of the samples.
    :param norm: inf, 2, 0 or shift.
    :param robust: samples that no attack of the plan broke, of those that were attacked.
    :param at_most: whether that share is an upper bound.
    :param certified: samples that bounds prove; None where nobody looked.
    :param version: of art_snn."""

    eps: float
    norm: str
    robust: Share
    at_most: bool
    certified: Share | None
    version: str


@dataclass(frozen=True)
class ZooData:
    """A data set of the zoo.

    :param name: in the zoo.
    :param options: fields of :class:`art_snn.data.Source` that give the whole of it.
    :param digest: SHA-256 of its training and test arrays.
    :param value_range: (low, high) of its values; None where nobody knows.
    :param licence: of the data.
    :param attribution: who made them, and where they come from.
    :param sha256: of the file of samples; "" where there is none.
    :param bytes: of that file."""

    name: str
    options: Mapping[str, Any]
    digest: str
    value_range: tuple[float, float] | None
    licence: str
    attribution: str
    sha256: str = ""
    bytes: int = 0

    def __post_init__(self) -> None:
        for sha256 in filter(None, (self.digest or "none", self.sha256)):
            _check(self.name, sha256)

    @property
    def file(self) -> str:
        """Name of the file of samples, where there is one."""
        return f"samples-{self.name}.npz"

    @property
    def source(self) -> Source:
        """The whole of it, on disk."""
        options: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in self.options.items()
        }
        return Source(**options)


@dataclass(frozen=True)
class ZooEntry:
    """A trained network.

    :param name: in the zoo.
    :param sha256: of the file of its weights.
    :param bytes: of that file.
    :param architecture: of the network, with nothing left open.
    :param input_shape: of one sample, (C, H, W) or (T, C, H, W).
    :param classes: number of classes K.
    :param parameters: number of its parameters.
    :param data: name of its data set in the zoo.
    :param training: how it was trained, in words.
    :param recipe: settings of that training.
    :param commands: that trained and evaluated it.
    :param clean: test samples that it classifies correctly.
    :param clean_first: the same of the first 200 alone.
    :param standard: what the plan left, by budget; nothing where it has not run."""

    name: str
    sha256: str
    bytes: int
    architecture: Architecture
    input_shape: tuple[int, ...]
    classes: int
    parameters: int
    data: str
    training: str
    recipe: Mapping[str, Any]
    commands: tuple[str, ...]
    clean: Share
    clean_first: Share
    standard: tuple[Standard, ...] = ()

    def __post_init__(self) -> None:
        _check(self.name, self.sha256)
        # A manifest can come from the network: it must not name code to run.
        model, remedy = self.architecture.model, "Add its layers to art_snn.models."
        require(model in MODELS, "model", "a model of art_snn", repr(model), remedy)

    @property
    def file(self) -> str:
        """Name of the file of its weights."""
        return f"{self.name}.safetensors"


@dataclass(frozen=True)
class Zoo:
    """All networks and data sets, each in the order of their names."""

    networks: tuple[ZooEntry, ...] = ()
    data: tuple[ZooData, ...] = ()

    def __post_init__(self) -> None:
        for parts in (self.networks, self.data):
            if parts:
                require_distinct("name", [part.name for part in parts])
        there = {data.name for data in self.data}
        missing = sorted({network.data for network in self.networks} - there)
        require(not missing, "data", "data sets of the manifest", missing, "Add them.")


def _check(name: str, sha256: str) -> None:
    remedy = "Use small letters, digits and single dashes."
    require(NAME.fullmatch(name), "name", "a short name such as digits-plain", name, remedy)
    remedy = "Run python -m tests.zoo.add, which computes it."
    require(SHA256.fullmatch(sha256), "sha256", "64 digits", repr(sha256), remedy)
