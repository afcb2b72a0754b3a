"""Several folders of contours on the same cases: means with intervals, paired tests against a baseline, noise floor.

Values of several runs are averaged by case; intervals are over runs and cases where several runs tested the same
cases, else over cases alone, see `crossed_bootstrap`.
"""

import os
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nnunet_doselo.common.errors import DoseloError

from .comparison_file import ComparedContours, Comparison, MetricTable, NoiseFloor, Summary, write_comparison
from .comparison_file import read_comparison as read_comparison
from .comparison_remarks import remarks_on_comparison
from .crossed_bootstrap import Runs, are_repeated, blocks_of, crossed_interval, run_std, what_intervals_cover
from .evaluation_file import CaseResult, Evaluation, read_evaluation
from .fold_seed import FoldSeed
from .intervals import bootstrap_interval
from .metrics import METRICS, OVERLAPS, PRIMARY, Metric, overlap_metric
from .paired_tests import PairedComparison, compare_trainers, mean_over_runs
from .same_evaluations import require_same
from .structure_metrics import error_metric

Loaded = Mapping[str, Mapping[FoldSeed, Evaluation]]
"""Evaluations by name of the contours, by run."""


def compare_evaluations(
    output: Path,
    contours: Mapping[str, Mapping[FoldSeed, Path]],
    *,
    baseline: str,
    titles: Mapping[str, str] | None = None,
    noise_floor: Path | None = None,
    remarks: Sequence[str] = (),
) -> Comparison:
    """Compare evaluation folders; writes comparison.json and comparison.csv to `output`.

    Parameters
    ----------
    contours: evaluation folder by name, by run (`FoldSeed()` for contours of no training).
    baseline: one of the names.
    titles: short ones by name, for tables; the names themselves if missing.
    noise_floor: evaluation folder of the true contours planned a second time.
    remarks: of the caller, listed first.

    Raises
    ------
    DoseloError: an unknown baseline; a folder that is no evaluation; evaluations of other cases, references, sources
        of dose or criteria than the baseline's.
    """
    if baseline not in contours:
        raise DoseloError(f"the baseline must be one of {', '.join(contours)}, found {baseline}")
    loaded = {name: {run: read_evaluation(path) for run, path in runs.items()} for name, runs in contours.items()}
    floor = read_evaluation(noise_floor) if noise_floor else None
    require_same(loaded, baseline, floor)
    table = metric_table(_headline(loaded), loaded, baseline, lambda case: case.scores)
    first = next(iter(loaded[baseline].values()))
    comparison = Comparison(
        dataset=first.dataset,
        dose=first.provenance["dose"],
        baseline=baseline,
        contours=[
            ComparedContours(name, (titles or {}).get(name, name), _relative(runs, output))
            for name, runs in contours.items()
        ],
        intervals_cover=_coverage(loaded[baseline]),
        order=by_impact(table.values[PRIMARY][baseline]),
        table=table,
        structures=metric_table(_of_structures(first), loaded, baseline, structure_errors),
        noise_floor=_floor(floor, table.metrics) if floor else None,
        remarks=[*remarks, *remarks_on_comparison(loaded, table.tests, table.metrics, floor)],
        provenance=_provenance(loaded, first),
    )
    write_comparison(output, comparison, loaded)
    return comparison


def metric_table(
    metrics: Sequence[Metric], loaded: Loaded, baseline: str, scores_of: Callable[[CaseResult], Mapping[str, float]]
) -> MetricTable:
    """Values, summaries and tests of some metrics; `scores_of` gives them for one case."""
    scores = {
        name: {run: {case.case: scores_of(case) for case in evaluation.cases} for run, evaluation in runs.items()}
        for name, runs in loaded.items()
    }
    runs = {metric.key: {name: _one_metric(metric.key, of) for name, of in scores.items()} for metric in metrics}
    return MetricTable(
        {metric.key: metric for metric in metrics},
        {key: {name: mean_over_runs(of) for name, of in named.items()} for key, named in runs.items()},
        {key: {name: summary(of) for name, of in named.items()} for key, named in runs.items()},
        {metric.key: _tests(runs[metric.key], baseline, metric) for metric in metrics},
    )


def summary(runs: Runs) -> Summary:
    """Of the mean by case; values that are not finite are left out."""
    finite = [value for value in mean_over_runs(runs).values() if np.isfinite(value)]
    blocks = blocks_of(runs)
    interval = crossed_interval(blocks) if are_repeated(blocks) else bootstrap_interval(np.array(finite))
    return Summary(
        mean=statistics.fmean(finite) if finite else float("nan"),
        median=statistics.median(finite) if finite else float("nan"),
        std=statistics.stdev(finite) if len(finite) > 1 else float("nan"),
        run_std=run_std(blocks),
        ci_low=interval.low,
        ci_high=interval.high,
        ci_method=interval.method,
        ci_over=interval.over,
        cases=len(finite),
    )


def by_impact(values: Mapping[str, float]) -> list[str]:
    """Cases by falling value of the primary metric; those without one last, equal ones by name."""
    return sorted(values, key=lambda case: (not np.isfinite(values[case]), -np.nan_to_num(values[case]), case))


def structure_errors(case: CaseResult) -> dict[str, float]:
    """Errors of every figure of each structure by STRUCTURE_FIGURE, beside the case's own scores."""
    errors = {
        f"{name}_{figure}": error for name, both in case.structures.items() for figure, error in both.errors().items()
    }
    return {**case.scores, **errors}


def _headline(loaded: Loaded) -> list[Metric]:
    """Those of `METRICS` that any case has."""
    evaluations = [evaluation for runs in loaded.values() for evaluation in runs.values()]
    known = {key for evaluation in evaluations for case in evaluation.cases for key in case.scores}
    return [metric for metric in METRICS if metric.key in known]


def _of_structures(evaluation: Evaluation) -> list[Metric]:
    """Overlaps of each target where there are several, then errors of structures that any case has."""
    targets = list(evaluation.dataset.target_gy)
    overlaps = [overlap_metric(name, key) for name in targets for key in OVERLAPS] if len(targets) > 1 else []
    figures = dict.fromkeys(
        (name, figure)
        for case in evaluation.cases
        for name, both in case.structures.items()
        for figure in both.reference
    )
    return overlaps + [error_metric(name, figure) for name, figure in figures]


def _coverage(evaluations: Mapping[FoldSeed, Evaluation]) -> str:
    """Which cases a run tested is the same for all metrics."""
    return what_intervals_cover(
        {run: dict.fromkeys((c.case for c in of.cases), 0.0) for run, of in evaluations.items()}
    )


def _one_metric(key: str, scores: Mapping[FoldSeed, Mapping[str, Mapping[str, float]]]) -> Runs:
    """From all scores by run, by case; NaN where a case lacks the metric."""
    return {run: {case: of.get(key, float("nan")) for case, of in cases.items()} for run, cases in scores.items()}


def _tests(runs: Mapping[str, Runs], baseline: str, metric: Metric) -> dict[str, PairedComparison]:
    others = {name: of for name, of in runs.items() if name != baseline}
    return compare_trainers(runs[baseline], others, lower_is_better=metric.lower_is_better)


def _floor(evaluation: Evaluation, metrics: Mapping[str, Metric]) -> dict[str, NoiseFloor]:
    floors = {}
    for key in metrics:
        finite = [case.score(key) for case in evaluation.cases if np.isfinite(case.score(key))]
        nothing = float("nan")
        floors[key] = NoiseFloor(
            statistics.fmean(finite) if finite else nothing, max(finite, default=nothing), len(finite)
        )
    return floors


def _relative(evaluations: Mapping[FoldSeed, Path], output: Path) -> dict[FoldSeed, str]:
    return {run: Path(os.path.relpath(path, output)).as_posix() for run, path in evaluations.items()}


def _provenance(loaded: Loaded, first: Evaluation) -> dict[str, Any]:
    """What all share, as the baseline's first evaluation has it, and where each got its contours and doses."""
    of_each_set = ("predictions", "evaluated_dose", "planner_remarks")
    return {
        **{key: value for key, value in first.provenance.items() if key not in (*of_each_set, "dose")},
        "contours": {
            name: {
                str(run): {key: evaluation.provenance[key] for key in of_each_set if key in evaluation.provenance}
                for run, evaluation in runs.items()
            }
            for name, runs in loaded.items()
        },
    }
