"""art-snn sweep."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from art_snn.cli import options
from art_snn.cli.options import checked


def sweep(
    output: Annotated[
        Path, typer.Option(help="Folder for table, chart, networks; taken up where it stopped.")
    ] = Path("sweep"),
    rule: Annotated[
        str | None, typer.Option(help="Name of a rule; eot-NAME and extended-NAME too. [rga]")
    ] = None,
    field: Annotated[
        str | None, typer.Option(help="Its hyperparameter: beta, surrogate.width, ...")
    ] = None,
    values: Annotated[
        str | None, typer.Option(help="Of that field: numbers or fractions, with commas.")
    ] = None,
    decays: Annotated[
        str | None, typer.Option(help="One network each. [1,0.5; for the paper's gamma 0.9,0.5]")
    ] = None,
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
    threshold: options.Threshold = None,
    reset: options.Reset = None,
    encoder: options.Encoder = None,
    epochs: options.Epochs = None,
    attack: options.AttackName = "pgd",
    eps: options.Eps = "0.1",
    eps_step: options.EpsStep = None,
    iterations: options.Iterations = 10,
    samples: options.Samples = 500,
    batch: options.Batch = 50,
    seed: options.Seed = 0,
    threads: options.Threads = None,
    device: options.Device = "gpu",
) -> None:
    """Attack success over a hyperparameter of a rule; without options over RGA's beta and gamma."""
    from art_snn import sweeping
    from art_snn.evaluation.cost import set_threads
    from art_snn.evaluation.panel import table
    from art_snn.evaluation.subject import of_checkpoint

    checked(set_threads, threads=threads)
    asked = None if decays is None else options.numbers("decays", decays)
    subject = checked(
        of_checkpoint,
        path=checkpoint,
        model=model,
        width=width,
        steps=steps,
        decay=asked[0] if checkpoint is not None and asked and len(asked) == 1 else None,
        threshold=threshold,
        reset=reset,
        encoder=encoder,
        epochs=epochs,
        seed=seed,
    )
    plans = checked(
        sweeping.planned,
        rule=rule,
        field=field,
        values=None if values is None else options.numbers("values", values),
        decays=(subject.decay,) if checkpoint is not None and asked is None else asked,
        attack=options.attack_of(attack, eps, eps_step, iterations),
        samples=samples,
        batch_size=batch,
        seed=seed,
    )
    chosen_data = options.dataset(
        data, root, download=download, image_size=image_size, values=value_range, frames=frames
    )
    panels = checked(
        sweeping.run,
        plans=plans,
        subject=subject,
        samples=chosen_data,
        output=output,
        checkpoint=checkpoint,
        device_type=device,
    )
    typer.echo("\n" + table(panels))
    typer.echo(f"\nWritten to {output}: sweep.json, sweep.md, sweep.png")
