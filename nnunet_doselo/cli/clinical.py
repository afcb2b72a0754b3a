"""Commands that turn clinical exports into extended datasets."""

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from nnunet_doselo.common.nnunet_environment import RAW
from nnunet_doselo.common.parallel import default_processes

from .shared import DatasetId, Overwrite, Processes, clear_errors, console


class IdScheme(str, Enum):
    """How case ids are made."""

    counter = "counter"
    hash = "hash"


@clear_errors
def convert_dicom(
    source: Annotated[Path, typer.Argument(help="Folder of DICOM files, sorted in any way.", show_default=False)],
    dataset_id: DatasetId,
    mapping: Annotated[
        str,
        typer.Option(help="Structure names and network images, YAML; or brain, head_and_neck.", show_default=False),
    ],
    name: Annotated[str, typer.Option(help="Name of the new dataset.")] = "Clinical",
    spacing: Annotated[float, typer.Option(help="Isotropic voxel size in mm; 0 keeps each CT's own.")] = 1.0,
    crop: Annotated[bool, typer.Option(help="Cut to the body.")] = True,
    size: Annotated[int, typer.Option(help="Voxels of a slice along x and y (0: as many as there are).")] = 0,
    need_dose: Annotated[bool, typer.Option("--need-dose", help="A patient without dose counts as failed.")] = False,
    test_ids: Annotated[Path | None, typer.Option(help="PatientIDs of the test split, one a line.")] = None,
    test_fraction: Annotated[float, typer.Option(help="Share of patients drawn for the test split.")] = 0.0,
    ids: Annotated[
        IdScheme, typer.Option(help="Case ids: counted, or a salted hash of the PatientID.")
    ] = IdScheme.counter,
    prefix: Annotated[str, typer.Option(help="What case ids begin with (default: the dataset's name).")] = "",
    keys: Annotated[
        Path | None, typer.Option(help="Key table, which case is whom (default: doselo_keys/ beside nnUNet_raw).")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List what would be converted, write nothing.")] = False,
    processes: Processes = 0,
    overwrite: Overwrite = False,
) -> None:
    """CT, RTSTRUCT, RTDOSE and MR of each patient, found by what the files say. Exit status 1 if a patient failed."""
    from nnunet_doselo.dataset.folder import environment_folder
    from nnunet_doselo.dataset_conversion.cases import ids as case_ids
    from nnunet_doselo.dataset_conversion.cases import writer
    from nnunet_doselo.dataset_conversion.cases.steps import read_test_patients
    from nnunet_doselo.dataset_conversion.dicom_rt import convert
    from nnunet_doselo.dataset_conversion.grids.common_grid import GridSettings
    from nnunet_doselo.dataset_conversion.names.structure_names import read_name_map

    folder = writer.dataset_folder(environment_folder(RAW), dataset_id, name)
    settings = convert.DicomSettings(
        GridSettings(spacing or None, crop, size or None),
        need_dose,
        read_test_patients(test_ids) if test_ids else None,
        test_fraction,
    )
    went_well = convert.convert_dicom(
        source,
        folder,
        read_name_map(mapping),
        case_ids.CaseIds(case_ids.key_file_for(folder, keys), prefix or name, ids.value),
        settings,
        dry_run=dry_run,
        processes=processes or default_processes(),
        overwrite=overwrite,
    )
    if not dry_run:
        console.print(f"{folder}\nnext: doselo verify {dataset_id}")
    if not went_well:
        raise typer.Exit(1)
