"""A small network on the digits with its weights, and evaluations of it that take a moment."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from art_snn import LIF, STBP, Direct, SpikingNetwork, TimeDistributed as Timed
from art_snn.app.evaluate import settings
from art_snn.attacks import AutoPGD, Plan, Stage
from art_snn.data import digits
from tests.command import Done, call
from tests.conftest import varied
from tests.pages import without_charts

MODEL = """
from torch import nn
from art_snn import LIF, Direct, SpikingNetwork, TimeDistributed as Timed

def load():
    layers = [Timed(nn.Flatten(), nn.Linear(64, 32)), LIF(0.5), Timed(nn.Linear(32, 10))]
    return SpikingNetwork(layers, Direct(4), input_shape=(1, 8, 8)).double()
"""
NETWORK = ("--model", "model.py:load", "--checkpoint", "weights.pt", "--device", "cpu")
WEAK = Plan("fast", (Stage(AutoPGD, STBP(), {"max_iter": 1}),))
"""In the place of the plan of that name: it leaves much, and takes no time."""


def train_into(folder: Path) -> None:
    """Write model.py and weights.pt, after some steps on the digits."""
    data = digits()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(varied())
        layers = [Timed(nn.Flatten(), nn.Linear(64, 32)), LIF(0.5), Timed(nn.Linear(32, 10))]
        network = SpikingNetwork(layers, Direct(4), input_shape=(1, 8, 8)).double()
        optimizer = torch.optim.Adam(network.parameters(), 1e-2)
        x, y = torch.as_tensor(data.x_train).double(), torch.as_tensor(data.y_train)
        for _ in range(60):
            rows = torch.randperm(len(x))[:128]
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(x[rows]), y[rows]).backward()
            optimizer.step()
    torch.save(network.state_dict(), folder / "weights.pt")
    (folder / "model.py").write_text(MODEL, "utf-8")


def evaluate(patch: pytest.MonkeyPatch, folder: Path, *words: str, plan: Plan = WEAK) -> Done:
    """Evaluate that network on 30 samples with a plan of our own, without figures."""
    patch.chdir(folder)
    usual = ("evaluate", *NETWORK, "--threads", "1", "--plan", "fast", "--examined", "0")
    arguments = (*usual, "--samples", "30", "--block", "16", *words)
    patch.setattr(settings, "planned", lambda *_: plan)
    without_charts(patch)
    patch.setattr(sys, "argv", ["art-snn", *arguments])
    return call(*arguments)
