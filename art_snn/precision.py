"""Half precision, of crafting and of training: which dtype, where it pays, a network in it."""

from abc import abstractmethod
from collections.abc import Collection, Hashable, Mapping
from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from art_snn.checks import invalid
from art_snn.gradients import Execution, Gradient
from art_snn.layers import TimeDistributed, fold
from art_snn.passes import PerContext

DTYPES: Mapping[str, torch.dtype] = MappingProxyType(
    {"bfloat16": torch.bfloat16, "float16": torch.float16}
)


def require_dtype(
    argument: str, value: object, names: Collection[str] = tuple(DTYPES)
) -> str | None:
    """The name of a dtype among `names`, "auto" or None; anything else is refused."""
    name = str(value).removeprefix("torch.") if isinstance(value, torch.dtype) else value
    if name is None or (isinstance(name, str) and name in (*names, "auto")):
        return name
    remedy = "None is the network's own precision."
    if "float16" not in names:
        remedy += " In float16 gradients vanish unless the loss is scaled."
    raise invalid(argument, f"'auto', {', '.join(map(repr, names))} or None", repr(value), remedy)


def compute_dtype(asked: str | None, device: torch.device) -> tuple[torch.dtype | None, str]:
    """The dtype to compute in, None for the network's own, and why."""
    if asked is None or asked in DTYPES:
        return (None, "") if asked is None else (DTYPES[asked], asked)
    cuda = device.type == "cuda"
    name = torch.cuda.get_device_name(device) if cuda else "the processor"
    if _multiplies_bfloat16(device):
        return torch.bfloat16, f"bfloat16, which {name} multiplies natively"
    return None, f"no bfloat16, which {name} does not multiply natively"


def _multiplies_bfloat16(device: torch.device) -> bool:
    """True if products of bfloat16 are native: with AMX, AVX-512 BF16 or CUDA capability 8 on."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= 8
    if device.type != "cpu":
        return False
    names = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    asked: list[Any] = [getattr(torch.cpu, name, None) for name in names]
    return any(supported() for supported in asked if callable(supported))


def autocast(train_dtype: str | None, device: torch.device) -> AbstractContextManager[object]:
    """A block in which layers with weights compute in half precision, and weights keep theirs."""
    dtype, _ = compute_dtype(train_dtype, device)
    return nullcontext() if dtype is None else torch.autocast(device.type, dtype)


class HalfPrecision(nn.Module):
    """A network whose gradients at the input may be computed in half precision, by copies of it."""

    layers: nn.Module
    execution: Any
    budget: Any
    _crafting: PerContext[tuple[str | None] | None] = PerContext(lambda: None)

    def __init__(self) -> None:
        super().__init__()
        self.exact: Any = None
        """The network of which this one is a copy."""
        self._half: dict[torch.dtype, tuple[Hashable, Any]] = {}

    @abstractmethod
    def twin(self) -> Any:
        """Another network object around the same modules."""

    @abstractmethod
    def attack_key(self) -> Hashable: ...

    @property
    def attack_dtype(self) -> str | None:
        """Precision of gradients at the input: "bfloat16", "float16", "auto", or None, its own.

        Predictions and gradients at the weights keep the network's own. In half precision weights
        take no gradient, and the logits of the graph are rounded. "auto" is bfloat16 where the
        device multiplies it natively; :attr:`execution` says what was taken."""
        return self._attack_dtype if self._crafting is None else self._crafting[0]

    @attack_dtype.setter
    def attack_dtype(self, dtype: str | torch.dtype | None) -> None:
        self._attack_dtype = require_dtype("attack_dtype", dtype)

    def crafting(self, attack_dtype: str | torch.dtype | None) -> AbstractContextManager[None]:
        """Within the block, and in the present thread or task, another :attr:`attack_dtype`."""
        value = (require_dtype("attack_dtype", attack_dtype),)
        return HalfPrecision._crafting.within(self, value)

    def lowering_objection(self, rule: Gradient) -> str | None:
        """Why the network cannot be differentiated in half precision under the rule, or None."""
        return None

    def kept_precise(self) -> Collection[str]:
        """Names of layers that keep their precision when the others are lowered."""
        return ()

    def compute_logits(self, rule: Gradient, x: Tensor) -> Tensor:
        """Logits with the rule in their graph, in the precision of :attr:`attack_dtype`."""
        network: Any = self
        if self.attack_dtype is None:
            return rule.logits(network, x)
        dtype, reason = compute_dtype(self.attack_dtype, x.device)
        objection = None if dtype is None else self.lowering_objection(rule)
        if dtype is None or objection is not None:
            logits, execution = rule.logits(network, x), self.execution
            reason = reason if objection is None else f"in its own precision, since {objection}"
        else:
            earlier, half = self._half.get(dtype), self.lower(dtype)
            half.budget = self.budget
            half.look()
            first = earlier is None or half is not earlier[1]
            with half.writing() if first else nullcontext():
                logits, execution = rule.logits(half, x.to(dtype)).to(x.dtype), half.execution
            if first:
                # Without what the pass has written.
                self._half[dtype] = self.attack_key(), half
        self.execution = Execution(execution.kind, f"{execution.reason}; {reason}")
        return logits

    def lower(self, dtype: torch.dtype) -> Any:
        """This network in half precision, made once for every state of it."""
        key, earlier = self.attack_key(), self._half.get(dtype)
        if earlier is None or earlier[0] != key:
            half = self.twin()
            half._modules["layers"] = _lower_layers(self.layers, dtype, self.kept_precise())
            # Not as a submodule, whose weights would also be the half's.
            vars(half)["exact"] = self
            earlier = self._half[dtype] = (key, half)
        half, kept = earlier[1], ("_modules", "exact", "_half")
        attributes = dict(vars(self))  # At once, since other threads may add to it.
        vars(half).update({name: v for name, v in attributes.items() if name not in kept})
        half._modules.update({name: m for name, m in self._modules.items() if name != "layers"})
        return half


@torch.no_grad()
def _lower_layers(layers: nn.Module, dtype: torch.dtype, kept: Collection[str] = ()) -> nn.Module:
    """A copy of the layers that computes in half precision; its weights take no gradient.

    A batch norm after a convolution is folded into it before its weights are rounded; another
    keeps its precision, and so do the layers of the names `kept`."""
    copy = deepcopy(layers)
    for module in copy.modules():
        if isinstance(module, TimeDistributed):
            modules, folded = list(module.module), list[nn.Module]()
            while modules:
                folded.append(modules.pop(0))
                weights = fold(folded[-1], modules[0]) if modules else None
                if weights is not None:
                    folded[-1].weight, folded[-1].bias = map(nn.Parameter, weights)
                    del modules[0]
            module.module = nn.Sequential(*folded)
            module.module.training = module.training
    copy.requires_grad_(False)
    for name, module in copy.named_modules():
        if isinstance(module, nn.modules.batchnorm._NormBase) or name in kept:
            continue
        module._apply(lambda x: x.to(dtype) if x.is_floating_point() else x, recurse=False)
    return copy
