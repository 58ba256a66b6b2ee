"""Train an snnTorch network as usual, evaluate it, and write the report and a table."""

import sys
import tempfile
from pathlib import Path

import torch
from torch import nn

from art_snn.app.cli import run_command
from art_snn.data import digits

try:
    import snntorch as snn
    from snntorch import utils
except ImportError as error:
    sys.exit(f"This example needs snnTorch: pip install snntorch ({error})")


def load() -> nn.Module:
    """What `--model examples/frameworks/evaluate_snntorch.py:load` calls, with `--steps 8`."""
    leaky = {"beta": 0.9, "init_hidden": True}
    hidden, last = snn.Leaky(**leaky), snn.Leaky(**leaky, output=True)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 128), hidden, nn.Linear(128, 10), last)


def trained(epochs: int) -> nn.Module:
    data, model = digits(), load()
    x, y = torch.from_numpy(data.x_train), torch.from_numpy(data.y_train)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for batch in torch.cat([torch.randperm(len(x)) for _ in range(epochs)]).split(64):
        optimizer.zero_grad()
        utils.reset(model)
        logits = torch.stack([model(x[batch])[1] for _ in range(8)]).mean(0)  # of the potentials
        nn.functional.cross_entropy(logits, y[batch]).backward()
        optimizer.step()
    return model


def main(small: bool) -> None:
    torch.manual_seed(0)
    results = Path("results")
    results.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="evaluated-", dir=results))
    torch.save(trained(epochs=2 if small else 15).state_dict(), folder / "weights.pt")
    network = (
        "--model",
        f"{__file__}:load",
        "--checkpoint",
        str(folder / "weights.pt"),
        "--steps",
        "8",
        "--readout",
        "potential",
    )
    few = ("--attack", "pgd-7", "--samples", "16")
    options = few if small else ("--plan", "fast", "--samples", "200")
    run_command(["evaluate", *network, "--eps", "0.1", "--output", str(folder), *options])
    run_command(["report", str(folder), "--output", str(folder / "table.tex")])
    print(f"Written to {folder}: report.html, and table.tex for a paper.")


if __name__ == "__main__":
    main(small="--small" in sys.argv)
