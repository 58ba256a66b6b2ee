"""Rate-current curves of trained networks: obtain networks, record them, write and draw."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from tqdm.auto import tqdm

from art_snn.data import Dataset
from art_snn.evaluation.deviations import markdown
from art_snn.evaluation.recording import Recording, Settings, label
from art_snn.evaluation.subject import Subject
from art_snn.inputs import check_device_type
from art_snn.plotting import rate_current


def run(
    settings: Settings,
    subjects: Sequence[Subject],
    samples: Dataset,
    output: Path,
    checkpoints: Sequence[Path] = (),
    device_type: str = "gpu",
) -> list[Recording]:
    """Train or load every network, record it on the test samples, and compare with the curves.

    Writes curves.json, curves.md, curves.png and pairs.npz. A training that was interrupted is
    taken up after its last whole epoch, and networks that the folder holds are not trained again.

    :param settings: of the recording.
    :param subjects: networks of different decays, as
        :func:`art_snn.evaluation.recording.subjects_of` makes them.
    :param samples: data set; networks are trained on its training samples.
    :param output: folder, made when missing; a network of decay 0.5 lies in decay-0.5/network.pt.
    :param checkpoints: weights, one file per subject; none trains all of them here.
    :param device_type: "gpu" or "cpu", as in ART.
    :raises CheckpointError: when weights do not fit, or the folder holds another network.
    :raises ValueError: when a subject's reset is soft, or layer, beta or gamma does not fit.
    """
    check_device_type(device_type)
    subjects = [subject.on(samples) for subject in subjects]
    networks = [subject.build(samples) for subject in subjects]
    for subject, network in zip(subjects, networks, strict=True):
        settings.check(subject, network)
    output.mkdir(parents=True, exist_ok=True)
    device = torch.device("cuda" if device_type == "gpu" and torch.cuda.is_available() else "cpu")
    recordings = []
    for i, subject in enumerate(tqdm(subjects, desc="Networks", leave=False)):
        network = networks[i].to(device)
        if checkpoints:
            subject.load(network, checkpoints[i])
        else:
            subject.train(network, samples, output / f"decay-{label(subject.decay)}")
        recordings.append(Recording.of(settings, subject, network, samples))
    _write(output, settings, recordings)
    return recordings


def draw(settings: Settings, recordings: Sequence[Recording]) -> Figure:
    """One panel per network: recorded pairs, static curves, RGA's polyline."""
    figure = Figure(figsize=(5.2 * len(recordings), 4.2), layout="constrained")
    row = figure.subplots(1, len(recordings), squeeze=False, sharey=True)[0]
    for ax, recording in zip(row, recordings, strict=True):
        threshold = recording.subject.threshold
        high = threshold * (max(settings.rule.beta, 1) + 0.5)
        curves = settings.curves(recording.subject)
        rate_current(ax, recording.pairs, curves, low=-threshold, high=high)
        title = textwrap.fill(f"{recording.panel.title}, {recording.panel.layer}", 48)
        ax.set_title(title, fontsize="medium")
        ax.label_outer()
    return figure


def _write(output: Path, settings: Settings, recordings: Sequence[Recording]) -> None:
    arrays: dict[str, np.ndarray] = {}
    for recording in recordings:
        for name in ("sample", "neuron", "current", "rate"):
            arrays[f"decay-{label(recording.subject.decay)}/{name}"] = getattr(
                recording.pairs, name
            )
    np.savez_compressed(output / "pairs.npz", **arrays)  # type: ignore[arg-type]
    panels = [{"subject": asdict(r.subject)} | r.panel.as_dict() for r in recordings]
    content = {"settings": asdict(settings), "panels": panels}
    partial = output / "curves.json.part"
    partial.write_text(json.dumps(content, indent=1) + "\n")
    partial.replace(output / "curves.json")
    words = f"Curves: static, and the polyline of {settings.rule}. d is recorded minus curve.\n\n"
    (output / "curves.md").write_text(words + "\n".join(markdown(r.panel) for r in recordings))
    draw(settings, recordings).savefig(output / "curves.png", dpi=150)
