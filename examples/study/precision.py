"""Attacks crafted in half precision against the same in single precision, on the same samples.

    python examples/study/precision.py --data eurosat32_10k.npz --epochs 4 --output study/precision

The networks are those of `art-snn compare`: trained by Adam on the samples as they are, or found
in the folder that `art-snn compare` wrote, `decay-0.5` and the like below --output. A run that was
interrupted goes on after its last rule; --dtypes bfloat16 leaves out float16, which many processors
compute in software.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from setting import Study, parse

from art_snn import PyTorchSpikingClassifier, SpikingNetwork
from art_snn.app import tables
from art_snn.app.colours import GREY, SERIES
from art_snn.app.machine import describe_machine
from art_snn.app.results import as_json, booleans, earlier, fingerprint, write_result
from art_snn.attacks import batches, predict_logits
from art_snn.files import write_text
from art_snn.gradients import parse_rule
from art_snn.metrics import Robustness, Share, describe_difference, paired_difference
from art_snn.precision import DTYPES

RULES = ("rga", "stbp", "hart", "assg")
BATCH = 50
GOAL = 1.0
"""Points of success within which half precision is to stay."""


def networks(study: Study) -> Iterator[tuple[float, PyTorchSpikingClassifier]]:
    """Every decay with its network."""
    for decay in study.decays:
        yield decay, study.train_short(study.output / f"decay-{decay:g}", decay)


def gradients(
    classifier: PyTorchSpikingClassifier, rule: str, dtype: str | None, x: np.ndarray, y: np.ndarray
) -> np.ndarray:
    """Gradients at the samples, flat [N, D]."""
    parts = []
    with classifier.model.crafting(dtype):
        for batch in batches(len(x), BATCH, 0, f"gradients by {rule}, {dtype or 'single'}"):
            classifier.model.forget()
            parts.append(classifier.loss_gradient(x[batch], y[batch], gradient=parse_rule(rule)))
    classifier.model.forget()
    return np.concatenate(parts).reshape(len(x), -1)


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    """Mean over the samples at which neither gradient vanishes; NaN where there is none."""
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    products = (one * other).sum(1)[lengths > 0] / lengths[lengths > 0]
    return float(products.mean()) if len(products) else float("nan")


@torch.no_grad()
def classes(network: SpikingNetwork, x: np.ndarray, device: torch.device) -> np.ndarray:
    """Classes [N] by a network in half precision."""
    found = [network(torch.as_tensor(x[i : i + BATCH]).to(device)) for i in range(0, len(x), BATCH)]
    return torch.cat(found).argmax(1).cpu().numpy()


def carried(source: Robustness, target: Robustness) -> Share:
    """Adversarials in one network that are such in another, of what both classify correctly."""
    both = source.flipped & target.correct
    return Share(int((both & ~target.robust).sum()), int(both.sum()))


def run(study: Study, decay: float, classifier: PyTorchSpikingClassifier, rule: str) -> None:
    """The attack by the rule in every precision that the file does not hold."""
    attack, file = study.attack("pgd"), study.output / "precision.json"
    x, y = study.data.x_test[: study.samples], study.data.y_test[: study.samples]
    key = fingerprint((attack, rule), classifier, x, y)
    content = earlier(file, "study", dict, lambda found: "outcomes" in found) or {}
    content.setdefault("machine", describe_machine(study.device))
    known = content.setdefault("outcomes", {})
    missing = [dtype for dtype in study.dtypes if dtype not in known.get(key, {})]
    if not missing:
        return

    def adversarial(dtype: str | None) -> np.ndarray:
        with classifier.model.crafting(dtype):
            label = f"decay {decay:g}, {rule}, {dtype or 'single'}"
            return attack.craft(parse_rule(rule), classifier, x, y, label)

    exact = adversarial(None)
    direction = gradients(classifier, rule, None, x, y)
    correct, robust = (predict_logits(classifier, s, BATCH, 0).argmax(1) == y for s in (x, exact))
    single = Robustness(correct, robust)
    found = {"decay": decay, "rule": rule, "correct": as_json(correct), "single": as_json(robust)}
    found = known.setdefault(key, found)
    for dtype in missing:
        rounded = adversarial(dtype)
        robust = predict_logits(classifier, rounded, BATCH, 0).argmax(1) == y
        half = classifier.model.lower(DTYPES[dtype])
        ends = [classes(half, s, classifier.device) == y for s in (x, exact, rounded)]
        found[dtype] = {
            "robust": as_json(robust),
            "cosine": cosine(direction, gradients(classifier, rule, dtype, x, y)),
            "accuracy": Share(int(ends[0].sum()), len(y)).as_dict(),
            "from_single": carried(single, Robustness(ends[0], ends[1])).as_dict(),
            "to_single": carried(
                Robustness(ends[0], ends[2]), Robustness(correct, robust)
            ).as_dict(),
        }
    write_result(file, content)


def present(content: Mapping[str, Any]) -> list[str]:
    """The half precisions that every cell of the study has."""
    cells = content["outcomes"].values()
    return [dtype for dtype in DTYPES if all(dtype in found for found in cells)]


def outcomes(found: Mapping[str, Any], dtype: str) -> tuple[Robustness, Robustness]:
    """Crafted in half and in single precision, both judged in single precision."""
    correct = booleans(found["correct"])
    half = Robustness(correct, booleans(found[dtype]["robust"]))
    return half, Robustness(correct, booleans(found["single"]))


def difference(half: Robustness, single: Robustness) -> tuple[float, float]:
    """Points of success gained by half precision, and the reach of their 95 % interval.

    The interval is Wald's for the difference of paired shares."""
    more, fewer, _ = paired_difference(half, single)
    total = max(1, int(single.correct.sum()))
    share = (more - fewer) / total
    spread = np.sqrt(max(0.0, (more + fewer) / total - share**2) / total)
    return 100 * share, float(196 * spread)


def verdict(content: Mapping[str, Any], dtype: str) -> str:
    """How near to single precision that dtype comes, over all networks and rules."""
    cells = content["outcomes"].values()
    pairs = [outcomes(found, dtype) for found in cells]
    points = [difference(*pair)[0] for pair in pairs]
    tests = np.array([paired_difference(*pair) for pair in pairs])
    least = min(found[dtype]["cosine"] for found in cells)
    return (
        f"{dtype}: within {GOAL:g} point of single precision in "
        f"{sum(abs(p) <= GOAL for p in points)} of {len(points)}, from {min(points):+.2f} to "
        f"{max(points):+.2f} points; told apart by McNemar's test (p < 0.05) in "
        f"{int((tests[:, 2] < 0.05).sum())}; flipped by {dtype} alone {int(tests[:, 0].sum())}, by "
        f"single precision alone {int(tests[:, 1].sum())}; least mean cosine {least:.3f}."
    )


def render(title: str, content: Mapping[str, Any]) -> str:
    """A row per network, rule and precision, and what they come to."""
    titles = ["decay", "rule", "half", "success, single", "success, half", "difference, points"]
    titles += ["half against single", "cosine", "single to half", "half to single"]
    rows = []
    for found in content["outcomes"].values():
        for dtype in present(content):
            half, single = outcomes(found, dtype)
            points, reach = difference(half, single)
            ends = [found[dtype][name] for name in ("from_single", "to_single")]
            rows.append(
                (
                    f"{found['decay']:g}",
                    found["rule"],
                    dtype,
                    str(single.attack_success),
                    str(half.attack_success),
                    f"{points:+.1f} [{points - reach:+.1f}, {points + reach:+.1f}]",
                    describe_difference(half, single),
                    f"{found[dtype]['cosine']:.3f}",
                    *(str(Share(end["count"], end["total"])) for end in ends),
                )
            )
    notes = tables.Notes([verdict(content, dtype) for dtype in present(content)])
    return tables.render([title, tables.Table(titles, rows), notes], "markdown")


def draw(ax: Axes, content: Mapping[str, Any]) -> None:
    """Points of success gained by half precision, with their intervals."""
    cells = list(content["outcomes"].values())
    for shift, dtype, colour in zip((-0.12, 0.12), present(content), SERIES, strict=False):
        found = [difference(*outcomes(cell, dtype)) for cell in cells]
        points, reach = zip(*found, strict=True)
        places = np.arange(len(cells)) + shift
        ax.errorbar(places, points, reach, fmt="o", color=colour, label=dtype, capsize=3)
    names = [f"{cell['rule']}\n{cell['decay']:g}" for cell in cells]
    ax.set(xticks=np.arange(len(cells)), xticklabels=names, xlabel="rule and decay")
    ax.set_ylabel("success, half minus single [points]")
    ax.axhspan(-GOAL, GOAL, color=GREY, alpha=0.2)
    ax.axhline(0, color=GREY)
    ax.grid(alpha=0.3, axis="y")
    ax.legend(frameon=False)


def main() -> None:
    study = parse("Attacks crafted in half precision against the same in single precision.")
    for decay, classifier in networks(study):
        for rule in RULES:
            run(study, decay, classifier, rule)
    content = earlier(study.output / "precision.json", "study", dict, bool) or {}
    network = study.architecture(1.0).fit_to(study.data)
    title = (
        f"{network.model}, width {network.width:g}, T = {study.steps}, {study.epochs} epochs on "
        f"{study.data.name}. {study.attack('pgd')}. {content['machine']}."
    )
    text = render(title, content)
    write_text(study.output / "precision.md", text)
    figure = Figure(figsize=(8, 4), layout="constrained")
    draw(figure.subplots(), content)
    figure.suptitle(f"{study.data.name}, success among the correctly classified", fontsize="medium")
    figure.savefig(study.output / "precision.png", dpi=110)
    print(text)


if __name__ == "__main__":
    main()
