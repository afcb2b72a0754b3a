"""What an evaluation takes without planning: seconds, memory, and where the time goes, metric by metric.

python benchmarks/evaluate.py 512 work/evaluate
python benchmarks/evaluate.py 512 work/evaluate --make      # phantom heads first, each planned: an hour

Contours under test are edited ones, doses the dataset's own with smooth noise of 3 %, moved by half a voxel.
"""

import json
import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from statistics import mean
from typing import Annotated, Any

import numpy as np
import typer
from machine import command, hardware
from scipy import ndimage

from nnunet_doselo.dataset.folder import ExtendedDataset, raw_dataset
from nnunet_doselo.dataset.images import write_array
from nnunet_doselo.dataset.patient import load_patient
from nnunet_doselo.evaluation.gamma import GammaCriterion
from nnunet_doselo.evaluation.goal_files import choose_goals
from nnunet_doselo.planning.edited_labels import edited_label_maps
from nnunet_doselo.scoring.case_evaluation import CaseTask, evaluate_case, load_evaluated
from nnunet_doselo.scoring.case_scores import (
    EvaluatedCase,
    dose_scores,
    gamma_score,
    goal_rows,
    overlap_scores,
    structure_figures,
)
from nnunet_doselo.scoring.dose_sources import DoseFolder, DosePair

SETS = ("first", "second")
NOISE, SMOOTH_VOXELS, SHIFT_VOXELS = 0.03, 2.0, 0.5
SPLIT = "Tr"
KIB_PER_GB = 1e6 / 1.024


def main(
    dataset: Annotated[int, typer.Argument(help="Number below nnUNet_raw; needs doses of its training cases.")],
    work: Annotated[Path, typer.Argument(help="Where contours, doses and results go.")],
    cases: int = 20,
    processes: int = 2,
    make: Annotated[bool, typer.Option("--make", help="Make that dataset first, by `doselo phantom`.")] = False,
) -> None:
    """Time `doselo evaluate` of one and of two sets of contours, then every metric by itself; print JSON."""
    if make:
        subprocess.run(["doselo", "phantom", str(dataset), "--cases", str(cases), "--spacing", "3"], check=True)
    extended = raw_dataset(dataset)
    names = extended.cases("dose", SPLIT)[:cases]
    for number, of in enumerate(SETS):
        for name in names:
            make_case(extended, name, work / of, seed=number)
    print(
        json.dumps(
            {
                "command": command(),
                "hardware": hardware(),
                "processes": processes,
                "cases": len(names),
                "one set of contours": evaluate(dataset, work, SETS[:1], processes),
                "two, compared": evaluate(dataset, work, SETS, processes),
                "seconds a case, one process": profile(extended, names, work / SETS[0]),
            },
            indent=2,
        )
    )


def make_case(dataset: ExtendedDataset, case: str, folder: Path, seed: int) -> None:
    """An edited label map in labels/, and a dose in doses/ that is not the reference's."""
    patient = load_patient(dataset, case, SPLIT)
    (_, labels), *_ = edited_label_maps(dataset, patient, 1, seed)
    assert patient.dose_gy is not None
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal(labels.shape), SMOOTH_VOXELS)
    dose_gy = ndimage.shift(patient.dose_gy, (0, 0, SHIFT_VOXELS), order=1) * (1 + NOISE * noise / noise.std())
    write_array(folder / "labels" / f"{case}{dataset.ending}", labels, patient.grid)
    write_array(folder / "doses" / f"{case}{dataset.ending}", dose_gy.astype(np.float32), patient.grid)


def evaluate(dataset: int, work: Path, sets: tuple[str, ...], processes: int) -> dict[str, float]:
    """A process of its own, imports and worker processes included; memory is the largest process's."""
    labels, doses = ([str(work / of / kind) for of in sets] for kind in ("labels", "doses"))
    versus = ["--versus", *labels[1:]] if labels[1:] else []
    where = ["--name", *sets, "--split", SPLIT, "-o", str(work / "evaluation"), "-np", str(processes)]
    asked = ["doselo", "evaluate", labels[0], str(dataset), *versus, "--dose-from", *doses, *where]
    start = time.monotonic()
    running = subprocess.Popen(asked, stdout=sys.stderr, env={**os.environ, "OMP_NUM_THREADS": "1"})
    _, status, usage = os.wait4(running.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(asked)}: ended with status {os.waitstatus_to_exitcode(status)}")
    return {
        "seconds": time.monotonic() - start,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "peak_gb": usage.ru_maxrss / KIB_PER_GB,
    }


def profile(dataset: ExtendedDataset, cases: list[str], folder: Path) -> dict[str, float]:
    """Mean seconds of every part; what parts share (body, masks, DVHs) is measured before them."""
    pair = DosePair(
        DoseFolder(dataset.folder / f"dose{SPLIT}", dataset.ending), DoseFolder(folder / "doses", dataset.ending)
    )
    goals, gamma = choose_goals(None, dataset.guidance).goals, GammaCriterion()
    parts: dict[str, Callable[[EvaluatedCase], Any]] = {
        "body, masks, DVHs": lambda found: (found.in_body_gy, found.dvhs),
        "RMAE, dose and DVH score": lambda found: dose_scores(found, predicted=False),
        "gamma": lambda found: gamma_score(found, gamma),
        "overlap and surfaces": overlap_scores,
        "islands": lambda found: found.islands,
        "figures of structures": structure_figures,
        "clinical goals": lambda found: goal_rows(found, goals),
    }
    seconds: dict[str, list[float]] = defaultdict(list)
    for case in cases:
        task = CaseTask(dataset, SPLIT, case, folder / "labels", pair, False, goals, gamma)
        found = _timed(seconds["reading"], lambda task=task: load_evaluated(task))
        for name, part in parts.items():
            _timed(seconds[name], lambda part=part, found=found: part(found))
        _timed(seconds["all, with hashes"], lambda task=task: evaluate_case(task))
    return {name: mean(of) for name, of in seconds.items()}


def _timed(into: list[float], work: Callable[[], Any]) -> Any:
    start = time.perf_counter()
    result = work()
    into.append(time.perf_counter() - start)
    return result


if __name__ == "__main__":
    typer.run(main)
