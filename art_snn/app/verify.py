"""Checks that an evaluation can be repeated, on samples that nobody can foresee."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from secrets import randbits

import numpy as np
from numpy import ndarray

from art_snn import zoo
from art_snn.app.evaluation.adversarials import Submission, in_range, min_budgets
from art_snn.app.evaluation.record import (
    DECIDED,
    EXCERPT,
    EXCERPT_COUNT,
    RESULT,
    SIZES,
    Bounds,
    Evaluation,
    derive_seed,
    predict_classes,
    read_evaluation,
    read_excerpt,
)
from art_snn.app.evaluation.verdict import describe_budgets, join_words, verdicts
from art_snn.app.network import resolve_network
from art_snn.app.results import Printed, as_json, weights_digest
from art_snn.app.settings import Report
from art_snn.app.tables import Table
from art_snn.attacks import (
    Outcome,
    Plan,
    SpikingAutoAttack,
    Stage,
    parse_stage,
    resolve_plan,
)
from art_snn.attacks.queries import DRAWS_TO_DECIDE, count_votes, draw_decisions
from art_snn.attacks.stages import select_stages
from art_snn.bounds import certify_bounds, decide_bounds
from art_snn.checks import SEEDS, ArgumentError, expand_path
from art_snn.classifier import PyTorchSpikingClassifier
from art_snn.classifier.inputs import as_tensor
from art_snn.files import digest, read_json
from art_snn.gradients import STBP
from art_snn.metrics import Certificate, certify

_DRAWN, _DRAWN_CERTIFICATES, _DRAWN_DECISIONS = 32, 4, 4
"""Samples that are drawn for a check at each budget; certificates take their draws again."""
_LARGER = 1.25
"""How much larger a certified region may be than that of other draws."""
_PATIENCE = 60.0
"""Seconds for each decision, here perhaps on a slower machine."""
_LUCK = 1 / 16
"""Share of the samples that stand which may fall, or one of them: another seed breaks what an
honest attack did not."""
_Check = tuple[str, bool | np.bool_, str]
"""The name of a check, whether it passed, and in words what was compared."""
_MEANING = (
    "A pass does not mean that the number is right: other attacks may break more, and a few forged "
    "samples among many are not seen. Each time others are drawn, now with seed {}."
)


def verify_record(settings: Report) -> Printed:
    """Repeat what an evaluation says of samples that nobody can foresee.

    The network is that of the settings, or else the one of that name in the zoo; the data
    are those of the settings, of that network, or of the name in the evaluation.

    :raises FileNotFoundError, ValueError: when a file is missing or damaged, or when
        network and data do not fit."""
    (file,) = settings.files
    evaluation = read_evaluation(file).evaluation
    path = expand_path("files", file)
    if path.is_dir():
        path /= RESULT

    if not (settings.model or settings.checkpoint) and evaluation.name in zoo.names():
        settings = replace(settings, model=f"zoo:{evaluation.name}")
    if not str(settings.model).startswith("zoo:"):
        settings = replace(settings, data=settings.data or evaluation.provenance.dataset)
    subject = resolve_network(settings)
    data = subject.load_data()
    classifier = subject.classifier(data, settings.device, evaluation.provenance.seed)

    count = len(evaluation.samples)
    x = data.x_test[:count]
    y = data.y_test[:count]
    seed = randbits(32)
    rng = np.random.default_rng(seed)
    checks = list(_Verification(evaluation, classifier, x, y, path, rng).run_checks())

    failed = [f"{name}: {words}" for name, passed, words in checks if not passed]
    verdict = (
        f"{len(failed)} of {len(checks)} checks failed." if failed else "All checks pass."
    )
    rows = [(name, "pass" if passed else "FAIL", words) for name, passed, words in checks]
    table = Table(("check", "result", "remark"), rows, words=3)
    title = f"{evaluation.name}, {evaluation.title}"
    return Printed([title, verdict, table, _MEANING.format(seed)], failed=failed)


@dataclass(frozen=True)
class _Verification:
    """An evaluation next to the network and the samples (N, ...) that it is said to be of.

    :param file: of the evaluation, next to the adversarials of its first samples.
    :param rng: draws samples."""

    evaluation: Evaluation
    classifier: PyTorchSpikingClassifier
    x: ndarray
    y: ndarray
    file: Path
    rng: np.random.Generator

    def run_checks(self) -> Iterator[_Check]:
        """All checks; nothing is attacked or certified where the samples are others."""
        claimed = self.evaluation.provenance.weights
        here = weights_digest(self.classifier)
        yield "weights", here == claimed, f"digest {here}, in the evaluation {claimed}"

        samples = self._check_samples()
        _, same_samples, _ = samples
        yield samples
        yield self._check_summary()
        yield self._check_fields()
        yield self._check_predictions()

        others = {EXCERPT: self._check_excerpt}
        if same_samples:
            others |= {
                "standing": self._check_standing,
                "certified": self._check_certified,
                "search": self._check_decided,
            }
        for name, check in others.items():
            try:
                yield from check()
            except ArgumentError as error:
                yield name, False, error.complaint

    def _draw(self, which: ndarray, most: int = _DRAWN) -> ndarray:
        """The numbers of some of these samples, bool (N,), in their order."""
        return np.sort(self.rng.permutation(np.flatnonzero(which))[:most])

    def _check_samples(self) -> _Check:
        """The samples and their classes are those of the evaluation."""
        count = len(self.x)
        samples = [digest("", x)[:16] for x in self.x]
        alike = np.array(samples) == self.evaluation.samples[:count]
        same = np.count_nonzero(alike & (self.y == self.evaluation.labels[:count]))
        total = len(self.evaluation.samples)
        words = f"{same} of {total} are the same"
        if count != total:
            words += f"; {count} test samples, not {total}"
        return "samples", same == total, words

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

        right = labels == clean
        counts = [
            np.count_nonzero(trial.robustness.correct != right)
            for trial in self.evaluation.trials
            if trial.outcome.draws == 1  # One more draw may give another class.
        ]
        odd = max(counts, default=0)
        words = f"{beyond} samples with a class above {classes - 1}, {odd} whose class and result "
        words += "differ"

        source = self.evaluation.provenance
        size = sum(weight.numel() for weight in self.classifier.model.parameters())
        same = source.parameters == size and source.shape == self.classifier.input_shape
        if not same:
            words += "; another form"
        return "fields", same and not beyond and not odd, words

    def _check_predictions(self) -> _Check:
        """Classes without an attack, in whole blocks: random networks depend on their seeds."""
        source = self.evaluation.provenance
        alike: list[bool] = []
        starts = np.arange(len(self.x)) % source.block == 0
        blocks = -(-_DRAWN // source.block)
        for start in self._draw(starts, blocks).tolist():
            x = self.x[start : start + source.block]
            seed = derive_seed(source.seed, start)
            classes = predict_classes(self.classifier, x, source.batch_size, seed)
            clean = self.evaluation.clean[start : start + len(x)]
            alike += np.equal(classes, clean).tolist()

        words = f"{sum(alike)} of {len(alike)} drawn are the same"
        if not all(alike):
            words += f" (evaluated on {source.device})"
        return "predictions", all(alike), words

    def _check_excerpt(self) -> Iterator[_Check]:
        """The adversarials of the first samples in the folder: broken where the
        evaluation says it, in the range and the ball, and misclassified."""
        budgets = self.evaluation.budgets
        x = self.x[:EXCERPT_COUNT]
        # In double precision, with flags; the rest are classes, budgets and headers.
        largest = 9 * (1 + len(budgets)) * x.size + 2**20
        excerpt = read_excerpt(self.file.parent, largest)
        order = np.argsort(excerpt["eps"])
        same = (
            np.array_equal(excerpt["x"], x)
            and excerpt["adversarial"].dtype == x.dtype
            and excerpt["eps"][order].tolist() == [*budgets]
        )
        if not same:
            # What is of other samples or budgets can be compared with nothing.
            yield "broken samples", False, f"{EXCERPT} is of other samples or budgets"
            return

        broken = excerpt["broken"][order]
        claimed = np.zeros_like(broken)
        for trial in self.evaluation.trials:
            row = budgets.index(trial.eps)
            claimed[row] |= trial.outcome.stage[: len(x)] >= 0
        words = f"{broken.sum()} in {EXCERPT}, {claimed.sum()} in the evaluation"
        yield "broken samples", np.array_equal(broken, claimed), words

        points = excerpt["adversarial"][order][broken]
        at, rows = np.nonzero(broken)
        yield self._check_ball(points, x[rows], np.array(budgets)[at])
        yield self._check_adversarials(points, self.y[rows])

    def _check_ball(self, points: ndarray, x: ndarray, eps: ndarray) -> _Check:
        """Adversarials of samples x (n, ...) in their range, and within their budgets eps (n,)."""
        fits = in_range(points, self.classifier)
        try:
            least = min_budgets(
                self.evaluation.norm, self.classifier, x[fits], points[fits]
            )
        except ArgumentError as error:
            return "ball", False, error.complaint
        outside = np.count_nonzero(~fits) + np.count_nonzero(least > eps[fits])

        words = f"{outside} of {len(points)} outside, the farthest at "
        words += f"{(least / eps[fits]).max(initial=0):.4g} of its budget"
        return "ball", not outside, words

    def _check_adversarials(self, points: ndarray, y: ndarray) -> _Check:
        """Adversarials (n, ...) of samples of classes y fool the network, a random one mostly."""
        source = self.evaluation.provenance
        drawing = any(trial.outcome.draws > 1 for trial in self.evaluation.trials)
        predict = partial(self.classifier.predict, points, source.batch_size)
        predictions = draw_decisions(
            predict, source.seed, DRAWS_TO_DECIDE if drawing else 1
        )
        fooled = int(count_votes(predictions, as_tensor(y)).most.sum())
        words = f"{fooled} of {len(points)} fool the network"
        return "adversarials", fooled == len(points), words

    def _check_standing(self) -> Iterator[_Check]:
        """Samples that are said to stand do so under the usual single attack, PGD-7, and
        under a stage of the plan that is drawn as well."""
        norm = self.evaluation.norm
        for verdict in verdicts(self.evaluation):
            rows = self._draw(verdict.standing)
            eps = verdict.eps if norm in SIZES else int(verdict.eps)
            stages = self._choose_stages(eps)
            attack = SpikingAutoAttack(
                self.classifier,
                norm=norm,
                eps=eps,
                plan=Plan("verify", stages),
                batch_size=self.evaluation.provenance.batch_size,
                seed=int(self.rng.integers(SEEDS)),
                verbose=False,
            )
            attack.generate(self.x[rows], self.y[rows])
            assert attack.outcome is not None

            fell = np.count_nonzero(attack.outcome.stage != Outcome.STANDING)
            names = join_words(stage.label for stage in stages)
            words = f"{fell} of {len(rows)} drawn fall {verdict.budget} to {names}"
            yield "standing", fell <= max(1, _LUCK * len(rows)), words

    def _choose_stages(self, eps: float) -> tuple[Stage, ...]:
        """The single attack at a budget, and a stage that is drawn from those of the plan."""
        norm = self.evaluation.norm
        single = replace(parse_stage(None, norm, eps), rule=STBP())
        if not self.evaluation.plan:
            return (single,)

        plan = resolve_plan(self.evaluation.plan, norm)
        some = as_tensor(self.x[:1])
        suiting = select_stages(plan, self.classifier, norm, some).stages
        suiting = tuple(one for one in suiting if one.by_gradients) or suiting
        drawn = self.rng.integers(len(suiting))
        return single, suiting[drawn]

    def _check_certified(self) -> Iterator[_Check]:
        """Samples that are said to be certified are so once more, by bounds or by draws."""
        for bounds in self.evaluation.bounds:
            yield self._check_bounds(bounds)
        certificate = self.evaluation.certificate
        if certificate is not None and (certificate.predicted >= 0).any():
            yield self._check_draws(certificate)

    def _check_bounds(self, bounds: Bounds) -> _Check:
        """Bounds certify again some samples that they are said to certify."""
        norm = self.evaluation.norm
        rows = self._draw(bounds.margin > 0)
        again = certify_bounds(
            self.classifier,
            self.x[rows],
            self.y[rows],
            bounds.eps,
            norm=norm,
            batch_size=self.evaluation.provenance.batch_size,
        )
        words = f"{again.certified.sum()} of {len(rows)} drawn are certified again "
        words += describe_budgets(norm, bounds.eps)
        return "certified", again.certified.all(), words

    def _check_draws(self, certificate: Certificate) -> _Check:
        """Draws from the seeds that some samples had certify as much again.

        Another device draws other values, so that regions may be smaller, and one may differ."""
        source = self.evaluation.provenance
        rows = self._draw(certificate.predicted >= 0, _DRAWN_CERTIFICATES)
        parts = [
            certify(
                self.classifier,
                self.x[[row]],
                self.y[[row]],
                seed=derive_seed(source.seed, row),
                batch_size=source.batch_size,
                draws=certificate.draws,
                alpha=certificate.alpha,
            )
            for row in rows.tolist()
        ]
        again = Certificate.concatenate(parts)

        same = again.predicted == certificate.predicted[rows]
        same &= again.correct == certificate.correct[rows]
        same &= certificate.region.size[rows] <= _LARGER * again.region.size
        held = np.count_nonzero(same)
        words = f"{held} of {len(rows)} drawn are certified again by draws"
        return "certified", held >= len(rows) - 1, words

    def _check_decided(self) -> Iterator[_Check]:
        """All that the exact search broke, and with another seed some of what it proved."""
        claimed = np.full(len(self.x), np.inf)
        for trial in self.evaluation.trials:
            np.minimum(claimed, trial.eps, out=claimed, where=trial.decided)

        if np.isfinite(claimed).any():
            yield self._check_broken(claimed)

        for bounds in self.evaluation.bounds:
            if bounds.decided.any():
                yield self._check_proven(bounds)

    def _check_broken(self, claimed: ndarray) -> _Check:
        """The search broke samples at budgets (N,), infinite where it did not, as it wrote them."""
        file = self.file.parent / DECIDED
        largest = max(self.evaluation.budgets)
        norm = self.evaluation.norm
        one = Submission.read(file, self.classifier, self.x, norm, largest)
        size = self.evaluation.provenance.batch_size
        logits = self.classifier.predict(one.candidates.points, size)
        wrong = logits.argmax(1) != self.y
        good = one.candidates.present & (one.min_budget <= claimed) & wrong

        broken = np.isfinite(claimed)
        words = (
            f"{(good & broken).sum()} of {broken.sum()} break the network within their "
            f"budgets, as {DECIDED} has them"
        )
        return "search", good[broken].all(), words

    def _check_proven(self, bounds: Bounds) -> _Check:
        """The search proves again some samples that it is said to have proven."""
        rows = self._draw(bounds.decided, _DRAWN_DECISIONS)
        again = decide_bounds(
            self.classifier,
            self.x[rows],
            self.y[rows],
            bounds.eps,
            seed=int(self.rng.integers(SEEDS)),
            seconds=_PATIENCE,
            batch_size=self.evaluation.provenance.batch_size,
        )
        at = describe_budgets(self.evaluation.norm, bounds.eps)
        words = f"{again.safe.sum()} of {len(rows)} drawn are proven again {at}, "
        words += f"{again.broken.sum()} broken"
        passed = not again.broken.any() and again.open.sum() <= 1
        return "search", passed, words
