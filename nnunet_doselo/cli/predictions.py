"""Commands that plan, score and hand on what networks drew."""

from pathlib import Path
from typing import Annotated

import typer

from nnunet_doselo.common.parallel import default_processes

from .evaluation import evaluate as evaluate
from .shared import Dataset, Processes, clear_errors, console, plain


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
    from nnunet_doselo.dataset.folder import raw_dataset
    from nnunet_doselo.planning.cohort_plans import plan_cohort

    extended = raw_dataset(dataset)
    workers = processes or default_processes()
    done = plan_cohort(extended, output, labels=labels, like=like, engine=engine, split=split, processes=workers)
    for planned in done:
        for remark in planned.record.remarks:
            console.print(f"[yellow]{plain(planned.case)}[/]: {plain(remark)}")
    new = sum(planned.new for planned in done)
    console.print(f"{output}: {new} of {len(done)} cases planned, {len(done) - new} were current")
    contours = labels or extended.folder / f"labels{split}"
    console.print(f"next: doselo evaluate {contours} {dataset} --split {split} --dose-from {output}")


@clear_errors
def export_stock(
    model: Annotated[Path, typer.Argument(help="Trained model folder, ...__nnUNetPlans__2d.", show_default=False)],
    destination: Annotated[
        Path, typer.Argument(help="Folder that takes the place of nnUNet_results.", show_default=False)
    ],
) -> None:
    """Copy a trained model so that a plain nnU-Net install predicts with it, without this package."""
    from nnunet_doselo.trainer.export_stock import export_stock as export

    exported = export(model, destination)
    console.print(
        f"{exported}\npredict there with: nnUNet_results={destination} nnUNetv2_predict ... -tr nnUNetTrainer"
    )
