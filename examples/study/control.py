"""Does the last stage of standard, a search of ours, break less than ART's SquareAttack?

    python examples/study/control.py examples/zoo/evaluations --output control

Reads evaluations of networks of the zoo by the plan standard. The samples that all other stages
left at the largest budget are attacked by ART's SquareAttack of as many squares, which gives none
up. A run that was interrupted goes on after its last network.
"""

import argparse
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from art.attacks.evasion import SquareAttack

from art_snn import zoo
from art_snn.app import tables
from art_snn.app.machine import describe_machine
from art_snn.app.report.evaluation import Trial, find_evaluations, read_evaluation
from art_snn.app.results import as_json, booleans, earlier, write_result
from art_snn.attacks import Plan, SpikingAutoAttack, Stage, resolve_plan
from art_snn.checks import require
from art_snn.files import digest, write_text
from art_snn.metrics import Robustness, format_p, paired_difference

PLAN = "standard"
CONTROL = resolve_plan(PLAN, np.inf).stages[-1]


def trials(files: Iterable[Path]) -> list[tuple[str, Trial]]:
    """Network and outcome of each evaluation by the plan with the search, at its largest budget.

    Networks whose samples are not there are named and left out."""
    control = str(CONTROL)
    found = []
    for file in files:
        evaluation = read_evaluation(file).evaluation
        ours = [
            one
            for one in evaluation.trials
            if any(control == stage.description for stage in one.outcome.stages)
        ]
        if ours and there(evaluation.name):
            found.append((evaluation.name, max(ours, key=lambda trial: trial.eps)))
    remedy = "Evaluate a network anew, in the maximum norm."
    require(found, "evaluations", f"one with {control}", "none", remedy)
    return found


def there(name: str) -> bool:
    """Whether the samples of a network of the zoo can be read."""
    try:
        zoo.samples(zoo.entry(name).data)
    except FileNotFoundError as error:
        print(f"{name} is left out. {error}", file=sys.stderr)
        return False
    return True


def measured(name: str, trial: Trial, squares: int, device: str) -> dict[str, Any]:
    """Which of the samples that the other stages left each of the two searches broke."""
    stage, last = trial.outcome.stage, len(trial.outcome.stages) - 1
    (rows,) = np.nonzero((stage == trial.outcome.STANDING) | (stage == last))
    x, y = zoo.samples(zoo.entry(name).data)
    classifier = zoo.classifier(name, device)
    plan = Plan("theirs", (Stage(SquareAttack, None, {"max_iter": squares}),))
    attack = SpikingAutoAttack(classifier, eps=trial.eps, plan=plan, batch_size=64)
    attack.generate(x[rows], y[rows])
    theirs = attack.outcome.stage >= 0
    shares = {"theirs": as_json(theirs), "ours": as_json(stage[rows] == last)}
    return {"network": name, "eps": trial.eps, **shares}


def render(networks: Mapping[str, Mapping[str, Any]], title: str) -> str:
    """A row per network, and one over all."""
    titles = ["network", "eps", "left", "SquareSearch", "SquareAttack", "first alone"]
    titles += ["second alone", "p"]
    rows, pairs = [], []
    for cell in networks.values():
        pairs.append((booleans(cell["ours"]), booleans(cell["theirs"])))
        rows.append((cell["network"], f"{cell['eps']:.4g}", *counts(*pairs[-1])))
    both = [np.concatenate(side) for side in zip(*pairs, strict=True)]
    rows.append(("all", "", *counts(*both)))
    return tables.render([title, tables.Table(titles, rows)], "markdown")


def counts(ours: np.ndarray, theirs: np.ndarray) -> tuple[str, ...]:
    """How many samples there are, how many each breaks, alone too, and McNemar's p."""
    right = np.ones(len(ours), dtype=bool)
    more, fewer, p = paired_difference(Robustness(right, ~ours), Robustness(right, ~theirs))
    numbers = (len(ours), ours.sum(), theirs.sum(), more, fewer)
    return *map(str, numbers), format_p(p)


def main() -> None:
    parser = argparse.ArgumentParser(description="The control of standard against SquareAttack.")
    parser.add_argument(
        "evaluations", type=Path, nargs="*", default=[Path("examples/zoo/evaluations")]
    )
    parser.add_argument("--output", type=Path, default=Path("control"))
    parser.add_argument("--threads", type=int)
    parser.add_argument("--device", default="gpu", choices=("gpu", "cpu"))
    parser.add_argument("--small", action="store_true", help="one network, and few squares")
    chosen = parser.parse_args()
    if chosen.threads is not None:
        torch.set_num_threads(chosen.threads)
    output = chosen.output / "small" if chosen.small else chosen.output
    squares = 5 if chosen.small else CONTROL.options["max_iter"]
    pairs = trials(find_evaluations(chosen.evaluations))
    networks: dict[str, Any] = {}
    for name, trial in pairs[:1] if chosen.small else pairs:
        about = (name, trial.eps, squares, zoo.entry(name).sha256, trial.outcome.stage.tolist())
        key = digest(about)[:16]
        content = earlier(output / "control.json", "study", dict, lambda one: "networks" in one)
        kept = (content or {"networks": {}})["networks"]
        networks[key] = kept.get(key) or measured(name, trial, squares, chosen.device)
        write_result(output / "control.json", {"networks": kept | networks})
    title = (
        f"Samples that the other stages of {PLAN} leave at the largest budget, and how many "
        f"of them {squares:,} squares break. {describe_machine(chosen.device)}."
    )
    text = render(networks, title)
    write_text(output / "control.md", text)
    print(text)


if __name__ == "__main__":
    main()
