"""Commands that bring data in: conversion, phantoms, checks, preprocessing."""

from pathlib import Path
from typing import Annotated

import typer

from nnunet_doselo.common.nnunet_environment import RAW
from nnunet_doselo.common.parallel import default_processes

from .shared import (
    Dataset,
    DatasetId,
    Overwrite,
    Processes,
    clear_errors,
    console,
    errors,
    plain,
)


@clear_errors
def openkbp(
    source: Annotated[Path, typer.Argument(help="Folder that holds train-pats/, validation-pats/, test-pats/.")],
    dataset_id: DatasetId,
    name: Annotated[str, typer.Option(help="Name of the new dataset.")] = "OpenKBP",
    spacing: Annotated[float, typer.Option(help="Isotropic voxel size in mm; 0 keeps each patient's own.")] = 3.0,
    processes: Processes = 0,
    overwrite: Overwrite = False,
) -> None:
    """OpenKBP's original CSV layout: CT, seven organs, PTV56/63/70 and dose."""
    from nnunet_doselo.dataset.folder import environment_folder
    from nnunet_doselo.dataset_conversion.cases import writer
    from nnunet_doselo.dataset_conversion.openkbp import convert_openkbp

    folder = writer.dataset_folder(environment_folder(RAW), dataset_id, name)
    convert_openkbp(source, folder, spacing_mm=spacing, processes=processes or default_processes(), overwrite=overwrite)
    console.print(f"{folder}\nnext: doselo verify {dataset_id}")


@clear_errors
def channels(
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
    from nnunet_doselo.dataset.folder import environment_folder, raw_dataset
    from nnunet_doselo.dataset_conversion import channels as conversion
    from nnunet_doselo.dataset_conversion.cases import writer

    source = raw_dataset(dataset)
    folder = writer.dataset_folder(environment_folder(RAW), new_id, name or source.folder.name.partition("_")[2])
    conversion.convert_channels(
        source,
        folder,
        conversion.ChannelRoles(ct, conversion.parse_channels(oars)),
        conversion.parse_target_gy(target_gy),
        processes=processes or default_processes(),
        overwrite=overwrite,
    )
    console.print(f"{folder}\nnext: doselo verify {new_id}")


@clear_errors
def phantom(
    dataset_id: DatasetId,
    cases: Annotated[int, typer.Option(help="Patients for training.", show_default=False)],
    seed: Annotated[int, typer.Option(help="Of the cohort; other seeds give other patients.", show_default=False)],
    spacing: Annotated[float, typer.Option(help="Isotropic voxel size in mm, 2 to 6.")] = 3.0,
    variants: Annotated[
        int, typer.Option(help="Perturbed targets for each training patient, each planned anew: for the predictor.")
    ] = 0,
    test_cases: Annotated[int, typer.Option(help="More patients, for the test split.")] = 0,
    name: Annotated[str, typer.Option(help="Name of the new dataset.")] = "Phantom",
    processes: Processes = 0,
    overwrite: Overwrite = False,
) -> None:
    """Synthetic patients after resection of a glioblastoma: four MR sequences, CT, 13 organs, GTV and dose."""
    from nnunet_doselo.dataset.folder import environment_folder
    from nnunet_doselo.dataset_conversion.cases import writer
    from nnunet_doselo.dataset_conversion.phantom import cohort

    folder = writer.dataset_folder(environment_folder(RAW), dataset_id, name)
    settings = cohort.CohortSettings(cases, seed, spacing, variants, test_cases)
    cohort.make_cohort(folder, settings, processes=processes or default_processes(), overwrite=overwrite)
    console.print(f"{folder}\nnext: doselo verify {dataset_id}")


@clear_errors
def variants(
    dataset: Dataset,
    new_id: DatasetId,
    per_case: Annotated[int, typer.Option(help="Variants of each training case.", show_default=False)],
    seed: Annotated[int, typer.Option(help="Of the edits.")] = 0,
    name: Annotated[str, typer.Option(help="Name of the new dataset (default: the old one's, and Variants).")] = "",
    processes: Processes = 0,
    overwrite: Overwrite = False,
) -> None:
    """Training cases beside edited contours of them, all planned by the open planner: a dataset for the predictor."""
    from nnunet_doselo.dataset.folder import environment_folder, raw_dataset
    from nnunet_doselo.dataset_conversion.cases import writer
    from nnunet_doselo.dataset_conversion.variants import dataset as conversion

    source = raw_dataset(dataset)
    name = name or f"{source.folder.name.partition('_')[2]}Variants"
    folder = writer.dataset_folder(environment_folder(RAW), new_id, name)
    settings = conversion.VariantSettings(per_case, seed)
    conversion.make_variants(source, folder, settings, processes=processes or default_processes(), overwrite=overwrite)
    console.print(f"{folder}\nnext: doselo train-predictor {new_id}")


@clear_errors
def verify(dataset: Dataset, processes: Processes = 0) -> None:
    """Check an extended dataset: grids, case sets, labels, HU, dose units. One line a finding, exit status 1 if any."""
    from nnunet_doselo.dataset.folder import raw_dataset
    from nnunet_doselo.dataset_conversion.verify import verify_dataset

    extended = raw_dataset(dataset)
    findings = verify_dataset(extended, processes=processes or default_processes())
    for finding in findings:
        console.print(plain(str(finding)))
    cases = f"{len(extended.cases())} training and {len(extended.cases('images', 'Ts'))} test cases"
    if findings:
        errors.print(f"[bold red]{len(findings)} findings[/] in {cases}")
        raise typer.Exit(1)
    console.print(f"[green]no findings[/] in {cases}; next: nnUNetv2_plan_and_preprocess -d {dataset}")


@clear_errors
def preprocess(
    dataset: Dataset,
    configuration: Annotated[str, typer.Option("-c", help="nnU-Net configuration.")] = "2d",
    plans: Annotated[str, typer.Option("-p", help="nnU-Net plans.")] = "nnUNetPlans",
    processes: Processes = 0,
) -> None:
    """Preprocess CT and organs as nnU-Net did with the images (the trainer does this by itself when it starts)."""
    from nnunet_doselo.context.preprocessed import context_of_dataset

    context, cases = context_of_dataset(dataset, plans, configuration)
    written = context.build(cases, processes=processes or default_processes())
    console.print(f"{context.folder}: {written} of {len(cases)} cases written, {len(cases) - written} were current")
