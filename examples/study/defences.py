"""Defences side by side: what papers report of them, and what attacks that adapt leave.

    python examples/study/defences.py --data data/eurosat32_10k.npz --seeds 0 1 \
        --output results/defences
    python examples/study/defences.py --data nmnist-binary.npz --value-range 0 1 --width 0.125 \
        --epochs 20 --train-eps 0.05 --kinds plain at trades rat sr mpd-sgr tgo mppd stog \
        --output results/defences-nmnist

Trains one network plainly and one by every defence, by one recipe and against one attack. Attacks
as papers run them come first, then art-snn evaluate. On event frames the budgets are flips and
moved spikes, for which papers have no attack. A run that was interrupted goes on where it stopped.
"""

import argparse
from collections.abc import Mapping, Sequence
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from random_encoders import VOTES, right
from setting import ratio

from art_snn import PyTorchSpikingClassifier
from art_snn.app import tables
from art_snn.app.architecture import Architecture
from art_snn.app.cli import run_command
from art_snn.app.evaluation.record import Evaluation, read_evaluation
from art_snn.app.evaluation.verdict import count_words, format_eps, verdicts
from art_snn.app.network import ResolvedNetwork
from art_snn.app.results import read_result, write_result
from art_snn.app.tables import GREY, SERIES
from art_snn.attacks import craft, parse_stage, require_measure, resolve_plan
from art_snn.bounds import certify_bounds
from art_snn.classifier import wrap
from art_snn.data import NAMES, Source
from art_snn.encoders import Direct, draws as is_drawn
from art_snn.files import write_arrays, write_text
from art_snn.gradients import BPTR, EOT, RGA, STBP, Gradient
from art_snn.gradients.surrogates import ATan, Sigmoid
from art_snn.metrics import Share, certify
from art_snn.modulation import gates_of
from art_snn.randomness import is_random
from art_snn.seeding import fix_seed

KINDS: Mapping[str, Mapping[str, str]] = {
    "plain": {},
    "at": {"defence": "at"},
    "trades": {"defence": "trades"},
    "rat": {"defence": "rat"},
    "sr": {"defence": "sr"},
    "mpd-sgr": {"defence": "mpd-sgr"},
    "tgo": {"defence": "tgo", "modulation": "noise(sigma=0.2)"},
    "mppd": {"defence": "mppd", "modulation": "gains"},
    "feel": {"defence": "at", "encoder": "frequency"},
    "stog": {"defence": "stog", "modulation": "gates"},
    "sqe": {"defence": "at", "encoder": "sqe(levels=2)"},
}
"""Options of art-snn train. StoG's gates and SQE draw, at test too."""
PAPERS: Mapping[str, tuple[str, Gradient]] = {
    "FGSM": ("fgsm", STBP()),
    "PGD-7": ("pgd-7", STBP()),
    "PGD-40": ("pgd-7(max_iter=40)", STBP()),
    "PGD-100": ("pgd-7(max_iter=100)", STBP()),
    "APGD": ("apgd", STBP()),
    "PGD-7, sigmoid": ("pgd-7", STBP(surrogate=Sigmoid(4))),
    "PGD-7, atan": ("pgd-7", STBP(surrogate=ATan(2))),
    "PGD-7, BPTR": ("pgd-7", BPTR()),
}
"""Attacks of the defences' papers: their surrogate is a triangle of width 1, SR has three more."""
OURS, AVERAGED, LONGER = "PGD-7, RGA", "PGD-7, EOT", "PGD-7, EOT of 50"
TRANSFER = "APGD, no draws"
DRAWN = ("PGD-7", AVERAGED, LONGER, TRANSFER)
"""Of networks that draw: gradients of ten and 50 draws, and of the same weights without draws."""
OWN: Mapping[str, Sequence[str]] = {
    "sr": ("PGD-7", "PGD-7, sigmoid", "PGD-7, atan", "PGD-7, BPTR"),
    "stog": (AVERAGED,),
}
"""Rules by which a paper judges its own defence, all of which a sample must survive; else STBP."""
RADIUS = 0.02
"""The l1 norm up to which a vote is asked for its certificate: it has none in the maximum norm."""
BUDGETS = {"0": 4, "shift": 1}
"""Of event frames: values that change, and steps that a spike is moved."""
CHANGES = {"0": "four values flipped", "shift": "spikes moved by a step"}
BATCH = 50


@dataclass(frozen=True)
class Study:
    """What is trained, attacked and evaluated, by the options of the command line."""

    options: argparse.Namespace

    @property
    def source(self) -> Source:
        """The data."""
        limits = self.options.value_range
        return Source(data=self.options.data, value_range=None if limits is None else (*limits,))

    def run(self, command: str, output: Path, **given: object) -> None:
        """Run a command of art-snn on the data of the study; options that are None are left out."""
        given |= {name: getattr(self.options, name) for name in ("data", "threads", "device")}
        limits = self.options.value_range
        given["value-range"] = None if limits is None else ",".join(map(str, limits))
        words = [command, "--output", str(output)]
        for name, value in given.items():
            flag = f"--{name}".replace("_", "-")
            for one in value if isinstance(value, list) else [value]:
                words += [] if one is None else [flag] if one is True else [flag, str(one)]
        status = run_command(words)
        if status:
            raise SystemExit(status)

    def train(self, kind: str, seed: int) -> Path:
        """The folder of a network, trained now where its weights are missing."""
        options, folder = self.options, self.options.output / name(kind, seed)
        if (folder / "training.json").exists():
            return folder
        fields = ("model", "width", "decay", "epochs", "learning_rate")
        given: dict[str, object] = {field: getattr(options, field) for field in fields}
        given |= {"optimizer": "adam", "crop_padding": 0, "cutout": 0, "seed": seed}
        named = Path(options.data).name in NAMES
        given["steps"] = None if options.value_range else options.steps
        # Digits and events would change their classes, images seen from above do not.
        given["no-flip" if options.value_range else "flip"] = None if named else True
        if KINDS[kind]:
            attack = f"pgd(max_iter=2, eps_step={0.75 * options.train_eps})"
            given |= {"attack": attack, "eps": options.train_eps, "attack_rule": "stbp"}
        self.run("train", folder, **given, **KINDS[kind])
        (folder / "training.pt").unlink()
        return folder

    def evaluate(
        self, folder: Path, plan: str, norm: str, eps: float, adversarials: Sequence[Path] = ()
    ) -> Evaluation:
        """How robust it is under a plan, which tries adversarials first."""
        output = folder / f"{plan}-{norm}-{self.options.samples}{'-papers' if adversarials else ''}"
        given: dict[str, object] = {"checkpoint": folder / "network.safetensors", "plan": plan}
        given |= {"norm": norm, "eps": eps, "samples": self.options.samples}
        self.run("evaluate", output, **given, adversarials=[*adversarials])
        return read_evaluation(output).evaluation

    def row(self, kind: str, seed: int) -> dict[str, Any]:
        """What is kept of a network: counts of samples."""
        folder, options = self.train(kind, seed), self.options
        data, count = self.source.load(), options.samples
        file = folder / f"row-{count}.json"
        if file.exists():
            return dict(read_result(file))
        budgets = BUDGETS if data.events else {"inf": options.eps}
        row: dict[str, Any] = {"samples": min(count, len(data.y_test)), "left": {}}
        for norm, eps in budgets.items():
            row["left"][norm] = summary(self.evaluate(folder, options.plan, norm, eps))
        if not data.events:
            subject = ResolvedNetwork(Architecture(), folder / "network.safetensors", self.source)
            classifier = subject.classifier(data, options.device)
            x, y = data.x_test[:count], data.y_test[:count]
            stands = np.array(row["left"]["inf"].pop("stands"), dtype=bool)
            place = folder / f"papers-{count}"
            row["papers"] = papers(classifier, x, y, options.eps, place, kind)
            files = sorted(place.glob("*.npz"))
            outcome = self.evaluate(folder, "fast", "inf", options.eps, files).trials[-1].outcome
            submitted = [n for n, one in enumerate(outcome.stages) if one.status == "submitted"]
            broken = np.isin(outcome.stage, submitted)
            row["papers"]["all"] = int((~broken & (outcome.stage != outcome.WRONG)).sum())
            # Where the network draws, eleven predictions of many adversarials find some by chance.
            rows = np.flatnonzero(broken & stands)
            again = [right(classifier, np.load(one)["x"][rows], y[rows], VOTES) for one in files]
            row |= {"eleven": len(rows), "found": int((~np.all(again, axis=0)).sum())}
            row |= gradients(classifier, x, y) | certified(classifier, x, y, options.eps)
        write_result(file, row)
        return row


def name(kind: str, seed: int) -> str:
    """The name of a network."""
    return f"{kind}-{seed}" if seed else kind


def summary(found: Evaluation) -> dict[str, Any]:
    """What a plan left, what its strongest stage was, and what casts doubt on it."""
    verdict, usual, plan = verdicts(found)[-1], found.trials[0].robustness, found.trials[-1]
    robust = verdict.outcome.correct & verdict.outcome.robust
    labels = {one.id: one.label for one in plan.outcome.stages}
    # The plan fast is the beginning of standard, with the same seeds.
    fast = {one.record().id for one in resolve_plan("fast", require_measure(found.norm)).stages}
    early = [place for place, one in enumerate(plan.outcome.stages) if one.id in fast]
    stands = verdict.outcome.correct & usual.robust & ~np.isin(plan.outcome.stage, early)
    most = max(plan.outcome.broken_by.items(), key=lambda pair: pair[1], default=("", 0))
    return {
        "clean": int(verdict.outcome.correct.sum()),
        "usual": int(usual.robust_accuracy.count),
        "fast": int(stands.sum()),
        "left": int(robust.sum()),
        "stands": robust.astype(int).tolist(),
        "strongest": labels.get(most[0], ""),
        "findings": sorted({one.title for one in verdict.findings}),
    }


def papers(
    classifier: PyTorchSpikingClassifier,
    x: np.ndarray,
    y: np.ndarray,
    eps: float,
    place: Path,
    kind: str,
) -> dict[str, int]:
    """What every attack of papers leaves, and the rules that a defence's own paper takes.

    Adversarials go into files in that place, one per attack, for art-snn evaluate."""
    attacks = {**PAPERS, OURS: ("pgd-7", RGA())}
    random = is_random([classifier.predict(x[:BATCH]) for _ in range(2)], y[:BATCH])
    if random:
        attacks |= {AVERAGED: ("pgd-7", EOT(STBP())), LONGER: ("pgd-7", EOT(STBP(), samples=50))}
        attacks |= {TRANSFER: ("apgd", STBP())}
    clean = right(classifier, x, y, VOTES if random else 1)
    stands = {"clean": clean}
    for label, (text, rule) in attacks.items():
        stage = parse_stage(text, np.inf, eps)
        size = BATCH // 5 if label == LONGER else BATCH  # All graphs are kept.
        limits: dict[str, Any] = {"norm": np.inf, "eps": eps, "batch_size": size, "seed": 0}
        subject = without_draws(classifier) if label == TRANSFER else classifier
        adversarial = craft(stage, rule, subject, x, y, progress_label=label, **limits)
        # A paper predicts once; art-snn evaluate takes what most of eleven draws say.
        stands[label] = clean & right(classifier, adversarial, y, 1)
        if label != OURS:
            write_arrays(place / f"{label.replace(', ', '-')}.npz", x=adversarial)
    # A network that hardly fires shows no randomness, and is attacked without averages.
    own = [label for label in OWN.get(kind, ()) if label in stands] or ["PGD-7"]
    stands["own"] = np.all([stands[label] for label in own], axis=0)
    return {label: int(rows.sum()) for label, rows in stands.items()}


def without_draws(classifier: PyTorchSpikingClassifier) -> PyTorchSpikingClassifier:
    """The same weights under direct encoding, and gates that pass the mean of their draws."""
    network = deepcopy(classifier.model)
    if is_drawn(network.encoder):
        network.encoder = Direct(network.encoder.steps)
    for gates in gates_of(network):
        gates.forward = lambda spikes, gates=gates: spikes * gates.rho.clamp(0.1, 1)
    shape, limits = classifier.input_shape, classifier.clip_values
    return wrap(network, shape, classifier.nb_classes, limits, classifier.device.type)


def certified(
    classifier: PyTorchSpikingClassifier, x: np.ndarray, y: np.ndarray, eps: float
) -> dict[str, int]:
    """How many samples bounds certify within eps, or else a vote in the l1 norm, if either does."""
    with suppress(ValueError):
        return {"certified": certify_bounds(classifier, x, y, eps).certified_accuracy.count}
    with suppress(ValueError):
        vote = certify(classifier, x, y, batch_size=64, verbose=True)
        return {"voted": vote.certified_accuracy(radius=RADIUS).count}
    return {}


def gradients(
    classifier: PyTorchSpikingClassifier, x: np.ndarray, y: np.ndarray
) -> dict[str, float]:
    """Share of samples whose STBP gradient is 0, and the mean cosine with that of RGA."""
    found = []
    for rule in (STBP(), RGA()):
        parts = []
        with classifier.model.using(rule), fix_seed(0):
            for start in range(0, len(x), BATCH):
                rows = slice(start, start + BATCH)
                parts.append(classifier.loss_gradient(x[rows], y[rows]).reshape(len(x[rows]), -1))
        found.append(torch.as_tensor(np.concatenate(parts)).double())
    zero = ~found[0].any(1)
    cosine = torch.nn.functional.cosine_similarity(*found)[~zero]
    return {"zero": float(zero.double().mean()), "cosine": float(cosine.mean())}


def render(title: str, content: Mapping[str, Any]) -> str:
    """A row per training: what attacks leave of the first seed, and of all; then which attack saw
    what, of the first. The last table has the findings of all."""
    kinds = by_kind(content["rows"])
    first = {kind: rows[0] for kind, rows in kinds.items()}
    found = event_parts(first) if events(first) else parts(kinds)
    if len(content["rows"]) > len(kinds):
        found.insert(1, seeds(kinds))
    return tables.render([title, *found, *doubts(kinds)], "markdown")


def by_kind(rows: Mapping[str, Any]) -> dict[str, list[Any]]:
    """The rows of every training, one per seed."""
    kinds: dict[str, list[Any]] = {}
    for row in rows.values():
        kinds.setdefault(row["kind"], []).append(row)
    return kinds


def events(rows: Mapping[str, Any]) -> bool:
    """True for event frames."""
    return all("papers" not in row for row in rows.values())


def parts(kinds: Mapping[str, Sequence[Any]]) -> list[tables.Part]:
    """Tables of images, of the first seed; what papers alone break is also that of all seeds."""
    rows = {kind: seeds[0] for kind, seeds in kinds.items()}
    titles = ["clean", "FGSM", "PGD-7"]
    titles += [AVERAGED] if any(AVERAGED in row["papers"] for row in rows.values()) else []
    reach = ("own", OURS, "PGD-40", "PGD-100", "all")
    left = ["training", *titles, "fast", "left", "PGD-7 minus left", "certified"]
    more = ["training", "own rules", *reach[1:4], "all of papers", "broken by papers alone"]
    saw = [
        "training",
        "zero STBP gradients",
        "cosine of STBP and RGA",
        "strongest stage",
        "findings",
    ]
    most = max(len(seeds) for seeds in kinds.values())
    of_all = f"broken by papers alone, {most} seeds" if most > 1 else "broken by papers alone"
    draws = ["training that draws", *DRAWN, "left", of_all]
    heads: list[list[str]] = [left, more, saw, draws]
    cells: list[list[tuple[str, ...]]] = [[] for _ in heads]
    for kind, row in rows.items():
        total, one, end = row["samples"], row["papers"], row["left"]["inf"]
        points = f"{100 * (one['PGD-7'] - end['left']) / total:.1f}"
        proven = share(row.get("certified", row.get("voted")), total)
        proven += f" (l1, {RADIUS:g})" if "voted" in row else ""
        interval = str(Share(end["left"], total))
        shares = [share(one.get(label), total) for label in titles]
        cells[0].append((kind, *shares, share(end["fast"], total), interval, points, proven))
        shares = [share(one[label], total) for label in reach]
        cells[1].append((kind, *shares, beyond([row])))
        seen = f"{100 * row['zero']:.0f} %", f"{row['cosine']:.2f}", end["strongest"]
        cells[2].append((kind, *seen, str(len(end["findings"]))))
        if TRANSFER in one:
            shares = [share(one[label], total) for label in DRAWN]
            cells[3].append((kind, *shares, share(end["left"], total), beyond(kinds[kind])))
    pairs = zip(heads, cells, strict=True)
    return [tables.Table(head, some) for head, some in pairs if some]


def event_parts(rows: Mapping[str, Any]) -> list[tables.Part]:
    """The table of event frames."""
    titles = ["training", "clean"]
    for norm in ("flips", "moved spikes"):
        titles += [f"{norm}: with STBP", f"{norm}: left"]
    lines = []
    for kind, row in rows.items():
        ends, total = [row["left"][norm] for norm in BUDGETS], row["samples"]
        shares = [share(end[key], total) for end in ends for key in ("usual", "left")]
        lines.append((kind, share(ends[0]["clean"], total), *shares))
    return [tables.Table(titles, lines)]


def counts(row: Mapping[str, Any]) -> dict[str, int]:
    """Samples that are right without attack, and under attacks."""
    ends = row["left"]
    if "papers" not in row:
        left = {f"left, {CHANGES[norm]}": end["left"] for norm, end in ends.items()}
        return {"clean": next(iter(ends.values()))["clean"], **left}
    papers = row["papers"]
    found = {"clean": papers["clean"], "PGD-7": papers["PGD-7"], "all of papers": papers["all"]}
    return found | {"left": ends["inf"]["left"]}


def seeds(kinds: Mapping[str, Sequence[Any]]) -> tables.Table:
    """Means over seeds, with the lowest and the highest value."""
    lines = []
    for kind, rows in kinds.items():
        found = [{key: 100 * n / row["samples"] for key, n in counts(row).items()} for row in rows]
        cells = {title: spread([one[title] for one in found]) for title in found[0]}
        if "PGD-7" in cells:
            cells["PGD-7 minus left"] = spread([one["PGD-7"] - one["left"] for one in found])
        lines.append((kind, *cells.values()))
    return tables.Table([f"training, {len(rows)} seeds", *cells], lines)


def share(count: int | None, total: int) -> str:
    """A count in %; nothing where there is none."""
    return "" if count is None else Share(count, total).percent


def beyond(rows: Sequence[Any]) -> str:
    """How many samples only attacks of papers break, by most of 100 draws, and else of eleven."""
    found, eleven = (sum(row[key] for row in rows) for key in ("found", "eleven"))
    return f"{found} ({eleven} by eleven draws)" if eleven > found else str(found)


def spread(values: Sequence[float]) -> str:
    """A mean and its range."""
    return f"{np.mean(values):.1f} ({min(values):.1f} to {max(values):.1f})"


def doubts(kinds: Mapping[str, Sequence[Any]]) -> list[tables.Table]:
    """Findings, which cast doubt on the numbers, and the trainings of every seed that have them."""
    most = max(len(rows) for rows in kinds.values())
    found: dict[str, list[list[str]]] = {}
    for kind, rows in kinds.items():
        for number, row in enumerate(rows):
            words = {title for end in row["left"].values() for title in end["findings"]}
            for title in words:
                trainings = found.setdefault(title, [[] for _ in range(most)])
                trainings[number].append(kind)
    if not found:
        return []

    seeds = [f"seed {number} of {most}" for number in range(1, most + 1)]
    titles = ["finding", *seeds] if most > 1 else ["finding", "trainings"]
    lines = [
        (title, *(", ".join(some) or "none" for some in trainings))
        for title, trainings in sorted(found.items())
    ]
    return [tables.Table(titles, lines, words=1 + most)]


def draw(ax: Axes, rows: Mapping[str, Any]) -> None:
    """Accuracies of the first seed of every training with their intervals, and dots of others."""
    kinds = by_kind(rows)
    keys = [key for key in counts(next(iter(rows.values()))) if key != "all of papers"]
    for number, key in enumerate(keys):
        places, colour = np.arange(len(kinds)) + 0.27 * (number - 1), (GREY, *SERIES)[number]
        found = [
            [Share(counts(one)[key], one["samples"]) for one in some] for some in kinds.values()
        ]
        values = 100 * np.array([some[0].value for some in found])
        reach = np.abs(100 * np.array([some[0].interval for some in found]).T - values)
        label = "as papers attack: PGD-7" if key == "PGD-7" else key
        ax.bar(places, values, 0.25, yerr=reach, color=colour, label=label)
        for place, some in zip(places, found, strict=True):
            for other in some[1:]:
                ax.plot(place, 100 * other.value, "o", color="white", mec="black", ms=4)
    ax.set(xticks=range(len(kinds)), xticklabels=list(kinds), ylabel="accuracy [%]")
    ax.set(ylim=(0, 100), axisbelow=True)
    ax.grid(alpha=0.3, axis="y")
    ax.legend(frameon=False, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Defences side by side.")
    add = parser.add_argument
    add("--data", default="digits", help="as in art-snn train")
    add("--value-range", type=float, nargs=2, help="of event frames")
    add("--kinds", nargs="+", default=list(KINDS), choices=KINDS, help="of training")
    add("--seeds", type=int, nargs="+", default=[0], help="of weights and order of the samples")
    add("--model", default="vgg5")
    add("--width", type=float, default=0.25)
    add("--steps", type=int, default=4, help="time steps T of images")
    add("--decay", type=float, default=0.5)
    add("--epochs", type=int, default=10)
    add("--learning-rate", type=float, default=0.005, help="of Adam")
    add("--train-eps", type=ratio, default=2 / 255, help="budget of the attack in training")
    add("--eps", type=ratio, default=2 / 255, help="budget of the evaluation of images")
    add("--samples", type=int, default=200, help="test samples under attack")
    add("--plan", default="standard", choices=("standard", "fast"))
    add("--threads", type=int)
    add("--device", default="gpu", choices=("gpu", "cpu"))
    add("--output", type=Path, default=Path("results/defences"))
    add("--small", action="store_true")
    options = parser.parse_args()
    if options.small:
        small: dict[str, Any] = {"width": 1 / 16, "steps": 2, "epochs": 1, "samples": 8}
        vars(options).update(small, plan="fast", output=options.output / "small")
    return options


def main() -> None:
    options = parse()
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    study = Study(options)
    rows = {
        name(kind, seed): {"kind": kind, **study.row(kind, seed)}
        for seed in options.seeds
        for kind in options.kinds
    }
    image = not events(rows)
    epochs = count_words(options.epochs, "epoch")
    title = f"{options.model} of width {options.width:g}, {epochs} of Adam, "
    budget = format_eps("inf", options.train_eps)
    title += f"defences trained at {budget} against PGD of two steps with STBP; "
    title += f"{max(row['samples'] for row in rows.values())} test samples of {study.source.name}"
    budget = format_eps("inf", options.eps)
    title += f", attacked at {budget}; T = {options.steps}." if image else "."
    content = {"rows": rows}
    write_result(options.output / "defences.json", content)
    text = render(title, content)
    write_text(options.output / "defences.md", text)
    figure = Figure(figsize=(10, 4), layout="constrained")
    draw(figure.subplots(), rows)
    figure.savefig(options.output / "defences.png", dpi=110)
    print(text)


if __name__ == "__main__":
    main()
