"""Settings of art-snn evaluate: plain data, which are resolved when it runs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Fixed, Suppress, UseAppendAction, arg

from art_snn.app.settings import RESULTS, Attack, Flag, Folder, Network, Open, Rules
from art_snn.checks import (
    FILE,
    require,
    require_distinct,
    require_kind,
    require_number,
    require_whole,
    set_fields,
)

_USUAL = RESULTS / "evaluation-NAME"
"""The folder where none is named; NAME is that of the network."""


@dataclass(frozen=True, kw_only=True)
class Evaluate(Network):
    """Measure how robust a network is, and look for reasons to doubt the number.

    Started by torchrun, several processes do it together.

    :param norm: of the budget: inf (the largest change of a value), 2 (Euclidean); of
        event frames 0 (values that change) or shift (time steps that a spike is moved)
        [inf; of a network of the zoo that of its record].
    :param eps: budgets, separated by commas, in the unit of the samples [8/255; 8 for 0,
        1 for shift; of a network of the zoo those of its record].
    :param plan: standard, fast or ensemble-19: attacks without settings to choose
        [standard, unless an attack is named].
    :param attack: fgsm, pgd, pgd-7, mim, apgd or sa-pgd; or the class of an attack, of
        art.attacks.evasion or art_snn.attacks, with its options:
        "SquareAttack(max_iter=1000)" [pgd-7; of event frames that of the norm].
    :param rules: gradient rules of that attack, which runs with each of them on all
        samples [stbp, or that which inspect names where an attack is named in the norm
        inf or 2; native where the network has only its own gradient].
    :param sources: checkpoint of a network to transfer from; may be given several times.
    :param adversarials: .npz file with adversarials of the test samples, which are tried
        before the plan; may be given several times.
    :param samples: number of test samples to attack, the first ones.
    :param batch_size: samples per pass.
    :param bounds: also prove at each budget which samples no attack can break, and attack
        only the others; in the norms inf and 2. Where the encoder draws, in any norm:
        certify each sample by its draws, and attack all.
    :param decide: seconds for the exact search on each sample that bounds do not certify and no
        attack broke, which proves it or breaks it; with bounds and a plan, in the norm inf.
    :param draws: that certify each sample.
    :param seed: of all that is drawn.
    :param fail_under: exit with status 3 if the robust accuracy under attack, a share, is
        below it at a budget.
    :param strict: exit with status 4 if findings are open; needs a plan.
    :param name: of the network, by which results are told apart [that of the checkpoint
        or the folder].
    :param training: of the network, in words [that of the zoo or the checkpoint]. In Python only.
    :param examined: samples that are examined for findings, the first ones. In Python only.
    :param block: samples that are written, resumed and handed to processes together, at
        most this many, or one batch. In Python only."""

    output: Folder = _USUAL
    norm: Open[Literal["inf", "2", "0", "shift"]] = None
    eps: Open[tuple[float, ...]] = None
    plan: Open[Literal["standard", "fast", "ensemble-19"]] = None
    attack: Attack = None
    rules: Rules = None
    sources: UseAppendAction[tuple[Path, ...]] = ()
    adversarials: UseAppendAction[tuple[Path, ...]] = ()
    samples: int = 500
    batch_size: int = 64
    bounds: Flag = False
    decide: Open[float] = None
    draws: int = 1000
    seed: int = 0
    fail_under: Open[float] = None
    strict: Flag = False
    name: Annotated[Open[str], arg(metavar="NAME")] = None
    training: Suppress[Fixed[str | None]] = None
    examined: Suppress[Fixed[int]] = 100
    block: Suppress[Fixed[int]] = 256

    def __post_init__(self) -> None:
        if self.output == _USUAL:
            set_fields(self, output=RESULTS / f"evaluation-{self.network_name}")
        super().__post_init__()
        require_whole(
            "examined", self.examined, remedy="With 0 numbers remain upper bounds."
        )
        if self.eps is not None:
            require_distinct("eps", self.eps)
        if self.fail_under is not None:
            require_number(
                "fail_under",
                self.fail_under,
                above=0,
                up_to=1,
                remedy="It is a share: 0.3 for 30 %.",
            )
        for name, role in {
            "decide": "before the search",
            "strict": "that decides",
            "adversarials": "before which they run",
        }.items():
            require(
                self.deciding_plan or not getattr(self, name),
                name,
                f"a plan {role}",
                f"{self.attack} alone",
                "Add --plan standard, or leave it out.",
            )
        if self.decide is not None:
            self._check_decide(self.decide)
        require(
            self.examined or not self.strict,
            "strict",
            "findings that are looked for",
            "0 examined",
            "Examine some samples: 100 are usual.",
        )
        for path in self.sources:
            require_kind("sources", path, FILE, "a checkpoint file")

    def _check_decide(self, seconds: float) -> None:
        """Refuse a search without bounds before it, or in a norm that it does not take."""
        require_number(
            "decide",
            seconds,
            above=0,
            remedy="Ten seconds decide most samples of a small network.",
        )
        require(
            self.bounds,
            "decide",
            "bounds before the search",
            "none",
            "Add --bounds: the search decides what they leave.",
        )
        require(
            self.norm in (None, "inf"),
            "decide",
            "the norm inf",
            self.norm,
            "Leave it out, or take --norm inf.",
        )

    @property
    def network_name(self) -> str:
        """Its name in the zoo or a repository, or that of its checkpoint or its function."""
        place, _, name = (self.model or "").rpartition(":")
        path = self.checkpoint and self.checkpoint.resolve()
        if path is None and place not in ("zoo", "hf"):
            return "-".join(filter(None, (Path(place.removesuffix(".py")).name, name)))
        path = path or Path(name.partition("@")[0])
        # Networks that art-snn train wrote are all called network.safetensors.
        return path.parent.name if path.stem == "network" else path.stem

    @property
    def deciding_plan(self) -> str:
        """Name of the plan, or "" where an attack alone was asked for."""
        return self.plan or ("" if self.attack else "standard")
