"""Train a SpikingJelly network as usual, evaluate it, and write the report and a table."""

import sys
import tempfile
from pathlib import Path

import torch
from torch import nn

from art_snn.app.cli import run_command
from art_snn.data import digits

try:
    from spikingjelly.activation_based import functional, layer, neuron
except ImportError as error:
    sys.exit(f"This example needs SpikingJelly: pip install spikingjelly ({error})")


def load() -> nn.Module:
    """What `--model examples/frameworks/evaluate_spikingjelly.py:load` calls: the plain model."""
    stem = layer.Conv2d(1, 16, 3, padding=1), layer.BatchNorm2d(16), neuron.LIFNode()
    model = nn.Sequential(*stem, layer.AvgPool2d(2), layer.Flatten(), layer.Linear(256, 10))
    functional.set_step_mode(model, "m")  # all time steps in one call
    return model


def trained(epochs: int) -> nn.Module:
    data, model = digits(), load()
    x, y = torch.from_numpy(data.x_train), torch.from_numpy(data.y_train)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for batch in torch.cat([torch.randperm(len(x)) for _ in range(epochs)]).split(64):
        optimizer.zero_grad()
        logits = model(x[batch].expand(8, -1, -1, -1, -1)).mean(0)
        nn.functional.cross_entropy(logits, y[batch]).backward()
        optimizer.step()
        functional.reset_net(model)
    return model


def main(small: bool) -> None:
    torch.manual_seed(0)
    results = Path("results")
    results.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="evaluated-", dir=results))
    torch.save(trained(epochs=2 if small else 15).state_dict(), folder / "weights.pt")
    network = ("--model", f"{__file__}:load", "--checkpoint", str(folder / "weights.pt"))
    few = ("--attack", "pgd-7", "--samples", "16")
    options = few if small else ("--plan", "fast", "--samples", "200")
    run_command(["evaluate", *network, "--eps", "0.1", "--output", str(folder), *options])
    run_command(["report", str(folder), "--output", str(folder / "table.tex")])
    print(f"Written to {folder}: report.html, and table.tex for a paper.")


if __name__ == "__main__":
    main(small="--small" in sys.argv)
