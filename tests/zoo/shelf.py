"""A small zoo in a folder of its own, as examples/zoo/add.py makes it."""

import sys
from dataclasses import asdict
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np
import torch

from art_snn import SpikingNetwork, checkpoint
from art_snn.app.architecture import Architecture
from art_snn.app.results import write_result
from art_snn.data import Source
from art_snn.metrics import Share
from art_snn.training import Recipe
from art_snn.zoo import ZooEntry

_FILE = Path(__file__).parents[2] / "examples" / "zoo" / "add.py"
_SPEC: Any = spec_from_file_location("zoo_add", _FILE)
tool: Any = module_from_spec(_SPEC)
"""The tool that adds networks."""
sys.modules["zoo_add"] = tool
_SPEC.loader.exec_module(tool)

SMALL = Architecture(model="cnn4", width=0.1)
WORDS = {"licence": "CC0", "attribution": "drawn here"}


def pictures(folder: Path, count: int = 24) -> Path:
    """Grey images of bytes, 4 high and 6 wide, of three classes: as bright as their class."""
    rng = np.random.default_rng(0)
    y = np.arange(count) % 3
    x = (80 * y[:, None, None, None] + rng.integers(0, 80, (count, 1, 4, 6))).astype(np.uint8)
    path = folder / "pictures.npz"
    np.savez(path, x_train=x, y_train=y, x_test=x[::-1], y_test=y[::-1])
    return path


def training(folder: Path, source: Source, seed: int = 0) -> Path:
    """The folder of a training that left the weights as they were drawn."""
    data, recipe = source.load(), Recipe(epochs=1)
    network = SMALL.build_for(data, seed).eval()
    notes: dict[str, Any] = {"data": data.name}
    notes["subject"] = SMALL.settings | {"epochs": 1, "seed": seed, "train_dtype": None}
    notes |= {"recipe": asdict(recipe), "adversary": ""}
    accuracy = Share(correct(network, data.x_test, data.y_test), len(data.y_test))
    checkpoint.save(network, folder / "network.safetensors", **notes)
    write_result(folder / "training.json", {**notes, "test_accuracy": accuracy.as_dict()})
    return folder


@torch.no_grad()
def correct(network: SpikingNetwork, x: np.ndarray, y: np.ndarray) -> int:
    """How many samples a network classifies correctly."""
    return int((network(torch.as_tensor(x)).argmax(1).numpy() == y).sum())


def added(tmp_path: Path, name: str = "small-plain", seed: int = 0, **changes: Any) -> ZooEntry:
    """A network on pictures in the zoo tmp_path / "zoo", which holds samples of them."""
    source = Source(data=str(pictures(tmp_path)))
    folder = training(tmp_path / name, source, seed)
    usual: dict[str, Any] = {"folder": folder, "output": tmp_path / "zoo", "hold": True}
    usual |= {"name": name, "data": "pictures", "options": f'{{"data": "{source.data}"}}'}
    usual |= {"training": "none", "commands": ("art-snn train --model cnn4",)}
    return tool.add(tool.Addition(**(usual | WORDS | changes)))
