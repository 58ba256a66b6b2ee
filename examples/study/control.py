"""Does the last stage of standard, a search of ours, break less than ART's SquareAttack?

    python examples/study/control.py examples/zoo/evaluations --output results/control

Reads evaluations of networks of the zoo by the plan standard. Of the samples that all other stages
left at the largest budget, and that no bounds certify, the first ones are attacked by ART's
SquareAttack of 2,500 squares, which gives none up. A run that was interrupted goes on after its
last network.
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
from art_snn.app.evaluation.record import Trial, find_evaluations, read_evaluation
from art_snn.app.evaluation.verdict import format_eps
from art_snn.app.machine import describe_machine
from art_snn.app.results import as_json, booleans, read_result, write_result
from art_snn.attacks import Plan, SpikingAutoAttack, Stage, resolve_plan
from art_snn.checks import require
from art_snn.files import digest, write_text
from art_snn.metrics import Robustness, format_p, paired_difference

PLAN = "standard"


def trials(files: Iterable[Path], samples: int) -> list[tuple[str, Trial, np.ndarray, int]]:
    """Network and outcome of each evaluation by the plan with the search, at its largest budget,
    the first rows that the stages before the search left, and the place of the search.

    Networks that draw are left out, those whose samples are not there are named."""
    control = str(resolve_plan(PLAN, np.inf).stages[-1])
    found = []
    for file in files:
        evaluation = read_evaluation(file).evaluation
        places = [
            (one, place)
            for one in evaluation.trials
            for place, stage in enumerate(one.outcome.stages)
            if stage.description == control and one.outcome.draws == 1
        ]
        if places and there(evaluation.name):
            trial, last = max(places, key=lambda pair: pair[0].eps)
            stage = trial.outcome.stage
            others = (stage == trial.outcome.STANDING) | (stage >= last)
            (rows,) = np.nonzero(others & ~evaluation.certified(trial.eps))
            found.append((evaluation.name, trial, rows[:samples], last))
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


def measured(
    name: str, trial: Trial, rows: np.ndarray, place: int, squares: int, device: str
) -> dict[str, Any]:
    """Which of the samples that the other stages left each of the two searches broke."""
    x, y = zoo.samples(zoo.entry(name).data)
    classifier = zoo.classifier(name, device)
    plan = Plan("theirs", (Stage(SquareAttack, None, {"max_iter": squares}),))
    attack = SpikingAutoAttack(classifier, eps=trial.eps, plan=plan, batch_size=64)
    attack.generate(x[rows], y[rows])
    theirs = attack.outcome.stage >= 0
    shares = {"theirs": as_json(theirs), "ours": as_json(trial.outcome.stage[rows] == place)}
    return {"network": name, "eps": trial.eps, **shares}


def render(networks: Mapping[str, Mapping[str, Any]], title: str) -> str:
    """A row per network, and one over all."""
    titles = ["network", "eps", "samples", "SquareSearch", "SquareAttack", "first alone"]
    titles += ["second alone", "p"]
    rows, pairs = [], []
    for cell in networks.values():
        pairs.append((booleans(cell["ours"]), booleans(cell["theirs"])))
        rows.append((cell["network"], format_eps("inf", cell["eps"]), *counts(*pairs[-1])))
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
    parser.add_argument("--samples", type=int, default=10, help="at most, of each network")
    parser.add_argument("--output", type=Path, default=Path("results/control"))
    parser.add_argument("--threads", type=int)
    parser.add_argument("--device", default="gpu", choices=("gpu", "cpu"))
    parser.add_argument("--small", action="store_true", help="one network, and few squares")
    chosen = parser.parse_args()
    if chosen.threads is not None:
        torch.set_num_threads(chosen.threads)
    output = chosen.output / "small" if chosen.small else chosen.output
    squares = 5 if chosen.small else 2500
    left = trials(find_evaluations(chosen.evaluations), chosen.samples)
    networks: dict[str, Any] = {}
    file = output / "control.json"
    kept = read_result(file)["networks"] if file.exists() else {}
    for name, trial, rows, place in left[:1] if chosen.small else left:
        about = (name, trial.eps, squares, zoo.entry(name).sha256)
        key = digest(about, trial.outcome.stage, rows)[:16]
        networks[key] = kept.get(key) or measured(name, trial, rows, place, squares, chosen.device)
        write_result(file, {"networks": kept | networks})
    title = (
        f"At most {chosen.samples} samples per network that the other stages of {PLAN} leave at "
        f"the largest budget, and how many of them its last stage, and SquareAttack of "
        f"{squares:,} squares, break. {describe_machine(chosen.device)}."
    )
    text = render(networks, title)
    write_text(output / "control.md", text)
    print(text)


if __name__ == "__main__":
    main()
