"""Scores on disk: one row per case in scores.csv, and summary.json with where every number comes from."""

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.common.files import csv_bytes, replace_files

SCORES_FILE = "scores.csv"
SUMMARY_FILE = "summary.json"


@dataclass(frozen=True)
class CaseScores:
    """One case's metrics by name, unit included ("union_rmae", "hd95_mm", "Eye_L_dmean_gy"); NaN where not defined."""

    case: str
    scores: Mapping[str, float]

    def score(self, metric: str) -> float:
        """NaN for a metric that this case lacks, an organ that was not contoured for instance."""
        return float(self.scores.get(metric, math.nan))


@dataclass(frozen=True)
class MetricSummary:
    """One metric over the cases where it is finite; the others are named, never silently left out.

    `mean` and `median` are None without a finite case, `std` (n - 1 in the denominator) with fewer than two.
    """

    mean: float | None
    median: float | None
    std: float | None
    finite_cases: int
    not_finite: list[str]


def summarise_scores(rows: Sequence[CaseScores]) -> dict[str, MetricSummary]:
    """Summary by metric, in the order in which the metrics first appear in `rows`."""
    return {metric: _summary(rows, metric) for metric in _metrics(rows)}


def write_scores(
    folder: Path,
    rows: Sequence[CaseScores],
    provenance: Mapping[str, Any],
    overall: Mapping[str, Any] | None = None,
) -> None:
    """Write `scores.csv` and `summary.json` into `folder`, which is made if missing; earlier reports are replaced.

    Parameters
    ----------
    rows: one per case, in the order they are to be listed. Columns come in the order of first appearance; where
        a case lacks a metric, or its value is not defined, the cell says nan.
    provenance: copied into summary.json: versions, hashes, thresholds, and where the evaluated dose comes from.
    overall: scores of the cohort that are no mean over its cases; copied into summary.json as "overall".

    Raises
    ------
    DoseloError: no rows, a case listed twice, or provenance or overall scores that JSON cannot hold (NaN
        included). Nothing is written then.
    """
    replace_files(scores_files(folder, rows, provenance, overall))


def scores_files(
    folder: Path,
    rows: Sequence[CaseScores],
    provenance: Mapping[str, Any],
    overall: Mapping[str, Any] | None = None,
) -> dict[Path, bytes]:
    """What `write_scores` writes, for `replace_files` together with other files; raises as it does."""
    cases = [row.case for row in rows]
    twice = sorted({case for case in cases if cases.count(case) > 1})
    if not rows or twice:
        raise DoseloError(f"{folder}: a report needs each case once, found {'no cases' if not rows else twice}")
    metrics = _metrics(rows)
    cells = ([row.case, *(row.score(metric) for metric in metrics)] for row in rows)
    return {
        folder / SCORES_FILE: csv_bytes(["case", *metrics], cells),
        folder / SUMMARY_FILE: _json_text(rows, provenance, overall).encode(),
    }


def _metrics(rows: Sequence[CaseScores]) -> list[str]:
    return list(dict.fromkeys(metric for row in rows for metric in row.scores))


def _summary(rows: Sequence[CaseScores], metric: str) -> MetricSummary:
    finite = [row.score(metric) for row in rows if math.isfinite(row.score(metric))]
    return MetricSummary(
        mean=statistics.fmean(finite) if finite else None,
        median=statistics.median(finite) if finite else None,
        std=statistics.stdev(finite) if len(finite) > 1 else None,
        finite_cases=len(finite),
        not_finite=[row.case for row in rows if not math.isfinite(row.score(metric))],
    )


def _json_text(rows: Sequence[CaseScores], provenance: Mapping[str, Any], overall: Mapping[str, Any] | None) -> str:
    summary = {
        "cases": len(rows),
        **({"overall": dict(overall)} if overall else {}),
        "metrics": {metric: asdict(summary) for metric, summary in summarise_scores(rows).items()},
        "provenance": dict(provenance),
    }
    try:
        return json.dumps(summary, indent=2, allow_nan=False) + "\n"
    except (TypeError, ValueError) as error:
        raise DoseloError(
            f"provenance and overall scores must hold what JSON can (text, numbers, lists, mappings): {error}"
        ) from error
