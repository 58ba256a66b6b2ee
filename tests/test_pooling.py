"""Average pooling by rows gives what torch's gives."""

import pytest
import torch
from torch import nn
from torch.autograd import forward_ad, gradcheck, gradgradcheck

from art_snn import TimeDistributed
from art_snn.pooling import average, pair, suits, unpool

POOLS = {
    "two by two": nn.AvgPool2d(2),
    "rounded up": nn.AvgPool2d(2, ceil_mode=True),
    "oblong": nn.AvgPool2d((3, 2)),
    "columns": nn.AvgPool2d((1, 4)),
    "rows": nn.AvgPool2d((4, 1), stride=(4, 1)),
    "divided": nn.AvgPool2d(4, divisor_override=5),
    "one by one": nn.AvgPool2d(1),
}
OTHERS = {
    "overlapping": nn.AvgPool2d(3, 2),
    "apart": nn.AvgPool2d(2, 3),
    "padded": nn.AvgPool2d(2, padding=1),
    "not whole": nn.AvgPool2d(5),
    "maximum": nn.MaxPool2d(2),
}


class Scaled(nn.AvgPool2d):
    """A pool of another library."""

    def forward(self, x):
        return 2 * super().forward(x)


def planes():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, 2, 12, 8, dtype=torch.float64, generator=generator)
    return x.requires_grad_()


def gradients(x, *outputs):
    """Of every output by x, in one random direction."""
    g = torch.randn(outputs[0].shape, generator=torch.Generator().manual_seed(1)).to(x.dtype)
    return [torch.autograd.grad(y, x, g)[0] for y in outputs]


@pytest.mark.parametrize("name", POOLS)
def test_values_and_gradients_are_those_of_torch(name):
    pool, x = POOLS[name], planes()
    assert suits(pool, x)
    expected, got = pool(x), average(x, pair(pool.kernel_size), pool.divisor_override)
    for ours, theirs in ((got, expected), gradients(x, got, expected)):
        torch.testing.assert_close(ours, theirs, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", POOLS)
def test_averages_of_spikes_and_their_gradients_are_the_same_bit_for_bit(name, dtype):
    pool, generator = POOLS[name], torch.Generator().manual_seed(1)
    x = torch.rand(5, 3, 12, 8, generator=generator).ge(0.6).to(dtype).requires_grad_()
    expected, got = pool(x), average(x, pair(pool.kernel_size), pool.divisor_override)
    assert torch.equal(got, expected)
    assert torch.equal(*gradients(x, got, expected))


def test_it_can_be_differentiated_twice():
    x = planes()[:1, :1]
    assert gradcheck(lambda x: average(x, (3, 2)), x)
    assert gradgradcheck(lambda x: average(x, (3, 2)).square(), x)
    assert gradcheck(lambda x: unpool(x, (2, 3)), x)
    assert gradgradcheck(lambda x: unpool(x, (2, 3)).square(), x)


@pytest.mark.parametrize("name", POOLS)
def test_other_devices_spread_values_at_once(name):
    assert (pair(3), pair((4,)), pair([5, 6])) == ((3, 3), (4, 4), (5, 6))
    kernel = pair(POOLS[name].kernel_size)
    values = torch.zeros(2, 3, 4, 5, device="meta")
    assert unpool(values, kernel).shape == (2, 3, 4 * kernel[0], 5 * kernel[1])


def test_it_keeps_nothing_of_its_input():
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(kept.append, lambda tensor: tensor):
        average(planes(), (2, 2))
    assert not [tensor for tensor in kept if tensor.numel() > 1]


def test_other_pools_inputs_and_modules_of_others_are_left_to_torch():
    pool, x = POOLS["two by two"], planes()
    for other in (*OTHERS.values(), Scaled(2)):
        assert not suits(other, x)
    last = x.to(memory_format=torch.channels_last)
    inputs = x[0], x.to("meta"), x.as_subclass(nn.UninitializedBuffer), last
    for other in (*inputs, x[..., 1:], torch.zeros(1, 1, 2, 2, dtype=torch.int64)):
        assert not suits(pool, other)
    with forward_ad.dual_level():
        assert not suits(pool, x)


def test_layers_on_time_steps_pool_so_and_a_hook_sees_the_module_still():
    x = planes().detach().view(3, 1, 2, 12, 8)
    for pool in (POOLS["two by two"], Scaled(2), OTHERS["padded"]):
        expected = torch.stack([pool(step) for step in x])
        torch.testing.assert_close(TimeDistributed(pool)(x), expected, rtol=1e-14, atol=1e-14)
    pool, seen = nn.AvgPool2d(2), []
    pool.register_forward_hook(lambda _, inputs, output: seen.append(output))
    pooled = TimeDistributed(pool)(x)
    assert torch.equal(torch.cat(seen).view(pooled.shape), pooled)
