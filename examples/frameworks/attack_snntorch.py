"""An snnTorch network with its own time loop and training: attacked with native and RGA."""

import sys

import torch
from torch import Tensor, nn
from under_attack import report

from art_snn import PyTorchSpikingClassifier
from art_snn.data import digits
from art_snn.interop import adapt

try:
    import snntorch as snn
except ImportError as error:
    sys.exit(f"This example needs snnTorch: pip install snntorch ({error})")


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.lif1 = nn.Linear(64, 128), snn.Leaky(beta=0.9)
        self.fc2, self.lif2 = nn.Linear(128, 10), snn.Leaky(beta=0.9)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mem1, mem2 = self.lif1.init_leaky(), self.lif2.init_leaky()
        spikes, potentials = [], []
        for _ in range(8):
            spk1, mem1 = self.lif1(self.fc1(x.flatten(1)), mem1)
            spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
            spikes.append(spk2)
            potentials.append(mem2)
        return torch.stack(spikes), torch.stack(potentials)


def main(small: bool) -> None:
    torch.manual_seed(0)
    data, net, loss = digits(), Net(), nn.CrossEntropyLoss()
    x, y = torch.from_numpy(data.x_train), torch.from_numpy(data.y_train)
    optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)
    for _ in range(2 if small else 20):
        for batch in torch.randperm(len(x)).split(64):
            optimizer.zero_grad()
            sum(loss(mem, y[batch]) for mem in net(x[batch])[1]).backward()
            optimizer.step()

    # The spikes are counted, as snnTorch's own accuracies do; out[1] would be the potentials.
    network = adapt(net, encoder=None, readout=lambda out: out[0].sum(0))
    classifier = PyTorchSpikingClassifier(
        network, loss, data.input_shape, data.classes, clip_values=(0, 1)
    )
    report(classifier, small)


if __name__ == "__main__":
    main(small="--small" in sys.argv)
