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
    except (ValueError, FileNotFoundError, FileExistsError, NotADirectoryError) as error:
        raise typer.BadParameter(str(error)) from error


def _number(argument: str, text: str) -> float:
    """A number, or a fraction such as 8/255."""
    numerator, _, denominator = text.partition("/")
    try:
        return float(numerator) / float(denominator or 1)
    except (ValueError, ZeroDivisionError):
        raise typer.BadParameter(
            f"{argument}: expected a number such as 0.03 or 8/255, got {text!r}."
        ) from None


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
def compare(
    output: Annotated[
        Path, typer.Option(help="Folder for table, chart, network; taken up where it stopped.")
    ] = Path("comparison"),
    data: Annotated[
        str, typer.Option(help="digits, or a .npz file: x_train, y_train, x_test, y_test.")
    ] = "digits",
    checkpoint: Annotated[
        Path | None, typer.Option(help="Weights of a trained network; none trains one here.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Name of a model. [vgg5]")] = None,
    steps: Annotated[int | None, typer.Option(help="Time steps T. [8]")] = None,
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

    _checked(set_threads, threads=threads)
    subject = _checked(
        of_checkpoint,
        path=checkpoint,
        model=model,
        steps=steps,
        decay=decay,
        threshold=threshold,
        reset=reset,
        encoder=encoder,
        epochs=epochs,
        seed=seed,
    )
    settings = _checked(
        Settings,
        attack=_checked(
            Attack,
            name=attack,
            eps=_number("eps", eps),
            eps_step=None if eps_step is None else _number("eps_step", eps_step),
            iterations=iterations,
        ),
        rules=RULES if rules is None else _checked(chosen, names=rules),
        samples=samples,
        batch_size=batch,
        eot=eot,
        repeats=repeats,
        seed=seed,
    )
    comparison = _checked(
        strength.run,
        settings=settings,
        subject=subject,
        samples=_checked(strength.dataset, name=data),
        output=output,
        checkpoint=checkpoint,
        device_type=device,
    )
    typer.echo("\n" + table(comparison))
    typer.echo(f"\nWritten to {output}: compare.json, compare.md, compare.png")


@app.command()
def cost(
    model: Annotated[str, typer.Option(help="Name of a model.")] = "vgg11",
    steps: Annotated[int, typer.Option(help="Time steps T.")] = 8,
    batch: Annotated[int, typer.Option(help="Samples per gradient.")] = 32,
    image_size: Annotated[int, typer.Option(help="Side of the square input.")] = 32,
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

    workload = _checked(
        library.Workload,
        model=model,
        steps=steps,
        batch=batch,
        image_size=image_size,
        decay=decay,
        device=device,
        threads=threads,
        rules=tuple(part.strip() for part in rules.split(",")),
        keep_memory=keep_memory,
    )
    measured = _checked(library.measure, workload=workload, repeats=repeats)
    typer.echo("\n" + measured.table())
    if output is not None:
        output.write_text(json.dumps(measured.as_dict(), indent=1) + "\n")
