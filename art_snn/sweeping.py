"""The sweeps of a hyperparameter: train a network per decay, attack it, draw what came out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from art_snn.checks import invalid
from art_snn.classifier import PyTorchSpikingClassifier
from art_snn.data import Dataset
from art_snn.evaluation import sweep
from art_snn.evaluation.panel import Panel, markdown
from art_snn.evaluation.subject import Subject
from art_snn.evaluation.sweep import Sweep
from art_snn.plotting import success_against_value
from art_snn.plotting.colours import SERIES


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A sweep, and the networks that it attacks.

    :param sweep: one field over some values.
    :param decays: of the neurons, one network each.
    :raises ValueError: without any decay.
    """

    sweep: Sweep
    decays: tuple[float, ...] = (1.0, 0.5)

    def __post_init__(self) -> None:
        if not self.decays:
            raise invalid("decays", expected="at least one", got="none", remedy="Give some.")
        object.__setattr__(self, "decays", tuple(dict.fromkeys(map(float, self.decays))))


def paper(decays: Sequence[float] | None = None, **settings: Any) -> list[Plan]:
    """Both panels of the figure in the supplement of Bu et al. (CVPR 2023).

    Beta from 1 to 4 at decays 1 and 0.5, and gamma from 0 to 0.3 at decays 0.9 and 0.5.

    :param decays: others for both panels.
    :param settings: attack, samples, batch_size and seed of :class:`Sweep`.
    """
    beta = Sweep(field="beta", values=(1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0), **settings)
    gamma = Sweep(field="gamma", values=(0.0, 0.1, 0.2, 0.3), **settings)
    usual = {"beta": (1.0, 0.5), "gamma": (0.9, 0.5)}
    return [
        Plan(sweep=one, decays=usual[one.field] if decays is None else tuple(decays))
        for one in (beta, gamma)
    ]


def planned(
    rule: str | None = None,
    field: str | None = None,
    values: Sequence[float] | None = None,
    decays: Sequence[float] | None = None,
    **settings: Any,
) -> list[Plan]:
    """The sweep over the values of that field, or :func:`paper`'s where none is named.

    :param rule: RGA unless given.
    :param settings: attack, samples, batch_size and seed of :class:`Sweep`.
    :raises ValueError: when a rule, a field or values are given and not both field and values.
    """
    if rule is None and field is None and values is None:
        return paper(decays, **settings)
    if field is None or values is None:
        raise invalid(
            "field" if field is None else "values",
            expected="a field and its values",
            got="none",
            remedy="Give both, or neither of them and no rule for the sweeps of the paper.",
        )
    one = Sweep(rule=rule or "rga", field=field, values=tuple(values), **settings)
    return [Plan(sweep=one) if decays is None else Plan(sweep=one, decays=tuple(decays))]


def run(
    plans: Sequence[Plan],
    subject: Subject,
    samples: Dataset,
    output: Path,
    checkpoint: Path | None = None,
    device_type: str = "gpu",
) -> list[Panel]:
    """Train or load a network per decay, sweep, write sweep.json, sweep.md and sweep.png.

    Every value is checked on every network before the first training. A run that was interrupted
    is taken up where it stopped: training after its last whole epoch, a sweep after its last whole
    value.

    :param plans: one panel each.
    :param subject: the networks, but for their decay.
    :param samples: data set; its test samples are attacked.
    :param output: folder, made when missing; receives decay-<decay>/network.pt where networks are
        trained.
    :param checkpoint: weights of the subject; the plans then have its decay alone.
    :param device_type: "gpu" or "cpu", as in ART.
    :return: a panel per plan.
    :raises CheckpointError: when the weights do not fit.
    :raises ValueError: when a rule refuses a value at a decay, the folder holds results of
        something else, or there is a checkpoint and another decay than the subject's.
    """
    subject = subject.on(samples)
    decays = tuple(dict.fromkeys(decay for plan in plans for decay in plan.decays))
    if checkpoint is not None and decays != (subject.decay,):
        raise invalid(
            "decays",
            expected=f"{subject.decay:g} alone, which the network of the checkpoint has",
            got=", ".join(f"{decay:g}" for decay in decays),
            remedy="Leave out the decays, or the checkpoint to train a network for each.",
        )
    subjects = {decay: replace(subject, decay=decay) for decay in decays}
    classifiers = {d: one.classifier(samples, device_type) for d, one in subjects.items()}
    for plan in plans:
        for decay in plan.decays:
            sweep.check(plan.sweep, classifiers[decay], samples.x_test)
    output.mkdir(parents=True, exist_ok=True)
    for decay, one in subjects.items():
        if checkpoint is None:
            one.train(classifiers[decay].model, samples, output / f"decay-{decay:g}")
        else:
            one.load(classifiers[decay].model, checkpoint)
    titles = {decay: f"{one.words()} on {samples.name}" for decay, one in subjects.items()}
    panels = [_panel(plan, classifiers, titles, samples, output / "sweep.json") for plan in plans]
    (output / "sweep.md").write_text(markdown(panels))
    draw(panels).savefig(output / "sweep.png", dpi=150)
    return panels


def draw(panels: Sequence[Panel]) -> Figure:
    """Attack success over the values, one panel beside the other; a network keeps its colour."""
    names = dict.fromkeys(name for panel in panels for name in panel.lines)
    colours = {name: SERIES[i % len(SERIES)] for i, name in enumerate(names)}
    figure = Figure(figsize=(1 + 4 * len(panels), 4), layout="constrained")
    for ax, panel in zip(
        figure.subplots(1, len(panels), sharey=True, squeeze=False)[0], panels, strict=True
    ):
        success_against_value(ax, panel, colours)
        ax.legend()
        ax.label_outer()
    titles = dict.fromkeys(f"{panel.rule}\n{panel.attack}" for panel in panels)
    figure.suptitle("\n".join(titles), fontsize="medium")
    return figure


def _panel(
    plan: Plan,
    classifiers: dict[float, PyTorchSpikingClassifier],
    titles: dict[float, str],
    samples: Dataset,
    file: Path,
) -> Panel:
    lines = {}
    for decay in plan.decays:
        name, classifier = f"decay {decay:g}", classifiers[decay]
        lines[name] = sweep.run(
            plan.sweep, classifier, samples.x_test, samples.y_test, file, name, titles[decay]
        )
    return Panel(str(plan.sweep.base), plan.sweep.field, str(plan.sweep.attack), lines)
