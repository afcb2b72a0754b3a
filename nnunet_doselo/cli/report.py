"""The command that turns results into a page."""

from pathlib import Path
from typing import Annotated

import typer

from .shared import clear_errors, console, plain


@clear_errors
def report(
    folder: Annotated[
        Path,
        typer.Argument(
            help="Written by `doselo benchmark` or `doselo evaluate`: the folder with comparison.json.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The page (default: report.html in FOLDER).", metavar="HTML")
    ] = None,
    cases: Annotated[int, typer.Option(min=1, help="How many cases can be looked at in the page.")] = 20,
) -> None:
    """Results as one HTML file that needs no network, and all its numbers as JSON beside it."""
    from nnunet_doselo.report.page import write_report

    page = write_report(folder, output or folder / "report.html", cases=cases)
    megabytes = page.stat().st_size / 1e6
    console.print(f"{plain(str(page))}, {megabytes:.1f} MB, and {plain(page.with_suffix('.json').name)} beside it")
