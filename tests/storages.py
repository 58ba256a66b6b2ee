"""Counts what the operations of torch leave in memory, without looking at the process."""

from collections.abc import Iterable
from typing import Any

from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


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
