"""The neurons of other frameworks, one file each: KINDS lists the classes by qualified name.

`make test-frameworks` compares every neuron with the real package."""

from importlib import import_module
from pkgutil import iter_modules

from art_snn.interop.kinds import REGISTERED, NeuronKind

KNOWN = {
    name: kind
    for file in iter_modules(__path__)
    for name, kind in import_module(f"{__name__}.{file.name}").KINDS.items()
}
"""Every class that is recognised, by its qualified name."""


def find_kind(cls: type) -> tuple[NeuronKind, type] | None:
    """The kind of a class of modules and the class that it is known by; None for no neuron."""
    for base in cls.__mro__:
        kind = REGISTERED.get(base) or KNOWN.get(f"{base.__module__}.{base.__qualname__}")
        if kind is not None:
            return kind, base
    return None


def has_name_of_neuron(name: str) -> bool:
    """True if a class of neurons has this name, without its module; torch.jit keeps no more."""
    registered = {cls.__qualname__ for cls in REGISTERED}
    return name in registered | {path.rpartition(".")[2] for path in KNOWN}
