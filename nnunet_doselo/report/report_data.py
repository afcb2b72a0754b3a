"""Everything that the page tells, as numbers and texts; report.json is this, and the page is drawn from it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from nnunet_doselo.common.versions import versions
from nnunet_doselo.evaluation.evaluation_file import EvaluatedDataset
from nnunet_doselo.evaluation.fold_seed import runs_in_words
from nnunet_doselo.evaluation.metrics import PRIMARY, Metric

from .case_images import CaseDvh
from .charts import BarChart, BarSeries, LinePanel, curve_panels
from .chosen_cases import ChosenCase, chosen_of
from .headline import MetricRows, in_words, metric_rows
from .notices import notices_of
from .provenance import JobLine, PredictorFigures, jobs_of, predictor_figures, provenance_rows
from .results_folder import Results
from .styles import StructureStyle, TrainerStyle, structure_styles, trainer_style
from .tables import (
    GoalLine,
    IslandLine,
    IslandTally,
    LostGoal,
    StructureLine,
    goal_lines,
    island_lines,
    island_tallies,
    lost_goals,
    structure_lines,
)

REPORT_FORMAT = "doselo-report/1"


@dataclass(frozen=True)
class ShownCase:
    """A case with pictures. slice: the one in its panel. plans: run by trainer, of those that are drawn."""

    case: str
    slice: int
    plans: Mapping[str, str]
    dvh: CaseDvh


@dataclass(frozen=True)
class Report:
    """trainers, styles: by name, the baseline first. runs: in words.
    chosen_against: name of the trainer that cases are chosen by.
    """

    format: str
    created: str
    dataset: EvaluatedDataset
    dose: Mapping[str, Any]
    baseline: str
    trainers: Mapping[str, str]
    styles: Mapping[str, TrainerStyle]
    structure_styles: Sequence[StructureStyle]
    runs: Mapping[str, str]
    intervals_cover: str
    cases: Sequence[str]
    notices: Sequence[str]
    words: Sequence[str]
    metrics: Sequence[MetricRows]
    impact: BarChart | None
    chosen: Sequence[ChosenCase]
    chosen_against: str | None
    shown: Sequence[ShownCase]
    goals: Sequence[GoalLine]
    lost_goals: Sequence[LostGoal]
    islands: Sequence[IslandLine]
    island_tallies: Sequence[IslandTally]
    structures: Sequence[StructureLine]
    curves: Sequence[LinePanel]
    predictor: PredictorFigures | None
    provenance: Sequence[tuple[str, str]]
    jobs: Sequence[JobLine]
    remarks: Sequence[str]
    versions: Mapping[str, str]


def report_of(results: Results, shown: Sequence[ShownCase], remarks: Sequence[str]) -> Report:
    """Put the numbers together; `shown` and `remarks` come from reading the cases' images."""
    comparison, trainers, plans = results.comparison, results.trainers, results.plans
    styles = {name: trainer_style(index) for index, name in enumerate(trainers)}
    metrics = metric_rows(comparison, trainers)
    primary = next((rows for rows in metrics if rows.metric.key == PRIMARY), None)
    chosen, other = chosen_of(results)
    curves = {name: results.curves[name] for name in trainers if name in results.curves}
    return Report(
        format=REPORT_FORMAT,
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        dataset=comparison.dataset,
        dose=comparison.dose,
        baseline=comparison.baseline,
        trainers=trainers,
        styles=styles,
        structure_styles=structure_styles(comparison.dataset.target_gy, comparison.dataset.oars),
        runs={contours.name: runs_in_words(contours.evaluations) for contours in comparison.contours},
        intervals_cover=comparison.intervals_cover,
        cases=comparison.order,
        notices=notices_of(results.manifest),
        words=in_words(primary, trainers, comparison.baseline) if primary else [],
        metrics=metrics,
        impact=_impact(results, styles) if primary else None,
        chosen=chosen,
        chosen_against=other,
        shown=shown,
        goals=goal_lines(plans),
        lost_goals=lost_goals(plans),
        islands=island_lines(plans),
        island_tallies=island_tallies(plans),
        structures=structure_lines(plans, comparison.baseline),
        curves=curve_panels(curves, trainers, styles),
        predictor=predictor_figures(results.predictor_card),
        provenance=provenance_rows(comparison.provenance, results.manifest),
        jobs=jobs_of(results.manifest),
        remarks=_remarks(results, remarks),
        versions=versions(),
    )


def _remarks(results: Results, image_remarks: Sequence[str]) -> list[str]:
    """The comparison repeats what the benchmark says; once is enough."""
    of_benchmark = (results.manifest or {}).get("remarks") or []
    return list(dict.fromkeys([*results.comparison.remarks, *map(str, of_benchmark), *results.remarks, *image_remarks]))


def _impact(results: Results, styles: Mapping[str, TrainerStyle]) -> BarChart:
    """As figure 2 of the paper: the primary metric of every case, sorted by the baseline's."""
    comparison = results.comparison
    metric, values = comparison.table.metrics[PRIMARY], comparison.table.values[PRIMARY]
    series = [
        BarSeries(title, styles[name], tuple(_shown(metric, values[name][case]) for case in comparison.order))
        for name, title in results.trainers.items()
    ]
    return BarChart(f"{metric.title} [{metric.unit}]", tuple(comparison.order), tuple(series))


def _shown(metric: Metric, value: float) -> float | None:
    return metric.scale * value if math.isfinite(value) else None
