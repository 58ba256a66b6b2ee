"""art-snn train."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from art_snn.cli import options
from art_snn.cli.options import checked

if TYPE_CHECKING:
    from art_snn.data import Dataset
    from art_snn.evaluation.hardening import AdversarialTraining


def train(
    output: Annotated[
        Path, typer.Option(help="Folder for network, history, chart; taken up where it stopped.")
    ] = Path("trained"),
    data: options.Data = "digits",
    root: options.Root = Path("data"),
    download: options.Download = False,
    image_size: options.ImageSize = None,
    value_range: options.ValueRange = None,
    frames: options.Frames = 10,
    model: options.Model = None,
    width: options.Width = None,
    steps: options.Steps = None,
    decay: options.Decay = None,
    threshold: options.Threshold = None,
    reset: options.Reset = None,
    encoder: options.Encoder = None,
    epochs: Annotated[int, typer.Option(help="Passes over the training samples.")] = 200,
    batch: Annotated[int, typer.Option(help="Samples per step.")] = 64,
    learning_rate: Annotated[float, typer.Option(help="Of the first step.")] = 0.1,
    momentum: Annotated[float, typer.Option(help="Of SGD.")] = 0.9,
    weight_decay: Annotated[float, typer.Option(help="Of all parameters.")] = 5e-4,
    crop_padding: Annotated[
        int | None, typer.Option(help="Pixels around an image before cropping. [4 per 32]")
    ] = None,
    flip: Annotated[
        bool | None, typer.Option(help="Mirror half of the samples. [not numerals, gestures]")
    ] = None,
    cutout: Annotated[int | None, typer.Option(help="Side of the hole. [16 per 32]")] = None,
    validation: Annotated[
        float, typer.Option(help="Share of the training samples that chooses the best epoch.")
    ] = 0.1,
    attack: Annotated[
        str | None, typer.Option(help="Adversarial training against fgsm, pgd, mim or apgd.")
    ] = None,
    rule: Annotated[
        str | None, typer.Option(help="Its gradient: the name of a rule. [rga]")
    ] = None,
    eps: Annotated[
        str | None, typer.Option(help="Its budget, such as 0.1 or 8/255. [8/255]")
    ] = None,
    eps_step: Annotated[
        str | None, typer.Option(help="Its step, of pgd and mim. [eps / 4]")
    ] = None,
    iterations: Annotated[int | None, typer.Option(help="Its gradient steps. [5]")] = None,
    adversarial_share: Annotated[
        float | None, typer.Option(help="Share of the samples of a step that it attacks. [1]")
    ] = None,
    seed: options.Seed = 0,
    threads: options.Threads = None,
    device: options.Device = "gpu",
) -> None:
    """Train a network by the recipe of the papers, plainly or adversarially by any rule."""
    from art_snn import fitting as library
    from art_snn.evaluation.cost import set_threads
    from art_snn.evaluation.subject import of_checkpoint
    from art_snn.training import Recipe

    checked(set_threads, threads=threads)
    samples = options.dataset(
        data, root, download=download, image_size=image_size, values=value_range, frames=frames
    )
    usual = Recipe().fitted(*samples.input_shape[-2:])
    recipe = checked(
        Recipe,
        epochs=epochs,
        batch_size=batch,
        learning_rate=learning_rate,
        momentum=momentum,
        weight_decay=weight_decay,
        crop_padding=usual.crop_padding if crop_padding is None else crop_padding,
        flip=library.mirrored(samples) if flip is None else flip,
        cutout=usual.cutout if cutout is None else cutout,
        seed=seed,
    )
    adversary = _adversary(
        samples,
        attack,
        rule=rule,
        eps=eps,
        eps_step=eps_step,
        iterations=iterations,
        adversarial_share=adversarial_share,
    )
    subject = checked(
        of_checkpoint,
        path=None,
        model=model,
        width=width,
        steps=steps,
        decay=decay,
        threshold=threshold,
        reset=reset,
        encoder=encoder,
    )
    settings = checked(
        library.Fitting, subject=subject, recipe=recipe, adversary=adversary, validation=validation
    )
    typer.echo(f"{recipe}")
    fitted = checked(library.run, fitting=settings, data=samples, output=output, device_type=device)
    typer.echo("\n" + library.report(settings, fitted))
    typer.echo(f"\nWritten to {output}: network.pt, training.json, training.png")


def _adversary(samples: Dataset, attack: str | None, **asked: Any) -> AdversarialTraining | None:
    """The adversary that the options describe; None without an attack."""
    from art_snn.evaluation.hardening import AdversarialTraining

    if attack is None:
        options.refuse("training without --attack", **asked)
        return None
    usual = {"rule": "rga", "eps": "8/255", "iterations": 5, "adversarial_share": 1.0}
    told: dict[str, Any] = usual | options.given(**asked)
    return checked(
        AdversarialTraining,
        attack=options.attack_of(attack, told["eps"], told.get("eps_step"), told["iterations"]),
        rule=told["rule"],
        share=told["adversarial_share"],
        value_range=checked(samples.clip_values, what="adversarial training"),
    )
