"""Stateless layers on tensors with a time axis."""

from collections.abc import Callable, Hashable, Iterable, Mapping
from copy import deepcopy
from functools import cached_property
from itertools import chain
from operator import is_
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd

from art_snn import pooling
from art_snn.checks import invalid, require
from art_snn.gradients.fixed import SHAPES_ONLY, without_saving
from art_snn.gradients.shared import repeat_step, repeats_one_step
from art_snn.modulation import Gains, Gates, Noise
from art_snn.neurons import PASS, Neuron
from art_snn.state import HOOKS, counted, hooks_of


def varies(module: nn.Module) -> bool:
    """True if the module, in its present mode, changes output or buffers at every call or step."""
    trains = module.training and isinstance(module, _DropoutNd | _NormBase | Noise)
    return trains or isinstance(module, Gains | Gates)


GLOBAL_HOOKS = tuple(f"_global{kind}" for kind in HOOKS)
"""Names of torch's hooks on all modules."""


def are_plain(modules: Iterable[nn.Module]) -> bool:
    """True for modules of torch or ours, with their own forward, that no hook sees."""
    hooked = any(getattr(nn.modules.module, name, None) for name in GLOBAL_HOOKS)
    return not hooked and all(
        type(module).__module__.startswith(("torch.nn.modules.", "art_snn."))
        and not ("forward" in vars(module) or hooks_of(module))
        for module in modules
    )


def _is_known(module: Any) -> bool:
    """True if a module in evaluation mode is a function of _WEIGHTED, or has no weights."""
    padded = getattr(module, "padding_mode", "zeros") != "zeros"
    normed = isinstance(module, _NormBase) and None in (module.running_var, module.momentum)
    return not (padded or normed) if type(module) in _WEIGHTED else not module._parameters


def list_layers(module: nn.Module, name: str) -> list[tuple[str, nn.Module]]:
    """The layers of nested sequences, by name; one as often as it is called."""
    if type(module) is not nn.Sequential:
        return [(name, module)]
    parts = ((n, child) for n, child in module._modules.items() if child is not None)
    return [one for n, child in parts for one in list_layers(child, f"{name}.{n}")]


def device_of(module: nn.Module) -> torch.device:
    """Where its parameters and buffers are: the CPU where it has none."""
    tensors = chain(module.parameters(), module.buffers())
    return next((tensor.device for tensor in tensors), torch.device("cpu"))


def copy_module(argument: str, module: nn.Module, name: str = "network") -> Any:
    """A deep copy of a module.

    :raises ValueError: with the name of the innermost module that cannot be copied."""
    try:
        return deepcopy(module)
    except Exception as error:
        for part, child in module.named_children():
            copy_module(argument, child, f"{name}.{part}")
        got = f"{name} ({type(module).__name__}) with an attribute that cannot be ({error})"
        remedy = "Keep scripted functions, generators and the like outside of modules."
        raise invalid(argument, "modules that can be copied", got, remedy) from error


def weights_of(module: nn.Module) -> list[Tensor]:
    """Every parameter that takes a gradient; of replicas that run in parallel their copies."""
    weights = list[Any]()
    for inner in module.modules():
        weights += [*inner._parameters.values(), *getattr(inner, "_former_parameters", {}).values()]
    unique = {id(w): w for w in weights if isinstance(w, Tensor) and w.requires_grad}
    return list(unique.values())


def fold(convolution: nn.Module, norm: nn.Module) -> tuple[Tensor, Tensor] | None:
    """Weight and bias of the convolution that norm(convolution(x)) is.

    None unless the batch norm is affine at present, and both are unhooked."""
    if (
        type(convolution) is not nn.Conv2d
        or type(norm) is not nn.BatchNorm2d
        or norm.running_mean is None
        or norm.running_var is None
        or norm.training
        or norm.num_features != convolution.out_channels
        or not are_plain([convolution, norm])
    ):
        return None
    scale = torch.rsqrt(norm.running_var + norm.eps)
    if norm.weight is not None:
        scale = norm.weight * scale
    shift = -norm.running_mean if convolution.bias is None else convolution.bias - norm.running_mean
    shift = shift * scale if norm.bias is None else shift * scale + norm.bias
    return convolution.weight * scale.view(-1, 1, 1, 1), shift


_Form = tuple[Any, Callable[..., Tensor], tuple[Any, ...]]
"""A module, and a function of x and of further arguments that gives the same."""
_POOL = ["kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override"]
_NORM = ["running_mean", "running_var", "weight", "bias", "training", "momentum", "eps"]
_WEIGHTED: Mapping[Any, tuple[Any, list[str]]] = {
    nn.Conv2d: (functional.conv2d, ["weight", "bias", "stride", "padding", "dilation", "groups"]),
    nn.Linear: (functional.linear, ["weight", "bias"]),
    nn.AvgPool2d: (functional.avg_pool2d, _POOL),
    nn.BatchNorm1d: (functional.batch_norm, _NORM),
    nn.BatchNorm2d: (functional.batch_norm, _NORM),
}
"""Modules as functions, and the attributes that are their further arguments."""
_AFFINE = {*_WEIGHTED, nn.AdaptiveAvgPool2d, nn.Dropout, nn.Dropout2d, nn.Flatten, nn.Unflatten}
_AFFINE |= {nn.Sequential, nn.Identity}
"""Modules that are affine in evaluation mode."""


_LAST = torch.channels_last
_PACKED = 64
"""Pixels of an image from which convolutions are faster with the channels last."""


def _packed(x: Tensor, convolution: nn.Module) -> Tensor:
    """x [N, C, H, W] in the order of memory that is faster for a convolution of a training step.

    With the channels last oneDNN need not reorder values, forward and backward."""
    last = (
        x.shape[-1] * x.shape[-2] >= _PACKED
        and getattr(convolution, "groups", 1) == 1
        and x.dtype in (torch.float32, torch.bfloat16)
        and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    )
    return x.contiguous(memory_format=_LAST if last else torch.contiguous_format)


class TimeDistributed(nn.Module):
    """Applies modules that know no time to every time step of [T, N, ...].

    The steps are merged into the batch axis and computed in one call. A view that repeats one step,
    as the Direct encoder makes it, is computed once and repeated afterwards. Dropout in training
    mode draws masks for every step all the same, other random modules once.

    In evaluation mode a convolution and the batch norm after it are one convolution, which saves
    memory and time. On a CPU average pooling takes :mod:`art_snn.pooling` where that is possible.

    :param modules: applied one after the other to [T * N, ...]; convolution, linear, batch norm,
        pooling, flatten and the like.
    :raises TypeError: when a module is no torch module, or is a neuron, which needs the time axis.
    """

    affine = True

    def __init__(self, *modules: nn.Module) -> None:
        super().__init__()
        for module in modules:
            if not isinstance(module, nn.Module):
                raise TypeError(f"modules: expected torch modules, got {module!r}.")
            if any(isinstance(child, Neuron) for child in module.modules()):
                raise TypeError(
                    f"modules: expected modules without state, got {module!r}. "
                    "Put neurons next to TimeDistributed, not inside: they need the time axis."
                )
        self.module = nn.Sequential(*modules)

    def forward(self, x: Tensor) -> Tensor:
        """[T, N, ...] -> [T, N, ...]."""
        steps, batch = x.shape[:2]
        draws = (isinstance(m, _DropoutNd) and m.training for m in self.module.modules())
        if repeats_one_step(x) and not any(draws):
            return repeat_step(self._checked(self._compute(x[0]), batch), steps)
        y = self._compute(x.flatten(0, 1))
        return self._checked(y, steps * batch).view(steps, batch, *y.shape[1:])

    def _compute(self, x: Tensor) -> Tensor:
        """[N, ...] -> [N, ...]."""
        running, packs = PASS.get(), self.training and x.ndim == 4 and x.device.type == "cpu"
        packs = packs and are_plain(self.module.modules())
        constant = running.constant if running is not None and type(x) is Tensor else None
        for module, func, arguments in self._forms() if constant is None else constant[self]:
            if pooling.suits(module, x) and (constant is not None or are_plain([module])):
                kernel = pooling.pair(module.kernel_size)
                x = pooling.average(x, kernel, module.divisor_override)
            else:
                x = _packed(x, module) if packs and type(func) is nn.Conv2d else x
                x = without_saving(func, x, *arguments)
        return x

    def _forms(self) -> list[_Form]:
        """Its modules; a convolution and a norm are one, differentiable by x and by all weights."""
        forms, modules = list[_Form](), list[Any](self.module)
        while modules:
            module = modules.pop(0)
            folded = fold(module, modules[0]) if modules else None
            func = module if folded is None else module._conv_forward
            del modules[: folded is not None]
            forms.append((module, func, folded or ()))
        return forms

    @staticmethod
    def _checked(y: Tensor, rows: int) -> Tensor:
        if y.shape[0] != rows:
            expected = f"modules that keep the batch axis of size {rows}"
            remedy = "Every module must map [N, ...] to [N, ...]."
            raise invalid("modules", expected, f"an output of shape {list(y.shape)}", remedy)
        running = PASS.get()
        # No other module sees the order of memory, or that values are missing.
        plain = running is not None and running.plain and y.ndim == 4
        kept = SHAPES_ONLY.get() or (plain and y.is_contiguous(memory_format=_LAST))
        return y if kept else y.contiguous()


class Normalize(nn.Module):
    """(x - mean) / std per channel of [N, C, ...], inside the network and therefore inside attacks.

    :raises ValueError: when the lengths of mean and std differ or a std is not positive."""

    mean: Tensor
    std: Tensor
    affine = True

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        fits = len(mean) == len(std) and all(value > 0 for value in std)
        expected = f"{len(mean)} numbers above 0, as many as in mean"
        require(fits, "std", expected, repr(std), "Give mean and std once per channel.")
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.get_default_dtype()))
        self.register_buffer("std", torch.tensor(std, dtype=torch.get_default_dtype()))

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, ...] -> [N, C, ...]."""
        shape = (1, -1) + (1,) * (x.ndim - 2)
        return (x - self.mean.view(shape)) / self.std.view(shape)


class _Forms(dict[Any, list[_Form]]):
    """Forms of layers, whose modules are all known, with weights that are constants.

    They are made when a pass comes to the layer, since they are copies."""

    @torch.inference_mode(False)
    @torch.no_grad()
    def __missing__(self, layer: TimeDistributed) -> list[_Form]:
        forms = list[_Form]()
        for module, _, folded in layer._forms():
            func, names = _WEIGHTED.get(type(module), (module, []))
            arguments = [*folded, *(getattr(module, name) for name in names[len(folded) :])]
            given = (a.detach() if isinstance(a, Tensor) else a for a in arguments)
            forms.append((module, func, tuple(given)))
        return self.setdefault(layer, forms)


class Snapshot:
    """The layers of a network as they are, and what has been computed of them in that state.

    `neurons` have the names that they have in the network; `plain` is that of :class:`Pass`."""

    def __init__(self, layers: nn.Module, watches: bool = False) -> None:
        names = {module: name for name, module in layers.named_modules(prefix="layers")}
        self.modules, self.plain = list(names), are_plain(names)
        self.neurons = {module: names[module] for module in names if isinstance(module, Neuron)}
        self.answers: dict[Hashable, Any] = {}
        self.mark = self._marked() if watches else None

    def holds(self) -> bool:
        """True if it watches, and modules, their settings, modes, hooks and weights are the same.

        Weights that are written through `.data` are not seen, nor changes inside of a setting."""
        if self.mark is None:
            return False
        (held, weights), (now, others) = self.mark, self._marked()
        return len(held) == len(now) and all(map(is_, held, now)) and weights == others

    def _marked(self) -> tuple[list[Any], Hashable]:
        held = [key for hooks in GLOBAL_HOOKS for key in getattr(nn.modules.module, hooks, ())]
        tensors = list[Tensor]()
        for module in self.modules:
            hooks = module._forward_pre_hooks or module._forward_hooks
            hooks = hooks or module._backward_pre_hooks or module._backward_hooks
            held += [*vars(module).values(), *hooks, *module._modules.values()]
            tensors += [*module._parameters.values(), *module._buffers.values()]
        return held + tensors, counted(tensor for tensor in tensors if tensor is not None)

    @cached_property
    def constant(self) -> Mapping[nn.Module, list[_Form]] | None:
        """How :class:`TimeDistributed` computes with constant weights, if no one else has any."""
        layers = [module for module in self.modules if type(module) is TimeDistributed]
        inside = {module for layer in layers for module in layer.module}
        others = any(m.training or (m._parameters and m not in inside) for m in self.modules)
        usual = self.plain and self.neurons and not others
        return _Forms() if usual and all(map(_is_known, inside)) else None

    @cached_property
    def affine(self) -> bool:
        """True if its stateless layers have the same gradient whatever their input is."""
        kinds = set(map(type, self.modules))
        ours = (issubclass(k, Neuron) or getattr(k, "affine", False) for k in kinds - _AFFINE)
        return self.constant is not None and all(ours)
