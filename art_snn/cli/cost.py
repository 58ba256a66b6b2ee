"""art-snn cost."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from art_snn.cli import options
from art_snn.cli.options import checked, given, names, number, refuse, whole_number, whole_numbers

Given = dict[str, Any]


def cost(
    protocol: Annotated[
        str, typer.Option(help="gradient: one gradient; table-s2: PGD against time steps.")
    ] = "gradient",
    model: Annotated[str | None, typer.Option(help="gradient: name of a model. [vgg11]")] = None,
    models: Annotated[
        str | None, typer.Option(help="table-s2: names of models. [vgg11,vgg16,resnet17]")
    ] = None,
    steps: Annotated[
        str | None, typer.Option(help="Time steps T. [8; table-s2: 4,8,16,32]")
    ] = None,
    batch: Annotated[int, typer.Option(help="Samples per gradient.")] = 32,
    samples: Annotated[
        str | None, typer.Option(help="table-s2: images under attack, or all of --data. [32]")
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="table-s2: a data set of images. [random images]")
    ] = None,
    root: options.Root = Path("data"),
    download: options.Download = False,
    image_size: Annotated[
        int | None, typer.Option(help="Side of the square images. [32; of --data: its own]")
    ] = None,
    channels: Annotated[
        int | None, typer.Option(help="Of random input; event frames have 2. [3]")
    ] = None,
    width: Annotated[
        float | None, typer.Option(help="table-s2: factor of the models' widths. [1]")
    ] = None,
    decay: Annotated[float, typer.Option(help="Decay of the neurons.")] = 0.5,
    eps: Annotated[str | None, typer.Option(help="table-s2: budget. [2.55/255]")] = None,
    eps_step: Annotated[str | None, typer.Option(help="table-s2: step of PGD. [2/255]")] = None,
    iterations: Annotated[int | None, typer.Option(help="table-s2: gradient steps. [5]")] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    threads: Annotated[int | None, typer.Option(help="Threads of torch on the CPU.")] = None,
    rules: Annotated[str, typer.Option(help="Gradient rules, separated by commas.")] = "rga,stbp",
    repeats: Annotated[
        int | None, typer.Option(help="Rounds behind each median. [7; table-s2: 3]")
    ] = None,
    keep_memory: Annotated[
        bool, typer.Option("--keep-memory", help="Keep freed memory in the process (glibc).")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(help="JSON file for the figures. [table-s2: the folder cost, taken up]"),
    ] = None,
) -> None:
    """Time and peak memory of a gradient, or of PGD against the time steps, on this machine."""
    shared = given(
        batch=batch,
        image_size=image_size,
        channels=channels,
        decay=decay,
        device=device,
        threads=threads,
        rules=names(rules),
        keep_memory=keep_memory,
    )
    attack = {"eps": eps, "eps_step": eps_step, "iterations": iterations}
    growth = {"models": models, "samples": samples, "data": data, "width": width}
    if protocol == "gradient":
        refuse("--protocol gradient", **growth, **attack, download=download or None)
        if steps is not None:
            shared["steps"] = whole_number("steps", steps)
        _gradient(shared | given(model=model), given(repeats=repeats), output)
    elif protocol == "table-s2":
        refuse("--protocol table-s2, which takes --models", model=model)
        if steps is not None:
            shared["steps"] = whole_numbers("steps", steps)
        sets = {"root": root, "download": download}
        _table_s2(shared | given(repeats=repeats), given(**attack), given(**growth), sets, output)
    else:
        raise typer.BadParameter(
            f"protocol: expected gradient or table-s2, got {protocol!r}. Choose one."
        )


def _gradient(settings: Given, repeats: Given, output: Path | None) -> None:
    from art_snn.evaluation import cost as library

    if output is not None and output.is_dir():
        raise typer.BadParameter(f"output: expected a JSON file, got the folder {output}.")
    workload = checked(library.Workload, **settings)
    measured = checked(library.measure, workload=workload, **repeats)
    typer.echo("\n" + measured.table())
    if output is not None:
        output.write_text(json.dumps(measured.as_dict(), indent=1) + "\n")


def _table_s2(
    settings: Given, attack: Given, growth: Given, sets: Given, output: Path | None
) -> None:
    from art_snn import scaling
    from art_snn.evaluation.cost import TableS2
    from art_snn.evaluation.cost.growth_table import table
    from art_snn.evaluation.cost.table_s2 import PGD

    dataset = None
    if "data" in growth:
        refuse("--data, whose images have channels", channels=settings.get("channels"))
        dataset = options.dataset(
            growth.pop("data"),
            sets.pop("root"),
            download=sets.pop("download"),
            image_size=settings.pop("image_size", None),
            values=None,
            frames=10,
        )
    if "models" in growth:
        growth["models"] = names(growth["models"])
    if "samples" in growth:
        wanted = growth["samples"]
        growth["samples"] = None if wanted == "all" else whole_number("samples", wanted)
    for name in {"eps", "eps_step"} & attack.keys():
        attack[name] = number(name, attack[name])
    protocol = checked(
        TableS2, attack=checked(partial(replace, PGD), **attack), **settings, **growth
    )
    folder = Path("cost") if output is None else output
    measured = checked(scaling.run, protocol=protocol, output=folder, dataset=dataset)
    typer.echo("\n" + table(measured))
    typer.echo(f"\nWritten to {folder}: cost.json, cost.md, cost.png")
