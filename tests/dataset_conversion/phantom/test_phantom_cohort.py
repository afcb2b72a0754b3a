"""Cohorts on disk: what is written, in which split, planned how; resumed, refused, and the same from any process."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from nnunet_doselo.cli import app
from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.dataset.case_names import patient_of, variant_name
from nnunet_doselo.dataset.folder import ExtendedDataset
from nnunet_doselo.dataset.images import read_array
from nnunet_doselo.dataset_conversion.phantom.cohort import CohortSettings, make_cohort
from nnunet_doselo.dataset_conversion.phantom.organs import PHANTOM_OARS
from nnunet_doselo.dataset_conversion.verify import verify_dataset
from nnunet_doselo.planning.interface import Beams, Plan

SETTINGS = CohortSettings(cases=2, seed=5, spacing_mm=6.0, variants=2, test_cases=1)
TRAINING = ["GBM_5_000", "GBM_5_000_v1", "GBM_5_000_v2", "GBM_5_001", "GBM_5_001_v1", "GBM_5_001_v2"]
STUB_BEAMS = Beams((0.0, 90.0), 5.0)


class Planner:
    """Gives each voxel what was prescribed, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []

    def __call__(self, ct_hu: np.ndarray, target_gy: np.ndarray, oars: np.ndarray, spacing_mm: Any, **given: Any):  # type: ignore[no-untyped-def]
        assert ct_hu.shape == target_gy.shape == oars.shape
        assert tuple(spacing_mm) == (6.0, 6.0, 6.0)
        assert set(np.unique(target_gy)) == {0, 60}
        self.asked.append(given)
        place = (1.0, 2.0, float(len(self.asked)))
        return Plan(target_gy, given["isocentre_mm"] or place, STUB_BEAMS, np.ones((2, 1, 1)), 60.0, "stub", 1, True)


@pytest.fixture
def planner(monkeypatch: pytest.MonkeyPatch) -> Planner:
    stub = Planner()
    monkeypatch.setattr("nnunet_doselo.planning.plan.plan_dose", stub)
    return stub


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "Dataset510_Phantom"


def states(folder: Path) -> dict[str, tuple[int, int]]:
    """Inode and time of change of every image."""
    return {str(p.relative_to(folder)): (p.stat().st_ino, p.stat().st_mtime_ns) for p in folder.glob("*/*.gz")}


def array(folder: Path, kind: str, case: str, split: str = "Tr") -> np.ndarray:
    return read_array(folder / f"{kind}{split}" / f"{case}.nii.gz")[0]


def test_a_cohort_is_an_extended_dataset_without_findings(folder: Path, planner: Planner) -> None:
    make_cohort(folder, SETTINGS)
    dataset = ExtendedDataset(folder)
    assert dataset.cases() == TRAINING
    assert dataset.cases("images", "Ts") == dataset.cases("dose", "Ts") == ["GBM_5_002"]
    assert verify_dataset(dataset) == []
    assert list(dataset.dataset_json["channel_names"].values()) == ["T1c", "T1", "T2", "FLAIR"]
    assert dataset.dataset_json["labels"] == {"background": 0, "GTV": 1}
    assert dataset.is_synthetic
    assert dataset.guidance.target_gy == {"GTV": 60.0}
    assert dataset.guidance.oars == PHANTOM_OARS
    assert array(folder, "images", "GBM_5_000_0003").dtype == np.float32


def test_variants_have_their_own_target_and_dose_and_share_the_rest(folder: Path, planner: Planner) -> None:
    make_cohort(folder, SETTINGS)
    for variant in ("GBM_5_000_v1", "GBM_5_000_v2"):
        labels = array(folder, "labels", variant)
        assert not np.array_equal(labels, array(folder, "labels", "GBM_5_000"))
        assert np.array_equal(array(folder, "dose", variant), 60 * labels.astype(np.float32))
        for kind, channel in (("images", "_0000"), ("images", "_0003"), ("ct", ""), ("oars", "")):
            shared, own = (folder / f"{kind}Tr" / f"{case}{channel}.nii.gz" for case in (variant, "GBM_5_000"))
            assert shared.read_bytes() == own.read_bytes()
    assert [asked["isocentre_mm"] for asked in planner.asked[:3]] == [None, (1.0, 2.0, 1.0), (1.0, 2.0, 1.0)]
    assert [asked["beams"] for asked in planner.asked[:3]] == [None, STUB_BEAMS, STUB_BEAMS]


def test_what_was_drawn_is_recorded(folder: Path, planner: Planner) -> None:
    make_cohort(folder, SETTINGS)
    first, second, test = json.loads((folder / "phantom.json").read_text())
    assert (first["case"], first["split"], test["case"], test["split"]) == ("GBM_5_000", "Tr", "GBM_5_002", "Ts")
    voxels = np.count_nonzero(array(folder, "labels", "GBM_5_000"))
    assert first["target"]["volume_cc"] == pytest.approx(voxels * 0.216, abs=0.01)
    assert [v["case"] for v in first["variants"]] == TRAINING[1:3]
    assert len({v["kind"] for v in second["variants"]}) == 2
    assert test["variants"] == []
    assert first["plan"]["engine"] == "stub"


def test_a_stopped_run_goes_on_and_a_finished_one_is_left_alone(folder: Path, planner: Planner) -> None:
    make_cohort(folder, SETTINGS)
    before, plans = states(folder), len(planner.asked)
    make_cohort(folder, SETTINGS)
    assert (states(folder), len(planner.asked)) == (before, plans)
    (folder / "labelsTr" / "GBM_5_001_v2.nii.gz").unlink()
    whole = array(folder, "dose", "GBM_5_001_v2")
    make_cohort(folder, SETTINGS)
    after = states(folder)
    assert after.keys() == before.keys()
    assert {name for name in after if after[name] == before[name]} == {n for n in before if "GBM_5_001" not in n}
    assert np.array_equal(array(folder, "dose", "GBM_5_001_v2"), whole)


def test_a_patient_does_not_depend_on_how_many_there_are(folder: Path, planner: Planner) -> None:
    make_cohort(folder, SETTINGS)
    alone = folder.with_name("Dataset511_Phantom")
    make_cohort(alone, CohortSettings(cases=1, seed=5, spacing_mm=6.0, variants=1))
    for kind, case in (("labels", "GBM_5_000"), ("images", "GBM_5_000_0001"), ("labels", "GBM_5_000_v1")):
        assert np.array_equal(array(alone, kind, case), array(folder, kind, case))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (CohortSettings(0, 1), "at least 1 case"),
        (CohortSettings(1, -1), "seed from 0"),
        (CohortSettings(1, 1, variants=-1), "0 or more variants"),
        (CohortSettings(1, 1, spacing_mm=8.0), "2 to 6 mm, found 8 mm"),
    ],
)
def test_settings_out_of_range_write_nothing(folder: Path, wrong: CohortSettings, message: str) -> None:
    with pytest.raises(DoseloError, match=message):
        make_cohort(folder, wrong)
    assert not folder.exists()


def test_another_seed_needs_another_folder(folder: Path, planner: Planner) -> None:
    one = CohortSettings(cases=1, seed=5, spacing_mm=6.0)
    make_cohort(folder, one)
    with pytest.raises(DoseloError, match=r"'seed': 5.* where this run has .*'seed': 6"):
        make_cohort(folder, CohortSettings(cases=1, seed=6, spacing_mm=6.0))


def test_the_command_makes_a_cohort(tmp_path: Path, planner: Planner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("nnUNet_raw", str(tmp_path))
    options = ["--cases", "1", "--seed", "3", "--spacing", "6", "--variants", "1", "-np", "1", "--name", "Heads"]
    result = CliRunner().invoke(app, ["phantom", "512", *options])
    assert result.exit_code == 0, result.output
    assert "next: doselo verify 512" in result.output
    assert ExtendedDataset(tmp_path / "Dataset512_Heads").cases() == ["GBM_3_000", "GBM_3_000_v1"]


@pytest.mark.slow
def test_processes_do_not_change_a_voxel_and_the_planner_gives_60_gy(tmp_path: Path) -> None:
    settings = CohortSettings(cases=2, seed=5, spacing_mm=6.0, variants=1)
    for processes in (1, 2):
        make_cohort(tmp_path / str(processes), settings, processes=processes)
        assert verify_dataset(ExtendedDataset(tmp_path / str(processes))) == []
    files = sorted(p.relative_to(tmp_path / "1") for p in (tmp_path / "1").glob("*/*.nii.gz"))
    assert len(files) == 4 * 8
    for file in files:
        assert np.array_equal(read_array(tmp_path / "1" / file)[0], read_array(tmp_path / "2" / file)[0])
    dose_gy, target = (array(tmp_path / "1", kind, "GBM_5_000") for kind in ("dose", "labels"))
    assert np.median(dose_gy[target > 0]) == pytest.approx(60, abs=0.1)


@pytest.mark.parametrize(
    ("case", "patient"),
    [("GBM_0_003", "GBM_0_003"), ("GBM_0_003_v12", "GBM_0_003"), ("A_v1_B", "A_v1_B"), ("A_v1_v2", "A_v1")],
)
def test_a_variant_belongs_to_its_patient(case: str, patient: str) -> None:
    assert patient_of(case) == patient
    assert patient_of(variant_name(patient, 7)) == patient
