"""A small network on the digits with its weights, and evaluations of it that take a moment."""

import runpy
import sys
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from art_snn import STBP
from art_snn.app.evaluate import result, run as command, target
from art_snn.app.evaluation.record import Evaluation
from art_snn.app.results import read_result
from art_snn.attacks import AutoPGD, Plan, Stage
from art_snn.data import digits
from tests.command import call
from tests.seeds import varied

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
RUN = command.run


def evaluation_in(folder: Path) -> Evaluation:
    return read_result(folder / "evaluation.json", Evaluation)


def train_into(folder: Path) -> None:
    """Write model.py and weights.pt, after some steps on the digits."""
    data = digits()
    (folder / "model.py").write_text(MODEL, "utf-8")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(varied())
        network = runpy.run_path(str(folder / "model.py"))["load"]()
        optimizer = torch.optim.Adam(network.parameters(), 1e-2)
        x, y = torch.as_tensor(data.x_train).double(), torch.as_tensor(data.y_train)
        for _ in range(60):
            rows = torch.randperm(len(x))[:128]
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(x[rows]), y[rows]).backward()
            optimizer.step()
    torch.save(network.state_dict(), folder / "weights.pt")


def evaluate(patch, folder, *words, network=NETWORK, plan=WEAK, status=0, **fields):
    """Evaluate that network on 30 samples, without a page.

    :param plan: in place of the plan that the words name; None leaves that.
    :param status: the exit status in which it must end; None for any.
    :param fields: settings that no option gives."""
    patch.chdir(folder)
    usual = ("--threads", "1", "--samples", "30", "--batch-size", "16")
    usual += () if "--attack" in words else ("--plan", "fast")
    arguments = ("evaluate", *network, *usual, *words)
    if plan is not None:
        patch.setattr(target, "resolve_plan", lambda *_: plan)
    patch.setattr(result, "render_page", lambda _: "")
    fields = {"examined": 0, "block": 16} | fields
    patch.setattr(command, "run", lambda settings: RUN(replace(settings, **fields)))
    patch.setattr(sys, "argv", ["art-snn", *arguments])
    done = call(*arguments)
    assert status in (None, done.status), done.stderr
    return done
