"""What is told of a machine, and what cannot be asked of it."""

from __future__ import annotations

import pytest
import torch

from art_snn.measuring import machine
from art_snn.measuring.machine import (
    describe_machine,
    device_type,
    require_device,
    require_threads,
    set_threads,
    torch_device,
)


def test_a_processor_is_named_by_linux_or_else_by_python(tmp_path, monkeypatch):
    threads = f", {torch.get_num_threads()} threads, torch {torch.__version__}"
    assert threads in describe_machine("cpu")
    assert ", 7 threads, " in describe_machine("cpu", 7)
    listing = tmp_path / "cpuinfo"
    listing.write_text("processor : 0\nmodel name\t: Some CPU: fast\nmodel name\t: Other\n")
    monkeypatch.setattr(machine, "Path", lambda _: listing)
    assert describe_machine("cpu").startswith("Some CPU: fast, ")
    listing.unlink()
    monkeypatch.setattr(machine.platform, "processor", lambda: "")
    monkeypatch.setattr(machine.platform, "machine", lambda: "arm64")
    assert describe_machine("cpu").startswith("arm64, ")


def test_threads_are_set_where_they_are_asked_for():
    before = torch.get_num_threads()
    try:
        set_threads(2)
        assert torch.get_num_threads() == 2
        set_threads(None)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


NO_THREADS, NO_DEVICES = (0, -1, 1.5, "two"), ("tpu", "cuda", "", None)


@pytest.mark.parametrize(
    ("check", "value", "message"),
    [
        *((set_threads, value, "threads: .*whole number >= 1") for value in NO_THREADS),
        *((require_threads, value, "threads: .*whole number >= 1") for value in NO_THREADS),
        *((require_device, value, "device: .*'gpu' or 'cpu'") for value in NO_DEVICES),
    ],
)
def test_no_thread_and_a_device_of_another_name_are_refused(check, value, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        check(value)


def test_a_gpu_where_there_is_none_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match=r"^device: expected a device that torch can see"):
        require_device("gpu")
    require_device("cpu")
    assert torch_device("gpu") == torch_device("cpu") == torch.device("cpu")
    assert [device_type(torch.device(name)) for name in ("cpu", "cuda:1")] == ["cpu", "gpu"]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device, found none")
def test_a_card_is_told_by_its_name():
    assert torch_device("gpu").type == "cuda"
    assert describe_machine("gpu").startswith(torch.cuda.get_device_name())
    require_device("gpu")
