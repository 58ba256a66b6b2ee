"""Networks, classifiers and samples of the zoo."""

from collections.abc import Callable
from contextlib import suppress
from difflib import get_close_matches
from typing import Any, TypeVar

import numpy as np

from art_snn import checkpoint
from art_snn.checks import ArgumentError, MissingFile, WriteFailed, invalid, shown
from art_snn.classifier import PyTorchSpikingClassifier, wrapped
from art_snn.data import Source
from art_snn.network import SpikingNetwork
from art_snn.zoo.entry import FIRST, Zoo, ZooData, ZooEntry
from art_snn.zoo.places import local_file, manifest

Part = TypeVar("Part", ZooEntry, ZooData)


def names() -> list[str]:
    """The names of all networks.

    :raises ArgumentError: when no manifest is there, and none can be fetched."""
    return [network.name for network in manifest().networks]


def entry(name: str, argument: str = "name") -> ZooEntry:
    """What is known of a network.

    :param argument: named in complaints.
    :raises ArgumentError: for another name, with those that are near; and as :func:`names`."""
    return _named(name, argument, lambda zoo: zoo.networks)


def load(name: str) -> SpikingNetwork:
    """The network with its weights, in evaluation mode, on the CPU.

    :return: network from ``[N, *input_shape]`` to ``[N, classes]``.
    :raises ArgumentError: as :func:`entry`, and when its weights are damaged or cannot be fetched.
    :raises WriteFailed: when they cannot be written into the cache."""
    about = entry(name)
    channels, *sides = about.input_shape[-3:]
    form: dict[str, Any] = {"in_channels": channels, "image_size": tuple(sides)}
    network = about.architecture.made(classes=about.classes, **form)
    checkpoint.load(network, local_file(about))
    return network.eval()


def classifier(name: str, device: str = "gpu") -> PyTorchSpikingClassifier:
    """The network of :func:`load` as ART sees it, with the value range of its data.

    :param device: gpu, which is cpu where there is none; or cpu."""
    about = entry(name)
    limits = data_set(about.data).value_range
    return wrapped(load(name), about.input_shape, about.classes, limits, device)  # type: ignore[no-any-return]


def samples(name: str) -> tuple[np.ndarray, np.ndarray]:
    """The first test samples of a data set, as the classifiers take them.

    :param name: of a data set of the zoo, such as digits.
    :return: x float32 ``[n, *input_shape]`` and classes y int64 ``[n]``, 200 samples at most.
    :raises ArgumentError: as :func:`entry`.
    :raises FileNotFoundError: when the zoo may not hold them and they are not in the folder data;
        it says what to fetch."""
    about = data_set(name)
    try:
        data = source_of(about).load()
    except MissingFile as error:
        raise not_held(about, error) from error
    return data.x_test[:FIRST], data.y_test[:FIRST]


def not_held(about: ZooData, error: MissingFile, argument: str = "name") -> MissingFile:
    """The error for samples that the zoo does not hold, in place of one that names a file."""
    expected = f"samples of {about.name}, which the zoo does not hold ({about.licence})"
    options = about.options.items()
    given = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in options)
    remedy = f"Fetch them: {given} --download in commands."
    if str(about.source.data).endswith(".npz"):
        remedy = f"Make the file: {about.attribution}."
    return MissingFile(argument, f"expected {expected}. {remedy} {error.complaint}")


def data_set(name: str, argument: str = "name") -> ZooData:
    """What is known of a data set of the zoo; errors as those of :func:`entry`."""
    return _named(name, argument, lambda zoo: zoo.data)


def source_of(about: ZooData) -> Source:
    """Where a data set comes from: the samples that the zoo holds, otherwise the whole of it."""
    if not about.sha256:
        return about.source
    return Source(data=str(local_file(about)), value_range=about.source.value_range)


def _named(name: str, argument: str, parts: Callable[[Zoo], tuple[Part, ...]]) -> Part:
    """The part of that name; a manifest that lacks it may be an old one, and is fetched anew."""
    there = {part.name: part for part in parts(manifest())}
    if name not in there:
        with suppress(ArgumentError, WriteFailed):
            there = {part.name: part for part in parts(manifest(anew=True))}
    if name in there:
        return there[name]
    near = get_close_matches(str(name), there, n=3, cutoff=0.4)
    remedy = f"Did you mean {' or '.join(near)}?" if near else "art-snn zoo lists them."
    raise invalid(argument, f"one of {', '.join(there)}", shown(name), remedy)
