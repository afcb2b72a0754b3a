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
    from nnunet_doselo.doctor import environment_line

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
    """The whole path on synthetic patients, without GPU: data, dose predictor, two trainers, doses, report."""
    from nnunet_doselo.demo.main import run_demo

    report = run_demo(folder, quick=quick, console=console)
    console.print(f"\nreport: {report}")
