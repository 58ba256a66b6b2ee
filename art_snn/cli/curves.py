"""art-snn curves."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from art_snn.cli import options
from art_snn.cli.options import checked


def curves(
    output: Annotated[
        Path, typer.Option(help="Folder for table, chart, pairs, networks; training is taken up.")
    ] = Path("curves"),
    data: options.Data = "digits",
    root: options.Root = Path("data"),
    download: options.Download = False,
    image_size: options.ImageSize = None,
    value_range: options.ValueRange = None,
    frames: options.Frames = 10,
    checkpoint: Annotated[
        list[Path] | None,
        typer.Option(help="Weights of a trained network, once per decay; none trains here."),
    ] = None,
    decay: Annotated[
        list[str] | None,
        typer.Option(help="Decays, one network each: several times, or 1,0.5. 1 is IF. [1,0.5]"),
    ] = None,
    model: options.Model = None,
    width: options.Width = None,
    steps: options.Steps = None,
    threshold: options.Threshold = None,
    encoder: options.Encoder = None,
    epochs: options.Epochs = None,
    layer: Annotated[
        str, typer.Option(help="Layer of neurons: index among them from 0, or name.")
    ] = "1",
    pairs: Annotated[int, typer.Option(help="Pairs of mean current and mean rate.")] = 8000,
    batch: Annotated[int, typer.Option(help="Samples per pass.")] = 64,
    beta: Annotated[float, typer.Option(help="Of RGA's polyline.")] = 2.0,
    gamma: Annotated[float, typer.Option(help="Of RGA's polyline.")] = 0.2,
    seed: Annotated[int, typer.Option(help="Of weights, training and drawn pairs.")] = 0,
    threads: options.Threads = None,
    device: options.Device = "gpu",
) -> None:
    """Record mean current and mean rate of one layer, and compare them with the rate curves."""
    from art_snn import actual
    from art_snn.evaluation.cost import set_threads
    from art_snn.evaluation.deviations import table
    from art_snn.evaluation.recording import Settings, subjects_of
    from art_snn.gradients import RGA

    checked(set_threads, threads=threads)
    checkpoints = checkpoint or []
    samples = options.dataset(
        data, root, download=download, image_size=image_size, values=value_range, frames=frames
    )
    recordings = checked(
        actual.run,
        settings=checked(
            Settings,
            layer=int(layer) if layer.isdecimal() else layer,
            pairs=pairs,
            batch_size=batch,
            seed=seed,
            rule=checked(RGA, beta=beta, gamma=gamma),
        ),
        subjects=checked(
            subjects_of,
            decays=_decays(decay, checkpoints),
            checkpoints=checkpoints,
            model=model,
            width=width,
            steps=steps,
            threshold=threshold,
            encoder=encoder,
            epochs=epochs,
            seed=seed,
        ),
        samples=samples,
        output=output,
        checkpoints=checkpoints,
        device_type=device,
    )
    for recording in recordings:
        typer.echo("\n" + table(recording.panel))
    typer.echo(f"\nWritten to {output}: curves.json, curves.md, curves.png, pairs.npz")


def _decays(words: list[str] | None, checkpoints: list[Path]) -> list[float | None]:
    """The decays asked for; without any, those of the checkpoints, or 1 and 0.5."""
    if words is None:
        return [None] * len(checkpoints) or [1.0, 0.5]
    return [options.number("decay", part.strip()) for word in words for part in word.split(",")]
