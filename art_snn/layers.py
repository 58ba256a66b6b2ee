"""Stateless layers on tensors with a time axis."""

from collections.abc import Callable, Iterable
from copy import deepcopy
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import Module
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd

from art_snn import pooling
from art_snn.checks import invalid, require
from art_snn.gradients.fixed import without_saving
from art_snn.gradients.shared import align, repeat_step, repeats_one_step
from art_snn.modulation import Gains, Gates, Noise
from art_snn.neurons import Neuron
from art_snn.running.context import RUN
from art_snn.running.digests import HOOKS, hooks_of


def varies(module: Module) -> bool:
    """True if the module, in its present mode, changes output or buffers at every call or step."""
    trains = module.training and isinstance(module, _DropoutNd | _NormBase | Noise)
    return trains or isinstance(module, Gains | Gates)


def global_hooks() -> list[int]:
    """The keys of torch's hooks on all modules."""
    mappings = (getattr(nn.modules.module, f"_global{kind}", ()) for kind in HOOKS)
    return list(chain(*mappings))


def are_plain(modules: Iterable[Module]) -> bool:
    """True for modules of torch or ours, with their own forward, that no hook sees."""
    return not global_hooks() and all(
        type(module).__module__.startswith(("torch.nn.modules.", "art_snn."))
        and not ("forward" in vars(module) or hooks_of(module))
        for module in modules
    )


def list_layers(module: Module, name: str) -> list[tuple[str, Module]]:
    """The layers of nested sequences, by name; one as often as it is called."""
    if type(module) is not nn.Sequential:
        return [(name, module)]
    return [
        layer
        for part, child in module._modules.items()
        if child is not None
        for layer in list_layers(child, f"{name}.{part}")
    ]


def device_of(module: Module) -> torch.device:
    """The device of its parameters and buffers; the CPU where it has none."""
    tensors = chain(module.parameters(), module.buffers())
    return next((tensor.device for tensor in tensors), torch.device("cpu"))


def dtype_of(module: Module) -> torch.dtype:
    """The floating-point dtype of its parameters and buffers; torch's default where it has none."""
    tensors = chain(module.parameters(), module.buffers())
    dtypes = (tensor.dtype for tensor in tensors if tensor.is_floating_point())
    return next(dtypes, torch.get_default_dtype())


def copy_module(argument: str, module: Module, name: str = "network") -> Any:
    """A deep copy of a module.

    :raises ValueError: with the name of the innermost module that cannot be copied."""
    try:
        return deepcopy(module)
    except Exception as error:
        for part, child in module.named_children():
            copy_module(argument, child, f"{name}.{part}")
        raise invalid(
            argument,
            "modules that can be copied",
            f"{name} ({type(module).__name__}) with an attribute that cannot be ({error})",
            "Keep scripted functions, generators and the like outside of modules.",
        ) from error


def weights_of(module: Module) -> list[Tensor]:
    """Every parameter that takes a gradient; of replicas that run in parallel their copies."""
    weights = list[Any]()
    for inner in module.modules():
        weights += [
            *inner._parameters.values(),
            *getattr(inner, "_former_parameters", {}).values(),
        ]
    taking = (w for w in weights if isinstance(w, Tensor) and w.requires_grad)
    return list(dict.fromkeys(taking))


def fold(convolution: Module, norm: Module) -> tuple[Tensor, Tensor] | None:
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
    shift = (
        -norm.running_mean
        if convolution.bias is None
        else convolution.bias - norm.running_mean
    )
    shift = shift * scale if norm.bias is None else shift * scale + norm.bias
    return convolution.weight * scale.view(-1, 1, 1, 1), shift


Form = tuple[Any, Callable[..., Tensor], tuple[Any, ...]]
"""A module, and a function of x and of further arguments that gives the same."""
_LAST = torch.channels_last
_PACKED = 64
"""Pixels of an image from which convolutions are faster with the channels last."""


def _pack(x: Tensor, convolution: nn.Conv2d) -> Tensor:
    """x [N, C, H, W] in the order of memory that is faster for a convolution of a training step.

    With the channels last oneDNN need not reorder values, forward and backward."""
    last = (
        x.shape[-1] * x.shape[-2] >= _PACKED
        and convolution.groups == 1
        and x.dtype in (torch.float32, torch.bfloat16)
        and torch.backends.mkldnn.is_available()
    )
    return x.contiguous(memory_format=_LAST if last else torch.contiguous_format)


class TimeDistributed(Module):
    """Applies modules that know no time to every time step of [T, N, ...].

    The steps are merged into the batch axis and computed in one call. A view that repeats
    one step, as the Direct encoder makes it, is computed once and repeated afterwards.
    Dropout in training mode draws masks for every step all the same, other random modules
    once.

    In evaluation mode a convolution and the batch norm after it are one convolution,
    which saves memory and time. On a CPU average pooling takes :mod:`art_snn.pooling`
    where that is possible.

    :param modules: applied one after the other to [T * N, ...]; convolution, linear,
        batch norm, pooling, flatten and the like.
    :raises TypeError: when a module is no torch module, or is a neuron, which needs the time axis.
    """

    def __init__(self, *modules: Module) -> None:
        super().__init__()
        for module in modules:
            if not isinstance(module, Module):
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
        # All values of a pass for shapes only are views of one number, and repeat no step.
        repeats = repeats_one_step(x) and not RUN.get().shapes_only
        if repeats and not any(draws):
            return repeat_step(self._check_rows(self._compute(x[0]), batch), steps)
        y = self._compute(x.flatten(0, 1))
        return self._check_rows(y, steps * batch).view(steps, batch, *y.shape[1:])

    def _compute(self, x: Tensor) -> Tensor:
        """[N, ...] -> [N, ...]."""
        constant = RUN.get().forms if type(x) is Tensor else None
        packs = self.training and x.ndim == 4 and x.device.type == "cpu"
        packs = packs and are_plain(self.module.modules())
        forms = self.forms() if constant is None else constant[self]
        for module, func, arguments in forms:
            if pooling.suits(module, x) and (constant is not None or are_plain([module])):
                kernel = pooling.pair(module.kernel_size)
                x = pooling.average(x, kernel, module.divisor_override)
            else:
                x = _pack(x, module) if packs and type(func) is nn.Conv2d else x
                x = without_saving(func, x, *arguments)
        return x

    def forms(self) -> list[Form]:
        """Its modules; a convolution and a norm are one, differentiable by x and by all weights."""
        forms = list[Form]()
        modules = list[Any](self.module)
        while modules:
            module = modules.pop(0)
            folded = fold(module, modules[0]) if modules else None
            func = module if folded is None else module._conv_forward
            del modules[: folded is not None]
            forms.append((module, func, folded or ()))
        return forms

    @staticmethod
    def _check_rows(y: Tensor, rows: int) -> Tensor:
        if y.shape[0] != rows:
            raise invalid(
                "modules",
                f"modules that keep the batch axis of size {rows}",
                f"an output of shape {list(y.shape)}",
                "Every module must map [N, ...] to [N, ...].",
            )
        run = RUN.get()
        # No other module sees the order of memory, or that values are missing.
        channels_last = run.plain and y.ndim == 4 and y.is_contiguous(memory_format=_LAST)
        kept = run.shapes_only or channels_last
        return y if kept else y.contiguous()


class Normalize(Module):
    """(x - mean) / std per channel of [N, C, ...], inside the network and therefore inside attacks.

    :raises ValueError: when the lengths of mean and std differ or a std is not positive."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        require(
            len(mean) == len(std) and all(value > 0 for value in std),
            "std",
            f"{len(mean)} numbers above 0, as many as in mean",
            repr(std),
            "Give mean and std once per channel.",
        )
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.get_default_dtype()))
        self.register_buffer("std", torch.tensor(std, dtype=torch.get_default_dtype()))

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, ...] -> [N, C, ...]."""
        return (x - align(self.mean, x, 1)) / align(self.std, x, 1)


class Scale(Module):
    """x times a number for every value of a step [N, ...]."""

    scale: Tensor

    def __init__(self, scale: Tensor) -> None:
        super().__init__()
        self.register_buffer("scale", scale)

    def forward(self, x: Tensor) -> Tensor:
        """[N, ...] -> [N, ...]."""
        return x * self.scale


class Residual(Module):
    """The sum body(x) + shortcut(x) of tensors [T, N, ...]; a branch without modules gives x."""

    def __init__(self, body: list[Module], shortcut: list[Module]) -> None:
        super().__init__()
        self.body = nn.Sequential(*body)
        self.shortcut = nn.Sequential(*shortcut)

    def forward(self, x: Tensor) -> Tensor:
        """[T, N, C, H, W] -> the sum of both branches, of one shape."""
        return self.body(x) + self.shortcut(x)  # type: ignore[no-any-return]  # torch gives Any.
