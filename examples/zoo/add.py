"""Make an entry of the zoo from a training of ours: python examples/zoo/add.py --help.

The same call writes the same bytes again. With --records alone it makes the records of all networks
again, from the evaluations that lie next to it; with --examples what the pages of these show."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from shutil import copyfile
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import tyro
from scipy.stats import mode

from art_snn import checkpoint
from art_snn.app.architecture import Architecture
from art_snn.app.evaluate.examples import EXAMPLE_COUNT, record_spikes
from art_snn.app.evaluation.record import (
    RESULT,
    Evaluation,
    Examples,
    read_evaluation,
    read_excerpt,
)
from art_snn.app.evaluation.verdict import verdicts
from art_snn.app.results import as_json, read_result, weights_digest
from art_snn.checks import require
from art_snn.classifier import PyTorchSpikingClassifier, wrap
from art_snn.data import Dataset, Source
from art_snn.files import atomic_write, digest, write_arrays, write_text
from art_snn.metrics import Share
from art_snn.models import DEFAULTS
from art_snn.seeding import fix_seed
from art_snn.zoo.entry import (
    FIRST,
    MANIFEST,
    SCHEMA,
    Manifest,
    Standard,
    ZooData,
    ZooEntry,
    from_text,
)
from art_snn.zoo.networks import classifier as load_classifier, manifest

ZOO = Path(__file__).parent
EVALUATIONS = "evaluations"
"""The folder of those that the leaderboard is made of."""
LARGEST = 30_000_000
"""Bytes of all weights and samples of the zoo together."""
TRAINING = 50
"""Training samples in a file of samples, so that it is a data set like any other."""
OFF = 2 / 200
"""Share of the samples whose class may differ between processors, whose sums are rounded
differently."""


@dataclass(frozen=True, kw_only=True)
class Addition:
    """What there is to say about a network.

    :param folder: of the training: network.safetensors and training.json.
    :param name: in the zoo.
    :param training: in words, for the table.
    :param commands: that trained and evaluated it, one each.
    :param data: name of its data set in the zoo.
    :param evaluation: folder of art-snn evaluate with the plan standard, of these weights.
    :param options: of a new data set: fields of Source, as JSON.
    :param licence: of a new data set.
    :param attribution: of a new data set: who made it, and where it comes from.
    :param hold: keep the first test samples of the data set in the zoo, as its licence allows.
    :param model: the model of art_snn that has the layers of a function of yours.
    :param steps: time steps of that model.
    :param output: folder of the zoo."""

    folder: Path
    name: str
    training: str
    commands: tuple[str, ...]
    data: str
    evaluation: Path | None = None
    options: str = "{}"
    licence: str = ""
    attribution: str = ""
    hold: bool = False
    model: str | None = None
    steps: int | None = None
    output: Path = ZOO

    def __post_init__(self) -> None:
        places = [command for command in self.commands if re.search(r"(^|[\s=:])[/~]", command)]
        remedy = "Name files as they lie in the repository, or by their names alone."
        require(not places, "commands", "commands for any machine", places, remedy)


def add(addition: Addition) -> ZooEntry:
    """Write the weights and, of a new data set, the samples; then the manifest that names them.

    :raises ArgumentError: when folder, data and evaluation are not of the same network."""
    file = addition.output / MANIFEST
    zoo = from_text(file.read_text("utf-8"), file) if file.exists() else Manifest()
    with TemporaryDirectory() as folder:
        # What is refused in the end leaves the zoo as it was.
        new = replace(addition, output=Path(folder))
        data_set, data = _data(new, {one.name: one for one in zoo.data}.get(new.data))
        entry = _network(new, data)
        earlier = {one.name: one for one in zoo.networks}.get(new.name)
        same = earlier is not None and earlier.sha256 == entry.sha256
        standard = _standard(new, data, entry) or (earlier.standard if same else ())
        entry = replace(entry, standard=standard)
        zoo = zoo_with(zoo, entry, data_set)
        size, remedy = total(zoo), "Take a smaller network, or leave another one out."
        require(size < LARGEST, "zoo", f"less than {LARGEST:,} bytes", f"{size:,}", remedy)
        for path in sorted(Path(folder).iterdir()):
            with atomic_write(addition.output / path.name) as partial:
                copyfile(path, partial)
    write_text(file, as_text(zoo))
    return entry


def as_text(zoo: Manifest) -> str:
    """The manifest as JSON, networks and data sets in the order of their names."""
    networks = []
    for network in sorted(zoo.networks, key=lambda network: network.name):
        networks.append(asdict(network))
    data = [asdict(data_set) for data_set in sorted(zoo.data, key=lambda data_set: data_set.name)]
    content = {"schema": SCHEMA, "networks": networks, "data": data}
    return json.dumps(content, indent=1) + "\n"


def zoo_with(zoo: Manifest, entry: ZooEntry, data_set: ZooData) -> Manifest:
    """The zoo with a network and a data set in the place of earlier ones of their names."""
    networks = (entry, *(one for one in zoo.networks if one.name != entry.name))
    return Manifest(networks, (data_set, *(one for one in zoo.data if one.name != data_set.name)))


def total(zoo: Manifest) -> int:
    """Bytes of all files that the manifest names."""
    return sum(part.bytes for part in (*zoo.networks, *zoo.data))


def _data(addition: Addition, earlier: ZooData | None) -> tuple[ZooData, Dataset]:
    """The data set, which is the earlier one where there is one."""
    if earlier is not None:
        data, remedy = earlier.source.load(), "Give a new set another name."
        same = digest_of(data) == earlier.digest
        require(same, "data", f"the arrays of {earlier.name}", "others", remedy)
        hold = addition.hold and not earlier.sha256
        return (_held(earlier, data, addition.output) if hold else earlier), data
    remedy = "Say where the data come from, and what one may do with them."
    require(addition.licence and addition.attribution, "licence", "words", "none", remedy)
    words = (addition.licence, addition.attribution)
    unseen = ZooData(addition.data, json.loads(addition.options), "0" * 64, None, *words)
    data = unseen.source.load()
    limits = data.value_range
    about = replace(unseen, digest=digest_of(data), value_range=limits)
    return (_held(about, data, addition.output) if addition.hold else about), data


def digest_of(data: Dataset) -> str:
    """SHA-256 of all arrays."""
    return digest("", data.x_train, data.y_train, data.x_test, data.y_test)


def _held(about: ZooData, data: Dataset, folder: Path) -> ZooData:
    """The data set with a file of samples, from which they are read as they are."""
    rows = {"train": slice(TRAINING), "test": slice(FIRST)}
    arrays = {f"x_{n}": smallest(getattr(data, f"x_{n}")[part]) for n, part in rows.items()}
    arrays |= {f"y_{n}": getattr(data, f"y_{n}")[part] for n, part in rows.items()}
    path = folder / about.file
    write_arrays(path, **arrays)
    read = Source(data=str(path), value_range=about.source.value_range).load()
    same = np.array_equal(read.x_test, data.x_test[:FIRST])
    remedy = "Images are shares of 255, or within [0, 1]."
    require(same, "data", "samples that a file keeps as they are", about.name, remedy)
    return replace(about, sha256=_sum(path), bytes=path.stat().st_size)


def smallest(x: np.ndarray) -> np.ndarray:
    """The samples as bytes: counts, or shares of 255; as they are where they are neither."""
    scale = 1 if x.ndim == 5 else 255
    whole = np.rint(x * scale).astype(np.uint8)
    same = np.array_equal(np.divide(whole, scale, dtype=np.float32), x)
    return whole if same else x


def _network(addition: Addition, data: Dataset) -> ZooEntry:
    """The network without its robustness; its weights are written."""
    path = addition.folder / "network.safetensors"
    noted, trained = checkpoint.notes(path), read_result(addition.folder / "training.json")
    alike = all(noted.get(name) == trained[name] for name in ("subject", "recipe", "adversary"))
    require(
        alike,
        "folder",
        "network.safetensors and training.json of one training",
        path,
        "Look at it.",
    )
    classifier, architecture = _classifier(addition, noted["subject"], data)
    network = classifier.model
    checkpoint.load(network, path)
    network.eval()
    with fix_seed(0):
        right = classifier.predict(data.x_test).argmax(1) == data.y_test
    stated, share = trained["test_accuracy"]["value"], float(right.mean())
    expected, remedy = f"accuracy {stated:.4f}, as training.json says", "Check model and data."
    require(abs(share - stated) <= OFF, "folder", expected, f"{share:.4f}", remedy)
    subject = {**noted["subject"], **architecture.given}
    file = addition.output / f"{addition.name}.safetensors"
    checkpoint.save(network, file, **{**noted, "subject": subject})
    return ZooEntry(
        name=addition.name,
        sha256=_sum(file),
        bytes=file.stat().st_size,
        architecture=architecture.given,
        input_shape=data.input_shape,
        classes=data.classes,
        parameters=sum(weight.numel() for weight in network.parameters()),
        data=addition.data,
        training=addition.training,
        recipe={**noted["recipe"], "adversary": noted["adversary"]},
        commands=addition.commands,
        clean=_share(right),
        clean_first=_share(right[:FIRST]),
    )


def _classifier(
    addition: Addition, subject: dict[str, Any], data: Dataset
) -> tuple[PyTorchSpikingClassifier, Architecture]:
    noted = {name: subject[name] for name in DEFAULTS if subject.get(name) is not None}
    if addition.model is not None:
        noted |= {"model": addition.model}
    if addition.steps is not None:
        noted |= {"steps": addition.steps}
    architecture = Architecture().fill(noted).fit_to(data)
    network = architecture.build_for(data)
    return wrap(network, data.input_shape, data.classes, data.value_range, "cpu"), architecture


def _standard(addition: Addition, data: Dataset, entry: ZooEntry) -> tuple[Standard, ...]:
    """What the plan left, of an evaluation of these weights on these samples."""
    if addition.evaluation is None:
        return ()
    evaluation: Evaluation = read_evaluation(addition.evaluation).evaluation
    network = Architecture(**entry.architecture).build_for(data)
    checkpoint.load(network, addition.output / entry.file)
    classifier = wrap(network.eval(), data.input_shape, data.classes, data.value_range, "cpu")
    remedy = f"Evaluate it: art-snn evaluate --model zoo:{entry.name}."
    same = evaluation.provenance.weights == weights_digest(classifier)
    require(same, "evaluation", f"one of {entry.name}", "one of other weights", remedy)
    count = len(evaluation.samples)
    samples = digest("samples", data.x_test[:count], data.y_test[:count])[:16]
    same = evaluation.provenance.data == samples
    require(same, "evaluation", f"one of the first test samples of {entry.data}", "others", remedy)
    require(evaluation.plan == "standard", "evaluation", "plan standard", evaluation.plan, remedy)
    return records(evaluation)


def records(evaluation: Evaluation, others: Sequence[Evaluation] = ()) -> tuple[Standard, ...]:
    """What is kept of an evaluation, by budget: the samples that neither it nor others broke."""
    kept = []
    for one in verdicts(evaluation):
        weaker = [v for other in others for v in verdicts(other) if v.eps <= one.eps]
        standing = np.logical_and.reduce([one.standing, *(v.standing for v in weaker)])
        fewer = 0 < int(standing.sum()) < int(one.standing.sum())
        version = evaluation.provenance.versions["art_snn"]
        words = {"norm": one.norm, "certified": one.certified, "version": version}
        words |= {"clean": one.outcome.clean_accuracy}
        at_most = one.open or fewer
        kept.append(Standard(eps=one.eps, standing=as_json(standing), at_most=at_most, **words))
    return tuple(kept)


def read_evaluations(name: str, folder: Path) -> list[Evaluation]:
    """The evaluation of a network in the folder of a zoo, and an earlier one where there is one."""
    files = (folder / EVALUATIONS / f"{name}{ending}" / RESULT for ending in ("", "-earlier"))
    return [read_evaluation(file).evaluation for file in files if file.exists()]


def renew(zoo: Manifest, folder: Path) -> Manifest:
    """The zoo with the records that the evaluations in the folder of a zoo give.

    Earlier ones of the same weights and samples, in folders NAME-earlier, count too."""
    networks = []
    for entry in zoo.networks:
        evaluation, *others = read_evaluations(entry.name, folder)
        about = (weights_digest(load_classifier(entry.name, "cpu")), evaluation.samples)
        remedy = f"Evaluate it: art-snn evaluate --model zoo:{entry.name}."
        for one in (evaluation, *others):
            same = (one.provenance.weights, one.samples) == about and one.norm == evaluation.norm
            require(same, "evaluation", f"one of {entry.name}", "one of another", remedy)
        networks.append(replace(entry, standard=records(evaluation, others)))
    return zoo._replace(networks=tuple(networks))


def examples(name: str, folder: Path) -> Examples | None:
    """Adversarials that the evaluation of a network of the zoo made, classes and spikes of now.

    :param folder: of the evaluation. Its first.npz has the adversarials of the first attack that
        broke a sample; those of the last attack that has some are taken, at the largest budget.
    :returns: None where nothing was broken."""
    evaluation, excerpt = read_evaluation(folder).evaluation, read_excerpt(folder)
    classifier = load_classifier(name, "cpu")
    same = evaluation.provenance.weights == weights_digest(classifier)
    remedy = f"Evaluate it: art-snn evaluate --model zoo:{name}."
    require(same, "evaluation", f"one of {name}", "one of other weights", remedy)
    eps = evaluation.budgets[-1]
    count, place = len(excerpt["x"]), excerpt["eps"].tolist().index(eps)
    broken = [trial.outcome.stage[:count] >= 0 for trial in evaluation.at(eps).values()]
    first = np.where(np.any(broken, axis=0), np.argmax(broken, axis=0), -1)
    rows = np.flatnonzero((first == first.max()) & (first >= 0))[:EXAMPLE_COUNT]
    if not len(rows):
        return None
    x, adversarial = excerpt["x"][rows], excerpt["adversarial"][place][rows]
    with fix_seed(evaluation.provenance.seed):
        draws = range(max(trial.outcome.draws for trial in evaluation.trials))
        guesses = [classifier.predict(adversarial, batch_size=len(rows)).argmax(1) for _ in draws]
        spikes = record_spikes(classifier, np.concatenate([x, adversarial]))
    name = [*evaluation.at(eps)][first.max()]
    return Examples(name, eps, rows, x, adversarial, mode(guesses).mode, **spikes)


def _share(right: np.ndarray) -> Share:
    return Share(int(right.sum()), len(right))


def _sum(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    if sys.argv[1:] == ["--records"]:
        write_text(ZOO / MANIFEST, as_text(renew(manifest(), ZOO)))
        sys.exit()
    if sys.argv[1:] == ["--examples"]:
        for entry in manifest().networks:
            shown = examples(entry.name, place := ZOO / EVALUATIONS / entry.name)
            if shown is not None:
                shown.write(place)
        sys.exit()
    add(tyro.cli(Addition))
