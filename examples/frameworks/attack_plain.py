"""Attack neurons written by hand, on [T * N, ...] as in published code, after registering them."""

import sys

import torch
from torch import Tensor, nn
from under_attack import report

from art_snn import PyTorchSpikingClassifier
from art_snn.data import digits
from art_snn.dynamics import Dynamics
from art_snn.interop import adapt, register_neuron


class Spike(torch.autograd.Function):
    @staticmethod
    def forward(ctx, u):
        ctx.save_for_backward(u)
        return (u >= 0).to(u.dtype)

    @staticmethod
    def backward(ctx, grad):
        return grad * (1 - ctx.saved_tensors[0].abs()).clamp(min=0)


class LIFSpike(nn.Module):
    steps, tau, thresh = 8, 0.5, 1.0

    def forward(self, x: Tensor) -> Tensor:
        mem, spikes = 0, []
        for current in x.unflatten(0, (self.steps, -1)):
            mem = mem * self.tau + current
            spikes.append(Spike.apply(mem - self.thresh))
            mem = (1 - spikes[-1]) * mem
        return torch.cat(spikes)


def main(small: bool) -> None:
    torch.manual_seed(0)
    register_neuron(LIFSpike, dynamics=lambda m: Dynamics(m.tau, m.thresh), layout="merged")
    data, loss = digits(), nn.CrossEntropyLoss()
    net = nn.Sequential(
        nn.Flatten(0, 1),  # [T, N, 1, 8, 8] -> [T * N, 1, 8, 8]
        *(nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), LIFSpike(), nn.AvgPool2d(2)),
        *(nn.Flatten(), nn.Linear(256, 64), LIFSpike(), nn.Linear(64, 10)),
        nn.Unflatten(0, (8, -1)),  # [T * N, 10] -> [T, N, 10]; its mean is read out
    )
    optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)
    classifier = PyTorchSpikingClassifier(
        adapt(net, steps=8), loss, data.input_shape, data.classes, optimizer, clip_values=(0, 1)
    )
    classifier.fit(data.x_train, data.y_train, batch_size=64, nb_epochs=1 if small else 10)
    report(classifier, small)


if __name__ == "__main__":
    main(small="--small" in sys.argv)
