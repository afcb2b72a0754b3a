"""The page and its JSON tell the folder's numbers, stand alone, and say what is missing."""

import json
import re
import shutil
from pathlib import Path

import pytest
import typer
from plotly.offline import get_plotlyjs
from results_on_disk import BASELINE, BEST, CASES, MIDDLE, SAYS, UNION_RMAE, write_results
from typer.testing import CliRunner
from written_reports import Written, report_on

from nnunet_doselo.cli.report import report
from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.evaluation.comparison_file import read_comparison
from nnunet_doselo.evaluation.evaluation_file import read_evaluation
from nnunet_doselo.evaluation.fold_seed import FoldSeed
from nnunet_doselo.report.page import VIEWER_BYTES, write_report

LIMIT_BYTES = 15_000_000


def text_of(html: str) -> str:
    """What a reader sees, scripts and pictures left out."""
    shown = re.sub(r"<(script|style).*?</\1>", " ", html, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", shown).split())


def rows(html: str) -> list[list[str]]:
    cells = [
        re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row, re.DOTALL) for row in re.findall(r"<tr>.*?</tr>", html, re.DOTALL)
    ]
    return [[text_of(cell) for cell in row] for row in cells]


def test_the_folder_is_one_that_the_package_reads(written: Written) -> None:
    comparison = read_comparison(written.folder)
    evaluation = read_evaluation(written.folder / comparison.contours[0].evaluations[FoldSeed(0)])
    assert [case.case for case in evaluation.cases] == list(comparison.order) == CASES


def test_the_caveat_and_the_doses_stand_before_every_number(written: Written) -> None:
    seen = text_of(written.html)
    caveat = seen.index("Research software, not a medical device.")
    assert caveat < seen.index("Open planner: fluence optimisation, no deliverable plan.") < seen.index("Result")
    assert f"T{SAYS[1:]}." in seen


def test_synthetic_patients_and_few_iterations_are_said_on_top(written: Written) -> None:
    seen = text_of(written.html)
    assert seen.index("Synthetic patients: ") < seen.index("Few iterations: ") < seen.index("Research software")
    assert "trained for 5 epochs of 80 iterations, where nnU-Net trains for 1000 epochs of 250." in seen
    assert len(written.told["notices"]) == 2


def test_the_headline_has_means_intervals_tests_and_the_noise_floor(written: Written) -> None:
    best = next(row for row in rows(written.html) if row[0].startswith("DOSELO fold 0"))
    assert best[1] == "17.6 [15.1, 19.6] Δ −5.4 [−12.8, 3.4] p = 0.040 r = 0.60 4 better, 1 worse"
    floor = re.search(r'<tr class="floor">.*?</tr>', written.html, re.DOTALL)
    assert floor
    assert text_of(floor[0]) == "noise floor 0.4 at most 0.6 1.000"


def test_what_intervals_cover_and_what_p_takes_as_given_are_said(written: Written) -> None:
    assert written.told["intervals_cover"] == "patients only: one training"
    seen = text_of(written.html)
    assert "its 95 % confidence interval (patients only: one training)" in seen
    assert "Intervals: 95 %, patients only: one training (bootstrap" in seen
    assert "p takes the networks as given" in seen


def test_several_seeds_have_their_runs_their_deviation_and_what_they_cover(tmp_path: Path) -> None:
    folder = write_results(tmp_path)
    content = json.loads((folder / "comparison.json").read_text())
    content["intervals_cover"] = "runs and patients: 2 trainings, 5 patients"
    for contours in content["contours"]:
        place = contours["evaluations"]["fold 0"]
        contours["evaluations"] = {"fold 0, seed 1": place, "fold 0, seed 2": place}
    content["summary"]["union_rmae"][BEST]["run_std"] = 0.021
    content["tests"]["union_rmae"][BEST] |= {"ci_over": "runs and patients", "dropped_pairs": 3}
    (folder / "comparison.json").write_text(json.dumps(content))
    report = report_on(folder)
    (best,) = (row for row in rows(report.html) if row[0].startswith("DOSELO fold 0; seeds 1, 2"))
    assert best[1].startswith("17.6 [15.1, 19.6] ± 2.1 run to run Δ −5.4 [−12.8, 3.4]")
    assert "confidence interval (runs and patients: 2 trainings, 5 patients)" in text_of(report.html)
    # whatever interval and p: five cases are too few for two trainers
    assert report.told["words"][1].endswith(
        "[−12.8, 3.4] over runs and patients, p = 0.040 with the networks as given; of 5 cases 4 better, 1 worse. So "
        "few cases cannot show a difference: with 5 that differ and 2 trainers compared, p cannot fall below "
        "0.125. Left out: 3 pairs of run and case without a value."
    )
    assert ["DOSELO", "17.6 [15.1, 19.6]", "17.6", "10.0", "2.1"] in [row[:5] for row in rows(report.html)]
    assert ["P4", "DOSELO", "fold 0, seed 2"] in [row[:3] for row in rows(report.html)]


def test_the_result_is_put_in_words(written: Written) -> None:
    assert written.told["words"] == [
        "BCE against Dice + CE: union RMAE 23.0 % instead of 23.0 %, mean difference 0.0 percentage points [−1.2, "
        "1.2] over patients, p = 1.000 with the networks as given; of 5 cases 1 better, 1 worse. So few cases cannot "
        "show a difference: with 2 that differ and 2 trainers compared, p cannot fall below 0.500.",
        "DOSELO against Dice + CE: union RMAE 17.6 % instead of 23.0 %, mean difference −5.4 percentage points [−12.8, "
        "3.4] over patients, p = 0.040 with the networks as given; of 5 cases 4 better, 1 worse. Better.",
    ]


def test_all_tests_are_listed(written: Written) -> None:
    listed = rows(written.html)
    assert [
        "DOSELO",
        "17.6 [15.1, 19.6]",
        "17.6",
        "10.0",
        "–",
        "−5.4 [−12.8, 3.4]",
        "0.020",
        "0.040",
        "0.60",
        "4 / 1 / 0",
        "5",
    ] in listed
    assert [
        "DOSELO",
        "0.700 [0.580, 0.820]",
        "0.700",
        "0.100",
        "–",
        "0.000 [0.000, 0.000]",
        "no test",
        "no test",
        "–",
        "0 / 0 / 5",
        "5",
    ] in listed


def test_bars_are_in_per_cent_in_the_order_of_impact(written: Written) -> None:
    impact = written.told["impact"]
    assert (impact["y_title"], impact["cases"]) == ("union RMAE [%]", CASES)
    assert {one["name"]: one["values"] for one in impact["series"]} == {
        "Dice + CE": [40.0, 30.0, 20.0, 15.0, 10.0],
        "BCE": [38.0, 30.0, 20.0, 15.0, 12.0],
        "DOSELO": [20.0, 20.0, 15.0, 13.0, 20.0],
    }


def test_best_median_and_worst_are_shown_with_their_difference(written: Written) -> None:
    assert written.told["chosen_against"] == BEST
    headings = [text_of(one) for one in re.findall(r"<h3>.*?</h3>", written.html)]
    assert headings[1:4] == [
        "Best: P0 difference in union RMAE −20.0 percentage points",
        "Median: P2 difference in union RMAE −5.0 percentage points",
        "Worst: P4 difference in union RMAE +10.0 percentage points",
    ]
    assert text_of(written.html).count("Every difference is trainer less baseline") == 1
    assert len(re.findall(r'<img class="panel" src="data:image/png;base64,', written.html)) == 3


def test_goals_islands_and_structures_are_counted(written: Written) -> None:
    listed = rows(written.html)
    assert ["GTV", "D95 ≥ 57 Gy", "5 of 5", *["0 of 5 5 lost"] * 3] in listed
    assert ["Eye_L", "D2 ≤ 45 Gy", *["5 of 5"] * 4] in listed
    assert not any(row[0] == "Cochlea_L" for row in listed)  # no patient has one
    assert ["DOSELO", "1 of 5", "1", "0.02", "0.01", "21.0", "60.0"] in listed  # 0.108 cc in 5 plans
    assert ["P4", "DOSELO", "fold 0", "0.11", "21.0", "0.05", "58.0", "60.0"] in listed
    assert ["GTV", "reference", "59.0", "60.0", "5"] in listed
    assert ["DOSELO", "41.0", "50.0", "5"] in listed


def test_training_predictor_and_provenance_are_told(written: Written) -> None:
    assert [panel["title"] for panel in written.told["curves"]] == ["Dice of validation patches", "Loss", "Dose term"]
    dose_term = written.told["curves"][2]["lines"]
    assert [(line["name"], line["y"], line["faint"]) for line in dose_term] == [
        ("DOSELO", [None, 0.02], False),
        ("DOSELO", [0.02, 0.01], True),
    ]
    listed = rows(written.html)
    assert ["all", "12", "0.91", "0.80", "0.77"] in listed
    assert ["shift", "6", "–", "–", "0.50"] in listed
    assert ["hours / training", f"{BASELINE} 1.25"] in listed
    assert ["plan P1", "plan", "failed", "", "no &lt;target&gt;"] in listed
    assert "2 jobs, 1 done; not done: 1 ." in text_of(written.html)


def test_dvhs_are_of_the_reference_structures_in_both_doses(written: Written) -> None:
    """The dose is 60 Gy in what was drawn: half of the target is missed by the baseline, none by the middle one."""
    dvh = written.told["shown"][0]["dvh"]
    (target,) = (one for one in dvh["structures"] if one["name"] == "GTV")
    at_60 = dvh["doses_gy"].index(60.0)
    assert target["reference"][0] == target["reference"][at_60] == target["evaluated"][MIDDLE][at_60] == 100.0
    assert 0 < target["evaluated"][BASELINE][at_60] < 100
    assert target["reference"][at_60 + 1] == 0.0


def test_the_page_asks_for_nothing_outside_itself(written: Written) -> None:
    without_scripts = re.sub(r"<script.*?</script>", "", written.html, flags=re.DOTALL)
    sources = re.findall(r'(?:src|href)="([^"]{1,22})', without_scripts)
    assert {source for source in sources if not source.startswith("#")} == {"data:image/png;base64,"}
    assert "http" not in without_scripts.replace("http-equiv", "")
    assert "url(" not in without_scripts
    assert "default-src 'none'" in written.html


def test_the_page_is_small(written: Written) -> None:
    pictures_and_tables = len(written.html) - len(get_plotlyjs())
    assert len(get_plotlyjs()) + VIEWER_BYTES + max(pictures_and_tables, 2_000_000) < LIMIT_BYTES


EVIL = "</script><script>document.title='caught'</script>"


def test_twenty_of_more_cases_fit_and_no_name_is_markup(tmp_path: Path) -> None:
    cases = [*(f"Q{number:02d}" for number in range(21)), EVIL]
    found = report_on(write_results(tmp_path, cases, {name: name + EVIL for name in UNION_RMAE}))
    assert "<script>document" not in found.html
    # plotly, charts, settings, twenty cases, glue
    assert found.html.count("</script>") == found.html.count("<script") == 24
    assert found.page.stat().st_size < LIMIT_BYTES
    assert len(found.told["shown"]) == 20
    assert "20 of 22 cases can be looked at" in text_of(found.html)


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """Of the command, with one case beside the chosen ones at most; files are missing, others are damaged."""
    folder = write_results(tmp_path_factory.mktemp("broken"))
    for curves in folder.rglob("curves.json"):
        curves.unlink()
    (folder / "evaluations" / BEST / "fold_0" / "plans" / "P0.nii.gz").unlink()
    (folder / "data" / "dose" / "P2.nii.gz").unlink()
    shutil.rmtree(folder / "evaluations" / MIDDLE)
    (folder / "manifest.json").write_text('{"format": "another"}')
    (folder / "predictor_card.json").write_text("[1]")
    app = typer.Typer()
    app.command()(report)
    done = CliRunner().invoke(app, [str(folder), "--cases", "1"])
    assert done.exit_code == 0, done.output
    assert "report.json beside it" in done.output
    return Written(folder, folder / "report.html")


def test_a_dose_that_was_moved_is_a_remark(broken: Written) -> None:
    shown = {one["case"]: list(one["plans"]) for one in broken.told["shown"]}
    assert shown == {"P0": [BASELINE], "P4": [BASELINE, BEST]}
    assert any("plans/P0.nii.gz: does not exist" in remark for remark in broken.told["remarks"])
    assert any(remark.startswith("P2: no pictures") for remark in broken.told["remarks"])
    assert "No picture: its files cannot be read, see the remarks." in broken.html


def test_an_evaluation_that_was_moved_is_a_remark_and_the_headline_stays(broken: Written) -> None:
    assert any(f"{MIDDLE}/fold_0/evaluation.json" in remark for remark in broken.told["remarks"])
    assert "BCE against Dice + CE" in broken.html
    assert ["BCE", "0 of 0", "0", "0.00", "0.00", "–", "–"] in rows(broken.html)


def test_what_is_not_there_is_said_and_what_is_damaged_is_a_remark(broken: Written) -> None:
    seen, remarks = text_of(broken.html), broken.told["remarks"]
    assert "No training curves lie beside the evaluations." in seen
    assert "There is no dose predictor's card among the results." in seen
    assert any("must have format doselo-benchmark/1" in remark for remark in remarks)
    assert any("must hold names and values, found list" in remark for remark in remarks)


def test_a_folder_without_comparison_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DoseloError, match=r"comparison.json: no such file"):
        write_report(tmp_path, tmp_path / "report.html")
    assert list(tmp_path.iterdir()) == []


def test_no_file_of_the_user_is_replaced(written: Written, tmp_path: Path) -> None:
    before = (written.folder / "comparison.json").read_text()
    with pytest.raises(DoseloError, match=r"comparison.json: .* not written by `doselo report`"):
        write_report(written.folder, written.folder / "comparison.html")
    others = tmp_path / "notes.html"
    others.write_text("mine")
    with pytest.raises(DoseloError, match=r"notes.html, notes.json: "):
        write_report(written.folder, others)
    with pytest.raises(DoseloError, match=r"name it .html"):
        write_report(written.folder, written.folder / "report.pdf")
    assert (written.folder / "comparison.json").read_text() == before
    assert others.read_text() == "mine"
