"""An evaluation made of its blocks, with all files that are written next to it.

Its provenance tells how to do it again: command, versions, settings and digests."""

import platform
import shlex
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from matplotlib.figure import Figure

import art_snn
from art_snn.app.evaluate.blocks import Block, Store
from art_snn.app.evaluate.decisions import (
    add_decision,
    join_bounds,
    join_decisions,
    write_decided,
)
from art_snn.app.evaluate.examples import list_files, write_examples
from art_snn.app.evaluate.findings import collect_findings
from art_snn.app.evaluate.target import Target
from art_snn.app.evaluation.figures import accuracy_figure
from art_snn.app.evaluation.page import PAGE, render_page
from art_snn.app.evaluation.record import (
    DECIDED,
    EXAMPLES,
    RESULT,
    Evaluation,
    Provenance,
    ReportItem,
    Trial,
    name_from,
)
from art_snn.app.evaluation.tables import evaluation_parts
from art_snn.app.evaluation.verdict import describe_budgets, join_words, verdicts
from art_snn.app.machine import describe_machine
from art_snn.app.results import Result, as_json, load_previous, weights_digest
from art_snn.app.tables import Part, write_title
from art_snn.attacks import Outcome
from art_snn.checks import ArgumentError
from art_snn.classifier import PyTorchSpikingClassifier
from art_snn.encoders import describe_encoder
from art_snn.files import corruption, digest, write_text
from art_snn.findings import change_randomly
from art_snn.metrics import Certificate
from art_snn.metrics.energy import count_operations, count_synapses
from art_snn.seeding import fix_seed
from art_snn.zoo.entry import RANKED
from art_snn.zoo.networks import manifest

_BELOW, _OPEN = 3, 4
"""Exit statuses: less robust than was asked for, and findings where none may be."""
_COUNTED = 64
"""Samples of which operations are counted, which takes as long as to predict them."""
_PACKAGES = ("torch", "numpy", "scipy", "adversarial-robustness-toolbox")
"""Distributions that all numbers depend on."""
_FRAMEWORKS = ("torchvision", "spikingjelly", "snntorch", "norse", "sinabs")
"""Distributions, each with a module of the same name, that classes of a network may come from."""


@dataclass(frozen=True)
class EvaluationResult(Result):
    """The result of art-snn evaluate: tables, a picture and a page of an evaluation.

    :param fail_under: robust accuracy below which the command fails.
    :param strict: whether it fails where findings are open."""

    evaluation: Evaluation
    fail_under: float = 0.0
    strict: bool = False
    name: ClassVar[str] = "evaluation"

    def parts(self) -> list[Part]:
        """The verdict at each budget, what casts doubt on it, and a row per attack and budget."""
        return evaluation_parts(self.evaluation)

    def as_dict(self) -> dict[str, Any]:
        """The evaluation, for JSON: first the verdicts, which most readers look for."""
        summary = [one.as_dict() for one in verdicts(self.evaluation)]
        return {"summary": summary, **as_json(self.evaluation)}

    @property
    def files(self) -> Sequence[str]:
        """Names of all files of the evaluation, those of its arrays included."""
        return [*super().files, PAGE, *list_files(self.evaluation)]

    def failures(self) -> list[tuple[int, str]]:
        """Budgets at which the network is less robust than was asked for, with status 3,
        and those at which findings are open, with status 4.

        Findings count even of 0 %, as a network fed wrongly has it."""
        below = []
        doubted = []
        for one in verdicts(self.evaluation):
            if one.robust < self.fail_under:
                share = one.outcome.robust_accuracy
                line = f"{share.percent} ({share.count} of {share.total}) {one.budget} is below "
                below.append((_BELOW, f"{line}{self.fail_under:g} (--fail-under)"))
            if self.strict and one.findings:
                names = join_words(
                    dict.fromkeys(finding.title for finding in one.findings)
                )
                doubted.append(
                    (_OPEN, f"findings are open {one.budget} (--strict): {names}")
                )
        return below + doubted

    def draw(self) -> Figure:
        """Accuracy against the budget."""
        figure = accuracy_figure(self.evaluation, width=6.5)
        write_title(figure, self.evaluation.name, self.evaluation.title)
        return figure

    def write(self, folder: Path) -> None:
        """Write all files into the folder; the page shows the examples that lie in it."""
        super().write(folder)
        item = ReportItem.of("", self.evaluation, folder)
        write_text(folder / PAGE, render_page([item]))


def assemble(target: Target, store: Store, seconds: float) -> Evaluation:
    """Join all blocks to the evaluation, and write the arrays next to it.

    :param seconds: that all blocks took together."""
    settings = target.settings
    blocks = [Block(target, store, rows) for rows in target.slices]
    decisions = join_decisions(blocks)
    attacked = []
    for eps, plan in target.plans:
        outcomes = [block.read_outcome(eps, plan.name) for block in blocks]
        attacked.append(Trial(plan.name, eps, Outcome.concatenate(outcomes)))
    trials = [add_decision(trial, decisions, target) for trial in attacked]
    eps, first = target.plans[0]
    names = [block.name_attack(eps, first.name) for block in blocks]
    clean = np.concatenate([store.arrays(name)["clean"] for name in names])
    certificates = [
        store.read(Block(target, store, rows).name("certificate"), Certificate)
        for rows in target.certificate_slices
    ]

    for name in (EXAMPLES, DECIDED):  # No earlier file stays where there is none now.
        (settings.output / name).unlink(missing_ok=True)
    write_examples(blocks, trials, decisions)
    write_decided(target, decisions)

    return Evaluation(
        name=_choose_name(target),
        title=target.subject.describe(target.data, target.classifier.model),
        key=target.key,
        norm=target.measure.id,
        plan=settings.deciding_plan,
        samples=tuple(digest("", sample)[:16] for sample in target.x),
        labels=tuple(target.y.tolist()),
        clean=tuple(clean.tolist()),
        trials=tuple(trials),
        findings=tuple(collect_findings(target, store, attacked, trials)),
        provenance=describe_provenance(target, seconds),
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        certificate=Certificate.concatenate(certificates) if certificates else None,
        bounds=join_bounds(blocks, decisions),
        operations=_average_operations(target),
        noise=tuple(_count_after_noise(target, eps) for eps in sorted(target.budgets)),
        peers=_describe_peers(target),
        best_rule="" if settings.rules else target.best_rule,
    )


def _choose_name(target: Target) -> str:
    """The name of an evaluation: as given, of the checkpoint, or of the folder without one."""
    settings = target.settings
    if settings.name is not None:
        return settings.name
    folder = settings.output.resolve().name.removeprefix("evaluation-")
    named = target.subject.checkpoint is not None
    return name_from(settings.network_name if named else folder)


def _count_after_noise(target: Target, eps: float) -> int:
    """How many samples are right after one random change of the budget."""
    settings = target.settings
    with fix_seed(settings.seed):
        ball = (target.measure, eps, settings.seed)
        changed = change_randomly(target.classifier, target.x, *ball)
        logits = target.classifier.predict(changed, settings.batch_size)
    return int((logits.argmax(1) == target.y).sum())


def _describe_peers(target: Target) -> str:
    """What attacks leave of networks of the zoo on the same data, in a sentence; "" without."""
    name = target.data.name
    same = {one.name for one in manifest().data if name in one.titles}
    sentences = []
    for eps in sorted(target.budgets):
        left = {
            record.robust.value: f"{record.robust.percent} of {entry.name}"
            for entry in manifest().networks
            for record in entry.standard
            if entry.data in same
            and (record.norm, record.eps) == (target.measure.id, eps)
            and record.robust.total >= RANKED
        }
        if left:
            at = describe_budgets(target.measure.id, eps)
            sentences.append(f"{left[min(left)]} to {left[max(left)]} {at}")
    if not sentences:
        return ""
    return f"Attacks on networks of the zoo with the same data leave {join_words(sentences)}."


def _average_operations(target: Target) -> dict[str, tuple[float, ...]]:
    """Operations of the first samples by layers, where they can be counted."""
    classifier = target.classifier
    with suppress(ArgumentError), fix_seed(target.settings.seed):
        counted = count_operations(classifier, target.x[:_COUNTED])
        layers = count_synapses(classifier.model, classifier.input_shape)
        means = counted.mean(0).tolist()
        return {
            name: (leaving.numel(), leaving.double().sum().item(), *pair)
            for (name, leaving), pair in zip(layers, means, strict=True)
        }
    return {}


def describe_provenance(target: Target, seconds: float) -> Provenance:
    """All that is needed to reproduce an evaluation.

    :param seconds: that all blocks took together."""
    settings = target.settings
    classifier = target.classifier
    network = classifier.model
    return Provenance(
        command=_quote_command(),
        versions=_list_versions(classifier, *target.sources),
        commit=_find_commit(),
        seed=settings.seed,
        block=max(settings.block, settings.batch_size),
        batch_size=settings.batch_size,
        rules={name: repr(rule) for name, rule in target.rules.items()},
        weights=weights_digest(classifier),
        data=digest("samples", target.x, target.y)[:16],
        device=describe_machine(settings.device),
        threads=torch.get_num_threads(),
        examined=min(settings.examined, len(target.x)),
        sources=tuple(map(weights_digest, target.sources)),
        seconds=round(seconds, 1),
        steps=network.body.steps,
        encoder=describe_encoder(network.encoder),
        shape=target.x.shape[1:],
        dataset=target.data.name,
        parameters=sum(weight.numel() for weight in network.parameters()),
        training=target.subject.training
        if settings.training is None
        else settings.training,
        value_range=target.data.value_range,
        milliseconds=target.data.milliseconds,
    )


def _quote_command() -> str:
    """The command as it was typed: art-snn, or the script that called this package."""
    program, *arguments = sys.argv
    path = Path(program)
    ours = path.stem == "art-snn" or path.parent == Path(art_snn.__path__[0])
    start = ["art-snn"] if ours else ["python", program]
    return shlex.join([*start, *arguments])


def _list_versions(*classifiers: PyTorchSpikingClassifier) -> dict[str, str]:
    """Versions of all that the numbers depend on, and of the frameworks of the networks."""
    versions = {"art_snn": art_snn.__version__, "Python": platform.python_version()}
    used = {
        base.__module__.partition(".")[0]
        for one in classifiers
        for module in one.model.modules()
        for base in type(module).__mro__
    }
    for name in (*_PACKAGES, *(name for name in _FRAMEWORKS if name in used)):
        # One that is used from its sources has no version.
        versions[name] = "not installed"
        with suppress(PackageNotFoundError):
            versions[name] = version(name)
    return versions


def _find_commit() -> str:
    """The commit of the working folder; "" where it is under no version control."""
    with suppress(OSError, subprocess.SubprocessError):
        return subprocess.check_output(
            ["git", "rev-parse", "HEAD"], stderr=subprocess.DEVNULL, text=True, timeout=10
        ).strip()
    return ""


def load_finished(target: Target) -> Evaluation | None:
    """The evaluation, where it lies in the folder with all its files."""
    output = target.settings.output
    evaluation: Evaluation | None = load_previous(
        output / RESULT, "evaluation", Evaluation, target.key
    )
    if evaluation is None:
        return None
    paths = [output / name for name in list_files(evaluation)]
    whole = all(path.is_file() and corruption(path) is None for path in paths)
    return evaluation if whole else None
