"""The command `doselo`: parse, call one function, print. Heavy imports live inside the commands."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from nnunet_doselo.errors import DoseloError
from nnunet_doselo.parallel import default_processes

app = typer.Typer(
    name="doselo",
    help="Dose-guided nnU-Net for radiotherapy. Research software, not a medical device.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
convert = typer.Typer(no_args_is_help=True, help="Turn clinical or public data into an extended nnU-Net dataset.")
app.add_typer(convert, name="convert")

console = Console(soft_wrap=True)
errors = Console(stderr=True, soft_wrap=True)

Dataset = Annotated[str, typer.Argument(help="Dataset number or name below nnUNet_raw, e.g. 501.", show_default=False)]
DatasetId = Annotated[int, typer.Argument(help="Number of the new dataset, 1 to 999.", show_default=False)]
Processes = Annotated[
    int, typer.Option("--processes", "-np", help="Worker processes (0: nnUNet_def_n_proc, or the cores).")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace a dataset of the same name.")]


def _clear_errors(command: Callable[..., Any]) -> Callable[..., Any]:
    """Turn a DoseloError into one line and exit status 1."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except DoseloError as error:
            errors.print(f"[bold red]error:[/] {_plain(str(error))}")
            raise typer.Exit(1) from None

    return run


def _plain(text: str) -> str:
    from rich.markup import escape

    return escape(text)


@convert.command("openkbp")
@_clear_errors
def convert_openkbp(
    source: Annotated[Path, typer.Argument(help="Folder that holds train-pats/, validation-pats/, test-pats/.")],
    dataset_id: DatasetId,
    name: Annotated[str, typer.Option(help="Name of the new dataset.")] = "OpenKBP",
    spacing: Annotated[float, typer.Option(help="Isotropic voxel size in mm.")] = 3.0,
    processes: Processes = 0,
    overwrite: Overwrite = False,
) -> None:
    """OpenKBP's original CSV layout: CT, seven organs, PTV56/63/70 and dose."""
    from nnunet_doselo.dataset_conversion import openkbp, writer
    from nnunet_doselo.dataset_folder import environment_folder

    folder = writer.dataset_folder(environment_folder("nnUNet_raw"), dataset_id, name)
    openkbp.convert_openkbp(
        source, folder, spacing_mm=spacing, processes=processes or default_processes(), overwrite=overwrite
    )
    console.print(f"{folder}\nnext: doselo verify {dataset_id}")


@convert.command("channels")
@_clear_errors
def convert_channels(
    dataset: Dataset,
    new_id: DatasetId,
    ct: Annotated[int, typer.Option(help="Image channel that holds the CT in HU.", show_default=False)],
    oars: Annotated[str, typer.Option(help="Image channels that hold organ masks, e.g. 5-17.", show_default=False)],
    target_gy: Annotated[
        list[str],
        typer.Option(help="Prescribed dose of a label, e.g. GTV=60; once for each target.", show_default=False),
    ],
    name: Annotated[str, typer.Option(help="Name of the new dataset (default: the old one's).")] = "",
    processes: Processes = 0,
    overwrite: Overwrite = False,
) -> None:
    """A plain nnU-Net dataset that carries CT and organs as extra image channels."""
    from nnunet_doselo.dataset_conversion import channels, writer
    from nnunet_doselo.dataset_folder import environment_folder, raw_dataset

    source = raw_dataset(dataset)
    folder = writer.dataset_folder(
        environment_folder("nnUNet_raw"), new_id, name or source.folder.name.partition("_")[2]
    )
    channels.convert_channels(
        source,
        folder,
        channels.ChannelRoles(ct, channels.parse_channels(oars)),
        channels.parse_target_gy(target_gy),
        processes=processes or default_processes(),
        overwrite=overwrite,
    )
    console.print(f"{folder}\nnext: doselo verify {new_id}")


@app.command()
@_clear_errors
def verify(dataset: Dataset, processes: Processes = 0) -> None:
    """Check an extended dataset: grids, case sets, labels, HU, dose units. One line a finding, exit status 1 if any."""
    from nnunet_doselo.dataset_conversion.verify import verify as findings_of
    from nnunet_doselo.dataset_folder import raw_dataset

    extended = raw_dataset(dataset)
    findings = findings_of(extended, processes=processes or default_processes())
    for finding in findings:
        console.print(_plain(str(finding)))
    cases = f"{len(extended.cases())} training and {len(extended.cases('images', 'Ts'))} test cases"
    if findings:
        errors.print(f"[bold red]{len(findings)} findings[/] in {cases}")
        raise typer.Exit(1)
    console.print(f"[green]no findings[/] in {cases}; next: nnUNetv2_plan_and_preprocess -d {dataset}")


@app.command("train-predictor")
@_clear_errors
def train_predictor(
    dataset: Dataset,
    epochs: Annotated[int, typer.Option(help="Epochs at most; stops early when validation stands still.")] = 200,
    iterations: Annotated[int, typer.Option(help="Batches an epoch.")] = 250,
    batch_size: Annotated[int, typer.Option(help="Slices a batch.")] = 16,
    learning_rate: Annotated[float, typer.Option(help="Highest learning rate of the one-cycle schedule.")] = 1e-3,
    width: Annotated[float, typer.Option(help="Factor on all channel numbers (16..256 and 32..512).")] = 1.0,
    spacing: Annotated[
        float, typer.Option(help="In-plane spacing in mm the predictor works at (0: the dataset's median).")
    ] = 0.0,
    validation_fraction: Annotated[float, typer.Option(help="Share of cases kept for validation.")] = 0.1,
    patience: Annotated[int, typer.Option(help="Epochs without progress before stopping.")] = 50,
    precision: Annotated[str, typer.Option(help="auto, 32-true, 16-mixed or bf16-mixed.")] = "auto",
    seed: int = 0,
    name: Annotated[str, typer.Option(help="Name of the run below nnUNet_results.")] = "default",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that was stopped.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, write nothing.")] = False,
    processes: Processes = 0,
) -> None:
    """Train the dose predictor (CT + organs + target -> dose) and freeze it where the trainer finds it."""
    from nnunet_doselo.dataset_folder import environment_folder, raw_dataset
    from nnunet_doselo.predictor_training import train

    extended = raw_dataset(dataset)
    settings = train.TrainingSettings(
        epochs=epochs,
        iterations_per_epoch=iterations,
        batch_size=batch_size,
        learning_rate=learning_rate,
        width=width,
        validation_fraction=validation_fraction,
        patience=patience,
        seed=seed,
        precision=precision,
        spacing_mm=(spacing, spacing) if spacing else None,
    )
    plan = train.make_plan(extended, settings)
    output = environment_folder("nnUNet_results") / extended.folder.name / f"DosePredictor__{name}"
    preprocessed = environment_folder("nnUNet_preprocessed") / extended.folder.name
    for key, value in {**plan.describe(), "run": output, "predictor": preprocessed}.items():
        console.print(f"[bold]{key}[/]: {_plain(str(value))}")
    if dry_run:
        return
    artifact = train.train(plan, output, preprocessed, processes=processes or default_processes(), resume=resume)
    console.print(f"{artifact}\nvalidation: {output / 'validation.csv'}, pictures beside it")
    console.print(f"next: nnUNetv2_train {dataset} 2d 0 -tr nnUNetTrainerDOSELO")


@app.command()
@_clear_errors
def preprocess(
    dataset: Dataset,
    configuration: Annotated[str, typer.Option("-c", help="nnU-Net configuration.")] = "2d",
    plans: Annotated[str, typer.Option("-p", help="nnU-Net plans.")] = "nnUNetPlans",
    processes: Processes = 0,
) -> None:
    """Preprocess CT and organs as nnU-Net did with the images (the trainer does this by itself when it starts)."""
    from nnunet_doselo.data.context import context_of_dataset

    context, cases = context_of_dataset(dataset, plans, configuration)
    written = context.build(cases, processes=processes or default_processes())
    console.print(f"{context.folder}: {written} of {len(cases)} cases written, {len(cases) - written} were current")


@app.command()
@_clear_errors
def evaluate(
    dataset: Dataset,
    predictions: Annotated[Path, typer.Argument(help="Folder of predicted label maps.", show_default=False)],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where scores, summary and pictures go.")] = Path(
        "evaluation"
    ),
    split: Annotated[str, typer.Option(help="Ts, or Tr for a fold's validation folder.")] = "Ts",
    predictor: Annotated[
        Path | None,
        typer.Option(help="Dose predictor (default: the dataset's own, or nnUNet_dose_predictor)."),
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda or mps.")] = "cpu",
) -> None:
    """Dose and overlap of predicted contours: RMAE, dose score, Dice, HD95; CSV, JSON and pictures."""
    from nnunet_doselo import cohort
    from nnunet_doselo.dataset_folder import environment_folder, raw_dataset
    from nnunet_doselo.predictor.artifact import find_predictor, load_predictor

    extended = raw_dataset(dataset)
    file = predictor or find_predictor(environment_folder("nnUNet_preprocessed") / extended.folder.name)
    rows = cohort.evaluate(extended, predictions, load_predictor(file, device), output, split=split, device=device)
    _print_scores(rows)
    console.print(f"dose: {cohort.DOSE_SOURCE}\n{output / 'scores.csv'}, summary and pictures beside it")


def _print_scores(rows: list[Any]) -> None:
    from rich.table import Table

    from nnunet_doselo.evaluation.report import summarise

    table = Table("metric", "mean", "median", "cases")
    for metric, summary in summarise(rows).items():
        shown = ["-" if value is None else f"{value:.3f}" for value in (summary.mean, summary.median)]
        table.add_row(metric, *shown, str(summary.finite_cases))
    console.print(table)


@app.command("export-stock")
@_clear_errors
def export_stock(
    model: Annotated[Path, typer.Argument(help="Trained model folder, ...__nnUNetPlans__2d.", show_default=False)],
    destination: Annotated[
        Path, typer.Argument(help="Folder that takes the place of nnUNet_results.", show_default=False)
    ],
) -> None:
    """Copy a trained model so that a plain nnU-Net install predicts with it, without this package."""
    from nnunet_doselo.export_stock import export_stock as export

    exported = export(model, destination)
    console.print(
        f"{exported}\npredict there with: nnUNet_results={destination} nnUNetv2_predict ... -tr nnUNetTrainer"
    )


@app.command()
@_clear_errors
def env() -> None:
    """Print the line for your shell's profile that makes nnU-Net find the trainers."""
    from nnunet_doselo.doctor import environment_line

    print(environment_line())


@app.command()
@_clear_errors
def doctor() -> None:
    """Check the installation; every failure comes with its fix. Exit status 1 if something must be mended."""
    from nnunet_doselo.doctor import checks

    results = checks()
    for check in results:
        mark = "[green]ok  [/]" if check.ok else "[bold red]FAIL[/]"
        console.print(f"{mark} {check.name}: {_plain(check.found)}")
        if not check.ok:
            console.print(f"     fix: {_plain(check.fix)}")
    if not all(check.ok for check in results):
        raise typer.Exit(1)


if __name__ == "__main__":
    app()
