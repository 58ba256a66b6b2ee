"""What an evaluation measured, sample by sample, and the files that hold it."""

from collections.abc import Iterable, Iterator, Sized
from dataclasses import dataclass, field
from datetime import datetime, timezone
from math import inf
from pathlib import Path

import numpy as np
from numpy import ndarray
from numpy.typing import ArrayLike, NDArray

from art_snn.app.results import expect, read_result
from art_snn.attacks import MEASURES, Outcome, predict_logits
from art_snn.checks import (
    FILE,
    LARGEST_BUDGET,
    SEEDS,
    ArgumentError,
    expand_path,
    invalid,
    printable,
    refusing,
    require,
    require_kind,
)
from art_snn.classifier import PyTorchSpikingClassifier
from art_snn.files import LARGEST, read_arrays, write_arrays
from art_snn.findings import Finding
from art_snn.metrics import Certificate, Robustness

Mask = NDArray[np.bool_]
"""Some of the samples, bool (N,)."""
NORMS = {one.id: one.title for one in MEASURES}
"""Every norm, and what its budgets are in or count."""
SIZES = tuple(one.id for one in MEASURES if not one.counted)
"""Norms in which a budget is a size; in the others it is a number."""
RESULT = "evaluation.json"
EXAMPLES = "examples.npz"
DECIDED = "decided.npz"
EXCERPT = "first.npz"
"""Files in the folder of an evaluation."""
EXCERPT_COUNT = 20
"""Samples that an excerpt holds, at most."""
LONGEST_NAME = 80
"""Characters of the name of an evaluation: it stands in titles and legends."""
_BUDGET = f"a budget above 0, up to {LARGEST_BUDGET:g}"
_LARGEST = 2**28
"""Bytes that examples may take, unpacked: eight samples of a page, and their adversarials."""
NEURONS = 24
"""Neurons of each layer whose spikes are kept, at most."""
NAME = f"a name in one line, of 1 to {LONGEST_NAME} characters"


def _expect_within(values: ArrayLike, least: float, most: float, expected: str) -> None:
    """Raise a ValueError unless all values are numbers from the least to the most."""
    numbers = np.asarray(values)
    odd = numbers[~((numbers >= least) & (numbers <= most))]
    expect(not len(odd), expected, odd[:1].tolist())


def _expect_alike(columns: Iterable[Sized]) -> None:
    """Raise a ValueError unless all columns are of as many samples, one or more."""
    sizes = sorted({*map(len, columns)})
    fits = len(sizes) == 1 and sizes[0]
    expect(fits, "columns of as many samples each, one or more", sizes)


@dataclass(frozen=True)
class Trial:
    """One attack, or one plan of attacks, at one budget on all samples of an evaluation.

    :param name: of the plan, or the attack with its rule: "standard", "PGD-7 by stbp".
    :param eps: budget in the norm of the evaluation.
    :param outcome: which stage broke which sample; without adversarials and times."""

    name: str
    eps: float
    outcome: Outcome

    def __post_init__(self) -> None:
        outcome = self.outcome
        _expect_alike(getattr(outcome, name) for name in Outcome.COLUMNS)
        last = len(outcome.stages) - 1
        first = Outcome.UNANSWERED
        _expect_within(outcome.stage, first, last, f"stages from {first} to {last}")
        expect(0 < self.eps <= LARGEST_BUDGET, _BUDGET, self.eps)
        _expect_within(
            (outcome.forwards, outcome.backwards), 0, inf, "passes of at least 0"
        )
        draws = outcome.draws
        expected = f"votes from 0 to {draws}, one or more"
        expect(draws > 0, expected, draws)
        _expect_within(outcome.votes, 0, draws, expected)
        # Rounding takes an adversarial no farther out of the ball.
        farthest = 1.01 * self.eps
        _expect_within(outcome.distance, 0, farthest, f"distances from 0 to {self.eps:g}")

    @property
    def robustness(self) -> Robustness:
        """Shares with their intervals."""
        return self.outcome.robustness

    @property
    def decided(self) -> Mask:
        """Samples that the exact search broke, bool (N,)."""
        stages = [
            place
            for place, one in enumerate(self.outcome.stages)
            if one.status == "decided"
        ]
        return np.isin(self.outcome.stage, stages)


@dataclass(frozen=True)
class Bounds:
    """What bounds prove of each sample at one budget.

    :param eps: budget in the norm of the evaluation.
    :param method: that bounded the spikes.
    :param margin: lower bound of the true class's logit minus the largest other one
        within the budget (N,); -inf where there is none, NaN where the exact search
        proved the sample."""

    eps: float
    method: str
    margin: NDArray[np.float64]

    @property
    def certified(self) -> Mask:
        """Samples that are classified correctly everywhere within the budget, bool (N,)."""
        return (self.margin > 0) | self.decided

    @property
    def decided(self) -> Mask:
        """Those that the exact search proved, bool (N,)."""
        return np.isnan(self.margin)


@dataclass(frozen=True)
class Provenance:
    """All that is needed to reproduce an evaluation.

    :param command: the command as it was typed, art-snn or a script.
    :param versions: of art_snn, Python and the packages that took part, by name.
    :param commit: of the folder that the command was typed in, or "".
    :param seed, block, batch_size, examined: settings of the command.
    :param rules: the rules of the attacks, by name, with their hyperparameters.
    :param weights, data: digests of the network's form and weights, of samples and labels.
    :param device, threads: name of the processor or the card; threads of torch on the CPU.
    :param sources: digests of the networks to transfer from, in their order.
    :param seconds: that its parts took together, on however many processes.
    :param steps: T of the network; None where the model makes its own.
    :param encoder: in words.
    :param shape: of a sample.
    :param dataset: name of the data.
    :param parameters: number of the network's parameters.
    :param training: of the weights, in words; "" if unknown.
    :param value_range: (low, high) of the samples' values; None if unknown.
    :param milliseconds: that a time step of event frames lasts; None if unknown."""

    command: str
    versions: dict[str, str]
    commit: str
    seed: int
    block: int
    batch_size: int
    rules: dict[str, str]
    weights: str
    data: str
    device: str
    threads: int
    examined: int
    sources: tuple[str, ...]
    seconds: float
    steps: int | None
    encoder: str
    shape: tuple[int, ...]
    dataset: str
    parameters: int
    training: str
    value_range: tuple[float, float] | None = None
    milliseconds: float | None = None

    def __post_init__(self) -> None:
        expect(self.examined >= 0, "samples of at least 0", self.examined)
        smallest = min(self.block, self.batch_size)
        expect(smallest > 0, "a block and batch size of at least 1", smallest)
        expect(0 <= self.seed <= SEEDS, f"a seed from 0 to {SEEDS}", self.seed)


@dataclass(frozen=True)
class Evaluation:
    """How robust a network is, sample by sample, and what casts doubt on the number.

    :param name: of the network, by which people tell results apart; see :func:`name_from`.
    :param title: network and data in words; key: fingerprint of settings, weights and samples.
    :param norm: "inf", "2", "0" (values that change), or "shift" (time steps).
    :param plan: name of the plan among the trials that decides, or "" for the union of all.
    :param samples: digest of each sample, by which results are paired.
    :param labels, clean: true classes, and predicted ones; -1 without a prediction.
    :param trials: what each attack achieved at each budget; one trial per name and budget.
    :param findings: about "network", "RULE gradients", or the name of a trial.
    :param date: when it was finished, in UTC as ISO 8601 has it.
    :param certificate: of all samples, where it was asked for.
    :param bounds: what is proven at each budget; nothing where bounds were not asked for.
    :param operations: of each layer by its name: neurons, synapses, spikes and synaptic operations
        per sample; nothing where they cannot be counted. A dense input has no spikes.
    :param noise: how many samples are right after one random change of each budget.
    :param peers: what attacks leave of networks of the zoo on the same data, in a sentence.
    :param best_rule: the rule to attack with, by its name; "" where rules were named."""

    name: str
    title: str
    date: str
    key: str
    norm: str
    plan: str
    samples: tuple[str, ...]
    labels: tuple[int, ...]
    clean: tuple[int, ...]
    trials: tuple[Trial, ...]
    findings: tuple[Finding, ...]
    provenance: Provenance
    certificate: Certificate | None = None
    bounds: tuple[Bounds, ...] = ()
    operations: dict[str, tuple[float, ...]] = field(default_factory=dict)
    noise: tuple[int, ...] = ()
    peers: str = ""
    best_rule: str = ""

    def __post_init__(self) -> None:
        expect(self.name == name_from(self.name), NAME, self.name)
        columns: list[Sized] = [self.samples, self.labels, self.clean]
        columns += [trial.outcome.stage for trial in self.trials]
        columns += [bounds.margin for bounds in self.bounds]
        if self.certificate is not None:
            region = self.certificate.region.size
            columns += [region, self.certificate.predicted, self.certificate.correct]
            expected = f"regions of a size from 0 to {LARGEST_BUDGET:g}"
            _expect_within(region, 0, LARGEST_BUDGET, expected)
        _expect_alike(columns)
        expect(self.trials, "one trial or more", [])
        expect(self.norm in NORMS, f"a norm among {', '.join(NORMS)}", self.norm)
        pairs = [(trial.name, trial.eps) for trial in self.trials]
        twice = [pair for pair in pairs if pairs.count(pair) > 1]
        expect(not twice, "one trial of a name at a budget", twice[:1])
        expect(
            self.plan in ("", *self.names), "the name of a trial, or nothing", self.plan
        )
        _expect_within(self.labels, 0, inf, "labels of at least 0")
        _expect_within(self.clean, -1, inf, "clean of at least -1")
        for finding in self.findings:
            eps = finding.eps
            expect(
                eps is None or 0 < eps <= LARGEST_BUDGET, f"findings at {_BUDGET}", eps
            )
        try:
            datetime.fromisoformat(self.date).astimezone(timezone.utc)
        except (ValueError, OverflowError):
            expect(False, "a date in ISO 8601", self.date)
        budgets = [*self.budgets]
        bounded = sorted(bounds.eps for bounds in self.bounds)
        expect(bounded in ([], budgets), f"bounds at {budgets}", bounded)
        expect(len(self.noise) in (0, len(budgets)), "noise of each budget", self.noise)
        _expect_within(self.noise, 0, len(self.samples), "noise that leaves samples")
        for row in self.operations.values():
            holds = len(row) == 4 and min(row) >= 0 and row[0]
            expect(holds, "four numbers of a layer, none below 0", row)
        examined = self.examined.robust
        for trial in self.trials:
            certified = self.certified(trial.eps)
            standing = trial.outcome.stage == Outcome.STANDING
            refuted = self.bounds and (certified & ~(standing & examined)).any()
            expect(not refuted, "certified samples that nothing breaks", [trial.eps])

            unasked = standing & (trial.outcome.forwards == 0) & ~certified
            rows = np.flatnonzero(unasked)[:1].tolist()
            expect(
                not rows, "passes of attacks that samples stand, unless certified", rows
            )

    @property
    def certifies(self) -> bool:
        """True if it says which samples are certified at its budgets: by bounds, or by draws."""
        return bool(self.bounds) or self._flips is not None

    @property
    def _flips(self) -> Certificate | None:
        """The certificate, where it is of what the budgets count."""
        one = self.certificate if self.norm == "0" else None
        return one if one is not None and "flips" in one.region.changes else None

    def certified(self, eps: float) -> Mask:
        """Samples that are certified at that budget or a larger one, bool (N,)."""
        certified = np.zeros(len(self.samples), dtype=bool)
        for bounds in self.bounds:
            if bounds.eps >= eps:
                certified |= bounds.certified
        if self._flips is not None:
            certified |= self._flips.certified(flips=int(eps))
        return certified

    @property
    def examined(self) -> Robustness:
        """The outcome of all that looked for findings, within the smallest budget."""
        broken = [row for one in self.findings for row in one.broken]
        robust = ~np.isin(np.arange(len(self.samples)), broken)
        return Robustness(self.trials[0].robustness.correct, robust)

    @property
    def budgets(self) -> tuple[float, ...]:
        """The budgets, from small to large."""
        return tuple(sorted({trial.eps for trial in self.trials}))

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the trials, in their order."""
        return tuple(dict.fromkeys(trial.name for trial in self.trials))

    @property
    def single_attack(self) -> str | None:
        """The name of the first attack next to the plan, usually PGD-7 by stbp; None without."""
        return next((name for name in self.names if name != self.plan), None)

    def at(self, eps: float) -> dict[str, Trial]:
        """The trials of one budget, by name."""
        return {trial.name: trial for trial in self.trials if trial.eps == eps}


def name_from(text: str) -> str:
    """The name of a file or a folder as one of an evaluation: short, in one line, not blank."""
    return " ".join(printable(text).split())[:LONGEST_NAME].strip() or "evaluation"


@dataclass(frozen=True)
class Examples:
    """Samples that one trial broke.

    :param trial: name of the trial; eps: its budget.
    :param rows: numbers of the samples in the evaluation, from 0 (k,).
    :param x, adversarial: samples, and what the trial made of them ``(k, *input_shape)``.
    :param predicted: classes that the network takes the adversarials for (k,).
    :param layers: names of the layers of neurons (L,); none where spikes were not recorded.
    :param rates: spikes per neuron and step, without and with the attack (2, L).
    :param spikes: of some neurons in the first sample, without and with the attack (2, T, M).
    :param owners: the layer of each of these neurons, from 0 (M,)."""

    trial: str
    eps: float
    rows: ndarray
    x: ndarray
    adversarial: ndarray
    predicted: ndarray
    layers: ndarray = field(default_factory=lambda: np.zeros(0, str))
    rates: ndarray = field(default_factory=lambda: np.zeros((2, 0)))
    spikes: ndarray = field(default_factory=lambda: np.zeros((2, 0, 0), bool))
    owners: ndarray = field(default_factory=lambda: np.zeros(0, int))

    def __post_init__(self) -> None:
        _expect_alike((self.rows, self.x, self.predicted))
        shapes = self.x.shape, self.adversarial.shape
        alike = shapes[0] == shapes[1] and np.isfinite((self.x, self.adversarial)).all()
        expect(alike, "samples and adversarials alike in shape, of finite values", shapes)
        kinds = self.rows.dtype.kind, self.predicted.dtype.kind
        expect({*kinds} <= {*"iu"}, "rows and predicted classes as whole numbers", kinds)
        layers = len(self.layers)
        spikes = self.spikes
        owners = self.owners
        forms = (self.rates.shape, spikes.shape[::2], owners.shape)
        fits = forms == ((2, layers), (2, len(owners)), (len(owners),))
        fits &= spikes.ndim == 3 and spikes.dtype == bool
        fits &= owners.dtype.kind in "iu" and {*owners.tolist()} <= {*range(layers)}
        expect(
            fits and np.isfinite(self.rates).all(),
            "rates and spikes of the layers",
            forms,
        )

    def write(self, folder: Path) -> None:
        """Write them into the folder of the evaluation."""
        write_arrays(folder / EXAMPLES, **vars(self))

    @classmethod
    def read(cls, folder: Path) -> "Examples":
        """Those of an evaluation's folder.

        :raises FileNotFoundError: when there are none.
        :raises ValueError: when the file is damaged or holds something else."""
        path = folder / EXAMPLES
        expected = "samples next to their adversarials"
        remedy = "Rerun the evaluation in the same folder; it resumes."
        arrays = read_arrays(path, "examples", expected, remedy, largest=_LARGEST)
        with refusing("examples", expected, f"{path}, which holds other arrays", remedy):
            return cls(str(arrays.pop("trial")), float(arrays.pop("eps")), **arrays)


@dataclass(frozen=True)
class ReportItem:
    """An evaluation as a report shows it.

    :param name: the path of its file, or "".
    :param examples: some samples with their adversarials, if there are any.
    :param objection: why there are none, in a sentence."""

    name: str
    evaluation: Evaluation
    examples: Examples | None = None
    objection: str = ""

    @classmethod
    def of(cls, name: str, evaluation: Evaluation, folder: Path) -> "ReportItem":
        """With the examples of that folder, unless they are damaged or of another evaluation."""
        objection = "Left out: the examples are of another evaluation."
        try:
            examples = Examples.read(folder)
            within = {*examples.rows.tolist()} <= {*range(len(evaluation.samples))}
            if within and examples.trial in evaluation.at(examples.eps):
                return cls(name, evaluation, examples)
        except FileNotFoundError:
            objection = "There are no examples next to the evaluation."
        except ArgumentError as error:
            objection = f"Left out: {error.complaint}"
        return cls(name, evaluation, objection=objection)


def read_evaluation(file: str | Path) -> ReportItem:
    """The evaluation in a JSON file, or in a folder, with the examples that lie next to it.

    :param file: evaluation.json, or the folder that holds it.
    :raises FileNotFoundError: when it is not there.
    :raises ValueError: when it is damaged, naming the field, or holds anything else."""
    path = expand_path("files", file)
    expected = "an evaluation, as art-snn evaluate writes it"
    if path.is_dir():
        path /= RESULT
    require_kind("files", path, FILE, expected)
    remedy = "Give evaluation.json from the folder of an evaluation."
    try:
        evaluation = read_result(path, Evaluation)
    except (ValueError, OSError) as error:
        raise invalid("files", expected, f"{path}, which {error}", remedy) from error
    return ReportItem.of(str(file), evaluation, path.parent)


def find_evaluations(places: Iterable[Path]) -> Iterator[Path]:
    """Each evaluation.json at or below the places."""
    for place in places:
        path = expand_path("files", place)
        files = sorted(path.rglob(RESULT)) if path.is_dir() else [path]
        require(
            files,
            "files",
            f"a folder with {RESULT} in it or below",
            place,
            "Name a folder into which art-snn evaluate wrote, or one above.",
        )
        yield from files


def read_excerpt(folder: Path, largest: int = LARGEST) -> dict[str, ndarray]:
    """The first n samples of an evaluation with their adversarials, from its folder.

    :param largest: bytes that they may take, unpacked.
    :return: the B budgets eps; x ``(n, *shape)`` of classes y (n,); adversarial
        ``(B, n, *shape)``, the sample itself where nothing broke it; and which are
        broken, bool (B, n).
    :raises FileNotFoundError: when there are none.
    :raises ValueError: when the file is damaged or holds something else."""
    content = "the first samples with their adversarials, as art-snn evaluate writes them"
    remedy = "Evaluate again in a new folder."
    arrays = read_arrays(folder / EXCERPT, "first", content, remedy, largest=largest)
    shapes = {name: array.shape for name, array in arrays.items()}
    budgets = shapes.get("eps", ())[:1]
    x = shapes.get("x", ())
    expected = {
        "eps": budgets,
        "x": x,
        "y": x[:1],
        "adversarial": budgets + x,
        "broken": budgets + x[:1],
    }
    fits = len(budgets) == 1 and shapes == expected and arrays["broken"].dtype == bool
    require(fits, "first", content, f"arrays of shapes {shapes}", remedy)
    return arrays


def derive_seed(seed: int, start: int) -> int:
    """The seed of the block whose first sample has the number `start`."""
    return (seed + start) % (SEEDS + 1)


def predict_classes(
    classifier: PyTorchSpikingClassifier, x: ndarray, batch_size: int, seed: int
) -> list[int]:
    """Classes of the samples x ``(n, ...)`` of a block from its seed; -1 without a prediction."""
    logits = predict_logits(classifier, x, batch_size, seed)
    unanswered = np.isnan(logits).any(1)
    return np.where(unanswered, -1, logits.argmax(1)).tolist()  # type: ignore[no-any-return]  # numpy gives Any.
