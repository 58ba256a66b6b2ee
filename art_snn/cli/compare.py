"""art-snn compare."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from art_snn.cli import options
from art_snn.cli.options import checked


def compare(
    output: Annotated[
        Path, typer.Option(help="Folder for table, chart, network; taken up where it stopped.")
    ] = Path("comparison"),
    data: options.Data = "digits",
    root: options.Root = Path("data"),
    download: options.Download = False,
    image_size: options.ImageSize = None,
    value_range: options.ValueRange = None,
    frames: options.Frames = 10,
    checkpoint: options.Checkpoint = None,
    model: options.Model = None,
    width: options.Width = None,
    steps: options.Steps = None,
    decay: options.Decay = None,
    threshold: options.Threshold = None,
    reset: options.Reset = None,
    encoder: options.Encoder = None,
    epochs: options.Epochs = None,
    attack: options.AttackName = "pgd",
    eps: options.Eps = "0.1",
    eps_step: options.EpsStep = None,
    iterations: options.Iterations = 10,
    rules: Annotated[str | None, typer.Option(help="Some rules only: stbp,rga,...")] = None,
    eot: Annotated[int, typer.Option(help="Draws that every rule averages over.")] = 1,
    samples: options.Samples = 500,
    batch: options.Batch = 50,
    repeats: Annotated[int, typer.Option(help="Rounds behind each median of time.")] = 5,
    seed: options.Seed = 0,
    threads: options.Threads = None,
    device: options.Device = "gpu",
) -> None:
    """Attack one network by one attack under every gradient rule: success, cost, direction."""
    from art_snn import strength
    from art_snn.evaluation.compare import RULES, Settings, chosen
    from art_snn.evaluation.comparison import table
    from art_snn.evaluation.cost import set_threads
    from art_snn.evaluation.subject import of_checkpoint

    checked(set_threads, threads=threads)
    subject = checked(
        of_checkpoint,
        path=checkpoint,
        model=model,
        width=width,
        steps=steps,
        decay=decay,
        threshold=threshold,
        reset=reset,
        encoder=encoder,
        epochs=epochs,
        seed=seed,
    )
    settings = checked(
        Settings,
        attack=options.attack_of(attack, eps, eps_step, iterations),
        rules=RULES if rules is None else checked(chosen, names=rules),
        samples=samples,
        batch_size=batch,
        eot=eot,
        repeats=repeats,
        seed=seed,
    )
    chosen_data = options.dataset(
        data, root, download=download, image_size=image_size, values=value_range, frames=frames
    )
    comparison = checked(
        strength.run,
        settings=settings,
        subject=subject,
        samples=chosen_data,
        output=output,
        checkpoint=checkpoint,
        device_type=device,
    )
    typer.echo("\n" + table(comparison))
    typer.echo(f"\nWritten to {output}: compare.json, compare.md, compare.png")
