"""The headline: means with intervals, and every trainer against the baseline, in a table and in words."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from nnunet_doselo.evaluation.comparison import Comparison, NoiseFloor, Summary
from nnunet_doselo.evaluation.metrics import Metric
from nnunet_doselo.evaluation.paired_tests import PairedComparison

COLUMNS = (
    "rmae",
    "dvh_score_gy",
    "gamma_pass_percent",
    "target_dice",
    "target_hd_mm",
    "target_hd95_mm",
    "target_fp_beyond_20mm_cc",
    "goals_lost",
)
"""Of the metrics, as far as they were measured; the table below it has all."""
PRIMARY = "rmae"
ALPHA = 0.05


@dataclass(frozen=True)
class Cell:
    """test: None for the baseline."""

    summary: Summary
    test: PairedComparison | None


@dataclass(frozen=True)
class MetricRows:
    """One metric: a cell by trainer, and the noise floor where it was measured."""

    metric: Metric
    trainers: Mapping[str, Cell]
    noise_floor: NoiseFloor | None

    @property
    def in_headline(self) -> bool:
        return self.metric.key in COLUMNS


def metric_rows(comparison: Comparison, trainers: Mapping[str, str]) -> list[MetricRows]:
    """All metrics of the comparison: the headline's first, in its order. trainers: titles by name."""
    table, floor = comparison.table, comparison.noise_floor or {}
    keys = [key for key in COLUMNS if key in table.metrics]
    keys += [key for key in table.metrics if key not in keys]
    return [
        MetricRows(
            table.metrics[key],
            {name: Cell(table.summary[key][name], table.tests[key].get(name)) for name in trainers},
            floor.get(key),
        )
        for key in keys
    ]


def in_words(rows: MetricRows, trainers: Mapping[str, str], baseline: str) -> list[str]:
    """A sentence for every trainer but the baseline, on one metric."""
    return [
        _sentence(rows, trainers[name], trainers[baseline], cell, rows.trainers[baseline].summary)
        for name, cell in rows.trainers.items()
        if cell.test
    ]


def _sentence(rows: MetricRows, title: str, baseline: str, cell: Cell, reference: Summary) -> str:
    metric, test = rows.metric, cell.test
    assert test is not None  # the caller has sorted out the baseline
    if not math.isfinite(test.mean_difference):
        return f"{title} against {baseline}: no case has a value of {metric.title} for both."
    unit = f" {metric.unit}" if metric.unit else ""
    return (
        f"{title} against {baseline}: {metric.title} {metric.show(cell.summary.mean)}{unit} instead of "
        f"{metric.show(reference.mean)}{unit}, mean difference {signed(metric, test.mean_difference)} "
        f"{interval(metric, test.interval.low, test.interval.high)}, {p_text(test.p_holm)}; "
        f"{test.better} cases better, {test.worse} worse. {_verdict(rows, test)}"
    )


def _verdict(rows: MetricRows, test: PairedComparison) -> str:
    floor = rows.noise_floor if rows.metric.lower_is_better else None  # an overlap's floor is 1
    if floor and 0 < abs(test.mean_difference) <= floor.mean:
        return "This is within the noise floor: no difference."
    if not test.p_holm < ALPHA:
        return "No difference is shown."
    return "Better." if (test.mean_difference < 0) == rows.metric.lower_is_better else "Worse."


def signed(metric: Metric, value: float | None) -> str:
    """A difference with its sign, in the metric's digits; an en dash without a value."""
    if value is None or not math.isfinite(value):
        return "–"
    text = f"{metric.scale * value:+.{metric.digits}f}"
    return f"{0:.{metric.digits}f}" if float(text) == 0 else text.replace("-", "−")


def interval(metric: Metric, low: float | None, high: float | None) -> str:
    """[low, high] in the metric's digits; nothing where it is not defined."""
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return ""
    return f"[{metric.show(low)}, {metric.show(high)}]".replace("-", "−")


def p_text(p: float | None) -> str:
    if p is None or not math.isfinite(p):
        return "no test"
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
