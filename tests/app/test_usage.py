"""What makes no sense is a usage error that names the option, before anything is trained."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest
import torch

from art_snn.attacks import Attack
from art_snn.measuring import process
from tests.command import call, forbidden
from tests.datasets import counts, images
from tests.own import own

DATA = ("--data", "images.npz", "--device", "cpu")
BASE = dict.fromkeys(("compare", "sweep", "curves"), DATA)
BASE |= dict.fromkeys(("train", "harden"), (*DATA, "--cutout", "1", "--validation", "0.25"))
BASE |= {"scaling": ("--models", "vgg5", "--samples", "2", "--image-size", "4"), "demo": ()}
BASE |= {"cost": ("--image-size", "4"), "inspect": ("--channels", "1", "--image-size", "4")}
WHOLE = "expected a whole number"
NUMBER = "expected a number such as 0.03 or 8/255, got"

SHARED = [
    ("train", "--device tpu", "--device: expected 'gpu' or 'cpu', got 'tpu'"),
    ("compare", "--threads 0", f"--threads: {WHOLE} >= 1, got 0"),
    ("cost", "--output cost.json", "--output: expected a folder, for tables, pictures"),
    ("sweep", "--output file", "--output: expected a folder, for tables, pictures"),
    ("curves", "--data none.npz", "--data: expected a .npz file, but none.npz does not exist"),
    ("compare", "--data cifar11", "--data: expected one of digits, mnist, fashion-mnist, cifar10,"),
    ("compare", "--data svhn --root none", "--data: expected svhn in none/train_32x32.mat and"),
    ("compare", "--data digits --image-size 16", "--image-size: expected None for digits, whose"),
    ("compare", "--data digits --value-range 0,1", "--value-range: expected None for digits, wh"),
    ("compare", "--axes NC", "--axes: expected one of NCHW, NHWC, got 'NC'"),
    ("compare", "--value-range 0,x", f"--value-range: {NUMBER} 'x'"),
    ("compare", "--data nmnist --frames 0", f"--frames: {WHOLE} >= 1, got 0"),
    ("compare", "--data nmnist --value-range 2,1", "--value-range: expected (low, high), two"),
    ("compare", "--data nmnist", "Install it by pip install 'art_snn[events]'."),
    ("compare", "--data odd.npz", "--data: expected 4 class indices from 0, got float32"),
    ("inspect", "--model vgg7", "--model: expected one of vgg5, vgg11, vgg16, resnet17, sew-res"),
    ("demo", "--model none.py:f", "--model: expected file.py:function or package.module:function"),
    ("train", "--model vgg5:", "--model: expected file.py:function or package.module:function"),
    ("compare", "--model none_of_mine:f", "--model: expected file.py:function or package.module:"),
    ("compare", "--model mine.py:builds", "and there is no function 'builds' in"),
    ("compare", "--model mine.py:build --decay 1", "--decay: expected None "),
    ("sweep", "--model mine.py:build --width 1", "--width: expected None "),
    ("compare", "--model mine.py:build --encoder direct", "--encoder: expected None "),
    ("compare", "--width 0", "--width: expected a number above 0, got 0.0"),
    ("train", "--steps 0", f"--steps: {WHOLE} >= 1, got 0"),
    ("cost", "--steps 4,8", f"--steps: {WHOLE} such as 8, got '4,8'"),
    ("compare", "--decay 1.5", "--decay: expected a number above 0 and at most 1, got 1.5"),
    ("compare", "--encoder ttfs", "--encoder: expected one of direct, poisson, frames, got 'ttfs'"),
    ("compare", "--encoder None", "--encoder: expected one of direct, poisson, frames, got 'None'"),
    ("train", "--encoder frames", "--encoder: expected direct or poisson, since images.npz holds"),
    ("compare", "--reset none", "--reset: expected one of hard, soft, got 'none'"),
    ("compare", "--epochs 0", f"--epochs: {WHOLE} >= 1, got 0"),
    ("sweep", "--epochs 1 --checkpoint network.safetensors", "--epochs: expected None "),
    ("compare", "--checkpoint none.pt", "--checkpoint: expected a checkpoint file, but none.pt"),
    ("curves", "--checkpoint none.pt", "--checkpoint: expected a checkpoint file, but none.pt"),
    ("compare", "--eps small", f"--eps: {NUMBER} 'small'"),
    ("harden", "--eps 8/0", f"--eps: {NUMBER} '8/0'"),
    ("sweep", "--eps 1/2/3", f"--eps: {NUMBER} '1/2/3'"),
    ("compare", "--eps -1/255", "--eps: expected a number above 0, got -0.0039"),
    ("compare", "--eps-step x", f"--eps-step: {NUMBER} 'x'"),
    ("harden", "--eps-step 0", "--eps-step: expected a number above 0, got 0.0"),
    ("harden", "--eps_step 0", "--eps_step: expected a number above 0, got 0.0"),
    ("sweep", "--attack cw", "--attack: expected one of fgsm, pgd, "),
    ("compare", "--attack fgsm --iterations 5", "--iterations: expected None for fgsm, which has"),
    ("compare", "--attack apgd --eps-step 0.1", "--eps-step: expected None for apgd, which has"),
    ("scaling", "--iterations 0", f"--iterations: {WHOLE} >= 1, got 0"),
    ("compare", "--iterations 1.5", f"--iterations: {WHOLE} such as 8, got '1.5'"),
    ("compare", "--samples 0", f"--samples: {WHOLE} >= 1, got 0"),
    ("sweep", "--batch-size 0", f"--batch-size: {WHOLE} >= 1, got 0"),
    ("train", "--batch-size=0", f"--batch-size: {WHOLE} >= 1, got 0"),
    ("train", "--batch_size 0", f"--batch_size: {WHOLE} >= 1, got 0"),
    ("curves", "--seed -1", f"--seed: {WHOLE} >= 0, got -1"),
]
TRAIN = [
    ("train", "--epochs some", f"--epochs: {WHOLE} such as 8, got 'some'"),
    ("train", "--learning-rate 0", "--learning-rate: expected a number above 0, got 0.0"),
    ("train", "--momentum 1", "--momentum: expected a number of at least 0 and below 1, got 1.0"),
    ("train", "--optimizer adam --momentum 0.9", "--momentum: expected None for adam, which"),
    ("train", "--optimizer lion", "--optimizer: expected one of sgd, adam, got 'lion'"),
    ("train", "--weight-decay -1", "--weight-decay: expected a number of at least 0, got -1.0"),
    ("train", "--crop-padding -1", f"--crop-padding: {WHOLE} >= 0, got -1"),
    ("train", "--cutout 4", "--cutout: expected a hole smaller than the images of 4x4 pixels"),
    ("train", "--validation 0", "--validation: expected a number above 0 and at most 0.9, got 0.0"),
    ("train", "--validation 0.001", "--validation: expected a share that leaves each part one"),
    ("train", "--train-dtype float16", "--train-dtype: expected 'auto', 'bfloat16' or None"),
    ("harden", "--rule sgd", "--rule: expected one of"),
    ("harden", "--rule cba", "--rule: expected a rule that applies to every neuron"),
    ("harden", "--adversarial-share 2", "--adversarial-share: expected a number above 0 and at"),
    ("harden", "--adversarial-share 0", "--adversarial-share: expected a number above 0 and at"),
    ("harden", "--defence mart", "--defence: expected one of at, trades, rat, sr, ibp, got 'mart'"),
    ("harden", "--beta 3", "--beta: expected None for at, which has none, got 3.0. Leave it out,"),
    ("harden", "--defence sr --orthogonality 0.1", "--orthogonality: expected None for sr, which"),
    ("harden", "--defence sr --step 0", "--step: expected a number above 0, got 0.0"),
    ("harden", "--defence trades --sparsity 1", "--sparsity: expected None for trades, which"),
    ("harden", "--defence trades --beta 0", "--beta: expected a number above 0, got 0.0"),
    ("harden", "--defence rat --orthogonality 1", "--orthogonality: expected a number above 0 and"),
    ("harden", "--defence rat --weight-decay 5e-4", "--weight-decay: expected 0 for RAT, which"),
    ("harden", "--defence rat --orthogonality 0.99", "--orthogonality: expected a strength at"),
]
RULES = [
    ("compare", "--rules stbp,sgd", "--rules: expected one of 'stbp', 'pdsg', 'assg',"),
    ("compare", "--rules ,", "--rules: expected at least one, got none"),
    ("compare", "--eot 0", f"--eot: {WHOLE} >= 1, got 0"),
    ("compare", "--repeats 0", f"--repeats: {WHOLE} >= 1, got 0"),
    ("sweep", "--rule sgd --field x --values 1", "--rule: expected one of 'stbp', 'pdsg',"),
    ("sweep", "--field width --values 1", "--field: expected one of beta, gamma, got 'width'"),
    ("sweep", "--rule hart", "--field: expected a field and "),
    ("sweep", "--values 1", "--field: expected a field and "),
    ("sweep", "--field beta", "--values: expected a field and "),
    ("sweep", "--field beta --values ,", f"--values: {NUMBER} ''"),
    ("sweep", "--field beta --values 1,x", f"--values: {NUMBER} 'x'"),
    ("sweep", "--field beta --values 1/0", f"--values: {NUMBER} '1/0'"),
    ("sweep", "--field beta --values 2,2", "--values: expected each "),
    ("sweep", "--field beta --values 2,0.3", "got 0.3 (beta: expected more than 1 - decay = 0.5"),
    (
        "sweep",
        "--rule cba --field levels --values 2.5 --decays 1",
        "levels of CBA can have, got 2.5",
    ),
    ("sweep", "--decays ,", f"--decays: {NUMBER} ''"),
    ("sweep", "--decays all", f"--decays: {NUMBER} 'all'"),
    ("sweep", "--decays 1.5", "--decays: expected a number above 0 and at most 1, got 1.5"),
    ("sweep", "--decay 0.9 --decays 0.9,1", "--decays: expected None "),
    ("sweep", "--decay 0.9 --decays 0.5", "--decays: expected None "),
    ("sweep", "--model mine.py:build --decays 1", "--decays: expected None "),
    ("sweep", "--model mine.py:build --decay 1", "--decay: expected None "),
    ("sweep", "--model mine.py:build --field beta --values 2,0.2", "got 0.2 (beta: expected more"),
]
CURVES = [
    ("curves", "--decays half", f"--decays: {NUMBER} 'half'"),
    ("curves", "--decays 0.5,", f"--decays: {NUMBER} ''"),
    ("curves", "--decays ''", f"--decays: {NUMBER} ''"),
    ("curves", "--decays 0.5,1 --decay 0.5", "--decays: expected None "),
    ("curves", "--decay 0.5,1", f"--decay: {NUMBER} '0.5,1'"),
    ("curves", "--decays 1.5", "--decays: expected a number above 0 and at most 1, got 1.5"),
    ("curves", "--decays 0.5,0.5", "--decays: expected one or more different ones, got 0.5, 0.5"),
    ("curves", "--layer 4", "--layer: expected one of layers.1, layers.4, layers.6, layers.9, or"),
    ("curves", "--layer conv", "got 'conv'. Only layers of neurons have a rate."),
    ("curves", "--beta 0", "--beta: expected a number above 0, got 0.0"),
    ("curves", "--beta 0.4", "--beta: expected more than 1 - decay = 0.5 for a neuron with decay"),
    ("curves", "--gamma -1", "--gamma: expected a number of at least 0, got -1.0"),
    ("curves", "--pairs 0", f"--pairs: {WHOLE} >= 1, got 0"),
    ("curves", "--reset soft", "reset: expected 'hard', got 'soft'. The static curve"),
    ("curves", "--model mine.py:build --decays 1", "--decays: expected None "),
    ("curves", "--model mine.py:build --reset soft", "--reset: expected None "),
    ("curves", "--model mine.py:build --layer 1", "--layer: expected one of layers.1, or an index"),
    ("curves", "--model mine.py:build --layer 0 --beta 0.2", "--beta: expected more than 1 - dec"),
]
MEASURED = [
    ("cost", "--channels 0", f"--channels: {WHOLE} >= 1, got 0"),
    ("cost", "--image-size 0", f"--image-size: {WHOLE} >= 1, got 0"),
    ("cost", "--repeats 0", f"--repeats: {WHOLE} >= 1, got 0"),
    ("cost", "--rules ''", "--rules: expected at least one, got none"),
    ("cost", "--rules cba", "--rules: expected a rule that applies to every neuron"),
    ("cost", "--training --rules cba", "--rules: expected a rule that applies to every neuron"),
    ("cost", "--training --attack-dtype auto", "--attack-dtype: expected None "),
    ("cost", "--train-dtype auto", "--train-dtype: expected None "),
    ("cost", "--training --batch-size 1", "--batch-size: expected at least 2 for a training"),
    ("cost", "--device cuda", "--device: expected 'gpu' or 'cpu', got 'cuda'"),
    ("cost", "--model mine.py:build --peers", "--peers: expected one of our own models, which"),
    ("cost", "--model mine.py:build --channels 3", "--channels: expected 1, which mine.py:build"),
    ("cost", "--model mine.py:build --image-size 8", "--image-size: expected 4, which mine.py:"),
    ("scaling", "--models mine.py:build --channels 3", "--channels: expected 1, which mine.py:"),
    ("scaling", "--models mine.py:build --image-size 8", "--image-size: expected 4, which mine."),
    ("scaling", "--models mine.py:build --width 0.5", "--width: expected None "),
    ("scaling", "--models vgg7", "--models: expected one of vgg5, vgg11, vgg16, resnet17,"),
    ("scaling", "--models vgg-dvs", "--models: expected models of images, got vgg-dvs, which"),
    ("scaling", "--models vgg5,vgg5", "--models: expected each once, got vgg5, vgg5"),
    ("scaling", "--steps 4,4", "--steps: expected each once, got 4, 4"),
    ("scaling", "--steps 4,x", f"--steps: {WHOLE} such as 8, got 'x'"),
    ("scaling", "--steps 0", f"--steps: {WHOLE} >= 1, got 0"),
    ("scaling", "--samples some", f"--samples: {WHOLE} such as 8, got 'some'"),
    ("scaling", "--samples all", "--samples: expected a number, for random images have no end"),
    ("scaling", "--data digits", "--image-size: expected None for digits, whose images have the"),
    ("scaling", "--data digits --channels 1", "--channels: expected None next to digits, whose"),
    ("scaling", "--data counts.npz", "--image-size: expected None for counts.npz"),
    ("scaling", "--test-share 0.5", "--test-share: expected None for random samples, got 0.5"),
    ("scaling", "--value-range 0,1", "--value-range: expected None for random samples"),
    ("scaling", "--axes NCHW", "--axes: expected None for random samples"),
    ("scaling", "--image-size 4,5", "--image-size: "),
    ("scaling", "--rules cba", "--rules: expected a rule that applies to every neuron"),
    ("scaling", "--rules sgd", "--rules: expected one of"),
    ("inspect", "--rules ''", "--rules: expected at least one, got none"),
    ("inspect", "--batch-size 0", f"--batch-size: {WHOLE} >= 1, got 0"),
    ("inspect", "--data digits", "--channels: expected None next to digits, whose samples have"),
    ("inspect", "--frames 3", "--frames: expected None for random samples, got 3"),
    ("inspect", "--image-size 4,5", "--image-size: "),
    ("demo", "--epochs 0", f"--epochs: {WHOLE} >= 1, got 0. Training needs"),
    ("demo", "--seed -1", f"--seed: {WHOLE} >= 0, got -1"),
    ("demo", "--test-images 0", f"--test-images: {WHOLE} >= 1, got 0. Leave"),
    ("demo", "--train_eps x", f"--train_eps: {NUMBER} 'x'"),
    ("demo", "--train-eps 0", "--train-eps: expected a number above 0, got 0.0"),
    ("demo", "--eps 0.1,0", "--eps: expected a number above 0, got 0.0"),
    ("demo", "--attack-dtype half", "--attack-dtype: expected 'auto', 'bfloat16', 'float16'"),
]
UNKNOWN = [
    *(("train", f"--{name} 1") for name in ("attack", "rule", "eps", "adversarial-share")),
    *(("cost", f"--{name} 1") for name in ("models", "samples", "data", "eps", "attack", "batch")),
    *(("scaling", f"--{name} 1") for name in ("model", "batch", "encoder", "seed")),
]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Data and a network of the user's own lie in the present folder; nothing is computed."""
    monkeypatch.chdir(tmp_path)
    images(tmp_path / "images.npz")
    images(tmp_path / "odd.npz", y_test=torch.eye(4).numpy())
    counts(tmp_path / "counts.npz")
    own(tmp_path, (1, 4, 4), 3)
    Path("file").write_text("a file")
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setitem(sys.modules, "tonic", None)
    for optimizer in (torch.optim.Adam, torch.optim.SGD):
        monkeypatch.setattr(optimizer, "step", forbidden)
    monkeypatch.setattr(Attack, "craft", forbidden)
    monkeypatch.setattr(process, "in_fresh_process", forbidden)


def complaint(command: str, options: str) -> str:
    """What the command says, which leaves no file."""
    before = sorted(Path().rglob("*"))
    output = () if "--output" in options else ("--output", "out")
    done = call(command, *BASE[command], *output, *shlex.split(options))
    assert (done.status, done.stdout) == (2, ""), done.stderr
    assert sorted(Path().rglob("*")) == before
    return done.complaint


@pytest.mark.parametrize(
    ("command", "options", "message"), [*SHARED, *TRAIN, *RULES, *CURVES, *MEASURED]
)
def test_what_makes_no_sense_is_a_usage_error_that_names_the_option(command, options, message):
    said = complaint(command, options)
    assert message in said
    assert f"art-snn {command}: error: " in said


@pytest.mark.parametrize(("command", "option"), UNKNOWN)
def test_an_option_of_another_command_is_unknown(command, option):
    flag = option.split()[0]
    assert f"{flag}: expected an option of art-snn {command}, got '{flag}'." in complaint(
        command, option
    )
