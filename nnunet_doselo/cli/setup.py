"""Commands that set up, check and try."""

from pathlib import Path
from typing import Annotated

import typer

from .shared import (
    clear_errors,
    console,
    plain,
)


@clear_errors
def env() -> None:
    """Print the line for your shell's profile that makes nnU-Net find the trainers."""
    from nnunet_doselo.common.nnunet_environment import environment_line

    print(environment_line())


@clear_errors
def doctor() -> None:
    """Check the installation; every failure comes with its fix. Exit status 1 if something must be mended."""
    from nnunet_doselo.doctor import checks

    results = checks()
    for check in results:
        mark = "[green]ok  [/]" if check.ok else "[bold red]FAIL[/]"
        console.print(f"{mark} {check.name}: {plain(check.found)}")
        if not check.ok:
            console.print(f"     fix: {plain(check.fix)}")
    if not all(check.ok for check in results):
        raise typer.Exit(1)


@clear_errors
def demo(
    quick: Annotated[
        bool, typer.Option("--quick", help="Four minutes on two cores; the networks learn little.")
    ] = False,
    folder: Annotated[Path, typer.Option(help="Where everything goes; remove it afterwards.")] = Path("doselo_demo"),
) -> None:
    """The whole path on synthetic patients, without GPU: cohorts, dose predictor, benchmark of two trainers, report."""
    from nnunet_doselo.demo.main import run_demo

    print(run_demo(folder, quick=quick, console=console))


@clear_errors
def trainers() -> None:
    """List the trainers, their losses, and the suffixes by which a trainer's name carries settings."""
    from rich.table import Table

    from nnunet_doselo.trainer.trainer_names import SUFFIXES, TRAINERS

    names = Table(title="Trainers", title_justify="left")
    names.add_column("-tr", min_width=max(map(len, TRAINERS)), overflow="fold")
    names.add_column("loss")
    names.add_column("for")
    for name, trainer in TRAINERS.items():
        names.add_row(name, plain(trainer.loss), plain(trainer.purpose))
    settings = Table(title="Suffixes, after _ and in any order", title_justify="left")
    settings.add_column("suffix")
    settings.add_column("meaning")
    settings.add_column("example", min_width=max(len(suffix.example) for suffix in SUFFIXES), overflow="fold")
    for suffix in SUFFIXES:
        settings.add_row(suffix.form, plain(suffix.meaning), suffix.example)
    console.print(names, settings, sep="\n")
