"""Scores of a dose predictor: cases, the cohort's own two figures, and the table of structures."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from nnunet_doselo.common.files import csv_bytes

from .openkbp_scores import StructureDose, dvh_score
from .scores_file import CaseScores

STRUCTURE_COLUMNS = ("case", "structure", "kind", "metric", "planned_gy", "predicted_gy", "difference_gy")


@dataclass(frozen=True)
class PredictorCase:
    """Scores of one case: dose score in Gy, and every metric of every structure."""

    case: str
    dose_score_gy: float
    structures: list[StructureDose]

    def row(self) -> CaseScores:
        """For `scores_file.write_scores`; differences are predicted less planned."""
        differences = {f"{dose.structure}_{dose.metric}_difference_gy": dose.difference_gy for dose in self.structures}
        scores = {"dose_score_gy": self.dose_score_gy, "dvh_error_gy": dvh_score(self.structures), **differences}
        return CaseScores(self.case, scores)


@dataclass(frozen=True)
class StructureError:
    """One metric of one structure over the cases that have the structure: the mean difference shows the bias."""

    structure: str
    metric: str
    planned_gy: float
    difference_gy: float
    absolute_gy: float
    cases: int


@dataclass(frozen=True)
class PredictorScores:
    """A cohort's cases, worst dose score first."""

    cases: list[PredictorCase]

    @classmethod
    def of(cls, cases: Sequence[PredictorCase]) -> "PredictorScores":
        """Sorted; a case whose score is no number comes first, where it is seen."""
        return cls(sorted(cases, key=lambda case: (not math.isnan(case.dose_score_gy), -case.dose_score_gy)))

    @property
    def structures(self) -> list[StructureDose]:
        return [dose for case in self.cases for dose in case.structures]

    def overall(self) -> dict[str, float | None]:
        """Dose score (mean over cases) and DVH score (mean over all cases, structures, metrics) in Gy, None for NaN."""
        scores = {
            "dose_score_gy": statistics.fmean(case.dose_score_gy for case in self.cases),
            "dvh_score_gy": dvh_score(self.structures),
        }
        return {name: None if math.isnan(score) else score for name, score in scores.items()}

    def to_look_at(self) -> dict[str, str]:
        """Case by title: the worst, the best and the median dose score; no case twice."""
        chosen: dict[str, str] = {}
        for title, place in (("worst", 0), ("best", -1), ("median", len(self.cases) // 2)):
            if (case := self.cases[place].case) not in chosen.values():
                chosen[title] = case
        return chosen

    def by_structure(self) -> list[StructureError]:
        """Means over cases, metric by metric, in the order of the structures; none for what no case has."""
        groups: dict[tuple[str, str], list[StructureDose]] = {}
        for dose in self.structures:
            group = groups.setdefault((dose.structure, dose.metric), [])
            if not math.isnan(dose.difference_gy):
                group.append(dose)
        return [
            StructureError(
                *name,
                statistics.fmean(dose.reference_gy for dose in group),
                statistics.fmean(dose.difference_gy for dose in group),
                dvh_score(group),
                len(group),
            )
            for name, group in groups.items()
            if group
        ]

    def structures_csv(self) -> bytes:
        """One row for each metric of each structure of each case; nan where a case lacks the structure."""
        rows = []
        for metric in self.structures:
            doses = (metric.reference_gy, metric.evaluated_gy, metric.difference_gy)
            rows.append([metric.case, metric.structure, metric.kind, metric.metric, *(f"{dose:.4f}" for dose in doses)])
        return csv_bytes(STRUCTURE_COLUMNS, rows)
