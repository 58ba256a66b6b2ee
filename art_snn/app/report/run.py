"""What art-snn report does: a page or tables of evaluations, the table of records, or checks."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from secrets import randbits
from typing import Any

import numpy as np
import torch

from art_snn import zoo
from art_snn.app.evaluate.adversarials import Submission, in_range, min_budgets
from art_snn.app.evaluate.result import EXCERPT, EXCERPT_COUNT, read_excerpt, weights_digest
from art_snn.app.evaluate.units import predict_classes
from art_snn.app.network import resolve_network
from art_snn.app.report.board import board_parts, make_board
from art_snn.app.report.evaluation import (
    DECIDED,
    RESULT,
    Evaluation,
    ReportItem,
    find_evaluations,
    read_evaluation,
)
from art_snn.app.report.page import render_board_page, render_page
from art_snn.app.report.tables import compare_parts, evaluation_parts, latex_table
from art_snn.app.report.verdict import count_words, describe_budgets, join_words, verdicts
from art_snn.app.results import Printed, as_json
from art_snn.app.settings import MARKS, SUBJECT, Network, Report
from art_snn.app.tables import Notes, Part, Table, render
from art_snn.attacks import (
    Outcome,
    Plan,
    SpikingAutoAttack,
    parse_stage,
    require_measure,
    resolve_plan,
)
from art_snn.attacks.stages import select_stages
from art_snn.attacks.votes import DRAWS, count_votes, deciding_seeds
from art_snn.bounds import certify_bounds, decide_bounds
from art_snn.checks import FOLDER, SEEDS, ArgumentError, expand_path, path_kind, printable
from art_snn.classifier import PyTorchSpikingClassifier
from art_snn.classifier.inputs import as_tensor
from art_snn.files import digest, read_json, write_text
from art_snn.gradients import STBP
from art_snn.metrics import Certificate, certify

_DRAWN, _DRAWN_CERTIFICATES, _DRAWN_DECISIONS = 32, 4, 4
"""Samples that are drawn for a check at each budget; certificates take their draws again."""
_LARGER = 1.25
"""How much larger a certified region may be than that of other draws."""
_PATIENCE = 60.0
"""Seconds for each decision, here perhaps on a slower machine."""
_LUCK = 1 / 16
"""Share of them that may fall, or one: another seed breaks what an honest attack did not."""
_MEANING = (
    "A pass does not mean that the number is right: other attacks may break more, and a few forged "
    "samples among many are not seen. They are drawn anew each time, now with seed {}."
)

_Check = tuple[str, bool | np.bool_, str]
"""Its name, True if it passed, and what was compared."""


def run(settings: Report) -> Printed:
    """Write the report or the table of records, or verify a record.

    :raises FileNotFoundError, ValueError: when a file is missing, damaged or no evaluation, when
        evaluations of a table contradict each other, or when network and data do not fit.
    :raises WriteFailed: when a file cannot be written."""
    if settings.verify:
        return _verify_record(settings)
    output = settings.output
    assert output is not None
    if settings.board:
        items, bad = _read_all(settings.files)
        board, left_out = make_board(items, bad)
        table = output.with_suffix(".md")
        write_text(output, render_board_page(board))
        write_text(table, _render_markdown(board_parts(board)))
        notes = [f"{count_words(len(items), 'evaluation')}.", *left_out]
        return Printed([Notes(notes)], [table.name])
    items = [read_evaluation(file) for file in settings.files]
    parts = compare_parts(items) if len(items) > 1 else []
    parts += [part for item in items for part in evaluation_parts(item.evaluation)]
    if output.suffix == ".html":
        write_text(output, render_page(items))
    elif output.suffix == ".md":
        write_text(output, _render_markdown(parts))
    else:
        # What the table leaves out stands above it, for those who write about it.
        lines = [f"% {line}".rstrip() for line in render(parts).splitlines()]
        write_text(output, "\n".join([MARKS["tex"], *lines, "", latex_table(items), ""]))
    # The title, the verdict or the names, and their table; the rest is in the file.
    return Printed(parts[:3])


def _read_all(places: Sequence[Path]) -> tuple[list[ReportItem], list[str]]:
    """The evaluations at or below the places, and why others cannot be read.

    :raises ValueError: where none can."""
    items: list[ReportItem] = []
    failed: list[ArgumentError] = []
    for file in find_evaluations(places):
        try:
            items.append(read_evaluation(file))
        except ArgumentError as error:
            failed.append(error)
    if failed and (not items or isinstance(failed[0], FileNotFoundError)):
        raise failed[0]
    return items, [printable(error.complaint) for error in failed]


def _render_markdown(parts: Sequence[Part]) -> str:
    return f"{MARKS['md']}\n\n{render(parts, 'markdown')}"


def _verify_record(settings: Report) -> Printed:
    """Repeat what an evaluation says of samples that nobody can foresee.

    The network is that of the settings, or else the one of that name in the zoo; the data are those
    of the settings, of that network, or of the name in the evaluation."""
    (file,) = settings.files
    evaluation = read_evaluation(file).evaluation
    path = expand_path("files", file)
    if path_kind("files", path) == FOLDER:
        path /= RESULT

    given = {name: getattr(settings, name) for name in SUBJECT}
    if not given["model"] and not given["checkpoint"] and evaluation.name in zoo.names():
        given["model"] = f"zoo:{evaluation.name}"
    if not (given["model"] or "").startswith("zoo:"):
        given["data"] = given["data"] or evaluation.provenance.dataset
    subject = resolve_network(Network(output=path.parent, device=settings.device, **given))
    data = subject.load_data()
    classifier = subject.classifier(data, settings.device, evaluation.provenance.seed)
    count = len(evaluation.samples)
    samples = data.x_test[:count], data.y_test[:count]

    seed = randbits(32)
    rng = np.random.default_rng(seed)
    checks = [*_Verification(evaluation, classifier, *samples, path, rng).checks()]
    failed = [f"{name}: {words}" for name, passed, words in checks if not passed]
    verdict = f"{len(failed)} of {len(checks)} checks failed." if failed else "All checks pass."
    rows = [(name, "pass" if passed else "FAIL", words) for name, passed, words in checks]
    table = Table(("check", "result", "remark"), rows, words=3)
    title = f"{evaluation.name}, {evaluation.title}"
    parts: list[Part] = [title, verdict, table, _MEANING.format(seed)]
    return Printed(parts, failures="\n".join(failed))


@dataclass(frozen=True)
class _Verification:
    """An evaluation next to the network and the samples (N, ...) that it is said to be of.

    :param file: of the evaluation, next to the adversarials of its first samples.
    :param rng: draws samples."""

    evaluation: Evaluation
    classifier: PyTorchSpikingClassifier
    x: np.ndarray
    y: np.ndarray
    file: Path
    rng: np.random.Generator

    def checks(self) -> Iterator[_Check]:
        """All checks; nothing is attacked or certified where the samples are others."""
        claimed = self.evaluation.provenance.weights
        here = weights_digest(self.classifier)
        yield "weights", here == claimed, f"digest {here}, in the evaluation {claimed}"

        total = len(self.evaluation.samples)
        mine = [(digest("", x)[:16], y) for x, y in zip(self.x, self.y.tolist(), strict=True)]
        given = zip(self.evaluation.samples, self.evaluation.labels, strict=True)
        same = sum(a == b for a, b in zip(mine, given, strict=False))
        words = f"{same} of {total} are the same"
        words += f"; {len(mine)} test samples, not {total}" if len(mine) != total else ""
        yield "samples", same == total, words

        yield self._check_summary()
        yield self._check_fields()
        yield self._check_predictions()
        others = {EXCERPT: self._check_excerpt}
        if same == total:
            others["standing"] = self._check_standing
            others["certified"] = self._check_certified
            others["search"] = self._check_decided
        for name, check in others.items():
            try:
                yield from check()
            except (ArgumentError, FileNotFoundError) as error:
                yield name, False, getattr(error, "complaint", str(error))

    def _draw(self, rows: np.ndarray, most: int = _DRAWN) -> np.ndarray:
        """Some of the rows, in their order."""
        return np.sort(self.rng.permutation(rows)[:most])

    def _check_summary(self) -> _Check:
        """The verdicts that the file states are those of its trials, certificates and findings."""
        given = as_json([one.as_dict() for one in verdicts(self.evaluation)])
        same = read_json(self.file).get("summary") == given
        return "summary", same, f"{'as' if same else 'not what'} trials and findings give"

    def _check_fields(self) -> _Check:
        """Classes that the network has, results that fit them, and the form of the network."""
        labels = np.array(self.evaluation.labels)
        clean = np.array(self.evaluation.clean)
        classes = self.classifier.nb_classes
        beyond = np.count_nonzero(np.maximum(labels, clean) >= classes)
        # One more draw of a random network may give another class.
        outcomes = [one.outcome for one in self.evaluation.trials if one.outcome.draws == 1]
        right = labels == clean
        counts = [np.count_nonzero(one.robustness.correct != right) for one in outcomes]
        odd = max(counts, default=0)
        words = f"{beyond} samples with a class above {classes - 1}, {odd} whose class and result "
        words += "differ"

        source = self.evaluation.provenance
        size = sum(weight.numel() for weight in self.classifier.model.parameters())
        same = (source.parameters, source.shape) == (size, self.classifier.input_shape)
        words += "" if same else "; another form"
        return "fields", same and not beyond and not odd, words

    def _check_predictions(self) -> _Check:
        """Classes without an attack, in whole blocks: random networks depend on their seeds."""
        source = self.evaluation.provenance
        same, count = 0, 0
        starts = np.arange(0, len(self.x), source.block)
        for start in self._draw(starts, -(-_DRAWN // source.block)).tolist():
            x = self.x[start : start + source.block]
            seed = (source.seed + start) % (SEEDS + 1)
            classes = predict_classes(self.classifier, x, source.batch_size, seed)
            clean = self.evaluation.clean[start:]
            same += sum(a == b for a, b in zip(classes, clean, strict=False))
            count += len(classes)
        words = f"{same} of {count} drawn are the same"
        words += f" (evaluated on {source.device})" if same < count else ""
        return "predictions", same == count, words

    def _check_excerpt(self) -> Iterator[_Check]:
        """The adversarials of the first samples in the folder: broken where the evaluation says it,
        in the range and the ball, and misclassified, by a random network mostly."""
        evaluation = self.evaluation
        budgets = evaluation.budgets
        x = self.x[:EXCERPT_COUNT]
        # In double precision, with flags; the rest are classes, budgets and headers.
        largest = 9 * (1 + len(budgets)) * x.size + 2**20
        excerpt = read_excerpt(self.file.parent, largest)
        same = excerpt["x"].shape == x.shape and np.array_equal(excerpt["x"], x)
        if not same or sorted(excerpt["eps"].tolist()) != [*budgets]:
            # What is of other samples or budgets can be compared with nothing.
            yield "broken samples", False, f"{EXCERPT} is of other samples or budgets"
            return

        order = np.argsort(excerpt["eps"])
        broken = excerpt["broken"][order]
        claimed = np.zeros_like(broken)
        for trial in evaluation.trials:
            claimed[budgets.index(trial.eps)] |= trial.outcome.stage[: len(x)] >= 0
        words = f"{broken.sum()} in {EXCERPT}, {claimed.sum()} in the evaluation"
        yield "broken samples", np.array_equal(broken, claimed), words

        points = excerpt["adversarial"][order][broken]
        at, rows = np.nonzero(broken)
        yield self._check_ball(points, x[rows], np.array(budgets)[at])

        random = any(trial.outcome.draws > 1 for trial in evaluation.trials)
        draws = DRAWS["decide"] if random else 1
        predict = partial(self.classifier.predict, points, evaluation.provenance.batch_size)
        seeds = deciding_seeds(evaluation.provenance.seed, draws)
        fooled = int(count_votes(predict, as_tensor(self.y[rows]), seeds).most.sum())
        words = f"{fooled} of {len(points)} fool the network"
        yield "adversarials", fooled == len(points), words

    def _check_ball(self, points: np.ndarray, x: np.ndarray, eps: np.ndarray) -> _Check:
        """Adversarials of samples x (n, ...) in their range, and within their budgets eps (n,)."""
        fits = in_range(points, self.classifier)
        try:
            least = min_budgets(self.evaluation.norm, self.classifier, x[fits], points[fits])
        except ArgumentError as error:
            return "ball", False, error.complaint
        outside = np.count_nonzero(~fits) + np.count_nonzero(least > eps[fits])
        words = f"{outside} of {len(points)} outside, the farthest at "
        words += f"{(least / eps[fits]).max(initial=0):.4g} of its budget"
        return "ball", not outside, words

    def _check_standing(self) -> Iterator[_Check]:
        """Samples that are said to stand, under the usual single attack, PGD-7, and under a stage
        of the plan that is drawn as well."""
        name = self.evaluation.plan
        norm = self.evaluation.norm
        measure = require_measure(norm)
        for verdict in verdicts(self.evaluation):
            rows = self._draw(np.flatnonzero(verdict.standing))
            eps = int(verdict.eps) if measure.counted else verdict.eps
            single = parse_stage(None, measure, eps)
            stages = [replace(single, rule=STBP()) if single.by_gradients else single]
            if name:
                plan = resolve_plan(name, measure)
                some = torch.as_tensor(self.x[:1], device="cpu")
                suiting = select_stages(plan, self.classifier, measure, some).stages
                suiting = tuple(one for one in suiting if one.by_gradients) or suiting
                stages.append(suiting[self.rng.integers(len(suiting))])

            attack = SpikingAutoAttack(
                self.classifier,
                norm=measure,
                eps=eps,
                plan=Plan("verify", tuple(stages)),
                batch_size=self.evaluation.provenance.batch_size,
                seed=int(self.rng.integers(SEEDS)),
                verbose=False,
            )
            attack.generate(self.x[rows], self.y[rows])
            assert attack.outcome is not None
            fell = np.count_nonzero(attack.outcome.stage != Outcome.STANDING)
            words = f"{fell} of {len(rows)} drawn fall {describe_budgets(norm, eps)} to "
            words += join_words([stage.label for stage in stages])
            yield "standing", fell <= max(1, _LUCK * len(rows)), words

    def _check_certified(self) -> Iterator[_Check]:
        """Samples that are said to be certified, by bounds or by draws, once more."""
        norm = self.evaluation.norm
        source = self.evaluation.provenance
        for bounds in self.evaluation.bounds:
            rows = self._draw(np.flatnonzero(bounds.margin > 0))
            how: dict[str, Any] = {"norm": norm, "batch_size": source.batch_size}
            some = self.x[rows], self.y[rows]
            again = certify_bounds(self.classifier, *some, bounds.eps, **how)
            words = f"{again.certified.sum()} of {len(rows)} drawn are certified again "
            words += describe_budgets(norm, bounds.eps)
            yield "certified", again.certified.all(), words

        one = self.evaluation.certificate
        if one is not None and (one.predicted >= 0).any():
            rows = self._draw(np.flatnonzero(one.predicted >= 0), _DRAWN_CERTIFICATES)
            parts = []
            how = {"batch_size": source.batch_size, "draws": one.draws, "alpha": one.alpha}
            for row in rows.tolist():  # From the seed that it had; another device draws others.
                seed = (source.seed + row) % (SEEDS + 1)
                some = self.x[[row]], self.y[[row]]
                parts.append(certify(self.classifier, *some, seed=seed, **how))
            drawn = Certificate.concatenate(parts)
            same = (drawn.predicted == one.predicted[rows]) & (drawn.correct == one.correct[rows])
            same &= one.region.size[rows] <= _LARGER * drawn.region.size
            held = np.count_nonzero(same)
            words = f"{held} of {len(rows)} drawn are certified again by draws"
            yield "certified", held >= len(rows) - 1, words

    def _check_decided(self) -> Iterator[_Check]:
        """All that the exact search broke, and with another seed some of what it proved."""
        claimed = np.full(len(self.x), np.inf)
        for trial in self.evaluation.trials:
            if trial.decided is not None:
                claimed[trial.decided] = np.minimum(claimed, trial.eps)[trial.decided]
        size = self.evaluation.provenance.batch_size
        norm = self.evaluation.norm
        broken = np.isfinite(claimed)
        if broken.any():
            against = (self.x, norm, max(self.evaluation.budgets))
            one = Submission.read(self.file.parent / DECIDED, self.classifier, *against)
            wrong = self.classifier.predict(one.candidates.points, size).argmax(1) != self.y
            good = one.candidates.present & (one.min_budget <= claimed) & wrong
            words = f"{(good & broken).sum()} of {broken.sum()} break the network within their "
            words += f"budgets, as {DECIDED} has them"
            yield "search", good[broken].all(), words

        how: dict[str, Any] = {"seconds": _PATIENCE, "batch_size": size}
        for bounds in self.evaluation.bounds:
            rows = self._draw(np.flatnonzero(bounds.decided), _DRAWN_DECISIONS)
            seed = int(self.rng.integers(SEEDS))
            some = self.x[rows], self.y[rows]
            again = decide_bounds(self.classifier, *some, bounds.eps, seed=seed, **how)
            words = f"{again.safe.sum()} of {len(rows)} drawn are proven again "
            words += f"{describe_budgets(norm, bounds.eps)}, {again.broken.sum()} broken"
            fits = not again.broken.any() and again.open.sum() <= 1
            if len(rows):
                yield "search", fits, words
