"""The stand-in does what CUDA does, and refuses what CUDA refuses."""

from __future__ import annotations

import copy
import io
import pickle
import threading
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.device.watch import Watch

pytestmark = pytest.mark.gpu


def on_card(*shape: int) -> Tensor:
    return torch.randn(*shape, device="cuda")


ROW = torch.zeros(4, 1).long()
REFUSED = {
    "a sum": (lambda x, c: x + c, "same device"),
    "a choice": (lambda x, c: torch.where(x > 0, x, c), "same device"),
    "a list": (lambda x, c: torch.cat([x, c]), "same device"),
    "a mask": (lambda x, c: x.masked_fill(c > 0, 0), "same device"),
    "a product": (lambda x, c: x @ c.T, "same device"),
    "weights": (lambda x, c: nn.Linear(5, 2)(x), "same device"),
    "a convolution": (lambda x, c: nn.Conv2d(1, 1, 3)(on_card(1, 1, 8, 8)), "same device"),
    "labels": (lambda x, c: nn.functional.cross_entropy(x, ROW[:, 0]), "same device"),
    "two cards": (lambda x, c: x + x.to("cuda:1"), "cuda:0 and cuda:1"),
    "an index": (lambda x, c: c[ROW[:1, 0].cuda()], "same device"),
    "a gathering": (lambda x, c: x.gather(1, ROW), "same device"),
    "a result": (lambda x, c: torch.add(x, 1, out=c), "same device|out"),
    "a generator": (
        lambda x, c: torch.randn(3, device="cuda", generator=torch.Generator()),
        "'cuda:?0?' device type for generator but found 'cpu'",
    ),
    "the other's generator": (
        lambda x, c: torch.randn(3, device="cuda", generator=torch.Generator("cuda:1")),
        "generator but found 'cuda:1'",
    ),
    "numpy": (lambda x, c: x.numpy(), "can't convert cuda:0 device type tensor to numpy"),
    "a third card": (lambda x, c: torch.zeros(1, device="cuda:2"), "invalid device ordinal"),
    "no kernel": (lambda x, c: torch.histogram(x, 4), "from the 'CUDA' backend"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cuda_refuses_is_refused(case):
    work, words = REFUSED[case]
    with pytest.raises((RuntimeError, TypeError), match=words):
        work(on_card(4, 5), torch.randn(4, 5))


def test_what_cuda_takes_is_taken():
    x = on_card(4, 5)
    assert (x + torch.tensor(1.0)).device == torch.device("cuda:0")
    assert x[torch.tensor([0, 1])].is_cuda
    assert x[torch.tensor([True, False, True, False])].shape == (2, 5)
    assert torch.equal(x.cpu().to("cuda:1").to("cuda:0"), x)
    whole = torch.empty(0, device="cuda")
    torch.add(x, 1, out=whole)
    assert torch.equal(whole, x + 1)
    assert x.unfold(1, 2, 1).data_ptr() == x.data_ptr()
    x.view(2, 10).zero_()
    assert not x.any()
    assert torch.func.vmap(lambda z: z * 2)(x).is_cuda
    with torch.inference_mode():
        assert x.view(20).add_(1).is_cuda
    with torch.cuda.device(1):
        assert torch.zeros(1, device="cuda").device.index == 1
    with torch.autocast("cuda", torch.bfloat16):
        assert nn.Linear(5, 2).cuda()(x).dtype == torch.bfloat16


def test_draws_are_those_of_the_cpu_and_the_state_is_the_card_s_own():
    draws = [
        torch.randn(7, device=d, generator=torch.Generator(d).manual_seed(3))
        for d in ("cpu", "cuda")
    ]
    assert torch.equal(draws[0], draws[1].cpu())
    before, state = torch.get_rng_state(), torch.cuda.get_rng_state()
    first = [torch.rand(3, device="cuda"), nn.functional.dropout(on_card(64))]
    torch.cuda.set_rng_state(state)
    again = [torch.rand(3, device="cuda"), nn.functional.dropout(on_card(64))]
    assert all(map(torch.equal, first, again))
    assert not torch.equal(state, torch.cuda.get_rng_state())
    assert torch.equal(before, torch.get_rng_state())


def network() -> nn.Module:
    torch.manual_seed(0)
    front = nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2)
    return nn.Sequential(*front, nn.Dropout(0.5), nn.Flatten(), nn.Linear(64, 3))


def test_a_step_of_training_is_that_of_the_cpu_and_backward_runs_in_the_card_s_thread():
    seen, states = [], []
    for device in ("cpu", "cuda"):
        torch.manual_seed(1)
        net = network().to(device)
        x = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(1)).to(device)
        x.requires_grad_().register_hook(lambda _: seen.append(threading.current_thread()))
        optimizer = torch.optim.Adam(net.parameters())
        torch.manual_seed(2)
        nn.functional.cross_entropy(net(x), torch.arange(6, device=device) % 3).backward()
        optimizer.step()
        assert x.grad is not None
        assert x.grad.device.type == device
        states.append([x.grad, *net.state_dict().values()])
    assert all(torch.equal(here, there.cpu()) for here, there in zip(*states, strict=True))
    assert [one is threading.main_thread() for one in seen] == [True, False]


def test_networks_are_stored_and_loaded_across_devices():
    net, file = network().cuda(), io.BytesIO()
    torch.save(net.state_dict(), file)
    for place in (None, "cpu", "cuda:1"):
        file.seek(0)
        weight = torch.load(file, map_location=place, weights_only=True)["0.weight"]
        assert weight.device == torch.device(place or "cuda:0")
        assert torch.equal(weight.cpu(), net[0].weight.cpu())
    for twin in (pickle.loads(pickle.dumps(net)), copy.deepcopy(net)):
        assert twin[0].weight.is_cuda
        assert twin[0].weight.data_ptr() != net[0].weight.data_ptr()


def test_memory_is_counted_and_comes_back_filled_with_no_zeros():
    before = torch.cuda.memory_allocated()
    whole = torch.empty(2**20, device="cuda")
    assert torch.cuda.memory_allocated() - before == 2**22
    assert whole.all()
    del whole
    assert torch.cuda.memory_allocated() == before
    assert torch.cuda.max_memory_allocated() >= before + 2**22


WAITS: dict[str, tuple[Any, list[str]]] = {
    "a value": (lambda x: x.sum().item(), ["wait _local_scalar_dense"]),
    "a mask": (lambda x: x[x > 4], ["wait nonzero"]),
    "one value where a mask is": (lambda x: x.__setitem__(x > 4, 0), []),
    "values where a mask is": (
        lambda x: x.__setitem__(x > 4, 0 * x[:5]),
        ["wait _index_put_impl_"],
    ),
    "a comparison": (lambda x: torch.equal(x, x + 0), ["wait equal"]),
    "to the host": (lambda x: x.cpu(), ["to host copy_"]),
    "to the card": (lambda x: torch.zeros(3).cuda(), ["to device copy_"]),
    "to the other card": (lambda x: x.to("cuda:1"), ["between devices copy_"]),
    "on the card": (lambda x: (x * 2).clone().sum(), []),
}


@pytest.mark.parametrize("case", WAITS)
def test_waits_and_transfers_are_counted_with_their_lines(case):
    work, expected = WAITS[case]
    x = torch.arange(10, device="cuda").float()
    with Watch("tests/device") as watch:
        work(x)
    assert [place.partition(":")[0] for place in watch.places] == expected
    assert all("test_standin.py:" in place for place in watch.places)
