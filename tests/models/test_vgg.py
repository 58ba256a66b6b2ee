"""VGG networks: widths, sizes, normalisation, initial weights, errors."""

import copy
import math

import pytest
import torch
from torch import nn

from art_snn import LIF, STBP, Direct, Frames
from art_snn.data import digits
from art_snn.dynamics import Dynamics
from art_snn.models import MODELS, cnn4, resnet17, sew_resnet17, vgg, vgg5, vgg_dvs
from tests.architectures import of, settled
from tests.conftest import varied

TINY = (((3,), (4, 5)), (6, 7))

WIDTHS = {
    "vgg5": ([64, 128, 128], [1024], 2),
    "vgg11": ([64, 128, 256, 512, 512, 512, 512, 512], [4096, 4096], 3),
    "vgg16": ([64, 64, 128, 128] + [256] * 3 + [512] * 6, [4096, 4096], 5),
    "vgg-dvs": ([64, 128, 256, 256, 512, 512, 512, 512], [], 4),
}


@pytest.mark.parametrize("name", WIDTHS)
def test_the_layers_have_the_widths_of_the_papers(name):
    stages, hidden, pools = WIDTHS[name]
    with torch.device("meta"):
        net = MODELS[name](classes=10, in_channels=3, image_size=32)
    convolutions, linears = of(net, nn.Conv2d), of(net, nn.Linear)
    assert [c.out_channels for c in convolutions] == stages
    assert [c.in_channels for c in convolutions] == [3, *stages[:-1]]
    assert {(c.kernel_size, c.padding, c.bias) for c in convolutions} == {((3, 3), (1, 1), None)}
    assert [n.num_features for n in of(net, nn.BatchNorm2d)] == stages
    side = 32 // 2**pools
    assert [n.in_features for n in linears] == [stages[-1] * side**2, *hidden]
    assert [n.out_features for n in linears] == [*hidden, 10]
    assert len(of(net, nn.AvgPool2d)) == pools
    assert len(of(net, LIF)) == len(stages) + len(hidden)
    assert name == "vgg-dvs" or int(name[3:]) == len(stages) + len(hidden) + 1


@pytest.mark.parametrize(("width", "sides"), [(1.0, (8, 8)), (0.25, (9, 5))])
def test_the_small_network_has_as_many_parameters_as_counted_by_hand(width, sides):
    c, h, pixels = 32 * width, 128 * width, math.prod((side + 1) // 2 for side in sides)
    net = cnn4(in_channels=2, classes=7, image_size=sides, width=width)
    convolutions = 9 * 2 * c + c + 9 * c * c + c
    linears = c * pixels * h + h + h * 7 + 7
    assert sum(p.numel() for p in net.parameters()) == convolutions + linears
    assert (len(of(net, LIF)), of(net, nn.BatchNorm2d)) == (3, [])
    assert net.eval()(torch.rand(2, 2, *sides)).shape == (2, 7)


def test_the_defaults_are_those_of_the_papers():
    net = vgg(*TINY)
    assert {neuron.dynamics for neuron in of(net, LIF)} == {Dynamics(0.5, 1.0, "hard")}
    assert len({id(m) for m in net.layers if isinstance(m, LIF)}) == 5, "none is shared"
    assert (net.encoder, net.gradient, net.training_gradient) == (Direct(8), STBP(), STBP())


MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.5)


@pytest.mark.parametrize(
    ("options", "mean", "std"),
    [
        ({"mean": MEAN, "std": STD}, MEAN, STD),
        ({"mean": MEAN}, MEAN, (1, 1, 1)),
        ({"std": STD}, (0, 0, 0), STD),
    ],
)
def test_the_input_is_normalised_inside_the_network(options, mean, std):
    net = vgg(*TINY, image_size=8, **options)
    plain = vgg(*TINY, image_size=8)
    for one in (net, plain):
        settled(one)
    plain.load_state_dict(dict(zip(plain.state_dict(), weights(net), strict=True)))
    x = 4 * torch.rand(16, 3, 8, 8, dtype=torch.float64)
    shape = (1, 3, 1, 1)
    by_hand = (x - torch.tensor(mean).view(shape)) / torch.tensor(std).view(shape)
    with torch.no_grad():
        torch.testing.assert_close(net(x), plain(by_hand))
        assert not torch.equal(plain(x), plain(by_hand))


def weights(net):
    return [v for k, v in net.state_dict().items() if not k.endswith((".mean", ".std"))]


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("build", [vgg5, resnet17, sew_resnet17])
def test_the_weights_are_drawn_by_kaiming_and_drawn_anew_by_reset(build, again):
    net = build(image_size=8)
    if again:
        before = copy.deepcopy(net.state_dict())
        net.reset_parameters()
        assert not any(torch.equal(w, before[n]) for n, w in net.named_parameters() if w.ndim > 1)
    for module in of(net, nn.Conv2d):
        fan = module.kernel_size[0] ** 2 * module.out_channels
        assert module.weight.std().item() == pytest.approx((2 / fan) ** 0.5, 0.1)
    for module in of(net, nn.Linear):
        assert module.weight.std().item() == pytest.approx((2 / module.in_features) ** 0.5, 0.1)
        assert module.bias is None or not module.bias.any()
    for module in of(net, nn.BatchNorm2d):
        assert (module.weight == 1).all()
        assert not module.bias.any()


def test_the_network_for_events_takes_ten_frames_of_two_polarities_unless_told_otherwise():
    with torch.device("meta"):
        net = vgg_dvs()
        assert vgg_dvs(steps=3).encoder == vgg_dvs(steps=3, encoder=None).encoder == Frames(3)
        assert vgg_dvs(encoder=Direct(4)).encoder == Direct(4)
    assert (net.encoder, net.input_shape) == (Frames(10), (10, 2, 48, 48))
    assert [m.in_features for m in of(net, nn.Linear)] == [512 * 3 * 3]
    assert [type(m) is LIF for m in net.layers][-3:] == [True, False, False]


@pytest.mark.parametrize("seed", range(3))
def test_the_small_network_fires_and_learns_from_the_start(seed):
    torch.manual_seed(varied(seed))
    network = cnn4(in_channels=1, image_size=8, steps=4)
    network(torch.as_tensor(digits().x_train[:64])).square().sum().backward()
    weights = [weight for weight in network.parameters() if weight.ndim > 1]
    assert all(weight.grad.abs().sum() > 0 for weight in weights)
