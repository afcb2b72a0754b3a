"""What trained contours cost in dose, by trainer: each is trained on some folds, its contours of the test patients are
planned anew with the beams of the true contours' plans, and their doses compared with those.

python benchmarks/soft_or_straight.py 511 work/modes --configuration 2d_small --folds 0-1 \\
    --trainer nnUNetTrainerBCE_8epochs_120iterations --trainer nnUNetTrainerDOSELO_8epochs_120iterations \\
    --trainer nnUNetTrainerDOSELO_soft_8epochs_120iterations

A run that was stopped goes on where it was; the dataset must be planned and have a predictor.
"""

import itertools
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer
from machine import command, hardware

from nnunet_doselo.dataset_folder import environment_folder, raw_dataset

METRICS = ("rmae", "dose_score_gy")


def run(folder: Path, name: str, *arguments: str) -> float:
    """Seconds that it took, as written down when it ran; done once."""
    done = folder / f"{name}.seconds"
    if done.exists():
        return float(done.read_text())
    print(" ".join(arguments), file=sys.stderr)
    start = time.monotonic()
    with (folder / f"{name}.log").open("w") as log:
        subprocess.run(arguments, stdout=log, stderr=subprocess.STDOUT, check=True)
    done.write_text(f"{time.monotonic() - start:.1f}")
    return float(done.read_text())


def scores(work: Path, dataset: int, configuration: str, trainer: str, fold: str) -> dict[str, Any]:
    """Of one trained network: seconds of its training, and the table of its test patients."""
    folder = work / f"{trainer}_fold{fold}"
    folder.mkdir(parents=True, exist_ok=True)
    number, which = str(dataset), ("-tr", trainer, "-device", "cpu")
    predictions, plans, scored = (str(folder / kind) for kind in ("predictions", "plans", "scores"))
    images = str(raw_dataset(number).folder / "imagesTs")
    trained = run(
        folder,
        "train",
        "nnUNetv2_train",
        number,
        configuration,
        fold,
        *which,
        *_resume(dataset, trainer, configuration, fold),
    )
    asked = ("nnUNetv2_predict", "-i", images, "-o", predictions, "-d", number, "-c", configuration, "-f", fold)
    run(folder, "predict", *asked, *which, "-npp", "1", "-nps", "1")
    run(folder, "plan", "doselo", "plan", number, "--labels", predictions, "--out", plans, *_like(work))
    asked = ("doselo", "evaluate", predictions, number, "--dose-from", plans, "-o", scored, "--name", trainer)
    run(folder, "evaluate", *asked, "--reference-doses", str(work / "reference"))
    return {"seconds": trained, "table": pd.read_csv(Path(scored) / trainer / "scores.csv")}


def _like(work: Path) -> tuple[str, ...]:
    return ("--like", str(work / "reference"), "-np", "1")


def _resume(dataset: int, trainer: str, configuration: str, fold: str) -> list[str]:
    name = f"{trainer}__nnUNetPlans__{configuration}"
    output = environment_folder("nnUNet_results") / raw_dataset(str(dataset)).folder.name / name / f"fold_{fold}"
    return ["--c"] if output.exists() else []


def table(
    found: dict[tuple[str, str], dict[str, Any]], trainers: Sequence[str], folds: Sequence[str]
) -> dict[str, Any]:
    """Means over folds and patients; differences to the first trainer are paired by fold and patient."""
    printed = {}
    for trainer in trainers:
        own = [found[trainer, fold]["table"] for fold in folds]
        first = [found[trainers[0], fold]["table"] for fold in folds]
        printed[trainer] = {"seconds": median(found[trainer, fold]["seconds"] for fold in folds)}
        for metric in [name for name in own[0] if name in METRICS or name.endswith(("_dice", "_cc"))]:
            values = np.concatenate([t[metric] for t in own])
            difference = values - np.concatenate([t[metric] for t in first])
            printed[trainer][metric] = {
                "mean": float(np.nanmean(values)),
                "by_fold": [float(np.nanmean(t[metric])) for t in own],
                "less_than_first_by": float(-np.nanmean(difference)),
                "standard_error": float(np.nanstd(difference, ddof=1) / np.sqrt(np.isfinite(difference).sum())),
            }
    return printed


def main(
    dataset: int,
    work: Path,
    trainer: Annotated[list[str], typer.Option(help="Once for each; the first is what others are compared with.")],
    configuration: str = "2d",
    folds: Annotated[str, typer.Option(help="First and last, as 0-4.")] = "0-4",
    processes: Annotated[int, typer.Option(help="Networks at a time, each with one thread.")] = 2,
) -> None:
    """Print seconds, RMAE, dose score and overlap as JSON."""
    work.mkdir(parents=True, exist_ok=True)
    run(work, "reference", "doselo", "plan", str(dataset), "--out", str(work / "reference"))
    first, _, last = folds.partition("-")
    numbers = [str(fold) for fold in range(int(first), int(last or first) + 1)]
    jobs = [(name, fold) for fold, name in itertools.product(numbers, trainer)]
    with ThreadPoolExecutor(processes) as pool:
        results = list(pool.map(lambda job: scores(work, dataset, configuration, *job), jobs))
    printed = table(dict(zip(jobs, results, strict=True)), trainer, numbers)
    print(json.dumps({"command": command(), "hardware": hardware(), "folds": numbers, "trainers": printed}, indent=2))


if __name__ == "__main__":
    typer.run(main)
