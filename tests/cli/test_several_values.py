"""`--folds 0 1 2` on the command line."""

from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from nnunet_doselo.cli.several_values import SeveralValues, with_repeated_names


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (["--many", "a", "b"], ["--many", "a", "--many", "b"]),
        (["--many", "a", "--many", "b"], ["--many", "a", "--many", "b"]),
        (["x", "--one", "1", "y"], ["x", "--one", "1", "y"]),
        (["--many", "-1", "-.5", "-o", "out"], ["--many", "-1", "--many", "-.5", "-o", "out"]),
        (["--many=a", "x"], ["--many=a", "x"]),
        (["--many"], ["--many"]),
    ],
)
def test_values_get_their_options_name(typed: list[str], meant: list[str]) -> None:
    assert list(with_repeated_names(typed, {"--many"})) == meant


def test_a_command_takes_them_all() -> None:
    app, got = typer.Typer(), {}

    @app.command(cls=SeveralValues)
    def command(
        place: str,
        many: Annotated[list[str], typer.Option("--many", "-m")] = [],  # noqa: B006, typer reads it once
        one: str = "",
    ) -> None:
        got.update(place=place, many=many, one=one)

    result = CliRunner().invoke(app, ["here", "--many", "a", "b", "--one", "1", "-m", "c", "d"])
    assert result.exit_code == 0, result.output
    assert got == {"place": "here", "many": ["a", "b", "c", "d"], "one": "1"}
