"""The tables of a study, as Markdown: python benchmarks/study_tables.py WORK/trainers [--pair DOSELO,BCE ...]

WORK/trainers is a folder that `doselo benchmark` or `doselo evaluate` wrote. Printed are means with their 95 %
intervals and the standard deviation from run to run, the change of the union RMAE against the baseline, means by run,
and any two trainers against each other, named as in the tables.
"""

import math
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from nnunet_doselo.evaluation.comparison_file import Comparison, Summary, read_comparison, read_metric_by_run
from nnunet_doselo.evaluation.metrics import BY_KEY, PRIMARY, Metric
from nnunet_doselo.evaluation.paired_tests import PairedComparison, compare_trainers

SHOWN = (
    PRIMARY,
    "rmae",
    "dose_score_gy",
    "gamma_pass_percent",
    "target_dice",
    "target_hd95_mm",
    "target_fp_beyond_20mm_cc",
    "islands",
)
PAIRED = (PRIMARY, "rmae", "dose_score_gy", "target_dice", "target_fp_beyond_20mm_cc")


def headline(comparison: Comparison) -> str:
    """Every trainer's means; of the primary one the change to the baseline, its test, how many patients got worse."""
    metrics = [comparison.table.metrics[key] for key in SHOWN]
    head = [
        "trainer",
        *(_titled(metric) for metric in metrics),
        f"{BY_KEY[PRIMARY].title} to baseline",
        "95 % interval of the difference",
        "p (Holm), networks as given",
        "worse, better of",
    ]
    rows = []
    for contours in comparison.contours:
        cells = [_interval(comparison.table.summary[metric.key][contours.name], metric) for metric in metrics]
        rows.append([contours.title, *cells, *_to_baseline(comparison, contours.name)])
    says = f"Intervals: 95 %, {comparison.intervals_cover}; ±: standard deviation from run to run.\n\n"
    return says + _markdown(head, rows)


def by_run(comparison: Comparison, folder: Path, key: str = PRIMARY) -> str:
    """Means of one metric by run: how much a trainer differs from itself."""
    metric, runs = comparison.table.metrics[key], read_metric_by_run(folder, key)
    rows = []
    for contours in comparison.contours:
        means = [_mean_of(cases) for cases in runs[contours.name].values()]
        rows.append([contours.title, *(_number(mean, metric) for mean in means)])
    return _markdown([_titled(metric), *map(str, comparison.contours[0].evaluations)], rows)


def pairs(comparison: Comparison, folder: Path, wanted: list[tuple[str, str]]) -> str:
    """Each first against its second, run by run and patient by patient; not corrected for their number."""
    named = {contours.title: contours.name for contours in comparison.contours}
    rows = []
    for first, second in wanted:
        for key in PAIRED:
            metric, runs = comparison.table.metrics[key], read_metric_by_run(folder, key)
            other = {first: runs[named[first]]}
            test = compare_trainers(runs[named[second]], other, lower_is_better=metric.lower_is_better)[first]
            rows.append([f"{first} less {second}", _titled(metric), *_pair(test, metric)])
    return _markdown(["compared", "metric", "mean difference", "p", "better, worse of"], rows)


def _pair(test: PairedComparison, metric: Metric) -> list[str]:
    difference = f"{_number(test.mean_difference, metric, 1)} ({_ends(test, metric)})"
    return [difference, f"{test.p_value:.2g}", f"{test.better}, {test.worse} of {test.cases}"]


def _ends(test: PairedComparison, metric: Metric) -> str:
    return f"{_number(test.interval.low, metric, 1)} to {_number(test.interval.high, metric, 1)}"


def _to_baseline(comparison: Comparison, name: str) -> list[str]:
    if name == comparison.baseline:
        return ["", "", "", ""]
    test, means = comparison.table.tests[PRIMARY][name], comparison.table.summary[PRIMARY]
    change = means[name].mean / means[comparison.baseline].mean - 1
    ends = _ends(test, comparison.table.metrics[PRIMARY])
    return [f"{100 * change:+.1f} %", ends, f"{test.p_holm:.2g}", f"{test.worse}, {test.better} of {test.cases}"]


def _interval(summary: Summary, metric: Metric) -> str:
    if math.isnan(summary.mean):
        return "–"
    mean, low, high = (_number(value, metric) for value in (summary.mean, summary.ci_low, summary.ci_high))
    from_run_to_run = "" if math.isnan(summary.run_std) else f" ± {_number(summary.run_std, metric)}"
    return f"{mean}{from_run_to_run} ({low} to {high})"


def _mean_of(cases: Mapping[str, float]) -> float:
    finite = [value for value in cases.values() if math.isfinite(value)]
    return statistics.fmean(finite) if finite else math.nan


def _titled(metric: Metric) -> str:
    return f"{metric.title}, {metric.unit}" if metric.unit else metric.title


def _number(value: float, metric: Metric, more_digits: int = 0) -> str:
    return f"{value * metric.scale:.{metric.digits + more_digits}f}"


def _markdown(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def main(
    folder: Path,
    pair: Annotated[
        list[str] | None, typer.Option(help="FIRST,SECOND as the tables name them; may be repeated.")
    ] = None,
) -> None:
    """Print all tables of one comparison."""
    comparison = read_comparison(folder)
    wanted = []
    for one in pair or []:
        first, second = one.split(",")
        wanted.append((first, second))
    print(headline(comparison))
    print(by_run(comparison, folder))
    if wanted:
        print(pairs(comparison, folder, wanted))


if __name__ == "__main__":
    typer.run(main)
