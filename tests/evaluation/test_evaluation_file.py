"""Evaluations on disk: read back as they were, NaN as null, tables beside."""

import json
import math
from pathlib import Path

import pytest
from small_evaluations import NAN, evaluation, result

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.evaluation.evaluation_file import read_evaluation, write_evaluation


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_evaluation(tmp_path, evaluation("one", result("A", 0.25), result("B", 0.0, NAN)))
    return tmp_path


def test_what_was_written_is_read(folder: Path) -> None:
    found = read_evaluation(folder)
    first, second = found.cases
    assert (found.name, found.dataset.target_labels) == ("one", {"GTV": [1]})
    assert found.provenance["goals"] == {"from": "a file", "goals": []}
    assert str(first) == str(result("A", 0.25))  # as text, since NaN is not itself
    assert math.isnan(second.score("target_dice"))
    assert math.isnan(second.score("no such metric"))
    assert math.isnan(second.goals[1].reference_value)
    assert second.islands == ()
    assert first.islands[0].distance_mm == 25


def test_json_has_null_where_there_is_no_value(folder: Path) -> None:
    content = json.loads((folder / "evaluation.json").read_text(), parse_constant=pytest.fail)
    assert content["format"] == "doselo-evaluation/2"
    assert content["cases"][1]["scores"] == {"union_rmae": 0.0, "target_dice": None}
    assert content["cases"][0]["structures"]["Eye_L"]["reference"] == {"dmean_gy": None}


def test_tables_stand_beside_it(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == {
        *("evaluation.json", "summary.json", "scores.csv", "structures.csv", "islands.csv", "goals.csv")
    }
    assert (folder / "structures.csv").read_text().splitlines()[:3] == [
        "case,structure,metric,reference,evaluated",
        "A,GTV,d95_gy,57.0,32.0",
        "A,GTV,dmean_gy,60.0,60.0",
    ]
    assert (folder / "islands.csv").read_text().splitlines() == [
        "case,island,volume_cc,distance_mm,beyond_cc,mean_gy,max_gy",
        "A,1,0.3,25.0,0.2,40.0,61.0",
    ]
    goals = (folder / "goals.csv").read_text().splitlines()
    assert goals[0].startswith("case,structure,goal,unit,reference_value,reference_verdict,evaluated_value,")
    assert goals[1] == "A,GTV,D95 >= 57 Gy,Gy,57.0,met,32.0,not met,"


def test_a_case_twice_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(DoseloError, match=r"each case once, found \['A'\]"):
        write_evaluation(tmp_path / "out", evaluation("one", result("A", 0.1), result("A", 0.2)))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"evaluation\.json: no such file \(.*\); it is written by `doselo evaluate`"),
        ("{", "not valid JSON"),
        ('{"format": "doselo-evaluation/9"}', "must have format doselo-evaluation/2, found doselo-evaluation/9"),
        ("[]", "must have format doselo-evaluation/2, found None"),
    ],
)
def test_what_is_no_evaluation_is_refused(tmp_path: Path, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / "evaluation.json").write_text(content)
    with pytest.raises(DoseloError, match=message):
        read_evaluation(tmp_path)
