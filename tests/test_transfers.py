"""What goes between host and device arrives as it was."""

from __future__ import annotations

import pytest
import torch

from art_snn.state import to_cpu, to_device

TENSORS = {
    "a weight": torch.rand(3, 4),
    "a count": torch.tensor(7),
    "a mask": torch.tensor([True, False, True]),
    "half": torch.rand(5).bfloat16(),
    "double": torch.rand(2, 3, dtype=torch.float64),
    "complex": torch.rand(2, dtype=torch.complex64),
    "nothing": torch.rand(0, 3),
    "channels last": torch.rand(2, 3, 4, 4).to(memory_format=torch.channels_last),
    "every second": torch.rand(8)[::2],
}


gpu = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device, found none"),
]


@pytest.mark.parametrize("place", ["cpu", pytest.param("cuda", marks=gpu)])
def test_tensors_are_fetched_with_their_bits_types_and_strides(place):
    there = [tensor.to(place) for tensor in TENSORS.values()]
    for tensor, source, copy in zip(TENSORS.values(), there, to_cpu(there), strict=True):
        assert copy.device.type == "cpu"
        assert copy.dtype == tensor.dtype
        assert copy.stride() == source.stride()
        assert torch.equal(copy, tensor)


def test_what_is_on_the_cpu_is_not_copied_and_has_no_graph():
    weight = torch.rand(3, requires_grad=True)
    (copy,) = to_cpu([weight])
    assert copy.data_ptr() == weight.data_ptr()
    assert not copy.requires_grad
    assert to_device(weight, torch.device("cpu")) is weight


@pytest.mark.parametrize("place", ["cpu", pytest.param("cuda", marks=gpu)])
def test_samples_are_sent_with_their_graph(place):
    leaf, device = torch.rand(3, requires_grad=True), torch.device(place)
    to_device(leaf, device).sum().backward()
    assert leaf.grad is not None
    assert torch.equal(leaf.grad, torch.ones(3))
    there = to_device(leaf.detach(), device)
    assert there.device.type == place
    assert torch.equal(there.cpu(), leaf)


@pytest.mark.parametrize("place", [pytest.param("cuda", marks=gpu)])
def test_a_file_holds_no_more_than_the_tensors_that_are_fetched(place):
    first, second = to_cpu([torch.rand(3, device=place), torch.rand(5, device=place)])
    assert (first.untyped_storage().nbytes(), second.untyped_storage().nbytes()) == (12, 20)
