from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from art_snn.app.annotations import Folder, Open
from art_snn.app.base import Experiment
from art_snn.checks import LONGEST_SIDE, require, require_some, set_counts, set_fields
from art_snn.gradients import Gradient, check_applicable, parse_rules
from art_snn.measuring.machine import Device, require_device
from art_snn.measuring.workload import Workload, random_samples
from art_snn.models import Architecture
from art_snn.models.options import MOST_CHANNELS
from art_snn.precision import require_attack_dtype, require_train_dtype
from art_snn.training import Recipe

TRAINED_BY = Recipe(learning_rate=1e-8)
"""The optimizer of the papers, with steps so small that weights and times stay what they are."""

PROCESS = ("device", "threads", "keep_memory", "attack_dtype", "train_dtype")
"""What a measuring process is set up with."""


@dataclass(frozen=True, kw_only=True)
class Settings(Experiment):
    """Measure time and peak memory of one input gradient, or one training step, on this machine.

    :param device: what is measured: cpu, or gpu, which has to be there.
    :param architecture: the network; its weights are drawn, since they do not matter.
    :param rules: names of rules, separated by commas [rga,stbp; of a training step: stbp].
    :param peers: also measure SpikingJelly 2.x and snnTorch, where installed, under their gradient.
    :param training: measure one training step in place of one input gradient.
    :param batch_size: samples per gradient or step.
    :param channels: of the random input [3; of a network of yours: its own].
    :param image_size: side of the random input [32; of a network of yours: its own].
    :param attack_dtype: precision of the gradients: bfloat16, float16, or auto, which is bfloat16
        where the device multiplies it natively [the network's own].
    :param train_dtype: precision of training steps, those of other frameworks too: bfloat16, or
        auto, which is bfloat16 where the device multiplies it natively [the network's own].
    :param repeats: rounds behind each median.
    :param keep_memory: keep freed memory in the measuring processes (glibc)."""

    output: Folder = Path("cost")
    device: Device = "cpu"
    architecture: Architecture = field(default_factory=lambda: Architecture(model="vgg11"))
    rules: Open[Mapping[str, Gradient]] = None
    peers: bool = False
    training: bool = False
    batch_size: int = 32
    channels: Open[int] = None
    image_size: Open[int] = None
    attack_dtype: str | None = None
    train_dtype: str | None = None
    repeats: int = 7
    keep_memory: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.architecture.model is None:
            set_fields(self, architecture=replace(self.architecture, model="vgg11"))
        set_counts(self, "batch_size", "repeats")
        set_counts(self, "channels", up_to=MOST_CHANNELS)
        set_counts(self, "image_size", up_to=LONGEST_SIDE)
        require_attack_dtype(self.attack_dtype)
        require_train_dtype(self.train_dtype)
        if self.rules is None:
            set_fields(self, rules=parse_rules("stbp" if self.training else "rga,stbp"))
        require_some("rules", self.rules or {})
        expected = "one of our own models, which can be built in other frameworks"
        remedy = "Leave peers out. The rule native is the gradient of a model of a framework."
        possible = not (self.peers and self.architecture.is_own)
        require(possible, "peers", expected, self.architecture.model, remedy)
        if self.training:
            expected = "None with training, which has no gradients at the input"
            alone, remedy = self.attack_dtype is None, "Take --train-dtype for training steps."
            require(alone, "attack_dtype", expected, repr(self.attack_dtype), remedy)
            expected, remedy = "at least 2 for a training step", "Batch norm needs several samples."
            require(self.batch_size > 1, "batch_size", expected, self.batch_size, remedy)
        else:
            expected = "None without training, since it is the precision of training steps"
            remedy = "Take --attack-dtype for gradients at the input, or --training."
            alone = self.train_dtype is None
            require(alone, "train_dtype", expected, repr(self.train_dtype), remedy)
        require_device(self.device)

    def workload(self) -> Workload:
        """The load that is measured, refused where network, input, rules or training do not fit."""
        sizes = {"channels": self.channels, "image_size": self.image_size}
        x, y = random_samples(self.architecture, self.batch_size, **sizes)
        names = ("architecture", "batch_size", *PROCESS)
        same: dict[str, Any] = {name: getattr(self, name) for name in names}
        rules = dict(self.rules or {})
        optimizer = TRAINED_BY.build_optimizer if self.training else None
        load = Workload(x=x, y=y, rules=rules, optimizer=optimizer, **same)
        network = load.network()
        for rule in rules.values():
            check_applicable(rule, network.sites(), "rules", network.encoder)
        expected, remedy = "a network of weights, for a training step", "Leave training out."
        weights = any(weight.requires_grad for weight in network.parameters())
        name = self.architecture.model
        require(not self.training or weights, "model", expected, f"{name}, which has none", remedy)
        return load

    def as_dict(self) -> dict[str, Any]:
        """What is measured, for JSON."""
        names = ("batch_size", "channels", "image_size", *PROCESS, "peers", "training")
        content = {"architecture": asdict(self.architecture), "rules": list(self.rules or {})}
        return content | {name: getattr(self, name) for name in names}
