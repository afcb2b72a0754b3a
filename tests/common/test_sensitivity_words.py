"""What the card's sensitivity means, in one line."""

from typing import Any

import pytest

from nnunet_doselo.common.sensitivity import sensitivity_line


def card(r: float | None, **voxel_r: float | None) -> dict[str, Any]:
    return {"r": r, "edits": 20, "kinds": {kind: {"voxel_r": value} for kind, value in voxel_r.items()}}


@pytest.mark.parametrize(("r", "sensitive"), [(0.926, True), (0.7, True), (0.69, False), (-0.9, False), (None, False)])
def test_seven_tenths_are_the_threshold(r: float | None, sensitive: bool) -> None:
    assert sensitivity_line(card(r)).startswith("WARNING") is not sensitive


def test_what_was_not_measured_says_how_to() -> None:
    assert sensitivity_line(None) == "Sensitivity to contour edits: not measured, run `doselo sensitivity`"


def test_a_sensitive_predictor_is_one_plain_line() -> None:
    line = sensitivity_line(card(0.926, shift=0.9))
    assert line == "Sensitivity to contour edits: r = 0.93 of predicted with planned dose change, 20 edits"


@pytest.mark.parametrize(("raised", "sensitive"), [(0.49, False), (0.5, True), (1.0, True)])
def test_half_of_the_islands_must_raise_the_dose(raised: float, sensitive: bool) -> None:
    island = {"edits": 8, "planned_rise_gy": 59.0, "predicted_rise_gy": 30.0, "share_raised": raised}
    measured = {**card(0.93), "island": island}
    line = sensitivity_line(measured)
    assert line.startswith("WARNING") is not sensitive
    assert ("; at least 50% of the added islands must raise the dose. " in line) is not sensitive
    assert "r of at least" not in line


def test_a_high_r_does_not_hide_islands_that_are_not_seen() -> None:
    island = {"edits": 8, "planned_rise_gy": 59.0, "predicted_rise_gy": 4.72, "share_raised": 0.25}
    line = sensitivity_line({**card(0.93), "voxel_r": 0.69, "island": island})
    assert "edits; voxel by voxel r = 0.69; dose in added islands rises by 4.7 Gy predicted, 59.0 Gy planned" in line
    assert "by at least half of it in 25% of 8; " in line


def test_a_warning_shows_the_figure_and_the_worst_kind() -> None:
    line = sensitivity_line(card(0.41, shift=0.8, island=0.12, erode=0.5))
    assert "r = 0.41 of predicted with planned dose change, 20 edits" in line
    assert "; r of at least 0.7 is needed. " in line
    assert "worst kind: island, voxel by voxel r = 0.12" in line


def test_a_figure_that_is_not_defined_is_the_worst() -> None:
    line = sensitivity_line(card(None, shift=-0.8, island=None))
    assert "r = not defined" in line
    assert "worst kind: island, voxel by voxel r = not defined" in line
