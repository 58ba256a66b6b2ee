"""art-snn compare."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from art_snn.cli.options import (
    DataOption,
    DownloadOption,
    FramesOption,
    ImageSizeOption,
    RootOption,
    ValueRangeOption,
    checked,
    dataset,
    number,
)


def compare(
    output: Annotated[
        Path, typer.Option(help="Folder for table, chart, network; taken up where it stopped.")
    ] = Path("comparison"),
    data: DataOption = "digits",
    root: RootOption = Path("data"),
    download: DownloadOption = False,
    image_size: ImageSizeOption = None,
    value_range: ValueRangeOption = None,
    frames: FramesOption = 10,
    checkpoint: Annotated[
        Path | None, typer.Option(help="Weights of a trained network; none trains one here.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Name of a model. [vgg5]")] = None,
    width: Annotated[float | None, typer.Option(help="Factor of the layers' widths. [1]")] = None,
    steps: Annotated[int | None, typer.Option(help="Time steps T. [8; events: frames]")] = None,
    decay: Annotated[float | None, typer.Option(help="Decay; 1 is IF. [0.5]")] = None,
    threshold: Annotated[float | None, typer.Option(help="Of the neurons. [1]")] = None,
    reset: Annotated[str | None, typer.Option(help="hard or soft. [hard]")] = None,
    encoder: Annotated[str | None, typer.Option(help="direct or poisson. [direct]")] = None,
    epochs: Annotated[int | None, typer.Option(help="Epochs of training here. [10]")] = None,
    attack: Annotated[str, typer.Option(help="fgsm, pgd, mim or apgd.")] = "pgd",
    eps: Annotated[str, typer.Option(help="Budget, such as 0.1 or 8/255.")] = "0.1",
    eps_step: Annotated[str | None, typer.Option(help="Step of pgd and mim. [eps / 4]")] = None,
    iterations: Annotated[int, typer.Option(help="Gradient steps.")] = 10,
    rules: Annotated[str | None, typer.Option(help="Some rules only: stbp,rga,...")] = None,
    eot: Annotated[int, typer.Option(help="Draws that every rule averages over.")] = 1,
    samples: Annotated[int, typer.Option(help="Test samples under attack.")] = 500,
    batch: Annotated[int, typer.Option(help="Samples per gradient.")] = 50,
    repeats: Annotated[int, typer.Option(help="Rounds behind each median of time.")] = 5,
    seed: Annotated[int, typer.Option(help="Of weights, training and attack.")] = 0,
    threads: Annotated[int | None, typer.Option(help="Threads of torch on the CPU.")] = None,
    device: Annotated[str, typer.Option(help="gpu (where there is one) or cpu.")] = "gpu",
) -> None:
    """Attack one network by one attack under every gradient rule: success, cost, direction."""
    from art_snn import strength
    from art_snn.evaluation.attacks import Attack
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
        attack=checked(
            Attack,
            name=attack,
            eps=number("eps", eps),
            eps_step=None if eps_step is None else number("eps_step", eps_step),
            iterations=iterations,
        ),
        rules=RULES if rules is None else checked(chosen, names=rules),
        samples=samples,
        batch_size=batch,
        eot=eot,
        repeats=repeats,
        seed=seed,
    )
    chosen_data = dataset(
        data,
        root,
        download=download,
        image_size=image_size,
        values=value_range,
        frames=frames,
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
