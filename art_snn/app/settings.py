"""Settings of commands: plain data, each field an option. They are resolved when a command runs.

The base classes hold the options that commands share. Nothing here imports torch, so that
help is fast; what only the library can judge is refused by it when the command runs."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import tyro
from tyro.conf import Positional, arg

from art_snn.checks import (
    FILE,
    LONGEST_SIDE,
    MOST,
    path_kind,
    require,
    require_count,
    require_number,
    require_seed,
    set_fields,
)

_Value = TypeVar("_Value")
Open = Annotated[_Value | None, arg(help_behavior_hint="")]
"""A setting that may be None, of which its description says what that means, in brackets."""
Folder = Annotated[Path, arg(metavar="FOLDER")]
Rules = Annotated[Open[str], arg(metavar="RULE[,RULE ...]")]
Attack = Annotated[Open[str], arg(metavar="ATTACK")]
EncoderName = Annotated[Open[str], arg(metavar="ENCODER")]
Device = Literal["gpu", "cpu"]
Flag = Annotated[bool, tyro.conf.FlagCreatePairsOff]
"""A switch that is off unless its option is there."""
TrainDtype = Literal["bfloat16", "auto"]
RESULTS = Path("results")
"""The folder of all that commands write, where no output is named."""
RANDOM = "random"
"""The name of random samples, where a command takes them in place of a data set."""
MARKS = {
    "html": '<meta name="generator" content="art-snn report">',
    "md": "<!-- written by art-snn report -->",
    "tex": "% written by art-snn report",
}
"""A mark in the first lines of a report, by which it is recognised; by the ending of its file."""
_COUNTS = {
    "threads": 1024,
    "samples": MOST,
    "batch_size": MOST,
    "repeats": MOST,
    "block": MOST,
    "draws": MOST,
    "eot": 10_000,
    "channels": 2**16,
}
"""Options of any command that are whole numbers from 1, with the largest that they may be."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """Where a command writes, and what it runs on.

    :param output: folder for all results, made when missing.
    :param threads: threads of torch on the CPU [torch's own choice].
    :param device: gpu, which is cpu where there is none; or cpu.
    :param quiet: show no progress on stderr; errors and warnings remain.
    :raises ArgumentError: for a count below 1, or an output that is a file."""

    output: Folder
    threads: Open[int] = None
    device: Device = "gpu"
    quiet: Flag = False

    def __post_init__(self) -> None:
        for name, most in _COUNTS.items():
            self.check_count(name, up_to=most)
        require_seed("seed", getattr(self, "seed", 0))
        places = (self.output, *self.output.parents)
        file = next((path for path in places if path_kind("output", path) == FILE), None)
        folder = file is None and self.output.suffix != ".json"
        require(
            folder,
            "output",
            "a folder, for tables, pictures and figures",
            f"{file}, which is a file" if file else self.output,
            "Give the name of a folder: results are written into it.",
        )

    def check_count(
        self, name: str, *, up_to: int, remedy: str = "Use a whole number from 1."
    ) -> None:
        """Refuse a field that is there, and neither None nor a whole number from 1."""
        value = getattr(self, name, None)
        if value is not None:
            require_count(name, value, up_to=up_to, remedy=remedy)


@dataclass(frozen=True, kw_only=True)
class SubjectSettings:
    """A network with weights, and its data: a set by its name, a .npz file or a folder.

    :param data: digits, mnist, cifar10, nmnist, ..., kept in the folder data, or in
        another one as FOLDER/cifar10; a .npz file; or a folder of pictures. A name comes
        before a folder of that name: write ./digits [digits; of a network of the zoo its
        own].
    :param value_range: LOW,HIGH: values that samples of a .npz file or events may have.
    :param bins: how raw events of a .npz file are cut into time steps: into as many events
        or as much time each [count].
    :param model: zoo:NAME (art-snn zoo lists them); hf:OWNER/REPO/NAME@COMMIT, weights
        that art-snn train wrote, on Hugging Face; or a function of yours that returns a
        network, or a model of another framework: file.py:function or
        package.module:function; or a NIR file, and how to read it: net.nir(like=sinabs,
        dt=1e-4); or a model of art_snn for a checkpoint that does not note its own.
    :param checkpoint: weights of the network: of art-snn train, a state dict, or a .ckpt
        of Lightning; none next to zoo: or hf:. A function of yours may return a network
        with its weights.
    :param steps: time steps T, into which recordings of nmnist and the like are cut
        [those of its training; events: their frames, or 10].
    :param readout: of a model of another framework: mean or sum over time, or the mean of
        the spikes or of the potential of one that returns both [mean]."""

    data: Annotated[Open[str], arg(metavar="NAME|FILE|FOLDER")] = None
    value_range: Open[tuple[float, float]] = None
    bins: Open[Literal["count", "time"]] = None
    model: Annotated[Open[str], arg(metavar="zoo:NAME|hf:...|FILE.py:FUNCTION|MODEL")] = (
        None
    )
    checkpoint: Open[Path] = None
    steps: Open[int] = None
    readout: Open[Literal["mean", "sum", "spikes", "potential"]] = None


@dataclass(frozen=True, kw_only=True)
class Network(SubjectSettings, Run):
    """A network with weights and its data, for a command that runs it.

    :param download: fetch a data set that is not there; without it nothing is fetched.
    :param image_size: side of images, pictures and event frames, or HEIGHT,WIDTH [theirs;
        cifar10-dvs: 48].
    :param encoder: direct, poisson, sqe(levels=2) or frequency for images, frames or
        ablation(keep=0.05) for events [that of its training]."""

    download: Flag = False
    image_size: Open[int | tuple[int, int]] = None
    encoder: EncoderName = None


@dataclass(frozen=True, kw_only=True)
class Train(Network):
    """Train a network, plainly or against an attack, and say how good it is.

    Models of art_snn are trained as in table S1 of Bu et al. (CVPR 2023, supplement), a
    network of yours with Adam. With an attack or a defence the samples of every step are
    attacked first. Exit status 5: it did not learn.

    :param model: name of a model; or a function of yours that returns a network, or a
        model of another framework: file.py:function or package.module:function; or
        zoo:NAME, with its weights [vgg5; of a checkpoint: the one that it notes].
    :param checkpoint: weights of the network to start from, as art-snn train or its framework
        writes them; what they note of the network need not be given [drawn from the seed].
    :param readout: of a model of another framework: mean or sum over time, or the mean of the
        spikes or of the potential of one that returns both [mean; of both: potential].
    :param width: factor of the layers' widths, 64 at most [1].
    :param steps: time steps T, into which recordings of nmnist and the like are cut
        [8; events: their frames, or 10].
    :param decay: decay of the neurons, 1e-6 to 1; 1 makes IF neurons [0.5].
    :param threshold: of the neurons, 1e-4 to 1e4 [1].
    :param reset: of the neurons, hard or soft [hard].
    :param synapse: decay of a synaptic current before the potential, 0 to 0.9999; 0 is none [0].
    :param encoder: direct, poisson, sqe(levels=2) or frequency for images, frames or
        ablation(keep=0.05) for events [direct; events: frames].
    :param modulation: of all neurons: gains, gates or noise(sigma=0.2), in training alone [none].
    :param epochs: passes over the samples.
    :param batch_size: samples per step.
    :param optimizer: sgd, as in the papers, or adam [a model of art_snn: sgd; yours: adam].
    :param learning_rate: of the first step, 100 at most [sgd: 0.1; adam: 0.01].
    :param momentum: of SGD, in [0, 1) [0.9].
    :param weight_decay: of all parameters, 1 at most [sgd: 5e-4; adam: 0].
    :param crop_padding: pixels of zeros around an image before it is cropped to its size,
        or 0 [4 around 32 pixels, and the same share of other images; 0 below 16 pixels].
    :param flip: mirror half of the samples left to right [only cifar10, cifar100,
        eurosat, fashion-mnist and cifar10-dvs; no file or folder].
    :param turn: mirror half of the samples top to bottom, and swap the sides of half, where
        they are square: for images from above.
    :param cutout: side in pixels of the hole that is filled with zeros; 0 is none [16 of
        32, and the same share; 0 below 16].
    :param seed: of the weights, the order of the samples and all that is drawn.
    :param train_dtype: precision in which layers compute: bfloat16, or auto, which is
        bfloat16 where the device multiplies it natively [the network's own].
    :param validation: share of the training samples that chooses the best epoch, in (0, 0.9].
    :param attack: attack against which the network is trained, in the maximum norm: pgd,
        fgsm, pgd(max_iter=7), ... [none; of a defence that attacks: pgd].
    :param eps: budget of the attack or of the certified training, in the unit of the
        samples [8/255].
    :param attack_rule: gradient rule of the attack: rga, stbp, "mean(rga, stbp)", ...
        [that which inspect names; stbp without a checkpoint]. Weights learn by STBP, or
        the network's own.
    :param adversarial_share: share of the samples of each step that are attacked, in (0, 1].
    :param defence: use of the adversarial samples: at (trains on them), trades(beta=6),
        rat(orthogonality=0.004), sr(sparsity=0.002), mpd-sgr, tgo, mppd or
        operations(weight=1); or ibp(ramp=0.6), which trains on bounds within eps, without
        an attack [at, next to one]."""

    output: Folder = RESULTS / "trained"
    width: Open[float] = None
    decay: Open[float] = None
    threshold: Open[float] = None
    reset: Open[Literal["hard", "soft"]] = None
    synapse: Open[float] = None
    modulation: Annotated[Open[str], arg(metavar="MODULATION")] = None
    epochs: int = 200
    batch_size: int = 64
    optimizer: Open[Literal["sgd", "adam"]] = None
    learning_rate: Open[float] = None
    momentum: Open[float] = None
    weight_decay: Open[float] = None
    crop_padding: Open[int] = None
    flip: Open[bool] = None
    turn: Flag = False
    cutout: Open[int] = None
    seed: int = 0
    train_dtype: Open[TrainDtype] = None
    validation: float = 0.1
    attack: Attack = None
    eps: Open[float] = None
    attack_rule: Annotated[Open[str], arg(metavar="RULE")] = None
    adversarial_share: float = 1.0
    defence: Annotated[Open[str], arg(metavar="DEFENCE")] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        require_number(
            "validation",
            self.validation,
            above=0,
            up_to=0.9,
            remedy="Test samples never choose the best epoch; 0.1 is usual.",
        )
        if self.attack is self.defence is None:
            refuse_given(
                self,
                ["eps", "attack_rule", "adversarial_share"],
                "None without an attack",
                "Add --attack pgd, or leave it out.",
            )


@dataclass(frozen=True, kw_only=True)
class Compare(Network):
    """Attack one network with every gradient rule: success, cost and direction.

    :param rules: rules with their settings, separated by commas: rga(beta=1),eot(rga)
        [all].
    :param attack: attack that runs with every rule, in the maximum norm: pgd, fgsm, apgd,
        pgd(max_iter=20, eps_step=0.01), ...
    :param eps: budget of the attack, in the unit of the samples, such as 0.1 or 8/255.
    :param samples: number of test samples to attack, the first ones.
    :param batch_size: samples per gradient; batches have one size where it divides the samples.
    :param seed: of the attack, which starts from it in each batch.
    :param eot: draws over which each rule is averaged; 1 averages nothing.
    :param repeats: rounds of which each time is the median."""

    output: Folder = RESULTS / "comparison"
    rules: Rules = None
    attack: Annotated[str, arg(metavar="ATTACK")] = "pgd"
    eps: float = 8 / 255
    samples: int = 500
    batch_size: int = 50
    seed: int = 0
    eot: int = 1
    repeats: int = 5


@dataclass(frozen=True, kw_only=True)
class Cost(Run):
    """Measure time and peak memory of one input gradient, training step or attack on this machine.

    Weights are drawn and samples random, since neither matters. Several models or time
    steps give a table of how the cost grows.

    :param device: what is measured: cpu, or gpu, which has to be there.
    :param model: names of models, or functions of yours that return a network
        (file.py:function), separated by commas.
    :param width: factor of the layers' widths [1].
    :param steps: time steps T, separated by commas: 4,8,16,32 [8, or those of the model].
    :param decay: decay of the neurons; 1 makes IF neurons [0.5].
    :param encoder: direct, poisson, sqe, frequency, frames or ablation(keep=0.05) [direct].
    :param rules: rules with their settings, separated by commas [rga,stbp; of a training
        step: stbp].
    :param training_step: measure one training step in place of one input gradient.
    :param attack: measure this attack in place of one gradient: pgd(max_iter=5, eps_step=2/255).
    :param eps: budget of the attack, in the unit of the samples.
    :param batch_size: samples per gradient, step or attack.
    :param channels: of the random input [3; those of a network of yours with an input_shape].
    :param image_size: side of the random input [32; that of the input_shape of your network].
    :param train_dtype: precision of training steps: bfloat16, or auto, which is bfloat16
        where the device multiplies it natively [the network's own].
    :param repeats: rounds of which each time is the median."""

    output: Folder = RESULTS / "cost"
    device: Device = "cpu"
    model: Annotated[tuple[str, ...], arg(metavar="MODEL|FILE.py:FUNCTION[, ...]")] = (
        "vgg11",
    )
    width: Open[float] = None
    steps: Open[tuple[int, ...]] = None
    decay: Open[float] = None
    encoder: EncoderName = None
    rules: Rules = None
    training_step: Flag = False
    attack: Attack = None
    eps: float = 2.55 / 255
    batch_size: int = 32
    channels: Open[int] = None
    image_size: Open[int] = None
    train_dtype: Open[TrainDtype] = None
    repeats: int = 7

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_count("image_size", up_to=LONGEST_SIDE)
        if self.training_step:
            refuse_given(
                self,
                ["attack"],
                "None with training_step, which has no gradients at the input",
                "Leave it out.",
            )
            require(
                self.batch_size > 1,
                "batch_size",
                "at least 2 for a training step",
                self.batch_size,
                "Batch norm needs several samples.",
            )
        else:
            refuse_given(
                self,
                ["train_dtype"],
                "None without training_step, since it is the precision of training steps",
                "Add --training-step, or leave it out.",
            )


@dataclass(frozen=True, kw_only=True)
class Inspect(Network):
    """List the neurons of a network, and the engine with which every rule runs on it.

    Every rule takes one gradient of one batch; a rule that is refused is listed with the
    reason. Without a checkpoint the weights of a model of art_snn are drawn.

    :param data: random, or a data set whose test samples are taken [random; of a network
        of the zoo its own].
    :param rules: rules, separated by commas [all].
    :param batch_size: samples of the batch.
    :param channels: of random samples [3; those of a network of yours with an input_shape]."""

    output: Folder = RESULTS / "inspection"
    rules: Rules = None
    batch_size: int = 8
    channels: Open[int] = None


@dataclass(frozen=True, kw_only=True)
class Report(SubjectSettings):
    """Write a page of one evaluation, or of several side by side on the same samples.

    With --board it is a table of records, by data set and budget. With --verify nothing
    is written: an evaluation is checked on samples that are drawn; exit status 3 says
    that a check failed.

    :param files: folders of one evaluation or more, or their evaluation.json; with board
        also folders above them.
    :param output: file that is written: .html for one page that shows everything, .md or
        .tex for sentences and tables [results/report.html; with board
        results/leaderboard.html, and next to it a .md file of the same name].
    :param board: write the table of records, as a page to sort and filter, and in Markdown.
    :param verify: check that weights, samples and predictions repeat, that the
        adversarials in first.npz fool the network, and that samples that are said to
        stand or to be certified do, by PGD-7, a stage of the plan, bounds and the exact
        search. A pass does not mean that the number is right.
    :param model: of the network to verify: zoo:NAME; or a function or a model of another framework:
        file.py:function or package.module:function [zoo:NAME, by the name in the evaluation].
    :param checkpoint: weights of the network to verify.
    :param steps: time steps T of that network [those of its training].
    :param data: samples to verify with: a name or FOLDER/NAME, a .npz file, or a folder
        of pictures [those that the evaluation names; of a network of the zoo its own].
    :param device: gpu, which is cpu where there is none; or cpu."""

    files: Annotated[
        Positional[tuple[Path, ...]],
        arg(metavar="FOLDER|FILE ...", help_behavior_hint=""),
    ]
    output: Open[Path] = None
    board: Flag = False
    verify: Flag = False
    device: Device = "gpu"

    def __post_init__(self) -> None:
        require(
            self.files,
            "files",
            "one result or more",
            "none",
            "Name the folder of an evaluation.",
        )
        if self.verify:
            require(
                len(self.files) == 1,
                "files",
                "one result",
                len(self.files),
                "Verify them one by one.",
            )
            refuse_given(
                self,
                ["output", "board"],
                "None with --verify, which writes nothing",
                "Leave it out.",
            )
            return

        names = [field.name for field in fields(SubjectSettings)]
        refuse_given(
            self, names, "None without --verify", "Add --verify, or leave it out."
        )
        usual = RESULTS / ("leaderboard.html" if self.board else "report.html")
        output = self.output or usual
        endings = [".html"] if self.board else [f".{ending}" for ending in MARKS]
        require(
            output.suffix in endings,
            "output",
            f"a file that ends in {', '.join(endings)}",
            output,
            "The ending decides the form.",
        )
        for path in (output, output.with_suffix(".md"))[: 1 + self.board]:
            kind = path_kind("output", path)
            require(
                kind is None or (kind == FILE and _is_report(path)),
                "output",
                "a new file, or an earlier report",
                f"{path}, which is no report",
                "Choose another name, or delete it.",
            )
        set_fields(self, output=output)


def refuse_given(
    settings: object, names: Sequence[str], expected: str, remedy: str
) -> None:
    """Refuse whatever these fields hold in place of their defaults."""
    for name in names:
        value = getattr(settings, name)
        require(value == getattr(type(settings), name), name, expected, value, remedy)


def _is_report(path: Path) -> bool:
    """True for a file that can be read, with one of the marks in its first 512 bytes."""
    with suppress(OSError), path.open("rb") as stream:
        head = stream.read(512)
        return any(mark.encode() in head for mark in MARKS.values())
    return False


@dataclass(frozen=True)
class Zoo:
    """List the trained networks of the zoo.

    Their accuracy is that of all test samples, and that under the plan standard by
    budget. Commands with --checkpoint take one as --model zoo:NAME."""
