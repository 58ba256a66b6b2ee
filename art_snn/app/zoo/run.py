"""Reads the manifest of the zoo; runs no network."""

from art_snn.app.zoo.result import Listed
from art_snn.app.zoo.settings import Settings
from art_snn.zoo.networks import manifest, place_of


def run(settings: Settings) -> Listed:
    """The networks of the zoo, and where each of them is.

    :raises ArgumentError: when no manifest is there, and none can be fetched."""
    zoo = manifest()
    return Listed(zoo.networks, {network.name: place_of(network) for network in zoo.networks})
