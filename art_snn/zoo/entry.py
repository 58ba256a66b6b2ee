"""The manifest of the zoo: what it says of every network and every data set, and its JSON."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from art_snn.checks import first_line, invalid, require, require_distinct
from art_snn.data import Source
from art_snn.data.dataset import ValueRange
from art_snn.metrics import Share
from art_snn.models import DEFAULTS, MODELS

MANIFEST = "manifest.json"
FIRST = 200
"""Test samples that lie in the zoo, the first ones."""
RANKED = 100
"""Samples of a record from which on networks are compared by it."""

SCHEMA = 3
"""Number of the form of the manifest: a new form has a new number."""

_REPEAT = "Run examples/zoo/add.py, which writes it."


@dataclass(frozen=True)
class Standard:
    """What the plan standard left at one budget.

    :param eps: budget in the norm, in the unit of the samples.
    :param norm: inf, 2, 0 or shift.
    :param standing: a digit per sample that was attacked, the first ones of the test
        samples: 1 where it is classified correctly before and after all attacks of the
        plan, otherwise 0.
    :param at_most: whether that share is an upper bound.
    :param clean: the same samples without an attack.
    :param certified: samples that bounds prove or draws certify; None where nobody looked.
    :param version: of art_snn."""

    eps: float
    norm: str
    standing: str
    at_most: bool
    clean: Share
    certified: Share | None
    version: str

    @property
    def robust(self) -> Share:
        """Samples that no attack of the plan broke, of those that were attacked."""
        return Share(self.standing.count("1"), len(self.standing))


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
    value_range: ValueRange | None
    licence: str
    attribution: str
    sha256: str = ""
    bytes: int = 0

    def __post_init__(self) -> None:
        _check(self.name, self.digest)
        if self.sha256:
            _check(self.name, self.sha256)

    @property
    def file(self) -> str:
        """Name of the file of samples, where there is one."""
        return f"samples-{self.name}.npz"

    @property
    def titles(self) -> set[str]:
        """Names that data sets have that were made of it."""
        files = (self.file, str(self.options["data"]))
        return {self.name, *(Path(file).stem for file in files)}

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
    :param architecture: name and settings of its model, as
        :func:`art_snn.models.build_model` takes them.
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
    architecture: Mapping[str, Any]
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
        model = self.architecture.get("model")
        require(
            model in MODELS,
            "model",
            "a model of art_snn",
            repr(model),
            "Add its layers to art_snn.models.",
        )
        require(
            self.architecture.keys() <= DEFAULTS.keys(),
            "architecture",
            f"settings among {', '.join(DEFAULTS)}",
            [*self.architecture],
            _REPEAT,
        )

    @property
    def file(self) -> str:
        """Name of the file of its weights."""
        return f"{self.name}.safetensors"


class Manifest(NamedTuple):
    """All networks and data sets."""

    networks: tuple[ZooEntry, ...] = ()
    data: tuple[ZooData, ...] = ()


def from_text(text: str, source: object) -> Manifest:
    """The zoo that JSON describes.

    :param source: where the text comes from, for the complaint.
    :raises ArgumentError: when it is no manifest, or one of another schema."""
    try:
        content = json.loads(text)
        if content["schema"] != SCHEMA:
            raise ValueError(f"schema {content['schema']!r}")
        networks = tuple(map(_entry, content["networks"]))
        data = tuple(map(_data, content["data"]))
        for names in ([one.name for one in networks], [one.name for one in data]):
            if names:
                require_distinct("name", names)
        missing = sorted({one.data for one in networks} - {one.name for one in data})
        require(not missing, "data", "data sets of the manifest", missing, "Add them.")
    except Exception as error:
        # It may come from the network: bad content fails in any way.
        reason = f"missing {error}" if isinstance(error, KeyError) else first_line(error)
        raise invalid(
            "zoo",
            f"a manifest of the zoo, of schema {SCHEMA}",
            f"{source} ({reason})",
            "Take another copy of it, or another version of art_snn.",
        ) from error
    return Manifest(networks, data)


def _entry(content: Mapping[str, Any]) -> ZooEntry:
    standard = []
    for one in content["standard"]:
        certified = None if one["certified"] is None else Share(**one["certified"])
        shares = {"clean": Share(**one["clean"]), "certified": certified}
        standard.append(Standard(**one | shares))
    made: dict[str, Any] = {
        name: Share(**content[name]) for name in ("clean", "clean_first")
    }
    made |= {name: tuple(content[name]) for name in ("input_shape", "commands")}
    return ZooEntry(**{**content, **made, "standard": tuple(standard)})


def _data(content: Mapping[str, Any]) -> ZooData:
    limits = content["value_range"]
    return ZooData(
        **{**content, "value_range": None if limits is None else tuple(limits)}
    )


def _check(name: str, sha256: str) -> None:
    short = re.fullmatch(r"[a-z0-9]+(?:-[a-z0-9]+)*", name)
    require(
        short,
        "name",
        "a short name such as digits-plain",
        name,
        "Use small letters, digits and single dashes.",
    )
    require(
        re.fullmatch(r"[0-9a-f]{64}", sha256),
        "sha256",
        "64 digits",
        repr(sha256),
        _REPEAT,
    )
