"""What papers report of one network, PGD-7 by STBP, against attacks that need no choosing.

    python examples/study/auto_attack.py --data cifar10.npz --eps 2.55/255 \
        --checkpoint trained/network.safetensors --output auto-attack

On the first test samples: PGD-7 by every rule that suits the network, ART's AutoAttack by STBP, and
SpikingAutoAttack by its three plans; with --alone every stage of the plan standard, too, as if it
were the only one. A run that was interrupted goes on after its last attack.
"""

import argparse
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from art.attacks.evasion import AutoAttack
from art.estimators.classification import PyTorchClassifier
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from setting import Attack, ratio, subset
from torch import Tensor, nn

from art_snn import PyTorchSpikingClassifier
from art_snn.app import tables
from art_snn.app.colours import COLOURS, GREY, SERIES
from art_snn.app.machine import describe_machine
from art_snn.app.network import ResolvedNetwork as Network
from art_snn.app.results import as_json, booleans, earlier, fingerprint, write_result
from art_snn.attacks import PLANS, Plan, SpikingAutoAttack, predict_logits, resolve_plan
from art_snn.attacks.queries import Queries, attacking
from art_snn.checks import require
from art_snn.data import Dataset, Source
from art_snn.files import write_text
from art_snn.gradients import applicable, parse_rule
from art_snn.metrics import Robustness, describe_difference, format_p, paired_difference
from art_snn.models import Architecture

BATCH, PAPER, ART = 50, "PGD-7 by stbp", "AutoAttack of ART by stbp"
PGD, ALONE = "PGD-7 by ", "alone: "
"""How the names begin of PGD-7, by every rule, and of stages of standard alone."""
KEPT = 4
"""Calls whose predictions are kept; SquareAttack makes three in an iteration."""


@dataclass(frozen=True)
class Subject:
    """A network with the samples that it is attacked on.

    :param classifier: the network as ART sees it.
    :param x: the samples ``(N, *input_shape)``, with classes y (N,).
    :param eps: budget in the maximum norm.
    :param sources: networks that adversarials may carry over from.
    :param art: how many of the samples ART's AutoAttack is given, the first ones.
    :param alone: whether every stage of standard is run alone, too."""

    classifier: PyTorchSpikingClassifier
    x: np.ndarray
    y: np.ndarray
    eps: float
    sources: tuple[PyTorchSpikingClassifier, ...]
    art: int
    alone: bool

    @property
    def attacks(self) -> Mapping[str, Callable[[], tuple[np.ndarray, float, Any]]]:
        """What is measured, by name: gives adversarials, queries per sample, and other figures."""
        network = self.classifier.model
        rules = applicable(network.sites(), network.encoder)
        found = {f"{PGD}{rule}": lambda rule=rule: self.pgd(rule) for rule in rules}
        found |= {plan: lambda plan=plan: self.plan(plan) for plan in PLANS}
        singles = [
            Plan(str(s), (s,)) for s in resolve_plan("standard", np.inf).stages if self.alone
        ]
        found |= {f"{ALONE}{one.name}": lambda one=one: self.plan(one) for one in singles}
        return found | {ART: self.auto_attack}

    def pgd(self, rule: str) -> tuple[np.ndarray, float, Any]:
        """Seven steps of the length that Bu et al. (CVPR 2023) take, in shares of the budget."""
        attack = Attack("pgd-7", self.eps)
        adversarial = attack.craft(parse_rule(rule), self.classifier, self.x, self.y, rule)
        return adversarial, 2 * 7, {}

    def auto_attack(self) -> tuple[np.ndarray, float, Any]:
        """ART's, at its defaults, but for predictions that it asks for again.

        It takes images alone: frames are such, whose channels are those of all time steps."""
        y, (classifier, shape) = self.y[: self.art], as_images(self.classifier)
        x = self.x[: self.art].reshape(-1, *shape)
        queries = Queries(classifier, len(x), BATCH)
        with (
            self.classifier.model.using("stbp"),
            attacking(self.classifier, self.eps),
            queries.counting(),
        ):
            attack = AutoAttack(
                caching_copy(queries), eps=self.eps, eps_step=self.eps / 4, batch_size=BATCH
            )
            for part in attack.attacks:
                part.set_params(verbose=False)
            adversarial = attack.generate(x, y).reshape(-1, *self.x.shape[1:])
        return adversarial, float((queries.forwards + queries.backwards).double().mean()), {}

    def plan(self, plan: str | Plan) -> tuple[np.ndarray, float, Any]:
        """Ours."""
        attack = SpikingAutoAttack(
            self.classifier, eps=self.eps, plan=plan, sources=self.sources, batch_size=BATCH
        )
        began = time.perf_counter()
        with Clock().watching(self.classifier, *self.sources) as clock:
            adversarial, outcome = attack.generate(self.x, self.y), attack.outcome
        told = {"stages": outcome.broken_by, "skipped": {n.id: n.reason for n in outcome.skipped}}
        told["outside"] = 1 - clock.seconds / (time.perf_counter() - began)
        queries = float((outcome.forwards + outcome.backwards).mean())
        return adversarial, queries, told


def caching_copy(queries: Queries) -> PyTorchClassifier:
    """A copy of the classifier, of the same network, that keeps its last predictions.

    Those of samples that are not finite are NaN: SquareAttack asks for such, dividing by 0."""
    estimator = queries.estimator
    copied = object.__new__(type(estimator))
    vars(copied).update(vars(estimator))
    pages: deque[dict[bytes, np.ndarray]] = deque(maxlen=KEPT)

    def predict(x: np.ndarray, **_: Any) -> np.ndarray:
        keys = [row.tobytes() for row in np.ascontiguousarray(x)]
        rows = np.zeros((len(keys), estimator.nb_classes), dtype=np.float32)
        new = []
        for row, key in enumerate(keys):
            page = next((page for page in pages if key in page), None)
            if page is not None:
                rows[row] = page[key]
            elif np.isfinite(x[row]).all():
                new.append(row)
            else:
                rows[row] = np.nan
        if new:
            rows[new] = queries.predict(x[new].reshape(-1, *estimator.input_shape))
        pages.appendleft(dict(zip(keys, rows, strict=True)))
        return rows

    copied.predict = predict
    return copied


class Images(nn.Module):
    """A network that is handed its event frames as images."""

    def __init__(self, network: nn.Module, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.network, self.shape = network, shape

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.network(x.view(-1, *self.shape))
        return found


def as_images(classifier: PyTorchClassifier) -> tuple[PyTorchClassifier, tuple[int, ...]]:
    """The classifier, with frames as images, and the shape of those."""
    given = tuple(classifier.input_shape)
    shape = (int(np.prod(given[:-2])), *given[-2:])
    if shape == given:
        return classifier, shape
    network = Images(classifier.model, classifier.input_shape)
    options = {"clip_values": classifier.clip_values, "device_type": classifier.device.type}
    made = PyTorchClassifier(
        network, nn.CrossEntropyLoss(), shape, classifier.nb_classes, **options
    )
    return made, shape


@dataclass
class Clock:
    """Adds up how long networks compute, forwards and backwards, on a CPU."""

    seconds: float = 0.0
    depth: int = 0
    began: float = 0.0

    def start(self, *_: Any) -> None:
        self.depth += 1
        if self.depth == 1:
            self.began = time.perf_counter()

    def stop(self, *_: Any) -> None:
        self.depth -= 1
        if self.depth == 0:
            self.seconds += time.perf_counter() - self.began

    @contextmanager
    def watching(self, *classifiers: PyTorchSpikingClassifier) -> Iterator["Clock"]:
        """A block in which every pass of their networks is timed."""
        backwards = torch.autograd.grad

        def timed(*arguments: Any, **options: Any) -> Any:
            self.start()
            try:
                return backwards(*arguments, **options)
            finally:
                self.stop()

        hooks = []
        for classifier in classifiers:
            hooks.append(classifier.model.register_forward_pre_hook(self.start))
            hooks.append(classifier.model.register_forward_hook(self.stop))
        try:
            with mock.patch.object(torch.autograd, "grad", timed):
                yield self
        finally:
            for hook in hooks:
                hook.remove()


def measured(subject: Subject, name: str, file: Path) -> None:
    """The attack of that name, unless the file holds it."""
    samples = subject.art if name == ART else len(subject.x)
    x, y = subject.x[:samples], subject.y[:samples]
    sources = [fingerprint("source", source, x[:0], y[:0]) for source in subject.sources]
    stages = [str(stage) for stage in resolve_plan(name, np.inf).stages] if name in PLANS else []
    key = fingerprint((name, subject.eps, sources, *stages), subject.classifier, x, y)
    content = earlier(file, "study", dict, lambda found: "outcomes" in found) or {}
    known = content.setdefault("outcomes", {})
    if key in known:
        return
    began = time.perf_counter()
    adversarial, queries, told = subject.attacks[name]()
    seconds = time.perf_counter() - began
    correct, robust = (
        predict_logits(subject.classifier, s, BATCH, 0).argmax(1) == y for s in (x, adversarial)
    )
    furthest = float(np.abs(adversarial - x).max(initial=0))
    assert furthest <= subject.eps + 1e-5, (name, furthest)
    ends = {"correct": as_json(correct), "robust": as_json(robust)}
    # What another plan of that name, or on other samples, has found is no part of this study.
    others = {k: found for k, found in known.items() if found["name"] != name}
    this = {"name": name, **ends, "queries": queries, "seconds": seconds, **told}
    write_result(file, content | {"outcomes": others | {key: this}})


def outcomes(content: Mapping[str, Any]) -> dict[str, Robustness]:
    """What the file holds, by the name of the attack."""
    return {
        found["name"]: Robustness(booleans(found["correct"]), booleans(found["robust"]))
        for found in content["outcomes"].values()
    }


def best(found: Mapping[str, Robustness], kind: str = PGD) -> str:
    """Of the attacks of a kind the one that flips most, chosen on these samples, in favour of it.

    By default the rule of PGD-7; "" where none of the kind was run."""
    names = [name for name in found if name.startswith(kind)]
    return max(names, key=lambda name: found[name].attack_success.count, default="")


def shown(content: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any], Robustness]]:
    """Attacks of the table: what papers report, the best rule, and what needs no choosing."""
    found = outcomes(content)
    one = {PAPER: "", best(found): " (best of all rules)"}
    one |= {best(found, ALONE): " (best stage of standard)"} | dict.fromkeys([ART, *PLANS], "")
    for name, words in one.items():
        for cell in content["outcomes"].values():
            if cell["name"] == name:
                yield f"{name.removeprefix(ALONE)}{words}", cell, found[name]


def first(outcome: Robustness, samples: int) -> Robustness:
    """The outcome on the first samples."""
    return Robustness(outcome.correct[:samples], outcome.robust[:samples])


def render(title: str, content: Mapping[str, Any]) -> str:
    """A row per attack."""
    titles = [
        "attack",
        "success",
        "robust accuracy",
        "queries",
        "seconds per sample",
        "against PGD-7",
        "against best",
    ]
    found = outcomes(content)
    rows = []
    for words, cell, outcome in shown(content):
        samples = len(outcome.correct)
        less = "" if samples == len(found[PAPER].correct) else f", first {samples} samples"
        others = (first(found[name], samples) for name in (PAPER, best(found)))
        rows.append(
            (
                words + less,
                str(outcome.attack_success),
                str(outcome.robust_accuracy),
                f"{cell['queries']:,.0f}",
                f"{cell['seconds'] / samples:.2g}",
                *(describe_difference(outcome, other) for other in others),
            )
        )
    parts = [title, tables.Table(titles, rows), tables.Notes(list(notes(content)))]
    return tables.render(parts, "markdown")


def notes(content: Mapping[str, Any]) -> Iterator[str]:
    """What the table does not say."""
    found = outcomes(content)
    standard, art = first(found["standard"], len(found[ART].correct)), found[ART]
    ours, theirs, p = paired_difference(standard, art)
    yield (
        f"On the {len(art.correct)} samples of ART's AutoAttack standard flips {ours} that it does "
        f"not, and it {theirs} that standard does not ({format_p(p)})."
    )
    cells = {cell["name"]: cell for cell in content["outcomes"].values()}
    counts = [f"{stage}: {count}" for stage, count in cells["standard"]["stages"].items() if count]
    yield f"Broken by the stages of standard: {'; '.join(counts) or 'none'}."
    outside = (f"{plan} {100 * cells[plan]['outside']:.0f} %" for plan in PLANS)
    yield f"Time outside the networks' forwards and backwards: {', '.join(outside)}."


def draw(ax: Axes, content: Mapping[str, Any]) -> None:
    """Success with its interval against queries per sample."""
    colours = {PAPER: COLOURS["stbp"], ART: GREY} | dict(zip(PLANS, SERIES[2:], strict=False))
    for words, cell, outcome in shown(content):
        share = outcome.attack_success
        low, high = (100 * abs(end - share.value) for end in share.interval)
        other = SERIES[5] if cell["name"].startswith(ALONE) else COLOURS["rga"]
        colour = colours.get(cell["name"], other)
        queries, value = cell["queries"], 100 * share.value
        ax.errorbar(queries, value, [[low], [high]], fmt="o", color=colour, label=words, capsize=3)
    ax.set(xscale="log", xlabel="queries per sample", ylabel="attack success [%]")
    ax.grid(alpha=0.3)
    ax.legend(frameon=False, fontsize="small", loc="best")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Attacks that need no choosing, on one network.")
    add = parser.add_argument
    add("--data", default="digits", help="as in art-snn train")
    add("--root", default="data")
    add("--value-range", type=float, nargs=2, help="of event frames")
    add("--checkpoint", type=Path, help="a trained network; --small draws weights")
    add("--sources", type=Path, nargs="*", default=[], help="networks to transfer from")
    add("--eps", type=ratio, default=8 / 255, help="budget in the maximum norm, such as 8/255")
    add("--samples", type=int, default=200, help="test samples under attack")
    add("--art-samples", type=int, help="how many of them ART's AutoAttack is given, which is slow")
    add("--alone", action="store_true", help="every stage of standard alone, too")
    add("--output", type=Path, default=Path("auto-attack"))
    add("--threads", type=int)
    add("--device", default="gpu", choices=("gpu", "cpu"))
    add("--small", action="store_true")
    return parser.parse_args()


def load_network(data: Dataset, chosen: argparse.Namespace, path: Path | None) -> tuple[Any, str]:
    """A network as ART sees it, and what it is."""
    small = Architecture(width=1 / 16, steps=2)
    subject = Network(small if chosen.small else Architecture(), path, Source())
    classifier = subject.classifier(data, chosen.device)
    made = subject.settle(data)
    return classifier, f"{made.model}, width {made.width:g}, T = {made.steps}, decay {made.decay:g}"


def main() -> None:
    chosen = parse()
    require(chosen.small or chosen.checkpoint, "--checkpoint", "weights", "none", "art-snn train.")
    if chosen.threads is not None:
        torch.set_num_threads(chosen.threads)
    limits = None if chosen.value_range is None else tuple(chosen.value_range)
    data = Source(data=chosen.data, root=chosen.root, value_range=limits).load()
    if chosen.small:
        data, chosen.output = subset(data, train=200, test=8), chosen.output / "small"
    classifier, words = load_network(data, chosen, chosen.checkpoint)
    samples = min(chosen.samples, len(data.x_test))
    subject = Subject(
        classifier,
        data.x_test[:samples],
        data.y_test[:samples],
        chosen.eps,
        tuple(load_network(data, chosen, source)[0] for source in chosen.sources),
        min(samples, 2 if chosen.small else chosen.art_samples or samples),
        chosen.alone,
    )
    file = chosen.output / "auto_attack.json"
    for name in subject.attacks:
        measured(subject, name, file)
    content = earlier(file, "study", dict, bool) or {}
    accuracy = outcomes(content)[PAPER].clean_accuracy
    title = (
        f"{words}, on {data.name}: {accuracy} of {samples} samples classified correctly. Budget "
        f"{subject.eps:.4g} in the maximum norm. {describe_machine(chosen.device)}."
    )
    text = render(title, content)
    write_text(chosen.output / "auto_attack.md", text)
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    draw(figure.subplots(), content)
    figure.suptitle(f"{words}, on {data.name}", fontsize="medium")
    figure.savefig(chosen.output / "auto_attack.png", dpi=110)
    print(text)


if __name__ == "__main__":
    main()
