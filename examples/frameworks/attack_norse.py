"""A Norse network with potentials as outputs: its own gradient trains and attacks it, then RGA."""

import sys

import torch
from torch import Tensor, nn
from under_attack import report

from art_snn import PyTorchSpikingClassifier
from art_snn.data import digits
from art_snn.interop import adapt

try:
    import norse.torch as norse
except ImportError as error:
    sys.exit(f"This example needs Norse: pip install norse ({error})")


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        p = norse.LIFBoxParameters(tau_mem_inv=torch.as_tensor(500.0), v_th=torch.as_tensor(0.5))
        self.body = norse.SequentialState(
            nn.Flatten(),
            nn.Linear(64, 128),
            norse.LIFBoxCell(p),
            nn.Linear(128, 10),
            norse.LICell(),
        )

    def forward(self, x: Tensor) -> Tensor:
        state, voltages = None, []
        for _ in range(16):
            v, state = self.body(x, state)
            voltages.append(v)
        return torch.stack(voltages).max(0).values


def main(small: bool) -> None:
    torch.manual_seed(0)
    data, net, loss = digits(), Net(), nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(net.parameters(), lr=5e-3)
    network = adapt(net, encoder=None)  # the loop is the net's own, and so is the readout
    classifier = PyTorchSpikingClassifier(
        network, loss, data.input_shape, data.classes, optimizer, clip_values=(0, 1)
    )
    classifier.fit(data.x_train, data.y_train, batch_size=64, nb_epochs=2 if small else 20)
    report(classifier, small)


if __name__ == "__main__":
    main(small="--small" in sys.argv)
