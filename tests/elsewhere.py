"""Tensors that numpy refuses as it does those on a device, for machines without one."""

from typing import Any

import torch
from torch import Tensor


class Elsewhere(Tensor):
    """A tensor that must be copied to the CPU before numpy takes it."""

    def cpu(self, *_: Any, **__: Any) -> Tensor:
        return self.as_subclass(Tensor)

    def to(self, *place: Any, **options: Any) -> Tensor:
        return self.cpu().to(*place, **options)

    def numpy(self, *_: Any, **__: Any) -> Any:
        raise TypeError("can't convert elsewhere device type tensor to numpy")

    __array__ = numpy


def elsewhere(values: Any) -> Tensor:
    """The values in such a tensor."""
    return torch.as_tensor(values).as_subclass(Elsewhere)


TENSORS = {
    "on a device": elsewhere,
    "with a graph": lambda x: torch.tensor(x, dtype=torch.float32, requires_grad=True),
    "in half precision": lambda x: torch.as_tensor(x).bfloat16(),
}
"""Arrays as tensors that numpy does not take."""
