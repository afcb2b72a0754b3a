"""Training curves as panels of lines, the mean over the folds of a trainer."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from .charts import Line, LinePanel
from .styles import TrainerStyle

Curves = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""By trainer, by fold: lists by name, one value an epoch."""
PANELS = (
    ("Dice of validation patches", "moving average", "ema_dice", None),
    ("Loss", "nnU-Net's units", "val_loss", "train_loss"),
    ("Dose term", "(dose / Rx)²", "val_dose_term", "train_dose_term"),
    ("Dose error", "Gy, root mean square", "val_dose_rms_gy", "train_dose_rms_gy"),
)
"""Title, unit, what is drawn, and what is drawn thin beside it."""


def curve_panels(curves: Curves, titles: Mapping[str, str], styles: Mapping[str, TrainerStyle]) -> list[LinePanel]:
    """Panels that have a line, in the order of `PANELS`; trainers without a dose term have no line there."""
    panels = []
    for title, unit, main, beside in PANELS:
        found = {
            (name, key): mean_over_epochs(folds, key) for name, folds in curves.items() for key in (main, beside) if key
        }
        lines = [
            Line(titles[name], styles[name], tuple(range(1, len(values) + 1)), values, faint=key == beside)
            for (name, key), values in found.items()
            if any(value is not None for value in values)
        ]
        if lines:
            panels.append(LinePanel(title, "epoch", unit, tuple(lines)))
    return panels


def mean_over_epochs(folds: Mapping[str, Mapping[str, Any]], key: str) -> tuple[float | None, ...]:
    """Mean over the folds by epoch, None where one of them has no value; as long as the shortest fold."""
    several: Sequence[Sequence[float | None]] = [fold[key] for fold in folds.values() if fold.get(key)]
    return tuple(_mean(at) for at in zip(*several, strict=False))


def _mean(values: Sequence[float | None]) -> float | None:
    there = [value for value in values if value is not None]
    return statistics.fmean(there) if len(there) == len(values) else None
