"""comparison.json and comparison.csv: written whole, read back as they were."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from ..common.errors import DoseloError
from ..common.files import csv_bytes, json_bytes, nan_for_none, read_json, replace_files
from .evaluation_file import EvaluatedDataset, Evaluation
from .fold_seed import FoldSeed
from .intervals import Interval
from .metrics import Metric
from .paired_tests import PairedComparison
from .result_files import COMPARISON_FILE, COMPARISON_FORMAT, COMPARISON_TABLE_FILE, EVALUATED_BY

INTERVAL_KEYS = {
    "low": "ci_low",
    "high": "ci_high",
    "confidence": "ci_confidence",
    "method": "ci_method",
    "over": "ci_over",
}


@dataclass(frozen=True)
class ComparedContours:
    """evaluations: folder by run, relative to the comparison's own."""

    name: str
    title: str
    evaluations: Mapping[FoldSeed, str]


@dataclass(frozen=True)
class Summary:
    """One metric over the `cases` where it is finite; interval of the mean, 95 %. NaN where not defined.

    std: over cases. run_std: of a run's mean from run to run, NaN unless several runs tested the same cases.
    ci_over: what the interval takes as drawn by chance, see `intervals.Interval`.
    """

    mean: float
    median: float
    std: float
    run_std: float
    ci_low: float
    ci_high: float
    ci_method: str
    ci_over: str
    cases: int


@dataclass(frozen=True)
class MetricTable:
    """Everything by key of the metric, then by name of the contours; `values` then by case, mean over runs.

    tests: of all but the baseline against it.
    """

    metrics: Mapping[str, Metric]
    values: Mapping[str, Mapping[str, Mapping[str, float]]]
    summary: Mapping[str, Mapping[str, Summary]]
    tests: Mapping[str, Mapping[str, PairedComparison]]


@dataclass(frozen=True)
class NoiseFloor:
    """One metric of the true contours, planned twice alike, over the cases where it is finite."""

    mean: float
    max: float
    cases: int


@dataclass(frozen=True)
class Comparison:
    """intervals_cover: in words, runs and patients or patients only. order: cases by dosimetric impact, the baseline's
    union RMAE, falling. structures: errors of every figure of each structure, and the overlap of each target where
    there are several."""

    dataset: EvaluatedDataset
    dose: Mapping[str, Any]
    baseline: str
    contours: Sequence[ComparedContours]
    intervals_cover: str
    order: Sequence[str]
    table: MetricTable
    structures: MetricTable
    noise_floor: Mapping[str, NoiseFloor] | None
    remarks: Sequence[str]
    provenance: Mapping[str, Any]


def write_comparison(folder: Path, comparison: Comparison, loaded: Mapping[str, Mapping[FoldSeed, Evaluation]]) -> None:
    """Both files together; the table has one row for each case of each run of each set of contours."""
    content: dict[str, Any] = {"format": COMPARISON_FORMAT}
    for field in fields(comparison):
        value = getattr(comparison, field.name)
        if field.name == "table":
            content |= _table(value)
        else:
            content[field.name] = _table(value) if isinstance(value, MetricTable) else value
    replace_files(
        {folder / COMPARISON_FILE: json_bytes(content, indent=1), folder / COMPARISON_TABLE_FILE: _csv(loaded)}
    )


def read_comparison(folder: Path) -> Comparison:
    """What `write_comparison` wrote.

    Raises
    ------
    DoseloError: no comparison.json, not JSON, or another format.
    """
    content = read_json(folder / COMPARISON_FILE, EVALUATED_BY, file_format=COMPARISON_FORMAT)
    floor = content["noise_floor"]
    return Comparison(
        dataset=EvaluatedDataset(**content["dataset"]),
        dose=content["dose"],
        baseline=content["baseline"],
        contours=[_contours(entry) for entry in content["contours"]],
        intervals_cover=content["intervals_cover"],
        order=content["order"],
        table=_read_table(content),
        structures=_read_table(content["structures"]),
        noise_floor=None if floor is None else {key: NoiseFloor(**nan_for_none(entry)) for key, entry in floor.items()},
        remarks=content["remarks"],
        provenance=content["provenance"],
    )


def read_metric_by_run(folder: Path, key: str) -> dict[str, dict[FoldSeed, dict[str, float]]]:
    """One metric by name of the contours, by run, by case: as comparison.csv has it, NaN where it is not defined.

    Raises
    ------
    DoseloError: no comparison.csv, or one without that metric.
    """
    file = folder / COMPARISON_TABLE_FILE
    if not file.exists():
        raise DoseloError(f"{file}: no such file; it is written by `{EVALUATED_BY}`")
    runs: dict[str, dict[FoldSeed, dict[str, float]]] = {}
    with file.open(newline="") as lines:
        for row in csv.DictReader(lines):
            if key not in row:
                raise DoseloError(f"{file}: must have the column {key}, found {', '.join(row)}")
            run = FoldSeed(*(int(row[name]) if row[name] else None for name in ("fold", "seed")))
            runs.setdefault(row["contours"], {}).setdefault(run, {})[row["case"]] = float(row[key])
    return runs


def _contours(content: Mapping[str, Any]) -> ComparedContours:
    evaluations = {FoldSeed.parse(run): folder for run, folder in content["evaluations"].items()}
    return ComparedContours(content["name"], content["title"], evaluations)


def _table(table: MetricTable) -> dict[str, Any]:
    tests = {key: {name: _flat(test) for name, test in of.items()} for key, of in table.tests.items()}
    return {"metrics": table.metrics, "values": table.values, "summary": table.summary, "tests": tests}


def _read_table(content: Mapping[str, Any]) -> MetricTable:
    return MetricTable(
        {key: Metric(**entry) for key, entry in content["metrics"].items()},
        {key: {name: nan_for_none(cases) for name, cases in of.items()} for key, of in content["values"].items()},
        {
            key: {name: Summary(**nan_for_none(entry)) for name, entry in of.items()}
            for key, of in content["summary"].items()
        },
        {key: {name: _test(entry) for name, entry in of.items()} for key, of in content["tests"].items()},
    )


def _flat(test: PairedComparison) -> dict[str, Any]:
    values = asdict(test)
    interval = values.pop("interval")
    return values | {flat: interval[name] for name, flat in INTERVAL_KEYS.items()}


def _test(content: Mapping[str, Any]) -> PairedComparison:
    values = nan_for_none(content)
    interval = Interval(**{name: values.pop(flat) for name, flat in INTERVAL_KEYS.items()})
    return PairedComparison(**{**values, "dropped": tuple(content["dropped"])}, interval=interval)


def _csv(loaded: Mapping[str, Mapping[FoldSeed, Evaluation]]) -> bytes:
    rows = [
        (name, run, case) for name, of in loaded.items() for run, evaluation in of.items() for case in evaluation.cases
    ]
    metrics = list(dict.fromkeys(metric for _, _, case in rows for metric in case.scores))
    cells = ([name, run.fold, run.seed, case.case, *map(case.score, metrics)] for name, run, case in rows)
    return csv_bytes(["contours", "fold", "seed", "case", *metrics], cells)
