"""Every metric of one case, from arrays: the contour under test, the reference, and the doses of both.

Doses count inside the body alone; the DVH of a structure is read in all of its voxels. Whatever is not defined (an
empty contour, an organ that a patient lacks, a reference without dose) is NaN.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from nnunet_doselo.dataset.folder import ExtendedDataset
from nnunet_doselo.dataset.patient import Patient, label_values
from nnunet_doselo.dataset.structures import Structure, structure_masks
from nnunet_doselo.evaluation.clinical_goals import Goal, ScorecardRow, scorecard
from nnunet_doselo.evaluation.dose_metrics import dose_score, rmae, union_rmae
from nnunet_doselo.evaluation.dvh import DVH
from nnunet_doselo.evaluation.gamma import GammaCriterion, gamma_pass_rate
from nnunet_doselo.evaluation.islands import Island, find_islands
from nnunet_doselo.evaluation.metrics import OVERLAPS
from nnunet_doselo.evaluation.openkbp_scores import dvh_score, structure_doses
from nnunet_doselo.evaluation.overlap_metrics import dice, false_positive_cc_beyond, surface_scores
from nnunet_doselo.evaluation.structure_metrics import StructureFigures, dvh_figures, target_figures

Scores = dict[str, float]


@dataclass(frozen=True, eq=False)
class EvaluatedCase:
    """A patient, the contour under test, and the doses of both contours: (Z, Y, X), Gy.

    patient.dose_gy: what is known to be the reference contour's planned dose, None if nothing is.
    """

    dataset: ExtendedDataset
    patient: Patient
    labels: np.ndarray
    reference_gy: np.ndarray
    evaluated_gy: np.ndarray

    @cached_property
    def in_body_gy(self) -> tuple[np.ndarray, np.ndarray]:
        """Reference and evaluated dose, 0 outside the body."""
        return self.reference_gy * self.patient.body, self.evaluated_gy * self.patient.body

    @cached_property
    def structures(self) -> list[Structure]:
        """The reference's targets and organs."""
        values = label_values(self.dataset)
        return list(structure_masks(self.patient.labels, self.patient.oars, values, self.dataset.guidance))

    @cached_property
    def dvhs(self) -> dict[str, tuple[DVH, DVH]]:
        """Of every structure in the reference and in the evaluated dose."""
        voxel_cc = self.patient.grid.voxel_cc
        return {
            structure.name: (
                DVH.from_dose(self.reference_gy, structure.mask, voxel_cc),
                DVH.from_dose(self.evaluated_gy, structure.mask, voxel_cc),
            )
            for structure in self.structures
        }

    def target(self, name: str | None) -> tuple[np.ndarray, np.ndarray]:
        """Reference and evaluated mask of one target, or of all together."""
        values, targets = label_values(self.dataset), self.dataset.guidance.target_gy
        labels = values[name] if name else sorted({value for target in targets for value in values[target]})
        return np.isin(self.patient.labels, labels), np.isin(self.labels, labels)

    @cached_property
    def islands(self) -> list[Island]:
        return find_islands(*self.target(None), self.patient.spacing_mm, self.evaluated_gy)


def dose_scores(case: EvaluatedCase, *, predicted: bool) -> Scores:
    """Both RMAE, OpenKBP's two scores, and of predicted doses what they differ from the planned one by."""
    reference_gy, evaluated_gy = case.in_body_gy
    patient, body = case.patient, case.patient.body
    structures = structure_doses(
        patient.name, case.structures, case.reference_gy, case.evaluated_gy, patient.grid.voxel_mm3
    )
    of_doses = (case.reference_gy, case.evaluated_gy, body, case.dataset.guidance.prescription_gy)
    scores = {
        "union_rmae": union_rmae(*of_doses),
        "rmae": rmae(*of_doses),
        "dose_score_gy": dose_score(reference_gy, evaluated_gy, body),
        "dvh_score_gy": dvh_score(structures),
    }
    if predicted and patient.dose_gy is not None:
        planned_gy = patient.dose_gy * body
        scores["dose_score_vs_planned_gy"] = dose_score(planned_gy, evaluated_gy, body)
        scores["predictor_error_gy"] = dose_score(planned_gy, reference_gy, body)
    return scores


def gamma_score(case: EvaluatedCase, criterion: GammaCriterion) -> Scores:
    """NaN if no voxel of the reference reaches the cut-off."""
    result = gamma_pass_rate(
        *case.in_body_gy,
        case.patient.spacing_mm,
        **vars(criterion),
        normalisation_gy=case.dataset.guidance.prescription_gy,
    )
    return {"gamma_pass_percent": 100 * result.pass_rate}


def overlap_scores(case: EvaluatedCase) -> Scores:
    """Dice and surface distances of all targets as one, then of each; false positives far from any target."""
    whole, spacing_mm = case.target(None), case.patient.spacing_mm
    far_cc = false_positive_cc_beyond(*whole, spacing_mm)
    scores = _overlaps("target", whole, spacing_mm) | {"target_fp_beyond_20mm_cc": far_cc}
    names = list(case.dataset.guidance.target_gy)
    if len(names) == 1:
        return scores | {f"{names[0]}_{key}": scores[f"target_{key}"] for key in OVERLAPS}
    for name in names:
        scores |= _overlaps(name, case.target(name), spacing_mm)
    return scores


def _overlaps(name: str, masks: tuple[np.ndarray, np.ndarray], spacing_mm: tuple[float, ...]) -> Scores:
    surfaces = surface_scores(*masks, spacing_mm)
    values = {key: dice(*masks) if key == "dice" else getattr(surfaces, key) for key in OVERLAPS}
    return {f"{name}_{key}": value for key, value in values.items()}


def structure_figures(case: EvaluatedCase) -> dict[str, StructureFigures]:
    """Of every reference structure in both doses."""
    reference, evaluated = (_figures(case, number, dose_gy) for number, dose_gy in enumerate(case.in_body_gy))
    return {name: StructureFigures(reference[name], evaluated[name]) for name in reference}


def _figures(case: EvaluatedCase, number: int, in_body_gy: np.ndarray) -> dict[str, Mapping[str, float]]:
    guidance = case.dataset.guidance
    of_targets = [structure for structure in case.structures if structure.kind == "target"]
    targets = [(guidance.target_gy[target.name], target.mask) for target in of_targets]
    figures: dict[str, Mapping[str, float]] = {}
    for structure in case.structures:
        dvh, gy = case.dvhs[structure.name][number], guidance.target_gy.get(structure.name, guidance.prescription_gy)
        wrapped = target_figures(dvh, in_body_gy, targets, gy) if structure.kind == "target" else {}
        figures[structure.name] = dvh_figures(dvh, gy) | wrapped
    return figures


def goal_rows(case: EvaluatedCase, goals: Sequence[Goal]) -> list[ScorecardRow]:
    """The reference's structures in both doses against the goals."""
    reference, evaluated = ({name: dvhs[number] for name, dvhs in case.dvhs.items()} for number in (0, 1))
    return scorecard(goals, reference, evaluated)
