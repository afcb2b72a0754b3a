"""`doselo sensitivity`: does the predictor's dose change as the planned one does when the contour is wrong?

The targets of patients that the predictor has not seen are moved, grown, shrunk, cut and given islands. Every edited
contour is planned with isocentre and beams of the reference contour's plan, and predicted. The reference contours are
planned and predicted too: what is compared are changes, so that neither the planner's distance from the dataset's
doses nor the predictor's own error counts.
"""

from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import track

from nnunet_doselo.dataset.folder import ExtendedDataset
from nnunet_doselo.dataset.images import read_array
from nnunet_doselo.dataset.patient import Patient, dose_counts, load_patient, target_map
from nnunet_doselo.planning.contour_edits import ISLAND
from nnunet_doselo.predictor.artifact import FrozenPredictor, add_sensitivity
from nnunet_doselo.predictor.patient_dose import predict_patient

from ..training.run_folder import is_artifact_of, record_artifact
from .edited_plans import REFERENCE, EditedCase, EditFolders, SensitivitySettings, edit_cases, plan_edits
from .report_files import EditRow, write_sensitivity_report
from .response import respond, summarise


def measure(
    predictor: FrozenPredictor,
    dataset: ExtendedDataset,
    cases: list[str],
    output: Path,
    settings: SensitivitySettings,
    *,
    processes: int = 1,
    device: torch.device | str = "cpu",
) -> dict[str, Any]:
    """Edit, plan, predict and compare; returns the figures for the predictor's card (see `common.sensitivity`).

    Writes sensitivity.csv (a row an edit), sensitivity.json and sensitivity.png to `output`, and below it every
    edited label map and planned dose. What an earlier run has planned on the same inputs is not planned again.
    Patients without a target, and edits that change no voxel, are left out.

    Raises
    ------
    DoseloError: settings out of range; the predictor was made for other organs or targets; no case has a target;
        a case is missing or cannot be planned.
    """
    settings.check()
    predictor.card.require_fitting(dataset.guidance, predictor.path)
    folders = EditFolders(output, dataset.ending)
    edited = edit_cases(dataset, cases, folders, settings, processes=processes)
    plan_edits(dataset, edited, folders, settings, processes=processes)
    by_case = [(case, list(of_case)) for case, of_case in groupby(edited, key=lambda edit: edit.case)]
    rows: list[EditRow] = []
    for case, of_case in track(by_case, "Predicting"):
        patient = load_patient(dataset, case, settings.split)
        rows += _compare(predictor, dataset, patient, of_case, folders, device)
    figures = {
        "cases": len(by_case),
        **summarise([row.kind for row in rows], [row.response for row in rows]),
        "engine": settings.engine,
        "seed": settings.seed,
    }
    write_sensitivity_report(output, rows, figures, predictor)
    return figures


def _compare(
    predictor: FrozenPredictor,
    dataset: ExtendedDataset,
    patient: Patient,
    edited: list[EditedCase],
    folders: EditFolders,
    device: torch.device | str,
) -> list[EditRow]:
    """All edits of one patient."""
    planned_gy, _ = read_array(folders.dose_file(REFERENCE, patient.name))
    predicted_gy = predict_patient(predictor, dataset, patient, device=device)
    body = dose_counts(patient.body, planned_gy)
    rows = []
    for case in edited:
        labels, _ = read_array(folders.labels_file(case.number, case.case))
        planned_edit_gy, _ = read_array(folders.dose_file(case.number, case.case))
        predicted_edit_gy = predict_patient(predictor, dataset, patient, labels, device)
        island = added_target(dataset, patient.labels, labels) if case.edit.kind == ISLAND else None
        response = respond(planned_edit_gy - planned_gy, predicted_edit_gy - predicted_gy, body, island)
        rows.append(EditRow(case.case, case.number, case.edit, response))
    return rows


def added_target(dataset: ExtendedDataset, reference: np.ndarray, edited: np.ndarray) -> np.ndarray:
    """Voxels that are target in the edited label map alone, boolean (Z, Y, X)."""
    return (target_map(dataset, edited) > 0) & (target_map(dataset, reference) == 0)


def write_to_card(predictor: FrozenPredictor, figures: dict[str, Any], run: Path) -> Path:
    """Put the figures on the predictor's card; if the training run recorded this file, it records the new SHA-256.

    Raises
    ------
    DoseloError: see `artifact.add_sensitivity`.
    """
    recorded = is_artifact_of(run, predictor)
    path = add_sensitivity(predictor.path, figures)
    if recorded:
        record_artifact(run, path)
    return path
