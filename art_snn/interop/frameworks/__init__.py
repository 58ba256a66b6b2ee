"""The neurons of other frameworks: where they keep what, one file per framework.

Every file lists its classes in KINDS, by qualified name, and imports no framework.
`make test-frameworks` compares every neuron with the real package."""

from collections.abc import Mapping
from types import MappingProxyType

from art_snn.interop.frameworks import norse, sinabs, snntorch, spikingjelly
from art_snn.interop.kinds import NeuronKind

FRAMEWORKS = (spikingjelly, snntorch, norse, sinabs)
KNOWN: Mapping[str, NeuronKind] = MappingProxyType(
    {name: kind for framework in FRAMEWORKS for name, kind in framework.KINDS.items()}
)
"""Every class that is recognised, by its qualified name."""
