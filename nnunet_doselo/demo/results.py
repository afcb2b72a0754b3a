"""What the stages have left on disk, gathered for the report."""

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .settings import DemoSettings
from .stages import NOISE_FLOOR, PREDICTOR_COHORT, TRAINERS, Trainer

Scores = dict[str, float]


@dataclass(frozen=True)
class Evaluation:
    """Scores of one folder of contours: by case, and their means over the cases where they are finite.

    not_finite: cases without a value, by metric. provenance: where the numbers come from, as in summary.json.
    """

    cases: dict[str, Scores]
    means: dict[str, float | None]
    not_finite: dict[str, list[str]]
    provenance: dict[str, Any]


@dataclass(frozen=True)
class TrainerResult:
    """A trainer, how it was called, its scores, and a picture (PNG) of every case."""

    trainer: Trainer
    name: str
    evaluation: Evaluation
    pictures: dict[str, Path]


@dataclass(frozen=True)
class PredictorResult:
    """The dose predictor on patients kept from its training: mean absolute error in Gy by case, and a picture."""

    errors_gy: dict[str, float]
    picture: Path


@dataclass(frozen=True)
class DemoResults:
    trainers: list[TrainerResult]
    noise_floor: Evaluation
    predictor: PredictorResult


def gather(folder: Path, settings: DemoSettings, trainers: Sequence[Trainer] = TRAINERS) -> DemoResults:
    """Read the scores of a demo that has run through."""
    return DemoResults(
        [_trainer_result(folder, trainer, settings) for trainer in trainers],
        read_evaluation(folder / "scores" / NOISE_FLOOR),
        _predictor_result(folder / "nnUNet_results" / PREDICTOR_COHORT.folder / "DosePredictor__default"),
    )


def read_evaluation(scores: Path) -> Evaluation:
    """What `doselo evaluate` wrote: scores.csv and summary.json."""
    summary = json.loads((scores / "summary.json").read_text())
    metrics = summary["metrics"]
    return Evaluation(
        _read_cases(scores / "scores.csv"),
        {name: found["mean"] for name, found in metrics.items()},
        {name: found["not_finite"] for name, found in metrics.items() if found["not_finite"]},
        summary["provenance"],
    )


def _read_cases(file: Path) -> dict[str, Scores]:
    with file.open(newline="") as rows:
        return {row.pop("case"): {name: float(value) for name, value in row.items()} for row in csv.DictReader(rows)}


def _trainer_result(folder: Path, trainer: Trainer, settings: DemoSettings) -> TrainerResult:
    scores = folder / "scores" / trainer.key
    evaluation = read_evaluation(scores)
    pictures = {case: scores / "pictures" / f"{case}.png" for case in evaluation.cases}
    return TrainerResult(trainer, trainer.name(settings), evaluation, pictures)


def _predictor_result(run: Path) -> PredictorResult:
    errors = {case: scores["mae_gy"] for case, scores in _read_cases(run / "validation.csv").items()}
    return PredictorResult(errors, run / "validation_median.png")
