"""How far to trust a predictor's answer to a wrong contour, as its card tells it.

`PredictorCard.sensitivity` is None until `doselo sensitivity` has measured it, then a mapping of

    cases, edits        how many patients, and how many edited contours of theirs
    r, slope            over the edits: predicted on planned mean absolute dose change in the body
    voxel_r             mean over the edits: r of predicted with planned dose change, voxel by voxel
    kinds               by kind of edit: edits, r, slope, voxel_r of that kind
    island              of added islands whose planned dose rises: edits, planned_rise_gy, predicted_rise_gy (mean dose
                        change in the island), share_raised (those where at least half of the planned rise is
                        predicted); None without any
    engine, seed        of the planner, and of the edits

A figure that is not defined (fewer than three edits, or nothing changes) is None. r alone can be high for a predictor
that knows how much target there is and not where: voxel_r and the island tell, and stand beside it.
"""

from collections.abc import Mapping
from typing import Any

SENSITIVE_FROM_R = 0.7
"""Below it, less than half (r squared) of the planned dose change is explained by the predicted one."""
ISLANDS_RAISED_FROM = 0.5
"""Below it, most false islands cost nothing in the predictor's eyes: the very mistake that the dose term is for."""
COMMAND = "doselo sensitivity"


def _shortcomings(sensitivity: Mapping[str, Any]) -> list[str]:
    """What is less than it should be, each with what is needed."""
    r, island = sensitivity.get("r"), sensitivity.get("island")
    needed = []
    if r is None or r < SENSITIVE_FROM_R:
        needed.append(f"r of at least {SENSITIVE_FROM_R} is needed")
    if island and island["share_raised"] < ISLANDS_RAISED_FROM:
        needed.append(f"at least {ISLANDS_RAISED_FROM:.0%} of the added islands must raise the dose")
    return needed


def sensitivity_line(sensitivity: Mapping[str, Any] | None) -> str:
    """One line for a log: the figure, that there is none, or a warning that begins with "WARNING"."""
    if sensitivity is None:
        return f"Sensitivity to contour edits: not measured, run `{COMMAND}`"
    measured = (
        f"r = {shown(sensitivity.get('r'))} of predicted with planned dose change, {sensitivity.get('edits')} edits"
    )
    shortcomings = _shortcomings(sensitivity)
    if not shortcomings:
        return f"Sensitivity to contour edits: {measured}{_beside(sensitivity)}"
    return (
        f"WARNING: the dose predictor is insensitive to wrong contours: {measured}{_beside(sensitivity)}"
        f"{_worst(sensitivity)}; {' and '.join(shortcomings)}. The dose term will teach little: train the predictor on "
        "imperfect contours too (`doselo variants`), or longer"
    )


def _beside(sensitivity: Mapping[str, Any]) -> str:
    """Voxelwise r and the rise in islands, as far as they are on the card."""
    text = f"; voxel by voxel r = {shown(sensitivity['voxel_r'])}" if "voxel_r" in sensitivity else ""
    if island := sensitivity.get("island"):
        text += (
            f"; dose in added islands rises by {island['predicted_rise_gy']:.1f} Gy predicted, "
            f"{island['planned_rise_gy']:.1f} Gy planned, by at least half of it in {island['share_raised']:.0%} of "
            f"{island['edits']}"
        )
    return text


def _worst(sensitivity: Mapping[str, Any]) -> str:
    """The kind of edit with the lowest voxelwise r; one that is not defined is lower than all others."""
    by_kind = {kind: figures.get("voxel_r") for kind, figures in sensitivity.get("kinds", {}).items()}
    if not by_kind:
        return ""
    kind = min(by_kind, key=lambda name: -2.0 if by_kind[name] is None else by_kind[name])
    return f"; worst kind: {kind}, voxel by voxel r = {shown(by_kind[kind])}"


def shown(value: float | None) -> str:
    """Two decimals, or "not defined"."""
    return "not defined" if value is None else f"{value:.2f}"
