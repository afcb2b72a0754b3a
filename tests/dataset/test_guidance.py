from typing import Any

import pytest

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.dataset.guidance import DoseGuidance

LABELS = {"background": 0, "PTV56": 1, "PTV70": 2, "ignore": 3}


def dataset_json(**block: Any) -> dict[str, Any]:
    return {
        "labels": LABELS,
        "dose_guidance": {"target_gy": {"PTV70": 70, "PTV56": 56}, "oars": {"Cord": 1}} | block,
    }


def test_the_highest_prescription_is_rx_and_fractions_follow_the_order_of_labels() -> None:
    guidance = DoseGuidance.from_dataset_json(dataset_json())
    assert guidance.prescription_gy == 70
    assert list(guidance.target_fraction(LABELS).items()) == [("PTV56", 0.8), ("PTV70", 1.0)]


def test_organ_labels_are_sorted_and_organs_may_be_left_out() -> None:
    assert DoseGuidance.from_dataset_json(dataset_json(oars={"B": 9, "A": 2})).organ_labels == [2, 9]
    without = {"labels": LABELS, "dose_guidance": {"target_gy": {"PTV70": 70}}}
    assert DoseGuidance.from_dataset_json(without).oars == {}


def test_json_and_back() -> None:
    guidance = DoseGuidance({"PTV70": 70.0}, {"Cord": 1})
    assert DoseGuidance.from_dataset_json({"labels": LABELS, "dose_guidance": guidance.to_json()}) == guidance


def test_the_angles_of_the_beams_are_kept_where_they_are_known() -> None:
    known = DoseGuidance.from_dataset_json(dataset_json(gantry_deg=[0, 120.0, 240]))
    assert known.gantry_deg == (0.0, 120.0, 240.0)
    assert known.to_json()["gantry_deg"] == [0.0, 120.0, 240.0]
    unknown = DoseGuidance.from_dataset_json(dataset_json())
    assert unknown.gantry_deg == ()
    assert "gantry_deg" not in unknown.to_json()


@pytest.mark.parametrize("angles", [90, "all around", [360.0], [-40], [True], [None], [float("nan")]])
def test_angles_that_are_none_are_refused(angles: Any) -> None:
    with pytest.raises(DoseloError, match="gantry_deg must be a list of angles from 0 to below 360 degrees"):
        DoseGuidance.from_dataset_json(dataset_json(gantry_deg=angles))


@pytest.mark.parametrize(
    "block",
    [None, [], {}, {"target_gy": {}}, {"target_gy": [70]}, {"target_gy": {"PTV70": 70}, "oars": None}],
)
def test_a_missing_or_misshapen_block_says_what_it_should_be(block: Any) -> None:
    with pytest.raises(DoseloError, match=r"P/dataset.json: dose guidance needs \"dose_guidance\": .*doselo convert"):
        DoseGuidance.from_dataset_json({"labels": LABELS, "dose_guidance": block}, where="P/dataset.json")


@pytest.mark.parametrize("name", ["GTV", "background", "ignore"])
def test_a_target_must_be_a_label(name: str) -> None:
    with pytest.raises(DoseloError, match=rf"target_gy names \['{name}'\], which are no labels; .*PTV56"):
        DoseGuidance.from_dataset_json(dataset_json(target_gy={name: 60}))


@pytest.mark.parametrize("dose", [0, -60, "60", None, True, float("nan"), float("inf")])
def test_prescribed_doses_are_positive_numbers(dose: Any) -> None:
    with pytest.raises(DoseloError, match="positive numbers in Gy"):
        DoseGuidance.from_dataset_json(dataset_json(target_gy={"PTV70": dose}))


@pytest.mark.parametrize("oars", [{"A": 0}, {"A": 256}, {"A": 1, "B": 1}, {"A": 1.0}, {"A": True}])
def test_organ_labels_are_distinct_bytes_and_0_is_background(oars: dict[str, Any]) -> None:
    with pytest.raises(DoseloError, match="distinct integers from 1 to 255"):
        DoseGuidance.from_dataset_json(dataset_json(oars=oars))
