"""Commands that turn clinical exports into extended datasets, and hand out the files to start from."""

from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.common.parallel import default_processes

from .shared import DatasetId, Overwrite, Processes, clear_errors, console

if TYPE_CHECKING:
    from nnunet_doselo.dataset_conversion.cases.source import Source


class IdScheme(str, Enum):
    """How case ids are made."""

    counter = "counter"
    hash = "hash"


Name = Annotated[str, typer.Option(help="Name of the new dataset.")]
Spacing = Annotated[float, typer.Option(help="Isotropic voxel size in mm; 0 keeps each CT's own.")]
Crop = Annotated[bool, typer.Option(help="Cut to the body.")]
Size = Annotated[int, typer.Option(help="Voxels of a slice along x and y (0: as many as there are).")]
TestIds = Annotated[
    Path | None,
    typer.Option(help="Patients of the test split, one a line: PatientIDs, or names in NIfTI."),
]
TestFraction = Annotated[float, typer.Option(help="Share of patients drawn for the test split.")]
Ids = Annotated[
    IdScheme, typer.Option(help="Case ids: counted, or a salted hash of the PatientID or the patient's name.")
]
Prefix = Annotated[str, typer.Option(help="What case ids begin with (default: the dataset's name).")]
Keys = Annotated[
    Path | None, typer.Option(help="Key table, which case is whom (default: doselo_keys/ beside nnUNet_raw).")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="List what would be converted, write nothing.")]


@clear_errors
def dicom(
    source: Annotated[Path, typer.Argument(help="Folder of DICOM files, sorted in any way.", show_default=False)],
    dataset_id: DatasetId,
    mapping: Annotated[
        str,
        typer.Option(help="Structure names and network images, YAML; or brain, head_and_neck.", show_default=False),
    ],
    name: Name = "Clinical",
    spacing: Spacing = 1.0,
    crop: Crop = True,
    size: Size = 0,
    need_dose: Annotated[bool, typer.Option("--need-dose", help="A patient without dose counts as failed.")] = False,
    test_ids: TestIds = None,
    test_fraction: TestFraction = 0.0,
    ids: Ids = IdScheme.counter,
    prefix: Prefix = "",
    keys: Keys = None,
    dry_run: DryRun = False,
    processes: Processes = 0,
    overwrite: Overwrite = False,
) -> None:
    """CT, RTSTRUCT, RTDOSE and MR of each patient, found by what the files say. Exit status 1 if a patient failed."""
    from nnunet_doselo.dataset_conversion.dicom_rt.source import DicomSource
    from nnunet_doselo.dataset_conversion.names.structure_names import read_name_map

    options = ConverterOptions(
        *(dataset_id, name, spacing, crop, size, test_ids, test_fraction),
        *(ids, prefix, keys, dry_run, processes, overwrite),
    )
    _convert(DicomSource(source.resolve(), read_name_map(mapping), need_dose), options)


@clear_errors
def nifti(
    source: Annotated[Path, typer.Argument(help="Folder of the patients' NIfTI files.", show_default=False)],
    dataset_id: DatasetId,
    layout: Annotated[
        str,
        typer.Option(
            help="Where the files lie, YAML; or paper, paper_dose. Start from `doselo convert starter paper_dose`.",
            show_default=False,
        ),
    ],
    mapping: Annotated[
        str, typer.Option(help="Structure names, YAML; or brain, head_and_neck (default: as the layout says).")
    ] = "",
    name: Name = "Clinical",
    spacing: Spacing = 1.0,
    crop: Crop = True,
    size: Size = 0,
    test_ids: TestIds = None,
    test_fraction: TestFraction = 0.0,
    ids: Ids = IdScheme.counter,
    prefix: Prefix = "",
    keys: Keys = None,
    dry_run: DryRun = False,
    processes: Processes = 0,
    overwrite: Overwrite = False,
) -> None:
    """CT, images, masks and dose as NIfTI, found by a layout file. Exit status 1 if a patient failed.

    Folders are often called after patients: cases get ids, and the key table, which alone tells who is who, lies
    outside the dataset.
    """
    from nnunet_doselo.dataset_conversion.names.structure_names import BUILTIN_NAME_MAPS, read_name_map
    from nnunet_doselo.dataset_conversion.nifti.layout import read_layout
    from nnunet_doselo.dataset_conversion.nifti.source import NiftiSource

    where = read_layout(layout)
    if not (mapping or where.mapping):
        raise DoseloError(
            f"{layout}: names no mapping; pass --mapping, a YAML file or one of {', '.join(BUILTIN_NAME_MAPS)}"
        )
    options = ConverterOptions(
        *(dataset_id, name, spacing, crop, size, test_ids, test_fraction),
        *(ids, prefix, keys, dry_run, processes, overwrite),
    )
    _convert(NiftiSource(source.resolve(), read_name_map(mapping or where.mapping or ""), where), options)


@dataclass(frozen=True)
class ConverterOptions:
    """What both commands take."""

    dataset_id: int
    name: str
    spacing: float
    crop: bool
    size: int
    test_ids: Path | None
    test_fraction: float
    ids: IdScheme
    prefix: str
    keys: Path | None
    dry_run: bool
    processes: int
    overwrite: bool


def _convert(source: "Source", options: ConverterOptions) -> None:
    from nnunet_doselo.dataset.folder import environment_folder
    from nnunet_doselo.dataset_conversion.cases.conversion import (
        ConversionSettings,
        convert_patients,
        read_test_patients,
    )
    from nnunet_doselo.dataset_conversion.cases.ids import CaseIds, key_file_for
    from nnunet_doselo.dataset_conversion.cases.writer import dataset_folder
    from nnunet_doselo.dataset_conversion.grids.common_grid import GridSettings

    folder = dataset_folder(environment_folder("nnUNet_raw"), options.dataset_id, options.name)
    went_well = convert_patients(
        source,
        folder,
        CaseIds(key_file_for(folder, options.keys), options.prefix or options.name, options.ids.value),
        ConversionSettings(
            GridSettings(options.spacing or None, options.crop, options.size or None),
            read_test_patients(options.test_ids) if options.test_ids else None,
            options.test_fraction,
        ),
        dry_run=options.dry_run,
        processes=options.processes or default_processes(),
        overwrite=options.overwrite,
    )
    if not options.dry_run:
        console.print(f"{folder}\nnext: doselo verify {options.dataset_id}")
    if not went_well:
        raise typer.Exit(1)


@clear_errors
def starter(
    file: Annotated[
        str, typer.Argument(help="Name map: brain, head_and_neck. Layout: paper, paper_dose.", show_default=False)
    ],
) -> None:
    """Print a name map or a layout to start from: doselo convert starter brain > names.yaml."""
    from nnunet_doselo.dataset_conversion.names.map_file import NAME_MAP_FOLDER
    from nnunet_doselo.dataset_conversion.nifti.layout import LAYOUT_FOLDER

    known = {path.stem: path for folder in (NAME_MAP_FOLDER, LAYOUT_FOLDER) for path in folder.glob("*.yaml")}
    if file not in known:
        raise DoseloError(f"there is no {file!r} to start from; there are {', '.join(sorted(known))}")
    typer.echo(known[file].read_text(encoding="utf-8"), nl=False)
