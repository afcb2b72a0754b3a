"""The demo's report: caveat first, every number where it belongs, nothing outside the file."""

import json
import re
from pathlib import Path

import pytest

from nnunet_doselo.demo.report import METRICS, write_report
from nnunet_doselo.demo.results import gather
from nnunet_doselo.demo.settings import QUICK
from nnunet_doselo.demo.stages import Stage
from nnunet_doselo.demo.workspace import Marker
from nnunet_doselo.evaluation.scores_file import CaseScores, write_scores

ONE_PIXEL = b"\x89PNG not really"
NAN = float("nan")


def scores(rmae: float, dice: float = 0.5, hd95_mm: float = 4.25) -> dict[str, float]:
    return {
        "rmae": rmae,
        "dose_score_gy": 1.234,
        "target_dice": dice,
        "target_hd95_mm": hd95_mm,
        "target_fp_beyond_20mm_cc": 0.0,
    }


def evaluated(folder: Path, *cases: dict[str, float], remarks: dict[str, list[str]] | None = None) -> None:
    provenance = {
        "evaluated_dose": "the built-in planner; /somewhere/plans",
        "reference_dose": "the dataset's own",
        "planner_remarks": remarks or {},
        "surface_distances": "surface-distance 0.1",
    }
    write_scores(folder, [CaseScores(f"P{i}", one) for i, one in enumerate(cases)], provenance)
    (folder / "pictures").mkdir()
    for number in range(len(cases)):
        (folder / "pictures" / f"P{number}.png").write_bytes(ONE_PIXEL)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The scores of a demo with two held-out patients; DOSELO has left the second one empty."""
    evaluated(tmp_path / "scores" / "default", scores(0.2), scores(0.4))
    empty = scores(1.0, dice=0.0, hd95_mm=NAN)
    evaluated(tmp_path / "scores" / "doselo", scores(0.1), empty, remarks={"P1": ["target <empty>"]})
    evaluated(tmp_path / "scores" / "noise_floor", scores(0.01), scores(0.03))
    run = tmp_path / "nnUNet_results" / "Dataset901_DemoDose" / "DosePredictor__default"
    run.mkdir(parents=True)
    (run / "validation.csv").write_text("case,mae_gy\nQ0,3.0\nQ1,2.0\n")
    (run / "validation_median.png").write_bytes(ONE_PIXEL)
    return tmp_path


@pytest.fixture
def page(folder: Path) -> str:
    stages = [
        Stage("cohort", "synthetic heads", (("doselo", "phantom", "901"), ("doselo", "verify", "901"))),
        Stage("train", "minutes", (("nnUNetv2_train", "902", "2d_small", "0"),)),
    ]
    markers = [Marker("a", 1.0, 61.0, 512.0), Marker("b", 2.0, 130.0, 2048.0)]
    file = write_report(folder, gather(folder, QUICK), stages, markers, quick=True)
    assert file == folder / "report.html"
    return file.read_text()


def rows(page: str) -> list[list[str]]:
    """Every table's rows as text."""
    cells = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in re.findall(r"<tr[^>]*>(.*?)</tr>", page, re.DOTALL)]
    return [row for row in cells if row]


def test_the_caveat_stands_before_every_number(page: str) -> None:
    caveat = page.index("Synthetic patients, few iterations, no clinical meaning.")
    assert caveat < page.index("<table>")
    assert "quick demo" in page


def test_both_trainers_stand_side_by_side_above_the_noise_floor(page: str) -> None:
    """Dice, HD95, RMAE in per cent, dose score, far false positives; HD95 of the empty case has no value."""
    side_by_side = rows(page)[:3]
    assert side_by_side[0] == ["default", "0.500", "4.2", "30.0", "1.23", "0.00"]
    assert side_by_side[1] == ["DOSELO", "0.250", "4.2", "55.0", "1.23", "0.00"]
    assert side_by_side[2][0].startswith("noise floor")
    assert side_by_side[2][3] == "2.0"


def test_every_patient_has_a_row_and_missing_values_are_dashes(page: str) -> None:
    assert ["P1", "0.000", "–", "100.0", "1.23", "0.00"] in rows(page)
    assert "DOSELO: HD95 has no value for P1" in page
    assert "DOSELO, P1: target &lt;empty&gt;" in page


def test_the_file_stands_alone(page: str) -> None:
    sources = re.findall(r'src="([^"]{22})', page)
    assert sources == ["data:image/png;base64,"] * 5  # two trainers, two patients, and the predictor
    assert "href" not in page
    assert "http" not in page


def test_the_commands_their_time_and_the_versions_are_told(page: str) -> None:
    assert "doselo phantom 901\ndoselo verify 901\n" in page
    assert "3:11 minutes in all, largest process 2.0 GB" in page
    assert "2 planned contour(s) kept from its training, is\n2.5 Gy." in page
    assert "nnunetv2 2." in page


def test_every_metric_is_explained(page: str) -> None:
    for metric in METRICS:
        assert f"<strong>{metric.title}</strong>: " in page


def test_results_name_the_trainers_as_nnunet_does(folder: Path) -> None:
    names = [result.name for result in gather(folder, QUICK).trainers]
    assert names == [
        f"{base}_{QUICK.epochs}epochs_{QUICK.iterations}iterations" for base in ("nnUNetTrainer", "nnUNetTrainerDOSELO")
    ]
    assert json.loads((folder / "scores" / "doselo" / "summary.json").read_text())["cases"] == 2
