"""Stateless layers on tensors with a time axis."""

from collections.abc import Iterable
from itertools import chain

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd

from art_snn import pooling
from art_snn.checks import require
from art_snn.gradients.shared import repeat_step, repeats_one_step
from art_snn.neurons import PASS, Neuron
from art_snn.state import hooks_of


def varies(module: nn.Module) -> bool:
    """True if the module, in its present mode, changes its output or buffers at every call."""
    return module.training and isinstance(module, _DropoutNd | _NormBase)


def are_plain(modules: Iterable[nn.Module]) -> bool:
    """True for modules of torch or ours, with their own forward, whose values no hook sees."""
    hooks = ("_global_forward_hooks", "_global_forward_pre_hooks")
    hooked = any(getattr(nn.modules.module, name, None) for name in hooks)
    return not hooked and all(
        type(module).__module__.startswith(("torch.nn.modules.", "art_snn."))
        and not (module._forward_hooks or module._forward_pre_hooks)
        and "forward" not in vars(module)
        for module in modules
    )


def device_of(module: nn.Module) -> torch.device:
    """Where its parameters and buffers are: the CPU where it has none."""
    tensors = chain(module.parameters(), module.buffers())
    return next((tensor.device for tensor in tensors), torch.device("cpu"))


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
        or any("forward" in vars(m) or hooks_of(m) for m in (convolution, norm))
    ):
        return None
    scale = torch.rsqrt(norm.running_var + norm.eps)
    if norm.weight is not None:
        scale = norm.weight * scale
    shift = -norm.running_mean if convolution.bias is None else convolution.bias - norm.running_mean
    shift = shift * scale if norm.bias is None else shift * scale + norm.bias
    return convolution.weight * scale.view(-1, 1, 1, 1), shift


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
        if self._computes_once(x):
            return repeat_step(self._checked(self._compute(x[0]), batch), steps)
        y = self._compute(x.flatten(0, 1))
        return self._checked(y, steps * batch).view(steps, batch, *y.shape[1:])

    def _computes_once(self, x: Tensor) -> bool:
        """True if all steps of x [T, N, ...] give the same."""
        inner = self.module.modules()
        draws = any(isinstance(m, _DropoutNd) and m.training for m in inner)
        return repeats_one_step(x) and not draws

    def _compute(self, x: Tensor) -> Tensor:
        """[N, ...] -> [N, ...]."""
        modules, packs = list(self.module), self.training and x.ndim == 4
        packs = packs and x.device.type == "cpu" and are_plain(self.module.modules())
        while modules:
            module = modules.pop(0)
            folded = fold(module, modules[0]) if modules else None
            if folded is not None and isinstance(module, nn.Conv2d):
                # One convolution, differentiable by x and by all weights.
                x, _ = module._conv_forward(x, *folded), modules.pop(0)
            elif pooling.suits(module, x) and are_plain([module]):
                assert isinstance(module, nn.AvgPool2d)
                x = pooling.average(x, pooling.pair(module.kernel_size), module.divisor_override)
            else:
                x = module(_packed(x, module) if packs and type(module) is nn.Conv2d else x)
        return x

    @staticmethod
    def _checked(y: Tensor, rows: int) -> Tensor:
        expected = f"modules that keep the batch axis of size {rows}"
        got = f"an output of shape {list(y.shape)}"
        remedy = "Every module must map [N, ...] to [N, ...]."
        require(y.shape[0] == rows, "modules", expected, got, remedy)
        running = PASS.get()
        # No other module sees the order of memory.
        plain = running is not None and running.plain and y.ndim == 4
        return y if plain and y.is_contiguous(memory_format=_LAST) else y.contiguous()


class Normalize(nn.Module):
    """(x - mean) / std per channel of [N, C, ...], inside the network and therefore inside attacks.

    :raises ValueError: when the lengths of mean and std differ or a std is not positive."""

    mean: Tensor
    std: Tensor

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
