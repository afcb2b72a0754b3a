"""One evaluation on disk: a folder of contours of one split, one source of doses; evaluation.json and tables."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ..common.files import csv_bytes, json_bytes, nan_for_none, read_json, replace_files
from .clinical_goals import ScorecardRow
from .islands import Island, island_rows
from .result_files import EVALUATED_BY, EVALUATION_FILE, EVALUATION_FORMAT
from .scores_file import CaseScores, scores_files
from .structure_metrics import StructureFigures


@dataclass(frozen=True)
class EvaluatedDataset:
    """What a reader of the numbers has to know of the dataset; target_labels: values in label maps by target."""

    name: str
    split: str
    prescription_gy: float
    target_gy: Mapping[str, float]
    oars: Mapping[str, int]
    target_labels: Mapping[str, Sequence[int]]


@dataclass(frozen=True)
class CaseResult:
    """Everything measured of one case.

    scores: one number a metric, as in scores.csv, NaN where not defined. structures: the reference's structures in both
    doses. files: absolute paths by kind, a list for "images". reference_sha256: of the reference "labels" and "dose":
    only contours with the same reference are compared.
    """

    case: str
    scores: Mapping[str, float]
    structures: Mapping[str, StructureFigures]
    goals: Sequence[ScorecardRow]
    islands: Sequence[Island]
    files: Mapping[str, Any]
    reference_sha256: Mapping[str, str]

    def score(self, metric: str) -> float:
        """NaN for a metric that this case lacks."""
        return self.scores.get(metric, math.nan)


@dataclass(frozen=True)
class Evaluation:
    """provenance: as in summary.json; its "dose" holds "kind" (predicted, open planner, files) and what "says" so."""

    name: str
    provenance: Mapping[str, Any]
    dataset: EvaluatedDataset
    cases: Sequence[CaseResult]

    @property
    def rows(self) -> list[CaseScores]:
        return [CaseScores(case.case, case.scores) for case in self.cases]


def write_evaluation(folder: Path, evaluation: Evaluation) -> None:
    """Write evaluation.json, summary.json and the tables scores, structures, islands and goals (CSV) into `folder`.

    All appear together, and replace those of an earlier evaluation.

    Raises
    ------
    DoseloError: no cases, a case twice, or provenance that JSON cannot hold.
    """
    tables = {
        "structures.csv": (("case", "structure", "metric", "reference", "evaluated"), _structure_rows(evaluation)),
        "islands.csv": (("case", "island", *_names(Island)), _island_rows(evaluation)),
        "goals.csv": (("case", *_names(ScorecardRow)), _goal_rows(evaluation)),
    }
    content = {"format": EVALUATION_FORMAT} | {name: getattr(evaluation, name) for name in _names(Evaluation)}
    replace_files(
        scores_files(folder, evaluation.rows, evaluation.provenance)
        | {folder / name: csv_bytes(header, rows) for name, (header, rows) in tables.items()}
        | {folder / EVALUATION_FILE: json_bytes(content, indent=1)}
    )


def read_evaluation(folder: Path) -> Evaluation:
    """What `write_evaluation` wrote.

    Raises
    ------
    DoseloError: no evaluation.json, not JSON, or another format.
    """
    content = read_json(folder / EVALUATION_FILE, EVALUATED_BY, file_format=EVALUATION_FORMAT)
    return Evaluation(
        content["name"],
        content["provenance"],
        EvaluatedDataset(**content["dataset"]),
        tuple(_case(entry) for entry in content["cases"]),
    )


def _case(content: Mapping[str, Any]) -> CaseResult:
    structures = {
        name: StructureFigures(nan_for_none(both["reference"]), nan_for_none(both["evaluated"]))
        for name, both in content["structures"].items()
    }
    goals = tuple(ScorecardRow(**nan_for_none(row)) for row in content["goals"])
    islands = tuple(Island(**nan_for_none(island)) for island in content["islands"])
    return CaseResult(
        content["case"],
        nan_for_none(content["scores"]),
        structures,
        goals,
        islands,
        content["files"],
        content["reference_sha256"],
    )


def _names(dataclass_type: type) -> list[str]:
    return [field.name for field in fields(dataclass_type)]


def _structure_rows(evaluation: Evaluation) -> Iterable[list[Any]]:
    for case in evaluation.cases:
        for name, both in case.structures.items():
            for figure, value in both.reference.items():
                yield [case.case, name, figure, value, both.evaluated[figure]]


def _island_rows(evaluation: Evaluation) -> Iterable[list[Any]]:
    for case in evaluation.cases:
        yield from (list(row.values()) for row in island_rows(case.case, case.islands))


def _goal_rows(evaluation: Evaluation) -> Iterable[list[Any]]:
    for case in evaluation.cases:
        yield from ([case.case, *(getattr(row, name) for name in _names(ScorecardRow))] for row in case.goals)
