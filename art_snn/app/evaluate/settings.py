from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal

from tyro.conf import UseAppendAction, arg

from art_snn.app.annotations import Folder, Open
from art_snn.app.base import Experiment
from art_snn.app.catalogue import zoo_entry
from art_snn.app.evaluate.attacks import attack_named, parsed, usual_attack, with_rules
from art_snn.app.report.evaluation import NAME, is_name, name_from
from art_snn.app.report.verdict import Verdict, describe_budgets, join_words, verdicts
from art_snn.app.trained import Trained
from art_snn.attacks import (
    FLIPS,
    SHIFT,
    SHORT_NAMES,
    Plan,
    require_budget,
    require_measure,
    resolve_plan,
)
from art_snn.checks import (
    FILE,
    MissingFile,
    choices,
    expand_path,
    require,
    require_distinct,
    require_kind,
    require_number,
    require_seed,
    require_some,
    require_whole,
    set_counts,
    set_fields,
    shown,
)
from art_snn.data import Dataset, Source
from art_snn.gradients import STBP, Gradient
from art_snn.precision import require_attack_dtype
from art_snn.zoo.entry import Standard
from art_snn.zoo.networks import data_set, not_held

STANDARD = "standard"
USUAL: Mapping[str, Gradient] = MappingProxyType({"stbp": STBP()})
DRAWS = 1000
BELOW, OPEN = 3, 4
"""Exit statuses: less robust than was asked for, and findings where none may be."""


@dataclass(frozen=True, kw_only=True)
class Settings(Experiment):
    """Measure how robust a network is, and look for reasons to doubt the number.

    :param source: the data.
    :param network: the network.
    :param norm: of the budget: inf (the largest change of a value), 2 (Euclidean); of event frames
        0 (values that change) or shift (time steps that a spike is moved) [inf; of a network of the
        zoo that of its record].
    :param eps: budgets, separated by commas, in the unit of the samples [8/255; of a network of the
        zoo those of its record].
    :param plan: standard, fast or ensemble-19: attacks without settings to choose [standard, unless
        an attack is named].
    :param attack: fgsm, pgd, pgd-7, mim, apgd or sa-pgd; or the class of an attack, of
        art.attacks.evasion or art_snn.attacks, such as SquareAttack [pgd-7; of event frames that of
        the norm].
    :param attack_options: its settings: max_iter=1000,loss_type=margin.
    :param rules: gradient rules of that attack, which runs with each of them on all samples [stbp;
        native where the network has only its own gradient].
    :param sources: checkpoint of a network to transfer from; may be given several times.
    :param adversarials: .npz file with adversarials of the test samples, which are tried before the
        plan; may be given several times.
    :param attack_dtype: precision of gradients: bfloat16, float16, or auto, which is bfloat16 where
        the device multiplies it natively [the networks' own]. Predictions keep the network's.
    :param samples: number of test samples to attack, the first ones.
    :param block: samples that are computed together: the unit of writing, resuming and dealing out
        to processes.
    :param batch_size: samples per pass.
    :param examined: number of samples to examine for findings, the first ones; 0 for none.
    :param certify: also certify each sample, of networks with Poisson encoding.
    :param draws: random draws of each sample for its certificate [1000].
    :param bounds: also prove at each budget which samples no attack can break, and attack only the
        others; in the norms inf and 2.
    :param seed: of all that is drawn.
    :param name: of the network, by which results are told apart [that of the checkpoint or the
        folder].
    :param training: of the network, in words, for a leaderboard [what zoo or checkpoint say of
        it].
    :param save_adversarials: write adversarials-ATTACK-EPS.npz for each attack and budget.
    :param fail_under: exit with status 3 if the robust accuracy under attack, a share, is below it
        at a budget.
    :param strict: exit with status 4 if findings are open; needs a plan and examined samples."""

    output: Folder = Path("evaluation")
    source: Source = field(default_factory=Source)
    network: Trained = field(default_factory=Trained)
    norm: Open[Literal["inf", "2", "0", "shift"]] = None
    eps: Open[tuple[float, ...]] = None
    plan: Open[Literal["standard", "fast", "ensemble-19"]] = None
    attack: Annotated[Open[str], arg(metavar=f"{choices(SHORT_NAMES)}|CLASS")] = None
    attack_options: Open[str] = None
    rules: Open[Mapping[str, Gradient]] = None
    sources: UseAppendAction[tuple[Path, ...]] = ()
    adversarials: UseAppendAction[tuple[Path, ...]] = ()
    attack_dtype: str | None = None
    samples: int = 500
    block: int = 64
    batch_size: int = 64
    examined: int = 100
    certify: bool = False
    draws: Open[int] = None
    bounds: bool = False
    seed: int = 0
    name: Open[str] = None
    training: Open[str] = None
    save_adversarials: bool = False
    fail_under: Open[float] = None
    strict: bool = False
    together: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        network, source = self.network.or_zoo(self.source)
        set_fields(self, network=network, source=source)
        set_fields(self, norm=self.norm or next((one.norm for one in self.records), "inf"))
        if self.eps is None:
            usual = [one.eps for one in self.records if one.norm == self.norm]
            set_fields(self, eps=tuple(usual) or (8 / 255,))
        set_counts(self, "samples", "block", "batch_size", "draws")
        expected, remedy = "None without certify", "Ask for certificates, or leave it out."
        require(self.draws is None or self.certify, "draws", expected, self.draws, remedy)
        if self.certify and self.draws is None:
            set_fields(self, draws=DRAWS)
        remedy = "Flips and shifts of spikes have no bounds: leave it out, or take another norm."
        fits = not self.bounds or self.measure not in (FLIPS, SHIFT)
        require(fits, "bounds", "the norm inf or 2", self.norm, remedy)
        remedy = "With 0 the number remains an upper bound."
        set_fields(self, examined=require_whole("examined", self.examined, remedy=remedy))
        set_fields(self, seed=require_seed("seed", self.seed))
        set_fields(self, attack_dtype=require_attack_dtype(self.attack_dtype))
        require_some("rules", self.attack_rules)
        set_fields(self, eps=tuple(self._budget(eps) for eps in self.budgets))
        require_distinct("eps", self.budgets)
        options, expected = self.attack_options, "None without an attack"
        remedy = "Name the attack that they belong to, or leave them out."
        require(options is None or self.attack, "attack_options", expected, options, remedy)
        if self.fail_under is not None:
            remedy = "It is a share: 0.3 for 30 %."
            share = require_number("fail_under", self.fail_under, above=0, up_to=1, remedy=remedy)
            set_fields(self, fail_under=share)
        named = self.name is None or is_name(self.name)
        require(named, "name", NAME, shown(self.name), "Give a short word, such as hardened.")
        named, remedy = self.training is None or is_name(self.training), "Leave details to a paper."
        require(named, "training", NAME, shown(self.training), remedy)
        (stage,) = self.attack_plan(self.budgets[0]).stages
        expected = f"an attack in the norm {self.norm}"
        remedy = "Of event frames there are SparseDynamicAttack in 0 and SpikeRetiming in both."
        fits, name = stage.kind.budget(self.measure, 1) is not None, stage.attack.__name__
        require(fits, "attack", expected, name, remedy)
        expected, remedy = "a plan that decides", "Add one: what it leaves is an upper bound."
        fits = bool(self.deciding_plan) or not self.strict
        require(fits, "strict", expected, f"{name} alone", remedy)
        remedy = "Add --plan standard, or leave them out."
        fits = bool(self.deciding_plan) or not self.adversarials
        require(fits, "adversarials", "a plan before which they run", f"{name} alone", remedy)
        expected, remedy = "findings that are looked for", "Examine some samples: 100 are usual."
        require(self.examined or not self.strict, "strict", expected, "0 examined", remedy)
        for path in self.sources:
            require_kind("sources", expand_path("sources", path), FILE, "a checkpoint file")

    def _budget(self, eps: float) -> float:
        counted = self.measure in (FLIPS, SHIFT) and float(eps).is_integer()
        return require_budget(self.measure, int(eps) if counted else eps)

    @property
    def records(self) -> tuple[Standard, ...]:
        """What the plan standard left of the network, where it is one of the zoo."""
        entry = zoo_entry(self.network.checkpoint, self.source)
        return () if entry is None else entry.standard

    def load(self) -> Dataset:
        """The data, under their name in the zoo where they are the network's own."""
        entry = zoo_entry(self.network.checkpoint, self.source)
        try:
            data = self.source.load()
        except MissingFile as error:
            if entry is None:
                raise
            raise not_held(data_set(entry.data), error, "data") from error
        return data if entry is None else replace(data, name=entry.data)

    @property
    def label(self) -> str:
        """The name of the network: the one given, or that of the checkpoint or the folder."""
        checkpoint = self.network.checkpoint
        if self.name is not None:
            return self.name
        if checkpoint is None:
            return name_from(self.output.resolve().name)
        # Networks trained by this package are all called network.safetensors.
        bare = checkpoint.stem == "network"
        return name_from(checkpoint.resolve().parent.name if bare else checkpoint.stem)

    @property
    def training_words(self) -> str:
        """How the network was trained: what was given, or what zoo or checkpoint say of it."""
        if self.training is not None:
            return self.training
        entry = zoo_entry(self.network.checkpoint, self.source)
        return self.network.training_words() if entry is None else entry.training

    @property
    def budgets(self) -> tuple[float, ...]:
        """The budgets, of which there are some once the settings are made."""
        return self.eps or ()

    @property
    def measure(self) -> float | str:
        """The norm as attacks know it."""
        return require_measure(self.norm or "inf")

    @property
    def deciding_plan(self) -> str:
        """Name of the plan, or "" where an attack alone was asked for."""
        return self.plan or ("" if self.attack else STANDARD)

    @property
    def attack_rules(self) -> Mapping[str, Gradient]:
        """Gradient rules of the attack, on a network that they suit."""
        return USUAL if self.rules is None else self.rules

    def attack_plan(self, eps: float) -> Plan:
        """The attack that runs with each rule, next to the plan or alone."""
        if self.attack is None:
            return usual_attack(self.measure, eps)
        return attack_named(self.attack, parsed(self.attack_options or ""), self.measure, eps)

    def plans(self, eps: float) -> list[Plan]:
        """What is run at a budget: the attack with each rule first, the plan last."""
        plan = [resolve_plan(self.deciding_plan, self.measure)] if self.deciding_plan else []
        return [*with_rules(self.attack_plan(eps), self.attack_rules), *plan]

    @property
    def identity(self) -> dict[str, Any]:
        """What the numbers depend on, next to network, sources and samples."""
        names = ("norm", "eps", "seed", "block", "batch_size", "examined")
        plans = [
            [(plan.name, *map(str, plan.stages)) for plan in self.plans(e)] for e in self.budgets
        ]
        rules = {name: repr(rule) for name, rule in self.attack_rules.items()}
        content = {name: getattr(self, name) for name in names}
        content |= {"plans": plans, "rules": rules}
        content |= {"draws": self.draws} if self.certify else {}
        content |= {"attack_dtype": self.attack_dtype} if self.attack_dtype else {}
        return content | ({"bounds": self.bounds} if self.bounds else {})

    def source_networks(self) -> list[Trained]:
        """The networks to transfer from, each of its own checkpoint."""
        bare = replace(self.network, epochs=None, train_dtype=None)
        return [replace(bare, checkpoint=path) for path in self.sources]

    def status(self, result: Any) -> int:
        """3 where the network is less robust than was asked for, 4 where findings are open."""
        below, doubted = self._failures(result)
        return BELOW if below else OPEN if doubted else 0

    def failure(self, result: Any) -> str:
        """What :meth:`status` is about, a line per budget; "" where nothing failed."""
        below, doubted = self._failures(result)
        lines = [f"{_words(one)} is below {self.fail_under:g} (--fail-under)" for one in below]
        for one in doubted:
            names = join_words(list(dict.fromkeys(str(f.title) for f in one.findings)))
            at = describe_budgets(one.norm, one.eps)
            lines.append(f"findings are open {at} (--strict): {names}")
        return "\n".join(lines)

    def _failures(self, result: Any) -> tuple[list[Verdict], list[Verdict]]:
        """The verdicts that are below what was asked for, and those with open findings, even of
        0 %: a network that is fed wrongly has that, too."""
        results, least = verdicts(result.evaluation), self.fail_under or 0
        below = [one for one in results if one.robust < least]
        return below, [one for one in results if self.strict and one.findings]


def _words(verdict: Verdict) -> str:
    share = verdict.outcome.robust_accuracy
    count, at = f"{share.count} of {share.total}", describe_budgets(verdict.norm, verdict.eps)
    return f"{100 * share.value:.1f} % ({count}) {at}"
