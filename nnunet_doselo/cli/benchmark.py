"""The command that trains, plans and compares."""

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.common.parallel import default_processes

from .shared import Dataset, Processes, clear_errors, console, errors, plain


@clear_errors
def benchmark(
    dataset: Dataset,
    configuration: Annotated[str, typer.Argument(help="nnU-Net's configuration, e.g. 2d.", show_default=False)],
    trainers: Annotated[
        list[str], typer.Option(help="Names of trainers; the first is the baseline.", show_default=False)
    ],
    folds: Annotated[list[str], typer.Option(help="For example 0-4, or 0 2 3.")] = ["0-4"],  # noqa: B006
    seeds: Annotated[
        list[str], typer.Option(help="Every trainer is trained on each fold from each of these, as in 0-2.")
    ] = ["0"],  # noqa: B006
    lambdas: Annotated[
        list[float], typer.Option(help="Weights of the dose term: adds a variant of every trainer that has one.")
    ] = [],  # noqa: B006
    baseline: Annotated[str, typer.Option(help="Trainer that the others are compared with (default: first).")] = "",
    split: Annotated[
        str, typer.Option(help="Ts: every fold is scored on the test cases; Tr: on its own validation cases.")
    ] = "auto",
    engine: Annotated[str, typer.Option(help="Planner of the doses: fluence (built in) or pydosert.")] = "fluence",
    plans: Annotated[str, typer.Option(help="nnU-Net's plans.")] = "nnUNetPlans",
    device: Annotated[str, typer.Option(help="Of trainings and predictions: cuda, cpu or mps.")] = "cuda",
    trainings_at_once: Annotated[int, typer.Option(help="Trainings side by side on this machine.", min=1)] = 1,
    scheduler: Annotated[
        str, typer.Option(help="Address of a dask scheduler, whose workers do the work; folders must be shared.")
    ] = "",
    processes: Processes = 0,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the benchmark.")] = Path("benchmark"),
) -> None:
    """Train what is missing, predict, plan every contour, score and compare; run it again to go on where it was."""
    from nnunet_doselo.benchmark import whole_benchmark
    from nnunet_doselo.benchmark.names import parse_numbers, with_lambdas
    from nnunet_doselo.benchmark.setting import Asked

    names = with_lambdas(trainers, lambdas)
    numbers = parse_numbers(folds, "--folds"), parse_numbers(seeds, "--seeds")
    asked = Asked(
        dataset, configuration, names, numbers[0], baseline or names[0], split, engine, plans, numbers[1], device
    )
    compared = whole_benchmark.prepare_benchmark(asked, output)
    _say_what(compared)
    if not scheduler:
        whole_benchmark.require_device(compared)
    command = shlex.join(["doselo", *sys.argv[1:]])
    outcome = whole_benchmark.run_benchmark(
        compared, _pools(compared, scheduler, trainings_at_once, processes), console, command
    )
    _say_outcome(outcome)
    if outcome.failed or outcome.waiting:
        raise typer.Exit(1)


def _pools(compared: Any, scheduler: str, trainings_at_once: int, processes: int) -> Any:
    if not scheduler:
        from nnunet_doselo.benchmark.pools import LocalPools

        log = compared.folder / "logs" / "planning_processes.log"
        return LocalPools(log, trainings_at_once=trainings_at_once, processes=processes or default_processes())
    from nnunet_doselo.benchmark.cluster import DaskPools

    gpu = compared.asked.device == "cuda"
    pools = DaskPools(scheduler, gpu=gpu)
    workers, gpus = pools.workers()
    console.print(
        f"{scheduler}: {workers} workers, {gpus} of them with a GPU; all must see {plain(str(compared.folder))}"
    )
    if gpu and not gpus:
        errors.print("[yellow]no worker offers a GPU yet:[/] trainings wait for `dask worker ... --resources GPU=1`")
    return pools


def _say_what(compared: Any) -> None:
    where = {"Ts": "the test cases (imagesTs), in every fold", "Tr": "each fold's own validation cases (imagesTr)"}
    asked = compared.asked
    seeds = f" from {len(asked.seeds)} seeds each" if len(asked.seeds) > 1 else ""
    console.print(
        f"{compared.dataset.folder.name} {asked.configuration}: {len(asked.trainers)} trainers, "
        f"{len(asked.folds)} folds{seeds}, scored on {where[compared.split]}: {len(compared.all_cases)} cases"
    )
    console.print(f"trainers: {' '.join(asked.trainers)}; baseline {asked.baseline}")


def _say_outcome(outcome: Any) -> None:
    from nnunet_doselo.evaluation.result_files import COMPARISON_FILE

    folder = outcome.benchmark.folder
    for remark in outcome.remarks:
        console.print(f"[yellow]remark:[/] {plain(remark)}")
    for record in outcome.failed:
        errors.print(f"[bold red]failed:[/] {plain(record.name)}: {plain(record.error)}", highlight=False)
    if outcome.waiting:
        errors.print(f"{len(outcome.waiting)} jobs wait for these; the same command tries again")
    if outcome.compared:
        console.print(f"{folder / COMPARISON_FILE}: {len(outcome.compared)} trainers on the same runs and cases")
        console.print(f"next: doselo report {plain(str(folder))}")
    elif not outcome.failed:
        raise DoseloError(f"{folder}: no comparison, though nothing failed")
