"""Commands that train the dose predictor and ask how far it follows an edit."""

from pathlib import Path
from typing import Annotated, Any

import typer

from nnunet_doselo.common.nnunet_environment import PREPROCESSED, RESULTS
from nnunet_doselo.common.parallel import default_processes

from .shared import (
    Dataset,
    Device,
    PredictorFile,
    Processes,
    clear_errors,
    console,
    load_predictor_of,
    plain,
)


@clear_errors
def train_predictor(
    dataset: Dataset,
    preset: Annotated[
        str, typer.Option(help="small, default or large: epochs, batch, width and patch; options given win.")
    ] = "default",
    dim: Annotated[int, typer.Option(help="2: of axial slices, for every trainer. 3: of volumes, for 3d.")] = 2,
    epochs: Annotated[
        int | None, typer.Option(help="Epochs at most, 200 by default; stops early when validation stands still.")
    ] = None,
    iterations: Annotated[int, typer.Option(help="Batches an epoch.")] = 250,
    batch_size: Annotated[
        int | None,
        typer.Option(help="Slices a batch, 16 by default; volumes, 2 by default. Devices and nodes share it."),
    ] = None,
    learning_rate: Annotated[float, typer.Option(help="Highest learning rate of the one-cycle schedule.")] = 1e-3,
    width: Annotated[
        float | None, typer.Option(help="Factor on all channel numbers (16..256 and 32..512), 1 by default.")
    ] = None,
    patch_voxels: Annotated[
        int | None, typer.Option(help="Voxels of a 3D patch at most, 96 x 96 x 96 by default; no matter for slices.")
    ] = None,
    spacing: Annotated[
        float,
        typer.Option(
            help="Spacing in mm the predictor works at, in-plane or of all axes (0: the dataset's median, at least 2)."
        ),
    ] = 0.0,
    validation_fraction: Annotated[float, typer.Option(help="Share of cases kept for validation.")] = 0.1,
    patience: Annotated[int, typer.Option(help="Epochs without progress before stopping.")] = 50,
    precision: Annotated[str, typer.Option(help="auto, 32-true, 16-mixed or bf16-mixed.")] = "auto",
    error: Annotated[str, typer.Option(help="What is minimised: l1 or l2.")] = "l1",
    dvh_weight: Annotated[float, typer.Option(help="Weight of the area between dose-volume histograms.")] = 0.5,
    soft_masks: Annotated[float, typer.Option(help="Share of training targets that are blurred.")] = 0.2,
    beams: Annotated[
        bool, typer.Option(help="Show the network the beams' paths, if dataset.json says their gantry_deg.")
    ] = True,
    seed: int = 0,
    name: Annotated[str, typer.Option(help="Name of the run below nnUNet_results.")] = "default",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that was stopped.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, write nothing.")] = False,
    devices: Annotated[int, typer.Option(min=1, help="GPUs of each node; without one, processes on its CPU.")] = 1,
    num_nodes: Annotated[int, typer.Option(min=1, help="Nodes; torchrun or srun starts the command on each.")] = 1,
    processes: Processes = 0,
) -> None:
    """Train the dose predictor (CT + organs + target -> dose) and freeze it where the trainer finds it."""
    from nnunet_doselo.dataset.folder import environment_folder, raw_dataset
    from nnunet_doselo.predictor_training.training.plan import make_plan
    from nnunet_doselo.predictor_training.training.processes import is_first_process
    from nnunet_doselo.predictor_training.training.settings import TrainingSettings
    from nnunet_doselo.predictor_training.training.train import train

    console.quiet = not is_first_process()
    extended = raw_dataset(dataset)
    settings = TrainingSettings.from_preset(
        preset,
        dim,
        epochs=epochs,
        iterations_per_epoch=iterations,
        batch_size=batch_size,
        learning_rate=learning_rate,
        width=width,
        validation_fraction=validation_fraction,
        patience=patience,
        seed=seed,
        precision=precision,
        spacing_mm=(spacing,) * dim if spacing else None,
        patch_voxels=patch_voxels,
        error=error,
        dvh_weight=dvh_weight,
        soft_masks=soft_masks,
        beams=beams,
    )
    plan = make_plan(extended, settings)
    output = environment_folder(RESULTS) / extended.folder.name / f"DosePredictor__{name}"
    preprocessed = environment_folder(PREPROCESSED) / extended.folder.name
    for key, value in {**plan.describe(), "run": output, "predictor": preprocessed}.items():
        console.print(f"[bold]{key}[/]: {plain(str(value))}")
    if dry_run:
        return
    workers = processes or default_processes()
    artifact = train(plan, output, preprocessed, processes=workers, resume=resume, devices=devices, num_nodes=num_nodes)
    console.print(f"{artifact}\nvalidation: {output / 'validation.csv'}, pictures beside it")
    configuration = "2d" if dim == 2 else "3d_fullres"
    console.print(f"next: nnUNetv2_train {dataset} {configuration} 0 -tr nnUNetTrainerDOSELO")


@clear_errors
def sensitivity(
    dataset: Dataset,
    predictor: PredictorFile = None,
    cases: Annotated[int, typer.Option(min=1, help="Patients at most.")] = 10,
    edits: Annotated[int, typer.Option(min=1, help="Edits of each of the five kinds for each patient.")] = 1,
    seed: Annotated[int, typer.Option(help="Of the edits.")] = 0,
    engine: Annotated[str, typer.Option(help="fluence (built in) or pydosert.")] = "fluence",
    split: Annotated[str, typer.Option(help="Tr: the predictor's validation cases; Ts: the test cases.")] = "Tr",
    run: Annotated[str, typer.Option(help="Run of train-predictor that says which cases were held out.")] = "default",
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Where table, picture, contours and doses go (default: in the run)."),
    ] = None,
    device: Device = "cpu",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Measure, but leave the predictor's card alone.")] = False,
    processes: Processes = 0,
) -> None:
    """Edit contours and compare the predictor's change of dose with the planner's; the figures go into its card.

    The card is in the predictor's file, whose SHA-256 changes: measure before nnU-Net trains with it, because a
    training that was started with the old file cannot be resumed with the new one.
    """
    from nnunet_doselo.common.sensitivity import sensitivity_line
    from nnunet_doselo.dataset.folder import environment_folder, raw_dataset
    from nnunet_doselo.predictor.artifact import load_both
    from nnunet_doselo.predictor_training.sensitivity import gate
    from nnunet_doselo.predictor_training.training import run_folder

    extended = raw_dataset(dataset)
    frozen = load_predictor_of(extended, predictor, device)
    folder = environment_folder(RESULTS) / extended.folder.name / f"DosePredictor__{run}"
    if not dry_run:
        load_both(frozen.path)  # planning takes hours, and is not begun where its figures could not be written
    chosen = run_folder.unseen_cases(folder, extended, frozen, split)[:cases]
    output = output or folder / "sensitivity"
    settings = gate.SensitivitySettings(edits, seed, engine, split)
    workers = processes or default_processes()
    figures = gate.measure(frozen, extended, chosen, output, settings, processes=workers, device=device)
    _print_sensitivity(figures)
    console.print(f"{plain(sensitivity_line(figures))}\n{output / 'sensitivity.csv'}, figures and picture beside it")
    if not dry_run:
        console.print(f"written into the card of {gate.write_to_card(frozen, figures, folder)}")


def _print_sensitivity(figures: dict[str, Any]) -> None:
    from rich.table import Table

    from nnunet_doselo.common.sensitivity import shown

    table = Table("edit", "edits", "r", "slope", "voxel by voxel r")
    for kind, of_kind in {**figures["kinds"], "all": figures}.items():
        table.add_row(kind, str(of_kind["edits"]), *(shown(of_kind[key]) for key in ("r", "slope", "voxel_r")))
    console.print(table)
