"""Small trained networks by name: what they are, how they were trained, how robust they are."""

from art_snn.zoo.entry import (
    Manifest as Manifest,
    Standard as Standard,
    ZooData as ZooData,
    ZooEntry as ZooEntry,
)
from art_snn.zoo.networks import (
    classifier as classifier,
    entry as entry,
    load_network as load_network,
    names as names,
    samples as samples,
)
