"""What `doselo evaluate` prints: metrics by contours, lost goals, remarks."""

import math
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from .shared import console, plain

if TYPE_CHECKING:
    from nnunet_doselo.evaluation.comparison_file import Comparison
    from nnunet_doselo.evaluation.metrics import Metric

HEADER = ("metric", "contours", "mean [95 % CI]", "difference [95 % CI]", "p (Holm)", "better / worse cases")
WIDEST = 500
ARROWS = {"lower": "↓", "higher": "↑"}


def print_comparison(comparison: "Comparison", output: Path) -> None:
    """Tables and remarks on the console; the files in `output` say more."""
    for table in (comparison_table(comparison), *lost_goals_tables(comparison, output)):
        _print(table)
    for remark in comparison.remarks:
        console.print(f"- {plain(remark)}")
    console.print(f"dose: {plain(comparison.dose['says'])}")


def _print(table: Table) -> None:
    """Folded to fit a terminal; in a log, which has no width, as wide as it is."""
    (console if console.is_terminal else Console(file=console.file, width=WIDEST)).print(table)


def comparison_table(comparison: "Comparison") -> Table:
    """One row for each metric of each set of contours; the arrow says which way is better."""
    several = len(comparison.contours) > 1
    title = f"{len(comparison.order)} cases" + (f"; differences to {comparison.baseline}, by case" if several else "")
    says = [f"CI over {comparison.intervals_cover}."]
    if several:
        says.append(
            f"Differences are contours less {comparison.baseline}: below 0 is better where the arrow points down."
        )
        says.append("p takes the networks as given.")
    table = Table(*(HEADER if several else HEADER[:3]), title=plain(title), caption=plain("\n".join(says)))
    for key, metric in comparison.table.metrics.items():
        for number, contours in enumerate(comparison.contours):
            first = f"{metric.title} {metric.unit} {ARROWS[metric.better]}".replace("  ", " ") if not number else ""
            mean = comparison.table.summary[key][contours.name]
            cells = [first, plain(contours.title), _with_interval(metric, mean.mean, mean.ci_low, mean.ci_high)]
            table.add_row(*cells, *(_test(comparison, key, contours.name) if several else ()))
        if several:
            table.add_section()
    return table


def _test(comparison: "Comparison", key: str, name: str) -> list[str]:
    test = comparison.table.tests[key].get(name)
    if test is None:
        return ["baseline", "", ""]
    metric, interval = comparison.table.metrics[key], test.interval
    difference = _with_interval(metric, test.mean_difference, interval.low, interval.high, sign="+")
    p_value = "–" if math.isnan(test.p_holm) else f"{test.p_holm:.2g}"
    return [difference, p_value, f"{test.better} / {test.worse} of {test.cases}"]


def _with_interval(metric: "Metric", value: float, low: float, high: float, sign: str = "") -> str:
    shown = [
        f"{metric.scale * number:{sign}.{metric.digits}f}" for number in (value, low, high) if not math.isnan(number)
    ]
    if len(shown) < 3:
        return shown[0] if shown else "–"
    return plain(f"{shown[0]} [{shown[1]}, {shown[2]}]")


def lost_goals_tables(comparison: "Comparison", output: Path) -> list[Table]:
    """One table of the goals that any set loses, with the number of cases; none without goals."""
    from nnunet_doselo.evaluation.evaluation_file import read_evaluation

    lost: dict[tuple[str, str], Counter[str]] = {}
    met: Counter[tuple[str, str]] = Counter()
    for number, contours in enumerate(comparison.contours):
        for folder in contours.evaluations.values():
            for row in (row for case in read_evaluation(output / folder).cases for row in case.goals):
                goal = row.structure, row.goal
                met[goal] += not number and row.reference_verdict == "met"
                if row.lost:
                    lost.setdefault(goal, Counter())[contours.name] += 1
    if not met:
        return []
    names = [contours.name for contours in comparison.contours]
    table = Table("structure", "goal", "met by reference", *(f"lost by {plain(name)}" for name in names))
    for goal in sorted(lost):
        table.add_row(*goal, str(met[goal]), *(str(lost[goal][name]) for name in names))
    table.title = "Clinical goals that the reference's dose meets" if lost else "No clinical goal is lost"
    return [table]
