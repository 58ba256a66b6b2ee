"""The neurons of other frameworks, one file each: KINDS lists the classes by qualified name.

`make test-frameworks` compares every neuron with the real package."""

from importlib import import_module
from pkgutil import iter_modules
from types import MappingProxyType

KNOWN = MappingProxyType(
    {
        name: kind
        for file in iter_modules(__path__)
        for name, kind in import_module(f"{__name__}.{file.name}").KINDS.items()
    }
)
"""Every class that is recognised, by its qualified name."""
