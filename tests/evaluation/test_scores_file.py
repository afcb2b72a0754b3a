"""Reports on disk: stable columns, NaN named and never averaged, all or nothing."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.common.files import replace_files
from nnunet_doselo.common.hashing import sha256_of
from nnunet_doselo.common.versions import version_of, versions
from nnunet_doselo.evaluation.scores_file import CaseScores, summarise_scores, write_scores

ROWS = [
    CaseScores("P002", {"rmae": 0.1, "hd95_mm": 2.0}),
    CaseScores("P001", {"rmae": 0.2, "hd95_mm": math.nan}),
    CaseScores("P003", {"rmae": 0.6, "hd95_mm": math.inf, "Brainstem_dmean_gy": 12.5}),
]


def summary_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "summary.json").read_text())


def test_scores_keep_the_order_of_cases_and_of_first_appearance(tmp_path: Path) -> None:
    write_scores(tmp_path, ROWS, {})
    assert (tmp_path / "scores.csv").read_text().splitlines() == [
        "case,rmae,hd95_mm,Brainstem_dmean_gy",
        "P002,0.1,2.0,nan",
        "P001,0.2,nan,nan",
        "P003,0.6,inf,12.5",
    ]


def test_summary_of_a_metric_that_all_cases_have() -> None:
    found = summarise_scores([CaseScores(str(value), {"dose_gy": value}) for value in (1.0, 2.0, 6.0)])["dose_gy"]
    # deviations -2, -1 and 3: (4 + 1 + 9) / (3 - 1) = 7
    assert (found.mean, found.median, found.std) == (3.0, 2.0, pytest.approx(math.sqrt(7)))
    assert (found.finite_cases, found.not_finite) == (3, [])


def test_cases_without_a_finite_value_are_left_out_of_the_mean_and_named() -> None:
    found = summarise_scores(ROWS)
    assert (found["hd95_mm"].mean, found["hd95_mm"].finite_cases) == (2.0, 1)
    assert found["hd95_mm"].not_finite == ["P001", "P003"]
    assert found["Brainstem_dmean_gy"].not_finite == ["P002", "P001"]


def test_one_case_has_no_spread_and_none_has_no_mean(tmp_path: Path) -> None:
    write_scores(tmp_path, [CaseScores("P001", {"dice": 0.5, "hd95_mm": math.nan})], {})
    assert summary_of(tmp_path)["metrics"] == {
        "dice": {"mean": 0.5, "median": 0.5, "std": None, "finite_cases": 1, "not_finite": []},
        "hd95_mm": {"mean": None, "median": None, "std": None, "finite_cases": 0, "not_finite": ["P001"]},
    }


def test_provenance_is_copied(tmp_path: Path) -> None:
    provenance = {"dose from": "predictor", "threshold": 0.1, "versions": {"numpy": "2.0"}}
    write_scores(tmp_path / "new" / "folder", ROWS, provenance)
    assert summary_of(tmp_path / "new" / "folder")["provenance"] == provenance
    assert summary_of(tmp_path / "new" / "folder")["cases"] == 3


def test_scores_of_the_cohort_itself_stand_apart(tmp_path: Path) -> None:
    write_scores(tmp_path, ROWS, {}, overall={"dvh_score_gy": 2.5, "dose_score_gy": None})
    assert summary_of(tmp_path)["overall"] == {"dvh_score_gy": 2.5, "dose_score_gy": None}
    with pytest.raises(DoseloError, match="overall scores must hold what JSON can"):
        write_scores(tmp_path, ROWS, {}, overall={"dvh_score_gy": math.nan})


def test_a_second_report_replaces_the_first_and_leaves_nothing_else(tmp_path: Path) -> None:
    write_scores(tmp_path, ROWS, {})
    write_scores(tmp_path, ROWS[:1], {})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scores.csv", "summary.json"]
    assert summary_of(tmp_path)["cases"] == 1


@pytest.mark.parametrize("value", [math.nan, Path("a"), {1, 2}], ids=["nan", "path", "set"])
def test_provenance_that_json_cannot_hold_leaves_the_earlier_report_alone(tmp_path: Path, value: object) -> None:
    write_scores(tmp_path, ROWS, {"which": "earlier"})
    with pytest.raises(DoseloError, match="what JSON can"):
        write_scores(tmp_path, ROWS[:1], {"wrong": value})
    assert summary_of(tmp_path)["provenance"] == {"which": "earlier"}
    assert len((tmp_path / "scores.csv").read_text().splitlines()) == 4


@pytest.mark.parametrize(("rows", "found"), [([], "no cases"), ([ROWS[0], ROWS[0]], "P002")])
def test_a_report_needs_each_case_once(tmp_path: Path, rows: list[CaseScores], found: str) -> None:
    with pytest.raises(DoseloError, match=found):
        write_scores(tmp_path, rows, {})
    assert list(tmp_path.iterdir()) == []


def test_no_file_is_replaced_unless_all_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "first").write_bytes(b"old")
    (tmp_path / "blocked").write_bytes(b"a file where a folder is needed")
    with pytest.raises(OSError, match="blocked"):
        replace_files({tmp_path / "first": b"new", tmp_path / "blocked" / "second": b"new"})
    assert (tmp_path / "first").read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["blocked", "first"]


def test_sha256_is_the_one_of_the_standard(tmp_path: Path) -> None:
    # FIPS 180-2, appendix B.1 and, longer than one read, B.3: a million times "a"
    (tmp_path / "abc").write_bytes(b"abc")
    (tmp_path / "million").write_bytes(b"a" * 1_000_000)
    assert sha256_of(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256_of(tmp_path / "million") == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"


def test_sha256_of_a_missing_file_says_which(tmp_path: Path) -> None:
    with pytest.raises(DoseloError, match="weights"):
        sha256_of(tmp_path / "weights")


def test_versions_name_what_numbers_depend_on() -> None:
    found = versions()
    assert {"python", "nnunet-doselo", "nnunetv2", "torch", "numpy", "surface-distance"} <= set(found)
    assert all(version[0].isdigit() for version in found.values())
    assert version_of("no-such-distribution") == "not installed"
