"""What art-snn report does: a page or tables of evaluations, the table of records, or checks."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from art_snn import zoo
from art_snn.app.evaluate.adversarials import in_range, min_budgets
from art_snn.app.evaluate.result import EXCERPT, EXCERPT_COUNT, SampleExcerpt, weights_digest
from art_snn.app.network import resolve_network
from art_snn.app.report.board import board_parts, make_board
from art_snn.app.report.evaluation import Evaluation, find_evaluations, read_evaluation
from art_snn.app.report.page import render_board_page, render_page
from art_snn.app.report.settings import MARKS, SUBJECT, Report
from art_snn.app.report.tables import compare_parts, evaluation_parts, latex_table
from art_snn.app.settings import Network
from art_snn.app.tables import Part, Table, render
from art_snn.attacks import require_measure
from art_snn.attacks.spiking_auto_attack import FRESH
from art_snn.checks import FOLDER, SEEDS, ArgumentError, expand_path, path_kind
from art_snn.classifier import PyTorchSpikingClassifier
from art_snn.files import digest, write_text
from art_snn.seeding import seeded

_FAILED = 3
"""Exit status where a check failed."""

_Check = tuple[str, bool, str]
"""Its name, True if it passed, and what was compared."""


@dataclass(frozen=True)
class _ReportResult:
    """The result of the command.

    :param text: for the terminal.
    :param files: names of files next to the output.
    :param failures: the checks that failed, a line each."""

    text: str
    files: tuple[str, ...] = ()
    failures: str = ""

    def render(self) -> str:
        """Sentences and tables for the terminal."""
        return self.text

    def status(self) -> int:
        """3 where a check failed, 0 otherwise."""
        return _FAILED if self.failures else 0

    def failure(self) -> str:
        """The checks that failed, a line each; "" where all passed."""
        return self.failures


def run(settings: Report) -> _ReportResult:
    """Write the report or the table of records, or verify a record.

    :raises FileNotFoundError, ValueError: when a file is missing, damaged or no evaluation, when
        evaluations of a table contradict each other, or when network and data do not fit.
    :raises WriteFailed: when a file cannot be written."""
    if settings.verify:
        return _verify_record(settings)
    output = settings.output
    assert output is not None
    if settings.board:
        board = make_board(map(read_evaluation, find_evaluations(settings.files)))
        table, parts = output.with_suffix(".md"), board_parts(board)
        write_text(output, render_board_page(board))
        write_text(table, _render_markdown(parts))
        return _ReportResult(render(parts), (table.name,))
    items = [read_evaluation(file) for file in settings.files]
    parts = compare_parts(items) if len(items) > 1 else []
    parts += [part for item in items for part in evaluation_parts(item.evaluation)]
    text = render(parts)
    if output.suffix == ".html":
        write_text(output, render_page(items))
    elif output.suffix == ".md":
        write_text(output, _render_markdown(parts))
    else:
        # What the table leaves out stands above it, for those who write about it.
        lines = [f"% {line}".rstrip() for line in text.splitlines()]
        write_text(output, "\n".join([MARKS["tex"], *lines, "", latex_table(items), ""]))
    return _ReportResult(text)


def _render_markdown(parts: Sequence[Part]) -> str:
    return f"{MARKS['md']}\n\n{render(parts, 'markdown')}"


def _verify_record(settings: Report) -> _ReportResult:
    """Repeat what an evaluation says of its first samples; nothing is attacked.

    The network is that of the settings, or else the one of that name in the zoo; the data are those
    of the settings, of that network, or of the name in the evaluation."""
    (file,) = settings.files
    evaluation, path = read_evaluation(file).evaluation, expand_path("files", file)
    folder = path if path_kind("files", path) == FOLDER else path.parent
    given = {name: getattr(settings, name) for name in SUBJECT}
    if not given["model"] and not given["checkpoint"] and evaluation.name in zoo.names():
        given["model"] = f"zoo:{evaluation.name}"
    if not (given["model"] or "").startswith("zoo:"):
        given["data"] = given["data"] or evaluation.provenance.dataset
    subject = resolve_network(Network(output=folder, device=settings.device, **given))
    data = subject.load_data()
    classifier = subject.classifier(data, settings.device, evaluation.provenance.seed)
    samples = data.x_test[: len(evaluation.samples)], data.y_test[: len(evaluation.samples)]
    checks = [
        *_check_subject(evaluation, classifier, *samples),
        *_check_excerpt(evaluation, classifier, *samples, folder),
    ]
    failed = [f"{name}: {words}" for name, passed, words in checks if not passed]
    verdict = f"{len(failed)} of {len(checks)} checks failed." if failed else "All checks pass."
    rows = [(name, "pass" if passed else "FAIL", words) for name, passed, words in checks]
    table = Table(("check", "result", "remark"), rows, words=3)
    text = render([f"{evaluation.name}, {evaluation.title}", verdict, table])
    return _ReportResult(text, failures="\n".join(failed))


def _check_subject(
    evaluation: Evaluation, classifier: PyTorchSpikingClassifier, x: np.ndarray, y: np.ndarray
) -> Iterator[_Check]:
    """Weights, and the first samples (N, ...) with their classes without an attack, against those
    of the evaluation."""
    source, count = evaluation.provenance, min(EXCERPT_COUNT, len(x))
    here = weights_digest(classifier)
    words = f"digest {here}, in the evaluation {source.weights}"
    yield "weights", here == source.weights, words
    mine = [(digest("", sample)[:16], label) for sample, label in zip(x, y.tolist(), strict=True)]
    given = list(zip(evaluation.samples, evaluation.labels, strict=True))
    same = sum(a == b for a, b in zip(mine[:count], given, strict=False))
    words, total = f"{same} of the first {count} are the same", len(evaluation.samples)
    words += f"; {len(x)} test samples, not {total}" if len(x) != total else ""
    yield "samples", same == count and len(x) == total, words
    # In the blocks of the evaluation, whose seeds random networks depend on.
    classes: list[int] = []
    for start in range(0, count, source.block):
        with seeded((source.seed + start) % (SEEDS + 1)):
            logits = classifier.predict(x[start : start + source.block], source.batch_size)
        classes += np.where(np.isnan(logits).any(1), -1, logits.argmax(1)).tolist()
    same = sum(a == b for a, b in zip(classes[:count], evaluation.clean, strict=False))
    words = f"{same} of the first {count} are the same"
    words += f" (evaluated on {source.device})" if same < count else ""
    yield "predictions", same == count, words


def _check_excerpt(
    evaluation: Evaluation,
    classifier: PyTorchSpikingClassifier,
    x: np.ndarray,
    y: np.ndarray,
    folder: Path,
) -> Iterator[_Check]:
    """The adversarials of the first samples in the folder: broken where the evaluation says it, in
    the range and the ball, and misclassified, by a random network mostly."""
    try:
        excerpt = SampleExcerpt.read(folder)
    except (ArgumentError, FileNotFoundError) as error:
        yield EXCERPT, False, getattr(error, "complaint", str(error))
        return
    count, budgets = min(EXCERPT_COUNT, len(x)), evaluation.budgets
    same = excerpt.x.shape == x[:count].shape and np.array_equal(excerpt.x, x[:count])
    if not same or sorted(excerpt.eps.tolist()) != [*budgets]:
        # What is of other samples or budgets can be compared with nothing.
        yield "broken samples", False, f"{EXCERPT} is of other samples or budgets"
        return
    order = np.argsort(excerpt.eps)
    adversarial, broken = excerpt.adversarial[order], excerpt.broken[order]
    stages = [[t.outcome.stage[:count] for t in evaluation.at(eps).values()] for eps in budgets]
    claimed = np.array([(np.array(some) >= 0).any(0) for some in stages])
    words = f"{int(broken.sum())} in {EXCERPT}, {int(claimed.sum())} in the evaluation"
    yield "broken samples", np.array_equal(broken, claimed), words
    yield _check_ball(evaluation, classifier, x[:count], adversarial, broken)
    points, classes = adversarial[broken], np.broadcast_to(y[:count], broken.shape)[broken]
    draws = max(trial.outcome.draws for trial in evaluation.trials)
    votes = np.zeros(len(points), int)
    for draw in range(draws if len(points) else 0):
        with seeded(evaluation.provenance.seed + FRESH + draw):
            logits = classifier.predict(points, evaluation.provenance.batch_size)
        votes += (logits.argmax(1) != classes) & ~np.isnan(logits).any(1)
    fooled = int((2 * votes > draws).sum())
    words = f"{fooled} of {len(points)} fool the network"
    yield "adversarials", fooled == len(points), words


def _check_ball(
    evaluation: Evaluation,
    classifier: PyTorchSpikingClassifier,
    x: np.ndarray,
    adversarial: np.ndarray,
    broken: np.ndarray,
) -> _Check:
    """Adversarials (B, N, ...) of the samples, by budget, in the range of samples and the ball."""
    outside, farthest = 0, 0.0
    for eps, points, which in zip(evaluation.budgets, adversarial, broken, strict=True):
        fits = in_range(points[which], classifier)
        outside += int((~fits).sum())
        if fits.any():
            pair = x[which][fits], points[which][fits]
            try:
                least = min_budgets(require_measure(evaluation.norm), classifier, *pair)
            except ArgumentError as error:
                return "ball", False, error.complaint
            outside += int((least > eps).sum())
            farthest = max(farthest, float((least / eps).max()))
    words = f"{outside} of {int(broken.sum())} outside"
    return "ball", not outside, f"{words}, the farthest at {farthest:.4g} of its budget"
