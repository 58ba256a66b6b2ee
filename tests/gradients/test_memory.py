"""Peak memory of one input gradient, in that of an inference, by the storages that are alive."""

from collections.abc import Iterable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from art_snn.models import vgg11


class LivingStorages(TorchDispatchMode):
    """`peak` is the largest number of bytes that operations within the block held at once.

    It is taken after every operation, so it is the same on every machine.

    :param loaded: tensors that were there before, which are left out."""

    def __init__(self, loaded: Iterable[Tensor]) -> None:
        super().__init__()
        self.peak = 0
        self.loaded = {StorageWeakRef(tensor.untyped_storage()) for tensor in loaded}
        self.living: dict[StorageWeakRef, int] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))

        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor) and tensor.device.type != "meta":
                storage = tensor.untyped_storage()
                self.living[StorageWeakRef(storage)] = storage.nbytes()

        sizes = self.living.items()
        self.living = {one: size for one, size in sizes if not one.expired()}
        held = (size for one, size in self.living.items() if one not in self.loaded)
        self.peak = max(self.peak, sum(held))
        return result


NARROW = {"rga": 1.12, "bptr": 1.12, "static": 1.15, "hart": 1.17, "stbp": 2.45}
"""Rules, and the most memory of one gradient on VGG-11 with a quarter of its channels."""
WHOLE = {"rga": 1.1, "bptr": 1.1, "static": 1.11, "hart": 1.11, "stbp": 2.4}
"""The same with all of them, next to which blocks of a simulation are smaller."""


def peak(network, x, rule=None):
    """The most bytes that are alive at once in a gradient by a rule, or in an inference (None)."""
    leaf = x.detach().requires_grad_(rule is not None)
    loaded = [x, *network.parameters(), *network.buffers()]
    with LivingStorages(loaded) as living, torch.set_grad_enabled(rule is not None):
        if rule is None:
            network(leaf)
        else:
            with network.using(rule):
                torch.autograd.grad(network(leaf).sum(), leaf)
    return living.peak


@pytest.mark.parametrize(
    ("width", "most"), [(0.25, NARROW), pytest.param(1, WHOLE, marks=pytest.mark.slow)]
)
def test_a_gradient_keeps_no_more_than_its_rule_needs(width, most):
    torch.manual_seed(0)
    network = vgg11(width=width, steps=8, image_size=32).eval()
    x = torch.rand(32, 3, 32, 32)
    with network.attacking(None):
        # Weights with their batch norm folded in are kept for the length of an attack.
        peak(network, x, "rga")
        inference = peak(network, x)
        measured = {rule: peak(network, x, rule) / inference for rule in most}
    assert {rule for rule in most if not 1 < measured[rule] <= most[rule]} == set(), measured
