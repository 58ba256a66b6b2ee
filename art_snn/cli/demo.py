"""art-snn demo."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from art_snn.cli.options import checked


def demo(
    output: Annotated[Path, typer.Option(help="Folder for results and pictures.")] = Path(
        "demo_output"
    ),
    seed: Annotated[int, typer.Option(help="Of weights, batches and attacks.")] = 0,
    epochs: Annotated[int, typer.Option(min=1, help="Of each training.")] = 15,
    test_images: Annotated[
        int | None, typer.Option(min=1, help="How many test images are attacked; default all.")
    ] = None,
    device: Annotated[str, typer.Option(help="gpu or cpu, as in ART.")] = "gpu",
) -> None:
    """Train a spiking network on digits, attack it by both gradients, harden it, attack again."""
    from art_snn import demo as library

    settings = checked(
        library.Demo,
        seed=seed,
        epochs=epochs,
        adversarial_epochs=epochs,
        test_images=test_images,
        device_type=device,
    )
    outcome = library.run(settings, output)
    typer.echo("\n" + library.table(outcome))
    typer.echo("Which gradient was stronger (McNemar, p < 0.05):")
    for verdict in library.verdicts(outcome):
        typer.echo(f"  {verdict}")
    typer.echo(f"\nWritten to {output}: results.json, accuracy.png, adversarials.png")
