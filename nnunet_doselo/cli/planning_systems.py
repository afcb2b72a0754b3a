"""Commands that talk to treatment planning systems: contours out, doses back."""

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.common.parallel import default_processes

from .shared import Dataset, Processes, clear_errors, console, plain


class Holes(str, Enum):
    """How a contour with holes is written."""

    keyhole = "keyhole"
    nested = "nested"


@clear_errors
def export_rtstruct(
    predictions: Annotated[
        Path, typer.Argument(help="Folder of label maps, CASE.nii.gz: what nnUNetv2_predict wrote.", show_default=False)
    ],
    ct: Annotated[
        Path, typer.Option(help="DICOM folder of the planning CTs, of one patient or many.", show_default=False)
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where CASE.dcm and exported.json go.")] = Path(
        "rtstruct"
    ),
    keys: Annotated[
        Path | None,
        typer.Option(help="Key table of the conversion: which case is which patient (default: that of --dataset)."),
    ] = None,
    case: Annotated[
        str, typer.Option(help="Export this case only; without a key table --ct holds no other CT than its own.")
    ] = "",
    dataset: Annotated[
        str, typer.Option(help="Dataset whose dataset.json names the labels (default: the one beside the label maps).")
    ] = "",
    holes: Annotated[
        Holes,
        typer.Option(help="keyhole: as the standard says; nested: for systems that read inner contours as holes."),
    ] = Holes.keyhole,
    label: Annotated[
        str, typer.Option(help="What the planning system lists the structure set under; at most 16 characters.")
    ] = "doselo",
    processes: Processes = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Write anew what was exported before.")] = False,
) -> None:
    """Predicted label maps as RTSTRUCT that a planning system imports: auto-contoured, unapproved, for research."""
    from nnunet_doselo.dataset.folder import ExtendedDataset, raw_dataset
    from nnunet_doselo.dataset_conversion.cases import run as cohort_run
    from nnunet_doselo.dataset_conversion.dicom_rt.export.export import Style, export_rtstructs

    if not dataset and not (predictions / "dataset.json").exists():
        raise DoseloError(f"{predictions}: has no dataset.json with the labels' names; pass --dataset")
    named = raw_dataset(dataset) if dataset else ExtendedDataset(predictions)
    outcomes = export_rtstructs(
        predictions,
        ct,
        output,
        named,
        keys=keys or (_own_key_table(named.folder) if dataset else None),
        case=case,
        style=Style(holes.value, label),
        processes=processes or default_processes(),
        overwrite=overwrite,
    )
    cohort_run.print_summary(outcomes)
    if cohort_run.any_failed(outcomes):
        raise typer.Exit(1)
    console.print(
        f"{output}\nnext: plan in the planning system, then doselo import-dose DOSES DATASET --exported {output}"
    )


def _own_key_table(dataset_folder: Path) -> Path | None:
    """Where `doselo convert` puts the dataset's key table, if it is there."""
    from nnunet_doselo.dataset_conversion.cases.ids import key_file_for

    file = key_file_for(dataset_folder)
    return file if file.exists() else None


@clear_errors
def import_dose(
    folder: Annotated[
        Path, typer.Argument(help="Folder of RTDOSE files, with the RTPLAN files they refer to.", show_default=False)
    ],
    dataset: Dataset,
    output: Annotated[Path, typer.Option("--output", "-o", help="Where doses and records go, one of each a case.")] = (
        Path("tps_doses")
    ),
    exported: Annotated[
        Path | None,
        typer.Option(help="Output of `doselo export-rtstruct`: a dose belongs to the structure set it was planned on."),
    ] = None,
    table: Annotated[
        Path | None, typer.Option(help="CSV with the columns file,case: which dose is whose, in place of references.")
    ] = None,
    split: Annotated[str, typer.Option(help="Ts or Tr.")] = "Ts",
    processes: Processes = 0,
) -> None:
    """Doses that a planning system calculated on exported contours, onto the dataset's grid, for `doselo evaluate`."""
    from nnunet_doselo.dataset.folder import raw_dataset
    from nnunet_doselo.dataset_conversion.cases import run as cohort_run
    from nnunet_doselo.dataset_conversion.dicom_rt.dose.import_dose import import_doses

    outcomes, remarks = import_doses(
        folder,
        raw_dataset(dataset),
        output,
        exported=exported,
        table=table,
        split=split,
        processes=processes or default_processes(),
    )
    for remark in remarks:
        console.print(f"[yellow]left out[/]: {plain(remark)}")
    cohort_run.print_summary(outcomes)
    if cohort_run.any_failed(outcomes):
        raise typer.Exit(1)
    console.print(f"next: doselo evaluate PREDICTIONS {dataset} --split {split} --dose-from {output}")
