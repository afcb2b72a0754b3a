"""Commands that turn NIfTI files into extended datasets, and hand out the files to start from."""

from pathlib import Path
from typing import Annotated

import typer

from nnunet_doselo.common.nnunet_environment import RAW
from nnunet_doselo.common.parallel import default_processes

from .clinical import IdScheme
from .shared import DatasetId, Overwrite, Processes, clear_errors, console


@clear_errors
def convert_nifti(
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
    name: Annotated[str, typer.Option(help="Name of the new dataset.")] = "Clinical",
    spacing: Annotated[float, typer.Option(help="Isotropic voxel size in mm; 0 keeps each CT's own.")] = 1.0,
    crop: Annotated[bool, typer.Option(help="Cut to the body.")] = True,
    size: Annotated[int, typer.Option(help="Voxels of a slice along x and y (0: as many as there are).")] = 0,
    test_ids: Annotated[Path | None, typer.Option(help="Names of the test split's patients, one a line.")] = None,
    test_fraction: Annotated[float, typer.Option(help="Share of patients drawn for the test split.")] = 0.0,
    ids: Annotated[
        IdScheme, typer.Option(help="Case ids: counted, or a salted hash of the patient's name.")
    ] = IdScheme.counter,
    prefix: Annotated[str, typer.Option(help="What case ids begin with (default: the dataset's name).")] = "",
    keys: Annotated[
        Path | None, typer.Option(help="Key table, which case is whom (default: doselo_keys/ beside nnUNet_raw).")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List what would be converted, write nothing.")] = False,
    processes: Processes = 0,
    overwrite: Overwrite = False,
) -> None:
    """CT, images, masks and dose as NIfTI, found by a layout file. Exit status 1 if a patient failed.

    Folders are often called after patients: cases get ids, and the key table, which alone tells who is who, lies
    outside the dataset.
    """
    from nnunet_doselo.common.errors import DoseloError
    from nnunet_doselo.dataset.folder import environment_folder
    from nnunet_doselo.dataset_conversion.cases import ids as case_ids
    from nnunet_doselo.dataset_conversion.cases import steps as conversion_steps
    from nnunet_doselo.dataset_conversion.cases import writer
    from nnunet_doselo.dataset_conversion.grids.common_grid import GridSettings
    from nnunet_doselo.dataset_conversion.names import structure_names as names
    from nnunet_doselo.dataset_conversion.nifti import convert as nifti
    from nnunet_doselo.dataset_conversion.nifti import layout as nifti_layout

    folder = writer.dataset_folder(environment_folder(RAW), dataset_id, name)
    where = nifti_layout.read_layout(layout)
    if not (mapping or where.mapping):
        raise DoseloError(
            f"{layout}: names no mapping; pass --mapping, a YAML file or one of {', '.join(names.BUILTIN)}"
        )
    went_well = nifti.convert_nifti(
        source,
        folder,
        where,
        names.read_name_map(mapping or where.mapping or ""),
        case_ids.CaseIds(case_ids.key_file_for(folder, keys), prefix or name, ids.value),
        nifti.NiftiSettings(
            GridSettings(spacing or None, crop, size or None),
            conversion_steps.read_test_patients(test_ids) if test_ids else None,
            test_fraction,
        ),
        dry_run=dry_run,
        processes=processes or default_processes(),
        overwrite=overwrite,
    )
    if not dry_run:
        console.print(f"{folder}\nnext: doselo verify {dataset_id}")
    if not went_well:
        raise typer.Exit(1)


@clear_errors
def starter(
    file: Annotated[
        str, typer.Argument(help="Name map: brain, head_and_neck. Layout: paper, paper_dose.", show_default=False)
    ],
) -> None:
    """Print a name map or a layout to start from: doselo convert starter brain > names.yaml."""
    from nnunet_doselo.common.errors import DoseloError
    from nnunet_doselo.dataset_conversion.names import map_file as name_map_file
    from nnunet_doselo.dataset_conversion.nifti import layout as nifti_layout

    known = {path.stem: path for module in (name_map_file, nifti_layout) for path in module.FOLDER.glob("*.yaml")}
    if file not in known:
        raise DoseloError(f"there is no {file!r} to start from; there are {', '.join(sorted(known))}")
    typer.echo(known[file].read_text(encoding="utf-8"), nl=False)
