"""The command `doselo`: parse, call one function, print. Heavy imports live inside the commands."""

from pathlib import Path
from typing import Annotated, Any

import typer

from nnunet_doselo import cli_predictor
from nnunet_doselo.cli_shared import Dataset, Device, clear_errors, console, errors, load_predictor_of, plain
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

DatasetId = Annotated[int, typer.Argument(help="Number of the new dataset, 1 to 999.", show_default=False)]
Processes = Annotated[
    int, typer.Option("--processes", "-np", help="Worker processes (0: nnUNet_def_n_proc, or the cores).")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace a dataset of the same name.")]


@convert.command("openkbp")
@clear_errors
def convert_openkbp(
    source: Annotated[Path, typer.Argument(help="Folder that holds train-pats/, validation-pats/, test-pats/.")],
    dataset_id: DatasetId,
    name: Annotated[str, typer.Option(help="Name of the new dataset.")] = "OpenKBP",
    spacing: Annotated[float, typer.Option(help="Isotropic voxel size in mm; 0 keeps each patient's own.")] = 3.0,
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
@clear_errors
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
    from nnunet_doselo.dataset_conversion import writer
    from nnunet_doselo.dataset_conversion.phantom import cohort
    from nnunet_doselo.dataset_folder import environment_folder

    folder = writer.dataset_folder(environment_folder("nnUNet_raw"), dataset_id, name)
    settings = cohort.CohortSettings(cases, seed, spacing, variants, test_cases)
    cohort.make_cohort(folder, settings, processes=processes or default_processes(), overwrite=overwrite)
    console.print(f"{folder}\nnext: doselo verify {dataset_id}")


@app.command()
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
    from nnunet_doselo.dataset_conversion import variants as conversion
    from nnunet_doselo.dataset_conversion import writer
    from nnunet_doselo.dataset_folder import environment_folder, raw_dataset

    source = raw_dataset(dataset)
    name = name or f"{source.folder.name.partition('_')[2]}Variants"
    folder = writer.dataset_folder(environment_folder("nnUNet_raw"), new_id, name)
    settings = conversion.VariantSettings(per_case, seed)
    conversion.make_variants(source, folder, settings, processes=processes or default_processes(), overwrite=overwrite)
    console.print(f"{folder}\nnext: doselo train-predictor {new_id}")


@app.command()
@clear_errors
def verify(dataset: Dataset, processes: Processes = 0) -> None:
    """Check an extended dataset: grids, case sets, labels, HU, dose units. One line a finding, exit status 1 if any."""
    from nnunet_doselo.dataset_conversion.verify import verify as findings_of
    from nnunet_doselo.dataset_folder import raw_dataset

    extended = raw_dataset(dataset)
    findings = findings_of(extended, processes=processes or default_processes())
    for finding in findings:
        console.print(plain(str(finding)))
    cases = f"{len(extended.cases())} training and {len(extended.cases('images', 'Ts'))} test cases"
    if findings:
        errors.print(f"[bold red]{len(findings)} findings[/] in {cases}")
        raise typer.Exit(1)
    console.print(f"[green]no findings[/] in {cases}; next: nnUNetv2_plan_and_preprocess -d {dataset}")


@app.command("train-predictor")
@clear_errors
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
    error: Annotated[str, typer.Option(help="What is minimised: l1 or l2.")] = "l1",
    dvh_weight: Annotated[float, typer.Option(help="Weight of the area between dose-volume histograms.")] = 0.0,
    soft_masks: Annotated[float, typer.Option(help="Share of training targets that are blurred.")] = 0.2,
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
        error=error,
        dvh_weight=dvh_weight,
        soft_masks=soft_masks,
    )
    plan = train.make_plan(extended, settings)
    output = environment_folder("nnUNet_results") / extended.folder.name / f"DosePredictor__{name}"
    preprocessed = environment_folder("nnUNet_preprocessed") / extended.folder.name
    for key, value in {**plan.describe(), "run": output, "predictor": preprocessed}.items():
        console.print(f"[bold]{key}[/]: {plain(str(value))}")
    if dry_run:
        return
    artifact = train.train(plan, output, preprocessed, processes=processes or default_processes(), resume=resume)
    console.print(f"{artifact}\nvalidation: {output / 'validation.csv'}, pictures beside it")
    console.print(f"next: nnUNetv2_train {dataset} 2d 0 -tr nnUNetTrainerDOSELO")


@app.command()
@clear_errors
def sensitivity(
    dataset: Dataset,
    predictor: Annotated[
        Path | None,
        typer.Option(help="Dose predictor (default: the dataset's own, or nnUNet_dose_predictor)."),
    ] = None,
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
    from nnunet_doselo.dataset_folder import environment_folder, raw_dataset
    from nnunet_doselo.predictor.trust import sensitivity_line
    from nnunet_doselo.predictor_training import run_folder
    from nnunet_doselo.predictor_training import sensitivity as gate

    extended = raw_dataset(dataset)
    frozen = load_predictor_of(extended, predictor, device)
    folder = environment_folder("nnUNet_results") / extended.folder.name / f"DosePredictor__{run}"
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

    from nnunet_doselo.predictor.trust import shown

    table = Table("edit", "edits", "r", "slope", "voxel by voxel r")
    for kind, found in {**figures["kinds"], "all": figures}.items():
        table.add_row(kind, str(found["edits"]), *(shown(found[key]) for key in ("r", "slope", "voxel_r")))
    console.print(table)


app.command("evaluate-predictor")(cli_predictor.evaluate_predictor)
app.command("predict-dose")(cli_predictor.predict_dose)


@app.command()
@clear_errors
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
    console.print(f"next: doselo evaluate {dataset} {contours} --split {split} --doses {output}")


@app.command()
@clear_errors
def evaluate(
    dataset: Dataset,
    predictions: Annotated[Path, typer.Argument(help="Folder of predicted label maps.", show_default=False)],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where scores, summary and pictures go.")] = Path(
        "evaluation"
    ),
    split: Annotated[str, typer.Option(help="Ts, or Tr for a fold's validation folder.")] = "Ts",
    doses: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the contours' doses, from `doselo plan` for instance; no predictor is asked then."
        ),
    ] = None,
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
    if (doses and predictor) or (reference_doses and not doses):
        raise DoseloError("doses come from --doses (and --reference-doses), or from --predictor; give one of the two")
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


@app.command("export-stock")
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


@app.command()
@clear_errors
def demo(
    quick: Annotated[
        bool, typer.Option("--quick", help="Four minutes on two cores; the networks learn little.")
    ] = False,
    folder: Annotated[Path, typer.Option(help="Where everything goes; remove it afterwards.")] = Path("doselo_demo"),
) -> None:
    """The whole path on synthetic patients, without GPU: data, dose predictor, two trainers, doses, report."""
    from nnunet_doselo.demo.main import run_demo

    report = run_demo(folder, quick=quick, console=console)
    console.print(f"\nreport: {report}")


@app.command()
@clear_errors
def env() -> None:
    """Print the line for your shell's profile that makes nnU-Net find the trainers."""
    from nnunet_doselo.doctor import environment_line

    print(environment_line())


@app.command()
@clear_errors
def doctor() -> None:
    """Check the installation; every failure comes with its fix. Exit status 1 if something must be mended."""
    from nnunet_doselo.doctor import checks

    results = checks()
    for check in results:
        mark = "[green]ok  [/]" if check.ok else "[bold red]FAIL[/]"
        console.print(f"{mark} {check.name}: {plain(check.found)}")
        if not check.ok:
            console.print(f"     fix: {plain(check.fix)}")
    if not all(check.ok for check in results):
        raise typer.Exit(1)


if __name__ == "__main__":
    app()
