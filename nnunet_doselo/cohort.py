"""`doselo evaluate`: what the mistakes of a folder of contours cost in dose, and how they overlap.

Where the doses come from is a `dose_sources.DoseSource`. Where both are a dose predictor's and the dataset has planned
doses, the predictor's own error against them is listed beside, as the ruler's error.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.progress import track

from nnunet_doselo.dataset_folder import ExtendedDataset
from nnunet_doselo.dose_sources import DoseSource
from nnunet_doselo.errors import DoseloError
from nnunet_doselo.evaluation.dose_metrics import RMAE_THRESHOLD, dose_score, rmae
from nnunet_doselo.evaluation.overlap_metrics import dice, false_positive_cc_beyond, hd95_mm, surface_library
from nnunet_doselo.evaluation.patient_pictures import picture_of
from nnunet_doselo.evaluation.report import CaseScores, write_report
from nnunet_doselo.geometry import body_mask
from nnunet_doselo.images import read_array
from nnunet_doselo.patient import Patient, label_values, load_patient
from nnunet_doselo.versions import versions

PICTURES_FOLDER = "pictures"


@dataclass(frozen=True)
class Evaluated:
    """A patient, the contour under test (Z, Y, X), and the doses (Gy) of both contours."""

    patient: Patient
    labels: np.ndarray
    reference_gy: np.ndarray
    evaluated_gy: np.ndarray


def evaluate(
    dataset: ExtendedDataset,
    predictions: Path,
    source: DoseSource,
    output: Path,
    *,
    split: str = "Ts",
    all_pictures: bool = False,
) -> list[CaseScores]:
    """Score every prediction in a folder against the dataset's labels.

    Writes scores.csv, summary.json and pictures of the cases of median and worst RMAE to `output`; with
    `all_pictures` also pictures/CASE.png.

    Raises
    ------
    DoseloError: no prediction belongs to the split; a prediction or a dose lies on another grid; the source of doses
        does not fit the dataset or lacks a case.
    """
    cases = _cases(dataset, predictions, split)
    source.prepare(cases)
    rows = []
    for case in track(cases, "Evaluating"):
        found = _evaluate_case(dataset, predictions, source, case, split)
        rows.append(CaseScores(case, _scores(found, dataset, with_predictor_error=source.predicted)))
        if all_pictures:
            _picture(output / PICTURES_FOLDER / f"{case}.png", found, dataset)
    write_report(output, rows, _provenance(dataset, predictions, source, split, len(cases)))
    for title, case in _to_look_at(rows):
        _picture(output / f"{title}.png", _evaluate_case(dataset, predictions, source, case, split), dataset)
    return rows


def _cases(dataset: ExtendedDataset, predictions: Path, split: str) -> list[str]:
    known = set(dataset.cases("labels", split))
    there = {p.name[: -len(dataset.ending)] for p in predictions.glob(f"*{dataset.ending}")}
    if not known & there:
        raise DoseloError(
            f"{predictions}: expected predictions named like labels{split} (for example "
            f"{min(known, default='none there')}{dataset.ending}), found {sorted(there)[:3] or 'none'}"
        )
    return sorted(known & there)


def _evaluate_case(dataset: ExtendedDataset, predictions: Path, source: DoseSource, case: str, split: str) -> Evaluated:
    patient = load_patient(dataset, case, split)
    file = predictions / f"{case}{dataset.ending}"
    labels, grid = read_array(file)
    if differences := grid.differences(patient.grid):
        raise DoseloError(f"{file}: must lie on the grid of the case's labels: {'; '.join(differences)}")
    reference_gy, evaluated_gy = source.doses_gy(patient, file, labels)
    return Evaluated(patient, labels, reference_gy, evaluated_gy)


def _scores(found: Evaluated, dataset: ExtendedDataset, *, with_predictor_error: bool) -> dict[str, float]:
    patient, body = found.patient, body_mask(found.patient.ct_hu)
    prescription_gy = dataset.guidance.prescription_gy
    scores = {
        "rmae": rmae(found.reference_gy, found.evaluated_gy, body, prescription_gy),
        "dose_score_gy": dose_score(found.reference_gy * body, found.evaluated_gy * body, body),
    }
    if with_predictor_error and patient.dose_gy is not None:
        planned = patient.dose_gy * body
        scores["dose_score_vs_planned_gy"] = dose_score(planned, found.evaluated_gy * body, body)
        scores["predictor_error_gy"] = dose_score(planned, found.reference_gy * body, body)
    return scores | _overlap_scores(found, dataset)


def _overlap_scores(found: Evaluated, dataset: ExtendedDataset) -> dict[str, float]:
    """Dice and HD95 of all targets as one, then of each; false positives far from any target."""
    values, spacing_mm = label_values(dataset), found.patient.spacing_mm
    targets = {name: values[name] for name in dataset.guidance.target_gy}
    wanted = {"target": sorted({value for labels in targets.values() for value in labels})} | targets
    scores: dict[str, float] = {}
    for name, labels in wanted.items():
        reference, evaluated = np.isin(found.patient.labels, labels), np.isin(found.labels, labels)
        scores[f"{name}_dice"] = dice(reference, evaluated)
        scores[f"{name}_hd95_mm"] = hd95_mm(reference, evaluated, spacing_mm)
        if name == "target":
            scores["target_fp_beyond_20mm_cc"] = false_positive_cc_beyond(reference, evaluated, spacing_mm)
    return scores


def _to_look_at(rows: Sequence[CaseScores]) -> list[tuple[str, str]]:
    """Titles and cases: the worst RMAE, and the median one."""
    worst_first = sorted((r for r in rows if np.isfinite(r.score("rmae"))), key=lambda r: -r.score("rmae"))
    if not worst_first:
        return []
    return [("worst", worst_first[0].case), ("median", worst_first[len(worst_first) // 2].case)]


def _picture(path: Path, found: Evaluated, dataset: ExtendedDataset) -> None:
    picture_of(
        path,
        found.patient,
        found.reference_gy,
        found.evaluated_gy,
        dataset,
        evaluated_labels=found.labels,
        reference_title="Dose of the reference contour",
        evaluated_title="Dose of the predicted contour",
    )


def _provenance(
    dataset: ExtendedDataset, predictions: Path, source: DoseSource, split: str, cases: int
) -> dict[str, object]:
    return {
        "dataset": dataset.folder.name,
        "split": split,
        "cases": f"{cases} of {len(dataset.cases('labels', split))} in the split",
        "predictions": str(predictions),
        **source.provenance(),
        "rmae_threshold_of_rx": RMAE_THRESHOLD,
        "prescription_gy": dataset.guidance.prescription_gy,
        "surface_distances": surface_library(),
        "versions": versions(),
    }
