"""art-snn train."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from art_snn.cli import options
from art_snn.cli.options import checked


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
        bool | None, typer.Option(help="Mirror half of the samples. [except numerals]")
    ] = None,
    cutout: Annotated[int | None, typer.Option(help="Side of the hole. [16 per 32]")] = None,
    validation: Annotated[
        float, typer.Option(help="Share of the training samples that chooses the best epoch.")
    ] = 0.1,
    attack: Annotated[
        str | None, typer.Option(help="Adversarial training against fgsm, pgd, mim or apgd.")
    ] = None,
    rule: Annotated[str, typer.Option(help="Gradient rule of that attack.")] = "rga",
    eps: Annotated[str, typer.Option(help="Its budget, such as 0.1 or 8/255.")] = "8/255",
    eps_step: Annotated[str | None, typer.Option(help="Its step. [eps / 4]")] = None,
    iterations: Annotated[int, typer.Option(help="Its gradient steps.")] = 5,
    adversarial_share: Annotated[
        float, typer.Option(help="Share of the samples of a step that it attacks.")
    ] = 1.0,
    seed: options.Seed = 0,
    threads: options.Threads = None,
    device: options.Device = "gpu",
) -> None:
    """Train a network by the recipe of the papers, plainly or adversarially by any rule."""
    from art_snn import fitting as library
    from art_snn.evaluation.cost import set_threads
    from art_snn.evaluation.hardening import AdversarialTraining
    from art_snn.evaluation.subject import of_checkpoint
    from art_snn.gradients import resolve
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
        flip=samples.name not in library.MIRRORLESS if flip is None else flip,
        cutout=usual.cutout if cutout is None else cutout,
        seed=seed,
    )
    adversary = None
    if attack is not None:
        adversary = checked(
            AdversarialTraining,
            attack=options.attack_of(attack, eps, eps_step, iterations),
            rule=checked(resolve, gradient=rule, argument="rule"),
            share=adversarial_share,
            value_range=checked(samples.clip_values),
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
