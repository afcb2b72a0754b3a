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

Preset = Annotated[
    str, typer.Option(help="small, default or large: epochs, batch, width and patch; options given win.")
]
Dim = Annotated[int, typer.Option(help="2: of axial slices, for every trainer. 3: of volumes, for 3d.")]
Epochs = Annotated[
    int | None, typer.Option(help="Epochs at most, 200 by default; stops early when validation stands still.")
]
Iterations = Annotated[int, typer.Option(help="Batches an epoch.")]
BatchSize = Annotated[
    int | None,
    typer.Option(help="Slices a batch, 16 by default; volumes, 2 by default. Devices and nodes share it."),
]
LearningRate = Annotated[float, typer.Option(help="Highest learning rate of the one-cycle schedule.")]
Width = Annotated[float | None, typer.Option(help="Factor on all channel numbers (16..256 and 32..512), 1 by default.")]
PatchVoxels = Annotated[
    int | None, typer.Option(help="Voxels of a 3D patch at most, 96 x 96 x 96 by default; no matter for slices.")
]
Spacing = Annotated[
    float,
    typer.Option(
        help="Spacing in mm the predictor works at, in-plane or of all axes (0: the dataset's median, at least 2)."
    ),
]
ValidationFraction = Annotated[float, typer.Option(help="Share of cases kept for validation.")]
Patience = Annotated[int, typer.Option(help="Epochs without progress before stopping.")]
Precision = Annotated[str, typer.Option(help="auto, 32-true, 16-mixed or bf16-mixed.")]
LossError = Annotated[str, typer.Option(help="What is minimised: l1 or l2.")]
DvhWeight = Annotated[float, typer.Option(help="Weight of the area between dose-volume histograms.")]
SoftMasks = Annotated[float, typer.Option(help="Share of training targets that are blurred.")]
Beams = Annotated[bool, typer.Option(help="Show the network the beams' paths, if dataset.json says their gantry_deg.")]
Augmentation = Annotated[
    str,
    typer.Option(
        help="beams: mirrored left to right, turned by 15 degrees (known beams: 0). whole: mirrored and turned all "
        "around, as nnU-Net does; for beams from everywhere."
    ),
]
RunName = Annotated[str, typer.Option(help="Name of the run below nnUNet_results.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with a run that was stopped.")]
TrainingDryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, write nothing.")]
Devices = Annotated[int, typer.Option(min=1, help="GPUs of each node; without one, processes on its CPU.")]
NumNodes = Annotated[int, typer.Option(min=1, help="Nodes; torchrun or srun starts the command on each.")]


@clear_errors
def train_predictor(
    dataset: Dataset,
    preset: Preset = "default",
    dim: Dim = 2,
    epochs: Epochs = None,
    iterations: Iterations = 250,
    batch_size: BatchSize = None,
    learning_rate: LearningRate = 1e-3,
    width: Width = None,
    patch_voxels: PatchVoxels = None,
    spacing: Spacing = 0.0,
    validation_fraction: ValidationFraction = 0.1,
    patience: Patience = 50,
    precision: Precision = "auto",
    error: LossError = "l1",
    dvh_weight: DvhWeight = 0.5,
    soft_masks: SoftMasks = 0.2,
    beams: Beams = True,
    augmentation: Augmentation = "beams",
    seed: int = 0,
    name: RunName = "default",
    resume: Resume = False,
    dry_run: TrainingDryRun = False,
    devices: Devices = 1,
    num_nodes: NumNodes = 1,
    processes: Processes = 0,
) -> None:
    """Train the dose predictor (CT + organs + target -> dose) and freeze it where the trainer finds it."""
    from nnunet_doselo.predictor_training.training.settings import TrainingSettings

    length = {"epochs": epochs, "iterations_per_epoch": iterations, "batch_size": batch_size, "patience": patience}
    network = {"width": width, "patch_voxels": patch_voxels, "beams": beams, "precision": precision}
    loss = {"error": error, "dvh_weight": dvh_weight, "soft_masks": soft_masks, "learning_rate": learning_rate}
    shown = {"spacing_mm": (spacing,) * dim if spacing else None, "augmentation": augmentation}
    settings = TrainingSettings.from_preset(
        preset, dim, seed=seed, validation_fraction=validation_fraction, **length, **network, **loss, **shown
    )
    run = {"resume": resume, "devices": devices, "num_nodes": num_nodes, "processes": processes or default_processes()}
    _train_and_tell(dataset, settings, name, run, dry_run=dry_run)


def _train_and_tell(dataset: str, settings: Any, name: str, run: dict[str, Any], *, dry_run: bool) -> None:
    """Say what is planned, train, and say what comes next; settings: `TrainingSettings`, run: options of `train`."""
    from nnunet_doselo.dataset.folder import environment_folder, raw_dataset
    from nnunet_doselo.predictor_training.training.plan import make_plan
    from nnunet_doselo.predictor_training.training.processes import is_first_process
    from nnunet_doselo.predictor_training.training.train import train

    console.quiet = not is_first_process()
    extended = raw_dataset(dataset)
    plan = make_plan(extended, settings)
    output = environment_folder(RESULTS) / extended.folder.name / f"DosePredictor__{name}"
    preprocessed = environment_folder(PREPROCESSED) / extended.folder.name
    for key, value in {**plan.describe(), "run": output, "predictor": preprocessed}.items():
        console.print(f"[bold]{key}[/]: {plain(str(value))}")
    if dry_run:
        return
    artifact = train(plan, output, preprocessed, **run)
    console.print(f"{artifact}\nvalidation: {output / 'validation.csv'}, pictures beside it")
    configuration = "2d" if settings.dim == 2 else "3d_fullres"
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
