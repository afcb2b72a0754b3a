"""One case of an evaluation: read every file once, score it, draw it if asked, and note where it came from."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from nnunet_doselo.common.hashing import sha256_of
from nnunet_doselo.dataset.folder import ExtendedDataset
from nnunet_doselo.dataset.images import read_array, read_on_grid
from nnunet_doselo.dataset.patient import Patient
from nnunet_doselo.evaluation.clinical_goals import Goal
from nnunet_doselo.evaluation.evaluation_file import CaseResult
from nnunet_doselo.evaluation.gamma import GammaCriterion
from nnunet_doselo.evaluation.islands import island_summary
from nnunet_doselo.scoring.case_scores import (
    EvaluatedCase,
    dose_scores,
    gamma_score,
    goal_rows,
    overlap_scores,
    structure_figures,
)
from nnunet_doselo.scoring.dose_sources import DosePair


@dataclass(frozen=True)
class CaseTask:
    """What one process needs to evaluate one case; `picture`: where to draw it, if it is to be drawn."""

    dataset: ExtendedDataset
    split: str
    case: str
    predictions: Path
    doses: DosePair
    predicted: bool
    goals: Sequence[Goal]
    gamma: GammaCriterion
    picture: Path | None = None

    @property
    def labels_file(self) -> Path:
        return self.predictions / f"{self.case}{self.dataset.ending}"


def evaluate_case(task: CaseTask) -> CaseResult:
    """Read one case, score it, and draw it if asked.

    A contour or structure without voxels has NaN wherever a metric is not defined.

    Raises
    ------
    DoseloError: a file is missing or damaged, files lie on different grids, or a dose was planned on another contour.
    """
    evaluated = load_evaluated(task)
    goals = goal_rows(evaluated, task.goals)
    scores = dose_scores(evaluated, predicted=task.predicted) | gamma_score(evaluated, task.gamma)
    scores |= overlap_scores(evaluated) | island_summary(evaluated.islands)
    if goals:
        scores["goals_lost"] = float(sum(row.lost for row in goals))
    if task.picture:
        draw_case(task.picture, evaluated)
    files = case_files(task)
    hashes = {name: sha256_of(Path(files[f"reference_{name}"])) for name in ("labels", "dose")}
    return CaseResult(task.case, scores, structure_figures(evaluated), goals, evaluated.islands, files, hashes)


def load_evaluated(task: CaseTask) -> EvaluatedCase:
    """Every file once; raises as `evaluate_case`."""
    dataset, case, split = task.dataset, task.case, task.split
    ct_hu, grid = read_array(dataset.path("ct", case, split))
    oars, labels = (read_on_grid(dataset.path(kind, case, split), grid) for kind in ("oars", "labels"))
    evaluated_labels = read_on_grid(task.labels_file, grid)
    patient = Patient(case, grid, ct_hu, oars, labels, None)
    reference_gy = task.doses.reference.read(patient, dataset.path("labels", case, split))
    evaluated_gy = task.doses.evaluated.read(patient, task.labels_file)
    planned_gy = _planned_dose(task, patient) if task.predicted else reference_gy
    return EvaluatedCase(dataset, replace(patient, dose_gy=planned_gy), evaluated_labels, reference_gy, evaluated_gy)


def _planned_dose(task: CaseTask, patient: Patient) -> np.ndarray | None:
    file = task.dataset.path("dose", task.case, task.split)
    return read_on_grid(file, patient.grid) if file.exists() else None


def case_files(task: CaseTask) -> dict[str, Any]:
    """Absolute paths of all that a report shows of a case."""
    dataset, case, split = task.dataset, task.case, task.split
    files = {
        "ct": dataset.path("ct", case, split),
        "oars": dataset.path("oars", case, split),
        "reference_labels": dataset.path("labels", case, split),
        "evaluated_labels": task.labels_file,
        "reference_dose": task.doses.reference.file(case),
        "evaluated_dose": task.doses.evaluated.file(case),
    }
    images = [str(path.absolute()) for path in dataset.image_paths(case, split)]
    return {kind: str(path.absolute()) for kind, path in files.items()} | {"images": images}


def draw_case(path: Path, evaluated: EvaluatedCase) -> None:
    """The slice where both doses differ most."""
    # matplotlib takes a second to load
    from nnunet_doselo.evaluation.patient_pictures import picture_of

    picture_of(
        path,
        evaluated.patient,
        evaluated.reference_gy,
        evaluated.evaluated_gy,
        evaluated.dataset,
        evaluated_labels=evaluated.labels,
        reference_title="Dose of the reference contour",
        evaluated_title="Dose of the evaluated contour",
    )
