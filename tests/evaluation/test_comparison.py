"""Comparisons of evaluations: statistics of a few numbers by hand and by SciPy, and what must be the same."""

import csv
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats
from small_evaluations import NAN, evaluation, result, written

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.evaluation.comparison import Comparison, compare_evaluations, read_comparison
from nnunet_doselo.evaluation.comparison_file import read_metric_by_run
from nnunet_doselo.evaluation.evaluation_file import write_evaluation
from nnunet_doselo.evaluation.fold_seed import FoldSeed

A = {"P1": 0.50, "P2": 0.40, "P3": 0.60, "P4": 0.30, "P5": 0.45, "P6": 0.35, "P7": 0.70}
# 0.20, 0.10, 0.30 less, 0.05 more, 0.15, 0.02, 0.25 less
B = {"P1": 0.30, "P2": 0.30, "P3": 0.30, "P4": 0.35, "P5": 0.30, "P6": 0.33, "P7": 0.45}
C = {"P1": 0.49, "P2": 0.41, "P3": 0.60, "P4": 0.28, "P5": 0.45, "P6": 0.38, "P7": 0.66}


def compared(folder: Path, *, baseline: str = "A", **more: Any) -> Comparison:
    folders = {name: {FoldSeed(): written(folder, name, rmae)} for name, rmae in (("A", A), ("B", B), ("C", C))}
    return compare_evaluations(folder, folders, baseline=baseline, **more)


def test_differences_and_ranks_by_hand(tmp_path: Path) -> None:
    found = compared(tmp_path).table.tests["union_rmae"]["B"]
    assert (found.cases, found.better, found.worse, found.equal) == (7, 6, 1, 0)
    assert found.mean_difference == pytest.approx(-(0.20 + 0.10 + 0.30 - 0.05 + 0.15 + 0.02 + 0.25) / 7)
    assert found.median_difference == pytest.approx(-0.15)
    # sizes 0.02, 0.05, 0.10 ... have ranks 1, 2, 3 ...; the one that is worse has rank 2 of a sum of 28
    assert found.rank_biserial == pytest.approx((26 - 2) / 28)
    # rank sums of 2 or less under all 2^7 signs: 0, 1, 2
    assert found.p_value == pytest.approx(2 * 3 / 128)


def test_p_values_and_interval_are_scipys(tmp_path: Path) -> None:
    tests = compared(tmp_path).table.tests["union_rmae"]
    differences = np.round([B[case] - A[case] for case in A], 12)
    assert tests["B"].p_value == pytest.approx(stats.wilcoxon(differences, method="exact").pvalue)
    interval = stats.bootstrap((differences,), np.mean, n_resamples=9999, method="BCa", rng=np.random.default_rng(1))
    assert tests["B"].interval.low == pytest.approx(interval.confidence_interval.low, abs=0.005)
    assert tests["B"].interval.high == pytest.approx(interval.confidence_interval.high, abs=0.005)
    # Holm of two: the smaller one doubled, the larger one at least as large
    smaller, larger = sorted(tests.values(), key=lambda test: test.p_value)
    assert smaller.p_holm == pytest.approx(2 * smaller.p_value)
    assert larger.p_holm == pytest.approx(max(larger.p_value, 2 * smaller.p_value))


def test_the_summary_of_each(tmp_path: Path) -> None:
    found = compared(tmp_path).table.summary["union_rmae"]["A"]
    values = list(A.values())
    assert (found.cases, found.median) == (7, 0.45)
    assert found.mean == pytest.approx(sum(values) / 7)
    assert found.std == pytest.approx(np.std(values, ddof=1))
    assert found.ci_low < found.mean < found.ci_high
    assert found.ci_method == "BCa bootstrap"


def test_cases_are_ordered_by_impact_on_the_baseline(tmp_path: Path) -> None:
    assert compared(tmp_path).order == ["P7", "P3", "P1", "P5", "P2", "P6", "P4"]
    assert compared(tmp_path, baseline="B").order[0] == "P7"
    assert set(compared(tmp_path, baseline="B").table.tests["union_rmae"]) == {"A", "C"}


def test_runs_are_averaged_by_case(tmp_path: Path) -> None:
    folders = {
        "A": {
            FoldSeed(0): written(tmp_path / "0", "A", {"P1": 0.2, "P2": 0.4}),
            FoldSeed(1): written(tmp_path / "1", "A", {"P1": 0.4, "P2": 0.4}),
        },
        "B": {
            FoldSeed(0): written(tmp_path / "0", "B", {"P1": 0.1, "P2": 0.4}),
            FoldSeed(1): written(tmp_path / "1", "B", {"P1": 0.1, "P2": 0.6}),
        },
    }
    found = compare_evaluations(tmp_path / "all", folders, baseline="A", titles={"A": "Dice + CE"})
    assert found.table.values["union_rmae"] == {
        "A": {"P1": pytest.approx(0.3), "P2": pytest.approx(0.4)},
        "B": {"P1": pytest.approx(0.1), "P2": pytest.approx(0.5)},
    }
    assert [contours.title for contours in found.contours] == ["Dice + CE", "B"]
    assert found.contours[1].evaluations == {FoldSeed(0): "../0/B", FoldSeed(1): "../1/B"}
    rows = list(csv.DictReader((tmp_path / "all" / "comparison.csv").read_text().splitlines()))
    assert [[row[key] for key in ("contours", "fold", "seed", "case", "union_rmae")] for row in rows[:3]] == [
        ["A", "0", "", "P1", "0.2"],
        ["A", "0", "", "P2", "0.4"],
        ["A", "1", "", "P1", "0.4"],
    ]


def test_several_seeds_give_intervals_over_runs_and_patients(tmp_path: Path) -> None:
    """Seeds differ by 0.1 in both trainers; B has 0.05 less of every patient, and once no Dice."""
    folders: dict[str, dict[FoldSeed, Path]] = {"A": {}, "B": {}}
    for name, less in (("A", 0.0), ("B", 0.05)):
        for seed in (0, 1, 2):
            cases = [result(case, value + 0.1 * seed - less) for case, value in A.items()]
            if (name, seed) == ("B", 1):
                cases[2] = replace(cases[2], scores={**cases[2].scores, "target_dice": NAN})
            folders[name][FoldSeed(0, seed)] = tmp_path / f"{name}{seed}"
            write_evaluation(tmp_path / f"{name}{seed}", evaluation(name, *cases))
    found = compare_evaluations(tmp_path / "all", folders, baseline="A")
    assert found.intervals_cover == "runs and patients: 3 trainings, 7 patients"
    summary, test = found.table.summary["union_rmae"]["B"], found.table.tests["union_rmae"]["B"]
    assert (summary.ci_over, summary.run_std) == ("runs and patients", pytest.approx(0.1))
    assert (summary.mean, summary.cases) == (pytest.approx(3.3 / 7 + 0.05), 7)
    # of three seeds 0.1 apart, all three draws are alike with probability 1/9
    assert summary.ci_high - summary.ci_low > 0.2
    assert [test.mean_difference, test.interval.low, test.interval.high] == [pytest.approx(-0.05)] * 3
    assert test.interval_excludes_zero
    dice = found.table.tests["target_dice"]["B"]
    assert (dice.cases, dice.dropped, dice.dropped_pairs) == (7, (), 1)
    assert "B: Dice not defined, and left out, in P3 (fold 0, seed 1)" in found.remarks
    assert any(remark.startswith("3 runs tell little of how runs differ: intervals") for remark in found.remarks)
    assert str(read_comparison(tmp_path / "all")) == str(found)
    rows = list(csv.DictReader((tmp_path / "all" / "comparison.csv").read_text().splitlines()))
    assert [(row["contours"], row["fold"], row["seed"]) for row in rows[::7]] == [
        (name, "0", str(seed)) for name in "AB" for seed in (0, 1, 2)
    ]
    dice_by_run = read_metric_by_run(tmp_path / "all", "target_dice")["B"]
    assert dice_by_run[FoldSeed(0, 0)] == dict.fromkeys(A, 0.5)
    assert math.isnan(dice_by_run[FoldSeed(0, 1)]["P3"])


def test_runs_without_their_table_or_metric_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DoseloError, match=r"comparison\.csv: no such file; it is written by `doselo evaluate`"):
        read_metric_by_run(tmp_path, "union_rmae")
    compared(tmp_path)
    assert list(read_metric_by_run(tmp_path, "union_rmae")["C"]) == [FoldSeed()]
    with pytest.raises(DoseloError, match="must have the column gamma, found contours, fold, seed, case, union_rmae"):
        read_metric_by_run(tmp_path, "gamma")


def test_figures_of_structures_are_compared_too(tmp_path: Path) -> None:
    """D95 falls by 100 times the union RMAE in Gy; the eye is missing in all cases."""
    found = compared(tmp_path).structures
    assert found.metrics["GTV_d95_gy"].title == "GTV D95, error"
    assert found.values["GTV_d95_gy"]["A"]["P1"] == pytest.approx(50)
    assert found.tests["GTV_d95_gy"]["B"].median_difference == pytest.approx(-15)
    assert found.summary["Eye_L_dmean_gy"]["A"].cases == 0
    assert math.isnan(found.tests["Eye_L_dmean_gy"]["B"].p_holm)


def test_one_set_has_a_summary_and_no_tests(tmp_path: Path) -> None:
    found = compare_evaluations(tmp_path, {"A": {FoldSeed(): written(tmp_path, "A", A)}}, baseline="A")
    assert found.table.tests == {"union_rmae": {}, "target_dice": {}}
    assert found.table.summary["union_rmae"]["A"].cases == 7


def test_the_file_is_read_back_as_it_was(tmp_path: Path) -> None:
    floor = written(tmp_path, "noise_floor", dict.fromkeys(A, 0.01))
    found = compared(tmp_path, noise_floor=floor)
    again = read_comparison(tmp_path)
    assert str(again) == str(found)  # NaN is not itself
    content = json.loads((tmp_path / "comparison.json").read_text(), parse_constant=pytest.fail)
    assert content["format"] == "doselo-comparison/2"
    assert content["metrics"]["union_rmae"]["better"] == "lower"
    test = content["tests"]["union_rmae"]["B"]
    assert (test["worse"], test["ci_over"], test["ci_method"]) == (1, "patients", "BCa bootstrap")
    assert "interval" not in test
    assert content["provenance"]["contours"]["B"][""]["predictions"] == "/predictions/B"


def test_the_noise_floor_stands_beside_and_its_bearing_is_told(tmp_path: Path) -> None:
    floor = written(tmp_path, "noise_floor", dict(zip(A, (0.02, 0.06, 0.02, 0.02, 0.02, 0.02, 0.02), strict=True)))
    found = compared(tmp_path, noise_floor=floor)
    assert found.noise_floor is not None
    assert found.noise_floor["union_rmae"].max == 0.06
    assert found.noise_floor["union_rmae"].mean == pytest.approx(0.18 / 7)
    assert any("union RMAE 2.57 % on average, 6.00 % at most" in remark for remark in found.remarks)
    within = [remark for remark in found.remarks if "within the noise floor" in remark]
    assert within == ["C: its difference in union RMAE to the baseline is within the noise floor"]


def test_values_that_are_missing_are_named_and_left_out_of_pairs(tmp_path: Path) -> None:
    baseline = written(tmp_path, "A", A)
    values = {case: result(case, rmae, NAN if case == "P2" else 0.7) for case, rmae in B.items()}
    write_evaluation(tmp_path / "B", evaluation("B", *values.values(), planner_remarks={"P2": ["the target is empty"]}))
    found = compare_evaluations(
        tmp_path, {"A": {FoldSeed(): baseline}, "B": {FoldSeed(): tmp_path / "B"}}, baseline="A"
    )
    test = found.table.tests["target_dice"]["B"]
    assert (test.cases, test.dropped, test.better) == (6, ("P2",), 6)
    assert "B: Dice not defined, and left out, in P2" in found.remarks
    assert "B, P2: the target is empty" in found.remarks
    assert "Eye_L: no voxels in the reference of P1, P2, P3, P4, P5 and 2 more" in found.remarks


def test_too_few_cases_are_told(tmp_path: Path) -> None:
    few = {"P1": 0.5, "P2": 0.4}
    provenance = {"cases": "2 of 10 in the split"}
    folders = {name: {FoldSeed(): written(tmp_path, name, few, **provenance)} for name in ("A", "B")}
    found = compare_evaluations(tmp_path, folders, baseline="A", remarks=["first of all"])
    assert found.remarks[:3] == [
        "first of all",
        "2 of 10 in the split are evaluated",
        "with 2 cases no test can reach p = 0.05, whatever the differences",
    ]


def test_the_more_are_compared_the_more_cases_it_takes(tmp_path: Path) -> None:
    """Six cases reach 0.03125, which two comparisons double."""
    six = {f"P{number}": 0.1 * number for number in range(6)}
    folders = {name: {FoldSeed(): written(tmp_path, name, six)} for name in "ABC"}
    few = [remark for remark in compare_evaluations(tmp_path, folders, baseline="A").remarks if "no test" in remark]
    assert few == [
        "with 6 cases and 2 comparisons no test can reach p = 0.05 after Holm's correction, whatever the differences"
    ]
    del folders["C"]
    assert not any("no test" in remark for remark in compare_evaluations(tmp_path, folders, baseline="A").remarks)


def test_the_rulers_error_and_other_versions_are_told(tmp_path: Path) -> None:
    cases = [result(case, rmae, predictor_error_gy=gy) for (case, rmae), gy in zip(A.items(), range(7), strict=True)]
    for name, version in (("A", "1.0"), ("B", "1.1")):
        write_evaluation(tmp_path / name, evaluation(name, *cases, versions={"numpy": "2", "scipy": version}))
    found = compare_evaluations(tmp_path, {name: {FoldSeed(): tmp_path / name} for name in "AB"}, baseline="A")
    assert "the ruler's error: the dose predictor is 3.00 Gy off the planned doses on average" in found.remarks
    assert "evaluated with several versions of scipy: 1.0, 1.1" in found.remarks


@pytest.mark.parametrize(
    ("provenance", "message"),
    [
        ({"gamma": "2 %/2 mm"}, "B: must be evaluated like A to be compared with it, but gamma is 2 %/2 mm against 3"),
        ({"dose": {"kind": "predicted", "says": ""}}, "but the kind of dose is predicted against files"),
        ({"goals": {"from": "another", "goals": []}}, "but goals is"),
    ],
)
def test_what_was_measured_otherwise_is_not_compared(tmp_path: Path, provenance: dict[str, Any], message: str) -> None:
    folders = {"A": {FoldSeed(): written(tmp_path, "A", A)}, "B": {FoldSeed(): written(tmp_path, "B", B, **provenance)}}
    with pytest.raises(DoseloError, match=message):
        compare_evaluations(tmp_path, folders, baseline="A")
    assert not (tmp_path / "comparison.json").exists()


def test_other_cases_folds_and_references_are_refused(tmp_path: Path) -> None:
    baseline = {FoldSeed(): written(tmp_path, "A", A)}
    fewer = {FoldSeed(): written(tmp_path, "B", {"P1": 0.1})}
    with pytest.raises(DoseloError, match="B: both must have the same cases"):
        compare_evaluations(tmp_path, {"A": baseline, "B": fewer}, baseline="A")
    with pytest.raises(DoseloError, match="must be trained on the baseline's folds and seeds"):
        compare_evaluations(tmp_path, {"A": baseline, "B": {FoldSeed(1): baseline[FoldSeed()]}}, baseline="A")
    with pytest.raises(DoseloError, match="the baseline must be one of A, found Z"):
        compare_evaluations(tmp_path, {"A": baseline}, baseline="Z")
    file = written(tmp_path, "B", B) / "evaluation.json"
    file.write_text(file.read_text().replace("dose of P3", "another dose"))
    with pytest.raises(DoseloError, match="B, case P3: must have the reference dose of A"):
        compare_evaluations(tmp_path, {"A": baseline, "B": {FoldSeed(): tmp_path / "B"}}, baseline="A")
