"""The manifest of the zoo as JSON, and back."""

import json

import cattrs

from art_snn.checks import first_line, invalid
from art_snn.metrics import Share
from art_snn.models import Architecture
from art_snn.zoo.entry import Zoo

MANIFEST = "manifest.json"
SCHEMA = 1
"""Number of the form of the manifest: a new form has a new number."""

_converter = cattrs.Converter()
_converter.register_unstructure_hook(Architecture, lambda architecture: architecture.given)
_converter.register_structure_hook(Architecture, lambda given, _: Architecture(**given))
_converter.register_unstructure_hook(Share, lambda s: {"count": s.count, "total": s.total})


def as_text(zoo: Zoo) -> str:
    """The zoo as JSON, in the order of names."""
    networks = sorted(zoo.networks, key=lambda network: network.name)
    data = sorted(zoo.data, key=lambda data_set: data_set.name)
    content = {"schema": SCHEMA, **_converter.unstructure(Zoo(tuple(networks), tuple(data)))}
    return json.dumps(content, indent=1) + "\n"


def from_text(text: str, source: object) -> Zoo:
    """The zoo that JSON describes.

    :param source: where the text comes from, for the complaint.
    :raises ArgumentError: when it is no manifest, or one of another schema."""
    remedy = "Take another copy of it, or another version of art_snn."
    try:
        content = json.loads(text)
        if content["schema"] != SCHEMA:
            raise ValueError(f"schema {content['schema']!r}")
        zoo: Zoo = _converter.structure(content, Zoo)
    except Exception as error:
        # cattrs collects whatever the fields raise, and says where each of them lies.
        reason = cattrs.transform_error(error, "", lambda cause, _: first_line(cause))[0]
        expected = f"a manifest of the zoo, of schema {SCHEMA}"
        raise invalid("zoo", expected, f"{source} ({reason})", remedy) from error
    return zoo
