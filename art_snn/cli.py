"""Command line: arguments in, one library call, printed result."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import matplotlib as mpl
import typer

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Attack, train and evaluate spiking networks with the Adversarial Robustness Toolbox.",
)


Result = TypeVar("Result")


def _checked(call: Callable[..., Result], **arguments: object) -> Result:
    """The call's result; a complaint about an argument becomes a usage error."""
    try:
        return call(**arguments)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def _print_version(wanted: bool) -> None:
    if wanted:
        from art_snn import __version__

        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Version.")
    ] = False,
) -> None:
    """Settings common to all commands."""
    mpl.use("Agg")


@app.command()
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

    settings = _checked(
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


@app.command()
def cost(
    model: Annotated[str, typer.Option(help="Name of a model.")] = "vgg11",
    steps: Annotated[int, typer.Option(help="Time steps T.")] = 8,
    batch: Annotated[int, typer.Option(help="Samples per gradient.")] = 32,
    image_size: Annotated[int, typer.Option(help="Side of the square input.")] = 32,
    decay: Annotated[float, typer.Option(help="Decay of the neurons.")] = 0.5,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    threads: Annotated[int | None, typer.Option(help="Threads of torch on the CPU.")] = None,
    repeats: Annotated[int, typer.Option(help="Rounds behind each median.")] = 7,
    keep_memory: Annotated[
        bool, typer.Option("--keep-memory", help="Keep freed memory in the process (glibc).")
    ] = False,
    output: Annotated[Path | None, typer.Option(help="JSON file for the figures.")] = None,
) -> None:
    """Time and peak memory of one input gradient, in inferences, on this machine."""
    from art_snn.evaluation import cost as library

    workload = _checked(
        library.Workload,
        model=model,
        steps=steps,
        batch=batch,
        image_size=image_size,
        decay=decay,
        device=device,
        threads=threads,
        keep_memory=keep_memory,
    )
    measured = _checked(library.measure, workload=workload, repeats=repeats)
    typer.echo("\n" + measured.table())
    if output is not None:
        output.write_text(json.dumps(measured.as_dict(), indent=1) + "\n")
