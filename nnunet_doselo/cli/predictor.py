"""Commands around a trained dose predictor: how good it is, and what it says about a contour."""

import math
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nnunet_doselo.common.errors import DoseloError

from .shared import Dataset, Device, PredictorFile, clear_errors, console, load_predictor_of, plain

if TYPE_CHECKING:
    from nnunet_doselo.evaluation.dvh_pictures import Curves
    from nnunet_doselo.evaluation.predictor_scores import PredictorScores
    from nnunet_doselo.predictor.artifact import FrozenPredictor
    from nnunet_doselo.predictor.contour_dose import LabelValues

# figures of a DVH as a narrow table calls them
HEADINGS = {
    "volume_cc": "cc",
    "dmean_gy": "mean",
    "d98_gy": "D98",
    "d95_gy": "D95",
    "d50_gy": "D50",
    "d2_gy": "D2",
    "d0.1cc_gy": "D0.1cc",
}
COMPARED = ("dmean_gy", "d95_gy", "d0.1cc_gy")


@clear_errors
def evaluate_predictor(
    dataset: Dataset,
    predictor: PredictorFile = None,
    split: Annotated[str, typer.Option(help="Ts, or Tr, whose cases the predictor may have been trained on.")] = "Ts",
    cases: Annotated[str, typer.Option(help="Some of them, separated by commas (default: all with a dose).")] = "",
    output: Annotated[Path, typer.Option("--output", "-o", help="Where scores, tables and pictures go.")] = Path(
        "predictor_evaluation"
    ),
    mirror: Annotated[bool, typer.Option("--mirror", help="Average with images mirrored left to right.")] = False,
    device: Device = "cpu",
) -> None:
    """How far to trust a dose predictor: OpenKBP's scores, every structure's doses, DVHs of worst and best case."""
    from nnunet_doselo.dataset.folder import raw_dataset
    from nnunet_doselo.scoring import predictor_accuracy as module

    extended = raw_dataset(dataset)
    loaded = load_predictor_of(extended, predictor, device)
    scores = module.evaluate_predictor(
        loaded.mirrored() if mirror else loaded,
        extended,
        output,
        split=split,
        cases=[case for case in cases.split(",") if case],
        device=device,
        command=shlex.join(["doselo", *sys.argv[1:]]),
    )
    _print_scores(scores)
    console.print(f"dose score: mean absolute difference {module.REGION}")
    if split == "Tr":
        console.print("[yellow]training split[/]: the predictor may have been trained on these cases")
    console.print(
        f"{output / 'scores.csv'} (worst case first), {module.STRUCTURES_FILE}, summary and pictures beside it"
    )


@clear_errors
def predict_dose(
    ct: Annotated[Path, typer.Option(help="Planning CT in HU, axial slices.", show_default=False)],
    oars: Annotated[Path, typer.Option(help="Organs as one label map, the predictor's values.", show_default=False)],
    labels: Annotated[Path, typer.Option(help="Contour: label map of the target or targets.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Dose file to write, Gy, on the CT's grid.", show_default=False)],
    predictor: Annotated[
        Path | None,
        typer.Option(help="Dose predictor (default: that of --dataset, of slices before volumes).", show_default=False),
    ] = None,
    dataset: Annotated[
        str, typer.Option(help="Dataset that says which label is which target, and has a predictor.")
    ] = "",
    target: Annotated[
        list[str] | None,
        typer.Option(help="Value of a target in the label map, e.g. GTV=1 (default: 1, 2, ... as on the card)."),
    ] = None,
    compare_to: Annotated[
        Path | None, typer.Option(help="Reference contour: print what the dose of --labels differs by.")
    ] = None,
    dvh: Annotated[Path | None, typer.Option(help="Table of the DVHs (.csv) or a picture (.png).")] = None,
    device: Device = "cpu",
) -> None:
    """Dose and DVH of any contour in seconds, without planning: what does this edit cost? Not for treatment."""
    from nnunet_doselo.scoring.edited_contour import ContourFiles, dose_of_contour

    loaded, values = _predictor_and_labels(predictor, dataset, target or [], device)
    files = ContourFiles(ct, oars, labels, out, dvh, compare_to)
    contour = dose_of_contour(loaded, files, label_values=values, device=device)
    if contour.union_rmae is None:
        _print_dvhs(contour.curves)
    else:
        _print_changes(contour.curves, contour.union_rmae)
    console.print(f"{plain(str(out))}: predicted dose in Gy, not a plan")
    console.print(f"by {plain(str(loaded.path))}, SHA-256 {loaded.sha256}")


def _predictor_and_labels(
    predictor: Path | None, dataset: str, target: list[str], device: str
) -> "tuple[FrozenPredictor, LabelValues | None]":
    """The predictor, and what the values of the label map mean: after the dataset, or after --target."""
    from nnunet_doselo.dataset.folder import raw_dataset
    from nnunet_doselo.dataset.patient import label_values
    from nnunet_doselo.predictor.artifact import load_predictor
    from nnunet_doselo.predictor.contour_dose import parse_targets

    if dataset and target:
        raise DoseloError("values of targets come from --target or from --dataset; give one of the two")
    if dataset:
        extended = raw_dataset(dataset)
        loaded = load_predictor_of(extended, predictor, device)
        loaded.card.require_fitting(extended.guidance, loaded.path)
        return loaded, label_values(extended)
    if predictor is None:
        raise DoseloError("a dose needs a predictor: name its file with --predictor, or a --dataset that has one")
    return load_predictor(predictor, device), parse_targets(target)


def _print_scores(scores: "PredictorScores") -> None:
    from rich.table import Table

    table = Table("structure", "metric", "planned, Gy", "difference, Gy", "absolute, Gy", "cases")
    for structure in scores.by_structure():
        numbers = (f"{structure.planned_gy:.2f}", f"{structure.difference_gy:+.2f}", f"{structure.absolute_gy:.2f}")
        table.add_row(structure.structure, structure.metric, *numbers, str(structure.cases))
    console.print(table)
    for name, score in scores.overall().items():
        console.print(f"{name}: {'-' if score is None else f'{score:.3f}'}")
    worst = scores.cases[0]
    console.print(f"worst case: {plain(worst.case)}, {worst.dose_score_gy:.3f} Gy")


def _print_dvhs(curves: "Sequence[Curves]") -> None:
    """One row a structure, eighty columns wide, as terminals and logs are."""
    from rich import box
    from rich.table import Table

    table = Table("structure", *HEADINGS.values(), box=box.SIMPLE_HEAD)
    for structure in curves:
        figures = structure.reference.figures()
        table.add_row(structure.name, *(_number(figures[name]) for name in HEADINGS))
    console.print(table)
    console.print("doses in Gy; D95 is the minimum dose to the hottest 95 % of a structure")


def _print_changes(curves: "Sequence[Curves]", union_rmae: float) -> None:
    """The reference contour's figures, and beside each by how much this contour's dose is above it."""
    from rich import box
    from rich.table import Table

    from nnunet_doselo.evaluation.dose_metrics import RMAE_THRESHOLD

    headings = [heading for name in COMPARED for heading in (HEADINGS[name], "change")]
    table = Table("structure", "cc", *headings, box=box.SIMPLE_HEAD)
    for structure in curves:
        reference, evaluated = (dvh.figures() for dvh in structure.both)
        cells = ((reference[name], evaluated[name] - reference[name]) for name in COMPARED)
        numbers = [text for value, change in cells for text in (_number(value), _number(change, "+.2f"))]
        table.add_row(structure.name, _number(reference["volume_cc"]), *numbers)
    console.print(table)
    console.print("doses in Gy, of the reference contour; structures are the reference's in both doses")
    where = f"in the body where either dose is at least {RMAE_THRESHOLD:.0%} of Rx"
    console.print(f"union RMAE of this contour's dose, {where}: {union_rmae:.4f}")


def _number(value: float, how: str = ".2f") -> str:
    """A dash for what has no value."""
    return "-" if math.isnan(value) else format(value, how)
