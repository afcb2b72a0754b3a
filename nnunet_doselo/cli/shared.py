"""What the commands of `doselo` share: where they print, how an error looks, arguments that come up again."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.common.nnunet_environment import PREPROCESSED

console = Console(soft_wrap=True)
errors = Console(stderr=True, soft_wrap=True)

Dataset = Annotated[str, typer.Argument(help="Dataset number or name below nnUNet_raw, e.g. 501.", show_default=False)]
DatasetId = Annotated[int, typer.Argument(help="Number of the new dataset, 1 to 999.", show_default=False)]
Processes = Annotated[
    int, typer.Option("--processes", "-np", help="Worker processes (0: nnUNet_def_n_proc, or the cores).")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace a dataset of the same name.")]
PredictorFile = Annotated[
    Path | None,
    typer.Option(
        "--predictor",
        help="Dose predictor (default: nnUNet_dose_predictor, or else the dataset's dose_predictor.ts, or else its "
        "dose_predictor_3d.ts).",
    ),
]
Device = Annotated[str, typer.Option(help="Of the predictor: cpu, cuda or mps.")]


def clear_errors(command: Callable[..., Any]) -> Callable[..., Any]:
    """Turn a DoseloError into one line and exit status 1."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except DoseloError as error:
            errors.print(f"[bold red]error:[/] {plain(str(error))}")
            raise typer.Exit(1) from None

    return run


def plain(text: str) -> str:
    """Brackets are text, not rich's markup."""
    from rich.markup import escape

    return escape(text)


def load_predictor_of(extended: Any, predictor: Path | None, device: str) -> Any:
    """The `FrozenPredictor` that is named, or else the dataset's own; `extended` is its `ExtendedDataset`."""
    from nnunet_doselo.dataset.folder import environment_folder
    from nnunet_doselo.predictor.artifact import find_predictor, load_predictor

    file = predictor or find_predictor(environment_folder(PREPROCESSED) / extended.folder.name)
    return load_predictor(file, device)
