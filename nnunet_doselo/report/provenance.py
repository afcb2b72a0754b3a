"""Where everything comes from, as rows of two columns; whatever JSON holds can be shown."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nnunet_doselo.common.sensitivity import sensitivity_line

FIRST = ("command", "created", "dataset", "configuration", "plans", "folds", "trainers", "split", "seeds", "same")
LEFT_OUT = ("format", "jobs", "remarks", "planner_remarks")
"""Shown elsewhere: jobs in their own table, remarks in their own section."""


@dataclass(frozen=True)
class JobLine:
    """seconds: None where it was not measured."""

    name: str
    kind: str
    status: str
    seconds: float | None
    hardware: str
    error: str


@dataclass(frozen=True)
class SensitivityLine:
    """Figures of one kind of edit; None where not defined."""

    kind: str
    edits: int | None
    r: float | None
    slope: float | None
    voxel_r: float | None


@dataclass(frozen=True)
class PredictorFigures:
    """The dose predictor's card. verdict: how far to trust it, in a sentence."""

    verdict: str
    sensitivity: tuple[SensitivityLine, ...]
    rows: tuple[tuple[str, str], ...]


def provenance_rows(comparison: Mapping[str, Any], manifest: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    """The benchmark's manifest, if there is one, then what the evaluations say of themselves."""
    whole = dict(manifest or {})
    ordered = {key: whole[key] for key in FIRST if key in whole} | whole
    return [*rows_of(ordered), *rows_of(comparison, "evaluation")]


def rows_of(content: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """One row a value; a list, or a mapping of plain values, is one row. Nested names are joined by slashes."""
    rows = []
    for key, value in content.items():
        if isinstance(value, Mapping):
            value = {name: entry for name, entry in value.items() if _is_shown(name, entry)}
        words = _words(key)
        name = f"{prefix} / {words}" if prefix else words
        if not _is_shown(key, value):
            continue
        if isinstance(value, Mapping) and any(isinstance(entry, Mapping) for entry in value.values()):
            rows += rows_of(value, name)
        elif isinstance(value, list) and all(isinstance(entry, Mapping) for entry in value):
            rows += [(f"{name} {number}", _text(entry)) for number, entry in enumerate(value, start=1)]
        else:
            rows.append((name, _text(value)))
    return rows


def _words(key: str) -> str:
    """Names of trainers, which have capitals, stay as they are."""
    return key.replace("_", " ") if key.islower() else key


def _is_shown(key: str, value: Any) -> bool:
    return key not in LEFT_OUT and value not in (None, "", {}, [])


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{_words(key)} {_text(entry)}" for key, entry in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "; ".join(map(_text, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def jobs_of(manifest: Mapping[str, Any] | None) -> list[JobLine]:
    """The benchmark's jobs in its order."""
    return [_job(job) for job in (manifest or {}).get("jobs") or ()]


def _job(content: Mapping[str, Any]) -> JobLine:
    texts = {key: _text(content.get(key) or "") for key in ("name", "kind", "status", "hardware", "error")}
    seconds = content.get("seconds")
    return JobLine(seconds=None if seconds is None else float(seconds), **texts)


def predictor_figures(card: Mapping[str, Any] | None) -> PredictorFigures | None:
    """None without a card."""
    if card is None:
        return None
    sensitivity = card.get("sensitivity")
    lines = [_line("all", sensitivity)] if sensitivity else []
    lines += [_line(kind, figures) for kind, figures in ((sensitivity or {}).get("kinds") or {}).items()]
    rest = {key: value for key, value in card.items() if key != "sensitivity"}
    return PredictorFigures(sensitivity_line(sensitivity), tuple(lines), tuple(_card_rows(rest)))


def _card_rows(card: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    first = ("axes", "spacing_mm", "validation", "target_gy")
    return rows_of({key: card[key] for key in first if key in card} | dict(card))


def _line(kind: str, figures: Mapping[str, Any]) -> SensitivityLine:
    return SensitivityLine(kind, *(figures.get(key) for key in ("edits", "r", "slope", "voxel_r")))
