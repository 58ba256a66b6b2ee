"""Command line: arguments in, one library call, printed result. One file per command."""

from __future__ import annotations

from typing import Annotated

import matplotlib as mpl
import typer

from art_snn.cli.compare import compare
from art_snn.cli.cost import cost
from art_snn.cli.curves import curves
from art_snn.cli.demo import demo
from art_snn.cli.sweep import sweep
from art_snn.cli.train import train

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    # Otherwise defaults in brackets are taken for styles.
    rich_markup_mode=None,
    help="Attack, train and evaluate spiking networks with the Adversarial Robustness Toolbox.",
)


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


for command in (demo, train, compare, curves, sweep, cost):
    app.command()(command)
