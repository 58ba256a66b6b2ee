from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from art_snn.checks import LONGEST_SIDE, require, settle, settle_counts
from art_snn.experiments.base import Experiment
from art_snn.flags import Open
from art_snn.gradients import Gradient, check_applicable, chosen
from art_snn.measuring.machine import require_device
from art_snn.measuring.workload import Workload, random_samples
from art_snn.models import Architecture
from art_snn.models.options import MOST_CHANNELS
from art_snn.precision import require_attack_dtype


@dataclass(frozen=True, kw_only=True)
class Settings(Experiment):
    """Time and peak memory of one input gradient, on this machine.

    :param architecture: the network; its weights are drawn, since they do not matter.
    :param rules: names of rules, separated by commas.
    :param batch_size: samples per gradient.
    :param channels: of the random input [3; of a network of yours: its own].
    :param image_size: side of the random input [32; of a network of yours: its own].
    :param attack_dtype: precision of the gradients: bfloat16, float16, or auto, which is bfloat16
        where the device has matrix units for it [the network's own].
    :param repeats: rounds behind each median.
    :param keep_memory: keep freed memory in the measuring processes (glibc), for time and peak
        alike."""

    output: Path = Path("cost")
    device: str = "cpu"
    architecture: Architecture = field(default_factory=lambda: Architecture(model="vgg11"))
    rules: Mapping[str, Gradient] = field(default_factory=lambda: chosen("rga,stbp"))
    batch_size: int = 32
    channels: Open[int] = None
    image_size: Open[int] = None
    attack_dtype: Open[str] = None
    repeats: int = 7
    keep_memory: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.architecture.model is None:
            settle(self, architecture=replace(self.architecture, model="vgg11"))
        settle_counts(self, "batch_size", "repeats")
        settle_counts(self, "channels", up_to=MOST_CHANNELS)
        settle_counts(self, "image_size", up_to=LONGEST_SIDE)
        require_attack_dtype(self.attack_dtype)
        require(bool(self.rules), "rules", "at least one", "none", "Name some.")
        require_device(self.device)

    def workload(self) -> Workload:
        """The load that is measured.

        :raises ValueError: when the network takes another input, or a rule does not apply to it."""
        sizes = {"channels": self.channels, "image_size": self.image_size}
        x, y = random_samples(self.architecture, self.batch_size, **sizes)
        names = ("architecture", "batch_size", "device", "threads", "keep_memory", "attack_dtype")
        same: dict[str, Any] = {name: getattr(self, name) for name in names}
        load = Workload(x=x, y=y, rules=dict(self.rules), **same)
        network = load.network()
        for rule in self.rules.values():
            check_applicable(rule, network.sites(), "rules", network.encoder)
        return load

    def as_dict(self) -> dict[str, Any]:
        """What is measured, for JSON."""
        names = ("batch_size", "channels", "image_size", "device", "threads", "keep_memory")
        told = {"architecture": asdict(self.architecture), "rules": list(self.rules)}
        if self.attack_dtype is not None:
            told["attack_dtype"] = self.attack_dtype
        return told | {name: getattr(self, name) for name in names}
