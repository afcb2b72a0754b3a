"""The tables of a study, as Markdown: python benchmarks/study_tables.py WORK/trainers [--pair DOSELO,BCE ...]

WORK/trainers is a folder that `doselo benchmark` or `doselo evaluate` wrote. Printed are means with their 95 %
intervals, the change of the union RMAE against the baseline, means by fold, and any two trainers against each other,
named as in the tables.
"""

import csv
import math
import statistics
from pathlib import Path
from typing import Annotated

import typer

from nnunet_doselo.evaluation.comparison_file import ComparedContours, Comparison, Summary, read_comparison
from nnunet_doselo.evaluation.metrics import BY_KEY, PRIMARY, Metric
from nnunet_doselo.evaluation.paired_tests import compare_paired

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
        "p (Holm)",
        "worse, better of",
    ]
    rows = []
    for contours in comparison.contours:
        cells = [_interval(comparison.table.summary[metric.key][contours.name], metric) for metric in metrics]
        rows.append([contours.title, *cells, *_to_baseline(comparison, contours.name)])
    return _markdown(head, rows)


def by_fold(comparison: Comparison, folder: Path, key: str = PRIMARY) -> str:
    """Means of one metric by fold: how much a trainer differs from itself."""
    metric, folds = comparison.table.metrics[key], list(comparison.contours[0].evaluations)
    rows = []
    for contours in comparison.contours:
        means = [_mean_of(folder / contours.evaluations[fold] / "scores.csv", key) for fold in folds]
        rows.append([contours.title, *(_number(mean, metric) for mean in means)])
    return _markdown([_titled(metric), *(f"fold {fold}" for fold in folds)], rows)


def pairs(comparison: Comparison, wanted: list[tuple[str, str]]) -> str:
    """Each first against its second, patient by patient; not corrected for their number."""
    named = {contours.title: contours for contours in comparison.contours}
    rows = [
        _pair(comparison, named[first], named[second], comparison.table.metrics[key])
        for first, second in wanted
        for key in PAIRED
    ]
    return _markdown(["compared", "metric", "mean difference", "p", "better, worse of"], rows)


def _pair(comparison: Comparison, first: ComparedContours, second: ComparedContours, metric: Metric) -> list[str]:
    values = comparison.table.values[metric.key]
    found = compare_paired(values[second.name], values[first.name], lower_is_better=metric.better == "lower")
    ends = f"{_number(found.interval.low, metric, 1)} to {_number(found.interval.high, metric, 1)}"
    difference = f"{_number(found.mean_difference, metric, 1)} ({ends})"
    counts = f"{found.better}, {found.worse} of {found.cases}"
    return [f"{first.title} less {second.title}", _titled(metric), difference, f"{found.p_value:.2g}", counts]


def _to_baseline(comparison: Comparison, name: str) -> list[str]:
    if name == comparison.baseline:
        return ["", "", ""]
    test, means = comparison.table.tests[PRIMARY][name], comparison.table.summary[PRIMARY]
    change = means[name].mean / means[comparison.baseline].mean - 1
    return [f"{100 * change:+.1f} %", f"{test.p_holm:.2g}", f"{test.worse}, {test.better} of {test.cases}"]


def _interval(summary: Summary, metric: Metric) -> str:
    if math.isnan(summary.mean):
        return "–"
    mean, low, high = (_number(value, metric) for value in (summary.mean, summary.ci_low, summary.ci_high))
    return f"{mean} ({low} to {high})"


def _mean_of(scores: Path, key: str) -> float:
    with scores.open(newline="") as file:
        return statistics.fmean(float(row[key]) for row in csv.DictReader(file))


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
    print(by_fold(comparison, folder))
    if wanted:
        print(pairs(comparison, wanted))


if __name__ == "__main__":
    typer.run(main)
