"""Goals on doses of a few voxels, and the goals that come with the package."""

import math
from pathlib import Path

import numpy as np
import pytest

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.evaluation.clinical_goals import Goal, scorecard
from nnunet_doselo.evaluation.dvh import DVH
from nnunet_doselo.evaluation.goal_files import GOALS_FOLDER, parse_goal, parse_goals, read_goals, starter_goals


def dvh_of(*doses_gy: float, voxel_cc: float = 0.1) -> DVH:
    doses = np.array(doses_gy, float).reshape(1, 1, -1)
    return DVH.from_dose(doses, np.ones(doses.shape), voxel_cc)


NO_VOXELS = DVH(np.array([]), 0.1)
RAMP = dvh_of(*range(101))  # 0, 1, ..., 100 Gy, 10.1 cc


def goal(text: str) -> Goal:
    return parse_goal("GTV", text, "here")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Dmean <= 45 Gy", 50),
        ("D95 >= 57 Gy", 5),  # of 101 voxels the 96th hottest
        ("D95% >= 57 Gy", 5),
        ("D2 <= 64.2 Gy", 98),
        ("D50 >= 1 Gy", 50),
        ("D98 >= 1 Gy", 2),
        ("D0.1cc <= 54 Gy", 100),
        ("D1cc <= 54 Gy", 91),
        ("V20Gy <= 30 %", 81 / 101 * 100),
        ("V60Gy<=3cc", 4.1),
        ("V60.5Gy < 3 cc", 4.0),
    ],
)
def test_values_of_a_ramp(text: str, value: float) -> None:
    assert goal(text).value(RAMP) == pytest.approx(value)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("Dmean <= 45 Gy", {44.9: "met", 45: "met", 45.1: "not met"}),
        ("Dmean ≤ 45 Gy", {45: "met", 45.1: "not met"}),
        ("Dmean >= 45 Gy", {44.9: "not met", 45: "met", 45.1: "met"}),
        ("Dmean ≥ 45 Gy", {44.9: "not met", 45: "met"}),
        ("Dmean < 45 Gy", {44.9: "met", 45: "not met", 45.1: "not met"}),
        ("Dmean > 45 Gy", {44.9: "not met", 45: "not met", 45.1: "met"}),
        ("V5Gy <= 0 %", {0: "met", 1: "not met"}),
        ("Dmean <= 45 Gy ", {math.nan: "not assessable"}),
    ],
)
def test_verdicts(text: str, values: dict[float, str]) -> None:
    assert {value: goal(text).verdict(value) for value in values} == pytest.approx(values, nan_ok=True)


def test_rounding_decides_nothing() -> None:
    assert goal("D95 >= 57.3 Gy").verdict(float(np.float32(57.3))) == "met"  # 57.29999923706055
    assert goal("V20Gy <= 30 %").verdict((1 - 7 / 10) * 100) == "met"  # 30.000000000000004
    assert goal("D95 > 57.3 Gy").verdict(57.3 + 1e-6) == "not met"


def test_a_file_is_read_in_its_order() -> None:
    text = """
    # comment
    GTV: D95 >= 57 Gy
    Brainstem:
      - D0.1cc <= 54 Gy   # why
      - "Dmean <= 30 Gy"
    Lung_L: [V20Gy <= 30 %, V5Gy <= 60 %]
    """
    goals = parse_goals(text, "goals.yaml")
    assert [(one.structure, one.text) for one in goals] == [
        ("GTV", "D95 >= 57 Gy"),
        ("Brainstem", "D0.1cc <= 54 Gy"),
        ("Brainstem", "Dmean <= 30 Gy"),
        ("Lung_L", "V20Gy <= 30 %"),
        ("Lung_L", "V5Gy <= 60 %"),
    ]
    assert [(one.metric, one.relation, one.limit, one.unit) for one in goals[:2]] == [
        ("D95", ">=", 57, "Gy"),
        ("D0.1cc", "<=", 54, "Gy"),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must hold structures and their goals"),
        ("- D95 >= 57 Gy", "must hold structures and their goals"),
        ("GTV: [", "not valid YAML"),
        ("GTV: D95 >= 57 Gy\nGTV: D2 <= 64 Gy", "line 2: each structure must stand once, found GTV"),
        ("GTV: []", "line 1: GTV must have a goal or a list of goals"),
        ("GTV:\n  D95: 57", "GTV must have a goal or a list of goals"),
        ("GTV:", "GTV: a goal must look like"),
        ("GTV:\n  - D95 >= 57 Gy\n  - D95 = 57 Gy", r"line 3: GTV: a goal must look like .* found 'D95 = 57 Gy'"),
        ("GTV: D95 >= 57", "must look like"),
        ("GTV: D95 >= 5700 cGy", "Doses are in Gy"),
        ("GTV: Dmax <= 54 Gy", "for Dmax write D0.03cc"),
        ("GTV: D95 >= -1 Gy", "must look like"),
        ("GTV: D95 >= 95 %", "D95 must be in Gy, found %"),
        ("GTV: V20Gy <= 30 Gy", "V20Gy must be in % or cc, found Gy"),
        ("GTV: V20 <= 30 %", "must look like"),
        ("GTV: D0 <= 54 Gy", "of 0 to 100 per cent"),
        ("GTV: D105 <= 54 Gy", "of 0 to 100 per cent"),
        ("GTV: D0cc <= 54 Gy", "of more than 0 cc"),
        ("GTV: V20Gy <= 130 %", "up to 100 %, found 130 %"),
    ],
)
def test_what_is_no_goal_is_told(text: str, message: str) -> None:
    with pytest.raises(DoseloError, match=f"(?s)^goals.yaml.*{message}"):
        parse_goals(text, "goals.yaml")


def test_a_scorecard_of_two_doses() -> None:
    goals = parse_goals("GTV: D50 >= 57 Gy\nEye_L: Dmean <= 20 Gy\nLens_L: D0.1cc <= 10 Gy\nHeart: Dmean <= 4 Gy", "x")
    reference = {"GTV": dvh_of(60, 60), "Eye_L": dvh_of(10, 40), "Lens_L": NO_VOXELS}
    evaluated = {"GTV": dvh_of(60, 50), "Eye_L": dvh_of(10, 10), "Lens_L": NO_VOXELS}
    gtv, eye, lens, heart = scorecard(goals, reference, evaluated)
    assert (gtv.structure, gtv.goal, gtv.unit) == ("GTV", "D50 >= 57 Gy", "Gy")
    # D50 of two voxels is the dose of the hotter one
    assert (gtv.reference_value, gtv.reference_verdict) == (60, "met")
    assert (gtv.evaluated_value, gtv.evaluated_verdict, gtv.note) == (60, "met", "")
    assert (eye.reference_value, eye.reference_verdict) == (25, "not met")
    assert (eye.evaluated_value, eye.evaluated_verdict) == (10, "met")
    assert (lens.reference_verdict, lens.evaluated_verdict, lens.note) == ("not assessable", "not assessable", "empty")
    assert math.isnan(lens.reference_value)
    assert (heart.evaluated_verdict, heart.note) == ("not assessable", "no such structure")


def test_a_goal_is_lost_if_only_the_reference_dose_meets_it() -> None:
    goals = parse_goals("GTV: D95 >= 57 Gy", "x")
    good, bad = {"GTV": dvh_of(60, 60)}, {"GTV": dvh_of(60, 50)}
    assert [scorecard(goals, one, other)[0].lost for one, other in ((good, bad), (bad, good), (bad, bad))] == [
        True,
        False,
        False,
    ]


def test_starters_are_read_by_name(tmp_path: Path) -> None:
    assert starter_goals() == ["brain", "head_and_neck"]
    for name in starter_goals():
        assert read_goals(name) == read_goals(GOALS_FOLDER / f"{name}.yaml")
    goals = {(one.structure, one.text) for one in read_goals("brain")}
    assert {("GTV", "D95 >= 57 Gy"), ("Brainstem", "D0.1cc <= 54 Gy")} <= goals
    with pytest.raises(DoseloError, match=r"cannot be read .* one of brain, head_and_neck"):
        read_goals(tmp_path / "none.yaml")


def test_starters_treat_both_sides_alike() -> None:
    for name in starter_goals():
        goals = {(one.structure, one.text) for one in read_goals(name)}
        left = {(structure[:-2], text) for structure, text in goals if structure.endswith("_L")}
        assert left
        assert left == {(structure[:-2], text) for structure, text in goals if structure.endswith("_R")}
