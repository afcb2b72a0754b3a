"""A folder of contours under test: what their mistakes cost in dose, and how they overlap; parallel over cases.

Where the doses come from is a `dose_sources.DoseSource`. Where both are a dose predictor's and the dataset has planned
doses, the predictor's own error against them is listed beside, as the ruler's error.
"""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.common.parallel import map_cases
from nnunet_doselo.common.versions import versions
from nnunet_doselo.dataset.folder import ExtendedDataset
from nnunet_doselo.dataset.patient import label_values
from nnunet_doselo.evaluation.dose_metrics import RMAE_THRESHOLD
from nnunet_doselo.evaluation.evaluation_file import CaseResult, EvaluatedDataset, Evaluation, write_evaluation
from nnunet_doselo.evaluation.gamma import GammaCriterion
from nnunet_doselo.evaluation.goal_files import ChosenGoals, choose_goals
from nnunet_doselo.evaluation.metrics import PRIMARY
from nnunet_doselo.evaluation.overlap_metrics import surface_library
from nnunet_doselo.scoring.case_evaluation import CaseTask, draw_case, evaluate_case, load_evaluated
from nnunet_doselo.scoring.dose_sources import DoseSource

PICTURES_FOLDER = "pictures"


def evaluate_folder(
    dataset: ExtendedDataset,
    predictions: Path,
    source: DoseSource,
    output: Path,
    *,
    split: str = "Ts",
    cases: Sequence[str] | None = None,
    goals: str | Path | None = None,
    gamma: GammaCriterion | None = None,
    processes: int = 1,
    all_pictures: bool = False,
    name: str | None = None,
) -> Evaluation:
    """Score every prediction in a folder against the dataset's labels.

    Writes what `evaluation_file.write_evaluation` does to `output`, and pictures of the cases of median and worst union
    RMAE;
    with `all_pictures` also pictures/CASE.png.

    Parameters
    ----------
    cases: of the split, a fold's validation cases for instance; None takes all that have a prediction.
    goals: a YAML file, a starter's name or "none"; None takes the starter that fits, see `goal_files`.
    gamma: default 3 %/2 mm.
    name: of the contours in tables (default: of the folder).

    Raises
    ------
    DoseloError: no prediction belongs to the split, or one that `cases` names is missing; files lie on different grids;
        the source of doses does not fit the dataset or lacks a case.
    """
    wanted = predicted_cases(dataset, predictions, split, cases)
    chosen, criterion = choose_goals(goals, dataset.guidance), gamma or GammaCriterion()
    doses = source.prepare(wanted, predictions, output)
    name = name or predictions.absolute().name
    tasks = [
        CaseTask(dataset, split, case, predictions, doses, source.kind == "predicted", chosen.goals, criterion)
        for case in wanted
    ]
    if all_pictures:
        tasks = [replace(task, picture=output / PICTURES_FOLDER / f"{task.case}.png") for task in tasks]
    results = map_cases(
        evaluate_case, tasks, processes=processes, description=f"Evaluating {name}", name_of=lambda task: task.case
    )
    provenance = _provenance(dataset, predictions, source, split, len(wanted), chosen, criterion)
    evaluation = Evaluation(name, provenance, _described(dataset, split), results)
    write_evaluation(output, evaluation)
    _draw_two(output, results, tasks)
    return evaluation


def predicted_cases(
    dataset: ExtendedDataset, predictions: Path, split: str, cases: Sequence[str] | None = None
) -> list[str]:
    """Cases of the split that have a prediction, sorted; those of `cases` if that is given.

    Raises
    ------
    DoseloError: there are none, or one of `cases` has no prediction or is no case of the split.
    """
    known = set(dataset.cases("labels", split))
    there = {p.name[: -len(dataset.ending)] for p in predictions.glob(f"[!.]*{dataset.ending}")}
    if not known & there:
        raise DoseloError(
            f"{predictions}: expected predictions named like labels{split} (for example "
            f"{min(known, default='none there')}{dataset.ending}), found {sorted(there)[:3] or 'none'}"
        )
    if missing := sorted(set(cases or ()) - (known & there)):
        raise DoseloError(
            f"{predictions}: expected a prediction of {len(set(cases or ()))} cases of labels{split}, missing "
            f"{len(missing)}: {', '.join(missing[:3])}{' and more' if missing[3:] else ''}"
        )
    return sorted(known & there if cases is None else set(cases))


def _draw_two(output: Path, results: Sequence[CaseResult], tasks: Sequence[CaseTask]) -> None:
    """worst.png and median.png by union RMAE; none, and none of an earlier evaluation, where it is not defined."""
    finite = [number for number, result in enumerate(results) if np.isfinite(result.score(PRIMARY))]
    worst_first = sorted(finite, key=lambda number: -results[number].score(PRIMARY))
    for title, place in (("worst", 0), ("median", len(worst_first) // 2)):
        picture = output / f"{title}.png"
        picture.unlink(missing_ok=True)
        if not worst_first:
            continue
        task = tasks[worst_first[place]]
        if task.picture:
            shutil.copyfile(task.picture, picture)
        else:
            draw_case(picture, load_evaluated(task))


def _described(dataset: ExtendedDataset, split: str) -> EvaluatedDataset:
    guidance, values = dataset.guidance, label_values(dataset)
    return EvaluatedDataset(
        dataset.folder.name,
        split,
        guidance.prescription_gy,
        guidance.target_gy,
        guidance.oars,
        {name: values[name] for name in guidance.target_gy},
    )


def _provenance(
    dataset: ExtendedDataset,
    predictions: Path,
    source: DoseSource,
    split: str,
    cases: int,
    goals: ChosenGoals,
    gamma: GammaCriterion,
) -> dict[str, Any]:
    doses = source.provenance()
    evaluated, reference = doses["evaluated_dose"], doses["reference_dose"]
    says = evaluated if evaluated == reference else f"evaluated: {evaluated}. Reference: {reference}"
    return {
        "dataset": dataset.folder.name,
        "split": split,
        "cases": f"{cases} of {len(dataset.cases('labels', split))} in the split",
        "predictions": str(predictions),
        "dose": {"kind": source.kind, "says": says},
        **doses,
        "rmae_threshold_of_rx": RMAE_THRESHOLD,
        "prescription_gy": dataset.guidance.prescription_gy,
        "gamma": gamma.text,
        "goals": {"from": goals.origin, "goals": [f"{goal.structure}: {goal.text}" for goal in goals.goals]},
        "surface_distances": surface_library(),
        "versions": versions(),
    }
