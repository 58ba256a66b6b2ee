"""An evaluation made of its blocks, with all files that are written next to it."""

import platform
import shlex
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from matplotlib.figure import Figure
from scipy.stats import mode

import art_snn
from art_snn.app.colours import titled
from art_snn.app.evaluate.findings import target_findings, trial_findings
from art_snn.app.evaluate.store import Store
from art_snn.app.evaluate.target import Target
from art_snn.app.evaluate.units import (
    Decisions,
    add_decision,
    attack_name,
    block_name,
    decision_findings,
    examination_units,
    read_adversarials,
    read_bounds,
    read_decisions,
    read_outcome,
    write_decided,
)
from art_snn.app.machine import describe_machine
from art_snn.app.network import record_calls
from art_snn.app.report.evaluation import (
    DECIDED,
    EXAMPLES,
    NEURONS,
    RESULT,
    Evaluation,
    Examples,
    Provenance,
    ReportItem,
    Trial,
    name_from,
)
from art_snn.app.report.figures import accuracy_figure
from art_snn.app.report.page import PAGE, render_page
from art_snn.app.report.tables import evaluation_parts
from art_snn.app.report.verdict import describe_budgets, join_words, verdicts
from art_snn.app.results import Result, as_json, fingerprint, from_json, load_previous
from art_snn.app.tables import Part
from art_snn.attacks import Outcome
from art_snn.checks import ArgumentError, require
from art_snn.classifier import PyTorchSpikingClassifier
from art_snn.encoders import describe_encoder
from art_snn.files import LARGEST, corruption, digest, read_arrays, write_arrays, write_text
from art_snn.findings import Finding
from art_snn.metrics import Certificate
from art_snn.metrics.energy import count_operations, count_synapses
from art_snn.seeding import seeded

_BELOW, _OPEN = 3, 4
"""Exit statuses: less robust than was asked for, and findings where none may be."""
_COUNTED = 64
"""Samples of which operations are counted, which takes as long as to predict them."""
EXAMPLE_COUNT = 8
"""Samples that the report shows."""
EXCERPT, EXCERPT_COUNT = "first.npz", 20
"""The file of an excerpt, and how many samples it holds at most."""
_PACKAGES = ("torch", "numpy", "scipy", "adversarial-robustness-toolbox")
"""Distributions that all numbers depend on."""
_FRAMEWORKS = ("torchvision", "spikingjelly", "snntorch", "norse", "sinabs")
"""Distributions, each with a module of the same name, that classes of a network may come from."""


@dataclass(frozen=True)
class EvaluationResult(Result):
    """The result of art-snn evaluate: tables, a picture and a page of an evaluation.

    :param others: names of files that were written before.
    :param fail_under: robust accuracy below which the command fails.
    :param strict: whether it fails where findings are open."""

    evaluation: Evaluation
    others: tuple[str, ...] = ()
    fail_under: float = 0.0
    strict: bool = False
    name: ClassVar[str] = "evaluation"

    def parts(self) -> list[Part]:
        """The verdict at each budget, what casts doubt on it, and a row per attack and budget."""
        return evaluation_parts(self.evaluation)

    def as_dict(self) -> dict[str, Any]:
        """The evaluation, for JSON: first the verdicts, which most readers look for."""
        content: dict[str, Any] = as_json(self.evaluation)
        return {"summary": [one.as_dict() for one in verdicts(self.evaluation)]} | content

    @property
    def files(self) -> Sequence[str]:
        """Names of all files of the evaluation."""
        return [*super().files, PAGE, *self.others]

    def status(self) -> int:
        """3 where the network is less robust than was asked for, 4 where findings are open."""
        return min((status for status, _ in self._failures()), default=0)

    def failure(self) -> str:
        """The reasons for that status, a line per budget; "" where nothing failed."""
        return "\n".join(line for _, line in self._failures())

    def _failures(self) -> list[tuple[int, str]]:
        """Each with its status. Findings count even of 0 %, as a network fed wrongly has it."""
        below, doubted = [], []
        for one in verdicts(self.evaluation):
            at = describe_budgets(one.norm, one.eps)
            if one.robust < self.fail_under:
                share = one.outcome.robust_accuracy
                line = f"{share.percent} ({share.count} of {share.total}) {at} is below "
                below.append((_BELOW, f"{line}{self.fail_under:g} (--fail-under)"))
            if self.strict and one.findings:
                names = join_words([*dict.fromkeys(finding.title for finding in one.findings)])
                doubted.append((_OPEN, f"findings are open {at} (--strict): {names}"))
        return below + doubted

    def draw(self) -> Figure:
        """Accuracy against the budget."""
        figure = accuracy_figure(self.evaluation, width=6.5)
        titled(figure, self.evaluation.name, self.evaluation.title)
        return figure

    def write(self, folder: Path) -> None:
        """Write all files into the folder; the page shows the examples that lie in it."""
        super().write(folder)
        item = ReportItem.of("", self.evaluation, folder)
        write_text(folder / PAGE, render_page([item]))


def collect_excerpt(
    target: Target, trials: Sequence[Trial], store: Store, decisions: Decisions
) -> dict[str, np.ndarray]:
    """The first n samples of an evaluation with their adversarials, by which others verify it.

    The first attack that broke a sample counts.

    :return: the B budgets eps; x ``(n, *shape)`` of classes y (n,); adversarial ``(B, n, *shape)``,
        the sample itself where nothing broke it; and which are broken, bool (B, n)."""
    budgets = target.budgets
    x = target.x[:EXCERPT_COUNT]
    count = len(x)
    adversarial = np.stack([x] * len(budgets))
    broken = np.zeros((len(budgets), count), bool)
    blocks = [rows for rows in target.slices if rows.start < count]
    for trial in trials:
        arrays = read_adversarials(store, trial, blocks, decisions)
        row = budgets.index(trial.eps)
        new = (trial.outcome.stage[:count] >= 0) & ~broken[row]
        adversarial[row][new] = arrays[:count][new]
        broken[row] |= new
    eps = np.array(budgets, dtype=float)
    y = target.y[:count]
    return {"eps": eps, "x": x, "y": y, "adversarial": adversarial, "broken": broken}


def read_excerpt(folder: Path, largest: int = LARGEST) -> dict[str, np.ndarray]:
    """The arrays of :func:`collect_excerpt` in the folder of an evaluation.

    :param largest: bytes that they may take, unpacked.
    :raises FileNotFoundError: when there are none.
    :raises ValueError: when the file is damaged or holds something else."""
    content = "the first samples with their adversarials, as art-snn evaluate writes them"
    remedy = "Evaluate again in a new folder."
    arrays = read_arrays(folder / EXCERPT, "first", content, remedy, largest=largest)
    shapes = {name: array.shape for name, array in arrays.items()}
    eps, x = (shapes.get(name, ()) for name in ("eps", "x"))
    expected = {"eps": eps[:1], "x": x, "y": x[:1], "adversarial": eps[:1] + x}
    fits = shapes == expected | {"broken": eps[:1] + x[:1]} and arrays["broken"].dtype == bool
    require(fits, "first", content, f"arrays of shapes {shapes}", remedy)
    return arrays


def assemble(target: Target, title: str, store: Store, seconds: float) -> Evaluation:
    """Join all blocks to the evaluation, and write the arrays next to it.

    :param seconds: that all blocks took together."""
    settings = target.settings
    usual = settings.network_name
    if target.subject.checkpoint is None:
        usual = settings.output.resolve().name.removeprefix("evaluation-")

    decisions = read_decisions(target, store)
    attacked = []
    for eps, plan in target.plans:
        outcomes = [read_outcome(store, eps, plan.name, rows) for rows in target.slices]
        attacked.append(Trial(plan.name, eps, Outcome.concatenate(outcomes)))
    trials = [add_decision(trial, decisions, target) for trial in attacked]
    eps, first = target.plans[0]
    blocks = [store.read(attack_name(eps, first.name, rows)) for rows in target.slices]
    clean = [predicted for block in blocks for predicted in block["clean"]]

    for name in (EXAMPLES, DECIDED):  # No earlier file stays where there is none now.
        (settings.output / name).unlink(missing_ok=True)
    shown = _choose_shown_trial(trials, settings.deciding_plan)
    _write_examples(target, shown, read_adversarials(store, shown, target.slices, decisions))
    write_decided(target, decisions)
    excerpt = collect_excerpt(target, trials, store, decisions)
    write_arrays(settings.output / EXCERPT, **excerpt)

    contents = [store.read(unit.name)["findings"] for unit in examination_units(target)]
    findings = [from_json(finding, Finding) for findings in contents for finding in findings]
    stages = [stage for _, plan in target.plans for stage in plan.stages]
    searches = {stage.id for stage in stages if stage.searches}
    findings += trial_findings(attacked, searches)
    findings += target_findings(target, trials)
    findings += decision_findings(target, trials)

    names = [block_name("certificates", rows) for rows in target.certificate_slices]
    parts = [from_json(store.read(name)["certificate"], Certificate) for name in names]
    proven = [read_bounds(target, store, rows) for rows in target.slices]
    bounds = []
    for eps, one in proven[0].items():
        margin = np.concatenate([part[eps].margin for part in proven])
        if eps in decisions:  # Of what the search proved no margin is known.
            margin[decisions[eps].safe] = np.nan
        bounds.append(replace(one, margin=margin))
    return Evaluation(
        name=name_from(usual) if settings.name is None else settings.name,
        title=title,
        key=target.key,
        norm=str(settings.norm),
        plan=settings.deciding_plan,
        samples=tuple(digest("", sample)[:16] for sample in target.x),
        labels=tuple(target.y.tolist()),
        clean=tuple(clean),
        trials=tuple(trials),
        findings=tuple(findings),
        provenance=_provenance(target, seconds),
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        certificate=Certificate.concatenate(parts) if parts else None,
        bounds=tuple(bounds),
        operations=_average_operations(target),
    )


def _average_operations(target: Target) -> dict[str, tuple[float, ...]]:
    """Operations of the first samples by layers, where they can be counted."""
    classifier = target.classifier
    with suppress(ArgumentError), seeded(target.settings.seed):
        counted = count_operations(classifier, target.x[:_COUNTED])
        layers = count_synapses(classifier.model, classifier.input_shape)
        means = counted.mean(0).tolist()
        return {
            name: (leaving.numel(), leaving.double().sum().item(), *pair)
            for (name, leaving), pair in zip(layers, means, strict=True)
        }
    return {}


def load_finished(target: Target, key: str) -> Evaluation | None:
    """The evaluation, where it lies in the folder with all its files."""
    output = target.settings.output
    evaluation = load_previous(
        output / RESULT, "evaluation", Evaluation, lambda one: one.key == key
    )
    paths = [output / name for name in files_of(evaluation)] if evaluation else []
    whole = all(path.is_file() and corruption(path) is None for path in paths)
    return evaluation if whole else None


def files_of(evaluation: Evaluation) -> tuple[str, ...]:
    """Names of the files with arrays: the excerpt, and examples where the report shows some."""
    broken = max(_choose_shown_trial(evaluation.trials, evaluation.plan).outcome.stage) >= 0
    decided = any(one.decided is not None and one.decided.any() for one in evaluation.trials)
    names = {EXAMPLES: broken, EXCERPT: True, DECIDED: decided}
    return tuple(name for name, there in names.items() if there)


def _choose_shown_trial(trials: Sequence[Trial], plan: str) -> Trial:
    """The trial that the report shows: of that plan, or of the first, at its largest budget."""
    name = plan or trials[0].name
    return max((one for one in trials if one.name == name), key=lambda one: one.eps)


def _write_examples(target: Target, trial: Trial, adversarials: np.ndarray) -> None:
    """Write the first adversarials, which the report shows."""
    rows = np.flatnonzero(trial.outcome.stage >= 0)[:EXAMPLE_COUNT]
    if not len(rows):
        return
    x = target.x[rows]
    broken = adversarials[rows]
    with seeded(target.settings.seed):
        predict = partial(target.classifier.predict, broken, batch_size=len(rows))
        guesses = [predict().argmax(1) for _ in range(trial.outcome.draws)]
        spikes = record_spikes(target.classifier, np.concatenate([x, broken]))
    examples = Examples(trial.name, trial.eps, rows, x, broken, mode(guesses).mode, **spikes)
    examples.write(target.settings.output)


def record_spikes(
    classifier: PyTorchSpikingClassifier, samples: np.ndarray
) -> dict[str, np.ndarray]:
    """Spikes of samples (2 k, ...), half of them adversarials, as :class:`Examples` keeps them.

    Left out are layers whose potential is read, and others that give no spikes (T, 2 k, ...)."""
    network = classifier.model
    half = len(samples) // 2
    steps = network.body.steps
    sites = {site.name for site in network.body.neurons()}
    members = getattr(network, "members", {})
    names, rates = [], []
    parts: list[np.ndarray] = []
    for layer, calls in record_calls(network, torch.as_tensor(samples, device=classifier.device)):
        if not calls:
            continue
        with suppress(ArgumentError):
            output = torch.stack(calls[-(steps or 0) :]) if layer.layout == "step" else calls[-1]
            if members and layer.layout != "step":
                output = members[layer.module].to_steps(output, steps)
            form = (len(parts[0][0]) if parts else len(output), len(samples))
            if layer.site.name in sites and output.ndim > 2 and output.shape[:2] == form:
                spikes = (output != 0).flatten(2).cpu().numpy()
                first = spikes[:, [0, half]].swapaxes(0, 1)
                firing = np.flatnonzero(first.any((0, 1)))
                places = np.linspace(0, len(firing) - 1, min(NEURONS, len(firing))).astype(int)
                names.append(layer.name)
                rates.append((spikes[:, :half].mean(), spikes[:, half:].mean()))
                parts.append(first[:, :, firing[places]])
    if not parts:
        return {}
    owners = np.repeat(np.arange(len(parts)), [part.shape[2] for part in parts])
    columns = {"layers": np.array(names), "rates": np.array(rates).T, "owners": owners}
    return columns | {"spikes": np.concatenate(parts, axis=2)}


def _provenance(target: Target, seconds: float) -> Provenance:
    settings, classifier = target.settings, target.classifier
    return Provenance(
        command=_typed_command(),
        versions=_versions(classifier, *target.sources),
        commit=_commit(),
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
        steps=classifier.model.body.steps,
        encoder=describe_encoder(classifier.model.encoder),
        shape=target.x.shape[1:],
        dataset=target.data.name,
        parameters=sum(weight.numel() for weight in classifier.model.parameters()),
        training=target.subject.training if settings.training is None else settings.training,
    )


def weights_digest(classifier: PyTorchSpikingClassifier) -> str:
    """Digest of a network's form and weights, 16 hexadecimal digits."""
    nothing = np.zeros((0, *classifier.input_shape), np.float32), np.zeros(0, np.int64)
    return fingerprint("weights", classifier, *nothing)[:16]


def _typed_command() -> str:
    """The command as it was typed: art-snn, or the script that called this package."""
    program, *arguments = sys.argv
    package = Path(program).stem == "art-snn" or Path(program).parent == Path(art_snn.__path__[0])
    return shlex.join([*(["art-snn"] if package else ["python", program]), *arguments])


def _versions(*classifiers: PyTorchSpikingClassifier) -> dict[str, str]:
    """Versions of all that the numbers depend on, and of the frameworks of the networks."""
    bases = {"art_snn": art_snn.__version__, "Python": platform.python_version()}
    kinds = {type(module) for one in classifiers for module in one.model.modules()}
    used = {base.__module__.partition(".")[0] for kind in kinds for base in kind.__mro__}
    for name in (*_PACKAGES, *(name for name in _FRAMEWORKS if name in used)):
        bases[name] = "not installed"  # One that is used from its sources has no version.
        with suppress(PackageNotFoundError):
            bases[name] = version(name)
    return bases


def _commit() -> str:
    """The commit of the working folder; "" where it is under no version control."""
    with suppress(OSError, subprocess.SubprocessError):
        words = ["git", "-C", str(Path.cwd()), "rev-parse", "HEAD"]
        git = subprocess.run(words, capture_output=True, text=True, timeout=10, check=True)
        return git.stdout.strip()
    return ""
