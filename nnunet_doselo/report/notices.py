"""What a reader must know before any number: patients that are none, and trainings that ended early."""

from collections.abc import Mapping
from typing import Any

SHORT = 0.05
"""Of the iterations of nnU-Net's own training; the paper's 20 000 are 8 %."""


def notices_of(manifest: Mapping[str, Any] | None) -> list[str]:
    """Sentences for the top of the page, from a benchmark's manifest; none without one.

    >>> nnunet = {"epochs": 1000, "iterations": 250}
    >>> for notice in notices_of(
    ...     {"synthetic": True, "nnunets_length": nnunet, "trainings": [{"epochs": 10, "iterations": 60}]}
    ... ):
    ...     print(notice)
    Synthetic patients: drawn by a program, so that nothing here says how good a trainer is on real ones.
    Few iterations: trained for 10 epochs of 60 iterations, where nnU-Net trains for 1000 epochs of 250.
    """
    manifest = manifest or {}
    notices = []
    if manifest.get("synthetic") is True:
        notices.append(
            "Synthetic patients: drawn by a program, so that nothing here says how good a trainer is on real ones."
        )
    usual = manifest.get("nnunets_length") or {}
    trainings = [training for training in manifest.get("trainings") or () if _iterations(training)]
    shortest = min(trainings, key=_iterations, default=None)
    if shortest and _iterations(shortest) < SHORT * _iterations(usual):
        notices.append(
            f"Few iterations: trained for {shortest['epochs']} epochs of {shortest['iterations']} iterations, where "
            f"nnU-Net trains for {usual['epochs']} epochs of {usual['iterations']}."
        )
    return notices


def _iterations(length: Mapping[str, Any]) -> int:
    """Batches in all; 0 if that is not known."""
    return (length.get("epochs") or 0) * (length.get("iterations") or 0)
