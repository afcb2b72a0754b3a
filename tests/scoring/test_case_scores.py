"""All metrics of one case in doses and contours that can be worked out, and where none of them is defined."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import phantoms
import pytest

from nnunet_doselo.common.errors import DoseloError
from nnunet_doselo.dataset import patient
from nnunet_doselo.dataset.folder import ExtendedDataset
from nnunet_doselo.dataset.geometry import body_mask
from nnunet_doselo.dataset.images import write_array
from nnunet_doselo.dataset.patient import load_patient
from nnunet_doselo.evaluation import pictures
from nnunet_doselo.evaluation.evaluation_file import CaseResult
from nnunet_doselo.evaluation.gamma import GammaCriterion
from nnunet_doselo.evaluation.goal_files import parse_goals
from nnunet_doselo.scoring.case_evaluation import CaseTask, evaluate_case
from nnunet_doselo.scoring.dose_sources import DoseFolder, DosePair

CASE = "Phantom_000"
GOALS = tuple(parse_goals("GTV: D95 >= 57 Gy\nEye_L: Dmean <= 45 Gy\nHeart: Dmean <= 3 Gy\n", "test"))
CUBE = np.zeros(phantoms.SHAPE, np.uint8)
CUBE[6:10, 12:16, 12:16] = 1
"""4 x 4 x 4 voxels of 3 mm inside the head."""
NOTHING = 0 * CUBE


@pytest.fixture
def dataset(tmp_path: Path) -> ExtendedDataset:
    return phantoms.write_extended_dataset(tmp_path / "Dataset001_Head", cases=0, test_cases=1)


class Files:
    """Writes what a case is made of, on the phantom's grid or on another, and evaluates it."""

    def __init__(self, dataset: ExtendedDataset, work: Path) -> None:
        self.dataset, self.work = dataset, work

    def evaluate(
        self,
        reference: np.ndarray,
        evaluated: np.ndarray,
        reference_gy: np.ndarray,
        evaluated_gy: np.ndarray,
        gamma: GammaCriterion | None = None,
    ) -> CaseResult:
        self.write(self.dataset.path("labels", CASE, "Ts"), reference)
        self.write(self.work / "predictions" / f"{CASE}.nii.gz", evaluated)
        self.write(self.work / "reference" / f"{CASE}.nii.gz", reference_gy.astype(np.float32))
        self.write(self.work / "doses" / f"{CASE}.nii.gz", evaluated_gy.astype(np.float32))
        return self.again(gamma)

    def again(self, gamma: GammaCriterion | None = None, picture: Path | None = None) -> CaseResult:
        pair = DosePair(DoseFolder(self.work / "reference", ".nii.gz"), DoseFolder(self.work / "doses", ".nii.gz"))
        predictions = self.work / "predictions"
        criterion = gamma or GammaCriterion()
        task = CaseTask(self.dataset, "Ts", CASE, predictions, pair, False, GOALS, criterion, picture)
        return evaluate_case(task)

    @staticmethod
    def write(path: Path, array: np.ndarray, **grid: Any) -> None:
        write_array(path, array, phantoms.grid_for(array.shape, **grid))


@pytest.fixture
def files(dataset: ExtendedDataset, tmp_path: Path) -> Files:
    return Files(dataset, tmp_path)


def test_a_plateau_of_two_per_cent_less_by_hand(files: Files, dataset: ExtendedDataset) -> None:
    """60 Gy in the cube against 58.8 Gy, which is within 3 %, and against 56.4 Gy, which is not."""
    oars = phantoms.organ_labels()
    files.write(dataset.path("oars", CASE, "Ts"), np.where(CUBE, 0, oars))
    found = files.evaluate(CUBE, CUBE, 60.0 * CUBE, 58.8 * CUBE)
    body = phantoms.head().sum()
    assert found.score("union_rmae") == found.score("rmae") == pytest.approx(0.02)
    assert found.score("dose_score_gy") == pytest.approx(64 * 1.2 / body)
    # three figures of the target differ by 1.2 Gy, two of each of the three organs, outside the cube, by nothing
    assert found.score("dvh_score_gy") == pytest.approx(3 * 1.2 / 9)
    assert found.score("gamma_pass_percent") == 100
    assert found.score("target_dice") == found.score("GTV_surface_dice_2mm") == 1
    assert found.score("target_hd_mm") == found.score("islands") == found.score("goals_lost") == 0
    figures = found.structures["GTV"]
    assert figures.reference["conformity"] == figures.evaluated["conformity"] == 1
    assert figures.errors()["d95_gy"] == pytest.approx(1.2)
    assert figures.reference["v95_percent"] == figures.evaluated["v95_percent"] == 100
    far = files.evaluate(CUBE, CUBE, 60.0 * CUBE, 56.4 * CUBE)
    assert far.score("goals_lost") == 1
    # only the 4 x 4 x 4 - 2 x 2 x 2 voxels at the surface can pass, where the dose falls off within 2 mm
    assert far.score("gamma_pass_percent") <= 100 * 56 / 64


def test_the_gamma_criterion_can_be_set(files: Files) -> None:
    wide = files.evaluate(CUBE, CUBE, 60.0 * CUBE, 56.4 * CUBE, GammaCriterion(7, 2))
    assert wide.score("gamma_pass_percent") == 100


def test_an_island_is_listed_with_its_distance_and_dose(files: Files) -> None:
    """Two voxels of 27 mm3, 11 voxels of 3 mm behind the cube, which get 30 Gy."""
    drawn = CUBE.copy()
    drawn[8, 26, 14:16] = 1
    found = files.evaluate(CUBE, drawn, 60.0 * CUBE, 60.0 * CUBE + 30.0 * (drawn - CUBE))
    (island,) = found.islands
    assert island.volume_cc == pytest.approx(0.054)
    assert (island.distance_mm, island.mean_gy) == (pytest.approx(33), pytest.approx(30))
    assert found.score("target_fp_beyond_20mm_cc") == pytest.approx(0.054)


@pytest.mark.parametrize(
    ("reference", "evaluated", "defined"),
    [
        (
            CUBE,
            NOTHING,
            {
                "union_rmae": 1.0,
                "rmae": 1.0,
                "gamma_pass_percent": 0.0,
                "target_dice": 0.0,
                "islands": 0.0,
                "goals_lost": 1.0,
            },
        ),
        (NOTHING, CUBE, {"union_rmae": 10.0, "target_dice": 0.0, "islands": 1.0, "goals_lost": 0.0}),
        (NOTHING, NOTHING, {"dose_score_gy": 0.0, "islands": 0.0, "goals_lost": 0.0}),
    ],
    ids=["nothing found", "nothing to find", "neither"],
)
def test_empty_contours_have_no_distances_and_no_crash(
    files: Files, reference: np.ndarray, evaluated: np.ndarray, defined: dict[str, float]
) -> None:
    """Each dose is 60 Gy in its own contour: without a reference contour there is no reference dose."""
    found = files.evaluate(reference, evaluated, 60.0 * reference, 60.0 * evaluated)
    assert {key: found.score(key) for key in defined} == defined
    for key in ("target_hd_mm", "target_hd95_mm", "target_surface_dice_2mm"):
        assert math.isnan(found.score(key))
    if not reference.any():
        assert math.isnan(found.score("rmae"))
        assert math.isnan(found.score("union_rmae")) == (not evaluated.any())
        assert math.isnan(found.score("gamma_pass_percent"))
        assert all(math.isnan(value) for value in found.structures["GTV"].reference.values())


def test_an_organ_that_is_not_there_is_not_assessable(files: Files, dataset: ExtendedDataset) -> None:
    """The eye lies outside of the grid; no heart was ever declared."""
    oars = phantoms.organ_labels()
    files.write(dataset.path("oars", CASE, "Ts"), np.where(oars == phantoms.OARS["Eye_L"], 0, oars))
    found = files.evaluate(CUBE, CUBE, 60.0 * CUBE, 60.0 * CUBE)
    assert all(math.isnan(value) for value in found.structures["Eye_L"].evaluated.values())
    assert [(row.structure, row.reference_verdict, row.note) for row in found.goals] == [
        ("GTV", "met", ""),
        ("Eye_L", "not assessable", "empty"),
        ("Heart", "not assessable", "no such structure"),
    ]
    assert found.score("dvh_score_gy") == 0


def test_a_target_of_one_voxel(files: Files) -> None:
    one = NOTHING.copy()
    one[8, 14, 14] = 1
    found = files.evaluate(one, np.roll(one, 1, axis=0), 60.0 * one, 60.0 * np.roll(one, 1, axis=0))
    assert (found.score("union_rmae"), found.score("rmae"), found.score("target_dice")) == (5.5, 1, 0)
    assert found.score("target_hd_mm") == pytest.approx(3)
    assert found.structures["GTV"].reference["d98_gy"] == 60
    assert found.structures["GTV"].evaluated["dmean_gy"] == 0


def test_a_case_that_is_scored_and_drawn_looks_for_its_body_once(
    files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.evaluate(CUBE, CUBE, 60.0 * CUBE, 60.0 * CUBE)
    shapes = []
    for module in (patient, pictures):
        monkeypatch.setattr(module, "body_mask", lambda ct_hu: [shapes.append(ct_hu.shape), body_mask(ct_hu)][1])
    files.again(picture=tmp_path / "case.png")
    assert (tmp_path / "case.png").exists()
    assert shapes == [phantoms.SHAPE]


@pytest.mark.parametrize("kind", ["oars", "labels", "reference", "doses", "predictions"])
def test_files_on_two_grids_are_one_clear_error(files: Files, dataset: ExtendedDataset, kind: str) -> None:
    files.evaluate(CUBE, CUBE, 60.0 * CUBE, 60.0 * CUBE)
    inside = kind in ("oars", "labels")
    file = dataset.path(kind, CASE, "Ts") if inside else files.work / kind / f"{CASE}.nii.gz"
    files.write(file, CUBE, spacing_mm=(3.0, 3.0, 2.5))
    with pytest.raises(DoseloError, match=rf"{CASE}\.nii\.gz: must lie on the grid .*: spacing \(2\.5, 3\.0, 3\.0\)"):
        files.again()


def test_a_damaged_dose_is_refused(dataset: ExtendedDataset, tmp_path: Path) -> None:
    """In a format whose reader does not turn NaN into 0, as that of NIfTI files does."""
    broken = np.where(CUBE, np.nan, 0).astype(np.float32)
    Files.write(tmp_path / "doses" / f"{CASE}.mha", broken)
    folder = DoseFolder(tmp_path / "doses", ".mha")
    with pytest.raises(DoseloError, match=r"Phantom_000\.mha: doses must be finite numbers"):
        folder.read(load_patient(dataset, CASE, "Ts"), dataset.path("labels", CASE, "Ts"))
