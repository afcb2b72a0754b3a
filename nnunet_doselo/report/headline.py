"""The headline: means with intervals, and every trainer against the baseline, in a table and in words."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from nnunet_doselo.evaluation.comparison import Comparison, NoiseFloor, Summary
from nnunet_doselo.evaluation.metrics import PRIMARY, Metric
from nnunet_doselo.evaluation.p_values import SIGNIFICANT, smallest_p_holm
from nnunet_doselo.evaluation.paired_tests import PairedComparison

HEADLINE_METRICS = (
    PRIMARY,
    "rmae",
    "dose_score_gy",
    "dvh_score_gy",
    "gamma_pass_percent",
    "target_dice",
    "target_hd_mm",
    "target_hd95_mm",
    "target_fp_beyond_20mm_cc",
    "goals_lost",
)
"""Of the metrics, as far as they were measured; the table below it has all."""


@dataclass(frozen=True)
class Cell:
    """test: None for the baseline."""

    summary: Summary
    test: PairedComparison | None

    @property
    def has_run_std(self) -> bool:
        return math.isfinite(self.summary.run_std)


@dataclass(frozen=True)
class MetricRows:
    """One metric: a cell by trainer, and the noise floor where it was measured."""

    metric: Metric
    trainers: Mapping[str, Cell]
    noise_floor: NoiseFloor | None

    @property
    def in_headline(self) -> bool:
        return self.metric.key in HEADLINE_METRICS

    def smallest_p(self, name: str) -> float:
        """The lowest `p_holm` that this trainer's cases allow beside those of the others."""
        pairs = {other: cell.test.differing for other, cell in self.trainers.items() if cell.test and cell.test.cases}
        return dict(zip(pairs, smallest_p_holm([*pairs.values()]), strict=True))[name]


def metric_rows(comparison: Comparison, trainers: Mapping[str, str]) -> list[MetricRows]:
    """All metrics of the comparison: the headline's first, in its order. trainers: titles by name."""
    table, floor = comparison.table, comparison.noise_floor or {}
    keys = [key for key in HEADLINE_METRICS if key in table.metrics]
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
        f"{trainers[name]} against {trainers[baseline]}: {_compared(rows, name, cell.test, rows.trainers[baseline])}"
        for name, cell in rows.trainers.items()
        if cell.test
    ]


def _compared(rows: MetricRows, name: str, test: PairedComparison, baseline: Cell) -> str:
    metric = rows.metric
    if not math.isfinite(test.mean_difference):
        return f"no case has a value of {metric.title} for both."
    means = [_with_unit(metric.show(cell.summary.mean), metric.unit) for cell in (rows.trainers[name], baseline)]
    difference = _with_unit(signed(metric, test.mean_difference), metric.difference_unit)
    ends = interval(metric, test.interval.low, test.interval.high)
    return (
        f"{metric.title} {means[0]} instead of {means[1]}, mean difference {difference} {ends} over "
        f"{test.interval.over}, {p_text(test.p_holm)} with the networks as given; of {test.cases} cases "
        f"{test.better} better, {test.worse} worse. {_verdict(rows, name, test)}{_dropped(test)}"
    )


def _dropped(test: PairedComparison) -> str:
    if not (test.covers_runs and test.dropped_pairs):
        return ""
    return f" Left out: {test.dropped_pairs} pairs of run and case without a value."


def _verdict(rows: MetricRows, name: str, test: PairedComparison) -> str:
    """By the interval where it is over runs, too: another seed has to give the same answer. Else by the test."""
    floor = rows.noise_floor if rows.metric.lower_is_better else None  # an overlap's floor is 1
    if floor and 0 < abs(test.mean_difference) <= floor.mean:
        return "This is within the noise floor: no difference."
    smallest = rows.smallest_p(name)
    too_few = test.differing > 0 and smallest >= SIGNIFICANT
    shown = test.interval_excludes_zero and not too_few if test.covers_runs else test.p_holm < SIGNIFICANT
    if shown:
        return "Better." if (test.mean_difference < 0) == rows.metric.lower_is_better else "Worse."
    if too_few:
        several = sum(cell.test is not None for cell in rows.trainers.values())
        compared = f" and {several} trainers compared" if several > 1 else ""
        return (
            f"So few cases cannot show a difference: with {test.differing} that differ{compared}, "
            f"p cannot fall below {smallest:.3f}."
        )
    return "No difference is shown."


def _with_unit(text: str, unit: str) -> str:
    return f"{text} {unit}" if unit else text


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
