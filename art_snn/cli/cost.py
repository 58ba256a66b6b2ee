"""art-snn cost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from art_snn.cli.options import checked


def cost(
    model: Annotated[str, typer.Option(help="Name of a model.")] = "vgg11",
    steps: Annotated[int, typer.Option(help="Time steps T.")] = 8,
    batch: Annotated[int, typer.Option(help="Samples per gradient.")] = 32,
    image_size: Annotated[int, typer.Option(help="Side of the square input.")] = 32,
    channels: Annotated[int, typer.Option(help="Of the input; event frames have 2.")] = 3,
    decay: Annotated[float, typer.Option(help="Decay of the neurons.")] = 0.5,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    threads: Annotated[int | None, typer.Option(help="Threads of torch on the CPU.")] = None,
    rules: Annotated[str, typer.Option(help="Gradient rules, separated by commas.")] = "rga,stbp",
    repeats: Annotated[int, typer.Option(help="Rounds behind each median.")] = 7,
    keep_memory: Annotated[
        bool, typer.Option("--keep-memory", help="Keep freed memory in the process (glibc).")
    ] = False,
    output: Annotated[Path | None, typer.Option(help="JSON file for the figures.")] = None,
) -> None:
    """Time and peak memory of one input gradient, in inferences, on this machine."""
    from art_snn.evaluation import cost as library

    workload = checked(
        library.Workload,
        model=model,
        steps=steps,
        batch=batch,
        image_size=image_size,
        channels=channels,
        decay=decay,
        device=device,
        threads=threads,
        rules=tuple(part.strip() for part in rules.split(",")),
        keep_memory=keep_memory,
    )
    measured = checked(library.measure, workload=workload, repeats=repeats)
    typer.echo("\n" + measured.table())
    if output is not None:
        output.write_text(json.dumps(measured.as_dict(), indent=1) + "\n")
