"""comparison.json and comparison.csv: written whole, read back as they were."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from ..common.files import csv_bytes, json_bytes, nan_for_none, read_json, replace_files
from .evaluation_file import EvaluatedDataset, Evaluation
from .intervals import Interval
from .metrics import Metric
from .paired_tests import PairedComparison
from .result_files import COMPARISON_FILE, COMPARISON_FORMAT, COMPARISON_TABLE_FILE, EVALUATED_BY

INTERVAL_KEYS = {"low": "ci_low", "high": "ci_high", "confidence": "ci_confidence", "method": "ci_method"}


@dataclass(frozen=True)
class ComparedContours:
    """evaluations: folder by fold, relative to the comparison's own; fold "" where there are none."""

    name: str
    title: str
    evaluations: Mapping[str, str]


@dataclass(frozen=True)
class Summary:
    """One metric over the `cases` where it is finite; interval of the mean, 95 %. NaN where not defined."""

    mean: float
    median: float
    std: float
    ci_low: float
    ci_high: float
    ci_method: str
    cases: int


@dataclass(frozen=True)
class MetricTable:
    """Everything by key of the metric, then by name of the contours; `values` then by case, mean over folds.

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
    """order: cases by dosimetric impact, the baseline's union RMAE, falling. structures: errors of every figure of
    each structure, and the overlap of each target where there are several."""

    dataset: EvaluatedDataset
    dose: Mapping[str, Any]
    baseline: str
    contours: Sequence[ComparedContours]
    order: Sequence[str]
    table: MetricTable
    structures: MetricTable
    noise_floor: Mapping[str, NoiseFloor] | None
    remarks: Sequence[str]
    provenance: Mapping[str, Any]


def write_comparison(folder: Path, comparison: Comparison, loaded: Mapping[str, Mapping[str, Evaluation]]) -> None:
    """Both files together; the table has one row for each case of each fold of each set of contours."""
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
        contours=[ComparedContours(**entry) for entry in content["contours"]],
        order=content["order"],
        table=_read_table(content),
        structures=_read_table(content["structures"]),
        noise_floor=None if floor is None else {key: NoiseFloor(**nan_for_none(entry)) for key, entry in floor.items()},
        remarks=content["remarks"],
        provenance=content["provenance"],
    )


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


def _csv(loaded: Mapping[str, Mapping[str, Evaluation]]) -> bytes:
    rows = [
        (name, fold, case)
        for name, of in loaded.items()
        for fold, evaluation in of.items()
        for case in evaluation.cases
    ]
    metrics = list(dict.fromkeys(metric for _, _, case in rows for metric in case.scores))
    cells = ([name, fold, case.case, *(case.score(metric) for metric in metrics)] for name, fold, case in rows)
    return csv_bytes(["contours", "fold", "case", *metrics], cells)
