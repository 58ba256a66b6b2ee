"""What is known of a network's layers in their present state, and kept as long as that holds."""

from collections.abc import Hashable, Mapping
from functools import cached_property
from operator import is_
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module
from torch.nn.modules.batchnorm import _NormBase

from art_snn.engine.kinds import kind_of
from art_snn.layers import Form, TimeDistributed, are_plain, global_hooks
from art_snn.neurons import Neuron
from art_snn.running.digests import count_writes, hooks_of


def _is_known(module: Any) -> bool:
    """True if a module in evaluation mode has a function, or no weights."""
    if kind_of(module).function is None:
        return not module._parameters
    if isinstance(module, _NormBase):
        return None not in (module.running_var, module.momentum)
    return getattr(module, "padding_mode", "zeros") == "zeros"


class _Forms(dict[Any, list[Form]]):
    """Forms of layers, whose modules are all known, with weights that are constants.

    They are made when a pass comes to the layer, since they are copies."""

    @torch.inference_mode(False)
    @torch.no_grad()
    def __missing__(self, layer: TimeDistributed) -> list[Form]:
        forms = list[Form]()
        for module, _, folded in layer.forms():
            kind = kind_of(module)
            names = kind.arguments[len(folded) :]
            arguments = [*folded, *(getattr(module, name) for name in names)]
            given = (a.detach() if isinstance(a, Tensor) else a for a in arguments)
            forms.append((module, kind.function or module, tuple(given)))
        return self.setdefault(layer, forms)


class Snapshot:
    """The layers of a network as they are, and what has been computed of them in that state.

    `neurons` have the names that they have in the network; `plain` is that of a
    :class:`~art_snn.running.context.NetworkRun`."""

    def __init__(self, layers: Module, watches: bool = False) -> None:
        names = {module: name for name, module in layers.named_modules(prefix="layers")}
        self.modules = list(names)
        self.plain = are_plain(names)
        self.neurons: dict[Module, str] = {
            module: name for module, name in names.items() if isinstance(module, Neuron)
        }
        self.answers: dict[Hashable, Any] = {}
        self.mark = self._read_mark() if watches else None

    def holds(self) -> bool:
        """True if it watches, and modules, their settings, modes, hooks and weights are the same.

        Weights that are written through `.data` are not seen, nor changes inside of a setting."""
        if self.mark is None:
            return False
        held, weights = self.mark
        now, others = self._read_mark()
        alike = len(held) == len(now) and weights == others
        return alike and all(map(is_, held, now))

    def _read_mark(self) -> tuple[list[Any], Hashable]:
        held = list[Any](global_hooks())
        tensors = list[Tensor]()
        for module in self.modules:
            held += vars(module).values()
            held += hooks_of(module)
            held += module._modules.values()
            tensors += module._parameters.values()
            tensors += module._buffers.values()
        return held + tensors, count_writes(
            tensor for tensor in tensors if tensor is not None
        )

    @cached_property
    def constant(self) -> Mapping[Module, list[Form]] | None:
        """How :class:`TimeDistributed` computes with constant weights, if no one else has any."""
        inside = {
            module
            for layer in self.modules
            if type(layer) is TimeDistributed
            for module in layer.module
        }
        others = any(
            m.training or (m._parameters and m not in inside) for m in self.modules
        )
        if others or not (self.plain and self.neurons and all(map(_is_known, inside))):
            return None
        return _Forms()

    @cached_property
    def affine(self) -> bool:
        """True if its stateless layers have the same gradient whatever their input is."""
        return self.constant is not None and all(
            m in self.neurons or kind_of(m).affine for m in self.modules
        )
