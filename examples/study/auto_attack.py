"""PGD-7 with STBP, which papers report, next to attacks that need no choosing.

    python examples/study/auto_attack.py eurosat-vgg5-at --output results/auto-attack

On a network of the zoo, at the largest budget of its record and on the same samples: PGD-7 with
every rule that suits the network, and the plan fast. With --art-samples N also the plan
ensemble-19, and ART's AutoAttack with STBP on the first N samples. The plan standard ran for the
record. A run that was interrupted goes on after its last whole block.
"""

import argparse
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch

from art_snn import zoo
from art_snn.app import tables
from art_snn.app.evaluate.run import run
from art_snn.app.evaluate.settings import Evaluate
from art_snn.app.evaluation.record import Evaluation, Trial, read_evaluation
from art_snn.app.evaluation.verdict import format_eps
from art_snn.app.results import as_json, booleans, read_result, write_result
from art_snn.gradients import applicable
from art_snn.metrics import Robustness, format_p, paired_difference

EVALUATIONS = Path(__file__).parents[1] / "zoo" / "evaluations"
FAST, STANDARD, ENSEMBLE, ART = "fast", "standard", "ensemble-19", "AutoAttack of ART"
PGD, PAPER = "PGD-7 by ", "PGD-7 by stbp"


class Result(NamedTuple):
    """What an attack left, and its forward and backward passes per correctly classified sample."""

    outcome: Robustness
    queries: float

    def first(self, samples: int) -> Robustness:
        """The outcome on the first samples."""
        return Robustness(self.outcome.correct[:samples], self.outcome.robust[:samples])

    @property
    def broken(self) -> int:
        """The number of samples that the attack broke."""
        return self.outcome.attack_success.count

    @property
    def passes(self) -> float:
        """Passes of all samples together."""
        return self.queries * self.outcome.attack_success.total

    @classmethod
    def of(cls, trial: Trial) -> "Result":
        return cls(trial.robustness, trial.outcome.queries)


def record_of(name: str) -> Evaluation:
    """The evaluation by the plan standard that the zoo has of a network."""
    return read_evaluation(EVALUATIONS / name).evaluation


def measure(name: str, chosen: argparse.Namespace) -> dict[str, Any]:
    """Outcome and queries of every attack but standard."""
    record, network = record_of(name), zoo.load_network(name)
    eps, samples = record.budgets[-1], len(record.samples)
    if chosen.small:
        eps, samples = 5 * eps, 8  # What stands keeps ART's searches busy for minutes.
    rules = ",".join(applicable(network.body.neurons(), network.encoder))
    runs: dict[str, dict[str, Any]] = {FAST: {"plan": FAST, "rules": rules}}
    if chosen.art_samples:
        step = f"AutoAttack(eps_step={eps / 4})"
        runs |= {ENSEMBLE: {"plan": ENSEMBLE}, ART: {"attack": step, "rules": "stbp"}}
    how = {"model": f"zoo:{name}", "eps": (eps,), "bounds": bool(record.bounds), "examined": 0}
    how |= {"device": chosen.device, "threads": chosen.threads}
    attacks = {}
    for attack, options in runs.items():
        folder = chosen.output / name / attack.replace(" ", "-")
        count = chosen.art_samples if attack == ART else samples
        done = run(Evaluate(**how, **options, samples=count, output=folder))
        assert done is not None  # One process leads.
        for trial in done.evaluation.trials:
            key = ART if attack == ART else trial.name
            outcome, queries = Result.of(trial)
            bits = {"correct": as_json(outcome.correct), "robust": as_json(outcome.robust)}
            attacks[key] = {**bits, "queries": queries}
    return {"network": name, "attacks": attacks}


def read_results(folder: Path) -> Iterator[tuple[Evaluation, dict[str, Result]]]:
    """The record of each network that was measured, and every attack by its name."""
    for file in sorted(folder.glob("*.json")):
        content = read_result(file)
        record = record_of(content["network"])
        results = {STANDARD: Result.of(record.at(record.budgets[-1])[STANDARD])}
        for name, one in content["attacks"].items():
            outcome = Robustness(booleans(one["correct"]), booleans(one["robust"]))
            results[name] = Result(outcome, one["queries"])
        yield record, results


def best(results: Mapping[str, Result]) -> str:
    """PGD-7 with the rule that breaks most, chosen on these samples, in its favour."""
    return max((name for name in results if name.startswith(PGD)), key=lambda n: results[n].broken)


def summarize(folder: Path) -> str:
    """Robust accuracy of every network under the usual attack and under our plans."""
    titles = ["network", "eps", "clean", "PGD-7, STBP", "PGD-7, best rule", FAST, STANDARD]
    titles += [f"queries of {FAST}", f"of {STANDARD}"]
    rows, measured = [], []
    for record, results in read_results(folder):
        rule = best(results)
        shown = [results[name] for name in (PAPER, rule, FAST, STANDARD)]
        shares = [shown[0].outcome.clean_accuracy, *(one.outcome.robust_accuracy for one in shown)]
        figures = [f"{100 * share.value:.1f} %" for share in shares]
        figures[2] += f" ({rule.removeprefix(PGD)})"
        queries = [f"{one.queries:,.0f}" for one in shown[2:]]
        eps = format_eps(record.norm, record.budgets[-1])
        rows.append((record.name, eps, *figures, *queries))
        measured.append(shown)
    return tables.render([tables.Table(titles, rows), tables.Notes(sums(measured))], "markdown")


def sums(measured: list[list[Result]]) -> Iterator[str]:
    """All networks together."""
    columns = list(zip(*measured, strict=True))
    paper, rule, fast, standard = (sum(one.broken for one in column) for column in columns)
    correct = sum(one.outcome.attack_success.total for one in columns[-1])
    yield (
        f"Of {correct:,} samples that are classified correctly standard breaks {standard:,}, fast "
        f"{fast:,} ({100 * fast / standard:.1f} % of that), PGD-7 with the best rule of each "
        f"network {rule:,}, and with STBP {paper:,}."
    )
    cost = [[one.passes for one in column] for column in columns[-2:]]
    ratios = [few / many for few, many in zip(*cost, strict=True)]
    yield (
        f"fast takes {sum(cost[0]) / sum(cost[1]):.2f} of the queries of standard over all "
        f"networks, {min(ratios):.2f} to {max(ratios):.2f} on each."
    )


def compare(folder: Path) -> str:
    """Other attacks that need no choosing, against standard on the same samples."""
    titles = ["network", "attack", "samples", "broken", "by standard", "only standard", "only it"]
    titles += ["p", "queries", "of standard"]
    rows, stages = [], Counter[str]()
    for record, results in read_results(folder):
        stages += Counter(record.at(record.budgets[-1])[STANDARD].outcome.broken_by)
        for name in (ENSEMBLE, ART) if ART in results else ():
            result, samples = results[name], len(results[name].outcome.correct)
            ours = results[STANDARD].first(samples)
            more, fewer, p = paired_difference(ours, result.outcome)
            counts = (samples, result.broken, ours.attack_success.count, more, fewer)
            queries = (f"{one.queries:,.0f}" for one in (result, results[STANDARD]))
            rows.append((record.name, name, *map(str, counts), format_p(p), *queries))
    first = [(stage, str(count)) for stage, count in stages.most_common() if count]
    networks = len(list(folder.glob("*.json")))
    heads = "stage of standard", f"samples of {networks} networks that it broke first"
    parts = tables.Table(titles, rows, words=2), tables.Table(heads, first, words=1)
    return tables.render(parts, "markdown")


def main() -> None:
    parser = argparse.ArgumentParser(description="Attacks that need no choosing, on one network.")
    add = parser.add_argument
    add("networks", nargs="*", default=["digits-plain"], help="of the zoo")
    add("--art-samples", type=int, default=0, help="samples for ART's AutoAttack, which is slow")
    add("--output", type=Path, default=Path("results/auto-attack"))
    add("--threads", type=int)
    add("--device", default="gpu", choices=("gpu", "cpu"))
    add("--small", action="store_true")
    chosen = parser.parse_args()
    if chosen.small:
        chosen.output, chosen.art_samples = chosen.output / "small", 2
    if chosen.threads is not None:
        torch.set_num_threads(chosen.threads)
    for name in chosen.networks:
        write_result(chosen.output / f"{name}.json", measure(name, chosen))
    print(summarize(chosen.output), compare(chosen.output), sep="\n")


if __name__ == "__main__":
    main()
