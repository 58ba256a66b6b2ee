"""Networks as the tutorials of SpikingJelly and snnTorch build them, through all commands."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from art_snn.app.network import resolve_network
from art_snn.app.settings import Compare
from art_snn.data import Source
from tests.command import call
from tests.frameworks.loading import real

HEAD = "import torch\nfrom torch import nn\nfrom torch.nn import functional as F\n"
SNNTORCH = f"""{HEAD}import snntorch as snn
from snntorch import surrogate

SLOPE = surrogate.fast_sigmoid(slope=25)


class Dense(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.lif1 = nn.Linear(28 * 28, 40), snn.Leaky(beta=0.95)
        self.fc2, self.lif2 = nn.Linear(40, 10), snn.Leaky(beta=0.95)

    def forward(self, x):
        first, second = self.lif1.init_leaky(), self.lif2.init_leaky()
        spikes, potentials = [], []
        for step in range(5):
            spike, first = self.lif1(self.fc1(x), first)
            spike, second = self.lif2(self.fc2(spike), second)
            spikes.append(spike)
            potentials.append(second)
        return torch.stack(spikes, dim=0), torch.stack(potentials, dim=0)


def tutorial_5():
    return Dense()


def tutorial_6():
    def leaky(**options):
        return snn.Leaky(beta=0.5, spike_grad=SLOPE, init_hidden=True, **options)

    first = nn.Conv2d(1, 4, 5), nn.MaxPool2d(2), leaky()
    second = nn.Conv2d(4, 8, 5), nn.MaxPool2d(2), leaky()
    return nn.Sequential(*first, *second, nn.Flatten(), nn.Linear(128, 10), leaky(output=True))
"""
SPIKINGJELLY = f"""{HEAD}from spikingjelly.activation_based import functional, layer, neuron
from spikingjelly.activation_based import surrogate


class Single(nn.Module):
    def __init__(self):
        super().__init__()
        node = neuron.LIFNode(tau=2.0, surrogate_function=surrogate.ATan())
        self.layer = nn.Sequential(layer.Flatten(), layer.Linear(28 * 28, 10, bias=False), node)

    def forward(self, x):
        return self.layer(x)


def single():
    return Single()


class CSNN(nn.Module):
    def __init__(self, T=3, channels=4):
        super().__init__()
        self.T = T

        def block(inputs):
            conv = layer.Conv2d(inputs, channels, kernel_size=3, padding=1, bias=False)
            node = neuron.IFNode(surrogate_function=surrogate.ATan())
            return conv, layer.BatchNorm2d(channels), node, layer.MaxPool2d(2, 2)

        def dense(inputs, outputs):
            node = neuron.IFNode(surrogate_function=surrogate.ATan())
            return layer.Linear(inputs, outputs, bias=False), node

        ends = *dense(channels * 49, channels * 16), *dense(channels * 16, 10)
        self.conv_fc = nn.Sequential(*block(1), *block(channels), layer.Flatten(), *ends)
        functional.set_step_mode(self, step_mode="m")

    def forward(self, x):
        x_seq = x.unsqueeze(0).repeat(self.T, 1, 1, 1, 1)
        return self.conv_fc(x_seq).mean(0)


def csnn():
    return CSNN()
"""
SOURCES = {"snntorch": SNNTORCH, "spikingjelly": SPIKINGJELLY}
ONE = "T = 8, direct encoding, one step in a call"
NETWORKS = [
    ("snntorch", "tutorial_5", (), "T = 5, the model's own time, readout spikes"),
    ("snntorch", "tutorial_6", (), f"{ONE}, readout spikes"),
    ("spikingjelly", "single", (), ONE),
    ("spikingjelly", "single", ("--encoder", "poisson"), ONE.replace("direct", "Poisson")),
    ("spikingjelly", "csnn", (), "T = 3, the model's own time"),
]


@pytest.fixture
def folder(framework, tmp_path, monkeypatch) -> Path:
    """A folder with the networks and images of their size: scikit-learn's digits, three times."""
    real(framework)
    x, y = load_digits(return_X_y=True)
    x = np.pad(np.kron(x.reshape(-1, 8, 8) / 16, np.ones((3, 3))), ((0, 0), (2, 2), (2, 2)))
    x = x[:, None].astype(np.float32)
    parts = {"x_train": x[:120], "y_train": y[:120], "x_test": x[120:132], "y_test": y[120:132]}
    np.savez(tmp_path / "images.npz", **parts)
    (tmp_path / f"{framework}_networks.py").write_text(SOURCES[framework])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    return tmp_path


@pytest.mark.parametrize(("framework", "name", "options", "words"), NETWORKS)
def test_the_form_of_the_network_of_a_tutorial_is_found(framework, name, options, words, folder):
    model = f"{framework}_networks.py:{name}"
    subject = resolve_network(Compare(model=model, encoder=options[1] if options else None))
    data = Source(data="images.npz").load()
    assert subject.describe(data, subject.build(data)) == f"{model}, {words} on images.npz"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:the gradient under")  # After one epoch few neurons fire.
@pytest.mark.parametrize(("framework", "name", "options", "words"), NETWORKS)
def test_a_tutorial_s_network_goes_through_all_commands(framework, name, options, words, folder):
    model = ("--model", f"{framework}_networks.py:{name}", "--data", "images.npz", *options)
    trained = ("--checkpoint", "results/trained/network.safetensors")
    few = ("--plan", "fast", "--eps", "0.1", "--samples", "4")
    for line in (
        ("train", *model, "--epochs", "1"),
        ("inspect", *model, *trained),
        ("evaluate", *model, *trained, *few),
        ("report", "results/evaluation-trained"),
    ):
        done = call(*line)
        # One epoch may not suffice to learn, which train says by its status.
        assert done.status == 0 or (done.status == 5 and line[0] == "train"), done.stderr
        # A network that returns both is trained on potentials, and its checkpoint says so.
        form = words.replace("readout spikes", "readout potential")
        assert form in " ".join(done.stdout.split()) or line[0] != "inspect"
    assert (folder / "results/report.html").exists()
