"""Commands that plan, score and hand on what networks drew."""

from pathlib import Path
from typing import Annotated, Any

import typer

from nnunet_doselo.errors import DoseloError
from nnunet_doselo.parallel import default_processes

from .shared import (
    Dataset,
    Device,
    Processes,
    clear_errors,
    console,
    load_predictor_of,
    plain,
)

PREDICTOR = "predictor"


@clear_errors
def plan(
    dataset: Dataset,
    output: Annotated[
        Path, typer.Option("--out", "-o", help="Where doses and records go, one of each a case.", show_default=False)
    ],
    labels: Annotated[
        Path | None, typer.Option(help="Folder of label maps to plan (default: the dataset's own).")
    ] = None,
    like: Annotated[
        Path | None,
        typer.Option(help="Output of an earlier run that gives isocentre and beams: plan predictions like references."),
    ] = None,
    engine: Annotated[str, typer.Option(help="fluence (built in) or pydosert.")] = "fluence",
    split: Annotated[str, typer.Option(help="Ts or Tr.")] = "Ts",
    processes: Processes = 0,
) -> None:
    """Plan a dose on every label map of a folder with the open planner: for comparison, not deliverable."""
    from nnunet_doselo.dataset_folder import raw_dataset
    from nnunet_doselo.plan_cohort import plan_cohort

    extended = raw_dataset(dataset)
    workers = processes or default_processes()
    done = plan_cohort(extended, output, labels=labels, like=like, engine=engine, split=split, processes=workers)
    for planned in done:
        for remark in planned.record.remarks:
            console.print(f"[yellow]{plain(planned.case)}[/]: {plain(remark)}")
    new = sum(planned.new for planned in done)
    console.print(f"{output}: {new} of {len(done)} cases planned, {len(done) - new} were current")
    contours = labels or extended.folder / f"labels{split}"
    console.print(f"next: doselo evaluate {dataset} {contours} --split {split} --dose-from {output}")


@clear_errors
def evaluate(
    dataset: Dataset,
    predictions: Annotated[Path, typer.Argument(help="Folder of predicted label maps.", show_default=False)],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where scores, summary and pictures go.")] = Path(
        "evaluation"
    ),
    split: Annotated[str, typer.Option(help="Ts, or Tr for a fold's validation folder.")] = "Ts",
    dose_from: Annotated[
        str,
        typer.Option(
            help="The word predictor, or a folder of the contours' doses from `doselo plan` or `doselo import-dose`.",
            metavar="predictor|FOLDER",
        ),
    ] = PREDICTOR,
    reference_doses: Annotated[
        Path | None, typer.Option(help="Folder of the reference contours' doses (default: the dataset's).")
    ] = None,
    predictor: Annotated[
        Path | None,
        typer.Option(help="Dose predictor (default: the dataset's own, or nnUNet_dose_predictor)."),
    ] = None,
    device: Device = "cpu",
    all_pictures: Annotated[bool, typer.Option("--all-pictures", help="Draw every case, not two of them.")] = False,
) -> None:
    """Dose and overlap of predicted contours: RMAE, dose score, Dice, HD95; CSV, JSON and pictures."""
    from nnunet_doselo import cohort
    from nnunet_doselo.dataset_folder import raw_dataset
    from nnunet_doselo.dose_sources import PlannedDoses

    extended = raw_dataset(dataset)
    doses = None if dose_from == PREDICTOR else Path(dose_from)
    if (doses and predictor) or (reference_doses and not doses):
        raise DoseloError(
            "doses come from --dose-from FOLDER (and --reference-doses), or from --predictor; give one of the two"
        )
    source = PlannedDoses(extended, doses, reference_doses, split) if doses else _predicted(extended, predictor, device)
    rows = cohort.evaluate(extended, predictions, source, output, split=split, all_pictures=all_pictures)
    _print_scores(rows)
    said = plain(source.provenance()["evaluated_dose"])
    console.print(f"dose: {said}\n{output / 'scores.csv'}, summary and pictures beside it")


def _predicted(extended: Any, predictor: Path | None, device: str) -> Any:
    from nnunet_doselo.predicted_doses import PredictedDoses

    return PredictedDoses(extended, load_predictor_of(extended, predictor, device), device)


def _print_scores(rows: list[Any]) -> None:
    from rich.table import Table

    from nnunet_doselo.evaluation.report import summarise

    table = Table("metric", "mean", "median", "cases")
    for metric, summary in summarise(rows).items():
        shown = ["-" if value is None else f"{value:.3f}" for value in (summary.mean, summary.median)]
        table.add_row(metric, *shown, str(summary.finite_cases))
    console.print(table)


@clear_errors
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
