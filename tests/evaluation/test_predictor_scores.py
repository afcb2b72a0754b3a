"""A predictor's scores over cases: sorted, the cohort's own DVH score, and means by structure."""

import math

import pytest

from nnunet_doselo.evaluation.openkbp_scores import StructureDose
from nnunet_doselo.evaluation.predictor_scores import PredictorCase, PredictorScores, StructureError


def case_of(name: str, dose_score_gy: float, **brainstem_and_gtv_gy: tuple[float, float]) -> PredictorCase:
    doses = [
        StructureDose(name, structure, "target" if structure == "GTV" else "organ", metric, *doses_gy)
        for key, doses_gy in brainstem_and_gtv_gy.items()
        for structure, metric in [key.split("_")]
    ]
    return PredictorCase(name, dose_score_gy, doses)


NOT_THERE = (math.nan, math.nan)
SCORES = PredictorScores.of(
    [
        case_of("good", 1.0, GTV_D95=(60, 59), Brainstem_Dmean=(10, 12)),
        case_of("bad", 5.0, GTV_D95=(58, 51), Brainstem_Dmean=NOT_THERE),
        case_of("fair", 3.0, GTV_D95=(59, 63), Brainstem_Dmean=(20, 16)),
    ]
)


def test_the_worst_case_comes_first_and_one_without_a_score_before_it() -> None:
    assert [one.case for one in SCORES.cases] == ["bad", "fair", "good"]
    with_nan = PredictorScores.of([*SCORES.cases, case_of("lost", math.nan)])
    assert [one.case for one in with_nan.cases] == ["lost", "bad", "fair", "good"]
    assert with_nan.overall()["dose_score_gy"] is None


def test_the_cohorts_dvh_score_weighs_every_structure_alike_not_every_case() -> None:
    # |differences| 7; 4 and 4; 1 and 2 Gy. The mean over cases of their own means would be 4.17
    assert SCORES.overall() == {"dose_score_gy": pytest.approx(3), "dvh_score_gy": pytest.approx(18 / 5)}


def test_a_row_has_signed_differences_and_nan_for_what_is_not_there() -> None:
    bad, fair, _ = (one.row() for one in SCORES.cases)
    assert dict(fair.scores) == {
        "dose_score_gy": 3,
        "dvh_error_gy": 4,
        "GTV_D95_difference_gy": 4,
        "Brainstem_Dmean_difference_gy": -4,
    }
    assert math.isnan(bad.score("Brainstem_Dmean_difference_gy"))
    assert bad.score("dvh_error_gy") == 7


def test_means_by_structure_show_bias_and_size() -> None:
    gtv, brainstem = SCORES.by_structure()
    # differences -7, 4 and -1; -4 and 2
    assert gtv == StructureError("GTV", "D95", 59, pytest.approx(-4 / 3), pytest.approx(4), 3)
    assert brainstem == StructureError("Brainstem", "Dmean", 15, pytest.approx(-1), pytest.approx(3), 2)


def test_a_structure_that_no_case_has_is_left_out_of_the_means() -> None:
    scores = PredictorScores.of([case_of("A", 1.0, Brainstem_Dmean=NOT_THERE, GTV_D95=(60, 60))])
    assert [one.structure for one in scores.by_structure()] == ["GTV"]


@pytest.mark.parametrize(
    ("count", "titles"),
    [(1, {"worst": "0"}), (2, {"worst": "0", "best": "1"}), (3, {"worst": "0", "best": "2", "median": "1"})],
)
def test_no_case_is_looked_at_twice(count: int, titles: dict[str, str]) -> None:
    scores = PredictorScores.of([case_of(str(number), 10.0 - number) for number in range(count)])
    assert scores.to_look_at() == titles


def test_the_table_of_structures() -> None:
    assert SCORES.structures_csv().decode().splitlines()[:3] == [
        "case,structure,kind,metric,planned_gy,predicted_gy,difference_gy",
        "bad,GTV,target,D95,58.0000,51.0000,-7.0000",
        "bad,Brainstem,organ,Dmean,nan,nan,nan",
    ]
